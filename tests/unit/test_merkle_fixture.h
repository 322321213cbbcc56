/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_merkle_fixture.h - a store in memory that watches the tree, and a model of it
 *
 * The store keeps the books of fspf/space.h: what is released in the generation of its birth is
 * free at once, everything else when the commit of the open generation is published.  It fails the
 * test when an address is written twice (M1), released twice, released with a wrong birth, or
 * written without having been allocated; the tests themselves check the rest of M5 by comparing
 * what is in use with what a walk reaches.
 *
 * Random tests print their seed; FSPF_TEST_SEED=n replays one.
 */
#ifndef TEST_MERKLE_FIXTURE_H
#define TEST_MERKLE_FIXTURE_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "crypto/random.h"
#include "crypto/selftest.h"
#include "merkle/tree.h"

/* Random numbers */

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t z = (rng->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline uint64_t rng_below(struct rng *rng, uint64_t n)
{
	return rng_next(rng) % n;
}

static inline bool rng_chance(struct rng *rng, uint32_t percent)
{
	return rng_below(rng, 100) < percent;
}

static inline uint64_t test_seed(void)
{
	const char *text = getenv("FSPF_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = text ? strtoull(text, NULL, 0)
		    : (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec;
	printf("seed: FSPF_TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

/* The store */

enum { FREE, USED, DEFERRED };

struct place {
	int state;
	bool written;
	uint64_t birth;
	uint64_t until; /* deferred: the commit that frees it */
	uint8_t *node;	/* stored bytes, kept when freed, so that old ones can be replayed */
};

/* Holds up who reads an address first, until it is opened. */
struct gate {
	uint64_t addr; /* 0: open */
	bool reached;
};

struct memory_store {
	pthread_mutex_t lock;
	struct place *places; /* by address / MERKLE_NODE_BLOCKS */
	size_t nplaces, places_max;
	size_t next;   /* allocation goes round */
	bool reuse;    /* ... or takes the lowest free one, so that addresses come back soon */
	uint64_t open; /* the open generation */
	uint64_t allocs, writes, reads, releases, reports;
	int64_t fail_alloc, fail_write, fail_read; /* this many more succeed; < 0: all */
	int64_t read_failures;			   /* how many fail from then on */
	int error;				   /* with which */
	pthread_cond_t moved;
	struct gate gates[2];
	bool misused;
	bool lax;		     /* misuse is expected */
	struct merkle_damage damage; /* the last one reported */
	void (*on_write)(void *ctx);
	void *on_write_ctx;
	struct merkle_store ops;
};

#define MUST_HOLD(s, what) ((what) ? (void)0 : misuse((s), #what, __LINE__))

static inline void misuse(struct memory_store *s, const char *what, int line)
{
	if (!s->lax) {
		fprintf(stderr, "store misused, line %d: %s\n", line, what);
		s->misused = true;
	}
}

static inline struct place *place_at(struct memory_store *s, uint64_t addr)
{
	uint64_t i = addr / MERKLE_NODE_BLOCKS;

	return addr % MERKLE_NODE_BLOCKS == 0 && i > 0 && i < s->nplaces ? &s->places[i] : NULL;
}

/* With the store's lock held. */
static inline void pass_gates(struct memory_store *s, uint64_t addr)
{
	for (size_t i = 0; i < ARRAY_LEN(s->gates); i++) {
		if (s->gates[i].addr == addr && !s->gates[i].reached) {
			s->gates[i].reached = true;
			pthread_cond_broadcast(&s->moved);
			while (s->gates[i].addr != 0)
				pthread_cond_wait(&s->moved, &s->lock);
		}
	}
}

static inline void gate_close(struct memory_store *s, size_t i, uint64_t addr)
{
	pthread_mutex_lock(&s->lock);
	s->gates[i].addr = addr;
	s->gates[i].reached = false;
	pthread_mutex_unlock(&s->lock);
}

static inline void gate_await(struct memory_store *s, size_t i)
{
	pthread_mutex_lock(&s->lock);
	while (!s->gates[i].reached)
		pthread_cond_wait(&s->moved, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static inline void gate_open(struct memory_store *s, size_t i)
{
	pthread_mutex_lock(&s->lock);
	s->gates[i].addr = 0;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

static inline int memory_read(void *ctx, uint64_t addr, void *node)
{
	struct memory_store *s = ctx;
	struct place *p;
	int r = 0;

	if (s->reuse)
		sched_yield(); /* as a real store would */
	pthread_mutex_lock(&s->lock);
	s->reads++;
	pass_gates(s, addr);
	p = place_at(s, addr);
	if (s->fail_read >= 0 && s->fail_read-- == 0) {
		s->fail_read = --s->read_failures > 0 ? 0 : -1;
		r = s->error;
	} else if (p && p->node) {
		memcpy(node, p->node, MERKLE_NODE_SIZE);
	} else {
		memset(node, 0, MERKLE_NODE_SIZE);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static inline int memory_write(void *ctx, uint64_t addr, const void *node)
{
	struct memory_store *s = ctx;
	struct place *p;
	int r = 0;

	if (s->on_write)
		s->on_write(s->on_write_ctx);
	pthread_mutex_lock(&s->lock);
	s->writes++;
	p = place_at(s, addr);
	MUST_HOLD(s, p && p->state == USED && !p->written); /* M1 */
	if (s->fail_write >= 0 && s->fail_write-- == 0) {
		r = s->error;
	} else if (p) {
		if (!p->node)
			p->node = malloc(MERKLE_NODE_SIZE);
		assert_non_null(p->node);
		memcpy(p->node, node, MERKLE_NODE_SIZE);
		p->written = true;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static inline void store_grow(struct memory_store *s)
{
	size_t more = s->places_max ? 2 * s->places_max : 64;

	s->places = realloc(s->places, more * sizeof(*s->places));
	assert_non_null(s->places);
	memset(s->places + s->places_max, 0, (more - s->places_max) * sizeof(*s->places));
	s->places_max = more;
}

static inline int memory_alloc(void *ctx, uint64_t *ret_addr)
{
	struct memory_store *s = ctx;
	struct place *p;
	size_t i, n;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	if (s->fail_alloc >= 0 && s->fail_alloc-- == 0) {
		r = -ENOSPC;
	} else {
		if (s->nplaces == 0)
			s->nplaces = 1;
		for (n = 0, i = s->next; n < s->nplaces; n++, i++) {
			i = i >= s->nplaces ? 1 : i;
			if (i > 0 && i < s->nplaces && s->places[i].state == FREE)
				break;
		}
		if (n == s->nplaces) {
			if (s->nplaces >= s->places_max)
				store_grow(s);
			i = s->nplaces++;
		}
		p = &s->places[i];
		p->state = USED;
		p->written = false;
		p->birth = 0; /* what it is released with decides */
		s->next = s->reuse ? 1 : i + 1;
		s->allocs++;
		*ret_addr = i * MERKLE_NODE_BLOCKS;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static inline void memory_release(void *ctx, uint64_t addr, uint64_t birth)
{
	struct memory_store *s = ctx;
	struct place *p;

	pthread_mutex_lock(&s->lock);
	s->releases++;
	p = place_at(s, addr);
	MUST_HOLD(s, p && p->state == USED); /* M5: once */
	MUST_HOLD(s, birth > 0 && birth <= s->open);
	if (p && birth == s->open) {
		p->state = FREE;
	} else if (p) {
		p->state = DEFERRED;
		p->until = s->open;
	}
	pthread_mutex_unlock(&s->lock);
}

static inline void memory_report(void *ctx, const struct merkle_damage *damage)
{
	struct memory_store *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->reports++;
	s->damage = *damage;
	pthread_mutex_unlock(&s->lock);
}

static inline void store_init(struct memory_store *s)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->moved, NULL);
	s->open = 1;
	s->fail_alloc = s->fail_write = s->fail_read = -1;
	s->error = -EIO;
	s->ops = (struct merkle_store){.ctx = s,
				       .read = memory_read,
				       .write = memory_write,
				       .alloc = memory_alloc,
				       .release = memory_release,
				       .report = memory_report};
}

static inline void store_end(struct memory_store *s)
{
	assert_false(s->misused);
	for (size_t i = 0; i < s->nplaces; i++)
		free(s->places[i].node);
	free(s->places);
	pthread_cond_destroy(&s->moved);
	pthread_mutex_destroy(&s->lock);
}

static inline uint64_t store_freeze(struct memory_store *s)
{
	uint64_t generation;

	pthread_mutex_lock(&s->lock);
	generation = s->open++;
	pthread_mutex_unlock(&s->lock);
	return generation;
}

/* The commit of @generation is published: what only older roots reached is free. */
static inline void store_published(struct memory_store *s, uint64_t generation)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 1; i < s->nplaces; i++)
		if (s->places[i].state == DEFERRED && s->places[i].until <= generation)
			s->places[i].state = FREE;
	pthread_mutex_unlock(&s->lock);
}

/* The commit failed for good. */
static inline void store_thaw(struct memory_store *s)
{
	pthread_mutex_lock(&s->lock);
	s->open--;
	for (size_t i = 1; i < s->nplaces; i++)
		if (s->places[i].state == DEFERRED && s->places[i].until > s->open)
			s->places[i].until = s->open;
	pthread_mutex_unlock(&s->lock);
}

static inline size_t store_count(struct memory_store *s, int state)
{
	size_t n = 0;

	for (size_t i = 1; i < s->nplaces; i++)
		n += s->places[i].state == state;
	return n;
}

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
