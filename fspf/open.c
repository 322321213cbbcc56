/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, step by step: the store, the header, the key, the state (open_root.c), its sessions and
 * regions; and for writing a session, space and the committer (begin.c).
 */
#include <errno.h>
#include <stdlib.h>

#include "crypto/random.h"
#include "crypto/selftest.h"
#include "fspf/commit.h"
#include "fspf/create.h"
#include "fspf/credential.h"
#include "fspf/error.h"
#include "fspf/inode.h"
#include "fspf/inplace.h"
#include "fspf/open.h"
#include "fspf/region_key.h"
#include "fspf/scratch.h"
#include "fspf/snapshot.h"

#define DIRTY_DEFAULT (UINT64_C(256) << 20)
#define DIRTY_MIN (UINT64_C(8) << 20)
#define CACHE_DEFAULT (UINT64_C(64) << 20)
#define CACHE_MIN (UINT64_C(1) << 20)
#define COMMIT_INTERVAL_MS 5000u

/* ---- the volume's memory ---- */

static void free_regions(struct fspf_volume *v)
{
	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		fspf_region_free(v->regions[i]);
	atomic_store(&v->nregions, 0);
}

void fspf_volume_free(struct fspf_volume *v)
{
	if (!v)
		return;
	fspf_committer_stop(v);
	fspf_inode_table_free(v->table);
	fspf_inplace_free(v->inplace);
	free_regions(v);
	merkle_cache_free(v->cache);
	fspf_space_free(v->stored.space);
	fspf_space_free(v->scratch.space);
	fspf_page_pool_free(v->pages);
	fspf_root_sealer_free(v->root_sealer);
	crypto_sessions_free(v->sessions);
	crypto_key_free(v->key);
	fspf_root_free(v->root);
	fspf_root_free(v->replaced);
	fspf_anchor_free(v->anchor);
	fspf_store_free(v->store);
	free(v->pins);
	pthread_mutex_destroy(&v->state_lock);
	pthread_mutex_destroy(&v->names);
	pthread_rwlock_destroy(&v->gate);
	free(v);
}

static int init_locks(struct fspf_volume *v)
{
	pthread_rwlockattr_t attr;

	pthread_mutex_init(&v->state_lock, NULL);
	pthread_mutex_init(&v->names, NULL);
	pthread_rwlockattr_init(&attr);
	/* A freeze must not starve behind a stream of changes; nobody takes the gate twice. */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&v->gate, &attr);
	pthread_rwlockattr_destroy(&attr);
	return crypto_random(&v->stamp, sizeof(v->stamp));
}

static bool opens_read_only(const struct fspf_open_params *params)
{
	return params->read_only || params->peek || (params->snapshot && !params->restore);
}

static uint64_t or_default(uint64_t value, uint64_t fallback, uint64_t least)
{
	return max_u64(value ? value : fallback, least);
}

int fspf_volume_new(const struct fspf_open_params *params, struct fspf_volume **ret)
{
	struct fspf_volume *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	r = init_locks(v);
	v->peek = params->peek;
	v->read_only = opens_read_only(params);
	v->ephemeral = params->ephemeral && !v->read_only;
	v->authoring = params->authoring;
	v->scratch.base = FSPF_SCRATCH_BASE;
	v->stop_on_violation = params->stop_on_violation;
	v->cache_max = or_default(params->node_cache, CACHE_DEFAULT, CACHE_MIN);
	v->report = params->report;
	v->report_ctx = params->report_ctx;
	v->dirty_max = or_default(params->dirty_max, DIRTY_DEFAULT, DIRTY_MIN) / FSPF_BLOCK_SIZE;
	v->commit_interval_ms =
		params->commit_interval_ms ? params->commit_interval_ms : COMMIT_INTERVAL_MS;
	atomic_init(&v->epoch, 1);
	if (r == 0)
		r = crypto_sessions_new(&v->sessions);
	if (r == 0)
		r = merkle_cache_new((size_t)v->cache_max, &v->cache);
	if (r == 0)
		r = fspf_inode_table_new(&v->table);
	if (r == 0)
		r = fspf_page_pool_new(&v->pages);
	if (r == 0)
		r = fspf_inplace_new(&v->inplace);
	if (r)
		fspf_volume_free(v);
	else
		*ret = v;
	return r;
}

/* ---- store, header, key ---- */

static int open_store(struct fspf_volume *v, const struct fspf_open_params *params,
		      struct fspf_error *err)
{
	enum fspf_store_mode mode = params->peek		   ? FSPF_STORE_PEEK
				    : v->read_only || v->ephemeral ? FSPF_STORE_READ_ONLY
								   : FSPF_STORE_READ_WRITE;
	int r;

	if (params->store) {
		v->store = params->store;
		return 0;
	}
	r = fspf_store_open_directory(params->path, mode, &v->store);
	if (r == -EBUSY)
		return fspf_fail(err, r,
				 "one process at a time may write a volume; unmount it there, or "
				 "wait until it is closed",
				 "the volume %s is in use", params->path);
	if (r == -ENOENT || r == -ENOTDIR)
		return fspf_fail(err, r, "make one with `fspf create`", "%s is not a volume",
				 params->path);
	if (r == -EROFS)
		return fspf_fail(err, r, "open it read-only (-o ro)",
				 "the volume %s lies on a read-only file system", params->path);
	return r ? fspf_fail(err, r, NULL, "cannot open the volume %s: %s", params->path,
			     strerror(-r))
		 : 0;
}

int fspf_open_key(struct fspf_volume *v, const struct fspf_open_params *params,
		  struct fspf_error *err)
{
	struct fspf_keyslots slots;
	uint32_t slot;
	int r;

