/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_storefake.c - the fake store keeps the store's contract, and fails as
 * ordered; what crash tests rely on
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/seed.h"
#include "tests/support/store_fake.h"

#define SEGMENT 256u

struct fixture {
	struct store_fake *disk;
	struct fspf_store *store;
};

static struct fspf_store *open_store(struct store_fake *disk)
{
	struct fspf_store *s;

	assert_int_equal(store_fake_open(disk, FSPF_STORE_READ_WRITE, &s), 0);
	s->segment_blocks = SEGMENT;
	return s;
}

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	fx->disk = store_fake_new();
	fx->store = open_store(fx->disk);
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	fspf_store_free(fx->store);
	store_fake_free(fx->disk);
	free(fx);
	return 0;
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

	assert_int_equal(s->ops->read(s, block, data, sizeof(data)), 0);
	assert_int_equal(data[0], data[sizeof(data) - 1]);
	return data[0];
}

static int get_raw(struct store_fake *disk, uint64_t block)
{
	uint8_t data[FSPF_BLOCK_SIZE];

	store_fake_get(disk, block, data);
	return data[0];
}

static void what_is_written_is_read(void **state)
{
	struct fixture *fx = *state;
	struct fspf_store *s = fx->store;
	uint8_t data[2 * FSPF_BLOCK_SIZE];
	uint64_t highest;

	assert_int_equal(get(s, 5000), 0);
	assert_int_equal(s->ops->reserve(s, 600, 10), 0);
	assert_int_equal(put(s, 600, 7), 0);
	assert_int_equal(get(s, 600), 7);
	assert_int_equal(get(s, 601), 0);
	s->ops->trim(s, 600, 1);
	assert_int_equal(get(s, 600), 0);
	assert_int_equal(s->ops->segments(s, &highest), 0);
	assert_int_equal(highest, 2);
	assert_int_equal(s->ops->write(s, 511, data, sizeof(data)), -EINVAL);
	assert_int_equal(s->ops->write(s, FSPF_HEAD_BLOCKS - 1, data, sizeof(data)), -EINVAL);
	assert_int_equal(s->ops->read(s, 511, data, sizeof(data)), -EINVAL);
	assert_int_equal(s->ops->read(s, 511, data, 100), -EINVAL);
}

static void locks_are_as_in_the_directory_store(void **state)
{
	struct fixture *fx = *state;
	struct fspf_store *other;

	assert_int_equal(store_fake_open(fx->disk, FSPF_STORE_READ_WRITE, &other), -EBUSY);
	assert_int_equal(store_fake_open(fx->disk, FSPF_STORE_READ_ONLY, &other), -EBUSY);
	assert_int_equal(store_fake_open(fx->disk, FSPF_STORE_PEEK, &other), 0);
	assert_int_equal(put(other, 1, 1), -EROFS);
	fspf_store_free(other);
	fspf_store_free(fx->store);
	assert_int_equal(store_fake_open(fx->disk, FSPF_STORE_READ_ONLY, &other), 0);
	assert_int_equal(store_fake_open(fx->disk, FSPF_STORE_READ_WRITE, &fx->store), -EBUSY);
	fspf_store_free(other);
	fx->store = open_store(fx->disk);
}

/* Block 300 was 1 at the barrier, and 2 and 3 after it; block 301 was 4 only. */
static void a_crash_keeps_what_the_barrier_covered(void **state)
{
	struct fixture *fx = *state;
	struct fspf_store *s = fx->store;
	unsigned seen[5] = {0}, seen_other[5] = {0};
	struct store_fake *after;
	uint64_t seed;

	assert_int_equal(s->ops->reserve(s, 300, 2), 0);
	assert_int_equal(put(s, 300, 1), 0);
	assert_int_equal(s->ops->barrier(s), 0);
	assert_int_equal(put(s, 300, 2), 0);
	assert_int_equal(put(s, 301, 4), 0);
	assert_int_equal(put(s, 300, 3), 0);
	for (seed = 0; seed < 400; seed++) {
		after = store_fake_crash(fx->disk, seed);
		seen[get_raw(after, 300)]++;
		seen_other[get_raw(after, 301)]++;
		store_fake_free(after);
	}
	assert_true(seen[1] && seen[2] && seen[3] && !seen[0] && !seen[4]);
	assert_true(seen_other[0] && seen_other[4]);
	assert_int_equal(seen_other[0] + seen_other[4], 400);
	assert_int_equal(s->ops->barrier(s), 0);
	for (seed = 0; seed < 50; seed++) {
		after = store_fake_crash(fx->disk, seed);
		assert_int_equal(get_raw(after, 300), 3);
		assert_int_equal(get_raw(after, 301), 4);
		store_fake_free(after);
	}
}

