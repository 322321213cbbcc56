/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sealer turns (session, counter) into (key, nonce).  The session's key is derived the first time
 * it is met and kept:
 *
 *     HKDF-SHA256(region key, salt = the session's, info = "fspf region session v1" || context)
 *
 * A kept key costs a guarded page and several memory mappings, of which a process may have
 * 65,530, and a volume may hold blocks of a million sessions.  So a sealer keeps KEYS_KEPT of them,
 * each at the place its session number says: sessions are numbered in a row, and any
 * KEYS_KEPT in a row fit.  One that falls out is derived again when it is met again (some 30 us).
 *
 * Threads use kept keys under a shared lock, held for the one block, so that a key that has
 * to go is freed only when nobody is at work with it.  A new key is derived, and first used,
 * without the lock.
 *
 * The rest of the invariants of session.h:
 * I2  (its other half) seal() refuses a counter that was never handed out.
 * I4  An all-zero seal names session 0, which no table has; an all-zero tag is refused in
 *     both classes whatever else the seal says.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <sodium.h>

#include "crypto/crypto_internal.h"
#include "crypto/digest.h"
#include "crypto/kdf.h"

#define INFO_LABEL "fspf region session v1"
#define LABEL_SIZE (sizeof(INFO_LABEL) - 1)
#define CONTEXT_MAX 64u /* bytes */
#define KEYS_KEPT 256u	/* 1 MiB of locked memory a region at the most */

struct kept_key {
	uint32_t session; /* 0: none */
	struct crypto_gcm *gcm;
};

struct crypto_sealer {
	enum crypto_class class;
	struct crypto_sessions *table; /* borrowed */
	struct crypto_key *key;	       /* the region's; NULL in authenticated regions */
	struct crypto_key *old_key;    /* of the sessions up to old_sessions; NULL: none */
	uint32_t old_sessions;
	uint8_t info[LABEL_SIZE + CONTEXT_MAX];
	size_t info_len;
	pthread_rwlock_t lock; /* guards @kept, and shared by whoever uses a key in it */
	struct kept_key kept[KEYS_KEPT];
};

/* One block, either way. */
struct block {
	const void *aad;
	size_t aad_len;
	const void *in;
	void *out;
	size_t len;
	struct crypto_nonce nonce;
	struct crypto_mac mac; /* sealing: the result */
	bool sealing;
};

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return sodium_is_zero(bytes, len) == 1;
}

/* Readers come without end, so a waiting writer must go first or it never gets in. */
static int lock_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;
	int r;

	r = -pthread_rwlockattr_init(&attr);
	if (r < 0)
		goto out;
	r = -pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	if (r == 0)
		r = -pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
out:
	return r;
}

static bool arguments_fit(enum crypto_class class, const struct crypto_key *key, size_t context_len)
{
	bool fit = context_len <= CONTEXT_MAX;

	if (class == CRYPTO_CLASS_ENCRYPTED)
		fit = fit && key;
	else
		fit = fit && class == CRYPTO_CLASS_AUTHENTICATED && !key;
	return fit;
}

int crypto_sealer_new(enum crypto_class class, const struct crypto_key *key,
		      struct crypto_sessions *table, const void *context, size_t context_len,
		      struct crypto_sealer **ret)
{
	struct crypto_sealer *sealer = NULL;
	struct crypto_key *copy = NULL;
	int r = -EINVAL;

	if (!arguments_fit(class, key, context_len))
		goto out;
	if (key) {
		r = crypto_key_copy(key, &copy);
		if (r < 0)
			goto out;
	}
	r = -ENOMEM;
	sealer = calloc(1, sizeof(*sealer));
	if (!sealer)
		goto out;
	r = lock_init(&sealer->lock);
	if (r < 0)
		goto out;
	sealer->class = class;
	sealer->table = table;
	sealer->key = copy;
	memcpy(sealer->info, INFO_LABEL, LABEL_SIZE);
	if (context_len > 0)
		memcpy(sealer->info + LABEL_SIZE, context, context_len);
	sealer->info_len = LABEL_SIZE + context_len;
	*ret = sealer;
	sealer = NULL;
	copy = NULL;
out:
	free(sealer);
	crypto_key_free(copy);
	return r;
}

struct crypto_sealer *crypto_sealer_free(struct crypto_sealer *sealer)
{
	if (sealer) {
		for (size_t i = 0; i < KEYS_KEPT; i++)
			crypto_gcm_free(sealer->kept[i].gcm);
		pthread_rwlock_destroy(&sealer->lock);
		crypto_key_free(sealer->key);
		crypto_key_free(sealer->old_key);
	}
	free(sealer);
	return NULL;
}

