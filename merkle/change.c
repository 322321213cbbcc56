/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/change.c - put, delete and renew: copy the path, then edit in place
 *
 * A change has two halves.  The first may fail and changes nothing: it goes down to the
 * leaf, sees which nodes of the path are not the open epoch's and need a copy, which are full and
 * need a right half, and allocates all of those.  The second cannot fail.  So a failed put or
 * delete leaves the tree as it was, and nothing has to be undone.
 *
 * M1  Only nodes that the tree owns (dirty, of the open epoch) are edited; a path is copied from
 *     the root down before anything in it changes.
 * M4  A frozen node is never edited either, but copied like a clean one; the children it holds in
 *     memory are then shared between frozen parent and live copy.
 * M5  retire() is called exactly once for each node that the live tree leaves behind:
 *       clean: it has an address, released here;
 *       frozen, not yet written: the commit will give it an address, and release it then;
 *       dirty: it never had one.
 */
#include "merkle/merkle_internal.h"

#define MERGE_BELOW (MERKLE_ROOM / 4)	  /* bytes: a smaller node looks for a neighbour */
#define MERGE_UP_TO (MERKLE_ROOM / 8 * 7) /* bytes: so that the result does not split at once */

struct change {
	struct merkle_op *op;
	struct merkle_path path;
	struct merkle_node *copies[MERKLE_LEVELS_MAX]; /* for nodes that are not owned */
	struct merkle_node *rights[MERKLE_LEVELS_MAX]; /* for nodes that will split */
	struct merkle_node *top;		       /* if the root splits */
};

static void change_begin(struct change *c, struct merkle_op *op)
{
	memset(c, 0, sizeof(*c));
	c->op = op;
}

/* Whatever was allocated and not used. */
static void change_end(struct change *c)
{
	for (uint32_t l = 0; l < MERKLE_LEVELS_MAX; l++) {
		merkle_node_unref(c->copies[l]);
		merkle_node_unref(c->rights[l]);
	}
	merkle_node_unref(c->top);
}

static struct merkle_node *take(struct merkle_node **from)
{
	struct merkle_node *n = *from;

	*from = NULL;
	return n;
}

/* M5.  The live tree leaves @n behind. */
static void retire(struct merkle_tree *t, struct merkle_node *n)
{
	const struct merkle_store *store = t->config.store;

	if (n->written) {
		store->release(store->ctx, merkle_name_addr(&n->name), merkle_name_birth(&n->name));
		merkle_cache_drop(t->config.cache, t->owner, &n->name);
	} else if (n->epoch <= t->frozen_epoch) {
		n->superseded = true;
	}
}

static int new_node(struct merkle_tree *t, int level, struct merkle_node **ret)
{
	struct merkle_node *n = NULL;
	int r = merkle_node_new_dirty((uint8_t)level, &t->dirty, &n);

	if (r == 0) {
		n->epoch = t->epoch;
		*ret = n;
	}
	return r;
}

static int reserve_copies(struct change *c)
{
	int r = 0;

	for (int l = 0; l <= c->path.top && r == 0; l++)
		if (!merkle_tree_owns(c->op->t, c->path.node[l]))
			r = new_node(c->op->t, l, &c->copies[l]);
	return r;
}

/* From the leaf up, as long as nodes are full; the leaf has to take @len more bytes. */
static int reserve_splits(struct change *c, int64_t len)
{
	bool full = merkle_node_bytes(c->path.node[0]) + len > MERKLE_ROOM;
	int r = 0, l;

	for (l = 0; l <= c->path.top && full && r == 0; l++) {
		r = new_node(c->op->t, l, &c->rights[l]);
		full = l == c->path.top || c->path.node[l + 1]->count == MERKLE_FANOUT;
	}
	if (r == 0 && full && l > c->path.top)
		r = l < (int)MERKLE_LEVELS_MAX ? new_node(c->op->t, l, &c->top) : -EFBIG;
	return r;
}

