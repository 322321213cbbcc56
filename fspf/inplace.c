/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading contents in place.  Under the inode's lock the leaves of the blocks are taken from the
 * region's tree, which has authenticated them; everything else is done without it.
 *
 * A file that is kept open may be another than the one that its path leads to by now.  As long as
 * it verifies that is no matter; if it does not, the path is followed anew, once, and what is found
 * there is final, unless the contents are not in place any more.
 *
 *   L1  what is given out was verified behind its copying
 *   L2  a file of another size than the recorded one does not verify
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fspf/fdio.h"
#include "fspf/inplace.h"
#include "merkle/verity.h"

#define B FSPF_BLOCK_SIZE
#define STEP 32u /* blocks read and then hashed, while they are in the processor's cache */

int fspf_inplace_new(struct fspf_inplace **ret)
{
	struct fspf_inplace *p = calloc(1, sizeof(*p));
	int r = p ? fspf_hostfiles_new(&p->files) : -ENOMEM;

	if (r) {
		free(p);
		return r;
	}
	pthread_mutex_init(&p->lock, NULL);
	for (uint32_t i = 0; i < FSPF_INPLACE_COPYING; i++)
		pthread_mutex_init(&p->copying[i], NULL);
	*ret = p;
	return 0;
}

/* ---- one file, open ---- */

static int fault(struct fspf_inplace_fault *f, enum fspf_inplace_wrong wrong, int error)
{
	*f = (struct fspf_inplace_fault){.wrong = wrong, .error = error};
	return error;
}

static int check_size(int fd, uint64_t size, struct fspf_inplace_fault *ret)
{
	struct stat st;

	if (fstat(fd, &st))
		return fault(ret, FSPF_INPLACE_ACCESS, -errno);
	if (!S_ISREG(st.st_mode))
		return fault(ret, FSPF_INPLACE_KIND, -EBADMSG);
	if ((uint64_t)st.st_size != size)
		return fault(ret,
			     (uint64_t)st.st_size < size ? FSPF_INPLACE_SHORT : FSPF_INPLACE_LONG,
			     -EBADMSG);
	return 0;
}

static int read_bytes(int fd, uint8_t *data, size_t len, uint64_t offset,
		      struct fspf_inplace_fault *ret)
{
	ssize_t n = fspf_fd_read(fd, data, len, offset);

	if (n < 0)
		return fault(ret, FSPF_INPLACE_ACCESS, (int)n);
	return (size_t)n < len ? fault(ret, FSPF_INPLACE_SHORT, -EBADMSG) : 0;
}

/* Blocks @from to @from + @count - 1 of the piece. */
static int check_step(int fd, const struct fspf_inplace_piece *p, uint32_t from, uint32_t count,
		      struct fspf_inplace_fault *ret)
{
	uint64_t at = (p->first + from) * B;
	uint8_t *data = p->data + (size_t)from * B;
	size_t len = (size_t)min_u64((uint64_t)count * B, p->size - at);
	struct crypto_digest leaf;
	int r = read_bytes(fd, data, len, at, ret);

	if (r == 0)
		memset(data + len, 0, (size_t)count * B - len);
	for (uint32_t i = 0; i < count && r == 0; i++) {
		r = merkle_verity_leaf(data + (size_t)i * B, B, &leaf);
		if (r)
			return fault(ret, FSPF_INPLACE_ACCESS, r);
		if (crypto_digest_equal(&leaf, &p->leaf[from + i]))
			continue;
		r = fault(ret, FSPF_INPLACE_BLOCK, -EBADMSG);
		ret->block = p->first + from + i;
	}
	return r;
}

int fspf_inplace_check(int fd, const struct fspf_inplace_piece *p, struct fspf_inplace_fault *ret)
{
	int r = check_size(fd, p->size, ret); /* L2 */

	for (uint32_t i = 0; i < p->count && r == 0; i += STEP)
		r = check_step(fd, p, i, (uint32_t)min_u64(STEP, p->count - i), ret);
	if (r)
		memset(p->data, 0, (size_t)p->count * B);
	return r;
}

int fspf_inplace_open(const struct fspf_region *region, const char *path,
		      struct fspf_inplace_fault *ret)
{
	int fd = fspf_hostfile_open(region->host_fd, path);

	switch (fd) {
	case -ENOENT:
		return fault(ret, FSPF_INPLACE_GONE, -EBADMSG);
	case -ENOTDIR:
	case -ELOOP:
	case -EXDEV:
	case -EINVAL:
		return fault(ret, FSPF_INPLACE_KIND, -EBADMSG);
	default:
		return fd < 0 ? fault(ret, FSPF_INPLACE_ACCESS, fd) : fd;
	}
}

