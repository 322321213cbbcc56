/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/pages.h - dirty data in memory: whole 4 KiB blocks of a file, waiting to be sealed and
 * written
 *
 * Pages come from one pool a volume, which counts them; each page in use stands for one promised
 * block (fspf/space.h), made by whoever adds the page and settled by whoever drops or writes it.  A
 * file's pages hang in a table of chunks of FSPF_CHUNK pages, so that a 1 MiB write costs eight
 * look-ups.  The pool is for any thread; a file's pages are under its inode's lock.
 */
#ifndef FSPF_FSPF_PAGES_H
#define FSPF_FSPF_PAGES_H

#include <stdbool.h>
#include <uthash.h>

#include "fspf/store.h"

#define FSPF_CHUNK 32u /* pages, as many as bits in a mask */

struct fspf_page_pool;
MUST_CHECK int fspf_page_pool_new(struct fspf_page_pool **ret);
struct fspf_page_pool *fspf_page_pool_free(struct fspf_page_pool *pool);
uint64_t fspf_page_pool_used(struct fspf_page_pool *pool); /* pages */

struct fspf_chunk {
	uint64_t index; /* first block / FSPF_CHUNK */
	uint32_t present;
	uint8_t *page[FSPF_CHUNK];
	UT_hash_handle hh;
};

struct fspf_pages {
	struct fspf_chunk *chunks;
	uint64_t count; /* pages */
	bool sorted;	/* the table's list is in order of blocks */
};

/* The page of @block, or NULL. */
uint8_t *fspf_pages_find(const struct fspf_pages *p, uint64_t block);
/* A page for @block, which has none; its contents are undefined.  -ENOMEM. */
MUST_CHECK int fspf_pages_add(struct fspf_pages *p, struct fspf_page_pool *pool, uint64_t block,
			      uint8_t **ret);
/* Drop the pages of blocks first to last (inclusive); how many there were. */
uint64_t fspf_pages_drop(struct fspf_pages *p, struct fspf_page_pool *pool, uint64_t first,
			 uint64_t last);
/* Take pages out, in order of blocks, at most @max: their blocks and memory now belong to the
 * caller (fspf_page_free). */
uint32_t fspf_pages_take(struct fspf_pages *p, uint32_t max, uint64_t *blocks, uint8_t **pages);
/* Give a taken page back; false if the block has a newer one (the page is freed). */
MUST_CHECK int fspf_pages_return(struct fspf_pages *p, struct fspf_page_pool *pool, uint64_t block,
				 uint8_t *page, bool *ret_kept);
void fspf_page_free(struct fspf_page_pool *pool, uint8_t *page);
/* The least block >= @from that has a page; false: none. */
bool fspf_pages_next(const struct fspf_pages *p, uint64_t from, uint64_t *ret_block);

#endif
