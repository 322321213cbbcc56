/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool cuts pages out of 1 MiB slabs and keeps what is given back on a free list; it never
 * shrinks below its high-water mark, which the dirty limit bounds.  The table's list is sorted when
 * pages are taken out, not when they are added: random writers pay once a write-out, sequential
 * ones never.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "fspf/pages.h"

#define SLAB_PAGES 256u

struct free_page {
	struct free_page *next;
};

struct slab {
	struct slab *next;
	uint8_t *memory;
};

struct fspf_page_pool {
	pthread_mutex_t lock;
	struct free_page *free;
	struct slab *slabs;
	uint64_t used;
};

int fspf_page_pool_new(struct fspf_page_pool **ret)
{
	struct fspf_page_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	*ret = pool;
	return 0;
}

struct fspf_page_pool *fspf_page_pool_free(struct fspf_page_pool *pool)
{
	if (!pool)
		return NULL;
	while (pool->slabs) {
		struct slab *slab = pool->slabs;

		pool->slabs = slab->next;
		free(slab->memory);
		free(slab);
	}
	pthread_mutex_destroy(&pool->lock);
	free(pool);
	return NULL;
}

uint64_t fspf_page_pool_used(struct fspf_page_pool *pool)
{
	uint64_t used;

	pthread_mutex_lock(&pool->lock);
	used = pool->used;
	pthread_mutex_unlock(&pool->lock);
	return used;
}

static void push(struct fspf_page_pool *pool, uint8_t *page)
{
	struct free_page *f = (struct free_page *)(void *)page;

	f->next = pool->free;
	pool->free = f;
}

/* Under the pool's lock. */
static int grow(struct fspf_page_pool *pool)
{
	struct slab *slab = calloc(1, sizeof(*slab));

	if (!slab)
		return -ENOMEM;
	slab->memory = aligned_alloc(FSPF_BLOCK_SIZE, (size_t)SLAB_PAGES * FSPF_BLOCK_SIZE);
	if (!slab->memory) {
		free(slab);
		return -ENOMEM;
	}
	slab->next = pool->slabs;
	pool->slabs = slab;
	for (size_t i = SLAB_PAGES; i-- > 0;)
		push(pool, slab->memory + i * FSPF_BLOCK_SIZE);
	return 0;
}

static int page_new(struct fspf_page_pool *pool, uint8_t **ret)
{
	int r = 0;

	pthread_mutex_lock(&pool->lock);
	if (!pool->free)
		r = grow(pool);
	if (r == 0) {
		*ret = (uint8_t *)pool->free;
		pool->free = pool->free->next;
		pool->used++;
	}
	pthread_mutex_unlock(&pool->lock);
	return r;
}

void fspf_page_free(struct fspf_page_pool *pool, uint8_t *page)
{
	pthread_mutex_lock(&pool->lock);
	push(pool, page);
	pool->used--;
	pthread_mutex_unlock(&pool->lock);
}

static struct fspf_chunk *find_chunk(const struct fspf_pages *p, uint64_t block)
{
	uint64_t index = block / FSPF_CHUNK;
	struct fspf_chunk *c;

	HASH_FIND(hh, p->chunks, &index, sizeof(index), c);
	return c;
}

uint8_t *fspf_pages_find(const struct fspf_pages *p, uint64_t block)
{
	struct fspf_chunk *c = p->count ? find_chunk(p, block) : NULL;

	return c ? c->page[block % FSPF_CHUNK] : NULL;
}

static int get_chunk(struct fspf_pages *p, uint64_t block, struct fspf_chunk **ret)
{
	struct fspf_chunk *c = find_chunk(p, block);
	struct fspf_chunk *last;

	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return -ENOMEM;
		c->index = block / FSPF_CHUNK;
		/* Appending in order, as a sequential writer does, keeps the list sorted. */
		last = p->chunks ? ELMT_FROM_HH(p->chunks->hh.tbl, p->chunks->hh.tbl->tail) : NULL;
		if (!last)
			p->sorted = true;
		else if (last->index > c->index)
			p->sorted = false;
		HASH_ADD(hh, p->chunks, index, sizeof(c->index), c);
	}
	*ret = c;
	return 0;
}

