/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new region: the directories down to its prefix are made in the region around it, its own top
 * directory in its own tree, and all of it becomes one commit.  Until that commit is published the
 * region exists in memory only; if it fails, the open volume is no longer usable for changes, and
 * the stored one is as it was.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/create.h"
#include "fspf/dir.h"
#include "fspf/error.h"
#include "fspf/locked.h"

/* Make directory @name in @parent if it is not there; its reference replaces the parent's. */
static int enter(struct fspf_volume *v, const char *name, struct fspf_attr *at)
{
	const struct fspf_caller caller = {.uid = at->uid, .gid = at->gid, .umask = 022};
	struct fspf_attr child;
	int r = fspf_lookup(v, at->ino, name, &child);

	if (r == -ENOENT)
		r = fspf_create_file(v, at->ino, name, S_IFDIR | 0777, 0, &caller, &child);
	if (r)
		return r;
	fspf_forget(v, at->ino, 1);
	*at = child;
	return S_ISDIR(child.mode) ? 0 : -ENOTDIR;
}

/* Walk to the directory that will be covered, making what is missing.  *at is referenced in any
 * case. */
static int make_way(struct fspf_volume *v, struct fspf_region *outer, const char *rest,
		    struct fspf_attr *at)
{
	char name[FSPF_NAME_MAX + 1];
	int r = fspf_reference(v, fspf_ino(outer, FSPF_OBJECT_ROOT), at);

	if (r) {
		at->ino = 0;
		return r;
	}
	while (*rest && r == 0) {
		size_t n = strcspn(rest, "/");

		memcpy(name, rest, n);
		name[n] = 0;
		rest += n + strspn(rest + n, "/");
		r = enter(v, name, at);
	}
	return r;
}

static int check_empty(struct fspf_volume *v, uint64_t ino)
{
	struct fspf_inode *inode;
	int r = fspf_inode_get(v, ino, &inode);

	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	r = inode->a.entries ? -ENOTEMPTY : 0;
	pthread_mutex_unlock(&inode->lock);
	fspf_inode_put(v, inode, 1);
	return r;
}

static uint16_t next_id(struct fspf_volume *v)
{
	uint16_t id;

	pthread_mutex_lock(&v->state_lock); /* a commit frees the root that it replaces */
	id = v->root->next_region;
	pthread_mutex_unlock(&v->state_lock);
	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (v->regions[i]->id >= id)
			id = (uint16_t)(v->regions[i]->id + 1);
	return id;
}

static int add(struct fspf_volume *v, const struct fspf_region_params *p, const char *prefix,
	       const struct fspf_attr *at)
{
	struct fspf_region_record *record = crypto_secret_alloc(sizeof(*record));
	size_t n = atomic_load(&v->nregions);
	int r = record ? fspf_begin(v, false) : -ENOMEM;

	if (r)
		goto out;
	r = fspf_region_record_new(prefix, p->protection, next_id(v), record);
	if (r == 0)
		r = fspf_region_open(v, record, &v->regions[n]);
	if (r == 0) {
		atomic_store(&v->nregions, n + 1);
		r = fspf_region_top(v, v->regions[n], at->mode & 07777, at->uid, at->gid);
	}
	if (r == 0)
		r = fspf_locked_mark(v, at->ino);
	fspf_end(v);
	if (r == 0)
		r = fspf_regions_attach(v);
	if (r == 0)
		r = fspf_sync(v);
	if (r)
		fspf_volume_fail(v, r, "a region could not be added");
out:
	crypto_secret_free(record);
	return r;
}

static int check(struct fspf_volume *v, const struct fspf_region_params *p, const char *prefix,
		 struct fspf_error *err)
{
	size_t total = 0;

	if (v->read_only)
		return fspf_fail(err, -EROFS, NULL, "the volume is open read-only");
	if (p->protection == FSPF_ENCRYPTED && !v->key)
		return fspf_fail(err, -ENOKEY, "create the volume with a key",
				 "a volume without a key cannot have an encrypted region");
	for (size_t i = 0; i < atomic_load(&v->nregions); i++) {
		total += strlen(v->regions[i]->prefix) + 256;
		if (!strcmp(v->regions[i]->prefix, prefix))
			return fspf_fail(err, -EEXIST, NULL, "there is a region at %s already",
					 prefix);
	}
	if (atomic_load(&v->nregions) == FSPF_REGIONS_MAX ||
	    total + strlen(prefix) + 1024 > FSPF_ROOT_SLOT_BYTES)
		return fspf_fail(err, -ENOSPC, NULL, "the volume has as many regions as it can");
	return 0;
}

int fspf_region_add(struct fspf_volume *v, const struct fspf_region_params *params,
		    struct fspf_error *err)
{
	char normal[FSPF_PREFIX_MAX + 1];
	struct fspf_region *outer;
	struct fspf_attr at = {0};
	const char *rest;
	int r = fspf_prefix_normalise(params->prefix, normal);

	if (r)
		return fspf_fail(err, r, "a prefix is an absolute path without \".\" and \"..\"",
				 r == -ENAMETOOLONG ? "the prefix is too long"
						    : "%s is not a prefix",
				 params->prefix);
	r = check(v, params, normal, err);
	if (r)
		return r;
	outer = fspf_region_at(v, normal, &rest);
	r = outer ? make_way(v, outer, rest, &at) : -ENOENT;
	if (r == 0)
		r = check_empty(v, at.ino);
	if (r == 0)
		r = add(v, params, normal, &at);
	if (at.ino)
		fspf_forget(v, at.ino, 1);
	if (r)
		fspf_fail(err, r,
			  r == -ENOTEMPTY ? "a region starts empty; move the files away first"
					  : NULL,
			  "cannot add a region at %s: %s", normal, strerror(-r));
	return r;
}
