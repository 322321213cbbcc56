/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening: which of the two root records is the volume's state.
 *
 * Both slots are read and verified.  With an anchor the record whose tag it holds is taken, and no
 * other: the newest, or, when a crash fell between writing and publishing, the one before, which is
 * still whole because nothing that it reaches has been reused (V3).  Without an anchor the newest
 * that verifies is taken.  With --recover a newer record is taken if it says, under the volume's
 * key, that its open began at the anchored tag: it descends from that state.  Which of its
 * descendants the host shows is the host's choice; an anchor that is published to leaves it none.
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
#include "fspf/scratch.h"

#define DIRTY_DEFAULT (UINT64_C(256) << 20)
#define DIRTY_MIN (UINT64_C(8) << 20)
#define CACHE_DEFAULT (UINT64_C(64) << 20)
#define CACHE_MIN (UINT64_C(1) << 20)
#define COMMIT_INTERVAL_MS 5000u

#define STALE_TEXT "the volume's tag is not the expected one: rollback or replacement suspected"

/* ---- the volume's memory ---- */

static void free_regions(struct fspf_volume *v)
{
	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		fspf_region_free(v->regions[i]);
	atomic_store(&v->nregions, 0);
}

static void volume_free(struct fspf_volume *v)
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

static uint64_t or_default(uint64_t value, uint64_t fallback, uint64_t least)
{
	return max_u64(value ? value : fallback, least);
}

static int volume_new(const struct fspf_open_params *params, struct fspf_volume **ret)
{
	struct fspf_volume *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	r = init_locks(v);
	v->peek = params->peek;
	v->read_only = params->read_only || params->peek;
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
		volume_free(v);
	else
		*ret = v;
	return r;
}

/* ---- store, header, key ---- */

static int open_store(struct fspf_volume *v, const struct fspf_open_params *params,
		      struct fspf_error *err)
{
	enum fspf_store_mode mode = params->peek			? FSPF_STORE_PEEK
				    : params->read_only || v->ephemeral ? FSPF_STORE_READ_ONLY
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

static int open_key(struct fspf_volume *v, const struct fspf_open_params *params,
		    struct fspf_error *err)
{
	struct fspf_keyslots slots;
	uint32_t slot;
	int r;

	if (!v->header.keyed)
		return params->credential ? fspf_fail(err, -EINVAL, "leave the key out",
						      "the volume has no key: it holds "
						      "authenticated regions alone")
					  : 0;
	if (!params->credential) {
		if (v->read_only || v->ephemeral)
			return 0;
		return fspf_fail(err, -ENOKEY,
				 "give --key-file, --passphrase-file or FSPF_KEY; authenticated "
				 "regions can be read without",
				 "the volume needs its key to be written");
	}
	r = fspf_keyslots_read(v->store, &slots, err);
	return r ? r
		 : fspf_keyslots_open(&slots, &v->header, params->credential, &v->key, &slot, err);
}

/* ---- choosing the state ---- */

struct candidates {
	struct fspf_root *root[2];
	struct crypto_digest tag[2];
	int error[2];
};

static void read_candidates(struct fspf_volume *v, struct candidates *c)
{
	const struct fspf_root_keys keys = {.volume = v->key};

	for (unsigned i = 0; i < 2; i++)
		c->error[i] =
			fspf_root_read(v->store, &v->header, &keys, i, &c->root[i], &c->tag[i]);
}

/* The newest of those that verify; -1: none. */
static int newest(const struct candidates *c)
{
	int best = -1;

	for (int i = 0; i < 2; i++)
		if (c->root[i] && (best < 0 || c->root[i]->generation > c->root[best]->generation))
			best = i;
	return best;
}

/* The one with the expected tag, or a descendant of it if that is asked for and the record's word
 * for it is @sealed: in a volume without a key anybody could write such a record. */
static int expected(const struct candidates *c, const struct crypto_digest *tag, bool recover,
		    bool sealed)
{
	int best = newest(c);

	if (recover && best >= 0 && sealed && c->root[best]->opened &&
	    crypto_digest_equal(&c->root[best]->base, tag))
		return best;
	for (int i = 0; i < 2; i++)
		if (c->root[i] && crypto_digest_equal(&c->tag[i], tag))
			return i;
	return -1;
}

static int no_candidate(const struct candidates *c, struct fspf_error *err)
{
	int r = c->error[0] == -EBADMSG || c->error[0] == -ENOENT ? c->error[1] : c->error[0];

	if (r != -EBADMSG && r != -ENOENT)
		return fspf_fail(err, r, NULL, "cannot read the volume's root records: %s",
				 strerror(-r));
	return fspf_fail(err, -EBADMSG,
			 "both were changed on the storage; restore the volume from a copy",
			 "neither of the volume's root records verifies");
}

/* What may have happened, and what to do if it was meant. */
static const char *stale_hint(const struct fspf_anchor *anchor, bool recover)
{
	if (recover)
		return "no state on the storage descends from the expected one";
	if (!strcmp(anchor->ops->name, "pinned"))
		return "if the last session was pinned to this tag and crashed, --recover accepts a "
		       "state that descends from it";
	return "a crash does not cause this; if the volume was restored from a copy on purpose, "
	       "put its tag (`fspf tag`) into the tag file";
}

static int choose(struct fspf_volume *v, const struct fspf_open_params *params,
		  struct candidates *c, struct fspf_error *err)
{
	struct crypto_digest tag;
	bool any = false;
	int chosen, r;

