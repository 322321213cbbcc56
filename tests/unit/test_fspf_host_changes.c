/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_host_changes.c - a host that changes what is passed through, or shows what
 * it should not; covers; and more files than descriptors
 */
#include <sys/resource.h>

#include "tests/unit/test_fspf_host.h"

/* ---- the host changes things ---- */

static void test_replaced_is_stale(void **state)
{
	struct world *w = *state;
	uint64_t f, d, x;

	host_write(w, "f", "old");
	host_mkdir(w, "d");
	host_write(w, "d/x", "inside");
	f = look(w, TOP, "f");
	d = look(w, TOP, "d");
	x = look(w, d, "x");
	assert_reads(w, f, "old");
	host_write(w, "new", "new");
	host_rename(w, "new", "f");
	assert_int_equal(read_error(w, f), -ESTALE);
	assert_int_equal(getattr_error(w, f), -ESTALE);
	assert_int_equal(fspf_host_write(w->h, f, 0, "x", 1, 0), -ESTALE);
	assert_reads(w, look(w, TOP, "f"), "new");
	/* Moved, and found again. */
	host_rename(w, "d", "e");
	assert_int_equal(read_error(w, x), -ESTALE);
	assert_true(look(w, TOP, "e") == d);
	assert_reads(w, x, "inside");
	assert_int_equal(unlink(at(w, "e/x").text), 0);
	assert_int_equal(read_error(w, x), -ESTALE);
	assert_int_equal(mkfifo(at(w, "e/x").text, 0644), 0);
	assert_int_equal(read_error(w, x), -ESTALE); /* and does not wait for a writer */
	assert_int_equal(fspf_host_write(w->h, x, 0, "x", 1, 0), -ESTALE);
}

static void test_new_number(void **state)
{
	struct world *w = *state;
	uint64_t old, new;

	host_write(w, "f", "one");
	host_touch(w, "f", 1000);
	old = look(w, TOP, "f");
	assert_true(look(w, TOP, "f") == old);
	host_touch(w, "f", 2000);
	new = look(w, TOP, "f");
	assert_true(new > old);
	assert_true(look(w, TOP, "f") == new);
	host_write(w, "f", "longer");
	host_touch(w, "f", 2000);
	assert_true(look(w, TOP, "f") > new);
	/* All are the same file. */
	assert_reads(w, old, "longer");
	write_text(w, old, "O");
	assert_reads(w, new, "Oonger");
	attr_of(w, old);
	fspf_host_forget(w->h, old, 2);
	assert_int_equal(getattr_error(w, old), -ESTALE);
	assert_reads(w, new, "Oonger");
	assert_int_equal(files_known(w), 2);
}

/* A directory's listing finds out as a lookup does; asking for attributes does not. */
static void test_new_number_by_listing(void **state)
{
	struct world *w = *state;
	struct listed l;
	uint64_t old;

	host_write(w, "f", "one");
	host_touch(w, "f", 1000);
	old = look(w, TOP, "f");
	host_touch(w, "f", 2000);
	assert_int_equal(attr_of(w, old).mtime.tv_sec, 2000);
	l = list(w, TOP, true);
	assert_int_equal(l.count, 3);
	assert_true(l.entry[2].ino > old);
	assert_true(look(w, TOP, "f") == l.entry[2].ino);
}

static void test_kept_number(void **state)
{
	struct world *w = *state;
	uint64_t f;

	host_write(w, "f", "one");
	host_touch(w, "f", 1000);
	f = look(w, TOP, "f");
	fspf_host_keep_numbers(w->h);
	host_write(w, "f", "longer");
	host_touch(w, "f", 2000);
	assert_true(look(w, TOP, "f") == f);
	assert_int_equal(attr_of(w, f).size, 6);
	/* But another file is another file. */
	host_write(w, "g", "other");
	host_rename(w, "g", "f");
	assert_true(look(w, TOP, "f") != f);
	assert_int_equal(getattr_error(w, f), -ESTALE);
}

/* A change of the host's is not lost in one of ours. */
static void test_change_beside_ours(void **state)
{
	struct world *w = *state;
	uint64_t f = make(w, TOP, "f", S_IFREG | 0644);

	write_text(w, f, "ours");
	assert_true(look(w, TOP, "f") == f);
	host_touch(w, "f", 3000);
	write_text(w, f, "OURS");
	assert_true(look(w, TOP, "f") > f);
}

/* ---- ways out ---- */

