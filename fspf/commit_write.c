/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order that crash consistency rests on.  Each barrier separates what is named from what names
 * it.
 *
 *   V1  what a root names was durable before the root was written
 *   V2  a root is written to the slot that does not hold the last published one
 *   V3  blocks that only an older root reaches are reused only after the newer one was published
 */
#include <errno.h>

#include "fspf/commit_write.h"

static void freeze_region(struct fspf_region *region, uint64_t generation,
			  struct fspf_region_record *record)
{
	merkle_freeze(region->tree, generation);
	record->next_object = atomic_load(&region->next_object);
	record->files = atomic_load(&region->files);
	record->blocks = atomic_load(&region->blocks);
	record->unwritten = atomic_load(&region->unwritten);
}

/* A region that was added since the last commit has no record there yet. */
static void describe_region(const struct fspf_region *region, struct fspf_region_record *record)
{
	record->id = region->id;
	record->protection = region->protection;
	record->flags = region->flags;
	memcpy(record->host, region->host, sizeof(record->host));
	memcpy(record->prefix, region->prefix, sizeof(record->prefix));
	memcpy(record->hash_key, region->hash_key, sizeof(record->hash_key));
	if (region->key)
		memcpy(record->key, region->key->b, sizeof(record->key));
	record->old_sessions = region->old_sessions;
	if (region->old_key)
		memcpy(record->old_key, region->old_key->b, sizeof(record->old_key));
	else
		memset(record->old_key, 0, sizeof(record->old_key));
}

/* The session table will be written anew: its old blocks go with this commit, or with the one that
 * comes through. */
static void release_sessions(struct fspf_volume *v, const struct fspf_blob *old)
{
	if (!old->addr || v->sessions_released)
		return;
	fspf_space_drop(v->stored.space, old->addr, fspf_blob_blocks(old->count));
	v->sessions_released = true;
}

/* Is this region's tree part of the frozen state? */
static bool is_frozen(const struct fspf_frozen *f, const struct fspf_region *region)
{
	return region->tree && (fspf_region_is_ephemeral(region) ? f->scratch : f->publish);
}

/* What the next root says of each region.  Of ephemeral ones it says what the last one did. */
static void freeze_regions(struct fspf_volume *v, struct fspf_frozen *f)
{
	struct fspf_root *root = f->root;

	root->nregions = (uint32_t)atomic_load(&v->nregions);
	for (uint32_t i = 0; i < root->nregions; i++) {
		struct fspf_region *region = v->regions[i];
		struct fspf_region_record *record = &root->region[i];

		describe_region(region, record);
		if (is_frozen(f, region) && fspf_region_is_ephemeral(region))
			merkle_freeze(region->tree, root->generation);
		else if (is_frozen(f, region))
			freeze_region(region, root->generation, record);
		if (region->id >= root->next_region)
			root->next_region = (uint16_t)(region->id + 1);
	}
}

static void freeze_sessions(struct fspf_volume *v, struct fspf_frozen *f)
{
	f->sessions_changed = f->publish && v->root_sealer &&
			      crypto_sessions_count(v->sessions) != f->root->sessions.count;
	if (f->sessions_changed)
		release_sessions(v, &f->root->sessions);
}

static void freeze_space(struct fspf_volume *v, struct fspf_root *root)
{
	struct fspf_space_stat stat;

	if (v->scratch.space)
		fspf_space_freeze(v->scratch.space);
	if (!v->stored.space)
		return;
	fspf_space_stat(v->stored.space, &stat);
	root->cursor = stat.cursor;
	root->segments = stat.segments;
	root->used = stat.used;
	fspf_space_freeze(v->stored.space);
}

int fspf_freeze(struct fspf_volume *v, struct fspf_frozen *f)
{
	struct fspf_root *root = fspf_root_new();

	if (!root)
		return -ENOMEM;
	pthread_mutex_lock(&v->state_lock);
	*root = *v->root;
	pthread_mutex_unlock(&v->state_lock);
	root->generation = atomic_load(&v->generation);
	root->previous = v->tag;
	root->base = v->base;
	root->policy = atomic_load(&v->policy);
	memset(&root->space, 0, sizeof(root->space));
	f->root = root;
	f->publish &= !v->ephemeral;
	f->scratch = v->scratch.space && !atomic_load(&v->closing);
	freeze_regions(v, f);
	freeze_sessions(v, f);
	freeze_space(v, root);
	f->epoch = atomic_fetch_add(&v->epoch, 1);
	atomic_fetch_add(&v->generation, 1);
	return 0;
}

/* The generation stays used up: what was born since bears the next one's number. */
static void thaw_space(struct fspf_space *space)
{
	if (space)
		fspf_space_thaw(space);
}

