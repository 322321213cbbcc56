/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_snapshot.c - snapshots keep what they kept, and nothing else stays
 *
 * Random histories on a volume and a model: at any time each snapshot reads, to the last byte, as
 * the model did when it was made, the volume is sound (tests/support/volume_check.h, S6 among it)
 * and verifies, and the snapshots that are listed are those that were made and not deleted.  Then
 * the power fails at every write of making, deleting and restoring; and case by case.
 *
 * FSPF_TEST_HISTORIES: how many.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fspf/commit.h"
#include "fspf/extent.h"
#include "fspf/snapshot.h"
#include "tests/support/volume_check.h"
#include "tests/support/volume_driver.h"
#include "tests/support/volume_world.h"

#define KEPT_MAX 8u

static unsigned setting(const char *name, unsigned fallback)
{
	const char *value = getenv(name);

	return value ? (unsigned)strtoul(value, NULL, 0) : fallback;
}

/* What a snapshot must read as. */
struct kept {
	char name[32];
	char *text;
	struct crypto_digest tag;
};

struct history {
	struct world w;
	struct volume_driver d;
	uint64_t random;
	struct kept kept[KEPT_MAX];
	size_t n;
	unsigned made, deleted, restored, inexact;
};

static void must(int r, const struct fspf_error *err)
{
	if (r)
		model_fail("%d, %s", r, err->text);
}

/* ---- looking ---- */

static char *text_of(struct fspf_volume *v)
{
	int error = 0;
	char *text = model_volume_text(v, &error);

	if (!text)
		model_fail("reading fails with %d", error);
	return text;
}

static void check_text(const char *what, const char *should, struct fspf_volume *v)
{
	char *text = text_of(v);

	if (strcmp(should, text)) {
		model_text_difference(should, text);
		model_fail("%s reads otherwise", what);
	}
	free(text);
}

static void check_kept(struct fspf_volume *v, const struct kept *k)
{
	const struct fspf_snapshot *s = fspf_snapshot_find(v->root, k->name);
	struct fspf_volume *view = NULL;

	if (!s || !crypto_digest_equal(&s->tag, &k->tag))
		model_fail("snapshot %s is not listed", k->name);
	if (fspf_snapshot_view(v, s, &view))
		model_fail("snapshot %s cannot be opened", k->name);
	check_text(k->name, k->text, view);
	fspf_snapshot_view_free(view);
}

static void check_whole(struct fspf_volume *v)
{
	struct fspf_verify_result result;
	struct fspf_error err;

	must(fspf_verify(v, NULL, NULL, &result, &err), &err);
}

static void check_list(const struct history *h, struct fspf_volume *v)
{
	struct fspf_snapshot_info info[FSPF_SNAPSHOTS_MAX];
	size_t n = 0;

	if (fspf_snapshots(v, info, &n) || n != h->n)
		model_fail("%zu snapshots, and not %zu", n, h->n);
	for (size_t i = 0; i < n; i++)
		if (strcmp(info[i].name, h->kept[i].name))
			model_fail("snapshot %zu is %s", i, info[i].name);
}

static int nothing(struct fspf_volume *v, void *ctx)
{
	(void)v;
	(void)ctx;
	return 0;
}

/* What opening leaves to the committer is done. */
static void settle(struct fspf_volume *v)
{
	if (fspf_commit_do(v, nothing, NULL))
		model_fail("the committer does nothing");
}

static void check_all(struct history *h)
{
	settle(h->w.v);
	check_list(h, h->w.v);
	for (size_t i = 0; i < h->n; i++)
		check_kept(h->w.v, &h->kept[i]);
	(void)volume_driver_do(&h->d, DRIVER_SYNC);
	if (!volume_check(h->w.v, NULL))
		model_fail("the volume is unsound");
	check_whole(h->w.v);
	h->inexact += !fspf_space_is_exact(h->w.v->space);
}

/* ---- doing ---- */

static void load(struct history *h)
{
	h->d = (struct volume_driver){.m = model_load(h->w.v),
				      .v = h->w.v,
				      .random = test_random(&h->random),
				      .profile = &driver_mixed};
}

static void unload(struct history *h)
{
	model_free(h->d.m);
	h->d.m = NULL;
}

static void make(struct history *h, const char *name)
{
	struct kept *k = &h->kept[h->n];
	struct fspf_error err;

	snprintf(k->name, sizeof(k->name), "%s", name);
	must(fspf_snapshot_create(h->w.v, k->name, &k->tag, &err), &err);
	k->text = model_text(h->d.m);
	h->n++;
	h->made++;
}

