/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/create.h - inside libfspf: making a volume on a store, and a region in a volume
 */
#ifndef FSPF_FSPF_CREATE_H
#define FSPF_FSPF_CREATE_H

#include "fspf/inode.h"

/* fspf_create() on any empty store, which it takes over; no anchor is told.  For tests too. */
MUST_CHECK int fspf_create_on(const struct fspf_create_params *params, struct fspf_store *store,
			      struct crypto_digest *ret_tag, struct fspf_error *err);

/* Commit and close the first state of a volume whose head is written (fspf/first.c). */
MUST_CHECK int fspf_first_state(const struct fspf_create_params *params, struct fspf_store *store,
				struct crypto_digest *ret_tag, struct fspf_error *err);

/* Is its top a file of the host, and no directory? */
bool fspf_region_is_file(const struct fspf_region_params *params);

/* A record for a region to be: with fresh keys.  @params have been checked, the prefix is
 * normalised. */
MUST_CHECK int fspf_region_record_new(const struct fspf_region_params *params, uint16_t id,
				      struct fspf_region_record *ret);

/* One more region in memory, its top directory like @at; the next commit has it. */
MUST_CHECK int fspf_region_install(struct fspf_volume *v, const struct fspf_region_record *record,
				   const struct fspf_attr *at);

/* A top directory, dirty in memory.  Under the gate. */
MUST_CHECK int fspf_region_top(struct fspf_volume *v, struct fspf_region *region, uint32_t mode,
			       uint32_t uid, uint32_t gid);

#endif
