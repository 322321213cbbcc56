/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/flush.h - writing dirty data out: seal it, write it to fresh blocks in long runs, enter it
 * in the block maps
 *
 * Called by the committer's thread alone.  While a batch of a file's pages is being sealed and
 * written, the file is not locked: readers see the batch through inode->batch, writers put newer
 * pages beside it, truncation marks what it cut off.
 *
 *   F1  A page is either in inode->pages, or in inode->batch, or its bytes are what the map names;
 * never nowhere. F2  A batch enters the map only where it was not dropped meanwhile.
 */
#ifndef FSPF_FSPF_FLUSH_H
#define FSPF_FSPF_FLUSH_H

#include "fspf/inode.h"

#define FSPF_BATCH_PAGES                                                                           \
	1024u /* 4 MiB: long enough for sequential storage, short enough to keep memory moving */

struct fspf_batch {
	uint32_t n;
	uint64_t block[FSPF_BATCH_PAGES]; /* ascending */
	uint8_t *page[FSPF_BATCH_PAGES];
	bool dropped[FSPF_BATCH_PAGES];
	bool promised[FSPF_BATCH_PAGES]; /* it holds a promise of a block: until it is given one */
};

/* The batch's page of @block, if it was not dropped; under the inode's lock. */
uint8_t *fspf_batch_find(const struct fspf_inode *inode, uint64_t block);
/* Drop what it has of the blocks first .. last. */
void fspf_batch_drop(struct fspf_inode *inode, uint64_t first, uint64_t last);

struct fspf_flusher; /* its buffers */
MUST_CHECK int fspf_flusher_new(struct fspf_flusher **ret);
struct fspf_flusher *fspf_flusher_free(struct fspf_flusher *f);

/* Write out all dirty data of @inode and put its attributes into the tree.  @gated: the caller
 * holds the gate exclusively. */
MUST_CHECK int fspf_flush_inode(struct fspf_volume *v, struct fspf_flusher *f,
				struct fspf_inode *inode, bool gated);

#endif
