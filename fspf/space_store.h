/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/space_store.h - inside libfspf: finding out at open what is in use
 */
#ifndef FSPF_FSPF_SPACE_STORE_H
#define FSPF_FSPF_SPACE_STORE_H

#include "fspf/volume.h"

/* The nodes of the map that was loaded: in use until the first commit drops them. */
struct fspf_old_map {
	uint64_t *addr;
	size_t n, room;
};

/* Mark everything in v->space: from the map of a clean volume, else from the trees; and promise
 * again what fallocate had promised.  -EBADMSG: damaged.  Before fspf_space_ready(), so that nobody
 * can change the sum or take the space. */
MUST_CHECK int fspf_space_load(struct fspf_volume *v, struct fspf_old_map *ret);

/* After fspf_space_ready(): release the old map's nodes.  Frees @old's memory. */
void fspf_space_loaded(struct fspf_volume *v, struct fspf_old_map *old);

/* The sealer of the map's tree. */
MUST_CHECK int fspf_space_sealer(struct fspf_volume *v, struct crypto_sealer **ret);

#endif