static void delete (struct history *h, size_t i)
{
	struct fspf_error err;

	must(fspf_snapshot_delete(h->w.v, h->kept[i].name, &err), &err);
	free(h->kept[i].text);
	memmove(&h->kept[i], &h->kept[i + 1], (--h->n - i) * sizeof(h->kept[0]));
	h->deleted++;
}

/* As the command does it; the volume is closed before and after. */
static int try_restore(struct world *w, const char *name, struct fspf_error *err)
{
	static struct fspf_region_info gone[FSPF_REGIONS_MAX];
	struct fspf_open_params params = {.path = "test", .credential = w->key};
	size_t ngone;

	params.anchor = anchor_fake_open(&w->anchor);
	if (store_fake_open(w->disk, FSPF_STORE_READ_WRITE, &params.store))
		model_fail("the medium is in use");
	if (w->hook)
		params.store = store_watch_new(params.store, w->hook, w->ctx);
	return fspf_snapshot_restore(&params, name, gone, &ngone, NULL, err);
}

static void restore(struct history *h, size_t i)
{
	struct crypto_digest before = h->w.anchor.tag;
	struct fspf_error err;

	must(try_restore(&h->w, h->kept[i].name, &err), &err);
	if (crypto_digest_equal(&before, &h->w.anchor.tag) ||
	    crypto_digest_equal(&h->kept[i].tag, &h->w.anchor.tag))
		model_fail("a restored state has an old tag");
	world_open(&h->w, false);
	check_text("the restored volume", h->kept[i].text, h->w.v);
	h->restored++;
}

/* Close, or let the power fail, when all is durable; maybe go back to a snapshot; and open. */
static void turn(struct history *h)
{
	uint64_t what = test_below(&h->random, 4);

	(void)volume_driver_do(&h->d, DRIVER_SYNC);
	unload(h);
	if (what)
		world_close(&h->w);
	else
		world_abandon(&h->w);
	if (what == 1 && h->n)
		restore(h, test_below(&h->random, h->n));
	else
		world_open(&h->w, false);
	load(h);
}

static void step(struct history *h)
{
	char name[32];
	uint64_t what = test_below(&h->random, 100);

	snprintf(name, sizeof(name), "snapshot %u", h->made);
	if (what < 4 && h->n < KEPT_MAX)
		make(h, name);
	else if (what < 7 && h->n)
		delete (h, test_below(&h->random, h->n));
	else if (what < 9)
		turn(h);
	else
		(void)volume_driver_step(&h->d);
	if (what < 9)
		check_all(h);
}

static const struct world_region regions[] = {
	{"/auth", FSPF_AUTHENTICATED},
	{NULL, 0},
};

static void begin(struct history *h, const char *name, uint64_t size)
{
	memset(h, 0, sizeof(*h));
	h->random = test_seed(name);
	world_create(&h->w, FSPF_ENCRYPTED, size, 256, regions);
	load(h);
}

static void end(struct history *h)
{
	unload(h);
	while (h->n)
		free(h->kept[--h->n].text);
	world_free(&h->w, false);
}

/* S6 */
static void test_s6_random_histories(void **state)
{
	struct history h;

	(void)state;
	for (unsigned i = 0; i < setting("FSPF_TEST_HISTORIES", 6); i++) {
		begin(&h, "snapshots", 0);
		for (unsigned n = 0; n < 400; n++)
			step(&h);
		check_all(&h);
		printf("made %u, deleted %u, restored %u, not exact %u times\n", h.made, h.deleted,
		       h.restored, h.inexact);
		end(&h);
	}
}

/* ---- power cuts ---- */

struct image {
	struct store_fake *disk;
	struct crypto_digest tag;
	bool done; /* it was over: the state is the one after */
};

struct cuts {
	struct history h;
	pthread_mutex_t lock;
	uint64_t random;
	struct image *image;
	size_t n;
	atomic_bool done;
	struct crypto_digest tag;
	char *before, *after; /* what the volume reads as */
	size_t nbefore, nafter;
};

static void cut_here(struct cuts *c, const struct crypto_digest *tag)
{
	pthread_mutex_lock(&c->lock);
	for (int i = 0; i < 2; i++) {
		c->image = reallocarray(c->image, c->n + 1, sizeof(*c->image));
		if (!c->image)
			abort();
		c->image[c->n++] =
			(struct image){store_fake_crash(c->h.w.disk, test_random(&c->random)), *tag,
				       atomic_load(&c->done)};
	}
	pthread_mutex_unlock(&c->lock);
}

static void at_store(void *ctx, enum store_fake_op op, uint64_t block, uint64_t count)
{
	struct cuts *c = ctx;

	(void)op;
	(void)block;
	(void)count;
	cut_here(c, &c->tag);
}