	r = v->anchor->ops->load(v->anchor, &tag, &any);
	if (r == -ENOENT)
		return fspf_fail(err, r,
				 "is the path right?  without the tag nobody can tell whether the "
				 "volume is the newest; --no-rollback-protection opens it all the "
				 "same",
				 "the tag file does not exist");
	if (r)
		return fspf_fail(err, r, NULL, "cannot read the expected tag: %s",
				 r == -EINVAL ? "the tag file does not hold 64 hex digits"
					      : strerror(-r));
	if (newest(c) < 0)
		return no_candidate(c, err);
	if (params->recover && any && !v->header.keyed)
		return fspf_fail(
			err, -EINVAL, "give the tag of the state on the storage, if you trust it",
			"a volume without a key cannot prove what its states descend from");
	chosen = any ? expected(c, &tag, params->recover, v->header.keyed) : newest(c);
	if (chosen < 0)
		return fspf_fail(err, -ESTALE, stale_hint(v->anchor, params->recover), STALE_TEXT);
	v->root = c->root[chosen];
	c->root[chosen] = NULL;
	v->tag = c->tag[chosen];
	v->base = any ? tag : v->tag;
	v->slot = (unsigned)chosen;
	return 0;
}

static int open_root(struct fspf_volume *v, const struct fspf_open_params *params,
		     struct fspf_error *err)
{
	struct candidates c = {0};
	int r;

	read_candidates(v, &c);
	r = choose(v, params, &c, err);
	fspf_root_free(c.root[0]);
	fspf_root_free(c.root[1]);
	return r;
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

static int open_regions(struct fspf_volume *v, struct fspf_error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < v->root->nregions && r == 0; i++) {
		r = fspf_region_open(v, &v->root->region[i], &v->regions[i]);
		if (r == 0)
			atomic_store(&v->nregions, i + 1);
	}
	if (r == 0)
		r = fspf_regions_attach(v);
	return r ? fspf_fail(err, r, NULL, "cannot open the volume's regions: %s", strerror(-r))
		 : 0;
}

/* A fresh session.  An ephemeral open's is never stored: its seals die with it. */
static int begin_session(struct fspf_volume *v)
{
	struct crypto_salt salt;
	int r = crypto_sessions_begin(v->sessions);

	if (r == 0)
		r = crypto_sessions_salt(v->sessions, crypto_sessions_count(v->sessions), &salt);
	if (r == 0 && v->key)
		r = fspf_root_sealer_new(v->key, v->header.volume_id, &salt, &v->root_sealer);
	return r;
}

static int begin_stored(struct fspf_volume *v)
{
	struct fspf_space_config config = {
		.store = v->store,
		.blocks_max = v->header.size_blocks,
		.generation = v->root->generation + 1,
		.cursor = v->root->cursor,
	};

	return v->ephemeral ? 0 : fspf_space_new(&config, &v->stored.space);
}

static bool needs_scratch(struct fspf_volume *v)
{
	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (fspf_region_is_ephemeral(v->regions[i]))
			return true;
	return false;
}

static uint64_t unwritten_in(struct fspf_volume *v, const struct fspf_home *home)
{
	uint64_t n = 0;

	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (v->regions[i]->home == home)
			n += atomic_load(&v->regions[i]->unwritten);
	return n;
}

static int not_prepared(int r, struct fspf_error *err)
{
	return fspf_fail(err, r, NULL, "cannot prepare the volume for writing: %s", strerror(-r));
}

/* Scratch space is empty, and known at once. */
static int begin_scratch(struct fspf_volume *v, const char *dir, struct fspf_error *err)
{
	struct fspf_space_config config = {.generation = v->root->generation + 1};
	struct fspf_store *scratch = NULL;
	int r;

	if (!needs_scratch(v))
		return 0;
	r = fspf_scratch_store_new(dir, v->header.segment_blocks, &scratch);
	if (r)
		return fspf_fail(err, r, "name a directory that can be written (-o scratch=DIR)",
				 "cannot make the scratch file for ephemeral regions%s%s: %s",
				 dir ? " in " : "", dir ? dir : "", strerror(-r));
	r = fspf_scratch_join(v->store, scratch, &v->store);
	if (r)
		fspf_store_free(scratch);
	config.store = scratch;
	if (r == 0)
		r = fspf_space_new(&config, &v->scratch.space);
	if (r == 0)
		r = fspf_space_restore(v->scratch.space, unwritten_in(v, &v->scratch));
	if (r)
		return not_prepared(r, err);
	fspf_space_ready(v->scratch.space, 0);
	return 0;
}

static int begin_writing(struct fspf_volume *v, const char *scratch_dir, struct fspf_error *err)
{
	int r = 0;

	atomic_store(&v->generation, v->root->generation + 1);
	if (v->header.keyed)
		r = begin_session(v);
	if (r == 0)
		r = begin_stored(v);
	if (r)
		return not_prepared(r, err);
	r = begin_scratch(v, scratch_dir, err);
	if (r)
		return r;
	r = fspf_committer_start(v);
	return r ? not_prepared(r, err) : 0;
}

/* An unprotected ephemeral region has no committed state: it begins with a top like the directory
 * that it covers. */
static int make_top(struct fspf_volume *v, struct fspf_region *region)
{
	struct fspf_attr at = {.mode = 0755};
	int r = 0;

	if (region->cover)
		r = fspf_getattr(v, fspf_ino(region->cover, region->cover_object), &at);
	if (r == 0)
		r = fspf_begin(region, false);
	if (r == 0) {
		r = fspf_region_top(v, region, at.mode & 07777, at.uid, at.gid);
		fspf_end(v);
	}
	return r;
}

static int make_tops(struct fspf_volume *v, struct fspf_error *err)
{
	int r = 0;

	for (size_t i = 0; i < atomic_load(&v->nregions) && r == 0; i++) {
		struct fspf_region *region = v->regions[i];

		if (region->tree && region->protection == FSPF_NOT_PROTECTED && !v->authoring)
			r = make_top(v, region);
	}
	return r ? fspf_fail(err, r, NULL, "cannot make the ephemeral regions: %s", strerror(-r))
		 : 0;
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
	r = open_key(v, params, err);
	if (r == 0)
		r = open_root(v, params, err);
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
		r = begin_writing(v, params->scratch_dir, err);
	return r ? r : make_tops(v, err);
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
		r = volume_new(params, &v);
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
		volume_free(v);
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
	volume_free(v);
	return r;
}

/* An empty state that was never stored: the record before the first. */
static int empty_state(struct fspf_volume *v, const struct fspf_create_params *params,
		       struct fspf_store *store, struct fspf_error *err)
{
	struct fspf_open_params open = {.credential = params->credential};
	int r;

