/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/space_keep.c - what snapshots keep in use, and marks of what several states share
 *
 *   S6  A snapshot of generation G reaches nothing that was born later, so whatever the live state
 *       releases and was born in G or before may be a snapshot's and is not given back.  Where the
 *       live state descends from the newest snapshot it is one's, exactly: it was there at G.
 *       Where it descends from an older one that has been restored and deleted since, it may be
 *       nobody's; whoever makes that so says that the map is not exact (fspf_space_lose).
 *
 * While a snapshot is being made or deleted nobody knows yet whether it will be: what is released
 * meanwhile is held, in a list like the deferred ones.
 */
#include "fspf/space_internal.h"

#include <errno.h>

/* ---- marks ---- */

static uint64_t marked_piece(const struct fspf_space *sp, const struct space_piece *p)
{
	const struct space_segment *seg = fspf_space_known_segment(sp, p->number);
	uint32_t end = p->start + p->count;
	uint64_t n = 0;

	for (uint32_t w = p->start / 64; seg && w * 64 < end; w++)
		n += (uint64_t)__builtin_popcountll(fspf_space_segment_used(seg, w) &
						    space_mask_in_word(p->start, end, w));
	return n;
}

static uint64_t marked(const struct fspf_space *sp, uint64_t block, uint64_t count)
{
	struct space_piece piece;
	uint64_t n = 0;

	for (; count; block += piece.count, count -= piece.count) {
		piece = fspf_space_cut(sp, block, count);
		n += marked_piece(sp, &piece);
	}
	return n;
}

uint64_t fspf_space_marked(struct fspf_space *sp, uint64_t block, uint64_t count)
{
	uint64_t n;

	pthread_mutex_lock(&sp->lock);
	n = marked(sp, block, count);
	pthread_mutex_unlock(&sp->lock);
	return n;
}

/* Mostly all of the blocks are new, or none is. */
static int mark_missing(struct fspf_space *sp, uint64_t block, uint64_t count)
{
	int r = 0;

	for (uint64_t i = 0; i < count && r == 0; i++)
		if (!marked(sp, block + i, 1))
			r = fspf_space_mark_locked(sp, block + i, 1);
	return r;
}

int fspf_space_mark_shared(struct fspf_space *sp, uint64_t block, uint64_t count, uint64_t *ret_new)
{
	uint64_t missing;
	int r = 0;

	pthread_mutex_lock(&sp->lock);
	missing = count - marked(sp, block, count);
	if (missing == count)
		r = fspf_space_mark_locked(sp, block, count);
	else if (missing)
		r = mark_missing(sp, block, count);
	pthread_mutex_unlock(&sp->lock);
	if (r == 0)
		*ret_new = missing;
	return r;
}

int fspf_space_mark_deferred(struct fspf_space *sp, uint64_t block, uint64_t count)
{
	int r;

	pthread_mutex_lock(&sp->lock);
	r = fspf_space_mark_locked(sp, block, count);
	if (r == 0)
		fspf_space_note(sp, &sp->open, block, count);
	pthread_mutex_unlock(&sp->lock);
	return r;
}

/* ---- holding ---- */

void fspf_space_hold(struct fspf_space *sp, uint64_t after, uint64_t to)
{
	pthread_mutex_lock(&sp->lock);
	sp->hold_after = after;
	sp->hold_to = to;
	pthread_mutex_unlock(&sp->lock);
}

/* End it; what was held. */
static struct space_runs take_held(struct fspf_space *sp)
{
	struct space_runs held = {0};

	fspf_space_runs_move(&sp->held, &held);
	sp->hold_after = sp->hold_to = 0;
	return held;
}

void fspf_space_hold_keep(struct fspf_space *sp)
{
	struct space_runs held;

	pthread_mutex_lock(&sp->lock);
	held = take_held(sp);
	pthread_mutex_unlock(&sp->lock);
	fspf_space_runs_free(&held);
}

static void release_run(struct fspf_space *sp, const struct space_run *run, struct fspf_space *but)
{
	for (uint64_t i = 0; but && i < run->count; i++)
		if (!fspf_space_marked(but, run->block + i, 1))
			fspf_space_note(sp, &sp->open, run->block + i, 1);
	if (!but)
		fspf_space_note(sp, &sp->open, run->block, run->count);
}

void fspf_space_hold_release(struct fspf_space *sp, struct fspf_space *but)
{
	struct space_runs held;

	pthread_mutex_lock(&sp->lock);
	held = take_held(sp);
	for (const struct space_chunk *c = held.first; c; c = c->next)
		for (uint32_t i = 0; i < c->nruns; i++)
			release_run(sp, &c->runs[i], but);
	pthread_mutex_unlock(&sp->lock);
	fspf_space_runs_free(&held);
}

void fspf_space_set_kept(struct fspf_space *sp, uint64_t generation)
{
	pthread_mutex_lock(&sp->lock);
	sp->kept = generation;
	pthread_mutex_unlock(&sp->lock);
}

/* ---- exactness ---- */

void fspf_space_lose(struct fspf_space *sp)
{
	pthread_mutex_lock(&sp->lock);
	sp->lost = true;
	pthread_mutex_unlock(&sp->lock);
}

bool fspf_space_is_exact(struct fspf_space *sp)
{
	bool exact;

	pthread_mutex_lock(&sp->lock);
	exact = !sp->lost;
	pthread_mutex_unlock(&sp->lock);
	return exact;
}
