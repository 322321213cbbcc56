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

#include "fspf/root_codec.h"

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
	struct fspf_root_sealer *s = calloc(1, sizeof(*s));
	int r = s ? fspf_root_derive(volume_key, salt, FSPF_ROOT_INFO, volume_id, &s->gcm)
		  : -ENOMEM;

	if (r == 0) {
		s->salt = *salt;
		atomic_init(&s->counter, 1);
		*ret = s;
		s = NULL;
	}
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
	r = fspf_root_put_public(&b, header, root, fspf_capsule_seal,
				 &(struct fspf_capsules){header, root});
	if (r)
		return r;
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
	r = store->ops->write(store, fspf_root_slot_block(slot), buffer, len);
	if (r == 0)
		*ret_tag = tag;
out:
	crypto_secret_free(buffer);
	return r;
}
