/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way in and out of every change, and what happens when one cannot be finished.
 *
 * Admission looks at metadata only: the nodes that are dirty already, those that dirty inodes and
 * pages will dirty when they are put into their trees, and what one more operation can add, all
 * have to find room at the next commit. Dirty data is promised block by block by those who make it.
 * A reserve beyond that is left to operations that give space back, so that deleting works on a
 * full volume.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "fspf/dispatch.h"
#include "fspf/commit.h"
#include "fspf/error.h"
#include "fspf/inode.h"

#define OPERATION_NODES                                                                            \
	32u /* the most that one operation dirties: five items, each with its path, twice */
#define RESERVE_BLOCKS 512u   /* 2 MiB, for operations that free */
#define PAGES_PER_NODE 16u    /* random page writes that share a leaf of the block map, at least */
#define DIRTY_NODES_MAX 2048u /* 32 MiB: then a commit is due */
#define DIRTY_INODES_MAX 32768u

/* Of the regions whose changes go to @home; NULL: of all. */
static uint64_t dirty_nodes(struct fspf_volume *v, const struct fspf_home *home)
{
	uint64_t n = 0;

	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (v->regions[i]->tree && (!home || v->regions[i]->home == home))
			n += merkle_dirty_nodes(v->regions[i]->tree);
	return n;
}

/* Dirty inodes and pages are not counted by home: it asks for too much, never for too little. */
uint64_t fspf_space_keep(struct fspf_volume *v, const struct fspf_home *home, bool frees)
{
	uint64_t nodes = dirty_nodes(v, home) + fspf_inode_dirty_count(v) / 8 +
			 fspf_page_pool_used(v->pages) / PAGES_PER_NODE + OPERATION_NODES;

	return nodes * MERKLE_NODE_BLOCKS + (frees ? 0 : RESERVE_BLOCKS);
}

/* Ask for space; what older roots hold on to becomes free with a commit, so try that before saying
 * no. */
static int promise(struct fspf_region *region, uint64_t count, bool frees)
{
	struct fspf_volume *v = region->v;
	struct fspf_home *home = region->home;
	int r = fspf_space_promise(home->space, count, fspf_space_keep(v, home, frees));

	for (int i = 0; i < 2 && r == -ENOSPC; i++) {
		r = fspf_commit_now(v);
		if (r == 0 || r == -ENOSPC)
			r = fspf_space_promise(home->space, count, fspf_space_keep(v, home, frees));
	}
	return r;
}

/* Why nothing may be changed in @region, or 0. */
static int refusal(const struct fspf_region *region)
{
	if (region->v->read_only || atomic_load(&region->v->failed))
		return -EROFS;
	return fspf_region_writable(region);
}

int fspf_promise(struct fspf_region *region, uint64_t count)
{
	int r = refusal(region);

	return r ? r : promise(region, count, false);
}

int fspf_begin(struct fspf_region *region, bool frees)
{
	int r = refusal(region);

	if (r == 0)
		r = promise(region, 0, frees);
	if (r)
		return r;
	pthread_rwlock_rdlock(&region->v->gate);
	return 0;
}

void fspf_end(struct fspf_volume *v)
{
	bool due = dirty_nodes(v, NULL) > DIRTY_NODES_MAX ||
		   fspf_inode_dirty_count(v) > DIRTY_INODES_MAX;

	pthread_rwlock_unlock(&v->gate);
	if (due)
		fspf_commit_kick(v);
}

void fspf_record_changed(struct fspf_volume *v)
{
	pthread_rwlock_rdlock(&v->gate);
	atomic_store(&v->stored.changed, atomic_load(&v->epoch));
	pthread_rwlock_unlock(&v->gate);
}

void fspf_volume_fail(struct fspf_volume *v, int error, const char *what)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&v->failed, &none, error))
		fspf_report_text(v, error,
				 "%s; the volume accepts no more changes, and its last published "
				 "state stays",
				 what);
}

static void count_violation(struct fspf_volume *v)
{
	int none = 0;

	atomic_fetch_add(&v->violations, 1);
	if (v->stop_on_violation)
		(void)atomic_compare_exchange_strong(&v->failed, &none, -EIO);
}

void fspf_report_text(struct fspf_volume *v, int code, const char *fmt, ...)
{
	struct fspf_report report = {.code = code};
	char text[4608];
	va_list args;

	if (code == -EBADMSG)
		count_violation(v);
	if (!v->report)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fspf_printable(text);
	report.text = text;
	v->report(v->report_ctx, &report);
}

bool fspf_is_read_only(struct fspf_volume *v)
{
	return v->read_only;
}

