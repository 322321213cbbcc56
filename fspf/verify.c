/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking everything.  One walk over each region's stored tree reads and verifies every node, and
 * every data block of every extent it meets; nothing comes from the cache.  Damage is noted by
 * object, and named by path at the end, when the names that could be read are known.
 *
 * A node that does not verify hides a range of keys.  Which files lie in it nobody can say exactly:
 * those whose number falls into the range and whose name was read are named, and an entry whose
 * inode was not seen is one of them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/error.h"
#include "fspf/extent.h"

#define RUN_BLOCKS 64u

/* What is known of one object. */
struct seen {
	uint64_t object;
	bool inode;   /* its INODE item was read */
	bool damaged; /* something of it does not verify */
	UT_hash_handle hh;
};

/* Objects hidden by a node that does not verify. */
struct hidden {
	uint64_t first, last;
};

struct verify {
	struct fspf_volume *v;
	struct fspf_region *region;
	const struct fspf_transfer *transfer;
	struct fspf_verify_result *result;
	struct seen *objects;
	struct hidden *hidden;
	size_t nhidden;
	uint64_t bytes_total;
	uint8_t *buffer; /* RUN_BLOCKS blocks */
};

static int note(struct verify *w, uint64_t object, bool inode, bool damaged)
{
	struct seen *s;

	HASH_FIND(hh, w->objects, &object, sizeof(object), s);
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		s->object = object;
		HASH_ADD(hh, w->objects, object, sizeof(s->object), s);
	}
	s->inode |= inode;
	s->damaged |= damaged;
	return 0;
}

static int progress(struct verify *w)
{
	struct fspf_progress p = {
		.files_done = w->result->files,
		.bytes_done = (w->result->blocks + w->result->nodes * MERKLE_NODE_BLOCKS) *
			      FSPF_BLOCK_SIZE,
		.bytes_total = w->bytes_total,
		.path = w->region->prefix,
	};

	if (!w->transfer || !w->transfer->progress)
		return 0;
	return w->transfer->progress(w->transfer->ctx, &p) ? -ECANCELED : 0;
}

static int walk_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	struct verify *w = ctx;

	(void)ptr;
	(void)plain;
	w->result->nodes++;
	return progress(w);
}

