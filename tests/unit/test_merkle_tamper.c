/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M2 against an enemy who owns the store: every kind of damage to stored nodes is -EBADMSG, is
 * reported, and costs no other items.  Then against one who can seal (the author of an
 * authenticated region, or a bug): no image whatever, however valid its seal, crashes the tree or
 * is taken for anything but the one thing that it says.
 */
#include "tests/unit/test_merkle_fixture.h"

#define NITEMS 300u

static const enum crypto_class classes[] = {CRYPTO_CLASS_ENCRYPTED, CRYPTO_CLASS_AUTHENTICATED};

/* A region with @model stored, in @generations commits. */
static void build(struct region *g, enum crypto_class class, struct model *model, int generations)
{
	struct model_item item;

	region_begin(g, class, 1 << 20);
	for (int n = 0; n < generations; n++) {
		for (uint64_t i = 0; i < NITEMS; i++) {
			item.key =
				(struct merkle_key){.object = i / 10, .offset = i * 3, .type = 1};
			item.len = 1 + (uint32_t)(i * 77 % 900);
			item.seed = i * 1000 + (uint64_t)n;
			assert_int_equal(put_item(g, &item), 0);
			model_put(model, &item);
		}
		region_commit(g);
	}
}

/* Every item is right, or is missing with -EBADMSG, reported, and lies within what was reported.
 * Gives the number missing. */
static size_t count_lost(struct region *g, const struct model *model)
{
	uint8_t value[MERKLE_VALUE_MAX], expected[MERKLE_VALUE_MAX];
	const struct model_item *item;
	size_t lost = 0, len = 0;
	int r;

	region_reopen(g);
	for (size_t i = 0; i < model->n; i++) {
		item = &model->items[i];
		g->store.reports = 0;
		r = merkle_get(g->tree, &item->key, value, sizeof(value), &len);
		if (r == 0) {
			fill_value(item->seed, expected, item->len);
			assert_int_equal(len, item->len);
			assert_memory_equal(value, expected, len);
			assert_int_equal(g->store.reports, 0);
		} else {
			assert_int_equal(r, -EBADMSG);
			assert_int_equal(g->store.reports, 1);
			assert_int_equal(g->store.damage.error, -EBADMSG);
			assert_true(merkle_key_compare(&g->store.damage.first, &item->key) <= 0);
			assert_true(merkle_key_compare(&g->store.damage.last, &item->key) >= 0);
			lost++;
		}
	}
	return lost;
}

struct damages {
	size_t n, items;
	struct merkle_damage last;
};

static int note_damage(void *ctx, const struct merkle_damage *damage)
{
	struct damages *d = ctx;

	d->n++;
	d->last = *damage;
	return 0;
}

static int note_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	(void)key;
	(void)value;
	(void)len;
	((struct damages *)ctx)->items++;
	return 0;
}

/* One node at @addr is bad: the walk finds just that, what it covers is lost, and nothing else. */
static void check_one_bad(struct region *g, const struct model *model, uint64_t addr)
{
	struct damages d = {0};
	struct merkle_walk walk = {.ctx = &d, .item = note_item, .damaged = note_damage};
	struct merkle_walk strict = {.ctx = &d};
	size_t lost;

	assert_int_equal(merkle_walk(&g->config, &g->root, &walk), 0);
	assert_int_equal(d.n, 1);
	assert_int_equal(d.last.ptr.addr, addr);
	assert_int_equal(d.last.error, -EBADMSG);
	lost = count_lost(g, model);
	assert_true(lost > 0);
	assert_int_equal(d.items + lost, model->n);
	g->store.reports = 0;
	assert_int_equal(merkle_walk(&g->config, &g->root, &strict), -EBADMSG);
	assert_int_equal(g->store.reports, 1);
}

