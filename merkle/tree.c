/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/tree.c - the tree in memory: its lock, the way down, and fetching what is missing
 *
 * A descent needs the lock and nodes; a node that is not in memory needs the store, which
 * must not be asked under the lock.  So an attempt that meets a missing node gives up, the node is
 * fetched and verified without the lock, and the attempt is repeated from the root.  Between the
 * two the tree may have changed; nothing is assumed from the attempt before but that the nodes
 * met then are still referenced and can be found again by their names.
 *
 * When an unlocked fetch fails, that may be because the node was freed and its address given to
 * something else in the meantime.  If the next attempt meets the same name again, the node is
 * read once more, under the lock: what the live tree names is not freed as long as the lock is
 * held (M5: releasing takes the write lock), so that result is the truth.
 */
#include <stdlib.h>

#include "merkle/merkle_internal.h"

static int lock_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;
	int r = -pthread_rwlockattr_init(&attr);

	if (r == 0) {
		r = -pthread_rwlockattr_setkind_np(&attr,
						   PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
		if (r == 0)
			r = -pthread_rwlock_init(lock, &attr);
		pthread_rwlockattr_destroy(&attr);
	}
	return r;
}

/* A root from outside: encoded, and refused unless it decodes. */
static int root_name(const struct merkle_ptr *root, struct merkle_name *ret)
{
	struct merkle_name name = {{0}};
	struct merkle_ptr check;
	int r = 0;

	if (root) {
		merkle_ptr_encode(root, name.b);
		if (merkle_ptr_decode(name.b, &check) != 0)
			r = -EINVAL;
	}
	if (r == 0)
		*ret = name;
	return r;
}

int merkle_open(const struct merkle_config *config, const struct merkle_ptr *root,
		struct merkle_tree **ret)
{
	struct merkle_tree *t = NULL;
	struct merkle_name name;
	int r = root_name(root, &name);

	if (r == 0) {
		t = calloc(1, sizeof(*t));
		r = t ? lock_init(&t->lock) : -ENOMEM;
	}
	if (r == 0) {
		t->config = *config;
		t->owner = merkle_cache_owner(config->cache);
		t->root.name = name;
		t->epoch = 1;
		*ret = t;
	} else {
		free(t);
	}
	return r;
}

struct merkle_tree *merkle_free(struct merkle_tree *t)
{
	if (t) {
		merkle_node_unref(t->frozen.mem);
		merkle_node_unref(t->root.mem);
		merkle_cache_drop_owner(t->config.cache, t->owner);
		pthread_rwlock_destroy(&t->lock);
		free(t);
	}
	return NULL;
}

uint64_t merkle_dirty_nodes(struct merkle_tree *t)
{
	return atomic_load_explicit(&t->dirty, memory_order_relaxed);
}

void merkle_op_begin(struct merkle_op *op, struct merkle_tree *t)
{
	op->t = t;
	op->state = MERKLE_OP_RUNS;
	op->optional = false;
	op->spartan = false;
	op->nheld = 0;
}

void merkle_op_end(struct merkle_op *op)
{
	while (op->nheld > 0)
		merkle_node_unref(op->held[--op->nheld]);
}

static struct merkle_node *hold(struct merkle_op *op, struct merkle_node *n)
{
	assert(op->nheld < MERKLE_HELD_MAX);
	op->held[op->nheld++] = n;
	return n;
}

/* In memory as a clean node: met before, or in the cache. */
static struct merkle_node *find_clean(struct merkle_op *op, const struct merkle_name *name)
{
	struct merkle_node *n = NULL;

	for (uint32_t i = 0; i < op->nheld && !n; i++)
		if (merkle_name_equal(&op->held[i]->name, name))
			n = op->held[i];
	if (!n) {
		n = merkle_cache_get(op->t->config.cache, op->t->owner, name);
		if (n)
			hold(op, n);
	}
	return n;
}

