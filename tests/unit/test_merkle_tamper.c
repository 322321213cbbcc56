/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M2 against an enemy who owns the store: every kind of damage to stored nodes is -EBADMSG, is
 * reported, and costs no other items.
 */
#include "tests/unit/test_merkle_damage.h"

static const enum crypto_class classes[] = {CRYPTO_CLASS_ENCRYPTED, CRYPTO_CLASS_AUTHENTICATED};

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(M2_flipped_bits),
		cmocka_unit_test(M2_swapped_zeroed_replayed),
		cmocka_unit_test(M2_pointer_and_identity_are_bound),
		cmocka_unit_test(damage_stops_no_change_elsewhere),
		cmocka_unit_test(a_fetch_is_repeated_before_it_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
