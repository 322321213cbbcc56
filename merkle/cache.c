/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/cache.c - clean verified nodes, found by the tree and the name that its parent holds
 *
 * M6  What is held is at most the bytes asked for: before a node is taken in, others are let go
 *     by a clock (second chance).  A node larger than a shard's share is not kept at all; its
 *     callers hold it as long as they need it.
 *
 * Nodes are found by the whole name, not by address alone: an address may be used anew for
 * another node while a slow reader still puts the old one in.  The same address under another
 * name is then stale and makes room.
 *
 * Shards by address, each with a mutex of its own, so that threads rarely meet.  The lists of
 * claims hang there too.
 */
#include <stdlib.h>

#include "merkle/merkle_internal.h"

#define SHARDS_MAX 16u
#define SHARD_BYTES_MIN ((size_t)4 << 20) /* not worth splitting below that */

struct shard {
	_Alignas(64) pthread_mutex_t lock;
	pthread_cond_t unclaimed;
	struct merkle_node **buckets;
	size_t mask; /* number of buckets, a power of two, less one */
	size_t bytes_max, bytes;
	struct merkle_node *hand; /* the clock: a ring of all nodes */
	struct merkle_claim *claims;
	uint64_t hits, misses, evictions;
};

struct merkle_cache {
	_Atomic uint64_t owners;
	uint32_t nshards;
	struct shard shards[SHARDS_MAX];
};

static uint64_t mix(uint64_t addr)
{
	return addr * UINT64_C(0x9e3779b97f4a7c15) >> 20;
}

static struct shard *shard_of(struct merkle_cache *cache, const struct merkle_name *name)
{
	return &cache->shards[mix(merkle_name_addr(name)) % cache->nshards];
}

static struct merkle_node **bucket_of(struct shard *s, const struct merkle_name *name)
{
	return &s->buckets[mix(merkle_name_addr(name)) / SHARDS_MAX & s->mask];
}

static int shard_init(struct shard *s, size_t bytes_max)
{
	size_t buckets = 16;
	int r = 0;

	while (buckets * MERKLE_NODE_SIZE < bytes_max)
		buckets *= 2;
	s->bytes_max = bytes_max;
	s->mask = buckets - 1;
	s->buckets = calloc(buckets, sizeof(struct merkle_node *));
	if (!s->buckets)
		r = -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->unclaimed, NULL);
	return r;
}

int merkle_cache_new(size_t bytes_max, struct merkle_cache **ret)
{
	size_t size = (sizeof(struct merkle_cache) + 63) / 64 * 64;
	struct merkle_cache *cache = aligned_alloc(64, size);
	int r = cache ? 0 : -ENOMEM;

	if (cache) {
		memset(cache, 0, size);
		cache->nshards = 1;
		while (cache->nshards < SHARDS_MAX &&
		       bytes_max / cache->nshards / 2 >= SHARD_BYTES_MIN)
			cache->nshards *= 2;
		for (uint32_t i = 0; i < cache->nshards; i++)
			if (shard_init(&cache->shards[i], bytes_max / cache->nshards) != 0)
				r = -ENOMEM;
	}
	if (r == 0)
		*ret = cache;
	else
		merkle_cache_free(cache);
	return r;
}

static void ring_add(struct shard *s, struct merkle_node *n)
{
	if (s->hand) {
		n->next = s->hand;
		n->prev = s->hand->prev;
		n->prev->next = n;
		s->hand->prev = n;
	} else {
		n->next = n->prev = n;
		s->hand = n;
	}
}

static void ring_remove(struct shard *s, struct merkle_node *n)
{
	if (s->hand == n)
		s->hand = n->next == n ? NULL : n->next;
	n->next->prev = n->prev;
	n->prev->next = n->next;
	n->next = n->prev = NULL;
}

/* Out of the table and the ring; the cache's reference goes too. */
static void let_go(struct shard *s, struct merkle_node *n)
{
	struct merkle_node **at = bucket_of(s, &n->name);

	while (*at != n)
		at = &(*at)->chain;
	*at = n->chain;
	n->chain = NULL;
	ring_remove(s, n);
	s->bytes -= n->size;
	merkle_node_unref(n);
}

struct merkle_cache *merkle_cache_free(struct merkle_cache *cache)
{
	struct shard *s;

	for (uint32_t i = 0; cache && i < cache->nshards; i++) {
		s = &cache->shards[i];
		while (s->hand)
			let_go(s, s->hand);
		free(s->buckets);
		pthread_cond_destroy(&s->unclaimed);
		pthread_mutex_destroy(&s->lock);
	}
	free(cache);
	return NULL;
}

void merkle_cache_stats(struct merkle_cache *cache, struct merkle_cache_stats *ret)
{
	struct merkle_cache_stats sum = {0};
	struct shard *s;

	for (uint32_t i = 0; i < cache->nshards; i++) {
		s = &cache->shards[i];
		pthread_mutex_lock(&s->lock);
		sum.hits += s->hits;
		sum.misses += s->misses;
		sum.evictions += s->evictions;
		sum.bytes += s->bytes;
		pthread_mutex_unlock(&s->lock);
	}
	*ret = sum;
}

