/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a number to the file (H1, H2).  The names from the nearest directory that is held open (in
 * the end DIR itself) down to the file make a path, and openat2(2) follows it while refusing
 * symlinks and whatever else leads elsewhere; a kernel without it, or a filter that forbids it,
 * makes us go name by name.  The descriptor says which file was reached; only if that is the one
 * that was meant is it used.
 *
 * Names are checked where they come in (fspf_name_check), so one of them is never "..", and never
 * holds a slash.
 */
#include <errno.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fspf/host_internal.h"

#define PATH_FLAGS (O_PATH | O_NOFOLLOW | O_CLOEXEC)

int host_stat(int fd, struct statx *ret)
{
	return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, ret) ? -errno : 0;
}

static struct timespec time_of(const struct statx_timestamp *t)
{
	return (struct timespec){.tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec};
}

void host_attr(uint64_t ino, const struct statx *st, struct fspf_attr *ret)
{
	*ret = (struct fspf_attr){
		.ino = ino,
		.size = st->stx_size,
		.blocks = st->stx_blocks,
		.rdev = makedev(st->stx_rdev_major, st->stx_rdev_minor),
		.mode = st->stx_mode,
		.nlink = st->stx_nlink,
		.uid = st->stx_uid,
		.gid = st->stx_gid,
		.atime = time_of(&st->stx_atime),
		.mtime = time_of(&st->stx_mtime),
		.ctime = time_of(&st->stx_ctime),
		.foreign = true,
	};
	if (st->stx_mask & STATX_BTIME)
		ret->btime = time_of(&st->stx_btime);
}

struct host_fd_path host_fd_path(int fd)
{
	struct host_fd_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
	return path;
}

/* ---- opening beneath a descriptor ---- */

/* @path is cut into its names on the way. */
static int open_by_component(int at, char *path)
{
	int dir = at, fd;

	for (;;) {
		char *slash = strchr(path, '/');

		if (slash)
			*slash = 0;
		fd = openat(dir, path, PATH_FLAGS | (slash ? O_DIRECTORY : 0));
		if (fd < 0)
			fd = -errno;
		if (dir != at)
			close(dir);
		if (fd < 0 || !slash)
			break;
		dir = fd;
		path = slash + 1;
	}
	return fd;
}

