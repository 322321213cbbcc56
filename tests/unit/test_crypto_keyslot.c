/* SPDX-License-Identifier: Apache-2.0 */
/* Key slots: what opens them, and that nothing else does. */
#include <time.h>

#include "crypto/keyslot.h"
#include "test_crypto.h"

#define OPS CRYPTO_ARGON2_OPS_MIN /* the least work allowed, or the tests take minutes */
#define KIB CRYPTO_ARGON2_KIB_MIN

/* Offsets, as keyslot.c documents them. */
enum { KIND_AT = 0, VERSION_AT = 1, OPS_AT = 4, KIB_AT = 8, SALT_AT = 16, REST_AT = 104 };

/* The slots of a_stored_slot_still_opens(), up to the zeroes, put together from the table in
 * keyslot.c by another program over another library (Python's cryptography). */
#define GOLDEN_KEY                                                                                 \
	"01010000000000000000000000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"                         \
	"b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c72683f6197f2f8d8b"                         \
	"bcce3676bc0f6da9c63f0292694437e50e6883d7810ec1adac3fb367994538a9"                         \
	"d63e11aab2830aba"
#define GOLDEN_PASSPHRASE                                                                          \
	"02010000020000000020000000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"                         \
	"b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7aa92e8743320995d"                         \
	"5a103d5428e7e1c55cdab9c1c4c79d65184a96c9053874c2bac76423f47d9924"                         \
	"19856415cbb67f7f"

static const char volume_id[16] = "volume number 1";
static const char other_id[16] = "volume number 2";

static struct crypto_credential key_credential(const struct crypto_key *key)
{
	return (struct crypto_credential){.key = key};
}

static struct crypto_credential passphrase(const char *text)
{
	return (struct crypto_credential){.passphrase = text, .passphrase_len = strlen(text)};
}

static struct crypto_keyslot seal(const struct crypto_credential *credential,
				  const struct crypto_key *volume_key)
{
	bool work = credential->passphrase != NULL;
	struct crypto_keyslot slot;

	assert_int_equal(crypto_keyslot_seal(credential, volume_id, sizeof(volume_id),
					     work ? OPS : 0, work ? KIB : 0, volume_key, &slot),
			 0);
	return slot;
}

static int open_slot(const struct crypto_keyslot *slot, const struct crypto_credential *credential)
{
	struct crypto_key *key = NULL;
	int r;

	r = crypto_keyslot_open(slot, credential, volume_id, sizeof(volume_id), &key);
	assert_true((r == 0) == (key != NULL));
	crypto_key_free(key);
	return r;
}

static void expect_opens(const struct crypto_keyslot *slot,
			 const struct crypto_credential *credential,
			 const struct crypto_key *volume_key)
{
	struct crypto_key *key;

	assert_int_equal(crypto_keyslot_open(slot, credential, volume_id, sizeof(volume_id), &key),
			 0);
	assert_memory_equal(key->b, volume_key->b, sizeof(key->b));
	crypto_key_free(key);
}

static void a_slot_gives_back_the_volume_key(void **state)
{
	struct crypto_credential words = passphrase("correct horse");
	struct crypto_credential raw;
	struct crypto_keyslot_info info;
	struct crypto_key *volume_key;
	struct crypto_keyslot slot;
	struct crypto_key *key;

	(void)state;
	assert_int_equal(crypto_key_random(&volume_key), 0);
	assert_int_equal(crypto_key_random(&key), 0);
	raw = key_credential(key);

	slot = seal(&raw, volume_key);
	expect_opens(&slot, &raw, volume_key);
	assert_int_equal(crypto_keyslot_info(&slot, &info), 0);
	assert_true(info.kind == CRYPTO_KEYSLOT_KEY && info.ops == 0 && info.kib == 0);

	slot = seal(&words, volume_key);
	expect_opens(&slot, &words, volume_key);
	assert_int_equal(crypto_keyslot_info(&slot, &info), 0);
	assert_true(info.kind == CRYPTO_KEYSLOT_PASSPHRASE && info.ops == OPS && info.kib == KIB);
	crypto_key_free(key);
	crypto_key_free(volume_key);
}

static void two_seals_share_nothing(void **state)
{
	struct crypto_keyslot a;
	struct crypto_keyslot b;
	struct crypto_credential raw;
	struct crypto_key *key;

	(void)state;
	assert_int_equal(crypto_key_random(&key), 0);
	raw = key_credential(key);
	a = seal(&raw, key);
	b = seal(&raw, key);
	assert_memory_not_equal(a.b + SALT_AT, b.b + SALT_AT, 16);
	assert_memory_not_equal(a.b + SALT_AT + 16, b.b + SALT_AT + 16, 24);
	assert_memory_not_equal(a.b + SALT_AT + 40, b.b + SALT_AT + 40, 32);
	crypto_key_free(key);
}

