/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/dump_open.c - the head of a volume, and its regions' trees, opened for looking
 */
#include <errno.h>

#include "fspf/cmd/dump.h"
#include "fspf/error.h"
#include "fspf/snapshot.h"

#define CACHE_BYTES ((size_t)16 << 20)

/* ---- the head ---- */

static int open_store(struct dump *d, const char *path, struct fspf_error *err)
{
	int r = fspf_store_open_directory(path, FSPF_STORE_PEEK, &d->store);

	if (r == -ENOENT || r == -ENOTDIR)
		fspf_fail(err, r, NULL, "%s is not a volume", path);
	else if (r)
		fspf_fail(err, r, NULL, "cannot open the volume %s: %s", path, strerror(-r));
	return r;
}

static int open_key(struct dump *d, const struct fspf_credential *credential,
		    struct fspf_error *err)
{
	uint32_t slot;
	int r = 0;

	if (credential && d->header.keyed)
		r = fspf_keyslots_open(&d->keyslots, &d->header, credential, &d->key, &slot, err);
	return r;
}

/* The slot to show: with @expected the one with that tag, else the newest. */
static int choose(const struct dump *d, const struct crypto_digest *expected)
{
	int chosen = -1;

	for (int i = 0; i < 2; i++) {
		const struct dump_slot *s = &d->slot[i];

		if (!s->root || (expected && !crypto_digest_equal(&s->tag, expected)))
			continue;
		if (chosen < 0 || s->root->generation > d->slot[chosen].root->generation)
			chosen = i;
	}
	return chosen;
}

static int open_roots(struct dump *d, const struct crypto_digest *expected, struct fspf_error *err)
{
	const struct fspf_root *root;
	int r = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct dump_slot *s = &d->slot[i];

		s->error = fspf_root_read(d->store, &d->header,
					  &(struct fspf_root_keys){.volume = d->key}, i, &s->root,
					  &s->tag);
		d->damage = d->damage || (s->error && s->error != -ENOENT);
	}
	d->chosen = choose(d, expected);
	root = dump_root(d);
	if (!root && expected)
		r = fspf_fail(err, -ESTALE, NULL, "no root record of the volume has the given tag");
	else if (root && root->sessions.addr)
		d->damage = fspf_blob_read(d->store, &d->header, &root->sessions, d->sessions) ||
			    d->damage;
	return r;
}

int dump_open(struct dump *d, const char *path, const struct fspf_credential *credential,
	      const struct crypto_digest *expected, struct fspf_error *err)
{
	int r;

	memset(d, 0, sizeof(*d));
	d->chosen = -1;
	r = open_store(d, path, err);
	if (!r)
		r = fspf_header_read(d->store, &d->header, err);
	if (!r) {
		d->store->segment_blocks = d->header.segment_blocks;
		r = fspf_keyslots_read(d->store, &d->keyslots, err);
	}
	if (!r)
		r = open_key(d, credential, err);
	if (!r && crypto_sessions_new(&d->sessions))
		r = fspf_fail(err, -ENOMEM, NULL, "out of memory");
	if (!r)
		r = open_roots(d, expected, err);
	return r;
}

int dump_open_snapshot(struct dump *d, const char *name, struct fspf_error *err)
{
	const struct fspf_root_keys keys = {.volume = d->key};
	const struct fspf_snapshot *s;
	const struct fspf_root *root = NULL;
	int r = dump_need_root(d, &root, err);

	if (r)
		return r;
	if (!root->opened)
		return fspf_fail(err, -ENOKEY, "give --key-file, --passphrase-file or FSPF_KEY",
				 "the volume's key is needed to find its snapshots");
	s = fspf_snapshot_find(root, name);
	if (!s)
		return fspf_fail(err, -ENOENT, "`fspf snapshot list` shows those that there are",
				 "there is no snapshot %s", name);
	r = fspf_root_read_copy(d->store, &d->header, &keys, s, &d->snapshot);
	return r ? fspf_fail(err, r, NULL, "the record of the snapshot %s does not verify", name)
		 : 0;
}

void dump_close(struct dump *d)
{
	fspf_root_free(d->snapshot);
	fspf_root_free(d->slot[0].root);
	fspf_root_free(d->slot[1].root);
	crypto_sessions_free(d->sessions);
	crypto_key_free(d->key);
	fspf_store_free(d->store);
	memset(d, 0, sizeof(*d));
}

const struct fspf_root *dump_root(const struct dump *d)
{
	if (d->snapshot)
		return d->snapshot;
	return d->chosen < 0 ? NULL : d->slot[d->chosen].root;
}

int dump_need_root(const struct dump *d, const struct fspf_root **ret, struct fspf_error *err)
{
	const struct fspf_root *root = dump_root(d);

	if (root)
		*ret = root;
	return root ? 0
		    : fspf_fail(err, -EBADMSG, NULL,
				"neither of the volume's root records verifies");
}

/* ---- a region ---- */

static int read_node(void *ctx, uint64_t addr, void *node)
{
	struct dump_region *r = ctx;
	uint32_t blocks = r->d->header.segment_blocks;

	if (addr < blocks || addr % blocks + MERKLE_NODE_BLOCKS > blocks)
		return -EBADMSG; /* no node can lie there */
	return r->d->store->ops->read(r->d->store, addr, node, MERKLE_NODE_SIZE);
}

int dump_region_open(struct dump *d, const struct fspf_region_record *record,
		     struct dump_region *ret)
{
	int r;

	*ret = (struct dump_region){.d = d, .record = record};
	ret->store = (struct merkle_store){.ctx = ret, .read = read_node};
	memcpy(ret->config.identity, d->header.volume_id, sizeof(d->header.volume_id));
	put_le32(ret->config.identity + sizeof(d->header.volume_id), record->id);
	r = fspf_record_sealer(record, d->sessions, ret->config.identity, &ret->sealer);
	if (!r)
		r = merkle_cache_new(CACHE_BYTES, &ret->cache);
	if (!r) {
		ret->config.store = &ret->store;
		ret->config.sealer = ret->sealer;
		ret->config.cache = ret->cache;
		r = merkle_open(&ret->config, &record->root, &ret->tree);
	}
	if (r)
		dump_region_close(ret);
	return r;
}

void dump_region_close(struct dump_region *r)
{
	r->tree = merkle_free(r->tree);
	r->cache = merkle_cache_free(r->cache);
	r->sealer = crypto_sealer_free(r->sealer);
}
