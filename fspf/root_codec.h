/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/root_codec.h - inside libfspf: the fields of a root record as bytes (docs/format.md, "Root
 * record")
 */
#ifndef FSPF_FSPF_ROOT_CODEC_H
#define FSPF_FSPF_ROOT_CODEC_H

#include "fspf/root.h"

#define FSPF_ROOT_MAGIC "FSPFROOT"
#define FSPF_ROOT_KEYED 1u
/* Offsets in the public part that are filled in when the rest is known. */
#define FSPF_ROOT_LEN_AT 12u
#define FSPF_ROOT_PUBLIC_LEN_AT 76u
#define FSPF_ROOT_MAC_AT 152u
#define FSPF_ROOT_PUBLIC 184u /* bytes before the public regions */

struct fspf_bytes {
	uint8_t *p;
	size_t at, end;
	bool overrun; /* sticky: checked once at the end */
};

/* The two parts, at the cursor.  Lengths and the GCM tag are left zero. */
void fspf_root_put_public(struct fspf_bytes *b, const struct fspf_header *header,
			  const struct fspf_root *root);
void fspf_root_put_sealed(struct fspf_bytes *b, const struct fspf_root *root);

/* -EBADMSG for what no volume of this version wrote. */
MUST_CHECK int fspf_root_get_public(struct fspf_bytes *b, const struct fspf_header *header,
				    struct fspf_root *root);
MUST_CHECK int fspf_root_get_sealed(struct fspf_bytes *b, struct fspf_root *root);

/* Sorts the regions, and checks what holds between them: each id and each prefix once, in order of
 * ids; and, when all are known, one of them is "/". */
MUST_CHECK int fspf_root_check_regions(struct fspf_root *root);

#endif
