/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change goes extent by extent: find the next one that overlaps, cut it to what remains, release
 * the middle.  The piece behind the cut is put first: that is the step that may need room and fail,
 * and until then nothing has changed.
 *
 *   E1  extents of a file never overlap
 *   E2  blocks and unwritten of inode and region are the sums over their extents
 */
#include <errno.h>

#include "fspf/extent.h"

struct found {
	enum crypto_class class;
	struct fspf_extent *e;
	int error;
};

static int first_visit(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct found *f = ctx;

	f->error = fspf_extent_decode(key, value, len, f->class, f->e);
	return 1;
}

static int decode_at(struct fspf_inode *inode, const struct merkle_key *key, const uint8_t *value,
		     size_t len, struct fspf_extent *ret)
{
	return fspf_extent_decode(key, value, len, inode->region->class, ret);
}

/* The last extent that begins at or before @block. */
static int find_before(struct fspf_inode *inode, uint64_t block, struct fspf_extent *ret)
{
	struct merkle_key from = fspf_key(inode->object, FSPF_ITEM_EXTENT, 0);
	struct merkle_key to = fspf_key(inode->object, FSPF_ITEM_EXTENT, block);
	struct merkle_key key;
	uint8_t value[FSPF_EXTENT_SIZE_MAX];
	size_t len;
	int r = merkle_get_last(inode->region->tree, &from, &to, &key, value, sizeof(value), &len);

	if (r == -ERANGE)
		r = -EBADMSG;
	return r ? r : decode_at(inode, &key, value, len, ret);
}

int fspf_map_next(struct fspf_inode *inode, uint64_t block, uint64_t last, struct fspf_extent *ret)
{
	struct merkle_key from = fspf_key(inode->object, FSPF_ITEM_EXTENT, block);
	struct merkle_key to = fspf_key(inode->object, FSPF_ITEM_EXTENT, last);
	struct found f = {.class = inode->region->class, .e = ret};
	int r = find_before(inode, block, ret);

	if (r != -ENOENT && (r || ret->first + ret->count > block))
		return r;
	r = merkle_scan(inode->region->tree, &from, &to, first_visit, &f);
	if (r < 0)
		return r;
	return r == 0 ? -ENOENT : f.error;
}

struct mapping {
	enum crypto_class class;
	uint64_t first;
	uint32_t count;
	struct fspf_block *ret;
};

static void map_extent(const struct mapping *m, const struct fspf_extent *e)
{
	uint64_t from = max_u64(e->first, m->first);
	uint64_t to = min_u64(e->first + e->count, m->first + m->count);

	for (uint64_t b = from; b < to && e->addr; b++) {
		struct fspf_block *out = &m->ret[b - m->first];

		out->addr = e->addr + (b - e->first);
		fspf_extent_seal(e, m->class, (uint32_t)(b - e->first), &out->seal);
	}
}

static int map_visit(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	const struct mapping *m = ctx;
	struct fspf_extent e;
	int r = fspf_extent_decode(key, value, len, m->class, &e);

	if (r == 0)
		map_extent(m, &e);
	return r;
}

int fspf_map_read(struct fspf_inode *inode, uint64_t first, uint32_t count, struct fspf_block *ret)
{
	struct mapping m = {inode->region->class, first, count, ret};
	struct merkle_key from = fspf_key(inode->object, FSPF_ITEM_EXTENT, first + 1);
	struct merkle_key to = fspf_key(inode->object, FSPF_ITEM_EXTENT, first + count - 1);
	struct fspf_extent e;
	int r;

	memset(ret, 0, count * sizeof(*ret));
	if (inode->a.blocks == 0)
		return 0;
	r = find_before(inode, first, &e);
	if (r == 0)
		map_extent(&m, &e);
	else if (r != -ENOENT)
		return r;
	return count > 1 ? merkle_scan(inode->region->tree, &from, &to, map_visit, &m) : 0;
}

/* ---- changing ---- */

static int put_extent(struct fspf_inode *inode, const struct fspf_extent *e)
{
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_EXTENT, e->first);
	uint8_t value[FSPF_EXTENT_SIZE_MAX];
	size_t len = fspf_extent_encode(e, inode->region->class, value);

	return merkle_put(inode->region->tree, &key, value, len);
}

