/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/store_files.c - the open files of a directory store
 *
 * How: a hash table finds a segment's file, a list keeps the files in order of use, and a count of
 * users keeps a file from being closed under somebody who reads.
 *
 * What a barrier must cover is remembered per file as a mark that is set *after* the data was
 * handed to the kernel and cleared *before* fdatasync starts, so a write that races with a barrier
 * is covered by that barrier or by the next, never by none.  A marked file is not closed, because
 * an error of its writeback would be lost with its last descriptor; when all idle files are marked,
 * room is made by a barrier.  Barriers run one at a time: two at once could share one error, and
 * the one that did not see it would call lost data durable.
 */
#include "fspf/store_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#define SEGMENT_NAME_LEN 8
#define SEGMENT_MAX UINT32_MAX

enum {
	NAMES_SEGMENTS = 1 << 0, /* in segments/ */
	NAMES_VOLUME = 1 << 1,	 /* in the volume's directory, and its own in its parent */
};

struct store_file {
	uint64_t segment;
	int fd;
	unsigned users;
	bool dirty;
	struct store_file *prev, *next; /* lru */
	struct store_file *sync_next;
	UT_hash_handle hh;
};

int fspf_store_file_fd(const struct store_file *file)
{
	return file->fd;
}

uint64_t fspf_store_files_number(const char *name)
{
	uint64_t number = 0;

	if (strlen(name) != SEGMENT_NAME_LEN || strspn(name, "0123456789abcdef") != strlen(name))
		return 0;
	for (; *name; name++)
		number = number * 16 + (uint64_t)(*name <= '9' ? *name - '0' : *name - 'a' + 10);
	return number;
}

/* Called with the lock held. */
static int add_file(struct store_files *files, uint64_t segment, int fd, struct store_file **ret)
{
	struct store_file *file = calloc(1, sizeof(*file));

	if (!file)
		return -ENOMEM;
	file->segment = segment;
	file->fd = fd;
	HASH_ADD(hh, files->table, segment, sizeof(file->segment), file);
	if (!file->hh.tbl) {
		free(file);
		return -ENOMEM;
	}
	DL_APPEND(files->lru, file);
	files->nopen++;
	files->highest = max_u64(files->highest, segment);
	*ret = file;
	return 0;
}

static void drop_file(struct store_files *files, struct store_file *file)
{
	HASH_DEL(files->table, file);
	DL_DELETE(files->lru, file);
	files->nopen--;
	close(file->fd);
	free(file);
}

