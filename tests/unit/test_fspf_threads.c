/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_threads.c - many threads at once, and a commit every few milliseconds
 *
 * Eight threads work on the same few directories and files through the public interface, with names
 * that they take from each other, beside files that are each one's own.  A block of a shared file
 * is always some thread's whole block; a file of one's own is what one wrote last.  At the end the
 * volume is verified, checked item by item (tests/support/volume_check.h: link counts, entries,
 * orphans, space), closed, opened, and must be the same.  For ThreadSanitizer above all (N1, N2,
 * V4, F1, F2).
 *
 * FSPF_TEST_SECONDS: how long.
 */
#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "tests/support/volume_check.h"
#include "tests/support/volume_driver.h"
#include "tests/support/volume_world.h"

#define THREADS 8u
#define SHARED_BLOCKS 64u
#define OWN_BLOCKS 96u
#define NAMES 12u

struct shared {
	struct fspf_volume *v;
	uint64_t dir[4];  /* where names come and go; the last two in another region */
	uint64_t file[3]; /* written by all, block by block */
	struct timespec end;
	atomic_uint_fast64_t done;
};

struct worker {
	struct shared *s;
	pthread_t thread;
	uint64_t random, number;
	uint64_t own;		    /* a file of one's own, */
	uint64_t stamp[OWN_BLOCKS]; /* and what is in it */
	uint64_t count;
};

static const struct fspf_caller caller = {.uid = 1, .gid = 1};

static uint64_t below(struct worker *w, uint64_t n)
{
	return test_below(&w->random, n);
}

/* One of the results that others' doings can cause. */
static void expect(const char *what, int r, const int *allowed)
{
	while (*allowed && *allowed != r)
		allowed++;
	if (r && !*allowed)
		model_fail("%s: %d", what, r);
}
#define EXPECT(what, r, ...) expect(what, r, (const int[]){__VA_ARGS__, 0})

static uint64_t any_dir(struct worker *w)
{
	return w->s->dir[below(w, ARRAY_LEN(w->s->dir))];
}

static void any_name(struct worker *w, char *name)
{
	driver_name(below(w, NAMES), name);
}

/* ---- contents ---- */

static void fill_block(uint64_t *block, uint64_t stamp)
{
	for (size_t i = 0; i < FSPF_BLOCK_SIZE / 8; i++)
		block[i] = stamp;
}

static void check_block(const uint64_t *block, const char *what)
{
	for (size_t i = 1; i < FSPF_BLOCK_SIZE / 8; i++)
		if (block[i] != block[0])
			model_fail("%s: a block of two writers, at %zu", what, i);
}

static void write_shared(struct worker *w)
{
	uint64_t block[4 * FSPF_BLOCK_SIZE / 8], n = 1 + below(w, 4);
	uint64_t at = below(w, SHARED_BLOCKS);
	ssize_t r;

	for (uint64_t i = 0; i < n; i++)
		fill_block(block + i * FSPF_BLOCK_SIZE / 8, test_random(&w->random));
	r = fspf_write(w->s->v, w->s->file[below(w, 3)], at * FSPF_BLOCK_SIZE, block,
		       n * FSPF_BLOCK_SIZE, below(w, 2) == 0);
	if (r != (ssize_t)(n * FSPF_BLOCK_SIZE))
		model_fail("write: %zd", r);
}

static void read_shared(struct worker *w)
{
	uint64_t block[4 * FSPF_BLOCK_SIZE / 8];
	uint64_t at = below(w, SHARED_BLOCKS);
	ssize_t r = fspf_read(w->s->v, w->s->file[below(w, 3)], at * FSPF_BLOCK_SIZE, block,
			      sizeof(block));

	if (r < 0)
		model_fail("read: %zd", r);
	for (ssize_t i = 0; (i + 1) * (ssize_t)FSPF_BLOCK_SIZE <= r; i++)
		check_block(block + i * (ssize_t)FSPF_BLOCK_SIZE / 8, "shared file");
}

