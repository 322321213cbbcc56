/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume's store and the scratch file as one address space.
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/scratch.h"

struct joined {
	struct fspf_store store;
	struct fspf_store *volume, *scratch;
};

static struct joined *joined_of(struct fspf_store *s)
{
	return (struct joined *)s;
}

static struct fspf_store *place(struct fspf_store *s, uint64_t *block)
{
	if (*block < FSPF_SCRATCH_BASE)
		return joined_of(s)->volume;
	*block -= FSPF_SCRATCH_BASE;
	return joined_of(s)->scratch;
}

static int joined_read(struct fspf_store *s, uint64_t block, void *data, size_t len)
{
	struct fspf_store *at = place(s, &block);

	return at->ops->read(at, block, data, len);
}

static int joined_write(struct fspf_store *s, uint64_t block, const void *data, size_t len)
{
	struct fspf_store *at = place(s, &block);

	return at->ops->write(at, block, data, len);
}

static int joined_barrier(struct fspf_store *s)
{
	struct fspf_store *v = joined_of(s)->volume;

	return v->ops->barrier(v);
}

static int joined_reserve(struct fspf_store *s, uint64_t block, uint64_t count)
{
	struct fspf_store *v = joined_of(s)->volume;

	return v->ops->reserve(v, block, count);
}

static void joined_trim(struct fspf_store *s, uint64_t block, uint64_t count)
{
	struct fspf_store *v = joined_of(s)->volume;

	v->ops->trim(v, block, count);
}

static int joined_available(struct fspf_store *s, uint64_t *ret_bytes)
{
	struct fspf_store *v = joined_of(s)->volume;

	return v->ops->available(v, ret_bytes);
}

static int joined_segments(struct fspf_store *s, uint64_t *ret_highest)
{
	struct fspf_store *v = joined_of(s)->volume;

	return v->ops->segments(v, ret_highest);
}

static void joined_free(struct fspf_store *s)
{
	fspf_store_free(joined_of(s)->volume);
	fspf_store_free(joined_of(s)->scratch);
	free(s);
}

static const struct fspf_store_ops joined_ops = {
	.read = joined_read,
	.write = joined_write,
	.barrier = joined_barrier,
	.reserve = joined_reserve,
	.trim = joined_trim,
	.available = joined_available,
	.segments = joined_segments,
	.free = joined_free,
};

int fspf_scratch_join(struct fspf_store *volume, struct fspf_store *scratch,
		      struct fspf_store **ret)
{
	struct joined *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->store = (struct fspf_store){.ops = &joined_ops,
				       .segment_blocks = volume->segment_blocks,
				       .read_only = volume->read_only};
	j->volume = volume;
	j->scratch = scratch;
	*ret = &j->store;
	return 0;
}
