/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/verify_snapshot.c - the snapshots, one after the other, each opened beside the volume
 *
 * Nearly all of a snapshot is what the volume or another snapshot has too; only the rest is read.
 */
#include <errno.h>
#include <stdio.h>

#include "fspf/snapshot.h"
#include "fspf/verify.h"

static int reach_copy(struct verify *w, const struct fspf_snapshot *s)
{
	int r = verify_reach(w, s->addr, fspf_snapshot_blocks(s));

	if (r > 0)
		verify_tell_inconsistent(
			w, "the blocks of its record are in use twice, or lie where none can");
	return r < 0 ? r : 0;
}

/* Its record, or what has to be read to find its regions, does not verify. */
static void tell_unopened(struct verify *w)
{
	w->result->damaged_nodes++;
	w->reached_unknown = true;
	verify_tell(w, "damaged: %sit cannot be opened", w->state);
}

static int verify_snapshot(struct verify *w, const struct fspf_snapshot *s)
{
	struct fspf_volume *v = w->v, *view = NULL;
	int r = reach_copy(w, s);

	if (r)
		return r;
	r = fspf_snapshot_view(v, s, &view);
	if (r == -EBADMSG) {
		tell_unopened(w);
		return 0;
	}
	if (r)
		return r;
	w->v = view;
	verify_take_regions(w, view->root);
	r = verify_regions(w, NULL);
	w->v = v;
	fspf_snapshot_view_free(view);
	return r;
}

/* They share with what has been read whatever they like: each block is checked once. */
int verify_snapshots(struct verify *w)
{
	int r = 0;

	w->reach.before = UINT64_MAX;
	for (uint32_t i = 0; i < w->nsnapshots && r == 0; i++) {
		snprintf(w->state, sizeof(w->state), "snapshot %s: ", w->snapshot[i].name);
		r = verify_snapshot(w, &w->snapshot[i]);
	}
	w->state[0] = 0;
	return r;
}
