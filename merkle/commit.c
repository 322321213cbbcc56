/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/commit.c - freeze, write, and hand the nodes over to the clean world
 *
 * A freeze closes the epoch: from then on its dirty nodes belong to the frozen tree and are copied
 * by whoever wants to change them (change.c).  The commit goes through the frozen tree depth
 * first.  A node is packed, sealed and written without the lock, for nobody can change it; then,
 * under the write lock for a moment, it flips: it is clean, has a name, enters the cache, and
 * its frozen parent's slot names it instead of holding it.  The children of one parent flip
 * together.
 *
 * M3  Only when all its children have flipped is the parent packed: it names what is written.
 * M5  A node that flips although the live tree has left it is released there and then: by the
 *     commit after this one it is out of reach, in this one it is not.  A node that could not be
 *     sealed or written gives its address back, since no pointer ever carried it.
 * M6  A live parent, copied from the frozen one, may hold flipped children by memory; settling
 *     at the end of the commit turns these into names and leaves their memory to the cache.
 *
 * Thawing gives up the frozen tree's root.  What only it reached disappears; what the live
 * tree shares with it is dirty as before, and owned again since no epoch is frozen; or it has
 * flipped, is an ordinary clean node, and will be released like one when its time comes.
 */
#include "merkle/merkle_internal.h"

static struct merkle_root root_share(const struct merkle_root *root)
{
	struct merkle_root share = *root;

	merkle_node_ref(share.mem);
	return share;
}

/* Names for children that have been written, in all that is dirty below @n. */
static void settle(struct merkle_node *n)
{
	for (uint32_t i = 0; n->kids && i < n->count; i++) {
		if (n->kids[i] && n->kids[i]->written)
			merkle_node_settle(n, i);
		else if (n->kids[i])
			settle(n->kids[i]);
	}
}

/* M6.  Under the write lock: no epoch is frozen any more. */
static void unfreeze(struct merkle_tree *t)
{
	struct merkle_root *root = &t->root;

	t->frozen_epoch = 0;
	t->frozen.mem = merkle_node_unref(t->frozen.mem);
	if (root->mem && root->mem->written) {
		root->name = root->mem->name;
		root->mem = merkle_node_unref(root->mem);
	}
	if (root->mem)
		settle(root->mem);
}

void merkle_freeze(struct merkle_tree *t, uint64_t generation)
{
	pthread_rwlock_wrlock(&t->lock);
	assert(t->frozen_epoch == 0 && generation > 0);
	t->frozen = root_share(&t->root);
	t->frozen_epoch = t->epoch++;
	t->generation = generation;
	pthread_rwlock_unlock(&t->lock);
}

void merkle_thaw(struct merkle_tree *t)
{
	pthread_rwlock_wrlock(&t->lock);
	unfreeze(t);
	pthread_rwlock_unlock(&t->lock);
}

/* Seal the packed node and write it to a fresh address.  The tag, if wanted, is of what is stored.
 */
static int store_image(struct merkle_tree *t, struct merkle_ptr *ptr, uint8_t *image,
		       struct crypto_digest *ret_tag)
{
	const struct merkle_store *store = t->config.store;
	struct crypto_digest tag = {{0}};
	int r = store->alloc(store->ctx, &ptr->addr);

	if (r == 0) {
		r = merkle_image_seal(&t->config, ptr, image);
		if (r == 0 && ret_tag)
			r = crypto_sha256(image, MERKLE_NODE_SIZE, &tag);
		if (r == 0)
			r = store->write(store->ctx, ptr->addr, image);
		if (r != 0)
			store->release(store->ctx, ptr->addr, ptr->birth);
	}
	if (r == 0 && ret_tag)
		*ret_tag = tag;
	return r;
}

