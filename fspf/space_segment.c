/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/space_segment.c - the bitmap of one segment
 *
 * How: a word holds a group, so a group's state changes with one store.  Runs are found by counting
 * trailing zeroes from one edge to the next.  `longest` lets a search pass by a segment whose runs
 * are all too short: it is exact after a search of the whole segment found nothing, grows when
 * a run is given back, and is not lowered when one is taken, so it never errs to the low side.
 */
#include "fspf/space_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static_assert(FSPF_SPACE_GROUP == 64, "a group is one word");

uint32_t fspf_space_next_clear(const uint64_t *words, uint32_t from, uint32_t end)
{
	uint64_t word;
	uint32_t w = from / 64;

	if (from >= end)
		return end;
	word = ~words[w] & (UINT64_MAX << from % 64);
	while (!word) {
		if (++w * 64 >= end)
			return end;
		word = ~words[w];
	}
	from = w * 64 + (uint32_t)__builtin_ctzll(word);
	return from < end ? from : end;
}

uint32_t fspf_space_next_set(const uint64_t *words, uint32_t from, uint32_t end)
{
	uint64_t word;
	uint32_t w = from / 64;

	if (from >= end)
		return end;
	word = words[w] & (UINT64_MAX << from % 64);
	while (!word) {
		if (++w * 64 >= end)
			return end;
		word = words[w];
	}
	from = w * 64 + (uint32_t)__builtin_ctzll(word);
	return from < end ? from : end;
}

/* The first of the clear bits that end before @from. */
static uint32_t clear_run_start(const uint64_t *words, uint32_t from)
{
	uint64_t word;
	uint32_t w;

	while (from) {
		w = (from - 1) / 64;
		word = words[w] & (UINT64_MAX >> (63 - (from - 1) % 64));
		if (word)
			return w * 64 + 64 - (uint32_t)__builtin_clzll(word);
		from = w * 64;
	}
	return 0;
}

static uint32_t popcount(uint64_t word)
{
	return (uint32_t)__builtin_popcountll(word);
}

static uint32_t count_quads(uint64_t word)
{
	word |= word >> 1;
	word |= word >> 2;
	return popcount(~word & UINT64_C(0x1111111111111111));
}

/* S4: nothing else changes a word. */
static void set_word(struct space_segment *seg, uint32_t w, uint64_t word)
{
	uint64_t old = seg->busy[w];

	seg->n.free += (uint64_t)popcount(old) - popcount(word);
	seg->n.quads += (uint64_t)count_quads(word) - count_quads(old);
	seg->busy[w] = word;
}

static void set_bit(uint64_t *words, uint32_t i)
{
	words[i / 64] |= UINT64_C(1) << i % 64;
}

static void clear_bit(uint64_t *words, uint32_t i)
{
	words[i / 64] &= ~(UINT64_C(1) << i % 64);
}

int fspf_space_segment_new(uint32_t nblocks, struct space_segment **ret)
{
	size_t groups = nblocks / FSPF_SPACE_GROUP, words = (groups + 63) / 64;
	struct space_segment *seg = calloc(1, sizeof(*seg) + (groups + 2 * words) * 8);

	if (!seg)
		return -ENOMEM;
	seg->nblocks = nblocks;
	seg->busy = (uint64_t *)(seg + 1);
	seg->reserved = seg->busy + groups;
	seg->trimming = seg->reserved + words;
	memset(seg->busy, 0xff, groups * 8);
	*ret = seg;
	return 0;
}

void fspf_space_segment_free(struct space_segment *seg)
{
	free(seg);
}

/* The length of the run of clear bits of which @start is one, as far as it matters to @wish: all
 * that follows when any length will do, else one block more than will do. */
static uint32_t measure(const struct space_segment *seg, uint32_t start,
			const struct space_wish *wish)
{
	uint64_t reach = wish->want;

	if (wish->most != SPACE_ANY) {
		start = clear_run_start(seg->busy, start);
		reach = (uint64_t)wish->most + 1;
	}
	return fspf_space_next_set(seg->busy, start,
				   (uint32_t)min_u64(start + reach, seg->nblocks)) -
	       start;
}

uint32_t fspf_space_segment_find(struct space_segment *seg, uint32_t from,
				 const struct space_wish *wish, uint32_t *ret_start)
{
	uint32_t start, end, len, longest = 0, i = from;

	if (seg->n.free < wish->least || seg->longest < wish->least)
		return 0;
	while ((start = fspf_space_next_clear(seg->busy, i, seg->nblocks)) < seg->nblocks) {
		len = measure(seg, start, wish);
		end = (uint32_t)min_u64((uint64_t)start + wish->want, seg->nblocks);
		end = fspf_space_next_set(seg->busy, start, end);
		if (len <= wish->most && end - start >= wish->least) {
			*ret_start = start;
			return end - start;
		}
		longest = (uint32_t)max_u64(longest, len);
		i = fspf_space_next_set(seg->busy, end, seg->nblocks);
	}
	if (!from && wish->most == SPACE_ANY) /* all of them were shorter than least <= want */
		seg->longest = longest;
	return 0;
}

