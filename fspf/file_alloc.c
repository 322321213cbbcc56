/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocating, punching, zeroing.
 *
 * All of it goes run by run along the block map, never block by block.  Blocks are promised before
 * anything is locked: what may be needed is counted first, promised, and counted again under the
 * lock; what was not used is given back.
 *
 *   allocate  each hole gets an unwritten extent, whose blocks each hold a promise.  A few holes at
 *             a time, because each may change another leaf of the map: between two goes the file is
 *             whole and so is the account, there are only fewer holes.
 *   punch     whole blocks are dropped; where the range begins or ends inside a block, that block's
 *             page is made dirty and zeroed.
 *   zero      as punch, but whole blocks become unwritten ones, in one go: either all of it reads
 * as zeroes or nothing.  What is unwritten already keeps its promise.
 *
 * A page or a block being written may lie over an unwritten extent; its promise is its own, and the
 * extent's is given back when the block enters the map.
 *
 * Punch and zero make the dirty pages of the edges first, which may fail and cannot be seen, and
 * change anything that can be seen only then.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include "fspf/dispatch.h"
#include "fspf/commit.h"
#include "fspf/copyup.h"
#include "fspf/extent_walk.h"
#include "fspf/file.h"
#include "fspf/flush.h"

#define B FSPF_BLOCK_SIZE
#define GO_RUNS 16u /* holes filled in one go: each changes a leaf and its path; see volume.c */

/* ---- the map, run by run ---- */

struct run {
	uint64_t first, count; /* blocks */
};

/* The runs of a range that have no extent; or, to be zeroed, those that are not unwritten. */
struct gaps {
	bool zero;
	uint64_t at; /* what lies before is known */
	uint64_t blocks;
	uint32_t n, max; /* max 0: count only */
	struct run run[GO_RUNS];
};

static int add_gap(struct gaps *g, uint64_t end)
{
	if (end <= g->at)
		return 0;
	if (g->max)
		g->run[g->n++] = (struct run){g->at, end - g->at};
	g->blocks += end - g->at;
	return g->max && g->n == g->max;
}

static int gap_extent(void *ctx, const struct fspf_extent *e)
{
	struct gaps *g = ctx;
	int full;

	if (g->zero && e->addr)
		return 0;
	full = add_gap(g, e->first);
	g->at = max_u64(g->at, e->first + e->count);
	return full;
}

/* The gaps of blocks first..last in order, as many as there is room for. */
static int find_gaps(struct fspf_inode *inode, uint64_t first, uint64_t last, struct gaps *g)
{
	int r;

	g->at = first;
	r = fspf_map_walk(inode, first, last, gap_extent, g);
	if (r == 0)
		add_gap(g, last + 1);
	return r < 0 ? r : 0;
}

static int count_gaps(struct fspf_inode *inode, uint64_t first, uint64_t last, bool zero,
		      uint64_t *blocks)
{
	struct gaps g = {.zero = zero};
	int r = find_gaps(inode, first, last, &g);

	if (r == 0)
		*blocks += g.blocks;
	return r;
}

/* ---- what the three have in common ---- */

enum { DONE = 0, MORE = 1, SHORT = 2 }; /* SHORT: more promises are needed */

struct op {
	struct fspf_volume *v;
	struct fspf_inode *inode;
	uint64_t offset, end; /* bytes */
	uint64_t first, last; /* blocks that the range touches */
	bool keep_size, frees;
	uint64_t at; /* allocate: blocks before it are done */
	uint64_t promised, used;
	int (*need)(struct op *o, uint64_t *ret); /* promises, as things are; under the lock */
	int (*change)(struct op *o);		  /* under the lock and the gate */
};

static uint64_t spare(const struct op *o)
{
	return o->promised - o->used;
}

static int top_up(struct op *o)
{
	uint64_t need, more;
	int r;

	pthread_mutex_lock(&o->inode->lock);
	r = o->need(o, &need);
	pthread_mutex_unlock(&o->inode->lock);
	if (r || need <= spare(o))
		return r;
	more = need - spare(o);
	r = fspf_promise(o->inode->region, more);
	if (r == 0)
		o->promised += more;
	return r;
}

static int go(struct op *o)
{
	int r = fspf_begin(o->inode->region, o->frees);

	if (r)
		return r;
	pthread_mutex_lock(&o->inode->lock);
	r = o->change(o);
	if (r == DONE)
		fspf_inode_touch(o->inode, FSPF_TOUCH_MTIME | FSPF_TOUCH_CTIME);
	fspf_inode_dirty(o->v, o->inode); /* a failure may leave an edge's page, or fewer holes */
	pthread_mutex_unlock(&o->inode->lock);
	fspf_end(o->v);
	return r;
}

static int run_op(struct op *o)
{
	int r = fspf_commit_throttle(o->v);

	if (r == 0)
		r = SHORT;
	while (r == SHORT || r == MORE) {
		r = r == SHORT ? top_up(o) : 0;
		if (r == 0)
			r = go(o);
	}
	if (spare(o))
		fspf_space_unpromise(o->inode->region->home->space, spare(o));
	return r;
}

