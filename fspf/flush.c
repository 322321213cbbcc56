/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch goes through four steps: taken from the file (locked), sealed into a staging buffer and
 * written in runs (not locked), entered into the map where it was not dropped (locked), freed.  On
 * failure what was not entered goes back to the file's dirty pages, or, where newer ones are there
 * already, is forgotten.
 *
 *   F1  a page is either in inode->pages, or in inode->batch, or its bytes are what the map names
 *   F2  a batch enters the map only where it was not dropped meanwhile
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/extent.h"
#include "fspf/file.h"
#include "fspf/flush.h"

#define STAGE_BLOCKS 256u /* sealed and written at a time: 1 MiB */

/* A run of the batch that lies together in the store. */
struct run {
	uint32_t from, count; /* in the batch */
	uint64_t addr, counter;
	uint32_t session;
	uint8_t tags[STAGE_BLOCKS][CRYPTO_SEAL_SIZE];
};

struct fspf_flusher {
	struct fspf_batch batch;
	uint8_t *stage;
	struct run *runs; /* at most one a page */
	uint32_t nruns;
};

int fspf_flusher_new(struct fspf_flusher **ret)
{
	struct fspf_flusher *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->stage = aligned_alloc(FSPF_BLOCK_SIZE, (size_t)STAGE_BLOCKS * FSPF_BLOCK_SIZE);
	f->runs = calloc(FSPF_BATCH_PAGES, sizeof(*f->runs));
	if (!f->stage || !f->runs) {
		fspf_flusher_free(f);
		return -ENOMEM;
	}
	*ret = f;
	return 0;
}

struct fspf_flusher *fspf_flusher_free(struct fspf_flusher *f)
{
	if (!f)
		return NULL;
	free(f->stage);
	free(f->runs);
	free(f);
	return NULL;
}

static bool batch_index(const struct fspf_batch *b, uint64_t block, uint32_t *ret)
{
	uint32_t lo = 0, hi = b ? b->n : 0;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (b->block[mid] < block)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret = lo;
	return b && lo < b->n && b->block[lo] == block;
}

uint8_t *fspf_batch_find(const struct fspf_inode *inode, uint64_t block)
{
	uint32_t i;

	if (!inode->batch || !batch_index(inode->batch, block, &i) || inode->batch->dropped[i])
		return NULL;
	return inode->batch->page[i];
}

void fspf_batch_drop(struct fspf_inode *inode, uint64_t first, uint64_t last)
{
	struct fspf_batch *b = inode->batch;
	uint32_t i;

	if (!b)
		return;
	for (batch_index(b, first, &i); i < b->n && b->block[i] <= last; i++)
		b->dropped[i] = true;
}

/* ---- sealing and writing, unlocked ---- */

static int seal_run(struct fspf_volume *v, struct fspf_flusher *f, const struct fspf_inode *inode,
		    struct run *run)
{
	struct fspf_region *region = inode->region;
	uint8_t aad[FSPF_DATA_AAD_SIZE];
	int r = crypto_sealer_take(region->sealer, run->count, &run->session, &run->counter);

	for (uint32_t i = 0; i < run->count && r == 0; i++) {
		struct crypto_seal seal = {run->session, run->counter, {0}};

		if (region->class == CRYPTO_CLASS_ENCRYPTED)
			seal.counter += i;
		fspf_data_aad(region->identity, inode->object, f->batch.block[run->from + i], aad);
		r = crypto_sealer_seal(
			region->sealer, aad, sizeof(aad), f->batch.page[run->from + i],
			f->stage + (size_t)i * FSPF_BLOCK_SIZE, FSPF_BLOCK_SIZE, &seal);
		memcpy(run->tags[i], seal.tag, sizeof(seal.tag));
	}
	atomic_fetch_add_explicit(&v->sealed, run->count, memory_order_relaxed);
	return r;
}

