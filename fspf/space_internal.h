/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/space_internal.h - what the files of the space manager share
 *
 * A group is FSPF_SPACE_GROUP blocks and one word of a segment's bitmap.  It is in one of three
 * states:
 *   reserved   the store holds space for it; its word tells block by block what is in use
 *   trimming   the store is being told to drop it, nobody may touch it until that is done
 *   neither    free as a whole, and not backed by the store
 * In the latter two its word is all ones, so a clear bit is a block that is free *and* reserved,
 * and whoever looks for clear bits cannot break S5.  `free` always counts clear bits.
 *
 * Functions whose names begin with fspf_space_segment_ know one segment and no lock; the others are
 * called with the space's lock held.
 */
#ifndef FSPF_FSPF_SPACE_INTERNAL_H
#define FSPF_FSPF_SPACE_INTERNAL_H

#include <pthread.h>

#include "fspf/space.h"

#define SPACE_SEGMENTS_MAX (1u << 24) /* 1 PiB in segments of 64 MiB; bounds a hostile mark */
#define SPACE_ANY UINT32_MAX	      /* no upper bound on a run's length */
#define SPACE_AHEAD_MIN 16u	      /* groups reserved at a time: 4 MiB, */
#define SPACE_AHEAD_MAX 32u	      /* then 8 MiB */

/* Of a segment, or of all of them together. */
struct space_counts {
	uint64_t free;	   /* blocks: clear bits in busy */
	uint64_t quads;	   /* aligned fours of free blocks: room for tree nodes, at least */
	uint64_t reserved; /* groups */
	uint64_t trimming; /* groups */
};

struct space_segment {
	struct space_counts n;
	uint32_t nblocks;
	uint32_t longest;   /* blocks: no run of clear bits is longer (it may be shorter) */
	uint64_t *busy;	    /* a bit a block, a word a group */
	uint64_t *reserved; /* a bit a group */
	uint64_t *trimming; /* a bit a group */
};

/* A run to look for: its length, and how much of it is of use. */
struct space_wish {
	uint32_t least;
	uint32_t most; /* a longer run will not do; SPACE_ANY */
	uint32_t want;
};

/* Deferred runs, in the order in which they were released. */
#define SPACE_CHUNK_RUNS 255u
struct space_run {
	uint64_t block, count;
};
struct space_chunk {
	struct space_chunk *next;
	uint32_t nruns;
	struct space_run runs[SPACE_CHUNK_RUNS];
};
struct space_runs {
	struct space_chunk *first, *last;
	uint64_t blocks;
};

struct fspf_space {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* loading is over, or a trim has ended */
	struct fspf_store *store;
	uint32_t segment_blocks;
	uint64_t segments_max;
	struct space_segment **segments; /* [i]: segment i + 1, NULL: nothing reserved in it */
	uint64_t nsegments;
	uint64_t table_size;
	bool ready; /* loading is over: */
	int error;  /* with this result */
	uint64_t generation;
	uint64_t cursor;
	struct space_counts n;	  /* of all segments together */
	uint64_t promised;	  /* blocks, <= n.free (S3, S5) */
	uint64_t keep;		  /* blocks: the most a promise since the last commit wanted left */
	struct space_runs open;	  /* deferred to the open generation */
	struct space_runs frozen; /* deferred to frozen ones, waiting for published() */
	uint64_t kept;		  /* generation: what was born up to it is a snapshot's */
	uint64_t hold_after, hold_to; /* generations between which it is not known yet */
	struct space_runs held;	      /* released and born there */
	bool lost;		      /* something may be in use that nobody reaches */
	uint32_t ahead;		      /* groups to reserve at a time */
	bool store_full;	      /* the last reserve had no space */
	bool trim_busy;		      /* somebody is trimming what is marked so */
	bool broken;		      /* a caller released what was not in use: see the check */
};

/* Bits. */
uint32_t fspf_space_next_clear(const uint64_t *words, uint32_t from, uint32_t end);
uint32_t fspf_space_next_set(const uint64_t *words, uint32_t from, uint32_t end);

static inline bool space_bit(const uint64_t *words, uint32_t i)
{
	return words[i / 64] >> i % 64 & 1;
}

