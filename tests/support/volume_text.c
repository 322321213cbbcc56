/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/volume_text.c - the state of a model and of a volume as text, in the same words
 *
 * A line a name, sorted by path: type and mode, links, owners, size, device, inode, times, and
 * hashes of contents and extended attributes (order of the latter does not matter: their hashes are
 * added).  Hard links show as two names of one inode.
 */
#include "tests/support/volume_text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/support/volume_model.h"

/* Fast, and good enough among friends: who forges tags is somebody else's test. */
static uint64_t hash_bytes(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t word;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	for (; len; p++, len--)
		h = (h ^ *p) * UINT64_C(0x100000001b3);
	return h ^ h >> 32;
}

static uint64_t hash_xattr(const char *name, const void *value, size_t len)
{
	return hash_bytes(hash_bytes(len + 1, name, strlen(name)), value, len);
}

/* ---- growing text ---- */

struct text {
	char *s;
	size_t n, room;
};

/* What one line says. */
struct line {
	const char *path;
	uint64_t ino, size, rdev, hash, xattrs;
	uint32_t mode, nlink, uid, gid;
	struct timespec mtime, ctime;
};

static void add_line(struct text *t, const struct line *l)
{
	if (t->n + strlen(l->path) + 512 > t->room) {
		t->room = t->room * 2 + strlen(l->path) + 4096;
		t->s = realloc(t->s, t->room);
		if (!t->s)
			abort();
	}
	t->n += (size_t)snprintf(
		t->s + t->n, t->room - t->n,
		"%s %o nlink %u %u:%u size %llu rdev %llx ino %llx mtime %lld.%09ld ctime "
		"%lld.%09ld data %016llx xattrs %016llx\n",
		*l->path ? l->path : "/", l->mode, l->nlink, l->uid, l->gid,
		(unsigned long long)l->size, (unsigned long long)l->rdev,
		(unsigned long long)l->ino, (long long)l->mtime.tv_sec, l->mtime.tv_nsec,
		(long long)l->ctime.tv_sec, l->ctime.tv_nsec, (unsigned long long)l->hash,
		(unsigned long long)l->xattrs);
}

static char *path_of(const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		abort();
	return path;
}

/* ---- the model's ---- */

static int by_name(struct model_entry *a, struct model_entry *b)
{
	return strcmp(a->name, b->name);
}

static void model_line(struct text *t, struct model_inode *inode, const char *path)
{
	struct line l = {
		.path = path,
		.ino = inode->ino,
		.rdev = inode->rdev,
		.mode = inode->mode,
		.nlink = inode->nlink,
		.uid = inode->uid,
		.gid = inode->gid,
		.mtime = inode->mtime,
		.ctime = inode->ctime,
	};

	if (model_is_file(inode)) {
		l.size = inode->size;
		if (!inode->hash_known)
			inode->hash = hash_bytes(1, inode->data, inode->size);
		inode->hash_known = true;
		l.hash = inode->hash;
	} else if (S_ISLNK(inode->mode)) {
		l.size = strlen(inode->target);
		l.hash = hash_bytes(1, inode->target, l.size);
	}
	for (struct model_xattr *x = inode->xattrs; x; x = x->hh.next)
		l.xattrs += hash_xattr(x->name, x->value, x->len);
	add_line(t, &l);
}

static void model_lines(struct text *t, struct model_inode *inode, const char *path)
{
	model_line(t, inode, path);
	HASH_SORT(inode->entries, by_name);
	for (struct model_entry *e = inode->entries; e; e = e->hh.next) {
		char *child = path_of(path, e->name);

		model_lines(t, e->inode, child);
		free(child);
	}
}

char *model_text(struct model *m)
{
	struct text t = {0};

	model_lines(&t, m->root, "");
	return t.s;
}

/* ---- the volume's ---- */

int volume_text_read(struct fspf_volume *v, uint64_t ino, uint8_t *data, uint64_t size)
{
	uint64_t at = 0;
	size_t piece = 70001;

	while (at < size) {
		size_t want = (size_t)(size - at < piece ? size - at : piece);
		ssize_t n = fspf_read(v, ino, at, data + at, want);

		if (n < 0)
			return (int)n;
		if ((size_t)n != want)
			return -ENODATA;
		at += want;
		piece = piece == 70001 ? 65536 : 70001;
	}
	return 0;
}

static int read_hash(struct fspf_volume *v, const struct fspf_attr *attr, uint64_t *ret)
{
	uint8_t *data = malloc(attr->size + 1);
	int r = data ? volume_text_read(v, attr->ino, data, attr->size) : -ENOMEM;

	if (r == 0 && fspf_read(v, attr->ino, attr->size, data, 1) != 0)
		r = -EFBIG;
	if (r == 0)
		*ret = hash_bytes(1, data, attr->size);
	free(data);
	return r;
}