static int walk_damaged(void *ctx, const struct merkle_damage *damage)
{
	struct verify *w = ctx;
	struct hidden *more;

	if (damage->error != -EBADMSG && damage->error != -EIO)
		return damage->error;
	more = realloc(w->hidden, (w->nhidden + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	w->hidden = more;
	w->hidden[w->nhidden++] = (struct hidden){damage->first.object, damage->last.object};
	w->result->damaged_nodes++;
	return 0;
}

static int check_block(struct verify *w, const struct fspf_extent *e, uint64_t object, uint32_t i,
		       uint8_t *data)
{
	uint8_t aad[FSPF_DATA_AAD_SIZE];
	struct crypto_seal seal;

	fspf_extent_seal(e, w->region->class, i, &seal);
	fspf_data_aad(w->region->identity, object, e->first + i, aad);
	return crypto_sealer_open(w->region->sealer, aad, sizeof(aad), data, data, FSPF_BLOCK_SIZE,
				  &seal);
}

static int check_extent(struct verify *w, const struct fspf_extent *e, uint64_t object)
{
	struct fspf_store *store = w->v->store;
	size_t len = (size_t)e->count * FSPF_BLOCK_SIZE;
	int unreadable = store->ops->read(store, e->addr, w->buffer, len);
	int r = 0;

	for (uint32_t i = 0; i < e->count && r == 0; i++) {
		int bad = unreadable ? unreadable
				     : check_block(w, e, object, i,
						   w->buffer + (size_t)i * FSPF_BLOCK_SIZE);

		w->result->blocks++;
		if (!bad)
			continue;
		if (bad != -EBADMSG && bad != unreadable)
			return bad;
		w->result->damaged_blocks++;
		r = note(w, object, false, true);
	}
	return r ? r : progress(w);
}

static int walk_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct verify *w = ctx;
	struct fspf_inode_item inode;
	struct fspf_dirent_item d;
	struct fspf_extent e;
	int r;

	switch (key->type) {
	case FSPF_ITEM_INODE:
		r = fspf_inode_decode(value, len, &inode);
		w->result->files++;
		return note(w, key->object, r == 0, r != 0);
	case FSPF_ITEM_DIRENT:
		r = fspf_dirent_decode(value, len, &d);
		return r ? note(w, key->object, false, true) : note(w, d.object, false, false);
	case FSPF_ITEM_EXTENT:
		r = fspf_extent_decode(key, value, len, w->region->class, &e);
		if (r)
			return note(w, key->object, false, true);
		return e.addr ? check_extent(w, &e, key->object) : 0;
	default:
		return 0;
	}
}

static bool is_hidden(const struct verify *w, uint64_t object)
{
	for (size_t i = 0; i < w->nhidden; i++)
		if (object >= w->hidden[i].first && object <= w->hidden[i].last)
			return true;
	return false;
}

static void tell(struct verify *w, const char *text)
{
	struct fspf_report report = {.code = -EBADMSG, .text = text};

	if (w->transfer && w->transfer->report)
		w->transfer->report(w->transfer->ctx, &report);
}

static void tell_file(struct verify *w, uint64_t object)
{
	char path[4096], text[4200];

	fspf_path_of(w->v, fspf_ino(w->region, object), path, sizeof(path));
	snprintf(text, sizeof(text), "damaged: %s", path);
	fspf_printable(text);
	tell(w, text);
}

/* Name what is damaged, once each. */
static void tell_damage(struct verify *w)
{
	struct seen *s, *next;
	char text[256];

	for (size_t i = 0; i < w->nhidden; i++) {
		snprintf(text, sizeof(text),
			 "damaged: a node of region %.100s with inodes %llu to %llu",
			 w->region->prefix,
			 (unsigned long long)fspf_ino(w->region, w->hidden[i].first),
			 (unsigned long long)fspf_ino(w->region,
						      min_u64(w->hidden[i].last, FSPF_OBJECT_MAX)));
		tell(w, text);
	}
	HASH_ITER (hh, w->objects, s, next) {
		if (!s->damaged && s->inode && !is_hidden(w, s->object))
			continue;
		w->result->damaged_files++;
		tell_file(w, s->object);
	}
}

static void forget(struct verify *w)
{
	struct seen *s, *next;

	HASH_ITER (hh, w->objects, s, next) {
		HASH_DEL(w->objects, s);
		free(s);
	}
	free(w->hidden);
	w->hidden = NULL;
	w->nhidden = 0;
}

static int verify_region(struct verify *w)
{
	struct merkle_walk walk = {
		.ctx = w, .node = walk_node, .item = walk_item, .damaged = walk_damaged};
	struct merkle_config config = {.store = &w->region->store, .sealer = w->region->sealer};
	struct merkle_ptr root;
	int r = 0;

	pthread_mutex_lock(&w->v->state_lock);
	root = w->region->root;
	pthread_mutex_unlock(&w->v->state_lock);
	memcpy(config.identity, w->region->identity, sizeof(config.identity));
	if (!merkle_ptr_is_null(&root))
		r = merkle_walk(&config, &root, &walk);
	if (r == 0)
		tell_damage(w);
	forget(w);
	return r;
}

static int verify_regions(struct verify *w, const char *prefix)
{
	bool found = false;
	int r = 0;

	for (size_t i = 0; i < atomic_load(&w->v->nregions) && r == 0; i++) {
		w->region = w->v->regions[i];
		if (prefix && strcmp(prefix, w->region->prefix))
			continue;
		found = true;
		r = verify_region(w);
	}
	return r ? r : (found ? 0 : -ENOENT);
}

int fspf_verify(struct fspf_volume *v, const char *prefix, const struct fspf_transfer *transfer,
		struct fspf_verify_result *ret, struct fspf_error *err)
{
	struct verify w = {.v = v, .transfer = transfer, .result = ret};
	char normal[FSPF_PREFIX_MAX + 1];
	int r = prefix ? fspf_prefix_normalise(prefix, normal) : 0;

	memset(ret, 0, sizeof(*ret));
	if (r)
		return fspf_fail(err, r, NULL, "%s is not a region's prefix", prefix);
	w.bytes_total = v->root->used * FSPF_BLOCK_SIZE;
	w.buffer = malloc((size_t)RUN_BLOCKS * FSPF_BLOCK_SIZE);
	if (!w.buffer)
		return fspf_fail(err, -ENOMEM, NULL, "not enough memory");
	r = verify_regions(&w, prefix ? normal : NULL);
	free(w.buffer);
	if (r == -ENOENT)
		return fspf_fail(err, r,
				 v->key || !v->header.keyed
					 ? "see `fspf show`"
					 : "an encrypted region can only be verified with the key",
				 "there is no region %s to verify", prefix ? normal : "");
	if (r)
		return fspf_fail(err, r, NULL, "cannot verify: %s", strerror(-r));
	if (ret->damaged_nodes || ret->damaged_files)
		return fspf_fail(
			err, -EBADMSG,
			"what is damaged was changed on the storage; restore it from a copy",
			"%llu files are damaged", (unsigned long long)ret->damaged_files);
	return 0;
}
