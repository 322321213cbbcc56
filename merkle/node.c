/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/node.c - a node in memory: a page that is edited in place
 *
 * The image in memory has the slots and values of the stored one, but its header is kept in the
 * struct, values lie in the order in which they came, and what was removed leaves garbage above
 * the heap's lowest byte.  When the gap between table and heap is too small although the node
 * has room, packing puts things in order again.  Packing is also how the stored image is made, so
 * none of the disorder is ever stored.
 *
 * A dirty inner node may hold a child by its address in memory (kids); the slot's value then
 * waits, undefined, until the child is written and settles.
 *
 * Memory comes from aligned_alloc() alone, so that a test can make each allocation fail.
 */
#include <stdlib.h>

#include "merkle/merkle_internal.h"

#define RUN_MIN 4u /* so many neighbours in ascending order, and more are expected */

struct merkle_node *merkle_node_ref(struct merkle_node *n)
{
	if (n)
		atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
	return n;
}

struct merkle_node *merkle_node_unref(struct merkle_node *n)
{
	if (n && atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) == 1) {
		for (uint32_t i = 0; n->kids && i < n->count; i++)
			merkle_node_unref(n->kids[i]);
		if (n->dirty)
			atomic_fetch_sub_explicit(n->dirty, 1, memory_order_relaxed);
		free(n);
	}
	return NULL;
}

static int node_new(size_t size, struct merkle_node **ret)
{
	struct merkle_node *n = aligned_alloc(_Alignof(struct merkle_node), size);
	int r = n ? 0 : -ENOMEM;

	if (n) {
		memset(n, 0, offsetof(struct merkle_node, image));
		atomic_init(&n->refs, 1);
		n->heap = MERKLE_NODE_SIZE;
		n->size = size;
		*ret = n;
	}
	return r;
}

int merkle_node_new_clean(struct merkle_node **ret)
{
	return node_new(sizeof(struct merkle_node), ret);
}

int merkle_node_new_dirty(uint8_t level, _Atomic uint64_t *dirty, struct merkle_node **ret)
{
	size_t align = _Alignof(struct merkle_node);
	size_t kids = level == 0 ? 0 : MERKLE_FANOUT * sizeof(struct merkle_node *);
	struct merkle_node *n = NULL;
	int r = node_new(sizeof(*n) + (kids + align - 1) / align * align, &n);

	if (r == 0) {
		n->level = level;
		n->kids = level == 0 ? NULL : (struct merkle_node **)(void *)(n + 1);
		n->dirty = dirty;
		atomic_fetch_add_explicit(dirty, 1, memory_order_relaxed);
		*ret = n;
	}
	return r;
}

/* The image has been filled and checked: take note of what is in it. */
void merkle_node_adopt(struct merkle_node *n, uint64_t owner, const struct merkle_name *name)
{
	struct merkle_header h;

	merkle_image_header_get(n->image, &h);
	n->level = h.level;
	n->count = h.count;
	n->live = h.live;
	n->heap = MERKLE_NODE_SIZE - h.live;
	n->owner = owner;
	n->name = *name;
	n->written = true;
}

/* Both share the children that are in memory. */
void merkle_node_copy(struct merkle_node *to, const struct merkle_node *from)
{
	memcpy(merkle_slot(to->image, 0), merkle_slot_const(from->image, 0),
	       (size_t)from->count * MERKLE_SLOT_SIZE);
	memcpy(to->image + from->heap, from->image + from->heap, MERKLE_NODE_SIZE - from->heap);
	to->count = from->count;
	to->heap = from->heap;
	to->live = from->live;
	to->run_at = from->run_at;
	to->run = from->run;
	for (uint32_t i = 0; to->kids && i < to->count; i++)
		to->kids[i] = from->kids ? merkle_node_ref(from->kids[i]) : NULL;
}

/* The node has been written and all its children have settled: it is clean from now on. */
void merkle_node_flip(struct merkle_node *n, uint64_t owner)
{
	n->pending = false;
	n->written = true;
	n->owner = owner;
	n->kids = NULL;
	atomic_fetch_sub_explicit(n->dirty, 1, memory_order_relaxed);
	n->dirty = NULL;
}