/* Put @n, whose reference is taken over, in the place of the path's node at its level. */
static void replace_node(struct change *c, struct merkle_node *n)
{
	struct merkle_path *path = &c->path;
	struct merkle_node *parent = n->level == path->top ? NULL : path->node[n->level + 1];
	struct merkle_root *root = &c->op->t->root;
	struct merkle_node **place = parent ? &parent->kids[path->slot[n->level + 1]] : &root->mem;

	if (!parent)
		memset(&root->name, 0, sizeof(root->name));
	merkle_node_unref(*place);
	*place = n;
	path->node[n->level] = n;
}

/* M1, M4.  Copy what is not owned, from the root down.  A key below all others becomes the least of
 * the leftmost nodes. */
static void own_path(struct change *c, const struct merkle_key *key)
{
	struct merkle_node *old, *n;
	struct merkle_key least;

	for (int l = c->path.top; l >= 0; l--) {
		old = c->path.node[l];
		if (c->copies[l]) {
			n = take(&c->copies[l]);
			merkle_node_copy(n, old);
			retire(c->op->t, old);
			replace_node(c, n);
		}
		if (l > 0 && c->path.slot[l] == 0) {
			least = merkle_node_key(c->path.node[l], 0);
			if (merkle_key_compare(key, &least) < 0)
				merkle_node_set_key(c->path.node[l], 0, key);
		}
	}
}

/* The root is about to split: put a node above it. */
static void grow(struct change *c)
{
	struct merkle_root *root = &c->op->t->root;
	struct merkle_node *top = take(&c->top);
	struct merkle_key key = merkle_node_key(root->mem, 0);
	struct merkle_item item = {.key = &key, .len = MERKLE_PTR_SIZE, .kid = root->mem};

	merkle_node_insert(top, 0, &item);
	root->mem = top;
	c->path.top++;
	c->path.node[c->path.top] = top;
	c->path.slot[c->path.top] = 0;
}

static bool is_rightmost(const struct merkle_path *path, int level)
{
	bool is = true;

	for (int l = level + 1; l <= path->top && is; l++)
		is = path->slot[l] + 1 == path->node[l]->count;
	return is;
}

/* Insert into the path's leaf, and split upwards where things do not fit. */
static void insert(struct change *c, uint32_t at, const struct merkle_item *what)
{
	struct merkle_item item = *what;
	struct merkle_node *n = c->path.node[0], *right;
	struct merkle_key key;
	int l;

	for (l = 0; !merkle_node_fits(n, item.len); n = c->path.node[++l]) {
		right = take(&c->rights[l]);
		merkle_node_split(n, right, at, &item, is_rightmost(&c->path, l));
		if (l == c->path.top)
			grow(c);
		key = merkle_node_key(right, 0);
		item = (struct merkle_item){.key = &key, .len = MERKLE_PTR_SIZE, .kid = right};
		at = c->path.slot[l + 1] + 1;
	}
	merkle_node_insert(n, at, &item);
}

/* The first item of an empty tree. */
static int put_first(struct merkle_tree *t, const struct merkle_item *item)
{
	int r = new_node(t, 0, &t->root.mem);

	if (r == 0)
		merkle_node_insert(t->root.mem, 0, item);
	return r;
}

static int put_into(struct change *c, const struct merkle_item *item)
{
	bool exact;
	uint32_t at = merkle_node_find(c->path.node[0], item->key, &exact);
	int64_t old = exact ? merkle_node_len(c->path.node[0], at) : 0;
	int r = reserve_copies(c);

	if (r == 0)
		r = reserve_splits(c, exact ? item->len - old : MERKLE_SLOT_SIZE + item->len);
	if (r == 0) {
		own_path(c, item->key);
		if (exact && item->len <= old) {
			merkle_node_shrink_value(c->path.node[0], at, item->value, item->len);
		} else {
			if (exact)
				merkle_node_remove(c->path.node[0], at);
			insert(c, at, item);
		}
	}
	return r;
}

