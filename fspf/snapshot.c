/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and deleting, by the committer's thread between its commits, so that no other commit
 * comes in between and operations go on.
 *
 * Making takes two commits.  The record of the first is the one that is kept: from its freeze on
 * nothing that it reaches is given back.  When it is published it is copied, and the second commit
 * lists the copy.  A failure in between leaves a volume with one commit more.
 *
 * Deleting takes two as well.  From the freeze of the first on it is noted what the live state
 * gives back.  Then the blocks that the other snapshots and the published state reach are found
 * out, the second commit takes the entry off the list, and what only the deleted one reached is
 * given back.  A failure in between leaves the list as it was.
 */
#include <errno.h>
#include <time.h>

#include "fspf/commit.h"
#include "fspf/error.h"
#include "fspf/reach.h"
#include "fspf/root_walk.h"
#include "fspf/rotate.h"
#include "fspf/snapshot.h"

const struct fspf_snapshot *fspf_snapshot_find(const struct fspf_root *root, const char *name)
{
	for (uint32_t i = 0; i < root->nsnapshots; i++)
		if (!strcmp(root->snapshot[i].name, name))
			return &root->snapshot[i];
	return NULL;
}

uint64_t fspf_snapshot_newest(const struct fspf_root *root)
{
	return root->nsnapshots ? root->snapshot[root->nsnapshots - 1].generation : 0;
}

static int writable(struct fspf_volume *v, struct fspf_error *err)
{
	int failed = atomic_load(&v->failed);

	if (v->read_only || v->ephemeral)
		return fspf_fail(err, -EROFS, NULL, "the volume is open read-only");
	return failed ? fspf_fail(err, -EROFS, NULL, "the volume accepts no more changes") : 0;
}

/* ---- making ---- */

struct making {
	struct fspf_snapshot snapshot;
	struct fspf_error *err;
};

static int check_name(const char *name, struct fspf_error *err)
{
	size_t len = strlen(name);
	bool plain = len > 0 && len <= FSPF_SNAPSHOT_NAME_MAX;

	for (size_t i = 0; i < len && plain; i++)
		plain = (uint8_t)name[i] >= 0x20 && name[i] != 0x7f && name[i] != '/';
	return plain ? 0
		     : fspf_fail(err, -EINVAL,
				 "a name has 1 to 255 bytes, no '/' and no control characters",
				 "this cannot be a snapshot's name");
}

/* The second record has to fit its slot. */
static int check_room(const struct fspf_root *root, const struct making *m)
{
	size_t size = fspf_root_size(root) + FSPF_SNAPSHOT_HEAD + strlen(m->snapshot.name);
	const char *hint = "delete one that is not needed any more";

	if (fspf_snapshot_find(root, m->snapshot.name))
		return fspf_fail(m->err, -EEXIST, "delete that first, or give another name",
				 "there is a snapshot %s already", m->snapshot.name);
	if (root->nsnapshots == FSPF_SNAPSHOTS_MAX)
		return fspf_fail(m->err, -ENOSPC, hint, "the volume has %u snapshots, the most",
				 FSPF_SNAPSHOTS_MAX);
	if (size > FSPF_ROOT_SLOT_BYTES)
		return fspf_fail(m->err, -ENOSPC, hint,
				 "the root record has no room for another snapshot");
	return 0;
}

static void hold_from_here(struct fspf_volume *v, void *ctx, struct fspf_root *root)
{
	(void)ctx;
	fspf_space_hold(v->stored.space, fspf_snapshot_newest(root), root->generation);
}

static void add_entry(struct fspf_volume *v, void *ctx, struct fspf_root *root)
{
	struct making *m = ctx;

	(void)v;
	m->snapshot.birth = root->generation;
	root->snapshot[root->nsnapshots++] = m->snapshot;
}

/* Room for the copy, beyond what the next commit may need. */
static int alloc_copy(struct fspf_volume *v, uint32_t count, uint64_t *ret_addr)
{
	uint32_t got;
	int r = fspf_space_promise(v->stored.space, count, fspf_space_keep(v, &v->stored, false));

	if (r)
		return r;
	r = fspf_space_alloc(v->stored.space, count, count, true, ret_addr, &got);
	if (r)
		fspf_space_unpromise(v->stored.space, count);
	return r;
}