/* D2: what the inline item has goes to the page of block 0, before anything lies beside it. */
static int spill_inline(struct op *o)
{
	uint8_t *page;
	bool used;
	int r;

	if (!o->inode->a.inlined || fspf_pages_find(&o->inode->pages, 0))
		return DONE;
	if (spare(o) == 0)
		return SHORT;
	r = fspf_file_dirty_page(o->v, o->inode, 0, false, &page, &used);
	if (r == 0)
		o->used += used;
	return r;
}

/* Growing needs no more than the page of block 0, which spill_inline() made. */
static int grow(struct op *o)
{
	if (o->keep_size || o->end <= o->inode->a.size)
		return 0;
	return fspf_file_truncate(o->v, o->inode, o->end, &o->used);
}

/* ---- allocate ---- */

/* Gaps to be filled with unwritten extents. */
struct fill {
	uint64_t at, last;
	bool zero;
	bool changed;
};

static int fill_run(struct op *o, struct fill *f, const struct run *run)
{
	uint64_t end = run->first + run->count;
	int r = 0;

	for (f->at = run->first; f->at < end && r == 0;) {
		struct fspf_extent e = {.first = f->at};

		e.count = (uint32_t)min_u64(end - f->at, FSPF_UNWRITTEN_BLOCKS_MAX);
		if (spare(o) < e.count)
			return SHORT;
		r = fspf_map_put(o->v, o->inode, &e);
		if (r)
			break;
		o->used += e.count;
		f->at += e.count;
		f->changed = true;
	}
	return r;
}

static int fill_some(struct op *o, struct fill *f)
{
	struct gaps g = {.zero = f->zero, .max = GO_RUNS};
	int r = f->at <= f->last ? find_gaps(o->inode, f->at, f->last, &g) : 0;

	for (uint32_t i = 0; i < g.n && r == 0; i++)
		r = fill_run(o, f, &g.run[i]);
	if (r)
		return r;
	if (g.n == GO_RUNS)
		return MORE;
	f->at = f->last + 1;
	return DONE;
}

static int allocate_need(struct op *o, uint64_t *ret)
{
	*ret = o->inode->a.inlined;
	return o->at <= o->last ? count_gaps(o->inode, o->at, o->last, false, ret) : 0;
}

static int allocate_change(struct op *o)
{
	struct fill f = {.at = o->at, .last = o->last};
	int r = spill_inline(o);

	if (r)
		return r;
	r = fill_some(o, &f);
	o->at = f.at;
	return r ? r : grow(o);
}

/* ---- punch and zero ---- */

/* A part of a block; its page, if there is anything to zero. */
struct edge {
	uint64_t block;
	size_t from, to;
	uint8_t *page;
};

/* A range of bytes as whole blocks first..end-1 and up to two parts of blocks. */
struct cut {
	uint64_t first, end;
	struct edge edge[2];
	uint32_t n;
};

static void add_edge(struct cut *c, uint64_t block, size_t from, uint64_t to)
{
	c->edge[c->n++] = (struct edge){.block = block, .from = from, .to = (size_t)to};
}

/* What lies beyond the size is zero (D1): an edge there needs no zeroing, and the last block can go
 * whole.  Inline contents are zeroed in the page of block 0, as an edge is. */
static void make_cut(const struct op *o, struct cut *c)
{
	uint64_t size = o->inode->a.size;
	uint64_t stop = o->end < size ? o->end : (o->last + 1) * B;

	*c = (struct cut){.first = (o->offset + B - 1) / B, .end = stop / B};
	if (o->offset % B && o->offset < size)
		add_edge(c, o->first, o->offset % B, min_u64(B, stop - o->first * B));
	if (stop % B && c->end >= c->first)
		add_edge(c, c->end, 0, stop % B);
	if (o->inode->a.inlined && c->first == 0 && c->end > 0) {
		add_edge(c, 0, 0, B);
		c->first = 1;
	}
}

static bool in_memory(const struct fspf_inode *inode, uint64_t block)
{
	return fspf_pages_find(&inode->pages, block) || fspf_batch_find(inode, block) ||
	       (inode->a.inlined && block == 0);
}

static int edge_page(struct op *o, struct edge *e)
{
	struct fspf_block at = {.addr = 0};
	bool memory = in_memory(o->inode, e->block);
	bool used;
	int r = memory ? 0 : fspf_map_read(o->inode, e->block, 1, &at);

	if (r || (!memory && !at.addr))
		return r;
	r = fspf_file_dirty_page(o->v, o->inode, e->block, false, &e->page, &used);
	if (r == 0)
		o->used += used;
	return r;
}

static int edge_pages(struct op *o, struct cut *c)
{
	int r = 0;

	for (uint32_t i = 0; i < c->n && r == 0; i++)
		r = edge_page(o, &c->edge[i]);
	return r;
}

static void zero_edges(const struct cut *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->edge[i].page)
			memset(c->edge[i].page + c->edge[i].from, 0,
			       c->edge[i].to - c->edge[i].from);
}

