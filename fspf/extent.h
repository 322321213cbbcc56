/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/extent.h - a file's block map: which of its blocks lie where in the store, under which seal
 *
 * The map is the EXTENT items of the file's object.  Extents of a file never overlap (E1), and the
 * inode's `blocks` and `unwritten`, like the region's, are the sums over them (E2).  All calls are
 * under the inode's lock; those that change also under the gate.  A change that fails before
 * anything was changed leaves the map as it was; one that fails later fails the volume
 * (fspf_volume_fail), so that no half-changed map is ever committed.
 */
#ifndef FSPF_FSPF_EXTENT_H
#define FSPF_FSPF_EXTENT_H

#include "fspf/inode.h"

/* Where one block of a file lies.  addr 0: a hole, or unwritten: zeroes. */
struct fspf_block {
	uint64_t addr;
	struct crypto_seal seal;
};

/* The blocks first .. first + count - 1, each into @ret. */
MUST_CHECK int fspf_map_read(struct fspf_inode *inode, uint64_t first, uint32_t count,
			     struct fspf_block *ret);

/* The extent that covers @block, or else the next one behind it, up to @last.  -ENOENT. */
MUST_CHECK int fspf_map_next(struct fspf_inode *inode, uint64_t block, uint64_t last,
			     struct fspf_extent *ret);

/* Unmap the blocks first .. last: their space is released, promises for unwritten ones given back.
 */
MUST_CHECK int fspf_map_punch(struct fspf_volume *v, struct fspf_inode *inode, uint64_t first,
			      uint64_t last);

/* Map @e, replacing what was there. */
MUST_CHECK int fspf_map_put(struct fspf_volume *v, struct fspf_inode *inode,
			    const struct fspf_extent *e);

/* If @block is unwritten, take it out of the map, its promise passing to the caller: *ret_taken. */
MUST_CHECK int fspf_map_take_unwritten(struct fspf_volume *v, struct fspf_inode *inode,
				       uint64_t block, bool *ret_taken);

#endif
