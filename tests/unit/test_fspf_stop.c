/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_stop.c - a volume that was opened to stop at the first violation
 *
 * A block of the store is changed while the volume is open and something waits to be committed.
 * Whoever reads the block is told; without stop_on_violation what waits is committed all the same,
 * with it nothing changes any more, neither the volume nor its tag.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fspf/fspf.h"

#define MARKER "what the host will change"
#define SIZE 65536u

static char directory[] = "/tmp/fspf-stop.XXXXXX";
static char volume[64], tag_file[64];
static const struct fspf_caller caller = {0};
static unsigned spoilt, told;

static struct fspf_anchor *anchor(void)
{
	struct fspf_anchor *a = NULL;

	assert_int_equal(fspf_anchor_file(tag_file, false, &a), 0);
	return a;
}

static struct fspf_volume *open_volume(bool stop, fspf_report_fn *report)
{
	const struct fspf_open_params params = {
		.path = volume,
		.anchor = anchor(),
		.commit_interval_ms = UINT32_MAX,
		.stop_on_violation = stop,
		.report = report,
	};
	struct fspf_volume *v = NULL;
	struct fspf_error err;

	assert_int_equal(fspf_open(&params, &v, &err), 0);
	return v;
}

static uint64_t make(struct fspf_volume *v, const char *name)
{
	char data[SIZE] = "";
	struct fspf_attr attr;

	for (size_t at = 0; at + sizeof(MARKER) <= SIZE; at += sizeof(MARKER))
		memcpy(data + at, MARKER, sizeof(MARKER));
	assert_int_equal(fspf_create_file(v, FSPF_ROOT, name, S_IFREG | 0644, 0, &caller, &attr),
			 0);
	assert_int_equal(fspf_write(v, attr.ino, 0, data, SIZE, 0), SIZE);
	return attr.ino;
}

static bool is_there(struct fspf_volume *v, const char *name)
{
	struct fspf_attr attr;
	int r = fspf_lookup(v, FSPF_ROOT, name, &attr);

	if (r == 0)
		fspf_forget(v, attr.ino, 1);
	return r == 0;
}

static int spoil(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	int fd = type == FTW_F ? open(path, O_RDWR | O_CLOEXEC) : -1;
	char *data = malloc((size_t)st->st_size + 1), *at = NULL;
	ssize_t n = fd >= 0 ? read(fd, data, (size_t)st->st_size) : 0;

	(void)ftw;
	if (n > 0)
		at = memmem(data, (size_t)n, MARKER, sizeof(MARKER));
	if (at && pwrite(fd, "WHAT", 4, at - data) == 4)
		spoilt++;
	if (fd >= 0)
		close(fd);
	free(data);
	return 0;
}

static int unlink_any(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	struct fspf_create_params params = {.path = volume, .authenticated = true};
	struct crypto_digest tag;
	struct fspf_error err;

	(void)state;
	memcpy(directory + sizeof(directory) - 7, "XXXXXX", 6);
	assert_non_null(mkdtemp(directory));
	snprintf(volume, sizeof(volume), "%s/volume", directory);
	snprintf(tag_file, sizeof(tag_file), "%s/tag", directory);
	params.anchor = anchor();
	assert_int_equal(fspf_create(&params, &tag, &err), 0);
	spoilt = told = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return nftw(directory, unlink_any, 8, FTW_DEPTH | FTW_PHYS);
}

static void count(void *ctx, const struct fspf_report *report)
{
	(void)ctx;
	told += report->code == -EBADMSG;
}

/* A volume with damage that was met, and with a change that was made before. */
static struct fspf_volume *damaged(bool stop, struct crypto_digest *ret_tag)
{
	struct fspf_volume *v = open_volume(false, count);
	struct fspf_attr bad;
	struct fspf_error err;
	char data[SIZE];

	make(v, "bad");
	assert_int_equal(fspf_close(v, ret_tag, &err), 0);
	v = open_volume(stop, count);
	make(v, "waits");
	assert_int_equal(nftw(volume, spoil, 8, FTW_PHYS), 0);
	assert_int_equal(spoilt, 1);
	assert_int_equal(fspf_lookup(v, FSPF_ROOT, "bad", &bad), 0);
	assert_int_equal(fspf_read(v, bad.ino, 0, data, SIZE), -EBADMSG);
	assert_true(told > 0);
	fspf_forget(v, bad.ino, 1);
	return v;
}

static void test_goes_on(void **state)
{
	struct crypto_digest before, after;
	struct fspf_volume *v = damaged(false, &before);
	struct fspf_error err;

	(void)state;
	assert_int_equal(fspf_sync(v), 0);
	fspf_tag(v, &after);
	assert_false(crypto_digest_equal(&before, &after));
	assert_int_equal(fspf_close(v, NULL, &err), 0);
}

static void test_stops(void **state)
{
	struct crypto_digest before, after;
	struct fspf_volume *v = damaged(true, &before);
	struct fspf_error err;
	struct fspf_attr attr;

	(void)state;
	assert_true(fspf_sync(v) < 0);
	assert_int_equal(fspf_create_file(v, FSPF_ROOT, "new", S_IFREG, 0, &caller, &attr), -EROFS);
	fspf_tag(v, &after);
	assert_true(crypto_digest_equal(&before, &after));
	assert_true(fspf_close(v, &after, &err) < 0); /* it commits nothing either */
	assert_true(crypto_digest_equal(&before, &after));
	v = open_volume(false, NULL);
	fspf_tag(v, &after);
	assert_true(crypto_digest_equal(&before, &after));
	assert_true(is_there(v, "bad"));
	assert_false(is_there(v, "waits"));
	fspf_abandon(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stops, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
