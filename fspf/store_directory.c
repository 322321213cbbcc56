/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/store_directory.c - the store that is a directory (docs/format.md, "The volume's directory")
 *
 * How: descriptors and pread/pwrite, everything relative to the directory's descriptor and no
 * symbolic link followed below it, so that renaming the volume under a running daemon does no harm.
 *
 * A segment file is as long as its highest reserved block, not as its segment, so that programs
 * that know no holes copy little.  Reserving is fallocate, and nothing where the file system has
 * none: there a full disk shows at the write or at the barrier.
 *
 * Large writes start their writeback at once, so that the barrier after them waits for less.
 */
#include "fspf/fdio.h"
#include "fspf/store_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fspf/store_files.h"

#define WRITEBACK_MIN (256u << 10) /* bytes: writes from here on start their writeback */

struct store_directory {
	struct fspf_store store;
	struct store_files files;
};

/* Where a run of blocks lies. */
struct place {
	uint64_t segment;
	uint64_t offset; /* bytes */
	uint64_t len;	 /* bytes */
};

static struct store_directory *directory_of(struct fspf_store *s)
{
	return (struct store_directory *)s;
}

/* -EINVAL: not inside one segment.  While the segment size is not known there is only the head. */
static int locate(const struct fspf_store *s, uint64_t block, uint64_t count, struct place *ret)
{
	uint64_t size = s->segment_blocks ? s->segment_blocks : FSPF_HEAD_BLOCKS;
	uint64_t index = block % size;

	if (count > size - index || (block >= size && !s->segment_blocks))
		return -EINVAL;
	ret->segment = block / size;
	ret->offset = index * FSPF_BLOCK_SIZE;
	ret->len = count * FSPF_BLOCK_SIZE;
	return 0;
}

/* The same for changes, which must also stay inside the head. */
static int locate_for_change(const struct fspf_store *s, uint64_t block, uint64_t count,
			     struct place *ret)
{
	struct place place;
	int r;

	if (s->read_only)
		return -EROFS;
	r = locate(s, block, count, &place);
	if (r)
		return r;
	if (!place.segment && place.offset + place.len > FSPF_HEAD_BLOCKS * FSPF_BLOCK_SIZE)
		return -EINVAL;
	*ret = place;
	return 0;
}

/* What lies beyond the end of the file is zeroes. */
static int read_all(int fd, uint8_t *data, size_t len, uint64_t offset)
{
	ssize_t n = fspf_fd_read(fd, data, len, offset);

	if (n < 0)
		return (int)n;
	memset(data + n, 0, len - (size_t)n);
	return 0;
}

static int directory_read(struct fspf_store *s, uint64_t block, void *data, size_t len)
{
	struct store_directory *d = directory_of(s);
	struct store_file *file;
	struct place place;
	int r;

	if (len % FSPF_BLOCK_SIZE)
		return -EINVAL;
	r = locate(s, block, len / FSPF_BLOCK_SIZE, &place);
	if (r)
		return r;
	r = fspf_store_files_get(&d->files, place.segment, false, &file);
	if (r == -ENOENT) {
		memset(data, 0, len);
		return 0;
	}
	if (r)
		return r;
	r = read_all(fspf_store_file_fd(file), data, len, place.offset);
	fspf_store_files_put(&d->files, file, false);
	return r;
}

static int directory_write(struct fspf_store *s, uint64_t block, const void *data, size_t len)
{
	struct store_directory *d = directory_of(s);
	struct store_file *file;
	struct place place;
	int r;

	if (len % FSPF_BLOCK_SIZE)
		return -EINVAL;
	r = locate_for_change(s, block, len / FSPF_BLOCK_SIZE, &place);
	if (r)
		return r;
	r = fspf_store_files_get(&d->files, place.segment, true, &file);
	if (r)
		return r;
	r = fspf_fd_write(fspf_store_file_fd(file), data, len, place.offset);
	if (!r && len >= WRITEBACK_MIN)
		(void)sync_file_range(fspf_store_file_fd(file), (off_t)place.offset, (off_t)len,
				      SYNC_FILE_RANGE_WRITE);
	fspf_store_files_put(&d->files, file, true);
	return r;
}

static int directory_barrier(struct fspf_store *s)
{
	return s->read_only ? -EROFS : fspf_store_files_sync(&directory_of(s)->files);
}

static int reserve_range(int fd, const struct place *place)
{
	int r;

	do
		r = fallocate(fd, 0, (off_t)place->offset, (off_t)place->len) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r == -EOPNOTSUPP ? 0 : r;
}

/* Nothing here needs the next barrier but a new file's name, which the files remember: blocks that
 * are reserved and not written need not survive a crash. */
static int directory_reserve(struct fspf_store *s, uint64_t block, uint64_t count)
{
	struct store_directory *d = directory_of(s);
	struct store_file *file;
	struct place place;
	int r;

	r = locate_for_change(s, block, count, &place);
	if (r || !count)
		return r;
	r = fspf_store_files_get(&d->files, place.segment, true, &file);
	if (r)
		return r;
	r = reserve_range(fspf_store_file_fd(file), &place);
	fspf_store_files_put(&d->files, file, false);
	return r;
}

static void directory_trim(struct fspf_store *s, uint64_t block, uint64_t count)
{
	struct store_directory *d = directory_of(s);
	struct store_file *file;
	struct place place;

	if (locate_for_change(s, block, count, &place) || !place.segment || !count)
		return;
	if (fspf_store_files_get(&d->files, place.segment, false, &file))
		return;
	(void)fallocate(fspf_store_file_fd(file), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)place.offset, (off_t)place.len);
	fspf_store_files_put(&d->files, file, false);
}

static int directory_available(struct fspf_store *s, uint64_t *ret_bytes)
{
	struct statvfs st;

	if (fstatvfs(directory_of(s)->files.volume_dir, &st) < 0)
		return -errno;
	*ret_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static int directory_segments(struct fspf_store *s, uint64_t *ret_highest)
{
	return fspf_store_files_highest(&directory_of(s)->files, ret_highest);
}

static void directory_free(struct fspf_store *s)
{
	struct store_directory *d = directory_of(s);

	fspf_store_files_close(&d->files);
	free(d);
}

static const struct fspf_store_ops directory_ops = {
	.read = directory_read,
	.write = directory_write,
	.barrier = directory_barrier,
	.reserve = directory_reserve,
	.trim = directory_trim,
	.available = directory_available,
	.segments = directory_segments,
	.free = directory_free,
};

int fspf_store_directory_new(const struct store_opening *o, bool read_only, struct fspf_store **ret)
{
	struct store_directory *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->store.ops = &directory_ops;
	d->store.read_only = read_only;
	r = fspf_store_files_init(&d->files, o->dir, o->segments, o->head, read_only, o->fresh);
	if (r)
		free(d);
	else
		*ret = &d->store;
	return r;
}
