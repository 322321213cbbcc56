/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_host_threads.c - a host region used by many threads, with and without a host
 * that changes it under their hands
 */
#include <pthread.h>

#include "tests/support/seed.h"
#include "tests/unit/test_fspf_host.h"

enum { READERS = 4, MILLISECONDS = 1500 };

struct hammer {
	struct world *w;
	atomic_bool stop;
	atomic_uint escapes; /* something of the outside was seen */
	atomic_uint wrong;   /* an answer that there is no reason for */
	atomic_uint done, stale;
	atomic_uint next; /* of threads and names */
	uint64_t dir, file;
};

static void run(struct hammer *t, void *(*work)(void *), void *(*beside)(void *))
{
	pthread_t thread[READERS], other;

	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work, t), 0);
	assert_int_equal(pthread_create(&other, NULL, beside, t), 0);
	usleep(MILLISECONDS * 1000);
	atomic_store(&t->stop, true);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(thread[i], NULL);
	pthread_join(other, NULL);
}

static void count(atomic_uint *what)
{
	atomic_fetch_add(what, 1);
}

static bool is_of_a_moving_host(ssize_t r)
{
	return r == -ESTALE || r == -ENOENT || r == -ENOTDIR || r == -EINVAL || r == -EISDIR ||
	       r == -EEXIST;
}

static void note(struct hammer *t, ssize_t r)
{
	if (r >= 0)
		count(&t->done);
	else if (is_of_a_moving_host(r))
		count(&t->stale);
	else
		count(&t->wrong);
}

/* ---- a directory and a symlink to the outside change places, two of each ---- */

static void *swap(void *arg)
{
	struct hammer *t = arg;
	struct host_text a = at(t->w, "d"), b = at(t->w, "l");
	struct host_text c = at(t->w, "e/d"), d = at(t->w, "e/l");

	while (!atomic_load(&t->stop)) {
		if (renameat2(AT_FDCWD, a.text, AT_FDCWD, b.text, RENAME_EXCHANGE) ||
		    renameat2(AT_FDCWD, c.text, AT_FDCWD, d.text, RENAME_EXCHANGE))
			count(&t->wrong);
	}
	return NULL;
}

static int see_name(void *ctx, const struct fspf_entry *e)
{
	struct hammer *t = ctx;

	if (!strcmp(e->name, "marker"))
		count(&t->escapes);
	if (e->attr)
		fspf_host_forget(t->w->h, e->attr->ino, 1);
	return 0;
}

static void try_file(struct hammer *t, uint64_t dir)
{
	char data[64] = {0};
	struct fspf_attr attr;
	ssize_t n = fspf_host_lookup(t->w->h, dir, "secret", &attr);

	if (n == 0) {
		n = fspf_host_read(t->w->h, attr.ino, 0, data, sizeof(data) - 1);
		if (n > 0 && strcmp(data, "inside") != 0)
			count(&t->escapes);
		note(t, n);
		note(t, fspf_host_write(t->w->h, attr.ino, 0, "inside", 6, 0));
		fspf_host_forget(t->w->h, attr.ino, 1);
	}
	note(t, n);
}

static void try_directory(struct hammer *t, uint64_t dir)
{
	struct fspf_attr attr;
	char name[32];
	int r;

	snprintf(name, sizeof(name), "new%u", atomic_fetch_add(&t->next, 1));
	note(t, fspf_host_readdir(t->w->h, dir, 0, true, see_name, t));
	r = fspf_host_create_file(t->w->h, dir, name, S_IFREG | 0644, 0, &caller_root, &attr);
	note(t, r);
	if (r == 0) {
		note(t, fspf_host_unlink(t->w->h, dir, name));
		fspf_host_forget(t->w->h, attr.ino, 1);
	}
	if (fspf_host_lookup(t->w->h, dir, "marker", &attr) == 0)
		count(&t->escapes);
}

static void try_all(struct hammer *t, uint64_t parent, const char *name)
{
	struct fspf_attr attr;
	int r = fspf_host_lookup(t->w->h, parent, name, &attr);

	note(t, r);
	if (r)
		return;
	/* Also what was a symlink when it was looked up. */
	for (int i = 0; i < 5; i++) {
		try_file(t, attr.ino);
		try_directory(t, attr.ino);
	}
	fspf_host_forget(t->w->h, attr.ino, 1);
}

static void *read_moving(void *arg)
{
	struct hammer *t = arg;

	while (!atomic_load(&t->stop)) {
		try_all(t, TOP, "d");
		try_all(t, t->dir, "d");
	}
	return NULL;
}

