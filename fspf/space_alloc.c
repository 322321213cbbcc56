/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/space_alloc.c - which free blocks are handed out, and when more are reserved
 *
 * How: next-fit over clear bits, which are blocks both free and reserved (space_internal.h).  A run
 * of min(want, RUN_GOOD) blocks is good enough: at 256 KiB a request costs more in transfer than in
 * positioning.  When there is none, groups are reserved, first in the segments that exist and then
 * in a new one; only when free blocks in short runs make up a quarter of what exists are these used
 * up before a new segment is made, so that fragmentation costs at most a third more space.  At
 * the end every single block is taken.
 *
 * A tree needs its nodes' blocks together, and the last thing that may fail on a full volume is a
 * node of a delete.  So when what nodes fit in is short and space cannot grow, requests that take
 * single blocks are given the fragments that no node fits, and the longer runs are left to nodes.
 *
 *   S1  take() is the only way out, and fspf_space_segment_find shows it clear bits alone.
 *   S3  promised <= free: promise raises one after the other; an allocation from the promise lowers
 *       both, any other takes only from the difference.
 *   S5  A clear bit lies in a reserved group.
 */
#include "fspf/space_internal.h"

#include <errno.h>
#include <stdlib.h>

#define RUN_GOOD FSPF_SPACE_GROUP /* blocks */
#define NODE_BLOCKS 4u		  /* shorter runs are fragments: they hold no tree node */
#define SCATTERED 4u		  /* 1/4 of the segments free in short runs: use those up */
#define TIGHT 16u		  /* less than 1/16 of the segments could hold nodes */
#define WRITE_OUT 256u		  /* blocks of data that are asked for at a time, at most */

static uint64_t groups_for(uint64_t blocks)
{
	return blocks / FSPF_SPACE_GROUP + !!(blocks % FSPF_SPACE_GROUP);
}

/* The segment to go on in, as an index, and the block in it. */
static uint64_t cursor_place(const struct fspf_space *sp, uint32_t *ret_start)
{
	uint64_t number = sp->cursor / sp->segment_blocks;

	*ret_start = 0;
	if (!number || number > sp->nsegments)
		return 0;
	*ret_start = (uint32_t)(sp->cursor % sp->segment_blocks);
	return number - 1;
}

static uint64_t existing_blocks(const struct fspf_space *sp)
{
	return sp->nsegments * sp->segment_blocks;
}

static uint64_t unbacked_groups(const struct fspf_space *sp)
{
	return sp->nsegments * space_groups(sp) - sp->n.reserved - sp->n.trimming;
}

/* S5: ask the store for @count groups, one if it cannot give so many, and only then call them
 * reserved. */
static int back_groups(struct fspf_space *sp, uint64_t number, uint32_t group, uint32_t count)
{
	uint64_t block = number * sp->segment_blocks + group * FSPF_SPACE_GROUP;
	struct space_segment *seg;
	struct space_counts before;
	int r;

	r = fspf_space_need_segment(sp, number, &seg);
	if (r)
		return r;
	r = sp->store->ops->reserve(sp->store, block, (uint64_t)count * FSPF_SPACE_GROUP);
	if (r == -ENOSPC && count > 1) {
		sp->ahead = SPACE_AHEAD_MIN;
		count = 1;
		r = sp->store->ops->reserve(sp->store, block, FSPF_SPACE_GROUP);
	}
	sp->store_full = r == -ENOSPC;
	if (r)
		return r;
	before = seg->n;
	fspf_space_segment_back(seg, group, count);
	space_account(sp, seg, &before);
	return 0;
}

/* Groups in a row that are not reserved. */
struct gap {
	uint64_t number; /* segment */
	uint32_t group, count;
};

/* The next gap from the cursor on and round, at most @max long; false when there is none. */
static bool next_gap(const struct fspf_space *sp, uint32_t max, struct gap *ret)
{
	const struct space_segment *seg;
	uint32_t start, group = 0, count = 0;
	uint64_t i, at = 0, first = cursor_place(sp, &start);

	if (!unbacked_groups(sp))
		return false;
	for (i = 0; i <= sp->nsegments && !count; i++) {
		at = (first + i) % sp->nsegments;
		seg = sp->segments[at];
		count = (uint32_t)min_u64(max, space_groups(sp));
		if (seg)
			count = fspf_space_segment_unbacked(seg, i ? 0 : start / FSPF_SPACE_GROUP,
							    max, &group);
	}
	*ret = (struct gap){.number = at + 1, .group = group, .count = count};
	return count;
}

