/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/dump_tree.c - nodes and files of the regions' trees
 *
 * A node can be read only by the pointer that its parent holds, so one that is asked for by its
 * address is looked for from the roots down.
 */
#include <errno.h>
#include <stdio.h>

#include "fspf/cmd/dump.h"
#include "fspf/cmd/json.h"
#include "fspf/error.h"

static json_t *key_json(const struct merkle_key *key)
{
	char text[64];

	snprintf(text, sizeof(text), "%llu.%u.%llu", (unsigned long long)key->object, key->type,
		 (unsigned long long)key->offset);
	return json_string(text);
}

/* ---- nodes ---- */

/* The node @ptr without what is in it, but for its number of items. */
static json_t *node_json(const struct fspf_region_record *region, const struct merkle_ptr *ptr,
			 const void *plain)
{
	json_t *json = dump_pointer_json(ptr, fspf_class(region->protection));

	json_object_set_new(json, "items", json_number(merkle_node_items(plain)));
	return json;
}

static json_t *damage_json(const struct fspf_region_record *region,
			   const struct merkle_damage *damage)
{
	json_t *json = dump_pointer_json(&damage->ptr, fspf_class(region->protection));

	json_object_set_new(
		json, "error",
		json_string(damage->error == -EBADMSG ? "damaged" : strerror(-damage->error)));
	json_object_set_new(json, "first_lost", key_json(&damage->first));
	json_object_set_new(json, "last_lost", key_json(&damage->last));
	return json;
}

/* A walk that collects nodes, one array for each level. */
struct collect {
	struct dump *d;
	const struct fspf_region_record *record;
	json_t *level[MERKLE_LEVELS_MAX];
};

static void collect_add(struct collect *c, unsigned level, json_t *node)
{
	if (!c->level[level])
		c->level[level] = json_array();
	json_array_append_new(c->level[level], node);
}

static int on_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	struct collect *c = ctx;

	collect_add(c, ptr->level, node_json(c->record, ptr, plain));
	return 0;
}

static int on_damage(void *ctx, const struct merkle_damage *damage)
{
	struct collect *c = ctx;

	c->d->damage = true;
	collect_add(c, damage->ptr.level, damage_json(c->record, damage));
	return 0;
}

/* From the root's level down. */
static json_t *levels_json(struct collect *c)
{
	json_t *levels = json_array(), *json;

	for (int i = MERKLE_LEVELS_MAX - 1; i >= 0; i--) {
		if (c->level[i]) {
			json = json_object();
			json_object_set_new(json, "level", json_number((unsigned)i));
			json_object_set_new(json, "nodes", c->level[i]);
			json_array_append_new(levels, json);
		}
	}
	return levels;
}

static int region_nodes(struct dump *d, const struct fspf_region_record *record, json_t *regions)
{
	struct collect c = {.d = d, .record = record};
	const struct merkle_walk walk = {.ctx = &c, .node = on_node, .damaged = on_damage};
	struct dump_region region;
	json_t *json;
	int r = dump_region_open(d, record, &region);

	if (!r && !merkle_ptr_is_null(&record->root))
		r = merkle_walk(&region.config, &record->root, &walk);
	if (!r) {
		json = json_object();
		json_object_set_new(json, "region", json_name(record->prefix));
		json_object_set_new(json, "levels", levels_json(&c));
		json_array_append_new(regions, json);
		dump_region_close(&region);
	}
	return r;
}

int dump_nodes(struct dump *d, json_t **ret, struct fspf_error *err)
{
	const struct fspf_root *root = NULL;
	json_t *regions = json_array();
	int r = dump_need_root(d, &root, err);

	for (uint32_t i = 0; !r && i < root->nregions; i++) {
		r = region_nodes(d, &root->region[i], regions);
		if (r)
			fspf_fail(err, r, NULL, "cannot read region %s: %s", root->region[i].prefix,
				  strerror(-r));
	}
	if (r)
		json_decref(regions);
	else
		*ret = regions;
	return r;
}

/* ---- one node ---- */

struct find {
	struct dump *d;
	const struct fspf_region_record *record;
	uint64_t addr;
	json_t *found;
};

static json_t *child_json(const struct fspf_region_record *record, const struct merkle_key *key,
			  const void *value, size_t len)
{
	struct merkle_ptr ptr = {.addr = 0};
	json_t *json = json_object();

	json_object_set_new(json, "from", key_json(key));
	if (len == MERKLE_PTR_SIZE && !merkle_ptr_decode(value, &ptr))
		json_object_set_new(json, "child",
				    dump_pointer_json(&ptr, fspf_class(record->protection)));
	else
		json_object_set_new(json, "error", json_string("malformed"));
	return json;
}

static json_t *items_json(const struct fspf_region_record *record, const struct merkle_ptr *ptr,
			  const void *plain)
{
	json_t *items = json_array();
	struct merkle_key key;
	const void *value;
	size_t len;

	for (uint32_t i = 0; i < merkle_node_items(plain); i++) {
		merkle_node_item(plain, i, &key, &value, &len);
		json_array_append_new(items, ptr->level ? child_json(record, &key, value, len)
							: dump_item_json(record, &key, value, len));
	}
	return items;
}

static int match_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	struct find *f = ctx;

	if (f->addr < ptr->addr || f->addr >= ptr->addr + MERKLE_NODE_BLOCKS)
		return 0;
	f->found = json_object();
	json_object_set_new(f->found, "region", json_name(f->record->prefix));
	json_object_set_new(f->found, "node",
			    dump_pointer_json(ptr, fspf_class(f->record->protection)));
	json_object_set_new(f->found, "items", items_json(f->record, ptr, plain));
	return 1;
}

static int match_damage(void *ctx, const struct merkle_damage *damage)
{
	struct find *f = ctx;
	int r = 0;

	f->d->damage = true;
	if (f->addr >= damage->ptr.addr && f->addr < damage->ptr.addr + MERKLE_NODE_BLOCKS) {
		f->found = json_object();
		json_object_set_new(f->found, "region", json_name(f->record->prefix));
		json_object_set_new(f->found, "node", damage_json(f->record, damage));
		r = 1;
	}
	return r;
}

static int find_in_region(struct find *f)
{
	const struct merkle_walk walk = {.ctx = f, .node = match_node, .damaged = match_damage};
	struct dump_region region;
	int r = dump_region_open(f->d, f->record, &region);

	if (!r) {
		if (!merkle_ptr_is_null(&f->record->root))
			r = merkle_walk(&region.config, &f->record->root, &walk);
		dump_region_close(&region);
	}
	return r < 0 ? r : 0;
}

int dump_node(struct dump *d, uint64_t addr, json_t **ret, struct fspf_error *err)
{
	const struct fspf_root *root = NULL;
	struct find f = {.d = d, .addr = addr};
	int r = dump_need_root(d, &root, err);

	for (uint32_t i = 0; !r && !f.found && i < root->nregions; i++) {
		f.record = &root->region[i];
		r = find_in_region(&f);
		if (r)
			fspf_fail(err, r, NULL, "cannot read region %s: %s", f.record->prefix,
				  strerror(-r));
	}
	if (!r && !f.found)
		r = fspf_fail(err, -ENOENT, NULL, "no node that can be reached lies at block %llu",
			      (unsigned long long)addr);
	if (!r)
		*ret = f.found;
	return r;
}
