/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/space.h - which blocks of the segments are in use, and when freed ones may be used again
 *
 * One bitmap a segment, in memory.  Allocation goes forward through the segments: next-fit from a
 * cursor, preferring long runs, a new segment only when the existing ones hold no run worth taking.
 * It knows no trees and no files; what it stores about itself goes through encode and mark
 * (docs/format.md, "Space map").
 *
 * Generations: the open generation is that of the commit being gathered.  A block released is
 *   - free at once if it was born in the open generation (no root ever reached it), or
 *   - deferred to the open generation otherwise.
 * freeze() closes the open generation; published() says that its root is durable and published, and
 * only then do the blocks deferred to it (reached only by older roots) become free, and their space
 * is trimmed.
 *
 *   S1  A block is handed out only when it is free, and then is in use until released.
 *   S2  A block that an acceptable root reaches is never free.
 *   S3  What was promised (fspf_space_promise) can be allocated: promised <= free - taken since.
 *   S4  Free blocks counted, segment by segment, equal the total; fspf_space_check() recounts.
 *   S5  The store has been asked to reserve a block's space before the block is handed out or
 * counted as promised.
 *   S6  A block that a snapshot reaches is never free: what is released and was born in the newest
 * snapshot's generation or before stays in use (fspf/space_keep.c).
 *
 * Reserving and trimming go by groups of FSPF_SPACE_GROUP blocks (aligned): a group is reserved
 * whole before its first use and trimmed whole when it has become free.
 *
 * -ENOSPC, -ENOMEM, or the store's error.  Any thread may call; one mutex inside; never held across
 * the store's trim, held across its reserve (rare).  Loading: until fspf_space_ready() every call
 * that allocates or promises waits.
 */
#ifndef FSPF_FSPF_SPACE_H
#define FSPF_FSPF_SPACE_H

#include <stdbool.h>

#include "fspf/store.h"

#define FSPF_SPACE_GROUP 64u	   /* blocks: 256 KiB */
#define FSPF_SPACE_ENTRY_MAX 2056u /* bytes of one encoded piece of a segment's map, at most */
#define FSPF_SPACE_PIECE 16384u	   /* blocks that one encoded piece covers (64 MiB) */

struct fspf_space;

struct fspf_space_config {
	struct fspf_store *store; /* borrowed */
	uint64_t blocks_max; /* limit on blocks in segments 1.., a multiple of the segment; 0: none
				but the store's */
	uint64_t generation; /* the open generation, > 0 */
	uint64_t cursor; /* where to go on allocating (a hint from the root record); 0: at the start
			  */
	uint64_t kept;	 /* the newest snapshot's generation; 0: there is none */
};

MUST_CHECK int fspf_space_new(const struct fspf_space_config *config, struct fspf_space **ret);
struct fspf_space *fspf_space_free(struct fspf_space *sp);

/* Loading, by one thread before fspf_space_ready().  Marks blocks in use; marking a block twice, or
 * one in the head or beyond the limit, is -EBADMSG: no authentic volume has that. */
MUST_CHECK int fspf_space_mark(struct fspf_space *sp, uint64_t block, uint64_t count);
/* Loading, after the last mark: what the loaded state has promised, before anybody else is let in.
 */
MUST_CHECK int fspf_space_restore(struct fspf_space *sp, uint64_t promised);
/* The same for what may be reached twice: the blocks that were not marked are, *ret_new of them. */
MUST_CHECK int fspf_space_mark_shared(struct fspf_space *sp, uint64_t block, uint64_t count,
				      uint64_t *ret_new);
/* The same for what only the published root reaches: it is free when the next one is published. */
MUST_CHECK int fspf_space_mark_deferred(struct fspf_space *sp, uint64_t block, uint64_t count);
/* How many of the blocks are in use. */
uint64_t fspf_space_marked(struct fspf_space *sp, uint64_t block, uint64_t count);
/* Loading is over (error 0), or failed: waiting and later calls then get @error. */
void fspf_space_ready(struct fspf_space *sp, int error);

/* A run of 1 to @want contiguous blocks in one segment, all of them if a run of @want is to be had
 * at reasonable cost, at least @least (nodes need all their blocks together).  From what was
 * promised if @promised (the promise shrinks by what was got), else from what is free beyond all
 * promises. */
