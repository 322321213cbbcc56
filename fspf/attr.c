/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking up and attributes.  With the kernel's write-back cache the kernel owns size and times of
 * files it writes, and sends them; what it sends is stored as it is.
 */
#include <errno.h>
#include <sys/stat.h>

#include "fspf/dispatch.h"
#include "fspf/copyup.h"
#include "fspf/dir.h"
#include "fspf/file.h"
#include "fspf/locked.h"
#include "fspf/xattr.h"

static void attr_of(struct fspf_inode *inode, struct fspf_attr *ret)
{
	pthread_mutex_lock(&inode->lock);
	fspf_inode_attr(inode, ret);
	pthread_mutex_unlock(&inode->lock);
}

/* The inode of child @object of @region, or of the region that covers it; a nameless one is not
 * there. */
static int get_child(struct fspf_region *region, uint64_t object, struct fspf_attr *ret)
{
	struct fspf_region *over = fspf_region_covering(region, object);
	struct fspf_inode *inode;
	struct fspf_attr attr;
	int r;

	if (over)
		return fspf_reference_top(over, ret);
	r = fspf_inode_get(region->v, fspf_ino(region, object), &inode);
	if (r) /* an entry without its inode is damage, unless it was unlinked meanwhile */
		return r;
	attr_of(inode, &attr);
	if (attr.nlink == 0) {
		fspf_inode_put(region->v, inode, 1);
		return -ENOENT;
	}
	*ret = attr;
	return 0;
}

/* ".." of a region's top is ".." of the directory it covers. */
static int lookup_parent(struct fspf_volume *v, struct fspf_inode *dir, struct fspf_attr *ret)
{
	struct fspf_region *region = dir->region;
	uint64_t up, object = dir->object;

	if (object == FSPF_OBJECT_ROOT) {
		if (!region->cover)
			return fspf_reference(v, dir->ino, ret);
		object = region->cover_object;
		region = region->cover;
	}
	if (fspf_dir_parent(region, object, &up))
		return -ESTALE;
	return fspf_reference(v, fspf_ino(region, up), ret);
}

static int lookup_in(struct fspf_volume *v, struct fspf_inode *dir, const char *name,
		     struct fspf_attr *ret)
{
	struct fspf_dirent_item d;
	size_t len;
	int r;

	if (dir->type != S_IFDIR)
		return -ENOTDIR;
	if (!strcmp(name, "."))
		return fspf_reference(v, dir->ino, ret);
	if (!strcmp(name, ".."))
		return lookup_parent(v, dir, ret);
	r = fspf_is_locked(dir) ? -EACCES : fspf_name_check(name, &len);
	if (r == 0)
		r = fspf_dir_find(dir->region, dir->object, name, &d, NULL);
	if (r == -ENOENT && dir->region->stub)
		r = -EACCES;
	return r ? r : get_child(dir->region, d.object, ret);
}

int fspf_tree_lookup(struct fspf_volume *v, uint64_t parent, const char *name,
		     struct fspf_attr *ret)
{
	struct fspf_inode *dir;
	int r = fspf_inode_get(v, parent, &dir);

	if (r)
		return r;
	r = lookup_in(v, dir, name, ret);
	fspf_inode_put(v, dir, 1);
	return r;
}

int fspf_tree_reference(struct fspf_volume *v, uint64_t ino, struct fspf_attr *ret)
{
	struct fspf_inode *inode;
	struct fspf_attr attr;
	int r = fspf_inode_get(v, ino, &inode);

	if (r)
		return r == -ENOENT ? -ESTALE : r;
	attr_of(inode, &attr);
	if (attr.nlink == 0) {
		fspf_inode_put(v, inode, 1);
		return -ESTALE;
	}
	*ret = attr;
	return 0;
}

void fspf_tree_forget(struct fspf_volume *v, uint64_t ino, uint64_t n)
{
	struct fspf_inode *inode;

	if (n == 0 || fspf_inode_get(v, ino, &inode))
		return;
	fspf_inode_put(v, inode, n + 1);
}

