/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region open: its sealer over the volume's sessions, its tree, and the store calls that the tree
 * makes, which go to the volume's store and space.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fspf/host.h"
#include "fspf/inode.h"
#include "fspf/volume.h"

static int tree_read(void *ctx, uint64_t addr, void *node)
{
	struct fspf_region *region = ctx;
	struct fspf_store *store = region->v->store;

	if (addr % region->v->header.segment_blocks + MERKLE_NODE_BLOCKS >
		    region->v->header.segment_blocks ||
	    addr < region->v->header.segment_blocks)
		return -EBADMSG; /* no node lies there: a pointer that a bug or a key's holder made
				  */
	return store->ops->read(store, addr, node, MERKLE_NODE_SIZE);
}

static int tree_write(void *ctx, uint64_t addr, const void *node)
{
	struct fspf_region *region = ctx;
	struct fspf_store *store = region->v->store;

	return store->ops->write(store, addr, node, MERKLE_NODE_SIZE);
}

static int tree_alloc(void *ctx, uint64_t *ret_addr)
{
	struct fspf_region *region = ctx;
	uint32_t count;

	return fspf_home_alloc(region->home, MERKLE_NODE_BLOCKS, MERKLE_NODE_BLOCKS, false,
			       ret_addr, &count);
}

static void tree_release(void *ctx, uint64_t addr, uint64_t birth)
{
	struct fspf_region *region = ctx;

	fspf_home_release(region->home, addr, MERKLE_NODE_BLOCKS, birth);
}

/* May be called with the tree's lock held, so the path of the object cannot be looked up here. */
static void tree_report(void *ctx, const struct merkle_damage *damage)
{
	struct fspf_region *region = ctx;

	fspf_report_text(region->v, damage->error,
			 "damaged: a node of region %s does not verify (block %llu, level %u, "
			 "inodes %llu to %llu); `fspf verify` names the files",
			 region->prefix, (unsigned long long)damage->ptr.addr, damage->ptr.level,
			 (unsigned long long)fspf_ino(region, damage->first.object),
			 (unsigned long long)fspf_ino(
				 region, min_u64(damage->last.object, FSPF_OBJECT_MAX)));
}

void fspf_region_store(struct fspf_region *region)
{
	if (!region->home)
		region->home = &region->v->stored;
	region->store = (struct merkle_store){
		.ctx = region,
		.read = tree_read,
		.write = tree_write,
		.alloc = tree_alloc,
		.release = tree_release,
		.report = tree_report,
	};
}

void fspf_identity(const struct fspf_volume *v, uint16_t region,
		   uint8_t ret[static MERKLE_IDENTITY_SIZE])
{
	memcpy(ret, v->header.volume_id, FSPF_VOLUME_ID_SIZE);
	put_le32(ret + FSPF_VOLUME_ID_SIZE, region);
}

static int open_sealer(struct fspf_region *region, const struct fspf_region_record *record)
{
	int r = 0;

	if (record->protection == FSPF_ENCRYPTED) {
		r = crypto_key_new(&region->key);
		if (r)
			return r;
		memcpy(region->key->b, record->key, sizeof(record->key));
	}
	if (record->old_sessions) {
		r = crypto_key_new(&region->old_key);
		if (r)
			return r;
		memcpy(region->old_key->b, record->old_key, sizeof(record->old_key));
		region->old_sessions = record->old_sessions;
	}
	return fspf_record_sealer(record, region->v->sessions, region->identity, &region->sealer);
}

static int open_tree(struct fspf_region *region, const struct fspf_region_record *record)
{
	struct merkle_config config = {
		.store = &region->store,
		.sealer = region->sealer,
		.cache = region->v->cache,
	};

	memcpy(config.identity, region->identity, sizeof(config.identity));
	return merkle_open(&config, &record->root, &region->tree);
}

static bool goes_to_scratch(const struct fspf_volume *v, const struct fspf_region_record *record)
{
	return v->ephemeral ||
	       ((record->flags & FSPF_REGION_EPHEMERAL) && !v->authoring && !v->read_only);
}

/* All of it is on the host: there is no tree. */
static bool is_passed_through(const struct fspf_region_record *record)
{
	return record->protection == FSPF_NOT_PROTECTED && (record->flags & FSPF_REGION_KERNEL);
}

/* What the host does not have (any more) is no reason not to serve the rest.  A tool that builds
 * regions has no use for it. */
static int open_passed(struct fspf_region *region, const struct fspf_region_record *record)
{
	struct fspf_volume *v = region->v;
	int r = 0;

	if (!v->authoring)
		r = fspf_host_new(record->host, fspf_ino(region, 0), v->read_only || v->ephemeral,
				  &region->passed);
	if (r && r != -ENOMEM) {
		fspf_report_text(v, r, "region %s is not there: %s on the host: %s", record->prefix,
				 record->host, strerror(-r));
		r = 0;
	}
	return r;
}