/* The bits of [start, end) that lie in word @w, which has at least one of them. */
static inline uint64_t space_mask_in_word(uint32_t start, uint32_t end, uint32_t w)
{
	uint64_t mask = UINT64_MAX;

	if (start > w * 64)
		mask <<= start - w * 64;
	if (end < w * 64 + 64)
		mask &= UINT64_MAX >> (w * 64 + 64 - end);
	return mask;
}

/* One segment; a new one has nothing reserved. */
MUST_CHECK int fspf_space_segment_new(uint32_t nblocks, struct space_segment **ret);
void fspf_space_segment_free(struct space_segment *seg);

/* The first run at or after @from that fits; its length, at most @wish->want, or 0. */
uint32_t fspf_space_segment_find(struct space_segment *seg, uint32_t from,
				 const struct space_wish *wish, uint32_t *ret_start);
void fspf_space_segment_take(struct space_segment *seg, uint32_t start, uint32_t count);
/* False: some of the blocks were not in use. */
bool fspf_space_segment_give(struct space_segment *seg, uint32_t start, uint32_t count);
/* Loading: in use, and its groups reserved.  -EBADMSG: it was in use before. */
MUST_CHECK int fspf_space_segment_mark(struct space_segment *seg, uint32_t start, uint32_t count);

/* The first group at or after @from that is neither reserved nor being trimmed, and how many such
 * follow it (at most @max); 0 when there is none. */
uint32_t fspf_space_segment_unbacked(const struct space_segment *seg, uint32_t from, uint32_t max,
				     uint32_t *ret_group);
void fspf_space_segment_back(struct space_segment *seg, uint32_t group, uint32_t count);
/* If a group is reserved and free it begins to be trimmed. */
void fspf_space_segment_trim(struct space_segment *seg, uint32_t group);
uint32_t fspf_space_segment_next_trimming(const struct space_segment *seg, uint32_t *ret_group);
void fspf_space_segment_trimmed(struct space_segment *seg, uint32_t group, uint32_t count);
/* The blocks of one group that are in use, by bit. */
uint64_t fspf_space_segment_used(const struct space_segment *seg, uint32_t group);
bool fspf_space_segment_check(const struct space_segment *seg);

bool fspf_space_counts_equal(const struct space_counts *a, const struct space_counts *b);

/* S4: every change of a segment's counts is followed by this. */
static inline void space_account(struct fspf_space *sp, const struct space_segment *seg,
				 const struct space_counts *before)
{
	sp->n.free += seg->n.free - before->free; /* differences below 0 wrap, and back */
	sp->n.quads += seg->n.quads - before->quads;
	sp->n.reserved += seg->n.reserved - before->reserved;
	sp->n.trimming += seg->n.trimming - before->trimming;
}

/* Segments of a space. */
static inline uint32_t space_groups(const struct fspf_space *sp)
{
	return sp->segment_blocks / FSPF_SPACE_GROUP;
}

/* Segment @number, made if it is not known; -ENOSPC beyond the limit. */
MUST_CHECK int fspf_space_need_segment(struct fspf_space *sp, uint64_t number,
				       struct space_segment **ret);

/* Blocks [block, block + count) cut at segments: the first piece, as a run in its segment. */
struct space_piece {
	uint64_t number; /* the segment's */
	uint32_t start, count;
};
struct space_piece fspf_space_cut(const struct fspf_space *sp, uint64_t block, uint64_t count);

/* Wait until loading is over; its result. */
MUST_CHECK int fspf_space_wait_ready(struct fspf_space *sp);
/* If something is being trimmed, wait until that has got on; false if nothing is. */
bool fspf_space_wait_trim(struct fspf_space *sp);
MUST_CHECK int fspf_space_mark_locked(struct fspf_space *sp, uint64_t block, uint64_t count);
void fspf_space_give(struct fspf_space *sp, uint64_t block, uint64_t count);
struct space_segment *fspf_space_known_segment(const struct fspf_space *sp, uint64_t number);
/* Note a run.  If there is no memory it stays in use, and the map is not exact any more. */
void fspf_space_note(struct fspf_space *sp, struct space_runs *runs, uint64_t block,
		     uint64_t count);
void fspf_space_runs_move(struct space_runs *from, struct space_runs *to);
void fspf_space_runs_free(struct space_runs *runs);
bool fspf_space_deferred_check(const struct fspf_space *sp);

#endif
