/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/library.h - (private to this room) what OpenSSL is asked for once, and never again
 *
 * Fetching an algorithm walks the library's providers under its locks and costs as much
 * as sealing a block.  So the handles are fetched once a process and never change after that,
 * and each thread keeps its contexts until it ends.  Nobody frees what these calls return.
 */
#ifndef FSPF_CRYPTO_LIBRARY_H
#define FSPF_CRYPTO_LIBRARY_H

#include <openssl/types.h>

#include "crypto/base.h"

struct crypto_library {
	EVP_CIPHER *aes_256_gcm;
	EVP_MD *sha256;
	EVP_KDF *hkdf;
};

/* Keyed contexts a thread keeps for each direction: a thread works on a handful of
 * regions at a time, and a miss costs a key expansion (0.1 us), no more. */
#define CRYPTO_KEYED_KEPT 8u

/* A context that holds the key of the crypto_gcm of that number; 0 is nobody's. */
struct crypto_keyed {
	uint64_t number;
	uint64_t used; /* the thread's clock at the last use */
	EVP_CIPHER_CTX *ctx;
};

struct crypto_thread {
	const struct crypto_library *library;
	EVP_MD_CTX *sha256; /* set up, to be re-initialised for each message */
	uint64_t clock;
	struct crypto_keyed seal[CRYPTO_KEYED_KEPT];
	struct crypto_keyed open[CRYPTO_KEYED_KEPT];
};

/* -EIO: OpenSSL lacks an algorithm. */
MUST_CHECK int crypto_library(const struct crypto_library **ret);

/* The calling thread's contexts.  -EIO, -ENOMEM. */
MUST_CHECK int crypto_thread(struct crypto_thread **ret);

#endif