static void M2_flipped_bits(void **state)
{
	struct rng rng = {test_seed()};
	struct model model = {0};
	struct merkle_ptr ptr;
	struct reached w;
	struct region g;
	uint8_t *node, plain[MERKLE_NODE_SIZE];
	size_t byte;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		build(&g, classes[i], &model, 1);
		ptr = g.root;
		node = place_at(&g.store, ptr.addr)->node;
		for (size_t bit = 0; bit < 8 * MERKLE_NODE_SIZE; bit += 1 + rng_below(&rng, 128)) {
			node[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(merkle_read_node(&g.config, &ptr, plain), -EBADMSG);
			node[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		region_reach(&g, &g.root, &w);
		for (size_t n = 0; n < w.nodes; n++) {
			byte = rng_below(&rng, MERKLE_NODE_SIZE);
			node = place_at(&g.store, w.addrs[n])->node;
			node[byte] ^= 0x10;
			check_one_bad(&g, &model, w.addrs[n]);
			node[byte] ^= 0x10;
		}
		assert_int_equal(count_lost(&g, &model), 0);
		free(w.addrs);
		region_end(&g);
		model_end(&model);
	}
}

static void M2_swapped_zeroed_replayed(void **state)
{
	uint8_t saved[MERKLE_NODE_SIZE];
	struct model model = {0};
	struct reached w;
	struct region g;
	uint8_t *node;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		build(&g, classes[i], &model, 3);
		region_reach(&g, &g.root, &w);
		for (size_t n = 0; n < w.nodes; n++) {
			node = place_at(&g.store, w.addrs[n])->node;
			memcpy(saved, node, sizeof(saved));
			memset(node, 0, sizeof(saved));
			check_one_bad(&g, &model, w.addrs[n]);
			/* any other node there ever was, older ones of the same keys among them */
			for (size_t p = 1; p < g.store.nplaces; p++) {
				if (p * MERKLE_NODE_BLOCKS == w.addrs[n] || p % 7 != n % 7)
					continue;
				memcpy(node, g.store.places[p].node, sizeof(saved));
				check_one_bad(&g, &model, w.addrs[n]);
			}
			memcpy(node, saved, sizeof(saved));
		}
		free(w.addrs);
		region_end(&g);
		model_end(&model);
	}
}

/* An authentic node is of one region, one address, one birth and one level. */
static void M2_pointer_and_identity_are_bound(void **state)
{
	uint8_t plain[MERKLE_NODE_SIZE];
	struct model model = {0};
	struct merkle_config other;
	struct merkle_ptr ptr;
	struct region g;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		build(&g, classes[i], &model, 1);
		assert_int_equal(merkle_read_node(&g.config, &g.root, plain), 0);
		for (size_t b = 0; b < MERKLE_IDENTITY_SIZE; b++) {
			other = g.config;
			other.identity[b] ^= 1;
			assert_int_equal(merkle_read_node(&other, &g.root, plain), -EBADMSG);
		}
		ptr = g.root;
		ptr.birth++;
		assert_int_equal(merkle_read_node(&g.config, &ptr, plain), -EBADMSG);
		ptr = g.root;
		ptr.level++;
		assert_int_equal(merkle_read_node(&g.config, &ptr, plain), -EBADMSG);
		ptr = g.root; /* the same bytes elsewhere */
		ptr.addr = 4 * MERKLE_NODE_BLOCKS;
		memcpy(place_at(&g.store, ptr.addr)->node, place_at(&g.store, g.root.addr)->node,
		       MERKLE_NODE_SIZE);
		assert_int_equal(merkle_read_node(&g.config, &ptr, plain), -EBADMSG);
		ptr = g.root;
		memset(ptr.seal.tag, 0, sizeof(ptr.seal.tag));
		assert_int_equal(merkle_read_node(&g.config, &ptr, plain), -EBADMSG);
		region_end(&g);
		model_end(&model);
	}
}

/* Changes near damage fail or succeed, but never lose anything else; deletes do not need their
 * neighbours. */
static void damage_stops_no_change_elsewhere(void **state)
{
	struct model model = {0};
	struct reached w;
	struct region g;
	size_t deleted = 0, lost;
	int r;

	(void)state;
	build(&g, CRYPTO_CLASS_ENCRYPTED, &model, 1);
	region_reach(&g, &g.root, &w);
	place_at(&g.store, w.addrs[w.nodes / 2])->node[5] ^= 1;
	lost = count_lost(&g, &model);
	for (size_t i = 0; i < model.n; i++) {
		g.store.reports = 0;
		r = merkle_delete(g.tree, &model.items[i].key);
		assert_true(r == 0 || r == -EBADMSG);
		assert_int_equal(g.store.reports, r == 0 ? 0 : 1);
		deleted += r == 0;
	}
	assert_int_equal(deleted + lost, model.n);
	free(w.addrs);
	region_end(&g);
	model_end(&model);
}

