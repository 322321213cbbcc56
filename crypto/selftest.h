/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/selftest.h - the room's start: library set-up and known answers before the first key
 *
 * Every program calls crypto_init() before anything else of this room; calls after the
 * first return the first one's result.  It runs one published vector of each primitive
 * (AES-256-GCM, SHA-256, HKDF, SipHash, Argon2id, XChaCha20-Poly1305) through the same
 * seam that data takes, and -EIO means that this machine's library computes wrongly:
 * nothing may be sealed with it.
 */
#ifndef FSPF_CRYPTO_SELFTEST_H
#define FSPF_CRYPTO_SELFTEST_H

#include <stdbool.h>

#include "crypto/base.h"

MUST_CHECK int crypto_init(void);

/* Does the crypto library have AES instructions to use?  Without them everything works, ten to
 * fifty times slower, and table-based code may leak through caches. */
bool crypto_has_aes_instructions(void);

#endif
