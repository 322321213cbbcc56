/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The committer's thread, and everybody who waits for it.
 *
 * Attempts are numbered.  Who waits for an epoch asks for an attempt and sleeps until that epoch is
 * durable, or until an attempt that began after it asked has failed: a failure that began earlier
 * says nothing about its changes.
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/commit.h"
#include "fspf/commit_write.h"
#include "fspf/rekey.h"
#include "fspf/space_store.h"

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

int fspf_commit_run(struct fspf_volume *v, bool clean)
{
	struct fspf_committer *c = v->committer;
	struct fspf_flusher *f = NULL;
	const struct fspf_commit_plan plan = {.always = true, .clean = clean};
	uint64_t durable = c ? c->durable : 0;
	int r = fspf_flusher_new(&f);

	if (r == 0)
		r = fspf_commit_once(v, f, durable, &plan, &durable);
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
		r = fspf_renew_session(v);
	if (r == 0)
		r = fspf_flush_pass(v, c->flusher, NULL);
	pthread_mutex_lock(&c->lock);
	if (r)
		c->wanted = true; /* let a commit find out, and report, what is wrong */
	pthread_cond_broadcast(&c->done);
}

/* Locked but for the work. */
static int commit_and_tell(struct fspf_volume *v, struct fspf_committer *c,
			   const struct fspf_commit_plan *plan)
{
	uint64_t durable = c->durable;
	int r;

	c->wanted = false;
	c->attempt++;
	pthread_mutex_unlock(&c->lock);
	r = fspf_commit_once(v, c->flusher, durable, plan, &durable);
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
			(void)commit_and_tell(v, c, &(struct fspf_commit_plan){0});
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
	const struct fspf_commit_plan plan = {.always = true, .edit = edit, .ctx = ctx};
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