static void at_anchor(void *ctx, bool after, const struct crypto_digest *tag)
{
	struct cuts *c = ctx;

	if (!after)
		cut_here(c, &c->tag);
	else
		c->tag = *tag;
	cut_here(c, tag);
}

static void watch(struct cuts *c)
{
	c->tag = c->h.w.anchor.tag;
	c->h.w.hook = at_store;
	c->h.w.anchor.hook = at_anchor;
	c->h.w.ctx = c->h.w.anchor.ctx = c;
}

/* One more, by the volume that a cut has left. */
static void go_on(struct world *w)
{
	struct fspf_attr attr = {.mode = 0700};
	struct fspf_error err;

	if (fspf_setattr(w->v, FSPF_ROOT, FSPF_SET_MODE, &attr, &attr))
		model_fail("the volume cannot go on");
	must(fspf_snapshot_create(w->v, "one more", NULL, &err), &err);
	must(fspf_snapshot_delete(w->v, "one more", &err), &err);
	if (fspf_sync(w->v) || !volume_check(w->v, NULL))
		model_fail("the volume is unsound");
}

static void check_image(struct cuts *c, const struct image *image)
{
	struct history *h = &c->h;
	char *text;
	size_t n;
	struct world w;

	world_clone(&h->w, image->disk, &image->tag, &w);
	world_open(&w, false);
	settle(w.v);
	text = text_of(w.v);
	n = w.v->root->nsnapshots;
	if (!((!strcmp(text, c->after) && n == c->nafter) ||
	      (!image->done && !strcmp(text, c->before) && n == c->nbefore)))
		model_fail("a cut left %zu snapshots and neither state", n);
	free(text);
	for (size_t i = 0; i < w.v->root->nsnapshots && i < h->n; i++)
		check_kept(w.v, &h->kept[i]);
	check_whole(w.v);
	go_on(&w);
	check_whole(w.v);
	world_close(&w);
	world_open(&w, true);
	check_whole(w.v);
	world_free(&w, true);
}

static void check_images(struct cuts *c)
{
	assert_true(c->n > 8);
	for (size_t i = 0; i < c->n; i++)
		check_image(c, &c->image[i]);
	printf("%zu cuts\n", c->n);
	free(c->image);
	free(c->before);
	free(c->after);
	pthread_mutex_destroy(&c->lock);
}

