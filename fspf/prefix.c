/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where regions hang: a region with prefix /a/b is reached through directory "b" of the region
 * around it, which it covers as a mount does.  The directories on the way are pinned, because a
 * prefix is a name and must go on meaning the same place.  Paths given by people (export, addf,
 * verify) are resolved by the longest prefix first and so reach a region even where the one around
 * it is locked.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/dir.h"
#include "fspf/dispatch.h"
#include "fspf/error.h"
#include "fspf/host.h"
#include "fspf/inode.h"
#include "fspf/locked.h"

int fspf_prefix_normalise(const char *path, char ret[static FSPF_PREFIX_MAX + 1])
{
	size_t len = 0;

	if (path[0] != '/')
		return -EINVAL;
	while (*path) {
		size_t n;

		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (n == 0)
			break;
		if ((n == 1 && path[0] == '.') || (n == 2 && !memcmp(path, "..", 2)))
			return -EINVAL;
		if (n > FSPF_NAME_MAX || len + 1 + n > FSPF_PREFIX_MAX)
			return -ENAMETOOLONG;
		ret[len++] = '/';
		memcpy(ret + len, path, n);
		len += n;
		path += n;
	}
	if (len == 0)
		ret[len++] = '/';
	ret[len] = 0;
	return 0;
}

/* Is @path at or below @prefix?  The rest of it, without a slash before it. */
static bool below(const char *path, const char *prefix, const char **ret_rest)
{
	size_t len = strcmp(prefix, "/") ? strlen(prefix) : 0;

	if (strncmp(path, prefix, len) || (path[len] && path[len] != '/'))
		return false;
	*ret_rest = path + len + strspn(path + len, "/");
	return true;
}

struct fspf_region *fspf_region_at(struct fspf_volume *v, const char *path, const char **ret_rest)
{
	struct fspf_region *best = NULL;
	const char *rest;

	for (size_t i = 0; i < atomic_load(&v->nregions); i++) {
		struct fspf_region *region = v->regions[i];

		if (!below(path, region->prefix, &rest))
			continue;
		if (!best || strlen(region->prefix) > strlen(best->prefix)) {
			best = region;
			*ret_rest = rest;
		}
	}
	return best;
}

struct fspf_region *fspf_region_covering(const struct fspf_region *region, uint64_t object)
{
	struct fspf_volume *v = region->v;
	size_t n = atomic_load(&v->nregions);

	for (size_t i = 0; i < n; i++)
		if (v->regions[i]->cover == region && v->regions[i]->cover_object == object)
			return v->regions[i];
	return NULL;
}

bool fspf_region_is_pinned(struct fspf_volume *v, const struct fspf_region *region, uint64_t object)
{
	for (size_t i = 0; i < v->npins; i++)
		if (v->pins[i].region == region && v->pins[i].object == object)
			return true;
	return false;
}

static int pin(struct fspf_volume *v, struct fspf_region *region, uint64_t object)
{
	struct fspf_pin *pins;

	if (fspf_region_is_pinned(v, region, object))
		return 0;
	pins = realloc(v->pins, (v->npins + 1) * sizeof(*pins));
	if (!pins)
		return -ENOMEM;
	v->pins = pins;
	v->pins[v->npins++] = (struct fspf_pin){region, object};
	return 0;
}

/* The region around @region: the longest prefix that is a proper one of its own. */
static struct fspf_region *around(struct fspf_volume *v, const struct fspf_region *region,
				  const char **ret_rest)
{
	struct fspf_region *best = NULL;
	const char *rest;

	for (size_t i = 0; i < atomic_load(&v->nregions); i++) {
		struct fspf_region *r = v->regions[i];

		if (r == region || !below(region->prefix, r->prefix, &rest))
			continue;
		if (!best || strlen(r->prefix) > strlen(best->prefix)) {
			best = r;
			*ret_rest = rest;
		}
	}
	return best;
}

const char *fspf_prefix_name(const char *path, char name[static FSPF_NAME_MAX + 1])
{
	size_t n = strcspn(path, "/");

	if (n > FSPF_NAME_MAX)
		return NULL;
	memcpy(name, path, n);
	name[n] = 0;
	path += n;
	return path + strspn(path, "/");
}

/* An unprotected ephemeral region has a top only while somebody may write into it. */
static bool is_seen(const struct fspf_region *region)
{
	return region->protection != FSPF_NOT_PROTECTED || (region->flags & FSPF_REGION_KERNEL) ||
	       fspf_region_is_ephemeral(region);
}

/* Walk *rest from the top of @outer, pinning each directory; the last one is @region's place.
 * -EACCES: before that, a locked region's place; *rest is what would be in it. */
static int attach(struct fspf_volume *v, struct fspf_region *region, struct fspf_region *outer,
		  const char **rest)
{
	struct fspf_dirent_item d = {.object = FSPF_OBJECT_ROOT};
	char name[FSPF_NAME_MAX + 1];
	bool locked = false;
	int r = 0;

	while (**rest && r == 0) {
		*rest = fspf_prefix_name(*rest, name);
		if (!*rest)
			return -EBADMSG;
		r = fspf_dir_find(outer, d.object, name, &d, NULL);
		if (r == 0)
			r = pin(v, outer, d.object);
		if (r == 0 && **rest)
			r = fspf_is_locked_at(outer, d.object, &locked);
		if (r == 0 && locked)
			return -EACCES;
	}
	if (r)
		return r == -ENOENT ? -EBADMSG : r;
	if (is_seen(region)) {
		region->cover = outer;
		region->cover_object = d.object;
	}
	return 0;
}

