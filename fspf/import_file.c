/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/import_file.c - one host file's contents and attributes
 */
#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fspf/fdio.h"
#include "fspf/import_internal.h"

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* ---- contents ---- */

/* The next run of data at or after *offset; *ret_end is its end, or UINT64_MAX: to wherever the
 * file ends.  -ENXIO: only a hole is left. */
static int find_data(int fd, bool holes, uint64_t *offset, uint64_t *ret_end)
{
	off_t data, end;
	int r = 0;

	if (!holes) {
		*ret_end = UINT64_MAX;
	} else {
		data = lseek(fd, (off_t)*offset, SEEK_DATA);
		end = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (end < 0) {
			r = -errno;
		} else {
			*offset = (uint64_t)data;
			*ret_end = (uint64_t)end;
		}
	}
	return r;
}

/* Copy from *offset up to @end or the end of the file, whichever comes first. */
static int copy_run(struct fspf_work *w, int fd, uint64_t ino, uint64_t *offset, uint64_t end,
		    bool *ret_eof, const char **ret_doing)
{
	bool eof = false;
	int r = 0;

	while (!r && !eof && *offset < end) {
		/* Pieces end at multiples of their size, whatever the run begins with. */
		size_t size = (size_t)min_u64(FSPF_PIECE - *offset % FSPF_PIECE, end - *offset);
		ssize_t n = fspf_fd_read(fd, w->piece, size, *offset);
		ssize_t written = 0;

		*ret_doing = "read";
		if (n > 0) {
			written = fspf_write(w->v, ino, *offset, w->piece, (size_t)n, 0);
			*ret_doing = "write";
		}
		if (n < 0 || written < 0) {
			r = (int)(n < 0 ? n : written);
		} else {
			eof = (size_t)n < size;
			*offset += (uint64_t)n;
			r = fspf_work_step(w, (uint64_t)n);
		}
	}
	*ret_eof = eof;
	return r;
}

static int set_size(struct fspf_work *w, uint64_t ino, uint64_t size)
{
	struct fspf_attr attr = {.size = size};

	return fspf_setattr(w->v, ino, FSPF_SET_SIZE, &attr, &attr);
}

int fspf_import_data(struct fspf_work *w, int fd, const struct stat *st, uint64_t ino,
		     const char **ret_doing)
{
	uint64_t size = (uint64_t)st->st_size, offset = 0, last = 0, end = 0;
	/* Fewer blocks than bytes: there are holes (or compression, then SEEK_DATA finds none). */
	bool holes = (uint64_t)st->st_blocks * 512 < size;
	bool eof = false;
	int r = 0;

	while (!r && !eof && (!holes || offset < size)) {
		*ret_doing = "read";
		r = find_data(fd, holes, &offset, &end);
		if (!r)
			r = copy_run(w, fd, ino, &offset, end, &eof, ret_doing);
		if (!r)
			last = offset;
	}
	if (r == -ENXIO)
		r = 0;
	if (!r && holes && last < size) {
		*ret_doing = "write";
		r = set_size(w, ino, size);
	}
	return r;
}

/* ---- attributes ---- */

/* The calls by path work on an O_PATH descriptor, of a symlink too; those by descriptor are faster.
 */
struct by_path {
	char name[32];
};

static const char *path_of(int fd, struct by_path *p)
{
	snprintf(p->name, sizeof(p->name), "/proc/self/fd/%d", fd);
	return p->name;
}

static bool is_open_for_reading(const struct stat *st)
{
	return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
}

ssize_t fspf_import_xattr_list(struct fspf_work *w, int fd, const struct stat *st)
{
	struct by_path p;
	ssize_t n = is_open_for_reading(st) ? flistxattr(fd, w->names, FSPF_WORK_NAMES)
					    : listxattr(path_of(fd, &p), w->names, FSPF_WORK_NAMES);

	if (n < 0)
		n = errno == ENOTSUP ? 0 : -errno;
	return n;
}

ssize_t fspf_import_xattr_get(int fd, const struct stat *st, const char *name, void *value,
			      size_t size)
{
	struct by_path p;
	ssize_t n = is_open_for_reading(st) ? fgetxattr(fd, name, value, size)
					    : getxattr(path_of(fd, &p), name, value, size);

	return n < 0 ? -errno : n;
}

static int import_xattrs(struct fspf_work *w, int fd, const struct stat *st, uint64_t ino,
			 const char **ret_doing)
{
	ssize_t len = fspf_import_xattr_list(w, fd, st);
	const char *name = w->names;
	ssize_t size;
	int r = len < 0 ? (int)len : 0;

	*ret_doing = "read the extended attributes of";
	while (!r && name < w->names + len) {
		size = fspf_import_xattr_get(fd, st, name, w->value, FSPF_XATTR_VALUE_MAX);
		if (size >= 0) {
			*ret_doing = "keep an extended attribute of";
			r = fspf_setxattr(w->v, ino, name, w->value, (size_t)size, 0, false);
		} else if (size != -ENODATA) { /* it may have gone meanwhile */
			*ret_doing = "read an extended attribute of";
			r = (int)size;
		}
		name += strlen(name) + 1;
	}
	return r;
}

static int drop_xattr(struct fspf_work *w, uint64_t ino, const char *name)
{
	int r = fspf_removexattr(w->v, ino, name);

	return r == -ENODATA || r == -ENOTSUP ? 0 : r;
}

static int set_owner(struct fspf_work *w, const struct stat *st, const struct fspf_attr *now)
{
	struct fspf_attr attr = {.uid = st->st_uid, .gid = st->st_gid};
	int r = 0;

	if (now->uid != st->st_uid || now->gid != st->st_gid)
		r = fspf_setattr(w->v, now->ino, FSPF_SET_UID | FSPF_SET_GID, &attr, &attr);
	return r;
}

static int set_mode_and_times(struct fspf_work *w, const struct stat *st, uint64_t ino)
{
	struct fspf_attr attr = {.mode = st->st_mode, .atime = st->st_atim, .mtime = st->st_mtim};
	uint32_t set = FSPF_SET_ATIME | FSPF_SET_MTIME;

	if (!S_ISLNK(st->st_mode))
		set |= FSPF_SET_MODE;
	return fspf_setattr(w->v, ino, set, &attr, &attr);
}

int fspf_import_attributes(struct fspf_work *w, int fd, const struct stat *st,
			   const struct fspf_attr *now, bool inherited, const char **ret_doing)
{
	int r;

	*ret_doing = "set the owner of";
	r = set_owner(w, st, now);
	if (!r && inherited)
		r = drop_xattr(w, now->ino, ACL_ACCESS);
	if (!r && inherited && S_ISDIR(st->st_mode))
		r = drop_xattr(w, now->ino, ACL_DEFAULT);
	if (!r)
		r = import_xattrs(w, fd, st, now->ino, ret_doing);
	if (!r) {
		*ret_doing = "set the mode and times of";
		r = set_mode_and_times(w, st, now->ino);
	}
	return r;
}
