/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/digest.h - SHA-256 (FIPS 180-4) and the 32 bytes it yields
 *
 * A digest is public; comparing one with an expected value is constant time all the
 * same, so that nobody has to think about it.  Any thread may call.  Int results are
 * 0 or a negative errno; -EIO means that the crypto library itself failed, which is
 * never an answer about the data, and -ENOMEM can come of a thread's first call.
 */
#ifndef FSPF_CRYPTO_DIGEST_H
#define FSPF_CRYPTO_DIGEST_H

#include <stdbool.h>
#include <sys/uio.h>

#include "crypto/base.h"

#define CRYPTO_DIGEST_SIZE 32u				 /* bytes */
#define CRYPTO_DIGEST_HEX (2u * CRYPTO_DIGEST_SIZE + 1u) /* with the NUL */

struct crypto_digest {
	uint8_t b[CRYPTO_DIGEST_SIZE];
};

/* SHA-256 of @len bytes. */
MUST_CHECK int crypto_sha256(const void *data, size_t len, struct crypto_digest *ret);

/* SHA-256 of the concatenation of @n pieces. */
MUST_CHECK int crypto_sha256v(const struct iovec *pieces, int n, struct crypto_digest *ret);

/* Constant time in both. */
bool crypto_digest_equal(const struct crypto_digest *a, const struct crypto_digest *b);
bool crypto_digest_is_zero(const struct crypto_digest *d);

/* 64 lower-case hex digits and a NUL. */
void crypto_digest_hex(const struct crypto_digest *d, char ret[static CRYPTO_DIGEST_HEX]);

/* Exactly 64 hex digits of either case, then NUL; -EINVAL for anything else, and for
 * all zeroes, which is nobody's digest. */
MUST_CHECK int crypto_digest_parse(const char *hex, struct crypto_digest *ret);

#endif
