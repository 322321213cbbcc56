/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A read has two halves.  Under the inode's lock: copy what is in memory, and note for every other
 * block where it lies and under which seal.  Without any lock: read and open those blocks, in runs
 * that lie together, straight into the caller's buffer.
 *
 * Between the halves a block may be freed, committed away and written anew; what is read then does
 * not verify.  So a failed verification is only believed when the map, looked up again, still says
 * the same and the block, read again under the lock, still fails. Nothing that did not verify is
 * ever given to anybody.
 *
 * Contents in place come from a file of the host instead: fspf/inplace.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/dispatch.h"
#include "fspf/extent.h"
#include "fspf/file.h"
#include "fspf/flush.h"
#include "fspf/inplace.h"

#define READ_BLOCKS FSPF_INPLACE_BLOCKS /* at a time: 1 MiB */
#define READ_RETRIES 16

/* One piece of a read: whole blocks. */
struct piece {
	uint64_t first;
	uint32_t count;
	uint8_t *data;			    /* count blocks */
	struct fspf_block map[READ_BLOCKS]; /* addr 0: data is already right */
};

int fspf_file_read_inline(struct fspf_inode *inode, void *data, size_t size, size_t *ret_len)
{
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_INLINE, 0);
	int r = merkle_get(inode->region->tree, &key, data, size, ret_len);

	return r == -ENOENT ? -EBADMSG : r;
}

/* The inline item into a block, the rest of it zero. */
static int inline_block(struct fspf_inode *inode, uint8_t page[static FSPF_BLOCK_SIZE])
{
	size_t len;
	int r = fspf_file_read_inline(inode, page, FSPF_BLOCK_SIZE, &len);

	if (r == 0 && len > inode->a.size)
		r = -EBADMSG; /* D1 */
	if (r == 0)
		memset(page + len, 0, FSPF_BLOCK_SIZE - len);
	return r;
}

/* Under the lock: fill in what is in memory, and the map for the rest. */
static int prepare(struct fspf_inode *inode, struct piece *p)
{
	uint32_t in_memory = 0;
	int r = fspf_map_read(inode, p->first, p->count, p->map);

	for (uint32_t i = 0; i < p->count && r == 0; i++) {
		uint8_t *out = p->data + (size_t)i * FSPF_BLOCK_SIZE;
		const uint8_t *page = fspf_pages_find(&inode->pages, p->first + i);

		if (!page)
			page = fspf_batch_find(inode, p->first + i);
		if (page) {
			memcpy(out, page, FSPF_BLOCK_SIZE);
			p->map[i].addr = 0;
			in_memory++;
		} else if (inode->a.inlined && p->first + i == 0) {
			r = inline_block(inode, out);
			p->map[i].addr = 0;
		} else if (!p->map[i].addr) {
			memset(out, 0, FSPF_BLOCK_SIZE);
		}
	}
	return r;
}

static int open_block(struct fspf_volume *v, const struct fspf_inode *inode, uint64_t block,
		      uint8_t *data, const struct crypto_seal *seal)
{
	uint8_t aad[FSPF_DATA_AAD_SIZE];

	fspf_data_aad(inode->region->identity, inode->object, block, aad);
	atomic_fetch_add_explicit(&v->opened, 1, memory_order_relaxed);
	return crypto_sealer_open(inode->region->sealer, aad, sizeof(aad), data, data,
				  FSPF_BLOCK_SIZE, seal);
}

/* How many blocks from @i on lie one behind the other, in one segment. */
static uint32_t run_length(const struct fspf_volume *v, const struct piece *p, uint32_t i)
{
	uint64_t addr = p->map[i].addr;
	uint64_t in_segment = v->header.segment_blocks - addr % v->header.segment_blocks;
	uint32_t n = 1;

	while (i + n < p->count && n < in_segment && p->map[i + n].addr == addr + n)
		n++;
	return n;
}

/* Without the lock: the blocks that are not in memory.  *ret_bad is the block that did not verify.
 */
static int fetch(struct fspf_volume *v, struct fspf_inode *inode, struct piece *p,
		 uint32_t *ret_bad)
{
	for (uint32_t i = 0; i < p->count;) {
		uint8_t *out = p->data + (size_t)i * FSPF_BLOCK_SIZE;
		uint32_t n = p->map[i].addr ? run_length(v, p, i) : 1;
		int r = 0;

		if (p->map[i].addr)
			r = v->store->ops->read(v->store, p->map[i].addr, out,
						(size_t)n * FSPF_BLOCK_SIZE);
		for (uint32_t k = 0; k < n && r == 0 && p->map[i].addr; k++) {
			*ret_bad = i + k;
			r = open_block(v, inode, p->first + i + k,
				       out + (size_t)k * FSPF_BLOCK_SIZE, &p->map[i + k].seal);
		}
		if (r)
			return r;
		i += n;
	}
	return 0;
}

/* Is the block that failed still what the map names, and does it still fail?  Under the lock.  0:
 * read again. */