void fspf_thaw(struct fspf_volume *v, struct fspf_frozen *f)
{
	for (uint32_t i = 0; i < f->root->nregions; i++)
		if (is_frozen(f, v->regions[i]))
			merkle_thaw(v->regions[i]->tree);
	if (f->sessions_blocks)
		fspf_space_unalloc(v->stored.space, f->root->sessions.addr, f->sessions_blocks);
	thaw_space(v->stored.space);
	thaw_space(v->scratch.space);
	f->root = fspf_root_free(f->root);
}

static int write_regions(struct fspf_volume *v, struct fspf_frozen *f)
{
	int r = 0;

	for (uint32_t i = 0; i < f->root->nregions && r == 0; i++) {
		struct crypto_digest tag;
		struct merkle_ptr ptr;

		if (!is_frozen(f, v->regions[i]))
			continue;
		r = merkle_commit(v->regions[i]->tree, &ptr, &tag);
		if (r || fspf_region_is_ephemeral(v->regions[i]))
			continue;
		f->root->region[i].root = ptr;
		f->root->region[i].tag = tag;
	}
	return r;
}

/* The table of salts grows once an open, before the first root whose pointers name the new session.
 */
static int write_sessions(struct fspf_volume *v, struct fspf_frozen *f)
{
	struct fspf_blob *blob = &f->root->sessions;
	uint32_t want, got;
	int r;

	if (!f->sessions_changed)
		return 0;
	want = (uint32_t)fspf_blob_blocks(crypto_sessions_count(v->sessions));
	r = fspf_space_alloc(v->stored.space, want, want, false, &blob->addr, &got);
	if (r)
		return r;
	blob->birth = f->root->generation;
	r = fspf_blob_write(v->store, &v->header, v->sessions, blob);
	f->sessions_blocks = want; /* fspf_thaw() gives them back */
	return r;
}

int fspf_write_frozen(struct fspf_volume *v, struct fspf_frozen *f, bool clean)
{
	int r = fspf_root_size(f->root) > FSPF_ROOT_SLOT_BYTES ? -ENOSPC : 0;

	if (r == 0)
		r = write_regions(v, f);
	if (!f->publish)
		return r;
	if (r == 0)
		r = write_sessions(v, f);
	if (r == 0 && clean)
		r = fspf_space_save(v, f->root);
	if (r == 0)
		r = v->store->ops->barrier(v->store); /* V1 */
	return r;
}

/* The new state is the volume's, and V3's moment has come. */
static void adopt(struct fspf_volume *v, struct fspf_frozen *f, const struct crypto_digest *tag,
		  unsigned slot)
{
	struct fspf_root *old;

	pthread_mutex_lock(&v->state_lock);
	old = v->root;
	v->root = f->root;
	v->tag = *tag;
	v->slot = slot;
	clock_gettime(CLOCK_REALTIME, &v->committed);
	for (uint32_t i = 0; i < f->root->nregions; i++) {
		v->regions[i]->root = f->root->region[i].root;
		v->regions[i]->tag = f->root->region[i].tag;
	}
	pthread_mutex_unlock(&v->state_lock);
	if (f->sessions_changed)
		v->sessions_released = false;
	fspf_space_published(v->stored.space);
	if (v->scratch.space)
		fspf_space_published(v->scratch.space);
	fspf_root_free(old);
	f->root = NULL;
	atomic_fetch_add(&v->commits, 1);
}

/* Only scratch space has changed.  What the volume deferred waits for a root still. */
int fspf_settle_frozen(struct fspf_volume *v, struct fspf_frozen *f)
{
	thaw_space(v->stored.space);
	fspf_space_published(v->scratch.space);
	f->root = fspf_root_free(f->root);
	return 0;
}

int fspf_publish_frozen(struct fspf_volume *v, struct fspf_frozen *f)
{
	unsigned slot = v->slot ^ 1u; /* V2 */
	struct crypto_digest tag;
	const char *what = "the root record could not be written";
	int r = atomic_load(&v->failed); /* a violation ends commits that have begun, too */

	if (r == 0)
		r = fspf_root_write(v->store, &v->header, v->root_sealer, slot, f->root, &tag);
	if (r == 0)
		r = v->store->ops->barrier(v->store);
	if (r == 0)
		r = atomic_load(&v->failed);
	if (r == 0) {
		r = v->anchor->ops->publish(v->anchor, &v->tag, &tag);
		what = r == -ESTALE ? "the anchor was changed by somebody else"
				    : "the new tag could not be published";
	}
	if (r) {
		fspf_volume_fail(v, r, what);
		return r;
	}
	adopt(v, f, &tag, slot);
	return 0;
}
