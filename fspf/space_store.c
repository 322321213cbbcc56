/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in use: stored at a clean close, else found out from the trees.
 *
 * The stored map is a small tree of its own, sealed like a region. It describes the volume without
 * that tree: its nodes are allocated after everything was encoded, so a reader marks them as it
 * meets them and gives them back with its first commit.
 */
#include <errno.h>
#include <stdlib.h>

#include "crypto/kdf.h"
#include "fspf/commit_write.h"
#include "fspf/reach.h"
#include "fspf/root_walk.h"
#include "fspf/space_store.h"

#define SPACE_INFO "fspf space map v1"
#define SPACE_OBJECT 1u
#define SPACE_TYPE 1u

int fspf_space_sealer(struct fspf_volume *v, struct crypto_sealer **ret)
{
	uint8_t info[sizeof(SPACE_INFO) - 1 + FSPF_VOLUME_ID_SIZE];
	uint8_t identity[MERKLE_IDENTITY_SIZE];
	struct crypto_key *key = NULL;
	int r = 0;

	memcpy(info, SPACE_INFO, sizeof(SPACE_INFO) - 1);
	memcpy(info + sizeof(SPACE_INFO) - 1, v->header.volume_id, FSPF_VOLUME_ID_SIZE);
	fspf_identity(v, FSPF_REGION_SPACE, identity);
	if (v->key)
		r = crypto_hkdf(v->key, NULL, 0, info, sizeof(info), &key);
	if (r == 0)
		r = crypto_sealer_new(v->key ? CRYPTO_CLASS_ENCRYPTED : CRYPTO_CLASS_AUTHENTICATED,
				      key, v->sessions, identity, sizeof(identity), ret);
	crypto_key_free(key);
	return r;
}

/* A region in name only, for the store calls of the map's tree. */
static int pseudo_region(struct fspf_volume *v, struct fspf_region *region,
			 struct merkle_config *config)
{
	memset(region, 0, sizeof(*region));
	memset(config, 0, sizeof(*config));
	region->v = v;
	region->id = FSPF_REGION_SPACE;
	strcpy(region->prefix, "(space map)");
	fspf_region_store(region);
	config->store = &region->store;
	config->cache = v->cache;
	fspf_identity(v, FSPF_REGION_SPACE, config->identity);
	return fspf_space_sealer(v, &config->sealer);
}

/* ---- loading, from the map ---- */

static int remember(struct fspf_old_map *old, const struct merkle_ptr *ptr)
{
	uint64_t *grown;

	if (old->n == old->room) {
		size_t room = old->room ? old->room * 2 : 16;

		grown = realloc(old->addr, room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		old->addr = grown;
		old->room = room;
	}
	old->addr[old->n++] = ptr->addr;
	return 0;
}

struct loading {
	struct fspf_volume *v;
	struct fspf_old_map *old;
};

static int map_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	struct loading *l = ctx;
	int r = fspf_space_mark(l->v->stored.space, ptr->addr, MERKLE_NODE_BLOCKS);

	(void)plain;
	return r ? r : remember(l->old, ptr);
}

static int map_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct loading *l = ctx;

	if (key->object != SPACE_OBJECT || key->type != SPACE_TYPE)
		return -EBADMSG;
	return fspf_space_decode(l->v->stored.space, key->offset, value, len);
}

/* Read once to see whether it is whole, and once to take it over: marks cannot be taken back. */
static int load_map(struct fspf_volume *v, struct fspf_old_map *old, bool *ret_whole)
{
	struct loading l = {.v = v, .old = old};
	const struct merkle_walk look = {.ctx = NULL};
	const struct merkle_walk walk = {.ctx = &l, .node = map_node, .item = map_item};
	struct fspf_region region;
	struct merkle_config config;
	int r = pseudo_region(v, &region, &config);

	if (r == 0)
		r = merkle_walk(&config, &v->root->space, &look);
	*ret_whole = r == 0;
	if (r == 0)
		r = merkle_walk(&config, &v->root->space, &walk);
	crypto_sealer_free(config.sealer);
	return r;
}

/* ---- loading, without a map ---- */

/* What a restore leaves behind is in use until the restored state is published. */
struct leaving {
	struct fspf_reach *reach;
	struct fspf_space *space;
};

static int leave_node(void *ctx, const struct merkle_ptr *ptr)
{
	const struct leaving *l = ctx;
	int r;

	if (fspf_space_marked(l->reach->nodes, ptr->addr, MERKLE_NODE_BLOCKS) == MERKLE_NODE_BLOCKS)
		return 1;
	r = fspf_space_mark(l->reach->nodes, ptr->addr, MERKLE_NODE_BLOCKS);
	return r ? r : fspf_space_mark_deferred(l->space, ptr->addr, MERKLE_NODE_BLOCKS);
}

