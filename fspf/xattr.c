/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attribute lies under a keyed hash of its name, so finding one is one look at a short range of
 * the tree; names that collide get slots beside each other.  A slot holds the value in pieces: the
 * first begins with the name and the length of all, the others are bytes and nothing else.
 * docs/format.md, "Extended attributes".
 *
 * Reading believes no length: every piece must be the one that the piece before it announced, of
 * the size that follows from the length of all.  A change looks the whole range up first, which
 * finds damage and brings the leaves into memory, before it puts anything; should a later step fail
 * all the same, the volume fails, so that a half-changed value is never committed.
 *
 * ACLs are changed under the names' lock too, because making a file reads its parent's.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "crypto/siphash.h"
#include "fspf/dispatch.h"
#include "fspf/names.h"
#include "fspf/xattr.h"

#define SLOTS 256u
#define PIECE_MAX 2048u /* bytes of the value */
#define HEAD_MIN 5u	/* bytes: length of the name, the name, length of the value */
#define HEAD_MAX (HEAD_MIN + FSPF_XATTR_NAME_MAX)
#define ACL_EMPTY 4u /* bytes: an ACL without entries */

static_assert(HEAD_MAX + PIECE_MAX <= MERKLE_VALUE_MAX, "a first piece fits an item");
static_assert(FSPF_XATTR_VALUE_MAX / PIECE_MAX <= 256, "the number of a piece fits 8 bits");
static_assert(FSPF_XATTR_NAME_MAX <= UINT8_MAX, "the length of a name fits 8 bits");

/* ---- where ---- */

/* The prefix keeps names of attributes apart from names of files, which are hashed under the same
 * key. */
static uint64_t offset_of(const struct fspf_region *region, const char *name, size_t len)
{
	char text[6 + FSPF_XATTR_NAME_MAX] = "xattr";

	memcpy(text + 6, name, len);
	return crypto_siphash(region->hash_key, text, 6 + len) & ~UINT64_C(0xffff);
}

static uint32_t slot_of(uint64_t offset)
{
	return offset >> 8 & 0xff;
}

static struct merkle_key key_of(const struct fspf_inode *inode, uint64_t offset)
{
	return fspf_key(inode->object, FSPF_ITEM_XATTR, offset);
}

/* ---- reading ---- */

struct piece {
	const char *name; /* of a first piece, without a NUL; else NULL */
	size_t name_len;
	uint32_t total; /* bytes of the whole value */
	const uint8_t *data;
	size_t len;
};

static int decode_first(const struct fspf_xattr_walk *w, const struct merkle_key *key,
			const uint8_t *item, size_t len, struct piece *ret)
{
	const char *name = (const char *)item + 1;
	size_t name_len;

	if (len < HEAD_MIN || item[0] == 0 || len < HEAD_MIN + item[0])
		return -EBADMSG;
	name_len = item[0];
	ret->name = name;
	ret->name_len = name_len;
	ret->total = get_le32(item + 1 + name_len);
	ret->data = item + HEAD_MIN + name_len;
	ret->len = len - HEAD_MIN - name_len;
	if (memchr(name, 0, name_len) || ret->total > FSPF_XATTR_VALUE_MAX ||
	    ret->len != min_u64(ret->total, PIECE_MAX) ||
	    offset_of(w->region, name, name_len) != (key->offset & ~UINT64_C(0xffff)))
		return -EBADMSG;
	return 0;
}

/* The next item of the walk: is it the piece that has to come now? */
static int walk_step(struct fspf_xattr_walk *w, const struct merkle_key *key, const void *item,
		     size_t len, struct piece *ret)
{
	bool first = (key->offset & 0xff) == 0;
	int r = 0;

	if (first != (w->left == 0))
		return -EBADMSG;
	if (first) {
		r = decode_first(w, key, item, len, ret);
		if (r)
			return r;
		w->left = ret->total;
	} else {
		if (key->offset != w->next || len != min_u64(w->left, PIECE_MAX))
			return -EBADMSG;
		*ret = (struct piece){.data = item, .len = len};
	}
	w->left -= (uint32_t)ret->len;
	w->next = key->offset + 1;
	return 0;
}

