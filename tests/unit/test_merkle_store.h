/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_merkle_store.h - a store in memory that watches the tree; and random numbers
 *
 * The store keeps the books of fspf/space.h: what is released in the generation of its birth is
 * free at once, everything else when the commit of the open generation is published.  It fails the
 * test when an address is written twice (M1), released twice, released with a wrong birth, or
 * written without having been allocated; the tests themselves check the rest of M5 by comparing
 * what is in use with what a walk reaches.
 *
 * Random tests print their seed; FSPF_TEST_SEED=n replays one.
 */
#ifndef TEST_MERKLE_STORE_H
#define TEST_MERKLE_STORE_H

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

#endif