int fspf_tree_fsync(struct fspf_volume *v, uint64_t ino)
{
	struct fspf_inode *inode;
	uint64_t changed;
	int r;

	if (ino == FSPF_ROOT) /* sync(2) never gets here, so this is how `sync MOUNTPOINT` asks for
				 all of it */
		return fspf_sync(v);
	r = fspf_inode_get(v, ino, &inode);
	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	changed = fspf_region_is_ephemeral(inode->region) ? 0 : inode->changed;
	pthread_mutex_unlock(&inode->lock);
	fspf_inode_put(v, inode, 1);
	return v->read_only ? 0 : fspf_commit_wait(v, changed);
}

int fspf_sync(struct fspf_volume *v)
{
	return v->read_only ? 0 : fspf_commit_wait(v, atomic_load(&v->stored.changed));
}

void fspf_tag(struct fspf_volume *v, struct crypto_digest *ret)
{
	pthread_mutex_lock(&v->state_lock);
	*ret = v->tag;
	pthread_mutex_unlock(&v->state_lock);
}

/* Read-only, or not loaded yet. */
static void stat_from_root(struct fspf_volume *v, struct fspf_space_stat *s)
{
	uint64_t used;

	pthread_mutex_lock(&v->state_lock);
	used = v->root->used;
	pthread_mutex_unlock(&v->state_lock);
	s->total = max_u64(s->total, used);
	s->free = v->stored.space ? s->total - used : 0;
	s->deferred = 0;
}

int fspf_statfs(struct fspf_volume *v, struct fspf_statfs *ret)
{
	const struct fspf_home *home = v->ephemeral ? &v->scratch : &v->stored;
	struct fspf_space_stat s = {0};
	uint64_t taken, files = 0;

	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		files += atomic_load(&v->regions[i]->files);
	if (home->space)
		fspf_space_stat(home->space, &s);
	else
		s.total = v->header.size_blocks;
	if (!v->ephemeral && !atomic_load(&v->space_known))
		stat_from_root(v, &s);
	/* What waits for a commit will be free: a user who deletes wants to see that now. */
	taken = home->space ? s.promised : 0;
	ret->blocks = s.total;
	ret->blocks_free = s.free + s.deferred > taken ? s.free + s.deferred - taken : 0;
	taken = home->space ? fspf_space_keep(v, home, false) : 0;
	ret->blocks_available = ret->blocks_free > taken ? ret->blocks_free - taken : 0;
	ret->files_free = ret->blocks_available; /* a file takes at most a block beyond its data */
	ret->files = files + ret->files_free;
	return 0;
}

void fspf_counters(struct fspf_volume *v, struct fspf_counters *ret)
{
	struct merkle_cache_stats cache;

	merkle_cache_stats(v->cache, &cache);
	*ret = (struct fspf_counters){
		.commits = atomic_load(&v->commits),
		.blocks_sealed = atomic_load(&v->sealed),
		.blocks_opened = atomic_load(&v->opened),
		.dirty_bytes = fspf_page_pool_used(v->pages) * FSPF_BLOCK_SIZE,
		.violations = atomic_load(&v->violations),
		.cache_bytes = cache.bytes,
		.cache_hits = cache.hits,
		.cache_misses = cache.misses,
		.cache_max = v->cache_max,
	};
	pthread_mutex_lock(&v->state_lock);
	ret->generation = v->root->generation;
	ret->committed = v->committed;
	pthread_mutex_unlock(&v->state_lock);
}

void fspf_info(struct fspf_volume *v, struct fspf_info *ret)
{
	struct fspf_keyslots slots;

	memset(ret, 0, sizeof(*ret));
	memcpy(ret->volume_id, v->header.volume_id, sizeof(ret->volume_id));
	ret->version = v->header.version;
	ret->segment_blocks = v->header.segment_blocks;
	ret->size_limit = v->header.size_blocks * FSPF_BLOCK_SIZE;
	ret->keyed = v->header.keyed;
	pthread_mutex_lock(&v->state_lock);
	ret->generation = v->root->generation;
	ret->sessions = v->root->sessions.count;
	ret->bytes_used = v->root->used * FSPF_BLOCK_SIZE;
	ret->opened = v->root->opened;
	ret->policy = v->root->policy;
	ret->clean = !merkle_ptr_is_null(&v->root->space);
	ret->tag = v->tag;
	ret->previous_tag = v->root->previous;
	pthread_mutex_unlock(&v->state_lock);
	if (fspf_keyslots_read(v->store, &slots, NULL))
		return;
	for (uint32_t i = 0; i < FSPF_KEYSLOTS; i++)
		if (crypto_keyslot_info(&slots.slot[i], &ret->slots[i]))
			ret->slots[i].kind = CRYPTO_KEYSLOT_EMPTY;
}
