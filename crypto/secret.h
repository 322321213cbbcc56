/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/secret.h - guarded memory, and the key type that lives in it
 *
 * Every byte that is secret (keys, passphrases) is allocated here and nowhere else:
 * between guard pages, kept out of core dumps, locked when the limits allow, wiped when freed
 * (libsodium's sodium_malloc).  Any thread may call; a secret has one owner, who
 * frees it.  What OpenSSL derives from a key (expanded round keys) lies in its own heap;
 * the daemon therefore forbids core dumps and ptrace as well.
 */
#ifndef FSPF_CRYPTO_SECRET_H
#define FSPF_CRYPTO_SECRET_H

#include "crypto/base.h"

#define CRYPTO_KEY_SIZE 32u /* bytes: AES-256, HKDF and slot keys alike */

/* Only ever in guarded memory: make one with crypto_key_new(). */
struct crypto_key {
	uint8_t b[CRYPTO_KEY_SIZE];
};

/* @len zeroed guarded bytes, or NULL when memory ran out. */
void *crypto_secret_alloc(size_t len);

/* Wipe and free; NULL is allowed; returns NULL. */
void *crypto_secret_free(void *secret);

/* Overwrite @len bytes in a way the compiler keeps. */
void crypto_wipe(void *data, size_t len);

/* A zeroed key to be filled, a random one, a copy: owned by the caller, ended with
 * crypto_key_free().  -ENOMEM; -EIO when the system's randomness failed. */
MUST_CHECK int crypto_key_new(struct crypto_key **ret);
MUST_CHECK int crypto_key_random(struct crypto_key **ret);
MUST_CHECK int crypto_key_copy(const struct crypto_key *key, struct crypto_key **ret);
struct crypto_key *crypto_key_free(struct crypto_key *key);

/* 64 hex digits of either case (exactly @len of them) into a new key.  -EINVAL when malformed
 * or all zero; -ENOMEM.  The caller wipes the text. */
MUST_CHECK int crypto_key_parse(const char *hex, size_t len, struct crypto_key **ret);

/* 64 hex digits and a NUL into guarded memory of the caller's. */
void crypto_key_hex(const struct crypto_key *key, char ret[static 2 * CRYPTO_KEY_SIZE + 1]);

#endif