/* The first reading fails, the second does not: the address may have been reused meanwhile. */
static void a_fetch_is_repeated_before_it_counts(void **state)
{
	const int errors[] = {-EIO, -EBADMSG};
	struct model model = {0};
	uint8_t value[MERKLE_VALUE_MAX];
	struct region g;
	size_t len;

	(void)state;
	build(&g, CRYPTO_CLASS_ENCRYPTED, &model, 1);
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		for (int64_t n = 1; n <= 2; n++) {
			region_reopen(&g);
			g.store.reports = 0;
			g.store.error = errors[i];
			g.store.fail_read = 1;
			g.store.read_failures = n;
			assert_int_equal(
				merkle_get(g.tree, &model.items[7].key, value, sizeof(value), &len),
				n == 1 ? 0 : errors[i]);
			assert_int_equal(g.store.reports, n - 1);
			if (n == 2)
				assert_int_equal(g.store.damage.error, errors[i]);
			assert_int_equal(
				merkle_get(g.tree, &model.items[7].key, value, sizeof(value), &len),
				0);
		}
	}
	region_end(&g);
	model_end(&model);
}

/* Behind the seal.  This knows the format on its own, as docs/format.md has it. */

static void seal_node(struct region *g, struct merkle_ptr *ptr, const uint8_t *plain)
{
	uint8_t aad[20 + 1 + 1 + 8 + 8];
	struct place *p;

	memcpy(aad, g->config.identity, 20);
	aad[20] = 'N';
	aad[21] = ptr->level;
	put_le64(aad + 22, ptr->addr);
	put_le64(aad + 30, ptr->birth);
	p = place_at(&g->store, ptr->addr);
	assert_non_null(p->node);
	assert_int_equal(crypto_sealer_take(g->sealer, 1, &ptr->seal.session, &ptr->seal.counter),
			 0);
	assert_int_equal(crypto_sealer_seal(g->sealer, aad, sizeof(aad), plain, p->node,
					    MERKLE_NODE_SIZE, &ptr->seal),
			 0);
}

struct crafted {
	struct merkle_key key;
	const void *value;
	size_t len;
};

/* The image that these items have, made without the room's help. */
static void craft(const struct crafted *items, uint32_t n, uint8_t level, uint8_t *image)
{
	uint32_t place = MERKLE_NODE_SIZE;
	uint8_t *slot;

	memset(image, 0, MERKLE_NODE_SIZE);
	memcpy(image, "FSPN\1", 5);
	image[5] = level;
	put_le16(image + 6, (uint16_t)n);
	for (uint32_t i = 0; i < n; i++) {
		place -= (uint32_t)items[i].len;
		memcpy(image + place, items[i].value, items[i].len);
		slot = image + 16 + (size_t)i * 24;
		put_le64(slot, items[i].key.object);
		put_le64(slot + 8, items[i].key.offset);
		put_le16(slot + 16, (uint16_t)place);
		put_le16(slot + 18, (uint16_t)items[i].len);
		slot[20] = items[i].key.type;
	}
	put_le16(image + 8, (uint16_t)(MERKLE_NODE_SIZE - place));
}

/* Order, lengths and children of an accepted image, by the letter of the format. */
static void check_accepted(const uint8_t *plain, const struct merkle_ptr *ptr)
{
	struct merkle_key key, previous = key_min;
	uint32_t n = merkle_node_items(plain);
	uint8_t image[MERKLE_NODE_SIZE];
	struct crafted items[700];
	struct merkle_ptr child;
	const void *value;
	size_t len;

	assert_true(n > 0 && n < ARRAY_LEN(items));
	for (uint32_t i = 0; i < n; i++) {
		merkle_node_item(plain, i, &key, &value, &len);
		items[i] = (struct crafted){key, value, len};
		assert_true(i == 0 || merkle_key_compare(&previous, &key) < 0);
		assert_true(len > 0 && len <= MERKLE_VALUE_MAX);
		if (ptr->level > 0) {
			assert_int_equal(len, MERKLE_PTR_SIZE);
			assert_int_equal(merkle_ptr_decode(value, &child), 0);
			assert_int_equal(child.level, ptr->level - 1);
			assert_true(child.addr > 0 && child.birth > 0 && child.birth <= ptr->birth);
		}
		previous = key;
	}
	craft(items, n, ptr->level, image);
	assert_memory_equal(image, plain, sizeof(image));
}

