/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing and opening blocks of a region: classes, keys, threads, and invariants I2 and I4. */
#include <pthread.h>
#include <stdatomic.h>

#include "crypto/crypto_internal.h"
#include "crypto/digest.h"
#include "crypto/kdf.h"
#include "crypto/session.h"
#include "test_crypto.h"

#define BLOCK 64u

/* A table with one session begun, and two regions in it. */
struct volume {
	struct crypto_sessions *table;
	struct crypto_key *key;
	struct crypto_sealer *region;
	struct crypto_sealer *same_key; /* another context */
	struct crypto_sealer *open_read;
};

static struct crypto_sealer *encrypted(struct crypto_sessions *table, const struct crypto_key *key,
				       const char *context)
{
	struct crypto_sealer *sealer;

	assert_int_equal(crypto_sealer_new(CRYPTO_CLASS_ENCRYPTED, key, table, context,
					   strlen(context), &sealer),
			 0);
	return sealer;
}

static int set_up(void **state)
{
	struct volume *v = calloc(1, sizeof(*v));

	assert_non_null(v);
	assert_int_equal(crypto_sessions_new(&v->table), 0);
	assert_int_equal(crypto_sessions_begin(v->table), 0);
	assert_int_equal(crypto_key_random(&v->key), 0);
	v->region = encrypted(v->table, v->key, "region a");
	v->same_key = encrypted(v->table, v->key, "region b");
	assert_int_equal(crypto_sealer_new(CRYPTO_CLASS_AUTHENTICATED, NULL, v->table, "c", 1,
					   &v->open_read),
			 0);
	*state = v;
	return 0;
}

static int tear_down(void **state)
{
	struct volume *v = *state;

	crypto_sealer_free(v->region);
	crypto_sealer_free(v->same_key);
	crypto_sealer_free(v->open_read);
	crypto_sessions_free(v->table);
	crypto_key_free(v->key);
	free(v);
	return 0;
}

static struct crypto_seal seal_block(struct crypto_sealer *sealer, uint8_t block[static BLOCK])
{
	struct crypto_seal seal;

	memset(&seal, 0xee, sizeof(seal));
	assert_int_equal(crypto_sealer_take(sealer, 1, &seal.session, &seal.counter), 0);
	assert_int_equal(crypto_sealer_seal(sealer, "aad", 3, block, block, BLOCK, &seal), 0);
	return seal;
}

static void expect_refused(struct crypto_sealer *sealer, const uint8_t *block,
			   const struct crypto_seal *seal)
{
	uint8_t out[BLOCK];

	memset(out, 0x5a, sizeof(out));
	assert_int_equal(crypto_sealer_open(sealer, "aad", 3, block, out, BLOCK, seal), -EBADMSG);
	assert_true(all_zero(out, sizeof(out)));
}

static void expect_opens(struct crypto_sealer *sealer, const uint8_t *block,
			 const struct crypto_seal *seal, uint8_t first)
{
	uint8_t out[BLOCK];

	assert_int_equal(crypto_sealer_open(sealer, "aad", 3, block, out, BLOCK, seal), 0);
	assert_int_equal(out[0], first);
}

static void an_encrypted_block_comes_back(void **state)
{
	struct volume *v = *state;
	uint8_t block[BLOCK] = "contents";
	struct crypto_seal seal = seal_block(v->region, block);

	assert_int_equal(crypto_sealer_class(v->region), CRYPTO_CLASS_ENCRYPTED);
	assert_string_not_equal((char *)block, "contents");
	assert_true(seal.session == 1 && seal.counter == 0);
	assert_false(all_zero(seal.tag, CRYPTO_MAC_SIZE));
	assert_true(all_zero(seal.tag + CRYPTO_MAC_SIZE, CRYPTO_SEAL_SIZE - CRYPTO_MAC_SIZE));
	assert_int_equal(crypto_sealer_open(v->region, "aad", 3, block, block, BLOCK, &seal), 0);
	assert_string_equal((char *)block, "contents");
}

