/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/snapshot.h - inside libfspf: snapshots, which are kept copies of published root records
 *
 * Making one copies nothing but the record: the trees are copy-on-write, and what the record
 * reaches is kept by not being given back (S6, fspf/space_keep.c).
 */
#ifndef FSPF_FSPF_SNAPSHOT_H
#define FSPF_FSPF_SNAPSHOT_H

#include "fspf/volume.h"

/* NULL: there is none of that name. */
const struct fspf_snapshot *fspf_snapshot_find(const struct fspf_root *root, const char *name);
/* The generation of the newest; 0: there is none. */
uint64_t fspf_snapshot_newest(const struct fspf_root *root);

/* While a volume is being opened, when its own record is known: from now on the snapshot's is its
 * state, for reading alone.  Error set. */
MUST_CHECK int fspf_snapshot_select(struct fspf_volume *v, const char *name,
				    struct fspf_error *err);
/* The same for writing: the regions are the snapshot's, all else stays, and the next commit makes
 * it so.  v->replaced is the record that was published.  Error set. */
MUST_CHECK int fspf_snapshot_put_back(struct fspf_volume *v, const char *name,
				      struct fspf_error *err);

/* A snapshot of the open volume @v as a volume of its own, for reading, beside it and before it is
 * closed.  -EBADMSG. */
MUST_CHECK int fspf_snapshot_view(struct fspf_volume *v, const struct fspf_snapshot *snapshot,
				  struct fspf_volume **ret);
void fspf_snapshot_view_free(struct fspf_volume *view);

#endif
