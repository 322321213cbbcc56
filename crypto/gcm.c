/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What costs time in EVP is not the cipher: fetching it, making a context and expanding the key
 * can double the price of a block.  A thread therefore keeps contexts that hold a key
 * (library.h), found by the gcm's number, and a message sets the nonce alone.  A miss takes the
 * least recently used context and gives it the new key, which overwrites the old one.
 *
 * Numbers are never given twice in a process, so the context of a freed gcm can wait for its
 * eviction without ever being found.  Sealing and opening have contexts of their own: a
 * context then never changes direction and always holds one key.
 *
 * A context on which the library failed is forgotten: it would have to be trusted to be whole.
 */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <sodium.h>

#include "crypto/gcm.h"
#include "crypto/crypto_internal.h"
#include "crypto/digest.h"
#include "crypto/library.h"

struct crypto_gcm {
	uint64_t number; /* this process's name for the key; from 1 */
	struct crypto_key *key;
};

/* One message on its way through: what seal and open have in common. */
struct message {
	bool sealing;
	const struct crypto_nonce *nonce;
	const void *aad;
	size_t aad_len;
	const uint8_t *in;
	uint8_t *out;
	size_t len;
};

static _Atomic uint64_t last_number;

static struct {
	crypto_seal_witness *tell; /* NULL outside of tests */
	void *ctx;
} witness;

void crypto_gcm_set_witness(crypto_seal_witness *tell, void *ctx)
{
	witness.tell = tell;
	witness.ctx = ctx;
}

static int tell_witness(const struct crypto_gcm *gcm, const struct crypto_nonce *nonce)
{
	struct crypto_digest digest;
	int r = 0;

	if (!witness.tell)
		goto out;
	r = crypto_sha256(gcm->key->b, sizeof(gcm->key->b), &digest);
	if (r < 0)
		goto out;
	witness.tell(witness.ctx, digest.b, nonce);
out:
	return r;
}

struct crypto_nonce crypto_nonce_from_counter(uint64_t counter)
{
	struct crypto_nonce nonce = {{0}};

	put_le64(nonce.b + CRYPTO_NONCE_SIZE - sizeof(counter), counter);
	return nonce;
}

int crypto_gcm_new(const struct crypto_key *key, struct crypto_gcm **ret)
{
	struct crypto_gcm *gcm;
	int r = -ENOMEM;

	gcm = calloc(1, sizeof(*gcm));
	if (!gcm)
		goto out;
	r = crypto_key_copy(key, &gcm->key);
	if (r < 0)
		goto out;
	gcm->number = atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
	*ret = gcm;
	gcm = NULL;
out:
	crypto_gcm_free(gcm);
	return r;
}

struct crypto_gcm *crypto_gcm_free(struct crypto_gcm *gcm)
{
	if (gcm)
		crypto_key_free(gcm->key);
	free(gcm);
	return NULL;
}

/* The slot that holds @number's key, or else the one to give up for it.  Slots never used have
 * the oldest time of all, so they go first. */
static struct crypto_keyed *slot_for(struct crypto_thread *thread, bool sealing, uint64_t number)
{
	struct crypto_keyed *slots = sealing ? thread->seal : thread->open;
	struct crypto_keyed *best = &slots[0];

	for (size_t i = 0; i < CRYPTO_KEYED_KEPT && best->number != number; i++) {
		if (slots[i].number == number || slots[i].used < best->used)
			best = &slots[i];
	}
	best->used = ++thread->clock;
	return best;
}

/* A context's first key comes with the cipher; later ones must not name it again, or the library
 * starts the context anew. */
static int give_key(struct crypto_keyed *slot, const EVP_CIPHER *aes_256_gcm,
		    const struct crypto_gcm *gcm, bool sealing)
{
	const EVP_CIPHER *cipher = NULL;
	int r = -ENOMEM;

	slot->number = 0; /* nobody's until the key is in */
	if (!slot->ctx) {
		cipher = aes_256_gcm;
		slot->ctx = EVP_CIPHER_CTX_new();
	}
	if (!slot->ctx)
		goto out;

	r = -EIO;
	if (EVP_CipherInit_ex2(slot->ctx, cipher, gcm->key->b, NULL, sealing, NULL) != 1) {
		EVP_CIPHER_CTX_free(slot->ctx);
		slot->ctx = NULL;
		goto out;
	}
	slot->number = gcm->number;
	r = 0;
out:
	return r;
}

