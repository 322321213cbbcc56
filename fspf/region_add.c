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

/* Make @name in @parent if it is not there, a directory or an empty file; its reference replaces
 * the parent's. */
static int enter(struct fspf_volume *v, const char *name, uint32_t type, struct fspf_attr *at)
{
	const struct fspf_caller caller = {.uid = at->uid, .gid = at->gid, .umask = 022};
	uint32_t mode = type | (type == S_IFDIR ? 0777 : 0666);
	struct fspf_attr child;
	int r = fspf_lookup(v, at->ino, name, &child);

	if (r == -ENOENT)
		r = fspf_create_file(v, at->ino, name, mode, 0, &caller, &child);
	if (r)
		return r;
	fspf_forget(v, at->ino, 1);
	*at = child;
	if ((child.mode & S_IFMT) == type)
		return type == S_IFREG && child.size ? -ENOTEMPTY : 0;
	return type == S_IFDIR ? -ENOTDIR : -EISDIR;
}

/* Walk to what will be covered, making what is missing.  *at is referenced in any case. */
static int make_way(struct fspf_volume *v, struct fspf_region *outer, const char *rest, bool file,
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
		r = enter(v, name, file && !*rest ? S_IFREG : S_IFDIR, at);
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

static int add(struct fspf_volume *v, const struct fspf_region_params *params,
	       const struct fspf_attr *at)
{
	struct fspf_region_record *record = crypto_secret_alloc(sizeof(*record));
	int r = record ? fspf_region_record_new(params, next_id(v), record) : -ENOMEM;

	if (r == 0)
		r = fspf_region_install(v, record, at);
	if (r == 0)
		r = fspf_regions_attach(v);
	if (r == 0)
		r = fspf_sync(v);
	if (r)
		fspf_volume_fail(v, r, "a region could not be added");
	crypto_secret_free(record);
	return r;
}

/* The most that one more region adds to a root record: entry, capsule, keys. */
#define FSPF_REGION_BYTES_MAX (256u + FSPF_PREFIX_MAX + FSPF_HOST_MAX)

/* ---- what there cannot be ---- */

static int check_class(const struct fspf_region_params *p, struct fspf_error *err)
{
	bool unprotected = p->protection == FSPF_NOT_PROTECTED;

	if (p->host && p->ephemeral)
		return fspf_fail(err, -EINVAL, NULL,
				 "a region cannot be both ephemeral and a host's directory");
	if (p->host && p->protection == FSPF_ENCRYPTED)
		return fspf_fail(err, -EINVAL,
				 "encrypted files lie in the volume; leave the directory out",
				 "an encrypted region cannot be a host's directory");
	if (unprotected && !p->host && !p->ephemeral)
		return fspf_fail(err, -EINVAL,
				 "name its directory on the host (--kernel DIR), or make it "
				 "ephemeral",
				 "what is not protected is not kept in the volume");
	if (p->copy_up && (!p->host || unprotected))
		return fspf_fail(err, -EINVAL, NULL,
				 "only a region that is authenticated in place copies files up");
	if (p->host && p->host[0] != '/')
		return fspf_fail(err, -EINVAL, NULL,
				 "the host's directory %s is not an absolute path", p->host);
	if (p->host && strlen(p->host) > FSPF_HOST_MAX)
		return fspf_fail(err, -ENAMETOOLONG, NULL,
				 "the path of the host's directory is too long");
	return 0;
}

/* What is there now must be of a kind that can be served; it need not be there yet. */
static int check_host(const struct fspf_region_params *p, struct fspf_error *err)
{
	bool whole = p->protection == FSPF_NOT_PROTECTED;
	struct stat st;

	if (!p->host || stat(p->host, &st) || S_ISDIR(st.st_mode))
		return 0;
	if (!whole)
		return fspf_fail(err, -ENOTDIR,
				 "a single file can only be passed through (--not-protected)",
				 "%s is not a directory", p->host);
	if (!S_ISREG(st.st_mode))
		return fspf_fail(err, -EINVAL, NULL, "%s is neither a directory nor a regular file",
				 p->host);
	return 0;
}

static int check_volume(struct fspf_volume *v, const struct fspf_region_params *p,
			struct fspf_error *err)
{
	uint32_t policy = atomic_load(&v->policy);

	if (v->read_only || v->ephemeral)
		return fspf_fail(err, -EROFS, NULL, "the volume is open read-only");
	if (p->ephemeral && !v->authoring)
		return fspf_fail(err, -EBUSY, "unmount it first",
				 "an ephemeral region cannot be added while the volume is in use");
	if (p->protection == FSPF_ENCRYPTED && !v->key)
		return fspf_fail(err, -ENOKEY, "create the volume with a key",
				 "a volume without a key cannot have an encrypted region");
	if (p->protection == FSPF_NOT_PROTECTED && (policy & FSPF_POLICY_REQUIRE_PROTECTED))
		return fspf_fail(err, -EPERM, "`fspf policy` with --allow-unprotected changes that",
				 "the volume's policy demands that every region is protected");
	return 0;
}

static int check_room(struct fspf_volume *v, const struct fspf_region_params *p,
		      struct fspf_error *err)
{
	size_t size, len = strlen(p->prefix);

	for (size_t i = 0; i < atomic_load(&v->nregions); i++) {
		const char *prefix = v->regions[i]->prefix;

		if (!strcmp(prefix, p->prefix))
			return fspf_fail(err, -EEXIST, NULL, "there is a region at %s already",
					 p->prefix);
		if (!strncmp(prefix, p->prefix, len) && prefix[len] == '/')
			return fspf_fail(err, -ENOTEMPTY, NULL,
					 "there is a region at %s, which %s would be around",
					 prefix, p->prefix);
	}
	pthread_mutex_lock(&v->state_lock);
	size = fspf_root_size(v->root) + FSPF_REGION_BYTES_MAX;
	pthread_mutex_unlock(&v->state_lock);
	if (atomic_load(&v->nregions) == FSPF_REGIONS_MAX || size > FSPF_ROOT_SLOT_BYTES)
		return fspf_fail(err, -ENOSPC, NULL, "the volume has as many regions as it can");
	return 0;
}

/* A stored region inside an ephemeral one would hang from a directory that is gone tomorrow; any
 * region inside one that begins empty, from none at all. */
static int check_outer(const struct fspf_region *outer, const struct fspf_region_params *p,
		       struct fspf_error *err)
{
	if ((outer->flags & FSPF_REGION_EPHEMERAL) && !p->ephemeral)
		return fspf_fail(err, -EINVAL, "make it ephemeral too, or put it elsewhere",
				 "%s lies in the ephemeral region %s, and would itself be stored",
				 p->prefix, outer->prefix);
	if ((outer->flags & FSPF_REGION_EPHEMERAL) && outer->protection == FSPF_NOT_PROTECTED)
		return fspf_fail(err, -EINVAL, "put it elsewhere",
				 "%s lies in the region %s, which begins empty with each mount",
				 p->prefix, outer->prefix);
	if (outer->flags & FSPF_REGION_FILE)
		return fspf_fail(err, -ENOTDIR, NULL, "%s lies below the file %s", p->prefix,
				 outer->prefix);
	return 0;
}

static int check(struct fspf_volume *v, const struct fspf_region_params *p, struct fspf_error *err)
{
	int r = check_class(p, err);

	if (r == 0)
		r = check_host(p, err);
	if (r == 0)
		r = check_volume(v, p, err);
	return r ? r : check_room(v, p, err);
}

/* Why there can be no region at a prefix. */
static int fail_place(const struct fspf_region_params *p, int r, struct fspf_error *err)
{
	const char *hint = NULL, *why = strerror(-r);

	switch (r) {
	case -ENOTEMPTY:
		why = "there are files already";
		hint = "a region starts empty; move the files away first";
		break;
	case -ENOTDIR:
		why = "there is something on the way that is not a directory";
		break;
	case -EISDIR:
		why = "there is a directory, and a single file would take its place";
		break;
	case -ESTALE: /* this is not about tags */
		r = -ENOENT;
		why = "the region around it cannot be read";
		break;
	}
	return fspf_fail(err, r, hint, "cannot add a region at %s: %s", p->prefix, why);
}

/* The place for the region, in the one around it; then the region. */
static int add_at(struct fspf_volume *v, const struct fspf_region_params *p,
		  struct fspf_region *outer, const char *rest)
{
	struct fspf_attr at = {.mode = 0755};
	int r = 0;

	if (outer->tree) { /* a host's directories are the host's to make */
		r = make_way(v, outer, rest, fspf_region_is_file(p), &at);
		if (r == 0 && S_ISDIR(at.mode))
			r = check_empty(v, at.ino);
	}
	if (r == 0)
		r = add(v, p, &at);
	if (at.ino)
		fspf_forget(v, at.ino, 1);
	return r;
}

int fspf_region_add(struct fspf_volume *v, const struct fspf_region_params *params,
		    struct fspf_error *err)
{
	struct fspf_region_params p = *params;
	char normal[FSPF_PREFIX_MAX + 1];
	struct fspf_region *outer;
	const char *rest;
	int r = fspf_prefix_normalise(params->prefix, normal);

	if (r)
		return fspf_fail(err, r, "a prefix is an absolute path without \".\" and \"..\"",
				 r == -ENAMETOOLONG ? "the prefix is too long"
						    : "%s is not a prefix",
				 params->prefix);
	p.prefix = normal;
	r = check(v, &p, err);
	outer = r ? NULL : fspf_region_at(v, normal, &rest);
	if (outer)
		r = check_outer(outer, &p, err);
	if (r)
		return r;
	r = outer ? add_at(v, &p, outer, rest) : -ENOENT;
	return r ? fail_place(&p, r, err) : 0;
}