int crypto_sealer_set_old(struct crypto_sealer *sealer, const struct crypto_key *old_key,
			  uint32_t last)
{
	int r = -EINVAL;

	if (sealer->class == CRYPTO_CLASS_ENCRYPTED && !sealer->old_key)
		r = crypto_key_copy(old_key, &sealer->old_key);
	if (r == 0)
		sealer->old_sessions = last;
	return r;
}

void crypto_sealer_rekey(struct crypto_sealer *sealer, struct crypto_key *key, uint32_t last)
{
	pthread_rwlock_wrlock(&sealer->lock);
	crypto_key_free(sealer->old_key);
	sealer->old_key = sealer->key;
	sealer->old_sessions = last;
	sealer->key = key;
	pthread_rwlock_unlock(&sealer->lock);
}

void crypto_sealer_forget_old(struct crypto_sealer *sealer)
{
	pthread_rwlock_wrlock(&sealer->lock);
	for (size_t i = 0; i < KEYS_KEPT; i++) {
		struct kept_key *place = &sealer->kept[i];

		if (place->session && place->session <= sealer->old_sessions) {
			crypto_gcm_free(place->gcm);
			*place = (struct kept_key){.session = 0};
		}
	}
	sealer->old_key = crypto_key_free(sealer->old_key);
	sealer->old_sessions = 0;
	pthread_rwlock_unlock(&sealer->lock);
}

enum crypto_class crypto_sealer_class(const struct crypto_sealer *sealer)
{
	return sealer->class;
}

uint64_t crypto_sealer_remaining(struct crypto_sealer *sealer)
{
	uint64_t remaining = UINT64_MAX;

	if (sealer->class == CRYPTO_CLASS_ENCRYPTED)
		remaining = crypto_sessions_remaining(sealer->table);
	return remaining;
}

int crypto_sealer_take(struct crypto_sealer *sealer, uint32_t n, uint32_t *ret_session,
		       uint64_t *ret_counter)
{
	int r = -EINVAL;

	if (n == 0) /* nothing taken would still name a counter */
		goto out;
	r = 0;
	if (sealer->class == CRYPTO_CLASS_ENCRYPTED) {
		r = crypto_sessions_take(sealer->table, n, ret_session, ret_counter);
	} else {
		*ret_session = 0;
		*ret_counter = 0;
	}
out:
	return r;
}

/* The lock: a rotation may replace the region's keys meanwhile. */
static int derive(struct crypto_sealer *sealer, uint32_t session, struct crypto_gcm **ret)
{
	const struct crypto_salt *salt = crypto_sessions_find(sealer->table, session);
	struct crypto_key *key = NULL;
	int r = -EBADMSG;
	bool old;

	if (!salt)
		goto out;
	r = -pthread_rwlock_rdlock(&sealer->lock);
	if (r < 0)
		goto out;
	old = sealer->old_key && session <= sealer->old_sessions;
	r = crypto_hkdf(old ? sealer->old_key : sealer->key, salt->b, sizeof(salt->b), sealer->info,
			sealer->info_len, &key);
	pthread_rwlock_unlock(&sealer->lock);
	if (r < 0)
		goto out;
	r = crypto_gcm_new(key, ret);
out:
	crypto_key_free(key);
	return r;
}

/* Hand @gcm over to the sealer, for @session. */
static void keep(struct crypto_sealer *sealer, uint32_t session, struct crypto_gcm *gcm)
{
	struct kept_key *place = &sealer->kept[session % KEYS_KEPT];
	struct crypto_gcm *leftover = gcm;

	if (pthread_rwlock_wrlock(&sealer->lock) != 0)
		goto out;
	if (place->session != session) { /* or else another thread was first */
		leftover = place->gcm;
		*place = (struct kept_key){.session = session, .gcm = gcm};
	}
	pthread_rwlock_unlock(&sealer->lock);
out:
	crypto_gcm_free(leftover);
}

static int run(const struct crypto_gcm *gcm, struct block *b)
{
	int r;

	if (b->sealing)
		r = crypto_gcm_seal(gcm, &b->nonce, b->aad, b->aad_len, b->in, b->out, b->len,
				    &b->mac);
	else
		r = crypto_gcm_open(gcm, &b->nonce, b->aad, b->aad_len, b->in, b->out, b->len,
				    &b->mac);
	return r;
}

