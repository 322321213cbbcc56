/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/home.h - inside libfspf: where what changes is put
 *
 * A region's changes go to the volume, or, if it is ephemeral, to scratch space.  Each of the two
 * has a space of its own; addresses of scratch blocks are told apart by their base.  What an
 * ephemeral region leaves behind of its committed state is not released: the published root reaches
 * it.
 */
#ifndef FSPF_FSPF_HOME_H
#define FSPF_FSPF_HOME_H

#include <stdatomic.h>

#include "fspf/space.h"

struct fspf_home {
	struct fspf_space *space;     /* NULL: nothing is put there */
	uint64_t base;		      /* of its addresses: 0, or FSPF_SCRATCH_BASE */
	atomic_uint_fast64_t changed; /* the last epoch in which something changed */
};

/* As the calls of fspf/space.h of the same names. */
MUST_CHECK int fspf_home_alloc(struct fspf_home *home, uint32_t want, uint32_t least, bool promised,
			       uint64_t *ret_block, uint32_t *ret_count);
void fspf_home_release(struct fspf_home *home, uint64_t block, uint64_t count, uint64_t birth);
void fspf_home_unalloc(struct fspf_home *home, uint64_t block, uint64_t count);
void fspf_home_unalloc_promised(struct fspf_home *home, uint64_t block, uint64_t count);

#endif
