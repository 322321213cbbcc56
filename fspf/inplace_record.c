/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording what a file of the host holds.  The leaves go into the tree as they come, a piece at a
 * time; the item with the digest, the size and the flag follow in one change.  Until then the file
 * in the volume is an empty one without a name, so that a crash leaves nothing.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fspf/fdio.h"
#include "fspf/inplace.h"
#include "fspf/work.h"
#include "merkle/verity.h"

#define B FSPF_BLOCK_SIZE
#define PIECE_ITEMS (FSPF_PIECE / B / FSPF_VERITY_LEAVES)

struct recorder {
	struct fspf_work *w;
	int fd;
	struct merkle_verity *tree;
	struct fspf_inode *inode; /* NULL: only the digest is wanted */
	uint64_t size;		  /* read so far */
	struct fspf_verity_item item[PIECE_ITEMS];
};

/* The items of the piece's @blocks. */
static int put_items(struct recorder *rec, uint64_t blocks)
{
	struct fspf_volume *v = rec->w->v;
	uint8_t value[FSPF_VERITY_LEAVES * CRYPTO_DIGEST_SIZE];
	int r = fspf_begin(rec->inode->region, false);

	if (r)
		return r;
	pthread_mutex_lock(&rec->inode->lock);
	for (uint64_t i = 0; i * FSPF_VERITY_LEAVES < blocks && r == 0; i++) {
		struct fspf_verity_item *item = &rec->item[i];
		struct merkle_key key = fspf_key(rec->inode->object, FSPF_ITEM_VERITY, item->first);

		item->count =
			(uint32_t)min_u64(FSPF_VERITY_LEAVES, blocks - i * FSPF_VERITY_LEAVES);
		r = merkle_put(rec->inode->region->tree, &key, value,
			       fspf_verity_encode(item, value));
	}
	pthread_mutex_unlock(&rec->inode->lock);
	fspf_end(v);
	return r;
}

static int record_piece(struct recorder *rec, size_t len)
{
	uint64_t blocks = merkle_verity_leaves(len);
	int r = 0;

	for (uint64_t i = 0; i < blocks && r == 0; i++) {
		struct fspf_verity_item *item = &rec->item[i / FSPF_VERITY_LEAVES];
		struct crypto_digest *leaf = &item->leaf[i % FSPF_VERITY_LEAVES];

		item->first = rec->size / B + i - i % FSPF_VERITY_LEAVES;
		r = merkle_verity_leaf(rec->w->piece + i * B, (size_t)min_u64(B, len - i * B),
				       leaf);
		if (r == 0)
			r = merkle_verity_add(rec->tree, leaf);
	}
	if (r == 0 && rec->inode && blocks)
		r = put_items(rec, blocks);
	rec->size += len;
	return r ? r : fspf_work_step(rec->w, len);
}

static bool is_unchanged(const struct stat *a, const struct stat *b, uint64_t size)
{
	return a->st_size == b->st_size && (uint64_t)a->st_size == size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* All of the file. */
static int record(struct recorder *rec, struct crypto_digest *ret)
{
	struct stat before, after;
	ssize_t n = 1;
	int r = fstat(rec->fd, &before) ? -errno : merkle_verity_new(&rec->tree);

	if (r)
		return r;
	while (r == 0 && n > 0 && rec->size <= (uint64_t)before.st_size) {
		n = fspf_fd_read(rec->fd, rec->w->piece, FSPF_PIECE, rec->size);
		r = n < 0 ? (int)n : record_piece(rec, (size_t)n);
		if ((size_t)n < FSPF_PIECE)
			break;
	}
	if (r == 0 && fstat(rec->fd, &after))
		r = -errno;
	if (r == 0 && !is_unchanged(&before, &after, rec->size))
		r = -EAGAIN;
	if (r == 0)
		r = merkle_verity_finish(rec->tree, rec->size, ret);
	rec->tree = merkle_verity_free(rec->tree);
	return r;
}

/* The last change: now it is a file in place. */
static int finish(struct recorder *rec, const struct fspf_in_place_item *item)
{
	struct fspf_inode *inode = rec->inode;
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_IN_PLACE, 0);
	uint8_t value[FSPF_IN_PLACE_SIZE_MAX];
	size_t len = fspf_in_place_encode(item, value);
	int r = fspf_begin(inode->region, false);

	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	r = merkle_put(inode->region->tree, &key, value, len);
	if (r == 0) {
		inode->a.in_place = true;
		inode->a.size = rec->size;
		fspf_inode_touch(inode, FSPF_TOUCH_MTIME | FSPF_TOUCH_CTIME);
		fspf_inode_dirty(rec->w->v, inode);
	}
	pthread_mutex_unlock(&inode->lock);
	fspf_end(rec->w->v);
	return r;
}

int fspf_inplace_record(struct fspf_work *w, int fd, uint64_t ino, const char *path)
{
	struct recorder rec = {.w = w, .fd = fd};
	struct fspf_in_place_item item;
	size_t len;
	int r = fspf_host_path_check(path, &len);

	if (r == 0)
		r = fspf_inode_get(w->v, ino, &rec.inode);
	if (r)
		return r;
	memcpy(item.path, path, len + 1);
	r = record(&rec, &item.digest);
	if (r == 0)
		r = finish(&rec, &item);
	fspf_inode_put(w->v, rec.inode, 1);
	return r;
}

int fspf_inplace_digest(struct fspf_work *w, int fd, uint64_t *ret_size, struct crypto_digest *ret)
{
	struct recorder rec = {.w = w, .fd = fd};
	int r = record(&rec, ret);

	if (r == 0)
		*ret_size = rec.size;
	return r;
}
