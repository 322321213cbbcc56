/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/verify_space.c - which blocks are reached, each once, and whether the space map says so too
 *
 * The blocks are marked in a space manager that nobody allocates from, which refuses what is marked
 * already.  The stored map is read into a second one, and both are compared as they would be
 * stored, piece by piece.  The map's own nodes are not in it (docs/format.md, "Space map"): they
 * are marked in both, which finds those that lie where something else does.
 */
#include <errno.h>

#include "fspf/space_store.h"
#include "fspf/verify.h"

int verify_space_begin(struct verify *w)
{
	int r = fspf_reach_space(w->v, &w->reached);

	return r ? r : fspf_reach_begin(w->v, w->reached, &w->reach);
}

void verify_space_end(struct verify *w)
{
	fspf_reach_end(&w->reach);
	w->reached = fspf_space_free(w->reached);
}

static bool crosses(const struct verify *w, uint64_t addr, uint64_t count)
{
	uint64_t segment = w->v->header.segment_blocks;

	return addr % segment + count > segment;
}

static int conclude(struct verify *w, int r)
{
	if (r != -EBADMSG)
		return r;
	w->reached_unknown = true;
	return 1;
}

int verify_reach(struct verify *w, uint64_t addr, uint64_t count)
{
	return conclude(w, crosses(w, addr, count) ? -EBADMSG
						   : fspf_space_mark(w->reached, addr, count));
}

int verify_reach_node(struct verify *w, const struct merkle_ptr *ptr)
{
	return conclude(w, crosses(w, ptr->addr, MERKLE_NODE_BLOCKS)
				   ? -EBADMSG
				   : fspf_reach_node(&w->reach, ptr->addr, ptr->birth));
}

/* In the volume's own state, which comes first, a second time is once too often. */
bool verify_has_node(const struct verify *w, const struct merkle_ptr *ptr)
{
	return w->state[0] && fspf_space_marked(w->reach.nodes, ptr->addr, MERKLE_NODE_BLOCKS) ==
				      MERKLE_NODE_BLOCKS;
}

bool verify_has_block(const struct verify *w, uint64_t addr)
{
	return fspf_space_marked(w->reached, addr, 1) > 0;
}

static int reach_sessions(struct verify *w)
{
	int r = 0;

	if (w->sessions.addr)
		r = verify_reach(w, w->sessions.addr, fspf_blob_blocks(w->sessions.count));
	if (r > 0)
		verify_tell_inconsistent(
			w, "session table: its blocks are in use twice, or lie where none can");
	return r < 0 ? r : 0;
}

/* ---- the stored map ---- */

struct map {
	struct verify *w;
	struct fspf_space *space;
	bool bad, damaged;
};

static int map_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	struct map *m = ctx;
	int r = verify_reach(m->w, ptr->addr, MERKLE_NODE_BLOCKS);

	(void)plain;
	m->w->result->nodes++;
	if (r >= 0) {
		m->bad |= r > 0;
		r = fspf_space_mark(m->space, ptr->addr, MERKLE_NODE_BLOCKS);
	}
	m->bad |= r == -EBADMSG;
	return r == -EBADMSG ? 0 : r;
}

static int map_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct map *m = ctx;
	int r = -EBADMSG;

	if (key->object == 1 && key->type == 1)
		r = fspf_space_decode(m->space, key->offset, value, len);
	m->bad |= r == -EBADMSG;
	return r == -EBADMSG ? 0 : r;
}

static int map_damaged(void *ctx, const struct merkle_damage *damage)
{
	struct map *m = ctx;

	if (damage->error != -EBADMSG && damage->error != -EIO)
		return damage->error;
	m->damaged = true;
	m->w->result->damaged_nodes++;
	verify_tell(m->w, "damaged: a node of the space map");
	return 0;
}

static int read_map(struct map *m)
{
	struct merkle_walk walk = {
		.ctx = m, .node = map_node, .item = map_item, .damaged = map_damaged};
	struct fspf_region region = {.v = m->w->v, .id = FSPF_REGION_SPACE};
	struct merkle_config config = {.store = &region.store};
	int r = fspf_space_sealer(m->w->v, &config.sealer);

	fspf_region_store(&region);
	fspf_identity(m->w->v, FSPF_REGION_SPACE, config.identity);
	if (r == 0)
		r = merkle_walk(&config, &m->w->space_root, &walk);
	crypto_sealer_free(config.sealer);
	return r;
}

/* Is piece @i the same in both? */
static int same_piece(struct fspf_space *a, struct fspf_space *b, uint64_t i, bool *ret)
{
	uint8_t in_a[FSPF_SPACE_ENTRY_MAX], in_b[FSPF_SPACE_ENTRY_MAX];
	size_t len_a = 0, len_b = 0;
	int r = fspf_space_encode(a, i, in_a, &len_a);

	if (r == 0 || r == -ENOENT)
		r = fspf_space_encode(b, i, in_b, &len_b);
	if (r && r != -ENOENT)
		return r;
	*ret = len_a == len_b && !memcmp(in_a, in_b, len_a);
	return 0;
}

static int compare(struct fspf_space *a, struct fspf_space *b, bool *ret)
{
	uint64_t pieces = max_u64(fspf_space_pieces(a), fspf_space_pieces(b));
	bool same = true;
	int r = 0;

	for (uint64_t i = 0; i < pieces && r == 0 && same; i++)
		r = same_piece(a, b, i, &same);
	*ret = same;
	return r;
}

static int check_map(struct map *m)
{
	bool same = true;
	int r = read_map(m);

	if (r == 0 && m->bad)
		verify_tell_inconsistent(
			m->w, "space map: it is malformed, or lies where something else does");
	else if (r == 0 && !m->damaged && !m->w->reached_unknown)
		r = compare(m->w->reached, m->space, &same);
	if (!same)
		verify_tell_inconsistent(
			m->w, "space map: the blocks in use are others than those it says");
	return r;
}

int verify_space(struct verify *w)
{
	struct map m = {.w = w};
	int r = reach_sessions(w);

	if (r || merkle_ptr_is_null(&w->space_root))
		return r;
	r = fspf_reach_space(w->v, &m.space);
	if (r == 0)
		r = check_map(&m);
	fspf_space_free(m.space);
	return r;
}