static uint64_t odd_number(struct rng *rng)
{
	const uint64_t odd[] = {0,     1,     2,    23,	   24,	  63,	 64,	     65,
				3072,  3073,  8192, 16367, 16368, 16383, 16384,	     16385,
				32768, 65535, 255,  256,   12,	  11,	 UINT64_MAX, UINT32_MAX};

	return rng_chance(rng, 70) ? odd[rng_below(rng, ARRAY_LEN(odd))] : rng_next(rng);
}

/* Change something about a sound image; fields more often than bytes. */
static void mutate(struct rng *rng, uint8_t *image)
{
	uint32_t n = get_le16(image + 6) % 680;
	uint8_t *slot = image + 16 + rng_below(rng, n + 1) * 24;
	uint8_t *other = image + 16 + rng_below(rng, n + 1) * 24, swap[24];
	size_t from = rng_below(rng, MERKLE_NODE_SIZE), to = rng_below(rng, MERKLE_NODE_SIZE);

	if (slot > image + MERKLE_NODE_SIZE - 64 || other > image + MERKLE_NODE_SIZE - 64)
		slot = other = image + 16;
	switch (rng_below(rng, 12)) {
	case 0: /* any byte */
		image[from] = (uint8_t)rng_next(rng);
		break;
	case 1: /* header */
		image[rng_below(rng, 16)] = (uint8_t)odd_number(rng);
		break;
	case 2: /* count */
		put_le16(image + 6, (uint16_t)(rng_chance(rng, 50) ? n - 1 + rng_below(rng, 3)
								   : odd_number(rng)));
		break;
	case 3: /* bytes of values */
		put_le16(image + 8, (uint16_t)odd_number(rng));
		break;
	case 4: /* object, offset */
		put_le64(slot + 8 * rng_below(rng, 2), odd_number(rng));
		break;
	case 5: /* place, length */
		put_le16(slot + 16 + 2 * rng_below(rng, 2), (uint16_t)odd_number(rng));
		break;
	case 6: /* type and zeroes */
		slot[20 + rng_below(rng, 4)] = (uint8_t)odd_number(rng);
		break;
	case 7: /* order, or twice the same */
		memcpy(swap, slot, 24);
		memcpy(slot, other, 24);
		if (rng_chance(rng, 50))
			memcpy(other, swap, 24);
		break;
	case 8: /* bytes moved about */
		memmove(image + from, image + to, MERKLE_NODE_SIZE - (from > to ? from : to));
		break;
	case 9: /* something in what a value says: in inner nodes, a pointer */
		from = get_le16(slot + 16) % (MERKLE_NODE_SIZE - 64);
		put_le64(image + from + rng_below(rng, 57), odd_number(rng));
		break;
	case 10: /* no items at all */
		memset(image + 6, 0, MERKLE_NODE_SIZE - 6);
		break;
	default: /* noise */
		for (size_t i = from; i < MERKLE_NODE_SIZE; i++)
			image[i] = (uint8_t)rng_next(rng);
		break;
	}
}

/* Whatever such a tree contains, using it neither crashes nor ends in a strange error. */
static void use(struct region *g, struct rng *rng)
{
	uint8_t value[MERKLE_VALUE_MAX] = {1};
	struct merkle_key key, found;
	size_t len, n = 0;
	int r;

	region_reopen(g);
	for (int i = 0; i < 20; i++) {
		key = (struct merkle_key){.object = rng_below(rng, 32),
					  .offset = rng_below(rng, 1000),
					  .type = (uint8_t)rng_below(rng, 3)};
		switch (rng_below(rng, 5)) {
		case 0:
			r = merkle_put(g->tree, &key, value, 1 + rng_below(rng, sizeof(value)));
			break;
		case 1:
			r = merkle_delete(g->tree, &key);
			break;
		case 2:
			r = merkle_get(g->tree, &key, value, sizeof(value), &len);
			break;
		case 3:
			r = merkle_get_last(g->tree, &key_min, &key, &found, value, sizeof(value),
					    &len);
			break;
		default:
			r = merkle_scan(g->tree, &key, &key_max, note_item, &(struct damages){0});
			break;
		}
		n += r == -EBADMSG;
		assert_true(r == 0 || r == -ENOENT || r == -EBADMSG);
	}
	assert_int_equal(g->store.reports > 0, n > 0);
	g->store.reports = 0;
}

