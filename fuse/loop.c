/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/loop.c - threads on /dev/fuse
 *
 * The kernel wakes waiting readers in turn, each with a buffer of a megabyte, so few should wait
 * (WAITING_MAX) and the rest sleep until they are needed; when the last waiting one took a request,
 * it wakes a sleeper or, if there is none, starts a thread.  A request that blocks (an fsync, a
 * read from a slow disk) thus never keeps the next one waiting, up to THREADS_MAX of them.  The
 * write-out of what requests change happens in the library's threads, so all of ours may block.
 *
 * To end the loop without an unmount, a flag is set and the readers are interrupted by a signal.
 * One that is between looking at the flag and reading misses it; so it is sent until all are gone.
 */
#include "fuse/loop.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuse/fuse_api.h"
#include "fuse/near.h"

#define THREADS_MAX 32u
#define WAITING_MAX 4u
#define KICK_INTERVAL_NS 10000000

struct worker {
	struct daemon_loop *loop;
	pthread_t thread;
	bool waiting; /* for the kernel */
};

struct daemon_loop {
	struct fuse_session *session;
	struct daemon_flow *flow;
	pthread_t starter;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t work;  /* sleepers wait here */
	struct worker workers[THREADS_MAX];
	unsigned started, running, waiting, sleeping;
	bool stopping;
	int error; /* why the first thread ended, if not by unmount or stop */
};

static void *serve(void *worker);

/* Locked. A thread that cannot be started is missed only if all others block. */
static void start_thread(struct daemon_loop *l)
{
	struct worker *w = &l->workers[l->started];

	if (l->started == THREADS_MAX)
		return;
	w->loop = l;
	if (pthread_create(&w->thread, NULL, serve, w) != 0)
		return;
	l->started++;
	l->running++;
}

/* To the kernel, or to sleep while enough others are there.  False: the loop ends. */
static bool enter_wait(struct worker *w)
{
	struct daemon_loop *l = w->loop;
	bool go_on;

	pthread_mutex_lock(&l->lock);
	while (!l->stopping && l->waiting >= WAITING_MAX) {
		l->sleeping++;
		pthread_cond_wait(&l->work, &l->lock);
		l->sleeping--;
	}
	go_on = !l->stopping;
	w->waiting = go_on;
	if (go_on)
		l->waiting++;
	pthread_mutex_unlock(&l->lock);
	return go_on;
}

/* @result as fuse_session_receive_buf() gives it: 0 is the end of the mount. */
static void leave_wait(struct worker *w, int result)
{
	struct daemon_loop *l = w->loop;

	pthread_mutex_lock(&l->lock);
	w->waiting = false;
	l->waiting--;
	if (result <= 0 && result != -EINTR && result != -EAGAIN) {
		if (!l->stopping)
			l->error = result;
		l->stopping = true;
	}
	if (l->stopping)
		pthread_cond_broadcast(&l->work);
	else if (l->waiting == 0 && l->sleeping > 0)
		pthread_cond_signal(&l->work);
	else if (l->waiting == 0)
		start_thread(l);
	pthread_mutex_unlock(&l->lock);
}

static bool wants_answer(uint32_t opcode)
{
	return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

/* What cannot be delivered was for somebody who is gone. */
static void refuse(struct daemon_loop *l, const struct fuse_buf *request)
{
	struct fuse_out_header answer = {.len = sizeof(answer), .error = -EIO};
	struct fuse_in_header header;
	ssize_t n = 0;

	if (request->size < sizeof(header))
		return;
	memcpy(&header, request->mem, sizeof(header));
	answer.unique = header.unique;
	if (wants_answer(header.opcode))
		n = write(fuse_session_fd(l->session), &answer, sizeof(answer));
	(void)n;
}

static void answer(struct daemon_loop *l, struct daemon_near *near, const struct fuse_buf *request)
{
	atomic_fetch_add_explicit(&l->flow->requests, 1, memory_order_relaxed);
	if (atomic_load(&l->flow->refused)) {
		refuse(l, request);
		return;
	}
	daemon_near(near, request);
	fuse_session_process_buf(l->session, request);
}

static void *serve(void *worker)
{
	struct worker *w = worker;
	struct daemon_loop *l = w->loop;
	struct daemon_near near = {0};
	struct fuse_buf buf = {0};

	while (enter_wait(w)) {
		int result = fuse_session_receive_buf(l->session, &buf);

		leave_wait(w, result);
		if (result > 0)
			answer(l, &near, &buf);
	}
	free(buf.mem);
	pthread_mutex_lock(&l->lock);
	if (--l->running == 0)
		pthread_kill(l->starter, DAEMON_SIGNAL_ENDED);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static void kicked(int signal)
{
	(void)signal; /* its arrival ends a read(2) with EINTR, which is all */
}

int daemon_loop_first(struct fuse_session *session)
{
	struct fuse_buf buf = {0};
	int n;

	do
		n = fuse_session_receive_buf(session, &buf);
	while (n == -EINTR);
	if (n > 0)
		fuse_session_process_buf(session, &buf);
	free(buf.mem);
	if (n < 0)
		return n;
	return n == 0 || fuse_session_exited(session) ? -ENOTCONN : 0;
}

int daemon_loop_start(struct fuse_session *session, struct daemon_flow *flow,
		      struct daemon_loop **ret)
{
	const struct sigaction kick = {.sa_handler = kicked}; /* no SA_RESTART */
	struct daemon_loop *l = calloc(1, sizeof(*l));
	bool started;

	if (!l)
		return -ENOMEM;
	sigaction(DAEMON_SIGNAL_KICK, &kick, NULL);
	l->session = session;
	l->flow = flow;
	l->starter = pthread_self();
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->work, NULL);
	pthread_mutex_lock(&l->lock);
	start_thread(l);
	started = l->started > 0;
	pthread_mutex_unlock(&l->lock);
	if (!started) {
		free(l);
		return -EAGAIN;
	}
	*ret = l;
	return 0;
}

bool daemon_loop_ended(struct daemon_loop *l)
{
	bool ended;

	pthread_mutex_lock(&l->lock);
	ended = l->running == 0;
	pthread_mutex_unlock(&l->lock);
	return ended;
}

/* Only those that wait for the kernel: what a handler waits for is not to be interrupted.  Are
 * there any threads left at all? */
static bool kick_waiting(struct daemon_loop *l)
{
	bool any;

	pthread_mutex_lock(&l->lock);
	any = l->running > 0;
	for (unsigned i = 0; i < l->started; i++)
		if (l->workers[i].waiting)
			pthread_kill(l->workers[i].thread, DAEMON_SIGNAL_KICK);
	pthread_mutex_unlock(&l->lock);
	return any;
}

void daemon_loop_stop(struct daemon_loop *l)
{
	const struct timespec interval = {.tv_nsec = KICK_INTERVAL_NS};

	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
	while (kick_waiting(l))
		nanosleep(&interval, NULL);
}

int daemon_loop_join(struct daemon_loop *l)
{
	int err;

	if (!l)
		return 0;
	for (unsigned i = 0; i < l->started; i++)
		pthread_join(l->workers[i].thread, NULL);
	err = l->error;
	pthread_cond_destroy(&l->work);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return err;
}
