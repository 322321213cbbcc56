/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot's bytes (integers little-endian):
 *
 *     offset  size  field
 *          0     1  kind: 0 empty, 1 raw key, 2 passphrase
 *          1     1  version: 1
 *          2     2  zero
 *          4     4  Argon2id passes;       0 for a raw key
 *          8     4  Argon2id memory, KiB;  0 for a raw key
 *         12     4  zero
 *         16    16  salt
 *         32    24  nonce
 *         56    32  the volume key, encrypted
 *         88    16  its Poly1305 tag
 *        104   152  zero
 *
 * An empty slot is 256 zeroes.  Associated data: the volume's identity, then bytes 0 to 55; since
 * the latter always are 56, the two cannot run into each other.
 *
 * The wrapping key is HKDF-SHA256(raw key, salt, "fspf key slot v1"), or Argon2id(passphrase,
 * salt).  Each sealing draws a new salt, so a wrapping key seals once; the nonce of 24 random bytes
 * does not depend on that.  (XChaCha20-Poly1305 does not commit to its key: who knows two
 * passphrases can craft one slot that both open.  Nothing here takes a slot that opens as proof of
 * more than knowing the passphrase.)
 *
 * Whatever can be refused by looking is refused before any work, since the parameters say how
 * much work it is and anybody may have written them.
 */
#include <assert.h>
#include <errno.h>

#include <sodium.h>

#include "crypto/crypto_internal.h"
#include "crypto/kdf.h"
#include "crypto/keyslot.h"
#include "crypto/random.h"

#define SLOT_VERSION 1u
#define SLOT_INFO "fspf key slot v1"
#define VOLUME_ID_MAX 64u /* bytes */

enum {
	KIND_AT = 0,
	VERSION_AT = 1,
	ZERO1_AT = 2,
	OPS_AT = 4,
	KIB_AT = 8,
	ZERO2_AT = 12,
	SALT_AT = 16,
	NONCE_AT = 32,
	SEALED_AT = 56, /* where the public bytes end */
	ZERO3_AT = 104,
};

static_assert(SALT_AT + crypto_pwhash_argon2id_SALTBYTES == NONCE_AT, "salt");
static_assert(NONCE_AT + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == SEALED_AT, "nonce");
static_assert(SEALED_AT + CRYPTO_KEY_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES == ZERO3_AT,
	      "sealed key");
