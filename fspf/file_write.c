/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A write first finds or makes the dirty page of every block it touches, which is all that can
 * fail, and then copies.  Blocks are promised before anything is locked, one for each block touched
 * and one for block 0 of a file that stops being inline; what was not needed is given back.
 *
 *   D1  bytes beyond the size are zero wherever they are kept
 *   D2  a file with an inline item that has dirty data has the page of its block 0 dirty or in the
 * batch
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/dispatch.h"
#include "fspf/commit.h"
#include "fspf/copyup.h"
#include "fspf/extent_walk.h"
#include "fspf/file.h"
#include "fspf/flush.h"
#include "fspf/xattr.h"

#define B FSPF_BLOCK_SIZE

int fspf_file_dirty_page(struct fspf_volume *v, struct fspf_inode *inode, uint64_t block,
			 bool whole, uint8_t **ret_page, bool *ret_used)
{
	uint8_t before[FSPF_BLOCK_SIZE];
	uint8_t *page = fspf_pages_find(&inode->pages, block);
	bool taken = false;
	int r;

	*ret_used = false;
	if (page) {
		*ret_page = page;
		return 0;
	}
	if (!whole) {
		r = fspf_file_read_block(v, inode, block, before);
		if (r)
			return r;
	}
	r = fspf_pages_add(&inode->pages, v->pages, block, &page);
	if (r)
		return r;
	r = fspf_map_take_unwritten(v, inode, block, &taken);
	if (r) {
		fspf_pages_drop(&inode->pages, v->pages, block, block);
		return r;
	}
	if (!whole)
		memcpy(page, before, sizeof(before));
	*ret_page = page;
	*ret_used = !taken;
	return 0;
}

void fspf_file_kill_priv(struct fspf_inode *inode)
{
	inode->a.mode &= ~(uint32_t)S_ISUID;
	if (inode->a.mode & S_IXGRP)
		inode->a.mode &= ~(uint32_t)S_ISGID;
}

/* One write, under the lock. */
struct change {
	uint64_t offset;
	size_t size;
	uint64_t first;
	uint32_t count;
	uint8_t **page; /* count of them */
	bool *fresh;	/* made by this write */
	uint64_t used;	/* promises used up */
};

/* Where the write meets block @i: [*from, *to) within it. */
static void overlap(const struct change *c, uint32_t i, size_t *from, size_t *to)
{
	uint64_t start = (c->first + i) * B;

	*from = c->offset > start ? (size_t)(c->offset - start) : 0;
	*to = (size_t)min_u64(B, c->offset + c->size - start);
}

/* The page of block @i of the change.  What lies beyond the end of the file need not be read: it is
 * zero (D1). */
static int get_page(struct fspf_volume *v, struct fspf_inode *inode, struct change *c, uint32_t i)
{
	bool beyond = (c->first + i) * B >= inode->a.size;
	bool had = fspf_pages_find(&inode->pages, c->first + i) != NULL;
	size_t from, to;
	bool whole, used;
	int r;

	overlap(c, i, &from, &to);
	whole = from == 0 && to == B;
	r = fspf_file_dirty_page(v, inode, c->first + i, whole || beyond, &c->page[i], &used);
	if (r)
		return r;
	c->used += used;
	c->fresh[i] = !had;
	if (!had && !whole && beyond)
		memset(c->page[i], 0, B);
	return 0;
}

/* A promise that a fresh page took over from unwritten space stays with the file as an ordinary
 * one: *used counts it back. */
static void give_up(struct fspf_volume *v, struct fspf_inode *inode, struct change *c, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (c->fresh[i] &&
		    fspf_pages_drop(&inode->pages, v->pages, c->first + i, c->first + i))
			fspf_space_unpromise(inode->region->home->space, 1);
}

static int get_pages(struct fspf_volume *v, struct fspf_inode *inode, struct change *c)
{
	uint8_t *page;
	bool used;
	uint32_t i = 0;
	int r = 0;

	if (inode->a.inlined && c->first + c->count > 1) { /* D2 */
		r = fspf_file_dirty_page(v, inode, 0, false, &page, &used);
		if (r)
			return r;
		c->used += used;
	}
	for (; i < c->count && r == 0; i++)
		r = get_page(v, inode, c, i);
	if (r)
		give_up(v, inode, c, i - 1);
	return r;
}

