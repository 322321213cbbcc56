/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long random histories of a tree against a sorted array: every operation, commits that succeed,
 * fail, are tried again or given up, changes in the middle of commits, reopening, failing stores
 * and failing allocations; with a cache that holds everything and with one that holds nothing.
 * After every commit the stored items, and the addresses in use, must be exactly right.
 */
#include "tests/unit/test_merkle_fixture.h"

/* The room takes its nodes from aligned_alloc() alone: here it fails on demand. */
static int64_t fail_memory = -1; /* this many more succeed; < 0: all */

void *aligned_alloc(size_t align, size_t size)
{
	void *p = NULL;

	if (!(fail_memory >= 0 && fail_memory-- == 0) && posix_memalign(&p, align, size) != 0)
		p = NULL;
	return p;
}

struct history {
	struct region g;
	struct rng rng;
	struct model live, frozen, committed;
	uint32_t objects, offsets, len_max; /* how wide keys and values are strewn */
	uint64_t tide;			    /* steps from one flood to the next */
	uint32_t ops[4]; /* what has been done, so that a seed is known to do all */
};

static struct merkle_key random_key(struct history *h)
{
	struct merkle_key key = {.object = rng_below(&h->rng, h->objects),
				 .offset = rng_below(&h->rng, h->offsets),
				 .type = (uint8_t)rng_below(&h->rng, 3)};

	if (rng_chance(&h->rng, 1))
		key = rng_chance(&h->rng, 50) ? key_min : key_max;
	else if (rng_chance(&h->rng, 2))
		key.offset = UINT64_MAX - key.offset;
	return key;
}

static uint32_t random_len(struct history *h)
{
	uint32_t max = rng_chance(&h->rng, 10) ? MERKLE_VALUE_MAX : h->len_max;

	return 1 + (uint32_t)rng_below(&h->rng, max);
}

/* An operation may fail of what was injected; then it must not have happened. */
static bool excused(struct history *h, int r)
{
	bool is = (r == -EIO && h->g.store.reports > 0) || r == -ENOMEM;

	h->g.store.reports = 0;
	return is;
}

static void inject(struct history *h)
{
	if (rng_chance(&h->rng, 3)) {
		h->g.store.fail_read = (int64_t)rng_below(&h->rng, 3);
		h->g.store.read_failures = 1 + (int64_t)rng_below(&h->rng, 3);
	}
	if (rng_chance(&h->rng, 3))
		fail_memory = (int64_t)rng_below(&h->rng, 5);
}

static void uninject(struct history *h)
{
	h->g.store.fail_read = -1;
	fail_memory = -1;
}

static void step_put(struct history *h)
{
	struct model_item item = {
		.key = random_key(h), .len = random_len(h), .seed = rng_next(&h->rng)};
	int r;

	if (h->live.n && rng_chance(&h->rng, 25))
		item.key = h->live.items[rng_below(&h->rng, h->live.n)].key;
	inject(h);
	r = put_item(&h->g, &item);
	uninject(h);
	if (r == 0)
		model_put(&h->live, &item);
	else
		assert_true(excused(h, r));
}

static void step_delete(struct history *h)
{
	struct merkle_key key = random_key(h);
	int r;

	if (h->live.n && rng_chance(&h->rng, 80))
		key = h->live.items[rng_below(&h->rng, h->live.n)].key;
	inject(h);
	r = merkle_delete(h->g.tree, &key);
	uninject(h);
	if (r == 0)
		assert_true(model_delete(&h->live, &key));
	else if (r == -ENOENT)
		assert_false(model_delete(&h->live, &key));
	else
		assert_true(excused(h, r));
}

static void step_get(struct history *h)
{
	uint8_t value[MERKLE_VALUE_MAX], expected[MERKLE_VALUE_MAX];
	size_t room = rng_chance(&h->rng, 90) ? sizeof(value) : rng_below(&h->rng, 100), len = 0, i;
	struct merkle_key key = random_key(h);
	bool exact;
	int r;

	if (h->live.n && rng_chance(&h->rng, 80))
		key = h->live.items[rng_below(&h->rng, h->live.n)].key;
	i = model_find(&h->live, &key, &exact);
	inject(h);
	r = merkle_get(h->g.tree, &key, value, room, &len);
	uninject(h);
	if (r == 0) {
		assert_true(exact);
		assert_int_equal(len, h->live.items[i].len);
		fill_value(h->live.items[i].seed, expected, len);
		assert_memory_equal(value, expected, len);
	} else if (r == -ENOENT) {
		assert_false(exact);
	} else if (r == -ERANGE) {
		assert_true(exact && h->live.items[i].len > room);
	} else {
		assert_true(excused(h, r));
	}
}