int fspf_xattr_step(struct fspf_xattr_walk *w, const struct merkle_key *key, const void *item,
		    size_t len, const char **ret_name, size_t *ret_name_len)
{
	struct piece p;
	int r = walk_step(w, key, item, len, &p);

	if (r)
		return r;
	*ret_name = p.name;
	*ret_name_len = p.name_len;
	return 0;
}

/* A walk for one name. */
struct search {
	struct fspf_xattr_walk walk;
	const char *name;
	size_t name_len;
	bool load; /* the value too */
	bool here; /* the piece at hand is of this name */

	bool found;
	uint64_t offset; /* of the first piece, if found */
	uint32_t pieces;
	uint32_t free; /* else: the first slot that nobody has */
	uint8_t *value;
	size_t total, got;
};

static int search_first(struct search *s, const struct merkle_key *key, const struct piece *p)
{
	if (slot_of(key->offset) == s->free)
		s->free++;
	s->here = p->name_len == s->name_len && !memcmp(p->name, s->name, p->name_len);
	if (!s->here)
		return 0;
	s->found = true;
	s->offset = key->offset;
	s->total = p->total;
	if (s->load) {
		s->value = malloc(p->total ? p->total : 1);
		if (!s->value)
			return -ENOMEM;
	}
	return 0;
}

static int search_visit(void *ctx, const struct merkle_key *key, const void *item, size_t len)
{
	struct search *s = ctx;
	struct piece p;
	int r = walk_step(&s->walk, key, item, len, &p);

	if (r == 0 && p.name)
		r = search_first(s, key, &p);
	if (r || !s->here)
		return r;
	if (s->value)
		memcpy(s->value + s->got, p.data, p.len);
	s->got += p.len;
	s->pieces++;
	return s->walk.left == 0; /* all of it: done */
}

/* Succeeds whether or not it is there: see ret->found. */
static int search(struct fspf_inode *inode, const char *name, bool load, struct search *ret)
{
	struct merkle_key first, last;
	uint64_t offset;
	int r;

	*ret = (struct search){.walk.region = inode->region, .name = name, .load = load};
	ret->name_len = strlen(name);
	offset = offset_of(inode->region, name, ret->name_len);
	first = key_of(inode, offset);
	last = key_of(inode, offset | 0xffff);
	r = merkle_scan(inode->region->tree, &first, &last, search_visit, ret);
	if (r >= 0)
		r = ret->walk.left ? -EBADMSG : 0;
	if (r) {
		free(ret->value);
		ret->value = NULL;
	}
	return r;
}

int fspf_xattr_load(struct fspf_inode *inode, const char *name, uint8_t **ret, size_t *ret_len)
{
	struct search s;
	int r = search(inode, name, true, &s);

	if (r == 0 && !s.found)
		r = -ENODATA;
	if (r)
		return r;
	*ret = s.value;
	*ret_len = s.total;
	return 0;
}

/* ---- changing ---- */

/* An attribute to be stored. */
struct attribute {
	const char *name;
	const uint8_t *value;
	size_t len;
	uint64_t offset;
};

static int put_piece(struct fspf_inode *inode, const struct attribute *a, uint32_t i)
{
	struct merkle_key key = key_of(inode, a->offset + i);
	size_t name_len = strlen(a->name);
	size_t done = (size_t)i * PIECE_MAX;
	size_t part = (size_t)min_u64(a->len - done, PIECE_MAX);
	uint8_t item[HEAD_MAX + PIECE_MAX];
	size_t head = 0;

	if (i == 0) {
		head = HEAD_MIN + name_len;
		item[0] = (uint8_t)name_len;
		memcpy(item + 1, a->name, name_len);
		put_le32(item + 1 + name_len, (uint32_t)a->len);
	}
	if (part)
		memcpy(item + head, a->value + done, part);
	return merkle_put(inode->region->tree, &key, item, head + part);
}

/* The pieces of @a, in place of @old ones. */
static int put_pieces(struct fspf_volume *v, struct fspf_inode *inode, const struct attribute *a,
		      uint32_t old)
{
	uint32_t n = a->len ? (uint32_t)((a->len + PIECE_MAX - 1) / PIECE_MAX) : 1;
	uint32_t i = 0;
	int r = 0;

	for (; i < n && r == 0; i++)
		r = put_piece(inode, a, i);
	for (; i < old && r == 0; i++) {
		struct merkle_key key = key_of(inode, a->offset + i);

		r = merkle_delete(inode->region->tree, &key);
	}
	if (r && i > 1)
		fspf_volume_fail(v, r, "an extended attribute could not be changed");
	return r;
}

