/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_anchor.c - anchors: compare and set, what a tag file may hold, and what
 * happens to it meanwhile
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fspf/anchor.h"

#define RACERS 4

static char directory[] = "/tmp/fspf-anchor-XXXXXX";
static const char hex[] = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static struct crypto_digest tag_of(unsigned n)
{
	struct crypto_digest tag = {.b = {1, (uint8_t)n, (uint8_t)(n >> 8)}};

	return tag;
}

static const char *path_of(const char *name)
{
	static char paths[2][128];
	static unsigned i;

	i = !i;
	snprintf(paths[i], sizeof(paths[i]), "%s/%s", directory, name);
	return paths[i];
}

static void put_file(const char *name, const char *content, size_t len)
{
	FILE *file = fopen(path_of(name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(content, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static struct fspf_anchor *open_anchor(const char *name, bool read_only)
{
	struct fspf_anchor *a;

	assert_int_equal(fspf_anchor_file(path_of(name), read_only, &a), 0);
	return a;
}

static int publish(struct fspf_anchor *a, unsigned expected, unsigned tag)
{
	struct crypto_digest from = tag_of(expected), to = tag_of(tag);

	return a->ops->publish(a, expected ? &from : NULL, &to);
}

static void assert_holds(struct fspf_anchor *a, unsigned n)
{
	struct crypto_digest tag, wanted = tag_of(n);
	bool any;

	assert_int_equal(a->ops->load(a, &tag, &any), 0);
	assert_true(any);
	assert_true(crypto_digest_equal(&tag, &wanted));
}

static int load_result(const char *name)
{
	struct fspf_anchor *a = open_anchor(name, true);
	struct crypto_digest tag;
	bool any;
	int r = a->ops->load(a, &tag, &any);

	fspf_anchor_free(a);
	return r;
}

static void none_expects_nothing(void **state)
{
	struct crypto_digest tag;
	struct fspf_anchor *a;
	bool any = true;

	(void)state;
	assert_int_equal(fspf_anchor_none(&a), 0);
	assert_string_equal(a->ops->name, "none");
	assert_int_equal(publish(a, 0, 1), 0);
	assert_int_equal(publish(a, 7, 8), 0);
	assert_int_equal(a->ops->load(a, &tag, &any), 0);
	assert_false(any);
	assert_null(fspf_anchor_free(a));
	assert_null(fspf_anchor_free(NULL));
}

static void pinned_compares_and_remembers(void **state)
{
	struct crypto_digest tag = tag_of(1);
	struct fspf_anchor *a;
	bool any;

	(void)state;
	assert_int_equal(fspf_anchor_pinned(&tag, &a), 0);
	assert_holds(a, 1);
	assert_int_equal(publish(a, 0, 2), -ESTALE);
	assert_int_equal(publish(a, 3, 2), -ESTALE);
	assert_holds(a, 1);
	assert_int_equal(publish(a, 1, 2), 0);
	assert_holds(a, 2);
	fspf_anchor_free(a);
	assert_int_equal(fspf_anchor_pinned(NULL, &a), 0);
	assert_int_equal(a->ops->load(a, &tag, &any), 0);
	assert_false(any);
	assert_int_equal(publish(a, 1, 2), -ESTALE);
	assert_int_equal(publish(a, 0, 2), 0);
	assert_holds(a, 2);
	fspf_anchor_free(a);
}

static void a_file_is_made_compared_and_set(void **state)
{
	struct fspf_anchor *a = open_anchor("tag", false), *b;
	struct stat st;

	(void)state;
	assert_int_equal(publish(a, 1, 2), -ENOENT);
	assert_int_equal(publish(a, 0, 1), 0);
	assert_int_equal(stat(path_of("tag"), &st), 0);
	assert_int_equal(st.st_size, 65);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_holds(a, 1);
	assert_int_equal(publish(a, 0, 2), -ESTALE);
	assert_int_equal(publish(a, 2, 3), -ESTALE);
	assert_holds(a, 1);
	assert_int_equal(publish(a, 1, 2), 0);
	b = open_anchor("tag", false);
	assert_holds(b, 2);
	assert_int_equal(publish(b, 2, 3), 0);
	assert_int_equal(publish(a, 2, 4), -ESTALE); /* somebody else was first */
	assert_holds(a, 3);
	fspf_anchor_free(a);
	fspf_anchor_free(b);
	assert_int_equal(unlink(path_of("tag")), 0);
}

static void an_empty_file_is_as_good_as_none_for_create_alone(void **state)
{
	struct fspf_anchor *a = open_anchor("tag", false);

	(void)state;
	put_file("tag", "", 0);
	assert_int_equal(load_result("tag"), -EINVAL);
	assert_int_equal(publish(a, 1, 2), -ESTALE);
	assert_int_equal(publish(a, 0, 1), 0);
	assert_holds(a, 1);
	fspf_anchor_free(a);
	assert_int_equal(unlink(path_of("tag")), 0);
}

static void malformed_files_are_refused(void **state)
{
	struct fspf_anchor *a = open_anchor("tag", false);
	char text[80];
	size_t i;

	(void)state;
	snprintf(text, sizeof(text), "%s\n", hex);
	for (i = 0; i < 65; i++) {
		put_file("tag", text, i);
		assert_int_equal(load_result("tag"), -EINVAL);
	}
	put_file("tag", text, 65);
	assert_int_equal(load_result("tag"), 0);
	put_file("tag", text, 66); /* with a NUL after it */
	assert_int_equal(load_result("tag"), -EINVAL);
	text[64] = ' ';
	put_file("tag", text, 65);
	assert_int_equal(load_result("tag"), -EINVAL);
	assert_int_equal(publish(a, 1, 2), -EINVAL);
	assert_int_equal(publish(a, 0, 2), -ESTALE);
	text[64] = '\n';
	text[10] = 'g';
	put_file("tag", text, 65);
	assert_int_equal(load_result("tag"), -EINVAL);
	memset(text, '0', 64);
	put_file("tag", text, 65);
	assert_int_equal(load_result("tag"), -EINVAL);
	fspf_anchor_free(a);
	assert_int_equal(unlink(path_of("tag")), 0);
}

static void what_is_no_file_is_refused(void **state)
{
	struct fspf_anchor *a = open_anchor("missing/tag", false);

	(void)state;
	assert_int_equal(publish(a, 0, 1), -ENOENT);
	fspf_anchor_free(a);
	assert_int_equal(load_result("missing"), -ENOENT);
	assert_int_equal(load_result(""), -EINVAL); /* the directory itself */
	assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
	assert_int_equal(load_result("fifo"), -EINVAL);
	assert_int_equal(unlink(path_of("fifo")), 0);
}

static void read_only_publishes_nothing(void **state)
{
	struct fspf_anchor *a = open_anchor("tag", false), *b = open_anchor("tag", true);

	(void)state;
	assert_int_equal(publish(b, 0, 1), -EROFS);
	assert_int_equal(access(path_of("tag"), F_OK), -1);
	assert_int_equal(publish(a, 0, 1), 0);
	assert_int_equal(chmod(path_of("tag"), 0400), 0);
	assert_holds(b, 1);
	assert_int_equal(publish(b, 1, 2), -EROFS);
	assert_holds(b, 1);
	fspf_anchor_free(a);
	if (geteuid()) { /* permissions do not bind root */
		a = open_anchor("tag", false);
		assert_int_equal(publish(a, 1, 2), -EACCES);
		fspf_anchor_free(a);
	}
	fspf_anchor_free(b);
	assert_int_equal(unlink(path_of("tag")), 0);
}

static void the_file_at_the_path_is_what_counts(void **state)
{
	struct fspf_anchor *a = open_anchor("tag", false), *b = open_anchor("other", false);

	(void)state;
	assert_int_equal(publish(a, 0, 1), 0);
	assert_int_equal(unlink(path_of("tag")), 0);
	assert_int_equal(publish(a, 1, 2), -ENOENT);
	assert_int_equal(publish(a, 0, 1), 0);
	assert_int_equal(publish(b, 0, 5), 0); /* another file in its place, with another tag */
	assert_int_equal(rename(path_of("other"), path_of("tag")), 0);
	assert_int_equal(publish(a, 1, 2), -ESTALE);
	assert_holds(a, 5);
	assert_int_equal(publish(a, 5, 6), 0);
	fspf_anchor_free(b);
	b = open_anchor("tag", true);
	assert_holds(b, 6);
	fspf_anchor_free(a);
	fspf_anchor_free(b);
	assert_int_equal(unlink(path_of("tag")), 0);
}

static void links_are_followed(void **state)
{
	struct fspf_anchor *a = open_anchor("link", false);
	struct stat st;

	(void)state;
	assert_int_equal(symlink("tag", path_of("link")), 0);
	assert_int_equal(publish(a, 0, 1), 0);
	assert_int_equal(publish(a, 1, 2), 0);
	assert_holds(a, 2);
	assert_int_equal(lstat(path_of("link"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	fspf_anchor_free(a);
	assert_int_equal(unlink(path_of("tag")), 0);
	assert_int_equal(unlink(path_of("link")), 0);
}

static void a_locked_file_is_busy(void **state)
{
	struct fspf_anchor *a = open_anchor("tag", false);
	int fd;

	(void)state;
	assert_int_equal(publish(a, 0, 1), 0);
	fd = open(path_of("tag"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(publish(a, 1, 2), -EBUSY);
	close(fd);
	assert_int_equal(publish(a, 1, 2), 0);
	fspf_anchor_free(a);
	assert_int_equal(unlink(path_of("tag")), 0);
}

/* Its exit status: 0 when it was the one that published. */
static void race(unsigned n, int start)
{
	struct fspf_anchor *a = open_anchor("tag", false);
	char c;
	int r;

	if (read(start, &c, 1) != 0)
		_exit(2);
	do
		r = publish(a, 1, 10 + n);
	while (r == -EBUSY);
	_exit(r == -ESTALE ? 1 : r ? 2 : 0);
}

static void one_of_several_processes_wins(void **state)
{
	struct fspf_anchor *a = open_anchor("tag", false);
	int pipes[2], status, winner = -1;
	pid_t pids[RACERS];
	unsigned i;

	(void)state;
	assert_int_equal(publish(a, 0, 1), 0);
	assert_int_equal(pipe(pipes), 0);
	for (i = 0; i < RACERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (!pids[i]) {
			close(pipes[1]);
			race(i, pipes[0]);
		}
	}
	close(pipes[0]);
	close(pipes[1]); /* go */
	for (i = 0; i < RACERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
		if (!WEXITSTATUS(status)) {
			assert_int_equal(winner, -1);
			winner = (int)i;
		}
	}
	assert_true(winner >= 0);
	assert_holds(a, 10 + (unsigned)winner);
	fspf_anchor_free(a);
	assert_int_equal(unlink(path_of("tag")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_expects_nothing),
		cmocka_unit_test(pinned_compares_and_remembers),
		cmocka_unit_test(a_file_is_made_compared_and_set),
		cmocka_unit_test(an_empty_file_is_as_good_as_none_for_create_alone),
		cmocka_unit_test(malformed_files_are_refused),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(read_only_publishes_nothing),
		cmocka_unit_test(the_file_at_the_path_is_what_counts),
		cmocka_unit_test(links_are_followed),
		cmocka_unit_test(a_locked_file_is_busy),
		cmocka_unit_test(one_of_several_processes_wins),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
