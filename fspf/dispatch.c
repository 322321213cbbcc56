/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose an operation is: the region's tree's, or, where a region is passed through, the host's.
 * Between the two, as between any two regions, nothing is linked, renamed or cloned.
 *
 * All attributes leave here, so here is where those of a region that is not protected lose what the
 * policy denies them (fspf/noexec.h).
 */
#include "fspf/dispatch.h"

#include <errno.h>

#include "fspf/host.h"
#include "fspf/noexec.h"
#include "fspf/volume.h"

/* NULL: the region is kept in a tree, or there is none. */
static struct fspf_host *host_of(struct fspf_volume *v, uint64_t ino)
{
	struct fspf_region *region = fspf_region_of(v, ino);

	return region ? region->passed : NULL;
}

bool fspf_is_foreign(struct fspf_volume *v, uint64_t ino)
{
	return host_of(v, ino) != NULL;
}

static bool is_writable(const struct fspf_region *region)
{
	const struct fspf_volume *v = region->v;

	if (v->read_only || (region->passed && v->ephemeral))
		return false;
	return fspf_region_writable(region) == 0;
}

bool fspf_is_writable(struct fspf_volume *v, uint64_t ino)
{
	struct fspf_region *region = fspf_region_of(v, ino);

	return region && is_writable(region);
}

bool fspf_is_partly_read_only(struct fspf_volume *v)
{
	bool partly = false;

	for (size_t i = 0; i < atomic_load(&v->nregions) && !v->read_only; i++)
		partly |= !is_writable(v->regions[i]);
	return partly;
}

int fspf_foreign_open(struct fspf_volume *v, uint64_t ino, bool write, int *ret_fd)
{
	struct fspf_host *h = host_of(v, ino);

	return h ? fspf_host_open(h, ino, write, ret_fd) : -EINVAL;
}

void fspf_foreign_keep_numbers(struct fspf_volume *v)
{
	size_t count = atomic_load(&v->nregions);

	for (size_t i = 0; i < count; i++)
		if (v->regions[i]->passed)
			fspf_host_keep_numbers(v->regions[i]->passed);
}

int fspf_reference_top(struct fspf_region *region, struct fspf_attr *ret)
{
	int r = region->passed
			? fspf_host_top(region->passed, ret)
			: fspf_tree_reference(region->v, fspf_ino(region, FSPF_OBJECT_ROOT), ret);

	return r == -ESTALE ? -ENOENT : r;
}

/* In a host's directory another region's top may be met. */
int fspf_lookup(struct fspf_volume *v, uint64_t parent, const char *name, struct fspf_attr *ret)
{
	struct fspf_host *h = host_of(v, parent);
	int r = h ? fspf_host_lookup(h, parent, name, ret) : fspf_tree_lookup(v, parent, name, ret);

	return r > 0 ? fspf_reference(v, ret->ino, ret) : fspf_noexec_attr(v, r, ret);
}

void fspf_forget(struct fspf_volume *v, uint64_t ino, uint64_t n)
{
	struct fspf_host *h = host_of(v, ino);

	if (h)
		fspf_host_forget(h, ino, n);
	else
		fspf_tree_forget(v, ino, n);
}

int fspf_link(struct fspf_volume *v, uint64_t ino, uint64_t parent, const char *name,
	      struct fspf_attr *ret)
{
	struct fspf_host *h = host_of(v, ino);

	if (h != host_of(v, parent))
		return -EXDEV;
	return fspf_noexec_attr(v,
				h ? fspf_host_link(h, ino, parent, name, ret)
				  : fspf_tree_link(v, ino, parent, name, ret),
				ret);
}

int fspf_rename(struct fspf_volume *v, uint64_t parent, const char *name, uint64_t new_parent,
		const char *new_name, unsigned flags, const struct fspf_caller *caller)
{
	struct fspf_host *h = host_of(v, parent);

	if (h != host_of(v, new_parent))
		return -EXDEV;
	return h ? fspf_host_rename(h, parent, name, new_parent, new_name, flags, caller)
		 : fspf_tree_rename(v, parent, name, new_parent, new_name, flags, caller);
}

/* From one kind to another the caller has to read and write. */
ssize_t fspf_copy_range(struct fspf_volume *v, uint64_t from, uint64_t from_offset, uint64_t to,
			uint64_t to_offset, size_t size)
{
	struct fspf_host *h = host_of(v, from);

	if (h != host_of(v, to))
		return -EXDEV;
	return h ? fspf_host_copy_range(h, from, from_offset, to, to_offset, size)
		 : fspf_tree_copy_range(v, from, from_offset, to, to_offset, size);
}

int fspf_reference(struct fspf_volume *v, uint64_t ino, struct fspf_attr *ret)
{
	struct fspf_host *h = host_of(v, ino);

	return fspf_noexec_attr(
		v, h ? fspf_host_reference(h, ino, ret) : fspf_tree_reference(v, ino, ret), ret);
}

int fspf_getattr(struct fspf_volume *v, uint64_t ino, struct fspf_attr *ret)
{
	struct fspf_host *h = host_of(v, ino);

	return fspf_noexec_attr(
		v, h ? fspf_host_getattr(h, ino, ret) : fspf_tree_getattr(v, ino, ret), ret);
}

int fspf_setattr(struct fspf_volume *v, uint64_t ino, uint32_t set, const struct fspf_attr *attr,
		 struct fspf_attr *ret)
{
	struct fspf_host *h = host_of(v, ino);

	return fspf_noexec_attr(v,
				h ? fspf_host_setattr(h, ino, set, attr, ret)
				  : fspf_tree_setattr(v, ino, set, attr, ret),
				ret);
}

