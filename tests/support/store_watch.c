/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/store_watch.c - see the header */
#include "tests/support/store_watch.h"

#include <stdlib.h>

struct watch {
	struct fspf_store store;
	struct fspf_store *inner;
	store_watch_hook *hook;
	void *ctx;
};

/* The opener sets segment_blocks on what it was given, once, before there is a second thread. */
static struct watch *watch_of(struct fspf_store *s)
{
	struct watch *w = (struct watch *)s;

	if (w->inner->segment_blocks != s->segment_blocks)
		w->inner->segment_blocks = s->segment_blocks;
	return w;
}

static int watch_read(struct fspf_store *s, uint64_t block, void *data, size_t len)
{
	struct watch *w = watch_of(s);

	return w->inner->ops->read(w->inner, block, data, len);
}

static int watch_write(struct fspf_store *s, uint64_t block, const void *data, size_t len)
{
	struct watch *w = watch_of(s);

	w->hook(w->ctx, STORE_FAKE_WRITE, block, len / FSPF_BLOCK_SIZE);
	return w->inner->ops->write(w->inner, block, data, len);
}

static int watch_barrier(struct fspf_store *s)
{
	struct watch *w = watch_of(s);

	w->hook(w->ctx, STORE_FAKE_BARRIER, 0, 0);
	return w->inner->ops->barrier(w->inner);
}

static int watch_reserve(struct fspf_store *s, uint64_t block, uint64_t count)
{
	struct watch *w = watch_of(s);

	return w->inner->ops->reserve(w->inner, block, count);
}

static void watch_trim(struct fspf_store *s, uint64_t block, uint64_t count)
{
	struct watch *w = watch_of(s);

	w->hook(w->ctx, STORE_FAKE_TRIM, block, count);
	w->inner->ops->trim(w->inner, block, count);
}

static int watch_available(struct fspf_store *s, uint64_t *ret_bytes)
{
	struct watch *w = watch_of(s);

	return w->inner->ops->available(w->inner, ret_bytes);
}

static int watch_segments(struct fspf_store *s, uint64_t *ret_highest)
{
	struct watch *w = watch_of(s);

	return w->inner->ops->segments(w->inner, ret_highest);
}

static void watch_free(struct fspf_store *s)
{
	struct watch *w = watch_of(s);

	fspf_store_free(w->inner);
	free(w);
}

static const struct fspf_store_ops watch_ops = {
	.read = watch_read,
	.write = watch_write,
	.barrier = watch_barrier,
	.reserve = watch_reserve,
	.trim = watch_trim,
	.available = watch_available,
	.segments = watch_segments,
	.free = watch_free,
};

struct fspf_store *store_watch_new(struct fspf_store *inner, store_watch_hook *hook, void *ctx)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->store = (struct fspf_store){&watch_ops, inner->segment_blocks, inner->read_only};
	w->inner = inner;
	w->hook = hook;
	w->ctx = ctx;
	return &w->store;
}
