/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/store_fake_image.h - the contents of a fake store: a sparse array of immutable
 * pages (internal to the fake store)
 *
 * A page is never changed once it is in an image, so images share pages and copying an image copies
 * pointers.  References to pages are counted atomically; an image itself is not locked.
 */
#ifndef FSPF_TESTS_SUPPORT_STORE_FAKE_IMAGE_H
#define FSPF_TESTS_SUPPORT_STORE_FAKE_IMAGE_H

#include "fspf/store.h"

struct fake_page {
	unsigned refs;
	uint8_t data[FSPF_BLOCK_SIZE];
};

struct fake_chunk;
struct fake_image {
	struct fake_chunk *chunks; /* by number */
};

struct fake_page *fake_page_new(const void *data);
struct fake_page *fake_page_ref(struct fake_page *page); /* NULL is allowed */
void fake_page_unref(struct fake_page *page);		 /* NULL is allowed */

/* The page of @block, not referenced for the caller; NULL: zeroes. */
struct fake_page *fake_image_get(const struct fake_image *image, uint64_t block);
/* Takes a reference of its own; NULL makes a hole. */
void fake_image_put(struct fake_image *image, uint64_t block, struct fake_page *page);
/* The first block at or after @from that has a page. */
bool fake_image_next(const struct fake_image *image, uint64_t from, uint64_t *ret_block);
void fake_image_copy(const struct fake_image *from, struct fake_image *to); /* @to is empty */
void fake_image_clear(struct fake_image *image);

#endif