int fspf_store_files_init(struct store_files *files, int volume_dir, int segments_dir, int head,
			  bool read_only, bool fresh)
{
	struct store_file *file;
	int r;

	*files = (struct store_files){
		.volume_dir = volume_dir,
		.segments_dir = segments_dir,
		.read_only = read_only,
		.names = fresh ? NAMES_SEGMENTS | NAMES_VOLUME : 0,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.sync_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	r = add_file(files, 0, head, &file);
	if (!r)
		file->users = 1; /* for ever: its descriptor holds the lock on the volume */
	return r;
}

void fspf_store_files_close(struct store_files *files)
{
	while (files->lru)
		drop_file(files, files->lru);
	if (files->segments_dir >= 0)
		close(files->segments_dir);
	close(files->volume_dir);
	pthread_mutex_destroy(&files->lock);
	pthread_mutex_destroy(&files->sync_lock);
}

/* Close the least recently used file that is idle and covered; false if there is none. */
static bool evict(struct store_files *files)
{
	struct store_file *file;

	DL_FOREACH(files->lru, file)
	{
		if (!file->users && !file->dirty) {
			drop_file(files, file);
			return true;
		}
	}
	return false;
}

/* A descriptor or a negative errno.  O_NONBLOCK: whoever put a FIFO there shall not make us wait
 * for its other end. */
static int open_segment(struct store_files *files, uint64_t segment, bool create)
{
	int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (files->read_only ? O_RDONLY : O_RDWR);
	char name[SEGMENT_NAME_LEN + 1];
	struct stat st;
	int fd, r = 0;

	if (segment > SEGMENT_MAX)
		return create ? -EFBIG : -ENOENT;
	if (files->segments_dir < 0)
		return -ENOENT;
	snprintf(name, sizeof(name), "%08x", (unsigned)segment);
	fd = openat(files->segments_dir, name, flags);
	if (fd < 0 && errno == ENOENT && create) {
		fd = openat(files->segments_dir, name, flags | O_CREAT, 0600);
		if (fd >= 0)
			files->names |= NAMES_SEGMENTS;
	}
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -EIO;
	if (r) {
		close(fd);
		fd = r;
	}
	return fd;
}

static int open_file(struct store_files *files, uint64_t segment, bool create,
		     struct store_file **ret)
{
	int fd, r;

	fd = open_segment(files, segment, create);
	if (fd < 0)
		return fd;
	r = add_file(files, segment, fd, ret);
	if (r)
		close(fd);
	return r;
}

static struct store_file *find_file(struct store_files *files, uint64_t segment)
{
	struct store_file *file;

	HASH_FIND(hh, files->table, &segment, sizeof(segment), file);
	return file;
}

/* Room for one more file; the lock is dropped meanwhile if that takes a barrier.  When everything
 * is in use by somebody the bound gives way: it is far below the system's. */
static void make_room(struct store_files *files)
{
	int r;

	if (files->nopen < STORE_FILES_MAX || evict(files))
		return;
	pthread_mutex_unlock(&files->lock);
	r = fspf_store_files_sync(files);
	pthread_mutex_lock(&files->lock);
	if (!r) /* else the next barrier reports it: files->broken */
		evict(files);
}

int fspf_store_files_get(struct store_files *files, uint64_t segment, bool create,
			 struct store_file **ret)
{
	struct store_file *file;
	int r = 0;

	pthread_mutex_lock(&files->lock);
	file = find_file(files, segment);
	if (!file) {
		make_room(files);
		file = find_file(files, segment); /* somebody else may have been faster */
	}
	if (!file)
		r = open_file(files, segment, create, &file);
	if (!r) {
		file->users++;
		DL_DELETE(files->lru, file);
		DL_APPEND(files->lru, file);
		*ret = file;
	}
	pthread_mutex_unlock(&files->lock);
	return r;
}

void fspf_store_files_put(struct store_files *files, struct store_file *file, bool written)
{
	pthread_mutex_lock(&files->lock);
	file->users--;
	if (written)
		file->dirty = true;
	pthread_mutex_unlock(&files->lock);
}

/* The names in directory @fd.  Some file systems cannot sync a directory and say EINVAL: theirs
 * need none. */
static int sync_directory(int fd)
{
	if (fsync(fd) < 0 && errno != EINVAL)
		return -errno;
	return 0;
}

/* The volume's directory and its name in its parent, which we may be unable to open. */
static int sync_volume_names(int volume_dir)
{
	int parent, r;

	r = sync_directory(volume_dir);
	if (r)
		return r;
	parent = openat(volume_dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent >= 0) {
		r = sync_directory(parent);
		close(parent);
	} else if (errno != EACCES || syncfs(volume_dir) < 0) {
		r = -errno;
	}
	return r;
}

static int sync_names(struct store_files *files, unsigned names)
{
	int r = 0;

	if (names & NAMES_SEGMENTS)
		r = sync_directory(files->segments_dir);
	if (!r && names & NAMES_VOLUME)
		r = sync_volume_names(files->volume_dir);
	return r;
}

/* Take all marked files, and unmark them. */
static struct store_file *take_dirty(struct store_files *files, unsigned *ret_names)
{
	struct store_file *file, *dirty = NULL;

	pthread_mutex_lock(&files->lock);
	DL_FOREACH(files->lru, file)
	{
		if (file->dirty) {
			file->dirty = false;
			file->users++;
			file->sync_next = dirty;
			dirty = file;
		}
	}
	*ret_names = files->names;
	files->names = 0;
	pthread_mutex_unlock(&files->lock);
	return dirty;
}

static int sync_file(int fd)
{
	int r;

	do
		r = fdatasync(fd) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r;
}

int fspf_store_files_sync(struct store_files *files)
{
	struct store_file *dirty, *file;
	unsigned names;
	int r;

	pthread_mutex_lock(&files->sync_lock);
	r = files->broken;
	if (r)
		goto out;
	dirty = take_dirty(files, &names);
	if (dirty && dirty->sync_next) /* all at once rather than one after the other */
		for (file = dirty; file; file = file->sync_next)
			(void)sync_file_range(file->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	for (file = dirty; file && !r; file = file->sync_next)
		r = sync_file(file->fd);
	if (!r)
		r = sync_names(files, names);
	while ((file = dirty)) {
		dirty = file->sync_next;
		fspf_store_files_put(files, file, false);
	}
	files->broken = r;
out:
	pthread_mutex_unlock(&files->sync_lock);
	return r;
}

/* Called with the lock held. */
static int scan(struct store_files *files)
{
	struct dirent *entry;
	DIR *dir;
	int fd, r;

	fd = openat(files->segments_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	while (errno = 0, (entry = readdir(dir)))
		files->highest = max_u64(files->highest, fspf_store_files_number(entry->d_name));
	r = -errno;
	closedir(dir);
	return r;
}

int fspf_store_files_highest(struct store_files *files, uint64_t *ret)
{
	int r = 0;

	pthread_mutex_lock(&files->lock);
	if (!files->scanned && files->segments_dir >= 0)
		r = scan(files);
	if (!r) {
		files->scanned = true;
		*ret = files->highest;
	}
	pthread_mutex_unlock(&files->lock);
	return r;
}