MUST_CHECK int fspf_space_alloc(struct fspf_space *sp, uint32_t want, uint32_t least, bool promised,
				uint64_t *ret_block, uint32_t *ret_count);

/* The run is no longer reached by the live state; @birth is the generation in which it was written.
 */
void fspf_space_release(struct fspf_space *sp, uint64_t block, uint64_t count, uint64_t birth);

/* The same for what is no snapshot's, whenever it was born: the session table, the stored map. */
void fspf_space_drop(struct fspf_space *sp, uint64_t block, uint64_t count);

/* Give back a run that was allocated and never used, or whose use failed: free at once. */
void fspf_space_unalloc(struct fspf_space *sp, uint64_t block, uint64_t count);
/* The same, and promised again in the same moment, to whoever had the promise before. */
void fspf_space_unalloc_promised(struct fspf_space *sp, uint64_t block, uint64_t count);

/* Promise @count blocks, leaving at least @keep free beyond all promises, in fours that hold tree
 * nodes; break a promise. */
MUST_CHECK int fspf_space_promise(struct fspf_space *sp, uint64_t count, uint64_t keep);
void fspf_space_unpromise(struct fspf_space *sp, uint64_t count);

/* The commit's steps.  thaw: the frozen commit failed, its deferred blocks join the open
 * generation's.  The generation stays used up: were it given again, a block that was written
 * after the freeze and reached by the next root would pass for one that no root ever reached. */
void fspf_space_freeze(struct fspf_space *sp); /* open generation + 1 */
void fspf_space_published(struct fspf_space *sp);
void fspf_space_thaw(struct fspf_space *sp);

/*
 * Snapshots come and go while the live state changes.  hold: from now on, what is released and was
 * born after @after and up to @to is noted, and stays in use until it is known whose it is.
 * hold_keep: it is a snapshot's.  hold_release: it is deferred, but for what @but (NULL: nothing)
 * has marked.  Either ends the holding, if there is one.
 */
void fspf_space_hold(struct fspf_space *sp, uint64_t after, uint64_t to);
void fspf_space_hold_keep(struct fspf_space *sp);
void fspf_space_hold_release(struct fspf_space *sp, struct fspf_space *but);
/* The newest snapshot's generation is another now. */
void fspf_space_set_kept(struct fspf_space *sp, uint64_t generation);

/* Some block may be in use that nobody reaches: the map must not be stored, so that the next open
 * finds out from the trees. */
void fspf_space_lose(struct fspf_space *sp);
bool fspf_space_is_exact(struct fspf_space *sp);

struct fspf_space_stat {
	uint64_t total; /* blocks: the limit, or what exists plus what the store could still take */
	uint64_t used;	/* blocks in use by the live state (deferred ones not counted) */
	uint64_t deferred; /* blocks waiting for a commit */
	uint64_t free; /* blocks that can be allocated now or by growing, promises not subtracted */
	uint64_t promised;
	uint64_t cursor;
	uint64_t segments;   /* highest segment known */
	uint64_t generation; /* the open one */
};
void fspf_space_stat(struct fspf_space *sp, struct fspf_space_stat *ret);

/* The stored map: one entry for each piece of FSPF_SPACE_PIECE blocks (a segment smaller than that
 * is one piece) that has a block in use; @index counts pieces over the whole address space.  encode
 * gives -ENOENT for a piece with none, and -EBUSY while anything is deferred.  decode marks; a
 * malformed entry is -EBADMSG. */
MUST_CHECK int fspf_space_encode(struct fspf_space *sp, uint64_t index,
				 uint8_t out[static FSPF_SPACE_ENTRY_MAX], size_t *ret_len);
MUST_CHECK int fspf_space_decode(struct fspf_space *sp, uint64_t index, const void *entry,
				 size_t len);
uint64_t fspf_space_pieces(struct fspf_space *sp); /* indexes below this may have an entry */

/* Trim whatever whole groups are free and reserved (at close); recount (tests). */
void fspf_space_trim_free(struct fspf_space *sp);
bool fspf_space_check(struct fspf_space *sp);

#endif
