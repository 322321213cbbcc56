/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of merkle/tree.h, call by call; what pointers and images look like; and how well
 * nodes are filled.
 */
#include "tests/unit/test_merkle_fixture.h"

static struct merkle_key key_of(uint64_t n)
{
	return (struct merkle_key){.object = n / 100, .offset = n % 100, .type = (uint8_t)(n % 7)};
}

static void put_n(struct region *g, uint64_t n, uint32_t len)
{
	struct model_item item = {.key = key_of(n), .len = len, .seed = n};

	assert_int_equal(put_item(g, &item), 0);
}

static void check_n(struct region *g, uint64_t n, uint32_t len)
{
	uint8_t value[MERKLE_VALUE_MAX], expected[MERKLE_VALUE_MAX];
	struct merkle_key key = key_of(n);
	size_t got = 0;

	fill_value(n, expected, len);
	assert_int_equal(merkle_get(g->tree, &key, value, sizeof(value), &got), 0);
	assert_int_equal(got, len);
	assert_memory_equal(value, expected, len);
}

static int count_visit(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	size_t *n = ctx;

	(void)key;
	(void)value;
	(void)len;
	++*n;
	return 0;
}

/* Passes by every leaf; *n of them. */
static int pass_leaves(void *ctx, const struct merkle_ptr *ptr, const struct merkle_key *first,
		       const struct merkle_key *last)
{
	size_t *n = ctx;

	assert_true(merkle_key_compare(first, last) <= 0);
	*n += ptr->level == 0;
	return ptr->level == 0;
}

static int never_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	(void)ctx;
	(void)key;
	(void)value;
	(void)len;
	return -EINVAL;
}

/* What is passed by is not read. */
static void walk_passes_by(void **state)
{
	const struct merkle_walk all = {.item = NULL};
	struct merkle_walk walk = {.enter = pass_leaves, .item = never_item};
	struct region g;
	uint64_t passed;
	size_t n = 0;

	(void)state;
	region_begin(&g, CRYPTO_CLASS_ENCRYPTED, 1 << 20);
	for (uint64_t i = 0; i < 3000; i++)
		put_n(&g, i, 100);
	region_commit(&g);
	walk.ctx = &n;
	g.store.reads = 0;
	assert_int_equal(merkle_walk(&g.config, &g.root, &walk), 0);
	passed = g.store.reads;
	g.store.reads = 0;
	assert_int_equal(merkle_walk(&g.config, &g.root, &all), 0);
	assert_true(n > 10);
	assert_int_equal(g.store.reads, passed + n);
	region_end(&g);
}

