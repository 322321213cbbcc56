/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/dump_file.c - what the trees hold of one file
 *
 * A path is followed from the region with the longest prefix, by the entries as they are stored: a
 * name is looked for by reading the directory, so that the dump does not depend on how names are
 * hashed.
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/cmd/dump.h"
#include "fspf/cmd/json.h"
#include "fspf/error.h"

/* ---- by inode number ---- */

struct scan {
	const struct fspf_region_record *record;
	json_t *items;
};

static int on_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct scan *s = ctx;

	json_array_append_new(s->items, dump_item_json(s->record, key, value, len));
	return 0;
}

static json_t *file_json(const struct scan *s, uint64_t object, int error)
{
	json_t *json = json_object();

	json_object_set_new(json, "region", json_name(s->record->prefix));
	json_object_set_new(json, "inode",
			    json_number((uint64_t)s->record->id << FSPF_OBJECT_BITS | object));
	json_object_set_new(json, "object", json_number(object));
	if (error)
		json_object_set_new(json, "error",
				    json_string(error == -EBADMSG ? "damaged" : strerror(-error)));
	json_object_set_new(json, "items", s->items);
	return json;
}

/* All items of @object; those before a damaged node are shown, and the damage. */
static int dump_object(struct dump *d, const struct fspf_region_record *record, uint64_t object,
		       json_t **ret, struct fspf_error *err)
{
	const struct merkle_key first = {.object = object};
	const struct merkle_key last = {.object = object, .type = UINT8_MAX, .offset = UINT64_MAX};
	struct scan s = {.record = record, .items = json_array()};
	struct dump_region region;
	int r = dump_region_open(d, record, &region), scanned;

	if (r) {
		json_decref(s.items);
		return fspf_fail(err, r, NULL, "cannot read region %s: %s", record->prefix,
				 strerror(-r));
	}
	scanned = merkle_scan(region.tree, &first, &last, on_item, &s);
	dump_region_close(&region);
	d->damage = d->damage || scanned == -EBADMSG;
	if (!scanned && json_array_size(s.items) == 0) {
		json_decref(s.items);
		r = fspf_fail(err, -ENOENT, NULL, "region %s has no object %llu", record->prefix,
			      (unsigned long long)object);
	} else {
		*ret = file_json(&s, object, scanned);
	}
	return r;
}

int dump_inode(struct dump *d, uint64_t ino, json_t **ret, struct fspf_error *err)
{
	const struct fspf_root *root = NULL;
	const struct fspf_region_record *record = NULL;
	int r = dump_need_root(d, &root, err);

	if (r)
		return r;
	for (uint32_t i = 0; i < root->nregions; i++) {
		if (root->region[i].id == ino >> FSPF_OBJECT_BITS)
			record = &root->region[i];
	}
	return record ? dump_object(d, record, ino & FSPF_OBJECT_MAX, ret, err)
		      : fspf_fail(err, -ENOENT, NULL,
				  "inode %llu lies in region %llu, which does not exist or is "
				  "locked",
				  (unsigned long long)ino,
				  (unsigned long long)(ino >> FSPF_OBJECT_BITS));
}

/* ---- by path ---- */

/* What follows @prefix in @path, or NULL. */
static const char *rest_below(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);
	const char *rest = NULL;

	while (len > 0 && prefix[len - 1] == '/')
		len--;
	if (!strncmp(path, prefix, len) && (path[len] == '/' || !path[len]))
		rest = path + len;
	return rest;
}

static const struct fspf_region_record *longest_prefix(const struct fspf_root *root,
						       const char *path, const char **ret_rest)
{
	const struct fspf_region_record *best = NULL;
	const char *rest;

	for (uint32_t i = 0; i < root->nregions; i++) {
		rest = rest_below(path, root->region[i].prefix);
		if (rest && (!best || strlen(root->region[i].prefix) > strlen(best->prefix))) {
			best = &root->region[i];
			*ret_rest = rest;
		}
	}
	return best;
}

struct look {
	const char *name;
	size_t len;
	uint64_t object;
};

static int match_name(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct look *l = ctx;
	struct fspf_dirent_item d;
	int r = 0;

	(void)key;
	if (!fspf_dirent_decode(value, len, &d) && d.name_len == l->len &&
	    !memcmp(d.name, l->name, l->len)) {
		l->object = d.object;
		r = 1;
	}
	return r;
}

/* The object called by the first @len bytes of @name in @directory; 0: none. */
static int find_name(struct dump_region *region, uint64_t directory, const char *name, size_t len,
		     uint64_t *ret)
{
	const struct merkle_key first = fspf_key(directory, FSPF_ITEM_DIRENT, 0);
	const struct merkle_key last = fspf_key(directory, FSPF_ITEM_DIRENT, UINT64_MAX);
	struct look look = {.name = name, .len = len};
	int r = merkle_scan(region->tree, &first, &last, match_name, &look);

	if (r >= 0) {
		*ret = look.object;
		r = look.object ? 0 : -ENOENT;
	}
	return r;
}

static int follow(struct dump_region *region, const char *rest, uint64_t *ret)
{
	uint64_t object = FSPF_OBJECT_ROOT;
	size_t len;
	int r = 0;

	for (rest += strspn(rest, "/"); !r && *rest; rest += strspn(rest, "/")) {
		len = strcspn(rest, "/");
		r = find_name(region, object, rest, len, &object);
		rest += len;
	}
	if (!r)
		*ret = object;
	return r;
}

int dump_path(struct dump *d, const char *path, json_t **ret, struct fspf_error *err)
{
	const struct fspf_root *root = NULL;
	const struct fspf_region_record *record;
	struct dump_region region;
	const char *rest = NULL;
	uint64_t object = 0;
	int r = dump_need_root(d, &root, err);

	if (r)
		return r;
	record = *path == '/' ? longest_prefix(root, path, &rest) : NULL;
	if (!record)
		return fspf_fail(err, -ENOENT, NULL, "'%s' lies in no region that is shown", path);
	r = dump_region_open(d, record, &region);
	if (!r) {
		r = follow(&region, rest, &object);
		dump_region_close(&region);
	}
	if (r)
		return fspf_fail(err, r, NULL, "cannot find '%s': %s", path,
				 r == -EBADMSG ? "damaged" : strerror(-r));
	return dump_object(d, record, object, ret, err);
}
