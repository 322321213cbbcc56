/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/rotate.h - inside libfspf: what the files of fspf_rotate() share
 *
 * While a region is being rotated it has two keys: sessions up to region->old_sessions sealed under
 * the old one.  What they sealed is *old*.  The region is gone through, again and again until
 * nothing old was met: old blocks become dirty pages, old leaves of the tree are marked, and
 * commits write both as they write everything.  So what others do meanwhile needs no care: whatever
 * they write is new, and what they replace is one thing less.
 *
 *   K3  Nothing old comes into being: blocks and nodes are sealed by the newest session alone, and
 *       a part of an old extent was a part of it before.  So a walk that met nothing old has shown
 *       that there is nothing, whatever else went on.
 */
#ifndef FSPF_FSPF_ROTATE_H
#define FSPF_FSPF_ROTATE_H

#include "fspf/volume.h"

struct fspf_rotation {
	struct fspf_volume *v;
	const struct fspf_transfer *transfer; /* may be NULL */
	struct fspf_progress done;
	struct fspf_region *region[FSPF_REGIONS_MAX];
	size_t n;
	/* Of the walk under way: */
	bool counts;	  /* for progress: the first one */
	uint64_t renewed; /* blocks and nodes that were old */
	uint64_t damaged; /* extents that cannot be read */
};

/* Go through the region once (fspf/rotate_walk.c).  -EBADMSG: a node of it is damaged. */
MUST_CHECK int fspf_rotate_walk(struct fspf_rotation *t, struct fspf_region *region);

/* Has any region two keys?  (A snapshot would keep the old one.) */
bool fspf_is_rotating(struct fspf_volume *v);

#endif
