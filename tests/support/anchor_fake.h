/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/anchor_fake.h - an anchor in memory that outlives the volumes using it, fails to
 * order, and tells when a tag is published
 *
 * The test owns struct anchor_fake; struct fspf_anchor handles on it are taken over by the volume.
 * Zeroed, it is an anchor that holds nothing yet.  Handles are used by one thread at a time.
 */
#ifndef FSPF_TESTS_SUPPORT_ANCHOR_FAKE_H
#define FSPF_TESTS_SUPPORT_ANCHOR_FAKE_H

#include "fspf/anchor.h"

/* Before the content changes from @old to @tag, and after. */
typedef void anchor_fake_hook(void *ctx, bool after, const struct crypto_digest *tag);

struct anchor_fake {
	struct crypto_digest tag;
	bool any;
	uint64_t publishes; /* calls so far */
	/* The @fail_at-th publish from now on (1: the next, 0: never) gives @fail_error;
	 * @fail_late: the content has changed all the same. */
	uint64_t fail_at;
	int fail_error;
	bool fail_late;
	anchor_fake_hook *hook; /* may be NULL */
	void *ctx;
};

struct fspf_anchor *anchor_fake_open(struct anchor_fake *a);

#endif