/* Any leaf or root may be replaced by a mutant with a valid seal. */
static void M2_mutants_behind_the_seal(void **state)
{
	struct rng rng = {test_seed()};
	uint8_t sound[MERKLE_NODE_SIZE], mutant[MERKLE_NODE_SIZE], plain[MERKLE_NODE_SIZE];
	size_t accepted = 0, refused = 0;
	struct model model = {0};
	struct merkle_ptr root, child, ptr;
	struct merkle_key key;
	const void *value;
	struct region g;
	size_t len;
	int r;

	(void)state;
	build(&g, CRYPTO_CLASS_AUTHENTICATED, &model, 2);
	g.store.lax = true; /* mutants name addresses that nobody allocated */
	root = g.root;
	for (int i = 0; i < 4000; i++) {
		ptr = root;
		assert_int_equal(merkle_read_node(&g.config, &root, sound), 0);
		if (i % 2) {
			merkle_node_item(sound, (uint32_t)rng_below(&rng, merkle_node_items(sound)),
					 &key, &value, &len);
			assert_int_equal(merkle_ptr_decode(value, &child), 0);
			assert_int_equal(merkle_read_node(&g.config, &child, sound), 0);
			ptr = child;
		}
		memcpy(mutant, sound, sizeof(mutant));
		for (uint64_t n = 1 + rng_below(&rng, 3); n > 0; n--)
			mutate(&rng, mutant);
		memcpy(plain, place_at(&g.store, ptr.addr)->node, sizeof(plain)); /* to restore */
		seal_node(&g, &ptr, mutant);
		r = merkle_read_node(&g.config, &ptr, mutant);
		assert_true(r == 0 || r == -EBADMSG);
		accepted += r == 0;
		refused += r != 0;
		if (r == 0)
			check_accepted(mutant, &ptr);
		g.store.reports = 0;
		g.root = ptr;
		use(&g, &rng);
		memcpy(place_at(&g.store, ptr.addr)->node, plain, sizeof(plain));
	}
	printf("  %zu accepted, %zu refused\n", accepted, refused);
	assert_true(accepted > 0 && refused > 1000);
	region_end(&g);
	model_end(&model);
}

/* Images with one defect each that chance would rarely make. */
static void M2_one_defect(void **state)
{
	static const uint8_t zeroes[MERKLE_NODE_SIZE];
	struct crafted items[] = {{{1, 0, 0}, "a", 1}, {{2, 0, 0}, "b", 1}, {{3, 0, 0}, "c", 1}};
	uint8_t image[MERKLE_NODE_SIZE], plain[MERKLE_NODE_SIZE];
	const struct {
		size_t at, len; /* of item 1, or of the image */
		uint64_t value;
	} defects[] = {{0, 4, 0},  {4, 1, 2},	  {5, 1, 1},	   {6, 2, 2},  {6, 2, 4},
		       {8, 2, 2},  {8, 2, 4},	  {10, 1, 1},	   {15, 1, 1}, {40, 8, 1},
		       {40, 8, 3}, {40, 8, 4},	  {56, 2, 0x3fff}, {56, 2, 0}, {58, 2, 0},
		       {58, 2, 2}, {61, 1, 1},	  {63, 1, 1},	   {88, 1, 1}, {16380, 1, 1},
		       {6, 2, 0},  {6, 2, 0xffff}};
	struct merkle_ptr ptr;
	struct model model = {0};
	struct region g;

	(void)state;
	build(&g, CRYPTO_CLASS_AUTHENTICATED, &model, 1);
	ptr = g.root;
	ptr.level = 0;
	craft(items, 3, 0, image);
	seal_node(&g, &ptr, image);
	assert_int_equal(merkle_read_node(&g.config, &ptr, plain), 0);
	for (size_t i = 0; i < ARRAY_LEN(defects); i++) {
		uint8_t bytes[8];

		craft(items, 3, 0, image);
		put_le64(bytes, defects[i].value);
		memcpy(image + defects[i].at, bytes, defects[i].len);
		seal_node(&g, &ptr, image);
		assert_int_equal(merkle_read_node(&g.config, &ptr, plain), -EBADMSG);
	}
	for (size_t len = 0; len <= MERKLE_VALUE_MAX + 1; len += MERKLE_VALUE_MAX / 2) {
		items[1] = (struct crafted){items[1].key, zeroes, len};
		craft(items, 3, 0, image);
		seal_node(&g, &ptr, image);
		assert_int_equal(merkle_read_node(&g.config, &ptr, plain), len ? 0 : -EBADMSG);
		items[1].len = len + MERKLE_VALUE_MAX + 1;
		craft(items, 3, 0, image);
		seal_node(&g, &ptr, image);
		assert_int_equal(merkle_read_node(&g.config, &ptr, plain), -EBADMSG);
	}
	region_end(&g);
	model_end(&model);
}