static void cut_shared(struct worker *w)
{
	struct fspf_attr attr = {.size = below(w, SHARED_BLOCKS) * FSPF_BLOCK_SIZE};
	uint64_t ino = w->s->file[below(w, 3)];

	if (below(w, 2))
		EXPECT("truncate", fspf_setattr(w->s->v, ino, FSPF_SET_SIZE, &attr, &attr), 0);
	else
		EXPECT("punch", fspf_fallocate(w->s->v, ino, 3, attr.size, 3 * FSPF_BLOCK_SIZE), 0);
}

static void write_own(struct worker *w)
{
	uint64_t block[FSPF_BLOCK_SIZE / 8], at = below(w, OWN_BLOCKS);

	w->stamp[at] = test_random(&w->random);
	fill_block(block, w->stamp[at]);
	if (fspf_write(w->s->v, w->own, at * FSPF_BLOCK_SIZE, block, sizeof(block), false) !=
	    sizeof(block))
		model_fail("a write to a file of one's own");
}

static void check_own(struct worker *w)
{
	uint64_t block[FSPF_BLOCK_SIZE / 8], at = below(w, OWN_BLOCKS);
	ssize_t r = fspf_read(w->s->v, w->own, at * FSPF_BLOCK_SIZE, block, sizeof(block));

	if (r == 0 && w->stamp[at] == 0)
		return;
	if (r != sizeof(block) || block[0] != w->stamp[at])
		model_fail("block %llu of thread %llu's file: read %zd, %llx and not %llx",
			   (unsigned long long)at, (unsigned long long)w->number, r,
			   (unsigned long long)block[0], (unsigned long long)w->stamp[at]);
	check_block(block, "own file");
}

/* ---- names ---- */

static void create(struct worker *w)
{
	static const uint32_t kinds[] = {S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFIFO};
	char name[FSPF_NAME_MAX + 1];
	struct fspf_attr attr;
	int r;

	any_name(w, name);
	r = fspf_create_file(w->s->v, any_dir(w), name, kinds[below(w, 5)] | 0644, 0, &caller,
			     &attr);
	EXPECT("create", r, -EEXIST);
	if (r)
		return;
	if (S_ISREG(attr.mode) && fspf_write(w->s->v, attr.ino, 0, name, strlen(name), false) < 0)
		model_fail("a write to a new file");
	fspf_forget(w->s->v, attr.ino, 1);
}

static void unlink_or_rmdir(struct worker *w)
{
	char name[FSPF_NAME_MAX + 1];

	any_name(w, name);
	if (below(w, 2))
		EXPECT("unlink", fspf_unlink(w->s->v, any_dir(w), name), -ENOENT, -EISDIR);
	else
		EXPECT("rmdir", fspf_rmdir(w->s->v, any_dir(w), name), -ENOENT, -ENOTDIR,
		       -ENOTEMPTY);
}

static void rename_one(struct worker *w)
{
	static const unsigned flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT};
	char name[FSPF_NAME_MAX + 1], new_name[FSPF_NAME_MAX + 1];

	any_name(w, name);
	any_name(w, new_name);
	EXPECT("rename",
	       fspf_rename(w->s->v, any_dir(w), name, any_dir(w), new_name, flags[below(w, 5)],
			   &caller),
	       -ENOENT, -EEXIST, -EISDIR, -ENOTDIR, -ENOTEMPTY, -EXDEV, -EINVAL);
}

