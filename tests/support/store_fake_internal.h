/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/store_fake_internal.h - what the files of the fake store share */
#ifndef FSPF_TESTS_SUPPORT_STORE_FAKE_INTERNAL_H
#define FSPF_TESTS_SUPPORT_STORE_FAKE_INTERNAL_H

#include <pthread.h>

#include "tests/support/store_fake.h"
#include "tests/support/store_fake_image.h"

/* A block's change since the last barrier; no page: trimmed. */
struct fake_change {
	uint64_t block;
	struct fake_page *page;
};

struct fake_fault {
	uint64_t at; /* calls from now, 0: never */
	int error;
	bool dies;
};

struct store_fake {
	pthread_mutex_t lock;
	struct fake_image now;	     /* as a reader sees it */
	struct fake_image durable;   /* as of the last barrier */
	struct fake_image allocated; /* blocks that take space; the pages mean nothing */
	struct fake_change *changes; /* in the order in which they came */
	size_t nchanges, changes_size;
	struct store_fake_event *events;
	size_t nevents, events_size;
	uint64_t counts[STORE_FAKE_OPS];
	struct fake_fault faults[STORE_FAKE_OPS];
	bool dead;
	int broken; /* the error of the first barrier that failed */
	uint64_t nallocated, limit, unreserved;
	bool limit_at_write;
	size_t tear;
	uint64_t highest; /* block ever reserved or written */
	unsigned readers;
	bool writer;
};

/* Room for one more of @size elements of @width bytes. */
void *fake_grow(void *array, size_t n, size_t *size, size_t width);
/* Called with the lock held; the change takes over the reference. */
void fake_note_change(struct store_fake *f, uint64_t block, struct fake_page *page);
void fake_forget_changes(struct store_fake *f);
/* False: there is no more space. */
bool fake_allocate(struct store_fake *f, uint64_t block);
void fake_deallocate(struct store_fake *f, uint64_t block);

#endif
