/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers, writers and a committer at once.  Each writer owns the keys of one object and knows what
 * it has put, so at the end everything can be compared; a value says which key it belongs to and
 * hashes itself, so a reader can tell a torn or misplaced one at any time.  The cache is far too
 * small and the store reuses addresses as soon as it may, so that readers keep fetching nodes that
 * are being freed: none of that may ever be reported as damage.
 */
#include "tests/unit/test_merkle_fixture.h"

#define WRITERS 3u
#define READERS 3u
#define KEYS 1500u  /* a writer's */
#define COMMITS 40u /* the game goes on until then */
#define VALUE_MIN 24u

struct game {
	struct region g;
	uint64_t seed;
	atomic_uint writing; /* writers not done yet */
	atomic_uint commits, abandoned;
};

struct player {
	struct game *game;
	uint32_t number;
	struct rng rng;
	struct model model;
	uint64_t ops;
};

/* A value: object, offset, seed, and bytes that follow from the seed. */
static uint32_t make_value(const struct model_item *item, uint8_t *value)
{
	put_le64(value, item->key.object);
	put_le64(value + 8, item->key.offset);
	put_le64(value + 16, item->seed);
	fill_value(item->seed, value + VALUE_MIN, item->len - VALUE_MIN);
	return item->len;
}

static void check_value(const struct merkle_key *key, const uint8_t *value, size_t len)
{
	uint8_t expected[MERKLE_VALUE_MAX];

	assert_true(len >= VALUE_MIN);
	assert_int_equal(get_le64(value), key->object);
	assert_int_equal(get_le64(value + 8), key->offset);
	fill_value(get_le64(value + 16), expected, len - VALUE_MIN);
	assert_memory_equal(expected, value + VALUE_MIN, len - VALUE_MIN);
}

static void write_once(struct player *p)
{
	struct model_item item = {.key = {.object = p->number, .offset = rng_below(&p->rng, KEYS)},
				  .len = VALUE_MIN + (uint32_t)rng_below(&p->rng, 700),
				  .seed = rng_next(&p->rng)};
	struct merkle_tree *t = p->game->g.tree;
	uint8_t value[MERKLE_VALUE_MAX];
	bool exact;

	(void)model_find(&p->model, &item.key, &exact);
	if (rng_chance(&p->rng, 40)) {
		assert_int_equal(merkle_delete(t, &item.key), exact ? 0 : -ENOENT);
		(void)model_delete(&p->model, &item.key);
	} else {
		assert_int_equal(merkle_put(t, &item.key, value, make_value(&item, value)), 0);
		model_put(&p->model, &item);
	}
}

static void *writer(void *arg)
{
	struct player *p = arg;

	for (p->ops = 0; atomic_load(&p->game->commits) < COMMITS; p->ops++) {
		write_once(p);
		if (p->ops > KEYS) /* the tree is there: let the others have their turn */
			sched_yield();
	}
	atomic_fetch_sub(&p->game->writing, 1);
	return NULL;
}

/* Items of one scan: sound, ascending. */
struct look {
	struct merkle_key last;
	size_t n;
};

static int look_at(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct look *l = ctx;

	assert_true(l->n == 0 || merkle_key_compare(&l->last, key) < 0);
	check_value(key, value, len);
	l->last = *key;
	l->n++;
	return 0;
}

static void *reader(void *arg)
{
	struct player *p = arg;
	struct merkle_tree *t = p->game->g.tree;
	uint8_t value[MERKLE_VALUE_MAX];
	struct merkle_key key, found;
	struct look l;
	size_t len;
	int r;

	for (p->ops = 0; atomic_load(&p->game->writing) > 0; p->ops++) {
		key = (struct merkle_key){.object = rng_below(&p->rng, WRITERS),
					  .offset = rng_below(&p->rng, KEYS)};
		found = key;
		l = (struct look){.n = 0};
		if (rng_chance(&p->rng, 5))
			r = merkle_scan(t, &key, &key_max, look_at, &l);
		else if (rng_chance(&p->rng, 30))
			r = merkle_get_last(t, &key_min, &key, &found, value, sizeof(value), &len);
		else
			r = merkle_get(t, &key, value, sizeof(value), &len);
		assert_true(r == 0 || r == -ENOENT);
		if (r == 0 && l.n == 0 && rng_chance(&p->rng, 95))
			assert_true(merkle_key_compare(&found, &key) <= 0);
	}
	return NULL;
}

