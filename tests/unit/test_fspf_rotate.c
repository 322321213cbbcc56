/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_rotate.c - regions get new keys, whatever happens meanwhile
 *
 * A volume is filled by the random driver, so there are small and large files, holes, promised
 * space, extended attributes and links.  After a rotation it holds what its model holds, nothing
 * that it names was sealed by a session of before, and no node or block of it opens under the key
 * that it had.  The same after power cuts at random writes, with writers beside it, on a full
 * volume, and on a damaged one.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fspf/inode.h"
#include "tests/support/volume_check.h"
#include "tests/support/volume_driver.h"
#include "tests/support/volume_world.h"

#define DRIVER_STEPS 400u

static const struct world_region regions[] = {
	{"/auth", FSPF_AUTHENTICATED},
	{"/auth/deep", FSPF_ENCRYPTED},
	{"/data", FSPF_ENCRYPTED},
	{NULL, 0},
};

/* ---- a volume with something of everything ---- */

static void fill(struct world *w, uint64_t seed, unsigned steps)
{
	struct volume_driver d = {.v = w->v, .profile = &driver_mixed, .random = seed};

	d.m = model_load(w->v);
	for (unsigned i = 0; i < steps; i++)
		(void)volume_driver_step(&d);
	(void)volume_driver_do(&d, DRIVER_SYNC);
	model_drop_nameless(d.m);
	model_free(d.m);
}

static uint64_t make_file(struct fspf_volume *v, uint64_t parent, const char *name, size_t size,
			  uint64_t seed)
{
	const struct fspf_caller caller = {0};
	uint8_t *data = malloc(size ? size : 1);
	struct fspf_attr attr;

	driver_fill(&seed, data, size);
	assert_int_equal(fspf_create_file(v, parent, name, S_IFREG | 0600, 0, &caller, &attr), 0);
	if (size)
		assert_int_equal(fspf_write(v, attr.ino, 0, data, size, 0), size);
	free(data);
	return attr.ino;
}

/* Leaves without an extent: nothing but a walk over nodes finds them. */
static void make_small(struct fspf_volume *v, uint64_t parent, uint64_t seed)
{
	char name[32];

	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "small%u", i);
		fspf_forget(v, make_file(v, parent, name, 1500, seed + i), 1);
	}
}

static void make_world(struct world *w, uint64_t seed)
{
	struct fspf_attr attr;
	uint64_t ino;

	memset(w, 0, sizeof(*w));
	world_create(w, FSPF_ENCRYPTED, 0, 1024, regions);
	fill(w, seed, DRIVER_STEPS);
	assert_int_equal(fspf_resolve(w->v, "/data", &attr), 0);
	ino = make_file(w->v, attr.ino, "large", 3000000, seed);
	assert_int_equal(fspf_fallocate(w->v, ino, 1 /* KEEP_SIZE */, 4000000, 500000), 0);
	fspf_forget(w->v, ino, 1);
	make_small(w->v, attr.ino, seed);
	fspf_forget(w->v, attr.ino, 1);
	world_close(w);
}

static char *text_of(struct fspf_volume *v)
{
	int error = 0;
	char *text = model_volume_text(v, &error);

	if (!text)
		model_fail("reading fails with %d", error);
	return text;
}

static void expect_text(struct fspf_volume *v, const char *should, const char *when)
{
	char *is = text_of(v);

	if (strcmp(should, is)) {
		model_text_difference(should, is);
		model_fail("%s: the volume holds something else", when);
	}
	free(is);
}

static void expect_whole(struct fspf_volume *v, const char *when)
{
	struct fspf_verify_result result;
	struct fspf_error err;

	if (fspf_verify(v, NULL, NULL, &result, &err))
		model_fail("%s: %s", when, err.text);
}

static void rotate(struct world *w, const char *prefix)
{
	struct fspf_error err = {0};

	if (fspf_rotate(w->v, prefix, NULL, &err))
		model_fail("rotation: %s", err.text);
}

/* ---- is the old key gone? ---- */

struct old_keys {
	struct crypto_key *key[FSPF_REGIONS_MAX]; /* by place; NULL: none */
	uint32_t sessions;			  /* that there were */
};

static void remember(struct fspf_volume *v, struct old_keys *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->sessions = crypto_sessions_count(v->sessions);
	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (v->regions[i]->key)
			assert_int_equal(crypto_key_copy(v->regions[i]->key, &ret->key[i]), 0);
}

