/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/extent_walk.h - going through a file's block map extent by extent
 *
 * For whatever looks at long ranges of a file: the cost is that of the extents there, however far
 * they lie apart.  Under the inode's lock.  The callback must not change the map.
 */
#ifndef FSPF_FSPF_EXTENT_WALK_H
#define FSPF_FSPF_EXTENT_WALK_H

#include "fspf/extent.h"

/* A non-zero result ends the walk and is its result. */
typedef int fspf_extent_fn(void *ctx, const struct fspf_extent *e);

/* Each extent that has a block among first .. last, in order.  -EBADMSG. */
MUST_CHECK int fspf_map_walk(struct fspf_inode *inode, uint64_t first, uint64_t last,
			     fspf_extent_fn *extent, void *ctx);

#endif
