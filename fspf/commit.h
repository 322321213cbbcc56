/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/commit.h - the committer: one thread that writes dirty data out and makes states durable
 *
 * A commit takes everything that happened before one instant (the freeze) to the store and
 * publishes its tag:
 *   1. write out dirty data, while operations go on, until little is left
 *   2. close the gate; write out what is left, put dirty inodes into the trees, freeze trees and
 * space; open the gate
 *   3. write the frozen nodes; barrier; write the root record to the other slot; barrier
 *   4. publish the tag to the anchor; let freed blocks be used again
 * It runs on a timer, when somebody waits for durability, when memory fills up, and at close.
 * Everybody who waits while a commit runs is served by the next one together (group commit).
 *
 * A failure before the root record was touched gives the frozen state up and reports to those who
 * wait; a later one fails the volume.
 */
#ifndef FSPF_FSPF_COMMIT_H
#define FSPF_FSPF_COMMIT_H

#include "fspf/volume.h"

/* Start and stop the thread.  Stopping commits nothing. */
MUST_CHECK int fspf_committer_start(struct fspf_volume *v);
void fspf_committer_stop(struct fspf_volume *v);

/* Wait until every change of epoch @epoch and before is durable and published. */
MUST_CHECK int fspf_commit_wait(struct fspf_volume *v, uint64_t epoch);
/* All that happened until now; also to get deferred space back. */
MUST_CHECK int fspf_commit_now(struct fspf_volume *v);
/* The last commit of an open: stores the space map too. */
MUST_CHECK int fspf_commit_close(struct fspf_volume *v);
/* Begin writing out soon, without waiting. */
void fspf_commit_kick(struct fspf_volume *v);
/* Wait until dirty data is below its limit. */
MUST_CHECK int fspf_commit_throttle(struct fspf_volume *v);

/* One commit by the calling thread, with the committer not running: fspf_create() and tests. @clean
 * stores the space map. */
MUST_CHECK int fspf_commit_run(struct fspf_volume *v, bool clean);

/* Called under the closed gate, with the record that is about to be written: what operations do not
 * change is changed here.  Cannot fail. */
typedef void fspf_commit_edit(struct fspf_volume *v, void *ctx, struct fspf_root *root);

/* Let the committer do @job between two commits of its own; its result.  Until then nobody else
 * commits, and changes go on. */
typedef int fspf_commit_job(struct fspf_volume *v, void *ctx);
MUST_CHECK int fspf_commit_do(struct fspf_volume *v, fspf_commit_job *job, void *ctx);
/* In a job: one commit, of which @edit is a part. */
MUST_CHECK int fspf_commit_edited(struct fspf_volume *v, fspf_commit_edit *edit, void *ctx);

#endif
