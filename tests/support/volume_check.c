/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/volume_check.c - see the header */
#include "tests/support/volume_check.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <uthash.h>

#include "fspf/root_walk.h"

/* What is known of one object. */
struct object {
	uint64_t number;
	bool inode;
	struct fspf_inode_item a;
	bool has_inline, orphan, items;
	uint64_t named, parent, entries, subdirs; /* named: by directories, the last is parent */
	uint8_t type;				  /* as its name has it */
	uint64_t blocks, unwritten, next;	  /* next: block behind the last extent */
	UT_hash_handle hh;
};

struct used {
	uint64_t block;
	UT_hash_handle hh;
};

struct check {
	struct fspf_volume *v;
	const struct fspf_region *region;
	struct object *objects;
	struct used *used;
	struct volume_check_result *result;
	bool sound;
};

static void __attribute__((format(printf, 2, 3))) wrong(struct check *c, const char *fmt, ...)
{
	va_list args;

	c->sound = false;
	fprintf(stderr, "UNSOUND: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

/* @shared: it may be used already. */
static void use_blocks(struct check *c, uint64_t block, uint64_t count, bool shared)
{
	for (; count; block++, count--) {
		struct used *u;

		HASH_FIND(hh, c->used, &block, sizeof(block), u);
		if (u && !shared)
			wrong(c, "block %llu is used twice", (unsigned long long)block);
		if (u)
			continue;
		u = calloc(1, sizeof(*u));
		if (!u)
			abort();
		u->block = block;
		HASH_ADD(hh, c->used, block, sizeof(u->block), u);
		c->result->blocks++;
	}
}

static void use(struct check *c, uint64_t block, uint64_t count)
{
	use_blocks(c, block, count, false);
}

static struct object *object(struct check *c, uint64_t number)
{
	struct object *o;

	HASH_FIND(hh, c->objects, &number, sizeof(number), o);
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o)
			abort();
		o->number = number;
		HASH_ADD(hh, c->objects, number, sizeof(o->number), o);
	}
	return o;
}

/* ---- the walk ---- */

static int check_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	struct check *c = ctx;

	(void)plain;
	c->result->nodes++;
	use(c, ptr->addr, MERKLE_NODE_BLOCKS);
	return 0;
}

static int check_dirent(struct check *c, const struct merkle_key *key, const void *value,
			size_t len)
{
	struct object *dir = object(c, key->object), *child;
	struct fspf_dirent_item d;
	int r = fspf_dirent_decode(value, len, &d);

	if (r)
		return r;
	dir->entries++;
	dir->subdirs += d.type == DT_DIR;
	child = object(c, d.object);
	child->named++;
	child->parent = key->object;
	child->type = d.type;
	return 0;
}

static int check_extent(struct check *c, const struct merkle_key *key, const void *value,
			size_t len)
{
	struct object *o = object(c, key->object);
	struct fspf_extent e;
	int r = fspf_extent_decode(key, value, len, c->region->class, &e);

	if (r)
		return r;
	if (e.first < o->next)
		wrong(c, "extents of object %llu overlap at block %llu",
		      (unsigned long long)o->number, (unsigned long long)e.first);
	o->next = e.first + e.count;
	if (e.addr) {
		o->blocks += e.count;
		use(c, e.addr, e.count);
	} else {
		o->unwritten += e.count;
	}
	return 0;
}

static int check_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct check *c = ctx;
	struct object *o;

	if (key->type == FSPF_ITEM_ORPHAN) {
		object(c, key->offset)->orphan = true;
		return 0;
	}
	o = object(c, key->object);
	o->items = true;
	switch (key->type) {
	case FSPF_ITEM_INODE:
		o->inode = true;
		return fspf_inode_decode(value, len, &o->a);
	case FSPF_ITEM_INLINE:
		o->has_inline = true;
		return 0;
	case FSPF_ITEM_DIRENT:
		return check_dirent(c, key, value, len);
	case FSPF_ITEM_EXTENT:
		return check_extent(c, key, value, len);
	default:
		return 0;
	}
}

/* ---- what was found ---- */

static void check_dir(struct check *c, const struct object *o)
{
	unsigned long long n = o->number;
	uint64_t named = o->number == FSPF_OBJECT_ROOT || o->a.nlink == 0 ? 0 : 1;

	if (o->named != named)
		wrong(c, "directory %llu has %llu names", n, (unsigned long long)o->named);
	if (o->a.entries != o->entries)
		wrong(c, "directory %llu counts %llu entries and has %llu", n,
		      (unsigned long long)o->a.entries, (unsigned long long)o->entries);
	if (o->a.nlink && o->a.nlink != 2 + o->subdirs)
		wrong(c, "directory %llu has link count %u and %llu subdirectories", n, o->a.nlink,
		      (unsigned long long)o->subdirs);
	if (named && o->a.parent != o->parent)
		wrong(c, "directory %llu is in %llu and thinks it is in %llu", n,
		      (unsigned long long)o->parent, (unsigned long long)o->a.parent);
}

static void check_object(struct check *c, const struct object *o)
{
	unsigned long long n = o->number;

	if (!o->inode) {
		wrong(c, "object %llu has %s, and no inode", n,
		      o->named ? "a name" : (o->orphan ? "an orphan item" : "items"));
		return;
	}
	c->result->inodes++;
	c->result->orphans += o->orphan;
	if (o->orphan != (o->a.nlink == 0))
		wrong(c, "object %llu has link count %u and %s orphan item", n, o->a.nlink,
		      o->orphan ? "an" : "no");
	if (S_ISDIR(o->a.mode))
		check_dir(c, o);
	else if (o->a.nlink != o->named)
		wrong(c, "object %llu has link count %u and %llu names", n, o->a.nlink,
		      (unsigned long long)o->named);
	if (o->named && o->type != IFTODT(o->a.mode))
		wrong(c, "object %llu has type %o, its name says %u", n, o->a.mode, o->type);
	if (o->a.blocks != o->blocks || o->a.unwritten != o->unwritten)
		wrong(c, "object %llu counts %llu+%llu blocks and has %llu+%llu", n,
		      (unsigned long long)o->a.blocks, (unsigned long long)o->a.unwritten,
		      (unsigned long long)o->blocks, (unsigned long long)o->unwritten);
	if (!S_ISLNK(o->a.mode) && o->a.inlined != o->has_inline)
		wrong(c, "object %llu %s inline contents", n,
		      o->has_inline ? "does not know of its" : "misses its");
}

