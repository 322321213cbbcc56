/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/gcm.h - AES-256-GCM (NIST SP 800-38D): the one seam over OpenSSL's EVP
 *
 * A crypto_gcm is a key made ready.  The cipher is fetched once a process; each thread
 * keeps a few keyed EVP contexts and sets only the nonce per message (1.1 us for 4 KiB on
 * OpenSSL 3.0; fetching or rekeying each time costs up to as much again).  A thread's contexts are
 * wiped when it ends; a freed gcm's contexts may linger keyed in other threads
 * until evicted or ended, but can no longer be reached (each gcm has a process-unique number).
 *
 * Whoever seals owes a nonce never used before under this key: only crypto/session.h
 * and the root record's counter hand them out.
 *
 * -EBADMSG means, always and only, that the tag did not verify: the output is then
 * wiped.  An all-zero tag never verifies, and sealing never returns one (-EAGAIN: use the
 * next nonce; probability 2^-128).  -EIO: the crypto library failed.  -ENOMEM.
 * Any thread may call.
 *
 * Limits, for one key: nonces are 64-bit counters in a 96-bit field, so they never
 * repeat; the number of messages is held to CRYPTO_SEALS_MAX = 2^32.  With messages of
 * at most 1025 AES blocks (a 16 KiB node; the few root records and session tables have a key of
 * their own) that is under 2^42.1 blocks, and the PRP/PRF switching term q^2/2^129 stays under
 * 2^-44; forging one message by guessing is 2^-128 * 1027 a try.
 */
#ifndef FSPF_CRYPTO_GCM_H
#define FSPF_CRYPTO_GCM_H

#include "crypto/secret.h"

#define CRYPTO_NONCE_SIZE 12u /* bytes */
#define CRYPTO_MAC_SIZE 16u   /* bytes: the full GCM tag, never truncated */
#define CRYPTO_SEALS_MAX (UINT64_C(1) << 32)

struct crypto_nonce {
	uint8_t b[CRYPTO_NONCE_SIZE];
};

struct crypto_mac {
	uint8_t b[CRYPTO_MAC_SIZE];
};

struct crypto_gcm;

/* The field's bytes: four zero bytes, then the counter, little-endian. */
struct crypto_nonce crypto_nonce_from_counter(uint64_t counter);

/* Copies @key into guarded memory of its own.  The caller owns the result and sees to it that
 * no thread uses it any more when it frees it. */
MUST_CHECK int crypto_gcm_new(const struct crypto_key *key, struct crypto_gcm **ret);
struct crypto_gcm *crypto_gcm_free(struct crypto_gcm *gcm);

/* @in and @out may be the same buffer, but not overlap otherwise; both hold @len bytes, which may
 * be 0.  -EINVAL: lengths over INT_MAX. */
MUST_CHECK int crypto_gcm_seal(const struct crypto_gcm *gcm, const struct crypto_nonce *nonce,
			       const void *aad, size_t aad_len, const void *in, void *out,
			       size_t len, struct crypto_mac *ret_mac);
MUST_CHECK int crypto_gcm_open(const struct crypto_gcm *gcm, const struct crypto_nonce *nonce,
			       const void *aad, size_t aad_len, const void *in, void *out,
			       size_t len, const struct crypto_mac *mac);

/*
 * A witness for tests: called for every seal with the key's SHA-256 and the nonce, before
 * anything is sealed.  NULL (the default) is none.  Set it while no thread seals.
 */
typedef void crypto_seal_witness(void *ctx, const uint8_t key_digest[static 32],
				 const struct crypto_nonce *nonce);
void crypto_gcm_set_witness(crypto_seal_witness *witness, void *ctx);

#endif
