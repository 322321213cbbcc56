/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/store_watch.h - a store that tells before it passes a call on to another
 *
 * For looking at the medium at the very moment of each write, barrier and trim, from the thread
 * that makes it.
 */
#ifndef FSPF_TESTS_SUPPORT_STORE_WATCH_H
#define FSPF_TESTS_SUPPORT_STORE_WATCH_H

#include "tests/support/store_fake.h"

/* STORE_FAKE_WRITE, _BARRIER or _TRIM, before it happens. */
typedef void store_watch_hook(void *ctx, enum store_fake_op op, uint64_t block, uint64_t count);

/* Takes @inner over. */
struct fspf_store *store_watch_new(struct fspf_store *inner, store_watch_hook *hook, void *ctx);

#endif