static void forget(struct old_keys *old)
{
	for (size_t i = 0; i < FSPF_REGIONS_MAX; i++)
		crypto_key_free(old->key[i]);
}

/* The stored tree of one region, looked at with the old key. */
struct look {
	struct fspf_region *region;
	struct crypto_sealer *sealer;
	uint32_t sessions;
	uint64_t nodes, blocks;
};

static void expect_shut(struct look *l, uint64_t addr, size_t size, const void *aad, size_t aad_len,
			const struct crypto_seal *seal)
{
	uint8_t data[MERKLE_NODE_SIZE];
	struct fspf_store *store = l->region->v->store;

	if (seal->session <= l->sessions)
		model_fail("block %llu has a seal of session %u", (unsigned long long)addr,
			   seal->session);
	assert_int_equal(store->ops->read(store, addr, data, size), 0);
	assert_int_equal(crypto_sealer_open(l->sealer, aad, aad_len, data, data, size, seal),
			 -EBADMSG);
}

static int look_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	struct look *l = ctx;
	uint8_t aad[MERKLE_IDENTITY_SIZE + 18];

	(void)plain;
	memcpy(aad, l->region->identity, MERKLE_IDENTITY_SIZE);
	aad[20] = 'N';
	aad[21] = ptr->level;
	put_le64(aad + 22, ptr->addr);
	put_le64(aad + 30, ptr->birth);
	expect_shut(l, ptr->addr, MERKLE_NODE_SIZE, aad, sizeof(aad), &ptr->seal);
	l->nodes++;
	return 0;
}

static int look_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct look *l = ctx;
	struct fspf_extent e;
	struct crypto_seal seal;
	uint8_t aad[FSPF_DATA_AAD_SIZE];

	if (key->type != FSPF_ITEM_EXTENT)
		return 0;
	assert_int_equal(fspf_extent_decode(key, value, len, l->region->class, &e), 0);
	for (uint32_t i = 0; e.addr && i < e.count; i++) {
		fspf_extent_seal(&e, l->region->class, i, &seal);
		fspf_data_aad(l->region->identity, key->object, e.first + i, aad);
		expect_shut(l, e.addr + i, FSPF_BLOCK_SIZE, aad, sizeof(aad), &seal);
		l->blocks++;
	}
	return 0;
}

static void expect_new(struct fspf_volume *v, size_t i, const struct old_keys *old)
{
	struct fspf_region *region = v->regions[i];
	struct merkle_config config = {.store = &region->store, .sealer = region->sealer};
	struct look l = {.region = region, .sessions = old->sessions};
	const struct merkle_walk walk = {.ctx = &l, .node = look_node, .item = look_item};

	memcpy(config.identity, region->identity, sizeof(config.identity));
	assert_int_equal(crypto_sealer_new(CRYPTO_CLASS_ENCRYPTED, old->key[i], v->sessions,
					   region->identity, sizeof(region->identity), &l.sealer),
			 0);
	assert_int_equal(merkle_walk(&config, &region->root, &walk), 0);
	assert_true(l.nodes > 0);
	crypto_sealer_free(l.sealer);
}

/* In memory and in both records; @prefix: the one region that was rotated, or NULL. */
static void expect_gone(struct world *w, const char *prefix, const struct old_keys *old)
{
	const struct fspf_root_keys keys = {.volume = w->v->key};
	struct crypto_digest tag;
	struct fspf_root *root;

	for (size_t i = 0; i < atomic_load(&w->v->nregions); i++) {
		const struct fspf_region *region = w->v->regions[i];
		bool had = region->protection == FSPF_ENCRYPTED &&
			   (!prefix || !strcmp(prefix, region->prefix));

		assert_int_equal(region->old_sessions, 0);
		assert_null(region->old_key);
		if (old->key[i])
			assert_int_equal(!memcmp(region->key->b, old->key[i]->b, CRYPTO_KEY_SIZE),
					 !had);
		if (had)
			expect_new(w->v, i, old);
	}
	for (unsigned slot = 0; slot < 2; slot++) {
		assert_int_equal(
			fspf_root_read(w->v->store, &w->v->header, &keys, slot, &root, &tag), 0);
		for (uint32_t i = 0; i < root->nregions; i++)
			assert_int_equal(root->region[i].old_sessions, 0);
		fspf_root_free(root);
	}
}

/* ---- the tests ---- */