/* An inner node's pointer must be one that a tree could have written there. */
static void M2_children_that_no_tree_wrote(void **state)
{
	const struct merkle_ptr sound = {.addr = 8, .birth = 1, .seal = {.tag = {1}}, .level = 1};
	uint8_t value[MERKLE_PTR_SIZE + 1] = {0}, image[MERKLE_NODE_SIZE];
	struct crafted item = {{1, 0, 0}, value, MERKLE_PTR_SIZE};
	struct model model = {0};
	struct merkle_ptr child, ptr;
	struct region g;

	(void)state;
	build(&g, CRYPTO_CLASS_AUTHENTICATED, &model, 2);
	ptr = g.root;
	ptr.level = 2;
	for (int i = 0; i < 9; i++) {
		child = sound;
		child.level = (uint8_t)(i == 1 ? 0 : i == 2 ? 2 : i == 3 ? 12 : 1);
		child.birth = i == 4 ? ptr.birth + 1 : i == 5 ? ptr.birth : 1;
		child.addr = i == 6 ? 0 : 8;
		merkle_ptr_encode(&child, value);
		if (i == 7)
			memset(value, 0, sizeof(value));
		item.len = i == 8 ? MERKLE_PTR_SIZE + 1 : MERKLE_PTR_SIZE;
		craft(&item, 1, 2, image);
		seal_node(&g, &ptr, image);
		assert_int_equal(merkle_read_node(&g.config, &ptr, image),
				 i == 0 || i == 5 ? 0 : -EBADMSG);
	}
	region_end(&g);
	model_end(&model);
}

/* A lean tree, two inner nodes with one leaf each, whose root gives way to a frozen node and that
 * one to its leaf. */
static void a_frozen_root_gives_way_too(void **state)
{
	struct merkle_ptr nodes[4]; /* two leaves, two inner nodes */
	uint8_t image[MERKLE_NODE_SIZE], values[4][MERKLE_PTR_SIZE];
	struct crafted items[2] = {{{1, 0, 0}, "a", 1}, {{2, 0, 0}, "b", 1}};
	struct model model = {0};
	uint64_t generation;
	struct merkle_ptr root;
	struct reached w;
	struct region g;

	(void)state;
	build(&g, CRYPTO_CLASS_AUTHENTICATED, &model, 1);
	for (size_t i = 0; i < 5; i++) {
		struct merkle_ptr *ptr = i < 4 ? &nodes[i] : &g.root;

		*ptr = (struct merkle_ptr){.addr = (1 + i) * MERKLE_NODE_BLOCKS,
					   .birth = 1,
					   .level = (uint8_t)(i / 2)};
		for (size_t j = 0; i >= 2 && j < 2; j++)
			items[j] = (struct crafted){items[j].key, values[j + i / 4 * 2],
						    MERKLE_PTR_SIZE};
		if (i < 4)
			craft(&items[i % 2], 1, ptr->level, image);
		else
			craft(items, 2, ptr->level, image);
		seal_node(&g, ptr, image);
		if (i < 4)
			merkle_ptr_encode(ptr, values[i]);
	}
	for (size_t i = 1; i < g.store.nplaces; i++)
		g.store.places[i].state = i <= 5 ? USED : FREE;
	region_reopen(&g);
	region_check_books(&g);
	assert_int_equal(merkle_put(g.tree, &items[1].key, "c", 1), 0);
	generation = store_freeze(&g.store);
	merkle_freeze(g.tree, generation);
	assert_int_equal(merkle_delete(g.tree, &items[0].key), 0);
	assert_int_equal(merkle_commit(g.tree, &root, &g.tag), 0);
	g.root = root;
	assert_int_equal(root.level, 2);
	region_reach(&g, &root, &w);
	assert_int_equal(w.nodes, 5);
	free(w.addrs);
	store_published(&g.store, generation);
	region_commit(&g);
	assert_int_equal(g.root.level, 0);
	region_check_books(&g);
	region_end(&g);
	model_end(&model);
}

