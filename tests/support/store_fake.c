/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/store_fake.c - the medium of a fake store: made, cloned, crashed, tampered with
 *
 * How: three images (what a reader sees, what is durable, what takes space) and the list of changes
 * between the first two.  A barrier makes the second equal to the first and empties the list; a
 * crash starts from the second and applies some of the list in some order.
 */
#include "tests/support/store_fake_internal.h"

#include <stdlib.h>

#include "tests/support/seed.h"

/* Stands for "allocated"; nobody looks into it. */
static struct fake_page allocated_mark = {.refs = 1};

void *fake_grow(void *array, size_t n, size_t *size, size_t width)
{
	if (n < *size)
		return array;
	*size = *size ? *size * 2 : 64;
	array = reallocarray(array, *size, width);
	if (!array)
		abort();
	return array;
}

void fake_note_change(struct store_fake *f, uint64_t block, struct fake_page *page)
{
	f->changes = fake_grow(f->changes, f->nchanges, &f->changes_size, sizeof(*f->changes));
	f->changes[f->nchanges++] = (struct fake_change){block, page};
}

void fake_forget_changes(struct store_fake *f)
{
	while (f->nchanges)
		fake_page_unref(f->changes[--f->nchanges].page);
}

bool fake_allocate(struct store_fake *f, uint64_t block)
{
	if (fake_image_get(&f->allocated, block))
		return true;
	if (f->limit && f->nallocated >= f->limit)
		return false;
	fake_image_put(&f->allocated, block, &allocated_mark);
	f->nallocated++;
	return true;
}

void fake_deallocate(struct store_fake *f, uint64_t block)
{
	if (!fake_image_get(&f->allocated, block))
		return;
	fake_image_put(&f->allocated, block, NULL);
	f->nallocated--;
}

struct store_fake *store_fake_new(void)
{
	struct store_fake *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	pthread_mutex_init(&f->lock, NULL);
	f->tear = FSPF_BLOCK_SIZE;
	return f;
}

struct store_fake *store_fake_free(struct store_fake *f)
{
	if (!f)
		return NULL;
	fake_forget_changes(f);
	fake_image_clear(&f->now);
	fake_image_clear(&f->durable);
	fake_image_clear(&f->allocated);
	free(f->changes);
	free(f->events);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return NULL;
}

/* A new medium with the contents of @image and the allocation of @f, which is locked. */
static struct store_fake *copy(const struct store_fake *f, const struct fake_image *image)
{
	struct store_fake *to = store_fake_new();

	fake_image_copy(image, &to->now);
	fake_image_copy(&f->allocated, &to->allocated);
	to->nallocated = f->nallocated;
	to->highest = f->highest;
	to->tear = f->tear;
	return to;
}

struct store_fake *store_fake_clone(struct store_fake *f)
{
	struct store_fake *to;

	pthread_mutex_lock(&f->lock);
	to = copy(f, &f->now);
	pthread_mutex_unlock(&f->lock);
	fake_image_copy(&to->now, &to->durable);
	return to;
}

/* Some sectors of @new over those of @old. */
static struct fake_page *torn(const struct fake_page *old, const struct fake_page *new, size_t tear,
			      uint64_t *random)
{
	static const struct fake_page hole;
	struct fake_page *page = fake_page_new(old ? old->data : hole.data);
	size_t i;

	for (i = 0; i < FSPF_BLOCK_SIZE; i += tear)
		if (test_below(random, 2))
			memcpy(page->data + i, (new ? new : &hole)->data + i, tear);
	return page;
}

static void survive(struct store_fake *to, const struct fake_change *change, bool whole,
		    uint64_t *random)
{
	struct fake_page *page = fake_page_ref(change->page);

	if (!whole && to->tear < FSPF_BLOCK_SIZE && !test_below(random, 4)) {
		fake_page_unref(page);
		page = torn(fake_image_get(&to->now, change->block), change->page, to->tear,
			    random);
	}
	fake_image_put(&to->now, change->block, page);
	fake_page_unref(page);
}

/* All changes before some point, and perhaps a part of the one there. */
static void survive_prefix(struct store_fake *to, const struct store_fake *f, uint64_t *random)
{
	size_t i, n = test_below(random, f->nchanges + 1);

	for (i = 0; i < n; i++)
		survive(to, &f->changes[i], i + 1 < n, random);
}

/* About half of them in an order of its own, so that an older change may win. */
static void survive_subset(struct store_fake *to, const struct store_fake *f, uint64_t *random)
{
	size_t i, k, n = f->nchanges, *order = calloc(n + 1, sizeof(*order));

	if (!order)
		abort();
	for (i = 0; i < n; i++) {
		k = test_below(random, i + 1);
		order[i] = order[k];
		order[k] = i;
	}
	for (i = 0; i < n; i++)
		if (test_below(random, 2))
			survive(to, &f->changes[order[i]], false, random);
	free(order);
}

struct store_fake *store_fake_crash(struct store_fake *f, uint64_t seed)
{
	struct store_fake *to;
	size_t i;

