/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/reach.h - inside libfspf: which blocks several states reach together
 *
 * States share nodes and blocks.  A node that was met before is shared with all that is below it,
 * and is passed by.  What cannot be shared must not be met twice: a block that was born after the
 * newest state walked so far is nobody's, and what is a node in one state is no data in another.
 * -EBADMSG when it is.
 *
 * A state of which something does not verify is taken as far as it can be read: what lies behind
 * the damage nobody can find.  That is for snapshots; of the volume's own state it is an error.
 *
 * One thread at a time per object.
 */
#ifndef FSPF_FSPF_REACH_H
#define FSPF_FSPF_REACH_H

#include "fspf/volume.h"

struct fspf_reach {
	struct fspf_volume *v;
	struct fspf_space *blocks; /* borrowed: marked is what is reached */
	struct fspf_space *nodes;  /* of these, those of nodes */
	struct fspf_reach *other;  /* met before, too, is what it has; may be NULL */
	uint64_t before;	   /* generation: what was born later can be met once */
	bool apart;		   /* something older was not met before */
};

/* A space for marks alone. */
MUST_CHECK int fspf_reach_space(const struct fspf_volume *v, struct fspf_space **ret);

MUST_CHECK int fspf_reach_begin(struct fspf_volume *v, struct fspf_space *blocks,
				struct fspf_reach *ret);
void fspf_reach_end(struct fspf_reach *r);

/* A node: 1 when it was met before. */
MUST_CHECK int fspf_reach_node(struct fspf_reach *r, uint64_t addr, uint64_t birth);
/* Blocks of data: *ret_new of them were not met before. */
MUST_CHECK int fspf_reach_data(struct fspf_reach *r, uint64_t addr, uint64_t count, uint64_t birth,
			       uint64_t *ret_new);

/* All that the trees of @root reach.  What is met later and was born up to its generation may be
 * shared with it. */
MUST_CHECK int fspf_reach_root(struct fspf_reach *r, const struct fspf_root *root);
/* The snapshots that @root lists, all but @but (NULL: none), with their copies. */
MUST_CHECK int fspf_reach_snapshots(struct fspf_reach *r, const struct fspf_root *root,
				    const struct fspf_snapshot *but);

#endif
