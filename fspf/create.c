/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new volume: header, key slot, and a first root record whose only region is "/" with an empty
 * top directory.  It is made as an open volume in memory and committed as any other state, so that
 * nothing here knows how that is done.  The tag goes to the anchor last.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "crypto/random.h"
#include "fspf/create.h"
#include "fspf/credential.h"
#include "fspf/error.h"
#include "fspf/locked.h"

/* With a limit, segments are small enough that it is a multiple of them and a few of them are
 * there. */
static int set_geometry(const struct fspf_create_params *params, struct fspf_header *header,
			struct fspf_error *err)
{
	uint64_t blocks = params->size / FSPF_BLOCK_SIZE;
	uint32_t segment =
		params->segment_blocks ? params->segment_blocks : FSPF_SEGMENT_BLOCKS_DEFAULT;

	if (params->size && params->size < FSPF_SIZE_MIN)
		return fspf_fail(err, -EINVAL, NULL,
				 "the size limit is at least %llu bytes (%llu MiB)",
				 (unsigned long long)FSPF_SIZE_MIN,
				 (unsigned long long)(FSPF_SIZE_MIN >> 20));
	while (blocks && !params->segment_blocks && segment > FSPF_SEGMENT_BLOCKS_MIN &&
	       (uint64_t)segment * 16 > blocks)
		segment /= 2;
	header->version = FSPF_VERSION_FORMAT;
	header->segment_blocks = segment;
	header->size_blocks = blocks - blocks % segment;
	header->keyed = params->credential != NULL;
	return crypto_random(header->volume_id, sizeof(header->volume_id))
		       ? fspf_fail(err, -EIO, NULL, "the system gives no randomness")
		       : 0;
}

static int write_head(const struct fspf_create_params *params, struct fspf_store *store,
		      struct fspf_error *err)
{
	struct fspf_keyslots slots = {0};
	struct fspf_header header = {0};
	struct crypto_key *key = NULL;
	int r = set_geometry(params, &header, err);

	if (r == 0)
		r = fspf_header_write(store, &header, err);
	if (r || !header.keyed)
		return r;
	r = crypto_key_random(&key);
	if (r == 0)
		r = fspf_keyslots_seal(&slots, 0, &header, params->credential, params->argon2_ops,
				       params->argon2_kib, key);
	if (r)
		fspf_fail(err, r, NULL, "cannot make the key slot: %s", strerror(-r));
	else
		r = fspf_keyslots_write(store, &slots, err);
	crypto_key_free(key);
	return r;
}

bool fspf_region_is_file(const struct fspf_region_params *params)
{
	struct stat st;

	return params->host && params->protection == FSPF_NOT_PROTECTED &&
	       stat(params->host, &st) == 0 && !S_ISDIR(st.st_mode);
}

static uint32_t flags_of(const struct fspf_region_params *params)
{
	uint32_t flags = 0;

	if (params->ephemeral)
		flags |= FSPF_REGION_EPHEMERAL;
	if (params->copy_up)
		flags |= FSPF_REGION_COPY_UP;
	if (params->host)
		flags |= FSPF_REGION_KERNEL;
	if (fspf_region_is_file(params))
		flags |= FSPF_REGION_FILE;
	return flags;
}

int fspf_region_record_new(const struct fspf_region_params *params, uint16_t id,
			   struct fspf_region_record *ret)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->id = id;
	ret->protection = params->protection;
	ret->flags = flags_of(params);
	ret->next_object = FSPF_OBJECT_ROOT;
	memcpy(ret->prefix, params->prefix, strlen(params->prefix) + 1);
	if (params->host)
		memcpy(ret->host, params->host, strlen(params->host) + 1);
	r = crypto_random(ret->hash_key, sizeof(ret->hash_key));
	if (r == 0 && params->protection == FSPF_ENCRYPTED)
		r = crypto_random(ret->key, sizeof(ret->key));
	return r;
}

/* Under the gate, so that no commit sees the region without its top. */
static int install(struct fspf_volume *v, struct fspf_region *region, const struct fspf_attr *at)
{
	int r = fspf_begin(region, false);

	if (r)
		return r;
	atomic_fetch_add(&v->nregions, 1);
	atomic_store(&v->stored.changed, atomic_load(&v->epoch));
	if (region->protection != FSPF_NOT_PROTECTED)
		r = fspf_region_top(v, region, at->mode & 07777, at->uid, at->gid);
	if (r == 0 && at->ino && region->protection == FSPF_ENCRYPTED)
		r = fspf_locked_mark(v, at->ino);
	fspf_end(v);
	return r;
}

int fspf_region_install(struct fspf_volume *v, const struct fspf_region_record *record,
			const struct fspf_attr *at)
{
	size_t n = atomic_load(&v->nregions);
	int r = fspf_region_open(v, record, &v->regions[n]);

	if (r == 0)
		r = install(v, v->regions[n], at);
	if (r && atomic_load(&v->nregions) == n)
		v->regions[n] = fspf_region_free(v->regions[n]);
	return r;
}

int fspf_region_top(struct fspf_volume *v, struct fspf_region *region, uint32_t mode, uint32_t uid,
		    uint32_t gid)
{
	struct fspf_inode *top;
	int r = fspf_inode_new(v, region, S_IFDIR | (mode ? mode & 07777 : 0755), FSPF_OBJECT_ROOT,
			       &top);

	if (r)
		return r;
	pthread_mutex_lock(&top->lock);
	top->a.uid = uid;
	top->a.gid = gid;
	fspf_inode_dirty(v, top);
	pthread_mutex_unlock(&top->lock);
	fspf_inode_put(v, top, 1);
	return 0;
}

int fspf_create(const struct fspf_create_params *params, struct crypto_digest *ret_tag,
		struct fspf_error *err)
{
	struct fspf_anchor *anchor = params->anchor;
	struct fspf_store *store = NULL;
	struct crypto_digest tag;
	int r;

	if (!params->credential && !params->authenticated) {
		fspf_anchor_free(anchor);
		return fspf_fail(err, -ENOKEY,
				 "make a key with `fspf keygen`, or create it --authenticated",
				 "an encrypted volume needs a key or a passphrase");
	}
	r = fspf_store_create_directory(params->path, &store);
	if (r)
		fspf_fail(err, r, r == -ENOTEMPTY ? "give a new or empty directory" : NULL,
			  "cannot create the volume %s: %s", params->path,
			  r == -EEXIST ? "there is a volume already" : strerror(-r));
	else
		r = fspf_create_on(params, store, &tag, err);
	if (r == 0 && anchor) {
		r = anchor->ops->publish(anchor, NULL, &tag);
		if (r)
			fspf_fail(err, r, NULL, "cannot write the new tag: %s",
				  r == -EEXIST || r == -ESTALE ? "the tag file holds one already"
							       : strerror(-r));
	}
	if (r && store)
		fspf_store_remove_directory(params->path);
	if (r == 0)
		*ret_tag = tag;
	fspf_anchor_free(anchor);
	return r;
}

int fspf_create_on(const struct fspf_create_params *params, struct fspf_store *store,
		   struct crypto_digest *ret_tag, struct fspf_error *err)
{
	int r = write_head(params, store, err);

	if (r) {
		fspf_store_free(store);
		return r;
	}
	return fspf_first_state(params, store, ret_tag, err);
}
