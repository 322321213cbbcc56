/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_space.c - the space manager against a model that knows each block's state,
 * and case by case; S1 to S5 are the invariants of fspf/space.h
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "fspf/space.h"
#include "tests/support/seed.h"
#include "tests/support/store_fake.h"

#define SEGMENT 256u /* blocks */
#define SEGMENTS 6u
#define LIMIT (SEGMENT * SEGMENTS)
#define BLOCKS (SEGMENT + LIMIT) /* addresses, the head's segment included */
#define STEPS 40000

struct fixture {
	struct store_fake *disk;
	struct fspf_store *store;
	struct fspf_space *space;
};

static void open_space_at(struct fixture *fx, uint64_t segment, uint64_t blocks_max,
			  uint64_t cursor)
{
	struct fspf_space_config config = {
		.blocks_max = blocks_max, .generation = 1, .cursor = cursor};

	fx->disk = store_fake_new();
	assert_int_equal(store_fake_open(fx->disk, FSPF_STORE_READ_WRITE, &fx->store), 0);
	fx->store->segment_blocks = segment;
	config.store = fx->store;
	assert_int_equal(fspf_space_new(&config, &fx->space), 0);
}

static void open_space(struct fixture *fx, uint64_t segment, uint64_t blocks_max)
{
	open_space_at(fx, segment, blocks_max, 0);
}

static void close_space(struct fixture *fx)
{
	assert_true(fspf_space_check(fx->space));
	fspf_space_free(fx->space);
	fspf_store_free(fx->store);
	store_fake_free(fx->disk);
}

static uint64_t total_of(const struct fixture *fx, bool free_ones)
{
	struct fspf_space_stat st;

	fspf_space_stat(fx->space, &st);
	return free_ones ? st.free : st.used;
}

/* All that can be had, in runs of @want; the number of blocks. */
static uint64_t drain(struct fixture *fx, uint32_t want, uint32_t least)
{
	uint64_t block, total = 0;
	uint32_t count;

	while (!fspf_space_alloc(fx->space, want, least, false, &block, &count))
		total += count;
	return total;
}

/* The model. */

enum state { FREE, USED, OPEN, FROZEN };

struct model {
	struct fixture fx;
	uint64_t random;
	enum state state[BLOCKS];
	uint64_t birth[BLOCKS];
	uint64_t generation, promised;
	bool frozen;
};

static uint64_t count_state(const struct model *m, enum state state)
{
	uint64_t i, n = 0;

	for (i = SEGMENT; i < BLOCKS; i++)
		n += m->state[i] == state;
	return n;
}

/* What a block in use must hold, so that a trim that hits it shows. */
static void write_mark(struct model *m, uint64_t block)
{
	uint8_t data[FSPF_BLOCK_SIZE];

	memset(data, (int)(block & 0x7f) + 1, sizeof(data));
	assert_int_equal(m->fx.store->ops->write(m->fx.store, block, data, sizeof(data)), 0);
}

static void check_mark(struct model *m, uint64_t block)
{
	uint8_t data[FSPF_BLOCK_SIZE];

	store_fake_get(m->fx.disk, block, data);
	assert_int_equal(data[0], (block & 0x7f) + 1);
}

static void check_model(struct model *m)
{
	struct fspf_space_stat st;
	uint64_t i;

	fspf_space_stat(m->fx.space, &st);
	assert_int_equal(st.total, LIMIT);
	assert_int_equal(st.used, count_state(m, USED));
	assert_int_equal(st.deferred, count_state(m, OPEN) + count_state(m, FROZEN));
	assert_int_equal(st.free, count_state(m, FREE));
	assert_int_equal(st.promised, m->promised);
	assert_int_equal(st.generation, m->generation);
	assert_true(fspf_space_check(m->fx.space)); /* S4 */
	for (i = SEGMENT; i < BLOCKS; i++)
		if (m->state[i] != FREE)
			check_mark(m, i); /* S2 */
}

static void step_alloc(struct model *m)
{
	bool promised = test_below(&m->random, 2);
	uint32_t want = (uint32_t)test_below(&m->random, 100) + 1, count;
	uint32_t least = test_below(&m->random, 3) ? 1 : (uint32_t)min_u64(want, 4);
	uint64_t i, block, room = promised ? m->promised : count_state(m, FREE) - m->promised;
	int r;

	r = fspf_space_alloc(m->fx.space, want, least, promised, &block, &count);
	if (r) {
		assert_int_equal(r, -ENOSPC);
		assert_true(room < least || least > 1); /* S3 */
		return;
	}
	assert_in_range(count, least, min_u64(want, room));
	assert_int_equal(block / SEGMENT, (block + count - 1) / SEGMENT);
	for (i = block; i < block + count; i++) {
		assert_in_range(i, SEGMENT, BLOCKS - 1);
		assert_int_equal(m->state[i], FREE); /* S1 */
		m->state[i] = USED;
		m->birth[i] = m->generation;
		write_mark(m, i);
	}
	assert_int_equal(store_fake_unreserved(m->fx.disk), 0); /* S5 */
	if (promised)
		m->promised -= count;
}