static void test_names_are_checked(void **state)
{
	static const char *const bad[] = {"", "/", "a/b", "../outside", "/etc", "d/..", "x/"};
	struct world *w = *state;
	struct fspf_attr attr;
	uint64_t d = make(w, TOP, "d", S_IFDIR | 0755), f = make(w, TOP, "f", S_IFREG | 0644);
	char longer[300];

	memset(longer, 'n', sizeof(longer));
	longer[256] = 0;
	assert_int_equal(look_error(w, d, longer), -ENAMETOOLONG);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(look_error(w, d, bad[i]), -EINVAL);
		assert_int_equal(
			fspf_host_create_file(w->h, d, bad[i], S_IFREG, 0, &caller_root, &attr),
			-EINVAL);
		assert_int_equal(fspf_host_symlink(w->h, d, bad[i], "x", &caller_root, &attr),
				 -EINVAL);
		assert_int_equal(fspf_host_link(w->h, f, d, bad[i], &attr), -EINVAL);
		assert_int_equal(fspf_host_unlink(w->h, d, bad[i]), -EINVAL);
		assert_int_equal(fspf_host_rmdir(w->h, d, bad[i]), -EINVAL);
		assert_int_equal(fspf_host_rename(w->h, d, bad[i], d, "x", 0, &caller_root),
				 -EINVAL);
		assert_int_equal(fspf_host_rename(w->h, TOP, "f", d, bad[i], 0, &caller_root),
				 -EINVAL);
	}
	for (int dots = 1; dots <= 2; dots++) {
		const char *name = dots == 1 ? "." : "..";

		assert_int_equal(
			fspf_host_create_file(w->h, d, name, S_IFREG, 0, &caller_root, &attr),
			-EINVAL);
		assert_int_equal(fspf_host_rename(w->h, TOP, "f", d, name, 0, &caller_root),
				 -EINVAL);
	}
}

/* With openat2(2), and going name by name. */
static void escape_by_symlink(struct world *w, bool by_component)
{
	struct fspf_attr attr;
	uint64_t d, s, f;
	char etc[PATH_SIZE];

	w->h->by_component = by_component;
	host_mkdir(w, "d");
	host_mkdir(w, "d/s");
	host_write(w, "d/s/secret", "inside");
	d = look(w, TOP, "d");
	s = look(w, d, "s");
	f = look(w, s, "secret");
	assert_reads(w, f, "inside");
	/* The directory in the middle, and then the first one, become symlinks to the outside. */
	snprintf(etc, sizeof(etc), "%s/outside", w->base);
	for (int i = 0; i < 2; i++) {
		const char *dir = i ? "d" : "d/s";

		host_rename(w, dir, "aside");
		host_symlink(w, etc, dir);
		assert_int_equal(read_error(w, f), -ESTALE);
		assert_int_equal(look_error(w, s, "secret"), -ESTALE);
		assert_int_equal(
			fspf_host_create_file(w->h, s, "new", S_IFREG, 0, &caller_root, &attr),
			-ESTALE);
		assert_int_equal(fspf_host_unlink(w->h, s, "secret"), -ESTALE);
		assert_int_equal(unlink(at(w, dir).text), 0);
		host_rename(w, "aside", dir);
		assert_reads(w, f, "inside");
	}
	/* The same with a relative one, even to the very same file. */
	host_rename(w, "d", "aside");
	host_symlink(w, "aside", "d");
	assert_int_equal(read_error(w, f), -ESTALE);
	assert_int_equal(access(outside(w, "secret").text, F_OK), 0);
	assert_int_equal(access(outside(w, "new").text, F_OK), -1);
	/* A symlink is what it is. */
	assert_true(S_ISLNK(look_attr(w, TOP, "d").mode));
	assert_int_equal(w->h->by_component, by_component);
}

static void test_escape_by_symlink(void **state)
{
	escape_by_symlink(*state, false);
}

static void test_escape_by_symlink_by_component(void **state)
{
	escape_by_symlink(*state, true);
}

static void test_top_is_symlink(void **state)
{
	struct world *w = *state;
	struct fspf_host *h = w->h;

	host_mkdir(w, "real");
	host_write(w, "real/f", "text");
	host_symlink(w, "real", "l");
	assert_int_equal(fspf_host_new(at(w, "l").text, BASE_INO, false, &w->h), 0);
	assert_reads(w, look(w, TOP, "f"), "text");
	fspf_host_free(w->h);
	w->h = h;
	assert_int_equal(fspf_host_new(at(w, "nothing").text, BASE_INO, false, &w->h), -ENOENT);
	assert_int_equal(mkfifo(at(w, "fifo").text, 0600), 0);
	assert_int_equal(fspf_host_new(at(w, "fifo").text, BASE_INO, false, &w->h), -ENOTSUP);
}

