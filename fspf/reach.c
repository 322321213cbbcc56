/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two maps: of all blocks, and of those that hold nodes, so that a shared node is told from a block
 * that something else uses.
 */
#include <errno.h>

#include "fspf/reach.h"
#include "fspf/root_walk.h"

int fspf_reach_space(const struct fspf_volume *v, struct fspf_space **ret)
{
	struct fspf_space_config config = {
		.store = v->store, .blocks_max = v->header.size_blocks, .generation = 1};

	return fspf_space_new(&config, ret);
}

int fspf_reach_begin(struct fspf_volume *v, struct fspf_space *blocks, struct fspf_reach *ret)
{
	*ret = (struct fspf_reach){.v = v, .blocks = blocks};
	return fspf_reach_space(v, &ret->nodes);
}

void fspf_reach_end(struct fspf_reach *r)
{
	r->nodes = fspf_space_free(r->nodes);
}

/* Four blocks that are nodes' may be halves of two others; such a pointer's seal does not fit. */
static bool has_node(const struct fspf_reach *r, uint64_t addr)
{
	return fspf_space_marked(r->nodes, addr, MERKLE_NODE_BLOCKS) == MERKLE_NODE_BLOCKS;
}

static bool is_old(struct fspf_reach *r, uint64_t birth)
{
	return birth <= r->before;
}

int fspf_reach_node(struct fspf_reach *r, uint64_t addr, uint64_t birth)
{
	int error;

	if (r->other && has_node(r->other, addr))
		return 1;
	if (is_old(r, birth) && has_node(r, addr))
		return 1;
	r->apart |= is_old(r, birth);
	error = fspf_space_mark(r->blocks, addr, MERKLE_NODE_BLOCKS);
	return error ? error : fspf_space_mark(r->nodes, addr, MERKLE_NODE_BLOCKS);
}

int fspf_reach_data(struct fspf_reach *r, uint64_t addr, uint64_t count, uint64_t birth,
		    uint64_t *ret_new)
{
	uint64_t elsewhere = r->other ? fspf_space_marked(r->other->blocks, addr, count) : 0;
	int error;

	*ret_new = count;
	if (!is_old(r, birth))
		return fspf_space_mark(r->blocks, addr, count);
	if (fspf_space_marked(r->nodes, addr, count))
		return -EBADMSG;
	error = fspf_space_mark_shared(r->blocks, addr, count, ret_new);
	r->apart |= error == 0 && *ret_new > 0 && elsewhere < count;
	return error;
}

/* ---- whole states ---- */

static int on_node(void *ctx, const struct merkle_ptr *ptr)
{
	return fspf_reach_node(ctx, ptr->addr, ptr->birth);
}

static int on_extent(void *ctx, const struct fspf_extent *e)
{
	uint64_t fresh;

	return fspf_reach_data(ctx, e->addr, e->count, e->birth, &fresh);
}

static int walk(struct fspf_reach *r, const struct fspf_root *root, bool *damaged)
{
	const struct fspf_root_walk w = {
		.ctx = r, .node = on_node, .extent = on_extent, .damaged = damaged};
	int error;

	r->apart = false;
	error = fspf_root_walk(r->v, root, &w);
	r->before = max_u64(r->before, root->generation);
	return error;
}

int fspf_reach_root(struct fspf_reach *r, const struct fspf_root *root)
{
	return walk(r, root, NULL);
}

static int reach_snapshot(struct fspf_reach *r, const struct fspf_snapshot *s)
{
	const struct fspf_root_keys keys = {.volume = r->v->key};
	struct fspf_root *root = NULL;
	bool damaged = false;
	int error = fspf_space_mark(r->blocks, s->addr, fspf_snapshot_blocks(s));

	if (error)
		return error;
	error = fspf_root_read_copy(r->v->store, &r->v->header, &keys, s, &root);
	if (error == -EBADMSG)
		damaged = true;
	else if (error == 0)
		error = walk(r, root, &damaged);
	fspf_root_free(root);
	if (damaged)
		fspf_report_text(r->v, -EBADMSG,
				 "damaged: snapshot %s; what cannot be read of it is not kept",
				 s->name);
	return damaged && error == -EBADMSG ? 0 : error;
}

int fspf_reach_snapshots(struct fspf_reach *r, const struct fspf_root *root,
			 const struct fspf_snapshot *but)
{
	int error = 0;

	for (uint32_t i = 0; i < root->nsnapshots && error == 0; i++)
		if (!but || strcmp(but->name, root->snapshot[i].name))
			error = reach_snapshot(r, &root->snapshot[i]);
	return error;
}