static int leave_extent(void *ctx, const struct fspf_extent *e)
{
	const struct leaving *l = ctx;
	int r = 0;

	for (uint32_t i = 0; i < e->count && r == 0; i++)
		if (!fspf_space_marked(l->space, e->addr + i, 1))
			r = fspf_space_mark_deferred(l->space, e->addr + i, 1);
	return r;
}

static int leave_map_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	const struct leaving *l = ctx;

	(void)plain;
	return fspf_space_mark_deferred(l->space, ptr->addr, MERKLE_NODE_BLOCKS);
}

/* Damage there is no reason not to leave it behind. */
static int leave_map(struct fspf_volume *v, struct leaving *l, const struct fspf_root *root)
{
	const struct merkle_walk walk = {.ctx = l, .node = leave_map_node};
	struct fspf_region region;
	struct merkle_config config;
	int r = pseudo_region(v, &region, &config);

	if (r == 0)
		r = merkle_walk(&config, &root->space, &walk);
	crypto_sealer_free(config.sealer);
	return r == -EBADMSG ? 0 : r;
}

static int scan_replaced(struct fspf_volume *v, struct fspf_reach *reach)
{
	struct leaving l = {reach, v->stored.space};
	bool damaged = false;
	const struct fspf_root_walk walk = {
		.ctx = &l, .node = leave_node, .extent = leave_extent, .damaged = &damaged};
	int r = fspf_root_walk(v, v->replaced, &walk);

	return r ? r : leave_map(v, &l, v->replaced);
}

/* The snapshots first, so that what the volume's own state shares with them is known. */
static int scan_states(struct fspf_volume *v, struct fspf_reach *reach)
{
	const struct fspf_blob *blob = &v->root->sessions;
	int r = 0;

	if (blob->addr)
		r = fspf_space_mark(v->stored.space, blob->addr, fspf_blob_blocks(blob->count));
	if (r == 0)
		r = fspf_reach_snapshots(reach, v->root, NULL);
	if (r == 0)
		r = fspf_reach_root(reach, v->root);
	if (r == 0 && reach->apart)
		fspf_space_lose(v->stored.space); /* S6: this will be kept for nobody */
	if (r == 0 && v->replaced)
		r = scan_replaced(v, reach);
	return r;
}

static int scan_trees(struct fspf_volume *v)
{
	struct fspf_reach reach;
	int r = fspf_reach_begin(v, v->stored.space, &reach);

	if (r == 0)
		r = scan_states(v, &reach);
	fspf_reach_end(&reach);
	return r;
}

/* ---- loading ---- */

/* Without a map, or with a damaged one, the trees say the same, only slower. */
static int find_used(struct fspf_volume *v, struct fspf_old_map *old)
{
	bool whole = false;
	int r = -EBADMSG;

	if (!merkle_ptr_is_null(&v->root->space)) {
		r = load_map(v, old, &whole);
		if (r == -EBADMSG && !whole)
			fspf_report_text(
				v, r,
				"damaged: the space map; what is in use is found out from the trees");
	}
	return r == -EBADMSG && !whole ? scan_trees(v) : r;
}

int fspf_space_load(struct fspf_volume *v, struct fspf_old_map *ret)
{
	uint64_t unwritten = 0;
	int r = find_used(v, ret);

	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (!fspf_region_is_ephemeral(v->regions[i]))
			unwritten += atomic_load(&v->regions[i]->unwritten);
	return r ? r : fspf_space_restore(v->stored.space, unwritten);
}

void fspf_space_loaded(struct fspf_volume *v, struct fspf_old_map *old)
{
	for (size_t i = 0; i < old->n; i++)
		fspf_space_drop(v->stored.space, old->addr[i], MERKLE_NODE_BLOCKS);
	free(old->addr);
	memset(old, 0, sizeof(*old));
}

/* ---- saving ---- */

static int put_pieces(struct fspf_volume *v, struct merkle_tree *tree)
{
	uint64_t pieces = fspf_space_pieces(v->stored.space);
	uint8_t entry[FSPF_SPACE_ENTRY_MAX];
	size_t len;
	int r = 0;

	for (uint64_t i = 0; i < pieces && r == 0; i++) {
		struct merkle_key key = {.object = SPACE_OBJECT, .type = SPACE_TYPE, .offset = i};

		r = fspf_space_encode(v->stored.space, i, entry, &len);
		if (r == 0)
			r = merkle_put(tree, &key, entry, len);
		else if (r == -ENOENT)
			r = 0;
	}
	return r;
}

int fspf_space_save(struct fspf_volume *v, struct fspf_root *root)
{
	struct merkle_tree *tree = NULL;
	struct merkle_config config;
	struct crypto_digest tag;
	struct fspf_region region;
	int r = pseudo_region(v, &region, &config);

	if (r == 0)
		r = merkle_open(&config, NULL, &tree);
	if (r == 0)
		r = put_pieces(v, tree);
	if (r == 0) {
		merkle_freeze(tree, root->generation);
		r = merkle_commit(tree, &root->space, &tag);
	}
	merkle_free(tree);
	crypto_sealer_free(config.sealer);
	return r;
}