static void copy_in(struct change *c, const uint8_t *data)
{
	for (uint32_t i = 0; i < c->count; i++) {
		size_t from, to;

		overlap(c, i, &from, &to);
		memcpy(c->page[i] + from, data, to - from);
		data += to - from;
	}
}

static int write_locked(struct fspf_volume *v, struct fspf_inode *inode, struct change *c,
			const void *data, unsigned flags)
{
	int r = get_pages(v, inode, c);

	if (r) {
		if (inode->pages.count) /* block 0 may have become dirty, with what it was */
			fspf_inode_dirty(v, inode);
		return r;
	}
	copy_in(c, data);
	inode->a.size = max_u64(inode->a.size, c->offset + c->size);
	if (!(flags & FSPF_WRITE_KEEP_TIMES))
		fspf_inode_touch(inode, FSPF_TOUCH_MTIME | FSPF_TOUCH_CTIME);
	if (flags & FSPF_WRITE_KILL_PRIV) {
		fspf_file_kill_priv(inode);
		r = fspf_xattr_drop_capability(v, inode);
	}
	fspf_inode_dirty(v, inode);
	return r;
}

static int change_new(uint64_t offset, size_t size, struct change *ret)
{
	ret->offset = offset;
	ret->size = size;
	ret->first = offset / B;
	ret->count = (uint32_t)((offset + size - 1) / B - ret->first + 1);
	ret->used = 0;
	ret->page = calloc(ret->count, sizeof(*ret->page));
	ret->fresh = calloc(ret->count, sizeof(*ret->fresh));
	return ret->page && ret->fresh ? 0 : -ENOMEM;
}

static int promised_extent(void *ctx, const struct fspf_extent *e)
{
	struct change *c = ctx;
	uint64_t from = max_u64(e->first, c->first);
	uint64_t to = min_u64(e->first + e->count, c->first + c->count);

	for (uint64_t b = from; b < to && !e->addr; b++)
		c->fresh[b - c->first] = false;
	return 0;
}

/* The promises that a write needs at most: none for blocks that have a page, or are unwritten and
 * so hold one.  Under the lock. */
static int count_needed(struct fspf_inode *inode, struct change *c, uint64_t *ret)
{
	uint64_t n = inode->a.inlined && c->first + c->count > 1;
	int r;

	for (uint32_t i = 0; i < c->count; i++)
		c->fresh[i] = !fspf_pages_find(&inode->pages, c->first + i);
	r = fspf_map_walk(inode, c->first, c->first + c->count - 1, promised_extent, c);
	for (uint32_t i = 0; i < c->count; i++) {
		n += c->fresh[i];
		c->fresh[i] = false;
	}
	if (r == 0)
		*ret = n;
	return r;
}

/* One try with what is promised; -EAGAIN when that has turned out too little.  Where nothing needs
 * to be promised (fallocate did it) a full volume is no obstacle. */
static int try_write(struct fspf_volume *v, struct fspf_inode *inode, struct change *c,
		     uint64_t promised, const void *data, unsigned flags)
{
	uint64_t need = 0;
	int r = fspf_begin(inode->region, promised == 0);

	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	if (promised <= c->count)
		r = count_needed(inode, c, &need);
	if (r == 0)
		r = need > promised ? -EAGAIN : write_locked(v, inode, c, data, flags);
	pthread_mutex_unlock(&inode->lock);
	fspf_end(v);
	return r;
}

/* Enough for any case; or, for a file with unwritten space, what the write needs as things are. */
static int promise_some(struct fspf_inode *inode, struct change *c, uint64_t *ret)
{
	uint64_t need = c->count + UINT64_C(1);
	int r = 0;

	pthread_mutex_lock(&inode->lock);
	if (inode->a.unwritten)
		r = count_needed(inode, c, &need);
	pthread_mutex_unlock(&inode->lock);
	if (r == 0 && need)
		r = fspf_promise(inode->region, need);
	if (r == 0)
		*ret = need;
	return r;
}