/* What was just published is copied, and listed. */
static int keep_published(struct fspf_volume *v, struct making *m)
{
	struct fspf_snapshot *s = &m->snapshot;
	uint32_t count;
	int r = fspf_root_length(v->store, v->slot, &s->length);

	s->generation = v->root->generation;
	s->tag = v->tag;
	if (r)
		return r;
	count = (uint32_t)fspf_snapshot_blocks(s);
	r = alloc_copy(v, count, &s->addr);
	if (r)
		return r;
	r = fspf_root_copy(v->store, v->slot, &v->tag, s->addr, s->length);
	if (r == 0)
		r = fspf_commit_edited(v, add_entry, m);
	/* If the volume has failed, nobody knows whether the entry is there. */
	if (r && !atomic_load(&v->failed))
		fspf_space_unalloc(v->stored.space, s->addr, count);
	return r;
}

/* By the committer's thread, which is also the one that exchanges keys. */
static int check_keys(struct fspf_volume *v, struct fspf_error *err)
{
	bool waiting;

	pthread_mutex_lock(&v->state_lock);
	waiting = v->rekey != NULL;
	pthread_mutex_unlock(&v->state_lock);
	if (!waiting && !fspf_is_rotating(v))
		return 0;
	return fspf_fail(err, -EAGAIN, "`fspf key rotate` brings that to its end",
			 "a region of the volume is being given a new key, and a snapshot would "
			 "keep the old one");
}

static int make(struct fspf_volume *v, void *ctx)
{
	struct making *m = ctx;
	int r = check_keys(v, m->err);

	if (r == 0)
		r = check_room(v->root, m);

	if (r)
		return r;
	r = fspf_commit_edited(v, hold_from_here, m);
	if (r == 0)
		r = keep_published(v, m);
	if (r) {
		fspf_space_hold_release(v->stored.space, NULL);
		return fspf_fail(m->err, r,
				 r == -ENOSPC ? "deleting files frees space; so does deleting "
						"snapshots"
					      : NULL,
				 "cannot make the snapshot %s: %s", m->snapshot.name, strerror(-r));
	}
	fspf_space_set_kept(v->stored.space, m->snapshot.generation); /* S6 */
	fspf_space_hold_keep(v->stored.space);
	return 0;
}

int fspf_snapshot_create(struct fspf_volume *v, const char *name, struct crypto_digest *ret_tag,
			 struct fspf_error *err)
{
	struct making m = {.err = err};
	int r = writable(v, err);

	if (r == 0)
		r = check_name(name, err);
	if (r)
		return r;
	memcpy(m.snapshot.name, name, strlen(name) + 1);
	clock_gettime(CLOCK_REALTIME, &m.snapshot.time);
	r = fspf_commit_do(v, make, &m);
	if (r == 0 && ret_tag)
		*ret_tag = m.snapshot.tag;
	return r;
}

/* ---- deleting ---- */

struct deleting {
	const char *name;
	struct fspf_volume *v;
	struct fspf_snapshot snapshot;
	struct fspf_root *root; /* the copy; NULL: it does not verify */
	struct fspf_space *others_blocks, *live_blocks;
	struct fspf_reach others, live; /* the other snapshots; the published state */
	struct fspf_error *err;
};

static int no_such(const char *name, struct fspf_error *err)
{
	return fspf_fail(err, -ENOENT, "`fspf snapshot list` shows those that there are",
			 "there is no snapshot %s", name);
}

static void hold_what_is_kept(struct fspf_volume *v, void *ctx, struct fspf_root *root)
{
	(void)ctx;
	fspf_space_hold(v->stored.space, 0, fspf_snapshot_newest(root));
}

static void remove_entry(struct fspf_volume *v, void *ctx, struct fspf_root *root)
{
	const struct deleting *d = ctx;
	uint32_t n = 0;

	(void)v;
	for (uint32_t i = 0; i < root->nsnapshots; i++)
		if (strcmp(root->snapshot[i].name, d->name))
			root->snapshot[n++] = root->snapshot[i];
	memset(&root->snapshot[n], 0, sizeof(root->snapshot[n]));
	root->nsnapshots = n;
}

/* One that does not verify can be deleted all the same. */
static int read_copy(struct deleting *d)
{
	const struct fspf_root_keys keys = {.volume = d->v->key};
	int r = fspf_root_read_copy(d->v->store, &d->v->header, &keys, &d->snapshot, &d->root);

	return r == -EBADMSG ? 0 : r;
}

