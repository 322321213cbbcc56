/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_credential.c - key and passphrase files of every form, right and wrong
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/selftest.h"
#include "fspf/credential.h"
#include "fspf/fspf.h"

static char directory[] = "/tmp/fspf-credential-XXXXXX";
static char path[128]; /* of the one file that each test writes */

static const char digits[] = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
static uint8_t raw[CRYPTO_KEY_SIZE]; /* the same key */

static int set_up(void **state)
{
	(void)state;
	for (uint8_t i = 0; i < sizeof(raw); i++)
		raw[i] = i;
	if (crypto_init() || !mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/file", directory);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

static void put_file(const void *content, size_t len)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, len), len);
	close(fd);
}

/* Standard input becomes the file for the calls that follow; gives the old one. */
static int redirect(void)
{
	int old = dup(STDIN_FILENO);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(old >= 0 && fd >= 0);
	assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
	close(fd);
	return old;
}

static void restore(int old)
{
	dup2(old, STDIN_FILENO);
	close(old);
}

/* ---- keys ---- */

static void expect_key(const char *from)
{
	struct fspf_credential *c = NULL;
	struct fspf_error err = {0};

	assert_int_equal(fspf_credential_key_file(from, &c, &err), 0);
	assert_memory_equal(c->secret.key->b, raw, sizeof(raw));
	assert_null(c->secret.passphrase);
	fspf_credential_free(c);
}

static void expect_no_key(const char *from, int code, const char *word)
{
	struct fspf_credential *c = NULL;
	struct fspf_error err = {0};

	assert_int_equal(fspf_credential_key_file(from, &c, &err), code);
	assert_null(c);
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.text, word));
	assert_null(strstr(err.text, "0405"));
}

static void good_key_files(void **state)
{
	char text[80];
	int old;

	(void)state;
	put_file(raw, sizeof(raw));
	expect_key(path);
	for (int i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "%s%s", digits, i == 0 ? "" : i == 1 ? "\n" : "\r\n");
		put_file(text, strlen(text));
		expect_key(path);
		old = redirect();
		expect_key("-");
		restore(old);
	}
}

