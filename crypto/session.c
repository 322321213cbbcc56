/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of sessions.  The invariants of session.h and what keeps them here (sealer.c keeps the
 * rest):
 *
 * I1  append() is the only writer: it numbers a session by its place, under a lock, and no
 *     function writes to a salt that has a number.
 * I2  crypto_sessions_take() is the only source of counters: it moves a session's counter
 *     forward by compare-and-swap, and not past CRYPTO_SEALS_MAX.  The counter belongs to the
 *     session and not to a sealer: two sealers made of one region's key by mistake still never
 * share a nonce. I3  crypto_sessions_take() looks at the newest session alone, and only
 *     crypto_sessions_begin(), which draws the salt itself, sets @begun.
 *
 * Every block that is opened looks its session up, so readers take no lock: sessions lie in
 * chunks that never move, and a session is filled in before the count that makes it
 * visible is raised (release, acquire).
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "crypto/crypto_internal.h"
#include "crypto/random.h"
#include "crypto/session.h"

#define CHUNK_SESSIONS 1024u
#define CHUNKS ((CRYPTO_SESSIONS_MAX + CHUNK_SESSIONS - 1) / CHUNK_SESSIONS)

struct session {
	struct crypto_salt salt;
	_Atomic uint64_t taken; /* counters handed out: 0 .. taken - 1 */
	bool begun;		/* by this process: it may seal */
};

struct crypto_sessions {
	pthread_mutex_t append; /* held by whoever adds a session */
	_Atomic uint32_t count;
	struct session *chunks[CHUNKS];
};

int crypto_sessions_new(struct crypto_sessions **ret)
{
	struct crypto_sessions *table;
	int r = -ENOMEM;

	table = calloc(1, sizeof(*table));
	if (!table)
		goto out;
	r = -pthread_mutex_init(&table->append, NULL);
	if (r < 0)
		goto out;
	*ret = table;
	table = NULL;
out:
	free(table);
	return r;
}

struct crypto_sessions *crypto_sessions_free(struct crypto_sessions *table)
{
	if (table) {
		for (size_t i = 0; i < CHUNKS; i++)
			free(table->chunks[i]);
		pthread_mutex_destroy(&table->append);
	}
	free(table);
	return NULL;
}

uint32_t crypto_sessions_count(struct crypto_sessions *table)
{
	return atomic_load_explicit(&table->count, memory_order_acquire);
}

static struct session *at(struct crypto_sessions *table, uint32_t index)
{
	return &table->chunks[index / CHUNK_SESSIONS][index % CHUNK_SESSIONS];
}

static struct session *find(struct crypto_sessions *table, uint32_t number)
{
	struct session *session = NULL;

	if (number >= 1 && number <= crypto_sessions_count(table))
		session = at(table, number - 1);
	return session;
}

static int append(struct crypto_sessions *table, const struct crypto_salt *salt, bool begun)
{
	struct session *session;
	uint32_t count;
	int r = -EOVERFLOW;

	pthread_mutex_lock(&table->append);
	count = crypto_sessions_count(table);
	if (count == CRYPTO_SESSIONS_MAX)
		goto out;
	if (count % CHUNK_SESSIONS == 0) {
		r = -ENOMEM;
		table->chunks[count / CHUNK_SESSIONS] = calloc(CHUNK_SESSIONS, sizeof(*session));
		if (!table->chunks[count / CHUNK_SESSIONS])
			goto out;
	}
	session = at(table, count);
	session->salt = *salt;
	session->begun = begun;
	atomic_store_explicit(&table->count, count + 1, memory_order_release);
	r = 0;
out:
	pthread_mutex_unlock(&table->append);
	return r;
}

int crypto_sessions_load(struct crypto_sessions *table, const struct crypto_salt *salt)
{
	return append(table, salt, false);
}

int crypto_sessions_begin(struct crypto_sessions *table)
{
	struct crypto_salt salt;
	int r;

	r = crypto_random(salt.b, sizeof(salt.b));
	if (r < 0)
		goto out;
	r = append(table, &salt, true);
out:
	return r;
}

const struct crypto_salt *crypto_sessions_find(struct crypto_sessions *table, uint32_t number)
{
	const struct session *session = find(table, number);

	return session ? &session->salt : NULL;
}

int crypto_sessions_salt(struct crypto_sessions *table, uint32_t number, struct crypto_salt *ret)
{
	const struct crypto_salt *salt = crypto_sessions_find(table, number);

	if (salt)
		*ret = *salt;
	return salt ? 0 : -ENOENT;
}

int crypto_sessions_take(struct crypto_sessions *table, uint32_t n, uint32_t *ret_number,
			 uint64_t *ret_counter)
{
	uint32_t number = crypto_sessions_count(table);
	struct session *session = find(table, number);
	uint64_t taken;
	int r;

	r = -EPERM;
	if (!session || !session->begun)
		goto out;
	r = -EKEYEXPIRED;
	taken = atomic_load_explicit(&session->taken, memory_order_relaxed);
	do {
		if (n > CRYPTO_SEALS_MAX - taken)
			goto out;
	} while (!atomic_compare_exchange_weak(&session->taken, &taken, taken + n));
	*ret_number = number;
	*ret_counter = taken;
	r = 0;
out:
	return r;
}

/* Sessions that were loaded have nothing taken, so @begun needs no look. */
bool crypto_sessions_taken(struct crypto_sessions *table, uint32_t number, uint64_t counter)
{
	struct session *session = find(table, number);

	return session && counter < atomic_load(&session->taken);
}

uint64_t crypto_sessions_remaining(struct crypto_sessions *table)
{
	struct session *session = find(table, crypto_sessions_count(table));

	return session && session->begun ? CRYPTO_SEALS_MAX - atomic_load(&session->taken) : 0;
}

void crypto_sessions_pretend_taken(struct crypto_sessions *table, uint64_t taken)
{
	struct session *session = find(table, crypto_sessions_count(table));

	if (session)
		atomic_store(&session->taken, taken);
}