static void test_everything_is_sealed_again(void **state)
{
	static const char *const prefixes[] = {NULL, "/data", "/auth/deep", "/", NULL};
	uint64_t random = test_seed("rotate");
	struct old_keys old;
	struct world w;
	char *text;

	(void)state;
	make_world(&w, test_random(&random));
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		world_open(&w, false);
		if (i % 2) /* the open's own session has sealed something */
			fill(&w, test_random(&random), 40);
		text = text_of(w.v);
		remember(w.v, &old);
		rotate(&w, prefixes[i]);
		expect_text(w.v, text, "after a rotation");
		expect_gone(&w, prefixes[i], &old);
		assert_true(volume_check(w.v, NULL));
		fill(&w, test_random(&random), 20);
		free(text);
		text = text_of(w.v);
		world_close(&w);
		world_open(&w, true);
		expect_text(w.v, text, "after closing");
		expect_whole(w.v, "after closing");
		expect_gone(&w, prefixes[i], &old);
		world_close(&w);
		free(text);
		forget(&old);
	}
	world_free(&w, false);
}

/* What a power cut during a rotation leaves is the same volume, and can go on. */
static void test_power_cuts(void **state)
{
	uint64_t random = test_seed("rotate: power cuts");
	unsigned cuts = 0, rotating = 0;
	struct old_keys old;
	struct world w, now;
	char *text;

	(void)state;
	make_world(&w, test_random(&random));
	world_open(&w, true);
	text = text_of(w.v);
	remember(w.v, &old);
	world_close(&w);
	for (unsigned round = 0; round < 40; round++) {
		bool ended = false;

		world_clone(&w, store_fake_clone(w.disk), NULL, &now);
		while (!ended) {
			struct fspf_error err;
			struct store_fake *left;
			struct world next;

			world_open(&now, false);
			now.expects_damage = true; /* the store's death is reported */
			for (size_t i = 0; i < atomic_load(&now.v->nregions); i++)
				rotating += now.v->regions[i]->old_sessions > 0;
			store_fake_die_at(now.disk, STORE_FAKE_WRITE, 1 + test_below(&random, 40));
			ended = fspf_rotate(now.v, NULL, NULL, &err) == 0;
			if (ended)
				expect_gone(&now, NULL, &old);
			left = store_fake_crash(now.disk, test_random(&random));
			cuts += !ended;
			world_abandon(&now);
			world_clone(&now, left, &now.anchor.tag, &next);
			store_fake_free(now.disk);
			now = next;
			world_open(&now, true);
			expect_text(now.v, text, "after a power cut");
			expect_whole(now.v, "after a power cut");
			if (ended)
				expect_gone(&now, NULL, &old);
			world_close(&now);
		}
		world_free(&now, true);
	}
	printf("%u power cuts, %u regions were found with two keys\n", cuts, rotating);
	assert_true(cuts > 30 && rotating > 30);
	free(text);
	forget(&old);
	world_free(&w, false);
}

/* ---- beside others ---- */

#define WRITERS 3u
#define WRITER_BLOCKS 200u

struct writer {
	struct fspf_volume *v;
	uint64_t ino, random;
	uint8_t value[WRITER_BLOCKS]; /* of each block's bytes */
	atomic_bool *stop;
	pthread_t thread;
};

static void check_block(struct writer *w, uint32_t block)
{
	uint8_t got[FSPF_BLOCK_SIZE], want[FSPF_BLOCK_SIZE];

	memset(want, w->value[block], sizeof(want));
	assert_int_equal(fspf_read(w->v, w->ino, (uint64_t)block * sizeof(got), got, sizeof(got)),
			 sizeof(got));
	assert_memory_equal(got, want, sizeof(got));
}

static void write_block(struct writer *w, uint32_t block)
{
	uint8_t data[FSPF_BLOCK_SIZE];

	w->value[block] = (uint8_t)(1 + test_below(&w->random, 255));
	memset(data, w->value[block], sizeof(data));
	assert_int_equal(
		fspf_write(w->v, w->ino, (uint64_t)block * sizeof(data), data, sizeof(data), 0),
		sizeof(data));
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;

	for (uint32_t i = 0; i < WRITER_BLOCKS; i++)
		write_block(w, i);
	while (!atomic_load(w->stop)) {
		write_block(w, (uint32_t)test_below(&w->random, WRITER_BLOCKS));
		check_block(w, (uint32_t)test_below(&w->random, WRITER_BLOCKS));
		if (test_below(&w->random, 64) == 0)
			assert_int_equal(fspf_fsync(w->v, w->ino), 0);
	}
	for (uint32_t i = 0; i < WRITER_BLOCKS; i++)
		check_block(w, i);
	return NULL;
}