/* The piece of @e from block @from (of the file) on, @count blocks. */
static void slice(const struct fspf_extent *e, enum crypto_class class, uint64_t from,
		  uint64_t count, struct fspf_extent *ret)
{
	uint32_t skip = (uint32_t)(from - e->first);
	uint32_t size = fspf_tag_size(class);

	ret->first = from;
	ret->count = (uint32_t)count;
	ret->birth = e->birth;
	ret->session = e->session;
	ret->addr = e->addr ? e->addr + skip : 0;
	ret->counter = e->session ? e->counter + skip : 0;
	if (e->addr)
		memcpy(ret->tags, e->tags + (size_t)skip * size, (size_t)count * size);
}

/* E2 */
static void account(struct fspf_inode *inode, bool written, int64_t blocks)
{
	if (written) {
		inode->a.blocks += (uint64_t)blocks;
		atomic_fetch_add(&inode->region->blocks, (uint64_t)blocks);
	} else {
		inode->a.unwritten += (uint64_t)blocks;
		atomic_fetch_add(&inode->region->unwritten, (uint64_t)blocks);
	}
}

static void release(struct fspf_inode *inode, const struct fspf_extent *e, uint64_t from,
		    uint64_t count)
{
	account(inode, e->addr, -(int64_t)count);
	if (e->addr)
		fspf_home_release(inode->region->home, e->addr + (from - e->first), count,
				  e->birth);
	else
		fspf_space_unpromise(inode->region->home->space, count);
}

/* Cut the blocks first .. last out of @e, which overlaps them. */
static int cut(struct fspf_volume *v, struct fspf_inode *inode, const struct fspf_extent *e,
	       uint64_t first, uint64_t last, bool keep_space)
{
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_EXTENT, e->first);
	enum crypto_class class = inode->region->class;
	uint64_t end = e->first + e->count;
	uint64_t from = max_u64(first, e->first), to = min_u64(last + 1, end);
	struct fspf_extent piece;
	int r;

	if (to < end) {
		slice(e, class, to, end - to, &piece);
		r = put_extent(inode, &piece);
		if (r)
			return r;
	}
	if (from > e->first) {
		slice(e, class, e->first, from - e->first, &piece);
		r = put_extent(inode, &piece);
	} else {
		r = merkle_delete(inode->region->tree, &key);
	}
	if (r) {
		if (to < end)
			fspf_volume_fail(v, r, "a file's block map could not be changed");
		return r;
	}
	if (keep_space)
		account(inode, e->addr, -(int64_t)(to - from));
	else
		release(inode, e, from, to - from);
	return 0;
}

static int punch(struct fspf_volume *v, struct fspf_inode *inode, uint64_t first, uint64_t last,
		 bool *ret_changed)
{
	struct fspf_extent e;
	uint64_t at = first;
	int r = 0;

	if (inode->a.blocks == 0 && inode->a.unwritten == 0)
		return 0;
	while (at <= last) {
		r = fspf_map_next(inode, at, last, &e);
		if (r)
			break;
		r = cut(v, inode, &e, first, last, false);
		if (r)
			break;
		*ret_changed = true;
		at = e.first + e.count;
	}
	return r == -ENOENT ? 0 : r;
}

int fspf_map_punch(struct fspf_volume *v, struct fspf_inode *inode, uint64_t first, uint64_t last)
{
	bool changed = false;
	int r = punch(v, inode, first, last, &changed);

	if (r && changed)
		fspf_volume_fail(v, r, "a file's block map could not be changed");
	return r;
}

int fspf_map_put(struct fspf_volume *v, struct fspf_inode *inode, const struct fspf_extent *e)
{
	bool changed = false;
	int r = punch(v, inode, e->first, e->first + e->count - 1, &changed);

	if (r == 0)
		r = put_extent(inode, e);
	if (r && changed)
		fspf_volume_fail(v, r, "a file's block map could not be changed");
	if (r == 0)
		account(inode, e->addr, e->count);
	return r;
}

int fspf_map_take_unwritten(struct fspf_volume *v, struct fspf_inode *inode, uint64_t block,
			    bool *ret_taken)
{
	struct fspf_extent e;
	int r;

	*ret_taken = false;
	if (inode->a.unwritten == 0)
		return 0;
	r = find_before(inode, block, &e);
	if (r == -ENOENT || (r == 0 && (e.addr || e.first + e.count <= block)))
		return 0;
	if (r == 0)
		r = cut(v, inode, &e, block, block, true);
	if (r == 0)
		*ret_taken = true;
	return r;
}
