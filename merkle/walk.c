/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/walk.c - a stored tree from a root, past the cache and past any tree in memory
 *
 * For verifying, so it shares only the reading of a node with the rest.  Depth first, in key
 * order, one buffer for each level.  It ends, and reads no node twice, whatever is stored: each
 * step down goes one level down, nodes are not empty, and children have ranges of keys apart from
 * each other's, so no node can be sound in two places.
 */
#include <stdlib.h>

#include "merkle/merkle_internal.h"

struct walker {
	const struct merkle_config *config;
	const struct merkle_walk *walk;
	uint8_t *images; /* one for each level */
};

static int damage_found(const struct walker *w, const struct merkle_ptr *ptr,
			const struct merkle_range *range, int error)
{
	struct merkle_damage damage = {
		.ptr = *ptr, .first = range->first, .last = range->last, .error = error};
	int r = error;

	if (w->walk->damaged)
		r = w->walk->damaged(w->walk->ctx, &damage);
	else
		merkle_report(w->config, ptr, range, error);
	return r;
}

static int walk_items(const struct walker *w, const uint8_t *image)
{
	uint32_t count = merkle_node_items(image);
	struct merkle_key key;
	const void *value;
	size_t len;
	int r = 0;

	for (uint32_t i = 0; w->walk->item && i < count && r == 0; i++) {
		merkle_node_item(image, i, &key, &value, &len);
		r = w->walk->item(w->walk->ctx, &key, value, len);
	}
	return r;
}

/* The child in slot @i of a checked inner node whose own keys end with @last. */
static int child_of(const uint8_t *image, uint32_t i, const struct merkle_key *last,
		    struct merkle_ptr *ret_ptr, struct merkle_range *ret_range)
{
	struct merkle_range range = {.last = *last};
	struct merkle_key next;
	const void *value;
	size_t len;
	int r;

	merkle_node_item(image, i, &range.first, &value, &len);
	if (i + 1 < merkle_node_items(image)) {
		next = merkle_slot_key(merkle_slot_const(image, i + 1));
		(void)merkle_key_before(&next, &range.last);
	}
	r = merkle_ptr_decode(value, ret_ptr);
	if (r == 0)
		*ret_range = range;
	return r;
}

static int walk_node(const struct walker *w, const struct merkle_ptr *ptr,
		     const struct merkle_range *range)
{
	uint8_t *image = w->images + (size_t)ptr->level * MERKLE_NODE_SIZE;
	struct merkle_range child_range;
	struct merkle_ptr child;
	uint32_t count = 0;
	int r = 0;

	if (w->walk->enter)
		r = w->walk->enter(w->walk->ctx, ptr, &range->first, &range->last);
	if (r != 0)
		return r > 0 ? 0 : r;
	r = merkle_image_read(w->config, ptr, range, image, NULL);
	if (r != 0) {
		r = damage_found(w, ptr, range, r);
	} else {
		if (w->walk->node)
			r = w->walk->node(w->walk->ctx, ptr, image);
		if (r == 0 && ptr->level == 0)
			r = walk_items(w, image);
		else if (r == 0)
			count = merkle_node_items(image);
	}
	for (uint32_t i = 0; i < count && r == 0; i++) {
		r = child_of(image, i, &range->last, &child, &child_range);
		if (r == 0)
			r = walk_node(w, &child, &child_range);
	}
	return r;
}

int merkle_walk(const struct merkle_config *config, const struct merkle_ptr *root,
		const struct merkle_walk *walk)
{
	struct walker w = {.config = config, .walk = walk};
	int r = 0;

	if (root && !merkle_ptr_is_null(root)) {
		if (root->level < MERKLE_LEVELS_MAX)
			w.images = malloc((root->level + (size_t)1) * MERKLE_NODE_SIZE);
		else
			r = -EINVAL;
		if (r == 0)
			r = w.images ? walk_node(&w, root, &merkle_range_all) : -ENOMEM;
	}
	free(w.images);
	return r;
}

int merkle_read_node(const struct merkle_config *config, const struct merkle_ptr *ptr, void *plain)
{
	int r = merkle_image_read(config, ptr, &merkle_range_all, plain, NULL);

	if (r != 0)
		merkle_report(config, ptr, &merkle_range_all, r);
	return r;
}
