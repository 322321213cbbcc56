/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/volume_model.c - the model's tree: made, changed, read from a volume */
#include "tests/support/volume_model.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/support/volume_text.h"

_Noreturn void model_fail(const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "FAILED: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

struct model_inode *model_inode_new(struct model *m, const struct fspf_attr *attr)
{
	struct model_inode *inode = calloc(1, sizeof(*inode));

	if (m->ninodes == m->room) {
		m->room = m->room ? m->room * 2 : 64;
		m->inode = reallocarray(m->inode, m->room, sizeof(struct model_inode *));
	}
	if (!inode || !m->inode)
		abort();
	inode->ino = attr->ino;
	inode->mode = attr->mode;
	inode->nlink = attr->nlink;
	inode->uid = attr->uid;
	inode->gid = attr->gid;
	inode->rdev = attr->rdev;
	inode->mtime = attr->mtime;
	inode->ctime = attr->ctime;
	inode->at = m->ninodes;
	m->inode[m->ninodes++] = inode;
	return inode;
}

static void inode_free(struct model_inode *inode)
{
	struct model_entry *e, *next;

	HASH_ITER (hh, inode->entries, e, next) {
		HASH_DEL(inode->entries, e);
		free(e->name);
		free(e);
	}
	while (inode->xattrs)
		model_delete_xattr(inode, inode->xattrs->name);
	free(inode->data);
	free(inode->target);
	free(inode);
}

static void forget(struct model *m, struct model_inode *inode)
{
	m->inode[inode->at] = m->inode[--m->ninodes];
	m->inode[inode->at]->at = inode->at;
	inode_free(inode);
}

void model_inode_drop(struct model *m, struct model_inode *inode)
{
	if (inode->nlink == 0 && inode->held == 0)
		forget(m, inode);
}

void model_drop_nameless(struct model *m)
{
	for (size_t i = m->ninodes; i-- > 0;) {
		m->inode[i]->held = 0;
		model_inode_drop(m, m->inode[i]);
	}
}

struct model *model_free(struct model *m)
{
	if (m) {
		for (size_t i = 0; i < m->ninodes; i++)
			inode_free(m->inode[i]);
		free(m->inode);
		free(m);
	}
	return NULL;
}

struct model_inode *model_find(const struct model_inode *dir, const char *name)
{
	struct model_entry *e;

	HASH_FIND_STR(dir->entries, name, e);
	return e ? e->inode : NULL;
}

void model_enter(struct model_inode *dir, const char *name, struct model_inode *inode)
{
	struct model_entry *e;

	HASH_FIND_STR(dir->entries, name, e);
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e || !(e->name = strdup(name)))
			abort();
		HASH_ADD_KEYPTR(hh, dir->entries, e->name, strlen(e->name), e);
	}
	e->inode = inode;
	if (model_is_dir(inode))
		inode->parent = dir;
}

void model_leave(struct model_inode *dir, const char *name)
{
	struct model_entry *e;

	HASH_FIND_STR(dir->entries, name, e);
	HASH_DEL(dir->entries, e);
	free(e->name);
	free(e);
}

void model_resize(struct model_inode *inode, uint64_t size)
{
	if (size > inode->size) {
		inode->data = realloc(inode->data, size);
		if (!inode->data)
			abort();
		memset(inode->data + inode->size, 0, size - inode->size);
	}
	inode->size = size;
	inode->hash_known = false;
}

struct model_xattr *model_find_xattr(const struct model_inode *inode, const char *name)
{
	struct model_xattr *x;

	HASH_FIND_STR(inode->xattrs, name, x);
	return x;
}

void model_delete_xattr(struct model_inode *inode, const char *name)
{
	struct model_xattr *x = model_find_xattr(inode, name);

	HASH_DEL(inode->xattrs, x);
	free(x->name);
	free(x->value);
	free(x);
}

void model_set_xattr(struct model_inode *inode, const char *name, const void *value, size_t len)
{
	struct model_xattr *x;

	if (model_find_xattr(inode, name))
		model_delete_xattr(inode, name);
	x = calloc(1, sizeof(*x));
	if (!x || !(x->name = strdup(name)) || !(x->value = malloc(len + 1)))
		abort();
	memcpy(x->value, value, len);
	x->len = len;
	HASH_ADD_KEYPTR(hh, inode->xattrs, x->name, strlen(x->name), x);
}