/* Look a name up, and do something to what it names while others may be removing it. */
static void use_one(struct worker *w)
{
	char name[FSPF_NAME_MAX + 1], other[FSPF_NAME_MAX + 1];
	struct fspf_attr attr, after;
	int r;

	any_name(w, name);
	any_name(w, other);
	r = fspf_lookup(w->s->v, any_dir(w), name, &attr);
	EXPECT("lookup", r, -ENOENT);
	if (r)
		return;
	switch (below(w, 4)) {
	case 0:
		r = fspf_link(w->s->v, attr.ino, any_dir(w), other, &after);
		EXPECT("link", r, -EEXIST, -EPERM, -EXDEV);
		if (r == 0)
			fspf_forget(w->s->v, attr.ino, 1);
		break;
	case 1:
		EXPECT("setxattr",
		       fspf_setxattr(w->s->v, attr.ino, "user.x", other, below(w, 200), 0, false),
		       0);
		break;
	case 2:
		attr.mode = 0600;
		EXPECT("setattr", fspf_setattr(w->s->v, attr.ino, FSPF_SET_MODE, &attr, &after), 0);
		break;
	default:
		if (S_ISREG(attr.mode) &&
		    fspf_write(w->s->v, attr.ino, below(w, 20000), other, 100, false) != 100)
			model_fail("a write to somebody's file");
		break;
	}
	fspf_forget(w->s->v, attr.ino, 1);
}

static int seen(void *ctx, const struct fspf_entry *e)
{
	struct worker *w = ctx;

	if (e->attr)
		fspf_forget(w->s->v, e->ino, 1);
	return 0;
}

static void list(struct worker *w)
{
	EXPECT("readdir", fspf_readdir(w->s->v, any_dir(w), 0, below(w, 2), seen, w), 0);
}

static void tmpfile_one(struct worker *w)
{
	char name[FSPF_NAME_MAX + 1];
	struct fspf_attr attr, named;
	int r;

	any_name(w, name);
	EXPECT("tmpfile", fspf_tmpfile(w->s->v, w->s->dir[0], 0600, &caller, &attr), 0);
	if (below(w, 2)) {
		r = fspf_link(w->s->v, attr.ino, w->s->dir[1], name, &named);
		EXPECT("link", r, -EEXIST);
		if (r == 0)
			fspf_forget(w->s->v, attr.ino, 1);
	}
	fspf_forget(w->s->v, attr.ino, 1);
}

static void make_durable(struct worker *w)
{
	struct fspf_statfs s;

	if (below(w, 10) == 0)
		EXPECT("sync", fspf_sync(w->s->v), 0);
	else
		EXPECT("fsync", fspf_fsync(w->s->v, below(w, 2) ? w->own : w->s->file[0]), 0);
	EXPECT("statfs", fspf_statfs(w->s->v, &s), 0);
}

typedef void operation(struct worker *w);
static operation *const operations[] = {
	create,	      create,	    create,	 unlink_or_rmdir, unlink_or_rmdir, rename_one,
	rename_one,   rename_one,   use_one,	 use_one,	  use_one,	   list,
	tmpfile_one,  write_own,    write_own,	 write_own,	  check_own,	   check_own,
	write_shared, write_shared, read_shared, read_shared,	  cut_shared,	   make_durable,
};

static bool is_over(const struct timespec *end)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > end->tv_sec ||
	       (now.tv_sec == end->tv_sec && now.tv_nsec > end->tv_nsec);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!is_over(&w->s->end)) {
		operations[below(w, ARRAY_LEN(operations))](w);
		w->count++;
	}
	for (unsigned i = 0; i < OWN_BLOCKS; i++)
		check_own(w);
	return NULL;
}

/* ---- around it ---- */

static uint64_t make(struct fspf_volume *v, uint64_t dir, const char *name, uint32_t mode)
{
	struct fspf_attr attr;

	assert_int_equal(fspf_create_file(v, dir, name, mode, 0, &caller, &attr), 0);
	fspf_forget(v, attr.ino, 1);
	return attr.ino;
}

