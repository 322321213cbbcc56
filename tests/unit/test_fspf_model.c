/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_model.c - long random histories against the model, and directories read
 * while they change
 *
 * Names of up to 255 bytes, hard links, all flags of rename, files unlinked while they are used,
 * nameless files that get a name; closed and opened in between, properly or not.  The hash that
 * places directory entries is this file's own (it stands before the library's), with as many bits
 * left as a test wants, so that names collide.
 *
 * FSPF_TEST_STEPS: operations of a history.
 */
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "crypto/siphash.h"
#include "tests/support/volume_check.h"
#include "tests/support/volume_driver.h"
#include "tests/support/volume_world.h"

static uint64_t hash_mask = UINT64_MAX;

uint64_t crypto_siphash(const uint8_t key[static CRYPTO_SIPHASH_KEY_SIZE], const void *data,
			size_t len)
{
	uint8_t hash[crypto_shorthash_siphash24_BYTES];

	crypto_shorthash_siphash24(hash, data, len, key);
	return get_le64(hash) & hash_mask;
}

static const struct world_region regions[] = {
	{"/auth", FSPF_AUTHENTICATED}, {"/auth/deep/secret", FSPF_ENCRYPTED}, {NULL, 0}};
static const struct fspf_caller caller = {.uid = 1, .gid = 1};

/* ---- histories ---- */

static const struct driver_profile large = {
	.weight = {[DRIVER_CREATE] = 30,     [DRIVER_MKDIR] = 8,    [DRIVER_MKNOD] = 2,
		   [DRIVER_SYMLINK] = 4,     [DRIVER_TMPFILE] = 3,  [DRIVER_LINK] = 12,
		   [DRIVER_UNLINK] = 14,     [DRIVER_RMDIR] = 5,    [DRIVER_RENAME] = 30,
		   [DRIVER_WRITE] = 40,	     [DRIVER_TRUNCATE] = 8, [DRIVER_ALLOCATE] = 12,
		   [DRIVER_COPY] = 4,	     [DRIVER_SETATTR] = 6,  [DRIVER_SETXATTR] = 8,
		   [DRIVER_REMOVEXATTR] = 4, [DRIVER_READ] = 12,    [DRIVER_HOLD] = 4,
		   [DRIVER_RELEASE] = 4,     [DRIVER_FSYNC] = 1,    [DRIVER_SYNC] = 1},
	.file_max = 1500000,
	.write_max = 400000,
	.xattr_max = 20000,
	.names = 300,
	.inodes = 700,
};

static unsigned setting(const char *name, unsigned fallback)
{
	const char *value = getenv(name);

	return value ? (unsigned)strtoul(value, NULL, 0) : fallback;
}

static void compare(struct volume_driver *d)
{
	int error;
	char *should = model_text(d->m), *is = model_volume_text(d->v, &error);

	if (!is)
		model_fail("step %llu: the volume cannot be read: %d",
			   (unsigned long long)d->m->step, error);
	if (strcmp(should, is)) {
		model_text_difference(should, is);
		model_fail("step %llu: the volume differs from the model",
			   (unsigned long long)d->m->step);
	}
	free(should);
	free(is);
}

static void check(struct volume_driver *d)
{
	struct fspf_verify_result result;
	struct fspf_error err;

	(void)volume_driver_do(d, DRIVER_SETATTR); /* a commit comes when opening is done */
	(void)volume_driver_do(d, DRIVER_SYNC);
	if (!volume_check(d->v, NULL))
		model_fail("step %llu: the volume is unsound", (unsigned long long)d->m->step);
	if (fspf_verify(d->v, NULL, NULL, &result, &err))
		model_fail("step %llu: %s", (unsigned long long)d->m->step, err.text);
}

/* What has no name is gone then. */
static void open_anew(struct world *w, struct volume_driver *d)
{
	if (test_below(&d->random, 2)) {
		world_close(w);
	} else {
		(void)volume_driver_do(d, DRIVER_SYNC);
		world_abandon(w);
	}
	model_drop_nameless(d->m);
	world_open(w, false);
	d->v = w->v;
}

