/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 runs in the calling thread's one context: re-initialising it without naming the
 * algorithm keeps the context's memory, which a 64-byte message notices (half the time goes to
 * making a new one).
 */
#include <errno.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <sodium.h>

#include "crypto/crypto_internal.h"
#include "crypto/digest.h"
#include "crypto/library.h"

int crypto_sha256v(const struct iovec *pieces, int n, struct crypto_digest *ret)
{
	struct crypto_thread *thread;
	struct crypto_digest digest;
	int r;

	r = crypto_thread(&thread);
	if (r < 0)
		goto out;

	r = -EIO;
	if (EVP_DigestInit_ex2(thread->sha256, NULL, NULL) != 1)
		goto out;
	for (int i = 0; i < n; i++) {
		if (pieces[i].iov_len > 0 &&
		    EVP_DigestUpdate(thread->sha256, pieces[i].iov_base, pieces[i].iov_len) != 1)
			goto out;
	}
	if (EVP_DigestFinal_ex(thread->sha256, digest.b, NULL) != 1)
		goto out;
	*ret = digest;
	r = 0;
out:
	if (r < 0)
		ERR_clear_error();
	return r;
}

int crypto_sha256(const void *data, size_t len, struct crypto_digest *ret)
{
	struct iovec piece = {.iov_base = crypto_unconst(data), .iov_len = len};

	return crypto_sha256v(&piece, 1, ret);
}

bool crypto_digest_equal(const struct crypto_digest *a, const struct crypto_digest *b)
{
	return sodium_memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool crypto_digest_is_zero(const struct crypto_digest *d)
{
	return sodium_is_zero(d->b, sizeof(d->b)) == 1;
}

void crypto_digest_hex(const struct crypto_digest *d, char ret[static CRYPTO_DIGEST_HEX])
{
	(void)sodium_bin2hex(ret, CRYPTO_DIGEST_HEX, d->b, sizeof(d->b));
}

/* libsodium's decoder looks nothing up in tables, so it serves for keys as well. */
int crypto_hex_parse(const char *hex, size_t len, uint8_t *bytes, size_t size)
{
	size_t decoded = 0;

	if (len != 2 * size || sodium_hex2bin(bytes, size, hex, len, NULL, &decoded, NULL) != 0 ||
	    decoded != size || sodium_is_zero(bytes, size) == 1)
		return -EINVAL;
	return 0;
}

int crypto_digest_parse(const char *hex, struct crypto_digest *ret)
{
	struct crypto_digest digest;
	int r;

	r = crypto_hex_parse(hex, strnlen(hex, CRYPTO_DIGEST_HEX), digest.b, sizeof(digest.b));
	if (r == 0)
		*ret = digest;
	return r;
}