static void prepare(struct shared *s, struct worker *w, uint64_t *random)
{
	struct fspf_attr auth;
	char name[32];

	assert_int_equal(fspf_resolve(s->v, "/auth", &auth), 0);
	s->dir[0] = make(s->v, FSPF_ROOT, "dir0", S_IFDIR | 0755);
	s->dir[1] = make(s->v, s->dir[0], "dir1", S_IFDIR | 0755);
	s->dir[2] = make(s->v, auth.ino, "dir2", S_IFDIR | 0755);
	s->dir[3] = make(s->v, s->dir[2], "dir3", S_IFDIR | 0755);
	s->file[0] = make(s->v, FSPF_ROOT, "file0", S_IFREG | 0644);
	s->file[1] = make(s->v, FSPF_ROOT, "file1", S_IFREG | 0644);
	s->file[2] = make(s->v, auth.ino, "file2", S_IFREG | 0644);
	fspf_forget(s->v, auth.ino, 1);
	for (unsigned i = 0; i < THREADS; i++) {
		snprintf(name, sizeof(name), "own%u", i);
		w[i].s = s;
		w[i].number = i;
		w[i].random = test_random(random);
		w[i].own = make(s->v, i % 2 ? FSPF_ROOT : auth.ino, name, S_IFREG | 0600);
	}
}

static char *text_of(struct fspf_volume *v)
{
	int error;
	char *text = model_volume_text(v, &error);

	if (!text)
		model_fail("the volume cannot be read: %d", error);
	return text;
}

static void check_everything(struct world *w)
{
	struct volume_check_result sound;
	struct fspf_verify_result result;
	struct fspf_attr attr = {.mode = 0755};
	struct fspf_error err;
	char *before, *after;

	assert_int_equal(fspf_setattr(w->v, FSPF_ROOT, FSPF_SET_MODE, &attr, &attr), 0);
	assert_int_equal(fspf_sync(w->v), 0);
	assert_int_equal(fspf_verify(w->v, NULL, NULL, &result, &err), 0);
	assert_true(volume_check(w->v, NULL));
	before = text_of(w->v);
	world_close(w);
	world_open(w, true);
	assert_true(volume_check(w->v, &sound));
	assert_int_equal(sound.orphans, 0);
	after = text_of(w->v);
	if (strcmp(before, after)) {
		model_text_difference(before, after);
		model_fail("the volume is not what it was when it was closed");
	}
	free(before);
	free(after);
}

static const struct world_region regions[] = {{"/auth", FSPF_AUTHENTICATED}, {NULL, 0}};

/* All threads at once, on the open volume of @w. */
static void load(struct world *w, int fallback)
{
	const char *seconds = getenv("FSPF_TEST_SECONDS");
	uint64_t random = test_seed("threads"), total = 0;
	struct worker *workers = calloc(THREADS, sizeof(*workers));
	struct shared s = {.v = w->v};
	struct fspf_counters counters;

	prepare(&s, workers, &random);
	clock_gettime(CLOCK_MONOTONIC, &s.end);
	s.end.tv_sec += seconds ? atoi(seconds) : fallback;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		total += workers[i].count;
	}
	fspf_counters(w->v, &counters);
	printf("%llu operations, %llu commits\n", (unsigned long long)total,
	       (unsigned long long)counters.commits);
	free(workers);
}

static void test_mixed_load(void **state)
{
	struct world w = {.interval_ms = 10};
	struct fspf_counters counters;

	(void)state;
	world_create(&w, FSPF_ENCRYPTED, 0, 256, regions);
	load(&w, 5);
	fspf_counters(w.v, &counters);
	assert_true(counters.commits > 5);
	check_everything(&w);
	world_free(&w, false);
}

/* The same in scratch space: nothing is published, and nothing reaches the store (X1). */
static void test_ephemeral_load(void **state)
{
	struct world w = {.interval_ms = 10};
	struct fspf_counters counters;

	(void)state;
	world_create(&w, FSPF_ENCRYPTED, 0, 256, regions);
	world_close(&w);
	store_fake_forget_events(w.disk);
	w.ephemeral = true;
	world_open(&w, false);
	load(&w, 3);
	fspf_counters(w.v, &counters);
	assert_int_equal(counters.commits, 0);
	world_close(&w);
	assert_int_equal(store_fake_count(w.disk, STORE_FAKE_WRITE), 0);
	world_free(&w, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mixed_load),
		cmocka_unit_test(test_ephemeral_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
