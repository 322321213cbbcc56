/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/item.h - what a region's tree holds: the items, and their bytes
 *
 * Every item belongs to an object (a file of any kind; its number is unique in the region and never
 * used again).  Bytes: docs/format.md, "Items".  Encoding cannot fail; decoding refuses with
 * -EBADMSG whatever no volume of this version wrote: the bytes were sealed, so only a bug or a
 * holder of the key can have made them. No state; any thread.
 */
#ifndef FSPF_FSPF_ITEM_H
#define FSPF_FSPF_ITEM_H

#include <stdbool.h>

#include "crypto/session.h"
#include "fspf/fspf.h"
#include "merkle/tree.h"

/* Types, in their order within an object. */
enum fspf_item_type {
	FSPF_ITEM_INODE = 1,	/* offset 0: attributes */
	FSPF_ITEM_INLINE = 2,	/* offset 0: a small file's contents, or a symlink's target */
	FSPF_ITEM_XATTR = 3,	/* offset: name hash (48 bits), slot (8), piece (8) */
	FSPF_ITEM_DIRENT = 4,	/* offset: name hash (55 bits), slot (8) */
	FSPF_ITEM_EXTENT = 5,	/* offset: first block of the file that it covers */
	FSPF_ITEM_ORPHAN = 6,	/* object 0; offset: an object without a name, to be removed */
	FSPF_ITEM_IN_PLACE = 7, /* offset 0: the contents' digest, and where on the host they are */
	FSPF_ITEM_VERITY = 8,	/* offset: first block of the file whose leaf it has */
};

#define FSPF_OBJECT_BITS 48u
#define FSPF_OBJECT_MAX ((UINT64_C(1) << FSPF_OBJECT_BITS) - 1)
#define FSPF_OBJECT_ROOT UINT64_C(1) /* a region's top directory */

/* Small contents live beside the inode up to this size: measured, see docs/design.md, "Inline". */
#define FSPF_INLINE_MAX 2048u

struct fspf_inode_item {
	uint64_t size;
	uint64_t blocks;    /* data blocks of FSPF_BLOCK_SIZE that extents have */
	uint64_t unwritten; /* blocks promised by fallocate and not yet written */
	uint64_t rdev;
	uint64_t generation; /* tells apart two files of one number in two histories */
	uint64_t parent;     /* object of a directory that names it: a hint for messages, exact for
				directories */
	uint64_t entries;    /* of a directory */
	uint32_t mode, nlink, uid, gid;
	struct timespec atime, mtime, ctime, btime;
	bool inlined;  /* contents are in the INLINE item */
	bool in_place; /* contents are in a file of the host; extents, if any, mean nothing */
	bool covered;  /* a directory that an encrypted region's top covers */
};
#define FSPF_INODE_SIZE 128u /* bytes */

void fspf_inode_encode(const struct fspf_inode_item *inode, uint8_t out[static FSPF_INODE_SIZE]);
MUST_CHECK int fspf_inode_decode(const void *in, size_t len, struct fspf_inode_item *ret);

/* A directory's entry: the child's object, its type as DT_*, its name. */
struct fspf_dirent_item {
	uint64_t object;
	uint8_t type;
	size_t name_len;
	char name[FSPF_NAME_MAX + 1]; /* with a NUL */
};
#define FSPF_DIRENT_SIZE_MAX (9u + FSPF_NAME_MAX)

size_t fspf_dirent_encode(const struct fspf_dirent_item *d,
			  uint8_t out[static FSPF_DIRENT_SIZE_MAX]);
MUST_CHECK int fspf_dirent_decode(const void *in, size_t len, struct fspf_dirent_item *ret);

/* Is it a name that a directory may hold?  0, -ENAMETOOLONG, or -EINVAL for "", ".", ".." and '/'.
 */
MUST_CHECK int fspf_name_check(const char *name, size_t *ret_len);

/*
 * A run of a file's blocks that lie together in the store, each with its seal's tag; block i
 * was sealed with (session, counter + i).  addr 0: promised by fallocate, not written, reads as
 * zeroes, has no tags.
 */
