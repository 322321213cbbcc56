/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsodium places an allocation at the end of a page that is followed by a guard page, so
 * that running over it faults at once.  Lengths are rounded up to the strictest alignment, or
 * an object in there would not be aligned; keys are a multiple of it and lose nothing.
 *
 * Locking is best effort by libsodium's own choice: where RLIMIT_MEMLOCK is used up the memory
 * is still guarded, undumped and wiped.
 */
#include <assert.h>
#include <errno.h>
#include <stdalign.h>

#include <sodium.h>

#include "crypto/crypto_internal.h"
#include "crypto/random.h"
#include "crypto/secret.h"

#define SECRET_ALIGN alignof(max_align_t)

static_assert(CRYPTO_KEY_SIZE % SECRET_ALIGN == 0, "a key would not touch its guard page");

void *crypto_secret_alloc(size_t len)
{
	void *secret = NULL;
	size_t size;

	if (len > SIZE_MAX - SECRET_ALIGN)
		goto out;
	size = (len + SECRET_ALIGN - 1) / SECRET_ALIGN * SECRET_ALIGN;
	if (sodium_init() < 0) /* learns the page size; cheap once done */
		goto out;
	secret = sodium_malloc(size);
	if (secret)
		memset(secret, 0, size);
out:
	return secret;
}

void *crypto_secret_free(void *secret)
{
	sodium_free(secret);
	return NULL;
}

void crypto_wipe(void *data, size_t len)
{
	sodium_memzero(data, len);
}

int crypto_key_new(struct crypto_key **ret)
{
	struct crypto_key *key = crypto_secret_alloc(sizeof(*key));

	if (key)
		*ret = key;
	return key ? 0 : -ENOMEM;
}

int crypto_key_random(struct crypto_key **ret)
{
	struct crypto_key *key = NULL;
	int r;

	r = crypto_key_new(&key);
	if (r < 0)
		goto out;
	r = crypto_random(key->b, sizeof(key->b));
	if (r < 0)
		goto out;
	*ret = key;
	key = NULL;
out:
	crypto_key_free(key);
	return r;
}

int crypto_key_copy(const struct crypto_key *key, struct crypto_key **ret)
{
	struct crypto_key *copy;
	int r;

	r = crypto_key_new(&copy);
	if (r < 0)
		goto out;
	memcpy(copy->b, key->b, sizeof(copy->b));
	*ret = copy;
out:
	return r;
}

struct crypto_key *crypto_key_free(struct crypto_key *key)
{
	return crypto_secret_free(key);
}

int crypto_key_parse(const char *hex, size_t len, struct crypto_key **ret)
{
	struct crypto_key *key = NULL;
	int r;

	r = crypto_key_new(&key);
	if (r < 0)
		goto out;
	r = crypto_hex_parse(hex, len, key->b, sizeof(key->b));
	if (r < 0)
		goto out;
	*ret = key;
	key = NULL;
out:
	crypto_key_free(key);
	return r;
}

void crypto_key_hex(const struct crypto_key *key, char ret[static 2 * CRYPTO_KEY_SIZE + 1])
{
	(void)sodium_bin2hex(ret, 2 * CRYPTO_KEY_SIZE + 1, key->b, sizeof(key->b));
}
