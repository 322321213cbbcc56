/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The committer's thread, and everybody who waits for it.
 *
 * Attempts are numbered.  Who waits for an epoch asks for an attempt and sleeps until that epoch is
 * durable, or until an attempt that began after it asked has failed: a failure that began earlier
 * says nothing about its changes.
 *
 *   V4  a frozen state is what the operations before one instant produced, all of them and nothing
 * else: the gate is closed from the last flush of data and attributes until the trees are frozen
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/commit.h"
#include "fspf/commit_write.h"
#include "fspf/rekey.h"
#include "fspf/space_store.h"

#define PASSES_MAX 3
#define PASS_PAGES                                                                                 \
	1024u /* with so few dirty pages the gate may be closed: a few milliseconds' work */
#define PASS_INODES 256u

/* What kind of commit. */
struct plan {
	bool always; /* even if nothing changed */
	bool clean;  /* the space map goes with it; nothing is dirty or deferred then, and the
			caller sees to it that nothing changes any more */
	fspf_commit_edit *edit;
	void *ctx;
};

struct job {
	fspf_commit_job *run;
	void *ctx;
	int result;
	bool done;
};

struct fspf_committer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_cond_t done;
	uint64_t durable; /* epoch */
	uint64_t attempt; /* the last one begun */
	uint64_t ended;	  /* the last one ended */
	int error;	  /* of the last one ended */
	uint64_t failed;  /* the last one that failed */
	bool wanted;	  /* somebody waits, or a kick */
	bool flush;	  /* a kick for write-out alone is enough */
	bool stop;
	struct job *job; /* to be done before the next commit */
	struct fspf_flusher *flusher;
	bool self_known;
	pthread_t self; /* the thread itself must not wait for what it would have to do */
};

/* ---- one commit ---- */

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

/* Write out what is on the dirty list now; what is dirtied meanwhile waits for the next pass. @held
 * is given when the gate is closed. */
static int flush_pass(struct fspf_volume *v, struct fspf_flusher *f, struct fspf_inode **held)
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
		r = flush_pass(v, f, held);
	return r;
}

static int flush_ahead(struct fspf_volume *v, struct fspf_flusher *f)
{
	int r = 0;

	for (int i = 0; i < PASSES_MAX && r == 0; i++) {
		if (fspf_page_pool_used(v->pages) <= PASS_PAGES &&
		    fspf_inode_dirty_count(v) <= PASS_INODES)
			break;
		r = flush_pass(v, f, NULL);
	}
	return r;
}

/* A new session long before the old one's seals are used up: one pass cannot need as many as
 * remain. */
static int renew_session(struct fspf_volume *v)
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
		      const struct plan *plan, struct fspf_frozen *frozen)
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

