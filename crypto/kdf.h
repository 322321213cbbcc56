/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/kdf.h - HKDF-SHA256 (RFC 5869), extract and expand in one call
 *
 * One input key serves several purposes only through different @info strings; the
 * strings are listed in docs/format.md, "Key derivation".  Any thread may call.
 */
#ifndef FSPF_CRYPTO_KDF_H
#define FSPF_CRYPTO_KDF_H

#include "crypto/secret.h"

/* Derive a 32-byte key, owned by the caller.  -ENOMEM, -EIO. */
MUST_CHECK int crypto_hkdf(const struct crypto_key *ikm, const void *salt, size_t salt_len,
			   const void *info, size_t info_len, struct crypto_key **ret);

/* The general form, for published vectors: any input and output length (at most 255 * 32). */
MUST_CHECK int crypto_hkdf_raw(const void *ikm, size_t ikm_len, const void *salt, size_t salt_len,
			       const void *info, size_t info_len, void *out, size_t out_len);

#endif