/* The stored form is a promise; here it is put together again from its parts. */
static void the_key_is_derived_as_documented(void **state)
{
	static const char info[] = "fspf region session v1region a";
	struct volume *v = *state;
	uint8_t block[BLOCK] = "contents";
	struct crypto_seal seal = seal_block(v->region, block);
	struct crypto_nonce nonce = crypto_nonce_from_counter(seal.counter);
	struct crypto_gcm *aead;
	struct crypto_salt salt;
	struct crypto_key *key;
	struct crypto_mac mac;

	memcpy(mac.b, seal.tag, sizeof(mac.b));
	assert_int_equal(crypto_sessions_salt(v->table, 1, &salt), 0);
	assert_int_equal(crypto_hkdf(v->key, salt.b, sizeof(salt.b), info, sizeof(info) - 1, &key),
			 0);
	assert_int_equal(crypto_gcm_new(key, &aead), 0);
	assert_int_equal(crypto_gcm_open(aead, &nonce, "aad", 3, block, block, BLOCK, &mac), 0);
	assert_string_equal((char *)block, "contents");
	crypto_gcm_free(aead);
	crypto_key_free(key);
}

static void an_authenticated_block_stays_readable(void **state)
{
	struct volume *v = *state;
	const uint8_t block[BLOCK] = "contents";
	struct crypto_seal seal = {0};
	struct crypto_digest digest;
	uint8_t whole[3 + BLOCK];
	uint8_t copy[BLOCK];

	assert_int_equal(crypto_sealer_class(v->open_read), CRYPTO_CLASS_AUTHENTICATED);
	assert_true(crypto_sealer_remaining(v->open_read) == UINT64_MAX);
	assert_int_equal(crypto_sealer_seal(v->open_read, "aad", 3, block, copy, BLOCK, &seal), 0);
	assert_memory_equal(copy, block, BLOCK);
	memcpy(whole, "aad", 3);
	memcpy(whole + 3, block, BLOCK);
	assert_int_equal(crypto_sha256(whole, sizeof(whole), &digest), 0);
	assert_memory_equal(seal.tag, digest.b, CRYPTO_SEAL_SIZE);
	assert_int_equal(crypto_sealer_open(v->open_read, "aad", 3, copy, copy, BLOCK, &seal), 0);
	assert_memory_equal(copy, block, BLOCK);
}