	r = fspf_region_keys_check(params, err);
	if (r)
		return r;
	if (!v->header.keyed)
		return params->credential || params->nregion_keys
			       ? fspf_fail(err, -EINVAL, "leave the key out",
					   "the volume has no key: it holds "
					   "authenticated regions alone")
			       : 0;
	if (!params->credential) {
		if (v->read_only || v->ephemeral)
			return 0;
		return fspf_fail(
			err, -ENOKEY,
			params->nregion_keys
				? "with the keys of single regions it is opened read-only (-o "
				  "ro)"
				: "give --key-file, --passphrase-file or FSPF_KEY; "
				  "authenticated regions can be read without",
			"the volume needs its key to be written");
	}
	r = fspf_keyslots_read(v->store, &slots, err);
	return r ? r
		 : fspf_keyslots_open(&slots, &v->header, params->credential, &v->key, &slot, err);
}

/* ---- the rest of the state ---- */

static int open_sessions(struct fspf_volume *v, struct fspf_error *err)
{
	int r = 0;

	if (v->root->sessions.addr)
		r = fspf_blob_read(v->store, &v->header, &v->root->sessions, v->sessions);
	if (r)
		return fspf_fail(err, r, NULL, "the volume's session table does not verify");
	return 0;
}

int fspf_volume_regions(struct fspf_volume *v)
{
	int r = 0;

	for (uint32_t i = 0; i < v->root->nregions && r == 0; i++) {
		r = fspf_region_open(v, &v->root->region[i], &v->regions[i]);
		if (r == 0)
			atomic_store(&v->nregions, i + 1);
	}
	if (r == 0)
		r = fspf_regions_attach(v);
	return r;
}

static int open_regions(struct fspf_volume *v, struct fspf_error *err)
{
	int r;

	if (v->root->nregions == 0)
		return fspf_fail(
			err, -ENOKEY,
			"give --key-file, --passphrase-file, FSPF_KEY or --region-key-file",
			"nothing of the volume can be read without a key");
	r = fspf_volume_regions(v);
	return r ? fspf_fail(err, r, NULL, "cannot open the volume's regions: %s", strerror(-r))
		 : 0;
}

/* Whose state it is: the volume's own, unless a snapshot is asked for. */
static int open_state(struct fspf_volume *v, const struct fspf_open_params *params,
		      struct fspf_error *err)
{
	int r = fspf_open_root(v, params, err);

	if (r == 0 && params->snapshot)
		r = params->restore ? fspf_snapshot_put_back(v, params->snapshot, err)
				    : fspf_snapshot_select(v, params->snapshot, err);
	return r;
}

/* Damage that opening met, when that is not to be lived with. */
static int check_whole(struct fspf_volume *v, struct fspf_error *err)
{
	if (!v->stop_on_violation || atomic_load(&v->violations) == 0)
		return 0;
	return fspf_fail(err, -EBADMSG, NULL,
			 "the volume is damaged, and damage is not to be tolerated");
}

/* --recover accepted a state that the anchor does not hold: from now on it does. */
static int publish_recovered(struct fspf_volume *v, struct fspf_error *err)
{
	int r = 0;

	if (!crypto_digest_equal(&v->base, &v->tag))
		r = v->anchor->ops->publish(v->anchor, &v->base, &v->tag);
	return r ? fspf_fail(err, r, NULL, "cannot publish the recovered tag: %s", strerror(-r))
		 : 0;
}

static int open_volume(struct fspf_volume *v, const struct fspf_open_params *params,
		       struct fspf_error *err)
{
	int r = open_store(v, params, err);

	if (r == 0)
		r = fspf_header_read(v->store, &v->header, err);
	if (r)
		return r;
	v->store->segment_blocks = v->header.segment_blocks;
	r = fspf_open_key(v, params, err);
	if (r == 0)
		r = open_state(v, params, err);
	if (r || v->peek)
		return r;
	r = open_sessions(v, err);
	if (r == 0)
		r = open_regions(v, err);
	if (r == 0) {
		atomic_store(&v->policy, v->root->policy);
		r = fspf_policy_check(v, v->root->policy, err);
	}
	if (r == 0)
		r = check_whole(v, err);
	if (r || v->read_only)
		return r;
	if (!v->ephemeral)
		r = publish_recovered(v, err);
	if (r == 0)
		r = fspf_begin_writing(v, params->scratch_dir, err);
	return r ? r : fspf_make_tops(v, err);
}

int fspf_open(const struct fspf_open_params *params, struct fspf_volume **ret,
	      struct fspf_error *err)
{
	struct fspf_volume *v = NULL;
	int r = crypto_init();

	if (r)
		fspf_fail(err, r, NULL, "the cryptographic library computes wrongly here");
	else if (!params->anchor)
		r = fspf_fail(err, -EINVAL, NULL, "no anchor was given");
	if (r == 0) {
		r = fspf_volume_new(params, &v);
		if (r)
			fspf_fail(err, r, NULL, "cannot open the volume: %s", strerror(-r));
	}
	if (r) {
		fspf_anchor_free(params->anchor);
		fspf_store_free(params->store);
		return r;
	}
	v->anchor = params->anchor;
	r = open_volume(v, params, err);
	if (r)
		fspf_volume_free(v);
	else
		*ret = v;
	return r;
}

int fspf_close(struct fspf_volume *v, struct crypto_digest *ret_tag, struct fspf_error *err)
{
	int r = 0;

	if (!v->read_only)
		r = fspf_commit_close(v);
	if (r)
		fspf_fail(err, r, "the volume opens in its last published state",
			  "the last changes could not be made durable: %s", strerror(-r));
	if (ret_tag)
		*ret_tag = v->tag;
	fspf_volume_free(v);
	return r;
}

void fspf_abandon(struct fspf_volume *v)
{
	fspf_volume_free(v);
}
