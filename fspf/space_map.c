/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/space_map.c - the stored map of blocks in use (docs/format.md, "Space map")
 *
 * An entry covers a piece of at most FSPF_SPACE_PIECE blocks:
 *
 *   0  kind   u8   1: runs, 2: bitmap
 *   1  zero   u8
 *   2  nruns  u16  how many runs of blocks in use there are, > 0
 *   4  nused  u32  how many blocks are in use
 *   8  runs   nruns times: start u16, length u16, in blocks of the piece;
 *      or the bitmap, one bit a block, set when it is in use, the first block's lowest
 *
 * The shorter form is used, runs if both are equal, and decode accepts nothing else: one
 * map has one encoding, and zeroes are none.  Entries come out of sealed nodes; they are checked
 * all the same, because a mark that lies beyond the segment would be written to memory.
 */
#include "fspf/space_internal.h"

#include <assert.h>
#include <errno.h>

#define HEADER 8u /* bytes */
#define PIECE_WORDS (FSPF_SPACE_PIECE / 64)
#define KIND_RUNS 1u
#define KIND_BITMAP 2u

static_assert(HEADER + FSPF_SPACE_PIECE / 8 == FSPF_SPACE_ENTRY_MAX, "a bitmap fits an entry");

/* The blocks in use of one piece. */
struct piece {
	uint64_t number; /* segment */
	uint32_t start;	 /* block in the segment */
	uint32_t nblocks;
	uint32_t nruns, nused;
	uint64_t words[PIECE_WORDS];
};

static uint64_t pieces_per_segment(const struct fspf_space *sp)
{
	return (sp->segment_blocks + FSPF_SPACE_PIECE - 1) / FSPF_SPACE_PIECE;
}

static void piece_init(const struct fspf_space *sp, uint64_t index, struct piece *p)
{
	*p = (struct piece){.number = index / pieces_per_segment(sp)};
	p->start = (uint32_t)(index % pieces_per_segment(sp)) * FSPF_SPACE_PIECE;
	p->nblocks = (uint32_t)min_u64(FSPF_SPACE_PIECE, sp->segment_blocks - p->start);
}

/* The next run of blocks in use at or after @from; false when there is none. */
static bool next_run(const struct piece *p, uint32_t from, uint32_t *ret_start, uint32_t *ret_end)
{
	*ret_start = fspf_space_next_set(p->words, from, p->nblocks);
	*ret_end = fspf_space_next_clear(p->words, *ret_start, p->nblocks);
	return *ret_start < p->nblocks;
}

static void count_runs(struct piece *p)
{
	uint32_t start, end;

	p->nruns = p->nused = 0;
	for (end = 0; next_run(p, end, &start, &end); p->nruns++)
		p->nused += end - start;
}

static bool runs_are_shorter(const struct piece *p)
{
	return p->nruns * 4 <= p->nblocks / 8;
}

static size_t entry_len(const struct piece *p)
{
	return HEADER + (runs_are_shorter(p) ? p->nruns * 4 : p->nblocks / 8);
}

static void put_entry(const struct piece *p, uint8_t *out)
{
	bool runs = runs_are_shorter(p);
	uint32_t i, start, end = 0;

	out[0] = runs ? KIND_RUNS : KIND_BITMAP;
	out[1] = 0;
	put_le16(out + 2, (uint16_t)p->nruns);
	put_le32(out + 4, p->nused);
	out += HEADER;
	if (runs) {
		for (; next_run(p, end, &start, &end); out += 4) {
			put_le16(out, (uint16_t)start);
			put_le16(out + 2, (uint16_t)(end - start));
		}
	} else {
		for (i = 0; i < p->nblocks / 64; i++)
			put_le64(out + i * 8, p->words[i]);
	}
}

static int load_piece(const struct fspf_space *sp, struct piece *p)
{
	const struct space_segment *seg;
	uint32_t i;

	if (sp->open.blocks || sp->frozen.blocks)
		return -EBUSY;
	if (!p->number || p->number > sp->nsegments || !sp->segments[p->number - 1])
		return -ENOENT;
	seg = sp->segments[p->number - 1];
	for (i = 0; i < p->nblocks / 64; i++)
		p->words[i] = fspf_space_segment_used(seg, p->start / 64 + i);
	count_runs(p);
	return p->nruns ? 0 : -ENOENT;
}

int fspf_space_encode(struct fspf_space *sp, uint64_t index,
		      uint8_t out[static FSPF_SPACE_ENTRY_MAX], size_t *ret_len)
{
	struct piece p;
	int r;

	piece_init(sp, index, &p);
	pthread_mutex_lock(&sp->lock);
	r = load_piece(sp, &p);
	pthread_mutex_unlock(&sp->lock);
	if (r)
		return r;
	put_entry(&p, out);
	*ret_len = entry_len(&p);
	return 0;
}

/* Runs ascend and do not touch. */
static int get_runs(struct piece *p, const uint8_t *in, size_t len)
{
	uint32_t start, end, i, last = 0;
	size_t at;

	for (at = 0; at + 4 <= len; at += 4) {
		start = get_le16(in + at);
		end = start + get_le16(in + at + 2);
		if (end > p->nblocks || end == start || (at && start <= last))
			return -EBADMSG;
		for (i = start; i < end; i++)
			p->words[i / 64] |= UINT64_C(1) << i % 64;
		last = end;
	}
	return at == len ? 0 : -EBADMSG;
}

static int get_bitmap(struct piece *p, const uint8_t *in, size_t len)
{
	uint32_t i;

	if (len != p->nblocks / 8)
		return -EBADMSG;
	for (i = 0; i < p->nblocks / 64; i++)
		p->words[i] = get_le64(in + i * 8);
	return 0;
}

/* What was read must be what put_entry would have written. */
static int get_entry(struct piece *p, const uint8_t *in, size_t len)
{
	int r;

	if (len < HEADER || in[1])
		return -EBADMSG;
	if (in[0] == KIND_RUNS)
		r = get_runs(p, in + HEADER, len - HEADER);
	else
		r = in[0] == KIND_BITMAP ? get_bitmap(p, in + HEADER, len - HEADER) : -EBADMSG;
	if (r)
		return r;
	count_runs(p);
	if (!p->nruns || p->nruns != get_le16(in + 2) || p->nused != get_le32(in + 4) ||
	    runs_are_shorter(p) != (in[0] == KIND_RUNS))
		return -EBADMSG;
	return 0;
}

int fspf_space_decode(struct fspf_space *sp, uint64_t index, const void *entry, size_t len)
{
	uint32_t start, end = 0;
	struct piece p;
	int r;

	piece_init(sp, index, &p);
	r = get_entry(&p, entry, len);
	if (!r && (!p.number || p.number > SPACE_SEGMENTS_MAX))
		r = -EBADMSG;
	pthread_mutex_lock(&sp->lock);
	while (!r && next_run(&p, end, &start, &end))
		r = fspf_space_mark_locked(sp, p.number * sp->segment_blocks + p.start + start,
					   end - start);
	pthread_mutex_unlock(&sp->lock);
	return r;
}

uint64_t fspf_space_pieces(struct fspf_space *sp)
{
	uint64_t n;

	pthread_mutex_lock(&sp->lock);
	n = (sp->nsegments + 1) * pieces_per_segment(sp);
	pthread_mutex_unlock(&sp->lock);
	return n;
}
