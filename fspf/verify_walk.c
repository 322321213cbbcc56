/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/verify_walk.c - one walk over a region's stored tree: every node, every item, every block
 *
 * Nothing comes from the cache.  Items are dealt out to their objects; what is damaged is noted,
 * and the walk goes on beside it.
 */
#include <errno.h>

#include "fspf/verify.h"

/* The region tag is the digest of what is stored, so the root node is read once more for it. */
static int check_tag(struct verify *w, const struct merkle_ptr *ptr)
{
	struct merkle_store *store = &w->region->store;
	struct crypto_digest digest;
	int r = store->read(store->ctx, ptr->addr, w->buffer);

	if (r)
		return 0; /* the storage changed its mind: the tree itself was read */
	r = crypto_sha256(w->buffer, MERKLE_NODE_SIZE, &digest);
	if (r == 0 && !crypto_digest_equal(&digest, &w->said->tag))
		verify_tell_region(w, "the region's tag is not that of its root node");
	return r;
}

/* What another state has in common with this one was checked there. */
static int walk_enter(void *ctx, const struct merkle_ptr *ptr, const struct merkle_key *first,
		      const struct merkle_key *last)
{
	struct verify *w = ctx;
	int r;

	if (!verify_has_node(w, ptr))
		return 0;
	r = verify_hide(w, first, last, false);
	w->names_unknown = w->blocks_unknown = true;
	return r ? r : 1;
}

static int walk_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	struct verify *w = ctx;
	int r = verify_reach_node(w, ptr);

	(void)plain;
	if (r < 0)
		return r;
	if (r)
		verify_tell_region(w,
				   "blocks of the node at %llu are in use twice, or lie where none "
				   "can",
				   (unsigned long long)ptr->addr);
	w->result->nodes++;
	r = ptr->addr == w->said->root.addr ? check_tag(w, ptr) : 0;
	return r ? r : verify_progress(w);
}

static int walk_damaged(void *ctx, const struct merkle_damage *damage)
{
	struct verify *w = ctx;
	int r;

	if (damage->error != -EBADMSG && damage->error != -EIO)
		return damage->error;
	r = verify_hide(w, &damage->first, &damage->last, true);
	if (r)
		return r;
	w->names_unknown = w->blocks_unknown = w->reached_unknown = true;
	w->result->damaged_nodes++;
	return 0;
}

static int check_block(struct verify *w, const struct fspf_extent *e, uint64_t object, uint32_t i,
		       uint8_t *data)
{
	uint8_t aad[FSPF_DATA_AAD_SIZE];
	struct crypto_seal seal;

	fspf_extent_seal(e, w->region->class, i, &seal);
	fspf_data_aad(w->region->identity, object, e->first + i, aad);
	return crypto_sealer_open(w->region->sealer, aad, sizeof(aad), data, data, FSPF_BLOCK_SIZE,
				  &seal);
}

/* @count blocks of the extent from its @from-th on. */
static int check_blocks(struct verify *w, const struct fspf_extent *e, uint32_t from,
			uint32_t count)
{
	struct fspf_store *store = w->v->store;
	size_t len = (size_t)count * FSPF_BLOCK_SIZE;
	int unreadable = store->ops->read(store, e->addr + from, w->buffer, len);

	for (uint32_t i = 0; i < count; i++) {
		int bad = unreadable ? unreadable
				     : check_block(w, e, w->at.o->object, from + i,
						   w->buffer + (size_t)i * FSPF_BLOCK_SIZE);

		w->result->blocks++;
		if (!bad)
			continue;
		if (bad != -EBADMSG && bad != unreadable)
			return bad;
		w->result->damaged_blocks++;
		w->at.o->damaged = true;
	}
	return verify_progress(w);
}

static int reach_and_check(struct verify *w, const struct fspf_extent *e, uint32_t from,
			   uint32_t count)
{
	int r = verify_reach(w, e->addr + from, count);

	if (r > 0)
		verify_problem(w->at.o, VERIFY_SPACE);
	if (r)
		return r < 0 ? r : 0;
	return check_blocks(w, e, from, count);
}

/* What a snapshot has in common with another state was checked there; the rest lies in runs. */
static int check_rest(struct verify *w, const struct fspf_extent *e)
{
	uint32_t from = 0, n;
	int r = 0;

	if (fspf_space_marked(w->reach.nodes, e->addr, e->count))
		verify_problem(w->at.o, VERIFY_SPACE);
	while (from < e->count && r == 0) {
		for (n = 0; from + n < e->count && !verify_has_block(w, e->addr + from + n); n++)
			;
		if (n)
			r = reach_and_check(w, e, from, n);
		from += n + 1;
	}
	return r;
}

static int walk_extent(struct verify *w, const struct merkle_key *key, const void *value,
		       size_t len)
{
	struct fspf_extent e;

	if (fspf_extent_decode(key, value, len, w->region->class, &e)) {
		verify_problem(w->at.o, VERIFY_EXTENT);
		w->blocks_unknown = w->reached_unknown = true;
		return 0;
	}
	verify_object_extent(w, &e);
	if (!e.addr)
		return 0;
	return w->state[0] ? check_rest(w, &e) : reach_and_check(w, &e, 0, e.count);
}

static int walk_orphan(struct verify *w, const struct merkle_key *key, const uint8_t *value,
		       size_t len)
{
	struct verify_object *o;
	int r;

	if (key->offset == 0 || key->offset > FSPF_OBJECT_MAX || len != 1 || value[0] != 1) {
		verify_tell_region(w, "the item of an orphan is malformed");
		return 0;
	}
	r = verify_object(w, key->offset, &o);
	if (r == 0)
		o->orphan = true;
	return r;
}

static int walk_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct verify *w = ctx;
	int r = 0;

	if (w->at.o && w->at.o->object != key->object)
		verify_object_end(w);
	if (key->object == 0 && key->type == FSPF_ITEM_ORPHAN)
		return walk_orphan(w, key, value, len);
	if (key->object == 0 || key->object > FSPF_OBJECT_MAX) {
		verify_tell_region(w, "there is an item of object %llu",
				   (unsigned long long)key->object);
		return 0;
	}
	if (!w->at.o)
		r = verify_object_begin(w, key->object);
	if (r)
		return r;
	return key->type == FSPF_ITEM_EXTENT ? walk_extent(w, key, value, len)
					     : verify_object_item(w, key, value, len);
}

int verify_walk(struct verify *w)
{
	struct merkle_walk walk = {.ctx = w,
				   .enter = walk_enter,
				   .node = walk_node,
				   .item = walk_item,
				   .damaged = walk_damaged};
	struct merkle_config config = {.store = &w->region->store, .sealer = w->region->sealer};
	int r;

	memcpy(config.identity, w->region->identity, sizeof(config.identity));
	r = merkle_walk(&config, &w->said->root, &walk);
	verify_object_end(w);
	return r;
}