uint64_t merkle_cache_owner(struct merkle_cache *cache)
{
	return atomic_fetch_add(&cache->owners, 1) + 1;
}

/* Whatever this owner has at that address, under the name or another. */
static struct merkle_node *find(struct shard *s, uint64_t owner, const struct merkle_name *name)
{
	struct merkle_node *n = *bucket_of(s, name);

	while (n && !(n->owner == owner && merkle_name_addr(&n->name) == merkle_name_addr(name)))
		n = n->chain;
	return n;
}

struct merkle_node *merkle_cache_get(struct merkle_cache *cache, uint64_t owner,
				     const struct merkle_name *name)
{
	struct shard *s = shard_of(cache, name);
	struct merkle_node *n;

	pthread_mutex_lock(&s->lock);
	n = find(s, owner, name);
	if (n && merkle_name_equal(&n->name, name)) {
		n->used = true;
		merkle_node_ref(n);
		s->hits++;
	} else {
		n = NULL;
		s->misses++;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* M6.  A node comes in behind the hand and without a mark, so it has a whole turn in which to be
 * met a second time; what is met once only, as in a scan, goes first.  Each turn of the clock takes
 * marks away, so this ends. */
static void make_room(struct shard *s, size_t size)
{
	while (s->hand && s->bytes + size > s->bytes_max) {
		if (s->hand->used) {
			s->hand->used = false;
			s->hand = s->hand->next;
		} else {
			let_go(s, s->hand);
			s->evictions++;
		}
	}
}

static void take_in(struct shard *s, struct merkle_node *n)
{
	struct merkle_node **bucket = bucket_of(s, &n->name);

	make_room(s, n->size);
	if (s->bytes + n->size <= s->bytes_max) {
		n->used = false;
		n->chain = *bucket;
		*bucket = merkle_node_ref(n);
		ring_add(s, n);
		s->bytes += n->size;
	}
}

struct merkle_node *merkle_cache_put(struct merkle_cache *cache, struct merkle_node *n)
{
	struct shard *s = shard_of(cache, &n->name);
	struct merkle_node *old;

	pthread_mutex_lock(&s->lock);
	old = find(s, n->owner, &n->name);
	if (old && merkle_name_equal(&old->name, &n->name)) {
		merkle_node_ref(old);
		merkle_node_unref(n);
		n = old;
	} else {
		if (old)
			let_go(s, old);
		take_in(s, n);
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

void merkle_cache_drop(struct merkle_cache *cache, uint64_t owner, const struct merkle_name *name)
{
	struct shard *s = shard_of(cache, name);
	struct merkle_node *n;

	pthread_mutex_lock(&s->lock);
	n = find(s, owner, name);
	if (n)
		let_go(s, n);
	pthread_mutex_unlock(&s->lock);
}

static void drop_owner(struct shard *s, uint64_t owner)
{
	struct merkle_node *n, *chain;

	for (size_t i = 0; i <= s->mask; i++) {
		for (n = s->buckets[i]; n; n = chain) {
			chain = n->chain;
			if (n->owner == owner)
				let_go(s, n);
		}
	}
}

void merkle_cache_drop_owner(struct merkle_cache *cache, uint64_t owner)
{
	for (uint32_t i = 0; i < cache->nshards; i++) {
		pthread_mutex_lock(&cache->shards[i].lock);
		drop_owner(&cache->shards[i], owner);
		pthread_mutex_unlock(&cache->shards[i].lock);
	}
}

static bool is_claimed(struct shard *s, const struct merkle_claim *claim)
{
	const struct merkle_claim *c = s->claims;

	while (c && !(c->owner == claim->owner && merkle_name_equal(c->name, claim->name)))
		c = c->next;
	return c != NULL;
}

bool merkle_cache_claim(struct merkle_cache *cache, struct merkle_claim *claim)
{
	struct shard *s = shard_of(cache, claim->name);
	bool mine = true;

	pthread_mutex_lock(&s->lock);
	while (is_claimed(s, claim)) {
		mine = false;
		pthread_cond_wait(&s->unclaimed, &s->lock);
	}
	if (mine) {
		claim->next = s->claims;
		s->claims = claim;
	}
	pthread_mutex_unlock(&s->lock);
	return mine;
}

void merkle_cache_unclaim(struct merkle_cache *cache, struct merkle_claim *claim)
{
	struct shard *s = shard_of(cache, claim->name);
	struct merkle_claim **at = &s->claims;

	pthread_mutex_lock(&s->lock);
	while (*at != claim)
		at = &(*at)->next;
	*at = claim->next;
	pthread_cond_broadcast(&s->unclaimed);
	pthread_mutex_unlock(&s->lock);
}
