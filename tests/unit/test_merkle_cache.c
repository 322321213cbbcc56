/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache by itself: it believes names and not addresses, keeps trees apart, and lets one thread
 * fetch for all.
 */
#include "merkle/merkle_internal.h"
#include "tests/unit/test_merkle_fixture.h"

static struct merkle_name name_of(uint64_t addr, uint8_t tag)
{
	struct merkle_ptr ptr = {.addr = addr, .birth = 1, .seal = {.tag = {tag}}};
	struct merkle_name name;

	merkle_ptr_encode(&ptr, name.b);
	return name;
}

static void put(struct merkle_cache *cache, uint64_t owner, uint64_t addr, uint8_t tag)
{
	struct merkle_name name = name_of(addr, tag);
	struct merkle_node *n = NULL;

	assert_int_equal(merkle_node_new_clean(&n), 0);
	memset(n->image, 0, sizeof(n->image));
	merkle_node_adopt(n, owner, &name);
	merkle_node_unref(merkle_cache_put(cache, n));
}

static bool has(struct merkle_cache *cache, uint64_t owner, uint64_t addr, uint8_t tag)
{
	struct merkle_name name = name_of(addr, tag);
	struct merkle_node *n = merkle_cache_get(cache, owner, &name);
	bool is = n != NULL;

	merkle_node_unref(n);
	return is;
}

/* An address may be used anew: the old node must not be taken for the new one, nor stay. */
static void nodes_are_found_by_their_whole_name(void **state)
{
	struct merkle_cache_stats stats;
	struct merkle_cache *cache;

	(void)state;
	assert_int_equal(merkle_cache_new(1 << 20, &cache), 0);
	put(cache, 1, 4, 1);
	assert_true(has(cache, 1, 4, 1));
	assert_false(has(cache, 1, 4, 2));
	assert_false(has(cache, 1, 8, 1));
	assert_false(has(cache, 2, 4, 1));
	put(cache, 1, 4, 2);
	assert_true(has(cache, 1, 4, 2));
	assert_false(has(cache, 1, 4, 1));
	put(cache, 1, 4, 2); /* the same again */
	put(cache, 2, 4, 2);
	merkle_cache_stats(cache, &stats);
	assert_int_equal(stats.bytes, 2 * sizeof(struct merkle_node));
	assert_int_equal(stats.hits, 2);
	assert_int_equal(stats.misses, 4);
	merkle_cache_drop_owner(cache, 1);
	assert_false(has(cache, 1, 4, 2));
	assert_true(has(cache, 2, 4, 2));
	assert_int_equal(merkle_cache_owner(cache), 1);
	assert_int_equal(merkle_cache_owner(cache), 2);
	assert_null(merkle_cache_free(cache));
}

/* M6: what is used stays, what is not goes, and the bound holds; also over several shards. */
static void the_clock_spares_what_is_used(void **state)
{
	const uint64_t rooms[] = {40, 4000};
	struct merkle_cache_stats stats;
	struct merkle_cache *cache;
	uint64_t kept;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
		assert_int_equal(merkle_cache_new(rooms[i] * sizeof(struct merkle_node), &cache),
				 0);
		for (uint64_t n = 1; n <= 4 * rooms[i]; n++) {
			put(cache, 1, n * 4, 1);
			for (uint64_t favourite = 1; favourite <= 3; favourite++)
				assert_true(favourite > n || has(cache, 1, favourite * 4, 1));
			merkle_cache_stats(cache, &stats);
			assert_true(stats.bytes <= rooms[i] * sizeof(struct merkle_node));
		}
		for (uint64_t n = kept = 1; n <= 4 * rooms[i]; n++)
			kept += has(cache, 1, n * 4, 1);
		assert_true(kept > rooms[i] * 3 / 4);
		merkle_cache_free(cache);
	}
}

/* A node that somebody still holds outlives its place in the cache. */
static void references_outlive_eviction(void **state)
{
	struct merkle_name name = name_of(4, 1);
	struct merkle_cache *cache;
	struct merkle_node *n;

	(void)state;
	assert_int_equal(merkle_cache_new(sizeof(struct merkle_node), &cache), 0);
	put(cache, 1, 4, 1);
	n = merkle_cache_get(cache, 1, &name);
	assert_non_null(n);
	put(cache, 1, 8, 1);
	assert_false(has(cache, 1, 4, 1));
	assert_true(merkle_name_equal(&n->name, &name));
	merkle_node_unref(n);
	merkle_cache_free(cache);
}

struct claimer {
	struct merkle_cache *cache;
	struct merkle_claim claim;
	atomic_int got; /* -1: still waiting */
};

static void *claimer(void *arg)
{
	struct claimer *c = arg;
	bool mine = merkle_cache_claim(c->cache, &c->claim);

	if (mine)
		merkle_cache_unclaim(c->cache, &c->claim);
	atomic_store(&c->got, mine);
	return NULL;
}

static void one_thread_fetches_for_all(void **state)
{
	const struct timespec moment = {.tv_nsec = 20000000};
	struct merkle_name name = name_of(4, 1), other = name_of(4, 2);
	struct claimer waits = {.claim = {.owner = 1, .name = &name}, .got = -1};
	struct claimer goes = {.claim = {.owner = 1, .name = &other}, .got = -1};
	struct merkle_claim claim = {.owner = 1, .name = &name};
	struct merkle_cache *cache;
	pthread_t threads[2];

	(void)state;
	assert_int_equal(merkle_cache_new(1 << 20, &cache), 0);
	waits.cache = goes.cache = cache;
	assert_true(merkle_cache_claim(cache, &claim));
	pthread_create(&threads[0], NULL, claimer, &waits);
	pthread_create(&threads[1], NULL, claimer, &goes);
	pthread_join(threads[1], NULL);
	assert_int_equal(atomic_load(&goes.got), 1);
	nanosleep(&moment, NULL);
	assert_int_equal(atomic_load(&waits.got), -1);
	merkle_cache_unclaim(cache, &claim);
	pthread_join(threads[0], NULL);
	assert_int_equal(atomic_load(&waits.got), 0); /* look again, it may be there now */
	merkle_cache_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_are_found_by_their_whole_name),
		cmocka_unit_test(the_clock_spares_what_is_used),
		cmocka_unit_test(references_outlive_eviction),
		cmocka_unit_test(one_thread_fetches_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
