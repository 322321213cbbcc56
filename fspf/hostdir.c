/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/hostdir.c - a path of open host directories
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fspf/hostdir.h"

#define OPEN_LEVELS 32u /* innermost levels whose descriptors stay open */

static void level_close(struct fspf_hostdir_level *level)
{
	if (level->fd >= 0)
		close(level->fd);
	level->fd = -1;
}

static int reserve(struct fspf_hostdir *d)
{
	struct fspf_hostdir_level *grown;
	size_t room = d->room ? 2 * d->room : 32;
	int r = 0;

	if (d->depth == d->room) {
		grown = reallocarray(d->level, room, sizeof(*grown));
		if (grown) {
			d->level = grown;
			d->room = room;
		} else {
			r = -ENOMEM;
		}
	}
	return r;
}

int fspf_hostdir_push(struct fspf_hostdir *d, int fd, const struct stat *st)
{
	int r = reserve(d);

	if (r) {
		close(fd);
	} else {
		if (d->depth >= OPEN_LEVELS)
			level_close(&d->level[d->depth - OPEN_LEVELS]);
		d->level[d->depth++] =
			(struct fspf_hostdir_level){.fd = fd, .dev = st->st_dev, .ino = st->st_ino};
	}
	return r;
}

int fspf_hostdir_open(int at, const char *name, int flags)
{
	int fd;

	flags |= O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
	fd = openat(at, name, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM) /* somebody else's file */
		fd = openat(at, name, flags);
	return fd < 0 ? -errno : fd;
}

static int open_directory(int at, const char *name, struct stat *ret)
{
	int fd = fspf_hostdir_open(at, name, O_DIRECTORY);
	int r = fd < 0 ? fd : 0;

	if (!r && fstat(fd, ret)) {
		r = -errno;
		close(fd);
	}
	return r ? r : fd;
}

int fspf_hostdir_down(struct fspf_hostdir *d, const char *name, struct stat *ret)
{
	struct stat st;
	int fd = open_directory(fspf_hostdir_fd(d), name, &st);
	int r = fd < 0 ? fd : fspf_hostdir_push(d, fd, &st);

	if (!r)
		*ret = st;
	return r;
}

int fspf_hostdir_fd(const struct fspf_hostdir *d)
{
	return d->level[d->depth - 1].fd;
}

int fspf_hostdir_up(struct fspf_hostdir *d)
{
	struct fspf_hostdir_level *child = &d->level[d->depth - 1];
	struct fspf_hostdir_level *parent = d->depth > 1 ? child - 1 : NULL;
	struct stat st;
	int r = 0;

	if (parent && parent->fd < 0) {
		parent->fd = open_directory(child->fd, "..", &st);
		if (parent->fd < 0)
			r = parent->fd;
		else if (st.st_dev != parent->dev || st.st_ino != parent->ino)
			r = -EXDEV;
		if (r)
			level_close(parent);
	}
	level_close(child);
	d->depth--;
	return r;
}

void fspf_hostdir_free(struct fspf_hostdir *d)
{
	for (size_t i = 0; i < d->depth; i++)
		level_close(&d->level[i]);
	free(d->level);
	memset(d, 0, sizeof(*d));
}

int fspf_hostdir_open_parent(char *path, const char **ret_name)
{
	char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	const char *parent = ".";
	int fd;

	if (slash == path)
		parent = "/";
	else if (slash)
		parent = path;
	if (!*name)
		return -ENOENT;
	if (slash && slash != path)
		*slash = '\0';
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		*ret_name = name;
	return fd < 0 ? -errno : fd;
}

int fspf_hostdir_list(const struct fspf_hostdir *d, struct fspf_namelist *ret)
{
	int fd = fspf_hostdir_open(fspf_hostdir_fd(d), ".", O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int r = fd < 0 ? fd : dir ? 0 : -errno;

	while (!r) {
		errno = 0;
		entry = readdir(dir);
		r = entry ? 0 : -errno;
		if (!entry)
			break;
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			r = fspf_namelist_add(ret, entry->d_name, entry->d_ino);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	fspf_namelist_sort(ret);
	return r;
}