int fspf_xattr_store(struct fspf_volume *v, struct fspf_inode *inode, const char *name,
		     const void *value, size_t len)
{
	struct attribute a = {.name = name, .value = value, .len = len};
	struct search s;
	int r = search(inode, name, false, &s);

	if (r)
		return r;
	if (s.found)
		a.offset = s.offset;
	else if (s.free < SLOTS)
		a.offset = offset_of(inode->region, name, strlen(name)) | (uint64_t)s.free << 8;
	else
		return -ENOSPC;
	return put_pieces(v, inode, &a, s.pieces);
}

int fspf_xattr_delete(struct fspf_volume *v, struct fspf_inode *inode, const char *name)
{
	struct search s;
	uint32_t i = 0;
	int r = search(inode, name, false, &s);

	if (r == 0 && !s.found)
		r = -ENODATA;
	if (r)
		return r;
	for (; i < s.pieces && r == 0; i++) {
		struct merkle_key key = key_of(inode, s.offset + i);

		r = merkle_delete(inode->region->tree, &key);
	}
	if (r && i > 1)
		fspf_volume_fail(v, r, "an extended attribute could not be removed");
	return r;
}

int fspf_xattr_drop_capability(struct fspf_volume *v, struct fspf_inode *inode)
{
	int r = fspf_xattr_delete(v, inode, FSPF_XATTR_CAPABILITY);

	return r == -ENODATA ? 0 : r;
}

/* ---- the public calls ---- */

static int name_check(const char *name)
{
	size_t len = strnlen(name, FSPF_XATTR_NAME_MAX + 1);

	return len == 0 || len > FSPF_XATTR_NAME_MAX ? -ERANGE : 0;
}

/* What the daemon answers itself; nothing is stored there. */
static bool is_own(const char *name)
{
	return !strncmp(name, "fspf.", 5);
}

static bool is_acl(const char *name)
{
	return !strcmp(name, FSPF_XATTR_ACL_ACCESS) || !strcmp(name, FSPF_XATTR_ACL_DEFAULT);
}

ssize_t fspf_tree_getxattr(struct fspf_volume *v, uint64_t ino, const char *name, void *value,
			   size_t size)
{
	struct search s = {.value = NULL};
	struct fspf_inode *inode;
	int r = name_check(name);

	if (r == 0 && is_own(name))
		r = -ENODATA;
	if (r == 0)
		r = fspf_inode_get(v, ino, &inode);
	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	r = search(inode, name, size != 0, &s);
	pthread_mutex_unlock(&inode->lock);
	fspf_inode_put(v, inode, 1);
	if (r == 0 && !s.found)
		r = -ENODATA;
	else if (r == 0 && size && s.total > size)
		r = -ERANGE;
	if (r == 0 && size && s.total)
		memcpy(value, s.value, s.total);
	free(s.value);
	return r ? r : (ssize_t)s.total;
}

struct listing {
	struct fspf_xattr_walk walk;
	char *list;
	size_t size, len;
};

static int list_visit(void *ctx, const struct merkle_key *key, const void *item, size_t len)
{
	struct listing *l = ctx;
	struct piece p;
	int r = walk_step(&l->walk, key, item, len, &p);

	if (r || !p.name)
		return r;
	if (l->size && l->size - l->len < p.name_len + 1)
		return -ERANGE;
	if (l->size) {
		memcpy(l->list + l->len, p.name, p.name_len);
		l->list[l->len + p.name_len] = 0;
	}
	l->len += p.name_len + 1;
	return 0;
}

ssize_t fspf_tree_listxattr(struct fspf_volume *v, uint64_t ino, char *list, size_t size)
{
	struct listing l = {.list = list, .size = size};
	struct merkle_key first, last;
	struct fspf_inode *inode;
	int r = fspf_inode_get(v, ino, &inode);

	if (r)
		return r;
	l.walk.region = inode->region;
	first = key_of(inode, 0);
	last = key_of(inode, UINT64_MAX);
	pthread_mutex_lock(&inode->lock);
	r = merkle_scan(inode->region->tree, &first, &last, list_visit, &l);
	pthread_mutex_unlock(&inode->lock);
	fspf_inode_put(v, inode, 1);
	if (r == 0 && l.walk.left)
		r = -EBADMSG;
	return r ? r : (ssize_t)l.len;
}

