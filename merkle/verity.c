/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One block a level is kept, and a full one is hashed into the level above only when the next hash
 * comes.  So a level has anything in it only if the one below has more than one block, and the
 * highest that has is the root's.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "merkle/verity.h"

#define DESCRIPTOR_SIZE 256u /* struct fsverity_descriptor */

struct merkle_verity {
	uint64_t leaves;
	uint32_t count[MERKLE_VERITY_LEVELS]; /* hashes in the level's block */
	uint8_t block[MERKLE_VERITY_LEVELS][MERKLE_VERITY_BLOCK];
};

static_assert(MERKLE_VERITY_FANOUT == 128, "the format's");

int merkle_verity_leaf(const void *block, size_t len, struct crypto_digest *ret)
{
	static const uint8_t zeroes[MERKLE_VERITY_BLOCK];
	struct iovec pieces[2] = {
		{.iov_base = (void *)(uintptr_t)block, .iov_len = len},
		{.iov_base = (void *)(uintptr_t)zeroes, .iov_len = MERKLE_VERITY_BLOCK - len},
	};

	return crypto_sha256v(pieces, len < MERKLE_VERITY_BLOCK ? 2 : 1, ret);
}

int merkle_verity_new(struct merkle_verity **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

struct merkle_verity *merkle_verity_free(struct merkle_verity *t)
{
	free(t);
	return NULL;
}

static int hash_block(struct merkle_verity *t, unsigned level, struct crypto_digest *ret)
{
	int r = merkle_verity_leaf(t->block[level], t->count[level] * sizeof(ret->b), ret);

	if (r == 0)
		t->count[level] = 0;
	return r;
}

static int add(struct merkle_verity *t, unsigned level, const struct crypto_digest *hash)
{
	struct crypto_digest carried = *hash, full;
	int r;

	for (; t->count[level] == MERKLE_VERITY_FANOUT; level++) {
		if (level + 1 == MERKLE_VERITY_LEVELS)
			return -EINVAL;
		r = hash_block(t, level, &full);
		if (r)
			return r;
		memcpy(t->block[level], carried.b, sizeof(carried.b));
		t->count[level] = 1;
		carried = full;
	}
	memcpy(t->block[level] + t->count[level] * sizeof(carried.b), carried.b, sizeof(carried.b));
	t->count[level]++;
	return 0;
}

int merkle_verity_add(struct merkle_verity *t, const struct crypto_digest *leaf)
{
	int r = add(t, 0, leaf);

	if (r == 0)
		t->leaves++;
	return r;
}

/* The only block's hash is the root of a file of one block, and a file without any has zeroes. */
static int find_root(struct merkle_verity *t, struct crypto_digest *ret)
{
	struct crypto_digest hash = {{0}};
	unsigned level = 0;
	int r = 0;

	if (t->leaves < 2) {
		memcpy(ret->b, t->block[0], sizeof(ret->b));
		return 0;
	}
	while (r == 0 && level + 1 < MERKLE_VERITY_LEVELS && t->count[level + 1]) {
		r = hash_block(t, level, &hash);
		level++;
		if (r == 0)
			r = add(t, level, &hash);
	}
	return r ? r : hash_block(t, level, ret);
}

int merkle_verity_finish(struct merkle_verity *t, uint64_t size, struct crypto_digest *ret)
{
	uint8_t descriptor[DESCRIPTOR_SIZE] = {0};
	struct crypto_digest root;
	int r = t->leaves == merkle_verity_leaves(size) ? find_root(t, &root) : -EINVAL;

	if (r)
		return r;
	descriptor[0] = 1;  /* version */
	descriptor[1] = 1;  /* FS_VERITY_HASH_ALG_SHA256 */
	descriptor[2] = 12; /* log2 of the block size */
	put_le64(descriptor + 8, size);
	memcpy(descriptor + 16, root.b, sizeof(root.b));
	return crypto_sha256(descriptor, sizeof(descriptor), ret);
}
