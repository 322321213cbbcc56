/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commits that fail, at every point where they can: tried again, or given up and followed by
 * another; with changes before, between and after.  And every allocation of a change, failing in
 * its turn.
 */
#include "tests/unit/test_merkle_fixture.h"

#define NITEMS 400u

static int64_t fail_memory = -1; /* this many more succeed; < 0: all */

void *aligned_alloc(size_t align, size_t size)
{
	void *p = NULL;

	if (!(fail_memory >= 0 && fail_memory-- == 0) && posix_memalign(&p, align, size) != 0)
		p = NULL;
	return p;
}

static struct model_item item_of(uint64_t n, uint64_t version)
{
	return (struct model_item){.key = {.object = n},
				   .len = 1 + (uint32_t)((n * 131 + version * 31) % 2000),
				   .seed = n * 1000 + version};
}

static void put(struct region *g, struct model *m, uint64_t n, uint64_t version)
{
	struct model_item item = item_of(n, version);

	assert_int_equal(put_item(g, &item), 0);
	model_put(m, &item);
}

static void delete (struct region *g, struct model *m, uint64_t n)
{
	struct merkle_key key = {.object = n};

	assert_int_equal(merkle_delete(g->tree, &key), model_delete(m, &key) ? 0 : -ENOENT);
}

/* A committed tree, and then changes all over it. */
static void begin(struct region *g, struct model *m)
{
	region_begin(g, CRYPTO_CLASS_AUTHENTICATED, (size_t)1 << 20);
	for (uint64_t n = 0; n < NITEMS; n++)
		put(g, m, n, 0);
	region_commit(g);
	for (uint64_t n = 0; n < NITEMS; n += 9)
		put(g, m, n, 1);
	for (uint64_t n = 100; n < 200; n += 2)
		delete (g, m, n);
}

static void end(struct region *g, struct model *m)
{
	check_live(g, m);
	region_commit(g);
	check_stored(g, &g->root, m);
	region_check_books(g);
	assert_int_equal(merkle_dirty_nodes(g->tree), 0);
	region_end(g);
	model_end(m);
}

/* What may happen between a failed commit and what comes after it. */
static void disturb(struct region *g, struct model *m, int how)
{
	for (uint64_t n = 0; how > 0 && n < NITEMS; n += how == 1 ? 57 : 5) {
		if (n % 2)
			put(g, m, n, 2);
		else
			delete (g, m, n);
	}
}

/* Fail at the n-th write or allocation.  False: there is no n-th. */
static bool failing_commit(struct region *g, bool write, int64_t n)
{
	struct merkle_ptr root;
	struct crypto_digest tag;
	int r;

	*(write ? &g->store.fail_write : &g->store.fail_alloc) = n;
	r = merkle_commit(g->tree, &root, &tag);
	assert_true(r == 0 || r == (write ? -EIO : -ENOSPC));
	g->store.fail_write = g->store.fail_alloc = -1;
	if (r == 0) {
		g->root = root;
		g->tag = tag;
	}
	return r != 0;
}

static void tried_again(bool write, int how)
{
	struct model m = {0}, frozen = {0};
	struct region g;
	uint64_t generation, writes;
	bool fails = true;

	for (int64_t n = 0; fails; n++) {
		begin(&g, &m);
		writes = g.store.writes + merkle_dirty_nodes(g.tree);
		generation = store_freeze(&g.store);
		merkle_freeze(g.tree, generation);
		model_copy(&frozen, &m);
		fails = failing_commit(&g, write, n);
		if (fails) {
			disturb(&g, &m, how);
			assert_false(failing_commit(&g, write, -1));
		}
		/* Nothing is written twice but the node that failed. */
		assert_int_equal(g.store.writes, writes + (fails && write));
		check_stored(&g, &g.root, &frozen); /* M4 */
		store_published(&g.store, generation);
		check_stored(&g, &g.root, &frozen);
		end(&g, &m);
	}
	model_end(&frozen);
}

static void M5_failed_and_tried_again(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		tried_again(true, how);
		tried_again(false, how);
	}
}

static void given_up(bool write, int how)
{
	struct model m = {0};
	struct region g;
	uint64_t generation, writes;
	bool fails = true;

	for (int64_t n = 0; fails; n++) {
		begin(&g, &m);
		writes = g.store.writes + merkle_dirty_nodes(g.tree);
		generation = store_freeze(&g.store);
		merkle_freeze(g.tree, generation);
		disturb(&g, &m, how == 2);
		fails = failing_commit(&g, write, n);
		if (fails) {
			merkle_thaw(g.tree);
			store_thaw(&g.store);
			disturb(&g, &m, how);
			region_commit(&g);
			/* What the failed commit has written is of use if nobody touches it. */
			if (how == 0)
				assert_int_equal(g.store.writes, writes + write);
			check_stored(&g, &g.root, &m);
			region_check_books(&g);
		} else {
			store_published(&g.store, generation);
		}
		end(&g, &m);
	}
}

