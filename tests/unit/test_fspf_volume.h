/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_volume.h - a volume on a store in memory, for tests of what libfspf offers
 *
 * It commits when a test says so (or space demands it), unless the test asks for a timer.  Whatever
 * is reported fails the test that is running, unless it expects damage.
 */
#ifndef FSPF_TESTS_UNIT_TEST_FSPF_VOLUME_H
#define FSPF_TESTS_UNIT_TEST_FSPF_VOLUME_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fspf/create.h"
#include "fspf/inode.h"
#include "tests/support/seed.h"
#include "tests/support/store_fake.h"

struct test_volume {
	struct store_fake *disk;
	struct fspf_credential *key;
	struct crypto_digest tag;
	struct fspf_volume *v;
	uint32_t interval_ms;
	bool expect_reports;
	atomic_uint reports;
};

static inline void test_volume_report(void *ctx, const struct fspf_report *report)
{
	struct test_volume *t = ctx;

	atomic_fetch_add(&t->reports, 1);
	if (!t->expect_reports)
		print_error("reported: %s\n", report->text);
}

static inline void test_volume_open(struct test_volume *t, bool read_only)
{
	struct fspf_open_params params = {
		.path = "test",
		.credential = t->key,
		.read_only = read_only,
		.commit_interval_ms = t->interval_ms ? t->interval_ms : UINT32_MAX,
		.report = test_volume_report,
		.report_ctx = t,
	};
	struct fspf_error err;

	assert_int_equal(fspf_anchor_pinned(&t->tag, &params.anchor), 0);
	assert_int_equal(store_fake_open(t->disk,
					 read_only ? FSPF_STORE_READ_ONLY : FSPF_STORE_READ_WRITE,
					 &params.store),
			 0);
	assert_int_equal(fspf_open(&params, &t->v, &err), 0);
}

/* @size: the volume's limit in bytes, 0: none. */
static inline void test_volume_create(struct test_volume *t, uint64_t size)
{
	struct fspf_create_params params = {.path = "test", .size = size};
	struct fspf_store *store;
	struct fspf_error err;

	t->disk = store_fake_new();
	assert_int_equal(fspf_credential_random(&t->key, &err), 0);
	params.credential = t->key;
	assert_int_equal(store_fake_open(t->disk, FSPF_STORE_READ_WRITE, &store), 0);
	assert_int_equal(fspf_create_on(&params, store, &t->tag, &err), 0);
	test_volume_open(t, false);
}

static inline void test_volume_close(struct test_volume *t)
{
	struct fspf_error err;

	assert_int_equal(fspf_close(t->v, &t->tag, &err), 0);
	t->v = NULL;
}

static inline void test_volume_reopen(struct test_volume *t)
{
	test_volume_close(t);
	test_volume_open(t, false);
}

static inline void test_volume_free(struct test_volume *t)
{
	if (t->v)
		test_volume_close(t);
	store_fake_free(t->disk);
	fspf_credential_free(t->key);
	if (!t->expect_reports)
		assert_int_equal(atomic_load(&t->reports), 0);
}

/* A new file of the type and mode in @mode below @parent, umask 0; its number. */
static inline uint64_t test_volume_file(struct test_volume *t, uint64_t parent, const char *name,
					uint32_t mode)
{
	struct fspf_caller caller = {.uid = 1000, .gid = 1000};
	struct fspf_attr attr;

	if (S_ISLNK(mode))
		assert_int_equal(fspf_symlink(t->v, parent, name, "target", &caller, &attr), 0);
	else
		assert_int_equal(fspf_create_file(t->v, parent, name, mode, 0, &caller, &attr), 0);
	fspf_forget(t->v, attr.ino, 1);
	return attr.ino;
}

static inline struct fspf_attr test_volume_attr(struct test_volume *t, uint64_t ino)
{
	struct fspf_attr attr;

	assert_int_equal(fspf_getattr(t->v, ino, &attr), 0);
	return attr;
}

static inline void test_fill(uint64_t *random, void *data, size_t size)
{
	uint8_t *p = data;

	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)test_random(random);
}

#endif