/* Reserve about @groups more where they serve best, at least one.  -ENOSPC. */
static int back_more(struct fspf_space *sp, uint64_t groups)
{
	struct gap gap;
	uint32_t max;

	max = (uint32_t)min_u64(max_u64(groups, sp->ahead), space_groups(sp));
	sp->ahead = (uint32_t)min_u64(sp->ahead * UINT64_C(2), SPACE_AHEAD_MAX);
	if (!next_gap(sp, max, &gap))
		gap = (struct gap){.number = sp->nsegments + 1, .count = max};
	return back_groups(sp, gap.number, gap.group, gap.count);
}

static int back_up_to(struct fspf_space *sp, uint64_t blocks)
{
	int r = 0;

	while (!r && sp->n.free < blocks)
		r = back_more(sp, groups_for(blocks - sp->n.free));
	return r;
}

/* Next-fit: from the cursor to the end, then from the start and round to the cursor's segment. */
static uint32_t find(struct fspf_space *sp, const struct space_wish *wish, uint64_t *ret_block)
{
	struct space_segment *seg;
	uint32_t start, count, found;
	uint64_t i, at, first = cursor_place(sp, &start);

	for (i = 0; i <= sp->nsegments && sp->nsegments; i++) {
		at = (first + i) % sp->nsegments;
		seg = sp->segments[at];
		if (!seg)
			continue;
		count = fspf_space_segment_find(seg, i ? 0 : start, wish, &found);
		if (count) {
			*ret_block = (at + 1) * sp->segment_blocks + found;
			return count;
		}
	}
	return 0;
}

static uint32_t find_run(struct fspf_space *sp, uint32_t want, uint32_t least, uint64_t *ret_block)
{
	struct space_wish wish = {.least = least, .most = SPACE_ANY, .want = want};

	return find(sp, &wish, ret_block);
}

static uint32_t find_fragment(struct fspf_space *sp, uint32_t want, uint32_t least,
			      uint64_t *ret_block)
{
	struct space_wish wish = {.least = least, .most = NODE_BLOCKS - 1, .want = want};

	return find(sp, &wish, ret_block);
}

static bool can_grow(const struct fspf_space *sp)
{
	bool at_limit = sp->segments_max && sp->nsegments == sp->segments_max;

	return !sp->store_full && (!at_limit || unbacked_groups(sp));
}

/* Room for nodes is short, and no more can be had.  What was to be kept for them must not come into
 * the reach of one write-out. */
static bool is_tight(const struct fspf_space *sp)
{
	uint64_t least = max_u64(existing_blocks(sp) / TIGHT, 2 * sp->keep + WRITE_OUT);

	return sp->n.quads * NODE_BLOCKS < least && !can_grow(sp);
}

static bool is_scattered(const struct fspf_space *sp)
{
	return !unbacked_groups(sp) && sp->n.free > existing_blocks(sp) / SCATTERED;
}

/* A run that is shorter than wanted and ends where the reserved groups do may go on in the next. */
static uint32_t extend(struct fspf_space *sp, uint64_t block, uint32_t count, uint32_t want)
{
	uint32_t group, start = (uint32_t)(block % sp->segment_blocks), end = start + count;
	uint64_t number = block / sp->segment_blocks;
	struct space_segment *seg = sp->segments[number - 1];
	struct space_wish wish = {.least = 1, .most = SPACE_ANY, .want = want};
	uint32_t more = (uint32_t)max_u64(sp->ahead, groups_for(want - count));

	if (count == want || end % FSPF_SPACE_GROUP || end == sp->segment_blocks)
		return count;
	more = fspf_space_segment_unbacked(seg, end / FSPF_SPACE_GROUP, more, &group);
	if (!more || group != end / FSPF_SPACE_GROUP || sp->store_full)
		return count;
	if (back_groups(sp, number, group, more))
		return count;
	return fspf_space_segment_find(seg, start, &wish, &start);
}

/* Reserve more until there is a run of @least. */
static uint32_t grow(struct fspf_space *sp, uint32_t want, uint32_t least, uint64_t *ret_block,
		     int *ret_error)
{
	uint32_t count;
	int r;

	do {
		r = back_more(sp, groups_for(want));
		if (r) {
			*ret_error = r;
			return 0;
		}
		count = find_run(sp, want, least, ret_block);
	} while (!count);
	return count;
}

