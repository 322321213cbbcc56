/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_crash.c - the power fails at every write
 *
 * A random workload runs on a volume and on a model.  Before each write, barrier, trim and
 * publication of a tag, what a power cut at that moment could leave on the medium is kept, several
 * times over (which of the writes since the last barrier made it, and in which order, is left to
 * chance), together with what the anchor holds then.  Each of these media must open and be, to the
 * last byte, what the model was at one step that is not before the last one acknowledged (P5) and
 * not after the one being made (P6); it must be sound (tests/support/volume_check.h), and able to
 * go on: one of them is the medium of the next generation.
 *
 * FSPF_TEST_GENERATIONS: how many; FSPF_TEST_CRASHES: media a moment.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fspf/commit.h"
#include "fspf/inode.h"
#include "tests/support/volume_check.h"
#include "tests/support/volume_driver.h"
#include "tests/support/volume_world.h"

#define STEPS 120u /* of one generation */

/* What one power cut could leave. */
struct image {
	struct store_fake *disk;
	struct crypto_digest tag; /* the anchor's */
	uint64_t acked, last;	  /* the state is that of one of these steps */
	const char *moment;
};

struct crash {
	struct world w;
	struct volume_driver d;
	uint64_t random; /* of the main thread */
	unsigned per_moment;
	struct crypto_digest base; /* the tag at open */
	char *text[STEPS + 2];	   /* after each step */

	/* Shared with the committer. */
	pthread_mutex_t lock;
	uint64_t crash_random;
	struct crypto_digest tag; /* the anchor's */
	struct image *image;
	size_t n, room;
	atomic_uint_fast64_t acked, running; /* steps */
	atomic_bool watching;

	bool rotates; /* regions get new keys beside the workload */
	pthread_t rotation;

	uint64_t seen;		  /* images of this generation */
	uint64_t images, commits; /* in all */
};

static unsigned setting(const char *name, unsigned fallback)
{
	const char *value = getenv(name);

	return value ? (unsigned)strtoul(value, NULL, 0) : fallback;
}

/* ---- at the moment ---- */

static void keep(struct crash *c, const struct crypto_digest *tag, const char *moment,
		 uint64_t acked)
{
	struct image *image;

	if (c->n == c->room) {
		c->room = c->room * 2 + 64;
		c->image = reallocarray(c->image, c->room, sizeof(*c->image));
		if (!c->image)
			abort();
	}
	image = &c->image[c->n++];
	image->disk = store_fake_crash(c->w.disk, test_random(&c->crash_random));
	image->tag = *tag;
	image->acked = acked;
	image->last = atomic_load(&c->running);
	image->moment = moment;
}

/* What is on the medium and what the anchor holds must be of one moment: the lock sees to that,
 * since nothing is written while a tag is being published.  @tag NULL: the anchor's. */
static void crash_here(struct crash *c, const struct crypto_digest *tag, const char *moment)
{
	uint64_t acked = atomic_load(&c->acked);

	if (!atomic_load(&c->watching))
		return;
	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < c->per_moment; i++)
		keep(c, tag ? tag : &c->tag, moment, acked);
	pthread_mutex_unlock(&c->lock);
}

static void at_store(void *ctx, enum store_fake_op op, uint64_t block, uint64_t count)
{
	static const char *const moment[STORE_FAKE_OPS] = {
		[STORE_FAKE_WRITE] = "before a write",
		[STORE_FAKE_BARRIER] = "before a barrier",
		[STORE_FAKE_TRIM] = "before a trim",
	};

	(void)block;
	(void)count;
	crash_here(ctx, NULL, moment[op]);
}

/* While a tag is being published the anchor may hold either. */
static void at_anchor(void *ctx, bool after, const struct crypto_digest *tag)
{
	struct crash *c = ctx;

	if (after) {
		pthread_mutex_lock(&c->lock);
		c->tag = *tag;
		pthread_mutex_unlock(&c->lock);
		crash_here(c, NULL, "after publishing");
	} else {
		crash_here(c, NULL, "before publishing");
		crash_here(c, tag, "while publishing");
	}
}