static void history(const char *name, uint64_t mask, unsigned steps)
{
	uint64_t random = test_seed(name);
	struct volume_driver d = {.profile = &large, .random = random};
	struct world w = {0};

	hash_mask = mask;
	world_create(&w, FSPF_ENCRYPTED, 0, 1024, regions);
	d.v = w.v;
	d.m = model_load(w.v);
	for (unsigned i = 1; i <= steps; i++) {
		(void)volume_driver_step(&d);
		if (i % 1000 == 0)
			compare(&d);
		if (i % 2000 == 0) {
			check(&d);
			open_anew(&w, &d);
			compare(&d);
		}
	}
	model_free(d.m);
	world_free(&w, false);
}

static void test_history(void **state)
{
	(void)state;
	history("model", UINT64_MAX, setting("FSPF_TEST_STEPS", 20000));
}

/* Nothing of a session in which every region is ephemeral is ever seen again (X1). */
static void test_ephemeral_history(void **state)
{
	unsigned steps = setting("FSPF_TEST_STEPS", 20000) / 4;
	uint64_t random = test_seed("ephemeral");
	struct volume_driver d = {.profile = &large, .random = random};
	struct world w = {0};
	char *before, *after;
	int error;

	(void)state;
	hash_mask = UINT64_MAX;
	world_create(&w, FSPF_ENCRYPTED, 0, 1024, regions);
	d.v = w.v;
	d.m = model_load(w.v);
	for (unsigned i = 0; i < steps; i++)
		(void)volume_driver_step(&d);
	world_close(&w);
	model_drop_nameless(d.m);
	before = model_text(d.m);
	store_fake_forget_events(w.disk);
	w.ephemeral = true;
	w.interval_ms = 1;
	world_open(&w, false);
	d.v = w.v;
	for (unsigned i = 1; i <= 3 * steps; i++) {
		(void)volume_driver_step(&d);
		if (i % 1000 == 0)
			compare(&d);
	}
	world_close(&w);
	assert_int_equal(store_fake_count(w.disk, STORE_FAKE_WRITE), 0);
	assert_int_equal(store_fake_count(w.disk, STORE_FAKE_RESERVE), 0);
	assert_int_equal(store_fake_count(w.disk, STORE_FAKE_TRIM), 0);
	w.ephemeral = false;
	world_open(&w, false);
	after = model_volume_text(w.v, &error);
	assert_string_equal(before, after);
	free(before);
	free(after);
	model_free(d.m);
	world_free(&w, false);
}

/* A handful of places for all names. */
static void test_history_of_collisions(void **state)
{
	(void)state;
	history("colliding names", UINT64_C(7) << 60, setting("FSPF_TEST_STEPS", 20000) / 2);
}

/* ---- a directory that is read while it changes ---- */

#define ENTRIES 600u

struct reading {
	struct fspf_volume *v;
	uint64_t dir, random;
	bool there[ENTRIES];
	bool stayed[ENTRIES]; /* was there from the beginning on */
	bool ever[ENTRIES];   /* was there at some time */
	unsigned seen[ENTRIES], made[ENTRIES];
	uint64_t cookie;
	unsigned left; /* entries until the callback stops */
	bool over;
};

static unsigned number_of(const char *name)
{
	return (unsigned)strtoul(name + 1, NULL, 10);
}

static int next_entry(void *ctx, const struct fspf_entry *e)
{
	struct reading *r = ctx;

	if (r->left-- == 0) {
		r->over = false;
		return 1;
	}
	assert_true(e->cookie > r->cookie && e->cookie < INT64_MAX);
	r->cookie = e->cookie;
	if (e->name[0] != '.')
		r->seen[number_of(e->name)]++;
	return 0;
}