static int punch_need(struct op *o, uint64_t *ret)
{
	struct cut c;

	make_cut(o, &c);
	*ret = c.n;
	return 0;
}

static int punch_change(struct op *o)
{
	struct cut c;
	int r;

	make_cut(o, &c);
	if (spare(o) < c.n)
		return SHORT;
	r = edge_pages(o, &c);
	if (r == 0 && c.first < c.end)
		r = fspf_file_drop_blocks(o->v, o->inode, c.first, c.end - 1);
	if (r == 0)
		zero_edges(&c);
	return r;
}

/* The page of each edge and of inline contents; the holes at the edges; whole blocks. */
static int zero_need(struct op *o, uint64_t *ret)
{
	struct cut c;
	int r = 0;

	make_cut(o, &c);
	*ret = c.n + (uint64_t)o->inode->a.inlined;
	if (c.first >= c.end)
		return count_gaps(o->inode, o->first, o->last, false, ret);
	if (o->first < c.first)
		r = count_gaps(o->inode, o->first, c.first - 1, false, ret);
	if (r == 0)
		r = count_gaps(o->inode, c.first, c.end - 1, true, ret);
	if (r == 0 && c.end <= o->last)
		r = count_gaps(o->inode, c.end, o->last, false, ret);
	return r;
}

/* The holes among the range's edges: nothing that can be seen. */
static int fill_edges(struct op *o, const struct cut *c)
{
	bool whole = c->first < c->end;
	struct fill head = {.at = o->first, .last = whole ? c->first - 1 : o->last};
	struct fill tail = {.at = c->end, .last = o->last};
	int r = whole && c->first == o->first ? 0 : fill_some(o, &head);

	return r || !whole ? r : fill_some(o, &tail);
}

/* Whole blocks become unwritten, and what memory has of them goes. */
static int zero_whole(struct op *o, uint64_t first, uint64_t last)
{
	struct fspf_volume *v = o->v;
	struct fill f = {.at = first, .last = last, .zero = true};
	int r;

	do
		r = fill_some(o, &f);
	while (r == MORE);
	if (r && f.changed)
		fspf_volume_fail(v, r, "a part of a file could not be zeroed");
	if (r)
		return r;
	fspf_space_unpromise(o->inode->region->home->space,
			     fspf_pages_drop(&o->inode->pages, v->pages, first, last));
	fspf_batch_drop(o->inode, first, last);
	return 0;
}

static int zero_change(struct op *o)
{
	struct cut c;
	uint64_t need;
	int r = zero_need(o, &need);

	if (r == 0 && spare(o) < need)
		r = SHORT;
	if (r)
		return r;
	make_cut(o, &c);
	r = spill_inline(o);
	if (r == 0)
		r = edge_pages(o, &c);
	if (r == 0)
		r = fill_edges(o, &c);
	if (r == 0 && c.first < c.end)
		r = zero_whole(o, c.first, c.end - 1);
	if (r)
		return r;
	zero_edges(&c);
	return grow(o);
}

/* ---- fallocate ---- */

static int set_mode(struct op *o, int mode)
{
	o->keep_size = mode & FALLOC_FL_KEEP_SIZE;
	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		o->need = allocate_need;
		o->change = allocate_change;
		return 0;
	case FALLOC_FL_PUNCH_HOLE:
		o->need = punch_need;
		o->change = punch_change;
		o->frees = true;
		return o->keep_size ? 0 : -EOPNOTSUPP;
	case FALLOC_FL_ZERO_RANGE:
		o->need = zero_need;
		o->change = zero_change;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* Punching reaches as far as a file can, whatever the caller's idea of it. */
static int set_range(struct op *o, uint64_t offset, uint64_t size)
{
	uint64_t max = o->frees ? INT64_MAX : FSPF_FILE_SIZE_MAX;

	if (offset >= FSPF_FILE_SIZE_MAX || size > max - offset)
		return -EFBIG;
	o->offset = offset;
	o->end = min_u64(offset + size, FSPF_FILE_SIZE_MAX);
	o->first = offset / B;
	o->last = (o->end - 1) / B;
	o->at = o->first;
	return 0;
}

int fspf_tree_fallocate(struct fspf_volume *v, uint64_t ino, int mode, uint64_t offset,
			uint64_t size)
{
	struct op o = {.v = v};
	int r = size ? set_mode(&o, mode) : -EINVAL;

	if (r == 0)
		r = fspf_inode_get(v, ino, &o.inode);
	if (r)
		return r;
	if (o.inode->type != S_IFREG)
		r = o.inode->type == S_IFDIR ? -EISDIR : -ENODEV;
	else if (v->read_only || fspf_region_writable(o.inode->region))
		r = -EROFS;
	else
		r = set_range(&o, offset, size);
	if (r == 0)
		r = fspf_copy_up(v, o.inode);
	if (r == 0)
		r = run_op(&o);
	fspf_inode_put(v, o.inode, 1);
	return r;
}