/* ---- afterwards ---- */

static _Noreturn void no_such_state(const struct crash *c, const struct image *image,
				    const char *text)
{
	for (uint64_t s = 0; s <= image->last; s++)
		if (!strcmp(text, c->text[s]))
			fprintf(stderr, "it is the state of step %llu\n", (unsigned long long)s);
	fprintf(stderr, "against step %llu:\n", (unsigned long long)image->acked);
	model_text_difference(c->text[image->acked], text);
	fprintf(stderr, "against step %llu:\n", (unsigned long long)image->last);
	model_text_difference(c->text[image->last], text);
	model_fail("a crash %s left no state of steps %llu to %llu", image->moment,
		   (unsigned long long)image->acked, (unsigned long long)image->last);
}

static void check_state(const struct crash *c, const struct image *image, struct fspf_volume *v)
{
	int error;
	char *text = model_volume_text(v, &error);
	uint64_t step = image->last;

	if (!text)
		model_fail("a crash %s: reading fails with %d", image->moment, error);
	while (step > image->acked && strcmp(text, c->text[step]))
		step--;
	if (strcmp(text, c->text[step]))
		no_such_state(c, image, text);
	free(text);
}

static void check_whole(struct fspf_volume *v, const char *moment)
{
	struct fspf_verify_result result;
	struct fspf_error err;

	if (fspf_verify(v, NULL, NULL, &result, &err))
		model_fail("%s: %s", moment, err.text);
}

/* Orphans and what else opening leaves to do is done and committed. */
static void commit_something(struct fspf_volume *v)
{
	struct fspf_attr attr = {.mode = 0755};

	if (fspf_setattr(v, FSPF_ROOT, FSPF_SET_MODE, &attr, &attr) || fspf_sync(v))
		model_fail("the volume cannot go on");
}

/* The same medium, asked in other ways: the newest state without an anchor, or one that descends
 * from the tag of the last open.  Before the first commit both may find what a crash left
 * unpublished in the generation before. */
static void check_otherwise(struct crash *c, const struct image *image)
{
	struct world w;

	if (crypto_digest_equal(&image->tag, &c->base))
		return;
	world_clone(&c->w, image->disk, &c->base, &w);
	w.recover = test_below(&c->random, 2);
	w.no_anchor = !w.recover;
	world_open(&w, true);
	check_state(c, image, w.v);
	check_whole(w.v, image->moment);
	world_abandon(&w);
}

static void check_sound(struct fspf_volume *v, const char *moment)
{
	struct volume_check_result result;

	if (!volume_check(v, &result))
		model_fail("a crash %s left an unsound volume", moment);
	if (result.orphans)
		model_fail("a crash %s: %llu orphans stay", moment,
			   (unsigned long long)result.orphans);
}

static void check_image(struct crash *c, const struct image *image)
{
	struct world w;

	if (test_below(&c->random, 4) == 0)
		check_otherwise(c, image);
	world_clone(&c->w, image->disk, &image->tag, &w);
	world_open(&w, false);
	check_state(c, image, w.v);
	check_whole(w.v, image->moment);
	if (test_below(&c->random, 3) == 0) {
		commit_something(w.v);
		check_sound(w.v, image->moment);
	}
	world_abandon(&w);
	c->images++;
}

/* All that were kept; one of them may be the next generation's, with its tag. */
static void check_images(struct crash *c, struct image *chosen)
{
	for (size_t i = 0; i < c->n; i++) {
		struct image *image = &c->image[i];

		if (test_below(&c->random, ++c->seen) == 0) {
			store_fake_free(chosen->disk);
			*chosen = *image;
			chosen->disk = store_fake_clone(image->disk);
		}
		check_image(c, image);
		store_fake_free(image->disk);
	}
	c->n = 0;
}

