/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/loop.h - threads that take requests from the kernel and answer them
 *
 * There are as many threads as requests were ever under way at once, up to a maximum; a few wait in
 * the kernel for the next request and the others sleep.  The loop ends when the file system is
 * unmounted or when daemon_loop_stop() is called; either way it raises DAEMON_SIGNAL_ENDED in the
 * thread that started it.
 */
#ifndef FSPF_FUSE_LOOP_H
#define FSPF_FUSE_LOOP_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "crypto/base.h"

/* To be blocked, and waited for with sigwait().  The usual signals are left to those who serve a
 * program that has a meaning for them. */
#define DAEMON_SIGNAL_ENDED (SIGRTMAX - 1)
#define DAEMON_SIGNAL_KICK SIGRTMAX /* interrupts a thread's read; used inside */

struct daemon_loop;
struct fuse_session;

/* What others see and say of a loop that runs. */
struct daemon_flow {
	atomic_uint_fast64_t requests; /* that were taken so far */
	atomic_bool refused;	       /* from now on each one is answered with EIO, unseen */
};

/* Start serving; @session is borrowed, as @flow, and its first request, INIT, has been answered. */
MUST_CHECK int daemon_loop_start(struct fuse_session *session, struct daemon_flow *flow,
				 struct daemon_loop **ret);

/* Answer INIT in the calling thread. -ENOTCONN: it was unmounted again already. */
MUST_CHECK int daemon_loop_first(struct fuse_session *session);

bool daemon_loop_ended(struct daemon_loop *loop);

/* Stop taking requests; what is under way is answered first. */
void daemon_loop_stop(struct daemon_loop *loop);

/* Wait for the end of all threads, and free.  NULL is allowed.  0, or why the kernel could not be
 * read from. */
int daemon_loop_join(struct daemon_loop *loop);

#endif