/* ---- what the volume says of it ---- */

int fspf_inplace_item(const struct fspf_inode *inode, struct fspf_in_place_item *ret)
{
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_IN_PLACE, 0);
	uint8_t value[FSPF_IN_PLACE_SIZE_MAX];
	size_t len;
	int r = merkle_get(inode->region->tree, &key, value, sizeof(value), &len);

	if (r == 0)
		r = fspf_in_place_decode(value, len, ret);
	return r == -ENOENT || r == -ERANGE ? -EBADMSG : r;
}

/* The leaves of blocks first .. first + count - 1, as they come. */
struct leaves {
	uint64_t first;
	uint32_t count, got;
	struct crypto_digest *leaf;
};

static int leaves_visit(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct leaves *l = ctx;
	struct fspf_verity_item item;
	uint64_t from, to;
	int r = fspf_verity_decode(key, value, len, &item);

	if (r)
		return r;
	from = max_u64(item.first, l->first);
	to = min_u64(item.first + item.count, l->first + l->count);
	if (from >= to)
		return 0;
	memcpy(l->leaf + (from - l->first), item.leaf + (from - item.first),
	       (size_t)(to - from) * sizeof(*l->leaf));
	l->got += (uint32_t)(to - from);
	return 0;
}

/* Under the inode's lock. */
static int take_leaves(struct fspf_inode *inode, struct leaves *l)
{
	struct merkle_key from =
		fspf_key(inode->object, FSPF_ITEM_VERITY, l->first - l->first % FSPF_VERITY_LEAVES);
	struct merkle_key to = fspf_key(inode->object, FSPF_ITEM_VERITY, l->first + l->count - 1);
	int r = merkle_scan(inode->region->tree, &from, &to, leaves_visit, l);

	return r == 0 && l->got != l->count ? -EBADMSG : r;
}

/* ---- reading ---- */

/* With the file that is kept open; -EAGAIN: there is none, or it has no name any more. */
static int read_kept(struct fspf_volume *v, const struct fspf_inode *inode,
		     const struct fspf_inplace_piece *p, struct fspf_inplace_fault *ret)
{
	struct fspf_hostfile *f = fspf_hostfile_find(v->inplace->files, inode->ino);
	struct stat st;
	int r = -EAGAIN;

	if (!f)
		return r;
	if (!fstat(f->fd, &st) && st.st_nlink)
		r = fspf_inplace_check(f->fd, p, ret);
	fspf_hostfile_put(v->inplace->files, f);
	return r;
}

/* With the file that the path leads to now. */
static int read_anew(struct fspf_volume *v, const struct fspf_inode *inode,
		     const struct fspf_inplace_piece *p, struct fspf_inplace_fault *ret)
{
	struct fspf_in_place_item item;
	int fd, r = fspf_inplace_item(inode, &item);

	if (r)
		return fault(ret, FSPF_INPLACE_ITEMS, r);
	fd = fspf_inplace_open(inode->region, item.path, ret);
	if (fd < 0)
		return fd;
	r = fspf_inplace_check(fd, p, ret);
	if (r)
		close(fd);
	else
		r = fspf_hostfile_keep(v->inplace->files, inode->ino, fd);
	return r == -ENOMEM ? fault(ret, FSPF_INPLACE_ACCESS, r) : r;
}

static bool is_in_place(struct fspf_inode *inode)
{
	bool in_place;

	pthread_mutex_lock(&inode->lock);
	in_place = inode->a.in_place;
	pthread_mutex_unlock(&inode->lock);
	return in_place;
}

int fspf_inplace_read(struct fspf_volume *v, struct fspf_inode *inode, uint64_t first,
		      uint32_t count, uint8_t *data)
{
	struct crypto_digest leaf[FSPF_INPLACE_BLOCKS];
	struct leaves l = {.first = first, .count = count, .leaf = leaf};
	struct fspf_inplace_piece p = {.first = first, .count = count, .data = data, .leaf = leaf};
	struct fspf_inplace_fault f;
	bool here;
	int r = 0;

	pthread_mutex_lock(&inode->lock);
	p.size = inode->a.size;
	here = inode->a.in_place && (first + count - 1) * B < p.size;
	if (here)
		r = take_leaves(inode, &l);
	pthread_mutex_unlock(&inode->lock);
	if (!here)
		return -EAGAIN;
	if (r)
		r = fault(&f, FSPF_INPLACE_ITEMS, r);
	else if (read_kept(v, inode, &p, &f))
		r = read_anew(v, inode, &p, &f);
	if (r && !is_in_place(inode))
		r = -EAGAIN;
	else if (r)
		fspf_inplace_tell(v, inode, &f);
	return r;
}
