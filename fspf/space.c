/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/space.c - the space manager's life: making it, loading the map, counting
 *
 * Segments come into the table when something in them is marked or reserved, so memory goes with
 * what is in use and not with the limit.  Loading marks; until it is over allocations wait on
 * `changed`, and after it failed they get its error.
 *
 *   S4  A segment's counts change with its words, and the totals by the same numbers
 *       (space_account), under the lock; fspf_space_check() counts everything anew.
 */
#include "fspf/space_internal.h"

#include <errno.h>
#include <stdlib.h>

static bool config_is_valid(const struct fspf_space_config *config)
{
	uint64_t blocks = config->store->segment_blocks;

	return blocks && blocks % FSPF_SPACE_GROUP == 0 && blocks <= FSPF_SEGMENT_BLOCKS_MAX &&
	       config->blocks_max % blocks == 0 && config->generation;
}

int fspf_space_new(const struct fspf_space_config *config, struct fspf_space **ret)
{
	struct fspf_space *sp;

	if (!config_is_valid(config))
		return -EINVAL;
	sp = calloc(1, sizeof(*sp));
	if (!sp)
		return -ENOMEM;
	pthread_mutex_init(&sp->lock, NULL);
	pthread_cond_init(&sp->changed, NULL);
	sp->store = config->store;
	sp->segment_blocks = (uint32_t)config->store->segment_blocks;
	sp->segments_max = config->blocks_max / config->store->segment_blocks;
	sp->generation = config->generation;
	sp->cursor = config->cursor;
	sp->kept = config->kept;
	sp->ahead = SPACE_AHEAD_MIN;
	*ret = sp;
	return 0;
}

struct fspf_space *fspf_space_free(struct fspf_space *sp)
{
	uint64_t i;

	if (!sp)
		return NULL;
	for (i = 0; i < sp->nsegments; i++)
		fspf_space_segment_free(sp->segments[i]);
	free(sp->segments);
	fspf_space_runs_free(&sp->open);
	fspf_space_runs_free(&sp->frozen);
	fspf_space_runs_free(&sp->held);
	pthread_cond_destroy(&sp->changed);
	pthread_mutex_destroy(&sp->lock);
	free(sp);
	return NULL;
}

static int grow_table(struct fspf_space *sp, uint64_t nsegments)
{
	uint64_t size = max_u64(sp->table_size, 16);
	struct space_segment **table;

	while (size < nsegments)
		size *= 2;
	table = sp->segments;
	if (size > sp->table_size)
		table = realloc(table, size * sizeof(struct space_segment *));
	if (!table)
		return -ENOMEM;
	memset(table + sp->nsegments, 0, (nsegments - sp->nsegments) * sizeof(*table));
	sp->segments = table;
	sp->table_size = size;
	sp->nsegments = nsegments;
	return 0;
}

int fspf_space_need_segment(struct fspf_space *sp, uint64_t number, struct space_segment **ret)
{
	uint64_t max = sp->segments_max ? sp->segments_max : SPACE_SEGMENTS_MAX;
	int r = 0;

	if (number > max)
		return -ENOSPC;
	if (number > sp->nsegments)
		r = grow_table(sp, number);
	if (!r && !sp->segments[number - 1])
		r = fspf_space_segment_new(sp->segment_blocks, &sp->segments[number - 1]);
	if (!r)
		*ret = sp->segments[number - 1];
	return r;
}

struct space_piece fspf_space_cut(const struct fspf_space *sp, uint64_t block, uint64_t count)
{
	struct space_piece piece;

	piece.number = block / sp->segment_blocks;
	piece.start = (uint32_t)(block % sp->segment_blocks);
	piece.count = (uint32_t)min_u64(count, sp->segment_blocks - piece.start);
	return piece;
}

static int mark_piece(struct fspf_space *sp, const struct space_piece *piece)
{
	struct space_segment *seg;
	struct space_counts before;
	int r;

	if (!piece->number)
		return -EBADMSG;
	r = fspf_space_need_segment(sp, piece->number, &seg);
	if (r)
		return r == -ENOSPC ? -EBADMSG : r;
	before = seg->n;
	r = fspf_space_segment_mark(seg, piece->start, piece->count);
	space_account(sp, seg, &before);
	return r;
}

int fspf_space_mark_locked(struct fspf_space *sp, uint64_t block, uint64_t count)
{
	struct space_piece piece;
	int r = 0;

	for (; count && !r; block += piece.count, count -= piece.count) {
		piece = fspf_space_cut(sp, block, count);
		r = mark_piece(sp, &piece);
	}
	return r;
}

int fspf_space_mark(struct fspf_space *sp, uint64_t block, uint64_t count)
{
	int r;

	pthread_mutex_lock(&sp->lock);
	r = fspf_space_mark_locked(sp, block, count);
	pthread_mutex_unlock(&sp->lock);
	return r;
}

void fspf_space_ready(struct fspf_space *sp, int error)
{
	pthread_mutex_lock(&sp->lock);
	sp->ready = true;
	sp->error = error;
	pthread_cond_broadcast(&sp->changed);
	pthread_mutex_unlock(&sp->lock);
}

int fspf_space_wait_ready(struct fspf_space *sp)
{
	while (!sp->ready)
		pthread_cond_wait(&sp->changed, &sp->lock);
	return sp->error;
}

bool fspf_space_wait_trim(struct fspf_space *sp)
{
	if (!sp->n.trimming)
		return false;
	pthread_cond_wait(&sp->changed, &sp->lock);
	return true;
}

/* Both are what they are at this instant; @available blocks could be reserved still. */
static void fill_stat(const struct fspf_space *sp, uint64_t available, struct fspf_space_stat *st)
{
	uint64_t in_use = sp->n.reserved * FSPF_SPACE_GROUP - sp->n.free;
	uint64_t limit = sp->segments_max * sp->segment_blocks;

	st->deferred = sp->open.blocks + sp->frozen.blocks;
	st->used = in_use - min_u64(in_use, st->deferred);
	st->free = sp->n.free + sp->n.trimming * FSPF_SPACE_GROUP + available;
	if (limit)
		st->free = min_u64(st->free, limit - in_use);
	st->total = limit ? limit : in_use + st->free;
	st->promised = sp->promised;
	st->cursor = sp->cursor;
	st->segments = sp->nsegments;
	st->generation = sp->generation;
}

void fspf_space_stat(struct fspf_space *sp, struct fspf_space_stat *ret)
{
	uint64_t bytes;

	if (sp->store->ops->available(sp->store, &bytes))
		bytes = 0;
	pthread_mutex_lock(&sp->lock);
	fill_stat(sp, bytes / FSPF_BLOCK_SIZE, ret);
	pthread_mutex_unlock(&sp->lock);
}

/* S4, and what else can be counted. */
bool fspf_space_check(struct fspf_space *sp)
{
	struct space_counts n = {0};
	uint64_t i;
	bool ok;

	pthread_mutex_lock(&sp->lock);
	ok = !sp->broken && sp->promised <= sp->n.free && fspf_space_deferred_check(sp);
	for (i = 0; i < sp->nsegments && ok; i++) {
		if (!sp->segments[i])
			continue;
		ok = fspf_space_segment_check(sp->segments[i]);
		n.free += sp->segments[i]->n.free;
		n.quads += sp->segments[i]->n.quads;
		n.reserved += sp->segments[i]->n.reserved;
		n.trimming += sp->segments[i]->n.trimming;
	}
	ok = ok && fspf_space_counts_equal(&n, &sp->n);
	pthread_mutex_unlock(&sp->lock);
	return ok;
}
