/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries are placed by a keyed hash, so that cookies are stable and nobody without the key can
 * choose names that collide.  Those that do collide share the upper bits of the offset and differ
 * in the low eight: looking a name up scans that range, which nearly always holds one item.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "crypto/siphash.h"
#include "fspf/dir.h"

#define SLOTS 256u

uint64_t fspf_dir_place_of(const struct fspf_region *region, const char *name, size_t len)
{
	uint64_t h = crypto_siphash(region->hash_key, name, len) >> 1;

	return max_u64(h & ~(uint64_t)(SLOTS - 1), FSPF_DIR_FIRST);
}

struct search {
	const char *name;
	size_t len;
	struct fspf_dirent_item *ret;
	uint64_t offset;
	uint64_t free; /* the first offset of the range that no entry has */
};

static int match(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct search *s = ctx;
	int r = fspf_dirent_decode(value, len, s->ret);

	if (r)
		return r;
	if (key->offset == s->free)
		s->free++;
	s->offset = key->offset;
	return s->ret->name_len == s->len && !memcmp(s->ret->name, s->name, s->len);
}

/* 1: found, 0: not there (s->free is then where it could go), or an error. */
static int search(struct fspf_region *region, uint64_t dir, const char *name, struct search *s)
{
	struct merkle_key first, last;
	uint64_t place;

	s->name = name;
	s->len = strlen(name);
	place = fspf_dir_place_of(region, name, s->len);
	s->free = place;
	first = fspf_key(dir, FSPF_ITEM_DIRENT, place);
	last = fspf_key(dir, FSPF_ITEM_DIRENT, place + SLOTS - 1);
	return merkle_scan(region->tree, &first, &last, match, s);
}

int fspf_dir_find(struct fspf_region *region, uint64_t dir, const char *name,
		  struct fspf_dirent_item *ret, uint64_t *ret_offset)
{
	struct fspf_dirent_item d;
	struct search s = {.ret = &d};
	int r = search(region, dir, name, &s);

	if (r <= 0)
		return r ? r : -ENOENT;
	*ret = d;
	if (ret_offset)
		*ret_offset = s.offset;
	return 0;
}

int fspf_dir_place(struct fspf_region *region, uint64_t dir, const char *name, uint64_t *ret_offset)
{
	struct fspf_dirent_item d;
	struct search s = {.ret = &d};
	int r = search(region, dir, name, &s);

	if (r)
		return r < 0 ? r : -EEXIST;
	if (s.free >= fspf_dir_place_of(region, name, s.len) + SLOTS)
		return -ENOSPC;
	*ret_offset = s.free;
	return 0;
}

int fspf_dir_put(struct fspf_region *region, uint64_t dir, uint64_t offset, uint64_t object,
		 uint32_t mode, const char *name)
{
	struct merkle_key key = fspf_key(dir, FSPF_ITEM_DIRENT, offset);
	struct fspf_dirent_item d = {.object = object, .type = (uint8_t)IFTODT(mode)};
	uint8_t value[FSPF_DIRENT_SIZE_MAX];

	d.name_len = strlen(name);
	memcpy(d.name, name, d.name_len + 1);
	return merkle_put(region->tree, &key, value, fspf_dirent_encode(&d, value));
}

int fspf_dir_remove(struct fspf_region *region, uint64_t dir, uint64_t offset)
{
	struct merkle_key key = fspf_key(dir, FSPF_ITEM_DIRENT, offset);

	return merkle_delete(region->tree, &key);
}

struct search_object {
	uint64_t object;
	struct fspf_dirent_item *ret;
};

static int match_object(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct search_object *s = ctx;
	int r = fspf_dirent_decode(value, len, s->ret);

	(void)key;
	return r ? r : s->ret->object == s->object;
}

int fspf_dir_find_object(struct fspf_region *region, uint64_t dir, uint64_t object,
			 struct fspf_dirent_item *ret)
{
	struct merkle_key first = fspf_key(dir, FSPF_ITEM_DIRENT, 0);
	struct merkle_key last = fspf_key(dir, FSPF_ITEM_DIRENT, UINT64_MAX);
	struct search_object s = {object, ret};
	int r = merkle_scan(region->tree, &first, &last, match_object, &s);

	return r <= 0 ? (r ? r : -ENOENT) : 0;
}

int fspf_dir_parent(struct fspf_region *region, uint64_t object, uint64_t *ret)
{
	struct fspf_inode *inode;
	int r = fspf_inode_get(region->v, fspf_ino(region, object), &inode);

	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	*ret = inode->a.parent;
	pthread_mutex_unlock(&inode->lock);
	fspf_inode_put(region->v, inode, 1);
	return 0;
}