static int readlink_hash(struct fspf_volume *v, const struct fspf_attr *attr, struct line *l)
{
	char target[FSPF_SYMLINK_MAX + 1];
	ssize_t n = fspf_readlink(v, attr->ino, target, sizeof(target));

	if (n < 0)
		return (int)n;
	l->size = (uint64_t)n;
	l->hash = hash_bytes(1, target, (size_t)n);
	return attr->size == (uint64_t)n ? 0 : -EINVAL;
}

static int xattrs_hash(struct fspf_volume *v, uint64_t ino, uint64_t *ret)
{
	char *list = malloc(65536 + FSPF_XATTR_VALUE_MAX);
	char *value = list + 65536;
	ssize_t n = list ? fspf_listxattr(v, ino, list, 65536) : -ENOMEM;
	ssize_t len = 0;

	for (const char *name = list; n > 0 && len >= 0 && name < list + n;
	     name += strlen(name) + 1) {
		len = fspf_getxattr(v, ino, name, value, FSPF_XATTR_VALUE_MAX);
		if (len >= 0)
			*ret += hash_xattr(name, value, (size_t)len);
	}
	free(list);
	return n < 0 ? (int)n : (len < 0 ? (int)len : 0);
}

static int volume_line(struct fspf_volume *v, struct text *t, const struct fspf_attr *attr,
		       const char *path)
{
	struct line l = {
		.path = path,
		.ino = attr->ino,
		.rdev = attr->rdev,
		.mode = attr->mode,
		.nlink = attr->nlink,
		.uid = attr->uid,
		.gid = attr->gid,
		.mtime = attr->mtime,
		.ctime = attr->ctime,
	};
	int r = 0;

	if (S_ISREG(attr->mode)) {
		l.size = attr->size;
		r = read_hash(v, attr, &l.hash);
	} else if (S_ISLNK(attr->mode)) {
		r = readlink_hash(v, attr, &l);
	}
	if (r == 0)
		r = xattrs_hash(v, attr->ino, &l.xattrs);
	if (r == 0)
		add_line(t, &l);
	return r;
}

struct listed {
	char *name;
	struct fspf_attr attr;
};

struct list {
	struct listed *e;
	size_t n, room;
};

static int list_entry(void *ctx, const struct fspf_entry *entry)
{
	struct list *list = ctx;

	if (!strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
		return 0;
	if (!entry->attr || entry->type != IFTODT(entry->attr->mode) ||
	    entry->ino != entry->attr->ino)
		return -EBADMSG;
	if (list->n == list->room) {
		list->room = list->room * 2 + 16;
		list->e = reallocarray(list->e, list->room, sizeof(*list->e));
		if (!list->e)
			abort();
	}
	list->e[list->n].name = strdup(entry->name);
	list->e[list->n++].attr = *entry->attr;
	return 0;
}

static int by_listed(const void *a, const void *b)
{
	return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

static int volume_lines(struct fspf_volume *v, struct text *t, const struct fspf_attr *attr,
			const char *path);

/* What readdir says must be what lookup says. */
static int child_lines(struct fspf_volume *v, struct text *t, uint64_t dir, const struct listed *e,
		       const char *path)
{
	char *child = path_of(path, e->name);
	struct fspf_attr attr;
	int r = fspf_lookup(v, dir, e->name, &attr);

	if (r == 0) {
		r = attr.ino == e->attr.ino ? volume_lines(v, t, &attr, child) : -EBADMSG;
		fspf_forget(v, attr.ino, 1);
	}
	free(child);
	return r;
}

static int volume_lines(struct fspf_volume *v, struct text *t, const struct fspf_attr *attr,
			const char *path)
{
	struct list list = {0};
	int r = volume_line(v, t, attr, path);

	if (r == 0 && S_ISDIR(attr->mode))
		r = fspf_readdir(v, attr->ino, 0, true, list_entry, &list);
	if (list.n)
		qsort(list.e, list.n, sizeof(*list.e), by_listed);
	for (size_t i = 0; i < list.n; i++) {
		if (r == 0)
			r = child_lines(v, t, attr->ino, &list.e[i], path);
		fspf_forget(v, list.e[i].attr.ino, 1);
		free(list.e[i].name);
	}
	free(list.e);
	return r;
}

char *model_volume_text(struct fspf_volume *v, int *ret_error)
{
	struct fspf_attr attr;
	struct text t = {0};
	int r = fspf_getattr(v, FSPF_ROOT, &attr);

	if (r == 0)
		r = volume_lines(v, &t, &attr, "");
	*ret_error = r;
	if (r) {
		free(t.s);
		t.s = NULL;
	}
	return t.s;
}

void model_text_difference(const char *should, const char *is)
{
	while (*should && *is) {
		size_t a = strcspn(should, "\n"), b = strcspn(is, "\n");

		if (a != b || memcmp(should, is, a))
			fprintf(stderr, "-%.*s\n+%.*s\n", (int)a, should, (int)b, is);
		if (strncmp(should, is, strcspn(should, " ") + 1))
			return; /* from here on the lines are not of the same names */
		should += a + (should[a] == '\n');
		is += b + (is[b] == '\n');
	}
	if (*should || *is)
		fprintf(stderr, "-%.300s\n+%.300s\n", should, is);
}