/* Two snapshots, and changes after each. */
static void begin_cuts(struct cuts *c, const char *name)
{
	memset(c, 0, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	begin(&c->h, name, 0);
	c->random = test_random(&c->h.random);
	for (int i = 0; i < 3; i++) {
		for (unsigned n = 0; n < 60; n++)
			(void)volume_driver_step(&c->h.d);
		if (i < 2)
			make(&c->h, i ? "b" : "a");
	}
	(void)volume_driver_do(&c->h.d, DRIVER_SYNC);
	unload(&c->h);
	world_close(&c->h.w);
	watch(c);
}

static void end_cuts(struct cuts *c)
{
	c->h.w.hook = NULL;
	c->h.w.anchor.hook = NULL;
	while (c->h.n)
		free(c->h.kept[--c->h.n].text);
	world_free(&c->h.w, false);
}

static void test_cuts_while_making(void **state)
{
	struct cuts c;
	struct fspf_error err;

	(void)state;
	begin_cuts(&c, "making");
	world_open(&c.h.w, false);
	c.before = text_of(c.h.w.v);
	c.after = text_of(c.h.w.v);
	c.nbefore = 2;
	c.nafter = 3;
	must(fspf_snapshot_create(c.h.w.v, "c", NULL, &err), &err);
	atomic_store(&c.done, true);
	world_close(&c.h.w);
	check_images(&c);
	end_cuts(&c);
}

/* @name goes: the newest, or an older one. */
static void cuts_while_deleting(const char *name, size_t i)
{
	struct cuts c;
	struct fspf_error err;

	begin_cuts(&c, "deleting");
	world_open(&c.h.w, false);
	c.before = text_of(c.h.w.v);
	c.after = text_of(c.h.w.v);
	c.nbefore = 2;
	c.nafter = 1;
	must(fspf_snapshot_delete(c.h.w.v, name, &err), &err);
	atomic_store(&c.done, true);
	world_close(&c.h.w);
	free(c.h.kept[i].text); /* the one that stays is looked at where it is listed */
	c.h.kept[0] = c.h.kept[1 - i];
	c.h.n = 1;
	for (size_t k = 0; k < c.n; k++) { /* before, both are there */
		struct world w;

		world_clone(&c.h.w, store_fake_clone(c.image[k].disk), &c.image[k].tag, &w);
		world_open(&w, true);
		check_kept(w.v, &c.h.kept[0]);
		world_free(&w, true);
	}
	c.h.n = 0;
	check_images(&c);
	c.h.n = 1;
	end_cuts(&c);
}

static void test_cuts_while_deleting(void **state)
{
	(void)state;
	cuts_while_deleting("a", 0);
	cuts_while_deleting("b", 1);
}

static void test_cuts_while_restoring(void **state)
{
	struct cuts c;
	struct fspf_error err;

	(void)state;
	begin_cuts(&c, "restoring");
	world_open(&c.h.w, true);
	c.before = text_of(c.h.w.v);
	world_abandon(&c.h.w);
	c.after = strdup(c.h.kept[0].text);
	c.nbefore = c.nafter = 2;
	must(try_restore(&c.h.w, "a", &err), &err);
	atomic_store(&c.done, true);
	world_open(&c.h.w, false);
	world_close(&c.h.w);
	check_images(&c);
	end_cuts(&c);
}

/* ---- cases ---- */

static const struct fspf_caller caller = {0};

static uint64_t new_file(struct fspf_volume *v, const char *name, uint64_t size, uint8_t fill)
{
	uint8_t data[65536];
	struct fspf_attr attr;

	memset(data, fill, sizeof(data));
	assert_int_equal(fspf_create_file(v, FSPF_ROOT, name, S_IFREG | 0600, 0, &caller, &attr),
			 0);
	for (uint64_t at = 0; at < size; at += sizeof(data))
		assert_int_equal(fspf_write(v, attr.ino, at, data, sizeof(data), 0), sizeof(data));
	fspf_forget(v, attr.ino, 1);
	return attr.ino;
}

static uint64_t used(struct fspf_volume *v)
{
	struct fspf_space_stat stat;

	fspf_space_stat(v->space, &stat);
	return stat.used;
}

static void begin_case(struct world *w, uint64_t size)
{
	memset(w, 0, sizeof(*w));
	world_create(w, FSPF_ENCRYPTED, size, 256, NULL);
}

static void sound(struct world *w)
{
	settle(w->v);
	assert_int_equal(fspf_sync(w->v), 0);
	assert_true(volume_check(w->v, NULL));
	check_whole(w->v);
}

/* The space of what only a snapshot has comes back, in the store too. */
static void test_space_comes_back(void **state)
{
	struct fspf_error err;
	struct world w;
	uint64_t before, allocated;

	(void)state;
	begin_case(&w, 0);
	(void)new_file(w.v, "stays", 1 << 20, 1);
	assert_int_equal(fspf_sync(w.v), 0);
	before = used(w.v);
	(void)new_file(w.v, "goes", 16 << 20, 2);
	must(fspf_snapshot_create(w.v, "s", NULL, &err), &err);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "goes"), 0);
	sound(&w);
	assert_true(used(w.v) > before + (16 << 20) / FSPF_BLOCK_SIZE);
	world_close(&w);
	allocated = store_fake_allocated(w.disk);
	world_open(&w, false);
	must(fspf_snapshot_delete(w.v, "s", &err), &err);
	sound(&w);
	assert_true(used(w.v) < before + 16);
	world_close(&w);
	assert_true(store_fake_allocated(w.disk) < allocated - 15 * 256);
	world_free(&w, false);
}

/* A is restored and deleted, B is newer: what the volume then gives up may be nobody's, and is
 * found at the next open. */
static void test_nobody_keeps_a_branch(void **state)
{
	struct fspf_error err;
	struct world w;
	uint64_t before;

	(void)state;
	begin_case(&w, 0);
	must(fspf_snapshot_create(w.v, "empty", NULL, &err), &err);
	before = used(w.v);
	(void)new_file(w.v, "f", 4 << 20, 1);
	must(fspf_snapshot_create(w.v, "a", NULL, &err), &err);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "f"), 0);
	must(fspf_snapshot_create(w.v, "b", NULL, &err), &err);
	world_close(&w);
	must(try_restore(&w, "a", &err), &err);
	world_open(&w, false);
	must(fspf_snapshot_delete(w.v, "a", &err), &err);
	assert_false(fspf_space_is_exact(w.v->space));
	assert_int_equal(fspf_sync(w.v), 0);
	world_abandon(&w); /* the trees say it too */
	world_open(&w, false);
	settle(w.v);
	assert_false(fspf_space_is_exact(w.v->space));
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "f"), 0);
	sound(&w);
	assert_true(used(w.v) > before + 1000);
	world_close(&w);
	world_open(&w, false);
	sound(&w);
	assert_true(fspf_space_is_exact(w.v->space));
	assert_true(used(w.v) < before + 64);
	world_free(&w, false);
}

