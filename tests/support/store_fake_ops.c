/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/store_fake_ops.c - the stores on a fake medium
 *
 * Every call locks the medium, is counted, meets the faults that were ordered, and is noted.
 */
#include "tests/support/store_fake_internal.h"

#include <errno.h>
#include <stdlib.h>

struct fake_handle {
	struct fspf_store store;
	struct store_fake *f;
	enum fspf_store_mode mode;
};

static struct store_fake *medium_of(struct fspf_store *s)
{
	return ((struct fake_handle *)s)->f;
}

/* 0, or the error that was ordered for this call. */
static int begin(struct store_fake *f, enum store_fake_op op)
{
	struct fake_fault *fault = &f->faults[op];

	pthread_mutex_lock(&f->lock);
	f->counts[op]++;
	if (f->dead)
		return -EIO;
	if (!fault->at || --fault->at)
		return 0;
	f->dead = fault->dies;
	return fault->dies ? -EIO : fault->error;
}

static int end(struct store_fake *f, enum store_fake_op op, uint64_t block, uint64_t count,
	       int result)
{
	f->events = fake_grow(f->events, f->nevents, &f->events_size, sizeof(*f->events));
	f->events[f->nevents++] = (struct store_fake_event){op, block, count, result};
	pthread_mutex_unlock(&f->lock);
	return result;
}

/* -EINVAL: not in one segment; a change must stay inside the head as well. */
static int check_run(const struct fspf_store *s, uint64_t block, uint64_t count, bool change)
{
	uint64_t size = s->segment_blocks ? s->segment_blocks : FSPF_HEAD_BLOCKS;
	uint64_t start = block % size;

	if (change && s->read_only)
		return -EROFS;
	if (count > size - start || (block >= size && !s->segment_blocks))
		return -EINVAL;
	return change && block < size && start + count > FSPF_HEAD_BLOCKS ? -EINVAL : 0;
}

static bool in_head(const struct fspf_store *s, uint64_t block)
{
	return !s->segment_blocks || block < s->segment_blocks;
}

static int fake_read(struct fspf_store *s, uint64_t block, void *data, size_t len)
{
	struct store_fake *f = medium_of(s);
	uint64_t i, count = len / FSPF_BLOCK_SIZE;
	const struct fake_page *page;
	uint8_t *to = data;
	int r;

	r = begin(f, STORE_FAKE_READ);
	if (!r)
		r = len % FSPF_BLOCK_SIZE ? -EINVAL : check_run(s, block, count, false);
	for (i = 0; i < count && !r; i++, to += FSPF_BLOCK_SIZE) {
		page = fake_image_get(&f->now, block + i);
		if (page)
			memcpy(to, page->data, FSPF_BLOCK_SIZE);
		else
			memset(to, 0, FSPF_BLOCK_SIZE);
	}
	return end(f, STORE_FAKE_READ, block, count, r);
}

/* The head was written when the volume was made; elsewhere a block takes space. */
static int take_space(struct fspf_store *s, uint64_t block)
{
	struct store_fake *f = medium_of(s);

	if (in_head(s, block) || fake_image_get(&f->allocated, block))
		return 0;
	f->unreserved++;
	return fake_allocate(f, block) ? 0 : -ENOSPC;
}

static int write_block(struct fspf_store *s, uint64_t block, const void *data)
{
	struct store_fake *f = medium_of(s);
	struct fake_page *page;
	int r;

	r = take_space(s, block);
	if (r)
		return r;
	page = fake_page_new(data);
	fake_image_put(&f->now, block, page);
	fake_note_change(f, block, page);
	f->highest = max_u64(f->highest, block);
	return 0;
}

/* Power fails while the write is under way. */
static void write_dying(struct store_fake *f, uint64_t block, const uint8_t *data, uint64_t count)
{
	uint64_t i;

	for (i = 0; i < count; i++)
		fake_note_change(f, block + i, fake_page_new(data + i * FSPF_BLOCK_SIZE));
}

static int fake_write(struct fspf_store *s, uint64_t block, const void *data, size_t len)
{
	struct store_fake *f = medium_of(s);
	uint64_t i, count = len / FSPF_BLOCK_SIZE;
	const uint8_t *from = data;
	bool was_dead, valid;
	int r;

	valid = !(len % FSPF_BLOCK_SIZE) && !check_run(s, block, count, true);
	was_dead = store_fake_is_dead(f);
	r = begin(f, STORE_FAKE_WRITE);
	if (f->dead && !was_dead && valid)
		write_dying(f, block, from, count);
	if (!r && !valid)
		r = s->read_only ? -EROFS : -EINVAL;
	for (i = 0; i < count && !r; i++)
		r = write_block(s, block + i, from + i * FSPF_BLOCK_SIZE);
	return end(f, STORE_FAKE_WRITE, block, count, r);
}

