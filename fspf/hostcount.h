/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/hostcount.h - inside libfspf: how many bytes a host tree holds, counted beside the work
 *
 * A thread of its own goes through the tree and stats everything, which takes a small part of the
 * time that importing does; until it is done the total is 0, "not known".  It only serves to show
 * how long the work will yet take, so errors are ignored.
 */
#ifndef FSPF_FSPF_HOSTCOUNT_H
#define FSPF_FSPF_HOSTCOUNT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct fspf_hostcount {
	pthread_t thread;
	bool running;
	atomic_bool stop;
	int fd; /* the top directory */
	atomic_uint_least64_t *ret_total;
};

/* Count the regular files' sizes below the open directory @fd (duplicated) into *ret_total, which
 * outlives the count. */
void fspf_hostcount_start(struct fspf_hostcount *c, int fd, atomic_uint_least64_t *ret_total);
/* Also when it was never started (the zero value). */
void fspf_hostcount_stop(struct fspf_hostcount *c);

#endif