/* ---- what is given back meanwhile ---- */

struct meanwhile {
	struct world w;
	bool armed;
	uint64_t fail_at; /* which write from then on fails; 0: none */
};

/* Beside the first commit: its state is frozen, and its record about to be written. */
static void unlink_meanwhile(void *ctx, enum store_fake_op op, uint64_t block, uint64_t count)
{
	struct meanwhile *m = ctx;

	(void)count;
	if (!m->armed || op != STORE_FAKE_WRITE || block >= FSPF_HEAD_BLOCKS)
		return;
	m->armed = false;
	store_fake_fail_at(m->w.disk, STORE_FAKE_WRITE, m->fail_at, -ENOSPC);
	if (fspf_unlink(m->w.v, FSPF_ROOT, "f"))
		model_fail("unlink fails");
}

/* A file of 1024 blocks. */
static void begin_meanwhile(struct meanwhile *m)
{
	memset(m, 0, sizeof(*m));
	begin_case(&m->w, 0);
	world_close(&m->w);
	m->w.hook = unlink_meanwhile;
	m->w.ctx = m;
	world_open(&m->w, false);
	(void)new_file(m->w.v, "f", 4 << 20, 1);
	sound(&m->w);
}

static void end_meanwhile(struct meanwhile *m, uint64_t should_use)
{
	assert_false(m->armed);
	sound(&m->w);
	assert_true(fspf_space_is_exact(m->w.v->space));
	assert_true(used(m->w.v) < should_use + 64 && used(m->w.v) + 64 > should_use);
	world_free(&m->w, false);
}

/* The snapshot has it if it is made, and nobody if making fails. */
static void test_given_back_while_making(void **state)
{
	struct fspf_error err;
	struct meanwhile m;

	(void)state;
	begin_meanwhile(&m);
	m.armed = true;
	must(fspf_snapshot_create(m.w.v, "s", NULL, &err), &err);
	end_meanwhile(&m, 1024);

	begin_meanwhile(&m);
	m.armed = true;
	m.fail_at = 2; /* that of the copy */
	assert_int_equal(fspf_snapshot_create(m.w.v, "s", NULL, &err), -ENOSPC);
	assert_int_equal(m.w.v->root->nsnapshots, 0);
	end_meanwhile(&m, 0);
}

/* Only the deleted one had it, or another has it too. */
static void test_given_back_while_deleting(void **state)
{
	struct fspf_error err;
	struct meanwhile m;

	(void)state;
	begin_meanwhile(&m);
	must(fspf_snapshot_create(m.w.v, "s", NULL, &err), &err);
	m.armed = true;
	must(fspf_snapshot_delete(m.w.v, "s", &err), &err);
	end_meanwhile(&m, 0);

	begin_meanwhile(&m);
	must(fspf_snapshot_create(m.w.v, "s", NULL, &err), &err);
	must(fspf_snapshot_create(m.w.v, "t", NULL, &err), &err);
	m.armed = true;
	must(fspf_snapshot_delete(m.w.v, "t", &err), &err);
	end_meanwhile(&m, 1024);
}

/* S2: until the restored state is published the one before is whole. */
static void test_restore_leaves_late(void **state)
{
	struct fspf_open_params params = {
		.path = "test", .snapshot = "s", .restore = true, .commit_interval_ms = UINT32_MAX};
	struct fspf_error err;
	struct fspf_space_stat stat;
	uint64_t before;
	struct world w;

	(void)state;
	begin_case(&w, 0);
	must(fspf_snapshot_create(w.v, "s", NULL, &err), &err);
	(void)new_file(w.v, "f", 4 << 20, 1);
	sound(&w);
	before = used(w.v);
	world_close(&w);
	params.credential = w.key;
	params.anchor = anchor_fake_open(&w.anchor);
	assert_int_equal(store_fake_open(w.disk, FSPF_STORE_READ_WRITE, &params.store), 0);
	must(fspf_open(&params, &w.v, &err), &err);
	settle(w.v);
	fspf_space_stat(w.v->space, &stat);
	assert_true(stat.deferred >= 1024);
	assert_true(stat.used + stat.deferred >= before);
	world_abandon(&w);
	world_open(&w, false);
	sound(&w);
	assert_true(used(w.v) >= 1024);
	world_free(&w, false);
}

