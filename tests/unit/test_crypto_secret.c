/* SPDX-License-Identifier: Apache-2.0 */
/* Guarded memory, keys as text, and the randomness they come from. */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/random.h"
#include "test_crypto.h"

#define KEY "feffe9928665731c6d6a8f9467308308FEFFE9928665731C6D6A8F9467308308"

static void memory_is_zeroed_and_aligned(void **state)
{
	static const size_t lengths[] = {0, 1, 15, 16, 17, 32, 4095, 4096, 4097, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		uint8_t *secret = crypto_secret_alloc(lengths[i]);

		assert_non_null(secret);
		assert_int_equal((uintptr_t)secret % _Alignof(max_align_t), 0);
		assert_true(all_zero(secret, lengths[i]));
		memset(secret, 0xff, lengths[i]);
		assert_null(crypto_secret_free(secret));
	}
	assert_null(crypto_secret_free(NULL));
}

static void too_much_is_refused(void **state)
{
	(void)state;
	assert_null(crypto_secret_alloc(SIZE_MAX));
	assert_null(crypto_secret_alloc(SIZE_MAX - 16));
	assert_null(crypto_secret_alloc(SIZE_MAX / 2));
}

/* In a process of its own, which must not come to its end. */
static void running_over_a_key_faults(void **state)
{
	const struct rlimit no_core = {0, 0};
	struct crypto_key *key;
	int status = 0;
	pid_t child;

	(void)state;
	assert_int_equal(crypto_key_new(&key), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		volatile uint8_t *bytes = key->b;

		/* Sanitizers report the fault at length: that is not this test's output. */
		(void)close(STDERR_FILENO);
		(void)setrlimit(RLIMIT_CORE, &no_core);
		for (size_t i = 0; i <= CRYPTO_KEY_SIZE; i++)
			bytes[i] = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	crypto_key_free(key);
}

static void wiping_wipes(void **state)
{
	uint8_t bytes[40];

	(void)state;
	memset(bytes, 0xff, sizeof(bytes));
	crypto_wipe(bytes + 4, 32);
	assert_true(all_zero(bytes + 4, 32));
	assert_int_equal(bytes[3], 0xff);
	assert_int_equal(bytes[36], 0xff);
}

static void keys_are_random_and_copied(void **state)
{
	struct crypto_key *copy;
	struct crypto_key *b;
	struct crypto_key *a;

	(void)state;
	assert_int_equal(crypto_key_new(&a), 0);
	assert_true(all_zero(a->b, sizeof(a->b)));
	crypto_key_free(a);

	assert_int_equal(crypto_key_random(&a), 0);
	assert_int_equal(crypto_key_random(&b), 0);
	assert_memory_not_equal(a->b, b->b, sizeof(a->b));
	assert_int_equal(crypto_key_copy(a, &copy), 0);
	assert_ptr_not_equal(a, copy);
	assert_memory_equal(a->b, copy->b, sizeof(a->b));
	assert_null(crypto_key_free(a));
	crypto_key_free(b);
	crypto_key_free(copy);
	assert_null(crypto_key_free(NULL));
}

static void text_goes_both_ways(void **state)
{
	char text[2 * CRYPTO_KEY_SIZE + 1];
	struct crypto_key *key;

	(void)state;
	assert_int_equal(crypto_key_parse(KEY "\n", sizeof(KEY) - 1, &key), 0);
	crypto_key_hex(key, text);
	assert_string_equal(text,
			    "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
	crypto_key_free(key);
}

static void malformed_text_is_refused(void **state)
{
	char text[2 * CRYPTO_KEY_SIZE + 1] = KEY;
	struct crypto_key *key = NULL;

	(void)state;
	assert_int_equal(crypto_key_parse(text, 63, &key), -EINVAL);
	assert_int_equal(crypto_key_parse(text, 65, &key), -EINVAL);
	assert_int_equal(crypto_key_parse(text, 0, &key), -EINVAL);
	for (size_t i = 0; i < 2 * CRYPTO_KEY_SIZE; i++) {
		char kept = text[i];

		text[i] = 'g';
		assert_int_equal(crypto_key_parse(text, 64, &key), -EINVAL);
		text[i] = '\0';
		assert_int_equal(crypto_key_parse(text, 64, &key), -EINVAL);
		text[i] = kept;
	}
	memset(text, '0', 64);
	assert_int_equal(crypto_key_parse(text, 64, &key), -EINVAL);
	assert_null(key);
}

/* Longer than getrandom() gives in one go when a signal comes; every part must get its share. */
static void randomness_reaches_the_end(void **state)
{
	const size_t len = (size_t)1 << 20;
	uint8_t *bytes = calloc(1, len);

	(void)state;
	assert_non_null(bytes);
	assert_int_equal(crypto_random(bytes, len), 0);
	for (size_t i = 0; i < len; i += 32)
		assert_false(all_zero(bytes + i, 32));
	assert_int_equal(crypto_random(bytes, 0), 0);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_and_aligned),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(running_over_a_key_faults),
		cmocka_unit_test(wiping_wipes),
		cmocka_unit_test(keys_are_random_and_copied),
		cmocka_unit_test(text_goes_both_ways),
		cmocka_unit_test(malformed_text_is_refused),
		cmocka_unit_test(randomness_reaches_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