static void step_get_last(struct history *h)
{
	struct merkle_key first = random_key(h), last = random_key(h), found;
	uint8_t value[MERKLE_VALUE_MAX], expected[MERKLE_VALUE_MAX];
	size_t room = rng_chance(&h->rng, 90) ? sizeof(value) : rng_below(&h->rng, 100), len = 0, i;
	bool exact, is;
	int r;

	if (rng_chance(&h->rng, 50))
		first = key_min;
	i = model_find(&h->live, &last, &exact);
	is = exact || i > 0;
	i = exact ? i : i - 1;
	is = is && merkle_key_compare(&h->live.items[i].key, &first) >= 0;
	inject(h);
	r = merkle_get_last(h->g.tree, &first, &last, &found, value, room, &len);
	uninject(h);
	if (r == 0) {
		assert_true(is);
		assert_int_equal(merkle_key_compare(&found, &h->live.items[i].key), 0);
		assert_int_equal(len, h->live.items[i].len);
		fill_value(h->live.items[i].seed, expected, len);
		assert_memory_equal(value, expected, len);
	} else if (r == -ENOENT) {
		assert_false(is);
	} else if (r == -ERANGE) {
		assert_true(is && h->live.items[i].len > room);
	} else {
		assert_true(excused(h, r));
	}
}

/* Visits as a model does, and stops after so many. */
struct bounded_check {
	struct model_check c;
	size_t stop;
};

static int bounded_visit(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct bounded_check *b = ctx;

	(void)model_visit(&b->c, key, value, len);
	return b->c.next == b->stop ? 4711 : 0;
}

static void step_scan(struct history *h)
{
	struct merkle_key first = random_key(h), last = random_key(h);
	struct bounded_check b = {.c = {.model = &h->live}};
	size_t end;
	bool exact;
	int r;

	b.c.next = model_find(&h->live, &first, &exact);
	end = model_find(&h->live, &last, &exact) + exact;
	end = end < b.c.next ? b.c.next : end;
	b.stop = rng_chance(&h->rng, 50) ? SIZE_MAX : b.c.next + 1 + rng_below(&h->rng, 30);
	inject(h);
	r = merkle_scan(h->g.tree, &first, &last, bounded_visit, &b);
	uninject(h);
	if (r == 0)
		assert_int_equal(b.c.next, end);
	else if (r == 4711)
		assert_true(b.c.next == b.stop && b.stop <= end);
	else
		assert_true(excused(h, r));
}

static void step(struct history *h)
{
	uint64_t dice = rng_below(&h->rng, 100);
	uint32_t deletes = h->ops[3] % h->tide < h->tide / 5 * 3 ? 15 : 58; /* swells and shrinks */

	h->ops[3]++;
	if (dice < deletes)
		step_delete(h);
	else if (dice < 75)
		step_put(h);
	else if (dice < 88)
		step_get(h);
	else if (dice < 96)
		step_get_last(h);
	else
		step_scan(h);
}

static void steps(struct history *h, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		step(h);
}

static void step_in_write(void *ctx)
{
	struct history *h = ctx;

	if (rng_chance(&h->rng, 30))
		step(h);
}

static int try_commit(struct history *h, struct merkle_ptr *root, struct crypto_digest *tag)
{
	int r;

	if (rng_chance(&h->rng, 40))
		h->g.store.fail_write = (int64_t)rng_below(&h->rng, 20);
	if (rng_chance(&h->rng, 20))
		h->g.store.fail_alloc = (int64_t)rng_below(&h->rng, 20);
	if (rng_chance(&h->rng, 50)) { /* M4: changes in the middle */
		h->g.store.on_write = step_in_write;
		h->g.store.on_write_ctx = h;
	}
	r = merkle_commit(h->g.tree, root, tag);
	h->g.store.fail_write = h->g.store.fail_alloc = -1;
	h->g.store.on_write = NULL;
	assert_true(r == 0 || r == -EIO || r == -ENOSPC);
	return r;
}

