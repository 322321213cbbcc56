/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/space_release.c - giving space back: generations and trimming
 *
 * How: a block that is released and still reached by some root stays marked in use and is noted in
 * a list of runs.  freeze() moves the open generation's list to the frozen one, published() gives
 * the frozen runs back, thaw() moves them to the open list again; several freezes in a row are
 * fine, one published() then gives back what all of them deferred.  Lists are chains of chunks, so
 * moving one costs nothing and cannot fail.  Should the memory for a note not be had, the run
 * stays in use until the map is next rebuilt: space is lost, never reused early.
 *
 *   S2  Only fspf_space_give() clears bits, and a run of an older generation comes to it from
 *       published() alone.
 *
 * Trimming: the groups that became free are marked (which takes them out of reach), the lock is
 * dropped while the store works, and then they are free and not reserved.  Whoever finds no space
 * meanwhile waits for that.  Trimming after a commit leaves reserved what was promised, and what
 * promises since the last one wanted kept: the next will want it again.
 */
#include "fspf/space_internal.h"

#include <stdlib.h>

/* False: no memory. */
static bool runs_add(struct space_runs *runs, uint64_t block, uint64_t count)
{
	struct space_chunk *c = runs->last;
	struct space_run *last = c ? &c->runs[c->nruns - 1] : NULL;

	if (last && last->block + last->count == block) {
		last->count += count;
	} else {
		if (!c || c->nruns == SPACE_CHUNK_RUNS) {
			c = malloc(sizeof(*c));
			if (!c)
				return false;
			c->next = NULL;
			c->nruns = 0;
			if (runs->last)
				runs->last->next = c;
			else
				runs->first = c;
			runs->last = c;
		}
		c->runs[c->nruns++] = (struct space_run){block, count};
	}
	runs->blocks += count;
	return true;
}

void fspf_space_note(struct fspf_space *sp, struct space_runs *runs, uint64_t block, uint64_t count)
{
	if (!runs_add(runs, block, count))
		sp->lost = true;
}

void fspf_space_runs_move(struct space_runs *from, struct space_runs *to)
{
	if (!from->first)
		return;
	if (to->last)
		to->last->next = from->first;
	else
		to->first = from->first;
	to->last = from->last;
	to->blocks += from->blocks;
	*from = (struct space_runs){0};
}

void fspf_space_runs_free(struct space_runs *runs)
{
	struct space_chunk *c;

	while ((c = runs->first)) {
		runs->first = c->next;
		free(c);
	}
	*runs = (struct space_runs){0};
}

struct space_segment *fspf_space_known_segment(const struct fspf_space *sp, uint64_t number)
{
	return number && number <= sp->nsegments ? sp->segments[number - 1] : NULL;
}

/* Blocks that were not in use stay as they are, and the check tells. */
void fspf_space_give(struct fspf_space *sp, uint64_t block, uint64_t count)
{
	struct space_segment *seg;
	struct space_counts before;
	struct space_piece piece;

	for (; count; block += piece.count, count -= piece.count) {
		piece = fspf_space_cut(sp, block, count);
		seg = fspf_space_known_segment(sp, piece.number);
		if (!seg) {
			sp->broken = true;
			continue;
		}
		before = seg->n;
		if (!fspf_space_segment_give(seg, piece.start, piece.count))
			sp->broken = true;
		space_account(sp, seg, &before);
	}
}

void fspf_space_release(struct fspf_space *sp, uint64_t block, uint64_t count, uint64_t birth)
{
	pthread_mutex_lock(&sp->lock);
	if (birth ==
	    sp->generation) /* a greater one is nobody's: it waits as if it were old (S2) */
		fspf_space_give(sp, block, count);
	else if (birth > sp->hold_after && birth <= sp->hold_to)
		fspf_space_note(sp, &sp->held, block, count);
	else if (!sp->kept || birth > sp->kept) /* S6: else it is a snapshot's */
		fspf_space_note(sp, &sp->open, block, count);
	pthread_mutex_unlock(&sp->lock);
}

void fspf_space_drop(struct fspf_space *sp, uint64_t block, uint64_t count)
{
	pthread_mutex_lock(&sp->lock);
	fspf_space_note(sp, &sp->open, block, count);
	pthread_mutex_unlock(&sp->lock);
}

void fspf_space_freeze(struct fspf_space *sp)
{
	pthread_mutex_lock(&sp->lock);
	fspf_space_runs_move(&sp->open, &sp->frozen);
	sp->generation++;
	pthread_mutex_unlock(&sp->lock);
}

void fspf_space_thaw(struct fspf_space *sp)
{
	pthread_mutex_lock(&sp->lock);
	fspf_space_runs_move(&sp->frozen, &sp->open);
	pthread_mutex_unlock(&sp->lock);
}

/* S3, S5: what was promised stays reserved, and @leave says what else. */
static void mark_group_for_trim(struct fspf_space *sp, struct space_segment *seg, uint32_t group,
				uint64_t leave)
{
	struct space_counts before = seg->n;

	if (sp->n.free < sp->promised + leave + FSPF_SPACE_GROUP)
		return;
	fspf_space_segment_trim(seg, group);
	space_account(sp, seg, &before);
}

