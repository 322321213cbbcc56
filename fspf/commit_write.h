/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/commit_write.h - inside libfspf: the parts of one commit (see fspf/commit.h for its order)
 */
#ifndef FSPF_FSPF_COMMIT_WRITE_H
#define FSPF_FSPF_COMMIT_WRITE_H

#include "fspf/commit.h"
#include "fspf/flush.h"

/* What kind of commit. */
struct fspf_commit_plan {
	bool always; /* even if nothing changed */
	bool clean;  /* the space map goes with it; nothing is dirty or deferred then, and the
			caller sees to it that nothing changes any more */
	fspf_commit_edit *edit;
	void *ctx;
};

/* All of it, by the one thread that commits.  @durable: the epoch that is; 0 and *ret_durable as it
 * was: there was nothing to commit. */
MUST_CHECK int fspf_commit_once(struct fspf_volume *v, struct fspf_flusher *f, uint64_t durable,
				const struct fspf_commit_plan *plan, uint64_t *ret_durable);

/* Write out what is on the dirty list now; what is dirtied meanwhile waits for the next pass. @held
 * (else NULL) is given when the gate is closed: whose references are to be put when it is open. */
MUST_CHECK int fspf_flush_pass(struct fspf_volume *v, struct fspf_flusher *f,
			       struct fspf_inode **held);

/* A new session long before the old one's seals are used up. */
MUST_CHECK int fspf_renew_session(struct fspf_volume *v);

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