	pthread_mutex_lock(&f->lock);
	to = copy(f, &f->durable);
	switch (test_below(&seed, 8)) {
	case 0:
		break;
	case 1:
		for (i = 0; i < f->nchanges; i++)
			survive(to, &f->changes[i], true, &seed);
		break;
	case 2:
	case 3:
		survive_prefix(to, f, &seed);
		break;
	default:
		survive_subset(to, f, &seed);
		break;
	}
	pthread_mutex_unlock(&f->lock);
	fake_image_copy(&to->now, &to->durable);
	return to;
}

static void set_fault(struct store_fake *f, enum store_fake_op op, struct fake_fault fault)
{
	pthread_mutex_lock(&f->lock);
	f->faults[op] = fault;
	pthread_mutex_unlock(&f->lock);
}

void store_fake_fail_at(struct store_fake *f, enum store_fake_op op, uint64_t n, int error)
{
	set_fault(f, op, (struct fake_fault){.at = n, .error = error});
}

void store_fake_die_at(struct store_fake *f, enum store_fake_op op, uint64_t n)
{
	set_fault(f, op, (struct fake_fault){.at = n, .dies = true});
}

bool store_fake_is_dead(struct store_fake *f)
{
	bool dead;

	pthread_mutex_lock(&f->lock);
	dead = f->dead;
	pthread_mutex_unlock(&f->lock);
	return dead;
}

void store_fake_limit(struct store_fake *f, uint64_t blocks, bool at_write)
{
	pthread_mutex_lock(&f->lock);
	f->limit = blocks;
	f->limit_at_write = at_write;
	pthread_mutex_unlock(&f->lock);
}

void store_fake_tear(struct store_fake *f, size_t bytes)
{
	pthread_mutex_lock(&f->lock);
	f->tear = bytes;
	pthread_mutex_unlock(&f->lock);
}

static uint64_t get_number(struct store_fake *f, const uint64_t *number)
{
	uint64_t n;

	pthread_mutex_lock(&f->lock);
	n = *number;
	pthread_mutex_unlock(&f->lock);
	return n;
}

uint64_t store_fake_count(struct store_fake *f, enum store_fake_op op)
{
	return get_number(f, &f->counts[op]);
}

uint64_t store_fake_unreserved(struct store_fake *f)
{
	return get_number(f, &f->unreserved);
}

uint64_t store_fake_allocated(struct store_fake *f)
{
	return get_number(f, &f->nallocated);
}

const struct store_fake_event *store_fake_events(struct store_fake *f, size_t *ret_n)
{
	const struct store_fake_event *events;

	pthread_mutex_lock(&f->lock);
	events = f->events;
	*ret_n = f->nevents;
	pthread_mutex_unlock(&f->lock);
	return events;
}

void store_fake_forget_events(struct store_fake *f)
{
	pthread_mutex_lock(&f->lock);
	f->nevents = 0;
	memset(f->counts, 0, sizeof(f->counts));
	pthread_mutex_unlock(&f->lock);
}

void store_fake_get(struct store_fake *f, uint64_t block, void *data)
{
	const struct fake_page *page;

	pthread_mutex_lock(&f->lock);
	page = fake_image_get(&f->now, block);
	if (page)
		memcpy(data, page->data, FSPF_BLOCK_SIZE);
	else
		memset(data, 0, FSPF_BLOCK_SIZE);
	pthread_mutex_unlock(&f->lock);
}

void store_fake_put(struct store_fake *f, uint64_t block, const void *data)
{
	struct fake_page *page = data ? fake_page_new(data) : NULL;

	pthread_mutex_lock(&f->lock);
	fake_image_put(&f->now, block, page);
	fake_image_put(&f->durable, block, page);
	pthread_mutex_unlock(&f->lock);
	fake_page_unref(page);
}

void store_fake_corrupt(struct store_fake *f, uint64_t block, uint64_t seed)
{
	uint8_t data[FSPF_BLOCK_SIZE];
	uint64_t bit = test_below(&seed, sizeof(data) * 8);

	store_fake_get(f, block, data);
	data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	store_fake_put(f, block, data);
}

void store_fake_swap(struct store_fake *f, uint64_t a, uint64_t b)
{
	uint8_t first[FSPF_BLOCK_SIZE], second[FSPF_BLOCK_SIZE];

	store_fake_get(f, a, first);
	store_fake_get(f, b, second);
	store_fake_put(f, a, second);
	store_fake_put(f, b, first);
}

void store_fake_replay(struct store_fake *f, uint64_t block, struct store_fake *older)
{
	uint8_t data[FSPF_BLOCK_SIZE];

	store_fake_get(older, block, data);
	store_fake_put(f, block, data);
}

bool store_fake_next(struct store_fake *f, uint64_t from, uint64_t *ret_block)
{
	bool found;

	pthread_mutex_lock(&f->lock);
	found = fake_image_next(&f->now, from, ret_block);
	pthread_mutex_unlock(&f->lock);
	return found;
}
