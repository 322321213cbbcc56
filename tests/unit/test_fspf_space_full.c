/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_space_full.c - a volume that is full, and empty again
 *
 * A small volume is filled to -ENOSPC in several ways.  Then a sync succeeds and nothing is lost,
 * also not by a crash; everything can be deleted; and the space comes back, round after round, with
 * closings and crashes in between (S1, S3, S4).  What is free is said truly.
 *
 * FSPF_TEST_ROUNDS: how often it is filled.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fspf/volume.h"
#include "tests/support/volume_check.h"
#include "tests/support/volume_driver.h"
#include "tests/support/volume_world.h"

#define SLACK                                                                                      \
	96u /* blocks by which an emptied volume may differ from a new one: 3 tree nodes a         \
	       region and the session table */

static const struct fspf_caller caller = {.uid = 1, .gid = 1};

static uint8_t pattern[1 << 16];

/* ---- filling ---- */

static uint64_t make(struct fspf_volume *v, uint64_t dir, uint64_t n, uint32_t mode, int *ret)
{
	struct fspf_attr attr = {0};
	char name[32];

	snprintf(name, sizeof(name), "entry%llu", (unsigned long long)n);
	*ret = fspf_create_file(v, dir, name, mode, 0, &caller, &attr);
	if (*ret == 0)
		fspf_forget(v, attr.ino, 1);
	return attr.ino;
}

/* A write that grows the file to the next place where there is none. */
static int grow(struct fspf_volume *v, uint64_t ino, uint64_t *at, size_t size)
{
	ssize_t n = fspf_write(v, ino, *at, pattern, size, false);

	if (n < 0)
		return (int)n;
	assert_int_equal(n, size);
	*at += size;
	return 0;
}

/* Until even a block finds no place. */
static int fill_file(struct fspf_volume *v, uint64_t ino, uint64_t *at)
{
	int r = 0;

	for (size_t size = sizeof(pattern); size >= FSPF_BLOCK_SIZE; size /= 4)
		while ((r = grow(v, ino, at, size)) == 0)
			;
	return r;
}

static int fill_big(struct fspf_volume *v, uint64_t *random)
{
	struct fspf_statfs before;
	uint64_t at = 0, ino;
	int r;

	(void)random;
	assert_int_equal(fspf_statfs(v, &before), 0);
	ino = make(v, FSPF_ROOT, 0, S_IFREG | 0600, &r);
	assert_int_equal(r, 0);
	r = fill_file(v, ino, &at);
	/* What statfs offered could be had, and not much more. */
	assert_true(at / FSPF_BLOCK_SIZE >= before.blocks_available * 90 / 100);
	assert_true(at / FSPF_BLOCK_SIZE <= before.blocks_free);
	return r;
}

static int fill_small(struct fspf_volume *v, uint64_t *random)
{
	int r = 0;

	for (uint64_t n = 1; r == 0; n++) {
		uint64_t at = 0, ino = make(v, FSPF_ROOT, n, S_IFREG | 0600, &r);

		if (r == 0)
			r = grow(v, ino, &at, 1 + test_below(random, 3000));
	}
	return r;
}

static int fill_middling(struct fspf_volume *v, uint64_t *random)
{
	int r = 0;

	for (uint64_t n = 0; r == 0; n++) {
		uint64_t at = 0, ino = make(v, FSPF_ROOT, n, S_IFREG | 0600, &r);

		if (r == 0)
			r = grow(v, ino, &at, 1 + test_below(random, 60000));
	}
	return r;
}

static int fill_dirs(struct fspf_volume *v, uint64_t *random)
{
	uint64_t dir = FSPF_ROOT;
	int r = 0;

	for (uint64_t n = 0; r == 0; n++) {
		uint64_t made = make(v, dir, n, S_IFDIR | 0700, &r);

		if (r == 0 && test_below(random, 100) == 0)
			dir = dir == FSPF_ROOT ? made : FSPF_ROOT;
	}
	return r;
}

static int fill_xattrs(struct fspf_volume *v, uint64_t *random)
{
	char name[32];
	int r = 0;

	for (uint64_t n = 0; r == 0; n++) {
		uint64_t ino = make(v, FSPF_ROOT, n, S_IFREG | 0600, &r);

		for (unsigned i = 0; i < 20 && r == 0; i++) {
			snprintf(name, sizeof(name), "user.%u", i);
			r = fspf_setxattr(v, ino, name, pattern, test_below(random, 9000), 0,
					  false);
		}
	}
	return r;
}

