/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/siphash.h - SipHash-2-4 (Aumasson, Bernstein 2012): a keyed 64-bit hash for tables
 *
 * Not a MAC for stored data.  It places directory entries, so that whoever does not
 * hold the key cannot choose names that collide.  Cannot fail.  Any thread may call.
 */
#ifndef FSPF_CRYPTO_SIPHASH_H
#define FSPF_CRYPTO_SIPHASH_H

#include "crypto/base.h"

#define CRYPTO_SIPHASH_KEY_SIZE 16u /* bytes */

uint64_t crypto_siphash(const uint8_t key[static CRYPTO_SIPHASH_KEY_SIZE], const void *data,
			size_t len);

#endif
