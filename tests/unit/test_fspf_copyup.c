/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_copyup.c - regions in place that are changed, or may not be; and all of it
 * by several threads, with a host that changes its files meanwhile
 */
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/xattr.h>
#include <time.h>

#include "fspf/file.h"
#include "test_fspf_inplace.h"
#include "tests/support/volume_check.h"
#include "tests/support/volume_world.h"

#define F_SIZE ((size_t)(600 * B + 123)) /* three pieces */
#define SEED 1u

static bool is_in_place(struct bed *b, const char *path)
{
	struct fspf_inode *inode;
	bool in_place;

	assert_int_equal(fspf_inode_get(b->t.v, bed_ino(b, path), &inode), 0);
	in_place = inode->a.in_place;
	fspf_inode_put(b->t.v, inode, 1);
	return in_place;
}

static struct bed *recorded(bool copy_up)
{
	struct bed *b = bed_new();

	assert_int_equal(mkdir(host_path(b, "d"), 0755), 0);
	host_make(b, "f", F_SIZE, SEED);
	host_make(b, "g", 1000, SEED);
	host_make(b, "empty", 0, SEED);
	assert_int_equal(bed_record(b, false), 0);
	b->copy_up = copy_up;
	bed_reopen(b, false);
	return b;
}

/* ---- what may not change ---- */

static void nothing_changes_without_copy_up(void **state)
{
	const struct fspf_caller caller = {0};
	struct bed *b = recorded(false);
	struct fspf_volume *v = b->t.v;
	uint64_t top = bed_ino(b, "/p"), f = bed_ino(b, "/p/f"), out;
	struct fspf_attr a = {.size = 5}, at;

	(void)state;
	out = test_volume_file(&b->t, FSPF_ROOT, "out", S_IFREG | 0600);
	assert_int_equal(fspf_create_file(v, top, "n", S_IFREG, 0, &caller, &at), -EROFS);
	assert_int_equal(fspf_create_file(v, top, "n", S_IFDIR, 0, &caller, &at), -EROFS);
	assert_int_equal(fspf_symlink(v, top, "n", "x", &caller, &at), -EROFS);
	assert_int_equal(fspf_tmpfile(v, top, 0600, &caller, &at), -EROFS);
	assert_int_equal(fspf_link(v, f, top, "n", &at), -EROFS);
	assert_int_equal(fspf_unlink(v, top, "f"), -EROFS);
	assert_int_equal(fspf_rmdir(v, top, "d"), -EROFS);
	assert_int_equal(fspf_rename(v, top, "f", top, "n", 0, &caller), -EROFS);
	for (uint32_t set = FSPF_SET_MODE; set <= FSPF_SET_KILL_PRIV; set <<= 1)
		assert_int_equal(fspf_setattr(v, f, set, &a, &at), -EROFS);
	a.size = 0;
	assert_int_equal(fspf_setattr(v, f, FSPF_SET_SIZE, &a, &at), -EROFS);
	assert_int_equal(fspf_write(v, f, 0, "x", 1, 0), -EROFS);
	assert_int_equal(fspf_fallocate(v, f, 0, 0, 1), -EROFS);
	assert_int_equal(fspf_copy_range(v, out, 0, f, 0, 1), -EROFS);
	assert_int_equal(fspf_setxattr(v, f, "user.a", "1", 1, 0, false), -EROFS);
	assert_int_equal(fspf_removexattr(v, f, "user.a"), -EROFS);
	assert_int_equal(bed_record(b, true), -EROFS);
	assert_int_equal(fspf_write(v, out, 0, "x", 1, 0), 1);
	assert_int_equal(bed_read(b, "/p/f", F_SIZE, SEED), 0);
	bed_free(b);
}

