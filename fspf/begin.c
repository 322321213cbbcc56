/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a volume needs to be written: a session, the space of its own and for what is ephemeral, the
 * committer, and the tops of regions that have no committed state.
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/commit.h"
#include "fspf/create.h"
#include "fspf/error.h"
#include "fspf/open.h"
#include "fspf/scratch.h"
#include "fspf/snapshot.h"

/* A fresh session.  An ephemeral open's is never stored: its seals die with it. */
static int begin_session(struct fspf_volume *v)
{
	struct crypto_salt salt;
	int r = crypto_sessions_begin(v->sessions);

	if (r == 0)
		r = crypto_sessions_salt(v->sessions, crypto_sessions_count(v->sessions), &salt);
	if (r == 0 && v->key)
		r = fspf_root_sealer_new(v->key, v->header.volume_id, &salt, &v->root_sealer);
	return r;
}

static int begin_stored(struct fspf_volume *v)
{
	struct fspf_space_config config = {
		.store = v->store,
		.blocks_max = v->header.size_blocks,
		.generation = v->root->generation + 1,
		.cursor = v->root->cursor,
		.kept = fspf_snapshot_newest(v->root),
	};

	return v->ephemeral ? 0 : fspf_space_new(&config, &v->stored.space);
}

static bool needs_scratch(struct fspf_volume *v)
{
	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (fspf_region_is_ephemeral(v->regions[i]))
			return true;
	return false;
}

static uint64_t unwritten_in(struct fspf_volume *v, const struct fspf_home *home)
{
	uint64_t n = 0;

	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (v->regions[i]->home == home)
			n += atomic_load(&v->regions[i]->unwritten);
	return n;
}

static int not_prepared(int r, struct fspf_error *err)
{
	return fspf_fail(err, r, NULL, "cannot prepare the volume for writing: %s", strerror(-r));
}

/* Scratch space is empty, and known at once. */
static int begin_scratch(struct fspf_volume *v, const char *dir, struct fspf_error *err)
{
	struct fspf_space_config config = {.generation = v->root->generation + 1};
	struct fspf_store *scratch = NULL;
	int r;

	if (!needs_scratch(v))
		return 0;
	r = fspf_scratch_store_new(dir, v->header.segment_blocks, &scratch);
	if (r)
		return fspf_fail(err, r, "name a directory that can be written (-o scratch=DIR)",
				 "cannot make the scratch file for ephemeral regions%s%s: %s",
				 dir ? " in " : "", dir ? dir : "", strerror(-r));
	r = fspf_scratch_join(v->store, scratch, &v->store);
	if (r)
		fspf_store_free(scratch);
	config.store = scratch;
	if (r == 0)
		r = fspf_space_new(&config, &v->scratch.space);
	if (r == 0)
		r = fspf_space_restore(v->scratch.space, unwritten_in(v, &v->scratch));
	if (r)
		return not_prepared(r, err);
	fspf_space_ready(v->scratch.space, 0);
	return 0;
}

int fspf_begin_writing(struct fspf_volume *v, const char *scratch_dir, struct fspf_error *err)
{
	int r = 0;

	atomic_store(&v->generation, v->root->generation + 1);
	if (v->header.keyed)
		r = begin_session(v);
	if (r == 0)
		r = begin_stored(v);
	if (r)
		return not_prepared(r, err);
	r = begin_scratch(v, scratch_dir, err);
	if (r)
		return r;
	r = fspf_committer_start(v);
	return r ? not_prepared(r, err) : 0;
}

/* An unprotected ephemeral region has no committed state: it begins with a top like the directory
 * that it covers. */
static int make_top(struct fspf_volume *v, struct fspf_region *region)
{
	struct fspf_attr at = {.mode = 0755};
	int r = 0;

	if (region->cover)
		r = fspf_getattr(v, fspf_ino(region->cover, region->cover_object), &at);
	if (r == -EBADMSG) { /* which has been told: no reason not to serve the rest */
		at = (struct fspf_attr){.mode = 0755};
		r = 0;
	}
	if (r == 0)
		r = fspf_begin(region, false);
	if (r == 0) {
		r = fspf_region_top(v, region, at.mode & 07777, at.uid, at.gid);
		fspf_end(v);
	}
	return r;
}

int fspf_make_tops(struct fspf_volume *v, struct fspf_error *err)
{
	int r = 0;

	for (size_t i = 0; i < atomic_load(&v->nregions) && r == 0; i++) {
		struct fspf_region *region = v->regions[i];

		if (region->tree && region->protection == FSPF_NOT_PROTECTED && !v->authoring)
			r = make_top(v, region);
	}
	return r ? fspf_fail(err, r, NULL, "cannot make the ephemeral regions: %s", strerror(-r))
		 : 0;
}
