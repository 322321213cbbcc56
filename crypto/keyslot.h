/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/keyslot.h - key slots: the volume key, wrapped under a raw key or a passphrase
 *
 * A slot is CRYPTO_KEYSLOT_SIZE bytes that may lie in public (docs/format.md, "Key slots"): kind,
 * parameters, salt, nonce and the volume key sealed with XChaCha20-Poly1305.  The wrapping key is
 * HKDF(raw key, salt) or Argon2id(passphrase, salt).  The associated data is the volume's identity
 * and all of the slot's public bytes, so a slot of another volume, or one with altered
 * parameters, does not open.  A slot of zeroes is empty and never opens.  Knows no files.
 *
 * -EKEYREJECTED: this credential does not open this slot (or the slot was altered: the
 * two cannot be told apart).  -EBADMSG: the slot's public bytes are malformed (unknown kind,
 * parameters out of range, reserved bytes set): refused before any work is done with them.
 * -EINVAL: asked for parameters out of range, or a credential that is none (or an empty
 * passphrase).  -ENOMEM, -EIO.  Any thread may call.
 */
#ifndef FSPF_CRYPTO_KEYSLOT_H
#define FSPF_CRYPTO_KEYSLOT_H

#include <stdbool.h>

#include "crypto/secret.h"

#define CRYPTO_KEYSLOT_SIZE 256u /* bytes */

/* Argon2id work, accepted and made (RFC 9106 section 4 recommends 2 GiB x1 or 64 MiB x3). */
#define CRYPTO_ARGON2_OPS_MIN 1u
#define CRYPTO_ARGON2_OPS_MAX 64u
#define CRYPTO_ARGON2_OPS_DEFAULT 3u
#define CRYPTO_ARGON2_KIB_MIN 8192u
#define CRYPTO_ARGON2_KIB_MAX (2048u * 1024u) /* a hostile slot costs at most this much */
#define CRYPTO_ARGON2_KIB_DEFAULT (256u * 1024u)

enum crypto_keyslot_kind {
	CRYPTO_KEYSLOT_EMPTY = 0,
	CRYPTO_KEYSLOT_KEY = 1,
	CRYPTO_KEYSLOT_PASSPHRASE = 2,
};

struct crypto_keyslot {
	uint8_t b[CRYPTO_KEYSLOT_SIZE];
};

/* Exactly one of @key and @passphrase is set; the passphrase lies in guarded memory. */
struct crypto_credential {
	const struct crypto_key *key;
	const char *passphrase;
	size_t passphrase_len; /* bytes */
};

/* Public facts of a slot, for listing. */
struct crypto_keyslot_info {
	enum crypto_keyslot_kind kind;
	uint32_t ops; /* passphrase slots: Argon2id passes */
	uint32_t kib; /* passphrase slots: Argon2id memory, KiB */
};

MUST_CHECK int crypto_keyslot_info(const struct crypto_keyslot *slot,
				   struct crypto_keyslot_info *ret);

/* Wrap @volume_key.  @volume_id has at most 64 bytes.  @ops and @kib are for passphrases; 0 means
 * the default. */
MUST_CHECK int crypto_keyslot_seal(const struct crypto_credential *credential,
				   const void *volume_id, size_t volume_id_len, uint32_t ops,
				   uint32_t kib, const struct crypto_key *volume_key,
				   struct crypto_keyslot *ret);

/* Unwrap.  A slot of the other kind than the credential is -EKEYREJECTED without work. */
MUST_CHECK int crypto_keyslot_open(const struct crypto_keyslot *slot,
				   const struct crypto_credential *credential,
				   const void *volume_id, size_t volume_id_len,
				   struct crypto_key **ret_volume_key);

#endif
