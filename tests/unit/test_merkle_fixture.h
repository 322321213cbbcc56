/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_merkle_fixture.h - a region over the watching store, and a model of its items
 */
#ifndef TEST_MERKLE_FIXTURE_H
#define TEST_MERKLE_FIXTURE_H

#include "tests/unit/test_merkle_store.h"

#include "crypto/random.h"
#include "crypto/selftest.h"

/* A region: keys, a store, a tree */

struct region {
	struct memory_store store;
	struct crypto_sessions *sessions;
	struct crypto_key *key;
	struct crypto_sealer *sealer;
	struct merkle_cache *cache;
	struct merkle_config config;
	struct merkle_tree *tree;
	struct merkle_ptr root; /* committed */
	struct crypto_digest tag;
	size_t cache_bytes;
};

static inline void region_begin(struct region *g, enum crypto_class class, size_t cache_bytes)
{
	memset(g, 0, sizeof(*g));
	assert_int_equal(crypto_init(), 0);
	store_init(&g->store);
	assert_int_equal(crypto_sessions_new(&g->sessions), 0);
	assert_int_equal(crypto_sessions_begin(g->sessions), 0);
	if (class == CRYPTO_CLASS_ENCRYPTED)
		assert_int_equal(crypto_key_random(&g->key), 0);
	assert_int_equal(crypto_sealer_new(class, g->key, g->sessions, "test", 4, &g->sealer), 0);
	g->cache_bytes = cache_bytes;
	assert_int_equal(merkle_cache_new(cache_bytes, &g->cache), 0);
	g->config = (struct merkle_config){
		.store = &g->store.ops, .sealer = g->sealer, .cache = g->cache};
	memset(g->config.identity, 0x5a, sizeof(g->config.identity));
	assert_int_equal(merkle_open(&g->config, NULL, &g->tree), 0);
}

/* A fresh tree and cache on the committed root; what was not committed is lost. */
static inline void region_reopen(struct region *g)
{
	g->tree = merkle_free(g->tree);
	g->cache = merkle_cache_free(g->cache);
	assert_int_equal(merkle_cache_new(g->cache_bytes, &g->cache), 0);
	g->config.cache = g->cache;
	assert_int_equal(merkle_open(&g->config, &g->root, &g->tree), 0);
}

static inline void region_end(struct region *g)
{
	merkle_free(g->tree);
	merkle_cache_free(g->cache);
	crypto_sealer_free(g->sealer);
	crypto_key_free(g->key);
	crypto_sessions_free(g->sessions);
	store_end(&g->store);
}

/* Freeze, commit, publish; nothing may fail. */
static inline void region_commit(struct region *g)
{
	uint64_t generation = store_freeze(&g->store);

	merkle_freeze(g->tree, generation);
	assert_int_equal(merkle_commit(g->tree, &g->root, &g->tag), 0);
	store_published(&g->store, generation);
}

/* What a walk reaches */

struct reached {
	size_t nodes, leaves, items, bytes; /* bytes: of slots and values in leaves */
	size_t *addrs;
	size_t naddrs_max;
	uint64_t births_max;
};

static inline int reach_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	struct reached *w = ctx;
	struct merkle_key key;
	const void *value;
	size_t len;

	if (w->nodes == w->naddrs_max) {
		w->naddrs_max = w->naddrs_max ? 2 * w->naddrs_max : 64;
		w->addrs = realloc(w->addrs, w->naddrs_max * sizeof(*w->addrs));
		assert_non_null(w->addrs);
	}
	w->addrs[w->nodes++] = ptr->addr;
	w->births_max = ptr->birth > w->births_max ? ptr->birth : w->births_max;
	w->leaves += ptr->level == 0;
	for (uint32_t i = 0; ptr->level == 0 && i < merkle_node_items(plain); i++) {
		merkle_node_item(plain, i, &key, &value, &len);
		w->bytes += 24 + len;
	}
	return 0;
}

static inline int reach_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct reached *w = ctx;

	(void)key;
	(void)value;
	(void)len;
	w->items++;
	return 0;
}