/* The nonce, then the associated data, then the text: all but the tag. */
static int feed(EVP_CIPHER_CTX *ctx, const struct message *m)
{
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int len = 0;
	int r = -EIO;

	if (EVP_CipherInit_ex2(ctx, NULL, NULL, m->nonce->b, m->sealing, NULL) != 1)
		goto out;
	if (m->aad_len > 0 && EVP_CipherUpdate(ctx, NULL, &len, m->aad, (int)m->aad_len) != 1)
		goto out;
	if (m->len > 0 && EVP_CipherUpdate(ctx, m->out, &len, m->in, (int)m->len) != 1)
		goto out;
	/* A stream cipher holds nothing back, so finishing a seal writes nothing. */
	if (m->sealing && EVP_CipherFinal_ex(ctx, none, &len) != 1)
		goto out;
	r = 0;
out:
	return r;
}

/* On failure too the slot is left ready for the next message, or nobody's. */
static int run(const struct crypto_gcm *gcm, const struct message *m,
	       struct crypto_keyed **ret_slot)
{
	struct crypto_thread *thread;
	struct crypto_keyed *slot;
	int r = -EINVAL;

	if (m->aad_len > INT_MAX || m->len > INT_MAX)
		goto out;
	r = crypto_thread(&thread);
	if (r < 0)
		goto out;
	slot = slot_for(thread, m->sealing, gcm->number);
	if (slot->number != gcm->number) {
		r = give_key(slot, thread->library->aes_256_gcm, gcm, m->sealing);
		if (r < 0)
			goto out;
	}
	r = feed(slot->ctx, m);
	if (r < 0) {
		slot->number = 0;
		goto out;
	}
	*ret_slot = slot;
out:
	return r;
}

static int read_tag(struct crypto_keyed *slot, struct crypto_mac *ret)
{
	OSSL_PARAM params[2];
	struct crypto_mac mac;
	int r = -EIO;

	params[0] =
		OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, mac.b, sizeof(mac.b));
	params[1] = OSSL_PARAM_construct_end();
	if (EVP_CIPHER_CTX_get_params(slot->ctx, params) != 1) {
		slot->number = 0;
		goto out;
	}
	r = -EAGAIN;
	if (sodium_is_zero(mac.b, sizeof(mac.b)) == 1)
		goto out;
	*ret = mac;
	r = 0;
out:
	return r;
}

/* Nothing but a tag that differs can make the last step fail: the tag's size is right, and the
 * text has gone through. */
static int check_tag(struct crypto_keyed *slot, const struct crypto_mac *mac)
{
	struct crypto_mac copy = *mac;
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	OSSL_PARAM params[2];
	int len = 0;
	int r = -EIO;

	params[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, copy.b,
						      sizeof(copy.b));
	params[1] = OSSL_PARAM_construct_end();
	if (EVP_CIPHER_CTX_set_params(slot->ctx, params) != 1) {
		slot->number = 0;
		goto out;
	}
	r = EVP_CipherFinal_ex(slot->ctx, none, &len) == 1 ? 0 : -EBADMSG;
out:
	return r;
}

int crypto_gcm_seal(const struct crypto_gcm *gcm, const struct crypto_nonce *nonce, const void *aad,
		    size_t aad_len, const void *in, void *out, size_t len,
		    struct crypto_mac *ret_mac)
{
	const struct message m = {.sealing = true,
				  .nonce = nonce,
				  .aad = aad,
				  .aad_len = aad_len,
				  .in = in,
				  .out = out,
				  .len = len};
	struct crypto_keyed *slot;
	int r;

	r = tell_witness(gcm, nonce);
	if (r < 0)
		goto out;
	r = run(gcm, &m, &slot);
	if (r < 0)
		goto out;
	r = read_tag(slot, ret_mac);
out:
	if (r < 0)
		ERR_clear_error();
	return r;
}

int crypto_gcm_open(const struct crypto_gcm *gcm, const struct crypto_nonce *nonce, const void *aad,
		    size_t aad_len, const void *in, void *out, size_t len,
		    const struct crypto_mac *mac)
{
	const struct message m = {.sealing = false,
				  .nonce = nonce,
				  .aad = aad,
				  .aad_len = aad_len,
				  .in = in,
				  .out = out,
				  .len = len};
	struct crypto_keyed *slot;
	int r;

	r = -EBADMSG;
	if (sodium_is_zero(mac->b, sizeof(mac->b)) == 1)
		goto out;
	r = run(gcm, &m, &slot);
	if (r < 0)
		goto out;
	r = check_tag(slot, mac);
out:
	if (r < 0) { /* nothing unverified leaves, whatever the reason */
		crypto_wipe(out, len);
		ERR_clear_error();
	}
	return r;
}
