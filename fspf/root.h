/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/root.h - the root record: the one object whose digest, the volume tag, names everything
 *
 * A record has a public part and a sealed part (docs/format.md, "Root record").  The public part
 * holds what a reader without any key may know and verify: identity, generation, previous tag,
 * policy, the session table's place and digest, the authenticated and the unprotected regions; and
 * a capsule for each encrypted region: its entry, sealed under a key that follows from the region's
 * own, so that whoever has been given that key alone can open that region alone.  The sealed part,
 * under the volume key, holds the regions' keys, the space map's place and the snapshots.  In a
 * volume without a key the second part is stored as it is and only the tag protects it.  Two slots
 * take turns.
 *
 * This file knows bytes and seals; which record is acceptable is decided in fspf/open.c.
 *
 * -EBADMSG: the record does not verify (seal or structure).  -ENOENT: the slot is empty.  -E2BIG:
 * too many or too long prefixes for a slot.  One thread at a time per object.
 */
#ifndef FSPF_FSPF_ROOT_H
#define FSPF_FSPF_ROOT_H

#include <time.h>

#include "crypto/session.h"
#include "crypto/siphash.h"
#include "fspf/header.h"
#include "merkle/tree.h"

#define FSPF_ROOT_SLOT_BLOCKS 16u
#define FSPF_ROOT_SLOT_BYTES (FSPF_ROOT_SLOT_BLOCKS * FSPF_BLOCK_SIZE)
#define FSPF_ROOT_SLOT0 16u	  /* first block; slot 1 follows at 32 */
#define FSPF_REGION_SPACE 0xffffu /* the pseudo region of the space map */

/* What a region is besides its protection. */
enum fspf_region_flags {
	FSPF_REGION_EPHEMERAL = 1 << 0, /* changes die with whoever opened the volume */
	FSPF_REGION_KERNEL = 1 << 1,	/* contents (or all of it, if not protected) are a host's */
	FSPF_REGION_COPY_UP = 1 << 2,	/* in place: what is written is copied into the volume */
	FSPF_REGION_FILE = 1 << 3,	/* its top is a file, not a directory */
};

struct fspf_region_record {
	uint16_t id;
	enum fspf_protection protection;
	uint32_t flags;
	char prefix[FSPF_PREFIX_MAX + 1];
	char host[FSPF_HOST_MAX + 1]; /* FSPF_REGION_KERNEL: absolute; else "" */
	uint64_t next_object;	      /* the number the next new file gets */
	uint64_t files;
	uint64_t blocks;    /* data blocks */
	uint64_t unwritten; /* blocks promised by fallocate */
	struct merkle_ptr root;
	struct crypto_digest tag; /* SHA-256 of the stored root node */
	uint8_t hash_key[CRYPTO_SIPHASH_KEY_SIZE];
	/* Encrypted regions; the record therefore lives in guarded memory. */
	uint8_t key[CRYPTO_KEY_SIZE];
	/* While the region is given a new key: what sessions up to old_sessions sealed has the old
	 * one.  0: no rotation is under way. */
	uint32_t old_sessions;
	uint8_t old_key[CRYPTO_KEY_SIZE];
};

/* How a region's tree is sealed: what is not protected is only kept whole. */
static inline enum crypto_class fspf_class(enum fspf_protection protection)
{
	return protection == FSPF_ENCRYPTED ? CRYPTO_CLASS_ENCRYPTED : CRYPTO_CLASS_AUTHENTICATED;
}

/* Where the table of session salts lies, in contiguous blocks.  Salts are no secret. */
struct fspf_blob {
	uint64_t addr; /* 0: none */
	uint64_t birth;
	uint32_t count; /* salts */
	struct crypto_digest digest;
};

/* A kept state: the copy of a published root record. */
struct fspf_snapshot {
	char name[FSPF_SNAPSHOT_NAME_MAX + 1];
	uint64_t generation;
	struct timespec time;
	struct crypto_digest tag; /* of the record: the volume tag of that state */
	uint64_t addr, birth;	  /* the copy's blocks */
	uint32_t length;	  /* its bytes */
};

static inline uint64_t fspf_snapshot_blocks(const struct fspf_snapshot *s)
{
	return (s->length + FSPF_BLOCK_SIZE - 1) / FSPF_BLOCK_SIZE;
}

