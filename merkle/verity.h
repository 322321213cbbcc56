/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/verity.h - fs-verity's hash tree over the contents of one file
 *
 * The digest that the Linux kernel's fs-verity (Documentation/filesystems/fsverity.rst) gives a
 * file with SHA-256, 4 KiB blocks and no salt, so that `fsverity digest` and a kernel agree with
 * us.  The file's blocks, the last one padded with zeroes, are hashed to leaves; 128 hashes are a
 * block of the level above, and so on up to one hash, the root.  A descriptor of root and size is
 * hashed to the file's digest.
 *
 * It computes; it does not read files and keeps no tree: whoever has the leaves from where they
 * are authenticated needs none of the levels above.  Results: 0 or a negative errno, those of
 * crypto/digest.h.  A tree that is being built is for one thread.
 */
#ifndef FSPF_MERKLE_VERITY_H
#define FSPF_MERKLE_VERITY_H

#include "crypto/digest.h"

#define MERKLE_VERITY_BLOCK 4096u /* bytes, of data and of the tree */
#define MERKLE_VERITY_FANOUT (MERKLE_VERITY_BLOCK / CRYPTO_DIGEST_SIZE) /* hashes a block: 128 */
#define MERKLE_VERITY_LEVELS 8u /* 128^8 = 2^56 blocks: more than 2^63 bytes have */

/* The leaf of a block of which @len bytes (1 to 4096) are the file's; zeroes behind them count. */
MUST_CHECK int merkle_verity_leaf(const void *block, size_t len, struct crypto_digest *ret);

/* The leaves of a file of @size bytes. */
static inline uint64_t merkle_verity_leaves(uint64_t size)
{
	return size / MERKLE_VERITY_BLOCK + (size % MERKLE_VERITY_BLOCK != 0);
}

struct merkle_verity; /* a tree that is being built: 33 KiB, whatever the file's size */

/* -ENOMEM. */
MUST_CHECK int merkle_verity_new(struct merkle_verity **ret);
struct merkle_verity *merkle_verity_free(struct merkle_verity *t);

/* The next leaf, in order. */
MUST_CHECK int merkle_verity_add(struct merkle_verity *t, const struct crypto_digest *leaf);

/* The digest of a file of @size bytes whose leaves were all added; the tree is of no use
 * afterwards.  -EINVAL: a file of that size has more leaves, or fewer. */
MUST_CHECK int merkle_verity_finish(struct merkle_verity *t, uint64_t size,
				    struct crypto_digest *ret);

#endif