static void empty_tree(void **state)
{
	struct merkle_key key = {1, 2, 3}, found;
	struct crypto_digest zero = {{0}};
	uint8_t value[16];
	size_t len, n = 0;
	struct region g;

	(void)state;
	region_begin(&g, CRYPTO_CLASS_ENCRYPTED, 1 << 20);
	assert_int_equal(merkle_get(g.tree, &key, value, sizeof(value), &len), -ENOENT);
	assert_int_equal(merkle_delete(g.tree, &key), -ENOENT);
	assert_int_equal(merkle_scan(g.tree, &key_min, &key_max, count_visit, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(
		merkle_get_last(g.tree, &key_min, &key_max, &found, value, sizeof(value), &len),
		-ENOENT);
	assert_int_equal(merkle_dirty_nodes(g.tree), 0);
	memset(&g.root, 0xff, sizeof(g.root));
	region_commit(&g);
	assert_true(merkle_ptr_is_null(&g.root));
	assert_memory_equal(&g.tag, &zero, sizeof(zero));
	assert_int_equal(g.store.writes + g.store.reads, 0);
	region_end(&g);
}

static void refuses_bad_values_and_roots(void **state)
{
	struct merkle_ptr odd = {.addr = 0, .birth = 1, .seal = {.tag = {1}}};
	struct merkle_key key = {1, 2, 3};
	uint8_t value[MERKLE_VALUE_MAX + 1] = {0};
	struct merkle_tree *t = NULL;
	struct region g;
	size_t len;

	(void)state;
	region_begin(&g, CRYPTO_CLASS_ENCRYPTED, 1 << 20);
	assert_int_equal(merkle_put(g.tree, &key, value, 0), -EINVAL);
	assert_int_equal(merkle_put(g.tree, &key, value, sizeof(value)), -EINVAL);
	assert_int_equal(merkle_get(g.tree, &key, value, sizeof(value), &len), -ENOENT);
	assert_int_equal(merkle_put(g.tree, &key, value, MERKLE_VALUE_MAX), 0);
	assert_int_equal(merkle_get(g.tree, &key, value, MERKLE_VALUE_MAX - 1, &len), -ERANGE);
	assert_int_equal(merkle_get(g.tree, &key, value, MERKLE_VALUE_MAX, &len), 0);
	assert_int_equal(merkle_open(&g.config, &odd, &t), -EINVAL);
	odd.addr = 4;
	odd.level = MERKLE_LEVELS_MAX;
	assert_int_equal(merkle_open(&g.config, &odd, &t), -EINVAL);
	assert_null(t);
	assert_null(merkle_free(NULL));
	assert_null(merkle_cache_free(NULL));
	region_end(&g);
}

static void keys_are_ordered_by_object_type_offset(void **state)
{
	const struct merkle_key keys[] = {{0, 0, 0}, {0, 9, 0}, {0, 1, 1}, {1, 0, 0},
					  {1, 5, 2}, {1, 6, 2}, {1, 0, 3}, {2, 0, 0}};
	int expected;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		for (size_t j = 0; j < ARRAY_LEN(keys); j++) {
			expected = (i > j) - (i < j);
			assert_int_equal(merkle_key_compare(&keys[i], &keys[j]), expected);
		}
	}
}

/* docs/format.md, "Pointers": addr 8, birth 8, session 4, counter 8, tag 32, level 1, zero 3. */
static void pointers_have_one_encoding(void **state)
{
	struct merkle_ptr ptr = {.addr = 0x1122334455667788,
				 .birth = 0x99,
				 .seal = {.session = 0xaabbccdd, .counter = 7, .tag = {1, 2, 3}},
				 .level = 11};
	const uint8_t expected[MERKLE_PTR_SIZE] = {
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x99, 0, 0, 0, 0, 0, 0, 0,
		0xdd, 0xcc, 0xbb, 0xaa, 7,    0,    0,	  0,	0,    0, 0, 0, 1, 2, 3, [60] = 11};
	const struct {
		size_t at, len;
	} broken[] = {{0, 8}, {8, 8}, {28, 32}}; /* no address, no birth, no tag */
	uint8_t bytes[MERKLE_PTR_SIZE];
	struct merkle_ptr back;

	(void)state;
	merkle_ptr_encode(&ptr, bytes);
	assert_memory_equal(bytes, expected, sizeof(bytes));
	assert_int_equal(merkle_ptr_decode(bytes, &back), 0);
	assert_int_equal(back.addr, ptr.addr);
	assert_int_equal(back.seal.session, ptr.seal.session);
	assert_false(merkle_ptr_is_null(&back));
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		merkle_ptr_encode(&ptr, bytes);
		memset(bytes + broken[i].at, 0, broken[i].len);
		assert_int_equal(merkle_ptr_decode(bytes, &back), -EBADMSG);
	}
	for (size_t i = 60; i < 64; i++) { /* level too high, padding not zero */
		merkle_ptr_encode(&ptr, bytes);
		bytes[i] = 12;
		assert_int_equal(merkle_ptr_decode(bytes, &back), -EBADMSG);
	}
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(merkle_ptr_decode(bytes, &back), 0);
	assert_true(merkle_ptr_is_null(&back));
}