/* Stored, sound, and of addresses that nobody may reuse yet. */
static int check_stored_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	(void)ctx;
	check_value(key, value, len);
	return 0;
}

static int check_stored_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	struct memory_store *s = ctx;

	(void)plain;
	pthread_mutex_lock(&s->lock);
	assert_true(place_at(s, ptr->addr)->state != FREE);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static void commit_once(struct player *p)
{
	struct region *g = &p->game->g;
	const struct merkle_walk walk = {
		.ctx = &g->store, .node = check_stored_node, .item = check_stored_item};
	uint64_t generation = store_freeze(&g->store);
	struct merkle_ptr root;
	int r;

	merkle_freeze(g->tree, generation);
	pthread_mutex_lock(&g->store.lock);
	g->store.fail_write = rng_chance(&p->rng, 30) ? (int64_t)rng_below(&p->rng, 20) : -1;
	pthread_mutex_unlock(&g->store.lock);
	do
		r = merkle_commit(g->tree, &root, &g->tag);
	while (r != 0 && rng_chance(&p->rng, 50));
	if (r == 0) {
		assert_int_equal(merkle_walk(&g->config, &root, &walk), 0);
		assert_int_equal(merkle_walk(&g->config, &g->root, &walk), 0);
		g->root = root;
		store_published(&g->store, generation);
		atomic_fetch_add(&p->game->commits, 1);
	} else {
		merkle_thaw(g->tree);
		store_thaw(&g->store);
		atomic_fetch_add(&p->game->abandoned, 1);
	}
}

static void *committer(void *arg)
{
	struct player *p = arg;

	while (atomic_load(&p->game->writing) > 0) {
		commit_once(p);
		(void)merkle_dirty_nodes(p->game->g.tree);
		sched_yield();
	}
	return NULL;
}

static void compare_all(struct game *game, struct player *players)
{
	uint8_t value[MERKLE_VALUE_MAX], expected[MERKLE_VALUE_MAX];
	struct look l = {.n = 0};
	const struct model_item *item;
	size_t n = 0, len = 0;

	for (uint32_t i = 0; i < WRITERS; i++) {
		for (size_t j = 0; j < players[i].model.n; j++) {
			item = &players[i].model.items[j];
			assert_int_equal(
				merkle_get(game->g.tree, &item->key, value, sizeof(value), &len),
				0);
			assert_int_equal(len, make_value(item, expected));
			assert_memory_equal(value, expected, len);
		}
		n += players[i].model.n;
	}
	assert_int_equal(merkle_scan(game->g.tree, &key_min, &key_max, look_at, &l), 0);
	assert_int_equal(l.n, n);
}

static void play(enum crypto_class class, size_t cache_bytes)
{
	void *(*const roles[])(void *) = {writer, reader, committer};
	struct player players[WRITERS + READERS + 1];
	pthread_t threads[WRITERS + READERS + 1];
	uint64_t changes = 0, looks = 0;
	struct game game;
	size_t role;

	memset(&game, 0, sizeof(game));
	region_begin(&game.g, class, cache_bytes);
	game.g.store.reuse = true;
	game.seed = test_seed();
	atomic_init(&game.writing, WRITERS);
	for (uint32_t i = 0; i < ARRAY_LEN(players); i++) {
		players[i] =
			(struct player){.game = &game, .number = i, .rng = {game.seed * 31 + i}};
		role = i < WRITERS ? 0 : i < WRITERS + READERS ? 1 : 2;
		assert_int_equal(pthread_create(&threads[i], NULL, roles[role], &players[i]), 0);
	}
	for (uint32_t i = 0; i < ARRAY_LEN(players); i++)
		pthread_join(threads[i], NULL);
	game.g.store.fail_write = -1;
	assert_int_equal(game.g.store.reports, 0);
	compare_all(&game, players);
	region_commit(&game.g);
	region_check_books(&game.g); /* M5 */
	region_reopen(&game.g);
	compare_all(&game, players);
	for (uint32_t i = 0; i < WRITERS + READERS; i++)
		*(i < WRITERS ? &changes : &looks) += players[i].ops;
	printf("  %llu changes, %llu looks, %u commits, %u given up, %llu nodes read, %llu written\n",
	       (unsigned long long)changes, (unsigned long long)looks, game.commits, game.abandoned,
	       (unsigned long long)game.g.store.reads, (unsigned long long)game.g.store.writes);
	for (uint32_t i = 0; i < ARRAY_LEN(players); i++)
		model_end(&players[i].model);
	region_end(&game.g);
}

