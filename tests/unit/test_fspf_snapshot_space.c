/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_snapshot_space.c - S6 case by case: what a snapshot has stays in use, and
 * what nobody has comes back
 */
#include "tests/unit/test_fspf_snapshot.h"

/* The space of what only a snapshot has comes back, in the store too. */
static void test_space_comes_back(void **state)
{
	struct fspf_error err;
	struct world w;
	uint64_t before, allocated;

	(void)state;
	begin_case(&w, 0);
	(void)new_file(w.v, "stays", 1 << 20, 1);
	assert_int_equal(fspf_sync(w.v), 0);
	before = used(w.v);
	(void)new_file(w.v, "goes", 16 << 20, 2);
	must(fspf_snapshot_create(w.v, "s", NULL, &err), &err);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "goes"), 0);
	sound(&w);
	assert_true(used(w.v) > before + (16 << 20) / FSPF_BLOCK_SIZE);
	world_close(&w);
	allocated = store_fake_allocated(w.disk);
	world_open(&w, false);
	must(fspf_snapshot_delete(w.v, "s", &err), &err);
	sound(&w);
	assert_true(used(w.v) < before + 16);
	world_close(&w);
	assert_true(store_fake_allocated(w.disk) < allocated - 15 * 256);
	world_free(&w, false);
}

/* A is restored and deleted, B is newer: what the volume then gives up may be nobody's, and is
 * found at the next open. */
static void test_nobody_keeps_a_branch(void **state)
{
	struct fspf_error err;
	struct world w;
	uint64_t before;

	(void)state;
	begin_case(&w, 0);
	must(fspf_snapshot_create(w.v, "empty", NULL, &err), &err);
	before = used(w.v);
	(void)new_file(w.v, "f", 4 << 20, 1);
	must(fspf_snapshot_create(w.v, "a", NULL, &err), &err);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "f"), 0);
	must(fspf_snapshot_create(w.v, "b", NULL, &err), &err);
	world_close(&w);
	must(try_restore(&w, "a", &err), &err);
	world_open(&w, false);
	must(fspf_snapshot_delete(w.v, "a", &err), &err);
	assert_false(fspf_space_is_exact(w.v->stored.space));
	assert_int_equal(fspf_sync(w.v), 0);
	world_abandon(&w); /* the trees say it too */
	world_open(&w, false);
	settle(w.v);
	assert_false(fspf_space_is_exact(w.v->stored.space));
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "f"), 0);
	sound(&w);
	assert_true(used(w.v) > before + 1000);
	world_close(&w);
	world_open(&w, false);
	sound(&w);
	assert_true(fspf_space_is_exact(w.v->stored.space));
	assert_true(used(w.v) < before + 64);
	world_free(&w, false);
}

/* ---- what is given back meanwhile ---- */

struct meanwhile {
	struct world w;
	bool armed;
	uint64_t fail_at; /* which write from then on fails; 0: none */
};

/* Beside the first commit: its state is frozen, and its record about to be written. */
static void unlink_meanwhile(void *ctx, enum store_fake_op op, uint64_t block, uint64_t count)
{
	struct meanwhile *m = ctx;

	(void)count;
	if (!m->armed || op != STORE_FAKE_WRITE || block >= FSPF_HEAD_BLOCKS)
		return;
	m->armed = false;
	store_fake_fail_at(m->w.disk, STORE_FAKE_WRITE, m->fail_at, -ENOSPC);
	if (fspf_unlink(m->w.v, FSPF_ROOT, "f"))
		model_fail("unlink fails");
}

/* A file of 1024 blocks. */
static void begin_meanwhile(struct meanwhile *m)
{
	memset(m, 0, sizeof(*m));
	begin_case(&m->w, 0);
	world_close(&m->w);
	m->w.hook = unlink_meanwhile;
	m->w.ctx = m;
	world_open(&m->w, false);
	(void)new_file(m->w.v, "f", 4 << 20, 1);
	sound(&m->w);
}

static void end_meanwhile(struct meanwhile *m, uint64_t should_use)
{
	assert_false(m->armed);
	sound(&m->w);
	assert_true(fspf_space_is_exact(m->w.v->stored.space));
	assert_true(used(m->w.v) < should_use + 64 && used(m->w.v) + 64 > should_use);
	world_free(&m->w, false);
}