static void check_tag(struct region *g)
{
	struct crypto_digest tag;
	struct place *p = place_at(&g->store, g->root.addr);

	assert_int_equal(crypto_sha256(p->node, MERKLE_NODE_SIZE, &tag), 0);
	assert_memory_equal(&tag, &g->tag, sizeof(tag));
}

static void tag_is_the_hash_of_the_stored_root(void **state)
{
	uint64_t writes;
	struct region g;

	(void)state;
	region_begin(&g, CRYPTO_CLASS_ENCRYPTED, 1 << 20);
	put_n(&g, 1, 100);
	region_commit(&g);
	check_tag(&g);
	writes = g.store.writes;
	region_commit(&g); /* nothing dirty: as last time */
	check_tag(&g);
	region_reopen(&g);
	region_commit(&g); /* nothing dirty, and no last time */
	check_tag(&g);
	assert_int_equal(g.store.writes, writes);
	region_end(&g);
}

/* With all but one leaf deleted, that leaf is the root, as it was stored before. */
static void a_root_with_one_child_gives_way(void **state)
{
	struct reached w;
	struct merkle_key key;
	struct region g;
	uint64_t leaf;

	(void)state;
	region_begin(&g, CRYPTO_CLASS_AUTHENTICATED, 1 << 20);
	for (uint64_t n = 0; n < 10; n++)
		put_n(&g, n * 100, MERKLE_VALUE_MAX);
	region_commit(&g);
	region_reach(&g, &g.root, &w);
	assert_int_equal(w.leaves, 2);
	free(w.addrs);
	assert_int_equal(g.root.level, 1);
	leaf = g.root.addr;
	for (uint64_t n = 0; n < 5; n++) {
		key = key_of(n * 100);
		g.store.fail_read = -1;
		assert_int_equal(merkle_delete(g.tree, &key), 0);
	}
	region_commit(&g);
	assert_int_equal(g.root.level, 0);
	assert_true(g.root.addr != leaf && g.root.birth == 1);
	check_tag(&g);
	region_check_books(&g);
	for (uint64_t n = 5; n < 10; n++) {
		key = key_of(n * 100);
		check_n(&g, n * 100, MERKLE_VALUE_MAX);
		assert_int_equal(merkle_delete(g.tree, &key), 0);
	}
	region_commit(&g);
	assert_true(merkle_ptr_is_null(&g.root));
	region_check_books(&g);
	put_n(&g, 77, 10);
	region_commit(&g);
	check_n(&g, 77, 10);
	region_check_books(&g);
	region_end(&g);
}

static void open_reads_nothing(void **state)
{
	struct region g;
	uint64_t reads;

	(void)state;
	region_begin(&g, CRYPTO_CLASS_ENCRYPTED, 1 << 20);
	for (uint64_t n = 0; n < 1000; n++)
		put_n(&g, n, 100);
	region_commit(&g);
	reads = g.store.reads;
	region_reopen(&g);
	assert_int_equal(g.store.reads, reads);
	check_n(&g, 500, 100);
	assert_int_equal(g.store.reads, reads + 2); /* root and leaf, once each */
	check_n(&g, 500, 100);
	assert_int_equal(g.store.reads, reads + 2);
	region_end(&g);
}

