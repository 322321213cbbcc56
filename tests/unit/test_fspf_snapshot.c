/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_snapshot.c - snapshots keep what they kept, and nothing else stays
 *
 * Random histories on a volume and a model: at any time each snapshot reads, to the last byte, as
 * the model did when it was made, the volume is sound (tests/support/volume_check.h, S6 among it)
 * and verifies, and the snapshots that are listed are those that were made and not deleted.  Then
 * the power fails at every write of making, deleting and restoring.
 *
 * FSPF_TEST_HISTORIES: how many.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/support/volume_driver.h"
#include "tests/unit/test_fspf_snapshot.h"

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
	h->inexact += !fspf_space_is_exact(h->w.v->stored.space);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuts_while_making),
		cmocka_unit_test(test_cuts_while_deleting),
		cmocka_unit_test(test_cuts_while_restoring),
		cmocka_unit_test(test_s6_random_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