static void threads_and_no_cache(void **state)
{
	(void)state;
	play(CRYPTO_CLASS_ENCRYPTED, 0);
}

static void threads_and_a_tiny_cache(void **state)
{
	(void)state;
	play(CRYPTO_CLASS_ENCRYPTED, (size_t)64 << 10);
}

static void threads_and_a_large_cache(void **state)
{
	(void)state;
	play(CRYPTO_CLASS_AUTHENTICATED, (size_t)64 << 20);
}

/* One call in a thread of its own. */
struct call {
	struct merkle_tree *t;
	struct merkle_key key;
	uint8_t value[MERKLE_VALUE_MAX];
	size_t len;
	int r;
};

static void *call_get(void *arg)
{
	struct call *c = arg;

	c->r = merkle_get(c->t, &c->key, c->value, sizeof(c->value), &c->len);
	return NULL;
}

static void *call_delete(void *arg)
{
	struct call *c = arg;

	c->r = merkle_delete(c->t, &c->key);
	return NULL;
}

static struct model_item big_item(uint64_t n)
{
	return (struct model_item){.key = {.object = n}, .len = MERKLE_VALUE_MAX, .seed = n};
}

/*
 * While a reader is about to read leaf X, X is changed, committed, freed, and its address is
 * written with something else.  The writer has X already: it is held up on its way to X's
 * neighbour, for with one of X's two items deleted the two leaves might merge.
 */
static void a_node_freed_under_a_reader_is_no_damage(void **state)
{
	struct model_item item;
	struct call get, delete;
	pthread_t writer_thread, reader_thread;
	struct merkle_ptr x, y;
	uint8_t top[MERKLE_NODE_SIZE], value[MERKLE_VALUE_MAX];
	struct merkle_key key;
	const void *pointer;
	struct region g;
	size_t len;

	(void)state;
	region_begin(&g, CRYPTO_CLASS_ENCRYPTED, 0);
	g.store.reuse = true;
	for (uint64_t n = 0; n < 7; n++) {
		item = big_item(n);
		assert_int_equal(put_item(&g, &item), 0);
	}
	region_commit(&g);
	assert_int_equal(merkle_read_node(&g.config, &g.root, top), 0);
	assert_int_equal(merkle_node_items(top), 2);
	merkle_node_item(top, 0, &key, &pointer, &len);
	assert_int_equal(merkle_ptr_decode(pointer, &y), 0);
	merkle_node_item(top, 1, &key, &pointer, &len);
	assert_int_equal(merkle_ptr_decode(pointer, &x), 0);

	delete = (struct call){.t = g.tree, .key = big_item(6).key};
	get = (struct call){.t = g.tree, .key = big_item(5).key};
	gate_close(&g.store, 0, y.addr);
	pthread_create(&writer_thread, NULL, call_delete, &delete);
	gate_await(&g.store, 0);
	gate_close(&g.store, 1, x.addr);
	pthread_create(&reader_thread, NULL, call_get, &get);
	gate_await(&g.store, 1);
	gate_open(&g.store, 0);
	pthread_join(writer_thread, NULL);
	assert_int_equal(delete.r, 0);
	for (uint64_t n = 100; n < 110; n++) {
		region_commit(&g);
		item = big_item(n);
		assert_int_equal(put_item(&g, &item), 0);
	}
	region_commit(&g);
	assert_int_equal(place_at(&g.store, x.addr)->state, USED); /* by something else */
	gate_open(&g.store, 1);
	pthread_join(reader_thread, NULL);
	assert_int_equal(get.r, 0);
	fill_value(5, value, sizeof(value));
	assert_memory_equal(get.value, value, sizeof(value));
	assert_int_equal(g.store.reports, 0);
	region_check_books(&g);
	region_end(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_freed_under_a_reader_is_no_damage),
		cmocka_unit_test(threads_and_no_cache),
		cmocka_unit_test(threads_and_a_tiny_cache),
		cmocka_unit_test(threads_and_a_large_cache),
	};

	/* A failed assertion cannot jump from one thread into another: it ends the program. */
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
