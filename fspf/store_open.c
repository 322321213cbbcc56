/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/store_open.c - volume directories made, opened and removed
 *
 * The lock is a flock on volume.fspf: it goes when the process does, and works on read-only file
 * systems.  A volume exists when its head does, so the head is made first and removed last.  The
 * head is written with zeroes when it is made: a barrier over space that was written before costs
 * less than half of one over new space, and each commit overwrites the root slots there.
 */
#include "fspf/store_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fspf/store_files.h"

#define HEAD_NAME "volume.fspf"
#define SEGMENTS_NAME "segments"

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void opening_close(const struct store_opening *o)
{
	close_fd(o->head);
	close_fd(o->segments);
	close_fd(o->dir);
}

static int lock_head(int head, enum fspf_store_mode mode)
{
	int how = mode == FSPF_STORE_READ_WRITE ? LOCK_EX : LOCK_SH;

	if (mode == FSPF_STORE_PEEK || !flock(head, how | LOCK_NB))
		return 0;
	return errno == EWOULDBLOCK ? -EBUSY : -errno;
}

/* These three return a descriptor or a negative errno.  @flags: O_RDONLY or O_RDWR, O_CREAT. */
static int open_head(int dir, int flags, enum fspf_store_mode mode)
{
	struct stat st;
	int fd, r;

	fd = openat(dir, HEAD_NAME, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else
		r = S_ISREG(st.st_mode) ? lock_head(fd, mode) : -EINVAL;
	if (r) {
		close(fd);
		fd = r;
	}
	return fd;
}

static int open_segments_dir(int dir)
{
	int fd = openat(dir, SEGMENTS_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int open_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int make_segments_dir(int dir)
{
	if (mkdirat(dir, SEGMENTS_NAME, 0700) < 0 && errno != EEXIST)
		return -errno;
	return open_segments_dir(dir);
}

/* A volume without segments may lack their directory: copying programs drop empty ones. */
static int open_parts(struct store_opening *o, enum fspf_store_mode mode)
{
	bool read_only = mode != FSPF_STORE_READ_WRITE;

	o->head = open_head(o->dir, read_only ? O_RDONLY : O_RDWR, mode);
	if (o->head < 0)
		return o->head;
	o->segments = open_segments_dir(o->dir);
	if (o->segments == -ENOENT && !read_only) {
		o->segments = make_segments_dir(o->dir);
		o->fresh = true;
	}
	return o->segments < 0 && o->segments != -ENOENT ? o->segments : 0;
}

int fspf_store_open_directory(const char *path, enum fspf_store_mode mode, struct fspf_store **ret)
{
	struct store_opening o = {.dir = -1, .segments = -1, .head = -1};
	int r;

	o.dir = open_path(path);
	r = o.dir < 0 ? o.dir : open_parts(&o, mode);
	if (!r)
		r = fspf_store_directory_new(&o, mode != FSPF_STORE_READ_WRITE, ret);
	if (r)
		opening_close(&o);
	return r;
}

/* -EEXIST: it is a volume; -ENOTEMPTY: there is something else in it. */
static int check_empty(const char *path)
{
	struct dirent *entry;
	int r = 0;
	DIR *dir;

	dir = opendir(path);
	if (!dir)
		return -errno;
	while (r != -EEXIST && (errno = 0, (entry = readdir(dir)))) {
		if (!strcmp(entry->d_name, HEAD_NAME))
			r = -EEXIST;
		else if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			r = -ENOTEMPTY;
	}
	if (!r)
		r = -errno;
	closedir(dir);
	return r;
}

static int write_empty_head(int head)
{
	static const uint8_t zeroes[FSPF_BLOCK_SIZE];
	ssize_t n;
	off_t i;

	for (i = 0; i < (off_t)FSPF_HEAD_BLOCKS; i++) {
		n = pwrite(head, zeroes, sizeof(zeroes), i * (off_t)sizeof(zeroes));
		if (n < 0)
			return -errno;
		if (n != (ssize_t)sizeof(zeroes))
			return -EIO;
	}
	return 0;
}

static void remove_segments(int dir)
{
	struct dirent *entry;
	DIR *d;
	int fd;

	fd = open_segments_dir(dir);
	if (fd < 0)
		return;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return;
	}
	while ((entry = readdir(d)))
		if (fspf_store_files_number(entry->d_name))
			unlinkat(fd, entry->d_name, 0);
	closedir(d);
	unlinkat(dir, SEGMENTS_NAME, AT_REMOVEDIR);
}

static void remove_parts(int dir)
{
	remove_segments(dir);
	unlinkat(dir, HEAD_NAME, 0);
}

/* The head is made first, and exclusively: whoever makes it is the one who creates. */
static int make_parts(struct store_opening *o, struct fspf_store **ret)
{
	int r;

	o->fresh = true;
	o->head = open_head(o->dir, O_RDWR | O_CREAT | O_EXCL, FSPF_STORE_READ_WRITE);
	if (o->head < 0)
		return o->head;
	o->segments = make_segments_dir(o->dir);
	r = o->segments < 0 ? o->segments : write_empty_head(o->head);
	if (!r)
		r = fspf_store_directory_new(o, false, ret);
	if (r)
		remove_parts(o->dir);
	return r;
}

int fspf_store_create_directory(const char *path, struct fspf_store **ret)
{
	struct store_opening o = {.dir = -1, .segments = -1, .head = -1};
	bool made = !mkdir(path, 0700);
	int r = 0;

	if (!made)
		r = errno == EEXIST ? check_empty(path) : -errno;
	if (!r)
		o.dir = r = open_path(path);
	if (r >= 0)
		r = make_parts(&o, ret);
	if (r) {
		opening_close(&o);
		if (made)
			rmdir(path);
	}
	return r;
}

void fspf_store_remove_directory(const char *path)
{
	int dir = open_path(path);

	if (dir < 0)
		return;
	remove_parts(dir);
	close(dir);
	rmdir(path);
}
