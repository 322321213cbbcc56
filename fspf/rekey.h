/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/rekey.h - inside libfspf: the instant in which regions change keys
 *
 * A rotation (fspf/rotate.h) has two such instants: at its beginning each region gets a new key
 * beside the old one, at its end the old one goes.  Both belong between two commits: what a commit
 * seals, and what its record says of the keys, must fit together.  So they are asked for here and
 * done by the committer's thread, which is the only one that seals.
 *
 *   K1  What a session sealed for a region was sealed under one key.
 *
 *   K2  A record that names something sealed under a region's new key has that key, and the old
 *       one as long as it names anything sealed under that.
 */
#ifndef FSPF_FSPF_REKEY_H
#define FSPF_FSPF_REKEY_H

#include "fspf/volume.h"

struct fspf_rekey {
	struct fspf_region *region[FSPF_REGIONS_MAX]; /* encrypted ones */
	size_t n;
	bool ends; /* the old keys go; else new ones come */
	/* A beginning: random, two of each since the sealer owns its own; then taken away. */
	struct crypto_key *key[FSPF_REGIONS_MAX], *copy[FSPF_REGIONS_MAX];
	bool done; /* under state_lock, as is the volume's pointer here */
};

/* Have it done, and wait until that is published and the record before it is overwritten.  On
 * failure it may have been done in memory, and is then in the next commit that comes through. */
MUST_CHECK int fspf_rekey(struct fspf_volume *v, struct fspf_rekey *rekey);

/* Do what was asked for, if anything was: by the committer, before a commit begins to write. */
MUST_CHECK int fspf_rekey_now(struct fspf_volume *v);

#endif