static void names_and_attributes_need_no_copy(void **state)
{
	const struct fspf_caller caller = {0};
	struct bed *b = recorded(true);
	struct fspf_attr a = {.mode = 0600, .uid = 7}, at;
	uint64_t top = bed_ino(b, "/p");

	(void)state;
	assert_int_equal(fspf_rename(b->t.v, top, "f", bed_ino(b, "/p/d"), "n", 0, &caller), 0);
	assert_int_equal(
		fspf_setattr(b->t.v, bed_ino(b, "/p/d/n"), FSPF_SET_MODE | FSPF_SET_UID, &a, &at),
		0);
	assert_int_equal(fspf_unlink(b->t.v, top, "g"), 0);
	bed_reopen(b, false);
	assert_int_equal(bed_attr(b, "/p/d/n").mode, S_IFREG | 0600);
	assert_true(is_in_place(b, "/p/d/n"));
	assert_int_equal(bed_read(b, "/p/d/n", F_SIZE, SEED), 0);
	assert_true(volume_check(b->t.v, NULL));
	bed_free(b);
}

/* ---- what is copied up ---- */

/* Does what is there read as the host's file under the change that @change made of it? */
struct copy_case {
	const char *path;
	size_t size;
	int (*make)(struct bed *b, uint64_t ino, uint8_t *want, size_t *size);
};

static int write_middle(struct bed *b, uint64_t ino, uint8_t *want, size_t *size)
{
	(void)size;
	memcpy(want + 5000, "changed", 7);
	return fspf_write(b->t.v, ino, 5000, "changed", 7, 0) == 7 ? 0 : -1;
}

static int write_small(struct bed *b, uint64_t ino, uint8_t *want, size_t *size)
{
	(void)size;
	memcpy(want + 10, "changed", 7);
	return fspf_write(b->t.v, ino, 10, "changed", 7, 0) == 7 ? 0 : -1;
}

static int append(struct bed *b, uint64_t ino, uint8_t *want, size_t *size)
{
	memcpy(want + *size, "more", 4);
	*size += 4;
	return fspf_write(b->t.v, ino, *size - 4, "more", 4, 0) == 4 ? 0 : -1;
}

static int cut(struct bed *b, uint64_t ino, uint8_t *want, size_t *size)
{
	struct fspf_attr a = {.size = 777}, at;

	(void)want;
	*size = 777;
	return fspf_setattr(b->t.v, ino, FSPF_SET_SIZE, &a, &at);
}

static int empty(struct bed *b, uint64_t ino, uint8_t *want, size_t *size)
{
	struct fspf_attr a = {.size = 0}, at;

	(void)want;
	*size = 0;
	return fspf_setattr(b->t.v, ino, FSPF_SET_SIZE, &a, &at);
}

static int punch(struct bed *b, uint64_t ino, uint8_t *want, size_t *size)
{
	(void)size;
	memset(want + 100, 0, 500);
	return fspf_fallocate(b->t.v, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 500);
}

static int copy_over(struct bed *b, uint64_t ino, uint8_t *want, size_t *size)
{
	uint64_t out = test_volume_file(&b->t, FSPF_ROOT, "out", S_IFREG | 0600);

	(void)size;
	memcpy(want + 9, "other", 5);
	if (fspf_write(b->t.v, out, 0, "other", 5, 0) != 5)
		return -1;
	return fspf_copy_range(b->t.v, out, 0, ino, 9, 5) == 5 ? 0 : -1;
}

static void check_contents(struct bed *b, const char *path, const uint8_t *want, size_t size)
{
	uint8_t *got = malloc(size + 1);

	assert_int_equal(fspf_read(b->t.v, bed_ino(b, path), 0, got, size + 1), size);
	assert_memory_equal(got, want, size);
	free(got);
}

