/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_fault.c - one call of the store or of the anchor fails
 *
 * A fixed workload is run again and again on a copy of one volume, and each time another call
 * fails: the first write, the second, ..., and so with reads, barriers, reservations and
 * publications, from the opening to the closing.  Whatever fails, an operation that says so has
 * changed nothing that can be seen; a close that says that all is durable is right; and the medium
 * opens in a state that really was, not older than the last one acknowledged, and is sound.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/support/volume_check.h"
#include "tests/support/volume_driver.h"
#include "tests/support/volume_world.h"

#define STEPS 120u

enum kind { FAIL, DIE, PUBLISH, PUBLISH_LATE };

struct fault {
	enum kind kind;
	enum store_fake_op op;
	int error;
	uint64_t n;
};

struct run {
	struct world w;
	struct volume_driver d;
	struct fault fault;
	char *text[STEPS + 2];
	uint64_t last;
	uint64_t opened; /* runs in which the volume could be opened */
};

static struct world base;
static uint64_t workload_seed, crash_random;

static _Noreturn void failed(const struct run *run, const char *what)
{
	model_fail("fault kind %d, operation %d, error %d, number %llu: %s", run->fault.kind,
		   run->fault.op, run->fault.error, (unsigned long long)run->fault.n, what);
}

static void order(struct run *run)
{
	const struct fault *f = &run->fault;

	if (f->kind == FAIL)
		store_fake_fail_at(run->w.disk, f->op, f->n, f->error);
	else if (f->kind == DIE)
		store_fake_die_at(run->w.disk, f->op, f->n);
	run->w.anchor.fail_at = f->kind == PUBLISH || f->kind == PUBLISH_LATE ? f->n : 0;
	run->w.anchor.fail_error = f->error;
	run->w.anchor.fail_late = f->kind == PUBLISH_LATE;
}

/* Did the ordered call come? */
static bool has_struck(struct run *run)
{
	const struct fault *f = &run->fault;

	if (f->kind == PUBLISH || f->kind == PUBLISH_LATE)
		return run->w.anchor.publishes >= f->n;
	return store_fake_count(run->w.disk, f->op) >= f->n;
}

/* ---- the workload ---- */

static void compare_live(struct run *run)
{
	int error = -EIO;
	char *text = NULL;

	for (int i = 0; i < 3 && error == -EIO; i++)
		text = model_volume_text(run->w.v, &error);
	if (!text && store_fake_is_dead(run->w.disk))
		return;
	if (!text)
		failed(run, "the open volume cannot be read");
	if (strcmp(text, run->text[run->last])) {
		model_text_difference(run->text[run->last], text);
		failed(run, "a failed operation has changed something");
	}
	free(text);
}

static void work(struct run *run)
{
	run->d.v = run->w.v;
	while (run->last < STEPS && !run->d.blind) {
		(void)volume_driver_step(&run->d);
		if (!run->d.blind)
			run->text[++run->last] = model_text(run->d.m);
	}
	if (!run->d.blind)
		compare_live(run);
}

static bool is_clear(int r, const struct fspf_error *err)
{
	return (r == -EIO || r == -ENOSPC || r == -EROFS || r == -ESTALE) && err->text[0];
}

static void run_workload(struct run *run)
{
	struct fspf_error err = {0};
	int r = world_try_open(&run->w, false, &err);

	if (r && !is_clear(r, &err))
		failed(run, "opening gives another error");
	if (r)
		return;
	run->opened++;
	work(run);
	r = fspf_close(run->w.v, NULL, &err);
	run->w.v = NULL;
	if (r && !is_clear(r, &err))
		failed(run, "closing gives another error");
	if (r == 0)
		run->d.acked = run->last;
}

/* ---- afterwards ---- */

static void check_state(struct run *run, struct fspf_volume *v)
{
	uint64_t step = run->last, acked = min_u64(run->d.acked, run->last);
	int error;
	char *text = model_volume_text(v, &error);

	if (!text)
		failed(run, "the volume cannot be read afterwards");
	while (step > acked && strcmp(text, run->text[step]))
		step--;
	if (strcmp(text, run->text[step])) {
		model_text_difference(run->text[acked], text);
		failed(run, "the volume is in no state that was acknowledged, or came after");
	}
	free(text);
}

static void check_afterwards(struct run *run, struct store_fake *disk)
{
	struct fspf_attr attr = {.mode = 0755};
	struct fspf_verify_result result;
	struct fspf_error err;
	struct world w;

	world_clone(&run->w, disk, NULL, &w);
	world_open(&w, false);
	check_state(run, w.v);
	if (fspf_verify(w.v, NULL, NULL, &result, &err))
		failed(run, err.text);
	if (fspf_setattr(w.v, FSPF_ROOT, FSPF_SET_MODE, &attr, &attr) || fspf_sync(w.v))
		failed(run, "the volume cannot go on");
	if (!volume_check(w.v, NULL))
		failed(run, "the volume is unsound afterwards");
	world_free(&w, true);
}

static void begin(struct run *run, struct model *m, const char *text)
{
	world_clone(&base, store_fake_clone(base.disk), NULL, &run->w);
	run->w.expects_damage = true; /* failures are reported */
	run->text[0] = strdup(text);
	run->last = 0;
	run->d = (struct volume_driver){
		.m = m, .random = workload_seed, .profile = &driver_mixed, .faults = true};
}

static void end(struct run *run)
{
	for (size_t i = 0; i < ARRAY_LEN(run->text); i++) {
		free(run->text[i]);
		run->text[i] = NULL;
	}
	model_free(run->d.m);
	world_free(&run->w, true);
}

/* The base volume's model, anew: it is changed by each run. */
static struct model *base_model(char **ret_text)
{
	struct world w;
	struct model *m;