static inline int slot_compare(const uint8_t *slot, const struct merkle_key *key)
{
	uint64_t object = get_le64(slot);
	struct merkle_key k;
	int r;

	if (object != key->object) {
		r = object < key->object ? -1 : 1;
	} else {
		k = merkle_slot_key(slot);
		r = merkle_key_compare(&k, key);
	}
	return r;
}

/* The first item that is not below @key; its place also if there is none. */
uint32_t merkle_node_find(const struct merkle_node *n, const struct merkle_key *key,
			  bool *ret_exact)
{
	uint32_t low = 0, high = n->count, middle;
	bool exact = false;
	int order;

	while (low < high) {
		middle = (low + high) / 2;
		order = slot_compare(merkle_slot_const(n->image, middle), key);
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
		exact = exact || order == 0;
	}
	*ret_exact = exact;
	return low;
}

/* The child in whose range @key is; below the first one's range: the first. */
uint32_t merkle_node_child(const struct merkle_node *n, const struct merkle_key *key)
{
	bool exact;
	uint32_t i = merkle_node_find(n, key, &exact);

	return exact || i == 0 ? i : i - 1;
}

void merkle_node_set_key(struct merkle_node *n, uint32_t i, const struct merkle_key *key)
{
	uint8_t *slot = merkle_slot(n->image, i);

	merkle_slot_put(slot, key, merkle_slot_place(slot), merkle_slot_len(slot));
}

/* M1, M5: what this gives depends on the items alone. */
void merkle_node_pack(const struct merkle_node *n, uint8_t *image)
{
	struct merkle_header h = {.level = n->level, .count = n->count, .live = n->live};
	uint32_t place = MERKLE_NODE_SIZE, len;
	struct merkle_key key;
	size_t table_end = MERKLE_HEADER_SIZE + (size_t)n->count * MERKLE_SLOT_SIZE;

	merkle_image_header(image, &h);
	for (uint32_t i = 0; i < n->count; i++) {
		key = merkle_node_key(n, i);
		len = merkle_node_len(n, i);
		place -= len;
		memcpy(image + place, merkle_node_value(n, i), len);
		merkle_slot_put(merkle_slot(image, i), &key, place, len);
	}
	memset(image + table_end, 0, place - table_end);
}

static void make_gap(struct merkle_node *n, uint32_t bytes)
{
	uint8_t image[MERKLE_NODE_SIZE];

	if (n->heap - MERKLE_HEADER_SIZE - n->count * MERKLE_SLOT_SIZE < bytes) {
		merkle_node_pack(n, image);
		memcpy(n->image, image, sizeof(image));
		n->heap = MERKLE_NODE_SIZE - n->live;
	}
}

static void note_run(struct merkle_node *n, uint32_t at)
{
	if (at == n->run_at)
		n->run++;
	else if (at + 1 != n->run_at) /* else: the last one again */
		n->run = 0;
	n->run_at = at + 1;
}

/* The item fits: the caller has seen to it. */
void merkle_node_insert(struct merkle_node *n, uint32_t at, const struct merkle_item *item)
{
	uint8_t *slot;

	make_gap(n, MERKLE_SLOT_SIZE + item->len);
	n->heap -= item->len;
	n->live += item->len;
	slot = merkle_slot(n->image, at);
	memmove(slot + MERKLE_SLOT_SIZE, slot, (size_t)(n->count - at) * MERKLE_SLOT_SIZE);
	merkle_slot_put(slot, item->key, n->heap, item->len);
	if (item->value)
		memcpy(n->image + n->heap, item->value, item->len);
	else
		memset(n->image + n->heap, 0, item->len);
	if (n->kids) {
		memmove(n->kids + at + 1, n->kids + at, (n->count - at) * sizeof(*n->kids));
		n->kids[at] = item->kid;
	}
	n->count++;
	note_run(n, at);
}

