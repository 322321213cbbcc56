/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and removing names.  A new file is made in memory first, with whatever items it needs (a
 * symlink's target, inherited ACLs); putting its entry is the step that makes it exist, and what
 * was made is taken back if that fails.
 */
#include <errno.h>
#include <sys/stat.h>

#include "fspf/dispatch.h"
#include "fspf/commit.h"
#include "fspf/names.h"
#include "fspf/xattr.h"

int fspf_names_begin(struct fspf_region *region, bool frees)
{
	int r = fspf_begin(region, frees); /* may wait for a commit, so names come after it */

	if (r)
		return r;
	pthread_mutex_lock(&region->v->names);
	return 0;
}

void fspf_names_end(struct fspf_volume *v)
{
	pthread_mutex_unlock(&v->names);
	fspf_end(v);
}

int fspf_get_dir(struct fspf_volume *v, uint64_t ino, struct fspf_inode **ret)
{
	struct fspf_inode *dir;
	uint32_t nlink;
	int r = fspf_inode_get(v, ino, &dir);

	if (r)
		return r;
	pthread_mutex_lock(&dir->lock);
	nlink = dir->a.nlink;
	pthread_mutex_unlock(&dir->lock);
	if (dir->type != S_IFDIR)
		r = -ENOTDIR;
	else if (nlink == 0)
		r = -ENOENT;
	if (r)
		fspf_inode_put(v, dir, 1);
	else
		*ret = dir;
	return r;
}

void fspf_dir_changed(struct fspf_volume *v, struct fspf_inode *dir, int entries, int subdirs)
{
	pthread_mutex_lock(&dir->lock);
	dir->a.entries += (uint64_t)(int64_t)entries;
	dir->a.nlink += (uint32_t)subdirs;
	fspf_inode_touch(dir, FSPF_TOUCH_MTIME | FSPF_TOUCH_CTIME);
	fspf_inode_dirty(v, dir);
	pthread_mutex_unlock(&dir->lock);
}

static int put_orphan(struct fspf_volume *v, struct fspf_inode *inode)
{
	struct merkle_key key = fspf_key(0, FSPF_ITEM_ORPHAN, inode->object);
	int r = merkle_put(inode->region->tree, &key, "\1", 1);

	if (r)
		fspf_volume_fail(v, r, "an unlinked file could not be remembered");
	return r;
}

int fspf_drop_link(struct fspf_volume *v, struct fspf_inode *inode)
{
	int r = 0;

	pthread_mutex_lock(&inode->lock);
	inode->a.nlink = inode->type == S_IFDIR ? 0 : inode->a.nlink - 1;
	fspf_inode_touch(inode, FSPF_TOUCH_CTIME);
	fspf_inode_dirty(v, inode);
	if (inode->a.nlink == 0)
		r = put_orphan(v, inode);
	pthread_mutex_unlock(&inode->lock);
	return r;
}

int fspf_dir_removable(struct fspf_volume *v, struct fspf_inode *inode)
{
	uint64_t entries;

	pthread_mutex_lock(&inode->lock);
	entries = inode->a.entries;
	pthread_mutex_unlock(&inode->lock);
	if (fspf_region_is_pinned(v, inode->region, inode->object))
		return -EBUSY;
	return entries ? -ENOTEMPTY : 0;
}

/* ---- making ---- */

/* What is asked for. */
struct making {
	const char *name; /* NULL: nameless */
	uint32_t mode;
	uint64_t rdev;
	const char *target; /* symlinks */
	const struct fspf_caller *caller;
};

static int put_target(struct fspf_inode *inode, const char *target)
{
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_INLINE, 0);
	size_t len = strlen(target);
	int r;

	/* A target longer than an item is kept in two; see fspf_readlink(). */
	size_t first = (size_t)min_u64(len, MERKLE_VALUE_MAX);

	r = merkle_put(inode->region->tree, &key, target, first);
	key.offset = 1;
	if (r == 0 && len > first)
		r = merkle_put(inode->region->tree, &key, target + first, len - first);
	inode->a.size = len;
	return r;
}

