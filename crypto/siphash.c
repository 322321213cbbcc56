/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsodium's short hash is SipHash-2-4; the paper reads its eight bytes as a little-endian
 * number, and so do we.
 */
#include <assert.h>

#include <sodium.h>

#include "crypto/siphash.h"

static_assert(CRYPTO_SIPHASH_KEY_SIZE == crypto_shorthash_siphash24_KEYBYTES, "key size");

uint64_t crypto_siphash(const uint8_t key[static CRYPTO_SIPHASH_KEY_SIZE], const void *data,
			size_t len)
{
	uint8_t hash[crypto_shorthash_siphash24_BYTES];

	/* Always 0: there is nothing in it that could fail. */
	(void)crypto_shorthash_siphash24(hash, data, len, key);
	return get_le64(hash);
}