static void wrong_credentials_are_rejected(void **state)
{
	struct crypto_credential right = passphrase("correct horse");
	struct crypto_credential wrong = passphrase("correct hors");
	struct crypto_credential other;
	struct crypto_credential raw;
	struct crypto_keyslot slot;
	struct crypto_key *key2;
	struct crypto_key *key;

	(void)state;
	assert_int_equal(crypto_key_random(&key), 0);
	assert_int_equal(crypto_key_random(&key2), 0);
	raw = key_credential(key);
	other = key_credential(key2);

	slot = seal(&raw, key2);
	assert_int_equal(open_slot(&slot, &other), -EKEYREJECTED);
	assert_int_equal(open_slot(&slot, &right), -EKEYREJECTED); /* of the other kind */
	slot = seal(&right, key2);
	assert_int_equal(open_slot(&slot, &wrong), -EKEYREJECTED);
	assert_int_equal(open_slot(&slot, &raw), -EKEYREJECTED);
	crypto_key_free(key);
	crypto_key_free(key2);
}

static void another_volumes_slot_is_rejected(void **state)
{
	struct crypto_credential raw;
	struct crypto_key *opened = NULL;
	struct crypto_keyslot slot;
	struct crypto_key *key;

	(void)state;
	assert_int_equal(crypto_key_random(&key), 0);
	raw = key_credential(key);
	slot = seal(&raw, key);
	assert_int_equal(crypto_keyslot_open(&slot, &raw, other_id, sizeof(other_id), &opened),
			 -EKEYREJECTED);
	assert_int_equal(
		crypto_keyslot_open(&slot, &raw, volume_id, sizeof(volume_id) - 1, &opened),
		-EKEYREJECTED);
	assert_null(opened);
	crypto_key_free(key);
}

/* Malformed where that can be seen by looking, and rejected everywhere else. */
static void expect_flip_refused(const struct crypto_keyslot *slot, size_t at, uint8_t mask,
				const struct crypto_credential *credential)
{
	struct crypto_keyslot altered = *slot;
	bool fixed = at < OPS_AT || (at >= 12 && at < SALT_AT) || at >= REST_AT;
	int r;

	altered.b[at] ^= mask;
	r = open_slot(&altered, credential);
	if (at == KIND_AT || (at >= OPS_AT && at < 12))
		assert_true(r == -EBADMSG || r == -EKEYREJECTED);
	else
		assert_int_equal(r, fixed ? -EBADMSG : -EKEYREJECTED);
}

static void every_flipped_bit_of_a_key_slot_is_refused(void **state)
{
	struct crypto_credential raw;
	struct crypto_keyslot slot;
	struct crypto_key *key;

	(void)state;
	assert_int_equal(crypto_key_random(&key), 0);
	raw = key_credential(key);
	slot = seal(&raw, key);
	for (size_t bit = 0; bit < 8 * sizeof(slot.b); bit++)
		expect_flip_refused(&slot, bit / 8, (uint8_t)(1u << bit % 8), &raw);
	expect_opens(&slot, &raw, key);
	crypto_key_free(key);
}

static void every_flipped_byte_of_a_passphrase_slot_is_refused(void **state)
{
	struct crypto_credential words = passphrase("correct horse");
	struct crypto_keyslot slot;
	struct crypto_key *key;

	(void)state;
	assert_int_equal(crypto_key_random(&key), 0);
	slot = seal(&words, key);
	for (size_t at = 0; at < sizeof(slot.b); at++)
		expect_flip_refused(&slot, at, 1, &words);
	expect_opens(&slot, &words, key);
	crypto_key_free(key);
}

static void an_empty_slot_never_opens(void **state)
{
	struct crypto_credential words = passphrase("correct horse");
	struct crypto_keyslot slot = {{0}};
	struct crypto_keyslot_info info;
	struct crypto_credential raw;
	struct crypto_key *key;

	(void)state;
	assert_int_equal(crypto_key_new(&key), 0); /* of zeroes, as the slot is */
	raw = key_credential(key);
	assert_int_equal(crypto_keyslot_info(&slot, &info), 0);
	assert_int_equal(info.kind, CRYPTO_KEYSLOT_EMPTY);
	assert_int_equal(open_slot(&slot, &raw), -EKEYREJECTED);
	assert_int_equal(open_slot(&slot, &words), -EKEYREJECTED);
	for (size_t at = 1; at < sizeof(slot.b); at++) {
		slot.b[at] = 1;
		assert_int_equal(crypto_keyslot_info(&slot, &info), -EBADMSG);
		assert_int_equal(open_slot(&slot, &raw), -EBADMSG);
		slot.b[at] = 0;
	}
	crypto_key_free(key);
}