/* Take back the items of an inode that did not come to exist. */
static void unmake(struct fspf_volume *v, struct fspf_inode *inode)
{
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_INLINE, 0);

	for (int r = 0; r == 0; key.offset++)
		r = merkle_delete(inode->region->tree, &key);
	pthread_mutex_lock(&inode->lock);
	/* Items of a number that no entry and no inode names are never met again: worth a try. */
	(void)!fspf_xattr_delete(v, inode, FSPF_XATTR_ACL_ACCESS);
	(void)!fspf_xattr_delete(v, inode, FSPF_XATTR_ACL_DEFAULT);
	pthread_mutex_unlock(&inode->lock);
	fspf_inode_cancel(v, inode);
}

/* What a new file takes from its directory. */
struct heritage {
	uint32_t mode, gid;
};

static struct heritage heritage_of(struct fspf_inode *dir)
{
	struct heritage h;

	pthread_mutex_lock(&dir->lock);
	h = (struct heritage){dir->a.mode, dir->a.gid};
	pthread_mutex_unlock(&dir->lock);
	return h;
}

/* Owner, group and mode as the parent and the caller have it; set-gid directories pass their group
 * on. Locked. */
static int fill(struct fspf_volume *v, struct fspf_inode *dir, const struct heritage *h,
		struct fspf_inode *inode, const struct making *m)
{
	inode->a.uid = m->caller->uid;
	inode->a.gid = h->mode & S_ISGID ? h->gid : m->caller->gid;
	inode->a.rdev = m->rdev;
	inode->a.nlink = m->name ? inode->a.nlink : 0;
	if (h->mode & S_ISGID && S_ISDIR(m->mode))
		inode->a.mode |= S_ISGID;
	if (m->target)
		return put_target(inode, m->target);
	return fspf_acl_inherit(v, dir, inode, m->caller->umask);
}

static int make_inode(struct fspf_volume *v, struct fspf_inode *dir, const struct making *m,
		      struct fspf_inode **ret)
{
	struct heritage h = heritage_of(dir);
	struct fspf_inode *inode;
	int r = fspf_inode_new(v, dir->region, m->mode, dir->object, &inode);

	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	r = fill(v, dir, &h, inode, m);
	if (r == 0)
		fspf_inode_dirty(v, inode);
	pthread_mutex_unlock(&inode->lock);
	if (r)
		unmake(v, inode);
	else
		*ret = inode;
	return r;
}

static int make_named(struct fspf_volume *v, struct fspf_inode *dir, const struct making *m,
		      struct fspf_inode **ret)
{
	struct fspf_inode *inode;
	uint64_t offset;
	int r = fspf_dir_place(dir->region, dir->object, m->name, &offset);

	if (r)
		return r;
	r = make_inode(v, dir, m, &inode);
	if (r)
		return r;
	r = fspf_dir_put(dir->region, dir->object, offset, inode->object, m->mode, m->name);
	if (r) {
		unmake(v, inode);
		return r;
	}
	fspf_dir_changed(v, dir, 1, S_ISDIR(m->mode));
	*ret = inode;
	return 0;
}

static int make_nameless(struct fspf_volume *v, struct fspf_inode *dir, const struct making *m,
			 struct fspf_inode **ret)
{
	struct fspf_inode *inode;
	int r = make_inode(v, dir, m, &inode);

	if (r)
		return r;
	r = put_orphan(v, inode);
	if (r)
		unmake(v, inode);
	else
		*ret = inode;
	return r;
}

static int make_in(struct fspf_volume *v, struct fspf_inode *dir, const struct making *m,
		   struct fspf_attr *ret)
{
	struct fspf_inode *inode;
	int r = fspf_names_begin(dir->region, false);

	if (r)
		return r;
	pthread_mutex_lock(&dir->lock);
	if (dir->a.nlink == 0) /* removed while we waited */
		r = -ENOENT;
	pthread_mutex_unlock(&dir->lock);
	if (r == 0)
		r = m->name ? make_named(v, dir, m, &inode) : make_nameless(v, dir, m, &inode);
	if (r == 0) {
		pthread_mutex_lock(&inode->lock);
		fspf_inode_attr(inode, ret);
		pthread_mutex_unlock(&inode->lock);
	}
	fspf_names_end(v);
	return r; /* the reference that the inode was made with goes to the caller */
}

static int make(struct fspf_volume *v, uint64_t parent, const struct making *m,
		struct fspf_attr *ret)
{
	struct fspf_inode *dir;
	size_t len;
	int r = m->name ? fspf_name_check(m->name, &len) : 0;