/* The policy at the top of this file.  -ENOSPC, or the store's error. */
static int choose(struct fspf_space *sp, uint32_t want, uint32_t least, uint64_t *ret_block,
		  uint32_t *ret_count)
{
	uint32_t target = (uint32_t)max_u64(min_u64(want, RUN_GOOD), least);
	bool scattered = is_scattered(sp);
	uint32_t count = 0;
	int r = -ENOSPC;

	if (least < NODE_BLOCKS && is_tight(sp))
		count = find_fragment(sp, want, least, ret_block);
	if (!count)
		count = find_run(sp, want, target, ret_block);
	if (!count && !scattered && !sp->store_full)
		count = grow(sp, want, target, ret_block, &r);
	while (!count && target > least) {
		target = (uint32_t)max_u64(target / 4, least);
		count = find_run(sp, want, target, ret_block);
	}
	if (!count)
		count = grow(sp, want, least, ret_block, &r);
	if (!count)
		return r;
	*ret_count = extend(sp, *ret_block, count, want);
	return 0;
}

/* S1, S3. */
static void take(struct fspf_space *sp, uint64_t block, uint32_t count, bool promised)
{
	struct space_segment *seg = sp->segments[block / sp->segment_blocks - 1];
	struct space_counts before = seg->n;

	fspf_space_segment_take(seg, (uint32_t)(block % sp->segment_blocks), count);
	space_account(sp, seg, &before);
	if (promised)
		sp->promised -= count;
	sp->cursor = block + count;
}

static int try_alloc(struct fspf_space *sp, uint32_t want, uint32_t least, bool promised,
		     uint64_t *ret_block, uint32_t *ret_count)
{
	uint64_t room = sp->promised;
	int r = 0;

	if (!promised) {
		r = back_up_to(sp, sp->promised + want);
		room = sp->n.free - sp->promised;
	}
	if (room < least)
		return r ? r : -ENOSPC;
	want = (uint32_t)min_u64(want, room);
	r = choose(sp, want, least, ret_block, ret_count);
	if (!r)
		take(sp, *ret_block, *ret_count, promised);
	return r;
}

int fspf_space_alloc(struct fspf_space *sp, uint32_t want, uint32_t least, bool promised,
		     uint64_t *ret_block, uint32_t *ret_count)
{
	uint64_t block = 0;
	uint32_t count = 0;
	int r;

	if (!least || least > want || least > sp->segment_blocks)
		return -EINVAL;
	want = (uint32_t)min_u64(want, sp->segment_blocks);
	pthread_mutex_lock(&sp->lock);
	r = fspf_space_wait_ready(sp);
	if (!r) {
		do
			r = try_alloc(sp, want, least, promised, &block, &count);
		while (r == -ENOSPC && fspf_space_wait_trim(sp));
	}
	pthread_mutex_unlock(&sp->lock);
	if (!r) {
		*ret_block = block;
		*ret_count = count;
	}
	return r;
}

void fspf_space_unalloc(struct fspf_space *sp, uint64_t block, uint64_t count)
{
	pthread_mutex_lock(&sp->lock);
	fspf_space_give(sp, block, count);
	pthread_mutex_unlock(&sp->lock);
}

/* S5: the blocks were reserved before they were handed out, and are still. */
void fspf_space_unalloc_promised(struct fspf_space *sp, uint64_t block, uint64_t count)
{
	pthread_mutex_lock(&sp->lock);
	fspf_space_give(sp, block, count);
	sp->promised += count;
	pthread_mutex_unlock(&sp->lock);
}

/* What is kept is for tree nodes, so it has to be free in fours, however many fragments there are.
 * Promised data takes the fragments first when fours are short, so a count of either is enough. */
static int back_nodes(struct fspf_space *sp, uint64_t keep)
{
	int r = 0;

	while (!r && sp->n.quads * NODE_BLOCKS < keep)
		r = back_more(sp, groups_for(keep));
	return r;
}

int fspf_space_promise(struct fspf_space *sp, uint64_t count, uint64_t keep)
{
	int r;

	pthread_mutex_lock(&sp->lock);
	r = fspf_space_wait_ready(sp);
	if (!r) {
		do {
			r = back_up_to(sp, sp->promised + count + keep);
			if (!r)
				r = back_nodes(sp, keep);
		} while (r == -ENOSPC && fspf_space_wait_trim(sp));
	}
	if (!r) {
		sp->promised += count;
		sp->keep = max_u64(sp->keep, keep);
	}
	pthread_mutex_unlock(&sp->lock);
	return r;
}

int fspf_space_restore(struct fspf_space *sp, uint64_t promised)
{
	int r;

	pthread_mutex_lock(&sp->lock);
	r = back_up_to(sp, sp->promised + promised);
	if (!r)
		sp->promised += promised;
	pthread_mutex_unlock(&sp->lock);
	return r;
}

void fspf_space_unpromise(struct fspf_space *sp, uint64_t count)
{
	pthread_mutex_lock(&sp->lock);
	if (count > sp->promised)
		sp->broken = true;
	sp->promised -= min_u64(count, sp->promised);
	pthread_mutex_unlock(&sp->lock);
}