static void toggle(struct reading *r, unsigned n)
{
	char name[FSPF_NAME_MAX + 1];
	struct fspf_attr attr;

	driver_name(n, name);
	if (r->there[n]) {
		assert_int_equal(fspf_unlink(r->v, r->dir, name), 0);
		r->stayed[n] = false;
	} else {
		assert_int_equal(
			fspf_create_file(r->v, r->dir, name, S_IFREG | 0600, 0, &caller, &attr), 0);
		fspf_forget(r->v, attr.ino, 1);
		r->ever[n] = true;
		r->made[n]++;
	}
	r->there[n] = !r->there[n];
}

static void read_once(struct reading *r)
{
	memset(r->seen, 0, sizeof(r->seen));
	memset(r->made, 0, sizeof(r->made));
	memcpy(r->stayed, r->there, sizeof(r->there));
	memcpy(r->ever, r->there, sizeof(r->there));
	r->cookie = 0;
	do {
		r->over = true;
		r->left = 1 + (unsigned)test_below(&r->random, 40);
		assert_int_equal(fspf_readdir(r->v, r->dir, r->cookie, false, next_entry, r), 0);
		for (uint64_t i = test_below(&r->random, 10); i > 0; i--)
			toggle(r, (unsigned)test_below(&r->random, ENTRIES));
	} while (!r->over);
	for (unsigned n = 0; n < ENTRIES; n++) {
		if (r->stayed[n])
			assert_int_equal(r->seen[n], 1);
		else if (!r->ever[n])
			assert_int_equal(r->seen[n], 0);
		else
			assert_true(r->seen[n] <= 1 + r->made[n]);
	}
}

static void readings(uint64_t mask)
{
	struct reading *r = calloc(1, sizeof(*r));
	struct world w = {0};

	r->random = test_seed("readdir");
	hash_mask = mask;
	world_create(&w, FSPF_ENCRYPTED, 0, 256, NULL);
	r->v = w.v;
	r->dir = FSPF_ROOT;
	for (unsigned n = 0; n < ENTRIES; n += 2)
		toggle(r, n);
	for (unsigned i = 0; i < 200; i++) {
		read_once(r);
		if (i % 20 == 10)
			assert_int_equal(fspf_sync(w.v), 0);
	}
	world_free(&w, false);
	free(r);
}

static void test_readdir_while_entries_come_and_go(void **state)
{
	(void)state;
	readings(UINT64_MAX);
}

static void test_readdir_among_collisions(void **state)
{
	(void)state;
	readings(UINT64_C(15) << 59);
}

/* As many names of one hash as there are slots, and not one more. */
static void test_names_of_one_hash(void **state)
{
	struct world w = {0};
	struct fspf_attr attr;
	char name[FSPF_NAME_MAX + 1];

	(void)state;
	hash_mask = 0;
	world_create(&w, FSPF_ENCRYPTED, 0, 256, NULL);
	for (unsigned i = 0; i < 256; i++) {
		driver_name(i, name);
		assert_int_equal(
			fspf_create_file(w.v, FSPF_ROOT, name, S_IFREG | 0600, 0, &caller, &attr),
			0);
		fspf_forget(w.v, attr.ino, 1);
	}
	assert_int_equal(fspf_create_file(w.v, FSPF_ROOT, "more", S_IFREG, 0, &caller, &attr),
			 -ENOSPC);
	assert_int_equal(fspf_lookup(w.v, FSPF_ROOT, "more", &attr), -ENOENT);
	driver_name(100, name);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, name), 0);
	assert_int_equal(fspf_rename(w.v, FSPF_ROOT, "n1", FSPF_ROOT, "more", 0, &caller), 0);
	assert_int_equal(fspf_lookup(w.v, FSPF_ROOT, "n1", &attr), -ENOENT);
	assert_int_equal(fspf_lookup(w.v, FSPF_ROOT, "n2", &attr), 0);
	fspf_forget(w.v, attr.ino, 1);
	world_free(&w, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_history_of_collisions),
		cmocka_unit_test(test_ephemeral_history),
		cmocka_unit_test(test_readdir_while_entries_come_and_go),
		cmocka_unit_test(test_readdir_among_collisions),
		cmocka_unit_test(test_names_of_one_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
