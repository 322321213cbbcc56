/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/open.h - inside libfspf: a volume in memory, and steps of opening it, for those who open one
 * in another way
 */
#ifndef FSPF_FSPF_OPEN_H
#define FSPF_FSPF_OPEN_H

#include "fspf/volume.h"

/* Nothing of it is opened. */
MUST_CHECK int fspf_volume_new(const struct fspf_open_params *params, struct fspf_volume **ret);
void fspf_volume_free(struct fspf_volume *v);

/* The volume key, if it has one and its credential is given.  -ENOKEY: it is needed. */
MUST_CHECK int fspf_open_key(struct fspf_volume *v, const struct fspf_open_params *params,
			     struct fspf_error *err);

/* Which of the two root records is the state: v->root, tag, base, slot.  (open_root.c) */
MUST_CHECK int fspf_open_root(struct fspf_volume *v, const struct fspf_open_params *params,
			      struct fspf_error *err);

/* Session, space and committer; and, when regions are open, the tops of those that begin empty.
 * (begin.c) */
MUST_CHECK int fspf_begin_writing(struct fspf_volume *v, const char *scratch_dir,
				  struct fspf_error *err);
MUST_CHECK int fspf_make_tops(struct fspf_volume *v, struct fspf_error *err);

/* Those of v->root; when the sessions are there. */
MUST_CHECK int fspf_volume_regions(struct fspf_volume *v);

#endif
