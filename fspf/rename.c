/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rename(2) with its flags.  Everything that can refuse is asked first; then the entries change:
 * the new name is pointed at the file before the old one goes, which in one commit is one step.
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/dispatch.h"
#include "fspf/names.h"

/* One side of a rename: a name in a directory, and what it names. */
struct side {
	struct fspf_inode *dir;
	const char *name;
	uint64_t offset;
	struct fspf_inode *inode; /* NULL: nothing */
};

static int find_side(struct fspf_volume *v, struct side *s)
{
	struct fspf_dirent_item d;
	int r = fspf_dir_find(s->dir->region, s->dir->object, s->name, &d, &s->offset);

	if (r)
		return r;
	return fspf_inode_get(v, fspf_ino(s->dir->region, d.object), &s->inode);
}

/* Is directory @inode @dir itself or above it? */
static int is_above(const struct fspf_inode *inode, const struct fspf_inode *dir)
{
	struct fspf_region *region = dir->region;
	uint64_t at = dir->object;

	for (;;) {
		int r;

		if (at == inode->object)
			return 1;
		if (at == FSPF_OBJECT_ROOT)
			return 0;
		r = fspf_dir_parent(region, at, &at);
		if (r)
			return r;
	}
}

/* May @moving go into @into? */
static int check_move(struct fspf_volume *v, const struct side *moving, const struct side *into)
{
	int r;

	if (fspf_region_is_pinned(v, moving->inode->region, moving->inode->object))
		return -EBUSY;
	if (moving->inode->type != S_IFDIR)
		return 0;
	r = moving->dir == into->dir ? 0 : is_above(moving->inode, into->dir);
	return r == 1 ? -EINVAL : r;
}

