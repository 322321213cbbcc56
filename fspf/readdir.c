/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a directory: entries are copied out of the tree a bufferful at a time, under its lock,
 * and told to the caller afterwards, so that the callback may do as it likes.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/dispatch.h"
#include "fspf/dir.h"
#include "fspf/locked.h"

#define GATHER 64u /* entries at a time */

struct gathered {
	struct {
		uint64_t offset;
		struct fspf_dirent_item d;
	} entry[GATHER];
	uint32_t n;
};

static int gather(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct gathered *g = ctx;
	int r = fspf_dirent_decode(value, len, &g->entry[g->n].d);

	if (r)
		return r;
	g->entry[g->n++].offset = key->offset;
	return g->n == GATHER ? 1 : 0;
}

struct telling {
	struct fspf_volume *v;
	bool with_attr;
	fspf_entry_fn *entry;
	void *ctx;
};

static int tell(const struct telling *t, const char *name, uint8_t type, uint64_t ino,
		uint64_t cookie)
{
	const struct fspf_entry e = {.name = name, .ino = ino, .cookie = cookie, .type = type};

	return t->entry(t->ctx, &e);
}

/* An entry whose inode is gone by now (unlinked beside us) is passed over, and so is the place of a
 * region that the host does not have. */
static int tell_attr(const struct telling *t, const struct fspf_dirent_item *d, uint64_t cookie,
		     struct fspf_region *over, uint64_t ino)
{
	struct fspf_entry e = {.name = d->name, .cookie = cookie, .type = d->type};
	struct fspf_attr attr;
	int r = over ? fspf_reference_top(over, &attr) : fspf_reference(t->v, ino, &attr);

	if (r)
		return r == -ESTALE || (over && r == -ENOENT) ? 0 : r;
	e.ino = attr.ino;
	e.attr = &attr;
	r = t->entry(t->ctx, &e);
	if (r)
		fspf_forget(t->v, attr.ino, 1);
	return r;
}

/* A covered directory shows what covers it.  A damaged child must not hide its siblings: it is told
 * without attributes, so that its name is seen. */
static int tell_child(const struct telling *t, const struct fspf_region *region,
		      const struct fspf_dirent_item *d, uint64_t cookie)
{
	struct fspf_region *over = fspf_region_covering(region, d->object);
	uint64_t ino = over ? fspf_ino(over, FSPF_OBJECT_ROOT) : fspf_ino(region, d->object);
	int r;

	if (over && !over->tree && !over->passed)
		return 0; /* the host does not have it: a lookup would not find it either */
	r = t->with_attr ? tell_attr(t, d, cookie, over, ino) : -EBADMSG;

	return r == -EBADMSG ? tell(t, d->name, d->type, ino, cookie) : r;
}

static uint64_t parent_ino(struct fspf_inode *dir)
{
	uint64_t parent;

	if (dir->object == FSPF_OBJECT_ROOT) {
		const struct fspf_region *region = dir->region;
		uint64_t up;

		if (!region->cover)
			return dir->ino;
		if (fspf_dir_parent(region->cover, region->cover_object, &up))
			return FSPF_ROOT;
		return fspf_ino(region->cover, up);
	}
	pthread_mutex_lock(&dir->lock);
	parent = dir->a.parent;
	pthread_mutex_unlock(&dir->lock);
	return fspf_ino(dir->region, parent);
}

static int tell_dots(const struct telling *t, struct fspf_inode *dir, uint64_t cookie)
{
	int r = 0;

	if (cookie < FSPF_DIR_DOT)
		r = tell(t, ".", DT_DIR, dir->ino, FSPF_DIR_DOT);
	if (r == 0 && cookie < FSPF_DIR_DOTDOT)
		r = tell(t, "..", DT_DIR, parent_ino(dir), FSPF_DIR_DOTDOT);
	return r;
}

static int tell_entries(const struct telling *t, struct fspf_inode *dir, uint64_t cookie)
{
	struct merkle_key last = fspf_key(dir->object, FSPF_ITEM_DIRENT, UINT64_MAX);
	struct gathered *g = malloc(sizeof(*g));
	int r = g ? 0 : -ENOMEM;
	int more = 1;

	while (r == 0 && more) {
		struct merkle_key first = fspf_key(dir->object, FSPF_ITEM_DIRENT,
						   max_u64(cookie + 1, FSPF_DIR_FIRST));

		g->n = 0;
		more = merkle_scan(dir->region->tree, &first, &last, gather, g);
		if (more < 0)
			r = more;
		for (uint32_t i = 0; i < g->n && r == 0; i++) {
			cookie = g->entry[i].offset;
			r = tell_child(t, dir->region, &g->entry[i].d, cookie);
		}
	}
	free(g);
	return r;
}

int fspf_tree_readdir(struct fspf_volume *v, uint64_t ino, uint64_t cookie, bool with_attr,
		      fspf_entry_fn *entry, void *ctx)
{
	struct telling t = {v, with_attr, entry, ctx};
	struct fspf_inode *dir;
	int r = fspf_inode_get(v, ino, &dir);

	if (r)
		return r;
	if (dir->type != S_IFDIR)
		r = -ENOTDIR;
	else if (cookie > INT64_MAX)
		r = -EINVAL;
	else if (fspf_is_locked(dir))
		r = -EACCES;
	if (r == 0)
		r = tell_dots(&t, dir, cookie);
	if (r == 0)
		r = tell_entries(&t, dir, cookie);
	fspf_inode_put(v, dir, 1);
	return r == 1 ? 0 : r;
}