static int put_locked(struct merkle_op *op, const struct merkle_item *item)
{
	struct change c;
	int r;

	change_begin(&c, op);
	r = merkle_path_find(op, item->key, &c.path);
	if (r == 0)
		r = c.path.top < 0 ? put_first(op->t, item) : put_into(&c, item);
	change_end(&c);
	return r;
}

int merkle_put(struct merkle_tree *t, const struct merkle_key *key, const void *value, size_t len)
{
	struct merkle_item item = {.key = key, .value = value, .len = (uint32_t)len};
	int r = len > 0 && len <= MERKLE_VALUE_MAX ? 0 : -EINVAL;
	struct merkle_op op;

	if (r == 0) {
		merkle_op_begin(&op, t);
		do {
			pthread_rwlock_wrlock(&t->lock);
			r = put_locked(&op, &item);
			pthread_rwlock_unlock(&t->lock);
		} while (merkle_op_again(&op));
		merkle_op_end(&op);
	}
	return r;
}

/* A leaf that will be small once @len bytes have gone wants a neighbour to merge with, if only
 * because without one the tree would wither into many small leaves.  It is worth a read, not a
 * failure. */
static int wish_neighbour(struct merkle_op *op, const struct merkle_path *path, uint32_t len)
{
	uint32_t rest = merkle_node_bytes(path->node[0]) - MERKLE_SLOT_SIZE - len;
	bool left, right;
	int r = 0;

	if (rest > 0 && rest < MERGE_BELOW && path->top > 0 && !op->spartan) {
		left = path->slot[1] > 0;
		right = path->slot[1] + 1 < path->node[1]->count;
		if (left && merkle_path_peek(op, path, 1, path->slot[1] - 1))
			r = 0;
		else if (right && merkle_path_peek(op, path, 1, path->slot[1] + 1))
			r = 0;
		else if (left || right)
			r = merkle_path_wish(op, path, 1, path->slot[1] + (left ? -1u : 1u));
	}
	return r;
}

/* Take in the neighbour in slot @other of the parent, if it is in memory and there is room. */
static bool merge_with(struct change *c, int l, uint32_t other)
{
	struct merkle_node *n = c->path.node[l], *parent = c->path.node[l + 1];
	struct merkle_node *m = merkle_path_peek(c->op, &c->path, l + 1, other);
	bool does = m && merkle_node_bytes(n) + merkle_node_bytes(m) <= MERGE_UP_TO;
	uint32_t slot = c->path.slot[l + 1];
	struct merkle_key key;

	if (does) {
		merkle_node_take_items(n, other < slot ? 0 : n->count, m);
		retire(c->op->t, m);
		if (other < slot) {
			key = merkle_node_key(parent, other);
			merkle_node_set_key(parent, slot, &key);
		}
		merkle_node_remove(parent, other);
	}
	return does;
}

/* The path's node at @l has lost an item.  True if the parent has now lost one in its turn. */
static bool tidy(struct change *c, int l)
{
	struct merkle_node *n = c->path.node[l], *parent = c->path.node[l + 1];
	uint32_t slot = c->path.slot[l + 1];
	bool lost = n->count == 0;

	if (lost) {
		merkle_node_remove(parent, slot);
	} else if (merkle_node_bytes(n) < MERGE_BELOW) {
		lost = slot > 0 && merge_with(c, l, slot - 1);
		if (!lost)
			lost = slot + 1 < parent->count && merge_with(c, l, slot + 1);
	}
	return lost;
}

/* A root without items leaves an empty tree; one with a single child gives way to it. */
static void collapse(struct merkle_tree *t)
{
	struct merkle_root *root = &t->root;
	struct merkle_node *n;

	while ((n = root->mem) && (n->count == 0 || (n->level > 0 && n->count == 1))) {
		root->mem = n->count > 0 && n->kids ? merkle_node_ref(n->kids[0]) : NULL;
		if (n->count > 0 && !root->mem)
			memcpy(root->name.b, merkle_node_value(n, 0), MERKLE_PTR_SIZE);
		retire(t, n);
		merkle_node_unref(n);
	}
}