static int run_new_key(struct crypto_sealer *sealer, uint32_t session, struct block *b)
{
	struct crypto_gcm *gcm;
	int r;

	r = derive(sealer, session, &gcm);
	if (r < 0)
		goto out;
	r = run(gcm, b);
	keep(sealer, session, gcm);
out:
	return r;
}

static int run_session(struct crypto_sealer *sealer, uint32_t session, struct block *b)
{
	const struct kept_key *place = &sealer->kept[session % KEYS_KEPT];
	bool kept;
	int r;

	r = -pthread_rwlock_rdlock(&sealer->lock);
	if (r < 0)
		goto out;
	kept = place->gcm && place->session == session;
	if (kept)
		r = run(place->gcm, b);
	pthread_rwlock_unlock(&sealer->lock);
	if (!kept)
		r = run_new_key(sealer, session, b);
out:
	return r;
}

static int seal_encrypted(struct crypto_sealer *sealer, struct block *b, struct crypto_seal *seal)
{
	int r = -EPERM;

	if (!crypto_sessions_taken(sealer->table, seal->session, seal->counter))
		goto out;
	b->nonce = crypto_nonce_from_counter(seal->counter);
	r = run_session(sealer, seal->session, b);
	if (r < 0)
		goto out;
	memset(seal->tag, 0, sizeof(seal->tag));
	memcpy(seal->tag, b->mac.b, sizeof(b->mac.b));
out:
	return r;
}

static int open_encrypted(struct crypto_sealer *sealer, struct block *b,
			  const struct crypto_seal *seal)
{
	int r = -EBADMSG;

	if (!is_zero(seal->tag + CRYPTO_MAC_SIZE, CRYPTO_SEAL_SIZE - CRYPTO_MAC_SIZE))
		goto out;
	memcpy(b->mac.b, seal->tag, sizeof(b->mac.b));
	b->nonce = crypto_nonce_from_counter(seal->counter);
	r = run_session(sealer, seal->session, b);
out:
	return r;
}

static int authenticated_tag(const struct block *b, struct crypto_digest *ret)
{
	const struct iovec pieces[] = {
		{.iov_base = crypto_unconst(b->aad), .iov_len = b->aad_len},
		{.iov_base = crypto_unconst(b->in), .iov_len = b->len},
	};

	return crypto_sha256v(pieces, (int)ARRAY_LEN(pieces), ret);
}

static void copy_out(const struct block *b)
{
	if (b->len > 0 && b->out != b->in)
		memcpy(b->out, b->in, b->len);
}

static int seal_authenticated(const struct block *b, struct crypto_seal *seal)
{
	struct crypto_digest digest;
	int r = -EINVAL;

	if (seal->session != 0 || seal->counter != 0)
		goto out;
	r = authenticated_tag(b, &digest);
	if (r < 0)
		goto out;
	memcpy(seal->tag, digest.b, sizeof(seal->tag));
	copy_out(b);
out:
	return r;
}

static int open_authenticated(const struct block *b, const struct crypto_seal *seal)
{
	struct crypto_digest expected;
	struct crypto_digest digest;
	int r;

	memcpy(expected.b, seal->tag, sizeof(expected.b));
	r = -EBADMSG;
	if (seal->session != 0 || seal->counter != 0 || crypto_digest_is_zero(&expected))
		goto out;
	r = authenticated_tag(b, &digest);
	if (r < 0)
		goto out;
	r = -EBADMSG;
	if (!crypto_digest_equal(&digest, &expected))
		goto out;
	copy_out(b);
	r = 0;
out:
	return r;
}

int crypto_sealer_seal(struct crypto_sealer *sealer, const void *aad, size_t aad_len,
		       const void *in, void *out, size_t len, struct crypto_seal *seal)
{
	struct block b = {.aad = aad, .aad_len = aad_len, .in = in, .out = out, .len = len};
	int r;

	b.sealing = true;
	if (sealer->class == CRYPTO_CLASS_ENCRYPTED)
		r = seal_encrypted(sealer, &b, seal);
	else
		r = seal_authenticated(&b, seal);
	return r;
}

int crypto_sealer_open(struct crypto_sealer *sealer, const void *aad, size_t aad_len,
		       const void *in, void *out, size_t len, const struct crypto_seal *seal)
{
	struct block b = {.aad = aad, .aad_len = aad_len, .in = in, .out = out, .len = len};
	int r;

	if (sealer->class == CRYPTO_CLASS_ENCRYPTED)
		r = open_encrypted(sealer, &b, seal);
	else
		r = open_authenticated(&b, seal);
	if (r < 0) /* nothing unverified leaves, whatever the reason */
		crypto_wipe(out, len);
	return r;
}