/* Replace a value by one that is not longer. */
void merkle_node_shrink_value(struct merkle_node *n, uint32_t i, const void *value, uint32_t len)
{
	uint8_t *slot = merkle_slot(n->image, i);
	struct merkle_key key = merkle_slot_key(slot);

	n->live -= merkle_slot_len(slot) - len;
	memcpy(n->image + merkle_slot_place(slot), value, len);
	merkle_slot_put(slot, &key, merkle_slot_place(slot), len);
}

void merkle_node_remove(struct merkle_node *n, uint32_t i)
{
	uint8_t *slot = merkle_slot(n->image, i);

	n->count--;
	n->live -= merkle_slot_len(slot);
	memmove(slot, slot + MERKLE_SLOT_SIZE, (size_t)(n->count - i) * MERKLE_SLOT_SIZE);
	if (n->kids) {
		merkle_node_unref(n->kids[i]);
		memmove(n->kids + i, n->kids + i + 1, (n->count - i) * sizeof(*n->kids));
	}
}

static struct merkle_item item_of(const struct merkle_node *n, const struct merkle_key *key,
				  uint32_t i)
{
	return (struct merkle_item){.key = key,
				    .value = merkle_node_value(n, i),
				    .len = merkle_node_len(n, i),
				    .kid = n->kids ? merkle_node_ref(n->kids[i]) : NULL};
}

/* Insert @from's items from @first on at @at of @to. */
static void copy_items(struct merkle_node *to, uint32_t at, const struct merkle_node *from,
		       uint32_t first)
{
	struct merkle_item item;
	struct merkle_key key;

	for (uint32_t i = first; i < from->count; i++) {
		key = merkle_node_key(from, i);
		item = item_of(from, &key, i);
		merkle_node_insert(to, at + i - first, &item);
	}
}

void merkle_node_take_items(struct merkle_node *to, uint32_t at, const struct merkle_node *from)
{
	copy_items(to, at, from, 0);
}

/*
 * Where to split: how many items stay on the left, when the new one of @len bytes is counted as
 * number @at.  Fair by bytes, unless items are coming in ascending order: then the left side
 * keeps what it has, and is full, and the right side is left to what comes.
 */
static uint32_t split_point(const struct merkle_node *n, uint32_t at, uint32_t len, bool append)
{
	uint32_t left = 0, before = 0, best = UINT32_MAX, worse, point = 1, size;
	uint32_t total = merkle_node_bytes(n) + MERKLE_SLOT_SIZE + len;

	for (uint32_t s = 1; s <= n->count; s++) {
		size = s - 1 == at ? len : merkle_node_len(n, s - 1 < at ? s - 1 : s - 2);
		left += MERKLE_SLOT_SIZE + size;
		before = s == at + 1 ? left : before; /* everything up to the new item */
		worse = left > total - left ? left : total - left;
		if (worse < best) {
			best = worse;
			point = s;
		}
	}
	if (at == n->count && (append || n->run >= RUN_MIN))
		point = n->count;
	else if (n->run >= RUN_MIN && at < n->count && before <= MERKLE_ROOM)
		point = at + 1;
	return point;
}

/* Split @n and the new item, which does not fit, over @n and the empty @right. */
void merkle_node_split(struct merkle_node *n, struct merkle_node *right, uint32_t at,
		       const struct merkle_item *item, bool append)
{
	uint32_t point = split_point(n, at, item->len, append);
	uint32_t keep = at < point ? point - 1 : point; /* of the old items */

	copy_items(right, 0, n, keep);
	while (n->count > keep)
		merkle_node_remove(n, n->count - 1);
	right->run = n->run;
	right->run_at = 0;
	if (at < point)
		merkle_node_insert(n, at, item);
	else
		merkle_node_insert(right, at - point, item);
}

/* The child in slot @i has been written: name it instead of holding it. */
void merkle_node_settle(struct merkle_node *n, uint32_t i)
{
	uint8_t *slot = merkle_slot(n->image, i);

	memcpy(n->image + merkle_slot_place(slot), n->kids[i]->name.b, MERKLE_PTR_SIZE);
	n->kids[i] = merkle_node_unref(n->kids[i]);
}
