/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying up.  Pages and extents are made beside the flag, which hides them, a piece at a time, as
 * a writer would make them; commits may come between.  When all are there, the flag and the items
 * go in one change.  So whatever is committed has the file in place, or has all of the copy.
 *
 *   L3  while an inode has the flag, its extents and dirty pages mean nothing to a reader
 *   L4  the flag goes in the same change as the items, and only when all of the contents are there
 *
 * What a copying leaves that failed, or that a crash ended, is dropped, at the latest before the
 * next one.  One thread at a time copies a file up: the mutex for that is taken before the gate,
 * and held across I/O; readers do not take it.
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/commit.h"
#include "fspf/copyup.h"
#include "fspf/file.h"
#include "fspf/inplace.h"

#define B FSPF_BLOCK_SIZE

/* A file being copied. */
struct copy {
	struct fspf_volume *v;
	struct fspf_inode *inode;
	uint64_t size;
	uint64_t first; /* block of the piece at hand */
	uint32_t count;
	uint8_t *data; /* FSPF_INPLACE_BLOCKS */
	uint64_t used; /* promises */
};

static pthread_mutex_t *copying(struct fspf_volume *v, const struct fspf_inode *inode)
{
	return &v->inplace->copying[inode->ino % FSPF_INPLACE_COPYING];
}

static bool is_in_place(struct fspf_inode *inode, uint64_t *ret_size)
{
	bool in_place;

	pthread_mutex_lock(&inode->lock);
	in_place = inode->a.in_place;
	*ret_size = inode->a.size;
	pthread_mutex_unlock(&inode->lock);
	return in_place;
}

/* Under the inode's lock and the gate.  An item that is missing is one less to be deleted.  On
 * failure (a damaged node) the file is in place as before, and lacks some of its hashes: what they
 * are of does not verify any more, and nothing else is concerned. */
static int delete_items(struct fspf_inode *inode)
{
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_VERITY, 0);
	int r = 0;

	for (; key.offset * B < inode->a.size && r == 0; key.offset += FSPF_VERITY_LEAVES) {
		r = merkle_delete(inode->region->tree, &key);
		if (r == -ENOENT)
			r = 0;
	}
	key = fspf_key(inode->object, FSPF_ITEM_IN_PLACE, 0);
	if (r == 0)
		r = merkle_delete(inode->region->tree, &key);
	return r == -ENOENT ? 0 : r;
}

/* What has been copied so far, or earlier.  @whole: items, flag and size as well. */
static int drop(struct fspf_volume *v, struct fspf_inode *inode, bool whole)
{
	int r = fspf_begin(inode->region, true);

	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	r = fspf_file_drop_blocks(v, inode, 0, FSPF_FILE_SIZE_MAX / B);
	if (r == 0 && whole)
		r = delete_items(inode);
	if (r == 0 && whole) {
		inode->a.in_place = false;
		inode->a.size = 0;
		fspf_inode_touch(inode, FSPF_TOUCH_MTIME | FSPF_TOUCH_CTIME);
	}
	fspf_inode_dirty(v, inode);
	pthread_mutex_unlock(&inode->lock);
	fspf_end(v);
	return r;
}

static bool is_zero(const uint8_t *block)
{
	return block[0] == 0 && !memcmp(block, block + 1, B - 1);
}

/* Under the lock: each block a page, but those that a hole can stand for. */
static int put_pages(struct copy *c)
{
	int r = 0;

	for (uint32_t i = 0; i < c->count && r == 0; i++) {
		const uint8_t *block = c->data + (size_t)i * B;
		uint8_t *page;
		bool used;

		if (is_zero(block))
			continue;
		r = fspf_file_dirty_page(c->v, c->inode, c->first + i, true, &page, &used);
		if (r)
			break;
		memcpy(page, block, B);
		c->used += used;
	}
	fspf_inode_dirty(c->v, c->inode);
	return r;
}

static int put_piece(struct copy *c)
{
	int r = fspf_commit_throttle(c->v);

	if (r == 0)
		r = fspf_promise(c->inode->region, c->count);
	if (r)
		return r;
	c->used = 0;
	r = fspf_begin(c->inode->region, false);
	if (r == 0) {
		pthread_mutex_lock(&c->inode->lock);
		r = put_pages(c);
		pthread_mutex_unlock(&c->inode->lock);
		fspf_end(c->v);
	}
	fspf_space_unpromise(c->inode->region->home->space, c->count - c->used);
	return r;
}

static int copy_all(struct copy *c)
{
	uint64_t blocks = (c->size + B - 1) / B;
	int r = 0;

	for (c->first = 0; c->first < blocks && r == 0; c->first += c->count) {
		c->count = (uint32_t)min_u64(FSPF_INPLACE_BLOCKS, blocks - c->first);
		r = fspf_inplace_read(c->v, c->inode, c->first, c->count, c->data);
		if (r == 0)
			r = put_piece(c);
	}
	return r;
}

/* All is there: L4. */
static int finish(struct copy *c)
{
	int r = fspf_begin(c->inode->region, true);

	if (r)
		return r;
	pthread_mutex_lock(&c->inode->lock);
	r = delete_items(c->inode);
	if (r == 0) {
		c->inode->a.in_place = false;
		fspf_inode_dirty(c->v, c->inode);
	}
	pthread_mutex_unlock(&c->inode->lock);
	fspf_end(c->v);
	return r;
}

static int copy_up(struct copy *c)
{
	int r = drop(c->v, c->inode, false);

	c->data = malloc((size_t)FSPF_INPLACE_BLOCKS * B);
	if (r == 0)
		r = c->data ? copy_all(c) : -ENOMEM;
	if (r == 0)
		r = finish(c);
	if (r)
		(void)!drop(c->v, c->inode, false); /* else before the next copying */
	if (c->data)
		crypto_wipe(c->data, (size_t)FSPF_INPLACE_BLOCKS * B);
	free(c->data);
	return r;
}

int fspf_copy_up(struct fspf_volume *v, struct fspf_inode *inode)
{
	struct copy c = {.v = v, .inode = inode};
	int r = 0;

	if (!is_in_place(inode, &c.size))
		return 0;
	pthread_mutex_lock(copying(v, inode));
	if (is_in_place(inode, &c.size))
		r = copy_up(&c);
	pthread_mutex_unlock(copying(v, inode));
	fspf_hostfile_forget(v->inplace->files, inode->ino);
	return r;
}

int fspf_copy_up_nothing(struct fspf_volume *v, struct fspf_inode *inode)
{
	uint64_t size;
	int r = 0;

	if (!is_in_place(inode, &size))
		return 0;
	pthread_mutex_lock(copying(v, inode));
	if (is_in_place(inode, &size))
		r = drop(v, inode, true);
	pthread_mutex_unlock(copying(v, inode));
	fspf_hostfile_forget(v->inplace->files, inode->ino);
	return r;
}
