/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sessions, and where counters come from: invariants I1 to I3 of session.h. */
#include <pthread.h>

#include "crypto/crypto_internal.h"
#include "crypto/session.h"
#include "test_crypto.h"

static struct crypto_sessions *table_new(void)
{
	struct crypto_sessions *table;

	assert_int_equal(crypto_sessions_new(&table), 0);
	return table;
}

static struct crypto_sealer *sealer_new(struct crypto_sessions *table)
{
	struct crypto_sealer *sealer;
	struct crypto_key *key;

	assert_int_equal(crypto_key_random(&key), 0);
	assert_int_equal(
		crypto_sealer_new(CRYPTO_CLASS_ENCRYPTED, key, table, "region", 6, &sealer), 0);
	crypto_key_free(key);
	return sealer;
}

static struct crypto_salt salt_of(uint32_t i)
{
	struct crypto_salt salt = {{0}};

	put_le32(salt.b, i);
	salt.b[31] = 1;
	return salt;
}

static void expect_salt(struct crypto_sessions *table, uint32_t number,
			const struct crypto_salt *expected)
{
	struct crypto_salt salt;

	assert_int_equal(crypto_sessions_salt(table, number, &salt), 0);
	assert_memory_equal(salt.b, expected->b, sizeof(salt.b));
}

/* Past a chunk's end, so that the table grows more than once. */
static void i1_a_number_names_one_salt_for_good(void **state)
{
	struct crypto_sessions *table = table_new();
	struct crypto_salt begun;
	struct crypto_salt salt;

	(void)state;
	assert_int_equal(crypto_sessions_count(table), 0);
	for (uint32_t i = 1; i <= 3000; i++) {
		salt = salt_of(i);
		assert_int_equal(crypto_sessions_load(table, &salt), 0);
		assert_int_equal(crypto_sessions_count(table), i);
	}
	assert_int_equal(crypto_sessions_begin(table), 0);
	assert_int_equal(crypto_sessions_salt(table, 3001, &begun), 0);
	assert_int_equal(crypto_sessions_begin(table), 0);
	for (uint32_t i = 1; i <= 3000; i++) {
		salt = salt_of(i);
		expect_salt(table, i, &salt);
	}
	expect_salt(table, 3001, &begun);
	assert_int_equal(crypto_sessions_salt(table, 0, &salt), -ENOENT);
	assert_int_equal(crypto_sessions_salt(table, 3003, &salt), -ENOENT);
	assert_int_equal(crypto_sessions_salt(table, UINT32_MAX, &salt), -ENOENT);
	crypto_sessions_free(table);
	assert_null(crypto_sessions_free(NULL));
}

static void i1_begun_salts_are_fresh(void **state)
{
	struct crypto_sessions *a = table_new();
	struct crypto_sessions *b = table_new();
	struct crypto_salt salts[3];

	(void)state;
	assert_int_equal(crypto_sessions_begin(a), 0);
	assert_int_equal(crypto_sessions_begin(a), 0);
	assert_int_equal(crypto_sessions_begin(b), 0);
	assert_int_equal(crypto_sessions_salt(a, 1, &salts[0]), 0);
	assert_int_equal(crypto_sessions_salt(a, 2, &salts[1]), 0);
	assert_int_equal(crypto_sessions_salt(b, 1, &salts[2]), 0);
	assert_memory_not_equal(salts[0].b, salts[1].b, CRYPTO_SALT_SIZE);
	assert_memory_not_equal(salts[0].b, salts[2].b, CRYPTO_SALT_SIZE);
	assert_memory_not_equal(salts[1].b, salts[2].b, CRYPTO_SALT_SIZE);
	crypto_sessions_free(a);
	crypto_sessions_free(b);
}

static void i1_a_full_table_takes_no_more(void **state)
{
	struct crypto_sessions *table = table_new();
	struct crypto_salt salt = salt_of(1);

	(void)state;
	for (uint32_t i = 0; i < CRYPTO_SESSIONS_MAX; i++)
		assert_true(crypto_sessions_load(table, &salt) == 0);
	assert_int_equal(crypto_sessions_load(table, &salt), -EOVERFLOW);
	assert_int_equal(crypto_sessions_begin(table), -EOVERFLOW);
	assert_int_equal(crypto_sessions_count(table), CRYPTO_SESSIONS_MAX);
	crypto_sessions_free(table);
}

static void i2_counters_are_consecutive(void **state)
{
	struct crypto_sessions *table = table_new();
	struct crypto_sealer *sealer = sealer_new(table);
	uint32_t session = 0;
	uint64_t counter = 1;

	(void)state;
	assert_int_equal(crypto_sessions_begin(table), 0);
	assert_true(crypto_sealer_remaining(sealer) == CRYPTO_SEALS_MAX);
	assert_int_equal(crypto_sealer_take(sealer, 3, &session, &counter), 0);
	assert_true(session == 1 && counter == 0);
	assert_int_equal(crypto_sealer_take(sealer, 0, &session, &counter), -EINVAL);
	assert_int_equal(crypto_sealer_take(sealer, UINT32_MAX - 3, &session, &counter), 0);
	assert_true(session == 1 && counter == 3);
	assert_true(crypto_sealer_remaining(sealer) == 1);
	crypto_sealer_free(sealer);
	crypto_sessions_free(table);
}