static int begin(struct fspf_region *region, const char *name, bool frees)
{
	return is_acl(name) ? fspf_names_begin(region, frees) : fspf_begin(region, frees);
}

static void end(struct fspf_volume *v, const char *name)
{
	if (is_acl(name))
		fspf_names_end(v);
	else
		fspf_end(v);
}

static void changed(struct fspf_volume *v, struct fspf_inode *inode)
{
	fspf_inode_touch(inode, FSPF_TOUCH_CTIME);
	fspf_inode_dirty(v, inode);
}

static int set_plain(struct fspf_volume *v, struct fspf_inode *inode, const struct attribute *a,
		     int flags)
{
	struct search s = {.found = false};
	int r = flags ? search(inode, a->name, false, &s) : 0;

	if (r == 0 && flags & XATTR_CREATE && s.found)
		r = -EEXIST;
	else if (r == 0 && flags & XATTR_REPLACE && !s.found)
		r = -ENODATA;
	if (r == 0)
		r = fspf_xattr_store(v, inode, a->name, a->value, a->len);
	return r;
}

/* Flags mean nothing here, as in Linux: an ACL that says no more than the mode is there and is not
 * stored. */
static int set_acl(struct fspf_volume *v, struct fspf_inode *inode, const struct attribute *a,
		   bool kill_sgid)
{
	bool access = !strcmp(a->name, FSPF_XATTR_ACL_ACCESS);
	uint32_t mode = inode->a.mode;
	bool trivial;
	int r = fspf_acl_to_mode(a->value, a->len, &mode, &trivial);

	if (r)
		return r;
	if (!access)
		trivial = a->len <= ACL_EMPTY;
	if (!access && !trivial && inode->type != S_IFDIR)
		return -EACCES;
	r = trivial ? fspf_xattr_delete(v, inode, a->name)
		    : fspf_xattr_store(v, inode, a->name, a->value, a->len);
	if (r && !(trivial && r == -ENODATA))
		return r;
	if (access)
		inode->a.mode = kill_sgid ? mode & ~(uint32_t)S_ISGID : mode;
	return 0;
}

static int change_check(const char *name, const struct fspf_inode *inode)
{
	if (is_own(name))
		return -EPERM;
	return is_acl(name) && inode->type == S_IFLNK ? -EOPNOTSUPP : 0;
}

int fspf_tree_setxattr(struct fspf_volume *v, uint64_t ino, const char *name, const void *value,
		       size_t size, int flags, bool kill_sgid)
{
	struct attribute a = {.name = name, .value = value, .len = size};
	struct fspf_inode *inode;
	int r = flags & ~(XATTR_CREATE | XATTR_REPLACE) ? -EINVAL : name_check(name);

	if (r == 0 && size > FSPF_XATTR_VALUE_MAX)
		r = -E2BIG;
	if (r == 0)
		r = fspf_inode_get(v, ino, &inode);
	if (r)
		return r;
	r = change_check(name, inode);
	if (r == 0)
		r = begin(inode->region, name, false);
	if (r)
		goto out;
	pthread_mutex_lock(&inode->lock);
	r = is_acl(name) ? set_acl(v, inode, &a, kill_sgid) : set_plain(v, inode, &a, flags);
	if (r == 0)
		changed(v, inode);
	pthread_mutex_unlock(&inode->lock);
	end(v, name);
out:
	fspf_inode_put(v, inode, 1);
	return r;
}

int fspf_tree_removexattr(struct fspf_volume *v, uint64_t ino, const char *name)
{
	struct fspf_inode *inode;
	int r = name_check(name);

	if (r == 0)
		r = fspf_inode_get(v, ino, &inode);
	if (r)
		return r;
	r = change_check(name, inode);
	if (r == 0)
		r = begin(inode->region, name, true);
	if (r)
		goto out;
	pthread_mutex_lock(&inode->lock);
	r = fspf_xattr_delete(v, inode, name);
	if (r == 0)
		changed(v, inode);
	else if (r == -ENODATA && is_acl(name))
		r = 0; /* as in Linux: every file has an ACL, stored or not */
	pthread_mutex_unlock(&inode->lock);
	end(v, name);
out:
	fspf_inode_put(v, inode, 1);
	return r;
}