static void test_beside_writers(void **state)
{
	static const char *const where[WRITERS] = {"/", "/data", "/auth"};
	uint64_t random = test_seed("rotate: beside writers");
	struct writer writer[WRITERS] = {0};
	struct old_keys old;
	atomic_bool stop = false;
	struct fspf_attr attr;
	struct world w;

	(void)state;
	make_world(&w, test_random(&random));
	w.interval_ms = 5;
	world_open(&w, false);
	for (unsigned i = 0; i < WRITERS; i++) {
		assert_int_equal(fspf_resolve(w.v, where[i], &attr), 0);
		writer[i].v = w.v;
		writer[i].stop = &stop;
		writer[i].random = test_random(&random);
		writer[i].ino = make_file(w.v, attr.ino, "writer", 0, 0);
		fspf_forget(w.v, attr.ino, 1);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writer[i].thread, NULL, writer_main, &writer[i]),
				 0);
	for (unsigned i = 0; i < 4; i++) {
		if (i)
			forget(&old);
		remember(w.v, &old);
		rotate(&w, i % 2 ? "/data" : NULL);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writer[i].thread, NULL);
	assert_int_equal(fspf_sync(w.v), 0);
	expect_gone(&w, "/data", &old);
	expect_whole(w.v, "beside writers");
	for (unsigned i = 0; i < WRITERS; i++)
		fspf_forget(w.v, writer[i].ino, 1);
	world_close(&w);
	forget(&old);
	world_free(&w, false);
}

/* ---- when something is in the way ---- */

struct trouble {
	struct world *w;
	uint64_t ino;
	unsigned calls, at;
	bool cancels;
};

static int make_trouble(void *ctx, const struct fspf_progress *progress)
{
	struct trouble *t = ctx;
	uint8_t data[65536] = {7};
	ssize_t n = 0;

	assert_true(progress->bytes_done <= progress->bytes_total);
	if (++t->calls != t->at)
		return 0;
	for (uint64_t at = 0; !t->cancels && n >= 0; at += sizeof(data)) {
		n = fspf_write(t->w->v, t->ino, at, data, sizeof(data), 0);
		assert_true(n > 0 || n == -ENOSPC);
	}
	return t->cancels;
}

static void test_no_space(void **state)
{
	uint64_t random = test_seed("rotate: no space");
	struct world w = {0};
	struct trouble t = {.w = &w, .at = 1};
	const struct fspf_transfer transfer = {.progress = make_trouble, .ctx = &t};
	struct fspf_error err = {0};
	struct old_keys old;
	struct fspf_attr attr;
	uint64_t ino;

	(void)state;
	world_create(&w, FSPF_ENCRYPTED, UINT64_C(32) << 20, 1024, NULL);
	ino = make_file(w.v, FSPF_ROOT, "half", 16000000, test_random(&random));
	t.ino = make_file(w.v, FSPF_ROOT, "rest", 0, 0);
	remember(w.v, &old);
	assert_int_equal(fspf_rotate(w.v, NULL, &transfer, &err), -ENOSPC);
	assert_true(err.hint[0]);
	assert_true(w.v->regions[0]->old_sessions > 0);
	expect_whole(w.v, "without space");
	world_close(&w);
	world_open(&w, false);
	assert_true(w.v->regions[0]->old_sessions > 0);
	assert_int_equal(fspf_rotate(w.v, NULL, NULL, &err), -ENOSPC);
	assert_int_equal(fspf_getattr(w.v, t.ino, &attr), 0);
	attr.size = 0;
	assert_int_equal(fspf_setattr(w.v, t.ino, FSPF_SET_SIZE, &attr, &attr), 0);
	rotate(&w, NULL);
	expect_gone(&w, NULL, &old);
	assert_int_equal(fspf_getattr(w.v, ino, &attr), 0);
	assert_int_equal(attr.size, 16000000);
	expect_whole(w.v, "with space again");
	world_close(&w);
	forget(&old);
	world_free(&w, false);
}

/* Some block of the file at /large, as the map has it. */
static uint64_t block_of(struct fspf_volume *v, uint64_t ino)
{
	struct merkle_key first = fspf_key(ino, FSPF_ITEM_EXTENT, 0), key;
	struct merkle_key last = fspf_key(ino, FSPF_ITEM_EXTENT, UINT64_MAX);
	uint8_t value[FSPF_EXTENT_SIZE_MAX];
	struct fspf_extent e;
	size_t len;

	assert_int_equal(merkle_get_last(v->regions[0]->tree, &first, &last, &key, value,
					 sizeof(value), &len),
			 0);
	assert_int_equal(fspf_extent_decode(&key, value, len, CRYPTO_CLASS_ENCRYPTED, &e), 0);
	return e.addr;
}