static int find_reached(struct deleting *d)
{
	struct fspf_volume *v = d->v;
	int r = fspf_reach_space(v, &d->others_blocks);

	if (r == 0)
		r = fspf_reach_space(v, &d->live_blocks);
	if (r == 0)
		r = fspf_reach_begin(v, d->others_blocks, &d->others);
	if (r == 0)
		r = fspf_reach_begin(v, d->live_blocks, &d->live);
	if (r == 0)
		r = fspf_reach_snapshots(&d->others, v->root, &d->snapshot);
	if (r)
		return r;
	d->live.other = &d->others;
	d->live.before = d->others.before;
	return fspf_reach_root(&d->live, v->root);
}

static bool is_reached(const struct deleting *d, uint64_t block)
{
	return fspf_space_marked(d->others_blocks, block, 1) ||
	       fspf_space_marked(d->live_blocks, block, 1);
}

static int drop_node(void *ctx, const struct merkle_ptr *ptr)
{
	const struct deleting *d = ctx;

	if (is_reached(d, ptr->addr))
		return 1;
	fspf_space_drop(d->v->stored.space, ptr->addr, MERKLE_NODE_BLOCKS);
	return 0;
}

static int drop_extent(void *ctx, const struct fspf_extent *e)
{
	const struct deleting *d = ctx;

	for (uint32_t i = 0; i < e->count; i++)
		if (!is_reached(d, e->addr + i))
			fspf_space_drop(d->v->stored.space, e->addr + i, 1);
	return 0;
}

/* Everything is published; what cannot be found is found by the next open. */
static void drop_rest(struct deleting *d)
{
	bool damaged = !d->root;
	const struct fspf_root_walk walk = {
		.ctx = d, .node = drop_node, .extent = drop_extent, .damaged = &damaged};
	struct fspf_space *space = d->v->stored.space;

	if (d->root && fspf_root_walk(d->v, d->root, &walk))
		damaged = true;
	fspf_space_drop(space, d->snapshot.addr, fspf_snapshot_blocks(&d->snapshot));
	fspf_space_set_kept(space, fspf_snapshot_newest(d->v->root));
	fspf_space_hold_release(space, d->others_blocks);
	if (damaged || d->live.apart)
		fspf_space_lose(space);
}

static int forget(struct fspf_volume *v, struct deleting *d)
{
	int r = read_copy(d);

	if (r == 0)
		r = fspf_commit_edited(v, hold_what_is_kept, d);
	if (r == 0)
		r = find_reached(d);
	if (r == 0)
		r = fspf_commit_edited(v, remove_entry, d);
	if (r)
		fspf_space_hold_keep(v->stored.space);
	else
		drop_rest(d);
	return r;
}

static int unmake(struct fspf_volume *v, void *ctx)
{
	struct deleting *d = ctx;
	const struct fspf_snapshot *found = fspf_snapshot_find(v->root, d->name);
	int r;

	if (!found)
		return no_such(d->name, d->err);
	d->snapshot = *found;
	r = forget(v, d);
	fspf_reach_end(&d->others);
	fspf_reach_end(&d->live);
	fspf_space_free(d->others_blocks);
	fspf_space_free(d->live_blocks);
	fspf_root_free(d->root);
	if (r == 0)
		return 0;
	return fspf_fail(d->err, r,
			 r == -EBADMSG ? "what the volume itself needs cannot be told from the "
					 "rest while it is damaged; `fspf verify` names what is"
				       : NULL,
			 "cannot delete the snapshot %s: %s", d->name, strerror(-r));
}

int fspf_snapshot_delete(struct fspf_volume *v, const char *name, struct fspf_error *err)
{
	struct deleting d = {.name = name, .v = v, .err = err};
	int r = writable(v, err);

	return r ? r : fspf_commit_do(v, unmake, &d);
}

/* ---- listing ---- */

int fspf_snapshots(struct fspf_volume *v, struct fspf_snapshot_info ret[static FSPF_SNAPSHOTS_MAX],
		   size_t *ret_count)
{
	int r = 0;

	pthread_mutex_lock(&v->state_lock);
	if (!v->root->opened)
		r = -ENOKEY;
	for (uint32_t i = 0; i < v->root->nsnapshots && r == 0; i++) {
		const struct fspf_snapshot *s = &v->root->snapshot[i];

		memcpy(ret[i].name, s->name, sizeof(ret[i].name));
		ret[i].time = s->time;
		ret[i].generation = s->generation;
		ret[i].tag = s->tag;
	}
	if (r == 0)
		*ret_count = v->root->nsnapshots;
	pthread_mutex_unlock(&v->state_lock);
	return r;
}