/* ---- a rotation beside it all ---- */

/* Each image of it is checked like any other: the state is that of a step, and sound.  What the
 * image before left half done is gone on with. */
static void *rotation_main(void *arg)
{
	struct fspf_volume *v = arg;
	struct fspf_error err;

	for (unsigned i = 0; i < 3; i++)
		if (fspf_rotate(v, i ? "/auth/deep/secret" : NULL, NULL, &err))
			model_fail("rotation: %s", err.text);
	return NULL;
}

static void rotation_begin(struct crash *c)
{
	if (c->rotates && pthread_create(&c->rotation, NULL, rotation_main, c->w.v))
		abort();
}

static void rotation_end(struct crash *c)
{
	if (c->rotates)
		pthread_join(c->rotation, NULL);
}

/* ---- a generation ---- */

static void begin(struct crash *c)
{
	c->tag = c->w.anchor.tag;
	world_open(&c->w, false);
	c->base = c->tag;
	c->d = (struct volume_driver){
		.m = model_load(c->w.v),
		.v = c->w.v,
		.random = test_random(&c->random),
		.profile = &driver_mixed,
	};
	c->seen = 0;
	c->text[0] = model_text(c->d.m);
	atomic_store(&c->acked, 0);
	atomic_store(&c->running, 0);
	atomic_store(&c->watching, true);
	rotation_begin(c);
}

/* Half of the generations are closed properly at the end; power may fail then as well. */
static void end(struct crash *c, struct image *chosen)
{
	bool closes = test_below(&c->random, 2);
	struct fspf_counters counters;

	fspf_counters(c->w.v, &counters);
	c->commits += counters.commits;
	if (closes)
		world_close(&c->w);
	world_abandon(&c->w);
	atomic_store(&c->watching, false);
	check_images(c, chosen);
	if (closes && test_below(&c->random, 2)) {
		store_fake_free(chosen->disk);
		*chosen = (struct image){.disk = store_fake_clone(c->w.disk), .tag = c->tag};
	}
	for (size_t i = 0; i < ARRAY_LEN(c->text); i++) {
		free(c->text[i]);
		c->text[i] = NULL;
	}
	model_free(c->d.m);
}

static void next_medium(struct crash *c, struct image *chosen)
{
	if (!chosen->disk)
		return;
	store_fake_free(c->w.disk);
	c->w.disk = chosen->disk;
	c->w.anchor.tag = chosen->tag;
	if (test_below(&c->random, 2))
		store_fake_tear(c->w.disk, 512);
}

/* With a timer commits come at any moment, and images wait until it is known what the step made. */
static void generation(struct crash *c, unsigned steps)
{
	struct image chosen = {0};

	begin(c);
	for (uint64_t step = 1; step <= steps; step++) {
		atomic_store(&c->running, step);
		(void)volume_driver_step(&c->d);
		atomic_store(&c->acked, c->d.acked);
		c->text[step] = model_text(c->d.m);
		pthread_mutex_lock(&c->lock);
		check_images(c, &chosen);
		pthread_mutex_unlock(&c->lock);
	}
	rotation_end(c);
	if (!c->w.interval_ms) {
		(void)volume_driver_do(&c->d, DRIVER_SYNC);
		if (!volume_check(c->w.v, NULL))
			model_fail("the volume is unsound after a sync");
		check_whole(c->w.v, "after a sync");
		pthread_mutex_lock(&c->lock);
		check_images(c, &chosen);
		pthread_mutex_unlock(&c->lock);
	}
	end(c, &chosen);
	next_medium(c, &chosen);
}

static const struct world_region regions[] = {
	{"/auth", FSPF_AUTHENTICATED},
	{"/auth/deep/secret", FSPF_ENCRYPTED},
	{NULL, 0},
};

