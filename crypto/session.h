/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/session.h - sessions: where nonces come from; and the sealer of one region
 *
 * A session begins with a fresh random 256-bit salt.  Each region's key and the salt
 * give that region's sealing key of that session (HKDF), and a counter in memory gives the
 * nonce.  Nothing that decides a nonce is ever read from storage, so a rolled-back, copied or
 * crashed volume cannot make one repeat.  Sessions are numbered 1, 2, ... in the order in
 * which they were added to a volume's table; the numbers are only names for salts and
 * may name another salt in another history of the same volume.
 *
 * A sealer seals and opens the blocks of one region.  Its class says how:
 *   CRYPTO_CLASS_ENCRYPTED      AES-256-GCM under the session's key; the seal's first
 *                               16 bytes are the GCM tag, the rest zero
 *   CRYPTO_CLASS_AUTHENTICATED  stored as it is; the seal is SHA-256 over the
 *                               associated data and the block; session and counter are 0
 *
 * I1  A session's number is given to a salt only once within a table, and a salt never changes.
 * I2  A session hands out each of its counters at most once, and at most CRYPTO_SEALS_MAX of
 *     them, over all sealers of the table together.
 * I3  Only the newest session hands out counters, and only if it was begun by this process (a
 *     table loaded from storage opens, and refuses to seal until crypto_sessions_begin()).
 * I4  An all-zero seal never verifies.
 *
 * -EBADMSG: failed verification, and nothing else.  -EKEYEXPIRED: the session's seals are used up;
 * begin a new one.  -EPERM: sealing without a session begun (I3), or with a counter never
 * taken.  -EINVAL: an argument out of its range.  -ENOMEM, -EIO.
 * All calls but _new, _free and _load may come from any thread at once.
 */
#ifndef FSPF_CRYPTO_SESSION_H
#define FSPF_CRYPTO_SESSION_H

#include <stdbool.h>

#include "crypto/gcm.h"

#define CRYPTO_SALT_SIZE 32u	     /* bytes */
#define CRYPTO_SEAL_SIZE 32u	     /* bytes */
#define CRYPTO_SESSIONS_MAX 1000000u /* 32 MB of salts: a mount a minute for two years */

enum crypto_class {
	CRYPTO_CLASS_ENCRYPTED = 1,
	CRYPTO_CLASS_AUTHENTICATED = 2,
};

struct crypto_salt {
	uint8_t b[CRYPTO_SALT_SIZE];
};

/* What a pointer to a stored block carries besides its address. */
struct crypto_seal {
	uint32_t session; /* 0 in authenticated regions */
	uint64_t counter;
	uint8_t tag[CRYPTO_SEAL_SIZE];
};

struct crypto_sessions; /* the volume's table: number -> salt */
struct crypto_sealer;	/* one region's keys over that table */

MUST_CHECK int crypto_sessions_new(struct crypto_sessions **ret);
struct crypto_sessions *crypto_sessions_free(struct crypto_sessions *table);

/* Append a stored salt (its number is then crypto_sessions_count()).  -EOVERFLOW when full. */
MUST_CHECK int crypto_sessions_load(struct crypto_sessions *table, const struct crypto_salt *salt);

/* Append a fresh random salt and make it the session that seals. */
MUST_CHECK int crypto_sessions_begin(struct crypto_sessions *table);

uint32_t crypto_sessions_count(struct crypto_sessions *table);

/* The salt of session @number; -ENOENT when there is none. */
MUST_CHECK int crypto_sessions_salt(struct crypto_sessions *table, uint32_t number,
				    struct crypto_salt *ret);

/* @key is copied; NULL for authenticated regions.  @context (at most 64 bytes: volume and region
 * identity) goes into the derivation.  @table is borrowed and outlives the sealer. */
MUST_CHECK int crypto_sealer_new(enum crypto_class class, const struct crypto_key *key,
				 struct crypto_sessions *table, const void *context,
				 size_t context_len, struct crypto_sealer **ret);
struct crypto_sealer *crypto_sealer_free(struct crypto_sealer *sealer);

/* What the sessions up to @last sealed was sealed under @old_key (copied): a region that is being
 * given a new key has two.  At most once, before the sealer is used. */
MUST_CHECK int crypto_sealer_set_old(struct crypto_sealer *sealer, const struct crypto_key *old_key,
				     uint32_t last);

/* A sealer in use is given a new key (taken over): sessions after @last seal and open with it,
 * those up to @last with the one before.  Nothing was sealed by a later session yet, and no older
 * key is kept.  The other calls may run beside it. */
void crypto_sealer_rekey(struct crypto_sealer *sealer, struct crypto_key *key, uint32_t last);
/* Wipe the old key and what was derived from it: what it sealed is -EBADMSG from now on. */
void crypto_sealer_forget_old(struct crypto_sealer *sealer);

enum crypto_class crypto_sealer_class(const struct crypto_sealer *sealer);

/* How many more blocks the newest session can seal, counted for all sealers of the table together
 * (UINT64_MAX if authenticated). */
uint64_t crypto_sealer_remaining(struct crypto_sealer *sealer);

/* Take @n >= 1 consecutive counters of the newest session: the blocks of one extent are
 * (session, counter), (session, counter + 1), ...  Zeroes in authenticated regions.  A
 * counter that was taken still seals after a newer session has begun. */
MUST_CHECK int crypto_sealer_take(struct crypto_sealer *sealer, uint32_t n, uint32_t *ret_session,
				  uint64_t *ret_counter);

/* Seal one block with a counter that was taken.  @seal's session and counter are inputs, its tag
 * is the output.  @in and @out hold @len bytes and may be the same (authenticated: @out is a copy,
 * made only when it differs from @in).  -EAGAIN: as crypto_gcm_seal(); take another counter. */
MUST_CHECK int crypto_sealer_seal(struct crypto_sealer *sealer, const void *aad, size_t aad_len,
				  const void *in, void *out, size_t len, struct crypto_seal *seal);

/* Open one block: verify, then decrypt.  On -EBADMSG @out is wiped.  A seal that names a session
 * not in the table is -EBADMSG: no authentic pointer does. */
MUST_CHECK int crypto_sealer_open(struct crypto_sealer *sealer, const void *aad, size_t aad_len,
				  const void *in, void *out, size_t len,
				  const struct crypto_seal *seal);

#endif