void model_changed(struct model *m, struct model_inode *inode)
{
	inode->changed = m->step;
	inode->stale = true;
	inode->hash_known = false;
}

/* Reading may fail once, where a test has ordered that. */
static int getattr(struct fspf_volume *v, uint64_t ino, struct fspf_attr *ret)
{
	int r = -EIO;

	for (int i = 0; i < 3 && r == -EIO; i++)
		r = fspf_getattr(v, ino, ret);
	return r;
}

bool model_copy_times(struct model *m, struct fspf_volume *v)
{
	struct fspf_attr attr;
	bool all = true;

	for (size_t i = 0; i < m->ninodes; i++) {
		struct model_inode *inode = m->inode[i];
		int r = inode->stale ? getattr(v, inode->ino, &attr) : 0;

		if (r && r != -EIO)
			model_fail("inode %#llx: %d", (unsigned long long)inode->ino, r);
		if (inode->stale && r == 0) {
			inode->stale = false;
			inode->mtime = attr.mtime;
			inode->ctime = attr.ctime;
		}
		all = all && r == 0;
	}
	return all;
}

/* ---- reading a volume ---- */

struct loading {
	struct model *m;
	struct fspf_volume *v;
	struct model_inode *dir;
};

static struct model_inode *by_ino(struct model *m, uint64_t ino)
{
	for (size_t i = 0; i < m->ninodes; i++)
		if (m->inode[i]->ino == ino)
			return m->inode[i];
	return NULL;
}

static void load_xattrs(struct fspf_volume *v, struct model_inode *inode)
{
	static char list[65536];
	static uint8_t value[FSPF_XATTR_VALUE_MAX];
	ssize_t n = fspf_listxattr(v, inode->ino, list, sizeof(list));

	for (const char *name = list; n > 0 && name < list + n; name += strlen(name) + 1) {
		ssize_t len = fspf_getxattr(v, inode->ino, name, value, sizeof(value));

		if (len < 0)
			model_fail("xattr %s of %#llx: %zd", name, (unsigned long long)inode->ino,
				   len);
		model_set_xattr(inode, name, value, (size_t)len);
	}
	if (n < 0)
		model_fail("xattrs of %#llx: %zd", (unsigned long long)inode->ino, n);
}

static void load_contents(struct fspf_volume *v, struct model_inode *inode, uint64_t size)
{
	char target[FSPF_SYMLINK_MAX + 1];

	if (model_is_file(inode)) {
		model_resize(inode, size);
		if (volume_text_read(v, inode->ino, inode->data, size))
			model_fail("inode %#llx cannot be read", (unsigned long long)inode->ino);
	} else if (S_ISLNK(inode->mode)) {
		if (fspf_readlink(v, inode->ino, target, sizeof(target)) < 0 ||
		    !(inode->target = strdup(target)))
			model_fail("symlink %#llx", (unsigned long long)inode->ino);
	}
	load_xattrs(v, inode);
}

static void load_dir(struct model *m, struct fspf_volume *v, struct model_inode *dir);

static int load_entry(void *ctx, const struct fspf_entry *entry)
{
	struct loading *l = ctx;
	struct model_inode *inode;

	if (!strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
		return 0;
	if (!entry->attr)
		model_fail("%s has no attributes", entry->name);
	inode = by_ino(l->m, entry->ino);
	if (!inode) {
		inode = model_inode_new(l->m, entry->attr);
		load_contents(l->v, inode, entry->attr->size);
		if (model_is_dir(inode))
			load_dir(l->m, l->v, inode);
	}
	model_enter(l->dir, entry->name, inode);
	inode->pinned |= model_region(inode) != model_region(l->dir);
	l->dir->pinned |= inode->pinned;
	fspf_forget(l->v, entry->ino, 1);
	return 0;
}

static void load_dir(struct model *m, struct fspf_volume *v, struct model_inode *dir)
{
	struct loading l = {m, v, dir};
	int r = fspf_readdir(v, dir->ino, 0, true, load_entry, &l);

	if (r)
		model_fail("directory %#llx: %d", (unsigned long long)dir->ino, r);
}

struct model *model_load(struct fspf_volume *v)
{
	struct model *m = calloc(1, sizeof(*m));
	struct fspf_attr attr;

	if (!m)
		abort();
	if (fspf_getattr(v, FSPF_ROOT, &attr))
		model_fail("no root");
	m->root = model_inode_new(m, &attr);
	load_xattrs(v, m->root);
	load_dir(m, v, m->root);
	return m;
}
