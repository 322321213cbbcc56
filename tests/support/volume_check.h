/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/volume_check.h - is a volume sound?  Its committed trees read item by item
 *
 * Checks what no reader of files would notice: every item belongs to an inode, link and entry
 * counts are exact, a directory has one name and knows its parent (N3: who has none is an orphan,
 * and nobody else), extents do not overlap and inodes and regions count them rightly (E1, E2), no
 * block is used twice, and the space manager counts as used what is reached, no more and no less
 * (S1, S2, S4), by it or by a snapshot (S6); promises are those of unwritten extents alone.
 */
#ifndef FSPF_TESTS_SUPPORT_VOLUME_CHECK_H
#define FSPF_TESTS_SUPPORT_VOLUME_CHECK_H

#include "fspf/fspf.h"

struct volume_check_result {
	uint64_t inodes, orphans, nodes, blocks; /* blocks: all that are reached */
};

/* @v is open with its key, nothing changes meanwhile, and what changed was synced.  False, after
 * having said what, if it is not sound. */
bool volume_check(struct fspf_volume *v, struct volume_check_result *ret);

#endif