	v->store = store;
	r = fspf_anchor_none(&v->anchor);
	if (r == 0) {
		v->root = fspf_root_new();
		r = v->root ? fspf_header_read(store, &v->header, err) : -ENOMEM;
	}
	if (r)
		return r;
	store->segment_blocks = v->header.segment_blocks;
	v->root->opened = true;
	v->slot = 1; /* the first record goes to slot 0 */
	return open_key(v, &open, err);
}

static int first_region(struct fspf_volume *v, const struct fspf_create_params *params)
{
	struct fspf_region_record *record = crypto_secret_alloc(sizeof(*record));
	const struct fspf_attr top = {
		.mode = params->root_mode ? params->root_mode : 0755,
		.uid = params->root_uid,
		.gid = params->root_gid,
	};
	const struct fspf_region_params region = {
		.prefix = "/",
		.protection = params->authenticated ? FSPF_AUTHENTICATED : FSPF_ENCRYPTED,
	};
	int r = record ? 0 : -ENOMEM;

	if (r == 0)
		r = fspf_region_record_new(&region, 0, record);
	if (r == 0)
		r = fspf_region_install(v, record, &top);
	crypto_secret_free(record);
	return r;
}

int fspf_first_state(const struct fspf_create_params *params, struct fspf_store *store,
		     struct crypto_digest *ret_tag, struct fspf_error *err)
{
	struct fspf_open_params defaults = {0};
	struct fspf_volume *v = NULL;
	int r = crypto_init();

	if (r == 0)
		r = volume_new(&defaults, &v);
	if (r) {
		fspf_store_free(store);
		return fspf_fail(err, r, NULL, "cannot create the volume: %s", strerror(-r));
	}
	r = empty_state(v, params, store, err);
	if (r == 0)
		r = begin_writing(v, NULL, err);
	if (r == 0) {
		r = first_region(v, params);
		if (r)
			fspf_fail(err, r, NULL, "cannot make the root region: %s", strerror(-r));
	}
	if (r == 0)
		return fspf_close(v, ret_tag, err);
	volume_free(v);
	return r;
}

void fspf_abandon(struct fspf_volume *v)
{
	volume_free(v);
}