/* The whole image of a leaf with two items, byte by byte. */
static void image_of_a_leaf(void **state)
{
	const uint8_t header[16] = {'F', 'S', 'P', 'N', 1, 0, 2, 0, 5, 0};
	const uint8_t first[24] = {1, 0, 0, 0, 0,    0,	   0, 0, 2, 0, 0, 0,
				   0, 0, 0, 0, 0xfd, 0x3f, 3, 0, 9, 0, 0, 0};
	const uint8_t second[24] = {1, 0, 0, 0, 0,    0,    0, 0, 3, 0, 0, 0,
				    0, 0, 0, 0, 0xfb, 0x3f, 2, 0, 9, 0, 0, 0};
	uint8_t expected[MERKLE_NODE_SIZE] = {0}, plain[MERKLE_NODE_SIZE];
	struct merkle_key key = {.object = 1, .offset = 3, .type = 9};
	struct region g;

	(void)state;
	region_begin(&g, CRYPTO_CLASS_ENCRYPTED, 1 << 20);
	assert_int_equal(merkle_put(g.tree, &key, "yy", 2), 0);
	key.offset = 1;
	assert_int_equal(merkle_put(g.tree, &key, "stale, never to be seen", 23), 0);
	key.offset = 2;
	assert_int_equal(merkle_put(g.tree, &key, "stale", 5), 0);
	assert_int_equal(merkle_put(g.tree, &key, "xxx", 3), 0);
	key.offset = 1;
	assert_int_equal(merkle_delete(g.tree, &key), 0);
	region_commit(&g);
	memcpy(expected, header, sizeof(header));
	memcpy(expected + 16, first, sizeof(first));
	memcpy(expected + 40, second, sizeof(second));
	memcpy(expected + MERKLE_NODE_SIZE - 5, "yyxxx", 5);
	assert_int_equal(merkle_read_node(&g.config, &g.root, plain), 0);
	assert_memory_equal(plain, expected, sizeof(expected));
	region_end(&g);
}

struct writes {
	struct memory_store *store;
	uint64_t last;
	int (*write)(void *ctx, uint64_t addr, const void *node);
	bool ordered;
};

/* M3, seen from the store of an authenticated region, whose nodes are stored in the clear. */
static int watching_write(void *ctx, uint64_t addr, const void *node)
{
	struct writes *w = ctx;
	const uint8_t *image = node;
	struct merkle_ptr child;
	struct merkle_key key;
	const void *value;
	size_t len;

	w->ordered = w->ordered && addr > w->last;
	w->last = addr;
	for (uint32_t i = 0; image[5] > 0 && i < merkle_node_items(node); i++) {
		merkle_node_item(node, i, &key, &value, &len);
		assert_int_equal(merkle_ptr_decode(value, &child), 0);
		assert_true(place_at(w->store, child.addr)->written);
	}
	return w->write(w->store, addr, node);
}

static int watching_read(void *ctx, uint64_t addr, void *node)
{
	return memory_read(((struct writes *)ctx)->store, addr, node);
}

static int watching_alloc(void *ctx, uint64_t *ret_addr)
{
	return memory_alloc(((struct writes *)ctx)->store, ret_addr);
}

static void watching_release(void *ctx, uint64_t addr, uint64_t birth)
{
	memory_release(((struct writes *)ctx)->store, addr, birth);
}

static void M3_children_before_parents_side_by_side(void **state)
{
	struct region g;
	struct writes w = {.store = &g.store, .write = memory_write, .ordered = true};
	const struct merkle_store watching = {.ctx = &w,
					      .read = watching_read,
					      .write = watching_write,
					      .alloc = watching_alloc,
					      .release = watching_release};

	(void)state;
	region_begin(&g, CRYPTO_CLASS_AUTHENTICATED, 1 << 20);
	g.config.store = &watching;
	g.root = (struct merkle_ptr){0};
	region_reopen(&g);
	for (uint64_t n = 0; n < 3000; n++)
		put_n(&g, n * 7919 % 3000, 1 + (uint32_t)(n % 3000));
	region_commit(&g);
	assert_true(w.ordered);
	assert_int_equal(g.root.level, 2);
	for (uint64_t n = 0; n < 3000; n += 37)
		put_n(&g, n, 77);
	region_commit(&g);
	assert_true(w.ordered);
	region_check_books(&g);
	region_end(&g);
}

