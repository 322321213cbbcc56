/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/export_file.c - one file's contents and attributes onto the host
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fspf/fdio.h"
#include "fspf/export_internal.h"

/* ---- contents ---- */

/* The bytes from *offset to @end. */
static int copy_run(struct fspf_work *w, uint64_t ino, int fd, uint64_t *offset, uint64_t end,
		    const char **ret_doing)
{
	int r = 0;

	while (!r && *offset < end) {
		size_t size = (size_t)min_u64(FSPF_PIECE - *offset % FSPF_PIECE, end - *offset);
		ssize_t n = fspf_read(w->v, ino, *offset, w->piece, size);

		*ret_doing = "read";
		if (n <= 0) {
			r = n ? (int)n : -EIO; /* shorter than its size: nobody else changes it */
		} else {
			r = fspf_fd_write(fd, w->piece, (size_t)n, *offset);
			if (r)
				*ret_doing = "write";
			*offset += (uint64_t)n;
		}
		if (!r)
			r = fspf_work_step(w, (uint64_t)n);
	}
	return r;
}

int fspf_export_data(struct fspf_work *w, const struct fspf_attr *attr, int fd,
		     const char **ret_doing)
{
	uint64_t offset = 0, end = 0;
	int r = 0;

	while (!r && offset < attr->size) {
		*ret_doing = "read";
		r = fspf_seek(w->v, attr->ino, offset, SEEK_DATA, &offset);
		if (!r)
			r = fspf_seek(w->v, attr->ino, offset, SEEK_HOLE, &end);
		if (!r)
			r = copy_run(w, attr->ino, fd, &offset, end, ret_doing);
	}
	if (r == -ENXIO) /* only a hole is left */
		r = 0;
	if (!r && end < attr->size && ftruncate(fd, (off_t)attr->size)) {
		*ret_doing = "write";
		r = -errno;
	}
	return r;
}

/* ---- attributes ---- */

/* The calls by path work on an O_PATH descriptor, of a symlink too. */
struct by_path {
	char name[32];
};

static const char *path_of(int fd, struct by_path *p)
{
	snprintf(p->name, sizeof(p->name), "/proc/self/fd/%d", fd);
	return p->name;
}

static bool is_privileged_name(const char *name)
{
	return !strncmp(name, "trusted.", 8) || !strncmp(name, "security.", 9);
}

/* All that can be set is set; the first failure is told, or damage, whenever it comes. */
struct outcome {
	int r;
	const char *doing;
};

static void note(struct outcome *o, int r, const char *doing)
{
	if (r && (!o->r || (r == -EBADMSG && o->r != r))) {
		o->r = r;
		o->doing = doing;
	}
}

static int set_xattr(int fd, const char *name, const void *value, size_t size)
{
	struct by_path p;
	int r = setxattr(path_of(fd, &p), name, value, size, 0) ? -errno : 0;

	if (r == -EPERM && geteuid() != 0 && is_privileged_name(name))
		r = 0;
	return r;
}

static void export_xattrs(struct fspf_work *w, uint64_t ino, int fd, struct outcome *o)
{
	ssize_t len = fspf_listxattr(w->v, ino, w->names, FSPF_WORK_NAMES);
	ssize_t size;

	if (len < 0)
		note(o, (int)len, "read the extended attributes of");
	for (const char *name = w->names; name < w->names + len; name += strlen(name) + 1) {
		size = fspf_getxattr(w->v, ino, name, w->value, FSPF_XATTR_VALUE_MAX);
		if (size < 0)
			note(o, (int)size, "read an extended attribute of");
		else
			note(o, set_xattr(fd, name, w->value, (size_t)size),
			     "set an extended attribute of");
	}
}

/* *ret_mode: the permissions that may be given with the owner that could be set. */
static int set_owner(const struct fspf_attr *attr, int fd, uint32_t *ret_mode)
{
	uint32_t mode = attr->mode & 07777;
	int r = fchownat(fd, "", attr->uid, attr->gid, AT_EMPTY_PATH) ? -errno : 0;

	if (r)
		mode &= ~(uint32_t)(S_ISUID | S_ISGID);
	if (r == -EPERM && geteuid() != 0)
		r = 0;
	*ret_mode = mode;
	return r;
}

static int set_mode(const struct fspf_attr *attr, int fd, uint32_t mode)
{
	struct by_path p;
	int r = 0;

	if (!S_ISLNK(attr->mode) && chmod(path_of(fd, &p), mode))
		r = -errno;
	return r;
}

int fspf_export_attributes(struct fspf_work *w, const struct fspf_attr *attr, int fd,
			   const char **ret_doing)
{
	const struct timespec times[2] = {attr->atime, attr->mtime};
	struct outcome o = {.r = 0};
	uint32_t mode;

	note(&o, set_owner(attr, fd, &mode), "set the owner of");
	export_xattrs(w, attr->ino, fd, &o);
	note(&o, set_mode(attr, fd, mode), "set the mode of");
	if (utimensat(fd, "", times, AT_EMPTY_PATH))
		note(&o, -errno, "set the times of");
	if (o.r)
		*ret_doing = o.doing;
	return o.r;
}