/* Write until there is no space, in ever smaller pieces; what a commit gives back, too. */
static void fill(struct fspf_volume *v, uint64_t ino, uint64_t *at)
{
	static uint8_t data[65536];
	ssize_t r;

	for (size_t size = sizeof(data); size >= 4096; size /= 4) {
		do {
			r = fspf_write(v, ino, *at, data, size, 0);
			*at += r > 0 ? (uint64_t)r : 0;
		} while (r > 0);
		assert_int_equal(r, -ENOSPC);
	}
}

/* A full volume: there is no space for one, and nothing is lost; one that fills it can go. */
static void test_full_disk(void **state)
{
	struct fspf_error err;
	struct world w;
	uint64_t ino, at = 1 << 20;

	(void)state;
	begin_case(&w, FSPF_SIZE_MIN);
	ino = new_file(w.v, "f", 1 << 20, 1);
	must(fspf_snapshot_create(w.v, "first", NULL, &err), &err);
	fill(w.v, ino, &at);
	while (fspf_snapshot_create(w.v, "second", NULL, &err) == 0) {
		must(fspf_snapshot_delete(w.v, "second", &err), &err);
		assert_int_equal(fspf_sync(w.v), 0);
		fill(w.v, ino, &at);
	}
	assert_int_equal(err.code, -ENOSPC);
	sound(&w);
	assert_int_equal(w.v->root->nsnapshots, 1);
	must(fspf_snapshot_delete(w.v, "first", &err), &err);
	sound(&w);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "f"), 0);
	must(fspf_snapshot_create(w.v, "second", NULL, &err), &err);
	sound(&w);
	world_free(&w, false);
}

static int try_select(struct world *w, const char *name, bool keyed, struct fspf_error *err)
{
	struct fspf_open_params params = {.path = "test",
					  .credential = keyed ? w->key : NULL,
					  .snapshot = name,
					  .commit_interval_ms = UINT32_MAX};

	params.anchor = anchor_fake_open(&w->anchor);
	assert_int_equal(store_fake_open(w->disk, FSPF_STORE_READ_ONLY, &params.store), 0);
	return fspf_open(&params, &w->v, err);
}

/* One damaged copy: that snapshot is refused, by itself; it can be deleted. */
static void test_tampered_copy(void **state)
{
	struct crypto_digest tag, got;
	struct fspf_verify_result result;
	struct fspf_error err;
	uint8_t block[FSPF_BLOCK_SIZE];
	struct world w;
	uint64_t before, addr;

	(void)state;
	begin_case(&w, 0);
	(void)new_file(w.v, "f", 1 << 20, 1);
	must(fspf_snapshot_create(w.v, "good", &tag, &err), &err);
	before = used(w.v);
	(void)new_file(w.v, "g", 1 << 20, 1);
	must(fspf_snapshot_create(w.v, "bad", NULL, &err), &err);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "g"), 0);
	addr = fspf_snapshot_find(w.v->root, "bad")->addr;
	store_fake_get(w.disk, addr, block);
	block[300] ^= 1;
	store_fake_put(w.disk, addr, block);
	world_close(&w);

	w.expects_damage = true;
	assert_int_equal(try_select(&w, "bad", true, &err), -EBADMSG);
	assert_int_equal(try_select(&w, "none", true, &err), -ENOENT);
	assert_int_equal(try_select(&w, "good", false, &err), -ENOKEY);
	assert_int_equal(try_restore(&w, "bad", &err), -EBADMSG);
	assert_int_equal(try_select(&w, "good", true, &err), 0);
	fspf_tag(w.v, &got);
	assert_true(crypto_digest_equal(&tag, &got));
	assert_true(fspf_is_read_only(w.v));
	check_whole(w.v);
	world_abandon(&w);

	world_open(&w, false);
	assert_int_equal(fspf_verify(w.v, NULL, NULL, &result, &err), -EBADMSG);
	assert_int_equal(result.damaged_nodes, 1);
	world_abandon(&w);
	world_open(&w, false); /* as after a crash: what can be read is kept */
	must(fspf_snapshot_delete(w.v, "bad", &err), &err);
	world_close(&w);
	w.expects_damage = false;
	world_open(&w, false);
	sound(&w);
	assert_true(used(w.v) < before + 64);
	world_free(&w, false);
}

static void count_line(void *ctx, const struct fspf_report *report)
{
	unsigned *lines = ctx;

	*lines += !strncmp(report->text, "damaged: snapshot s: /g", 23);
}