/* Where tree nodes fit. */
static uint64_t count_fours(const struct model *m)
{
	uint64_t n = 0;

	for (uint64_t i = SEGMENT; i < BLOCKS; i += 4)
		n += m->state[i] == FREE && m->state[i + 1] == FREE && m->state[i + 2] == FREE &&
		     m->state[i + 3] == FREE;
	return n;
}

static void step_promise(struct model *m)
{
	uint64_t count = test_below(&m->random, 200), keep = test_below(&m->random, 50);
	bool fits =
		count + keep + m->promised <= count_state(m, FREE) && count_fours(m) * 4 >= keep;
	int r = fspf_space_promise(m->fx.space, count, keep);

	assert_int_equal(r, fits ? 0 : -ENOSPC);
	if (!r)
		m->promised += count;
}

static void step_unpromise(struct model *m)
{
	uint64_t count = test_below(&m->random, m->promised + 1);

	fspf_space_unpromise(m->fx.space, count);
	m->promised -= count;
}

/* A run in use of one birth. */
static uint64_t pick_run(struct model *m, uint64_t *ret_block)
{
	uint64_t i, n = 0, at = SEGMENT + test_below(&m->random, LIMIT);
	uint64_t max = test_below(&m->random, 150) + 1;

	for (i = 0; i < LIMIT && m->state[at] != USED; i++)
		at = at + 1 < BLOCKS ? at + 1 : SEGMENT;
	while (n < max && at + n < BLOCKS && m->state[at + n] == USED &&
	       m->birth[at + n] == m->birth[at])
		n++;
	*ret_block = at;
	return n;
}

static void step_release(struct model *m)
{
	uint64_t i, block, count = pick_run(m, &block);

	if (!count)
		return;
	fspf_space_release(m->fx.space, block, count, m->birth[block]);
	for (i = block; i < block + count; i++)
		m->state[i] = m->birth[i] >= m->generation ? FREE : OPEN;
}

static void step_unalloc(struct model *m)
{
	uint64_t i, block, count = pick_run(m, &block);

	if (!count || m->birth[block] != m->generation)
		return;
	fspf_space_unalloc(m->fx.space, block, count);
	for (i = block; i < block + count; i++)
		m->state[i] = FREE;
}

static void change_all(struct model *m, enum state from, enum state to)
{
	uint64_t i;

	for (i = SEGMENT; i < BLOCKS; i++)
		if (m->state[i] == from)
			m->state[i] = to;
}

static void step_commit(struct model *m)
{
	if (!m->frozen) {
		fspf_space_freeze(m->fx.space);
		change_all(m, OPEN, FROZEN);
		m->generation++;
	} else if (test_below(&m->random, 3)) {
		fspf_space_published(m->fx.space);
		change_all(m, FROZEN, FREE);
	} else {
		fspf_space_thaw(m->fx.space);
		change_all(m, FROZEN, OPEN);
	}
	m->frozen = !m->frozen;
}

static void step(struct model *m)
{
	uint64_t dice = test_below(&m->random, 100);

	if (dice < 40)
		step_alloc(m);
	else if (dice < 50)
		step_promise(m);
	else if (dice < 58)
		step_unpromise(m);
	else if (dice < 88)
		step_release(m);
	else if (dice < 92)
		step_unalloc(m);
	else if (dice < 99)
		step_commit(m);
	else
		fspf_space_trim_free(m->fx.space);
}

/* The map survives encode and decode: what is in use is so in the copy. */
static void check_round_trip(struct model *m)
{
	uint8_t entry[FSPF_SPACE_ENTRY_MAX];
	struct fixture copy;
	uint64_t i;
	size_t len;
	int r;

	open_space(&copy, SEGMENT, LIMIT);
	for (i = 0; i < fspf_space_pieces(m->fx.space); i++) {
		r = fspf_space_encode(m->fx.space, i, entry, &len);
		assert_true(!r || r == -ENOENT);
		if (!r)
			assert_int_equal(fspf_space_decode(copy.space, i, entry, len), 0);
	}
	for (i = SEGMENT; i < BLOCKS; i++) { /* each free block can be marked, once */
		r = fspf_space_mark(copy.space, i, 1);
		assert_int_equal(r, m->state[i] == FREE ? 0 : -EBADMSG);
	}
	close_space(&copy);
}

