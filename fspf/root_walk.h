/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/root_walk.h - inside libfspf: going through all that a root record's trees reach
 *
 * Past every cache, region by region, for whoever asks which blocks a state has: the published one,
 * or a snapshot's.  One thread.
 */
#ifndef FSPF_FSPF_ROOT_WALK_H
#define FSPF_FSPF_ROOT_WALK_H

#include "fspf/volume.h"

struct fspf_root_walk {
	void *ctx;
	/* A node, before it is read; 1 passes by it and all below. */
	int (*node)(void *ctx, const struct merkle_ptr *ptr);
	/* A run of written blocks. */
	int (*extent)(void *ctx, const struct fspf_extent *e);
	/* Set when something does not verify, and the walk goes on beside that; NULL: it ends with
	 * -EBADMSG. */
	bool *damaged;
};

/* @root was opened with the volume's key; only its regions are walked. */
MUST_CHECK int fspf_root_walk(struct fspf_volume *v, const struct fspf_root *root,
			      const struct fspf_root_walk *walk);

#endif