static void swapping_host(struct world *w, bool by_component)
{
	struct hammer t = {.w = w};
	char target[PATH_SIZE], data[64] = {0};
	DIR *dir;
	size_t n = 0;
	FILE *f;

	w->h->by_component = by_component;
	snprintf(target, sizeof(target), "%s/outside", w->base);
	host_write_path(outside(w, "marker").text, SECRET);
	host_mkdir(w, "d");
	host_mkdir(w, "e");
	host_mkdir(w, "e/d");
	host_write(w, "d/secret", "inside");
	host_write(w, "e/d/secret", "inside");
	host_symlink(w, target, "l");
	host_symlink(w, "../../outside", "e/l");
	t.dir = look(w, TOP, "e");
	run(&t, read_moving, swap);
	print_message("%u done, %u stale\n", t.done, t.stale);
	assert_int_equal(t.escapes, 0);
	assert_int_equal(t.wrong, 0);
	assert_true(t.done > 100 && t.stale > 10);
	/* Nothing was made or written there. */
	dir = opendir(target);
	while (readdir(dir))
		n++;
	closedir(dir);
	assert_int_equal(n, 4);
	f = fopen(outside(w, "secret").text, "r");
	assert_non_null(fgets(data, sizeof(data), f));
	fclose(f);
	assert_string_equal(data, SECRET);
}

static void test_swapping_host(void **state)
{
	swapping_host(*state, false);
}

static void test_swapping_host_by_component(void **state)
{
	swapping_host(*state, true);
}

/* ---- the host keeps still: nothing is ever stale, whatever moves ---- */

static void *rename_up_and_down(void *arg)
{
	struct hammer *t = arg;

	while (!atomic_load(&t->stop)) {
		if (fspf_host_rename(t->w->h, TOP, "a", TOP, "b", 0, &caller_root) ||
		    fspf_host_rename(t->w->h, TOP, "b", TOP, "a", 0, &caller_root))
			count(&t->wrong);
	}
	return NULL;
}

static void *use_below(void *arg)
{
	struct hammer *t = arg;
	struct fspf_attr attr;
	char data[8], name[32];

	while (!atomic_load(&t->stop)) {
		if (fspf_host_read(t->w->h, t->file, 0, data, 4) != 4 || memcmp(data, "text", 4))
			count(&t->wrong);
		if (fspf_host_lookup(t->w->h, t->dir, "file", &attr) || attr.ino != t->file)
			count(&t->wrong);
		else
			fspf_host_forget(t->w->h, attr.ino, 1);
		snprintf(name, sizeof(name), "%u", atomic_fetch_add(&t->next, 1));
		if (fspf_host_create_file(t->w->h, t->dir, name, S_IFREG | 0644, 0, &caller_root,
					  &attr) ||
		    fspf_host_unlink(t->w->h, t->dir, name) ||
		    fspf_host_write(t->w->h, attr.ino, 0, "x", 1, 0) != 1)
			count(&t->wrong);
		fspf_host_forget(t->w->h, attr.ino, 1);
		count(&t->done);
	}
	return NULL;
}

static void test_rename_above(void **state)
{
	struct world *w = *state;
	struct hammer t = {.w = w};
	uint64_t a = make(w, TOP, "a", S_IFDIR | 0755);

	t.dir = make(w, a, "dir", S_IFDIR | 0755);
	t.file = make(w, t.dir, "file", S_IFREG | 0644);
	write_text(w, t.file, "text");
	run(&t, use_below, rename_up_and_down);
	assert_int_equal(t.wrong, 0);
	assert_true(t.done > 10);
	fspf_host_forget(w->h, t.file, 1);
	fspf_host_forget(w->h, t.dir, 1);
	fspf_host_forget(w->h, a, 1);
	assert_int_equal(HASH_COUNT(w->h->files), 1);
	assert_int_equal(HASH_COUNT(w->h->nodes), 1);
	assert_int_equal(w->h->held, 0);
}

/* ---- a file that we write gets no new number, however often it is looked up meanwhile ---- */

static void *write_and_set(void *arg)
{
	struct hammer *t = arg;
	uint64_t random = atomic_fetch_add(&t->next, 1);

	while (!atomic_load(&t->stop)) {
		struct fspf_attr attr = {.size = test_below(&random, 100),
					 .mtime.tv_sec = (time_t)test_below(&random, 1000)};

		if (fspf_host_write(t->w->h, t->file, test_below(&random, 100), "xyz", 3, 0) != 3 ||
		    fspf_host_setattr(t->w->h, t->file, FSPF_SET_SIZE | FSPF_SET_MTIME, &attr,
				      &attr))
			count(&t->wrong);
		count(&t->done);
	}
	return NULL;
}

static void *look_up_again(void *arg)
{
	struct hammer *t = arg;
	struct fspf_attr attr;

	while (!atomic_load(&t->stop)) {
		if (fspf_host_lookup(t->w->h, TOP, "file", &attr) || attr.ino != t->file)
			count(&t->wrong);
		else
			fspf_host_forget(t->w->h, attr.ino, 1);
	}
	return NULL;
}

static void test_own_changes_are_no_news(void **state)
{
	struct world *w = *state;
	struct hammer t = {.w = w, .file = make(w, TOP, "file", S_IFREG | 0644)};

	run(&t, write_and_set, look_up_again);
	assert_int_equal(t.wrong, 0);
	assert_true(t.done > 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_swapping_host),
		TEST(test_swapping_host_by_component),
		TEST(test_rename_above),
		TEST(test_own_changes_are_no_news),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