static void S1_to_S5_hold_in_random_histories(void **state)
{
	static struct model m;
	uint64_t i;

	(void)state;
	m = (struct model){.random = test_seed(__func__), .generation = 1};
	open_space(&m.fx, SEGMENT, LIMIT);
	fspf_space_ready(m.fx.space, 0);
	for (i = 0; i < STEPS; i++) {
		step(&m);
		if (i % 64 == 0)
			check_model(&m);
	}
	if (!m.frozen)
		step_commit(&m);
	fspf_space_freeze(m.fx.space);
	fspf_space_published(m.fx.space);
	change_all(&m, FROZEN, FREE);
	change_all(&m, OPEN, FREE);
	m.generation++;
	check_model(&m);
	check_round_trip(&m);
	fspf_space_unpromise(m.fx.space, m.promised);
	assert_int_equal(drain(&m.fx, 64, 1), count_state(&m, FREE));
	assert_int_equal(total_of(&m.fx, true), 0);
	close_space(&m.fx);
}

/* Threads: nobody gets what somebody else has. */

struct worker {
	struct fixture *fx;
	unsigned char *owner; /* by block */
	uint64_t random;
	bool *stop;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t i, block;
	uint32_t count;

	while (!__atomic_load_n(w->stop, __ATOMIC_RELAXED)) {
		if (fspf_space_promise(w->fx->space, 40, 10))
			continue;
		if (fspf_space_alloc(w->fx->space, 40, 1, true, &block, &count)) {
			fspf_space_unpromise(w->fx->space, 40);
			continue;
		}
		for (i = block; i < block + count; i++)
			if (__atomic_exchange_n(&w->owner[i], 1, __ATOMIC_RELAXED))
				abort(); /* S1 */
		fspf_space_unpromise(w->fx->space, 40 - count);
		for (i = block; i < block + count; i++)
			__atomic_store_n(&w->owner[i], 0, __ATOMIC_RELAXED);
		if (test_below(&w->random, 2))
			fspf_space_release(w->fx->space, block, count, 0);
		else
			fspf_space_unalloc(w->fx->space, block, count);
	}
	return NULL;
}

