/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/region_key.h - inside libfspf: keys of single regions, given out and given back
 *
 * The key of one region opens its capsule in the root record, and so that region and no other, for
 * reading: a root record can only be sealed with the volume's key.
 */
#ifndef FSPF_FSPF_REGION_KEY_H
#define FSPF_FSPF_REGION_KEY_H

#include "fspf/volume.h"

/* Are they what they should be: raw keys, not too many, and not beside the volume's?  -EINVAL. */
MUST_CHECK int fspf_region_keys_check(const struct fspf_open_params *params,
				      struct fspf_error *err);

/* As fspf_root_read() takes them; borrowed from @params, into @room. */
struct fspf_root_keys fspf_region_keys_of(const struct fspf_open_params *params,
					  struct crypto_key *room[static FSPF_REGIONS_MAX]);

/* Has each opened a region of @root?  -EKEYREJECTED. */
MUST_CHECK int fspf_region_keys_used(const struct fspf_root *root,
				     const struct fspf_open_params *params, struct fspf_error *err);

#endif
