/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/header.h - the head of a volume: public header and key slots (`volume.fspf`, segment 0)
 *
 * Block 0 is the header: fixed at creation, readable by anyone; its digest is bound into every root
 * record, so that a changed header is refused however it is dressed.  Block 1 holds FSPF_KEYSLOTS
 * key slots, the only bytes of a volume that change in place without a commit.  Blocks 16 and 32
 * begin the two root slots (fspf/root.h).  docs/format.md, "The head".
 *
 * -EBADMSG: not a header of a volume, or altered; -EPROTONOSUPPORT: a later version.  @err gets the
 * words.
 */
#ifndef FSPF_FSPF_HEADER_H
#define FSPF_FSPF_HEADER_H

#include "fspf/fspf.h"
#include "fspf/store.h"

#define FSPF_VERSION_FORMAT 1u
#define FSPF_HEADER_BLOCK 0u
#define FSPF_KEYSLOT_BLOCK 1u
#define FSPF_VOLUME_ID_SIZE 16u

struct fspf_header {
	uint8_t volume_id[FSPF_VOLUME_ID_SIZE];
	uint32_t version;
	uint32_t segment_blocks;
	uint64_t size_blocks; /* limit on the blocks of segments 1 .., a multiple of a segment; 0
				 none */
	bool keyed;
	struct crypto_digest digest; /* of the stored block; set by read and write */
};

struct fspf_keyslots {
	struct crypto_keyslot slot[FSPF_KEYSLOTS];
};

MUST_CHECK int fspf_header_read(struct fspf_store *store, struct fspf_header *ret,
				struct fspf_error *err);
/* Fills in header->digest. */
MUST_CHECK int fspf_header_write(struct fspf_store *store, struct fspf_header *header,
				 struct fspf_error *err);

MUST_CHECK int fspf_keyslots_read(struct fspf_store *store, struct fspf_keyslots *ret,
				  struct fspf_error *err);
/* The block is written whole and made durable. */
MUST_CHECK int fspf_keyslots_write(struct fspf_store *store, const struct fspf_keyslots *slots,
				   struct fspf_error *err);

/* Try every slot of the credential's kind.  -EKEYREJECTED when none opens; the number of the one
 * that did. */
MUST_CHECK int fspf_keyslots_open(const struct fspf_keyslots *slots,
				  const struct fspf_header *header,
				  const struct fspf_credential *credential,
				  struct crypto_key **ret_key, uint32_t *ret_slot,
				  struct fspf_error *err);
/* Wrap @key for @credential into @slot. */
MUST_CHECK int fspf_keyslots_seal(struct fspf_keyslots *slots, uint32_t slot,
				  const struct fspf_header *header,
				  const struct fspf_credential *credential, uint32_t ops,
				  uint32_t kib, const struct crypto_key *key);

#endif
