/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_nonce.c - no nonce is ever used twice under one key
 *
 * Every seal made in this process is witnessed: the SHA-256 of its key, and its nonce.  One volume
 * is written, closed, cut off from power, brought back to older copies of itself and written again,
 * cloned and written in both places at once: everything that would repeat a nonce which came from
 * the disk.  A pair that comes twice ends the program.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/gcm.h"
#include "tests/support/volume_driver.h"
#include "tests/support/volume_world.h"

struct pair {
	struct {
		uint8_t key[32];
		struct crypto_nonce nonce;
	} used;
	UT_hash_handle hh;
};

struct key {
	uint8_t digest[32];
	UT_hash_handle hh;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pair *pairs;
static struct key *keys;

static void note_key(const uint8_t digest[static 32])
{
	struct key *k;

	HASH_FIND(hh, keys, digest, 32, k);
	if (k)
		return;
	k = calloc(1, sizeof(*k));
	memcpy(k->digest, digest, 32);
	HASH_ADD(hh, keys, digest, 32, k);
}

static void witness(void *ctx, const uint8_t key_digest[static 32],
		    const struct crypto_nonce *nonce)
{
	struct pair *p = calloc(1, sizeof(*p)), *before;

	(void)ctx;
	memcpy(p->used.key, key_digest, 32);
	p->used.nonce = *nonce;
	pthread_mutex_lock(&lock);
	HASH_FIND(hh, pairs, &p->used, sizeof(p->used), before);
	if (before)
		model_fail("a nonce was used twice under one key, after %u seals",
			   HASH_COUNT(pairs));
	HASH_ADD(hh, pairs, used, sizeof(p->used), p);
	note_key(key_digest);
	pthread_mutex_unlock(&lock);
}

static void forget(void)
{
	struct pair *p, *next_pair;
	struct key *k, *next_key;

	HASH_ITER (hh, pairs, p, next_pair) {
		HASH_DEL(pairs, p);
		free(p);
	}
	HASH_ITER (hh, keys, k, next_key) {
		HASH_DEL(keys, k);
		free(k);
	}
}

/* ---- what is done to the volume ---- */

struct history {
	struct world w;
	uint64_t random;
	struct store_fake *old[8]; /* copies of earlier moments */
	unsigned nold;
};

/* Some operations, the last of them a sync; half way another commit. */
static void work(struct world *w, uint64_t seed, unsigned steps)
{
	struct volume_driver d = {.v = w->v, .profile = &driver_mixed, .random = seed};

	d.m = model_load(w->v);
	for (unsigned i = 0; i < steps; i++)
		(void)volume_driver_step(&d);
	(void)volume_driver_do(&d, DRIVER_SYNC);
	model_free(d.m);
}

/* Two copies of one moment, open at the same time: the same session table, the same counters, the
 * same volume key. */
static void write_twins(struct history *h)
{
	struct world a, b;
	uint64_t seed = test_random(&h->random);

	world_clone(&h->w, store_fake_clone(h->w.disk), NULL, &a);
	world_clone(&h->w, store_fake_clone(h->w.disk), NULL, &b);
	world_open(&a, false);
	world_open(&b, false);
	work(&a, seed, 40);
	work(&b, seed, 40);
	world_close(&a);
	world_free(&a, true);
	world_free(&b, true);
}

/* The host brings back what was; nobody asks an anchor. */
static void write_old(struct history *h)
{
	struct world w;

	if (!h->nold)
		return;
	world_clone(&h->w, store_fake_clone(h->old[test_below(&h->random, h->nold)]), NULL, &w);
	w.no_anchor = true;
	world_open(&w, false);
	work(&w, test_random(&h->random), 40);
	if (test_below(&h->random, 2))
		world_close(&w);
	world_free(&w, true);
}

static void remember(struct history *h)
{
	unsigned i =
		h->nold < ARRAY_LEN(h->old) ? h->nold++ : (unsigned)test_below(&h->random, h->nold);

	store_fake_free(h->old[i]);
	h->old[i] = store_fake_clone(h->w.disk);
}

/* Power fails now: what a write was doing is lost, and the writer starts again where the last
 * commit was. */
static void cut_power(struct history *h)
{
	struct store_fake *left = store_fake_crash(h->w.disk, test_random(&h->random));

	world_abandon(&h->w);
	store_fake_free(h->w.disk);
	h->w.disk = left;
}

/* Enough of a rotation, now and then. */
static int stop_somewhere(void *ctx, const struct fspf_progress *progress)
{
	(void)progress;
	return test_below(ctx, 8) == 0;
}

/* New keys for the regions, in the same sessions: the old ones and the new ones have seen the same
 * counters. */
static void rotate(struct history *h)
{
	const struct fspf_transfer transfer = {.progress = stop_somewhere, .ctx = &h->random};
	struct fspf_error err;
	int r = fspf_rotate(h->w.v, NULL, &transfer, &err);

	if (r && r != -ECANCELED)
		model_fail("rotation: %s", err.text);
	work(&h->w, test_random(&h->random), 20);
}

static void one_round(struct history *h)
{
	world_open(&h->w, false);
	work(&h->w, test_random(&h->random), (unsigned)test_below(&h->random, 80));
	if (test_below(&h->random, 3) == 0)
		rotate(h);
	switch (test_below(&h->random, 3)) {
	case 0:
		world_close(&h->w);
		break;
	case 1:
		cut_power(h);
		break;
	default:
		world_abandon(&h->w);
		break;
	}
	if (test_below(&h->random, 2))
		remember(h);
	write_old(h);
	if (test_below(&h->random, 3) == 0)
		write_twins(h);
}

/* A commit that is cut off at some write, and the same commit made again after a new open. */
static void cut_commit(struct history *h, uint64_t n)
{
	struct fspf_error err;
	struct volume_driver d = {.profile = &driver_mixed, .random = test_random(&h->random)};

	world_open(&h->w, false);
	h->w.expects_damage = true;
	d.v = h->w.v;
	d.m = model_load(h->w.v);
	d.faults = true;
	store_fake_die_at(h->w.disk, STORE_FAKE_WRITE, n);
	while (!store_fake_is_dead(h->w.disk) && d.m->step < 200)
		(void)volume_driver_step(&d);
	model_free(d.m);
	(void)!fspf_close(h->w.v, NULL, &err);
	h->w.v = NULL;
	h->w.expects_damage = false;
	cut_power(h);
}

static void test_no_pair_twice(void **state)
{
	static const struct world_region regions[] = {
		{"/more", FSPF_ENCRYPTED}, {"/auth", FSPF_AUTHENTICATED}, {NULL, 0}};
	struct history h = {.random = test_seed("nonce")};

	(void)state;
	crypto_gcm_set_witness(witness, NULL);
	world_create(&h.w, FSPF_ENCRYPTED, 0, 256, regions);
	world_close(&h.w);
	for (unsigned i = 0; i < 120; i++) {
		one_round(&h);
		cut_commit(&h, 1 + i % 50);
	}
	crypto_gcm_set_witness(NULL, NULL);
	printf("%u seals under %u keys\n", HASH_COUNT(pairs), HASH_COUNT(keys));
	assert_true(HASH_COUNT(pairs) > 10000);
	assert_true(HASH_COUNT(keys) > 200);
	world_free(&h.w, false);
	for (unsigned i = 0; i < h.nold; i++)
		store_fake_free(h.old[i]);
	forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_pair_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
