/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/merkle_internal.h - what the files of this room share, from the bottom up
 *
 *   ptr.c     keys, ranges of keys, encoded pointers
 *   image.c   a node's stored bytes: sealing, opening, checking
 *   node.c    a node in memory: finding, inserting, removing, splitting items
 *   cache.c   clean nodes, found by the pointer that names them
 *   tree.c    a tree: its lock, the way down, fetching what is missing, get
 *   scan.c    scan, get_last          walk.c    a stored tree, past the cache
 *   change.c  put, delete, renew      commit.c  freeze, commit, thaw
 */
#ifndef FSPF_MERKLE_MERKLE_INTERNAL_H
#define FSPF_MERKLE_MERKLE_INTERNAL_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "merkle/tree.h"

/* The image of a node: a header, a table of slots in key order growing up, values growing down. */
#define MERKLE_HEADER_SIZE 16u				    /* bytes */
#define MERKLE_SLOT_SIZE 24u				    /* bytes */
#define MERKLE_ROOM (MERKLE_NODE_SIZE - MERKLE_HEADER_SIZE) /* bytes: for slots and values */
#define MERKLE_INNER_ITEM                                                                          \
	(MERKLE_SLOT_SIZE + MERKLE_PTR_SIZE)		/* bytes: every item above leaves          \
							 */
#define MERKLE_FANOUT (MERKLE_ROOM / MERKLE_INNER_ITEM) /* children of an inner node */

static_assert(5 * (MERKLE_SLOT_SIZE + MERKLE_VALUE_MAX) <= MERKLE_ROOM, "five items fit a node");

/* ptr.c */

/* An encoded pointer.  Nodes are named by these bytes everywhere in memory, so that comparing two
 * names compares address, birth and seal at once.  All zero: no node. */
struct merkle_name {
	uint8_t b[MERKLE_PTR_SIZE];
};

static inline uint64_t merkle_name_addr(const struct merkle_name *name)
{
	return get_le64(name->b);
}

static inline uint64_t merkle_name_birth(const struct merkle_name *name)
{
	return get_le64(name->b + 8);
}