	if (r == 0 && v->read_only)
		r = -EROFS;
	if (r)
		return r;
	r = fspf_get_dir(v, parent, &dir);
	if (r)
		return r;
	r = fspf_region_writable(dir->region);
	if (r == 0)
		r = make_in(v, dir, m, ret);
	fspf_inode_put(v, dir, 1);
	return r;
}

int fspf_tree_create_file(struct fspf_volume *v, uint64_t parent, const char *name, uint32_t mode,
			  uint64_t rdev, const struct fspf_caller *caller, struct fspf_attr *ret)
{
	struct making m = {.name = name, .mode = mode & (S_IFMT | 07777), .caller = caller};

	switch (mode & S_IFMT) {
	case S_IFCHR:
	case S_IFBLK:
		m.rdev = rdev;
		break;
	case S_IFREG:
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	default:
		return -EINVAL;
	}
	return make(v, parent, &m, ret);
}

int fspf_tree_symlink(struct fspf_volume *v, uint64_t parent, const char *name, const char *target,
		      const struct fspf_caller *caller, struct fspf_attr *ret)
{
	struct making m = {
		.name = name, .mode = S_IFLNK | 0777, .target = target, .caller = caller};
	size_t len = strnlen(target, FSPF_SYMLINK_MAX + 1);

	if (len == 0)
		return -ENOENT;
	return len > FSPF_SYMLINK_MAX ? -ENAMETOOLONG : make(v, parent, &m, ret);
}

int fspf_tree_tmpfile(struct fspf_volume *v, uint64_t parent, uint32_t mode,
		      const struct fspf_caller *caller, struct fspf_attr *ret)
{
	struct making m = {.mode = S_IFREG | (mode & 07777), .caller = caller};

	return make(v, parent, &m, ret);
}

ssize_t fspf_tree_readlink(struct fspf_volume *v, uint64_t ino, char *target, size_t size)
{
	struct fspf_inode *inode;
	char text[FSPF_SYMLINK_MAX + 1];
	size_t len = 0, more = 0;
	int r = fspf_inode_get(v, ino, &inode);

	if (r)
		return r;
	if (inode->type != S_IFLNK)
		r = -EINVAL;
	for (uint64_t part = 0; part < 2 && r == 0; part++) {
		struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_INLINE, part);

		r = merkle_get(inode->region->tree, &key, text + len, FSPF_SYMLINK_MAX - len,
			       &more);
		len += r ? 0 : more;
	}
	fspf_inode_put(v, inode, 1);
	if (r == -ENOENT && len)
		r = 0;
	else if (r == -ENOENT || r == -ERANGE)
		r = -EBADMSG;
	if (r)
		return r;
	if (len + 1 > size)
		return -ERANGE;
	memcpy(target, text, len);
	target[len] = 0;
	return (ssize_t)len;
}

/* ---- another name ---- */

static int can_link(struct fspf_inode *inode)
{
	int r = 0;

	pthread_mutex_lock(&inode->lock);
	if (inode->a.nlink >= FSPF_LINK_MAX)
		r = -EMLINK;
	pthread_mutex_unlock(&inode->lock);
	return r;
}

/* A nameless file (O_TMPFILE) that gets its first name is no orphan any more. */
static int link_locked(struct fspf_volume *v, struct fspf_inode *inode, struct fspf_inode *dir,
		       const char *name)
{
	struct merkle_key orphan = fspf_key(0, FSPF_ITEM_ORPHAN, inode->object);
	uint64_t offset;
	int r = can_link(inode);

	if (r == 0)
		r = fspf_dir_place(dir->region, dir->object, name, &offset);
	if (r == 0)
		r = fspf_dir_put(dir->region, dir->object, offset, inode->object, inode->type,
				 name);
	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	if (inode->a.nlink++ == 0) {
		inode->a.parent = dir->object;
		r = merkle_delete(inode->region->tree, &orphan);
		if (r)
			fspf_volume_fail(v, r, "a nameless file could not be named");
	}
	fspf_inode_touch(inode, FSPF_TOUCH_CTIME);
	fspf_inode_dirty(v, inode);
	pthread_mutex_unlock(&inode->lock);
	fspf_dir_changed(v, dir, 1, 0);
	return r;
}

