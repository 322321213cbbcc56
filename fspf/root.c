/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record is encoded into one slot-sized buffer in guarded memory (it holds region keys until
 * sealed), the sealed part is encrypted in place, and what is written is rounded up to whole blocks
 * of which the rest is zero.
 *
 * The fields are root_codec.c's.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "crypto/kdf.h"
#include "fspf/root_codec.h"

#define ROOT_INFO "fspf root record v1"
#define BLOB_AAD "fspf session table v1"

struct fspf_root_sealer {
	struct crypto_gcm *gcm;
	struct crypto_salt salt;
	atomic_uint_fast64_t counter;
};

/* ---- the sealer ---- */

int fspf_root_sealer_new(const struct crypto_key *volume_key,
			 const uint8_t volume_id[static FSPF_VOLUME_ID_SIZE],
			 const struct crypto_salt *salt, struct fspf_root_sealer **ret)
{
	uint8_t info[sizeof(ROOT_INFO) - 1 + FSPF_VOLUME_ID_SIZE];
	struct fspf_root_sealer *s = calloc(1, sizeof(*s));
	struct crypto_key *key = NULL;
	int r = -ENOMEM;

	if (!s)
		goto out;
	memcpy(info, ROOT_INFO, sizeof(ROOT_INFO) - 1);
	memcpy(info + sizeof(ROOT_INFO) - 1, volume_id, FSPF_VOLUME_ID_SIZE);
	r = crypto_hkdf(volume_key, salt, sizeof(*salt), info, sizeof(info), &key);
	if (r)
		goto out;
	r = crypto_gcm_new(key, &s->gcm);
	if (r)
		goto out;
	s->salt = *salt;
	atomic_init(&s->counter, 1);
	*ret = s;
	s = NULL;
out:
	crypto_key_free(key);
	fspf_root_sealer_free(s);
	return r;
}

struct fspf_root_sealer *fspf_root_sealer_free(struct fspf_root_sealer *s)
{
	if (s)
		crypto_gcm_free(s->gcm);
	free(s);
	return NULL;
}

static int seal(struct fspf_root_sealer *s, const void *aad, size_t aad_len, const void *in,
		void *out, size_t len, uint64_t counter, struct crypto_mac *ret)
{
	struct crypto_nonce nonce = crypto_nonce_from_counter(counter);

	return crypto_gcm_seal(s->gcm, &nonce, aad, aad_len, in, out, len, ret);
}

/* A fresh counter; far fewer than CRYPTO_SEALS_MAX commits fit a lifetime, but the limit is kept
 * all the same. */
static int next_counter(struct fspf_root_sealer *s, uint64_t *ret)
{
	*ret = atomic_fetch_add(&s->counter, 1);
	return *ret < CRYPTO_SEALS_MAX ? 0 : -EKEYEXPIRED;
}

static int open_sealed(const struct crypto_key *volume_key, const struct fspf_header *header,
		       const struct crypto_salt *salt, uint64_t counter,
		       const struct crypto_mac *mac, const void *aad, size_t aad_len, void *data,
		       size_t len)
{
	struct crypto_nonce nonce = crypto_nonce_from_counter(counter);
	struct fspf_root_sealer *s = NULL;
	int r = fspf_root_sealer_new(volume_key, header->volume_id, salt, &s);

	if (r == 0)
		r = crypto_gcm_open(s->gcm, &nonce, aad, aad_len, data, data, len, mac);
	fspf_root_sealer_free(s);
	return r;
}

struct fspf_root *fspf_root_new(void)
{
	return crypto_secret_alloc(sizeof(struct fspf_root));
}

struct fspf_root *fspf_root_free(struct fspf_root *root)
{
	return crypto_secret_free(root);
}

/* Encode into @slot (zeroed) and seal in place; the record's length. */
static int encode(const struct fspf_header *header, struct fspf_root_sealer *sealer,
		  struct fspf_root *root, uint8_t *slot, size_t *ret_len)
{
	struct fspf_bytes b = {.p = slot, .end = FSPF_ROOT_SLOT_BYTES};
	size_t public_len;
	int r;