static void bad_key_files(void **state)
{
	static const struct {
		const char *content;
		const char *word;
	} cases[] = {
		{"", "empty"},
		{"\n", "length"},
		{"0", "length"},
		{"000102030405060708090a0b0c0d0e0", "length"},
		{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1", "length"},
		{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0", "length"},
		{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\n", "length"},
		{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\r\n\n",
		 "length"},
		{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g", "hex"},
		{" 00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "hex"},
		{"0x0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "hex"},
		{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1\n", "hex"},
		{"0000000000000000000000000000000000000000000000000000000000000000", "hex"},
	};
	static const uint8_t zeroes[100000];
	int old;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put_file(cases[i].content, strlen(cases[i].content));
		expect_no_key(path, -EINVAL, cases[i].word);
		old = redirect();
		expect_no_key("-", -EINVAL, cases[i].word);
		restore(old);
	}
	put_file(zeroes, CRYPTO_KEY_SIZE);
	expect_no_key(path, -EINVAL, "zero");
	put_file(zeroes, sizeof(zeroes));
	expect_no_key(path, -EINVAL, "length");
	put_file(raw, sizeof(raw) - 1);
	expect_no_key(path, -EINVAL, "length");
}

static void files_that_are_none(void **state)
{
	(void)state;
	unlink(path);
	expect_no_key(path, -ENOENT, path);
	expect_no_key(directory, -EISDIR, directory);
	expect_no_key("/dev/zero", -EINVAL, "length"); /* without end, and yet an answer */
	expect_no_key("/dev/null", -EINVAL, "empty");
	expect_no_key("", -ENOENT, "open");
	put_file(digits, 64);
	if (geteuid() != 0) {
		assert_int_equal(chmod(path, 0), 0);
		expect_no_key(path, -EACCES, path);
	}
}

static void key_that_everybody_can_read(void **state)
{
	struct fspf_credential *c = NULL;
	struct fspf_error err = {0};

	(void)state;
	put_file(digits, 64);
	assert_int_equal(fspf_credential_key_file(path, &c, &err), 0);
	assert_string_equal(err.text, "");
	c = fspf_credential_free(c);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(fspf_credential_key_file(path, &c, &err), 0);
	assert_int_equal(err.code, 0);
	assert_non_null(strstr(err.text, path));
	fspf_credential_free(c);
}

static void keys_as_text(void **state)
{
	static const char *const bad[] = {
		"",
		"xyz",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n",
		"0000000000000000000000000000000000000000000000000000000000000000",
	};
	struct fspf_credential *c = NULL;
	struct fspf_error err = {0};
	char text[2 * CRYPTO_KEY_SIZE + 1];

	(void)state;
	assert_int_equal(fspf_credential_key_hex(digits, &c, &err), 0);
	assert_int_equal(fspf_credential_hex(c, text), 0);
	assert_int_equal(strcasecmp(text, digits), 0);
	c = fspf_credential_free(c);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(fspf_credential_key_hex(bad[i], &c, &err), -EINVAL);
		assert_null(c);
		assert_non_null(strstr(err.text, "64 hex digits"));
	}
	assert_int_equal(fspf_credential_key_hex("", &c, NULL), -EINVAL);
}

static void random_keys_differ(void **state)
{
	struct fspf_credential *a = NULL, *b = NULL;

	(void)state;
	assert_int_equal(fspf_credential_random(&a, NULL), 0);
	assert_int_equal(fspf_credential_random(&b, NULL), 0);
	assert_memory_not_equal(a->secret.key->b, b->secret.key->b, CRYPTO_KEY_SIZE);
	fspf_credential_free(a);
	fspf_credential_free(b);
	assert_null(fspf_credential_free(NULL));
}

/* ---- passphrases ---- */

static void expect_passphrase(const char *from, const char *text, size_t len)
{
	struct fspf_credential *c = NULL;
	struct fspf_error err = {0};
	char hex[2 * CRYPTO_KEY_SIZE + 1];

	assert_int_equal(fspf_credential_passphrase_file(from, &c, &err), 0);
	assert_null(c->secret.key);
	assert_int_equal(c->secret.passphrase_len, len);
	assert_memory_equal(c->secret.passphrase, text, len);
	assert_int_equal(fspf_credential_hex(c, hex), -EINVAL);
	fspf_credential_free(c);
}

static void expect_no_passphrase(const char *from, int code)
{
	struct fspf_credential *c = NULL;
	struct fspf_error err = {0};

	assert_int_equal(fspf_credential_passphrase_file(from, &c, &err), code);
	assert_null(c);
	assert_true(err.text[0] != '\0');
}

static void passphrase_files(void **state)
{
	char text[FSPF_PASSPHRASE_MAX + 2];

	(void)state;
	put_file("correct horse", 13);
	expect_passphrase(path, "correct horse", 13);
	put_file("correct horse\nbattery\n", 22);
	expect_passphrase(path, "correct horse", 13);
	put_file(" \0\r\n", 4); /* every byte but the newline counts */
	expect_passphrase(path, " \0\r", 3);

	memset(text, 'x', sizeof(text));
	put_file(text, FSPF_PASSPHRASE_MAX);
	expect_passphrase(path, text, FSPF_PASSPHRASE_MAX);
	text[FSPF_PASSPHRASE_MAX] = '\n';
	put_file(text, FSPF_PASSPHRASE_MAX + 1);
	expect_passphrase(path, text, FSPF_PASSPHRASE_MAX);
	text[FSPF_PASSPHRASE_MAX] = 'x';
	put_file(text, FSPF_PASSPHRASE_MAX + 1);
	expect_no_passphrase(path, -EINVAL);

	put_file("", 0);
	expect_no_passphrase(path, -EINVAL);
	put_file("\nsecond\n", 8);
	expect_no_passphrase(path, -EINVAL);
	expect_no_passphrase(directory, -EISDIR);
	unlink(path);
	expect_no_passphrase(path, -ENOENT);
}

/* `fspf key add --passphrase-file - --new-passphrase-file -` reads one after the other. */
static void two_passphrases_from_one_input(void **state)
{
	int old;

	(void)state;
	put_file("first\nsecond\n", 13);
	old = redirect();
	expect_passphrase("-", "first", 5);
	expect_passphrase("-", "second", 6);
	expect_no_passphrase("-", -EINVAL);
	restore(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_key_files),
		cmocka_unit_test(bad_key_files),
		cmocka_unit_test(files_that_are_none),
		cmocka_unit_test(key_that_everybody_can_read),
		cmocka_unit_test(keys_as_text),
		cmocka_unit_test(random_keys_differ),
		cmocka_unit_test(passphrase_files),
		cmocka_unit_test(two_passphrases_from_one_input),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
