/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_snapshot.h - what the tests of snapshots share: a world whose volume is
 * looked at in every way that there is
 */
#ifndef FSPF_TESTS_UNIT_TEST_FSPF_SNAPSHOT_H
#define FSPF_TESTS_UNIT_TEST_FSPF_SNAPSHOT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fspf/commit.h"
#include "fspf/snapshot.h"
#include "tests/support/volume_check.h"
#include "tests/support/volume_model.h"
#include "tests/support/volume_world.h"

static inline void must(int r, const struct fspf_error *err)
{
	if (r)
		model_fail("%d, %s", r, err->text);
}

static inline void check_whole(struct fspf_volume *v)
{
	struct fspf_verify_result result;
	struct fspf_error err;

	must(fspf_verify(v, NULL, NULL, &result, &err), &err);
}

static inline int nothing(struct fspf_volume *v, void *ctx)
{
	(void)v;
	(void)ctx;
	return 0;
}

/* What opening leaves to the committer is done. */
static inline void settle(struct fspf_volume *v)
{
	if (fspf_commit_do(v, nothing, NULL))
		model_fail("the committer does nothing");
}

/* As the command does it; the volume is closed before and after. */
static inline int try_restore(struct world *w, const char *name, struct fspf_error *err)
{
	static struct fspf_region_info gone[FSPF_REGIONS_MAX];
	struct fspf_open_params params = {.path = "test", .credential = w->key};
	size_t ngone;

	params.anchor = anchor_fake_open(&w->anchor);
	if (store_fake_open(w->disk, FSPF_STORE_READ_WRITE, &params.store))
		model_fail("the medium is in use");
	if (w->hook)
		params.store = store_watch_new(params.store, w->hook, w->ctx);
	return fspf_snapshot_restore(&params, name, gone, &ngone, NULL, err);
}

static inline uint64_t new_file(struct fspf_volume *v, const char *name, uint64_t size,
				uint8_t fill)
{
	uint8_t data[65536];
	const struct fspf_caller caller = {0};
	struct fspf_attr attr;

	memset(data, fill, sizeof(data));
	assert_int_equal(fspf_create_file(v, FSPF_ROOT, name, S_IFREG | 0600, 0, &caller, &attr),
			 0);
	for (uint64_t at = 0; at < size; at += sizeof(data))
		assert_int_equal(fspf_write(v, attr.ino, at, data, sizeof(data), 0), sizeof(data));
	fspf_forget(v, attr.ino, 1);
	return attr.ino;
}

static inline uint64_t used(struct fspf_volume *v)
{
	struct fspf_space_stat stat;

	fspf_space_stat(v->stored.space, &stat);
	return stat.used;
}

static inline void begin_case(struct world *w, uint64_t size)
{
	memset(w, 0, sizeof(*w));
	world_create(w, FSPF_ENCRYPTED, size, 256, NULL);
}

static inline void sound(struct world *w)
{
	settle(w->v);
	assert_int_equal(fspf_sync(w->v), 0);
	assert_true(volume_check(w->v, NULL));
	check_whole(w->v);
}

#endif