	memset(&root->salt, 0, sizeof(root->salt));
	root->counter = 0;
	if (sealer) {
		root->salt = sealer->salt;
		r = next_counter(sealer, &root->counter);
		if (r)
			return r;
	}
	fspf_root_put_public(&b, header, root);
	public_len = b.at;
	fspf_root_put_sealed(&b, root);
	if (b.overrun)
		return -E2BIG;
	put_le32(slot + FSPF_ROOT_LEN_AT, (uint32_t)b.at);
	put_le32(slot + FSPF_ROOT_PUBLIC_LEN_AT, (uint32_t)public_len);
	*ret_len = b.at;
	if (!sealer)
		return 0;
	r = seal(sealer, slot, public_len, slot + public_len, slot + public_len, b.at - public_len,
		 root->counter, &root->mac);
	if (r == 0)
		memcpy(slot + FSPF_ROOT_MAC_AT, root->mac.b, sizeof(root->mac.b));
	return r;
}

static uint64_t slot_block(unsigned slot)
{
	return FSPF_ROOT_SLOT0 + (uint64_t)slot * FSPF_ROOT_SLOT_BLOCKS;
}

int fspf_root_write(struct fspf_store *store, const struct fspf_header *header,
		    struct fspf_root_sealer *sealer, unsigned slot, struct fspf_root *root,
		    struct crypto_digest *ret_tag)
{
	uint8_t *buffer = crypto_secret_alloc(FSPF_ROOT_SLOT_BYTES);
	struct crypto_digest tag;
	size_t len = 0;
	int r = -ENOMEM;

	if (!buffer)
		goto out;
	do {
		memset(buffer, 0, FSPF_ROOT_SLOT_BYTES);
		r = encode(header, sealer, root, buffer, &len);
	} while (r == -EAGAIN);
	if (r == 0)
		r = crypto_sha256(buffer, len, &tag);
	if (r)
		goto out;
	len = (len + FSPF_BLOCK_SIZE - 1) / FSPF_BLOCK_SIZE * FSPF_BLOCK_SIZE;
	r = store->ops->write(store, slot_block(slot), buffer, len);
	if (r == 0)
		*ret_tag = tag;
out:
	crypto_secret_free(buffer);
	return r;
}

/* @slot holds a whole slot; opens the sealed part in place. */
static int decode(const struct fspf_header *header, const struct crypto_key *volume_key,
		  uint8_t *slot, size_t len, struct fspf_root *root)
{
	size_t public_len = get_le32(slot + FSPF_ROOT_PUBLIC_LEN_AT);
	struct fspf_bytes b = {.p = slot, .end = public_len};
	int r;

	if (public_len < FSPF_ROOT_PUBLIC || public_len >= len)
		return -EBADMSG;
	r = fspf_root_get_public(&b, header, root);
	if (r || b.overrun || b.at != public_len)
		return -EBADMSG;
	if (header->keyed && !volume_key)
		return fspf_root_check_regions(root);
	if (header->keyed) {
		memset(slot + FSPF_ROOT_MAC_AT, 0, CRYPTO_MAC_SIZE);
		r = open_sealed(volume_key, header, &root->salt, root->counter, &root->mac, slot,
				public_len, slot + public_len, len - public_len);
		if (r)
			return r;
	}
	b.end = len;
	r = fspf_root_get_sealed(&b, root);
	if (r || b.overrun || b.at != len)
		return -EBADMSG;
	root->opened = true;
	return fspf_root_check_regions(root);
}

static bool is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && !memcmp(p, p + 1, len - 1));
}

int fspf_root_read(struct fspf_store *store, const struct fspf_header *header,
		   const struct crypto_key *volume_key, unsigned slot, struct fspf_root **ret,
		   struct crypto_digest *ret_tag)
{
	uint8_t *buffer = crypto_secret_alloc(FSPF_ROOT_SLOT_BYTES);
	struct fspf_root *root = fspf_root_new();
	struct crypto_digest tag;
	size_t len;
	int r = -ENOMEM;

