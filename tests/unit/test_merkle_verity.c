/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_merkle_verity.c - fs-verity digests against those of another implementation
 *
 * The expected digests are those of `fsverity digest` (fsverity-utils 1.5) for files whose bytes
 * fill_block() gives.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "merkle/verity.h"

#define B MERKLE_VERITY_BLOCK
#define N MERKLE_VERITY_FANOUT

static void fill_block(uint8_t block[static B], uint64_t number)
{
	for (uint32_t i = 0; i < B; i++)
		block[i] = (uint8_t)(i * 2654435761u >> 13);
	put_le32(block, (uint32_t)number);
}

static int digest_of(uint64_t size, uint64_t said, char text[static CRYPTO_DIGEST_HEX])
{
	struct crypto_digest leaf, digest;
	struct merkle_verity *t;
	uint8_t block[B];
	int r;

	assert_int_equal(merkle_verity_new(&t), 0);
	for (uint64_t n = 0; n < merkle_verity_leaves(size); n++) {
		fill_block(block, n);
		assert_int_equal(merkle_verity_leaf(block, (size_t)min_u64(B, size - n * B), &leaf),
				 0);
		assert_int_equal(merkle_verity_add(t, &leaf), 0);
	}
	r = merkle_verity_finish(t, said, &digest);
	if (r == 0)
		crypto_digest_hex(&digest, text);
	merkle_verity_free(t);
	return r;
}

static void the_digests_of_another_implementation(void **state)
{
	static const struct {
		uint64_t size;
		const char *digest;
	} vectors[] = {
		{0, "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"},
		{1, "b803429503d95915829b29fdbc8bbad142f3abfd11b1cadf5526582e685c0551"},
		{B - 1, "159ca7763d21674fcc090026ee01ba56cbf2b2a0d3e83a0b7c528859f5ffb55c"},
		{B, "4312d429b06d043393849f4c051946070beed329c1153ac09556555b49509578"},
		{B + 1, "67af20209e9cdf0af9fb75befd920fcb6f2112e94040109a4eaf89124af41f87"},
		{N * B, "87033f7b0a3a0fb6d4c31d59c2f7003cb6c4bc3d3d88765d588f72a1bd1bd4ee"},
		{N * B + 1, "01a324f2d881f9b3f65a586f7e80ec3dba7613be254cb30a2022c7be0bece0d8"},
		{(N + 1) * B, "aed7a2ee3e65eff6db652a6c0d4e7dce19c0ad4fdad311410c9573ed44e4056f"},
		{N * N * B, "9e934079fd028378c9e1928af8223e507b71fefe4c88974cbc8bdfd2c8701140"},
		{N * N * B + 1, "c354d7bb8daf001f0431543a3e062168c5dd608ed4d87ee1b3190b231422f7d3"},
		{20000 * B + 77,
		 "f07c8e646b63144f87f8062f1207fad7ab4fbba9465c58be0146e612f544f569"},
	};
	char text[CRYPTO_DIGEST_HEX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		assert_int_equal(digest_of(vectors[i].size, vectors[i].size, text), 0);
		assert_string_equal(text, vectors[i].digest);
	}
}

static void the_size_must_fit_the_leaves(void **state)
{
	char text[CRYPTO_DIGEST_HEX], other[CRYPTO_DIGEST_HEX];

	(void)state;
	assert_int_equal(digest_of(0, 1, text), -EINVAL);
	assert_int_equal(digest_of(1, 0, text), -EINVAL);
	assert_int_equal(digest_of(2 * B, B, text), -EINVAL);
	assert_int_equal(digest_of(2 * B, 2 * B + 1, text), -EINVAL);
	/* It is bound, too: zeroes that belong to the file are not those behind it. */
	assert_int_equal(digest_of(B, B, text), 0);
	assert_int_equal(digest_of(B, B - 1, other), 0);
	assert_string_not_equal(text, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_digests_of_another_implementation),
		cmocka_unit_test(the_size_must_fit_the_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
