/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One published vector for each primitive, chosen for breadth (associated data, a last block
 * cut short) and for being quick: all of them together take some two milliseconds, most
 * of it Argon2id.  The cipher is checked three ways, since a library that seals right but accepts a
 * wrong tag would be the worst of all.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <sodium.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "crypto/gcm.h"
#include "crypto/crypto_internal.h"
#include "crypto/digest.h"
#include "crypto/kdf.h"
#include "crypto/library.h"
#include "crypto/selftest.h"
#include "crypto/siphash.h"

#define VECTOR_MAX 256u /* bytes */

/* A vector's field, decoded. */
struct bytes {
	uint8_t b[VECTOR_MAX];
	size_t len;
};

static struct bytes unhex(const char *hex)
{
	struct bytes bytes = {.len = strlen(hex) / 2};

	/* A typing error leaves it empty, and the test then fails. */
	if (bytes.len > VECTOR_MAX || crypto_hex_parse(hex, strlen(hex), bytes.b, bytes.len) < 0)
		bytes.len = 0;
	return bytes;
}

static int expect(bool holds)
{
	return holds ? 0 : -EIO;
}

static bool same(const void *data, const struct bytes *expected)
{
	return expected->len > 0 && sodium_memcmp(data, expected->b, expected->len) == 0;
}

/* FIPS 180-4's first example. */
static int test_sha256(void)
{
	const struct bytes expected =
		unhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	struct crypto_digest digest;
	int r;

	r = crypto_sha256("abc", 3, &digest);
	return r < 0 ? r : expect(same(digest.b, &expected));
}

/* RFC 5869, test case 1. */
static int test_hkdf(void)
{
	const struct bytes ikm = unhex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b");
	const struct bytes salt = unhex("000102030405060708090a0b0c");
	const struct bytes info = unhex("f0f1f2f3f4f5f6f7f8f9");
	const struct bytes expected = unhex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d"
					    "56ecc4c5bf34007208d5b887185865");
	uint8_t out[42];
	int r;

	r = crypto_hkdf_raw(ikm.b, ikm.len, salt.b, salt.len, info.b, info.len, out, sizeof(out));
	return r < 0 ? r : expect(same(out, &expected));
}

/* The paper's appendix A. */
static int test_siphash(void)
{
	uint8_t input[CRYPTO_SIPHASH_KEY_SIZE];

	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)i;
	return expect(crypto_siphash(input, input, 15) == UINT64_C(0xa129ca6149be45e5));
}

/* McGrew and Viega's test case 16: text in @b, sealed in place, opened, and refused. */
static int gcm_round(const struct crypto_gcm *aead, struct bytes *b)
{
	const struct bytes iv = unhex("cafebabefacedbaddecaf888");
	const struct bytes aad = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
	const struct bytes sealed =
		unhex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2"
		      "555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0ab"
		      "cc9f662");
	const struct bytes tag = unhex("76fc6ece0f4e1768cddf8853bb2d551b");
	const struct bytes text = *b;
	struct crypto_nonce nonce;
	struct crypto_mac mac;
	int r;

	memcpy(nonce.b, iv.b, sizeof(nonce.b));
	r = crypto_gcm_seal(aead, &nonce, aad.b, aad.len, b->b, b->b, b->len, &mac);
	if (r < 0)
		goto out;
	r = expect(same(b->b, &sealed) && same(mac.b, &tag));
	if (r < 0)
		goto out;
	r = crypto_gcm_open(aead, &nonce, aad.b, aad.len, b->b, b->b, b->len, &mac);
	if (r < 0)
		goto out;
	r = expect(same(b->b, &text));
	if (r < 0)
		goto out;
	mac.b[0] ^= 1;
	r = crypto_gcm_open(aead, &nonce, aad.b, aad.len, sealed.b, b->b, sealed.len, &mac);
	r = expect(r == -EBADMSG && sodium_is_zero(b->b, b->len) == 1);
out:
	return r;
}