#define FSPF_EXTENT_HEAD 32u	   /* bytes before the tags */
#define FSPF_EXTENT_BLOCKS_GCM 64u /* 32 + 64 * 16 bytes: fifteen fill a node to 99 % */
#define FSPF_EXTENT_BLOCKS_SHA 32u /* 32 + 32 * 32 bytes */
#define FSPF_EXTENT_BLOCKS_MAX 64u
#define FSPF_UNWRITTEN_BLOCKS_MAX (1u << 30)
#define FSPF_EXTENT_SIZE_MAX (FSPF_EXTENT_HEAD + FSPF_EXTENT_BLOCKS_GCM * CRYPTO_MAC_SIZE)

struct fspf_extent {
	uint64_t first; /* block of the file: the key's offset */
	uint64_t addr;
	uint64_t birth;
	uint64_t counter;
	uint32_t session;
	uint32_t count; /* blocks */
	uint8_t tags[FSPF_EXTENT_BLOCKS_MAX *
		     CRYPTO_MAC_SIZE]; /* or half as many of twice the size */
};

/* Bytes of a tag in a region of @class, and the most blocks of one extent there. */
static inline uint32_t fspf_tag_size(enum crypto_class class)
{
	return class == CRYPTO_CLASS_ENCRYPTED ? CRYPTO_MAC_SIZE : CRYPTO_SEAL_SIZE;
}

static inline uint32_t fspf_extent_blocks(enum crypto_class class)
{
	return class == CRYPTO_CLASS_ENCRYPTED ? FSPF_EXTENT_BLOCKS_GCM : FSPF_EXTENT_BLOCKS_SHA;
}

size_t fspf_extent_encode(const struct fspf_extent *e, enum crypto_class class,
			  uint8_t out[static FSPF_EXTENT_SIZE_MAX]);
MUST_CHECK int fspf_extent_decode(const struct merkle_key *key, const void *in, size_t len,
				  enum crypto_class class, struct fspf_extent *ret);

/* The seal of block @i of an extent. */
void fspf_extent_seal(const struct fspf_extent *e, enum crypto_class class, uint32_t i,
		      struct crypto_seal *ret);

/* The associated data of a file's block: volume, region, "data", object, position. */
#define FSPF_DATA_AAD_SIZE 40u
void fspf_data_aad(const uint8_t identity[static MERKLE_IDENTITY_SIZE], uint64_t object,
		   uint64_t block, uint8_t out[static FSPF_DATA_AAD_SIZE]);

/*
 * Contents in place: a file of the host, named relative to the region's directory there, whose
 * fs-verity digest (merkle/verity.h) is known, and with it the leaf of each of its blocks.
 */
#define FSPF_HOST_PATH_MAX 2900u /* bytes, without a NUL */
#define FSPF_VERITY_LEAVES 64u	 /* in one item, whose offset is a multiple of it: 2048 bytes */
#define FSPF_IN_PLACE_SIZE_MAX (CRYPTO_DIGEST_SIZE + FSPF_HOST_PATH_MAX)

struct fspf_in_place_item {
	struct crypto_digest digest;
	char path[FSPF_HOST_PATH_MAX + 1]; /* with a NUL */
};

/* Is it a path that leads nowhere but down?  0, -ENAMETOOLONG, or -EINVAL. */
MUST_CHECK int fspf_host_path_check(const char *path, size_t *ret_len);

/* The path is a proper one. */
size_t fspf_in_place_encode(const struct fspf_in_place_item *i,
			    uint8_t out[static FSPF_IN_PLACE_SIZE_MAX]);
MUST_CHECK int fspf_in_place_decode(const void *in, size_t len, struct fspf_in_place_item *ret);

struct fspf_verity_item {
	uint64_t first; /* block of the file: the key's offset */
	uint32_t count;
	struct crypto_digest leaf[FSPF_VERITY_LEAVES];
};

size_t fspf_verity_encode(const struct fspf_verity_item *i,
			  uint8_t out[static FSPF_VERITY_LEAVES * CRYPTO_DIGEST_SIZE]);
MUST_CHECK int fspf_verity_decode(const struct merkle_key *key, const void *in, size_t len,
				  struct fspf_verity_item *ret);

static inline struct merkle_key fspf_key(uint64_t object, enum fspf_item_type type, uint64_t offset)
{
	return (struct merkle_key){.object = object, .type = (uint8_t)type, .offset = offset};
}

#endif
