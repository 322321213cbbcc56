/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M2 against one who can seal (the author of an authenticated region, or a bug): no image
 * whatever, however valid its seal, crashes the tree or is taken for anything but the one thing
 * that it says.
 */
#include "tests/unit/test_merkle_damage.h"

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
		cmocka_unit_test(M2_mutants_behind_the_seal),
		cmocka_unit_test(M2_one_defect),
		cmocka_unit_test(M2_children_that_no_tree_wrote),
		cmocka_unit_test(a_frozen_root_gives_way_too),
		cmocka_unit_test(M2_keys_outside_the_parents_slot),
		cmocka_unit_test(M2_one_node_in_two_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