	world_clone(&base, store_fake_clone(base.disk), NULL, &w);
	world_open(&w, true);
	m = model_load(w.v);
	*ret_text = model_text(m);
	world_free(&w, true);
	return m;
}

/* False when there was no such call any more. */
static bool run_fault(struct run *run, const struct fault *fault)
{
	char *text;
	struct model *m = base_model(&text);
	bool struck;

	begin(run, m, text);
	free(text);
	run->fault = *fault;
	order(run);
	run_workload(run);
	struck = has_struck(run);
	check_afterwards(run, store_fake_clone(run->w.disk));
	check_afterwards(run, store_fake_crash(run->w.disk, test_random(&crash_random)));
	end(run);
	return struck;
}

/* The 1st, 2nd, ... until there is no such call; beyond @dense every third or so. */
static void run_faults(enum kind kind, enum store_fake_op op, int error, uint64_t dense)
{
	struct fault fault = {.kind = kind, .op = op, .error = error, .n = 1};
	struct run run = {0};
	uint64_t runs = 0;

	while (run_fault(&run, &fault)) {
		runs++;
		fault.n += fault.n < dense ? 1 : 1 + test_below(&crash_random, 5);
	}
	printf("%llu of %llu calls failed in turn\n", (unsigned long long)runs,
	       (unsigned long long)fault.n);
	assert_true(runs >=
		    (op == STORE_FAKE_RESERVE ? 1 : 3)); /* space comes megabytes at a time */
	assert_true(run.opened > 0);
}

static void test_write_fails(void **state)
{
	(void)state;
	run_faults(FAIL, STORE_FAKE_WRITE, -EIO, 60);
}

static void test_write_finds_no_space(void **state)
{
	(void)state;
	run_faults(FAIL, STORE_FAKE_WRITE, -ENOSPC, 60);
}

static void test_read_fails(void **state)
{
	(void)state;
	run_faults(FAIL, STORE_FAKE_READ, -EIO, 60);
}

static void test_barrier_fails(void **state)
{
	(void)state;
	run_faults(FAIL, STORE_FAKE_BARRIER, -EIO, 60);
}

static void test_reserve_fails(void **state)
{
	(void)state;
	run_faults(FAIL, STORE_FAKE_RESERVE, -EIO, 60);
}

static void test_reserve_finds_no_space(void **state)
{
	(void)state;
	run_faults(FAIL, STORE_FAKE_RESERVE, -ENOSPC, 60);
}

static void test_store_dies_at_a_write(void **state)
{
	(void)state;
	run_faults(DIE, STORE_FAKE_WRITE, -EIO, 40);
}

static void test_store_dies_at_a_barrier(void **state)
{
	(void)state;
	run_faults(DIE, STORE_FAKE_BARRIER, -EIO, 40);
}

static void test_publishing_fails(void **state)
{
	(void)state;
	run_faults(PUBLISH, 0, -EIO, 60);
}

static void test_publishing_fails_too_late(void **state)
{
	(void)state;
	run_faults(PUBLISH_LATE, 0, -EIO, 60);
}

static void test_somebody_else_published(void **state)
{
	(void)state;
	run_faults(PUBLISH, 0, -ESTALE, 60);
}

/* An older state is never taken because the newest could not be read just now. */
static void test_opening_reads_fail(void **state)
{
	struct world w = {0};
	struct fspf_error err;
	struct crypto_digest tag;
	unsigned failed = 0;

	(void)state;
	world_clone(&base, store_fake_clone(base.disk), NULL, &w);
	w.expects_damage = true;
	for (unsigned anchored = 0; anchored < 2; anchored++) {
		w.no_anchor = !anchored;
		for (uint64_t n = 1; n <= 12; n++) {
			int r;

			store_fake_fail_at(w.disk, STORE_FAKE_READ, n, -EIO);
			r = world_try_open(&w, true, &err);
			if (r) {
				assert_int_equal(r, -EIO);
				failed++;
				w.v = NULL;
				continue;
			}
			fspf_tag(w.v, &tag);
			assert_true(crypto_digest_equal(&tag, &base.anchor.tag));
			world_abandon(&w);
		}
	}
	assert_true(failed >= 6); /* header and both slots, at least */
	world_free(&w, true);
}

/* A volume with something in it, closed: so that there are nodes to read and a map to load. */
static int make_base(void **state)
{
	static const struct world_region regions[] = {{"/auth", FSPF_AUTHENTICATED}, {NULL, 0}};
	uint64_t random = test_seed("fault");
	struct volume_driver d = {.profile = &driver_mixed, .random = test_random(&random)};

	(void)state;
	workload_seed = test_random(&random);
	crash_random = test_random(&random);
	world_create(&base, FSPF_ENCRYPTED, 0, 256, regions);
	d.v = base.v;
	d.m = model_load(base.v);
	for (unsigned i = 0; i < 150; i++)
		(void)volume_driver_step(&d);
	model_free(d.m);
	world_close(&base);
	return 0;
}

static int free_base(void **state)
{
	(void)state;
	world_free(&base, false);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_fails),
		cmocka_unit_test(test_write_finds_no_space),
		cmocka_unit_test(test_read_fails),
		cmocka_unit_test(test_barrier_fails),
		cmocka_unit_test(test_reserve_fails),
		cmocka_unit_test(test_reserve_finds_no_space),
		cmocka_unit_test(test_store_dies_at_a_write),
		cmocka_unit_test(test_store_dies_at_a_barrier),
		cmocka_unit_test(test_publishing_fails),
		cmocka_unit_test(test_publishing_fails_too_late),
		cmocka_unit_test(test_somebody_else_published),
		cmocka_unit_test(test_opening_reads_fail),
	};

	return cmocka_run_group_tests(tests, make_base, free_base);
}
