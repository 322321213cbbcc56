/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows from keys: the one that seals records, those of capsules, a region's sealer.
 *
 * A capsule is a region's entry, sealed under a key of the region's own key and the record's salt.
 * The record's counter is its nonce: there is one capsule a region's key in a record.
 */
#include "crypto/kdf.h"
#include "fspf/root_codec.h"

#define CAPSULE_INFO "fspf region entry v1"
#define CAPSULE_AAD_SIZE (FSPF_VOLUME_ID_SIZE + 8u)

int fspf_root_derive(const struct crypto_key *key, const struct crypto_salt *salt,
		     const char *purpose, const uint8_t volume_id[static FSPF_VOLUME_ID_SIZE],
		     struct crypto_gcm **ret)
{
	uint8_t info[32 + FSPF_VOLUME_ID_SIZE];
	size_t len = strlen(purpose);
	struct crypto_key *derived = NULL;
	int r;

	memcpy(info, purpose, len);
	memcpy(info + len, volume_id, FSPF_VOLUME_ID_SIZE);
	r = crypto_hkdf(key, salt, sizeof(*salt), info, len + FSPF_VOLUME_ID_SIZE, &derived);
	if (r == 0)
		r = crypto_gcm_new(derived, ret);
	crypto_key_free(derived);
	return r;
}

static int key_of(const uint8_t bytes[static CRYPTO_KEY_SIZE], struct crypto_key **ret)
{
	int r = crypto_key_new(ret);

	if (r == 0)
		memcpy((*ret)->b, bytes, CRYPTO_KEY_SIZE);
	return r;
}

static int capsule_begin(const struct fspf_capsules *c, const uint8_t *key,
			 uint8_t aad[static CAPSULE_AAD_SIZE], struct crypto_gcm **ret)
{
	struct crypto_key *k = NULL;
	int r = key_of(key, &k);

	memcpy(aad, c->header->volume_id, FSPF_VOLUME_ID_SIZE);
	put_le64(aad + FSPF_VOLUME_ID_SIZE, c->root->generation);
	if (r == 0)
		r = fspf_root_derive(k, &c->root->salt, CAPSULE_INFO, c->header->volume_id, ret);
	crypto_key_free(k);
	return r;
}

int fspf_capsule_seal(void *ctx, struct fspf_capsule *capsule)
{
	const struct fspf_capsules *c = ctx;
	struct crypto_nonce nonce = crypto_nonce_from_counter(c->root->counter);
	uint8_t aad[CAPSULE_AAD_SIZE];
	struct crypto_gcm *gcm = NULL;
	int r = capsule_begin(c, capsule->key, aad, &gcm);

	if (r == 0)
		r = crypto_gcm_seal(gcm, &nonce, aad, sizeof(aad), capsule->data, capsule->data,
				    capsule->len, &capsule->mac);
	crypto_gcm_free(gcm);
	return r;
}

int fspf_capsule_open(const struct fspf_capsules *c, const struct fspf_capsule *capsule,
		      const uint8_t *key, uint8_t *out)
{
	struct crypto_nonce nonce = crypto_nonce_from_counter(c->root->counter);
	uint8_t aad[CAPSULE_AAD_SIZE];
	struct crypto_gcm *gcm = NULL;
	int r = capsule_begin(c, key, aad, &gcm);

	if (r == 0)
		r = crypto_gcm_open(gcm, &nonce, aad, sizeof(aad), capsule->data, out, capsule->len,
				    &capsule->mac);
	crypto_gcm_free(gcm);
	return r;
}

static int old_key(const struct fspf_region_record *record, struct crypto_sealer *sealer)
{
	struct crypto_key *key = NULL;
	int r = key_of(record->old_key, &key);

	if (r == 0)
		r = crypto_sealer_set_old(sealer, key, record->old_sessions);
	crypto_key_free(key);
	return r;
}

int fspf_record_sealer(const struct fspf_region_record *record, struct crypto_sessions *sessions,
		       const uint8_t identity[static MERKLE_IDENTITY_SIZE],
		       struct crypto_sealer **ret)
{
	struct crypto_sealer *sealer = NULL;
	struct crypto_key *key = NULL;
	int r = record->protection == FSPF_ENCRYPTED ? key_of(record->key, &key) : 0;

	if (r == 0)
		r = crypto_sealer_new(fspf_class(record->protection), key, sessions, identity,
				      MERKLE_IDENTITY_SIZE, &sealer);
	if (r == 0 && record->old_sessions)
		r = old_key(record, sealer);
	if (r == 0)
		*ret = sealer;
	else
		crypto_sealer_free(sealer);
	crypto_key_free(key);
	return r;
}