	if (!buffer || !root)
		goto out;
	r = store->ops->read(store, slot_block(slot), buffer, FSPF_ROOT_SLOT_BYTES);
	if (r)
		goto out;
	r = -ENOENT;
	if (is_zero(buffer, FSPF_BLOCK_SIZE))
		goto out;
	r = -EBADMSG;
	len = get_le32(buffer + FSPF_ROOT_LEN_AT);
	if (len < FSPF_ROOT_PUBLIC || len > FSPF_ROOT_SLOT_BYTES)
		goto out;
	r = crypto_sha256(buffer, len, &tag);
	if (r == 0)
		r = decode(header, volume_key, buffer, len, root);
	if (r)
		goto out;
	*ret = root;
	*ret_tag = tag;
	root = NULL;
out:
	fspf_root_free(root);
	crypto_secret_free(buffer);
	return r;
}

/* ---- the session table ---- */

uint64_t fspf_blob_blocks(uint32_t count)
{
	uint64_t bytes = (uint64_t)count * CRYPTO_SALT_SIZE;

	return (bytes + FSPF_BLOCK_SIZE - 1) / FSPF_BLOCK_SIZE;
}

static size_t blob_aad(const struct fspf_header *header, uint32_t count, uint8_t out[static 64])
{
	memcpy(out, BLOB_AAD, sizeof(BLOB_AAD) - 1);
	memcpy(out + sizeof(BLOB_AAD) - 1, header->volume_id, FSPF_VOLUME_ID_SIZE);
	put_le32(out + sizeof(BLOB_AAD) - 1 + FSPF_VOLUME_ID_SIZE, count);
	return sizeof(BLOB_AAD) - 1 + FSPF_VOLUME_ID_SIZE + 4;
}

int fspf_blob_write(struct fspf_store *store, const struct fspf_header *header,
		    struct fspf_root_sealer *sealer, struct crypto_sessions *table,
		    struct fspf_blob *blob)
{
	uint32_t count = crypto_sessions_count(table);
	size_t len = fspf_blob_blocks(count) * FSPF_BLOCK_SIZE;
	uint8_t *data = calloc(1, len);
	uint8_t aad[64];
	size_t aad_len = blob_aad(header, count, aad);
	struct crypto_salt salt;
	int r = data ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < count && r == 0; i++) {
		r = crypto_sessions_salt(table, i + 1, &salt);
		if (r == 0)
			memcpy(data + (size_t)i * CRYPTO_SALT_SIZE, salt.b, CRYPTO_SALT_SIZE);
	}
	if (r)
		goto out;
	blob->count = count;
	blob->salt = sealer->salt;
	do {
		r = next_counter(sealer, &blob->counter);
		if (r == 0)
			r = seal(sealer, aad, aad_len, data, data, len, blob->counter, &blob->mac);
	} while (r == -EAGAIN);
	if (r == 0)
		r = store->ops->write(store, blob->addr, data, len);
out:
	free(data);
	return r;
}

int fspf_blob_read(struct fspf_store *store, const struct fspf_header *header,
		   const struct crypto_key *volume_key, const struct fspf_blob *blob,
		   struct crypto_sessions *table)
{
	size_t len = fspf_blob_blocks(blob->count) * FSPF_BLOCK_SIZE;
	uint8_t *data = calloc(1, len ? len : 1);
	uint8_t aad[64];
	size_t aad_len = blob_aad(header, blob->count, aad);
	struct crypto_salt salt;
	int r = data ? 0 : -ENOMEM;

	if (r)
		goto out;
	r = store->ops->read(store, blob->addr, data, len);
	if (r == 0)
		r = open_sealed(volume_key, header, &blob->salt, blob->counter, &blob->mac, aad,
				aad_len, data, len);
	for (uint32_t i = 0; i < blob->count && r == 0; i++) {
		memcpy(salt.b, data + (size_t)i * CRYPTO_SALT_SIZE, CRYPTO_SALT_SIZE);
		r = crypto_sessions_load(table, &salt);
	}
out:
	free(data);
	return r;
}