struct fspf_root {
	uint64_t generation;	       /* 1, 2, ... */
	struct crypto_digest previous; /* tag of the record before; zero in the first */
	struct crypto_salt salt;       /* of the session that sealed this record */
	uint64_t counter;
	struct crypto_mac mac; /* of the sealed part, when read */
	uint32_t policy;       /* FSPF_POLICY_* */
	struct fspf_blob sessions;
	uint32_t public_regions; /* how many of the regions lie in the public part, when read */
	uint32_t capsules;	 /* how many are encrypted, when read */
	/* the sealed part: */
	bool opened; /* false: read without the volume key, only some regions are known */
	struct crypto_digest base; /* the published tag from which the writing open started */
	struct merkle_ptr
		space;	   /* the space map's tree; null unless the volume was closed cleanly */
	uint64_t cursor;   /* allocation hint */
	uint64_t segments; /* the highest that existed */
	uint64_t used;	   /* blocks in use */
	uint16_t next_region;
	uint32_t nsnapshots;
	struct fspf_snapshot snapshot[FSPF_SNAPSHOTS_MAX]; /* in order of generation */
	uint32_t nregions;
	struct fspf_region_record region[FSPF_REGIONS_MAX];
};

/* The keys that a reader has. */
struct fspf_root_keys {
	const struct crypto_key *volume; /* NULL: none */
	struct crypto_key *const *region;
	size_t nregion;
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

/* Bytes that the record takes; there is room for FSPF_ROOT_SLOT_BYTES.  A snapshot takes
 * FSPF_SNAPSHOT_HEAD and its name. */
#define FSPF_SNAPSHOT_HEAD 76u
size_t fspf_root_size(const struct fspf_root *root);

/* Write @root (its salt, counter and mac are set here) to @slot (0 or 1); no barrier.  @sealer
 * NULL: keyless. The tag of what was written. */
MUST_CHECK int fspf_root_write(struct fspf_store *store, const struct fspf_header *header,
			       struct fspf_root_sealer *sealer, unsigned slot,
			       struct fspf_root *root, struct crypto_digest *ret_tag);

/* Read and verify the record in @slot.  Without the volume key of a keyed volume (keys->volume):
 * the public part and the capsules that one of the region keys opens; then root->opened is false,
 * and the structure is all that is verified of the rest. */
MUST_CHECK int fspf_root_read(struct fspf_store *store, const struct fspf_header *header,
			      const struct fspf_root_keys *keys, unsigned slot,
			      struct fspf_root **ret, struct crypto_digest *ret_tag);

/* A region's sealer, with the keys that its record has. */
MUST_CHECK int fspf_record_sealer(const struct fspf_region_record *record,
				  struct crypto_sessions *sessions,
				  const uint8_t identity[static MERKLE_IDENTITY_SIZE],
				  struct crypto_sealer **ret);

/* ---- copies of records, for snapshots ---- */

/* Copy the record in @slot, whose tag is @tag, to the blocks at @addr; *ret_length bytes.  There is
 * room for FSPF_ROOT_SLOT_BLOCKS. */
MUST_CHECK int fspf_root_length(struct fspf_store *store, unsigned slot, uint32_t *ret_length);
MUST_CHECK int fspf_root_copy(struct fspf_store *store, unsigned slot,
			      const struct crypto_digest *tag, uint64_t addr, uint32_t length);
/* Read the copy that @snapshot names: -EBADMSG unless it has that tag. */
MUST_CHECK int fspf_root_read_copy(struct fspf_store *store, const struct fspf_header *header,
				   const struct fspf_root_keys *keys,
				   const struct fspf_snapshot *snapshot, struct fspf_root **ret);

/* ---- the session table ---- */

uint64_t fspf_blob_blocks(uint32_t count);
/* Write the salts of @table at @addr, which has room for them; fills in @blob but for its birth. */
MUST_CHECK int fspf_blob_write(struct fspf_store *store, const struct fspf_header *header,
			       struct crypto_sessions *table, struct fspf_blob *blob);
/* Load them into an empty @table.  -EBADMSG. */
MUST_CHECK int fspf_blob_read(struct fspf_store *store, const struct fspf_header *header,
			      const struct fspf_blob *blob, struct crypto_sessions *table);

#endif