/* @path is shorter than PATH_MAX. */
static int open_once(struct fspf_host *h, int at, char *path, unsigned flags)
{
	const struct open_how how = {
		.flags = PATH_FLAGS | flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd = -ENOSYS;

	if (!atomic_load(&h->by_component)) {
		fd = (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
		if (fd < 0)
			fd = -errno;
		if (fd == -ENOSYS || fd == -EPERM)
			atomic_store(&h->by_component, true);
	}
	if (fd == -ENOSYS || fd == -EPERM)
		fd = open_by_component(at, path);
	if (fd == -EMFILE && host_trim(h))
		fd = -EAGAIN;
	return fd;
}

/* EAGAIN: a rename somewhere while ".." was met, or descriptors became free. */
static int open_retrying(struct fspf_host *h, int at, const char *path, size_t len, unsigned flags)
{
	char copy[PATH_MAX];
	int fd = -EAGAIN;

	for (int i = 0; fd == -EAGAIN && i < 3; i++) {
		memcpy(copy, path, len);
		copy[len] = 0;
		fd = open_once(h, at, copy, flags);
	}
	return fd;
}

/* As far as one call takes a path. */
static size_t first_part(const char *path)
{
	size_t len = strnlen(path, PATH_MAX);

	if (len < PATH_MAX)
		return len;
	for (len = PATH_MAX - 1; path[len] != '/'; len--)
		;
	return len;
}

/* Takes @at over.  An empty path is @at itself. */
static int open_beneath(struct fspf_host *h, int at, const char *path)
{
	while (at >= 0 && *path) {
		size_t len = first_part(path);
		bool more = path[len] == '/';
		int fd = open_retrying(h, at, path, len, more ? O_DIRECTORY : 0);

		close(at);
		at = fd;
		path += len + more;
	}
	return at;
}

int host_child(struct fspf_host *h, int at, const char *name, int *ret_fd, struct statx *ret_st)
{
	int fd = openat(at, name, PATH_FLAGS), r;

	if (fd < 0 && errno == EMFILE && host_trim(h))
		fd = openat(at, name, PATH_FLAGS);
	if (fd < 0)
		return -errno;
	r = host_stat(fd, ret_st);
	if (r)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

/* ---- paths ---- */

/* Those that are held have no need of a name. */
static const struct host_name *name_above(const struct host_file *dir)
{
	return dir->held < 0 ? dir->names : NULL;
}

char *host_path(const struct host_file *file, const struct host_name *name,
		const struct host_file **ret_top)
{
	const struct host_file *top = file;
	size_t len = 0;
	char *path;

	for (const struct host_name *n = name; n; n = name_above(top)) {
		len += strlen(n->name) + 1;
		top = n->dir;
	}
	path = top->held < 0 ? NULL : malloc(len + 1);
	if (!path)
		return NULL;
	if (len > 0)
		len--; /* no slash before the first */
	path[len] = 0;
	for (const struct host_name *n = name; n; n = name_above(n->dir)) {
		size_t n_len = strlen(n->name);

		len -= n_len;
		memcpy(path + len, n->name, n_len);
		if (len > 0)
			path[--len] = '/';
	}
	*ret_top = top;
	return path;
}

/* The way to @file by its name number @nth: a path, and where it begins. */
static int plan(struct fspf_host *h, const struct host_file *file, unsigned nth, char **ret_path,
		int *ret_at)
{
	const struct host_name *name = name_above(file);
	const struct host_file *top;
	char *path = NULL;
	int at = -1, r = 0;

	host_lock(h);
	for (; name && nth > 0; nth--)
		name = name->next;
	if (file->held < 0 && !name)
		r = -ESTALE;
	if (r == 0)
		path = host_path(file, name, &top);
	if (path) {
		at = fcntl(top->held, F_DUPFD_CLOEXEC, 0);
		r = at < 0 ? -errno : 0;
	} else if (r == 0) {
		r = -ESTALE; /* below a directory that was removed */
	}
	host_unlock(h);
	if (r) {
		free(path);
	} else {
		*ret_path = path;
		*ret_at = at;
	}
	return r;
}

static bool leads_nowhere(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EXDEV || r == -ENAMETOOLONG;
}

static int walk_by(struct fspf_host *h, struct host_file *file, unsigned nth, int *ret_fd,
		   struct statx *ret_st)
{
	char *path;
	int fd, at, r = plan(h, file, nth, &path, &at);

	if (r == -EMFILE && host_trim(h))
		r = plan(h, file, nth, &path, &at);
	if (r)
		return r;
	fd = open_beneath(h, at, path);
	free(path);
	if (fd < 0)
		return leads_nowhere(fd) ? -ENOENT : fd;
	r = host_stat(fd, ret_st);
	if (r == 0 && !host_is(file, ret_st))
		r = -ENOENT;
	if (r)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

/* Inside, -ENOENT means "not by this name", and -ESTALE "there are no more names". */
int host_walk(struct fspf_host *h, struct host_file *file, int *ret_fd, struct statx *ret_st)
{
	int r = -ENOENT;

	for (unsigned nth = 0; r == -ENOENT; nth++)
		r = walk_by(h, file, nth, ret_fd, ret_st);
	return r;
}

/* ---- places ---- */

int host_enter(struct fspf_host *h, uint64_t ino, struct host_place *ret)
{
	int r = host_get(h, ino, &ret->file);

	if (r)
		return r;
	ret->ino = ino;
	r = host_walk(h, ret->file, &ret->fd, &ret->st);
	if (r)
		host_put(h, ret->file);
	return r;
}

int host_enter_dir(struct fspf_host *h, uint64_t ino, struct host_place *ret)
{
	int r = host_enter(h, ino, ret);

	if (r == 0 && ret->file->id.type != S_IFDIR) {
		host_leave(h, ret);
		r = -ENOTDIR;
	}
	return r;
}

int host_visit(struct fspf_host *h, uint64_t ino, struct host_place *ret)
{
	int r;

	pthread_rwlock_rdlock(&h->tree);
	r = host_enter(h, ino, ret);
	pthread_rwlock_unlock(&h->tree);
	return r;
}

int host_visit_to_change(struct fspf_host *h, uint64_t ino, struct host_place *ret)
{
	return h->read_only ? -EROFS : host_visit(h, ino, ret);
}

void host_leave(struct fspf_host *h, struct host_place *place)
{
	close(place->fd);
	host_put(h, place->file);
}