/* Those groups that [block, block + count) touches and that are free. */
static void mark_for_trim(struct fspf_space *sp, uint64_t block, uint64_t count, uint64_t leave)
{
	struct space_segment *seg;
	struct space_piece piece;
	uint32_t g, end;

	for (; count; block += piece.count, count -= piece.count) {
		piece = fspf_space_cut(sp, block, count);
		seg = fspf_space_known_segment(sp, piece.number);
		end = piece.start + piece.count;
		for (g = piece.start / FSPF_SPACE_GROUP; seg && g * FSPF_SPACE_GROUP < end; g++)
			mark_group_for_trim(sp, seg, g, leave);
	}
}

/* One range after the other, with the lock dropped meanwhile; segments are never taken away, but
 * their table may move. */
static void trim_segment(struct fspf_space *sp, uint64_t index)
{
	struct space_segment *seg = sp->segments[index];
	struct space_counts before;
	uint32_t group, count;
	uint64_t block;

	while (seg && (count = fspf_space_segment_next_trimming(seg, &group))) {
		block = (index + 1) * sp->segment_blocks + (uint64_t)group * FSPF_SPACE_GROUP;
		pthread_mutex_unlock(&sp->lock);
		sp->store->ops->trim(sp->store, block, (uint64_t)count * FSPF_SPACE_GROUP);
		pthread_mutex_lock(&sp->lock);
		before = seg->n;
		fspf_space_segment_trimmed(seg, group, count);
		space_account(sp, seg, &before);
		sp->store_full = false;
		pthread_cond_broadcast(&sp->changed);
	}
}

/* Trim what is marked; one thread at a time, since marks do not tell whose they are. */
static void trim_marked(struct fspf_space *sp)
{
	uint64_t i;

	while (sp->trim_busy)
		pthread_cond_wait(&sp->changed, &sp->lock);
	sp->trim_busy = true;
	for (i = 0; i < sp->nsegments && sp->n.trimming; i++)
		trim_segment(sp, i);
	sp->trim_busy = false;
	pthread_cond_broadcast(&sp->changed);
}

/* Free first and trim second: a group may become free by several runs. */
static void give_runs(struct fspf_space *sp, const struct space_runs *runs)
{
	const struct space_chunk *c;
	uint32_t i;

	for (c = runs->first; c; c = c->next)
		for (i = 0; i < c->nruns; i++)
			fspf_space_give(sp, c->runs[i].block, c->runs[i].count);
	for (c = runs->first; c; c = c->next)
		for (i = 0; i < c->nruns; i++)
			mark_for_trim(sp, c->runs[i].block, c->runs[i].count, sp->keep);
	trim_marked(sp);
}

void fspf_space_published(struct fspf_space *sp)
{
	struct space_runs runs = {0};

	pthread_mutex_lock(&sp->lock);
	if (sp->ready) /* else at the next time: what is not loaded cannot be freed */
		fspf_space_runs_move(&sp->frozen, &runs);
	give_runs(sp, &runs);
	sp->keep = 0;
	pthread_mutex_unlock(&sp->lock);
	fspf_space_runs_free(&runs);
}

void fspf_space_trim_free(struct fspf_space *sp)
{
	uint64_t i;

	pthread_mutex_lock(&sp->lock);
	for (i = 1; i <= sp->nsegments; i++)
		mark_for_trim(sp, i * sp->segment_blocks, sp->segment_blocks, 0);
	trim_marked(sp);
	pthread_mutex_unlock(&sp->lock);
}

/* In use, and not seen before: @seen has a bit a block. */
static bool check_deferred_block(const struct fspf_space *sp, uint64_t block, uint64_t *seen)
{
	const struct space_segment *seg = fspf_space_known_segment(sp, block / sp->segment_blocks);
	uint32_t at = (uint32_t)(block % sp->segment_blocks);
	uint64_t bit = UINT64_C(1) << at % 64;

	if (!seg || !(fspf_space_segment_used(seg, at / 64) & bit) || seen[block / 64] & bit)
		return false;
	seen[block / 64] |= bit;
	return true;
}

static bool check_runs(const struct fspf_space *sp, const struct space_runs *runs, uint64_t *seen)
{
	const struct space_chunk *c;
	uint64_t i, total = 0;
	uint32_t k;

	for (c = runs->first; c; c = c->next)
		for (k = 0; k < c->nruns; k++)
			for (i = 0; i < c->runs[k].count; i++, total++)
				if (!check_deferred_block(sp, c->runs[k].block + i, seen))
					return false;
	return total == runs->blocks;
}

bool fspf_space_deferred_check(const struct fspf_space *sp)
{
	uint64_t *seen = calloc(sp->nsegments + 1, sp->segment_blocks / 8);
	bool ok;

	if (!seen)
		return false;
	ok = check_runs(sp, &sp->open, seen) && check_runs(sp, &sp->frozen, seen) &&
	     check_runs(sp, &sp->held, seen);
	free(seen);
	return ok;
}