void fspf_space_segment_take(struct space_segment *seg, uint32_t start, uint32_t count)
{
	uint32_t w, end = start + count;

	for (w = start / 64; w * 64 < end; w++)
		set_word(seg, w, seg->busy[w] | space_mask_in_word(start, end, w));
}

/* Somewhere in @start .. @end bits were cleared: the run around them may be the longest now. */
static void note_run(struct space_segment *seg, uint32_t start, uint32_t end)
{
	uint32_t first = clear_run_start(seg->busy, start);
	uint32_t last = fspf_space_next_set(seg->busy, end, seg->nblocks);

	seg->longest = (uint32_t)max_u64(seg->longest, last - first);
}

bool fspf_space_segment_give(struct space_segment *seg, uint32_t start, uint32_t count)
{
	uint64_t mask, used, before = seg->n.free;
	uint32_t w, end = start + count;

	for (w = start / 64; w * 64 < end; w++) {
		used = fspf_space_segment_used(seg, w);
		mask = space_mask_in_word(start, end, w);
		set_word(seg, w, seg->busy[w] & ~(mask & used));
	}
	note_run(seg, start, end);
	return seg->n.free == before + count;
}

int fspf_space_segment_mark(struct space_segment *seg, uint32_t start, uint32_t count)
{
	uint32_t w, end = start + count;
	uint64_t mask;

	for (w = start / 64; w * 64 < end; w++) {
		if (!space_bit(seg->reserved, w))
			fspf_space_segment_back(seg, w, 1);
		mask = space_mask_in_word(start, end, w);
		if (seg->busy[w] & mask)
			return -EBADMSG;
		set_word(seg, w, seg->busy[w] | mask);
	}
	return 0;
}

static bool is_unbacked(const struct space_segment *seg, uint32_t group)
{
	return !space_bit(seg->reserved, group) && !space_bit(seg->trimming, group);
}

uint32_t fspf_space_segment_unbacked(const struct space_segment *seg, uint32_t from, uint32_t max,
				     uint32_t *ret_group)
{
	uint32_t first, n = 0, groups = seg->nblocks / FSPF_SPACE_GROUP;

	if (seg->n.reserved + seg->n.trimming == groups)
		return 0;
	for (first = from; first < groups && !is_unbacked(seg, first); first++)
		;
	while (n < max && first + n < groups && is_unbacked(seg, first + n))
		n++;
	if (n)
		*ret_group = first;
	return n;
}

void fspf_space_segment_back(struct space_segment *seg, uint32_t group, uint32_t count)
{
	uint32_t g;

	for (g = group; g < group + count; g++) {
		set_bit(seg->reserved, g);
		set_word(seg, g, 0);
	}
	seg->n.reserved += count;
	note_run(seg, group * FSPF_SPACE_GROUP, (group + count) * FSPF_SPACE_GROUP);
}

void fspf_space_segment_trim(struct space_segment *seg, uint32_t group)
{
	if (!space_bit(seg->reserved, group) || seg->busy[group])
		return;
	clear_bit(seg->reserved, group);
	set_bit(seg->trimming, group);
	set_word(seg, group, UINT64_MAX);
	seg->n.reserved--;
	seg->n.trimming++;
}

uint32_t fspf_space_segment_next_trimming(const struct space_segment *seg, uint32_t *ret_group)
{
	uint32_t first, end, groups = seg->nblocks / FSPF_SPACE_GROUP;

	if (!seg->n.trimming)
		return 0;
	first = fspf_space_next_set(seg->trimming, 0, groups);
	end = fspf_space_next_clear(seg->trimming, first, groups);
	*ret_group = first;
	return end - first;
}

void fspf_space_segment_trimmed(struct space_segment *seg, uint32_t group, uint32_t count)
{
	uint32_t g;

	for (g = group; g < group + count; g++)
		clear_bit(seg->trimming, g);
	seg->n.trimming -= count;
}

uint64_t fspf_space_segment_used(const struct space_segment *seg, uint32_t group)
{
	return space_bit(seg->reserved, group) ? seg->busy[group] : 0;
}

bool fspf_space_counts_equal(const struct space_counts *a, const struct space_counts *b)
{
	return a->free == b->free && a->quads == b->quads && a->reserved == b->reserved &&
	       a->trimming == b->trimming;
}

bool fspf_space_segment_check(const struct space_segment *seg)
{
	struct space_counts n = {0};
	bool reserved, trimming, ok = true;
	uint32_t g, start, end = 0;

	for (g = 0; g < seg->nblocks / FSPF_SPACE_GROUP; g++) {
		reserved = space_bit(seg->reserved, g);
		trimming = space_bit(seg->trimming, g);
		ok = ok && !(reserved && trimming) && (reserved || seg->busy[g] == UINT64_MAX);
		n.reserved += reserved;
		n.trimming += trimming;
		n.free += FSPF_SPACE_GROUP - popcount(seg->busy[g]);
		n.quads += count_quads(seg->busy[g]);
	}
	while ((start = fspf_space_next_clear(seg->busy, end, seg->nblocks)) < seg->nblocks) {
		end = fspf_space_next_set(seg->busy, start, seg->nblocks);
		ok = ok && end - start <= seg->longest;
	}
	return ok && fspf_space_counts_equal(&n, &seg->n);
}