static inline int compare_addrs(const void *a, const void *b)
{
	const size_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static inline void region_reach(struct region *g, const struct merkle_ptr *root,
				struct reached *ret)
{
	struct reached w = {0};
	struct merkle_walk walk = {.ctx = &w, .node = reach_node, .item = reach_item};

	assert_int_equal(merkle_walk(&g->config, root, &walk), 0);
	if (w.nodes)
		qsort(w.addrs, w.nodes, sizeof(*w.addrs), compare_addrs);
	for (size_t i = 1; i < w.nodes; i++)
		assert_true(w.addrs[i - 1] < w.addrs[i]);
	*ret = w;
}

/* M5, when nothing has changed since the freeze: in use is what the root reaches, exactly. */
static inline void region_check_books(struct region *g)
{
	struct reached w;
	size_t n = 0;

	region_reach(g, &g->root, &w);
	assert_int_equal(store_count(&g->store, DEFERRED), 0);
	for (size_t i = 1; i < g->store.nplaces; i++) {
		if (g->store.places[i].state == USED) {
			assert_true(n < w.nodes);
			assert_int_equal(w.addrs[n], i * MERKLE_NODE_BLOCKS);
			n++;
		}
	}
	assert_int_equal(n, w.nodes);
	free(w.addrs);
}

/* The model: a sorted array of keys; values are made from a seed */

struct model_item {
	struct merkle_key key;
	uint32_t len;
	uint64_t seed;
};

struct model {
	struct model_item *items;
	size_t n, max;
};

static inline void fill_value(uint64_t seed, uint8_t *value, size_t len)
{
	struct rng rng = {seed};
	uint64_t v;

	for (size_t i = 0; i < len; i += sizeof(v)) {
		v = rng_next(&rng);
		memcpy(value + i, &v, len - i < sizeof(v) ? len - i : sizeof(v));
	}
}

static inline size_t model_find(const struct model *m, const struct merkle_key *key,
				bool *ret_exact)
{
	size_t low = 0, high = m->n, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (merkle_key_compare(&m->items[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_exact = low < m->n && merkle_key_compare(&m->items[low].key, key) == 0;
	return low;
}

static inline void model_put(struct model *m, const struct model_item *item)
{
	bool exact;
	size_t i = model_find(m, &item->key, &exact);

	if (!exact) {
		if (m->n == m->max) {
			m->max = m->max ? 2 * m->max : 64;
			m->items = realloc(m->items, m->max * sizeof(*m->items));
			assert_non_null(m->items);
		}
		memmove(m->items + i + 1, m->items + i, (m->n - i) * sizeof(*m->items));
		m->n++;
	}
	m->items[i] = *item;
}

static inline bool model_delete(struct model *m, const struct merkle_key *key)
{
	bool exact;
	size_t i = model_find(m, key, &exact);

	if (exact) {
		m->n--;
		memmove(m->items + i, m->items + i + 1, (m->n - i) * sizeof(*m->items));
	}
	return exact;
}

static inline void model_copy(struct model *to, const struct model *from)
{
	free(to->items);
	*to = (struct model){.n = from->n, .max = from->n};
	if (from->n) {
		to->items = malloc(from->n * sizeof(*to->items));
		assert_non_null(to->items);
		memcpy(to->items, from->items, from->n * sizeof(*to->items));
	}
}

static inline void model_end(struct model *m)
{
	free(m->items);
	*m = (struct model){0};
}

/* A visit that ticks items off a model, in order, from @next on. */
struct model_check {
	const struct model *model;
	size_t next;
};

static inline int model_visit(void *ctx, const struct merkle_key *key, const void *value,
			      size_t len)
{
	struct model_check *c = ctx;
	const struct model_item *item = &c->model->items[c->next];
	uint8_t expected[MERKLE_VALUE_MAX];

	assert_true(c->next < c->model->n);
	assert_int_equal(merkle_key_compare(&item->key, key), 0);
	assert_int_equal(item->len, len);
	fill_value(item->seed, expected, len);
	assert_memory_equal(expected, value, len);
	c->next++;
	return 0;
}

static const struct merkle_key key_min = {0, 0, 0};
static const struct merkle_key key_max = {UINT64_MAX, UINT64_MAX, UINT8_MAX};

/* What lies under @root is exactly @m. */
static inline void check_stored(struct region *g, const struct merkle_ptr *root,
				const struct model *m)
{
	struct model_check c = {.model = m};
	struct merkle_walk walk = {.ctx = &c, .item = model_visit};

	assert_int_equal(merkle_walk(&g->config, root, &walk), 0);
	assert_int_equal(c.next, m->n);
}

/* What the tree holds is exactly @m. */
static inline void check_live(struct region *g, const struct model *m)
{
	struct model_check c = {.model = m};

	assert_int_equal(merkle_scan(g->tree, &key_min, &key_max, model_visit, &c), 0);
	assert_int_equal(c.next, m->n);
}

static inline int put_item(struct region *g, const struct model_item *item)
{
	uint8_t value[MERKLE_VALUE_MAX];

	fill_value(item->seed, value, item->len);
	return merkle_put(g->tree, &item->key, value, item->len);
}

#endif
