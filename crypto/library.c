/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's handles sit behind a pthread_once, so that a call works even where
 * crypto_init() was forgotten.  They are not freed: OpenSSL drops them itself when the process
 * exits, and other threads may be sealing until then.
 *
 * A thread finds its contexts through a thread-local pointer, which costs nothing; the pthread key
 * beside it exists for its destructor alone.  Freeing an EVP context wipes it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "crypto/library.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct crypto_library library; /* written under @once, then read alone */
static bool library_ready;
static pthread_key_t thread_key;

static _Thread_local struct crypto_thread *mine;

static struct crypto_thread *thread_free(struct crypto_thread *thread)
{
	for (size_t i = 0; thread && i < CRYPTO_KEYED_KEPT; i++) {
		EVP_CIPHER_CTX_free(thread->seal[i].ctx);
		EVP_CIPHER_CTX_free(thread->open[i].ctx);
	}
	if (thread)
		EVP_MD_CTX_free(thread->sha256);
	free(thread);
	return NULL;
}

/* Another key's destructor may still seal after this one ran: it gets new contexts, and the
 * system calls this again. */
static void thread_end(void *thread)
{
	mine = thread_free(thread);
}

static void set_up(void)
{
	library.aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	library.sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	library.hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	library_ready = library.aes_256_gcm && library.sha256 && library.hkdf &&
			pthread_key_create(&thread_key, thread_end) == 0;
}

int crypto_library(const struct crypto_library **ret)
{
	int r = -EIO;

	if (pthread_once(&once, set_up) == 0 && library_ready) {
		*ret = &library;
		r = 0;
	}
	return r;
}

static int thread_new(struct crypto_thread **ret)
{
	struct crypto_thread *thread = NULL;
	const struct crypto_library *lib;
	int r;

	r = crypto_library(&lib);
	if (r < 0)
		goto out;

	r = -ENOMEM;
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		goto out;
	thread->library = lib;
	thread->sha256 = EVP_MD_CTX_new();
	if (!thread->sha256)
		goto out;

	r = -EIO;
	if (EVP_DigestInit_ex2(thread->sha256, lib->sha256, NULL) != 1)
		goto out;
	*ret = thread;
	thread = NULL;
	r = 0;
out:
	thread_free(thread);
	return r;
}

int crypto_thread(struct crypto_thread **ret)
{
	struct crypto_thread *thread = mine;
	int r = 0;

	if (thread)
		goto out;
	r = thread_new(&thread);
	if (r < 0)
		goto out;
	if (pthread_setspecific(thread_key, thread) != 0) {
		thread = thread_free(thread);
		r = -ENOMEM;
		goto out;
	}
	mine = thread;
out:
	if (r == 0)
		*ret = thread;
	return r;
}
