/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's HKDF with its default mode, extract and expand.  It looks SHA-256 up by name on each
 * call, which is fine: keys are derived per session and region, never per block.  It copies
 * its inputs into its own heap and wipes them there; the output goes straight to where
 * the caller wants it, which for a key is guarded memory.
 */
#include <errno.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "crypto/crypto_internal.h"
#include "crypto/digest.h"
#include "crypto/kdf.h"
#include "crypto/library.h"

#define HKDF_OUT_MAX (255u * CRYPTO_DIGEST_SIZE) /* RFC 5869 section 2.3 */

static OSSL_PARAM octets(const char *name, const void *data, size_t len)
{
	return OSSL_PARAM_construct_octet_string(name, crypto_unconst(data), len);
}

int crypto_hkdf_raw(const void *ikm, size_t ikm_len, const void *salt, size_t salt_len,
		    const void *info, size_t info_len, void *out, size_t out_len)
{
	char sha256[] = "SHA2-256"; /* OSSL_PARAM wants it writable */
	const struct crypto_library *library;
	EVP_KDF_CTX *ctx = NULL;
	OSSL_PARAM params[5];
	size_t n = 0;
	int r;

	r = crypto_library(&library);
	if (r < 0)
		goto out;
	r = -EINVAL;
	if (out_len == 0 || out_len > HKDF_OUT_MAX)
		goto out;

	/* An empty input must not be a null pointer; an empty salt or info is one left out. */
	params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, sha256, 0);
	params[n++] = octets(OSSL_KDF_PARAM_KEY, ikm_len > 0 ? ikm : "", ikm_len);
	if (salt_len > 0)
		params[n++] = octets(OSSL_KDF_PARAM_SALT, salt, salt_len);
	if (info_len > 0)
		params[n++] = octets(OSSL_KDF_PARAM_INFO, info, info_len);
	params[n] = OSSL_PARAM_construct_end();

	r = -ENOMEM;
	ctx = EVP_KDF_CTX_new(library->hkdf);
	if (!ctx)
		goto out;
	r = EVP_KDF_derive(ctx, out, out_len, params) == 1 ? 0 : -EIO;
out:
	if (r < 0)
		ERR_clear_error();
	EVP_KDF_CTX_free(ctx);
	return r;
}

int crypto_hkdf(const struct crypto_key *ikm, const void *salt, size_t salt_len, const void *info,
		size_t info_len, struct crypto_key **ret)
{
	struct crypto_key *key = NULL;
	int r;

	r = crypto_key_new(&key);
	if (r < 0)
		goto out;
	r = crypto_hkdf_raw(ikm->b, sizeof(ikm->b), salt, salt_len, info, info_len, key->b,
			    sizeof(key->b));
	if (r < 0)
		goto out;
	*ret = key;
	key = NULL;
out:
	crypto_key_free(key);
	return r;
}