/* Damage in what only a snapshot has is told with its path there. */
static void test_damage_is_told_by_path(void **state)
{
	struct fspf_verify_result result;
	struct fspf_error err;
	struct world w;
	unsigned lines = 0;
	const struct fspf_transfer transfer = {.report = count_line, .ctx = &lines};
	uint64_t ino;
	struct fspf_block block;
	struct fspf_inode *inode;

	(void)state;
	begin_case(&w, 0);
	(void)new_file(w.v, "f", 1 << 20, 1);
	ino = new_file(w.v, "g", 1 << 20, 1);
	must(fspf_snapshot_create(w.v, "s", NULL, &err), &err);
	assert_int_equal(fspf_inode_get(w.v, ino, &inode), 0);
	assert_int_equal(fspf_map_read(inode, 7, 1, &block), 0);
	fspf_inode_put(w.v, inode, 1);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "g"), 0);
	sound(&w);
	store_fake_corrupt(w.disk, block.addr, 3);
	assert_int_equal(fspf_verify(w.v, NULL, &transfer, &result, &err), -EBADMSG);
	assert_int_equal(lines, 1);
	assert_int_equal(result.damaged_blocks, 1);
	assert_int_equal(result.damaged_files, 1);
	world_free(&w, false);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", "a/b", "/", "a\nb", "\x7f"};
	char name[FSPF_SNAPSHOT_NAME_MAX + 2];
	struct fspf_error err;
	struct world w;

	(void)state;
	begin_case(&w, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(fspf_snapshot_create(w.v, bad[i], NULL, &err), -EINVAL);
	memset(name, 'x', sizeof(name));
	name[FSPF_SNAPSHOT_NAME_MAX + 1] = 0;
	assert_int_equal(fspf_snapshot_create(w.v, name, NULL, &err), -EINVAL);
	name[FSPF_SNAPSHOT_NAME_MAX] = 0;
	must(fspf_snapshot_create(w.v, name, NULL, &err), &err);
	assert_int_equal(fspf_snapshot_create(w.v, name, NULL, &err), -EEXIST);
	assert_int_equal(fspf_snapshot_delete(w.v, "none", &err), -ENOENT);
	world_close(&w);
	assert_int_equal(try_restore(&w, "none", &err), -ENOENT);
	world_open(&w, true);
	assert_int_equal(fspf_snapshot_create(w.v, "s", NULL, &err), -EROFS);
	assert_int_equal(fspf_snapshot_delete(w.v, name, &err), -EROFS);
	world_free(&w, false);
}

/* A region whose prefix takes most of a kilobyte of the record. */
static void add_long_region(struct world *w, unsigned i)
{
	char prefix[FSPF_PREFIX_MAX + 1];
	struct fspf_error err;
	size_t len = 0;

	for (int part = 0; part < 4; part++) {
		len += (size_t)snprintf(prefix + len, sizeof(prefix) - len, "/%u", i);
		memset(prefix + len, 'p', 240);
		len += 240;
	}
	prefix[len] = 0;
	must(fspf_region_add(w->v,
			     &(struct fspf_region_params){.prefix = prefix,
							  .protection = FSPF_AUTHENTICATED},
			     &err),
	     &err);
}

/* As many as there may be; and as many as the record has room for. */
static void test_limits(void **state)
{
	struct fspf_error err;
	struct world w;
	char name[FSPF_SNAPSHOT_NAME_MAX + 1];
	unsigned n = 0;

	(void)state;
	begin_case(&w, 0);
	for (; n < FSPF_SNAPSHOTS_MAX; n++) {
		snprintf(name, sizeof(name), "%u", n);
		must(fspf_snapshot_create(w.v, name, NULL, &err), &err);
	}
	assert_int_equal(fspf_snapshot_create(w.v, "more", NULL, &err), -ENOSPC);
	sound(&w);
	world_free(&w, false);

	begin_case(&w, 0);
	for (unsigned i = 0; i < 25; i++)
		add_long_region(&w, i);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	for (n = 0; n < FSPF_SNAPSHOTS_MAX; n++) {
		snprintf(name, 4, "%03u", n);
		name[3] = 'x';
		if (fspf_snapshot_create(w.v, name, NULL, &err))
			break;
	}
	assert_in_range(n, 50, FSPF_SNAPSHOTS_MAX - 1);
	assert_int_equal(err.code, -ENOSPC);
	sound(&w);
	world_close(&w);
	world_open(&w, false);
	sound(&w);
	assert_int_equal(w.v->root->nsnapshots, n);
	world_free(&w, false);
}

