/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/near.h - serving a request on the processor of whoever asked
 *
 * A request and its answer are two wake-ups.  On one processor each is a context switch, 3 us;
 * across two that are otherwise idle each is an interrupt to a halted one, which in a virtual
 * machine costs 50 to 100.  The scheduler leaves a woken thread where it ran last if that is idle,
 * so a daemon that started away from its client stays away.  Therefore a thread that serves looks
 * now and then where its client runs and moves there; it is free to be moved on at once.  Advice
 * only: without /proc, or for a client of another process name space, nothing happens.
 */
#ifndef FSPF_FUSE_NEAR_H
#define FSPF_FUSE_NEAR_H

#include "fuse/fuse_api.h"

/* One thread's memory of it; zero to begin with. */
struct daemon_near {
	unsigned served;
};

/* Called by the serving thread with each request it received. */
void daemon_near(struct daemon_near *near, const struct fuse_buf *request);

#endif