static int write_some(struct fspf_volume *v, struct fspf_inode *inode, uint64_t offset,
		      const void *data, size_t size, unsigned flags)
{
	struct change c = {0};
	uint64_t promised;
	int r = change_new(offset, size, &c);

	if (r == 0)
		r = fspf_commit_throttle(v);
	if (r == 0)
		r = -EAGAIN;
	while (r == -EAGAIN) {
		promised = 0;
		r = promise_some(inode, &c, &promised);
		if (r == 0)
			r = try_write(v, inode, &c, promised, data, flags);
		if (promised > c.used)
			fspf_space_unpromise(inode->region->home->space, promised - c.used);
	}
	free(c.page);
	free(c.fresh);
	return r;
}

ssize_t fspf_tree_write(struct fspf_volume *v, uint64_t ino, uint64_t offset, const void *data,
			size_t size, unsigned flags)
{
	struct fspf_inode *inode;
	int r = fspf_inode_get(v, ino, &inode);

	if (r)
		return r;
	if (inode->type != S_IFREG)
		r = inode->type == S_IFDIR ? -EISDIR : -EINVAL;
	else if (v->read_only || fspf_region_writable(inode->region))
		r = -EROFS;
	else if (offset > FSPF_FILE_SIZE_MAX || size > FSPF_FILE_SIZE_MAX - offset)
		r = -EFBIG;
	else if (size > INT64_MAX || size / B >= UINT32_MAX)
		r = -EINVAL;
	else if (size)
		r = fspf_copy_up(v, inode);
	if (r == 0 && size)
		r = write_some(v, inode, offset, data, size, flags);
	fspf_inode_put(v, inode, 1);
	return r ? r : (ssize_t)size;
}

/* ---- size ---- */

static bool has_block(struct fspf_inode *inode, uint64_t block, int *error)
{
	struct fspf_block at;

	if (fspf_pages_find(&inode->pages, block) || fspf_batch_find(inode, block) ||
	    (inode->a.inlined && block == 0))
		return true;
	*error = fspf_map_read(inode, block, 1, &at);
	return *error == 0 && at.addr;
}

/* Zero a part of one block, if it has anything; D1 when it is the tail of the last one. */
int fspf_file_zero_part(struct fspf_volume *v, struct fspf_inode *inode, uint64_t block,
			size_t from, size_t to, uint64_t *used)
{
	uint8_t *page;
	bool one;
	int r = 0;

	if (from == to || !has_block(inode, block, &r))
		return r;
	r = fspf_file_dirty_page(v, inode, block, false, &page, &one);
	if (r)
		return r;
	*used += one;
	memset(page + from, 0, to - from);
	return 0;
}

int fspf_file_drop_inline(struct fspf_inode *inode)
{
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_INLINE, 0);
	int r = inode->a.inlined ? merkle_delete(inode->region->tree, &key) : 0;

	if (r == 0)
		inode->a.inlined = false;
	return r;
}

int fspf_file_drop_blocks(struct fspf_volume *v, struct fspf_inode *inode, uint64_t first,
			  uint64_t last)
{
	int r = fspf_map_punch(v, inode, first, last);

	if (r == 0 && first == 0)
		r = fspf_file_drop_inline(inode);
	if (r)
		return r;
	fspf_space_unpromise(inode->region->home->space,
			     fspf_pages_drop(&inode->pages, v->pages, first, last));
	fspf_batch_drop(inode, first, last);
	return 0;
}

int fspf_file_truncate(struct fspf_volume *v, struct fspf_inode *inode, uint64_t size,
		       uint64_t *used)
{
	uint64_t block = size / B;
	uint8_t *page;
	bool one = false;
	int r = 0;

	if (size < inode->a.size)
		r = fspf_file_zero_part(v, inode, block, size % B, size % B ? B : 0, used);
	if (size <= inode->a.size) { /* an equal size drops what was allocated behind the end */
		if (r == 0)
			r = fspf_file_drop_blocks(v, inode, block + (size % B != 0),
						  FSPF_FILE_SIZE_MAX / B);
	} else if (inode->a.inlined && size > FSPF_INLINE_MAX) {
		r = fspf_file_dirty_page(v, inode, 0, false, &page, &one);
		*used += one;
	}
	if (r) {
		if (inode->pages.count)
			fspf_inode_dirty(v, inode);
		return r;
	}
	if (size != inode->a.size)
		fspf_inode_touch(inode, FSPF_TOUCH_MTIME | FSPF_TOUCH_CTIME);
	inode->a.size = size;
	fspf_inode_dirty(v, inode);
	return 0;
}
