/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in files on the host.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "fspf/host_internal.h"

/* ---- one file, open for one operation ---- */

struct opened {
	struct host_place place;
	struct host_open data;
};

static int open_file(struct fspf_host *h, uint64_t ino, bool write, struct opened *ret)
{
	int r = write ? host_visit_to_change(h, ino, &ret->place) : host_visit(h, ino, &ret->place);

	if (r)
		return r;
	r = host_open_data(h, &ret->place, write, &ret->data);
	if (r)
		host_leave(h, &ret->place);
	return r;
}

static void close_file(struct fspf_host *h, struct opened *o)
{
	host_close_data(h, &o->data);
	host_leave(h, &o->place);
}

/* ---- reading and writing ---- */

static bool is_offset(uint64_t offset, size_t size)
{
	return offset <= INT64_MAX && size <= INT64_MAX - offset;
}

static ssize_t read_all(int fd, uint64_t offset, uint8_t *data, size_t size)
{
	size_t done = 0;
	ssize_t n = 1;

	while (done < size && n > 0) {
		n = pread(fd, data + done, size - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			return -errno;
		else
			done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t fspf_host_read(struct fspf_host *h, uint64_t ino, uint64_t offset, void *data, size_t size)
{
	struct opened o;
	ssize_t n = open_file(h, ino, false, &o);

	if (n)
		return n;
	if (is_offset(offset, size))
		n = read_all(o.data.fd, offset, data, size);
	close_file(h, &o);
	return n;
}

static ssize_t write_all(int fd, uint64_t offset, const uint8_t *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pwrite(fd, data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return done ? (ssize_t)done : n ? -errno : -EIO;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t fspf_host_write(struct fspf_host *h, uint64_t ino, uint64_t offset, const void *data,
			size_t size, unsigned flags)
{
	struct opened o;
	ssize_t n = open_file(h, ino, true, &o);

	if (n)
		return n;
	host_change_begin(h, &o.place);
	if (!is_offset(offset, size))
		n = -EFBIG;
	else if (flags & FSPF_WRITE_KILL_PRIV)
		n = host_kill_priv(&o.place);
	if (n == 0)
		n = write_all(o.data.fd, offset, data, size);
	host_change_end(h, &o.place, NULL);
	close_file(h, &o);
	return n;
}

/* ---- space ---- */

static bool is_fallocate_mode(int mode)
{
	return mode == 0 || mode == FALLOC_FL_KEEP_SIZE ||
	       mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) ||
	       (mode & ~FALLOC_FL_KEEP_SIZE) == FALLOC_FL_ZERO_RANGE;
}

int fspf_host_fallocate(struct fspf_host *h, uint64_t ino, int mode, uint64_t offset, uint64_t size)
{
	struct opened o;
	int r;

	if (!is_fallocate_mode(mode))
		return -EOPNOTSUPP;
	if (offset > INT64_MAX || size > INT64_MAX)
		return -EFBIG;
	r = open_file(h, ino, true, &o);
	if (r)
		return r;
	host_change_begin(h, &o.place);
	do {
		r = fallocate(o.data.fd, mode, (off_t)offset, (off_t)size) ? -errno : 0;
	} while (r == -EINTR);
	host_change_end(h, &o.place, NULL);
	close_file(h, &o);
	return r;
}

/* Nobody else minds where the descriptor stands. */
int fspf_host_seek(struct fspf_host *h, uint64_t ino, uint64_t offset, int whence,
		   uint64_t *ret_offset)
{
	struct opened o;
	off_t at;
	int r = 0;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	if (offset > INT64_MAX)
		return -ENXIO;
	r = open_file(h, ino, false, &o);
	if (r)
		return r;
	at = lseek(o.data.fd, (off_t)offset, whence);
	if (at < 0)
		r = -errno;
	else
		*ret_offset = (uint64_t)at;
	close_file(h, &o);
	return r;
}

/* ---- copying ---- */

#define COPY_SIZE ((size_t)256 << 10) /* bytes at a time, where the host cannot copy by itself */

static ssize_t copy_by_hand(int from, off_t from_offset, int to, off_t to_offset, size_t size)
{
	void *data = malloc(COPY_SIZE);
	ssize_t n = -ENOMEM;

	if (data)
		n = read_all(from, (uint64_t)from_offset, data, min_u64(size, COPY_SIZE));
	if (n > 0)
		n = write_all(to, (uint64_t)to_offset, data, (size_t)n);
	free(data);
	return n;
}

static bool cannot_copy(int error)
{
	return error == EXDEV || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL;
}

static ssize_t copy_some(int from, off_t from_offset, int to, off_t to_offset, size_t size)
{
	off_t at = from_offset, to_at = to_offset;
	ssize_t n = copy_file_range(from, &at, to, &to_at, size, 0);

	if (n < 0 && cannot_copy(errno))
		return copy_by_hand(from, from_offset, to, to_offset, size);
	return n < 0 ? -errno : n;
}

static ssize_t copy_all(const struct opened *from, uint64_t from_offset, const struct opened *to,
			uint64_t to_offset, size_t size)
{
	size_t done = 0;
	ssize_t n = 1;

	while (done < size && n > 0) {
		n = copy_some(from->data.fd, (off_t)(from_offset + done), to->data.fd,
			      (off_t)(to_offset + done), size - done);
		if (n == -EINTR)
			n = 1;
		else if (n > 0)
			done += (size_t)n;
	}
	return done || n >= 0 ? (ssize_t)done : n;
}

static bool overlap(const struct opened *from, uint64_t from_offset, const struct opened *to,
		    uint64_t to_offset, size_t size)
{
	return from->place.file == to->place.file && from_offset < to_offset + size &&
	       to_offset < from_offset + size;
}

ssize_t fspf_host_copy_range(struct fspf_host *h, uint64_t from, uint64_t from_offset, uint64_t to,
			     uint64_t to_offset, size_t size)
{
	struct opened source, target;
	ssize_t n;

	if (!is_offset(from_offset, size) || !is_offset(to_offset, size))
		return -EFBIG;
	n = open_file(h, from, false, &source);
	if (n)
		return n;
	n = open_file(h, to, true, &target);
	if (n == 0) {
		host_change_begin(h, &target.place);
		n = overlap(&source, from_offset, &target, to_offset, size)
			    ? -EINVAL
			    : copy_all(&source, from_offset, &target, to_offset, size);
		host_change_end(h, &target.place, NULL);
		close_file(h, &target);
	}
	close_file(h, &source);
	return n;
}

/* ---- durability ---- */

/* Not back into the cache, where somebody's place in the directory may be. */
static int sync_directory(struct fspf_host *h, struct host_place *place)
{
	int fd, r = host_open_dir(h, place, 0, &fd);

	if (r == 0) {
		r = fsync(fd) ? -errno : 0;
		close(fd);
	}
	return r;
}

static int sync_file(struct fspf_host *h, struct host_place *place)
{
	struct host_open o;
	int r = host_open_data(h, place, false, &o);

	if (r == 0) {
		r = fsync(o.fd) ? -errno : 0;
		host_close_data(h, &o);
	}
	return r;
}

/* What is neither goes with the directory that it is in. */
int fspf_host_fsync(struct fspf_host *h, uint64_t ino)
{
	struct host_place place;
	int r = host_visit(h, ino, &place);

	if (r)
		return r;
	if (place.file->id.type == S_IFREG)
		r = sync_file(h, &place);
	else if (place.file->id.type == S_IFDIR)
		r = sync_directory(h, &place);
	host_leave(h, &place);
	return r;
}