static int write_run(struct fspf_volume *v, struct fspf_flusher *f, const struct fspf_inode *inode,
		     uint32_t from, uint32_t *ret_count)
{
	struct run *run = &f->runs[f->nruns];
	uint32_t want = (uint32_t)min_u64(f->batch.n - from, STAGE_BLOCKS);
	int r;

	run->from = from;
	r = fspf_home_alloc(inode->region->home, want, 1, true, &run->addr, &run->count);
	if (r)
		return r;
	memset(f->batch.promised + from, 0, run->count * sizeof(f->batch.promised[0]));
	r = seal_run(v, f, inode, run);
	if (r == 0)
		r = v->store->ops->write(v->store, run->addr, f->stage,
					 (size_t)run->count * FSPF_BLOCK_SIZE);
	f->nruns++; /* also when it failed: its space is given back with the others' */
	*ret_count = run->count;
	return r;
}

static int write_batch(struct fspf_volume *v, struct fspf_flusher *f,
		       const struct fspf_inode *inode)
{
	uint32_t at = 0, count = 0;
	int r = 0;

	f->nruns = 0;
	while (at < f->batch.n && r == 0) {
		r = write_run(v, f, inode, at, &count);
		at += count;
	}
	return r;
}

/* ---- entering, locked ---- */

/* Blocks from the run's @i-th on will not be named: they are free, and promised again to their
 * pages. */
static void give_back(struct fspf_home *home, struct fspf_flusher *f, const struct run *run,
		      uint32_t i)
{
	fspf_home_unalloc_promised(home, run->addr + i, run->count - i);
	memset(f->batch.promised + run->from + i, true,
	       (run->count - i) * sizeof(f->batch.promised[0]));
}

/* How many blocks of the run from @i on make one extent: consecutive in the file, none dropped,
 * none too many. */
static uint32_t extent_length(const struct fspf_flusher *f, const struct run *run, uint32_t i,
			      uint32_t max)
{
	const struct fspf_batch *b = &f->batch;
	uint32_t n = 0, k = run->from + i;

	while (i + n < run->count && n < max && !b->dropped[k + n] &&
	       b->block[k + n] == b->block[k] + n)
		n++;
	return n;
}

static void make_extent(struct fspf_volume *v, const struct fspf_flusher *f,
			const struct fspf_region *region, const struct run *run, uint32_t i,
			uint32_t n, struct fspf_extent *e)
{
	uint32_t size = fspf_tag_size(region->class);

	e->first = f->batch.block[run->from + i];
	e->addr = run->addr + i;
	e->birth = atomic_load(&v->generation);
	e->session = run->session;
	e->counter = run->session ? run->counter + i : 0;
	e->count = n;
	for (uint32_t k = 0; k < n; k++)
		memcpy(e->tags + (size_t)k * size, run->tags[i + k], size);
}

static int enter_run(struct fspf_volume *v, struct fspf_flusher *f, struct fspf_inode *inode,
		     const struct run *run)
{
	uint32_t max = fspf_extent_blocks(inode->region->class);
	struct fspf_extent e;
	int r = 0;

	for (uint32_t i = 0; i < run->count && r == 0;) {
		uint32_t n = extent_length(f, run, i, max);

		if (n == 0) { /* dropped while it was written: nobody will ever name it (F2) */
			fspf_home_unalloc(inode->region->home, run->addr + i, 1);
			i++;
			continue;
		}
		make_extent(v, f, inode->region, run, i, n, &e);
		r = fspf_map_put(v, inode, &e);
		if (r)
			give_back(inode->region->home, f, run, i);
		for (uint32_t k = 0; k < n && r == 0; k++)
			f->batch.dropped[run->from + i + k] =
				true; /* entered: not to be returned */
		i += n;
	}
	return r;
}

static int enter_batch(struct fspf_volume *v, struct fspf_flusher *f, struct fspf_inode *inode,
		       int error)
{
	int r = error ? error : fspf_file_drop_inline(inode);

	for (uint32_t i = 0; i < f->nruns; i++) {
		const struct run *run = &f->runs[i];

		if (r == 0)
			r = enter_run(v, f, inode, run);
		else
			give_back(inode->region->home, f, run, 0);
	}
	return r;
}

/* A page that did not get into the map is dirty again, with the promise that it holds, unless there
 * is a newer one. */
