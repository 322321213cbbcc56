/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of files on the host.  What a call cannot do by the descriptor itself it does by that
 * descriptor's path in /proc, which leads to this very file, be it a symlink or a device, and opens
 * nothing.
 */
#include <errno.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fspf/host_internal.h"

#define CAPABILITY "security.capability"

int fspf_host_getattr(struct fspf_host *h, uint64_t ino, struct fspf_attr *ret)
{
	struct host_place place;
	int r = host_visit(h, ino, &place);

	if (r == 0) {
		host_attr(ino, &place.st, ret);
		host_leave(h, &place);
	}
	return r;
}

int host_chmod(int fd, uint32_t mode)
{
	return chmod(host_fd_path(fd).text, mode & 07777) ? -errno : 0;
}

/* There is none, or none can be: the host drops it itself when another than root writes. */
static bool had_no_capability(int error)
{
	return error == ENODATA || error == EOPNOTSUPP || error == EPERM;
}

int host_kill_priv(const struct host_place *place)
{
	uint32_t mode = place->st.stx_mode, kept = mode & ~(uint32_t)S_ISUID;
	int r = 0;

	if (S_ISDIR(mode) || S_ISLNK(mode))
		return 0;
	if (mode & S_IXGRP)
		kept &= ~(uint32_t)S_ISGID;
	if (kept != mode)
		r = host_chmod(place->fd, kept);
	if (r == 0 && removexattr(host_fd_path(place->fd).text, CAPABILITY) &&
	    !had_no_capability(errno))
		r = -errno;
	return r;
}

static int set_size(struct fspf_host *h, const struct host_place *place, uint64_t size)
{
	struct host_open o;
	int r;

	if (size > INT64_MAX)
		return -EFBIG;
	r = host_open_data(h, place, true, &o);
	if (r == 0) {
		r = ftruncate(o.fd, (off_t)size) ? -errno : 0;
		host_close_data(h, &o);
	}
	return r;
}

/* The host drops set-id bits and capabilities of what is given away. */
static int set_owner(const struct host_place *place, uint32_t set, const struct fspf_attr *attr)
{
	uid_t uid = set & FSPF_SET_UID ? attr->uid : (uid_t)-1;
	gid_t gid = set & FSPF_SET_GID ? attr->gid : (gid_t)-1;

	return fchownat(place->fd, "", uid, gid, AT_EMPTY_PATH) ? -errno : 0;
}

static struct timespec time_to_set(uint32_t set, uint32_t now, uint32_t given,
				   const struct timespec *t)
{
	if (set & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return set & given ? *t : (struct timespec){.tv_nsec = UTIME_OMIT};
}

#define SET_TIMES (FSPF_SET_ATIME | FSPF_SET_ATIME_NOW | FSPF_SET_MTIME | FSPF_SET_MTIME_NOW)

static int set_times(const struct host_place *place, uint32_t set, const struct fspf_attr *attr)
{
	const struct timespec t[2] = {
		time_to_set(set, FSPF_SET_ATIME_NOW, FSPF_SET_ATIME, &attr->atime),
		time_to_set(set, FSPF_SET_MTIME_NOW, FSPF_SET_MTIME, &attr->mtime),
	};

	return utimensat(AT_FDCWD, host_fd_path(place->fd).text, t, 0) ? -errno : 0;
}

/* The mode after the owner, which takes bits away; the times last, for all else touches them. */
static int set_fields(struct fspf_host *h, const struct host_place *place, uint32_t set,
		      const struct fspf_attr *attr)
{
	int r = 0;

	if (set & FSPF_SET_SIZE)
		r = set_size(h, place, attr->size);
	if (r == 0 && set & (FSPF_SET_UID | FSPF_SET_GID))
		r = set_owner(place, set, attr);
	if (r == 0 && set & FSPF_SET_KILL_PRIV && !(set & FSPF_SET_MODE))
		r = host_kill_priv(place);
	if (r == 0 && set & FSPF_SET_MODE)
		r = host_chmod(place->fd, attr->mode);
	if (r == 0 && set & SET_TIMES)
		r = set_times(place, set, attr);
	return r;
}

int fspf_host_setattr(struct fspf_host *h, uint64_t ino, uint32_t set, const struct fspf_attr *attr,
		      struct fspf_attr *ret)
{
	struct host_place place;
	struct statx st;
	int r = host_visit_to_change(h, ino, &place);

	if (r)
		return r;
	host_change_begin(h, &place);
	r = set_fields(h, &place, set, attr);
	host_change_end(h, &place, &st);
	if (r == 0)
		host_attr(ino, &st, ret);
	host_leave(h, &place);
	return r;
}

/* ---- extended attributes ---- */

ssize_t fspf_host_getxattr(struct fspf_host *h, uint64_t ino, const char *name, void *value,
			   size_t size)
{
	struct host_place place;
	ssize_t n = host_visit(h, ino, &place);

	if (n)
		return n;
	n = getxattr(host_fd_path(place.fd).text, name, value, size);
	if (n < 0)
		n = -errno;
	host_leave(h, &place);
	return n;
}

ssize_t fspf_host_listxattr(struct fspf_host *h, uint64_t ino, char *list, size_t size)
{
	struct host_place place;
	ssize_t n = host_visit(h, ino, &place);

	if (n)
		return n;
	n = listxattr(host_fd_path(place.fd).text, list, size);
	if (n < 0)
		n = -errno;
	host_leave(h, &place);
	return n;
}

/* We have the right to keep the bit, so the host does; the caller has not. */
static int drop_sgid(const struct host_place *place)
{
	struct statx st;
	int r = host_stat(place->fd, &st);

	if (r == 0 && st.stx_mode & S_ISGID)
		r = host_chmod(place->fd, st.stx_mode & ~(uint32_t)S_ISGID);
	return r;
}

int fspf_host_setxattr(struct fspf_host *h, uint64_t ino, const char *name, const void *value,
		       size_t size, int flags, bool kill_sgid)
{
	struct host_place place;
	int r = host_visit_to_change(h, ino, &place);

	if (r)
		return r;
	if (setxattr(host_fd_path(place.fd).text, name, value, size, flags))
		r = -errno;
	if (r == 0 && kill_sgid && !strcmp(name, "system.posix_acl_access"))
		r = drop_sgid(&place);
	host_leave(h, &place);
	return r;
}

int fspf_host_removexattr(struct fspf_host *h, uint64_t ino, const char *name)
{
	struct host_place place;
	int r = host_visit_to_change(h, ino, &place);

	if (r)
		return r;
	if (removexattr(host_fd_path(place.fd).text, name))
		r = -errno;
	host_leave(h, &place);
	return r;
}