/* Promised by fallocate, then written: what was promised must be there. */
static int fill_allocated(struct fspf_volume *v, uint64_t *random)
{
	struct fspf_statfs s;
	uint64_t ino, size, at = 0;
	int r;

	(void)random;
	ino = make(v, FSPF_ROOT, 0, S_IFREG | 0600, &r);
	assert_int_equal(r, 0);
	assert_int_equal(fspf_statfs(v, &s), 0);
	size = s.blocks_available * 80 / 100 * FSPF_BLOCK_SIZE;
	assert_int_equal(fspf_fallocate(v, ino, 0, 0, size), 0);
	assert_int_equal(fill_small(v, random), -ENOSPC);
	while (at + sizeof(pattern) <= size)
		assert_int_equal(grow(v, ino, &at, sizeof(pattern)), 0);
	return -ENOSPC;
}

/* A file that takes half of the space, written again and again all over: nothing that is
 * overwritten may be missing in the end. */
static int fill_overwriting(struct fspf_volume *v, uint64_t *random)
{
	struct fspf_statfs s;
	uint64_t ino, at = 0, blocks;
	int r;

	ino = make(v, FSPF_ROOT, 0, S_IFREG | 0600, &r);
	assert_int_equal(r, 0);
	assert_int_equal(fspf_statfs(v, &s), 0);
	blocks = s.blocks_available * 60 / 100;
	while (at < blocks * FSPF_BLOCK_SIZE)
		assert_int_equal(grow(v, ino, &at, sizeof(pattern)), 0);
	for (uint64_t i = 0; i < blocks * 2; i++) {
		at = test_below(random, blocks) * FSPF_BLOCK_SIZE;
		assert_int_equal(grow(v, ino, &at, FSPF_BLOCK_SIZE), 0);
	}
	return fill_small(v, random);
}

typedef int fill_fn(struct fspf_volume *v, uint64_t *random);
static fill_fn *const fills[] = {fill_big,    fill_small,     fill_middling,   fill_dirs,
				 fill_xattrs, fill_allocated, fill_overwriting};

/* ---- emptying ---- */

struct first {
	char name[FSPF_NAME_MAX + 1];
	uint8_t type;
	uint64_t ino;
};

static int take_first(void *ctx, const struct fspf_entry *e)
{
	struct first *f = ctx;

	if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
		return 0;
	strcpy(f->name, e->name);
	f->type = e->type;
	f->ino = e->ino;
	return 1;
}

static void assert_deleted(struct fspf_volume *v, const char *name, int r)
{
	struct fspf_space_stat s;

	if (r == 0)
		return;
	fspf_space_stat(v->stored.space, &s);
	model_fail("%s cannot be deleted: %d; %llu blocks used, %llu free, %llu deferred, "
		   "%llu promised, %llu kept for deleting",
		   name, r, (unsigned long long)s.used, (unsigned long long)s.free,
		   (unsigned long long)s.deferred, (unsigned long long)s.promised,
		   (unsigned long long)fspf_space_keep(v, &v->stored, true));
}

/* On a full volume nothing that deletes may fail. */
static void empty_dir(struct fspf_volume *v, uint64_t dir)
{
	struct first f;

	for (;;) {
		f.type = 0;
		assert_int_equal(fspf_readdir(v, dir, 0, false, take_first, &f), 0);
		if (!f.type)
			return;
		if (f.type == 4) {
			empty_dir(v, f.ino);
			assert_deleted(v, f.name, fspf_rmdir(v, dir, f.name));
		} else {
			assert_deleted(v, f.name, fspf_unlink(v, dir, f.name));
		}
	}
}

/* ---- rounds ---- */

static char *text_of(struct fspf_volume *v)
{
	int error;
	char *text = model_volume_text(v, &error);

	if (!text)
		model_fail("the volume cannot be read: %d", error);
	return text;
}

/* A commit sees to it that what opening does beside us is done. */
static void settle(struct world *w)
{
	struct fspf_attr attr = {.mode = 0755};

	assert_int_equal(fspf_setattr(w->v, FSPF_ROOT, FSPF_SET_MODE, &attr, &attr), 0);
	assert_int_equal(fspf_sync(w->v), 0);
}

/* Something has changed since the volume was opened. */
static void assert_sound(struct world *w)
{
	assert_int_equal(fspf_sync(w->v), 0);
	assert_true(volume_check(w->v, NULL));
}

/* What was synced is there after a crash, and after a close. */
static void assert_kept(struct world *w, bool crash)
{
	char *before = text_of(w->v), *after;

	if (crash)
		world_abandon(w);
	else
		world_close(w);
	world_open(w, false);
	assert_int_equal(fspf_space_promise(w->v->stored.space, 0, 0),
			 0); /* waits until it is loaded */
	after = text_of(w->v);
	if (strcmp(before, after)) {
		model_text_difference(before, after);
		model_fail("a full volume has lost something");
	}
	free(before);
	free(after);
}

