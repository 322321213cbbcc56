/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items are fixed little-endian records written field by field, so that a reader of docs/format.md
 * finds each offset here once.  Decoders check whatever later code relies on: types, counts,
 * lengths and that reserved bytes are zero.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "fspf/item.h"
#include "fspf/store.h"

#define INODE_INLINED 1u
#define INODE_IN_PLACE 2u
#define INODE_COVERED 4u

static_assert(FSPF_EXTENT_SIZE_MAX <= MERKLE_VALUE_MAX, "an extent fits an item");
static_assert(FSPF_EXTENT_BLOCKS_SHA * CRYPTO_SEAL_SIZE == FSPF_EXTENT_BLOCKS_GCM * CRYPTO_MAC_SIZE,
	      "both classes fill the same tags");
static_assert(FSPF_IN_PLACE_SIZE_MAX <= MERKLE_VALUE_MAX, "a digest and a path fit an item");
static_assert(FSPF_VERITY_LEAVES * CRYPTO_DIGEST_SIZE <= MERKLE_VALUE_MAX, "leaves fit an item");
static_assert(FSPF_INLINE_MAX <= MERKLE_VALUE_MAX, "inline contents fit an item");

static void put_time(uint8_t *p, const struct timespec *t)
{
	put_le64(p, (uint64_t)t->tv_sec);
	put_le32(p + 8, (uint32_t)t->tv_nsec);
}

static int get_time(const uint8_t *p, struct timespec *ret)
{
	uint32_t nsec = get_le32(p + 8);

	ret->tv_sec = (time_t)get_le64(p);
	ret->tv_nsec = (long)nsec;
	return nsec < 1000000000 ? 0 : -EBADMSG;
}

void fspf_inode_encode(const struct fspf_inode_item *inode, uint8_t out[static FSPF_INODE_SIZE])
{
	put_le32(out, inode->mode);
	put_le32(out + 4, inode->nlink);
	put_le32(out + 8, inode->uid);
	put_le32(out + 12, inode->gid);
	put_le64(out + 16, inode->rdev);
	put_le64(out + 24, inode->size);
	put_le64(out + 32, inode->blocks);
	put_le64(out + 40, inode->unwritten);
	put_le64(out + 48, inode->generation);
	put_le64(out + 56, inode->parent);
	put_le64(out + 64, inode->entries);
	put_time(out + 72, &inode->atime);
	put_time(out + 84, &inode->mtime);
	put_time(out + 96, &inode->ctime);
	put_time(out + 108, &inode->btime);
	put_le32(out + 120, (inode->inlined ? INODE_INLINED : 0) |
				    (inode->in_place ? INODE_IN_PLACE : 0) |
				    (inode->covered ? INODE_COVERED : 0));
	put_le32(out + 124, 0);
}

static bool mode_is_valid(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return (mode & ~(uint32_t)(S_IFMT | 07777)) == 0;
	default:
		return false;
	}
}

int fspf_inode_decode(const void *in, size_t len, struct fspf_inode_item *ret)
{
	const uint8_t *p = in;
	struct fspf_inode_item i = {0};

	if (len != FSPF_INODE_SIZE)
		return -EBADMSG;
	i.mode = get_le32(p);
	i.nlink = get_le32(p + 4);
	i.uid = get_le32(p + 8);
	i.gid = get_le32(p + 12);
	i.rdev = get_le64(p + 16);
	i.size = get_le64(p + 24);
	i.blocks = get_le64(p + 32);
	i.unwritten = get_le64(p + 40);
	i.generation = get_le64(p + 48);
	i.parent = get_le64(p + 56);
	i.entries = get_le64(p + 64);
	if (get_time(p + 72, &i.atime) || get_time(p + 84, &i.mtime) ||
	    get_time(p + 96, &i.ctime) || get_time(p + 108, &i.btime))
		return -EBADMSG;
	i.inlined = get_le32(p + 120) & INODE_INLINED;
	i.in_place = get_le32(p + 120) & INODE_IN_PLACE;
	i.covered = get_le32(p + 120) & INODE_COVERED;
	if (get_le32(p + 120) & ~(INODE_INLINED | INODE_IN_PLACE | INODE_COVERED) ||
	    get_le32(p + 124) || !mode_is_valid(i.mode) || i.size > FSPF_FILE_SIZE_MAX ||
	    i.parent > FSPF_OBJECT_MAX)
		return -EBADMSG;
	if (i.inlined && (!S_ISREG(i.mode) || i.size > FSPF_INLINE_MAX))
		return -EBADMSG;
	if (i.in_place && (!S_ISREG(i.mode) || i.inlined))
		return -EBADMSG;
	if (i.covered && !S_ISDIR(i.mode))
		return -EBADMSG;
	*ret = i;
	return 0;
}