static int confirm(struct fspf_volume *v, struct fspf_inode *inode, const struct piece *p,
		   uint32_t bad)
{
	uint8_t page[FSPF_BLOCK_SIZE];
	struct fspf_block now;
	int r = fspf_map_read(inode, p->first + bad, 1, &now);

	if (r || now.addr != p->map[bad].addr ||
	    memcmp(now.seal.tag, p->map[bad].seal.tag, sizeof(now.seal.tag)))
		return r;
	r = v->store->ops->read(v->store, now.addr, page, sizeof(page));
	return r ? r : open_block(v, inode, p->first + bad, page, &now.seal);
}

static void report_damage(struct fspf_volume *v, struct fspf_inode *inode, uint64_t block)
{
	char path[4096];

	fspf_path_of(v, inode->ino, path, sizeof(path));
	fspf_report_text(v, -EBADMSG, "damaged: block %llu of %s does not verify",
			 (unsigned long long)block, path);
}

static int read_piece(struct fspf_volume *v, struct fspf_inode *inode, struct piece *p)
{
	uint32_t bad = 0;
	bool in_place;
	int r = -EAGAIN;

	for (int i = 0; i < READ_RETRIES && r == -EAGAIN; i++) {
		pthread_mutex_lock(&inode->lock);
		in_place = inode->a.in_place;
		r = in_place ? 0 : prepare(inode, p);
		pthread_mutex_unlock(&inode->lock);
		if (in_place) {
			r = fspf_inplace_read(v, inode, p->first, p->count, p->data);
			continue;
		}
		if (r)
			break;
		r = fetch(v, inode, p, &bad);
		if (r != -EBADMSG)
			break;
		pthread_mutex_lock(&inode->lock);
		r = confirm(v, inode, p, bad);
		pthread_mutex_unlock(&inode->lock);
		if (r == 0)
			r = -EAGAIN;
		else if (r == -EBADMSG)
			report_damage(v, inode, p->first + bad);
	}
	return r == -EAGAIN ? -EIO : r;
}

/* Whole blocks go to where they belong; a read that begins or ends inside a block goes through a
 * buffer. */
static int read_blocks(struct fspf_volume *v, struct fspf_inode *inode, uint64_t offset,
		       uint8_t *data, size_t size)
{
	uint64_t skip = offset % FSPF_BLOCK_SIZE;
	bool direct = skip == 0 && size % FSPF_BLOCK_SIZE == 0;
	struct piece *p = malloc(sizeof(*p));
	uint8_t *buffer = NULL;
	int r = -ENOMEM;

	if (!p)
		return r;
	p->first = offset / FSPF_BLOCK_SIZE;
	p->count = (uint32_t)((skip + size + FSPF_BLOCK_SIZE - 1) / FSPF_BLOCK_SIZE);
	if (!direct)
		buffer = malloc((size_t)p->count * FSPF_BLOCK_SIZE);
	p->data = direct ? data : buffer;
	if (p->data)
		r = read_piece(v, inode, p);
	if (r == 0 && !direct)
		memcpy(data, buffer + skip, size);
	if (buffer && r == 0)
		crypto_wipe(buffer, (size_t)p->count * FSPF_BLOCK_SIZE);
	free(buffer);
	free(p);
	return r;
}

static size_t clamp(struct fspf_inode *inode, uint64_t offset, size_t size)
{
	uint64_t end;

	pthread_mutex_lock(&inode->lock);
	end = inode->a.size;
	pthread_mutex_unlock(&inode->lock);
	return offset >= end ? 0 : (size_t)min_u64(size, end - offset);
}

ssize_t fspf_tree_read(struct fspf_volume *v, uint64_t ino, uint64_t offset, void *data,
		       size_t size)
{
	struct fspf_inode *inode;
	size_t done = 0, want;
	int r = fspf_inode_get(v, ino, &inode);

	if (r)
		return r;
	want = clamp(inode, offset, size);
	if (inode->type != S_IFREG)
		r = inode->type == S_IFDIR ? -EISDIR : -EINVAL;
	while (r == 0 && done < want) {
		size_t room = READ_BLOCKS * FSPF_BLOCK_SIZE - (offset + done) % FSPF_BLOCK_SIZE;
		size_t n = (size_t)min_u64(room, want - done);

		if (n < want - done || n > FSPF_BLOCK_SIZE)
			n -= (offset + done + n) % FSPF_BLOCK_SIZE; /* end on a block */
		r = read_blocks(v, inode, offset + done, (uint8_t *)data + done, n);
		done += r ? 0 : n;
	}
	fspf_inode_put(v, inode, 1);
	return r ? r : (ssize_t)done;
}

int fspf_file_read_block(struct fspf_volume *v, struct fspf_inode *inode, uint64_t block,
			 uint8_t page[static FSPF_BLOCK_SIZE])
{
	struct piece *p = malloc(sizeof(*p));
	uint32_t bad;
	int r = -ENOMEM;

	if (!p)
		return r;
	p->first = block;
	p->count = 1;
	p->data = page;
	r = inode->a.in_place ? -EIO : prepare(inode, p); /* it is copied up before it is changed */
	if (r == 0)
		r = fetch(v, inode, p, &bad);
	if (r == -EBADMSG) /* the path cannot be told: finding it takes the locks of inodes */
		fspf_report_text(v, r,
				 "damaged: block %llu of inode %llu does not verify; `fspf verify` "
				 "names the file",
				 (unsigned long long)block, (unsigned long long)inode->ino);
	free(p);
	return r;
}