static inline bool merkle_name_equal(const struct merkle_name *a, const struct merkle_name *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool merkle_name_is_null(const struct merkle_name *name);

/* Keys first <= k <= last. */
struct merkle_range {
	struct merkle_key first;
	struct merkle_key last;
};

extern const struct merkle_range merkle_range_all;

/* The key before or after; false when there is none. */
bool merkle_key_before(const struct merkle_key *key, struct merkle_key *ret);
bool merkle_key_after(const struct merkle_key *key, struct merkle_key *ret);

/* image.c */

/* Slot: object 8, offset 8, place of the value 2, its length 2, type 1, zero 3. */
static inline uint8_t *merkle_slot(uint8_t *image, uint32_t i)
{
	return image + MERKLE_HEADER_SIZE + (size_t)i * MERKLE_SLOT_SIZE;
}

static inline const uint8_t *merkle_slot_const(const uint8_t *image, uint32_t i)
{
	return image + MERKLE_HEADER_SIZE + (size_t)i * MERKLE_SLOT_SIZE;
}

static inline struct merkle_key merkle_slot_key(const uint8_t *slot)
{
	return (struct merkle_key){
		.object = get_le64(slot), .offset = get_le64(slot + 8), .type = slot[20]};
}

static inline uint32_t merkle_slot_place(const uint8_t *slot)
{
	return get_le16(slot + 16);
}

static inline uint32_t merkle_slot_len(const uint8_t *slot)
{
	return get_le16(slot + 18);
}

void merkle_slot_put(uint8_t *slot, const struct merkle_key *key, uint32_t place, uint32_t len);

/* The header of a packed image. */
struct merkle_header {
	uint8_t level;
	uint32_t count; /* items */
	uint32_t live;	/* bytes of values */
};
void merkle_image_header(uint8_t *image, const struct merkle_header *h);
void merkle_image_header_get(const uint8_t *image, struct merkle_header *ret);

/* Read, open and check one node.  @ret_tag, if not NULL, gets the SHA-256 of its stored bytes.
 * @plain is undefined on failure.  Reports nothing. */
MUST_CHECK int merkle_image_read(const struct merkle_config *config, const struct merkle_ptr *ptr,
				 const struct merkle_range *range, uint8_t *plain,
				 struct crypto_digest *ret_tag);

/* Seal a packed image in place, with a fresh counter; @ptr has all but the seal. */
MUST_CHECK int merkle_image_seal(const struct merkle_config *config, struct merkle_ptr *ptr,
				 uint8_t *image);

void merkle_report(const struct merkle_config *config, const struct merkle_ptr *ptr,
		   const struct merkle_range *range, int error);

/* node.c */

/*
 * A node in memory.  Clean (written): named, immutable, freely shared through its references.
 * Dirty: belongs to one tree, whose lock guards it; modified in place as long as its epoch is
 * open, immutable once frozen.
 */
struct merkle_node {
	atomic_uint refs;
	uint8_t level;
	bool written;		   /* clean: name is valid */
	bool superseded;	   /* frozen and not written, and the live tree has left it */
	bool pending;		   /* written, but not yet flipped: the committer's own */
	bool used;		   /* met since the clock's hand went by: the cache's */
	uint32_t count;		   /* items */
	uint32_t heap;		   /* place of the lowest value byte */
	uint32_t live;		   /* value bytes in use; the rest above heap is garbage */
	uint32_t run_at;	   /* where the next item of an ascending run would go */
	uint32_t run;		   /* how many came in such a run */
	uint64_t epoch;		   /* when it was made, as the tree counts freezes */
	uint64_t owner;		   /* the tree, by number */
	size_t size;		   /* bytes of memory */
	_Atomic uint64_t *dirty;   /* counts this node as long as it is not written */
	struct merkle_node **kids; /* dirty inner nodes: children held in memory, or NULL */
	struct merkle_name name;
	struct merkle_key least; /* of the slot through which it was verified or written */
	struct merkle_node *chain, *next, *prev; /* the cache's */
	_Alignas(64) uint8_t image[MERKLE_NODE_SIZE];
	/* MERKLE_FANOUT pointers follow in dirty inner nodes. */
};

/* What goes into a slot: a value, or in inner nodes a child in memory (taken over). */
struct merkle_item {
	const struct merkle_key *key;
	const void *value;
	uint32_t len; /* bytes */
	struct merkle_node *kid;
};

struct merkle_node *merkle_node_ref(struct merkle_node *n); /* NULL is allowed in both */
struct merkle_node *merkle_node_unref(struct merkle_node *n);

/* An empty image, to be filled by a fetch; or an empty dirty node with room for children, counted
 * in @dirty. */
MUST_CHECK int merkle_node_new_clean(struct merkle_node **ret);
MUST_CHECK int merkle_node_new_dirty(uint8_t level, _Atomic uint64_t *dirty,
				     struct merkle_node **ret);
void merkle_node_adopt(struct merkle_node *n, uint64_t owner, const struct merkle_name *name);
void merkle_node_copy(struct merkle_node *to, const struct merkle_node *from);
void merkle_node_flip(struct merkle_node *n, uint64_t owner);

uint32_t merkle_node_find(const struct merkle_node *n, const struct merkle_key *key,
			  bool *ret_exact);
uint32_t merkle_node_child(const struct merkle_node *n, const struct merkle_key *key);

static inline struct merkle_key merkle_node_key(const struct merkle_node *n, uint32_t i)
{
	return merkle_slot_key(merkle_slot_const(n->image, i));
}

static inline const uint8_t *merkle_node_value(const struct merkle_node *n, uint32_t i)
{
	return n->image + merkle_slot_place(merkle_slot_const(n->image, i));
}

static inline uint32_t merkle_node_len(const struct merkle_node *n, uint32_t i)
{
	return merkle_slot_len(merkle_slot_const(n->image, i));
}

static inline uint32_t merkle_node_bytes(const struct merkle_node *n)
{
	return n->count * MERKLE_SLOT_SIZE + n->live;
}

static inline bool merkle_node_fits(const struct merkle_node *n, uint32_t len)
{
	return merkle_node_bytes(n) + MERKLE_SLOT_SIZE + len <= MERKLE_ROOM;
}

void merkle_node_set_key(struct merkle_node *n, uint32_t i, const struct merkle_key *key);
void merkle_node_insert(struct merkle_node *n, uint32_t at, const struct merkle_item *item);
void merkle_node_shrink_value(struct merkle_node *n, uint32_t i, const void *value, uint32_t len);
void merkle_node_remove(struct merkle_node *n, uint32_t i);
void merkle_node_split(struct merkle_node *n, struct merkle_node *right, uint32_t at,
		       const struct merkle_item *item, bool append);
void merkle_node_take_items(struct merkle_node *to, uint32_t at, const struct merkle_node *from);
void merkle_node_settle(struct merkle_node *n, uint32_t i);
void merkle_node_pack(const struct merkle_node *n, uint8_t *image);

/* cache.c */

/* A name for a tree that no other tree of this cache has had. */
uint64_t merkle_cache_owner(struct merkle_cache *cache);
/* A reference to the node, or NULL. */
struct merkle_node *merkle_cache_get(struct merkle_cache *cache, uint64_t owner,
				     const struct merkle_name *name);
/* Takes over the caller's reference and gives one to whichever node of that name came first. */
struct merkle_node *merkle_cache_put(struct merkle_cache *cache, struct merkle_node *n);
void merkle_cache_drop(struct merkle_cache *cache, uint64_t owner, const struct merkle_name *name);
void merkle_cache_drop_owner(struct merkle_cache *cache, uint64_t owner);

/* So that one thread fetches what several miss: claim() is true for the one that shall; the others
 * wait for its unclaim() and look again. */
struct merkle_claim {
	uint64_t owner;
	const struct merkle_name *name;
	struct merkle_claim *next;
};
MUST_CHECK bool merkle_cache_claim(struct merkle_cache *cache, struct merkle_claim *claim);
void merkle_cache_unclaim(struct merkle_cache *cache, struct merkle_claim *claim);

/* tree.c */

/* A root is in memory, or stored and named, or neither when the tree is empty. */
struct merkle_root {
	struct merkle_node *mem;
	struct merkle_name name;
};

struct merkle_tree {
	pthread_rwlock_t lock;
	struct merkle_config config;
	uint64_t owner;
	struct merkle_root root;   /* live */
	struct merkle_root frozen; /* what a commit writes, while frozen_epoch is not 0 */
	uint64_t epoch;		   /* the open one; freezes, counted from 1 */
	uint64_t frozen_epoch;	   /* nodes of this one and older are frozen; 0: none */
	uint64_t generation;	   /* of the frozen tree */
	_Atomic uint64_t dirty;	   /* nodes that are not written */
	/* The committer's alone: the root whose tag is known, and a node being written. */
	bool tag_known;
	struct merkle_name tagged;
	struct crypto_digest tag;
	uint8_t scratch[MERKLE_NODE_SIZE]; /* off the stack: writing recurses */
};

static inline bool merkle_tree_owns(const struct merkle_tree *t, const struct merkle_node *n)
{
	return !n->written && n->epoch > t->frozen_epoch;
}

/*
 * One call on its way through a tree.  An attempt runs under the lock; when it needs a node that
 * is not in memory it fails and the loop
 *
 *	do { lock; r = attempt; unlock; } while (merkle_op_again(&op));
 *
 * fetches the node without the lock and tries again.  What was met stays referenced until the end,
 * so that attempts get further each time even when the cache holds nothing.
 */
#define MERKLE_HELD_MAX 96u
#define MERKLE_HELD_KEEP                                                                           \
	48u /* an attempt adds at most twice the path and the path's neighbours                    \
	     */

static_assert(MERKLE_HELD_KEEP + 4 * MERKLE_LEVELS_MAX <= MERKLE_HELD_MAX, "an attempt fits");

struct merkle_op {
	struct merkle_tree *t;
	enum { MERKLE_OP_RUNS, MERKLE_OP_MISSES, MERKLE_OP_FAILED } state;
	bool optional; /* the missing node is a convenience: do without if it is damaged */
	bool spartan;  /* ... and do without from now on */
	struct merkle_name want;
	struct merkle_range want_range;
	uint32_t nheld;
	struct merkle_node *held[MERKLE_HELD_MAX];
};

/* From the root to a leaf, by level; slot[l] of node[l] leads to node[l - 1]. */
struct merkle_path {
	int top; /* the root's level, or -1 */
	uint32_t slot[MERKLE_LEVELS_MAX];
	struct merkle_node *node[MERKLE_LEVELS_MAX];
};

void merkle_op_begin(struct merkle_op *op, struct merkle_tree *t);
void merkle_op_end(struct merkle_op *op);
bool merkle_op_again(struct merkle_op *op);

/* The way to the leaf where @key is or would be.  -EAGAIN with the op missing a node. */
MUST_CHECK int merkle_path_find(struct merkle_op *op, const struct merkle_key *key,
				struct merkle_path *ret);
/* The keys that the child in @slot of the path's node at @level may have. */
void merkle_path_range(const struct merkle_path *path, int level, uint32_t slot,
		       struct merkle_range *ret);
/* All keys whose way down ends in this leaf: from where the leaf before it ends, which may be below
 * the least key that the leaf may have. */
void merkle_path_leaf_range(const struct merkle_path *path, struct merkle_range *ret);
/* The node in @slot of the path's node at @level, if it is in memory and in its place there, else
 * NULL. */
struct merkle_node *merkle_path_peek(struct merkle_op *op, const struct merkle_path *path,
				     int level, uint32_t slot);
/* Note that the op misses that node but can do without. */
MUST_CHECK int merkle_path_wish(struct merkle_op *op, const struct merkle_path *path, int level,
				uint32_t slot);

#endif