/* In a host's directory it is the path that is covered, whatever the host has there. */
static int cover(const struct fspf_region *region, const struct fspf_region *outer,
		 const char *rest)
{
	int r = is_seen(region)
			? fspf_host_cover(outer->passed, rest, fspf_ino(region, FSPF_OBJECT_ROOT))
			: 0;

	/* It was covered when another region was attached; or the host has made its directory a
	 * file: then nothing is below it, and the rest is served. */
	return r == -EEXIST || r == -ENOTDIR ? 0 : r;
}

/* A stub in the place of the locked region in which @rest of the region's prefix lies. */
static int bridge(struct fspf_volume *v, const struct fspf_region *region, const char *rest)
{
	char prefix[FSPF_PREFIX_MAX + 1];
	struct fspf_region *stub;
	size_t len = (size_t)(rest - region->prefix);

	memcpy(prefix, region->prefix, len);
	prefix[len > 1 ? len - 1 : len] = 0;
	return fspf_stub_new(v, prefix, &stub);
}

static int attach_region(struct fspf_volume *v, struct fspf_region *region)
{
	int r = 0;

	while (r == 0) {
		const char *rest = region->prefix + 1;
		struct fspf_region *outer = around(v, region, &rest);

		if (outer && outer->passed)
			return cover(region, outer, rest);
		if (outer && !outer->tree)
			return 0; /* the host does not have it, or it is not asked */
		if (!is_seen(region) && (!outer || outer->stub))
			return 0;
		if (outer && outer->stub)
			r = fspf_stub_way(outer, rest);
		if (r == 0)
			r = outer ? attach(v, region, outer, &rest) : -EACCES;
		if (r != -EACCES)
			return r;
		if (!is_seen(region))
			return 0;
		r = bridge(v, region, rest);
	}
	return r;
}

int fspf_regions_attach(struct fspf_volume *v)
{
	int r = 0;

	for (size_t i = 0; i < atomic_load(&v->nregions) && r == 0; i++) {
		struct fspf_region *region = v->regions[i];

		if (strcmp(region->prefix, "/") && !region->cover)
			r = attach_region(v, region);
		/* A damaged way there makes the region unreachable by name, not the rest unusable.
		 */
		if (r == -EBADMSG) {
			fspf_report_text(v, r, "damaged: the way to region %s cannot be read",
					 region->prefix);
			r = 0;
		}
	}
	return r;
}

int fspf_resolve(struct fspf_volume *v, const char *path, struct fspf_attr *ret)
{
	char normal[FSPF_PREFIX_MAX + 1], name[FSPF_NAME_MAX + 1];
	struct fspf_region *region;
	struct fspf_attr at;
	const char *rest;
	int r = fspf_prefix_normalise(path, normal);

	if (r)
		return r;
	region = fspf_region_at(v, normal, &rest);
	if (!region)
		return v->header.keyed && !v->key ? -ENOKEY : -ENOENT;
	r = fspf_reference_top(region, &at);
	while (r == 0 && *rest) {
		uint64_t parent = at.ino;

		rest = fspf_prefix_name(rest, name);
		r = rest ? fspf_lookup(v, parent, name, &at) : -ENAMETOOLONG;
		fspf_forget(v, parent, 1);
	}
	if (r == -EACCES) /* nothing but a locked region refuses */
		r = -ENOKEY;
	if (r == 0)
		*ret = at;
	return r;
}

/* Prepend "/name" to the path that ends at @end of @buffer. */
static bool prepend(char *buffer, size_t *at, const char *name)
{
	size_t n = strlen(name);

	if (*at < n + 1)
		return false;
	*at -= n;
	memcpy(buffer + *at, name, n);
	buffer[--*at] = '/';
	return true;
}

/* Climb from @object to the top of its region by the parent hints, collecting names. */
static int climb(struct fspf_region *region, uint64_t object, char *buffer, size_t *at)
{
	for (int depth = 0; object != FSPF_OBJECT_ROOT; depth++) {
		struct fspf_dirent_item d;
		uint64_t parent;
		int r = fspf_dir_parent(region, object, &parent);

		if (r == 0)
			r = fspf_dir_find_object(region, parent, object, &d);
		if (r || depth > 4096 || !prepend(buffer, at, d.name))
			return -ENOENT;
		object = parent;
	}
	return 0;
}

void fspf_path_of(struct fspf_volume *v, uint64_t ino, char *path, size_t size)
{
	struct fspf_region *region = fspf_region_of(v, ino);
	char buffer[4096];
	size_t at = sizeof(buffer) - 1;

	if (region && region->passed) {
		fspf_host_path_of(region->passed, ino, buffer, sizeof(buffer));
		snprintf(path, size, "%s%s%s", region->prefix, buffer[0] ? "/" : "", buffer);
		return;
	}

	buffer[at] = 0;
	if (!region || climb(region, ino & FSPF_OBJECT_MAX, buffer, &at)) {
		snprintf(path, size, "inode %llu%s%s", (unsigned long long)ino,
			 region ? " of region " : "", region ? region->prefix : "");
		return;
	}
	if (strcmp(region->prefix, "/") == 0)
		snprintf(path, size, "%s", buffer[at] ? buffer + at : "/");
	else
		snprintf(path, size, "%s%s", region->prefix, buffer + at);
}
