/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/root.h - the root record: the one object whose digest, the volume tag, names everything
 *
 * A record has a public part (identity, generation, previous tag, the authenticated regions) and a
 * sealed part (the encrypted regions with their keys, the session table's place, the space map's),
 * sealed with AES-256-GCM under a key derived from the volume key and the writing session's salt,
 * the public part being associated data.  In a volume without a key the second part is stored as it
 * is and only the tag protects it.  Two slots take turns.  docs/format.md, "Root record".
 *
 * This file knows bytes and seals; which record is acceptable is decided in fspf/open.c.
 *
 * -EBADMSG: the record does not verify (seal or structure).  -ENOENT: the slot is empty.  -E2BIG:
 * too many or too long prefixes for a slot.  One thread at a time per object.
 */
#ifndef FSPF_FSPF_ROOT_H
#define FSPF_FSPF_ROOT_H

#include "crypto/session.h"
#include "crypto/siphash.h"
#include "fspf/header.h"
#include "merkle/tree.h"

#define FSPF_ROOT_SLOT_BLOCKS 16u
#define FSPF_ROOT_SLOT_BYTES (FSPF_ROOT_SLOT_BLOCKS * FSPF_BLOCK_SIZE)
#define FSPF_ROOT_SLOT0 16u	  /* first block; slot 1 follows at 32 */
#define FSPF_REGION_SPACE 0xffffu /* the pseudo region of the space map */

struct fspf_region_record {
	uint16_t id;
	enum crypto_class class;
	char prefix[FSPF_PREFIX_MAX + 1];
	uint64_t next_object; /* the number the next new file gets */
	uint64_t files;
	uint64_t blocks;    /* data blocks */
	uint64_t unwritten; /* blocks promised by fallocate */
	struct merkle_ptr root;
	struct crypto_digest tag; /* SHA-256 of the stored root node */
	uint8_t hash_key[CRYPTO_SIPHASH_KEY_SIZE];
	uint8_t key[CRYPTO_KEY_SIZE]; /* encrypted regions; the record therefore lives in guarded
					 memory */
};

/* Where the table of session salts lies: one sealed message in contiguous blocks. */
struct fspf_blob {
	uint64_t addr; /* 0: none */
	uint64_t birth;
	uint32_t count;		 /* salts */
	struct crypto_salt salt; /* of the session that wrote it */
	uint64_t counter;
	struct crypto_mac mac;
};

struct fspf_root {
	uint64_t generation;	       /* 1, 2, ... */
	struct crypto_digest previous; /* tag of the record before; zero in the first */
	struct crypto_salt salt;       /* of the session that sealed this record */
	uint64_t counter;
	struct crypto_mac mac;	 /* of the sealed part, when read */
	uint32_t public_regions; /* how many of the regions lie in the public part, when read */
	/* the sealed part: */
	bool opened; /* false: read without the key, only the authenticated regions are known */
	struct crypto_digest base; /* the published tag from which the writing open started */
	struct fspf_blob sessions;
	struct merkle_ptr
		space;	   /* the space map's tree; null unless the volume was closed cleanly */
	uint64_t cursor;   /* allocation hint */
	uint64_t segments; /* the highest that existed */
	uint64_t used;	   /* blocks in use */
	uint32_t policy;   /* reserved for policies; 0 */
	uint16_t next_region;
	uint32_t nregions;
	struct fspf_region_record region[FSPF_REGIONS_MAX];
};

/* Seals root records and session tables: the volume key with one session's salt, and its own
 * counter. */
struct fspf_root_sealer;
MUST_CHECK int fspf_root_sealer_new(const struct crypto_key *volume_key,
				    const uint8_t volume_id[static FSPF_VOLUME_ID_SIZE],
				    const struct crypto_salt *salt, struct fspf_root_sealer **ret);
struct fspf_root_sealer *fspf_root_sealer_free(struct fspf_root_sealer *s);

/* In guarded memory, zeroed. */
struct fspf_root *fspf_root_new(void);
struct fspf_root *fspf_root_free(struct fspf_root *root);

/* Write @root (its salt, counter and mac are set here) to @slot (0 or 1); no barrier.  @sealer
 * NULL: keyless. The tag of what was written. */
MUST_CHECK int fspf_root_write(struct fspf_store *store, const struct fspf_header *header,
			       struct fspf_root_sealer *sealer, unsigned slot,
			       struct fspf_root *root, struct crypto_digest *ret_tag);

/* Read and verify the record in @slot.  @volume_key NULL in a keyed volume: the public part alone,
 * unverified but for its structure (root->opened is false). */
MUST_CHECK int fspf_root_read(struct fspf_store *store, const struct fspf_header *header,
			      const struct crypto_key *volume_key, unsigned slot,
			      struct fspf_root **ret, struct crypto_digest *ret_tag);

/* Write the salts of @table as a blob at @addr, which has room for them (fspf_blob_blocks); fills
 * in @blob. */
uint64_t fspf_blob_blocks(uint32_t count);
MUST_CHECK int fspf_blob_write(struct fspf_store *store, const struct fspf_header *header,
			       struct fspf_root_sealer *sealer, struct crypto_sessions *table,
			       struct fspf_blob *blob);
/* Load them into an empty @table. */
MUST_CHECK int fspf_blob_read(struct fspf_store *store, const struct fspf_header *header,
			      const struct crypto_key *volume_key, const struct fspf_blob *blob,
			      struct crypto_sessions *table);

#endif