static int link_in(struct fspf_volume *v, struct fspf_inode *inode, struct fspf_inode *dir,
		   const char *name, struct fspf_attr *ret)
{
	int r = 0;

	if (inode->region != dir->region)
		return -EXDEV;
	if (inode->type == S_IFDIR)
		return -EPERM;
	r = fspf_names_begin(dir->region, false);
	if (r)
		return r;
	r = link_locked(v, inode, dir, name);
	pthread_mutex_lock(&inode->lock);
	fspf_inode_attr(inode, ret);
	pthread_mutex_unlock(&inode->lock);
	fspf_names_end(v);
	return r;
}

int fspf_tree_link(struct fspf_volume *v, uint64_t ino, uint64_t parent, const char *name,
		   struct fspf_attr *ret)
{
	struct fspf_inode *inode = NULL, *dir = NULL;
	struct fspf_attr attr;
	size_t len;
	int r = fspf_name_check(name, &len);

	if (r == 0 && v->read_only)
		r = -EROFS;
	if (r == 0)
		r = fspf_inode_get(v, ino, &inode);
	if (r == 0)
		r = fspf_get_dir(v, parent, &dir);
	if (r == 0)
		r = link_in(v, inode, dir, name, &attr);
	if (dir)
		fspf_inode_put(v, dir, 1);
	if (inode && r)
		fspf_inode_put(v, inode, 1);
	if (r == 0)
		*ret = attr; /* our reference goes to the caller */
	return r;
}

/* ---- a name less ---- */

static int remove_locked(struct fspf_volume *v, struct fspf_inode *dir, uint64_t offset,
			 struct fspf_inode *inode, bool is_dir)
{
	int r = 0;

	if (is_dir && inode->type != S_IFDIR)
		r = -ENOTDIR;
	else if (!is_dir && inode->type == S_IFDIR)
		r = -EISDIR;
	else if (is_dir)
		r = fspf_dir_removable(v, inode);
	else if (fspf_region_is_pinned(v, inode->region, inode->object))
		r = -EBUSY; /* a single file of the host takes its place */
	if (r == 0)
		r = fspf_dir_remove(dir->region, dir->object, offset);
	if (r)
		return r;
	fspf_dir_changed(v, dir, -1, is_dir ? -1 : 0);
	return fspf_drop_link(v, inode);
}

/* Finds the inode before the names are locked, so that no node is fetched under them, and checks
 * that it is still the one. */
static int remove_name(struct fspf_volume *v, struct fspf_inode *dir, const char *name, bool is_dir)
{
	struct fspf_dirent_item d, now;
	struct fspf_inode *inode;
	uint64_t offset;
	int r = fspf_dir_find(dir->region, dir->object, name, &d, NULL);

	if (r == 0)
		r = fspf_inode_get(v, fspf_ino(dir->region, d.object), &inode);
	if (r)
		return r;
	r = fspf_names_begin(dir->region, true);
	if (r)
		goto out;
	r = fspf_dir_find(dir->region, dir->object, name, &now, &offset);
	if (r == 0 && now.object != d.object)
		r = -EAGAIN;
	if (r == 0)
		r = remove_locked(v, dir, offset, inode, is_dir);
	fspf_names_end(v);
out:
	fspf_inode_put(v, inode, 1);
	return r;
}

static int remove_from(struct fspf_volume *v, uint64_t parent, const char *name, bool is_dir)
{
	struct fspf_inode *dir;
	size_t len;
	int r = fspf_name_check(name, &len);

	if (r == -EINVAL && is_dir)
		r = strcmp(name, ".") ? -ENOTEMPTY : -EINVAL;
	if (r == 0 && v->read_only)
		r = -EROFS;
	if (r == 0)
		r = fspf_get_dir(v, parent, &dir);
	if (r)
		return r;
	do {
		r = fspf_region_writable(dir->region);
		if (r == 0)
			r = remove_name(v, dir, name, is_dir);
	} while (r == -EAGAIN);
	fspf_inode_put(v, dir, 1);
	return r;
}

int fspf_tree_unlink(struct fspf_volume *v, uint64_t parent, const char *name)
{
	return remove_from(v, parent, name, false);
}

int fspf_tree_rmdir(struct fspf_volume *v, uint64_t parent, const char *name)
{
	return remove_from(v, parent, name, true);
}