/* The old key stays as long as anything is under it; and then the rotation ends. */
static void test_damage(void **state)
{
	uint64_t random = test_seed("rotate: damage");
	uint8_t block[FSPF_BLOCK_SIZE];
	struct world w = {0};
	struct fspf_error err = {0};
	struct old_keys old;
	uint64_t ino, at;

	(void)state;
	world_create(&w, FSPF_ENCRYPTED, 0, 1024, NULL);
	ino = make_file(w.v, FSPF_ROOT, "large", 3000000, test_random(&random));
	assert_int_equal(fspf_sync(w.v), 0);
	at = block_of(w.v, ino);
	store_fake_get(w.disk, at, block);
	store_fake_corrupt(w.disk, at, 1);
	remember(w.v, &old);
	w.expects_damage = true;
	assert_int_equal(fspf_rotate(w.v, NULL, NULL, &err), -EBADMSG);
	assert_true(w.v->regions[0]->old_sessions > 0 && w.v->regions[0]->old_key);
	assert_true(atomic_load(&w.reports) > 0);
	w.expects_damage = false;
	world_close(&w);
	store_fake_put(w.disk, at, block);
	world_open(&w, false);
	expect_whole(w.v, "after the damage was undone");
	rotate(&w, NULL);
	expect_gone(&w, NULL, &old);
	world_close(&w);
	forget(&old);
	world_free(&w, false);
}

static void test_interruption(void **state)
{
	uint64_t random = test_seed("rotate: interruption");
	struct world w;
	struct trouble t = {.w = &w, .at = 1, .cancels = true};
	const struct fspf_transfer transfer = {.progress = make_trouble, .ctx = &t};
	struct fspf_region_info info[FSPF_REGIONS_MAX];
	struct crypto_key *key;
	struct fspf_error err = {0};
	struct old_keys old;
	size_t n;

	(void)state;
	make_world(&w, test_random(&random));
	world_open(&w, false);
	remember(w.v, &old);
	assert_int_equal(fspf_rotate(w.v, "/data", &transfer, &err), -ECANCELED);
	fspf_regions(w.v, info, &n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(info[i].rotating, !strcmp(info[i].prefix, "/data"));
	world_close(&w);

	/* Of all regions, the one under way is ended and keeps the key that it has got. */
	world_open(&w, false);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(w.v->regions[i]->prefix, "/data"))
			assert_int_equal(crypto_key_copy(w.v->regions[i]->key, &key), 0);
	rotate(&w, NULL);
	expect_gone(&w, NULL, &old);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(w.v->regions[i]->prefix, "/data"))
			assert_memory_equal(w.v->regions[i]->key->b, key->b, CRYPTO_KEY_SIZE);
	world_close(&w);
	crypto_key_free(key);
	forget(&old);
	world_free(&w, false);
}

static void test_refusals(void **state)
{
	struct fspf_error err = {0};
	struct crypto_digest before, after;
	struct world w = {0};

	(void)state;
	world_create(&w, FSPF_ENCRYPTED, 0, 1024, regions);
	world_close(&w);
	world_open(&w, false);
	fspf_tag(w.v, &before);
	assert_int_equal(fspf_rotate(w.v, "/auth", NULL, &err), -EINVAL);
	assert_int_equal(fspf_rotate(w.v, "/nothing", NULL, &err), -ENOENT);
	assert_int_equal(fspf_rotate(w.v, "data", NULL, &err), -EINVAL);
	w.v->root->nsnapshots = 1;
	assert_int_equal(fspf_rotate(w.v, NULL, NULL, &err), -EPERM);
	assert_true(err.hint[0]);
	w.v->root->nsnapshots = 0;
	world_close(&w);
	world_open(&w, true);
	fspf_tag(w.v, &after);
	assert_true(crypto_digest_equal(&before, &after));
	assert_int_equal(fspf_rotate(w.v, NULL, NULL, &err), -EROFS);
	world_close(&w);
	world_free(&w, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_is_sealed_again),
		cmocka_unit_test(test_power_cuts),
		cmocka_unit_test(test_beside_writers),
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_interruption),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