static bool return_page(struct fspf_volume *v, struct fspf_inode *inode, uint64_t block,
			uint8_t *page)
{
	bool kept = false;

	if (fspf_pages_return(&inode->pages, v->pages, block, page, &kept)) {
		fspf_page_free(v->pages, page);
		fspf_volume_fail(v, -ENOMEM, "dirty data could not be kept");
	}
	return kept;
}

static void finish_batch(struct fspf_volume *v, struct fspf_flusher *f, struct fspf_inode *inode,
			 int error)
{
	const struct fspf_batch *b = &f->batch;
	uint64_t unneeded = 0;

	inode->batch = NULL;
	for (uint32_t i = 0; i < b->n; i++) {
		bool kept = false;

		if (error && !b->dropped[i])
			kept = return_page(v, inode, b->block[i], b->page[i]);
		else
			fspf_page_free(v->pages, b->page[i]);
		unneeded += b->promised[i] && !kept;
	}
	fspf_space_unpromise(inode->region->home->space, unneeded);
	fspf_inode_dirty(v, inode);
}

/* ---- one file ---- */

/* A small file without extents goes beside its inode; not while it is being copied up. */
static bool fits_inline(const struct fspf_inode *inode)
{
	return !inode->a.in_place && inode->a.size <= FSPF_INLINE_MAX && inode->a.blocks == 0 &&
	       inode->a.unwritten == 0 && inode->pages.count == 1 &&
	       fspf_pages_find(&inode->pages, 0);
}

static int flush_inline(struct fspf_volume *v, struct fspf_inode *inode)
{
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_INLINE, 0);
	int r = 0;

	if (inode->a.size) {
		r = merkle_put(inode->region->tree, &key, fspf_pages_find(&inode->pages, 0),
			       (size_t)inode->a.size);
		if (r == 0)
			inode->a.inlined = true;
	}
	if (r)
		return r;
	fspf_space_unpromise(inode->region->home->space,
			     fspf_pages_drop(&inode->pages, v->pages, 0, 0));
	fspf_inode_dirty(v, inode);
	return 0;
}

/* Take the next batch, or do all there is to do without one: *ret_more is false then.  Locked. */
static int begin_batch(struct fspf_volume *v, struct fspf_flusher *f, struct fspf_inode *inode,
		       bool *ret_more)
{
	int r = 0;

	*ret_more = false;
	if (inode->dead)
		return 0;
	if (fits_inline(inode))
		r = flush_inline(v, inode);
	if (r || inode->pages.count == 0)
		return r ? r : fspf_inode_flush(v, inode);
	f->batch.n =
		fspf_pages_take(&inode->pages, FSPF_BATCH_PAGES, f->batch.block, f->batch.page);
	memset(f->batch.dropped, 0, f->batch.n * sizeof(f->batch.dropped[0]));
	memset(f->batch.promised, true, f->batch.n * sizeof(f->batch.promised[0]));
	inode->batch = &f->batch;
	*ret_more = true;
	return 0;
}

static void lock(struct fspf_volume *v, struct fspf_inode *inode, bool gated)
{
	if (!gated)
		pthread_rwlock_rdlock(&v->gate);
	pthread_mutex_lock(&inode->lock);
}

static void unlock(struct fspf_volume *v, struct fspf_inode *inode, bool gated)
{
	pthread_mutex_unlock(&inode->lock);
	if (!gated)
		pthread_rwlock_unlock(&v->gate);
}

int fspf_flush_inode(struct fspf_volume *v, struct fspf_flusher *f, struct fspf_inode *inode,
		     bool gated)
{
	bool more = true;
	int r = 0;

	while (r == 0 && more) {
		lock(v, inode, gated);
		r = begin_batch(v, f, inode, &more);
		unlock(v, inode, gated);
		if (r || !more)
			break;
		r = write_batch(v, f, inode);
		lock(v, inode, gated);
		r = enter_batch(v, f, inode, r);
		finish_batch(v, f, inode, r);
		unlock(v, inode, gated);
	}
	return r;
}
