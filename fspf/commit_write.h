/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/commit_write.h - inside libfspf: the parts of one commit (see fspf/commit.h for its order)
 */
#ifndef FSPF_FSPF_COMMIT_WRITE_H
#define FSPF_FSPF_COMMIT_WRITE_H

#include "fspf/flush.h"

/* What freezing captured: the record to be written, lacking only what writing the nodes gives. */
struct fspf_frozen {
	bool publish;		/* in: something of the volume itself changed */
	bool scratch;		/* ephemeral regions are frozen too */
	struct fspf_root *root; /* owned */
	uint64_t epoch;		/* the last epoch that it contains */
	bool sessions_changed;
	uint64_t sessions_blocks; /* that the new table was given */
};

/* Step 2's end, under the exclusive gate: freeze trees and space.  Cannot fail but for memory. */
MUST_CHECK int fspf_freeze(struct fspf_volume *v, struct fspf_frozen *ret);
/* Give it up: what was frozen is dirty again.  Under the exclusive gate. */
void fspf_thaw(struct fspf_volume *v, struct fspf_frozen *f);

/* Step 3's first half: nodes, session table, with @clean the space map, barrier.  The root in @f is
 * complete afterwards.  On failure fspf_thaw(). */
MUST_CHECK int fspf_write_frozen(struct fspf_volume *v, struct fspf_frozen *f, bool clean);
/* The second half and step 4: root record, barrier, publish, and the volume's state is the new one.
 * On failure the volume fails: nobody can know which root the storage has. */
MUST_CHECK int fspf_publish_frozen(struct fspf_volume *v, struct fspf_frozen *f);
/* Instead of it, when only ephemeral regions have changed: no root record is written (X1). */
MUST_CHECK int fspf_settle_frozen(struct fspf_volume *v, struct fspf_frozen *f);

/* Store the space map as a tree and name it in @root; nothing is dirty or deferred.
 * (fspf/space_store.c) */
MUST_CHECK int fspf_space_save(struct fspf_volume *v, struct fspf_root *root);

#endif