static int fake_barrier(struct fspf_store *s)
{
	struct store_fake *f = medium_of(s);
	size_t i;
	int r;

	r = begin(f, STORE_FAKE_BARRIER);
	if (!r)
		r = s->read_only ? -EROFS : f->broken;
	f->broken = s->read_only ? f->broken : r;
	if (!r) {
		for (i = 0; i < f->nchanges; i++)
			fake_image_put(&f->durable, f->changes[i].block, f->changes[i].page);
		fake_forget_changes(f);
	}
	return end(f, STORE_FAKE_BARRIER, 0, 0, r);
}

static bool has_room(const struct store_fake *f, uint64_t block, uint64_t count)
{
	uint64_t i, more = 0;

	for (i = 0; i < count; i++)
		more += !fake_image_get(&f->allocated, block + i);
	return !f->limit || f->nallocated + more <= f->limit;
}

static int fake_reserve(struct fspf_store *s, uint64_t block, uint64_t count)
{
	struct store_fake *f = medium_of(s);
	uint64_t i;
	int r;

	r = begin(f, STORE_FAKE_RESERVE);
	if (!r)
		r = check_run(s, block, count, true);
	if (!r && !f->limit_at_write && !has_room(f, block, count))
		r = -ENOSPC;
	if (!r && !in_head(s, block)) {
		f->highest = max_u64(f->highest, block + count - !!count);
		for (i = 0; i < count && has_room(f, block + i, 1); i++)
			(void)fake_allocate(f, block + i);
	}
	return end(f, STORE_FAKE_RESERVE, block, count, r);
}

static void trim_block(struct store_fake *f, uint64_t block)
{
	fake_deallocate(f, block);
	if (!fake_image_get(&f->now, block) && !fake_image_get(&f->durable, block))
		return;
	fake_image_put(&f->now, block, NULL);
	fake_note_change(f, block, NULL);
}

static void fake_trim(struct fspf_store *s, uint64_t block, uint64_t count)
{
	struct store_fake *f = medium_of(s);
	uint64_t i;
	int r;

	r = begin(f, STORE_FAKE_TRIM);
	if (!r)
		r = in_head(s, block) ? -EINVAL : check_run(s, block, count, true);
	for (i = 0; i < count && !r; i++)
		trim_block(f, block + i);
	end(f, STORE_FAKE_TRIM, block, count, r);
}

static int fake_available(struct fspf_store *s, uint64_t *ret_bytes)
{
	struct store_fake *f = medium_of(s);

	pthread_mutex_lock(&f->lock);
	*ret_bytes = UINT64_C(1) << 40;
	if (f->limit)
		*ret_bytes = (f->limit - min_u64(f->limit, f->nallocated)) * FSPF_BLOCK_SIZE;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static int fake_segments(struct fspf_store *s, uint64_t *ret_highest)
{
	struct store_fake *f = medium_of(s);

	pthread_mutex_lock(&f->lock);
	*ret_highest = s->segment_blocks ? f->highest / s->segment_blocks : 0;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static void fake_free(struct fspf_store *s)
{
	struct fake_handle *h = (struct fake_handle *)s;

	pthread_mutex_lock(&h->f->lock);
	if (h->mode == FSPF_STORE_READ_WRITE)
		h->f->writer = false;
	else if (h->mode == FSPF_STORE_READ_ONLY)
		h->f->readers--;
	pthread_mutex_unlock(&h->f->lock);
	free(h);
}

static const struct fspf_store_ops fake_ops = {
	.read = fake_read,
	.write = fake_write,
	.barrier = fake_barrier,
	.reserve = fake_reserve,
	.trim = fake_trim,
	.available = fake_available,
	.segments = fake_segments,
	.free = fake_free,
};

static int lock_medium(struct store_fake *f, enum fspf_store_mode mode)
{
	int r = 0;

	pthread_mutex_lock(&f->lock);
	if (mode == FSPF_STORE_READ_WRITE) {
		r = f->writer || f->readers ? -EBUSY : 0;
		f->writer = f->writer || !r;
	} else if (mode == FSPF_STORE_READ_ONLY) {
		r = f->writer ? -EBUSY : 0;
		f->readers += !r;
	}
	pthread_mutex_unlock(&f->lock);
	return r;
}

int store_fake_open(struct store_fake *f, enum fspf_store_mode mode, struct fspf_store **ret)
{
	struct fake_handle *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		abort();
	h->store.ops = &fake_ops;
	h->store.read_only = mode != FSPF_STORE_READ_WRITE;
	h->f = f;
	h->mode = mode;
	r = lock_medium(f, mode);
	if (r)
		free(h);
	else
		*ret = &h->store;
	return r;
}
