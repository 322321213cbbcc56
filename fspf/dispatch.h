/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/dispatch.h - inside libfspf: the operations of regions that the volume holds
 *
 * The public operations (fspf/fspf.h) are in dispatch.c: each looks at its inode number and goes to
 * the region's tree, by these functions of the same meaning, or to the host (fspf/host.h).  Whoever
 * is inside and may meet a file of any region calls the public ones.
 */
#ifndef FSPF_FSPF_DISPATCH_H
#define FSPF_FSPF_DISPATCH_H

#include "fspf/volume.h"

/* The top of a region, with a reference: FSPF_OBJECT_ROOT, but for a single file that its host has
 * changed.  -ENOENT: it cannot be reached. */
MUST_CHECK int fspf_reference_top(struct fspf_region *region, struct fspf_attr *ret);

MUST_CHECK int fspf_tree_lookup(struct fspf_volume *v, uint64_t parent, const char *name,
				struct fspf_attr *ret);
MUST_CHECK int fspf_tree_reference(struct fspf_volume *v, uint64_t ino, struct fspf_attr *ret);
void fspf_tree_forget(struct fspf_volume *v, uint64_t ino, uint64_t n);
MUST_CHECK int fspf_tree_getattr(struct fspf_volume *v, uint64_t ino, struct fspf_attr *ret);
MUST_CHECK int fspf_tree_setattr(struct fspf_volume *v, uint64_t ino, uint32_t set,
				 const struct fspf_attr *attr, struct fspf_attr *ret);
MUST_CHECK int fspf_tree_create_file(struct fspf_volume *v, uint64_t parent, const char *name,
				     uint32_t mode, uint64_t rdev, const struct fspf_caller *caller,
				     struct fspf_attr *ret);
MUST_CHECK int fspf_tree_symlink(struct fspf_volume *v, uint64_t parent, const char *name,
				 const char *target, const struct fspf_caller *caller,
				 struct fspf_attr *ret);
MUST_CHECK int fspf_tree_tmpfile(struct fspf_volume *v, uint64_t parent, uint32_t mode,
				 const struct fspf_caller *caller, struct fspf_attr *ret);
MUST_CHECK int fspf_tree_link(struct fspf_volume *v, uint64_t ino, uint64_t parent,
			      const char *name, struct fspf_attr *ret);
MUST_CHECK int fspf_tree_unlink(struct fspf_volume *v, uint64_t parent, const char *name);
MUST_CHECK int fspf_tree_rmdir(struct fspf_volume *v, uint64_t parent, const char *name);
MUST_CHECK int fspf_tree_rename(struct fspf_volume *v, uint64_t parent, const char *name,
				uint64_t new_parent, const char *new_name, unsigned flags,
				const struct fspf_caller *caller);
MUST_CHECK ssize_t fspf_tree_readlink(struct fspf_volume *v, uint64_t ino, char *target,
				      size_t size);
MUST_CHECK int fspf_tree_readdir(struct fspf_volume *v, uint64_t ino, uint64_t cookie,
				 bool with_attr, fspf_entry_fn *entry, void *ctx);
MUST_CHECK ssize_t fspf_tree_read(struct fspf_volume *v, uint64_t ino, uint64_t offset, void *data,
				  size_t size);
MUST_CHECK ssize_t fspf_tree_write(struct fspf_volume *v, uint64_t ino, uint64_t offset,
				   const void *data, size_t size, unsigned flags);
MUST_CHECK int fspf_tree_fallocate(struct fspf_volume *v, uint64_t ino, int mode, uint64_t offset,
				   uint64_t size);
MUST_CHECK int fspf_tree_seek(struct fspf_volume *v, uint64_t ino, uint64_t offset, int whence,
			      uint64_t *ret_offset);
MUST_CHECK ssize_t fspf_tree_copy_range(struct fspf_volume *v, uint64_t from, uint64_t from_offset,
					uint64_t to, uint64_t to_offset, size_t size);
MUST_CHECK ssize_t fspf_tree_getxattr(struct fspf_volume *v, uint64_t ino, const char *name,
				      void *value, size_t size);
MUST_CHECK ssize_t fspf_tree_listxattr(struct fspf_volume *v, uint64_t ino, char *list,
				       size_t size);
MUST_CHECK int fspf_tree_setxattr(struct fspf_volume *v, uint64_t ino, const char *name,
				  const void *value, size_t size, int flags, bool kill_sgid);
MUST_CHECK int fspf_tree_removexattr(struct fspf_volume *v, uint64_t ino, const char *name);
MUST_CHECK int fspf_tree_fsync(struct fspf_volume *v, uint64_t ino);

#endif