static int commit_once(struct fspf_volume *v, struct fspf_flusher *f, uint64_t durable,
		       const struct plan *plan, uint64_t *ret_durable)
{
	struct fspf_frozen frozen = {0};
	int r = atomic_load(&v->failed);

	if (r)
		return r;
	r = renew_session(v);
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

int fspf_commit_run(struct fspf_volume *v, bool clean)
{
	struct fspf_committer *c = v->committer;
	struct fspf_flusher *f = NULL;
	const struct plan plan = {.always = true, .clean = clean};
	uint64_t durable = c ? c->durable : 0;
	int r = fspf_flusher_new(&f);

	if (r == 0)
		r = commit_once(v, f, durable, &plan, &durable);
	fspf_flusher_free(f);
	return r;
}

/* ---- the thread ---- */

static struct timespec deadline(uint32_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/* Sleep until there is work or the timer says so.  Locked. */
static void wait_for_work(struct fspf_volume *v, struct fspf_committer *c)
{
	struct timespec until = deadline(v->commit_interval_ms);
	int r = 0;

	while (!c->wanted && !c->flush && !c->job && !c->stop && r != ETIMEDOUT) {
		if (v->commit_interval_ms == UINT32_MAX)
			pthread_cond_wait(&c->work, &c->lock);
		else
			r = pthread_cond_timedwait(&c->work, &c->lock, &until);
	}
}

/* Write-out alone, when memory fills up and nobody waits for durability. */
static void flush_only(struct fspf_volume *v, struct fspf_committer *c)
{
	int r;

	pthread_mutex_unlock(&c->lock);
	r = atomic_load(&v->failed);
	if (r == 0)
		r = renew_session(v);
	if (r == 0)
		r = flush_pass(v, c->flusher, NULL);
	pthread_mutex_lock(&c->lock);
	if (r)
		c->wanted = true; /* let a commit find out, and report, what is wrong */
	pthread_cond_broadcast(&c->done);
}

/* Locked but for the work. */
static int commit_and_tell(struct fspf_volume *v, struct fspf_committer *c, const struct plan *plan)
{
	uint64_t durable = c->durable;
	int r;

	c->wanted = false;
	c->attempt++;
	pthread_mutex_unlock(&c->lock);
	r = commit_once(v, c->flusher, durable, plan, &durable);
	pthread_mutex_lock(&c->lock);
	c->durable = durable;
	c->ended = c->attempt;
	c->error = r;
	if (r)
		c->failed = c->attempt;
	pthread_cond_broadcast(&c->done);
	return r;
}

/* Locked but for the work. */
static void do_job(struct fspf_volume *v, struct fspf_committer *c)
{
	struct job *job = c->job;

	pthread_mutex_unlock(&c->lock);
	job->result = job->run(v, job->ctx);
	pthread_mutex_lock(&c->lock);
	job->done = true;
	c->job = NULL;
	pthread_cond_broadcast(&c->done);
}

/* Metadata alone can fill the dirty limit too; the trees only become clean with a commit. */
static bool nodes_are_many(struct fspf_volume *v)
{
	return fspf_space_keep(v, NULL, true) > UINT64_C(2048) * MERKLE_NODE_BLOCKS;
}

/* The volume can be read at once; whatever needs space waits until it is known what is free. */
static void start(struct fspf_volume *v)
{
	struct fspf_old_map old = {0};
	int r;

	if (v->ephemeral) /* nothing of the volume's space will be used */
		return;
	r = fspf_space_load(v, &old);
	fspf_space_ready(v->stored.space, r);
	if (r) {
		fspf_volume_fail(v, r, "the free space of the volume could not be found out");
		free(old.addr);
		return;
	}
	atomic_store(&v->space_known, true);
	fspf_space_loaded(v, &old);
	if (fspf_orphans_remove(v))
		fspf_report_text(v, -EIO,
				 "files that were unlinked while open could not all be removed");
}

static void *committer_main(void *arg)
{
	struct fspf_volume *v = arg;
	struct fspf_committer *c = v->committer;

	pthread_mutex_lock(&c->lock);
	c->self = pthread_self();
	c->self_known = true;
	pthread_mutex_unlock(&c->lock);
	start(v);
	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		wait_for_work(v, c);
		if (c->stop)
			break;
		if (c->job) {
			do_job(v, c);
		} else if (c->flush && !c->wanted && !nodes_are_many(v)) {
			c->flush = false;
			flush_only(v, c);
		} else {
			c->flush = false;
			(void)commit_and_tell(v, c, &(struct plan){0});
		}
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int fspf_committer_start(struct fspf_volume *v)
{
	struct fspf_committer *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;
	int r = -ENOMEM;

	if (!c)
		return r;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->work, &attr);
	pthread_cond_init(&c->done, NULL);
	pthread_condattr_destroy(&attr);
	v->committer = c;
	r = fspf_flusher_new(&c->flusher);
	if (r == 0)
		r = -pthread_create(&c->thread, NULL, committer_main, v);
	if (r) {
		fspf_flusher_free(c->flusher);
		free(c);
		v->committer = NULL;
	}
	return r;
}

void fspf_committer_stop(struct fspf_volume *v)
{
	struct fspf_committer *c = v->committer;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->work);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	fspf_flusher_free(c->flusher);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->work);
	pthread_cond_destroy(&c->done);
	free(c);
	v->committer = NULL;
}

/* ---- those who wait ---- */

