/* SPDX-License-Identifier: Apache-2.0 */
/* HKDF-SHA256 against RFC 5869's test cases 1 to 3. */
#include "crypto/kdf.h"
#include "test_crypto.h"

#define OUT_MAX (255u * 32u)

static void expect_hkdf(const char *ikm_hex, const char *salt_hex, const char *info_hex,
			const char *okm_hex)
{
	const struct hex ikm = unhex(ikm_hex);
	const struct hex salt = unhex(salt_hex);
	const struct hex info = unhex(info_hex);
	const struct hex okm = unhex(okm_hex);
	uint8_t out[128];

	assert_true(okm.len <= sizeof(out));
	assert_int_equal(
		crypto_hkdf_raw(ikm.b, ikm.len, salt.b, salt.len, info.b, info.len, out, okm.len),
		0);
	assert_memory_equal(out, okm.b, okm.len);
}

static void published_vectors(void **state)
{
	(void)state;
	expect_hkdf("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
		    "f0f1f2f3f4f5f6f7f8f9",
		    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
		    "34007208d5b887185865");
	expect_hkdf("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
		    "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
		    "404142434445464748494a4b4c4d4e4f",
		    "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
		    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
		    "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
		    "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
		    "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef"
		    "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
		    "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
		    "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
		    "cc30c58179ec3e87c14c01d5c1f3434f1d87");
	expect_hkdf("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
		    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
		    "9d201395faa4b61a96c8");
}

static void lengths_at_the_limits(void **state)
{
	uint8_t out[OUT_MAX + 1];

	(void)state;
	assert_int_equal(crypto_hkdf_raw("k", 1, NULL, 0, NULL, 0, out, OUT_MAX), 0);
	assert_int_equal(crypto_hkdf_raw("k", 1, NULL, 0, NULL, 0, out, OUT_MAX + 1), -EINVAL);
	assert_int_equal(crypto_hkdf_raw("k", 1, NULL, 0, NULL, 0, out, 0), -EINVAL);
	assert_int_equal(crypto_hkdf_raw(NULL, 0, NULL, 0, NULL, 0, out, 32), 0);
}

static void every_input_decides(void **state)
{
	static const char *const salts[] = {"salt a", "salt a", "salt b"};
	static const char *const infos[] = {"info a", "info b", "info a"};
	struct crypto_key *keys[ARRAY_LEN(salts)];
	struct crypto_key *ikm;
	uint8_t raw[32];

	(void)state;
	assert_int_equal(crypto_key_random(&ikm), 0);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		assert_int_equal(crypto_hkdf(ikm, salts[i], 6, infos[i], 6, &keys[i]), 0);
		assert_int_equal(crypto_hkdf_raw(ikm->b, sizeof(ikm->b), salts[i], 6, infos[i], 6,
						 raw, sizeof(raw)),
				 0);
		assert_memory_equal(keys[i]->b, raw, sizeof(raw));
	}
	assert_memory_not_equal(keys[0]->b, keys[1]->b, CRYPTO_KEY_SIZE);
	assert_memory_not_equal(keys[0]->b, keys[2]->b, CRYPTO_KEY_SIZE);
	assert_memory_not_equal(keys[1]->b, keys[2]->b, CRYPTO_KEY_SIZE);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		crypto_key_free(keys[i]);
	crypto_key_free(ikm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(lengths_at_the_limits),
		cmocka_unit_test(every_input_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