static_assert(CRYPTO_KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");

struct slot_aad {
	uint8_t b[VOLUME_ID_MAX + SEALED_AT];
	size_t len;
};

static bool is_zero(const struct crypto_keyslot *slot, size_t from, size_t to)
{
	return sodium_is_zero(slot->b + from, to - from) == 1;
}

static bool argon2_fits(uint32_t ops, uint32_t kib)
{
	return ops >= CRYPTO_ARGON2_OPS_MIN && ops <= CRYPTO_ARGON2_OPS_MAX &&
	       kib >= CRYPTO_ARGON2_KIB_MIN && kib <= CRYPTO_ARGON2_KIB_MAX;
}

static bool parameters_fit(uint8_t kind, uint32_t ops, uint32_t kib)
{
	bool fit = false;

	if (kind == CRYPTO_KEYSLOT_KEY)
		fit = ops == 0 && kib == 0;
	else if (kind == CRYPTO_KEYSLOT_PASSPHRASE)
		fit = argon2_fits(ops, kib);
	return fit;
}

static bool slot_well_formed(const struct crypto_keyslot *slot)
{
	return slot->b[VERSION_AT] == SLOT_VERSION && is_zero(slot, ZERO1_AT, OPS_AT) &&
	       is_zero(slot, ZERO2_AT, SALT_AT) && is_zero(slot, ZERO3_AT, CRYPTO_KEYSLOT_SIZE) &&
	       parameters_fit(slot->b[KIND_AT], get_le32(slot->b + OPS_AT),
			      get_le32(slot->b + KIB_AT));
}

int crypto_keyslot_info(const struct crypto_keyslot *slot, struct crypto_keyslot_info *ret)
{
	int r = -EBADMSG;

	if (!is_zero(slot, 0, CRYPTO_KEYSLOT_SIZE) && !slot_well_formed(slot))
		goto out;
	*ret = (struct crypto_keyslot_info){
		.kind = slot->b[KIND_AT],
		.ops = get_le32(slot->b + OPS_AT),
		.kib = get_le32(slot->b + KIB_AT),
	};
	r = 0;
out:
	return r;
}

int crypto_argon2id(const char *passphrase, size_t passphrase_len, const uint8_t salt[static 16],
		    uint32_t ops, uint32_t kib, uint8_t *out, size_t out_len)
{
	int r;

	/* The parameters are in range by now, so memory is all that it can lack. */
	r = crypto_pwhash(out, out_len, passphrase, passphrase_len, salt, ops, (size_t)kib * 1024,
			  crypto_pwhash_ALG_ARGON2ID13);
	return r == 0 ? 0 : -ENOMEM;
}

/* Which kind of slot @credential is for; -EINVAL when it is none, or two. */
static int credential_kind(const struct crypto_credential *credential)
{
	int kind = -EINVAL;

	if (credential->key && !credential->passphrase)
		kind = CRYPTO_KEYSLOT_KEY;
	else if (!credential->key && credential->passphrase && credential->passphrase_len > 0 &&
		 credential->passphrase_len <= crypto_pwhash_PASSWD_MAX)
		kind = CRYPTO_KEYSLOT_PASSPHRASE;
	return kind;
}

/* The wrapping key of a well-formed @slot of @credential's kind. */
static int wrapping_key(const struct crypto_keyslot *slot,
			const struct crypto_credential *credential, struct crypto_key **ret)
{
	const uint8_t *salt = slot->b + SALT_AT;
	struct crypto_key *key = NULL;
	int r;

	if (slot->b[KIND_AT] == CRYPTO_KEYSLOT_KEY) {
		r = crypto_hkdf(credential->key, salt, NONCE_AT - SALT_AT, SLOT_INFO,
				sizeof(SLOT_INFO) - 1, &key);
	} else {
		r = crypto_key_new(&key);
		if (r < 0)
			goto out;
		r = crypto_argon2id(credential->passphrase, credential->passphrase_len, salt,
				    get_le32(slot->b + OPS_AT), get_le32(slot->b + KIB_AT), key->b,
				    sizeof(key->b));
	}
	if (r < 0)
		goto out;
	*ret = key;
	key = NULL;
out:
	crypto_key_free(key);
	return r;
}

static int slot_aad(const struct crypto_keyslot *slot, const void *volume_id, size_t volume_id_len,
		    struct slot_aad *ret)
{
	int r = -EINVAL;

	if (volume_id_len > VOLUME_ID_MAX)
		goto out;
	if (volume_id_len > 0)
		memcpy(ret->b, volume_id, volume_id_len);
	memcpy(ret->b + volume_id_len, slot->b, SEALED_AT);
	ret->len = volume_id_len + SEALED_AT;
	r = 0;
out:
	return r;
}

/* All of a slot but the sealed key. */
static int slot_begin(int kind, uint32_t ops, uint32_t kib, struct crypto_keyslot *ret)
{
	struct crypto_keyslot slot = {{0}};
	int r = -EINVAL;

	if (kind == CRYPTO_KEYSLOT_PASSPHRASE) {
		ops = ops ? ops : CRYPTO_ARGON2_OPS_DEFAULT;
		kib = kib ? kib : CRYPTO_ARGON2_KIB_DEFAULT;
	}
	if (kind < 0 || !parameters_fit((uint8_t)kind, ops, kib))
		goto out;
	slot.b[KIND_AT] = (uint8_t)kind;
	slot.b[VERSION_AT] = SLOT_VERSION;
	put_le32(slot.b + OPS_AT, ops);
	put_le32(slot.b + KIB_AT, kib);
	r = crypto_random(slot.b + SALT_AT, SEALED_AT - SALT_AT); /* salt and nonce */
	if (r < 0)
		goto out;
	*ret = slot;
out:
	return r;
}

int crypto_keyslot_seal(const struct crypto_credential *credential, const void *volume_id,
			size_t volume_id_len, uint32_t ops, uint32_t kib,
			const struct crypto_key *volume_key, struct crypto_keyslot *ret)
{
	struct crypto_key *key = NULL;
	struct crypto_keyslot slot;
	struct slot_aad aad;
	int r;

	r = slot_begin(credential_kind(credential), ops, kib, &slot);
	if (r < 0)
		goto out;
	r = slot_aad(&slot, volume_id, volume_id_len, &aad);
	if (r < 0)
		goto out;
	r = wrapping_key(&slot, credential, &key);
	if (r < 0)
		goto out;
	if (crypto_aead_xchacha20poly1305_ietf_encrypt(slot.b + SEALED_AT, NULL, volume_key->b,
						       sizeof(volume_key->b), aad.b, aad.len, NULL,
						       slot.b + NONCE_AT, key->b) != 0) {
		r = -EIO;
		goto out;
	}
	*ret = slot;
out:
	crypto_key_free(key);
	return r;
}

/* 0 when it is worth the work to try @credential on @slot. */
static int may_open(const struct crypto_keyslot *slot, const struct crypto_credential *credential)
{
	int kind = credential_kind(credential);
	struct crypto_keyslot_info info;
	int r;

	r = crypto_keyslot_info(slot, &info);
	if (r < 0)
		goto out;
	r = kind;
	if (kind < 0)
		goto out;
	r = info.kind == (enum crypto_keyslot_kind)kind ? 0 : -EKEYREJECTED;
out:
	return r;
}

int crypto_keyslot_open(const struct crypto_keyslot *slot,
			const struct crypto_credential *credential, const void *volume_id,
			size_t volume_id_len, struct crypto_key **ret_volume_key)
{
	struct crypto_key *volume_key = NULL;
	struct crypto_key *key = NULL;
	struct slot_aad aad;
	int r;

	r = may_open(slot, credential);
	if (r < 0)
		goto out;
	r = slot_aad(slot, volume_id, volume_id_len, &aad);
	if (r < 0)
		goto out;
	r = crypto_key_new(&volume_key);
	if (r < 0)
		goto out;
	r = wrapping_key(slot, credential, &key);
	if (r < 0)
		goto out;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    volume_key->b, NULL, NULL, slot->b + SEALED_AT, ZERO3_AT - SEALED_AT, aad.b,
		    aad.len, slot->b + NONCE_AT, key->b) != 0) {
		r = -EKEYREJECTED;
		goto out;
	}
	*ret_volume_key = volume_key;
	volume_key = NULL;
out:
	crypto_key_free(volume_key);
	crypto_key_free(key);
	return r;
}