/* Until @epoch is durable, or an attempt begun from now on failed.  Locked. */
static int wait_durable(struct fspf_committer *c, uint64_t epoch)
{
	uint64_t asked = c->attempt; /* later ones began after we asked */

	while (c->durable < epoch && c->failed <= asked && !c->stop) {
		c->wanted = true;
		pthread_cond_signal(&c->work);
		pthread_cond_wait(&c->done, &c->lock);
	}
	return c->durable >= epoch ? 0 : (c->error ? c->error : -EIO);
}

int fspf_commit_wait(struct fspf_volume *v, uint64_t epoch)
{
	struct fspf_committer *c = v->committer;
	int r;

	if (!c)
		return -EROFS;
	pthread_mutex_lock(&c->lock);
	if (c->self_known && pthread_equal(c->self, pthread_self()))
		r = -ENOSPC; /* it asks because space ran out while it cleans up: it has no one to
				wait for */
	else
		r = wait_durable(c, epoch);
	pthread_mutex_unlock(&c->lock);
	return r;
}

int fspf_commit_now(struct fspf_volume *v)
{
	return fspf_commit_wait(
		v, max_u64(atomic_load(&v->stored.changed), atomic_load(&v->scratch.changed)));
}

int fspf_commit_do(struct fspf_volume *v, fspf_commit_job *run, void *ctx)
{
	struct fspf_committer *c = v->committer;
	struct job job = {.run = run, .ctx = ctx};

	if (!c)
		return -EROFS;
	pthread_mutex_lock(&c->lock);
	while (c->job)
		pthread_cond_wait(&c->done, &c->lock);
	c->job = &job;
	pthread_cond_signal(&c->work);
	while (!job.done)
		pthread_cond_wait(&c->done, &c->lock);
	pthread_mutex_unlock(&c->lock);
	return job.result;
}

int fspf_commit_edited(struct fspf_volume *v, fspf_commit_edit *edit, void *ctx)
{
	const struct plan plan = {.always = true, .edit = edit, .ctx = ctx};
	struct fspf_committer *c = v->committer;
	int r;

	pthread_mutex_lock(&c->lock);
	r = commit_and_tell(v, c, &plan);
	pthread_mutex_unlock(&c->lock);
	return r;
}

void fspf_commit_kick(struct fspf_volume *v)
{
	struct fspf_committer *c = v->committer;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->flush = true;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

int fspf_commit_throttle(struct fspf_volume *v)
{
	struct fspf_committer *c = v->committer;
	uint64_t failed;
	int r = 0;

	if (!c || fspf_page_pool_used(v->pages) * 2 < v->dirty_max)
		return 0;
	pthread_mutex_lock(&c->lock);
	failed = c->failed;
	c->flush = true; /* from half full on, write out ahead */
	pthread_cond_signal(&c->work);
	while (fspf_page_pool_used(v->pages) >= v->dirty_max && !c->stop) {
		if (c->failed > failed) {
			r = c->error;
			break;
		}
		c->flush = true;
		pthread_cond_signal(&c->work);
		pthread_cond_wait(&c->done, &c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

int fspf_commit_close(struct fspf_volume *v)
{
	bool clean;
	int r = atomic_load(&v->failed);

	atomic_store(&v->closing, true);
	if (v->ephemeral) {
		fspf_committer_stop(v);
		return 0;
	}
	if (r == 0)
		r = fspf_orphans_close(v);
	if (r == 0)
		r = fspf_sync(v);
	fspf_committer_stop(v);
	clean = !merkle_ptr_is_null(&v->root->space); /* the root is ours alone from here on */
	if (r == 0)
		r = atomic_load(&v->failed);
	/* Nothing was committed since a clean open: the stored state, its map included, is still
	 * right. */
	if (r || (clean && atomic_load(&v->commits) == 0))
		return r;
	/* The map's nodes are sealed in this session, and nothing may be deferred when they are
	 * written. */
	r = fspf_commit_run(v, false);
	if (r == 0 && fspf_space_is_exact(v->stored.space))
		r = fspf_commit_run(v, true);
	if (r == 0)
		fspf_space_trim_free(v->stored.space);
	return r;
}
