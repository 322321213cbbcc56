/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/tree.h - a copy-on-write B+tree of sealed nodes over a block store
 *
 * The tree maps keys (object, type, offset) to values of up to MERKLE_VALUE_MAX bytes.  It
 * lives on storage that nobody trusts, as nodes of MERKLE_NODE_SIZE bytes; each is sealed
 * (crypto/session.h), and the pointer to it, which its parent holds, carries its address and its
 * seal. Whoever holds an authentic root pointer can check everything below it.  It does not know
 * inodes, files or FUSE, nor where blocks come from: it reads, writes, allocates and releases
 * through the caller's struct merkle_store, which need not be honest.
 * Bytes: docs/format.md, "Nodes".
 *
 * Always true:
 *   M1  A stored node is never overwritten: a change makes a copy in memory, and a commit
 *       writes it to a fresh address.
 *
 *   M2  A node is verified (seal, then structure: level, key order, bounds, key range of its
 *       parent's slot) when it enters memory, and trusted from then on.
 *
 *   M3  Children are written before the node that points to them.
 *
 *   M4  A frozen tree does not change: what is put or deleted while a commit writes belongs to
 *       the next one.
 *
 *   M5  Between two commits each node address that the older root reached and the newer does
 *       not is released exactly once, and no other.
 *
 *   M6  The memory of clean nodes is bounded (struct merkle_cache); dirty ones are counted, so
 *       that the caller can commit in time.
 *
 * Results: 0 or a negative errno.  -EBADMSG: a stored node failed verification, always and
 * only; the report callback of the store has then been told which.  -ENOENT: no such item.
 * -ENOMEM.  Other errors are the store's.  A failed put or delete leaves the tree as it
 * was.  ret_* arguments are written on success alone.
 *
 * Threads: get, scan, put and delete may be called by any number of threads at once; an inner
 * lock makes each atomic.  It is never held across the store's read: a missing node is
 * fetched without it and the descent starts again.  (A node may be freed and its address
 * reused while a reader fetches it unlocked; so a fetch that fails to verify counts only if the
 * pointer to it is still in the tree afterwards: then it is read once more under the lock, and that
 * result is final.)  freeze, commit, thaw and free are for one thread, the committer's; freeze must
 * not run beside put and delete that belong together (the caller's gate).  Callbacks of the store
 * may be called with the inner lock held and must not call back into the tree.
 */
#ifndef FSPF_MERKLE_TREE_H
#define FSPF_MERKLE_TREE_H

#include <stdbool.h>

#include "crypto/digest.h"
#include "crypto/session.h"

#define MERKLE_BLOCK_SIZE 4096u /* bytes; addresses count these */
#define MERKLE_NODE_BLOCKS 4u
#define MERKLE_NODE_SIZE (MERKLE_NODE_BLOCKS * MERKLE_BLOCK_SIZE)
#define MERKLE_VALUE_MAX 3072u /* bytes: at least five items fit a node */
#define MERKLE_LEVELS_MAX 12u  /* far above what 2^64 items need: a deeper node is refused */
#define MERKLE_PTR_SIZE 64u    /* bytes of an encoded pointer */
#define MERKLE_IDENTITY_SIZE                                                                       \
	20u /* bytes: volume id (16), region id (4): goes into every node's associated data */

/* Ordered by object, then type, then offset. */
struct merkle_key {
	uint64_t object;
	uint64_t offset;
	uint8_t type;
};

/* Names one stored node.  All zero is "no node": an empty tree. */
struct merkle_ptr {
	uint64_t addr;	/* first block; 0 is never a node's */
	uint64_t birth; /* generation of the commit that wrote it, > 0 */
	struct crypto_seal seal;
	uint8_t level; /* 0: a leaf */
};

/* One damaged place, for reports: items with first <= key <= last may be lost. */
struct merkle_damage {
	struct merkle_ptr ptr;
	struct merkle_key first;
	struct merkle_key last; /* inclusive */
	int error;		/* -EBADMSG, or the store's */
};

/* Everything the tree asks of the world.  @ctx is passed through.  All may come from any thread. */
struct merkle_store {
	void *ctx;
	/* Read or write one node's MERKLE_NODE_SIZE stored bytes at block @addr. */
	int (*read)(void *ctx, uint64_t addr, void *node);
	int (*write)(void *ctx, uint64_t addr, const void *node);
	/* MERKLE_NODE_BLOCKS contiguous blocks; called by commit alone.  -ENOSPC. */
	int (*alloc)(void *ctx, uint64_t *ret_addr);
	/* The node at @addr, born in generation @birth, is no longer reached by the live tree. */
	void (*release)(void *ctx, uint64_t addr, uint64_t birth);
	/* A node failed for good; called once per failed call, may be NULL. */
	void (*report)(void *ctx, const struct merkle_damage *damage);
};

/* A cache of clean verified nodes, shared by the trees of a volume, bounded in bytes; any thread.
 */
struct merkle_cache;
MUST_CHECK int merkle_cache_new(size_t bytes_max, struct merkle_cache **ret);
struct merkle_cache *merkle_cache_free(struct merkle_cache *cache); /* after its trees */

struct merkle_cache_stats {
	uint64_t hits, misses, evictions;
	uint64_t bytes; /* now held */
};
void merkle_cache_stats(struct merkle_cache *cache, struct merkle_cache_stats *ret);

struct merkle_tree;

/* All borrowed, and outliving the tree. */
struct merkle_config {
	const struct merkle_store *store;
	struct crypto_sealer *sealer;
	struct merkle_cache *cache;
	uint8_t identity[MERKLE_IDENTITY_SIZE];
};

/* Attach to @root (NULL or all zero: empty); reads nothing. */
MUST_CHECK int merkle_open(const struct merkle_config *config, const struct merkle_ptr *root,
			   struct merkle_tree **ret);

/* Drop the tree and whatever was not committed.  NULL is allowed; returns NULL. */
struct merkle_tree *merkle_free(struct merkle_tree *t);

/* Copy the value of @key into @value (@size bytes of room).  -ENOENT; -ERANGE when it does not fit.
 */
MUST_CHECK int merkle_get(struct merkle_tree *t, const struct merkle_key *key, void *value,
			  size_t size, size_t *ret_len);

/*
 * Call @visit for each item with *first <= key <= *last, in order.  The value is borrowed for the
 * call, under the tree's lock: copy it, do not call the tree.  A non-zero result ends the scan and
 * is returned; items put or deleted beside a long scan may or may not be seen, all others exactly
 * once.
 */
typedef int merkle_visit(void *ctx, const struct merkle_key *key, const void *value, size_t len);
MUST_CHECK int merkle_scan(struct merkle_tree *t, const struct merkle_key *first,
			   const struct merkle_key *last, merkle_visit *visit, void *ctx);

/* The greatest item with *first <= key <= *last: for "which extent covers this block". -ENOENT;
 * -ERANGE. */
MUST_CHECK int merkle_get_last(struct merkle_tree *t, const struct merkle_key *first,
			       const struct merkle_key *last, struct merkle_key *ret_key,
			       void *value, size_t size, size_t *ret_len);

/* Insert, or replace.  -EINVAL when len is 0 or above MERKLE_VALUE_MAX. */
MUST_CHECK int merkle_put(struct merkle_tree *t, const struct merkle_key *key, const void *value,
			  size_t len);

/* -ENOENT when there is none. */
MUST_CHECK int merkle_delete(struct merkle_tree *t, const struct merkle_key *key);

/*
 * Have the next commit write those stored nodes again that a session up to @session sealed, from
 * the leaf that covers *at on: at most @max leaves, each with its path.  *at goes on behind them,
 * *ret_n is how many leaves there were, *ret_done says that the end is reached.  An inner node is
 * written whenever a child is (M3), so none is older than all of its leaves.  On failure what was
 * marked stays marked.
 */
MUST_CHECK int merkle_renew(struct merkle_tree *t, uint32_t session, uint32_t max,
			    struct merkle_key *at, uint32_t *ret_n, bool *ret_done);

/* Nodes in memory that commits must still write, a commit under way included. */
uint64_t merkle_dirty_nodes(struct merkle_tree *t);

/*
 * A commit, in three steps, by one thread.
 *
 * merkle_freeze: the tree as it is now becomes the frozen one; generation is that of the commit
 *   (greater than any before); costs O(1), takes no I/O.  Nodes changed from now on belong to the
 * next commit. Only one frozen tree at a time. merkle_commit: write the frozen tree's dirty nodes,
 * children first, and give its root and the SHA-256 of the root node's stored bytes (zero for an
 * empty tree).  When nothing was dirty it gives what it gave last.  An emptied tree gives the zero
 * pointer.  On failure call it again, or merkle_thaw. Nodes are allocated in the order they are
 * written, so that they lie together. merkle_thaw: give the frozen tree up: its nodes stay dirty
 * or, if already written, are part of what the next commit reaches; nothing is lost.  After a
 * successful commit it is not needed.
 */
void merkle_freeze(struct merkle_tree *t, uint64_t generation);
MUST_CHECK int merkle_commit(struct merkle_tree *t, struct merkle_ptr *ret_root,
			     struct crypto_digest *ret_tag);
void merkle_thaw(struct merkle_tree *t);

/*
 * Walk a whole stored tree from @root, past the cache, reading every node once, depth first, in key
 * order.  For verifying, counting space and inspecting.  Each callback may be NULL; a non-zero
 * result ends the walk and is returned, except that damaged() returning 0 goes on beside the
 * damage. Without a damaged() the first damage ends the walk with its error.  @config's cache is
 * not used and may be NULL.
 */
struct merkle_walk {
	void *ctx;
	/* Before a node is read, with the range that it is for: 1 passes by it and all below it. */
	int (*enter)(void *ctx, const struct merkle_ptr *ptr, const struct merkle_key *first,
		     const struct merkle_key *last);
	int (*node)(void *ctx, const struct merkle_ptr *ptr,
		    const void *plain); /* before what is below it */
	int (*item)(void *ctx, const struct merkle_key *key, const void *value, size_t len);
	int (*damaged)(void *ctx, const struct merkle_damage *damage);
};
MUST_CHECK int merkle_walk(const struct merkle_config *config, const struct merkle_ptr *root,
			   const struct merkle_walk *walk);

/* Read, verify and decode one node: into @plain (MERKLE_NODE_SIZE).  For fspf-dump. */
MUST_CHECK int merkle_read_node(const struct merkle_config *config, const struct merkle_ptr *ptr,
				void *plain);

/* The items of a verified node: the number, and the @i-th; in inner nodes a value is an encoded
 * pointer and a key a lower bound of its subtree's (the least when it was split off). */
uint32_t merkle_node_items(const void *plain);
void merkle_node_item(const void *plain, uint32_t i, struct merkle_key *ret_key,
		      const void **ret_value, size_t *ret_len);

/* docs/format.md, "Pointers".  Decoding refuses with -EBADMSG what no tree wrote. */
void merkle_ptr_encode(const struct merkle_ptr *ptr, uint8_t out[static MERKLE_PTR_SIZE]);
MUST_CHECK int merkle_ptr_decode(const uint8_t in[static MERKLE_PTR_SIZE], struct merkle_ptr *ret);
bool merkle_ptr_is_null(const struct merkle_ptr *ptr);

int merkle_key_compare(const struct merkle_key *a, const struct merkle_key *b);

#endif