static void run(const char *name, uint32_t interval_ms, bool rotates, unsigned generations,
		unsigned steps)
{
	struct crash *c = calloc(1, sizeof(*c));

	c->random = test_seed(name);
	c->crash_random = test_random(&c->random);
	c->per_moment = setting("FSPF_TEST_CRASHES", interval_ms ? 1 : 2);
	pthread_mutex_init(&c->lock, NULL);
	world_create(&c->w, FSPF_ENCRYPTED, 0, 256, regions);
	world_close(&c->w);
	c->w.hook = at_store;
	c->w.anchor.hook = at_anchor;
	c->w.ctx = c->w.anchor.ctx = c;
	c->w.interval_ms = interval_ms;
	c->rotates = rotates;
	for (unsigned i = 0; i < generations; i++)
		generation(c, steps);
	printf("%s: %llu crashes in %u generations with %llu commits\n", name,
	       (unsigned long long)c->images, generations, (unsigned long long)c->commits);
	assert_true(c->images > 20 * generations);
	world_free(&c->w, false);
	free(c->image);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* P5, P6, V1, V2, V3: commits when the workload asks for them. */
static void test_p5_crash_at_every_write(void **state)
{
	(void)state;
	run("crash", 0, false, setting("FSPF_TEST_GENERATIONS", 12), STEPS);
}

/* V4: commits at any moment, beside operations. */
static void test_v4_crash_beside_operations(void **state)
{
	(void)state;
	run("crash by timer", 1, false, setting("FSPF_TEST_GENERATIONS", 12), STEPS);
}

/* K2: what a root names opens with the keys that its record has. */
static void test_k2_crash_beside_a_rotation(void **state)
{
	(void)state;
	run("crash beside a rotation", 0, true, setting("FSPF_TEST_GENERATIONS", 5), STEPS);
}

/* Write dirty data out without a commit, so that its inode may leave memory. */
static void write_out(struct fspf_volume *v)
{
	struct fspf_counters counters;

	do {
		fspf_commit_kick(v);
		usleep(1000);
		fspf_counters(v, &counters);
	} while (counters.dirty_bytes || fspf_inode_dirty_count(v));
	assert_int_equal(counters.commits, 0);
}

/* P5: an fsync by somebody who opens the file anew covers what was written before it left memory.
 */
static void test_p5_fsync_after_forgetting(void **state)
{
	const struct fspf_caller caller = {0};
	struct world w = {0}, after;
	uint8_t data[20000] = {1}, got[sizeof(data)];
	struct fspf_attr attr;

	(void)state;
	world_create(&w, FSPF_ENCRYPTED, 0, 256, NULL);
	world_close(&w);
	world_open(&w, false);
	assert_int_equal(fspf_create_file(w.v, FSPF_ROOT, "f", S_IFREG | 0600, 0, &caller, &attr),
			 0);
	assert_int_equal(fspf_write(w.v, attr.ino, 0, data, sizeof(data), false), sizeof(data));
	fspf_forget(w.v, attr.ino, 1);
	write_out(w.v);
	assert_int_equal(fspf_lookup(w.v, FSPF_ROOT, "f", &attr), 0);
	assert_int_equal(fspf_fsync(w.v, attr.ino), 0);
	world_clone(&w, store_fake_crash(w.disk, 1), NULL, &after);
	world_open(&after, true);
	assert_int_equal(fspf_lookup(after.v, FSPF_ROOT, "f", &attr), 0);
	assert_int_equal(fspf_read(after.v, attr.ino, 0, got, sizeof(got)), sizeof(got));
	assert_memory_equal(got, data, sizeof(got));
	world_free(&after, true);
	world_free(&w, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_p5_crash_at_every_write),
		cmocka_unit_test(test_v4_crash_beside_operations),
		cmocka_unit_test(test_k2_crash_beside_a_rotation),
		cmocka_unit_test(test_p5_fsync_after_forgetting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
