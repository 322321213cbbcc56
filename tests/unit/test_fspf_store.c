/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_store.c - the directory store on a real file system
 *
 * The system calls that the store makes on data go through the functions at the top, which stand
 * in for libc's and can be told to do half of what was asked, to be interrupted, or to fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "fspf/store.h"

#define SEGMENT 256u /* blocks */

static struct {
	bool halves; /* read and write at most half, and be interrupted every other time */
	unsigned interruptions;
	int sync_error;
	unsigned syncs;
	int fallocate_error;
} kernel;

static bool interrupt(void)
{
	return kernel.halves && kernel.interruptions++ % 2;
}

static size_t shorten(size_t len)
{
	return kernel.halves && len > 1 ? len / 2 : len;
}

ssize_t pread(int fd, void *data, size_t len, off_t offset)
{
	if (interrupt()) {
		errno = EINTR;
		return -1;
	}
	return syscall(SYS_pread64, fd, data, shorten(len), offset);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
	if (interrupt()) {
		errno = EINTR;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, data, shorten(len), offset);
}

int fdatasync(int fd)
{
	kernel.syncs++;
	if (kernel.sync_error) {
		errno = kernel.sync_error;
		kernel.sync_error = 0; /* the kernel tells once */
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (kernel.fallocate_error) {
		errno = kernel.fallocate_error;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

static char top[] = "/tmp/fspf-store-XXXXXX";

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(top + strlen(top) - 6, "XXXXXX");
	memset(&kernel, 0, sizeof(kernel));
	return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(const char *name)
{
	static char paths[4][128];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(paths[i], sizeof(paths[i]), "%s/%s", top, name);
	return paths[i];
}

static struct fspf_store *create(const char *name)
{
	struct fspf_store *s;

	assert_int_equal(fspf_store_create_directory(path_of(name), &s), 0);
	assert_int_equal(s->segment_blocks, 0);
	s->segment_blocks = SEGMENT;
	return s;
}

static int try_open(const char *name, enum fspf_store_mode mode)
{
	struct fspf_store *s;
	int r = fspf_store_open_directory(path_of(name), mode, &s);

	if (!r)
		fspf_store_free(s);
	return r;
}

static struct fspf_store *open_store(const char *name, enum fspf_store_mode mode)
{
	struct fspf_store *s;

	assert_int_equal(fspf_store_open_directory(path_of(name), mode, &s), 0);
	s->segment_blocks = SEGMENT;
	return s;
}

static int put(struct fspf_store *s, uint64_t block, int byte)
{
	uint8_t data[FSPF_BLOCK_SIZE];

	memset(data, byte, sizeof(data));
	return s->ops->write(s, block, data, sizeof(data));
}

static int get(struct fspf_store *s, uint64_t block)
{
	uint8_t data[FSPF_BLOCK_SIZE];
	size_t i;

	memset(data, 0xee, sizeof(data));
	if (s->ops->read(s, block, data, sizeof(data)))
		return -1;
	for (i = 1; i < sizeof(data); i++)
		if (data[i] != data[0])
			return -2;
	return data[0];
}

static struct stat stat_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(path_of(name), &st), 0);
	return st;
}

static bool exists(const char *name)
{
	return !access(path_of(name), F_OK);
}

static void create_makes_a_volume_and_nothing_else(void **state)
{
	struct fspf_store *s;

	(void)state;
	assert_int_equal(fspf_store_create_directory(path_of("no/parent"), &s), -ENOENT);
	fspf_store_free(create("v"));
	assert_int_equal(stat_of("v").st_mode & 07777, 0700);
	assert_int_equal(stat_of("v/segments").st_mode & 07777, 0700);
	assert_int_equal(stat_of("v/volume.fspf").st_mode & 07777, 0600);
	assert_int_equal(stat_of("v/volume.fspf").st_size, FSPF_HEAD_BLOCKS * FSPF_BLOCK_SIZE);
	assert_int_equal(fspf_store_create_directory(path_of("v"), &s), -EEXIST);
	assert_int_equal(fspf_store_create_directory(path_of("v/volume.fspf"), &s), -ENOTDIR);
	assert_int_equal(fspf_store_create_directory(top, &s), -ENOTEMPTY);
	assert_int_equal(mkdir(path_of("empty"), 0755), 0);
	fspf_store_free(create("empty"));
	assert_int_equal(stat_of("empty").st_mode & 07777, 0755); /* its owner's choice */
}

static void remove_takes_what_create_made(void **state)
{
	struct fspf_store *s = create("v");
	int fd;

	(void)state;
	assert_int_equal(s->ops->reserve(s, SEGMENT, 1), 0);
	fspf_store_free(s);
	fspf_store_remove_directory(path_of("v"));
	assert_false(exists("v"));
	fspf_store_remove_directory(path_of("v"));
	fspf_store_free(create("v"));
	fd = open(path_of("v/note"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	fspf_store_remove_directory(path_of("v"));
	assert_true(exists("v/note"));
	assert_false(exists("v/volume.fspf"));
}

static void open_tells_what_is_missing(void **state)
{
	(void)state;
	assert_int_equal(try_open("v", FSPF_STORE_READ_WRITE), -ENOENT);
	assert_int_equal(mkdir(path_of("v"), 0700), 0);
	assert_int_equal(try_open("v", FSPF_STORE_READ_ONLY), -ENOENT);
	assert_int_equal(symlink("elsewhere", path_of("v/volume.fspf")), 0);
	assert_int_equal(try_open("v", FSPF_STORE_READ_WRITE), -ELOOP);
	assert_int_equal(unlink(path_of("v/volume.fspf")), 0);
	assert_int_equal(mkfifo(path_of("v/volume.fspf"), 0600), 0);
	assert_int_equal(try_open("v", FSPF_STORE_READ_ONLY), -EINVAL);
	assert_int_equal(try_open("v/volume.fspf", FSPF_STORE_READ_ONLY), -ENOTDIR);
}

static void writers_exclude_and_readers_share(void **state)
{
	struct fspf_store *s = create("v"), *other;

	(void)state;
	assert_int_equal(try_open("v", FSPF_STORE_READ_WRITE), -EBUSY);
	assert_int_equal(try_open("v", FSPF_STORE_READ_ONLY), -EBUSY);
	assert_int_equal(try_open("v", FSPF_STORE_PEEK), 0);
	fspf_store_free(s);
	s = open_store("v", FSPF_STORE_READ_ONLY);
	other = open_store("v", FSPF_STORE_READ_ONLY);
	assert_int_equal(try_open("v", FSPF_STORE_READ_WRITE), -EBUSY);
	fspf_store_free(other);
	fspf_store_free(s);
	assert_int_equal(try_open("v", FSPF_STORE_READ_WRITE), 0);
}

static void blocks_come_back(void **state)
{
	struct fspf_store *s = create("v");
	uint64_t highest;

	(void)state;
	assert_int_equal(put(s, 3, 9), 0);
	assert_int_equal(s->ops->reserve(s, 5 * SEGMENT + 64, 64), 0);
	assert_int_equal(put(s, 5 * SEGMENT + 70, 7), 0);
	assert_int_equal(s->ops->barrier(s), 0);
	fspf_store_free(s);
	s = open_store("v", FSPF_STORE_READ_ONLY);
	assert_int_equal(get(s, 3), 9);
	assert_int_equal(get(s, 5 * SEGMENT + 70), 7);
	assert_int_equal(get(s, 5 * SEGMENT + 71), 0);
	assert_int_equal(s->ops->segments(s, &highest), 0);
	assert_int_equal(highest, 5);
	fspf_store_free(s);
}

static void what_is_not_stored_reads_as_zeroes(void **state)
{
	struct fspf_store *s = create("v");

	(void)state;
	assert_int_equal(get(s, 7 * SEGMENT), 0);
	assert_int_equal(get(s, UINT64_MAX - SEGMENT), 0);
	assert_int_equal(get(s, FSPF_HEAD_BLOCKS + 1), 0);
	assert_int_equal(put(s, SEGMENT, 7), 0);
	assert_int_equal(get(s, SEGMENT + 200), 0);
	fspf_store_free(s);
}

static void runs_stay_inside_one_segment(void **state)
{
	struct fspf_store *s = create("v");
	uint8_t data[2 * FSPF_BLOCK_SIZE] = {0};

	(void)state;
	assert_int_equal(s->ops->write(s, 2 * SEGMENT - 1, data, sizeof(data)), -EINVAL);
	assert_int_equal(s->ops->read(s, 2 * SEGMENT - 1, data, sizeof(data)), -EINVAL);
	assert_int_equal(s->ops->reserve(s, 2 * SEGMENT - 1, 2), -EINVAL);
	assert_int_equal(s->ops->write(s, FSPF_HEAD_BLOCKS - 1, data, sizeof(data)), -EINVAL);
	assert_int_equal(s->ops->write(s, SEGMENT, data, 100), -EINVAL);
	assert_int_equal(put(s, UINT64_MAX - SEGMENT, 1), -EFBIG);
	s->segment_blocks = 0; /* as before the header was read */
	assert_int_equal(put(s, 0, 1), 0);
	assert_int_equal(put(s, SEGMENT, 1), -EINVAL);
	fspf_store_free(s);
}

static void reserve_takes_space_and_trim_gives_it_back(void **state)
{
	struct fspf_store *s = create("v");
	uint64_t bytes;

	(void)state;
	assert_int_equal(s->ops->reserve(s, SEGMENT, 128), 0);
	assert_int_equal(stat_of("v/segments/00000001").st_mode & 07777, 0600);
	assert_int_equal(stat_of("v/segments/00000001").st_size, 128 * FSPF_BLOCK_SIZE);
	assert_true(stat_of("v/segments/00000001").st_blocks * 512 >= 128 * FSPF_BLOCK_SIZE);
	assert_int_equal(put(s, SEGMENT + 5, 1), 0);
	assert_int_equal(put(s, SEGMENT + 100, 2), 0);
	s->ops->trim(s, SEGMENT, 64);
	assert_true(stat_of("v/segments/00000001").st_blocks * 512 < 100 * FSPF_BLOCK_SIZE);
	assert_int_equal(get(s, SEGMENT + 5), 0);
	assert_int_equal(get(s, SEGMENT + 100), 2);
	s->ops->trim(s, 9 * SEGMENT, 64); /* never made */
	assert_false(exists("v/segments/00000009"));
	assert_int_equal(put(s, 1, 3), 0);
	s->ops->trim(s, 0, FSPF_HEAD_BLOCKS);
	assert_int_equal(get(s, 1), 3);
	assert_int_equal(s->ops->available(s, &bytes), 0);
	assert_true(bytes > 0);
	kernel.fallocate_error = EOPNOTSUPP; /* some file systems have none */
	assert_int_equal(s->ops->reserve(s, 3 * SEGMENT, 64), 0);
	assert_int_equal(put(s, 3 * SEGMENT, 4), 0);
	s->ops->trim(s, 3 * SEGMENT, 64);
	kernel.fallocate_error = ENOSPC;
	assert_int_equal(s->ops->reserve(s, 4 * SEGMENT, 64), -ENOSPC);
	fspf_store_free(s);
}

static void short_and_interrupted_calls_are_continued(void **state)
{
	struct fspf_store *s = create("v");

	(void)state;
	kernel.halves = true;
	assert_int_equal(put(s, SEGMENT, 5), 0);
	assert_int_equal(get(s, SEGMENT), 5);
	assert_true(kernel.interruptions > 8);
	fspf_store_free(s);
}

/* Every file's name, size and time of change, folded together. */
static uint64_t fingerprint;

static int fold_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)flag;
	(void)ftw;
	for (; *path; path++)
		fingerprint = fingerprint * 31 + (unsigned char)*path;
	fingerprint = fingerprint * 31 + (uint64_t)st->st_size;
	fingerprint = fingerprint * 31 + (uint64_t)st->st_ctim.tv_nsec;
	return 0;
}

static uint64_t fingerprint_of(const char *name)
{
	fingerprint = 0;
	assert_int_equal(nftw(path_of(name), fold_entry, 16, FTW_PHYS), 0);
	return fingerprint;
}

static void reading_writes_nothing(void **state)
{
	struct fspf_store *s = create("v");
	uint64_t before, highest;

	(void)state;
	fspf_store_free(s);
	assert_int_equal(rmdir(path_of("v/segments")), 0);
	before = fingerprint_of("v");
	s = open_store("v", FSPF_STORE_READ_ONLY);
	assert_int_equal(get(s, SEGMENT), 0);
	assert_int_equal(put(s, 0, 1), -EROFS);
	assert_int_equal(put(s, SEGMENT, 1), -EROFS);
	assert_int_equal(s->ops->reserve(s, SEGMENT, 1), -EROFS);
	assert_int_equal(s->ops->barrier(s), -EROFS);
	s->ops->trim(s, SEGMENT, 1);
	assert_int_equal(s->ops->segments(s, &highest), 0);
	assert_int_equal(highest, 0);
	fspf_store_free(s);
	assert_true(fingerprint_of("v") == before);
	s = open_store("v", FSPF_STORE_READ_WRITE); /* which makes what a copy may have dropped */
	assert_int_equal(put(s, SEGMENT, 1), 0);
	fspf_store_free(s);
}

static void a_barrier_syncs_what_was_written_alone(void **state)
{
	struct fspf_store *s = create("v");

	(void)state;
	assert_int_equal(put(s, SEGMENT, 1), 0);
	assert_int_equal(put(s, 2 * SEGMENT, 1), 0);
	assert_int_equal(put(s, 2 * SEGMENT + 1, 1), 0);
	kernel.syncs = 0;
	assert_int_equal(s->ops->barrier(s), 0);
	assert_int_equal(kernel.syncs, 2);
	assert_int_equal(s->ops->barrier(s), 0);
	assert_int_equal(get(s, SEGMENT), 1);
	assert_int_equal(s->ops->reserve(s, 3 * SEGMENT, 9), 0);
	assert_int_equal(s->ops->barrier(s), 0);
	assert_int_equal(kernel.syncs, 2);
	assert_int_equal(put(s, 0, 1), 0);
	assert_int_equal(s->ops->barrier(s), 0);
	assert_int_equal(kernel.syncs, 3);
	fspf_store_free(s);
}

static void a_failed_barrier_stays_failed(void **state)
{
	struct fspf_store *s = create("v");

	(void)state;
	assert_int_equal(put(s, SEGMENT, 1), 0);
	kernel.sync_error = EIO;
	assert_int_equal(s->ops->barrier(s), -EIO);
	assert_int_equal(put(s, SEGMENT, 1), 0);
	assert_int_equal(s->ops->barrier(s), -EIO);
	assert_int_equal(get(s, SEGMENT), 1);
	fspf_store_free(s);
	s = open_store("v", FSPF_STORE_READ_WRITE);
	assert_int_equal(s->ops->barrier(s), 0);
	fspf_store_free(s);
}

static void segment_files_are_files(void **state)
{
	struct fspf_store *s = create("v");
	uint64_t highest;

	(void)state;
	assert_int_equal(symlink("../volume.fspf", path_of("v/segments/00000001")), 0);
	assert_int_equal(mkfifo(path_of("v/segments/00000002"), 0600), 0);
	assert_int_equal(mkdir(path_of("v/segments/0000000G"), 0700), 0);
	assert_int_equal(mkdir(path_of("v/segments/0000000007"), 0700), 0);
	assert_int_equal(get(s, SEGMENT), -1);
	assert_int_equal(put(s, SEGMENT, 1), -ELOOP);
	assert_int_equal(put(s, 2 * SEGMENT, 1), -EIO);
	assert_int_equal(s->ops->segments(s, &highest), 0);
	assert_int_equal(highest, 2);
	fspf_store_free(s);
}

/* More segments than may be open, by several threads, all the while being written. */

#define MANY 600u
#define THREADS 4u

struct reader {
	struct fspf_store *s;
	unsigned first;
	bool ok;
};

static void *use_segments(void *arg)
{
	struct reader *r = arg;
	unsigned i, round;

	r->ok = true;
	for (round = 0; round < 3; round++) {
		for (i = r->first; i < MANY; i += THREADS)
			r->ok = r->ok && !put(r->s, (i + 1) * SEGMENT + round, (int)(i % 250) + 1);
		for (i = r->first; i < MANY; i += THREADS)
			r->ok = r->ok && get(r->s, (i + 1) * SEGMENT + round) == (int)(i % 250) + 1;
		r->ok = r->ok && !r->s->ops->barrier(r->s);
	}
	return NULL;
}

static unsigned count_open(void)
{
	unsigned fd, n = 0;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl((int)fd, F_GETFD) >= 0;
	return n;
}

static void more_segments_than_files_may_be_open(void **state)
{
	struct reader readers[THREADS];
	pthread_t threads[THREADS];
	struct fspf_store *s = create("v");
	unsigned i, open_before = count_open();

	(void)state;
	for (i = 0; i < THREADS; i++) {
		readers[i] = (struct reader){.s = s, .first = i};
		assert_int_equal(pthread_create(&threads[i], NULL, use_segments, &readers[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(readers[i].ok);
	}
	assert_true(count_open() <= open_before + 256 + THREADS);
	fspf_store_free(s);
	assert_true(count_open() <= open_before);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIRECTORY(create_makes_a_volume_and_nothing_else),
		IN_DIRECTORY(remove_takes_what_create_made),
		IN_DIRECTORY(open_tells_what_is_missing),
		IN_DIRECTORY(writers_exclude_and_readers_share),
		IN_DIRECTORY(blocks_come_back),
		IN_DIRECTORY(what_is_not_stored_reads_as_zeroes),
		IN_DIRECTORY(runs_stay_inside_one_segment),
		IN_DIRECTORY(reserve_takes_space_and_trim_gives_it_back),
		IN_DIRECTORY(short_and_interrupted_calls_are_continued),
		IN_DIRECTORY(reading_writes_nothing),
		IN_DIRECTORY(a_barrier_syncs_what_was_written_alone),
		IN_DIRECTORY(a_failed_barrier_stays_failed),
		IN_DIRECTORY(segment_files_are_files),
		IN_DIRECTORY(more_segments_than_files_may_be_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