static void i2_the_limit_is_exact(void **state)
{
	struct crypto_sessions *table = table_new();
	struct crypto_sealer *sealer = sealer_new(table);
	uint32_t session = 77;
	uint64_t counter = 77;

	(void)state;
	assert_int_equal(crypto_sessions_begin(table), 0);
	crypto_sessions_pretend_taken(table, CRYPTO_SEALS_MAX - 2);
	assert_int_equal(crypto_sealer_take(sealer, 3, &session, &counter), -EKEYEXPIRED);
	assert_int_equal(crypto_sealer_take(sealer, UINT32_MAX, &session, &counter), -EKEYEXPIRED);
	assert_true(session == 77 && counter == 77);
	assert_int_equal(crypto_sealer_take(sealer, 2, &session, &counter), 0);
	assert_true(session == 1 && counter == CRYPTO_SEALS_MAX - 2);
	assert_true(crypto_sealer_remaining(sealer) == 0);
	assert_int_equal(crypto_sealer_take(sealer, 1, &session, &counter), -EKEYEXPIRED);

	assert_int_equal(crypto_sessions_begin(table), 0);
	assert_true(crypto_sealer_remaining(sealer) == CRYPTO_SEALS_MAX);
	assert_int_equal(crypto_sealer_take(sealer, 1, &session, &counter), 0);
	assert_true(session == 2 && counter == 0);
	crypto_sealer_free(sealer);
	crypto_sessions_free(table);
}

static void *take_until_expired(void *arg)
{
	struct crypto_sealer *sealer = arg;
	uintptr_t taken = 0;
	uint32_t session;
	uint64_t counter;

	while (crypto_sealer_take(sealer, 3, &session, &counter) == 0)
		taken += 3;
	return (void *)taken;
}

static void i2_the_limit_is_exact_for_threads(void **state)
{
	const uintptr_t left = 3 * 5000 + 2;
	struct crypto_sessions *table = table_new();
	struct crypto_sealer *sealer = sealer_new(table);
	uintptr_t total = 0;
	pthread_t threads[4];

	(void)state;
	assert_int_equal(crypto_sessions_begin(table), 0);
	crypto_sessions_pretend_taken(table, CRYPTO_SEALS_MAX - left);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_until_expired, sealer), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *taken;

		assert_int_equal(pthread_join(threads[i], &taken), 0);
		total += (uintptr_t)taken;
	}
	assert_int_equal(total, left - 2);
	assert_true(crypto_sealer_remaining(sealer) == 2);
	crypto_sealer_free(sealer);
	crypto_sessions_free(table);
}

static void i3_a_loaded_table_does_not_seal(void **state)
{
	struct crypto_sessions *table = table_new();
	struct crypto_sealer *sealer = sealer_new(table);
	struct crypto_salt salt = salt_of(1);
	struct crypto_seal seal = {.session = 1};
	uint8_t block[16] = {0};
	uint32_t session;
	uint64_t counter;

	(void)state;
	assert_int_equal(crypto_sealer_take(sealer, 1, &session, &counter), -EPERM);
	assert_int_equal(crypto_sessions_load(table, &salt), 0);
	assert_int_equal(crypto_sealer_take(sealer, 1, &session, &counter), -EPERM);
	assert_int_equal(crypto_sealer_seal(sealer, NULL, 0, block, block, sizeof(block), &seal),
			 -EPERM);
	assert_true(crypto_sealer_remaining(sealer) == 0);
	assert_int_equal(crypto_sessions_begin(table), 0);
	assert_int_equal(crypto_sealer_take(sealer, 1, &session, &counter), 0);
	assert_true(session == 2 && counter == 0);
	assert_int_equal(crypto_sealer_seal(sealer, NULL, 0, block, block, sizeof(block), &seal),
			 -EPERM);
	crypto_sealer_free(sealer);
	crypto_sessions_free(table);
}

static void i3_a_salt_loaded_last_does_not_seal(void **state)
{
	struct crypto_sessions *table = table_new();
	struct crypto_sealer *sealer = sealer_new(table);
	struct crypto_salt salt = salt_of(1);
	uint32_t session;
	uint64_t counter;

	(void)state;
	assert_int_equal(crypto_sessions_begin(table), 0);
	assert_int_equal(crypto_sessions_load(table, &salt), 0);
	assert_int_equal(crypto_sealer_take(sealer, 1, &session, &counter), -EPERM);
	crypto_sealer_free(sealer);
	crypto_sessions_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(i1_a_number_names_one_salt_for_good),
		cmocka_unit_test(i1_begun_salts_are_fresh),
		cmocka_unit_test(i1_a_full_table_takes_no_more),
		cmocka_unit_test(i2_counters_are_consecutive),
		cmocka_unit_test(i2_the_limit_is_exact),
		cmocka_unit_test(i2_the_limit_is_exact_for_threads),
		cmocka_unit_test(i3_a_loaded_table_does_not_seal),
		cmocka_unit_test(i3_a_salt_loaded_last_does_not_seal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
