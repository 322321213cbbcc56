/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/credential.c - keys and passphrases, from files and text into guarded memory
 *
 * A secret goes from read(2) straight into guarded memory: no stdio, whose buffers nobody wipes.  A
 * key file is read to its end, and one byte further than any well-formed one has, so that a file
 * that merely begins like a key is refused.  A passphrase is read byte by byte up to its newline,
 * so that two of them can come one after the other from the same standard input.
 *
 * A file that others can read is accepted (a container's secret often is one): success, with the
 * warning in err->text under code 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fspf/credential.h"
#include "fspf/error.h"
#include "fspf/fspf.h"

#define HEX_SIZE (2u * CRYPTO_KEY_SIZE)
#define KEY_FILE_MAX (HEX_SIZE + 2) /* "\r\n" */

#define KEY_HINT "a key is 64 hex digits or 32 bytes; `fspf keygen FILE` makes one"

/* A file as the messages name it: "key file 'x'". */
struct source {
	const char *what;
	const char *path;
	int fd;
};

static int source_open(struct source *s, struct fspf_error *err)
{
	int r = 0;

	if (!strcmp(s->path, "-")) {
		s->fd = STDIN_FILENO;
		s->path = "standard input";
	} else {
		s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (s->fd < 0) {
			r = -errno;
			fspf_fail(err, r, NULL, "cannot open %s '%s': %s", s->what, s->path,
				  strerror(-r));
		}
	}
	return r;
}

static void source_close(struct source *s)
{
	if (s->fd > STDIN_FILENO)
		close(s->fd);
	s->fd = -1;
}

/* Up to @size bytes, or up to and without a newline if @line.  Fewer only at the end. */
static int source_read(const struct source *s, char *data, size_t size, bool line, size_t *ret_len,
		       struct fspf_error *err)
{
	size_t len = 0;
	ssize_t n;
	int r = 0;

	while (len < size) {
		n = read(s->fd, data + len, line ? 1 : size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0 || (line && data[len] == '\n'))
			break;
		len += (size_t)n;
	}
	if (r)
		fspf_fail(err, r, NULL, "cannot read %s '%s': %s", s->what, s->path, strerror(-r));
	else
		*ret_len = len;
	return r;
}

static void source_warn(const struct source *s, struct fspf_error *err)
{
	struct stat st;

	if (s->fd > STDIN_FILENO && !fstat(s->fd, &st) && S_ISREG(st.st_mode) &&
	    (st.st_mode & S_IROTH))
		fspf_fail(err, 0, NULL, "everybody can read %s '%s': its mode should be 0600",
			  s->what, s->path);
}

/* NULL when memory ran out. */
static struct fspf_credential *credential_new(struct fspf_error *err)
{
	struct fspf_credential *c = calloc(1, sizeof(*c));

	if (!c)
		fspf_fail(err, -ENOMEM, NULL, "out of memory");
	return c;
}

/* Takes over @key. */
int fspf_credential_from_key(struct crypto_key *key, struct fspf_credential **ret,
			     struct fspf_error *err)
{
	struct fspf_credential *c = credential_new(err);

	if (c) {
		c->key = key;
		c->secret.key = key;
		*ret = c;
	} else {
		crypto_key_free(key);
	}
	return c ? 0 : -ENOMEM;
}

static bool is_zero(const char *data, size_t len)
{
	char any = 0;

	for (size_t i = 0; i < len; i++)
		any = (char)(any | data[i]);
	return any == 0;
}

/* A raw key: 32 bytes, not all of them zero (what an unwritten file holds). */
static int key_from_bytes(const struct source *s, const char *data, struct crypto_key **ret,
			  struct fspf_error *err)
{
	int r = is_zero(data, CRYPTO_KEY_SIZE) ? -EINVAL : crypto_key_new(ret);

	if (!r)
		memcpy((*ret)->b, data, CRYPTO_KEY_SIZE);
	else if (r == -EINVAL)
		fspf_fail(err, r, KEY_HINT, "%s '%s' holds only zero bytes", s->what, s->path);
	else
		fspf_fail(err, r, NULL, "cannot keep the key: %s", strerror(-r));
	return r;
}

static int key_from_hex(const struct source *s, const char *data, struct crypto_key **ret,
			struct fspf_error *err)
{
	int r = crypto_key_parse(data, HEX_SIZE, ret);

	if (r == -EINVAL)
		fspf_fail(err, r, KEY_HINT, "%s '%s' is not 64 hex digits, or all are zero",
			  s->what, s->path);
	else if (r)
		fspf_fail(err, r, NULL, "cannot keep the key: %s", strerror(-r));
	return r;
}

static int key_from_content(const struct source *s, const char *data, size_t len,
			    struct crypto_key **ret, struct fspf_error *err)
{
	size_t text = len;
	int r;

	if (text > HEX_SIZE && data[text - 1] == '\n')
		text--;
	if (text > HEX_SIZE && data[text - 1] == '\r')
		text--;

	if (len == CRYPTO_KEY_SIZE)
		r = key_from_bytes(s, data, ret, err);
	else if (text == HEX_SIZE)
		r = key_from_hex(s, data, ret, err);
	else
		r = fspf_fail(err, -EINVAL, KEY_HINT, "%s '%s' %s", s->what, s->path,
			      len ? "has the wrong length" : "is empty");
	return r;
}

int fspf_credential_key_file(const char *path, struct fspf_credential **ret, struct fspf_error *err)
{
	struct source s = {.what = "key file", .path = path, .fd = -1};
	struct crypto_key *key = NULL;
	char *data = crypto_secret_alloc(KEY_FILE_MAX + 1);
	size_t len = 0;
	int r;

	r = data ? source_open(&s, err) : fspf_fail(err, -ENOMEM, NULL, "out of memory");
	if (!r)
		r = source_read(&s, data, KEY_FILE_MAX + 1, false, &len, err);
	if (!r)
		r = key_from_content(&s, data, len, &key, err);
	if (!r)
		r = fspf_credential_from_key(key, ret, err);
	if (!r)
		source_warn(&s, err);
	source_close(&s);
	crypto_secret_free(data);
	return r;
}

int fspf_credential_key_hex(const char *hex, struct fspf_credential **ret, struct fspf_error *err)
{
	struct crypto_key *key = NULL;
	int r = crypto_key_parse(hex, strnlen(hex, HEX_SIZE + 1), &key);

	if (r == -EINVAL)
		fspf_fail(err, r, NULL, "not a key: it must be 64 hex digits, not all zero");
	else if (r)
		fspf_fail(err, r, NULL, "cannot keep the key: %s", strerror(-r));
	else
		r = fspf_credential_from_key(key, ret, err);
	return r;
}

/* Takes over @text, in guarded memory. */
static int credential_from_passphrase(char *text, size_t len, struct fspf_credential **ret,
				      struct fspf_error *err)
{
	struct fspf_credential *c = credential_new(err);

	if (c) {
		c->passphrase = text;
		c->secret.passphrase = text;
		c->secret.passphrase_len = len;
		*ret = c;
	} else {
		crypto_secret_free(text);
	}
	return c ? 0 : -ENOMEM;
}

static int check_passphrase(const struct source *s, size_t len, struct fspf_error *err)
{
	int r = 0;

	if (len == 0)
		r = fspf_fail(err, -EINVAL, "the passphrase is the file's first line",
			      "%s '%s' is empty", s->what, s->path);
	else if (len > FSPF_PASSPHRASE_MAX)
		r = fspf_fail(err, -EINVAL, NULL,
			      "the first line of %s '%s' is longer than %u bytes", s->what, s->path,
			      FSPF_PASSPHRASE_MAX);
	return r;
}

int fspf_credential_passphrase_file(const char *path, struct fspf_credential **ret,
				    struct fspf_error *err)
{
	struct source s = {.what = "passphrase file", .path = path, .fd = -1};
	char *text = crypto_secret_alloc(FSPF_PASSPHRASE_MAX + 1);
	size_t len = 0;
	int r;

	r = text ? source_open(&s, err) : fspf_fail(err, -ENOMEM, NULL, "out of memory");
	if (!r)
		r = source_read(&s, text, FSPF_PASSPHRASE_MAX + 1, true, &len, err);
	if (!r)
		r = check_passphrase(&s, len, err);
	if (!r) {
		r = credential_from_passphrase(text, len, ret, err);
		text = NULL;
	}
	if (!r)
		source_warn(&s, err);
	source_close(&s);
	crypto_secret_free(text);
	return r;
}

int fspf_credential_random(struct fspf_credential **ret, struct fspf_error *err)
{
	struct crypto_key *key = NULL;
	int r = crypto_key_random(&key);

	if (r)
		fspf_fail(err, r, NULL, "cannot make a random key: %s", strerror(-r));
	else
		r = fspf_credential_from_key(key, ret, err);
	return r;
}

int fspf_credential_hex(const struct fspf_credential *c, char ret[static 2 * CRYPTO_KEY_SIZE + 1])
{
	int r = 0;

	if (c->key)
		crypto_key_hex(c->key, ret);
	else
		r = -EINVAL;
	return r;
}

struct fspf_credential *fspf_credential_free(struct fspf_credential *c)
{
	if (c) {
		crypto_key_free(c->key);
		crypto_secret_free(c->passphrase);
		free(c);
	}
	return NULL;
}