/* @block and @seal are altered bit by bit and put right again. */
static void refuse_every_bit(struct crypto_sealer *sealer, uint8_t *bytes, size_t len,
			     const uint8_t *block, const struct crypto_seal *seal)
{
	for (size_t bit = 0; bit < 8 * len; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		expect_refused(sealer, block, seal);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void refuse_every_altered_bit(struct crypto_sealer *sealer)
{
	uint8_t block[BLOCK] = "contents";
	struct crypto_seal seal = seal_block(sealer, block);
	uint8_t out[BLOCK];

	refuse_every_bit(sealer, block, BLOCK, block, &seal);
	refuse_every_bit(sealer, seal.tag, sizeof(seal.tag), block, &seal);
	refuse_every_bit(sealer, (uint8_t *)&seal.session, sizeof(seal.session), block, &seal);
	refuse_every_bit(sealer, (uint8_t *)&seal.counter, sizeof(seal.counter), block, &seal);
	assert_int_equal(crypto_sealer_open(sealer, "aae", 3, block, out, BLOCK, &seal), -EBADMSG);
	assert_int_equal(crypto_sealer_open(sealer, "aa", 2, block, out, BLOCK, &seal), -EBADMSG);
	assert_int_equal(crypto_sealer_open(sealer, "aad", 3, block, out, BLOCK - 1, &seal),
			 -EBADMSG);
	assert_int_equal(crypto_sealer_open(sealer, "aad", 3, block, out, BLOCK, &seal), 0);
}

static void every_altered_bit_is_refused(void **state)
{
	struct volume *v = *state;

	assert_int_equal(crypto_sessions_begin(v->table), 0); /* so that another one exists */
	refuse_every_altered_bit(v->region);
	refuse_every_altered_bit(v->open_read);
}

static void another_session_is_refused(void **state)
{
	struct volume *v = *state;
	uint8_t block[BLOCK] = "contents";
	struct crypto_seal seal = seal_block(v->region, block);

	assert_int_equal(crypto_sessions_begin(v->table), 0);
	expect_opens(v->region, block, &seal, 'c');
	seal.session = 2;
	expect_refused(v->region, block, &seal);
	seal.session = 3; /* not in the table */
	expect_refused(v->region, block, &seal);
	seal.session = 0;
	expect_refused(v->region, block, &seal);
}

static void another_regions_seal_is_refused(void **state)
{
	struct volume *v = *state;
	uint8_t block[BLOCK] = "contents";
	struct crypto_seal seal = seal_block(v->region, block);
	struct crypto_sealer *other_key;
	struct crypto_key *key;

	assert_int_equal(crypto_key_random(&key), 0);
	other_key = encrypted(v->table, key, "region a");
	expect_refused(v->same_key, block, &seal);
	expect_refused(other_key, block, &seal);
	expect_refused(v->open_read, block, &seal);
	expect_opens(v->region, block, &seal, 'c');
	crypto_sealer_free(other_key);
	crypto_key_free(key);
}

static void a_counter_never_taken_does_not_seal(void **state)
{
	struct volume *v = *state;
	uint8_t block[BLOCK] = "contents";
	struct crypto_seal seal = seal_block(v->region, block);

	seal.counter++;
	assert_int_equal(crypto_sealer_seal(v->region, NULL, 0, block, block, BLOCK, &seal),
			 -EPERM);
	seal.counter = UINT64_MAX;
	assert_int_equal(crypto_sealer_seal(v->region, NULL, 0, block, block, BLOCK, &seal),
			 -EPERM);
	seal = (struct crypto_seal){.session = 2};
	assert_int_equal(crypto_sealer_seal(v->region, NULL, 0, block, block, BLOCK, &seal),
			 -EPERM);
	assert_int_equal(crypto_sealer_seal(v->open_read, NULL, 0, block, block, BLOCK, &seal),
			 -EINVAL);
}

static void i4_an_all_zero_seal_never_verifies(void **state)
{
	const struct crypto_seal zero = {0};
	struct volume *v = *state;
	uint8_t block[BLOCK] = {0};
	struct crypto_seal seal = seal_block(v->region, block);

	expect_refused(v->region, block, &zero);
	memset(seal.tag, 0, sizeof(seal.tag)); /* of a session that exists */
	expect_refused(v->region, block, &seal);
	memset(block, 0, sizeof(block));
	expect_refused(v->region, block, &zero);
	expect_refused(v->open_read, block, &zero);
}

static void arguments_are_checked(void **state)
{
	static const uint8_t context[65];
	struct volume *v = *state;
	struct crypto_sealer *s = NULL;

#define NEW(class, key, len) crypto_sealer_new(class, key, v->table, context, len, &s)
	assert_int_equal(NEW(CRYPTO_CLASS_ENCRYPTED, v->key, sizeof(context)), -EINVAL);
	assert_int_equal(NEW(CRYPTO_CLASS_ENCRYPTED, NULL, 1), -EINVAL);
	assert_int_equal(NEW(CRYPTO_CLASS_AUTHENTICATED, v->key, 1), -EINVAL);
	assert_int_equal(NEW((enum crypto_class)0, v->key, 1), -EINVAL);
	assert_int_equal(NEW((enum crypto_class)3, NULL, 1), -EINVAL);
	assert_null(s);
	assert_int_equal(NEW(CRYPTO_CLASS_ENCRYPTED, v->key, sizeof(context) - 1), 0);
#undef NEW
	crypto_sealer_free(s);
	assert_null(crypto_sealer_free(NULL));
}

/* More sessions than a sealer keeps keys, opened in an order that evicts. */
static void sessions_beyond_the_kept_keys_open(void **state)
{
	enum { SESSIONS = 600 };
	static uint8_t blocks[SESSIONS][BLOCK];
	static struct crypto_seal seals[SESSIONS];
	struct volume *v = *state;

	for (size_t i = 0; i < SESSIONS; i++) {
		memset(blocks[i], (int)i & 0xff, BLOCK);
		seals[i] = seal_block(v->region, blocks[i]);
		assert_int_equal(seals[i].session, i + 1);
		assert_int_equal(crypto_sessions_begin(v->table), 0);
	}
	for (size_t round = 0; round < 2 * SESSIONS; round++) {
		size_t i = round * 257 % SESSIONS;

		expect_opens(v->region, blocks[i], &seals[i], (uint8_t)i);
	}
}

/* Every nonce that any thread used, with its key. */
struct record {
	uint8_t key_digest[32];
	struct crypto_nonce nonce;
};

enum { THREADS = 6, EXTENTS = 400, EXTENT = 5, RECORDS = THREADS * EXTENTS * EXTENT };

static struct {
	_Atomic size_t used;
	struct record all[RECORDS];
} records;

static void record(void *ctx, const uint8_t key_digest[static 32], const struct crypto_nonce *nonce)
{
	size_t i = atomic_fetch_add(&records.used, 1);

	(void)ctx;
	if (i < RECORDS) {
		memcpy(records.all[i].key_digest, key_digest, 32);
		records.all[i].nonce = *nonce;
	}
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct record));
}

