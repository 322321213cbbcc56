/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region of a record is walked without being opened: a snapshot's need not be one that the volume
 * still has.
 */
#include <errno.h>

#include "fspf/root_walk.h"

struct walking {
	const struct fspf_root_walk *walk;
	enum crypto_class class;
};

static int enter(void *ctx, const struct merkle_ptr *ptr, const struct merkle_key *first,
		 const struct merkle_key *last)
{
	const struct walking *w = ctx;

	(void)first;
	(void)last;
	return w->walk->node(w->walk->ctx, ptr);
}

static int item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	const struct walking *w = ctx;
	struct fspf_extent e;
	int r;

	if (key->type != FSPF_ITEM_EXTENT || key->object == 0)
		return 0;
	r = fspf_extent_decode(key, value, len, w->class, &e);
	return r || !e.addr ? r : w->walk->extent(w->walk->ctx, &e);
}

static int damaged(void *ctx, const struct merkle_damage *damage)
{
	const struct walking *w = ctx;

	if (!w->walk->damaged || damage->error != -EBADMSG)
		return damage->error;
	*w->walk->damaged = true;
	return 0;
}

static int walk_region(struct fspf_volume *v, const struct fspf_region_record *record,
		       const struct fspf_root_walk *walk)
{
	struct walking w = {walk, fspf_class(record->protection)};
	const struct merkle_walk m = {.ctx = &w, .enter = enter, .item = item, .damaged = damaged};
	struct fspf_region region = {.v = v, .id = record->id};
	struct merkle_config config = {.store = &region.store};
	int r;

	memcpy(region.prefix, record->prefix, sizeof(region.prefix));
	fspf_region_store(&region);
	fspf_identity(v, record->id, config.identity);
	r = fspf_record_sealer(record, v->sessions, config.identity, &config.sealer);
	if (r == 0)
		r = merkle_walk(&config, &record->root, &m);
	crypto_sealer_free(config.sealer);
	return r;
}

int fspf_root_walk(struct fspf_volume *v, const struct fspf_root *root,
		   const struct fspf_root_walk *walk)
{
	int r = 0;

	for (uint32_t i = 0; i < root->nregions && r == 0; i++)
		if (!merkle_ptr_is_null(&root->region[i].root))
			r = walk_region(v, &root->region[i], walk);
	return r;
}