/* A region that was added since is gone, and its number is not given again. */
static void test_restore_takes_regions_away(void **state)
{
	struct fspf_region_info region[FSPF_REGIONS_MAX];
	const struct fspf_region_params params = {.prefix = "/new", .protection = FSPF_ENCRYPTED};
	struct fspf_error err;
	uint64_t object;
	struct world w;
	size_t n;

	(void)state;
	begin_case(&w, 0);
	must(fspf_snapshot_create(w.v, "s", NULL, &err), &err);
	must(fspf_region_add(w.v, &params, &err), &err);
	object = new_file(w.v, "f", 65536, 1);
	world_close(&w);
	must(try_restore(&w, "s", &err), &err);
	world_open(&w, false);
	fspf_regions(w.v, region, &n);
	assert_int_equal(n, 1);
	must(fspf_region_add(w.v, &params, &err), &err);
	fspf_regions(w.v, region, &n);
	assert_int_equal(n, 2);
	assert_int_equal(region[1].id, 2);
	assert_true(new_file(w.v, "f", 65536, 1) > object);
	sound(&w);
	world_free(&w, false);
}

/* ---- beside operations ---- */

#define WRITERS 3

struct beside {
	struct fspf_volume *v;
	unsigned number;
	atomic_bool *stop;
};

/* The first file is always as far as the second, or one step ahead. */
static void *write_pairs(void *arg)
{
	struct beside *b = arg;
	uint64_t ino[2];
	char name[16];

	for (unsigned i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%u.%u", b->number, i);
		ino[i] = new_file(b->v, name, 65536, 0);
	}
	for (uint64_t n = 1; !atomic_load(b->stop); n++)
		for (unsigned i = 0; i < 2; i++)
			if (fspf_write(b->v, ino[i], 0, &n, sizeof(n), 0) < 0)
				model_fail("a write fails");
	return NULL;
}

static bool read_number(struct fspf_volume *v, unsigned number, unsigned i, uint64_t *ret)
{
	struct fspf_attr attr;
	char name[16];

	snprintf(name, sizeof(name), "%u.%u", number, i);
	*ret = 0;
	if (fspf_lookup(v, FSPF_ROOT, name, &attr))
		return false;
	if (attr.size && fspf_read(v, attr.ino, 0, ret, sizeof(*ret)) != sizeof(*ret))
		model_fail("a read fails");
	fspf_forget(v, attr.ino, 1);
	return attr.size == 65536;
}

/* V4: a snapshot is of one instant. */
static void check_pairs(struct fspf_volume *v, const char *name)
{
	struct fspf_volume *view = NULL;
	uint64_t a, b;

	if (fspf_snapshot_view(v, fspf_snapshot_find(v->root, name), &view))
		model_fail("a snapshot cannot be opened");
	for (unsigned i = 0; i < WRITERS; i++)
		if (read_number(view, i, 0, &a) && read_number(view, i, 1, &b) &&
		    (a < b || a > b + 1))
			model_fail("snapshot %s has %llu and %llu", name, (unsigned long long)a,
				   (unsigned long long)b);
	fspf_snapshot_view_free(view);
}

static void test_beside_operations(void **state)
{
	struct beside b[WRITERS];
	pthread_t thread[WRITERS];
	atomic_bool stop = false;
	struct fspf_error err;
	struct world w;
	char name[16];

	(void)state;
	begin_case(&w, 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		b[i] = (struct beside){w.v, i, &stop};
		assert_int_equal(pthread_create(&thread[i], NULL, write_pairs, &b[i]), 0);
	}
	for (unsigned i = 0; i < 24; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		must(fspf_snapshot_create(w.v, name, NULL, &err), &err);
		if (i >= 4) { /* now the oldest, now a middle one */
			snprintf(name, sizeof(name), "s%u", (i - 4) ^ 1);
			must(fspf_snapshot_delete(w.v, name, &err), &err);
		}
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	for (uint32_t i = 0; i < w.v->root->nsnapshots; i++)
		check_pairs(w.v, w.v->root->snapshot[i].name);
	sound(&w);
	assert_true(fspf_space_is_exact(w.v->space));
	world_close(&w);
	world_open(&w, false);
	sound(&w);
	world_free(&w, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_space_comes_back),
		cmocka_unit_test(test_nobody_keeps_a_branch),
		cmocka_unit_test(test_given_back_while_making),
		cmocka_unit_test(test_given_back_while_deleting),
		cmocka_unit_test(test_restore_leaves_late),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_tampered_copy),
		cmocka_unit_test(test_damage_is_told_by_path),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_restore_takes_regions_away),
		cmocka_unit_test(test_beside_operations),
		cmocka_unit_test(test_cuts_while_making),
		cmocka_unit_test(test_cuts_while_deleting),
		cmocka_unit_test(test_cuts_while_restoring),
		cmocka_unit_test(test_s6_random_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