/* One way or another: committed, or given up. */
static void commit(struct history *h)
{
	uint64_t generation = store_freeze(&h->g.store);
	struct merkle_ptr root;
	struct crypto_digest tag;
	int r;

	model_copy(&h->frozen, &h->live);
	merkle_freeze(h->g.tree, generation);
	do {
		if (rng_chance(&h->rng, 50))
			steps(h, rng_below(&h->rng, 30));
		r = try_commit(h, &root, &tag);
	} while (r != 0 && rng_chance(&h->rng, 60));
	if (r == 0) {
		check_stored(&h->g, &root, &h->frozen); /* M4 */
		if (h->committed.n)
			check_stored(&h->g, &h->g.root,
				     &h->committed); /* M1, M5: the old one is whole */
		store_published(&h->g.store, generation);
		check_stored(&h->g, &root, &h->frozen);
		h->g.root = root;
		h->g.tag = tag;
		model_copy(&h->committed, &h->frozen);
		h->ops[0]++;
	} else {
		merkle_thaw(h->g.tree);
		store_thaw(&h->g.store);
		h->ops[1]++;
	}
}

static void check_all(struct history *h)
{
	check_live(&h->g, &h->live);
	model_copy(&h->committed, &h->live);
	region_commit(&h->g);
	check_stored(&h->g, &h->g.root, &h->live);
	region_check_books(&h->g); /* M5 */
	assert_int_equal(merkle_dirty_nodes(h->g.tree), 0);
	assert_false(h->g.store.misused);
}

/* Uncommitted changes are lost, and the store forgets what no root reaches, as a mount would. */
static void reopen(struct history *h)
{
	struct reached w;
	size_t n = 0;

	region_reopen(&h->g);
	model_copy(&h->live, &h->committed);
	region_reach(&h->g, &h->g.root, &w);
	for (size_t i = 1; i < h->g.store.nplaces; i++) {
		if (n < w.nodes && w.addrs[n] == i * MERKLE_NODE_BLOCKS) {
			h->g.store.places[i].state = USED;
			n++;
		} else {
			h->g.store.places[i].state = FREE;
		}
	}
	assert_int_equal(n, w.nodes);
	free(w.addrs);
	check_live(&h->g, &h->live);
	h->ops[2]++;
}

struct plan {
	enum crypto_class class;
	size_t cache_bytes;
	uint64_t rounds;
	uint64_t steps_max; /* between commits */
	uint32_t len_max;   /* 0: some */
};

static void run_history(const struct plan *plan)
{
	struct history h;

	memset(&h, 0, sizeof(h));
	h.rng.state = test_seed();
	h.objects = 1 + (uint32_t)rng_below(&h.rng, 40);
	h.offsets = 20 + (uint32_t)rng_below(&h.rng, 400);
	h.len_max = plan->len_max ? plan->len_max : 1 + (uint32_t)rng_below(&h.rng, 600);
	h.tide = plan->steps_max * 5;
	region_begin(&h.g, plan->class, plan->cache_bytes);
	for (uint64_t i = 0; i < plan->rounds; i++) {
		steps(&h, rng_below(&h.rng, plan->steps_max));
		commit(&h);
		if (rng_chance(&h.rng, 15))
			check_all(&h);
		if (rng_chance(&h.rng, 10))
			reopen(&h);
	}
	check_all(&h);
	printf("  %u commits, %u given up, %u reopened, %zu items\n", h.ops[0], h.ops[1], h.ops[2],
	       h.live.n);
	model_end(&h.live);
	model_end(&h.frozen);
	model_end(&h.committed);
	region_end(&h.g);
}

static void M1_to_M6_encrypted(void **state)
{
	const struct plan plan = {CRYPTO_CLASS_ENCRYPTED, (size_t)16 << 20, 120, 400, 0};

	(void)state;
	run_history(&plan);
}

static void M1_to_M6_authenticated(void **state)
{
	const struct plan plan = {CRYPTO_CLASS_AUTHENTICATED, (size_t)16 << 20, 120, 400, 0};

	(void)state;
	run_history(&plan);
}

static void M1_to_M6_tiny_cache(void **state)
{
	const struct plan plan = {CRYPTO_CLASS_ENCRYPTED, (size_t)64 << 10, 80, 400, 0};

	(void)state;
	run_history(&plan);
}

static void M1_to_M6_no_cache(void **state)
{
	const struct plan plan = {CRYPTO_CLASS_AUTHENTICATED, 0, 80, 400, 0};

	(void)state;
	run_history(&plan);
}

/* Five items a leaf, so that inner nodes split, merge and vanish as well. */
static void M1_to_M6_deep(void **state)
{
	const struct plan plan = {CRYPTO_CLASS_ENCRYPTED, (size_t)4 << 20, 30, 6000,
				  MERKLE_VALUE_MAX};

	(void)state;
	run_history(&plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(M1_to_M6_encrypted),  cmocka_unit_test(M1_to_M6_authenticated),
		cmocka_unit_test(M1_to_M6_tiny_cache), cmocka_unit_test(M1_to_M6_no_cache),
		cmocka_unit_test(M1_to_M6_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
