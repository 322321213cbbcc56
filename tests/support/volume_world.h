/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/volume_world.h - a volume, the medium it lies on, its key, and its anchor
 *
 * What a test of the whole library needs around an open volume; the parts stay when the volume
 * goes, as they do when a machine loses power.  What is not expected to fail ends the program.
 */
#ifndef FSPF_TESTS_SUPPORT_VOLUME_WORLD_H
#define FSPF_TESTS_SUPPORT_VOLUME_WORLD_H

#include <stdatomic.h>

#include "fspf/fspf.h"
#include "tests/support/anchor_fake.h"
#include "tests/support/store_watch.h"

struct world {
	struct store_fake *disk;
	struct fspf_credential *key; /* NULL: a volume without any */
	struct anchor_fake anchor;
	struct fspf_volume *v;
	store_watch_hook *hook; /* told of writes, if not NULL */
	void *ctx;
	uint32_t interval_ms; /* 0: commits come when asked for alone */
	bool expects_damage;  /* else a report ends the program */
	bool recover, no_anchor;
	bool ephemeral; /* every region */
	atomic_uint reports;
	fspf_report_fn *report; /* told of reports; may be NULL */
	void *report_ctx;
};

/* The regions that a world is made with, besides "/". */
struct world_region {
	const char *prefix; /* NULL ends the list */
	enum fspf_protection protection;
};

/* A new volume, open; @protection of "/".  @size, @segment_blocks as fspf_create_params. */
void world_create(struct world *w, enum fspf_protection protection, uint64_t size,
		  uint32_t segment_blocks, const struct world_region *regions);
/* Open what lies there, with everything as @w says. */
MUST_CHECK int world_try_open(struct world *w, bool read_only, struct fspf_error *err);
void world_open(struct world *w, bool read_only);
void world_close(struct world *w);
/* As a process that is killed. */
void world_abandon(struct world *w);
/* Another medium with the same key and the tag @tag (NULL: the same), nothing open. */
void world_clone(const struct world *w, struct store_fake *disk, const struct crypto_digest *tag,
		 struct world *ret);
/* Abandons; @keep_key: it is a clone's. */
void world_free(struct world *w, bool keep_key);

#endif
