/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/store_fake_image.c - a sparse array of immutable pages
 *
 * How: a hash table of chunks of 64 page pointers.  Only the search for the next page needs
 * order; it looks through all chunks, of which test volumes have few.
 */
#include "tests/support/store_fake_image.h"

#include <stdlib.h>

#include <uthash.h>

#define CHUNK_PAGES 64u

struct fake_chunk {
	uint64_t number;
	struct fake_page *pages[CHUNK_PAGES];
	UT_hash_handle hh;
};

struct fake_page *fake_page_new(const void *data)
{
	struct fake_page *page = malloc(sizeof(*page));

	if (!page)
		abort();
	page->refs = 1;
	memcpy(page->data, data, sizeof(page->data));
	return page;
}

struct fake_page *fake_page_ref(struct fake_page *page)
{
	if (page)
		__atomic_add_fetch(&page->refs, 1, __ATOMIC_RELAXED);
	return page;
}

void fake_page_unref(struct fake_page *page)
{
	if (page && !__atomic_sub_fetch(&page->refs, 1, __ATOMIC_ACQ_REL))
		free(page);
}

static struct fake_chunk *find_chunk(const struct fake_image *image, uint64_t number)
{
	struct fake_chunk *c;

	HASH_FIND(hh, image->chunks, &number, sizeof(number), c);
	return c;
}

static struct fake_chunk *need_chunk(struct fake_image *image, uint64_t number)
{
	struct fake_chunk *c = find_chunk(image, number);

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->number = number;
	HASH_ADD(hh, image->chunks, number, sizeof(c->number), c);
	return c;
}

struct fake_page *fake_image_get(const struct fake_image *image, uint64_t block)
{
	struct fake_chunk *c = find_chunk(image, block / CHUNK_PAGES);

	return c ? c->pages[block % CHUNK_PAGES] : NULL;
}

void fake_image_put(struct fake_image *image, uint64_t block, struct fake_page *page)
{
	struct fake_page **place =
		&need_chunk(image, block / CHUNK_PAGES)->pages[block % CHUNK_PAGES];

	fake_page_ref(page);
	fake_page_unref(*place);
	*place = page;
}

/* The first page of @c that is not before @from; its block, or UINT64_MAX. */
static uint64_t first_in_chunk(const struct fake_chunk *c, uint64_t from)
{
	unsigned i;

	for (i = 0; i < CHUNK_PAGES; i++)
		if (c->pages[i] && c->number * CHUNK_PAGES + i >= from)
			return c->number * CHUNK_PAGES + i;
	return UINT64_MAX;
}

bool fake_image_next(const struct fake_image *image, uint64_t from, uint64_t *ret_block)
{
	uint64_t best = UINT64_MAX;
	struct fake_chunk *c, *next;

	HASH_ITER (hh, image->chunks, c, next) {
		if (c->number >= from / CHUNK_PAGES && c->number <= best / CHUNK_PAGES)
			best = min_u64(best, first_in_chunk(c, from));
	}
	if (best == UINT64_MAX)
		return false;
	*ret_block = best;
	return true;
}

void fake_image_copy(const struct fake_image *from, struct fake_image *to)
{
	struct fake_chunk *c, *next, *copy;
	unsigned i;

	HASH_ITER (hh, from->chunks, c, next) {
		copy = need_chunk(to, c->number);
		for (i = 0; i < CHUNK_PAGES; i++)
			copy->pages[i] = fake_page_ref(c->pages[i]);
	}
}

void fake_image_clear(struct fake_image *image)
{
	struct fake_chunk *c, *next;
	unsigned i;

	HASH_ITER (hh, image->chunks, c, next) {
		HASH_DEL(image->chunks, c);
		for (i = 0; i < CHUNK_PAGES; i++)
			fake_page_unref(c->pages[i]);
		free(c);
	}
}