/* Read and verify; what is given is in the cache, if that has room, and held. */
static int fetch(struct merkle_op *op, const struct merkle_name *name,
		 const struct merkle_range *range, struct merkle_node **ret)
{
	struct merkle_tree *t = op->t;
	struct merkle_node *n = NULL;
	struct merkle_ptr ptr;
	int r = merkle_ptr_decode(name->b, &ptr);

	if (r == 0)
		r = merkle_node_new_clean(&n);
	if (r == 0)
		r = merkle_image_read(&t->config, &ptr, range, n->image, NULL);
	if (r == 0) {
		merkle_node_adopt(n, t->owner, name);
		n->least = range->first;
		*ret = hold(op, merkle_cache_put(t->config.cache, n));
	} else {
		merkle_node_unref(n);
	}
	return r;
}

/* The second reading, under the lock: its result is final, and reported. */
static int fetch_locked(struct merkle_op *op, const struct merkle_name *name,
			const struct merkle_range *range, struct merkle_node **ret)
{
	struct merkle_ptr ptr;
	int r = fetch(op, name, range, ret);

	if (r != 0 && r != -ENOMEM && merkle_ptr_decode(name->b, &ptr) == 0)
		merkle_report(&op->t->config, &ptr, range, r);
	return r;
}

static int miss(struct merkle_op *op, const struct merkle_name *name,
		const struct merkle_range *range, bool optional)
{
	op->state = MERKLE_OP_MISSES;
	op->optional = optional;
	op->want = *name;
	op->want_range = *range;
	return -EAGAIN;
}

/* After an attempt, without the lock: is another one due?  Fetches what the last one missed; if
 * that fails, the next attempt says what comes of it. */
bool merkle_op_again(struct merkle_op *op)
{
	struct merkle_claim claim = {.owner = op->t->owner, .name = &op->want};
	bool again = op->state == MERKLE_OP_MISSES;
	struct merkle_node *n;
	int error = 0;

	if (again && op->nheld > MERKLE_HELD_KEEP)
		merkle_op_end(op);
	if (again && merkle_cache_claim(op->t->config.cache, &claim)) {
		error = fetch(op, &op->want, &op->want_range, &n);
		merkle_cache_unclaim(op->t->config.cache, &claim);
	}
	if (again) {
		op->state = error ? MERKLE_OP_FAILED : MERKLE_OP_RUNS;
		if (error && op->optional)
			op->spartan = true;
	}
	return again;
}

void merkle_path_range(const struct merkle_path *path, int level, uint32_t slot,
		       struct merkle_range *ret)
{
	struct merkle_range range = merkle_range_all;
	struct merkle_key next;
	bool bounded = false;
	int l;

	range.first = merkle_node_key(path->node[level], slot);
	for (l = level; l <= path->top && !bounded; l++) {
		slot = l == level ? slot : path->slot[l];
		bounded = slot + 1 < path->node[l]->count;
		if (bounded) {
			next = merkle_node_key(path->node[l], slot + 1);
			(void)merkle_key_before(&next,
						&range.last); /* above first, so it has one */
		}
	}
	*ret = range;
}

void merkle_path_leaf_range(const struct merkle_path *path, struct merkle_range *ret)
{
	struct merkle_range range = merkle_range_all;
	bool bounded = false;

	if (path->top > 0)
		merkle_path_range(path, 1, path->slot[1], &range);
	range.first = merkle_range_all.first;
	for (int l = 1; l <= path->top && !bounded; l++) {
		bounded = path->slot[l] > 0;
		if (bounded)
			range.first = merkle_node_key(path->node[l], path->slot[l]);
	}
	*ret = range;
}

static void name_of(const struct merkle_node *parent, uint32_t slot, struct merkle_name *ret)
{
	memcpy(ret->b, merkle_node_value(parent, slot), MERKLE_PTR_SIZE);
}

/* M2.  A clean node was verified for the slot through which it was fetched.  A hostile author may
 * name one node in two slots; it is in its place in one of them at most, and in the other it
 * is not found, fetched, and refused.  Slots keep their keys, or nearly always, so this is one
 * comparison. */
static bool in_place(const struct merkle_node *n, const struct merkle_path *path, int level,
		     uint32_t slot)
{
	struct merkle_key key = merkle_node_key(path->node[level], slot);
	bool is = merkle_key_compare(&key, &n->least) == 0;
	struct merkle_range range;

	if (!is) {
		merkle_path_range(path, level, slot, &range);
		key = merkle_node_key(n, 0);
		is = merkle_key_compare(&range.first, &key) <= 0;
		key = merkle_node_key(n, n->count - 1);
		is = is && merkle_key_compare(&key, &range.last) <= 0;
	}
	return is;
}