static void M5_failed_and_given_up(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		given_up(true, how);
		given_up(false, how);
	}
}

/* Freeze and thaw without a commit, over and over, changes nothing and leaks nothing. */
static void thaw_is_as_if_nothing_had_been(void **state)
{
	struct model m = {0};
	struct region g;
	uint64_t dirty;

	(void)state;
	begin(&g, &m);
	dirty = merkle_dirty_nodes(g.tree);
	for (int i = 0; i < 10; i++) {
		merkle_freeze(g.tree, store_freeze(&g.store));
		disturb(&g, &m, i % 3);
		check_live(&g, &m);
		merkle_thaw(g.tree);
		store_thaw(&g.store);
		if (i == 0)
			assert_int_equal(merkle_dirty_nodes(g.tree), dirty);
	}
	end(&g, &m);
}

struct meddler {
	struct region *g;
	struct model *m;
	uint64_t n;
};

static void meddle(void *ctx)
{
	struct meddler *d = ctx;

	put(d->g, d->m, d->n % NITEMS, 3);
	delete (d->g, d->m, (d->n + 50) % NITEMS);
	d->n += 7;
}

/* Changes after each single write of a commit: to nodes written, about to be, and already left. */
static void M4_changes_during_a_commit_belong_to_the_next(void **state)
{
	struct model m = {0}, frozen = {0};
	struct region g;
	struct meddler d = {.g = &g, .m = &m};
	uint64_t generation;

	(void)state;
	begin(&g, &m);
	for (int i = 0; i < 10; i++) {
		generation = store_freeze(&g.store);
		merkle_freeze(g.tree, generation);
		model_copy(&frozen, &m);
		g.store.on_write = meddle;
		g.store.on_write_ctx = &d;
		assert_false(failing_commit(&g, true, -1));
		g.store.on_write = NULL;
		check_stored(&g, &g.root, &frozen);
		check_live(&g, &m);
		store_published(&g.store, generation);
		check_stored(&g, &g.root, &frozen);
	}
	model_end(&frozen);
	end(&g, &m);
}

/* The previous root is whole until the new one is published: no address that it reaches is
 * written. */
static void M1_M5_the_previous_root_stays_whole(void **state)
{
	struct model m = {0}, before = {0};
	struct merkle_ptr root;
	struct region g;
	uint64_t generation;

	(void)state;
	begin(&g, &m);
	g.store.reuse = true;
	for (uint64_t i = 0; i < 10; i++) {
		region_commit(&g);
		root = g.root;
		model_copy(&before, &m);
		for (uint64_t n = i; n < NITEMS; n += 3)
			put(&g, &m, n, 4 + i);
		generation = store_freeze(&g.store);
		merkle_freeze(g.tree, generation);
		disturb(&g, &m, 1);
		assert_false(failing_commit(&g, true, -1));
		disturb(&g, &m, 2);
		check_stored(&g, &root, &before);
		store_published(&g.store, generation);
	}
	model_end(&before);
	end(&g, &m);
}

/* A change whose n-th allocation fails leaves the tree as it was, for all n. */
static void failing_memory_changes_nothing(void **state)
{
	struct model m = {0};
	struct model_item item;
	struct merkle_key key;
	struct region g;
	uint64_t dirty, failures = 0;
	int r = 0;

	(void)state;
	begin(&g, &m);
	region_commit(&g);
	for (uint64_t n = 0; n < NITEMS; n += 3) {
		item = item_of(n, 5);
		item.len = MERKLE_VALUE_MAX; /* splits */
		key = (struct merkle_key){.object = n + 1};
		if (n % 30 == 0)
			region_reopen(&g); /* loads */
		for (int64_t nth = 0; nth == 0 || r == -ENOMEM; nth++) {
			dirty = merkle_dirty_nodes(g.tree);
			fail_memory = nth;
			r = n % 2 ? merkle_delete(g.tree, &key) : put_item(&g, &item);
			fail_memory = -1;
			assert_true(r == 0 || r == -ENOENT || r == -ENOMEM);
			if (r == -ENOMEM) {
				assert_int_equal(merkle_dirty_nodes(g.tree), dirty);
				check_live(&g, &m);
				failures++;
			}
		}
		if (n % 2)
			assert_int_equal(r == 0, model_delete(&m, &key));
		else
			model_put(&m, &item);
		region_commit(&g);
	}
	printf("  %llu failures\n", (unsigned long long)failures);
	assert_true(failures > 40);
	assert_int_equal(g.store.reports, 0);
	end(&g, &m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(M5_failed_and_tried_again),
		cmocka_unit_test(M5_failed_and_given_up),
		cmocka_unit_test(thaw_is_as_if_nothing_had_been),
		cmocka_unit_test(M4_changes_during_a_commit_belong_to_the_next),
		cmocka_unit_test(M1_M5_the_previous_root_stays_whole),
		cmocka_unit_test(failing_memory_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