/* M1, M3.  Write one frozen node, whose children have all flipped. */
static int write_node(struct merkle_tree *t, struct merkle_node *n, struct crypto_digest *ret_tag)
{
	struct merkle_ptr ptr = {.birth = t->generation, .level = n->level};
	int r;

	merkle_node_pack(n, t->scratch);
	r = store_image(t, &ptr, t->scratch, ret_tag);
	if (r == 0) {
		merkle_ptr_encode(&ptr, n->name.b);
		n->pending = true;
	}
	return r;
}

/* M5.  Under the write lock. */
static void flip(struct merkle_tree *t, struct merkle_node *n)
{
	const struct merkle_store *store = t->config.store;

	merkle_node_flip(n, t->owner);
	if (n->superseded)
		store->release(store->ctx, merkle_name_addr(&n->name), merkle_name_birth(&n->name));
	else
		merkle_node_unref(merkle_cache_put(t->config.cache, merkle_node_ref(n)));
}

/* The children that have been written, though perhaps not all were. */
static void flip_children(struct merkle_tree *t, struct merkle_node *n)
{
	pthread_rwlock_wrlock(&t->lock);
	for (uint32_t i = 0; i < n->count; i++) {
		if (n->kids[i] && n->kids[i]->pending) {
			n->kids[i]->least = merkle_node_key(n, i);
			flip(t, n->kids[i]);
			merkle_node_settle(n, i);
		}
	}
	pthread_rwlock_unlock(&t->lock);
}

/* M3.  Everything dirty below @n, then @n itself.  As deep as the tree. */
static int write_subtree(struct merkle_tree *t, struct merkle_node *n,
			 struct crypto_digest *ret_tag)
{
	int r = 0;

	if (n->level > 0) {
		for (uint32_t i = 0; i < n->count && r == 0; i++)
			if (n->kids[i])
				r = write_subtree(t, n->kids[i], NULL);
		flip_children(t, n);
	}
	if (r == 0)
		r = write_node(t, n, ret_tag);
	return r;
}

/* Write what is dirty; the frozen root is then a name. */
static int write_frozen(struct merkle_tree *t)
{
	struct merkle_node *root = t->frozen.mem;
	int r = 0;

	if (root) {
		r = write_subtree(t, root, &t->tag);
		if (r == 0) {
			pthread_rwlock_wrlock(&t->lock);
			flip(t, root);
			t->frozen.name = root->name;
			t->frozen.mem = merkle_node_unref(root);
			pthread_rwlock_unlock(&t->lock);
			t->tagged = t->frozen.name;
			t->tag_known = true;
		}
	}
	return r;
}

/* The root is one that this tree did not write last: as opened, or what remained of a collapse. */
static int read_tag(struct merkle_tree *t, const struct merkle_ptr *root)
{
	int r = merkle_image_read(&t->config, root, &merkle_range_all, t->scratch, &t->tag);

	if (r == 0) {
		t->tagged = t->frozen.name;
		t->tag_known = true;
	} else {
		merkle_report(&t->config, root, &merkle_range_all, r);
	}
	return r;
}

/* The stored frozen root: its pointer and tag. */
static int frozen_root(struct merkle_tree *t, struct merkle_ptr *ret_root,
		       struct crypto_digest *ret_tag)
{
	struct crypto_digest tag = {{0}};
	struct merkle_ptr root;
	int r = merkle_ptr_decode(t->frozen.name.b, &root);

	if (r == 0 && !merkle_ptr_is_null(&root)) {
		if (!t->tag_known || !merkle_name_equal(&t->tagged, &t->frozen.name))
			r = read_tag(t, &root);
		tag = t->tag;
	}
	if (r == 0) {
		*ret_root = root;
		*ret_tag = tag;
	}
	return r;
}

int merkle_commit(struct merkle_tree *t, struct merkle_ptr *ret_root, struct crypto_digest *ret_tag)
{
	int r = t->frozen_epoch != 0 ? write_frozen(t) : -EINVAL;

	if (r == 0)
		r = frozen_root(t, ret_root, ret_tag);
	if (r == 0) {
		pthread_rwlock_wrlock(&t->lock);
		unfreeze(t);
		pthread_rwlock_unlock(&t->lock);
	}
	return r;
}
