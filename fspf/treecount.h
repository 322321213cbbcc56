/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/treecount.h - inside libfspf: how many bytes a tree of the volume holds, counted beside the
 * work
 *
 * As fspf/hostcount.h, for export: a thread goes through the directories; until it is done the
 * total is 0, "not known"; errors are ignored.
 */
#ifndef FSPF_FSPF_TREECOUNT_H
#define FSPF_FSPF_TREECOUNT_H

#include <pthread.h>
#include <stdatomic.h>

#include "fspf/fspf.h"

struct fspf_treecount {
	pthread_t thread;
	bool running;
	atomic_bool stop;
	struct fspf_volume *v;
	uint64_t top;
	atomic_uint_least64_t *ret_total;
};

/* Count below the directory @top; *ret_total outlives the count. */
void fspf_treecount_start(struct fspf_treecount *c, struct fspf_volume *v, uint64_t top,
			  atomic_uint_least64_t *ret_total);
/* Also when it was never started (the zero value). */
void fspf_treecount_stop(struct fspf_treecount *c);

#endif