static void drop_chunk(struct fspf_pages *p, struct fspf_chunk *c)
{
	HASH_DEL(p->chunks, c);
	free(c);
}

static int put_page(struct fspf_pages *p, uint64_t block, uint8_t *page)
{
	struct fspf_chunk *c;
	int r = get_chunk(p, block, &c);

	if (r)
		return r;
	c->page[block % FSPF_CHUNK] = page;
	c->present |= 1u << (block % FSPF_CHUNK);
	p->count++;
	return 0;
}

int fspf_pages_add(struct fspf_pages *p, struct fspf_page_pool *pool, uint64_t block, uint8_t **ret)
{
	uint8_t *page;
	int r = page_new(pool, &page);

	if (r)
		return r;
	r = put_page(p, block, page);
	if (r)
		fspf_page_free(pool, page);
	else
		*ret = page;
	return r;
}

static uint8_t *remove_page(struct fspf_pages *p, struct fspf_chunk *c, uint32_t i)
{
	uint8_t *page = c->page[i];

	c->page[i] = NULL;
	c->present &= ~(1u << i);
	p->count--;
	return page;
}

uint64_t fspf_pages_drop(struct fspf_pages *p, struct fspf_page_pool *pool, uint64_t first,
			 uint64_t last)
{
	struct fspf_chunk *c, *next;
	uint64_t dropped = 0;

	HASH_ITER (hh, p->chunks, c, next) {
		for (uint32_t i = 0; i < FSPF_CHUNK; i++) {
			uint64_t block = c->index * FSPF_CHUNK + i;

			if (!c->page[i] || block < first || block > last)
				continue;
			fspf_page_free(pool, remove_page(p, c, i));
			dropped++;
		}
		if (!c->present)
			drop_chunk(p, c);
	}
	return dropped;
}

static int by_index(const struct fspf_chunk *a, const struct fspf_chunk *b)
{
	return (a->index > b->index) - (a->index < b->index);
}

uint32_t fspf_pages_take(struct fspf_pages *p, uint32_t max, uint64_t *blocks, uint8_t **pages)
{
	struct fspf_chunk *c, *next;
	uint32_t n = 0;

	if (!p->sorted)
		HASH_SORT(p->chunks, by_index);
	p->sorted = true;
	HASH_ITER (hh, p->chunks, c, next) {
		for (uint32_t i = 0; i < FSPF_CHUNK && n < max; i++) {
			if (!c->page[i])
				continue;
			blocks[n] = c->index * FSPF_CHUNK + i;
			pages[n++] = remove_page(p, c, i);
		}
		if (!c->present)
			drop_chunk(p, c);
		if (n == max)
			break;
	}
	return n;
}

int fspf_pages_return(struct fspf_pages *p, struct fspf_page_pool *pool, uint64_t block,
		      uint8_t *page, bool *ret_kept)
{
	bool kept = !fspf_pages_find(p, block);
	int r = kept ? put_page(p, block, page) : 0;

	if (r)
		return r;
	if (!kept)
		fspf_page_free(pool, page);
	*ret_kept = kept;
	return 0;
}

bool fspf_pages_next(const struct fspf_pages *p, uint64_t from, uint64_t *ret_block)
{
	struct fspf_chunk *c, *next;
	bool found = false;

	HASH_ITER (hh, p->chunks, c, next) {
		for (uint32_t i = 0; i < FSPF_CHUNK; i++) {
			uint64_t block = c->index * FSPF_CHUNK + i;

			if (c->page[i] && block >= from && (!found || block < *ret_block)) {
				*ret_block = block;
				found = true;
			}
		}
	}
	return found;
}
