/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first extent may begin before the range and is looked up; the others are a scan of the tree.
 */
#include <errno.h>

#include "fspf/extent_walk.h"

struct walk {
	enum crypto_class class;
	fspf_extent_fn *extent;
	void *ctx;
};

static int walk_visit(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	const struct walk *w = ctx;
	struct fspf_extent e;
	int r = fspf_extent_decode(key, value, len, w->class, &e);

	return r ? r : w->extent(w->ctx, &e);
}

int fspf_map_walk(struct fspf_inode *inode, uint64_t first, uint64_t last, fspf_extent_fn *extent,
		  void *ctx)
{
	struct merkle_key from = fspf_key(inode->object, FSPF_ITEM_EXTENT, first + 1);
	struct merkle_key to = fspf_key(inode->object, FSPF_ITEM_EXTENT, last);
	struct walk w = {inode->region->class, extent, ctx};
	struct fspf_extent e;
	int r;

	if (inode->a.blocks == 0 && inode->a.unwritten == 0)
		return 0;
	r = fspf_map_next(inode, first, first, &e);
	if (r == 0)
		r = extent(ctx, &e);
	else if (r == -ENOENT)
		r = 0;
	return r || last <= first ? r
				  : merkle_scan(inode->region->tree, &from, &to, walk_visit, &w);
}