static bool type_is_valid(uint8_t type)
{
	return mode_is_valid(DTTOIF((uint32_t)type));
}

int fspf_name_check(const char *name, size_t *ret_len)
{
	size_t len = strnlen(name, FSPF_NAME_MAX + 1);

	if (len > FSPF_NAME_MAX)
		return -ENAMETOOLONG;
	if (len == 0 || memchr(name, '/', len) || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	*ret_len = len;
	return 0;
}

size_t fspf_dirent_encode(const struct fspf_dirent_item *d,
			  uint8_t out[static FSPF_DIRENT_SIZE_MAX])
{
	put_le64(out, d->object);
	out[8] = d->type;
	memcpy(out + 9, d->name, d->name_len);
	return 9 + d->name_len;
}

int fspf_dirent_decode(const void *in, size_t len, struct fspf_dirent_item *ret)
{
	const uint8_t *p = in;
	struct fspf_dirent_item d;
	size_t name_len;

	if (len <= 9 || len > FSPF_DIRENT_SIZE_MAX)
		return -EBADMSG;
	d.object = get_le64(p);
	d.type = p[8];
	d.name_len = len - 9;
	memcpy(d.name, p + 9, d.name_len);
	d.name[d.name_len] = 0;
	if (d.object == 0 || d.object > FSPF_OBJECT_MAX || !type_is_valid(d.type) ||
	    fspf_name_check(d.name, &name_len) || name_len != d.name_len)
		return -EBADMSG;
	*ret = d;
	return 0;
}

size_t fspf_extent_encode(const struct fspf_extent *e, enum crypto_class class,
			  uint8_t out[static FSPF_EXTENT_SIZE_MAX])
{
	size_t tags = e->addr ? (size_t)e->count * fspf_tag_size(class) : 0;

	put_le64(out, e->addr);
	put_le64(out + 8, e->birth);
	put_le64(out + 16, e->counter);
	put_le32(out + 24, e->session);
	put_le32(out + 28, e->count);
	memcpy(out + FSPF_EXTENT_HEAD, e->tags, tags);
	return FSPF_EXTENT_HEAD + tags;
}

int fspf_extent_decode(const struct merkle_key *key, const void *in, size_t len,
		       enum crypto_class class, struct fspf_extent *ret)
{
	const uint8_t *p = in;
	size_t tags;

	if (len < FSPF_EXTENT_HEAD || len > FSPF_EXTENT_SIZE_MAX)
		return -EBADMSG;
	ret->first = key->offset;
	ret->addr = get_le64(p);
	ret->birth = get_le64(p + 8);
	ret->counter = get_le64(p + 16);
	ret->session = get_le32(p + 24);
	ret->count = get_le32(p + 28);
	if (ret->count == 0 || ret->first > FSPF_FILE_SIZE_MAX / FSPF_BLOCK_SIZE)
		return -EBADMSG;
	if (!ret->addr)
		return len == FSPF_EXTENT_HEAD && !ret->birth && !ret->session && !ret->counter &&
				       ret->count <= FSPF_UNWRITTEN_BLOCKS_MAX
			       ? 0
			       : -EBADMSG;
	if (ret->count > fspf_extent_blocks(class) || ret->birth == 0 ||
	    (class == CRYPTO_CLASS_AUTHENTICATED && (ret->session || ret->counter)))
		return -EBADMSG;
	tags = (size_t)ret->count * fspf_tag_size(class);
	if (len != FSPF_EXTENT_HEAD + tags)
		return -EBADMSG;
	memcpy(ret->tags, p + FSPF_EXTENT_HEAD, tags);
	return 0;
}

void fspf_extent_seal(const struct fspf_extent *e, enum crypto_class class, uint32_t i,
		      struct crypto_seal *ret)
{
	uint32_t size = fspf_tag_size(class);

	ret->session = e->session;
	ret->counter = class == CRYPTO_CLASS_ENCRYPTED ? e->counter + i : 0;
	memset(ret->tag, 0, sizeof(ret->tag));
	memcpy(ret->tag, e->tags + (size_t)i * size, size);
}

void fspf_data_aad(const uint8_t identity[static MERKLE_IDENTITY_SIZE], uint64_t object,
		   uint64_t block, uint8_t out[static FSPF_DATA_AAD_SIZE])
{
	memcpy(out, identity, MERKLE_IDENTITY_SIZE);
	memcpy(out + 20, "data", 4);
	put_le64(out + 24, object);
	put_le64(out + 32, block);
}

/* ---- contents in place ---- */

/* One component, up to @end: neither "" nor "." nor "..". */
static bool component_is_proper(const char *name, const char *end)
{
	size_t len = (size_t)(end - name);

	return len && (len > 2 || memcmp(name, "..", len) != 0);
}

int fspf_host_path_check(const char *path, size_t *ret_len)
{
	size_t len = strnlen(path, FSPF_HOST_PATH_MAX + 1);
	const char *name = path, *end;

	if (len > FSPF_HOST_PATH_MAX)
		return -ENAMETOOLONG;
	do {
		end = name + strcspn(name, "/");
		if (!component_is_proper(name, end))
			return -EINVAL;
		name = end + 1;
	} while (*end);
	*ret_len = len;
	return 0;
}

size_t fspf_in_place_encode(const struct fspf_in_place_item *i,
			    uint8_t out[static FSPF_IN_PLACE_SIZE_MAX])
{
	size_t len = strlen(i->path);

	memcpy(out, i->digest.b, sizeof(i->digest.b));
	memcpy(out + sizeof(i->digest.b), i->path, len);
	return sizeof(i->digest.b) + len;
}

int fspf_in_place_decode(const void *in, size_t len, struct fspf_in_place_item *ret)
{
	const uint8_t *p = in;
	struct fspf_in_place_item i;
	size_t path_len;

	if (len <= sizeof(i.digest.b) || len > FSPF_IN_PLACE_SIZE_MAX)
		return -EBADMSG;
	memcpy(i.digest.b, p, sizeof(i.digest.b));
	memcpy(i.path, p + sizeof(i.digest.b), len - sizeof(i.digest.b));
	i.path[len - sizeof(i.digest.b)] = 0;
	if (crypto_digest_is_zero(&i.digest) || fspf_host_path_check(i.path, &path_len) ||
	    path_len != len - sizeof(i.digest.b))
		return -EBADMSG;
	*ret = i;
	return 0;
}

size_t fspf_verity_encode(const struct fspf_verity_item *i,
			  uint8_t out[static FSPF_VERITY_LEAVES * CRYPTO_DIGEST_SIZE])
{
	memcpy(out, i->leaf, i->count * sizeof(i->leaf[0]));
	return i->count * sizeof(i->leaf[0]);
}

int fspf_verity_decode(const struct merkle_key *key, const void *in, size_t len,
		       struct fspf_verity_item *ret)
{
	ret->first = key->offset;
	ret->count = (uint32_t)(len / sizeof(ret->leaf[0]));
	if (len == 0 || len > sizeof(ret->leaf) || len % sizeof(ret->leaf[0]) ||
	    ret->first % FSPF_VERITY_LEAVES || ret->first > FSPF_FILE_SIZE_MAX / FSPF_BLOCK_SIZE)
		return -EBADMSG;
	memcpy(ret->leaf, in, len);
	for (uint32_t i = 0; i < ret->count; i++)
		if (crypto_digest_is_zero(&ret->leaf[i]))
			return -EBADMSG;
	return 0;
}