/* Or else it is there, and we cannot get at it: that is nobody's tampering. */
static bool is_missing(int error)
{
	return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

int fspf_region_open(struct fspf_volume *v, const struct fspf_region_record *record,
		     struct fspf_region **ret)
{
	struct fspf_region *region = calloc(1, sizeof(*region));
	int r = -ENOMEM;

	if (!region)
		goto out;
	region->v = v;
	region->id = record->id;
	region->protection = record->protection;
	region->class = fspf_class(record->protection);
	region->flags = record->flags;
	memcpy(region->host, record->host, sizeof(region->host));
	region->in_place =
		record->protection == FSPF_AUTHENTICATED && (record->flags & FSPF_REGION_KERNEL);
	region->copy_up = record->flags & FSPF_REGION_COPY_UP;
	/* Should it not be there, every read of contents says so. */
	region->host_fd =
		region->in_place ? open(record->host, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (region->in_place && region->host_fd < 0 && !is_missing(errno)) {
		r = -errno;
		goto out;
	}
	memcpy(region->prefix, record->prefix, sizeof(region->prefix));
	memcpy(region->hash_key, record->hash_key, sizeof(region->hash_key));
	fspf_identity(v, record->id, region->identity);
	atomic_init(&region->next_object, record->next_object);
	atomic_init(&region->files, record->files);
	atomic_init(&region->blocks, record->blocks);
	atomic_init(&region->unwritten, record->unwritten);
	region->root = record->root;
	region->tag = record->tag;
	fspf_region_store(region);
	region->home = goes_to_scratch(v, record) ? &v->scratch : &v->stored;
	if (is_passed_through(record)) {
		r = open_passed(region, record);
	} else {
		r = open_sealer(region, record);
		if (r == 0)
			r = open_tree(region, record);
	}
	if (r)
		goto out;
	*ret = region;
	region = NULL;
out:
	fspf_region_free(region);
	return r;
}

struct fspf_region *fspf_region_free(struct fspf_region *region)
{
	if (!region)
		return NULL;
	fspf_host_free(region->passed);
	merkle_free(region->tree);
	crypto_sealer_free(region->sealer);
	crypto_key_free(region->key);
	if (region->host_fd >= 0)
		close(region->host_fd);
	crypto_key_free(region->old_key);
	free(region);
	return NULL;
}

struct fspf_region *fspf_region_of(struct fspf_volume *v, uint64_t ino)
{
	uint64_t id = ino >> FSPF_OBJECT_BITS;

	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (v->regions[i]->id == id)
			return v->regions[i];
	return NULL;
}

void fspf_region_describe(const struct fspf_region_record *record, struct fspf_region_info *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->prefix, record->prefix, sizeof(ret->prefix));
	memcpy(ret->host, record->host, sizeof(ret->host));
	ret->protection = record->protection;
	ret->ephemeral = record->flags & FSPF_REGION_EPHEMERAL;
	ret->copy_up = record->flags & FSPF_REGION_COPY_UP;
	ret->rotating = record->old_sessions > 0;
	ret->id = record->id;
	ret->tag = record->tag;
	ret->files = record->files;
	ret->blocks = record->blocks;
}

/* As it is now: a read-only volume's changes are none, an ephemeral one's are all lost. */
static void describe_open(const struct fspf_region *region, struct fspf_region_info *ret)
{
	if (!region->v->authoring)
		ret->ephemeral = fspf_region_is_ephemeral(region);
}

int fspf_region_of_file(struct fspf_volume *v, uint64_t ino, struct fspf_region_info *ret)
{
	size_t i, n = atomic_load(&v->nregions);
	bool known;

	for (i = 0; i < n && v->regions[i]->id != ino >> FSPF_OBJECT_BITS; i++)
		;
	if (i == n)
		return -ESTALE;
	pthread_mutex_lock(&v->state_lock);
	known = i < v->root->nregions; /* or a stub on the way to one */
	if (known)
		fspf_region_describe(&v->root->region[i], ret);
	pthread_mutex_unlock(&v->state_lock);
	if (!known)
		return -ENODATA;
	describe_open(v->regions[i], ret);
	return 0;
}

void fspf_regions(struct fspf_volume *v, struct fspf_region_info ret[static FSPF_REGIONS_MAX],
		  size_t *ret_count)
{
	size_t n = 0, known;

	pthread_mutex_lock(&v->state_lock);
	known = v->root->nregions;
	for (; n < known; n++)
		fspf_region_describe(&v->root->region[n], &ret[n]);
	for (; n < v->root->public_regions + v->root->capsules; n++)
		ret[n] = (struct fspf_region_info){.protection = FSPF_ENCRYPTED, .locked = true};
	pthread_mutex_unlock(&v->state_lock);
	for (size_t i = 0; i < atomic_load(&v->nregions) && i < known; i++)
		describe_open(v->regions[i], &ret[i]);
	*ret_count = n;
}