static void check_copy(const struct copy_case *c)
{
	uint8_t *want = calloc(1, F_SIZE + 100);
	struct bed *b = recorded(true);
	struct fspf_verify_result result;
	struct fspf_error err;
	size_t size = c->size;

	fill(want, size, SEED);
	assert_int_equal(c->make(b, bed_ino(b, c->path), want, &size), 0);
	assert_false(is_in_place(b, c->path));
	check_contents(b, c->path, want, size);
	assert_int_equal(fspf_sync(b->t.v), 0);
	assert_true(volume_check(b->t.v, NULL));
	bed_reopen(b, false);
	if (unlink(host_path(b, c->path + 3)))
		fail_msg("%s", c->path);
	check_contents(b, c->path, want, size);
	host_make(b, c->path + 3, c->size, SEED);
	assert_int_equal(fspf_verify(b->t.v, NULL, NULL, &result, &err), 0);
	assert_int_equal(atomic_load(&b->t.reports), 0);
	bed_free(b);
	free(want);
}

static void changed_contents_are_copied_up(void **state)
{
	static const struct copy_case cases[] = {
		{"/p/f", F_SIZE, write_middle}, {"/p/f", F_SIZE, append},
		{"/p/f", F_SIZE, cut},		{"/p/f", F_SIZE, empty},
		{"/p/f", F_SIZE, punch},	{"/p/f", F_SIZE, copy_over},
		{"/p/g", 1000, write_small},	{"/p/g", 1000, append},
		{"/p/g", 1000, empty},		{"/p/empty", 0, append},
		{"/p/empty", 0, empty},		{"/p/empty", 0, cut},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_copy(&cases[i]);
}

static void what_does_not_verify_is_not_copied(void **state)
{
	struct bed *b = recorded(true);
	uint64_t f = bed_ino(b, "/p/f");
	struct fspf_attr a = {.size = 0}, at;

	(void)state;
	host_flip(b, "f", 500 * B);
	assert_int_equal(fspf_write(b->t.v, f, 0, "x", 1, 0), -EBADMSG);
	assert_true(is_in_place(b, "/p/f"));
	assert_int_equal(fspf_sync(b->t.v), 0);
	assert_true(volume_check(b->t.v, NULL));
	assert_int_equal(atomic_load(&bed_region(b)->blocks), 0);
	host_flip(b, "f", 500 * B);
	assert_int_equal(bed_read(b, "/p/f", F_SIZE, SEED), 0);
	host_flip(b, "f", 500 * B);
	assert_int_equal(fspf_setattr(b->t.v, f, FSPF_SET_SIZE, &a, &at), 0);
	assert_false(is_in_place(b, "/p/f"));
	bed_free(b);
}

/* ---- crashes ---- */

#define IMAGES 400
#define C_SIZE ((size_t)(4000 * B + 9))

struct crash {
	struct world w;
	pthread_mutex_t lock;
	struct store_fake *image[IMAGES];
	size_t n;
	uint64_t random;
	bool watching;
	atomic_bool stop;
};

static void at_store(void *ctx, enum store_fake_op op, uint64_t block, uint64_t count)
{
	struct crash *c = ctx;

	(void)op;
	(void)block;
	(void)count;
	pthread_mutex_lock(&c->lock);
	if (c->watching && c->n < IMAGES)
		c->image[c->n++] = store_fake_crash(c->w.disk, test_random(&c->random));
	pthread_mutex_unlock(&c->lock);
}

static void prepare_world(struct world *w, const char *host)
{
	w->v->regions[1]->in_place = w->v->regions[1]->copy_up = true;
	w->v->regions[1]->host_fd = open(host, O_PATH | O_DIRECTORY | O_CLOEXEC);
	w->v->authoring = true;
}

/* In place, or all of the copy: the host's file is gone, so what can be read is the copy's. */
static bool check_image(struct crash *c, struct store_fake *image, const char *host)
{
	struct world w;
	struct fspf_attr attr;
	struct fspf_inode *inode;
	uint8_t *got = malloc(C_SIZE), *want = malloc(C_SIZE);
	bool in_place;

	world_clone(&c->w, image, NULL, &w);
	w.no_anchor = w.expects_damage = true;
	w.hook = NULL;
	world_open(&w, false);
	prepare_world(&w, host);
	assert_int_equal(fspf_resolve(w.v, "/p/f", &attr), 0);
	assert_int_equal(attr.size, C_SIZE);
	assert_int_equal(fspf_inode_get(w.v, attr.ino, &inode), 0);
	in_place = inode->a.in_place;
	fspf_inode_put(w.v, inode, 1);
	if (in_place) {
		assert_int_equal(fspf_read(w.v, attr.ino, 0, got, C_SIZE), -EBADMSG);
	} else {
		fill(want, C_SIZE, SEED);
		assert_int_equal(fspf_read(w.v, attr.ino, 0, got, C_SIZE), C_SIZE);
		memcpy(want, got, 1); /* written, or not yet */
		assert_true(got[0] == 'x' || got[0] == (uint8_t)(SEED >> 11));
		assert_memory_equal(got, want, C_SIZE);
	}
	/* Something to commit, after which the space in use is known. */
	assert_int_equal(fspf_setattr(w.v, FSPF_ROOT, FSPF_SET_MODE, &attr, &attr), 0);
	assert_int_equal(fspf_sync(w.v), 0);
	assert_true(volume_check(w.v, NULL));
	free(got);
	free(want);
	world_free(&w, true);
	return in_place;
}

/* Commits, one behind the other. */
static void *committer(void *ctx)
{
	struct crash *c = ctx;
	struct fspf_attr attr = {.mode = 0755};

	while (!atomic_load(&c->stop))
		if (fspf_setattr(c->w.v, FSPF_ROOT, FSPF_SET_MODE, &attr, &attr) ||
		    fspf_sync(c->w.v))
			abort();
	return NULL;
}

/* L4, with commits at any moment. */
static void a_crash_leaves_the_one_or_the_other(void **state)
{
	static const struct world_region regions[] = {{"/p", FSPF_AUTHENTICATED}, {NULL, 0}};
	struct crash *c = calloc(1, sizeof(*c));
	struct bed host = {.host = "/tmp/fspf-inplace-XXXXXX"};
	struct fspf_error err;
	struct fspf_attr attr;
	size_t in_place = 0;
	pthread_t thread;

	(void)state;
	assert_non_null(mkdtemp(host.host));
	host_make(&host, "f", C_SIZE, SEED);
	c->random = test_seed("copyup");
	pthread_mutex_init(&c->lock, NULL);
	c->w.interval_ms = 1;
	c->w.hook = at_store;
	c->w.ctx = c;
	world_create(&c->w, FSPF_ENCRYPTED, 0, 256, regions);
	prepare_world(&c->w, host.host);
	assert_int_equal(fspf_import(c->w.v, "/p", host.host, NULL, &err), 0);
	assert_int_equal(fspf_sync(c->w.v), 0);
	assert_int_equal(fspf_resolve(c->w.v, "/p/f", &attr), 0);
	pthread_mutex_lock(&c->lock);
	c->watching = true;
	pthread_mutex_unlock(&c->lock);
	assert_int_equal(pthread_create(&thread, NULL, committer, c), 0);
	assert_int_equal(fspf_write(c->w.v, attr.ino, 0, "x", 1, 0), 1);
	assert_int_equal(fspf_sync(c->w.v), 0);
	atomic_store(&c->stop, true);
	pthread_join(thread, NULL);
	if (c->n == IMAGES)
		store_fake_free(c->image[--c->n]);
	at_store(c, STORE_FAKE_WRITE, 0, 0);
	pthread_mutex_lock(&c->lock);
	c->watching = false;
	pthread_mutex_unlock(&c->lock);
	fspf_forget(c->w.v, attr.ino, 1);
	world_abandon(&c->w);
	assert_int_equal(unlink(host_path(&host, "f")), 0);
	for (size_t i = 0; i < c->n; i++)
		in_place += check_image(c, c->image[i], host.host);
	print_message("%zu crashes, %zu of them with the file in place\n", c->n, in_place);
	assert_true(in_place > 0 && in_place < c->n);
	world_free(&c->w, false);
	assert_int_equal(rmdir(host.host), 0);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* A page of @block of @path, with bytes that are not the file's, as a copying leaves it. */
static void leave_remains(struct bed *b, const char *path, uint64_t block)
{
	struct fspf_inode *inode;
	uint8_t *page;
	bool used;

	assert_int_equal(fspf_inode_get(b->t.v, bed_ino(b, path), &inode), 0);
	assert_int_equal(fspf_promise(inode->region, 1), 0);
	assert_int_equal(fspf_begin(inode->region, false), 0);
	pthread_mutex_lock(&inode->lock);
	assert_int_equal(fspf_file_dirty_page(b->t.v, inode, block, true, &page, &used), 0);
	memset(page, 0xee, B);
	fspf_inode_dirty(b->t.v, inode);
	pthread_mutex_unlock(&inode->lock);
	fspf_end(b->t.v);
	fspf_inode_put(b->t.v, inode, 1);
}

/* L3: what a copying left that did not end is not seen, and no obstacle; it goes, even where the
 * file has a hole. */
static void remains_are_dropped(void **state)
{
	struct bed *b = bed_new();
	uint8_t *want = calloc(1, F_SIZE), *small = malloc(1000);
	struct fspf_verify_result result;
	struct fspf_error err;

	(void)state;
	fill(want, 2 * B, SEED);
	fill(small, 1000, SEED);
	host_put(b, "f", want, F_SIZE);
	host_put(b, "g", small, 1000);
	assert_int_equal(bed_record(b, false), 0);
	b->copy_up = true;
	bed_reopen(b, false);
	leave_remains(b, "/p/f", 3);
	leave_remains(b, "/p/f", 400);
	leave_remains(b, "/p/g", 0);
	check_contents(b, "/p/f", want, F_SIZE);
	bed_reopen(b, false);
	assert_true(is_in_place(b, "/p/f") && is_in_place(b, "/p/g"));
	assert_int_equal(atomic_load(&bed_region(b)->blocks), 3);
	check_contents(b, "/p/f", want, F_SIZE);
	check_contents(b, "/p/g", small, 1000);
	assert_int_equal(fspf_verify(b->t.v, NULL, NULL, &result, &err), 0);
	assert_int_equal(fspf_write(b->t.v, bed_ino(b, "/p/f"), 0, "x", 1, 0), 1);
	assert_int_equal(fspf_write(b->t.v, bed_ino(b, "/p/g"), 0, "x", 1, 0), 1);
	want[0] = small[0] = 'x';
	check_contents(b, "/p/f", want, F_SIZE);
	check_contents(b, "/p/g", small, 1000);
	bed_reopen(b, false);
	assert_int_equal(atomic_load(&bed_region(b)->blocks), 2); /* the others are holes */
	check_contents(b, "/p/f", want, F_SIZE);
	check_contents(b, "/p/g", small, 1000);
	assert_int_equal(fspf_verify(b->t.v, NULL, NULL, &result, &err), 0);
	free(want);
	free(small);
	bed_free(b);
}

/* ---- threads ---- */

struct party {
	struct bed *b;
	uint64_t ino;
	uint8_t *want; /* F_SIZE */
	atomic_bool stop;
	atomic_uint good, bad, wrong;
	uint8_t letter; /* of the next writer */
};

static void *reader(void *ctx)
{
	struct party *p = ctx;
	uint64_t random = (uint64_t)(uintptr_t)&random;
	uint8_t *got = malloc(F_SIZE);

	while (!atomic_load(&p->stop)) {
		uint64_t from = test_below(&random, F_SIZE - 1);
		size_t size = 1 + test_below(&random, F_SIZE - from);
		ssize_t n = fspf_read(p->b->t.v, p->ino, from, got, size);

		/* The first two bytes are the writers'. */
		size_t skip = from < 2 ? (size_t)(2 - from) : 0;

		if (n == -EBADMSG)
			atomic_fetch_add(&p->bad, 1);
		else if (n != (ssize_t)size ||
			 (size > skip &&
			  memcmp(got + skip, p->want + from + skip, size - skip) != 0))
			atomic_fetch_add(&p->wrong, 1);
		else
			atomic_fetch_add(&p->good, 1);
	}
	free(got);
	return NULL;
}

static void pause_ms(long ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static void *host_changer(void *ctx)
{
	struct party *p = ctx;
	uint64_t random = 5;

	while (!atomic_load(&p->stop)) {
		uint64_t at = test_below(&random, F_SIZE);

		switch (test_below(&random, 4)) {
		case 0:
			(void)!truncate(host_path(p->b, "f"), (off_t)at);
			host_put(p->b, "new", p->want, F_SIZE);
			(void)!rename(host_path(p->b, "new"), host_path(p->b, "f"));
			break;
		case 1:
			(void)!rename(host_path(p->b, "f"), host_path(p->b, "away"));
			(void)!rename(host_path(p->b, "away"), host_path(p->b, "f"));
			break;
		default:
			host_flip(p->b, "f", at);
			pause_ms(1);
			host_flip(p->b, "f", at);
		}
		pause_ms(1);
	}
	return NULL;
}

static void party_begin(struct party *p, struct bed *b)
{
	*p = (struct party){.b = b, .ino = bed_ino(b, "/p/f"), .want = malloc(F_SIZE)};
	fill(p->want, F_SIZE, SEED);
}

/* L1: whatever the host does and when, never a wrong byte. */
static void readers_beside_a_changing_host(void **state)
{
	struct bed *b = recorded(false);
	pthread_t thread[3];
	struct party p;

	(void)state;
	party_begin(&p, b);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, i ? reader : host_changer, &p),
				 0);
	pause_ms(3000);
	atomic_store(&p.stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	print_message("%u whole, %u damaged\n", atomic_load(&p.good), atomic_load(&p.bad));
	assert_int_equal(atomic_load(&p.wrong), 0);
	assert_true(atomic_load(&p.good) > 0 && atomic_load(&p.bad) > 0);
	free(p.want);
	bed_free(b);
}

static void *writer(void *ctx)
{
	struct party *p = ctx;
	uint8_t letter = __atomic_fetch_add(&p->letter, 1, __ATOMIC_SEQ_CST);

	if (fspf_write(p->b->t.v, p->ino, letter, &letter, 1, 0) != 1)
		atomic_fetch_add(&p->wrong, 1);
	return NULL;
}

static void writers_race_and_readers_read(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		struct bed *b = recorded(true);
		pthread_t thread[4];
		struct party p;

		party_begin(&p, b);
		for (int i = 0; i < 4; i++)
			assert_int_equal(
				pthread_create(&thread[i], NULL, i < 2 ? reader : writer, &p), 0);
		pthread_join(thread[2], NULL);
		pthread_join(thread[3], NULL);
		pause_ms(10);
		atomic_store(&p.stop, true);
		pthread_join(thread[0], NULL);
		pthread_join(thread[1], NULL);
		assert_int_equal(atomic_load(&p.wrong), 0);
		assert_int_equal(atomic_load(&p.bad), 0);
		p.want[0] = 0;
		p.want[1] = 1;
		check_contents(b, "/p/f", p.want, F_SIZE);
		assert_int_equal(fspf_sync(b->t.v), 0);
		assert_true(volume_check(b->t.v, NULL));
		free(p.want);
		bed_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_changes_without_copy_up),
		cmocka_unit_test(names_and_attributes_need_no_copy),
		cmocka_unit_test(changed_contents_are_copied_up),
		cmocka_unit_test(what_does_not_verify_is_not_copied),
		cmocka_unit_test(a_crash_leaves_the_one_or_the_other),
		cmocka_unit_test(remains_are_dropped),
		cmocka_unit_test(readers_beside_a_changing_host),
		cmocka_unit_test(writers_race_and_readers_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