/* May @from replace what @to names? */
static int check_replace(struct fspf_volume *v, const struct side *from, const struct side *to,
			 unsigned flags)
{
	bool from_dir = from->inode->type == S_IFDIR, to_dir = to->inode->type == S_IFDIR;

	if (flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (from_dir && !to_dir)
		return -ENOTDIR;
	if (!from_dir && to_dir)
		return -EISDIR;
	if (to_dir)
		return fspf_dir_removable(v, to->inode);
	return fspf_region_is_pinned(v, to->inode->region, to->inode->object) ? -EBUSY : 0;
}

static int point(struct fspf_volume *v, const struct side *at, const struct fspf_inode *inode)
{
	(void)v;
	return fspf_dir_put(at->dir->region, at->dir->object, at->offset, inode->object,
			    inode->type, at->name);
}

static void set_parent(struct fspf_volume *v, struct fspf_inode *inode,
		       const struct fspf_inode *dir)
{
	pthread_mutex_lock(&inode->lock);
	inode->a.parent = dir->object;
	fspf_inode_touch(inode, FSPF_TOUCH_CTIME);
	fspf_inode_dirty(v, inode);
	pthread_mutex_unlock(&inode->lock);
}

static int exchange(struct fspf_volume *v, struct side *a, struct side *b)
{
	int a_dir = a->inode->type == S_IFDIR, b_dir = b->inode->type == S_IFDIR;
	int r = check_move(v, b, a);

	if (r == 0)
		r = point(v, a, b->inode);
	if (r)
		return r;
	r = point(v, b, a->inode);
	if (r) {
		fspf_volume_fail(v, r, "two names could not be exchanged");
		return r;
	}
	set_parent(v, a->inode, b->dir);
	set_parent(v, b->inode, a->dir);
	fspf_dir_changed(v, a->dir, 0, b_dir - a_dir);
	fspf_dir_changed(v, b->dir, 0, a_dir - b_dir);
	return 0;
}

/* The old name goes, or becomes a whiteout (a character device 0:0, as overlayfs has them). */
static int leave(struct fspf_volume *v, struct side *from, struct fspf_inode *whiteout)
{
	if (whiteout)
		return point(v, from, whiteout);
	return fspf_dir_remove(from->dir->region, from->dir->object, from->offset);
}

static int move(struct fspf_volume *v, struct side *from, struct side *to,
		struct fspf_inode *whiteout)
{
	int is_dir = from->inode->type == S_IFDIR;
	int r = point(v, to, from->inode);

	if (r)
		return r;
	r = leave(v, from, whiteout);
	if (r) {
		fspf_volume_fail(v, r, "a name could not be moved");
		return r;
	}
	set_parent(v, from->inode, to->dir);
	fspf_dir_changed(v, from->dir, whiteout ? 0 : -1, -is_dir);
	fspf_dir_changed(v, to->dir, to->inode ? 0 : 1, to->inode && is_dir ? 0 : is_dir);
	return to->inode ? fspf_drop_link(v, to->inode) : 0;
}

static int make_whiteout(struct fspf_volume *v, const struct side *from,
			 const struct fspf_caller *caller, struct fspf_inode **ret)
{
	int r = fspf_inode_new(v, from->dir->region, S_IFCHR, from->dir->object, ret);

	if (r)
		return r;
	pthread_mutex_lock(&(*ret)->lock);
	(*ret)->a.uid = caller->uid;
	(*ret)->a.gid = caller->gid;
	fspf_inode_dirty(v, *ret);
	pthread_mutex_unlock(&(*ret)->lock);
	return 0;
}

/* Both directories are held and both sides looked up. */
static int rename_sides(struct fspf_volume *v, struct side *from, struct side *to, unsigned flags,
			const struct fspf_caller *caller)
{
	struct fspf_inode *whiteout = NULL;
	int r = check_move(v, from, to);

	if (r)
		return r;
	if (flags & RENAME_EXCHANGE)
		return to->inode ? exchange(v, from, to) : -ENOENT;
	if (to->inode == from->inode) /* two names of one file: nothing happens, says POSIX */
		return flags & RENAME_NOREPLACE ? -EEXIST : 0;
	r = to->inode ? check_replace(v, from, to, flags)
		      : fspf_dir_place(to->dir->region, to->dir->object, to->name, &to->offset);
	if (r == 0 && flags & RENAME_WHITEOUT)
		r = make_whiteout(v, from, caller, &whiteout);
	if (r)
		return r;
	r = move(v, from, to, whiteout);
	if (whiteout && r)
		fspf_inode_cancel(v, whiteout);
	else if (whiteout)
		fspf_inode_put(v, whiteout, 1);
	return r;
}

static int rename_dirs(struct fspf_volume *v, struct side *from, struct side *to, unsigned flags,
		       const struct fspf_caller *caller)
{
	int r;

	if (from->dir->region != to->dir->region)
		return -EXDEV;
	r = fspf_names_begin(from->dir->region, false);
	if (r)
		return r;
	r = find_side(v, from);
	if (r == 0) {
		r = find_side(v, to);
		if (r == -ENOENT && !to->inode)
			r = 0;
	}
	if (r == 0)
		r = rename_sides(v, from, to, flags, caller);
	fspf_names_end(v);
	/* Outside the names: the last reference of what was replaced removes it. */
	if (to->inode)
		fspf_inode_put(v, to->inode, 1);
	if (from->inode)
		fspf_inode_put(v, from->inode, 1);
	return r;
}

static int check_names(const char *name, const char *new_name, unsigned flags)
{
	size_t len;
	int r = fspf_name_check(name, &len);

	if (r == 0)
		r = fspf_name_check(new_name, &len);
	if (r == -EINVAL)
		r = -EBUSY; /* "." or "..", as Linux answers */
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) ||
	    (flags & RENAME_EXCHANGE && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)))
		r = -EINVAL;
	return r;
}

int fspf_tree_rename(struct fspf_volume *v, uint64_t parent, const char *name, uint64_t new_parent,
		     const char *new_name, unsigned flags, const struct fspf_caller *caller)
{
	struct side from = {.name = name}, to = {.name = new_name};
	int r = check_names(name, new_name, flags);

	if (r == 0 && v->read_only)
		r = -EROFS;
	if (r == 0)
		r = fspf_get_dir(v, parent, &from.dir);
	if (r == 0)
		r = fspf_get_dir(v, new_parent, &to.dir);
	if (r == 0)
		r = rename_dirs(v, &from, &to, flags, caller);
	if (to.dir)
		fspf_inode_put(v, to.dir, 1);
	if (from.dir)
		fspf_inode_put(v, from.dir, 1);
	return r;
}
