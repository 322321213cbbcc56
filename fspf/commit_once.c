/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One commit, from the write-out ahead to the publication.
 *
 *   V4  a frozen state is what the operations before one instant produced, all of them and nothing
 * else: the gate is closed from the last flush of data and attributes until the trees are frozen
 */
#include <errno.h>

#include "fspf/commit.h"
#include "fspf/commit_write.h"
#include "fspf/rekey.h"

#define PASSES_MAX 3
#define PASS_PAGES                                                                                 \
	1024u /* with so few dirty pages the gate may be closed: a few milliseconds' work */
#define PASS_INODES 256u

/* Give references back once the gate is open: the last one of a nameless inode removes it, which is
 * a change. */
static void put_held(struct fspf_volume *v, struct fspf_inode *held)
{
	while (held) {
		struct fspf_inode *inode = held;

		held = inode->held_next;
		inode->held = false;
		fspf_inode_put(v, inode, 1);
	}
}

/* The first reference of an inode goes on the chain; further ones are never the last. */
static void hold(struct fspf_volume *v, struct fspf_inode *inode, struct fspf_inode **held)
{
	if (inode->held) {
		fspf_inode_put(v, inode, 1);
		return;
	}
	inode->held = true;
	inode->held_next = *held;
	*held = inode;
}

/* What is ephemeral and has no place to go, because the committed node that it would change is
 * damaged, must not keep what is stored from becoming durable. */
static void give_up(struct fspf_volume *v, struct fspf_inode *inode)
{
	char path[FSPF_PREFIX_MAX + FSPF_NAME_MAX];

	fspf_path_of(v, inode->ino, path, sizeof(path));
	fspf_report_text(v, -EIO, "changes to %s are lost: it is damaged", path);
	pthread_mutex_lock(&inode->lock);
	fspf_space_unpromise(inode->region->home->space,
			     fspf_pages_drop(&inode->pages, v->pages, 0, UINT64_MAX));
	inode->dirty = false;
	pthread_mutex_unlock(&inode->lock);
}

/* Write out what is on the dirty list now; what is dirtied meanwhile waits for the next pass. @held
 * is given when the gate is closed. */
int fspf_flush_pass(struct fspf_volume *v, struct fspf_flusher *f, struct fspf_inode **held)
{
	uint64_t n = fspf_inode_dirty_count(v);
	int first = 0;

	for (; n > 0; n--) {
		struct fspf_inode *inode = fspf_inode_next_dirty(v);
		int r;

		if (!inode)
			break;
		/* At close what would go to scratch space goes nowhere. */
		if (atomic_load(&v->closing) && fspf_region_is_ephemeral(inode->region))
			r = 0;
		else
			r = fspf_flush_inode(v, f, inode, held != NULL);
		if (r == -EBADMSG && fspf_region_is_ephemeral(inode->region)) {
			give_up(v, inode);
			r = 0;
		}
		if (r) {
			fspf_inode_relist(v, inode);
			first = first ? first : r;
		}
		if (held)
			hold(v, inode, held);
		else
			fspf_inode_put(v, inode, 1);
	}
	return first;
}

/* Entering batches in the maps lists inodes again, so under the gate it takes a second pass to put
 * their attributes. */
static int flush_all(struct fspf_volume *v, struct fspf_flusher *f, struct fspf_inode **held)
{
	int r = 0;

	while (r == 0 && fspf_inode_dirty_count(v) > 0)
		r = fspf_flush_pass(v, f, held);
	return r;
}

static int flush_ahead(struct fspf_volume *v, struct fspf_flusher *f)
{
	int r = 0;

	for (int i = 0; i < PASSES_MAX && r == 0; i++) {
		if (fspf_page_pool_used(v->pages) <= PASS_PAGES &&
		    fspf_inode_dirty_count(v) <= PASS_INODES)
			break;
		r = fspf_flush_pass(v, f, NULL);
	}
	return r;
}

/* A new session long before the old one's seals are used up: one pass cannot need as many as
 * remain. */
int fspf_renew_session(struct fspf_volume *v)
{
	uint64_t remaining = UINT64_MAX;

	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (v->regions[i]->sealer) /* one encrypted region's answer is that of all */
			remaining =
				min_u64(remaining, crypto_sealer_remaining(v->regions[i]->sealer));
	return remaining < CRYPTO_SEALS_MAX / 2 ? crypto_sessions_begin(v->sessions) : 0;
}

/* Is there anything that the last published state does not have? */
static bool anything_new(struct fspf_volume *v, uint64_t durable)
{
	return atomic_load(&v->stored.changed) > durable ||
	       atomic_load(&v->scratch.changed) > durable;
}

static int freeze_now(struct fspf_volume *v, struct fspf_flusher *f, uint64_t durable,
		      const struct fspf_commit_plan *plan, struct fspf_frozen *frozen)
{
	struct fspf_inode *held = NULL;
	int r;

	pthread_rwlock_wrlock(&v->gate);
	r = flush_all(v, f, &held); /* V4 */
	frozen->publish = plan->always || atomic_load(&v->stored.changed) > durable;
	if (r == 0 && (plan->always || anything_new(v, durable)))
		r = fspf_freeze(v, frozen);
	if (r == 0 && frozen->root && plan->edit)
		plan->edit(v, plan->ctx, frozen->root);
	pthread_rwlock_unlock(&v->gate);
	put_held(v, held);
	return r;
}

static void thaw_now(struct fspf_volume *v, struct fspf_frozen *frozen)
{
	pthread_rwlock_wrlock(&v->gate);
	fspf_thaw(v, frozen);
	pthread_rwlock_unlock(&v->gate);
}

int fspf_commit_once(struct fspf_volume *v, struct fspf_flusher *f, uint64_t durable,
		     const struct fspf_commit_plan *plan, uint64_t *ret_durable)
{
	struct fspf_frozen frozen = {0};
	int r = atomic_load(&v->failed);

	if (r)
		return r;
	r = fspf_renew_session(v);
	if (r == 0)
		r = fspf_rekey_now(v);
	if (r == 0)
		r = flush_ahead(v, f);
	if (r == 0)
		r = freeze_now(v, f, durable, plan, &frozen);
	if (r || !frozen.root)
		return r;
	r = fspf_write_frozen(v, &frozen, plan->clean);
	if (r) {
		thaw_now(v, &frozen);
		/* A store that cannot write or sync has lost something; one that is full has not.
		 */
		if (r != -ENOSPC && r != -ENOMEM && r != -EBADMSG)
			fspf_volume_fail(v, r, "the storage could not be written");
		return r;
	}
	r = frozen.publish ? fspf_publish_frozen(v, &frozen) : fspf_settle_frozen(v, &frozen);
	if (r == 0)
		*ret_durable = frozen.epoch;
	fspf_root_free(frozen.root);
	return r;
}