/* The host moves directories while they are being looked at, so as to make a loop of them. */
static void test_loop(void **state)
{
	struct world *w = *state;
	struct host_file *file_b;
	struct fspf_attr attr;
	struct statx st;
	uint64_t a, b;
	int fd;

	host_mkdir(w, "a");
	host_mkdir(w, "a/b");
	a = look(w, TOP, "a");
	b = look(w, a, "b");
	/* As if b had been found in a, and now a is found in b. */
	fd = open(at(w, "a").text, O_PATH | O_CLOEXEC);
	assert_int_equal(host_get(w->h, b, &file_b), 0);
	assert_int_equal(host_stat(fd, &st), 0);
	assert_int_equal(host_adopt(w->h, file_b, "a", fd, &st, &attr), -ELOOP);
	attr_of(w, b);
	host_put(w->h, file_b);
	close(fd);
}

/* ---- many ---- */

static void test_few_descriptors(void **state)
{
	enum { FILES = 2500 };
	struct world *w = *state;
	struct rlimit old, low;
	uint64_t *ino = calloc(FILES, sizeof(*ino));
	uint64_t d = make(w, TOP, "d", S_IFDIR | 0755);
	size_t kept = 0;
	char name[32];
	int r = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = (struct rlimit){.rlim_cur = 256, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (size_t i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		ino[i] = make(w, d, name, S_IFREG | 0644);
		write_text(w, ino[i], name);
	}
	for (size_t i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		assert_reads(w, ino[i], name);
	}
	assert_true(open_descriptors() < FSPF_HOST_FDS + 40);
	/* As many as may be are held open, and the next is refused, and still there. */
	for (size_t i = 0; i < FILES && r == 0; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		r = fspf_host_unlink(w->h, d, name);
		kept += r == 0;
	}
	assert_int_equal(r, -EMFILE);
	assert_int_equal(kept, 64);
	for (size_t i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		assert_reads(w, ino[i], name);
		if (i >= kept) {
			fspf_host_forget(w->h, ino[i], 1);
			assert_int_equal(fspf_host_unlink(w->h, d, name), 0);
		}
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	free(ino);
}

/* No descriptor is left at all but by closing what is cached. */
static void test_descriptors_run_out(void **state)
{
	struct world *w = *state;
	uint64_t ino[FSPF_HOST_FDS];
	struct rlimit old, low;
	char name[32];
	int spare[512];
	size_t n = 0;

	for (size_t i = 0; i < FSPF_HOST_FDS; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		ino[i] = make(w, TOP, name, S_IFREG | 0644);
		write_text(w, ino[i], name);
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = (struct rlimit){.rlim_cur = 256, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n < ARRAY_LEN(spare) && (spare[n] = dup(0)) >= 0)
		n++;
	assert_int_equal(getattr_error(w, ino[0]), 0);
	assert_reads(w, ino[1], "1");
	while (n > 0)
		close(spare[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void test_deep(void **state)
{
	enum { DEPTH = 60 };
	struct world *w = *state;
	uint64_t ino[DEPTH + 1] = {TOP};
	char name[201];

	memset(name, 'd', sizeof(name));
	name[200] = 0;
	for (int i = 0; i < DEPTH; i++)
		ino[i + 1] = make(w, ino[i], name, S_IFDIR | 0755);
	for (int i = 0; i < 2; i++) {
		uint64_t f;

		w->h->by_component = i;
		f = make(w, ino[DEPTH], i ? "g" : "f", S_IFREG | 0644);
		write_text(w, f, "deep");
		assert_reads(w, f, "deep");
	}
	for (int i = 1; i <= DEPTH; i++)
		fspf_host_forget(w->h, ino[i], 1);
	assert_int_equal(files_known(w), DEPTH + 3);
}

/* ---- covers ---- */

static void test_cover(void **state)
{
	static const uint64_t other = (UINT64_C(9) << FSPF_OBJECT_BITS) | 1;
	struct world *w = *state;
	struct fspf_attr attr;
	struct listed l;
	uint64_t x, f;
	int i;

	host_mkdir(w, "x");
	host_write(w, "x/secret", "the host's own");
	host_write(w, "x/f", "text");
	assert_int_equal(fspf_host_cover(w->h, "x/secret", other), 0);
	assert_int_equal(fspf_host_cover(w->h, "x//secret/", other), -EEXIST);
	assert_int_equal(fspf_host_cover(w->h, "x/secret/y", other), -EINVAL);
	assert_int_equal(fspf_host_cover(w->h, "x/../y", other), -EINVAL);
	assert_int_equal(fspf_host_cover(w->h, "", other), -EINVAL);
	assert_int_equal(fspf_host_cover(w->h, "x/none", other + 1), 0);
	x = look(w, TOP, "x");
	assert_int_equal(fspf_host_cover(w->h, "late", other), -EBUSY);
	assert_int_equal(fspf_host_lookup(w->h, x, "secret", &attr), 1);
	assert_true(attr.ino == other);
	assert_int_equal(fspf_host_lookup(w->h, x, "none", &attr), 1);
	assert_true(attr.ino == other + 1);
	for (int with_attr = 0; with_attr < 2; with_attr++) {
		l = list(w, x, with_attr);
		assert_int_equal(l.count, 5);
		i = listed_at(&l, "secret");
		assert_true(i >= 2 && l.entry[i].ino == other && l.entry[i].type == DT_DIR &&
			    !l.entry[i].has_attr);
		assert_true(listed_at(&l, "none") > i);
		assert_true(listed_at(&l, "f") >= 2);
	}
	f = look(w, x, "f");
	assert_int_equal(fspf_host_unlink(w->h, x, "secret"), -EBUSY);
	assert_int_equal(fspf_host_rmdir(w->h, x, "none"), -EBUSY);
	assert_int_equal(fspf_host_rmdir(w->h, TOP, "x"), -EBUSY);
	assert_int_equal(fspf_host_rename(w->h, TOP, "x", TOP, "y", 0, &caller_root), -EBUSY);
	assert_int_equal(fspf_host_rename(w->h, x, "f", x, "secret", 0, &caller_root), -EBUSY);
	assert_int_equal(fspf_host_rename(w->h, x, "none", x, "g", 0, &caller_root), -EBUSY);
	assert_int_equal(fspf_host_link(w->h, f, x, "none", &attr), -EEXIST);
	assert_int_equal(fspf_host_symlink(w->h, x, "none", "t", &caller_root, &attr), -EEXIST);
	assert_int_equal(fspf_host_create_file(w->h, x, "none", S_IFDIR, 0, &caller_root, &attr),
			 -EEXIST);
	assert_reads(w, f, "text");
}

/* The host moves the directory on the way: what was known there shows the cover for ever, and the
 * directory, found elsewhere, is another file. */
static void test_cover_is_by_path(void **state)
{
	static const uint64_t other = (UINT64_C(9) << FSPF_OBJECT_BITS) | 1;
	struct world *w = *state;
	struct fspf_attr attr;
	uint64_t x, y;

	host_mkdir(w, "x");
	host_write(w, "x/secret", "fake");
	assert_int_equal(fspf_host_cover(w->h, "x/secret", other), 0);
	x = look(w, TOP, "x");
	host_rename(w, "x", "y");
	y = look(w, TOP, "y");
	assert_true(x != y);
	assert_int_equal(fspf_host_lookup(w->h, x, "secret", &attr), 1);
	assert_int_equal(getattr_error(w, x), -ESTALE);
	assert_reads(w, look(w, y, "secret"), "fake");
	/* And the other way: whatever is put at the path is covered. */
	host_mkdir(w, "x");
	host_write(w, "x/secret", "fake");
	x = look(w, TOP, "x");
	assert_int_equal(fspf_host_lookup(w->h, x, "secret", &attr), 1);
	assert_int_equal(fspf_host_unlink(w->h, y, "secret"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_replaced_is_stale),
		TEST(test_new_number),
		TEST(test_new_number_by_listing),
		TEST(test_kept_number),
		TEST(test_change_beside_ours),
		TEST(test_names_are_checked),
		TEST(test_escape_by_symlink),
		TEST(test_escape_by_symlink_by_component),
		TEST(test_top_is_symlink),
		TEST(test_loop),
		TEST(test_few_descriptors),
		TEST(test_descriptors_run_out),
		TEST(test_deep),
		TEST(test_cover),
		TEST(test_cover_is_by_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