static void one_round(struct world *w, fill_fn *fill, uint64_t *random, uint64_t free_before)
{
	struct fspf_statfs s;
	int r = fill(w->v, random);

	assert_int_equal(r, -ENOSPC);
	assert_sound(w);
	assert_kept(w, test_below(random, 2));
	assert_int_equal(fspf_statfs(w->v, &s), 0);
	if (s.blocks_available > s.blocks / 20)
		model_fail("full, but %llu of %llu blocks are said to be available",
			   (unsigned long long)s.blocks_available, (unsigned long long)s.blocks);
	empty_dir(w->v, FSPF_ROOT);
	assert_sound(w);
	if (test_below(random, 2))
		assert_kept(w, test_below(random, 2));
	assert_int_equal(fspf_statfs(w->v, &s), 0);
	if (s.blocks_free + SLACK < free_before)
		model_fail("%llu blocks are free, and were %llu", (unsigned long long)s.blocks_free,
			   (unsigned long long)free_before);
}

static unsigned setting(const char *name, unsigned fallback)
{
	const char *value = getenv(name);

	return value ? (unsigned)strtoul(value, NULL, 0) : fallback;
}

static void rounds(enum fspf_protection protection, unsigned n)
{
	uint64_t random = test_seed("space full");
	struct fspf_statfs fresh;
	struct world w = {0};

	driver_fill(&random, pattern, sizeof(pattern));
	world_create(&w, protection, FSPF_SIZE_MIN, 256, NULL);
	settle(&w);
	assert_int_equal(fspf_statfs(w.v, &fresh), 0);
	for (unsigned i = 0; i < n; i++)
		one_round(&w, fills[i % ARRAY_LEN(fills)], &random, fresh.blocks_free);
	world_close(&w);
	world_free(&w, false);
}

static void test_s4_rounds_encrypted(void **state)
{
	(void)state;
	rounds(FSPF_ENCRYPTED, setting("FSPF_TEST_ROUNDS", 50));
}

static void test_s4_rounds_authenticated(void **state)
{
	(void)state;
	rounds(FSPF_AUTHENTICATED, setting("FSPF_TEST_ROUNDS", 50) / 3);
}

/* ---- random work at the limit ---- */

static const struct driver_profile heavy = {
	.weight = {[DRIVER_CREATE] = 20,
		   [DRIVER_MKDIR] = 3,
		   [DRIVER_TMPFILE] = 1,
		   [DRIVER_LINK] = 2,
		   [DRIVER_UNLINK] = 12,
		   [DRIVER_RMDIR] = 2,
		   [DRIVER_RENAME] = 8,
		   [DRIVER_WRITE] = 60,
		   [DRIVER_TRUNCATE] = 6,
		   [DRIVER_ALLOCATE] = 10,
		   [DRIVER_COPY] = 3,
		   [DRIVER_SETXATTR] = 5,
		   [DRIVER_READ] = 3,
		   [DRIVER_HOLD] = 2,
		   [DRIVER_RELEASE] = 2,
		   [DRIVER_FSYNC] = 4,
		   [DRIVER_SYNC] = 2},
	.file_max = 2000000,
	.write_max = 800000,
	.xattr_max = 20000,
	.names = 60,
	.inodes = 120,
};

/* Operations that must not find the volume full. */
static bool must_work(enum driver_op op)
{
	return op == DRIVER_UNLINK || op == DRIVER_RMDIR || op == DRIVER_READ ||
	       op == DRIVER_FSYNC || op == DRIVER_SYNC;
}

/* S3, D1: whatever finds no space has changed nothing, and whatever was said to be done is done. */
static void test_s3_random_work_at_the_limit(void **state)
{
	uint64_t random = test_seed("at the limit");
	unsigned n = 100 * setting("FSPF_TEST_ROUNDS", 50), full = 0;
	struct volume_driver d = {.profile = &heavy, .faults = true, .random = random};
	struct world w = {0};
	char *should, *is;

	(void)state;
	world_create(&w, FSPF_ENCRYPTED, FSPF_SIZE_MIN, 256, NULL);
	d.v = w.v;
	d.m = model_load(w.v);
	for (unsigned i = 1; i <= n; i++) {
		int r = volume_driver_step(&d);

		full += r == -ENOSPC;
		if (r == -EIO || r == -EROFS || r == -ESTALE || (r == -ENOSPC && must_work(d.op)))
			model_fail("step %llu, %s: %d", (unsigned long long)d.m->step, d.what, r);
		if (i % 500)
			continue;
		assert_sound(&w);
		model_drop_nameless(d.m);
		assert_int_equal(fspf_sync(w.v), 0);
		world_abandon(&w);
		world_open(&w, false);
		d.v = w.v;
		should = model_text(d.m);
		is = text_of(w.v);
		if (strcmp(should, is)) {
			model_text_difference(should, is);
			model_fail("after step %llu", (unsigned long long)d.m->step);
		}
		free(should);
		free(is);
	}
	printf("full %u times in %u operations\n", full, n);
	assert_true(n < 2000 || full > n / 100);
	model_free(d.m);
	world_free(&w, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_s4_rounds_encrypted),
		cmocka_unit_test(test_s4_rounds_authenticated),
		cmocka_unit_test(test_s3_random_work_at_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
