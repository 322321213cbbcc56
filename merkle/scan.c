/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/scan.c - items in order: a scan goes leaf by leaf, finding each from the root
 *
 * Nothing but a key is carried from one leaf to the next, and the lock is let go between them, so
 * writers get in and the tree may change its shape as it likes: a leaf's range, read under the
 * lock, says exactly which keys have been dealt with.
 */
#include "merkle/merkle_internal.h"

struct scan {
	struct merkle_key next; /* everything below has been visited */
	struct merkle_key last;
	merkle_visit *visit;
	void *ctx;
	bool done;
};

static int visit_leaf(struct scan *s, const struct merkle_node *leaf)
{
	struct merkle_key key;
	bool exact;
	int r = 0;

	for (uint32_t i = merkle_node_find(leaf, &s->next, &exact); i < leaf->count && r == 0;
	     i++) {
		key = merkle_node_key(leaf, i);
		if (merkle_key_compare(&key, &s->last) > 0)
			break;
		r = s->visit(s->ctx, &key, merkle_node_value(leaf, i), merkle_node_len(leaf, i));
	}
	return r;
}

/* An attempt either visits all of a leaf or, when it misses a node, nothing. */
static int scan_locked(struct merkle_op *op, struct scan *s)
{
	struct merkle_range range = merkle_range_all;
	struct merkle_path path;
	int r = merkle_path_find(op, &s->next, &path);

	if (r == 0 && path.top >= 0) {
		merkle_path_leaf_range(&path, &range);
		r = visit_leaf(s, path.node[0]);
	}
	if (r == 0 && merkle_key_compare(&range.last, &s->last) < 0)
		(void)merkle_key_after(&range.last, &s->next); /* below last, so it has one */
	else if (r == 0)
		s->done = true;
	return r;
}

static int scan_leaf(struct merkle_tree *t, struct scan *s)
{
	struct merkle_op op;
	int r;

	merkle_op_begin(&op, t);
	do {
		pthread_rwlock_rdlock(&t->lock);
		r = scan_locked(&op, s);
		pthread_rwlock_unlock(&t->lock);
	} while (merkle_op_again(&op));
	merkle_op_end(&op);
	return r;
}

int merkle_scan(struct merkle_tree *t, const struct merkle_key *first,
		const struct merkle_key *last, merkle_visit *visit, void *ctx)
{
	struct scan s = {.next = *first, .last = *last, .visit = visit, .ctx = ctx};
	int r = 0;

	s.done = merkle_key_compare(first, last) > 0;
	while (!s.done && r == 0)
		r = scan_leaf(t, &s);
	return r;
}

/* What get_last looks for, and where it puts it. */
struct last {
	struct merkle_key first, last;
	struct merkle_key *ret_key;
	void *value;
	size_t size;
	size_t *ret_len;
};

/* The number of the leaf's greatest item that is not above @key, or -1. */
static int64_t not_above(const struct merkle_node *leaf, const struct merkle_key *key)
{
	bool exact;
	int64_t i = merkle_node_find(leaf, key, &exact);

	return exact ? i : i - 1;
}

static int give(const struct last *q, const struct merkle_node *leaf, uint32_t i)
{
	struct merkle_key key = merkle_node_key(leaf, i);
	uint32_t len = merkle_node_len(leaf, i);
	int r = 0;

	if (merkle_key_compare(&key, &q->first) < 0) {
		r = -ENOENT;
	} else if (len > q->size) {
		r = -ERANGE;
	} else {
		memcpy(q->value, merkle_node_value(leaf, i), len);
		*q->ret_key = key;
		*q->ret_len = len;
	}
	return r;
}

/* A leaf's least item may lie above the least key of its range, so the item sought may be the last
 * one of the leaf before; no further, because no leaf is empty. */
static int get_last_locked(struct merkle_op *op, const struct last *q)
{
	struct merkle_range range = merkle_range_all;
	struct merkle_path path;
	int64_t i = -1;
	struct merkle_key key;
	int r = merkle_path_find(op, &q->last, &path);

	if (r == 0 && path.top >= 0) {
		merkle_path_leaf_range(&path, &range);
		i = not_above(path.node[0], &q->last);
	}
	if (r == 0 && i < 0 && path.top > 0 && merkle_key_before(&range.first, &key)) {
		r = merkle_path_find(op, &key, &path);
		if (r == 0)
			i = not_above(path.node[0], &key);
	}
	if (r == 0)
		r = i < 0 ? -ENOENT : give(q, path.node[0], (uint32_t)i);
	return r;
}

int merkle_get_last(struct merkle_tree *t, const struct merkle_key *first,
		    const struct merkle_key *last, struct merkle_key *ret_key, void *value,
		    size_t size, size_t *ret_len)
{
	struct last q = {.first = *first,
			 .last = *last,
			 .ret_key = ret_key,
			 .value = value,
			 .size = size,
			 .ret_len = ret_len};
	struct merkle_op op;
	int r;

	merkle_op_begin(&op, t);
	do {
		pthread_rwlock_rdlock(&t->lock);
		r = get_last_locked(&op, &q);
		pthread_rwlock_unlock(&t->lock);
	} while (merkle_op_again(&op));
	merkle_op_end(&op);
	return r;
}