struct merkle_node *merkle_path_peek(struct merkle_op *op, const struct merkle_path *path,
				     int level, uint32_t slot)
{
	const struct merkle_node *parent = path->node[level];
	struct merkle_node *n = parent->kids ? parent->kids[slot] : NULL;
	struct merkle_name name;

	if (!n) {
		name_of(parent, slot, &name);
		n = find_clean(op, &name);
		if (n && !in_place(n, path, level, slot))
			n = NULL;
	}
	return n;
}

int merkle_path_wish(struct merkle_op *op, const struct merkle_path *path, int level, uint32_t slot)
{
	struct merkle_range range;
	struct merkle_name name;

	name_of(path->node[level], slot, &name);
	merkle_path_range(path, level, slot, &range);
	return miss(op, &name, &range, true);
}

/* The node of that name was not found.  Ask for it, or if that was in vain already, settle it. */
static int not_found(struct merkle_op *op, const struct merkle_name *name,
		     const struct merkle_range *range, struct merkle_node **ret)
{
	int r;

	if (op->state == MERKLE_OP_FAILED && merkle_name_equal(&op->want, name))
		r = fetch_locked(op, name, range, ret);
	else
		r = miss(op, name, range, false);
	return r;
}

static int path_child(struct merkle_op *op, const struct merkle_path *path, int level,
		      struct merkle_node **ret)
{
	struct merkle_node *n = merkle_path_peek(op, path, level, path->slot[level]);
	struct merkle_range range;
	struct merkle_name name;
	int r = 0;

	if (!n) {
		name_of(path->node[level], path->slot[level], &name);
		merkle_path_range(path, level, path->slot[level], &range);
		r = not_found(op, &name, &range, &n);
	}
	if (r == 0)
		*ret = n;
	return r;
}

static int path_root(struct merkle_op *op, struct merkle_node **ret)
{
	struct merkle_root *root = &op->t->root;
	struct merkle_node *n = root->mem;
	int r = 0;

	if (!n)
		n = find_clean(op, &root->name);
	if (!n)
		r = not_found(op, &root->name, &merkle_range_all, &n);
	if (r == 0)
		*ret = n;
	return r;
}

int merkle_path_find(struct merkle_op *op, const struct merkle_key *key, struct merkle_path *ret)
{
	struct merkle_root *root = &op->t->root;
	struct merkle_node *n = NULL;
	int r = 0, level;

	ret->top = -1;
	if (root->mem || !merkle_name_is_null(&root->name)) {
		r = path_root(op, &n);
		if (r == 0)
			ret->top = n->level;
		for (level = ret->top; level > 0 && r == 0; level--) {
			ret->node[level] = n;
			ret->slot[level] = merkle_node_child(n, key);
			r = path_child(op, ret, level, &n);
		}
		ret->node[0] = n;
	}
	return r;
}

static int get_locked(struct merkle_op *op, const struct merkle_key *key, void *value, size_t size,
		      size_t *ret_len)
{
	struct merkle_path path;
	bool exact = false;
	uint32_t i = 0, len;
	int r = merkle_path_find(op, key, &path);

	if (r == 0 && path.top >= 0)
		i = merkle_node_find(path.node[0], key, &exact);
	if (r == 0 && !exact)
		r = -ENOENT;
	if (r == 0) {
		len = merkle_node_len(path.node[0], i);
		if (len <= size) {
			memcpy(value, merkle_node_value(path.node[0], i), len);
			*ret_len = len;
		} else {
			r = -ERANGE;
		}
	}
	return r;
}

int merkle_get(struct merkle_tree *t, const struct merkle_key *key, void *value, size_t size,
	       size_t *ret_len)
{
	struct merkle_op op;
	int r;

	merkle_op_begin(&op, t);
	do {
		pthread_rwlock_rdlock(&t->lock);
		r = get_locked(&op, key, value, size, ret_len);
		pthread_rwlock_unlock(&t->lock);
	} while (merkle_op_again(&op));
	merkle_op_end(&op);
	return r;
}
