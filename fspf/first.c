/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first state of a new volume: an empty one in memory, one region in it, and a commit.
 */
#include <errno.h>
#include <stdlib.h>

#include "crypto/selftest.h"
#include "fspf/create.h"
#include "fspf/error.h"
#include "fspf/open.h"

/* An empty state that was never stored: the record before the first. */
static int empty_state(struct fspf_volume *v, const struct fspf_create_params *params,
		       struct fspf_store *store, struct fspf_error *err)
{
	struct fspf_open_params open = {.credential = params->credential};
	int r;

	v->store = store;
	r = fspf_anchor_none(&v->anchor);
	if (r == 0) {
		v->root = fspf_root_new();
		r = v->root ? fspf_header_read(store, &v->header, err) : -ENOMEM;
	}
	if (r)
		return r;
	store->segment_blocks = v->header.segment_blocks;
	v->root->opened = true;
	v->slot = 1; /* the first record goes to slot 0 */
	return fspf_open_key(v, &open, err);
}

static int first_region(struct fspf_volume *v, const struct fspf_create_params *params)
{
	struct fspf_region_record *record = crypto_secret_alloc(sizeof(*record));
	const struct fspf_attr top = {
		.mode = params->root_mode ? params->root_mode : 0755,
		.uid = params->root_uid,
		.gid = params->root_gid,
	};
	const struct fspf_region_params region = {
		.prefix = "/",
		.protection = params->authenticated ? FSPF_AUTHENTICATED : FSPF_ENCRYPTED,
	};
	int r = record ? 0 : -ENOMEM;

	if (r == 0)
		r = fspf_region_record_new(&region, 0, record);
	if (r == 0)
		r = fspf_region_install(v, record, &top);
	crypto_secret_free(record);
	return r;
}

int fspf_first_state(const struct fspf_create_params *params, struct fspf_store *store,
		     struct crypto_digest *ret_tag, struct fspf_error *err)
{
	struct fspf_open_params defaults = {0};
	struct fspf_volume *v = NULL;
	int r = crypto_init();

	if (r == 0)
		r = fspf_volume_new(&defaults, &v);
	if (r) {
		fspf_store_free(store);
		return fspf_fail(err, r, NULL, "cannot create the volume: %s", strerror(-r));
	}
	r = empty_state(v, params, store, err);
	if (r == 0)
		r = fspf_begin_writing(v, NULL, err);
	if (r == 0) {
		r = first_region(v, params);
		if (r)
			fspf_fail(err, r, NULL, "cannot make the root region: %s", strerror(-r));
	}
	if (r == 0)
		return fspf_close(v, ret_tag, err);
	fspf_volume_free(v);
	return r;
}
