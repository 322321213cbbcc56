/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_merkle_damage.h - what damage may cost, and how to forge
 */
#ifndef TEST_MERKLE_DAMAGE_H
#define TEST_MERKLE_DAMAGE_H

#include "tests/unit/test_merkle_fixture.h"

#define NITEMS 300u

/* A region with @model stored, in @generations commits. */
static inline void build(struct region *g, enum crypto_class class, struct model *model,
			 int generations)
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
static inline size_t count_lost(struct region *g, const struct model *model)
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

static inline int note_damage(void *ctx, const struct merkle_damage *damage)
{
	struct damages *d = ctx;

	d->n++;
	d->last = *damage;
	return 0;
}

static inline int note_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	(void)key;
	(void)value;
	(void)len;
	((struct damages *)ctx)->items++;
	return 0;
}

/* One node at @addr is bad: the walk finds just that, what it covers is lost, and nothing else. */
static inline void check_one_bad(struct region *g, const struct model *model, uint64_t addr)
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

/* Behind the seal.  This knows the format on its own, as docs/format.md has it. */

static inline void seal_node(struct region *g, struct merkle_ptr *ptr, const uint8_t *plain)
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
static inline void craft(const struct crafted *items, uint32_t n, uint8_t level, uint8_t *image)
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

#endif