static void M6_cache_keeps_its_bound(void **state)
{
	const size_t bounds[] = {0, 10000, 100000, (size_t)1 << 20, (size_t)16 << 20};
	struct merkle_cache_stats stats;
	struct region g;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		region_begin(&g, CRYPTO_CLASS_AUTHENTICATED, bounds[i]);
		for (uint64_t n = 0; n < 3000; n++)
			put_n(&g, n, 1000);
		region_commit(&g);
		merkle_cache_stats(g.cache, &stats);
		assert_true(stats.bytes <= bounds[i]);
		for (uint64_t n = 0; n < 3000; n++) {
			check_n(&g, n * 7919 % 3000, 1000);
			merkle_cache_stats(g.cache, &stats);
			assert_true(stats.bytes <= bounds[i]);
		}
		assert_true(stats.misses > 0 || bounds[i] >= (size_t)16 << 20);
		assert_true((stats.evictions > 0) == (bounds[i] >= 100000 && bounds[i] <= 1 << 20));
		g.tree = merkle_free(g.tree);
		merkle_cache_stats(g.cache, &stats);
		assert_int_equal(stats.bytes, 0);
		region_end(&g);
	}
}

static double fill(struct region *g, size_t *ret_nodes)
{
	struct reached w;

	region_commit(g);
	region_reach(g, &g->root, &w);
	free(w.addrs);
	*ret_nodes = w.nodes;
	return (double)w.bytes / (double)(w.leaves * (MERKLE_NODE_SIZE - 16));
}

static void nodes_are_well_filled(void **state)
{
	struct merkle_key key;
	size_t nodes;
	struct region g;
	double full;

	(void)state;
	region_begin(&g, CRYPTO_CLASS_AUTHENTICATED, 1 << 20);
	for (uint64_t n = 0; n < 20000; n++)
		put_n(&g, n / 7 * 7, 90); /* each seven times */
	full = fill(&g, &nodes);
	printf("  ascending: %.1f %%\n", full * 100);
	assert_true(full > 0.95);
	for (uint64_t n = 0; n < 20000; n++) { /* into the middle of the tree */
		key = (struct merkle_key){.object = 100, .offset = 1000 + n, .type = 200};
		assert_int_equal(merkle_put(g.tree, &key, &key, sizeof(key)), 0);
	}
	full = fill(&g, &nodes);
	printf("  ascending in the middle: %.1f %%\n", full * 100);
	assert_true(full > 0.95);
	region_end(&g);
}

/* Leaves of random keys fill and split in waves, so the fill is taken over a whole doubling. */
static void nodes_are_well_filled_at_random(void **state)
{
	struct rng rng = {test_seed()};
	struct merkle_key key;
	double full = 0;
	size_t nodes;
	struct region g;

	(void)state;
	region_begin(&g, CRYPTO_CLASS_AUTHENTICATED, (size_t)16 << 20);
	for (uint64_t n = 1; n <= 40000; n++) {
		key = (struct merkle_key){.object = rng_next(&rng), .offset = n};
		assert_int_equal(merkle_put(g.tree, &key, &key, sizeof(key)), 0);
		if (n >= 20000 && n % 1000 == 0)
			full += fill(&g, &nodes) / 21;
	}
	printf("  random: %.1f %%\n", full * 100);
	assert_true(full > 0.64 && full < 0.74);
	region_end(&g);
}

/* Nine in ten items deleted at random: a wood of small leaves must not remain. */
static void deleting_gives_nodes_back(void **state)
{
	const size_t caches[] = {0, (size_t)16 << 20};
	struct rng rng = {test_seed()};
	size_t nodes, before;
	struct merkle_key key;
	struct region g;
	double full;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(caches); i++) {
		region_begin(&g, CRYPTO_CLASS_AUTHENTICATED, caches[i]);
		for (uint64_t n = 0; n < 20000; n++)
			put_n(&g, n, 100);
		full = fill(&g, &before);
		for (uint64_t n = 0; n < 20000; n++) {
			key = key_of(n);
			if (!rng_chance(&rng, 10))
				assert_int_equal(merkle_delete(g.tree, &key), 0);
		}
		full = fill(&g, &nodes);
		printf("  %zu nodes, then %zu, %.1f %% full\n", before, nodes, full * 100);
		assert_true(full > 0.25);
		region_check_books(&g);
		region_end(&g);
	}
}

