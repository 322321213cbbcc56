/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/open.h - inside libfspf: a volume in memory, and steps of opening it, for those who open one
 * in another way
 */
#ifndef FSPF_FSPF_OPEN_H
#define FSPF_FSPF_OPEN_H

#include "fspf/volume.h"

/* Nothing of it is opened. */
MUST_CHECK int fspf_volume_new(const struct fspf_open_params *params, struct fspf_volume **ret);
void fspf_volume_free(struct fspf_volume *v);

/* Those of v->root; when the sessions are there. */
MUST_CHECK int fspf_volume_regions(struct fspf_volume *v);

#endif
