/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/volume_world.c - see the header */
#include "tests/support/volume_world.h"

#include <stdlib.h>

#include "fspf/create.h"
#include "tests/support/volume_model.h"

static void report(void *ctx, const struct fspf_report *r)
{
	struct world *w = ctx;

	atomic_fetch_add(&w->reports, 1);
	if (w->report)
		w->report(w->report_ctx, r);
	if (!w->expects_damage)
		model_fail("reported: %s", r->text);
}

int world_try_open(struct world *w, bool read_only, struct fspf_error *err)
{
	struct fspf_open_params params = {
		.path = "test",
		.credential = w->key,
		.read_only = read_only,
		.recover = w->recover,
		.ephemeral = w->ephemeral,
		.node_cache = 1,
		.commit_interval_ms = w->interval_ms ? w->interval_ms : UINT32_MAX,
		.report = report,
		.report_ctx = w,
	};
	int r;

	if (w->no_anchor && fspf_anchor_none(&params.anchor))
		abort();
	if (!w->no_anchor)
		params.anchor = anchor_fake_open(&w->anchor);
	r = store_fake_open(
		w->disk, read_only || w->ephemeral ? FSPF_STORE_READ_ONLY : FSPF_STORE_READ_WRITE,
		&params.store);
	if (r)
		model_fail("the medium is in use");
	if (w->hook)
		params.store = store_watch_new(params.store, w->hook, w->ctx);
	return fspf_open(&params, &w->v, err);
}

void world_open(struct world *w, bool read_only)
{
	struct fspf_error err;
	int r = world_try_open(w, read_only, &err);

	if (r)
		model_fail("open: %d, %s", r, err.text);
}

void world_close(struct world *w)
{
	struct crypto_digest tag;
	struct fspf_error err;
	int r = fspf_close(w->v, &tag, &err);

	w->v = NULL;
	if (r)
		model_fail("close: %d, %s", r, err.text);
	if (!w->no_anchor && !crypto_digest_equal(&tag, &w->anchor.tag))
		model_fail("the tag at close is not the published one");
}

void world_abandon(struct world *w)
{
	if (w->v)
		fspf_abandon(w->v);
	w->v = NULL;
}

void world_create(struct world *w, enum fspf_protection protection, uint64_t size,
		  uint32_t segment_blocks, const struct world_region *regions)
{
	struct fspf_create_params params = {
		.path = "test",
		.authenticated = protection == FSPF_AUTHENTICATED,
		.size = size,
		.segment_blocks = segment_blocks,
	};
	struct fspf_store *store;
	struct fspf_error err;
	int r = fspf_credential_random(&w->key, &err);

	params.credential = w->key;
	w->disk = store_fake_new();
	if (r == 0)
		r = store_fake_open(w->disk, FSPF_STORE_READ_WRITE, &store);
	if (r == 0)
		r = fspf_create_on(&params, store, &w->anchor.tag, &err);
	if (r)
		model_fail("create: %d, %s", r, err.text);
	w->anchor.any = true;
	world_open(w, false);
	for (; r == 0 && regions && regions->prefix; regions++)
		r = fspf_region_add(w->v,
				    &(struct fspf_region_params){.prefix = regions->prefix,
								 .protection = regions->protection},
				    &err);
	if (r)
		model_fail("region: %d, %s", r, err.text);
}

void world_clone(const struct world *w, struct store_fake *disk, const struct crypto_digest *tag,
		 struct world *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->disk = disk;
	ret->key = w->key;
	ret->anchor.tag = tag ? *tag : w->anchor.tag;
	ret->anchor.any = true;
}

void world_free(struct world *w, bool keep_key)
{
	world_abandon(w);
	store_fake_free(w->disk);
	if (!keep_key)
		fspf_credential_free(w->key);
	w->disk = NULL;
	w->key = NULL;
}
