/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a file has data and where it has holes.  Data is what is in memory (dirty pages, the batch
 * being written, inline contents) and what written extents name; everything else reads as zeroes
 * without being stored, unwritten extents too.  Contents in place are data from end to end.
 *
 * Both sources are asked for the next block of theirs, so the cost is that of the extents and the
 * pages passed over, not of the blocks.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fspf/dispatch.h"
#include "fspf/extent_walk.h"
#include "fspf/flush.h"

#define B FSPF_BLOCK_SIZE

static bool in_memory(const struct fspf_inode *inode, uint64_t block)
{
	return fspf_pages_find(&inode->pages, block) || fspf_batch_find(inode, block) ||
	       (inode->a.inlined && block == 0);
}

/* The least block >= @from that memory has, or UINT64_MAX. */
static uint64_t next_in_memory(const struct fspf_inode *inode, uint64_t from)
{
	const struct fspf_batch *batch = inode->batch;
	uint64_t block, least = UINT64_MAX;

	if (inode->a.inlined && from == 0)
		return 0;
	if (fspf_pages_next(&inode->pages, from, &block))
		least = block;
	for (uint32_t i = 0; batch && i < batch->n && batch->block[i] < least; i++)
		if (batch->block[i] >= from && !batch->dropped[i])
			least = batch->block[i];
	return least;
}

static int data_extent(void *ctx, const struct fspf_extent *e)
{
	uint64_t *at = ctx;

	if (!e->addr)
		return 0;
	*at = max_u64(*at, e->first);
	return 1;
}

static int hole_extent(void *ctx, const struct fspf_extent *e)
{
	uint64_t *at = ctx;

	if (!e->addr || e->first > *at)
		return 1;
	*at = e->first + e->count;
	return 0;
}

/* From block *at on, up to @last: the first that has data.  -ENXIO. */
static int seek_data(struct fspf_inode *inode, uint64_t last, uint64_t *at)
{
	uint64_t memory = next_in_memory(inode, *at);
	int r = fspf_map_walk(inode, *at, min_u64(last, memory), data_extent, at);

	if (r < 0)
		return r;
	if (r == 0)
		*at = memory;
	else
		*at = min_u64(*at, memory);
	return *at <= last ? 0 : -ENXIO;
}

/* From block *at on, up to @last: the first that has none, or the one behind @last. */
static int seek_hole(struct fspf_inode *inode, uint64_t last, uint64_t *at)
{
	uint64_t before;
	int r;

	do {
		before = *at;
		while (*at <= last && in_memory(inode, *at))
			(*at)++;
		r = *at <= last ? fspf_map_walk(inode, *at, last, hole_extent, at) : 0;
	} while (r >= 0 && *at > before && *at <= last);
	return r < 0 ? r : 0;
}

static int seek_locked(struct fspf_inode *inode, uint64_t offset, int whence, uint64_t *ret)
{
	uint64_t size = inode->a.size;
	uint64_t at = offset / B;
	int r;

	if (offset >= size)
		return -ENXIO;
	if (inode->a.in_place) {
		*ret = whence == SEEK_DATA ? offset : size;
		return 0;
	}
	if (whence == SEEK_DATA)
		r = seek_data(inode, (size - 1) / B, &at);
	else
		r = seek_hole(inode, (size - 1) / B, &at);
	if (r == 0)
		*ret = min_u64(size, max_u64(offset, at * B));
	return r;
}

int fspf_tree_seek(struct fspf_volume *v, uint64_t ino, uint64_t offset, int whence,
		   uint64_t *ret_offset)
{
	struct fspf_inode *inode;
	int r = whence == SEEK_DATA || whence == SEEK_HOLE ? 0 : -EINVAL;

	if (r == 0)
		r = fspf_inode_get(v, ino, &inode);
	if (r)
		return r;
	if (inode->type != S_IFREG) {
		r = -EINVAL;
	} else {
		pthread_mutex_lock(&inode->lock);
		r = seek_locked(inode, offset, whence, ret_offset);
		pthread_mutex_unlock(&inode->lock);
	}
	fspf_inode_put(v, inode, 1);
	return r;
}