/* The snapshot has it if it is made, and nobody if making fails. */
static void test_given_back_while_making(void **state)
{
	struct fspf_error err;
	struct meanwhile m;

	(void)state;
	begin_meanwhile(&m);
	m.armed = true;
	must(fspf_snapshot_create(m.w.v, "s", NULL, &err), &err);
	end_meanwhile(&m, 1024);

	begin_meanwhile(&m);
	m.armed = true;
	m.fail_at = 2; /* that of the copy */
	assert_int_equal(fspf_snapshot_create(m.w.v, "s", NULL, &err), -ENOSPC);
	assert_int_equal(m.w.v->root->nsnapshots, 0);
	end_meanwhile(&m, 0);
}

/* Only the deleted one had it, or another has it too. */
static void test_given_back_while_deleting(void **state)
{
	struct fspf_error err;
	struct meanwhile m;

	(void)state;
	begin_meanwhile(&m);
	must(fspf_snapshot_create(m.w.v, "s", NULL, &err), &err);
	m.armed = true;
	must(fspf_snapshot_delete(m.w.v, "s", &err), &err);
	end_meanwhile(&m, 0);

	begin_meanwhile(&m);
	must(fspf_snapshot_create(m.w.v, "s", NULL, &err), &err);
	must(fspf_snapshot_create(m.w.v, "t", NULL, &err), &err);
	m.armed = true;
	must(fspf_snapshot_delete(m.w.v, "t", &err), &err);
	end_meanwhile(&m, 1024);
}

/* S2: until the restored state is published the one before is whole. */
static void test_restore_leaves_late(void **state)
{
	struct fspf_open_params params = {
		.path = "test", .snapshot = "s", .restore = true, .commit_interval_ms = UINT32_MAX};
	struct fspf_error err;
	struct fspf_space_stat stat;
	uint64_t before;
	struct world w;

	(void)state;
	begin_case(&w, 0);
	must(fspf_snapshot_create(w.v, "s", NULL, &err), &err);
	(void)new_file(w.v, "f", 4 << 20, 1);
	sound(&w);
	before = used(w.v);
	world_close(&w);
	params.credential = w.key;
	params.anchor = anchor_fake_open(&w.anchor);
	assert_int_equal(store_fake_open(w.disk, FSPF_STORE_READ_WRITE, &params.store), 0);
	must(fspf_open(&params, &w.v, &err), &err);
	settle(w.v);
	fspf_space_stat(w.v->stored.space, &stat);
	assert_true(stat.deferred >= 1024);
	assert_true(stat.used + stat.deferred >= before);
	world_abandon(&w);
	world_open(&w, false);
	sound(&w);
	assert_true(used(w.v) >= 1024);
	world_free(&w, false);
}

/* Write until there is no space, in ever smaller pieces; what a commit gives back, too. */
static void fill(struct fspf_volume *v, uint64_t ino, uint64_t *at)
{
	static uint8_t data[65536];
	ssize_t r;

	for (size_t size = sizeof(data); size >= 4096; size /= 4) {
		do {
			r = fspf_write(v, ino, *at, data, size, 0);
			*at += r > 0 ? (uint64_t)r : 0;
		} while (r > 0);
		assert_int_equal(r, -ENOSPC);
	}
}

/* A full volume: there is no space for one, and nothing is lost; one that fills it can go. */
static void test_full_disk(void **state)
{
	struct fspf_error err;
	struct world w;
	uint64_t ino, at = 1 << 20;

	(void)state;
	begin_case(&w, FSPF_SIZE_MIN);
	ino = new_file(w.v, "f", 1 << 20, 1);
	must(fspf_snapshot_create(w.v, "first", NULL, &err), &err);
	fill(w.v, ino, &at);
	while (fspf_snapshot_create(w.v, "second", NULL, &err) == 0) {
		must(fspf_snapshot_delete(w.v, "second", &err), &err);
		assert_int_equal(fspf_sync(w.v), 0);
		fill(w.v, ino, &at);
	}
	assert_int_equal(err.code, -ENOSPC);
	sound(&w);
	assert_int_equal(w.v->root->nsnapshots, 1);
	must(fspf_snapshot_delete(w.v, "first", &err), &err);
	sound(&w);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "f"), 0);
	must(fspf_snapshot_create(w.v, "second", NULL, &err), &err);
	sound(&w);
	world_free(&w, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_space_comes_back),
		cmocka_unit_test(test_nobody_keeps_a_branch),
		cmocka_unit_test(test_given_back_while_making),
		cmocka_unit_test(test_given_back_while_deleting),
		cmocka_unit_test(test_restore_leaves_late),
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