static void S1_and_S3_hold_among_threads(void **state)
{
	static unsigned char owner[BLOCKS];
	struct worker workers[3];
	pthread_t threads[3];
	struct fixture fx;
	bool stop = false;
	unsigned i;

	(void)state;
	open_space(&fx, SEGMENT, LIMIT);
	fspf_space_ready(fx.space, 0);
	for (i = 0; i < 3; i++) {
		workers[i] = (struct worker){&fx, owner, i, &stop};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (i = 0; i < 2000; i++) {
		fspf_space_freeze(fx.space);
		fspf_space_published(fx.space);
		if (i % 16 == 0)
			assert_true(fspf_space_check(fx.space));
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	fspf_space_freeze(fx.space);
	fspf_space_published(fx.space);
	assert_int_equal(total_of(&fx, false), 0);
	assert_int_equal(drain(&fx, 256, 1), LIMIT);
	close_space(&fx);
}

/* Case by case. */

static void a_limited_volume_can_be_filled_to_the_last_block(void **state)
{
	static const uint32_t wants[] = {1, 3, 64, 100, 256};
	struct fixture fx;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(wants); i++) {
		open_space(&fx, SEGMENT, LIMIT);
		fspf_space_ready(fx.space, 0);
		assert_int_equal(drain(&fx, wants[i], 1), LIMIT);
		close_space(&fx);
	}
}

static void a_full_store_is_used_up_to_its_last_group(void **state)
{
	struct fixture fx;
	uint64_t block;
	uint32_t count;

	(void)state;
	open_space(&fx, SEGMENT, 0);
	store_fake_limit(fx.disk, 1000, false);
	fspf_space_ready(fx.space, 0);
	assert_int_equal(fspf_space_promise(fx.space, 961, 0), -ENOSPC);
	assert_int_equal(fspf_space_promise(fx.space, 900, 60), 0);
	assert_int_equal(fspf_space_promise(fx.space, 1, 60), -ENOSPC);
	assert_int_equal(drain(&fx, 256, 1), 60);
	while (!fspf_space_alloc(fx.space, 256, 1, true, &block, &count))
		;
	assert_int_equal(total_of(&fx, false), 960);
	close_space(&fx);
}

static void writes_are_contiguous(void **state)
{
	uint64_t i, block, next = 16384;
	struct fixture fx;
	uint32_t count;

	(void)state;
	open_space(&fx, 16384, 0);
	fspf_space_ready(fx.space, 0);
	for (i = 0; i < 64; i++) {
		assert_int_equal(fspf_space_alloc(fx.space, 256, 1, false, &block, &count), 0);
		assert_int_equal(block, next);
		assert_int_equal(count, 256);
		next += count;
	}
	assert_true(store_fake_count(fx.disk, STORE_FAKE_RESERVE) <= 12);
	close_space(&fx);
}

/* Every other block of the volume is in use. */
static void fill_with_holes(struct fixture *fx)
{
	uint64_t i;

	open_space(fx, SEGMENT, LIMIT);
	for (i = SEGMENT; i < BLOCKS; i += 2)
		assert_int_equal(fspf_space_mark(fx->space, i, 1), 0);
	fspf_space_ready(fx->space, 0);
}

static void scattered_blocks_are_found(void **state)
{
	struct fixture fx;
	uint64_t block;
	uint32_t count;

	(void)state;
	fill_with_holes(&fx);
	assert_int_equal(fspf_space_alloc(fx.space, 4, 2, false, &block, &count), -ENOSPC);
	assert_int_equal(drain(&fx, 256, 1), LIMIT / 2);
	close_space(&fx);
}

static void nodes_find_room_when_single_blocks_are_left(void **state)
{
	struct fixture fx;
	uint64_t i, block;
	uint32_t count;

	(void)state;
	open_space_at(&fx, SEGMENT, LIMIT, SEGMENT + 62); /* where a run ends that is no fragment */
	/* 64 blocks in a row are free and 20 single ones: tight. */
	assert_int_equal(fspf_space_mark(fx.space, SEGMENT + 64, LIMIT - 64 - 40), 0);
	for (i = BLOCKS - 40; i < BLOCKS; i += 2)
		assert_int_equal(fspf_space_mark(fx.space, i, 1), 0);
	fspf_space_ready(fx.space, 0);
	assert_int_equal(fspf_space_promise(fx.space, 84, 0), 0);
	for (i = 0; i < 20; i++) {
		assert_int_equal(fspf_space_alloc(fx.space, 1, 1, true, &block, &count), 0);
		assert_true(block >= BLOCKS - 40);
	}
	for (i = 0; i < 16; i++)
		assert_int_equal(fspf_space_alloc(fx.space, 4, 4, true, &block, &count), 0);
	assert_int_equal(total_of(&fx, true), 0);
	close_space(&fx);
}

/* Years of overwriting single blocks on a volume that is 90 % full: what is free is single blocks
 * in the end, but for what is left to nodes. */

#define AGED_DATA 13800u
#define AGED_NODES 128u

struct aged {
	struct fixture fx;
	uint64_t random;
	uint64_t data[AGED_DATA];
	uint64_t node[AGED_NODES];
	uint32_t at; /* the block overwritten last */
};

static void put_data(struct aged *a, uint32_t count, bool first)
{
	uint32_t i, got, want;
	uint64_t block;

	assert_int_equal(fspf_space_promise(a->fx.space, count, 0), 0);
	for (; count; count -= got) {
		want = (uint32_t)min_u64(count, test_below(&a->random, 64) + 1);
		assert_int_equal(fspf_space_alloc(a->fx.space, want, 1, true, &block, &got), 0);
		for (i = 0; i < got; i++) {
			a->at = first ? (a->at + 1) % AGED_DATA
				      : (uint32_t)test_below(&a->random, AGED_DATA);
			if (!first)
				fspf_space_release(a->fx.space, a->data[a->at], 1, 0);
			a->data[a->at] = block + i;
		}
	}
}

static void put_nodes(struct aged *a, uint32_t count, bool first)
{
	uint64_t block, i;
	uint32_t got;

	for (; count; count--) {
		i = first ? count - 1 : test_below(&a->random, AGED_NODES);
		assert_int_equal(fspf_space_alloc(a->fx.space, 4, 4, false, &block, &got), 0);
		if (!first)
			fspf_space_release(a->fx.space, a->node[i], 4, 0);
		a->node[i] = block;
	}
}

static void nodes_find_room_in_an_old_volume(void **state)
{
	static struct aged a;
	unsigned i;

	(void)state;
	a = (struct aged){.random = test_seed(__func__)};
	open_space(&a.fx, 1024, 16 * 1024);
	fspf_space_ready(a.fx.space, 0);
	put_data(&a, AGED_DATA, true);
	put_nodes(&a, AGED_NODES, true);
	for (i = 0; i < 2000; i++) {
		put_data(&a, 400, false);
		put_nodes(&a, 20, false);
		fspf_space_freeze(a.fx.space);
		fspf_space_published(a.fx.space);
	}
	close_space(&a.fx);
}

static void S2_what_a_root_reaches_waits_for_the_next(void **state)
{
	struct fixture fx;
	uint64_t block;
	uint32_t count;

	(void)state;
	open_space(&fx, SEGMENT, SEGMENT);
	fspf_space_ready(fx.space, 0);
	assert_int_equal(fspf_space_alloc(fx.space, SEGMENT, SEGMENT, false, &block, &count), 0);
	fspf_space_release(fx.space, block, 10, 1); /* born in the open generation */
	assert_int_equal(total_of(&fx, true), 10);
	fspf_space_freeze(fx.space);
	fspf_space_release(fx.space, block + 10, 10, 1); /* the frozen root reaches it */
	fspf_space_published(fx.space);
	assert_int_equal(total_of(&fx, true), 10);
	fspf_space_freeze(fx.space);
	fspf_space_thaw(fx.space); /* that commit failed */
	fspf_space_published(fx.space);
	assert_int_equal(total_of(&fx, true), 10);
	fspf_space_freeze(fx.space);
	fspf_space_published(fx.space);
	assert_int_equal(total_of(&fx, true), 20);
	close_space(&fx);
}

static void whole_groups_are_trimmed_in_long_ranges(void **state)
{
	const struct store_fake_event *events;
	struct fixture fx;
	uint64_t i, block;
	uint32_t count;
	size_t n;

	(void)state;
	open_space(&fx, 16384, 0);
	fspf_space_ready(fx.space, 0);
	for (i = 0; i < 16; i++)
		assert_int_equal(fspf_space_alloc(fx.space, 256, 256, false, &block, &count), 0);
	store_fake_forget_events(fx.disk);
	for (i = 16; i-- > 0;) /* all but the first block, last runs first */
		fspf_space_release(fx.space, 16384 + i * 256 + !i, 256 - !i, 0);
	fspf_space_freeze(fx.space);
	fspf_space_published(fx.space);
	events = store_fake_events(fx.disk, &n);
	assert_int_equal(n, 1);
	assert_int_equal(events[0].op, STORE_FAKE_TRIM);
	assert_int_equal(events[0].block, 16384 + FSPF_SPACE_GROUP);
	assert_int_equal(events[0].count, 16 * 256 - FSPF_SPACE_GROUP);
	fspf_space_trim_free(fx.space);
	assert_int_equal(store_fake_allocated(fx.disk), FSPF_SPACE_GROUP);
	close_space(&fx);
}

/* 128 blocks are free before the next group that is not reserved, and single ones elsewhere. */
static void a_run_goes_on_where_no_group_is_reserved_yet(void **state)
{
	struct fixture fx;
	uint64_t i, block, other;
	uint32_t count;

	(void)state;
	open_space(&fx, 16384, 0);
	fspf_space_ready(fx.space, 0);
	assert_int_equal(fspf_space_alloc(fx.space, 1024, 1024, false, &block, &count), 0);
	assert_int_equal(store_fake_allocated(fx.disk), 1024);
	for (i = 0; i < 400; i += 2)
		fspf_space_unalloc(fx.space, block + i, 1);
	fspf_space_unalloc(fx.space, block + 1024 - 128, 128);
	assert_int_equal(fspf_space_alloc(fx.space, 256, 1, false, &other, &count), 0);
	assert_int_equal(other, block + 1024 - 128);
	assert_int_equal(count, 256);
	close_space(&fx);
}

/* A store whose trim takes its time. */

static struct {
	struct fspf_store_ops ops;
	void (*trim)(struct fspf_store *s, uint64_t block, uint64_t count);
	struct fixture *fx;
	pthread_t threads[2];
} slow;

static void *alloc_meanwhile(void *arg)
{
	struct fixture *fx = arg;
	uint64_t block;
	uint32_t count;

	assert_int_equal(fspf_space_alloc(fx->space, 100, 100, false, &block, &count), 0);
	return NULL;
}

static void *promise_meanwhile(void *arg)
{
	struct fixture *fx = arg;

	assert_int_equal(fspf_space_promise(fx->space, 100, 0), 0);
	return NULL;
}

static void trim_slowly(struct fspf_store *s, uint64_t block, uint64_t count)
{
	struct timespec a_while = {.tv_nsec = 50000000};

	assert_int_equal(pthread_create(&slow.threads[0], NULL, alloc_meanwhile, slow.fx), 0);
	assert_int_equal(pthread_create(&slow.threads[1], NULL, promise_meanwhile, slow.fx), 0);
	nanosleep(&a_while, NULL);
	slow.trim(s, block, count);
}

static void who_finds_no_space_waits_for_a_trim(void **state)
{
	struct fixture fx;
	uint64_t block;
	uint32_t count;

	(void)state;
	open_space(&fx, SEGMENT, SEGMENT);
	fspf_space_ready(fx.space, 0);
	slow.ops = *fx.store->ops;
	slow.trim = slow.ops.trim;
	slow.ops.trim = trim_slowly;
	slow.fx = &fx;
	fx.store->ops = &slow.ops;
	assert_int_equal(fspf_space_alloc(fx.space, SEGMENT, SEGMENT, false, &block, &count), 0);
	fspf_space_release(fx.space, block, count, 0);
	fspf_space_freeze(fx.space);
	fspf_space_published(fx.space);
	pthread_join(slow.threads[0], NULL);
	pthread_join(slow.threads[1], NULL);
	assert_int_equal(total_of(&fx, false), 100);
	close_space(&fx);
}

static void S5_trims_leave_what_was_promised(void **state)
{
	struct fixture fx;
	uint64_t block;
	uint32_t count;

	(void)state;
	open_space(&fx, SEGMENT, 0);
	fspf_space_ready(fx.space, 0);
	assert_int_equal(fspf_space_alloc(fx.space, SEGMENT, SEGMENT, false, &block, &count), 0);
	assert_int_equal(fspf_space_promise(fx.space, 100, 0), 0);
	store_fake_limit(fx.disk, store_fake_allocated(fx.disk), false);
	fspf_space_release(fx.space, block, count, 0);
	fspf_space_freeze(fx.space);
	fspf_space_published(fx.space);
	fspf_space_trim_free(fx.space);
	store_fake_limit(fx.disk, store_fake_allocated(fx.disk), false);
	for (; total_of(&fx, false) < 100;)
		assert_int_equal(fspf_space_alloc(fx.space, 7, 1, true, &block, &count), 0);
	close_space(&fx);
}

static void an_error_of_the_store_is_passed_on(void **state)
{
	struct fixture fx;
	uint64_t block;
	uint32_t count;

	(void)state;
	open_space(&fx, SEGMENT, LIMIT);
	fspf_space_ready(fx.space, 0);
	store_fake_fail_at(fx.disk, STORE_FAKE_RESERVE, 1, -EIO);
	assert_int_equal(fspf_space_alloc(fx.space, 8, 1, false, &block, &count), -EIO);
	store_fake_fail_at(fx.disk, STORE_FAKE_RESERVE, 1, -EIO);
	assert_int_equal(fspf_space_promise(fx.space, 8, 0), -EIO);
	assert_int_equal(drain(&fx, 256, 1), LIMIT);
	close_space(&fx);
}

static void *load(void *arg)
{
	struct fixture *fx = arg;

	assert_int_equal(fspf_space_mark(fx->space, SEGMENT, LIMIT - 1), 0);
	fspf_space_ready(fx->space, 0);
	return NULL;
}

static void allocation_waits_for_loading(void **state)
{
	struct fixture fx;
	pthread_t thread;
	uint64_t block;
	uint32_t count;

	(void)state;
	open_space(&fx, SEGMENT, LIMIT);
	assert_int_equal(pthread_create(&thread, NULL, load, &fx), 0);
	assert_int_equal(fspf_space_alloc(fx.space, 9, 1, false, &block, &count), 0);
	assert_int_equal(block, BLOCKS - 1);
	pthread_join(thread, NULL);
	close_space(&fx);
	open_space(&fx, SEGMENT, LIMIT);
	fspf_space_ready(fx.space, -EBADMSG);
	assert_int_equal(fspf_space_alloc(fx.space, 9, 1, false, &block, &count), -EBADMSG);
	assert_int_equal(fspf_space_promise(fx.space, 1, 0), -EBADMSG);
	close_space(&fx);
}

static void marks_are_checked(void **state)
{
	struct fixture fx;

	(void)state;
	open_space(&fx, SEGMENT, LIMIT);
	assert_int_equal(fspf_space_mark(fx.space, SEGMENT - 1, 2), -EBADMSG);
	assert_int_equal(fspf_space_mark(fx.space, 3, 1), -EBADMSG);
	assert_int_equal(fspf_space_mark(fx.space, BLOCKS, 1), -EBADMSG);
	assert_int_equal(fspf_space_mark(fx.space, UINT64_MAX, 1), -EBADMSG);
	assert_int_equal(fspf_space_mark(fx.space, 2 * SEGMENT - 1, 2), 0);
	assert_int_equal(fspf_space_mark(fx.space, 2 * SEGMENT, 1), -EBADMSG);
	close_space(&fx);
	open_space(&fx, SEGMENT, 0);
	assert_int_equal(fspf_space_mark(fx.space, UINT64_MAX / 2, 1), -EBADMSG);
	close_space(&fx);
}

static void a_double_release_is_noticed_and_harmless(void **state)
{
	struct fixture fx;
	uint64_t block;
	uint32_t count;

	(void)state;
	open_space(&fx, SEGMENT, LIMIT);
	fspf_space_ready(fx.space, 0);
	assert_int_equal(fspf_space_alloc(fx.space, 8, 8, false, &block, &count), 0);
	fspf_space_unalloc(fx.space, block, count);
	assert_true(fspf_space_check(fx.space));
	fspf_space_unalloc(fx.space, block, count);
	assert_false(fspf_space_check(fx.space));
	assert_int_equal(drain(&fx, 8, 1), LIMIT);
	fspf_space_free(fx.space);
	fspf_store_free(fx.store);
	store_fake_free(fx.disk);
}

static int decode_in_new(uint64_t index, const void *entry, size_t len)
{
	struct fixture fx;
	int r;

	open_space(&fx, SEGMENT, LIMIT);
	r = fspf_space_decode(fx.space, index, entry, len);
	close_space(&fx);
	return r;
}

static void malformed_entries_are_refused(void **state)
{
	static const uint8_t good[] = {1, 0, 2, 0, 9, 0, 0, 0, 0, 0, 4, 0, 251, 0, 5, 0};
	static const uint8_t touching[] = {1, 0, 2, 0, 9, 0, 0, 0, 0, 0, 4, 0, 4, 0, 5, 0};
	static const uint8_t backwards[] = {1, 0, 2, 0, 9, 0, 0, 0, 9, 0, 4, 0, 0, 0, 5, 0};
	static const uint8_t too_far[] = {1, 0, 1, 0, 5, 0, 0, 0, 252, 0, 5, 0};
	static const uint8_t nothing[] = {1, 0, 1, 0, 0, 0, 0, 0, 252, 0, 0, 0};
	static const uint8_t zeroes[FSPF_SPACE_ENTRY_MAX];
	uint8_t bad[sizeof(good)];
	size_t i;

	(void)state;
	assert_int_equal(decode_in_new(1, good, sizeof(good)), 0);
	assert_int_equal(decode_in_new(SEGMENTS, good, sizeof(good)), 0);
	assert_int_equal(decode_in_new(0, good, sizeof(good)), -EBADMSG);
	assert_int_equal(decode_in_new(SEGMENTS + 1, good, sizeof(good)), -EBADMSG);
	assert_int_equal(decode_in_new(UINT64_MAX, good, sizeof(good)), -EBADMSG);
	for (i = 0; i < sizeof(good); i++)
		assert_int_equal(decode_in_new(1, good, i), -EBADMSG);
	for (i = 0; i < 8; i++) { /* every field of the header matters */
		memcpy(bad, good, sizeof(good));
		bad[i] ^= 0x40;
		assert_int_equal(decode_in_new(1, bad, sizeof(bad)), -EBADMSG);
	}
	assert_int_equal(decode_in_new(1, touching, sizeof(touching)), -EBADMSG);
	assert_int_equal(decode_in_new(1, backwards, sizeof(backwards)), -EBADMSG);
	assert_int_equal(decode_in_new(1, too_far, sizeof(too_far)), -EBADMSG);
	assert_int_equal(decode_in_new(1, nothing, sizeof(nothing)), -EBADMSG);
	for (i = 0; i <= sizeof(zeroes); i++)
		assert_int_equal(decode_in_new(1, zeroes, i), -EBADMSG);
}

/* A bitmap is taken only where runs would be longer. */
static void the_shorter_form_alone_is_accepted(void **state)
{
	uint8_t bitmap[8 + SEGMENT / 8] = {2, 0, 1, 0, 1, 0, 0, 0, 1};
	uint8_t entry[FSPF_SPACE_ENTRY_MAX];
	struct fixture fx;
	size_t len;

	(void)state;
	assert_int_equal(decode_in_new(1, bitmap, sizeof(bitmap)), -EBADMSG);
	fill_with_holes(&fx);
	assert_int_equal(fspf_space_encode(fx.space, 2, entry, &len), 0);
	assert_int_equal(len, sizeof(bitmap));
	assert_int_equal(entry[0], 2);
	assert_int_equal(decode_in_new(2, entry, len), 0);
	close_space(&fx);
}

static void large_segments_have_several_pieces(void **state)
{
	uint8_t entry[FSPF_SPACE_ENTRY_MAX];
	struct fixture fx, copy;
	uint64_t i;
	size_t len;

	(void)state;
	open_space(&fx, 4 * FSPF_SPACE_PIECE, 0);
	open_space(&copy, 4 * FSPF_SPACE_PIECE, 0);
	assert_int_equal(fspf_space_mark(fx.space, 6 * FSPF_SPACE_PIECE, FSPF_SPACE_PIECE), 0);
	for (i = 0; i < FSPF_SPACE_PIECE; i += 2)
		assert_int_equal(fspf_space_mark(fx.space, 7 * FSPF_SPACE_PIECE + i, 1), 0);
	assert_int_equal(fspf_space_pieces(fx.space), 8);
	for (i = 0; i < 6; i++)
		assert_int_equal(fspf_space_encode(fx.space, i, entry, &len), -ENOENT);
	assert_int_equal(fspf_space_encode(fx.space, 6, entry, &len), 0);
	assert_int_equal(len, 12); /* one run of 16384 */
	assert_int_equal(fspf_space_decode(copy.space, 6, entry, len), 0);
	assert_int_equal(fspf_space_encode(fx.space, 7, entry, &len), 0);
	assert_int_equal(len, FSPF_SPACE_ENTRY_MAX);
	assert_int_equal(fspf_space_decode(copy.space, 7, entry, len), 0);
	assert_int_equal(fspf_space_decode(copy.space, 7, entry, len), -EBADMSG);
	assert_int_equal(total_of(&fx, false), FSPF_SPACE_PIECE / 2 * 3);
	close_space(&fx);
	close_space(&copy);
}

static void the_map_is_not_encoded_while_blocks_are_deferred(void **state)
{
	uint8_t entry[FSPF_SPACE_ENTRY_MAX];
	struct fixture fx;
	size_t len;

	(void)state;
	open_space(&fx, SEGMENT, LIMIT);
	assert_int_equal(fspf_space_mark(fx.space, SEGMENT, 10), 0);
	fspf_space_ready(fx.space, 0);
	fspf_space_release(fx.space, SEGMENT, 5, 0);
	assert_int_equal(fspf_space_encode(fx.space, 1, entry, &len), -EBUSY);
	fspf_space_freeze(fx.space);
	assert_int_equal(fspf_space_encode(fx.space, 1, entry, &len), -EBUSY);
	fspf_space_published(fx.space);
	assert_int_equal(fspf_space_encode(fx.space, 1, entry, &len), 0);
	close_space(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(S1_to_S5_hold_in_random_histories),
		cmocka_unit_test(S1_and_S3_hold_among_threads),
		cmocka_unit_test(S2_what_a_root_reaches_waits_for_the_next),
		cmocka_unit_test(S5_trims_leave_what_was_promised),
		cmocka_unit_test(a_limited_volume_can_be_filled_to_the_last_block),
		cmocka_unit_test(a_full_store_is_used_up_to_its_last_group),
		cmocka_unit_test(writes_are_contiguous),
		cmocka_unit_test(scattered_blocks_are_found),
		cmocka_unit_test(nodes_find_room_when_single_blocks_are_left),
		cmocka_unit_test(nodes_find_room_in_an_old_volume),
		cmocka_unit_test(whole_groups_are_trimmed_in_long_ranges),
		cmocka_unit_test(a_run_goes_on_where_no_group_is_reserved_yet),
		cmocka_unit_test(who_finds_no_space_waits_for_a_trim),
		cmocka_unit_test(an_error_of_the_store_is_passed_on),
		cmocka_unit_test(allocation_waits_for_loading),
		cmocka_unit_test(marks_are_checked),
		cmocka_unit_test(a_double_release_is_noticed_and_harmless),
		cmocka_unit_test(malformed_entries_are_refused),
		cmocka_unit_test(the_shorter_form_alone_is_accepted),
		cmocka_unit_test(large_segments_have_several_pieces),
		cmocka_unit_test(the_map_is_not_encoded_while_blocks_are_deferred),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