static void check_sums(struct check *c, const struct fspf_region_record *record)
{
	uint64_t files = 0, blocks = 0, unwritten = 0;
	struct object *o, *next;

	HASH_ITER (hh, c->objects, o, next) {
		check_object(c, o);
		files++;
		blocks += o->blocks;
		unwritten += o->unwritten;
		if (o->number >= record->next_object)
			wrong(c, "object %llu, and the next is to be %llu",
			      (unsigned long long)o->number,
			      (unsigned long long)record->next_object);
		HASH_DEL(c->objects, o);
		free(o);
	}
	if (record->files != files || record->blocks != blocks || record->unwritten != unwritten)
		wrong(c, "region %s counts %llu files, %llu+%llu blocks and has %llu, %llu+%llu",
		      record->prefix, (unsigned long long)record->files,
		      (unsigned long long)record->blocks, (unsigned long long)record->unwritten,
		      (unsigned long long)files, (unsigned long long)blocks,
		      (unsigned long long)unwritten);
}

static uint64_t check_region(struct check *c, uint32_t i)
{
	const struct fspf_region_record *record = &c->v->root->region[i];
	struct merkle_walk walk = {.ctx = c, .node = check_node, .item = check_item};
	struct merkle_config config = {
		.store = &c->v->regions[i]->store,
		.sealer = c->v->regions[i]->sealer,
	};
	int r = 0;

	c->region = c->v->regions[i];
	memcpy(config.identity, c->region->identity, sizeof(config.identity));
	if (!merkle_ptr_is_null(&record->root))
		r = merkle_walk(&config, &record->root, &walk);
	if (r)
		wrong(c, "region %s cannot be walked: %d", record->prefix, r);
	check_sums(c, record);
	return record->unwritten;
}

/* ---- snapshots ---- */

static int snapshot_node(void *ctx, const struct merkle_ptr *ptr)
{
	use_blocks(ctx, ptr->addr, MERKLE_NODE_BLOCKS, true);
	return 0;
}

static int snapshot_extent(void *ctx, const struct fspf_extent *e)
{
	use_blocks(ctx, e->addr, e->count, true);
	return 0;
}

static void check_snapshot(struct check *c, const struct fspf_snapshot *s)
{
	const struct fspf_root_keys keys = {.volume = c->v->key};
	const struct fspf_root_walk walk = {
		.ctx = c, .node = snapshot_node, .extent = snapshot_extent};
	struct fspf_root *root = NULL;
	int r = fspf_root_read_copy(c->v->store, &c->v->header, &keys, s, &root);

	if (r == 0)
		r = fspf_root_walk(c->v, root, &walk);
	if (r)
		wrong(c, "snapshot %s cannot be read: %d", s->name, r);
	fspf_root_free(root);
}

static void check_snapshots(struct check *c)
{
	const struct fspf_root *root = c->v->root;

	for (uint32_t i = 0; i < root->nsnapshots; i++)
		check_snapshot(c, &root->snapshot[i]);
	for (uint32_t i = 0; i < root->nsnapshots; i++)
		use(c, root->snapshot[i].addr, fspf_snapshot_blocks(&root->snapshot[i]));
}

/* What is in use for nobody may be more than nothing only where the space manager knows that. */
static void check_space(struct check *c, uint64_t unwritten)
{
	struct fspf_space_stat stat;
	bool exact;

	if (!c->v->stored.space)
		return;
	fspf_space_stat(c->v->stored.space, &stat);
	exact = fspf_space_is_exact(c->v->stored.space);
	if (!fspf_space_check(c->v->stored.space))
		wrong(c, "the space manager miscounts");
	if (stat.used < c->result->blocks || (exact && stat.used != c->result->blocks))
		wrong(c, "%llu blocks are in use, %llu are reached", (unsigned long long)stat.used,
		      (unsigned long long)c->result->blocks);
	if (stat.promised != unwritten)
		wrong(c, "%llu blocks are promised, %llu are unwritten",
		      (unsigned long long)stat.promised, (unsigned long long)unwritten);
}

static void forget(struct check *c)
{
	struct used *u, *next;

	HASH_ITER (hh, c->used, u, next) {
		HASH_DEL(c->used, u);
		free(u);
	}
}

bool volume_check(struct fspf_volume *v, struct volume_check_result *ret)
{
	struct volume_check_result result = {0};
	struct check c = {.v = v, .result = &result, .sound = true};
	const struct fspf_blob *sessions = &v->root->sessions;
	uint64_t unwritten = 0;

	/* Just opened, the volume may not know yet what is in use: asking for nothing waits. */
	if (v->stored.space && fspf_space_promise(v->stored.space, 0, 0))
		c.sound = false;
	for (uint32_t i = 0; i < v->root->nregions; i++)
		unwritten += check_region(&c, i);
	if (sessions->addr)
		use(&c, sessions->addr, fspf_blob_blocks(sessions->count));
	check_snapshots(&c);
	check_space(&c, unwritten);
	forget(&c);
	if (ret)
		*ret = result;
	return c.sound;
}