/* Small nodes at either end of the tree merge with their only neighbour. */
static void deleting_merges_with_either_neighbour(void **state)
{
	struct merkle_key key;
	struct reached w;
	struct region g;

	(void)state;
	for (int from_the_left = 0; from_the_left < 2; from_the_left++) {
		region_begin(&g, CRYPTO_CLASS_AUTHENTICATED, 1 << 20);
		for (uint64_t n = 0; n < 16; n++)
			put_n(&g, n * 100, 2000);
		for (uint64_t n = 0; n < 4; n++) { /* make room in the other one */
			key = key_of((from_the_left ? 15 - n : n) * 100);
			assert_int_equal(merkle_delete(g.tree, &key), 0);
		}
		region_commit(&g);
		region_reach(&g, &g.root, &w);
		free(w.addrs);
		assert_int_equal(w.leaves, 2);
		for (uint64_t n = 0; n < 6; n++) {
			key = key_of((from_the_left ? n : 15 - n) * 100);
			assert_int_equal(merkle_delete(g.tree, &key), 0);
		}
		region_commit(&g);
		region_reach(&g, &g.root, &w);
		free(w.addrs);
		assert_int_equal(w.nodes, 1);
		assert_int_equal(w.items, 6);
		region_check_books(&g);
		region_end(&g);
	}
}

/* After the first leaf of an inner node has gone, keys that were in it lead to the leaf after it,
 * but the greatest item below them is in the inner node before. */
static void get_last_crosses_inner_nodes(void **state)
{
	uint8_t value[MERKLE_VALUE_MAX], plain[MERKLE_NODE_SIZE];
	struct merkle_key first, key, found;
	const void *pointer;
	struct region g;
	size_t len;

	(void)state;
	region_begin(&g, CRYPTO_CLASS_AUTHENTICATED, (size_t)16 << 20);
	for (uint64_t n = 0; n < 1200; n++) {
		key = (struct merkle_key){.object = n};
		memset(value, (int)n, sizeof(value));
		assert_int_equal(merkle_put(g.tree, &key, value, sizeof(value)), 0);
	}
	region_commit(&g);
	assert_int_equal(g.root.level, 2);
	assert_int_equal(merkle_read_node(&g.config, &g.root, plain), 0);
	merkle_node_item(plain, 1, &first, &pointer, &len);
	for (uint64_t n = 0; n < 5; n++) {
		key = (struct merkle_key){.object = first.object + n};
		assert_int_equal(merkle_delete(g.tree, &key), 0);
	}
	for (uint64_t n = 0; n < 5; n++) {
		key = (struct merkle_key){.object = first.object + n};
		assert_int_equal(
			merkle_get_last(g.tree, &key_min, &key, &found, value, sizeof(value), &len),
			0);
		assert_int_equal(found.object, first.object - 1);
		assert_int_equal(value[7], (uint8_t)found.object);
		assert_int_equal(
			merkle_get_last(g.tree, &first, &key, &found, value, sizeof(value), &len),
			-ENOENT);
	}
	region_commit(&g);
	region_check_books(&g);
	region_end(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walk_passes_by),
		cmocka_unit_test(empty_tree),
		cmocka_unit_test(refuses_bad_values_and_roots),
		cmocka_unit_test(keys_are_ordered_by_object_type_offset),
		cmocka_unit_test(pointers_have_one_encoding),
		cmocka_unit_test(tag_is_the_hash_of_the_stored_root),
		cmocka_unit_test(a_root_with_one_child_gives_way),
		cmocka_unit_test(open_reads_nothing),
		cmocka_unit_test(image_of_a_leaf),
		cmocka_unit_test(M3_children_before_parents_side_by_side),
		cmocka_unit_test(M6_cache_keeps_its_bound),
		cmocka_unit_test(nodes_are_well_filled),
		cmocka_unit_test(nodes_are_well_filled_at_random),
		cmocka_unit_test(deleting_gives_nodes_back),
		cmocka_unit_test(deleting_merges_with_either_neighbour),
		cmocka_unit_test(get_last_crosses_inner_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
