/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 against FIPS 180's examples, and digests as text. */
#include <pthread.h>

#include "crypto/digest.h"
#include "test_crypto.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void expect_sha256(const void *data, size_t len, const char *expected)
{
	char text[CRYPTO_DIGEST_HEX];
	struct crypto_digest digest;

	assert_int_equal(crypto_sha256(data, len, &digest), 0);
	crypto_digest_hex(&digest, text);
	assert_string_equal(text, expected);
}

static void published_vectors(void **state)
{
	static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	static const char longer[] = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
				     "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
	char *million;

	(void)state;
	expect_sha256("abc", 3, ABC);
	expect_sha256(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	expect_sha256(two_blocks, sizeof(two_blocks) - 1,
		      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	expect_sha256(longer, sizeof(longer) - 1,
		      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
	million = malloc(1000000);
	assert_non_null(million);
	memset(million, 'a', 1000000);
	expect_sha256(million, 1000000,
		      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(million);
}

static void pieces_hash_as_the_whole(void **state)
{
	struct crypto_digest whole;
	struct crypto_digest parts;
	uint8_t data[150];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	assert_int_equal(crypto_sha256(data, sizeof(data), &whole), 0);
	for (size_t cut = 0; cut <= sizeof(data); cut++) {
		const struct iovec pieces[] = {
			{.iov_base = data, .iov_len = cut},
			{.iov_base = NULL, .iov_len = 0},
			{.iov_base = data + cut, .iov_len = sizeof(data) - cut},
		};

		assert_int_equal(crypto_sha256v(pieces, 3, &parts), 0);
		assert_true(crypto_digest_equal(&whole, &parts));
	}
}

static void equality_and_zero(void **state)
{
	struct crypto_digest zero = {{0}};
	struct crypto_digest other;

	(void)state;
	assert_true(crypto_digest_is_zero(&zero));
	assert_true(crypto_digest_equal(&zero, &zero));
	for (size_t i = 0; i < CRYPTO_DIGEST_SIZE; i++) {
		other = zero;
		other.b[i] = 0x80;
		assert_false(crypto_digest_is_zero(&other));
		assert_false(crypto_digest_equal(&zero, &other));
	}
}

static void text_goes_both_ways(void **state)
{
	struct crypto_digest lower;
	struct crypto_digest upper;
	char text[CRYPTO_DIGEST_HEX];

	(void)state;
	assert_int_equal(crypto_digest_parse(ABC, &lower), 0);
	crypto_digest_hex(&lower, text);
	assert_string_equal(text, ABC);
	for (size_t i = 0; text[i]; i++) {
		if (text[i] >= 'a')
			text[i] = (char)(text[i] - 'a' + 'A');
	}
	assert_int_equal(crypto_digest_parse(text, &upper), 0);
	assert_true(crypto_digest_equal(&lower, &upper));
}

static void malformed_text_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"ab",
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0",
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n",
		" a7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"0000000000000000000000000000000000000000000000000000000000000000",
	};
	struct crypto_digest digest;

	(void)state;
	memset(&digest, 0x5a, sizeof(digest));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(crypto_digest_parse(texts[i], &digest), -EINVAL);
		assert_int_equal(digest.b[0], 0x5a);
	}
}

static void *hash_many(void *ret_ok)
{
	struct crypto_digest expected;
	struct crypto_digest digest;
	bool ok = crypto_digest_parse(ABC, &expected) == 0;

	for (int i = 0; i < 2000 && ok; i++)
		ok = crypto_sha256("abc", 3, &digest) == 0 &&
		     crypto_digest_equal(&digest, &expected);
	*(bool *)ret_ok = ok;
	return NULL;
}

static void each_thread_has_its_own_context(void **state)
{
	pthread_t threads[4];
	bool ok[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hash_many, &ok[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(ok[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(pieces_hash_as_the_whole),
		cmocka_unit_test(equality_and_zero),
		cmocka_unit_test(text_goes_both_ways),
		cmocka_unit_test(malformed_text_is_refused),
		cmocka_unit_test(each_thread_has_its_own_context),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
