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
#define FSPF_ROOT_PUBLIC 232u /* bytes before the public regions */
#define FSPF_CAPSULE_HEAD 24u /* bytes before a capsule's ciphertext */
#define FSPF_ENTRY_HEAD 160u  /* bytes of a region's entry before its prefix */
#define FSPF_ENTRY_MAX (FSPF_ENTRY_HEAD + FSPF_PREFIX_MAX + FSPF_HOST_MAX)
#define FSPF_ROOT_SEALED 128u /* bytes of the sealed part before the regions' keys */
#define FSPF_KEYS_SIZE 72u

struct fspf_bytes {
	uint8_t *p;
	size_t at, end;
	bool overrun; /* sticky: checked once at the end */
};

/* Seals and opens the bytes of one region's entry in place, under the region's key. */
struct fspf_capsule {
	const uint8_t *key;
	uint8_t *data;
	size_t len;
	struct crypto_mac mac;
};
typedef int fspf_capsule_fn(void *ctx, struct fspf_capsule *capsule);

/* What a capsule is sealed for: its record. */
struct fspf_capsules {
	const struct fspf_header *header;
	const struct fspf_root *root;
};

/* A fspf_capsule_fn; @ctx is a struct fspf_capsules. */
MUST_CHECK int fspf_capsule_seal(void *ctx, struct fspf_capsule *capsule);
/* Into @out, which has room for it: another key may be tried on the same bytes. */
MUST_CHECK int fspf_capsule_open(const struct fspf_capsules *c, const struct fspf_capsule *capsule,
				 const uint8_t *key, uint8_t *out);

/* The GCM key for one @purpose that follows from @key and @salt. */
#define FSPF_ROOT_INFO "fspf root record v1"
MUST_CHECK int fspf_root_derive(const struct crypto_key *key, const struct crypto_salt *salt,
				const char *purpose,
				const uint8_t volume_id[static FSPF_VOLUME_ID_SIZE],
				struct crypto_gcm **ret);

static inline uint64_t fspf_root_slot_block(unsigned slot)
{
	return FSPF_ROOT_SLOT0 + (uint64_t)slot * FSPF_ROOT_SLOT_BLOCKS;
}

/* The two parts, at the cursor.  Lengths and the GCM tag are left zero.  Writing the public part
 * seals capsules, which may fail. */
MUST_CHECK int fspf_root_put_public(struct fspf_bytes *b, const struct fspf_header *header,
				    const struct fspf_root *root, fspf_capsule_fn *seal, void *ctx);
void fspf_root_put_sealed(struct fspf_bytes *b, const struct fspf_root *root);

/* -EBADMSG for what no volume of this version wrote.  The public part ends where its capsules
 * begin, as many as root->capsules says; they are read with fspf_root_get_capsules() when the keys
 * are known. */
MUST_CHECK int fspf_root_get_public(struct fspf_bytes *b, const struct fspf_header *header,
				    struct fspf_root *root);
/* Adds a region without any key: fields and flags are checked. */
MUST_CHECK int fspf_root_get_entry(struct fspf_bytes *b, struct fspf_region_record *ret);
/* The next capsule, still sealed; key is not set. */
MUST_CHECK int fspf_root_get_capsule(struct fspf_bytes *b, struct fspf_capsule *ret);
/* The sealed part: the keys go to @keys, one for each capsule in their order. */
MUST_CHECK int fspf_root_get_sealed(struct fspf_bytes *b, struct fspf_root *root,
				    struct fspf_region_record *keys);

/* Sorts the regions, and checks what holds between them: each id and each prefix once, in order of
 * ids; and, when all are known, one of them is "/". */
MUST_CHECK int fspf_root_check_regions(struct fspf_root *root);

#endif