static void the_same_seed_crashes_the_same_way(void **state)
{
	struct fixture *fx = *state;
	uint64_t seed = test_seed(__func__), i;
	struct store_fake *a, *b;

	store_fake_tear(fx->disk, 512);
	for (i = 0; i < 200; i++)
		assert_int_equal(put(fx->store, 256 + test_below(&seed, 50), (int)i), 0);
	a = store_fake_crash(fx->disk, seed);
	b = store_fake_crash(fx->disk, seed);
	for (i = 256; i < 306; i++) {
		uint8_t left[FSPF_BLOCK_SIZE], right[FSPF_BLOCK_SIZE];

		store_fake_get(a, i, left);
		store_fake_get(b, i, right);
		assert_memory_equal(left, right, sizeof(left));
	}
	store_fake_free(a);
	store_fake_free(b);
}

static bool is_torn(struct store_fake *disk, uint64_t block)
{
	uint8_t data[FSPF_BLOCK_SIZE];
	size_t i;

	store_fake_get(disk, block, data);
	for (i = 512; i < sizeof(data) && data[i] == data[0]; i += 512)
		;
	return i < sizeof(data);
}

static unsigned count_torn(struct store_fake *disk)
{
	struct store_fake *after;
	unsigned n = 0;
	uint64_t seed;

	for (seed = 0; seed < 300; seed++) {
		after = store_fake_crash(disk, seed);
		n += is_torn(after, 300);
		store_fake_free(after);
	}
	return n;
}

static void blocks_are_torn_on_demand(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(put(fx->store, 300, 1), 0);
	assert_int_equal(fx->store->ops->barrier(fx->store), 0);
	assert_int_equal(put(fx->store, 300, 2), 0);
	assert_int_equal(count_torn(fx->disk), 0);
	store_fake_tear(fx->disk, 512);
	assert_true(count_torn(fx->disk) > 0);
}

static void a_dead_medium_stays_dead(void **state)
{
	struct fixture *fx = *state;
	struct store_fake *after;
	unsigned survived = 0;
	uint64_t seed;

	store_fake_die_at(fx->disk, STORE_FAKE_WRITE, 2);
	assert_int_equal(put(fx->store, 300, 1), 0);
	assert_false(store_fake_is_dead(fx->disk));
	assert_int_equal(put(fx->store, 301, 2), -EIO);
	assert_true(store_fake_is_dead(fx->disk));
	assert_int_equal(put(fx->store, 302, 3), -EIO);
	assert_int_equal(fx->store->ops->barrier(fx->store), -EIO);
	for (seed = 0; seed < 100; seed++) {
		after = store_fake_crash(fx->disk, seed);
		assert_false(store_fake_is_dead(after));
		survived += get_raw(after, 301) == 2;
		assert_int_equal(get_raw(after, 302), 0);
		store_fake_free(after);
	}
	assert_true(survived); /* the dying write was under way */
}

static void faults_come_once_and_in_their_turn(void **state)
{
	struct fixture *fx = *state;
	struct fspf_store *s = fx->store;
	uint8_t data[FSPF_BLOCK_SIZE];

	store_fake_fail_at(fx->disk, STORE_FAKE_READ, 2, -ENOMEM);
	assert_int_equal(s->ops->read(s, 1, data, sizeof(data)), 0);
	assert_int_equal(s->ops->read(s, 1, data, sizeof(data)), -ENOMEM);
	assert_int_equal(s->ops->read(s, 1, data, sizeof(data)), 0);
	store_fake_fail_at(fx->disk, STORE_FAKE_WRITE, 1, -ENOSPC);
	assert_int_equal(put(s, 1, 1), -ENOSPC);
	assert_int_equal(get(s, 1), 0);
	assert_int_equal(put(s, 1, 1), 0);
	store_fake_fail_at(fx->disk, STORE_FAKE_BARRIER, 1, -EIO);
	assert_int_equal(s->ops->barrier(s), -EIO);
	assert_int_equal(s->ops->barrier(s), -EIO); /* what was lost is not known */
}

