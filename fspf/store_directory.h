/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/store_directory.h - what opening a volume's directory hands to the store that is one
 * (internal to the store)
 */
#ifndef FSPF_FSPF_STORE_DIRECTORY_H
#define FSPF_FSPF_STORE_DIRECTORY_H

#include "fspf/store.h"

/* Descriptors; below 0 where there is none. */
struct store_opening {
	int dir;      /* the volume's directory */
	int segments; /* segments/; may be missing when read-only */
	int head;     /* volume.fspf, locked */
	bool fresh;   /* names in it are new, the first barrier covers them */
};

/* Takes over the descriptors, on success alone.  -ENOMEM. */
MUST_CHECK int fspf_store_directory_new(const struct store_opening *o, bool read_only,
					struct fspf_store **ret);

#endif
