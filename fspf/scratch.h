/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/scratch.h - inside libfspf: space for what dies with the open volume
 *
 * Ephemeral regions begin in their committed state and put their changes into scratch space: a
 * nameless file on the host, of which every block is sealed with AES-256-GCM under a random key
 * that is nowhere but in this process.  Seals and counters are in memory too (24 bytes a block), so
 * the host can neither read nor replay anything of it, and what a process leaves behind when it
 * dies is noise.
 *
 *   X1  Nothing of an ephemeral region's changes is written to the volume's store.
 *   X2  A nonce is a counter in memory, and each write takes the next one.
 *   X3  A block that does not verify reads as zeroes, which no seal above it fits: the caller finds
 *       damage where it looks for it, as with any other store.
 *
 * Addresses of scratch blocks begin at FSPF_SCRATCH_BASE, far beyond any volume's; so one store
 * (fspf_scratch_join) serves both, and an address alone says where its block lies.  Blocks of the
 * volume that such a region leaves behind stay in use: the committed state reaches them.
 */
#ifndef FSPF_FSPF_SCRATCH_H
#define FSPF_FSPF_SCRATCH_H

#include "fspf/space.h"

#define FSPF_SCRATCH_BASE (UINT64_C(1) << 56) /* blocks: a multiple of any segment */

/* A store on a nameless file in directory @dir (NULL: the first of /var/tmp, /tmp and /dev/shm that
 * can be written), with segments of @segment_blocks.  Addresses begin at 0, as in every store. */
MUST_CHECK int fspf_scratch_store_new(const char *dir, uint64_t segment_blocks,
				      struct fspf_store **ret);

/* One store of both: reads and writes go where the address says, all else to @volume.  Takes both
 * over; on failure neither. */
MUST_CHECK int fspf_scratch_join(struct fspf_store *volume, struct fspf_store *scratch,
				 struct fspf_store **ret);

#endif
