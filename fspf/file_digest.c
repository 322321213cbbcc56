/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fs-verity digest of a file.  Of contents in place it is known, and authenticated with the
 * item that has it; any other file is read.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/inplace.h"
#include "merkle/verity.h"

#define B FSPF_BLOCK_SIZE
#define PIECE ((size_t)1 << 20)

static int add_piece(struct merkle_verity *t, const uint8_t *data, size_t len)
{
	struct crypto_digest leaf;
	int r = 0;

	for (size_t at = 0; at < len && r == 0; at += B) {
		r = merkle_verity_leaf(data + at, (size_t)min_u64(B, len - at), &leaf);
		if (r == 0)
			r = merkle_verity_add(t, &leaf);
	}
	return r;
}

static int digest_read(struct fspf_volume *v, uint64_t ino, struct merkle_verity *t,
		       struct crypto_digest *ret)
{
	uint8_t *data = malloc(PIECE);
	ssize_t n = data ? (ssize_t)PIECE : -ENOMEM;
	uint64_t size = 0;
	int r = n < 0 ? (int)n : 0;

	while (r == 0 && (size_t)n == PIECE) {
		n = fspf_read(v, ino, size, data, PIECE);
		r = n < 0 ? (int)n : add_piece(t, data, (size_t)n);
		size += n < 0 ? 0 : (uint64_t)n;
	}
	if (data)
		crypto_wipe(data, PIECE);
	free(data);
	return r ? r : merkle_verity_finish(t, size, ret);
}

static int digest_known(struct fspf_inode *inode, bool *ret_known, struct crypto_digest *ret)
{
	struct fspf_in_place_item item;
	int r = 0;

	pthread_mutex_lock(&inode->lock);
	*ret_known = inode->a.in_place;
	if (*ret_known)
		r = fspf_inplace_item(inode, &item);
	pthread_mutex_unlock(&inode->lock);
	if (*ret_known && r == 0)
		*ret = item.digest;
	return r;
}

int fspf_file_digest(struct fspf_volume *v, uint64_t ino, struct crypto_digest *ret)
{
	struct merkle_verity *t = NULL;
	struct fspf_inode *inode;
	bool known = false;
	int r = fspf_inode_get(v, ino, &inode);

	if (r)
		return r;
	if (inode->type != S_IFREG)
		r = inode->type == S_IFDIR ? -EISDIR : -EINVAL;
	else
		r = digest_known(inode, &known, ret);
	if (r == 0 && !known)
		r = merkle_verity_new(&t);
	if (r == 0 && !known)
		r = digest_read(v, ino, t, ret);
	merkle_verity_free(t);
	fspf_inode_put(v, inode, 1);
	return r;
}
