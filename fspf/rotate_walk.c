/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going through a region once: old extents, a bunch at a time, then old leaves.  A scan's callback
 * may not change the tree, so it collects, and what was collected is looked up again under the
 * file's lock: by then it may be gone, or new.
 *
 * Memory is bounded as for any writer, by the limit on dirty pages; nodes by commits in between.
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/commit.h"
#include "fspf/extent.h"
#include "fspf/file.h"
#include "fspf/rotate.h"

#define BUNCH 16u	  /* extents collected at a time */
#define BUNCH_ITEMS 4096u /* items looked at for them */
#define LEAVES 8u	  /* marked under one hold of the gate */
#define DIRTY_NODES 1024u /* then they are written */

struct bunch {
	const struct fspf_region *region;
	struct merkle_key next; /* where the scan goes on */
	uint64_t files, blocks; /* of what was looked at */
	uint32_t items, n;
	struct {
		uint64_t object, first;
		uint32_t count;
	} extent[BUNCH];
};

static int tell(struct fspf_rotation *t, const struct fspf_region *region)
{
	if (!t->transfer || !t->transfer->progress)
		return 0;
	t->done.path = region->prefix;
	t->done.bytes_total = max_u64(t->done.bytes_total, t->done.bytes_done); /* files grow */
	return t->transfer->progress(t->transfer->ctx, &t->done) ? -ECANCELED : 0;
}

/* ---- extents ---- */

static bool is_old(const struct fspf_region *region, const struct fspf_extent *e)
{
	return e->addr && e->session <= region->old_sessions;
}

static struct merkle_key key_behind(const struct merkle_key *key)
{
	struct merkle_key next = *key;

	if (++next.offset == 0)
		next.type++; /* there are few types */
	return next;
}

static int collect(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct bunch *b = ctx;
	struct fspf_extent e;
	int r = 0;

	b->next = key_behind(key);
	b->items++;
	b->files += key->type == FSPF_ITEM_INODE;
	if (key->type == FSPF_ITEM_EXTENT && key->object) {
		r = fspf_extent_decode(key, value, len, b->region->class, &e);
		if (r == 0 && e.addr)
			b->blocks += e.count;
		if (r == 0 && is_old(b->region, &e)) {
			b->extent[b->n].object = key->object;
			b->extent[b->n].first = e.first;
			b->extent[b->n++].count = e.count;
		}
	}
	if (r == 0 && (b->n == BUNCH || b->items == BUNCH_ITEMS))
		r = 1;
	return r;
}

/* The blocks of the file among first .. last that are old still become dirty pages.  Under the
 * inode's lock and the gate.  A block that does not verify has been reported by who read it. */
static int dirty_old(struct fspf_rotation *t, struct fspf_inode *inode, uint64_t first,
		     uint64_t last, uint64_t *used)
{
	struct fspf_extent e;
	uint8_t *page;
	bool one;
	int r = 0;

	while (first <= last && r == 0) {
		r = fspf_map_next(inode, first, last, &e);
		if (r)
			break;
		first = max_u64(first, e.first);
		for (; first <= last && first < e.first + e.count && r == 0; first++) {
			if (!is_old(inode->region, &e))
				continue;
			r = fspf_file_dirty_page(t->v, inode, first, false, &page, &one);
			*used += r == 0 && one;
			t->renewed += r == 0;
		}
	}
	return r == -ENOENT ? 0 : r;
}

static int renew_promised(struct fspf_rotation *t, struct fspf_inode *inode, uint64_t first,
			  uint32_t count, uint64_t *used)
{
	int r = fspf_begin(inode->region, false);

	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	if (!inode->dead) {
		r = dirty_old(t, inode, first, first + count - 1, used);
		if (inode->pages.count)
			fspf_inode_dirty(t->v, inode);
	}
	pthread_mutex_unlock(&inode->lock);
	fspf_end(t->v);
	return r;
}

static int renew_extent(struct fspf_rotation *t, const struct fspf_region *region, uint64_t object,
			uint64_t first, uint32_t count)
{
	struct fspf_volume *v = t->v;
	struct fspf_inode *inode;
	uint64_t used = 0;
	int r = fspf_inode_get(v, fspf_ino(region, object), &inode);

	if (r)
		return r == -ENOENT ? 0 : r; /* removed meanwhile */
	r = fspf_commit_throttle(v);
	if (r == 0)
		r = fspf_promise(inode->region, count);
	if (r == 0) {
		r = renew_promised(t, inode, first, count, &used);
		fspf_space_unpromise(inode->region->home->space, count - used);
	}
	fspf_inode_put(v, inode, 1);
	if (r == -EBADMSG) {
		t->damaged++;
		r = 0;
	}
	return r;
}

static int renew_bunch(struct fspf_rotation *t, const struct bunch *b)
{
	int r = 0;

	for (uint32_t i = 0; i < b->n && r == 0; i++)
		r = renew_extent(t, b->region, b->extent[i].object, b->extent[i].first,
				 b->extent[i].count);
	if (r == 0 && t->counts) {
		t->done.files_done += b->files;
		t->done.bytes_done += b->blocks * FSPF_BLOCK_SIZE;
	}
	return r ? r : tell(t, b->region);
}

static int walk_extents(struct fspf_rotation *t, struct fspf_region *region)
{
	const struct merkle_key last = fspf_key(UINT64_MAX, UINT8_MAX, UINT64_MAX);
	struct bunch *b = calloc(1, sizeof(*b));
	int more = 1, r = b ? 0 : -ENOMEM;

	if (b)
		b->region = region;
	while (r == 0 && more) {
		b->files = b->blocks = 0;
		b->items = b->n = 0;
		more = merkle_scan(region->tree, &b->next, &last, collect, b);
		r = more < 0 ? more : renew_bunch(t, b);
	}
	free(b);
	return r;
}

/* ---- nodes ---- */

static int mark_leaves(struct fspf_rotation *t, struct fspf_region *region, struct merkle_key *at,
		       bool *ret_done)
{
	uint32_t n = 0;
	int r = fspf_begin(region, false);

	if (r)
		return r;
	r = merkle_renew(region->tree, region->old_sessions, LEAVES, at, &n, ret_done);
	if (n)
		atomic_store(&region->home->changed, atomic_load(&t->v->epoch));
	fspf_end(t->v);
	t->renewed += n;
	return r;
}

/* What is marked is written before there is much of it: nodes wait in memory. */
static int walk_leaves(struct fspf_rotation *t, struct fspf_region *region)
{
	struct merkle_key at = fspf_key(0, 0, 0);
	bool done = false;
	int r = 0;

	while (r == 0 && !done) {
		r = mark_leaves(t, region, &at, &done);
		if (r == 0 && merkle_dirty_nodes(region->tree) > DIRTY_NODES)
			r = fspf_sync(t->v);
		if (r == 0)
			r = tell(t, region);
	}
	return r;
}

/* Dirty pages are written before the leaves are looked at: most of these are new then. */
int fspf_rotate_walk(struct fspf_rotation *t, struct fspf_region *region)
{
	int r = walk_extents(t, region);

	if (r == 0)
		r = fspf_sync(t->v);
	if (r == 0)
		r = walk_leaves(t, region);
	return r ? r : fspf_sync(t->v);
}