static void limits_hold(void **state)
{
	struct fixture *fx = *state;
	struct fspf_store *s = fx->store;
	uint64_t bytes;

	store_fake_limit(fx->disk, 10, false);
	assert_int_equal(s->ops->reserve(s, 256, 11), -ENOSPC);
	assert_int_equal(s->ops->reserve(s, 256, 10), 0);
	assert_int_equal(s->ops->reserve(s, 256, 10), 0);
	assert_int_equal(s->ops->available(s, &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(put(s, 265, 1), 0);
	assert_int_equal(put(s, 0, 1), 0); /* the head has its space */
	assert_int_equal(put(s, 300, 1), -ENOSPC);
	assert_int_equal(store_fake_unreserved(fx->disk), 1);
	s->ops->trim(s, 256, 4);
	assert_int_equal(store_fake_allocated(fx->disk), 6);
	assert_int_equal(s->ops->reserve(s, 300, 4), 0);
	store_fake_limit(fx->disk, 11, true);
	assert_int_equal(s->ops->reserve(s, 400, 10), 0); /* a promise that is not kept */
	assert_int_equal(put(s, 400, 1), 0);
	assert_int_equal(put(s, 401, 1), -ENOSPC);
}

static void events_are_recorded(void **state)
{
	struct fixture *fx = *state;
	const struct store_fake_event *events;
	size_t n;

	assert_int_equal(put(fx->store, 300, 1), 0);
	assert_int_equal(fx->store->ops->barrier(fx->store), 0);
	fx->store->ops->trim(fx->store, 300, 2);
	events = store_fake_events(fx->disk, &n);
	assert_int_equal(n, 3);
	assert_int_equal(events[0].op, STORE_FAKE_WRITE);
	assert_int_equal(events[0].block, 300);
	assert_int_equal(events[1].op, STORE_FAKE_BARRIER);
	assert_int_equal(events[2].op, STORE_FAKE_TRIM);
	assert_int_equal(events[2].count, 2);
	assert_int_equal(store_fake_count(fx->disk, STORE_FAKE_WRITE), 1);
	store_fake_forget_events(fx->disk);
	assert_int_equal(store_fake_count(fx->disk, STORE_FAKE_WRITE), 0);
}

static void the_attacker_has_a_free_hand(void **state)
{
	struct fixture *fx = *state;
	uint8_t before[FSPF_BLOCK_SIZE], after[FSPF_BLOCK_SIZE];
	struct store_fake *old;
	uint64_t block = 0;

	assert_int_equal(put(fx->store, 300, 1), 0);
	assert_int_equal(put(fx->store, 400, 2), 0);
	old = store_fake_clone(fx->disk);
	store_fake_swap(fx->disk, 300, 400);
	assert_int_equal(get(fx->store, 300), 2);
	assert_int_equal(get(fx->store, 400), 1);
	store_fake_replay(fx->disk, 300, old);
	assert_int_equal(get(fx->store, 300), 1);
	store_fake_get(fx->disk, 300, before);
	store_fake_corrupt(fx->disk, 300, 5);
	store_fake_get(fx->disk, 300, after);
	assert_memory_not_equal(before, after, sizeof(before));
	store_fake_corrupt(fx->disk, 300, 5);
	assert_int_equal(get(fx->store, 300), 1);
	store_fake_put(fx->disk, 400, NULL);
	assert_int_equal(get(fx->store, 400), 0);
	assert_true(store_fake_next(fx->disk, 0, &block));
	assert_int_equal(block, 300);
	assert_false(store_fake_next(fx->disk, 301, &block));
	assert_int_equal(get_raw(old, 400), 2); /* a clone is not touched */
	store_fake_free(old);
}

#define IN_FIXTURE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FIXTURE(what_is_written_is_read),
		IN_FIXTURE(locks_are_as_in_the_directory_store),
		IN_FIXTURE(a_crash_keeps_what_the_barrier_covered),
		IN_FIXTURE(the_same_seed_crashes_the_same_way),
		IN_FIXTURE(blocks_are_torn_on_demand),
		IN_FIXTURE(a_dead_medium_stays_dead),
		IN_FIXTURE(faults_come_once_and_in_their_turn),
		IN_FIXTURE(limits_hold),
		IN_FIXTURE(events_are_recorded),
		IN_FIXTURE(the_attacker_has_a_free_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
