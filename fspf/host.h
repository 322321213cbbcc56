/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/host.h - a region that is not protected: a directory of the host (or one file), passed
 * through
 *
 * A struct fspf_host serves DIR by numbers, as a volume serves its files: the same operations with
 * the same meaning (fspf/fspf.h), given and taking numbers ino_base | object, object 1 being DIR
 * itself.  It knows neither volumes nor the kernel.  The host may change anything at any time, and
 * is not trusted: what is read here may be anything, but it is always something of DIR.
 *
 *   H1  Nothing outside DIR is reached.  Every way begins at DIR's descriptor and follows names
 *       that were checked, never a symlink, a magic link or "..", whatever the host puts there
 *       meanwhile.  Only DIR's own path, given by the administrator, is resolved as usual, once.
 *       (A mount below DIR is part of DIR.)
 *   H2  A number means one file of the host, (device, inode, type), for as long as it is known, and
 *       is never given to another.  Each operation finds the file anew, by a name that it was seen
 *       under; when something else is there now, or nothing, that is -ESTALE.
 *   H3  What was unlinked or replaced through here stays usable until it is forgotten: it is held
 *       open.  (What the host removes does not.)
 *   H4  Only regular files and directories are opened, and only through a descriptor (O_PATH) that
 *       was seen to be one: a FIFO or a device in their place cannot hang or hit anybody.
 *   H5  Close-to-open: a lookup (or a readdir with attributes) that finds size or mtime of a
 *       regular file to be other than what was last seen, and not changed from here, gives the file
 *       a new number.  Whoever holds the old one goes on using the same file; a kernel that
 *       believes its own cache of the old number starts afresh with the new one.  A change by the
 *       host within a tick of the host's clock and of the same length is not seen.  Whoever
 *       starts afresh at each opening anyway has this switched off (fspf_host_keep_numbers).
 *   H6  Where a cover is (fspf_host_cover), nothing of the host is ever shown.  A directory on the
 *       way to a cover is known by its path: should the host show the same directory elsewhere,
 *       that is another file here.
 *   H7  Descriptors are few: FSPF_HOST_FDS cached, a handful for each running operation, and one
 *       for each file of H3, at most a quarter of RLIMIT_NOFILE; then unlink, rmdir and rename
 *       give -EMFILE.  A number itself costs memory only.  (What fspf_host_open() gave is the
 *       caller's to count.)
 *
 * Attributes are the host's, with foreign set, generation 0 and ino from here.  FSPF_SET_CTIME is
 * taken and ignored, and FSPF_WRITE_KEEP_TIMES too: the host sets its times, and those that a
 * kernel sends afterwards by setattr are set.  Every error is as the host's system call has it;
 * besides -ESTALE (H2, or a number never given or forgotten) there are -EROFS (opened read-only)
 * and -EBUSY (a cover is at this name, or below).  A failed operation has changed nothing, as far
 * as the host has calls for that: a write may be cut short, and a setattr of several fields may
 * have set some.
 *
 * Needs /proc.  Any thread may call anything at any time, but fspf_host_free(), the last call.
 * Callbacks run without locks.
 */
#ifndef FSPF_FSPF_HOST_H
#define FSPF_FSPF_HOST_H

#include "fspf/fspf.h"

#define FSPF_HOST_FDS 64u    /* descriptors of files read or written lately */
#define FSPF_HOST_COVERS 64u /* as many as there can be regions */

struct fspf_host;

/*
 * Serve @path, an existing directory or regular file; one file is held open, as a bind mount holds
 * it.  @ino_base: region << FSPF_OBJECT_BITS.  -ENOTSUP: another kind of file.
 */
MUST_CHECK int fspf_host_new(const char *path, uint64_t ino_base, bool read_only,
			     struct fspf_host **ret);
/* NULL is allowed. */
struct fspf_host *fspf_host_free(struct fspf_host *h);

/*
 * At @relpath ("x/secret") below DIR is the top @ino of another region.  lookup there returns 1,
 * with ret->ino = @ino and no reference; readdir lists it, as a directory and without attributes or
 * a reference, and not what the host has there.  Making something there is -EEXIST; renaming or
 * removing it, or a directory on the way there, is -EBUSY.  The directories on the way are the
 * host's: should they not be there, the cover cannot be reached.  To be called before
 * anything is looked up, else -EBUSY.  -EEXIST: it is covered, or leads to a cover; -EINVAL: a path
 * through a cover, or with ".." and the like; -ENOTDIR: DIR is a file; -ENOSPC: too many.
 */
MUST_CHECK int fspf_host_cover(struct fspf_host *h, const char *relpath, uint64_t ino);

/*
 * What a lookup of the top itself would give: takes a reference.  It is number 1, but for a single
 * file that the host has changed: that gets a new number, by H5.  Number 1 goes on being valid.
 */
MUST_CHECK int fspf_host_top(struct fspf_host *h, struct fspf_attr *ret);

/* ---- names: references as in fspf/fspf.h; "." and ".." may be looked up (".." of the top is the
 * top) ---- */

/* 1: covered, see above. */
MUST_CHECK int fspf_host_lookup(struct fspf_host *h, uint64_t parent, const char *name,
				struct fspf_attr *ret);
MUST_CHECK int fspf_host_reference(struct fspf_host *h, uint64_t ino, struct fspf_attr *ret);
void fspf_host_forget(struct fspf_host *h, uint64_t ino, uint64_t n);
/* From now on H5 gives no new numbers: no cache lives longer than one opening of the file. */
void fspf_host_keep_numbers(struct fspf_host *h);

/*
 * New files belong to @caller if we are root (the group to a set-group-id directory's), else to us.
 */
MUST_CHECK int fspf_host_create_file(struct fspf_host *h, uint64_t parent, const char *name,
				     uint32_t mode, uint64_t rdev, const struct fspf_caller *caller,
				     struct fspf_attr *ret);
MUST_CHECK int fspf_host_symlink(struct fspf_host *h, uint64_t parent, const char *name,
				 const char *target, const struct fspf_caller *caller,
				 struct fspf_attr *ret);
/* -EOPNOTSUPP. */
MUST_CHECK int fspf_host_tmpfile(struct fspf_host *h, uint64_t parent, uint32_t mode,
				 const struct fspf_caller *caller, struct fspf_attr *ret);
MUST_CHECK int fspf_host_link(struct fspf_host *h, uint64_t ino, uint64_t parent, const char *name,
			      struct fspf_attr *ret);
MUST_CHECK int fspf_host_unlink(struct fspf_host *h, uint64_t parent, const char *name);
MUST_CHECK int fspf_host_rmdir(struct fspf_host *h, uint64_t parent, const char *name);
MUST_CHECK int fspf_host_rename(struct fspf_host *h, uint64_t parent, const char *name,
				uint64_t new_parent, const char *new_name, unsigned flags,
				const struct fspf_caller *caller);
MUST_CHECK ssize_t fspf_host_readlink(struct fspf_host *h, uint64_t ino, char *target, size_t size);

/*
 * Cookies are the host's own for its entries, moved up by a constant.  Without attributes entries
 * of the host have the number FSPF_OBJECT_MAX, which is no file's.
 */
MUST_CHECK int fspf_host_readdir(struct fspf_host *h, uint64_t ino, uint64_t cookie, bool with_attr,
				 fspf_entry_fn *entry, void *ctx);

/* The path below DIR that the file was last seen at, "" for the top; "inode 12" when there is none.
 */
void fspf_host_path_of(struct fspf_host *h, uint64_t ino, char *path, size_t size);

/* ---- attributes and contents ---- */

MUST_CHECK int fspf_host_getattr(struct fspf_host *h, uint64_t ino, struct fspf_attr *ret);
MUST_CHECK int fspf_host_setattr(struct fspf_host *h, uint64_t ino, uint32_t set,
				 const struct fspf_attr *attr, struct fspf_attr *ret);

MUST_CHECK ssize_t fspf_host_read(struct fspf_host *h, uint64_t ino, uint64_t offset, void *data,
				  size_t size);
/* A descriptor of the file, which becomes the caller's: for reading, or for both.  What is done by
 * it is not seen from here, and H5 takes it for the host's.  -EISDIR, -EINVAL: not a regular file.
 */
MUST_CHECK int fspf_host_open(struct fspf_host *h, uint64_t ino, bool write, int *ret_fd);
/* Bytes taken: as write(2), fewer when an error came after some. */
MUST_CHECK ssize_t fspf_host_write(struct fspf_host *h, uint64_t ino, uint64_t offset,
				   const void *data, size_t size, unsigned flags);
MUST_CHECK int fspf_host_fallocate(struct fspf_host *h, uint64_t ino, int mode, uint64_t offset,
				   uint64_t size);
MUST_CHECK int fspf_host_seek(struct fspf_host *h, uint64_t ino, uint64_t offset, int whence,
			      uint64_t *ret_offset);
/* Both files are of this region. */
MUST_CHECK ssize_t fspf_host_copy_range(struct fspf_host *h, uint64_t from, uint64_t from_offset,
					uint64_t to, uint64_t to_offset, size_t size);
/* This file alone; the top stands for no more than itself. */
MUST_CHECK int fspf_host_fsync(struct fspf_host *h, uint64_t ino);
/* The file system that DIR is on. */
MUST_CHECK int fspf_host_statfs(struct fspf_host *h, struct fspf_statfs *ret);

/* ---- extended attributes: all that the host has and lets us ---- */

MUST_CHECK ssize_t fspf_host_getxattr(struct fspf_host *h, uint64_t ino, const char *name,
				      void *value, size_t size);
MUST_CHECK ssize_t fspf_host_listxattr(struct fspf_host *h, uint64_t ino, char *list, size_t size);
MUST_CHECK int fspf_host_setxattr(struct fspf_host *h, uint64_t ino, const char *name,
				  const void *value, size_t size, int flags, bool kill_sgid);
MUST_CHECK int fspf_host_removexattr(struct fspf_host *h, uint64_t ino, const char *name);

#endif