struct worker {
	struct volume *volume;
	struct crypto_sealer *sealer;
	bool begins;
	bool ok;
};

static bool seal_extent(struct crypto_sealer *sealer, uint8_t fill)
{
	uint8_t block[BLOCK];
	struct crypto_seal seal;
	uint64_t counter = 0;
	bool ok;

	ok = crypto_sealer_take(sealer, EXTENT, &seal.session, &counter) == 0;
	for (uint64_t i = 0; i < EXTENT && ok; i++) {
		seal.counter = counter + i;
		memset(block, fill, sizeof(block));
		ok = crypto_sealer_seal(sealer, "aad", 3, block, block, BLOCK, &seal) == 0 &&
		     crypto_sealer_open(sealer, "aad", 3, block, block, BLOCK, &seal) == 0 &&
		     block[0] == fill && block[BLOCK - 1] == fill;
	}
	return ok;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	w->ok = true;
	for (int i = 0; i < EXTENTS && w->ok; i++) {
		if (w->begins && i % 4 == 0)
			w->ok = crypto_sessions_begin(w->volume->table) == 0;
		w->ok = w->ok && seal_extent(w->sealer, (uint8_t)i);
	}
	return NULL;
}

/* Two regions, a second sealer of the first one by mistake, and sessions that change under way. */
static void i2_threads_never_repeat_a_nonce(void **state)
{
	struct volume *v = *state;
	struct crypto_sealer *twin = encrypted(v->table, v->key, "region a");
	struct crypto_sealer *sealers[] = {v->region, v->same_key, twin};
	struct worker workers[THREADS];
	pthread_t threads[THREADS];

	crypto_gcm_set_witness(record, NULL);
	for (size_t i = 0; i < THREADS; i++) {
		workers[i] =
			(struct worker){.volume = v, .sealer = sealers[i % 3], .begins = i < 2};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(workers[i].ok);
	}
	crypto_gcm_set_witness(NULL, NULL);
	crypto_sealer_free(twin);

	assert_int_equal(records.used, RECORDS);
	qsort(records.all, RECORDS, sizeof(records.all[0]), compare);
	for (size_t i = 1; i < RECORDS; i++)
		assert_true(compare(&records.all[i - 1], &records.all[i]) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_encrypted_block_comes_back),
		TEST(the_key_is_derived_as_documented),
		TEST(an_authenticated_block_stays_readable),
		TEST(every_altered_bit_is_refused),
		TEST(another_session_is_refused),
		TEST(another_regions_seal_is_refused),
		TEST(a_counter_never_taken_does_not_seal),
		TEST(i4_an_all_zero_seal_never_verifies),
		TEST(arguments_are_checked),
		TEST(sessions_beyond_the_kept_keys_open),
		TEST(i2_threads_never_repeat_a_nonce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