int fspf_create_file(struct fspf_volume *v, uint64_t parent, const char *name, uint32_t mode,
		     uint64_t rdev, const struct fspf_caller *caller, struct fspf_attr *ret)
{
	struct fspf_host *h = host_of(v, parent);

	return fspf_noexec_attr(v,
				h ? fspf_host_create_file(h, parent, name, mode, rdev, caller, ret)
				  : fspf_tree_create_file(v, parent, name, mode, rdev, caller, ret),
				ret);
}

int fspf_symlink(struct fspf_volume *v, uint64_t parent, const char *name, const char *target,
		 const struct fspf_caller *caller, struct fspf_attr *ret)
{
	struct fspf_host *h = host_of(v, parent);

	return h ? fspf_host_symlink(h, parent, name, target, caller, ret)
		 : fspf_tree_symlink(v, parent, name, target, caller, ret);
}

int fspf_tmpfile(struct fspf_volume *v, uint64_t parent, uint32_t mode,
		 const struct fspf_caller *caller, struct fspf_attr *ret)
{
	struct fspf_host *h = host_of(v, parent);

	return fspf_noexec_attr(v,
				h ? fspf_host_tmpfile(h, parent, mode, caller, ret)
				  : fspf_tree_tmpfile(v, parent, mode, caller, ret),
				ret);
}

int fspf_unlink(struct fspf_volume *v, uint64_t parent, const char *name)
{
	struct fspf_host *h = host_of(v, parent);

	return h ? fspf_host_unlink(h, parent, name) : fspf_tree_unlink(v, parent, name);
}

int fspf_rmdir(struct fspf_volume *v, uint64_t parent, const char *name)
{
	struct fspf_host *h = host_of(v, parent);

	return h ? fspf_host_rmdir(h, parent, name) : fspf_tree_rmdir(v, parent, name);
}

ssize_t fspf_readlink(struct fspf_volume *v, uint64_t ino, char *target, size_t size)
{
	struct fspf_host *h = host_of(v, ino);

	return h ? fspf_host_readlink(h, ino, target, size)
		 : fspf_tree_readlink(v, ino, target, size);
}

int fspf_readdir(struct fspf_volume *v, uint64_t ino, uint64_t cookie, bool with_attr,
		 fspf_entry_fn *entry, void *ctx)
{
	struct fspf_host *h = host_of(v, ino);
	struct fspf_noexec_listing listing = {.v = v, .entry = entry, .ctx = ctx};

	if (with_attr && fspf_noexec_applies(v)) {
		entry = fspf_noexec_entry;
		ctx = &listing;
	}
	return h ? fspf_host_readdir(h, ino, cookie, with_attr, entry, ctx)
		 : fspf_tree_readdir(v, ino, cookie, with_attr, entry, ctx);
}

ssize_t fspf_read(struct fspf_volume *v, uint64_t ino, uint64_t offset, void *data, size_t size)
{
	struct fspf_host *h = host_of(v, ino);

	return h ? fspf_host_read(h, ino, offset, data, size)
		 : fspf_tree_read(v, ino, offset, data, size);
}

ssize_t fspf_write(struct fspf_volume *v, uint64_t ino, uint64_t offset, const void *data,
		   size_t size, unsigned flags)
{
	struct fspf_host *h = host_of(v, ino);

	return h ? fspf_host_write(h, ino, offset, data, size, flags)
		 : fspf_tree_write(v, ino, offset, data, size, flags);
}

int fspf_fallocate(struct fspf_volume *v, uint64_t ino, int mode, uint64_t offset, uint64_t size)
{
	struct fspf_host *h = host_of(v, ino);

	return h ? fspf_host_fallocate(h, ino, mode, offset, size)
		 : fspf_tree_fallocate(v, ino, mode, offset, size);
}

int fspf_seek(struct fspf_volume *v, uint64_t ino, uint64_t offset, int whence,
	      uint64_t *ret_offset)
{
	struct fspf_host *h = host_of(v, ino);

	return h ? fspf_host_seek(h, ino, offset, whence, ret_offset)
		 : fspf_tree_seek(v, ino, offset, whence, ret_offset);
}

ssize_t fspf_getxattr(struct fspf_volume *v, uint64_t ino, const char *name, void *value,
		      size_t size)
{
	struct fspf_host *h = host_of(v, ino);

	ssize_t n = h ? fspf_host_getxattr(h, ino, name, value, size)
		      : fspf_tree_getxattr(v, ino, name, value, size);

	if (n > 0 && size > 0)
		fspf_noexec_acl(v, ino, name, value, (size_t)n);
	return n;
}

ssize_t fspf_listxattr(struct fspf_volume *v, uint64_t ino, char *list, size_t size)
{
	struct fspf_host *h = host_of(v, ino);

	return h ? fspf_host_listxattr(h, ino, list, size)
		 : fspf_tree_listxattr(v, ino, list, size);
}

int fspf_setxattr(struct fspf_volume *v, uint64_t ino, const char *name, const void *value,
		  size_t size, int flags, bool kill_sgid)
{
	struct fspf_host *h = host_of(v, ino);

	return h ? fspf_host_setxattr(h, ino, name, value, size, flags, kill_sgid)
		 : fspf_tree_setxattr(v, ino, name, value, size, flags, kill_sgid);
}

int fspf_removexattr(struct fspf_volume *v, uint64_t ino, const char *name)
{
	struct fspf_host *h = host_of(v, ino);

	return h ? fspf_host_removexattr(h, ino, name) : fspf_tree_removexattr(v, ino, name);
}

int fspf_fsync(struct fspf_volume *v, uint64_t ino)
{
	struct fspf_host *h = host_of(v, ino);

	return h ? fspf_host_fsync(h, ino) : fspf_tree_fsync(v, ino);
}