/* A leaf that is sound by itself, but whose first or last key is not its parent's slot's. */
enum outside { BELOW, ABOVE, JUST_ABOVE };

static void check_outside(enum outside how)
{
	uint8_t top[MERKLE_NODE_SIZE], leaf[MERKLE_NODE_SIZE];
	struct model model = {0};
	struct merkle_key key, next;
	struct merkle_ptr child;
	const void *value;
	struct region g;
	uint8_t *last;
	size_t len;

	build(&g, CRYPTO_CLASS_AUTHENTICATED, &model, 1);
	assert_int_equal(merkle_read_node(&g.config, &g.root, top), 0);
	merkle_node_item(top, 3, &next, &value, &len);
	merkle_node_item(top, 2, &key, &value, &len);
	assert_int_equal(merkle_ptr_decode(value, &child), 0);
	assert_int_equal(merkle_read_node(&g.config, &child, leaf), 0);
	last = leaf + 16 + (size_t)(merkle_node_items(leaf) - 1) * 24;
	if (how == BELOW)
		put_le64(leaf + 16, get_le64(leaf + 16) - 1);
	else
		put_le64(last, how == ABOVE ? 1000 : next.object);
	if (how == JUST_ABOVE)
		put_le64(last + 8, next.offset);
	seal_node(&g, &child, leaf);
	assert_int_equal(merkle_read_node(&g.config, &child, leaf), 0);
	merkle_ptr_encode(&child, top + MERKLE_NODE_SIZE - 3 * (size_t)MERKLE_PTR_SIZE);
	seal_node(&g, &g.root, top);
	check_one_bad(&g, &model, child.addr);
	region_end(&g);
	model_end(&model);
}

static void M2_keys_outside_the_parents_slot(void **state)
{
	(void)state;
	check_outside(BELOW);
	check_outside(ABOVE);
	check_outside(JUST_ABOVE);
}

/* One leaf named by two slots: found through its own, damaged through the other, whichever comes
 * first, and not released a second time. */
static void M2_one_node_in_two_slots(void **state)
{
	uint8_t top[MERKLE_NODE_SIZE], value[MERKLE_VALUE_MAX] = {1}, *pointers;
	struct merkle_key own, other, key;
	const void *pointer;
	struct model model = {0};
	struct region g;
	size_t len;

	(void)state;
	build(&g, CRYPTO_CLASS_AUTHENTICATED, &model, 1);
	assert_int_equal(merkle_read_node(&g.config, &g.root, top), 0);
	merkle_node_item(top, 2, &own, &pointer, &len);
	merkle_node_item(top, 4, &other, &pointer, &len);
	pointers = top + MERKLE_NODE_SIZE;
	memcpy(pointers - 5 * (size_t)MERKLE_PTR_SIZE, pointers - 3 * (size_t)MERKLE_PTR_SIZE,
	       MERKLE_PTR_SIZE);
	seal_node(&g, &g.root, top);
	assert_true(count_lost(&g, &model) > 0);
	assert_int_equal(merkle_get(g.tree, &own, value, sizeof(value), &len), 0);
	assert_int_equal(merkle_get(g.tree, &other, value, sizeof(value), &len), -EBADMSG);
	assert_int_equal(merkle_put(g.tree, &other, value, 5), -EBADMSG);
	assert_int_equal(merkle_put(g.tree, &own, value, 5), 0);
	assert_int_equal(merkle_delete(g.tree, &other), -EBADMSG);
	region_reopen(&g);
	key = other;
	assert_int_equal(merkle_get_last(g.tree, &key_min, &key, &own, value, sizeof(value), &len),
			 -EBADMSG);
	region_end(&g);
	model_end(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(M2_flipped_bits),
		cmocka_unit_test(M2_swapped_zeroed_replayed),
		cmocka_unit_test(M2_pointer_and_identity_are_bound),
		cmocka_unit_test(damage_stops_no_change_elsewhere),
		cmocka_unit_test(a_fetch_is_repeated_before_it_counts),
		cmocka_unit_test(M2_mutants_behind_the_seal),
		cmocka_unit_test(M2_one_defect),
		cmocka_unit_test(M2_children_that_no_tree_wrote),
		cmocka_unit_test(a_frozen_root_gives_way_too),
		cmocka_unit_test(M2_keys_outside_the_parents_slot),
		cmocka_unit_test(M2_one_node_in_two_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