int fspf_tree_getattr(struct fspf_volume *v, uint64_t ino, struct fspf_attr *ret)
{
	struct fspf_inode *inode;
	int r = fspf_inode_get(v, ino, &inode);

	if (r)
		return r;
	attr_of(inode, ret);
	fspf_inode_put(v, inode, 1);
	return 0;
}

static void set_times(struct fspf_inode *inode, uint32_t set, const struct fspf_attr *attr)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (set & FSPF_SET_ATIME)
		inode->a.atime = attr->atime;
	if (set & FSPF_SET_MTIME)
		inode->a.mtime = attr->mtime;
	if (set & FSPF_SET_ATIME_NOW)
		inode->a.atime = now;
	if (set & FSPF_SET_MTIME_NOW)
		inode->a.mtime = now;
	if (set & FSPF_SET_CTIME)
		inode->a.ctime = attr->ctime;
	else
		fspf_inode_touch(inode, FSPF_TOUCH_CTIME);
}

/* chown of a file drops set-id bits and capabilities, whoever does it; of a directory it does not.
 */
static int set_owner(struct fspf_volume *v, struct fspf_inode *inode, uint32_t set,
		     const struct fspf_attr *attr)
{
	if (set & FSPF_SET_UID)
		inode->a.uid = attr->uid;
	if (set & FSPF_SET_GID)
		inode->a.gid = attr->gid;
	if (!(set & (FSPF_SET_UID | FSPF_SET_GID | FSPF_SET_KILL_PRIV)) || inode->type == S_IFDIR)
		return 0;
	if (!(set & FSPF_SET_MODE))
		fspf_file_kill_priv(inode);
	return fspf_xattr_drop_capability(v, inode);
}

static int set_locked(struct fspf_volume *v, struct fspf_inode *inode, uint32_t set,
		      const struct fspf_attr *attr, uint64_t *used)
{
	uint32_t mode = inode->a.mode;
	int r = 0;

	if (set & FSPF_SET_SIZE)
		r = fspf_file_truncate(v, inode, attr->size, used);
	if (r)
		return r;
	if (set & FSPF_SET_MODE) {
		inode->a.mode = inode->type | (attr->mode & 07777);
		r = fspf_acl_chmod(v, inode);
	}
	if (r) {
		inode->a.mode = mode;
		return r;
	}
	r = set_owner(v, inode, set, attr);
	set_times(inode, set, attr);
	fspf_inode_dirty(v, inode);
	return r;
}

static int set_attr(struct fspf_volume *v, struct fspf_inode *inode, uint32_t set,
		    const struct fspf_attr *attr, struct fspf_attr *ret)
{
	bool size = set & FSPF_SET_SIZE;
	bool frees = size && attr->size == 0;
	uint64_t used = 0, promised = size && !frees;
	int r;

	if (size && inode->type != S_IFREG)
		return inode->type == S_IFDIR ? -EISDIR : -EINVAL;
	if (size && attr->size > FSPF_FILE_SIZE_MAX)
		return -EFBIG;
	r = 0;
	if (size)
		r = frees ? fspf_copy_up_nothing(v, inode) : fspf_copy_up(v, inode);
	if (r == 0 && promised)
		r = fspf_promise(inode->region, promised);
	if (r)
		return r;
	r = fspf_begin(inode->region, frees);
	if (r == 0) {
		pthread_mutex_lock(&inode->lock);
		r = set_locked(v, inode, set, attr, &used);
		fspf_inode_attr(inode, ret);
		pthread_mutex_unlock(&inode->lock);
		fspf_end(v);
	}
	fspf_space_unpromise(inode->region->home->space, promised - used);
	return r;
}

int fspf_tree_setattr(struct fspf_volume *v, uint64_t ino, uint32_t set,
		      const struct fspf_attr *attr, struct fspf_attr *ret)
{
	struct fspf_attr after;
	struct fspf_inode *inode;
	int r = v->read_only ? -EROFS : fspf_inode_get(v, ino, &inode);

	if (r)
		return r;
	r = set_attr(v, inode, set, attr, &after);
	fspf_inode_put(v, inode, 1);
	if (r == 0)
		*ret = after;
	return r;
}