static int delete_at(struct change *c, const struct merkle_key *key, uint32_t at)
{
	int r = wish_neighbour(c->op, &c->path, merkle_node_len(c->path.node[0], at));

	if (r == 0)
		r = reserve_copies(c);
	if (r == 0) {
		own_path(c, key);
		merkle_node_remove(c->path.node[0], at);
		for (int l = 0; l < c->path.top && tidy(c, l); l++)
			;
		collapse(c->op->t);
	}
	return r;
}

static int delete_locked(struct merkle_op *op, const struct merkle_key *key)
{
	struct change c;
	bool exact = false;
	uint32_t at = 0;
	int r;

	change_begin(&c, op);
	r = merkle_path_find(op, key, &c.path);
	if (r == 0 && c.path.top >= 0)
		at = merkle_node_find(c.path.node[0], key, &exact);
	if (r == 0)
		r = exact ? delete_at(&c, key, at) : -ENOENT;
	change_end(&c);
	return r;
}

int merkle_delete(struct merkle_tree *t, const struct merkle_key *key)
{
	struct merkle_op op;
	int r;

	merkle_op_begin(&op, t);
	do {
		pthread_rwlock_wrlock(&t->lock);
		r = delete_locked(&op, key);
		pthread_rwlock_unlock(&t->lock);
	} while (merkle_op_again(&op));
	merkle_op_end(&op);
	return r;
}

/* ---- renewing ---- */

#define RENEW_LOOK 64u /* leaves that one call looks at, at most for each that it marks */

/* A walk from leaf to leaf. */
struct renewal {
	uint32_t session;
	struct merkle_key at;
	bool marked, done;
};

/* A node that is not written yet is sealed when it is. */
static bool is_older(const struct merkle_node *n, uint32_t session)
{
	struct merkle_ptr ptr;

	return n->written && merkle_ptr_decode(n->name.b, &ptr) == 0 && ptr.seal.session <= session;
}

/* The leaf's own first key leaves all bounds above it as they are. */
static int mark_leaf(struct merkle_op *op, struct merkle_path *path)
{
	struct merkle_key key = merkle_node_key(path->node[0], 0);
	struct change c;
	int r;

	change_begin(&c, op);
	c.path = *path;
	r = reserve_copies(&c);
	if (r == 0)
		own_path(&c, &key);
	change_end(&c);
	return r;
}

static int renew_locked(struct merkle_op *op, struct renewal *w)
{
	struct merkle_range range = merkle_range_all;
	struct merkle_path path;
	int r = merkle_path_find(op, &w->at, &path);

	if (r)
		return r;
	w->marked = path.top >= 0 && is_older(path.node[0], w->session);
	if (path.top >= 0)
		merkle_path_leaf_range(&path, &range);
	if (w->marked)
		r = mark_leaf(op, &path);
	if (r == 0)
		w->done = path.top < 0 || !merkle_key_after(&range.last, &w->at);
	return r;
}

static int renew_leaf(struct merkle_tree *t, struct renewal *w)
{
	struct merkle_op op;
	int r;

	merkle_op_begin(&op, t);
	do {
		pthread_rwlock_wrlock(&t->lock);
		r = renew_locked(&op, w);
		pthread_rwlock_unlock(&t->lock);
	} while (merkle_op_again(&op));
	merkle_op_end(&op);
	return r;
}

int merkle_renew(struct merkle_tree *t, uint32_t session, uint32_t max, struct merkle_key *at,
		 uint32_t *ret_n, bool *ret_done)
{
	struct renewal w = {.session = session, .at = *at};
	uint32_t n = 0;
	int r = 0;

	for (uint32_t i = 0; i < max * RENEW_LOOK && n < max && !w.done && r == 0; i++) {
		r = renew_leaf(t, &w);
		n += r == 0 && w.marked;
	}
	*at = w.at;
	*ret_n = n;
	*ret_done = w.done;
	return r;
}