static void hostile_work_is_refused_by_looking(void **state)
{
	static const struct {
		uint32_t ops, kib;
	} hostile[] = {
		{0, KIB},
		{CRYPTO_ARGON2_OPS_MAX + 1, KIB},
		{UINT32_MAX, CRYPTO_ARGON2_KIB_MAX},
		{OPS, 0},
		{OPS, KIB - 1},
		{OPS, CRYPTO_ARGON2_KIB_MAX + 1},
		{OPS, UINT32_MAX},
		{UINT32_MAX, UINT32_MAX},
	};
	struct crypto_credential words = passphrase("correct horse");
	struct crypto_keyslot_info info;
	struct crypto_keyslot slot;
	struct crypto_key *key;
	clock_t start;

	(void)state;
	assert_int_equal(crypto_key_random(&key), 0);
	slot = seal(&words, key);
	start = clock();
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		put_le32(slot.b + OPS_AT, hostile[i].ops);
		put_le32(slot.b + KIB_AT, hostile[i].kib);
		assert_int_equal(open_slot(&slot, &words), -EBADMSG);
		assert_int_equal(crypto_keyslot_info(&slot, &info), -EBADMSG);
	}
	assert_true(clock() - start < CLOCKS_PER_SEC / 10);
	crypto_key_free(key);
}

static void parameters_out_of_range_are_invalid(void **state)
{
	struct crypto_credential words = passphrase("correct horse");
	static const uint8_t long_id[65];
	struct crypto_keyslot slot;
	struct crypto_credential bad;
	struct crypto_key *key;

	(void)state;
	assert_int_equal(crypto_key_random(&key), 0);
#define SEAL(credential, ops, kib) crypto_keyslot_seal(credential, "v", 1, ops, kib, key, &slot)
	assert_int_equal(SEAL(&words, CRYPTO_ARGON2_OPS_MAX + 1, KIB), -EINVAL);
	assert_int_equal(SEAL(&words, OPS, KIB - 1), -EINVAL);
	assert_int_equal(SEAL(&words, OPS, CRYPTO_ARGON2_KIB_MAX + 1), -EINVAL);
	bad = (struct crypto_credential){0};
	assert_int_equal(SEAL(&bad, 0, 0), -EINVAL);
	bad = passphrase("");
	assert_int_equal(SEAL(&bad, OPS, KIB), -EINVAL);
	bad = key_credential(key);
	assert_int_equal(SEAL(&bad, OPS, KIB), -EINVAL); /* a raw key knows no work */
	bad.passphrase = "both";
	bad.passphrase_len = 4;
	assert_int_equal(SEAL(&bad, OPS, KIB), -EINVAL);
#undef SEAL
	bad = key_credential(key);
	assert_int_equal(crypto_keyslot_seal(&bad, long_id, sizeof(long_id), 0, 0, key, &slot),
			 -EINVAL);
	crypto_key_free(key);
}

/* The bytes are a promise: a slot sealed by an older program must open. */
static void a_stored_slot_still_opens(void **state)
{
	struct crypto_key *raw =
		key_of("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
	struct crypto_credential credential = key_credential(raw);
	struct crypto_credential words = passphrase("correct horse battery staple");
	const struct hex key_bytes = unhex(GOLDEN_KEY);
	const struct hex passphrase_bytes = unhex(GOLDEN_PASSPHRASE);
	struct crypto_key *volume_key =
		key_of("202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f");
	struct crypto_keyslot slot = {{0}};

	(void)state;
	memcpy(slot.b, key_bytes.b, key_bytes.len);
	expect_opens(&slot, &credential, volume_key);
	memcpy(slot.b, passphrase_bytes.b, passphrase_bytes.len);
	expect_opens(&slot, &words, volume_key);
	crypto_key_free(volume_key);
	crypto_key_free(raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slot_gives_back_the_volume_key),
		cmocka_unit_test(two_seals_share_nothing),
		cmocka_unit_test(wrong_credentials_are_rejected),
		cmocka_unit_test(another_volumes_slot_is_rejected),
		cmocka_unit_test(every_flipped_bit_of_a_key_slot_is_refused),
		cmocka_unit_test(every_flipped_byte_of_a_passphrase_slot_is_refused),
		cmocka_unit_test(an_empty_slot_never_opens),
		cmocka_unit_test(hostile_work_is_refused_by_looking),
		cmocka_unit_test(parameters_out_of_range_are_invalid),
		cmocka_unit_test(a_stored_slot_still_opens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
