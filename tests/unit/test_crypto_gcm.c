/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256-GCM against McGrew and Viega's test cases 13 to 16, and against tampering. */
#include <pthread.h>

#include "crypto/gcm.h"
#include "crypto/crypto_internal.h"
#include "crypto/digest.h"
#include "test_crypto.h"

#define KEY_ZERO "0000000000000000000000000000000000000000000000000000000000000000"
#define KEY_15 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define TEXT_16                                                                                    \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"                         \
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define SEALED_16                                                                                  \
	"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"                         \
	"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"

static const struct vector {
	const char *key, *nonce, *aad, *text, *sealed, *tag;
} vectors[] = {
	{KEY_ZERO, "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	{KEY_ZERO, "000000000000000000000000", "", "00000000000000000000000000000000",
	 "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
	{KEY_15, "cafebabefacedbaddecaf888", "", TEXT_16 "1aafd255", SEALED_16 "898015ad",
	 "b094dac5d93471bdec1a502270e3cc6c"},
	{KEY_15, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", TEXT_16,
	 SEALED_16, "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static struct crypto_gcm *aead_of(const char *key_hex)
{
	struct crypto_key *key = key_of(key_hex);
	struct crypto_gcm *gcm;

	assert_int_equal(crypto_gcm_new(key, &gcm), 0);
	crypto_key_free(key); /* the gcm has a copy of its own */
	return gcm;
}

static struct crypto_nonce nonce_of(const char *hex)
{
	const struct hex bytes = unhex(hex);
	struct crypto_nonce nonce;

	assert_int_equal(bytes.len, sizeof(nonce.b));
	memcpy(nonce.b, bytes.b, sizeof(nonce.b));
	return nonce;
}

static void check_vector(const struct vector *v)
{
	const struct crypto_nonce nonce = nonce_of(v->nonce);
	struct crypto_gcm *gcm = aead_of(v->key);
	const struct hex aad = unhex(v->aad);
	const struct hex text = unhex(v->text);
	const struct hex sealed = unhex(v->sealed);
	const struct hex tag = unhex(v->tag);
	uint8_t apart[128];
	uint8_t in_place[128];
	struct crypto_mac mac;

	assert_int_equal(
		crypto_gcm_seal(gcm, &nonce, aad.b, aad.len, text.b, apart, text.len, &mac), 0);
	assert_memory_equal(apart, sealed.b, sealed.len);
	assert_memory_equal(mac.b, tag.b, sizeof(mac.b));

	memcpy(in_place, text.b, text.len);
	assert_int_equal(
		crypto_gcm_seal(gcm, &nonce, aad.b, aad.len, in_place, in_place, text.len, &mac),
		0);
	assert_memory_equal(in_place, sealed.b, sealed.len);
	assert_memory_equal(mac.b, tag.b, sizeof(mac.b));

	assert_int_equal(
		crypto_gcm_open(gcm, &nonce, aad.b, aad.len, sealed.b, apart, sealed.len, &mac),
		0);
	assert_memory_equal(apart, text.b, text.len);
	assert_int_equal(crypto_gcm_open(gcm, &nonce, aad.b, aad.len, in_place, in_place,
					  sealed.len, &mac),
			 0);
	assert_memory_equal(in_place, text.b, text.len);
	crypto_gcm_free(gcm);
}

static void published_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
		check_vector(&vectors[i]);
}

static void nothing_to_seal_may_be_null(void **state)
{
	const struct crypto_nonce nonce = crypto_nonce_from_counter(0);
	struct crypto_gcm *gcm = aead_of(KEY_15);
	struct crypto_mac mac;

	(void)state;
	assert_int_equal(crypto_gcm_seal(gcm, &nonce, NULL, 0, NULL, NULL, 0, &mac), 0);
	assert_int_equal(crypto_gcm_open(gcm, &nonce, NULL, 0, NULL, NULL, 0, &mac), 0);
	mac.b[15] ^= 1;
	assert_int_equal(crypto_gcm_open(gcm, &nonce, NULL, 0, NULL, NULL, 0, &mac), -EBADMSG);
	crypto_gcm_free(gcm);
}

/* A small message whose every byte matters. */
struct sealed {
	struct crypto_nonce nonce;
	uint8_t aad[20];
	uint8_t text[40];
	struct crypto_mac mac;
};

static void expect_refused(const struct crypto_gcm *gcm, const struct sealed *m, size_t aad_len,
			   size_t len)
{
	uint8_t out[sizeof(m->text)];

	memset(out, 0x5a, sizeof(out));
	assert_int_equal(
		crypto_gcm_open(gcm, &m->nonce, m->aad, aad_len, m->text, out, len, &m->mac),
		-EBADMSG);
	assert_true(all_zero(out, len));
}

static struct sealed seal_small(const struct crypto_gcm *gcm)
{
	struct sealed m = {.nonce = crypto_nonce_from_counter(7), .aad = "where", .text = "what"};

	assert_int_equal(crypto_gcm_seal(gcm, &m.nonce, m.aad, sizeof(m.aad), m.text, m.text,
					  sizeof(m.text), &m.mac),
			 0);
	return m;
}

static void every_altered_bit_is_refused(void **state)
{
	struct crypto_gcm *gcm = aead_of(KEY_15);
	struct sealed m = seal_small(gcm);
	uint8_t *bytes = (uint8_t *)&m;

	(void)state;
	static_assert(sizeof(m) == 12 + 20 + 40 + 16, "no padding, all of it is checked");
	for (size_t bit = 0; bit < 8 * sizeof(m); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		expect_refused(gcm, &m, sizeof(m.aad), sizeof(m.text));
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	crypto_gcm_free(gcm);
}

static void other_lengths_are_refused(void **state)
{
	struct crypto_gcm *gcm = aead_of(KEY_15);
	struct sealed m = seal_small(gcm);

	(void)state;
	for (size_t len = 0; len < sizeof(m.text); len++)
		expect_refused(gcm, &m, sizeof(m.aad), len);
	for (size_t aad_len = 0; aad_len < sizeof(m.aad); aad_len++)
		expect_refused(gcm, &m, aad_len, sizeof(m.text));
	crypto_gcm_free(gcm);
}

static void a_zero_tag_and_another_key_are_refused(void **state)
{
	struct crypto_gcm *gcm = aead_of(KEY_15);
	struct crypto_gcm *other = aead_of(KEY_ZERO);
	struct sealed m = seal_small(gcm);

	(void)state;
	expect_refused(other, &m, sizeof(m.aad), sizeof(m.text));
	memset(&m.mac, 0, sizeof(m.mac));
	expect_refused(gcm, &m, sizeof(m.aad), sizeof(m.text));
	crypto_gcm_free(other);
	crypto_gcm_free(gcm);
}

/* Messages whose tag is zero exist; whoever holds the key finds one by solving for the last block,
 * which is how this one was made. */
static void a_tag_that_is_rightly_zero_is_refused_all_the_same(void **state)
{
	const struct crypto_nonce nonce = crypto_nonce_from_counter(0);
	const struct hex sealed = unhex("c28aea0d532854f2df4724f73d2cd90f");
	const struct hex text = unhex("0d9a17d2a8c06cc5ce6e5dc704709289");
	struct crypto_gcm *gcm = aead_of(KEY_15);
	const struct crypto_mac zero = {{0}};
	struct crypto_mac mac = {{1}};
	uint8_t out[16];

	(void)state;
	assert_int_equal(crypto_gcm_open(gcm, &nonce, NULL, 0, sealed.b, out, sizeof(out), &zero),
			 -EBADMSG);
	assert_true(all_zero(out, sizeof(out)));
	assert_int_equal(crypto_gcm_seal(gcm, &nonce, NULL, 0, text.b, out, sizeof(out), &mac),
			 -EAGAIN);
	assert_int_equal(mac.b[0], 1); /* untouched */
	crypto_gcm_free(gcm);
}

static void a_refused_message_leaves_no_trace(void **state)
{
	struct crypto_gcm *gcm = aead_of(KEY_15);
	struct sealed m = seal_small(gcm);
	uint8_t out[sizeof(m.text)];

	(void)state;
	m.mac.b[3] ^= 0x10;
	expect_refused(gcm, &m, sizeof(m.aad), sizeof(m.text));
	m.mac.b[3] ^= 0x10;
	assert_int_equal(crypto_gcm_open(gcm, &m.nonce, m.aad, sizeof(m.aad), m.text, out,
					  sizeof(out), &m.mac),
			 0);
	assert_string_equal((char *)out, "what");
	crypto_gcm_free(gcm);
}

static void counters_fill_the_nonce_from_its_end(void **state)
{
	const struct hex expected = unhex("00000000efcdab8967452301");
	const struct crypto_nonce nonce = crypto_nonce_from_counter(UINT64_C(0x0123456789abcdef));

	(void)state;
	assert_memory_equal(nonce.b, expected.b, sizeof(nonce.b));
}

/* More keys than a thread keeps contexts, in an order that evicts every time. */
static void many_keys_do_not_mix(void **state)
{
	const struct crypto_nonce nonce = crypto_nonce_from_counter(1);
	struct crypto_gcm *aeads[20];
	struct crypto_mac macs[20];
	struct crypto_mac again;
	uint8_t byte;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(aeads); i++) {
		struct crypto_key *key;

		assert_int_equal(crypto_key_random(&key), 0);
		assert_int_equal(crypto_gcm_new(key, &aeads[i]), 0);
		crypto_key_free(key);
		assert_int_equal(
			crypto_gcm_seal(aeads[i], &nonce, NULL, 0, "x", &byte, 1, &macs[i]), 0);
	}
	for (size_t round = 0; round < 60; round++) {
		size_t i = round * 7 % ARRAY_LEN(aeads);

		assert_int_equal(crypto_gcm_seal(aeads[i], &nonce, NULL, 0, "x", &byte, 1, &again),
				 0);
		assert_memory_equal(again.b, macs[i].b, sizeof(again.b));
		assert_int_equal(
			crypto_gcm_open(aeads[i], &nonce, NULL, 0, &byte, &byte, 1, &macs[i]), 0);
		assert_int_equal(byte, 'x');
	}
	for (size_t i = 0; i < ARRAY_LEN(aeads); i++)
		crypto_gcm_free(aeads[i]);
}

/* The allocator likes to give the new gcm the old one's address. */
static void a_freed_key_is_never_found_again(void **state)
{
	const struct crypto_nonce nonce = crypto_nonce_from_counter(1);
	struct crypto_gcm *gcm = aead_of(KEY_15);
	struct crypto_mac old;
	struct crypto_mac new;

	(void)state;
	assert_int_equal(crypto_gcm_seal(gcm, &nonce, NULL, 0, NULL, NULL, 0, &old), 0);
	crypto_gcm_free(gcm);
	gcm = aead_of(KEY_ZERO);
	assert_int_equal(crypto_gcm_seal(gcm, &nonce, NULL, 0, NULL, NULL, 0, &new), 0);
	assert_memory_not_equal(old.b, new.b, sizeof(old.b));
	crypto_gcm_free(gcm);
	assert_null(crypto_gcm_free(NULL));
}

struct seen {
	unsigned int times;
	uint8_t key_digest[32];
	struct crypto_nonce nonce;
};

static void see(void *ctx, const uint8_t key_digest[static 32], const struct crypto_nonce *nonce)
{
	struct seen *seen = ctx;

	seen->times++;
	memcpy(seen->key_digest, key_digest, sizeof(seen->key_digest));
	seen->nonce = *nonce;
}

static void the_witness_sees_seals_alone(void **state)
{
	const struct hex key = unhex(KEY_15);
	struct crypto_gcm *gcm = aead_of(KEY_15);
	struct crypto_digest digest;
	struct seen seen = {0};
	struct sealed m;

	(void)state;
	assert_int_equal(crypto_sha256(key.b, key.len, &digest), 0);
	crypto_gcm_set_witness(see, &seen);
	m = seal_small(gcm);
	assert_int_equal(crypto_gcm_open(gcm, &m.nonce, m.aad, sizeof(m.aad), m.text, m.text,
					  sizeof(m.text), &m.mac),
			 0);
	crypto_gcm_set_witness(NULL, NULL);
	seal_small(gcm);
	assert_int_equal(seen.times, 1);
	assert_memory_equal(seen.key_digest, digest.b, sizeof(digest.b));
	assert_memory_equal(seen.nonce.b, m.nonce.b, sizeof(m.nonce.b));
	crypto_gcm_free(gcm);
}

struct worker {
	const struct crypto_gcm *const *aeads;
	size_t n;
	bool ok;
};

static void *seal_and_open(void *arg)
{
	struct worker *w = arg;
	uint8_t block[512];
	struct crypto_mac mac;

	w->ok = true;
	for (uint64_t i = 0; i < 1000 && w->ok; i++) {
		const struct crypto_nonce nonce = crypto_nonce_from_counter(i);
		const struct crypto_gcm *gcm = w->aeads[i % w->n];

		memset(block, (int)i, sizeof(block));
		w->ok = crypto_gcm_seal(gcm, &nonce, &i, sizeof(i), block, block, sizeof(block),
					 &mac) == 0 &&
			crypto_gcm_open(gcm, &nonce, &i, sizeof(i), block, block, sizeof(block),
					 &mac) == 0 &&
			block[0] == (uint8_t)i && block[511] == (uint8_t)i;
	}
	return NULL;
}

static void threads_share_keys(void **state)
{
	const struct crypto_gcm *aeads[10];
	struct worker workers[4];
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(aeads); i++)
		aeads[i] = aead_of(i % 2 ? KEY_15 : KEY_ZERO);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		workers[i] = (struct worker){.aeads = aeads, .n = ARRAY_LEN(aeads)};
		assert_int_equal(pthread_create(&threads[i], NULL, seal_and_open, &workers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(workers[i].ok);
	}
	for (size_t i = 0; i < ARRAY_LEN(aeads); i++)
		crypto_gcm_free(crypto_unconst(aeads[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(nothing_to_seal_may_be_null),
		cmocka_unit_test(every_altered_bit_is_refused),
		cmocka_unit_test(other_lengths_are_refused),
		cmocka_unit_test(a_zero_tag_and_another_key_are_refused),
		cmocka_unit_test(a_tag_that_is_rightly_zero_is_refused_all_the_same),
		cmocka_unit_test(a_refused_message_leaves_no_trace),
		cmocka_unit_test(counters_fill_the_nonce_from_its_end),
		cmocka_unit_test(many_keys_do_not_mix),
		cmocka_unit_test(a_freed_key_is_never_found_again),
		cmocka_unit_test(the_witness_sees_seals_alone),
		cmocka_unit_test(threads_share_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
