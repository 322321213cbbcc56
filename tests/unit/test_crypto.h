/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_crypto.h - what the crypto tests share: cmocka, and vectors written as hex
 */
#ifndef FSPF_TESTS_UNIT_TEST_CRYPTO_H
#define FSPF_TESTS_UNIT_TEST_CRYPTO_H

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/base.h"
#include "crypto/secret.h"

struct hex {
	uint8_t b[512];
	size_t len;
};

static inline struct hex unhex(const char *text)
{
	struct hex hex = {.len = strlen(text) / 2};

	assert_true(strlen(text) % 2 == 0 && hex.len <= sizeof(hex.b));
	for (size_t i = 0; i < hex.len; i++) {
		char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
		char *end;

		hex.b[i] = (uint8_t)strtoul(digits, &end, 16);
		assert_ptr_equal(end, digits + 2);
	}
	return hex;
}

/* Unlike crypto_key_parse() it takes all zeroes, which some vectors use. */
static inline struct crypto_key *key_of(const char *text)
{
	const struct hex hex = unhex(text);
	struct crypto_key *key;

	assert_int_equal(hex.len, CRYPTO_KEY_SIZE);
	assert_int_equal(crypto_key_new(&key), 0);
	memcpy(key->b, hex.b, sizeof(key->b));
	return key;
}

static inline bool all_zero(const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0 && *at == 0) {
		at++;
		len--;
	}
	return len == 0;
}

#endif