static int test_gcm(void)
{
	static const char key_hex[] =
		"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
	struct bytes text = unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a"
				  "721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
	struct crypto_gcm *aead = NULL;
	struct crypto_key *key = NULL;
	int r;

	r = crypto_key_parse(key_hex, sizeof(key_hex) - 1, &key);
	if (r < 0)
		goto out;
	r = crypto_gcm_new(key, &aead);
	if (r < 0)
		goto out;
	r = gcm_round(aead, &text);
out:
	crypto_gcm_free(aead);
	crypto_key_free(key);
	return r;
}

/* libsodium's own published vector with the least work, and the first half of its 231 bytes'
 * first block.  RFC 9106's has four lanes and a secret, which nothing here can express. */
static int test_argon2id(void)
{
	const struct bytes passphrase =
		unhex("b540beb016a5366524d4605156493f9874514a5aa58818cd0c6dfffaa9e90205f17b");
	const struct bytes salt = unhex("44071f6d181561670bda728d43fb79b4");
	const struct bytes expected =
		unhex("7fb72409b0987f8190c3729710e98c3f80c5a8727d425fdcde7f3644d467fe97");
	uint8_t out[231];
	int r;

	r = crypto_argon2id((const char *)passphrase.b, passphrase.len, salt.b, 1, 1593, out,
			    sizeof(out));
	return r < 0 ? r : expect(same(out, &expected));
}

/* draft-irtf-cfrg-xchacha-03, appendix A.3.1. */
static int test_xchacha(void)
{
	static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
				   "only one tip for the future, sunscreen would be it.";
	const struct bytes key =
		unhex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
	const struct bytes nonce = unhex("404142434445464748494a4b4c4d4e4f5051525354555657");
	const struct bytes aad = unhex("50515253c0c1c2c3c4c5c6c7");
	const struct bytes sealed =
		unhex("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
		      "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
		      "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
		      "21f9664c97637da9768812f615c68b13b52e"
		      "c0875924c1c7987947deafd8780acf49");
	const size_t len = sizeof(text) - 1;
	struct bytes wrong = sealed;
	uint8_t out[VECTOR_MAX];
	bool holds;

	holds = crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, (const uint8_t *)text, len,
							   aad.b, aad.len, NULL, nonce.b,
							   key.b) == 0 &&
		same(out, &sealed);
	holds = holds &&
		crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed.b, sealed.len,
							   aad.b, aad.len, nonce.b, key.b) == 0;
	holds = holds && sodium_memcmp(out, text, len) == 0;
	wrong.b[sealed.len - 1] ^= 1;
	holds = holds &&
		crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, wrong.b, wrong.len,
							   aad.b, aad.len, nonce.b, key.b) != 0;
	return expect(holds);
}

static int first_result;

static void start(void)
{
	static int (*const tests[])(void) = {
		test_sha256, test_hkdf, test_siphash, test_gcm, test_argon2id, test_xchacha,
	};
	const struct crypto_library *library;
	int r;

	r = sodium_init() < 0 ? -EIO : crypto_library(&library);
	for (size_t i = 0; i < ARRAY_LEN(tests) && r == 0; i++)
		r = tests[i]();
	first_result = r;
}

int crypto_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	return pthread_once(&once, start) == 0 ? first_result : -EIO;
}

#if defined(__x86_64__) || defined(__i386__)
#define IA32CAP_PCLMULQDQ (UINT64_C(1) << 33)
#define IA32CAP_AES (UINT64_C(1) << 57)

/* What the library found, less what OPENSSL_ia32cap takes from it. */
static bool library_has(uint64_t bits)
{
	const char *settings = OPENSSL_info(OPENSSL_INFO_CPU_SETTINGS);
	const char *value = settings ? strchr(settings, '=') : NULL;

	return !value || (strtoull(value + 1, NULL, 16) & bits) == bits;
}
#endif

bool crypto_has_aes_instructions(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") &&
	       library_has(IA32CAP_AES | IA32CAP_PCLMULQDQ);
#elif defined(__aarch64__)
	return (getauxval(AT_HWCAP) & HWCAP_AES) && (getauxval(AT_HWCAP) & HWCAP_PMULL);
#else
	return false;
#endif
}
