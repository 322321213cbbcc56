/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/crypto_internal.h - (private to this room and its tests) what its files share
 */
#ifndef FSPF_CRYPTO_INTERNAL_H
#define FSPF_CRYPTO_INTERNAL_H

#include "crypto/session.h"

/* Library structs (iovec, OSSL_PARAM) lack a const: nothing is written through the result. */
static inline void *crypto_unconst(const void *p)
{
	return (void *)(uintptr_t)p;
}

/* Exactly 2 * @size hex digits of either case in @len characters; -EINVAL otherwise, and when
 * all bytes are zero.  Time depends on @len alone while the text is well-formed. */
MUST_CHECK int crypto_hex_parse(const char *hex, size_t len, uint8_t *bytes, size_t size);

/* Argon2id v1.3, one lane, @kib KiB of memory.  -ENOMEM. */
MUST_CHECK int crypto_argon2id(const char *passphrase, size_t passphrase_len,
			       const uint8_t salt[static 16], uint32_t ops, uint32_t kib,
			       uint8_t *out, size_t out_len);

/*
 * The table as its sealers see it.  Sessions are never removed, so a salt stays where it
 * is as long as the table does.  None of these takes a lock.
 */

/* NULL when there is no such session. */
const struct crypto_salt *crypto_sessions_find(struct crypto_sessions *table, uint32_t number);

/* @n consecutive counters of the newest session.  -EPERM, -EKEYEXPIRED. */
MUST_CHECK int crypto_sessions_take(struct crypto_sessions *table, uint32_t n, uint32_t *ret_number,
				    uint64_t *ret_counter);

/* Was @counter of session @number ever handed out by this process? */
bool crypto_sessions_taken(struct crypto_sessions *table, uint32_t number, uint64_t counter);

/* Counters that the newest session has left; 0 when it was not begun here. */
uint64_t crypto_sessions_remaining(struct crypto_sessions *table);

/* For tests alone: as if @taken counters of the newest session had been handed out. */
void crypto_sessions_pretend_taken(struct crypto_sessions *table, uint64_t taken);

#endif
