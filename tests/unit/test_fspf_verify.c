/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_verify.c - fspf_verify(): whole volumes are found whole, and each defect is
 * found and named
 *
 * Defects are of two kinds.  Inconsistencies are put into a tree as a program with a bug would,
 * committed, and looked for in the volume opened anew: exactly one line must come, the one that
 * says what is wrong.  Damage is done to the medium, and must not be taken for an inconsistency,
 * whatever it hides.
 */
#include <dirent.h>

#include "crypto/siphash.h"
#include "fspf/dir.h"
#include "fspf/space_store.h"
#include "fspf/xattr.h"
#include "tests/support/volume_driver.h"
#include "tests/support/volume_world.h"
#include "tests/unit/test_fspf_volume.h"

#define LINES 64u

/* What a verification said. */
struct said {
	char line[LINES][4500];
	size_t n;
	struct fspf_verify_result result;
	struct fspf_error err;
};

static void on_line(void *ctx, const struct fspf_report *report)
{
	struct said *s = ctx;

	assert_int_equal(report->code, -EBADMSG);
	if (s->n < LINES)
		snprintf(s->line[s->n], sizeof(s->line[0]), "%s", report->text);
	s->n++;
}

static int verify(struct fspf_volume *v, const char *prefix, struct said *ret)
{
	struct fspf_transfer transfer = {.ctx = ret, .report = on_line};

	ret->n = 0;
	return fspf_verify(v, prefix, &transfer, &ret->result, &ret->err);
}

static void print_lines(const struct said *s)
{
	for (size_t i = 0; i < s->n && i < LINES; i++)
		print_error("%s\n", s->line[i]);
}

static void assert_whole(struct fspf_volume *v, const char *when)
{
	struct said *s = calloc(1, sizeof(*s));

	if (verify(v, NULL, s) || s->n) {
		print_lines(s);
		fail_msg("%s: %s", when, s->err.text);
	}
	assert_true(s->result.nodes > 0 && s->result.files > 0);
	free(s);
}

/* ---- whole volumes ---- */

static const struct world_region regions[] = {
	{"/auth", FSPF_AUTHENTICATED},
	{"/auth/deep/secret", FSPF_ENCRYPTED},
	{NULL, 0},
};

static void check_crash(struct world *w, uint64_t seed)
{
	struct world after;

	world_clone(w, store_fake_crash(w->disk, seed), NULL, &after);
	world_open(&after, true);
	assert_whole(after.v, "after a crash, read-only");
	world_abandon(&after);
	world_open(&after, false);
	assert_int_equal(fspf_sync(after.v), 0);
	assert_whole(after.v, "after a crash, read-write");
	world_free(&after, true);
}

/* The model's random work, verified while the volume is open, after crashes, and closed. */
static void run_world(uint64_t *random, enum fspf_protection protection, uint64_t size)
{
	struct world w = {0};
	struct volume_driver d;

	world_create(&w, protection, size, 256, regions);
	for (int round = 0; round < 4; round++) {
		d = (struct volume_driver){.m = model_load(w.v),
					   .v = w.v,
					   .random = test_random(random),
					   .profile = &driver_mixed};
		for (int part = 0; part < 4; part++) {
			for (int step = 0; step < 150; step++)
				(void)volume_driver_step(&d);
			(void)volume_driver_do(&d, DRIVER_SYNC);
			assert_whole(w.v, "while open");
			check_crash(&w, test_random(random));
		}
		model_free(d.m);
		world_close(&w);
		world_open(&w, true);
		assert_whole(w.v, "when closed");
		world_abandon(&w);
		world_open(&w, false);
		assert_whole(w.v, "when opened again");
	}
	world_free(&w, false);
}

static void test_whole(void **state)
{
	uint64_t random = test_seed("test_fspf_verify whole");

	(void)state;
	run_world(&random, FSPF_ENCRYPTED, 0);
	run_world(&random, FSPF_AUTHENTICATED, 0);
	run_world(&random, FSPF_ENCRYPTED, UINT64_C(64) << 20);
}

/* ---- a volume with something of every kind ---- */

struct sample {
	struct test_volume t;
	uint64_t d, in, e; /* directories /d, with /d/in, and /e */
	uint64_t f;	   /* blocks */
	uint64_t s;	   /* inline contents */
	uint64_t l;	   /* a target of two parts */
	uint64_t p;	   /* a FIFO */
	uint64_t x;	   /* attributes */
	uint64_t u;	   /* unwritten blocks */
	uint64_t last;	   /* made last */
};

static void fill_sample(struct sample *m)
{
	const struct fspf_caller caller = {0};
	struct test_volume *t = &m->t;
	uint8_t data[20480];
	struct fspf_attr attr;
	char target[4001];

	memset(data, 0x5a, sizeof(data));
	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = 0;
	m->d = test_volume_file(t, FSPF_ROOT, "d", S_IFDIR | 0755);
	m->in = test_volume_file(t, m->d, "in", S_IFREG | 0644);
	m->e = test_volume_file(t, FSPF_ROOT, "e", S_IFDIR | 0755);
	m->f = test_volume_file(t, FSPF_ROOT, "f", S_IFREG | 0644);
	assert_int_equal(fspf_write(t->v, m->f, 0, data, sizeof(data), 0), sizeof(data));
	m->s = test_volume_file(t, FSPF_ROOT, "s", S_IFREG | 0644);
	assert_int_equal(fspf_write(t->v, m->s, 0, data, 100, 0), 100);
	assert_int_equal(fspf_symlink(t->v, FSPF_ROOT, "l", target, &caller, &attr), 0);
	m->l = attr.ino;
	fspf_forget(t->v, attr.ino, 1);
	m->p = test_volume_file(t, FSPF_ROOT, "p", S_IFIFO | 0644);
	m->x = test_volume_file(t, FSPF_ROOT, "x", S_IFREG | 0644);
	assert_int_equal(fspf_setxattr(t->v, m->x, "user.a", data, 10, 0, false), 0);
	assert_int_equal(fspf_setxattr(t->v, m->x, "user.big", data, 10000, 0, false), 0);
	m->u = test_volume_file(t, FSPF_ROOT, "u", S_IFREG | 0644);
	assert_int_equal(fspf_fallocate(t->v, m->u, 0, 0, 40960), 0);
	m->last = test_volume_file(t, FSPF_ROOT, "last", S_IFREG | 0644);
}

static struct sample *sample_new(void)
{
	struct sample *m = calloc(1, sizeof(*m));

	test_volume_create(&m->t, 0);
	fill_sample(m);
	assert_int_equal(fspf_sync(m->t.v), 0);
	return m;
}

static void sample_free(struct sample *m)
{
	if (m->t.v)
		fspf_abandon(m->t.v);
	m->t.v = NULL;
	test_volume_free(&m->t);
	free(m);
}

/* ---- changing what no operation changes ---- */

static struct fspf_region *top_region(struct sample *m)
{
	return m->t.v->regions[0];
}

static void put(struct sample *m, uint64_t object, uint8_t type, uint64_t offset, const void *value,
		size_t len)
{
	struct merkle_key key = {.object = object, .type = type, .offset = offset};

	assert_int_equal(merkle_put(top_region(m)->tree, &key, value, len), 0);
}

static void take(struct sample *m, uint64_t object, uint8_t type, uint64_t offset)
{
	struct merkle_key key = {.object = object, .type = type, .offset = offset};

	assert_int_equal(merkle_delete(top_region(m)->tree, &key), 0);
}

static struct fspf_inode_item get_inode(struct sample *m, uint64_t object)
{
	struct merkle_key key = fspf_key(object, FSPF_ITEM_INODE, 0);
	uint8_t value[FSPF_INODE_SIZE];
	struct fspf_inode_item inode;
	size_t len;

	assert_int_equal(merkle_get(top_region(m)->tree, &key, value, sizeof(value), &len), 0);
	assert_int_equal(fspf_inode_decode(value, len, &inode), 0);
	return inode;
}

static void put_inode(struct sample *m, uint64_t object, const struct fspf_inode_item *inode)
{
	uint8_t value[FSPF_INODE_SIZE];

	fspf_inode_encode(inode, value);
	put(m, object, FSPF_ITEM_INODE, 0, value, sizeof(value));
}

/* Add to links and entries. */
static void count(struct sample *m, uint64_t object, int links, int entries)
{
	struct fspf_inode_item inode = get_inode(m, object);

	inode.nlink += (uint32_t)links;
	inode.entries += (uint64_t)(int64_t)entries;
	put_inode(m, object, &inode);
}

static void put_entry(struct sample *m, uint64_t dir, uint64_t offset, const char *name,
		      uint64_t object, uint32_t type)
{
	if (!offset)
		offset = fspf_dir_place_of(top_region(m), name, strlen(name));
	assert_int_equal(fspf_dir_put(top_region(m), dir, offset, object, type, name), 0);
}

static uint64_t take_entry(struct sample *m, uint64_t dir, const char *name)
{
	struct fspf_dirent_item d;
	uint64_t offset;

	assert_int_equal(fspf_dir_find(top_region(m), dir, name, &d, &offset), 0);
	assert_int_equal(fspf_dir_remove(top_region(m), dir, offset), 0);
	return offset;
}

static void put_extent(struct sample *m, uint64_t object, uint64_t first, uint64_t addr,
		       uint32_t blocks)
{
	struct fspf_extent e = {.first = first, .addr = addr, .count = blocks};
	uint8_t value[FSPF_EXTENT_SIZE_MAX];

	e.birth = e.session = addr ? 1 : 0;
	put(m, object, FSPF_ITEM_EXTENT, first, value,
	    fspf_extent_encode(&e, top_region(m)->class, value));
}

/* Counted everywhere. */
static void add_extent(struct sample *m, uint64_t object, uint64_t first, uint64_t addr,
		       uint32_t blocks)
{
	struct fspf_inode_item inode = get_inode(m, object);

	put_extent(m, object, first, addr, blocks);
	*(addr ? &inode.blocks : &inode.unwritten) += blocks;
	put_inode(m, object, &inode);
	atomic_fetch_add(addr ? &top_region(m)->blocks : &top_region(m)->unwritten, blocks);
}

static uint64_t xattr_place(struct sample *m, const char *name)
{
	char text[64] = "xattr";

	strcpy(text + 6, name);
	return crypto_siphash(top_region(m)->hash_key, text, 6 + strlen(name)) & ~UINT64_C(0xffff);
}

static struct fspf_extent first_extent(struct sample *m, uint64_t object)
{
	struct merkle_key key = fspf_key(object, FSPF_ITEM_EXTENT, 0);
	uint8_t value[FSPF_EXTENT_SIZE_MAX];
	struct fspf_extent e;
	size_t len;

	assert_int_equal(merkle_get(top_region(m)->tree, &key, value, sizeof(value), &len), 0);
	assert_int_equal(fspf_extent_decode(&key, value, len, top_region(m)->class, &e), 0);
	return e;
}

/* ---- defects of objects ---- */

static void inode_short(struct sample *m)
{
	put(m, m->s, FSPF_ITEM_INODE, 0, "short", 5);
}

static void item_unknown(struct sample *m)
{
	put(m, m->f, 9, 0, "x", 1);
}

static void inline_offset(struct sample *m)
{
	put(m, m->f, FSPF_ITEM_INLINE, 2, "x", 1);
}

static void number_high(struct sample *m)
{
	atomic_store(&top_region(m)->next_object, m->last);
}

static void inline_missing(struct sample *m)
{
	take(m, m->s, FSPF_ITEM_INLINE, 0);
}

static void inline_not_said(struct sample *m)
{
	put(m, m->f, FSPF_ITEM_INLINE, 0, "x", 1);
}

static void inline_long(struct sample *m)
{
	uint8_t data[101] = {0};

	put(m, m->s, FSPF_ITEM_INLINE, 0, data, sizeof(data));
}

static void inline_and_extent(struct sample *m)
{
	add_extent(m, m->s, 0, 0, 1);
}

static void target_short(struct sample *m)
{
	put(m, m->l, FSPF_ITEM_INLINE, 1, "ttt", 3);
}

static void target_one_part(struct sample *m)
{
	take(m, m->l, FSPF_ITEM_INLINE, 0);
}

static void target_nul(struct sample *m)
{
	char part[4000 - 3072] = {0};

	put(m, m->l, FSPF_ITEM_INLINE, 1, part, sizeof(part));
}

static void fifo_size(struct sample *m)
{
	struct fspf_inode_item inode = get_inode(m, m->p);

	inode.size = 5;
	put_inode(m, m->p, &inode);
}

static void fifo_blocks(struct sample *m)
{
	add_extent(m, m->p, 0, 0, 1);
}

static void xattr_hole(struct sample *m)
{
	take(m, m->x, FSPF_ITEM_XATTR, xattr_place(m, "user.big") + 2);
}

static void xattr_end(struct sample *m)
{
	take(m, m->x, FSPF_ITEM_XATTR, xattr_place(m, "user.big") + 4);
}

static void xattr_misplaced(struct sample *m)
{
	put(m, m->x, FSPF_ITEM_XATTR, UINT64_C(1) << 40, "\6user.b\1\0\0\0v", 12);
}

static void xattr_twice(struct sample *m)
{
	put(m, m->x, FSPF_ITEM_XATTR, xattr_place(m, "user.a") + 256, "\6user.a\1\0\0\0v", 12);
}

static void entry_short(struct sample *m)
{
	put(m, m->d, FSPF_ITEM_DIRENT, 4096, "short", 5);
	count(m, m->d, 0, 1);
}

static void entry_misplaced(struct sample *m)
{
	uint64_t offset = take_entry(m, m->d, "in");

	put_entry(m, m->d, offset + 256, "in", m->in, S_IFREG);
}

static void entry_twice(struct sample *m)
{
	put_entry(m, m->d, fspf_dir_place_of(top_region(m), "in", 2) + 1, "in", m->in, S_IFREG);
	count(m, m->d, 0, 1);
	count(m, m->in, 1, 0);
}

static void entry_in_file(struct sample *m)
{
	put_entry(m, m->f, 0, "n", m->s, S_IFREG);
	count(m, m->s, 1, 0);
}

static void entry_in_nothing(struct sample *m)
{
	put_entry(m, FSPF_OBJECT_ROOT, 0, "ghost", m->last + 1, S_IFREG);
	atomic_fetch_add(&top_region(m)->next_object, 1);
	count(m, FSPF_OBJECT_ROOT, 0, 1);
}

static void entry_type(struct sample *m)
{
	uint64_t offset = take_entry(m, m->d, "in");

	put_entry(m, m->d, offset, "in", m->in, S_IFIFO);
}

static void entry_types(struct sample *m)
{
	put_entry(m, m->e, 0, "s", m->s, S_IFSOCK);
	count(m, m->e, 0, 1);
	count(m, m->s, 1, 0);
}

static void extent_short(struct sample *m)
{
	put(m, m->f, FSPF_ITEM_EXTENT, 1000, "short", 5);
}

static void extents_overlap(struct sample *m)
{
	add_extent(m, m->u, 9, 0, 4);
}

static void extent_of_another(struct sample *m)
{
	add_extent(m, m->u, 100, first_extent(m, m->f).addr + 1, 2);
}

static void extent_in_the_head(struct sample *m)
{
	add_extent(m, m->u, 100, 16, 1);
}

static void extent_across_segments(struct sample *m)
{
	add_extent(m, m->u, 100, m->t.v->header.segment_blocks * UINT64_C(40) - 1, 2);
}

static void blocks_wrong(struct sample *m)
{
	struct fspf_inode_item inode = get_inode(m, m->f);

	inode.blocks++;
	put_inode(m, m->f, &inode);
}

static void unwritten_wrong(struct sample *m)
{
	struct fspf_inode_item inode = get_inode(m, m->u);

	inode.unwritten--;
	put_inode(m, m->u, &inode);
}

static void entries_wrong(struct sample *m)
{
	count(m, m->d, 0, 1);
}

static void entries_of_file(struct sample *m)
{
	count(m, m->f, 0, 1);
}

static void links_of_file(struct sample *m)
{
	count(m, m->s, 1, 0);
}

static void links_of_directory(struct sample *m)
{
	count(m, m->d, 1, 0);
}

static void links_lost(struct sample *m)
{
	take_entry(m, m->d, "in");
	count(m, m->d, 0, -1);
}

static void orphan_with_name(struct sample *m)
{
	put(m, 0, FSPF_ITEM_ORPHAN, m->s, "\1", 1);
}

static void nameless(struct sample *m)
{
	take_entry(m, m->d, "in");
	count(m, m->d, 0, -1);
	count(m, m->in, -1, 0);
}

static void directory_twice(struct sample *m)
{
	put_entry(m, m->e, 0, "d", m->d, S_IFDIR);
	count(m, m->e, 1, 1);
}

static void parent_wrong(struct sample *m)
{
	struct fspf_inode_item inode = get_inode(m, m->d);

	inode.parent = m->e;
	put_inode(m, m->d, &inode);
}

static void top_named(struct sample *m)
{
	put_entry(m, m->d, 0, "up", FSPF_OBJECT_ROOT, S_IFDIR);
	count(m, m->d, 1, 1);
}

static void circle(struct sample *m)
{
	struct fspf_inode_item inode = get_inode(m, m->d);

	take_entry(m, FSPF_OBJECT_ROOT, "d");
	count(m, FSPF_OBJECT_ROOT, -1, -1);
	put_entry(m, m->d, 0, "d", m->d, S_IFDIR);
	inode.parent = m->d;
	put_inode(m, m->d, &inode);
	count(m, m->d, 1, 1);
}

static void no_inode(struct sample *m)
{
	put(m, m->last + 1, FSPF_ITEM_INLINE, 0, "x", 1);
	atomic_fetch_add(&top_region(m)->next_object, 1);
}

/* ---- defects of regions and of the space map ---- */

static void orphan_malformed(struct sample *m)
{
	put(m, 0, FSPF_ITEM_ORPHAN, m->last, "\2", 1);
}

static void object_zero(struct sample *m)
{
	put(m, 0, FSPF_ITEM_INLINE, 0, "x", 1);
}

static void object_huge(struct sample *m)
{
	put(m, FSPF_OBJECT_MAX + 1, FSPF_ITEM_INLINE, 0, "x", 1);
}

static void files_wrong(struct sample *m)
{
	atomic_fetch_add(&top_region(m)->files, 1);
}

static void region_blocks_wrong(struct sample *m)
{
	atomic_fetch_sub(&top_region(m)->blocks, 1);
}

static void region_unwritten_wrong(struct sample *m)
{
	atomic_fetch_add(&top_region(m)->unwritten, 2);
}

/* In use, and nobody's. */
static void space_lost(struct sample *m)
{
	uint64_t block;
	uint32_t got;

	assert_int_equal(fspf_space_alloc(m->t.v->stored.space, 1, 1, false, &block, &got), 0);
}

/* A file's, and not in use. */
static void space_free(struct sample *m)
{
	struct fspf_extent e = first_extent(m, m->f);

	fspf_space_release(m->t.v->stored.space, e.addr + 1, 1, e.birth);
}

static const struct defect {
	const char *name;
	void (*make)(struct sample *m);
	const char *line; /* behind "inconsistent: " */
} defects[] = {
	{"inode_short", inode_short, "/s: its inode does not decode"},
	{"item_unknown", item_unknown, "/f: it has an item that there cannot be"},
	{"inline_offset", inline_offset, "/f: it has an item that there cannot be"},
	{"number_high", number_high, "/last: no file has been given its number yet"},
	{"inline_missing", inline_missing, "/s: its inode and its inline contents disagree"},
	{"inline_not_said", inline_not_said, "/f: its inode and its inline contents disagree"},
	{"inline_long", inline_long, "/s: its inode and its inline contents disagree"},
	{"inline_and_extent", inline_and_extent, "/s: its inode and its inline contents disagree"},
	{"target_short", target_short, "/l: its target is malformed"},
	{"target_one_part", target_one_part, "/l: its target is malformed"},
	{"target_nul", target_nul, "/l: its target is malformed"},
	{"fifo_size", fifo_size, "/p: it has contents, and its type has none"},
	{"fifo_blocks", fifo_blocks, "/p: it has contents, and its type has none"},
	{"xattr_hole", xattr_hole,
	 "/x: an extended attribute is malformed, misplaced or incomplete"},
	{"xattr_end", xattr_end, "/x: an extended attribute is malformed, misplaced or incomplete"},
	{"xattr_misplaced", xattr_misplaced,
	 "/x: an extended attribute is malformed, misplaced or incomplete"},
	{"xattr_twice", xattr_twice,
	 "/x: an extended attribute is malformed, misplaced or incomplete"},
	{"entry_short", entry_short, "/d: an entry does not decode"},
	{"entry_misplaced", entry_misplaced, "/d: an entry does not lie in its name's place"},
	{"entry_twice", entry_twice, "/d: a name is there twice"},
	{"entry_in_file", entry_in_file, "/f: it has entries and is no directory"},
	{"entry_in_nothing", entry_in_nothing, "/ghost: an entry names it, and it is not there"},
	{"entry_type", entry_type, "/d/in: an entry names it as something else"},
	{"entry_types", entry_types, "/s: an entry names it as something else"},
	{"extent_short", extent_short, "/f: an extent does not decode"},
	{"extents_overlap", extents_overlap, "/u: its extents overlap"},
	{"extent_of_another", extent_of_another,
	 "/u: its blocks are in use twice, or lie where none can"},
	{"extent_in_the_head", extent_in_the_head,
	 "/u: its blocks are in use twice, or lie where none can"},
	{"extent_across_segments", extent_across_segments,
	 "/u: its blocks are in use twice, or lie where none can"},
	{"blocks_wrong", blocks_wrong, "/f: its blocks are counted wrongly"},
	{"unwritten_wrong", unwritten_wrong, "/u: its blocks are counted wrongly"},
	{"entries_wrong", entries_wrong, "/d: its entries are counted wrongly"},
	{"entries_of_file", entries_of_file, "/f: its entries are counted wrongly"},
	{"links_of_file", links_of_file, "/s: its links are counted wrongly"},
	{"links_of_directory", links_of_directory, "/d: its links are counted wrongly"},
	{"links_lost", links_lost, "inode 3 of region /: its links are counted wrongly"},
	{"orphan_with_name", orphan_with_name, "/s: its links and the list of orphans disagree"},
	{"nameless", nameless, "inode 3 of region /: its links and the list of orphans disagree"},
	{"directory_twice", directory_twice, "/d: it is a directory and has several names"},
	{"parent_wrong", parent_wrong, "/d: its parent is not the directory that names it"},
	{"top_named", top_named, "/: it is not a top directory"},
	{"circle", circle, "inode 2 of region /: it does not lie below the top directory"},
	{"no_inode", no_inode, "inode 12 of region /: it has items and no inode"},
	{"orphan_malformed", orphan_malformed, "region /: the item of an orphan is malformed"},
	{"object_zero", object_zero, "region /: there is an item of object 0"},
	{"object_huge", object_huge, "region /: there is an item of object 281474976710656"},
	{"files_wrong", files_wrong, "region /: there are 11 files, and its record says 12"},
	{"region_blocks_wrong", region_blocks_wrong,
	 "region /: there are 5 data blocks, and its record says 4"},
	{"region_unwritten_wrong", region_unwritten_wrong,
	 "region /: there are 10 unwritten blocks, and its record says 12"},
	{"space_lost", space_lost, "space map: the blocks in use are others than those it says"},
	{"space_free", space_free, "space map: the blocks in use are others than those it says"},
};

/* What is in the trees goes into a commit, and the volume is opened to be looked at. */
static void commit_defect(struct sample *m)
{
	atomic_store(&m->t.v->stored.changed, atomic_load(&m->t.v->epoch));
	test_volume_close(&m->t);
	test_volume_open(&m->t, true);
}

static void assert_said(struct fspf_volume *v, const char *name, const char *line)
{
	struct said *s = calloc(1, sizeof(*s));
	int r = verify(v, NULL, s);
	bool good = r == -EBADMSG && s->n == 1 && !strncmp(s->line[0], "inconsistent: ", 14) &&
		    !strcmp(s->line[0] + 14, line) && strstr(s->err.text, "inconsistent in 1");

	if (!good) {
		print_lines(s);
		fail_msg("%s: %d, %zu lines, %s", name, r, s->n, s->err.text);
	}
	free(s);
}

static void test_defects(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(defects); i++) {
		struct sample *m = sample_new();

		assert_whole(m->t.v, defects[i].name);
		defects[i].make(m);
		commit_defect(m);
		assert_said(m->t.v, defects[i].name, defects[i].line);
		sample_free(m);
	}
}

/* The same state under a record that says something else of it. */
static void write_record(struct sample *m, void (*change)(struct sample *m))
{
	struct fspf_volume *v = m->t.v;

	change(m);
	v->root->generation += 1000;
	assert_int_equal(fspf_root_write(v->store, &v->header, v->root_sealer, v->slot ^ 1u,
					 v->root, &m->t.tag),
			 0);
	assert_int_equal(v->store->ops->barrier(v->store), 0);
	fspf_abandon(v);
	test_volume_open(&m->t, true);
}

static void tag_wrong(struct sample *m)
{
	m->t.v->root->region[0].tag.b[0] ^= 1;
}

/* The map's tree with one more item. */
static void map_malformed(struct sample *m)
{
	struct fspf_volume *v = m->t.v;
	struct fspf_region region = {.v = v, .id = FSPF_REGION_SPACE};
	struct merkle_config config = {.store = &region.store, .cache = v->cache};
	struct merkle_key key = {.object = 1, .type = 1, .offset = 7};
	struct merkle_tree *tree = NULL;
	struct crypto_digest tag;

	fspf_region_store(&region);
	fspf_identity(v, FSPF_REGION_SPACE, config.identity);
	assert_int_equal(fspf_space_sealer(v, &config.sealer), 0);
	assert_int_equal(merkle_open(&config, NULL, &tree), 0);
	assert_int_equal(merkle_put(tree, &key, "malformed", 9), 0);
	merkle_freeze(tree, v->root->generation + 500);
	assert_int_equal(merkle_commit(tree, &v->root->space, &tag), 0);
	merkle_free(tree);
	crypto_sealer_free(config.sealer);
}

static void test_records(void **state)
{
	static const struct defect records[] = {
		{"tag_wrong", tag_wrong, "region /: the region's tag is not that of its root node"},
		{"map_malformed", map_malformed,
		 "space map: it is malformed, or lies where something else does"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		struct sample *m = sample_new();

		write_record(m, records[i].make);
		assert_said(m->t.v, records[i].name, records[i].line);
		sample_free(m);
	}
}

/* Committed, but not closed: so what was found to lie somewhere lies there still. */
static void commit_and_kill(struct sample *m)
{
	struct fspf_volume *v = m->t.v;

	atomic_store(&v->stored.changed, atomic_load(&v->epoch));
	assert_int_equal(fspf_sync(v), 0);
	m->t.tag = v->tag;
	fspf_abandon(v);
	test_volume_open(&m->t, true);
}

/* Beside the file, which does not verify where it has nothing of its own. */
static void assert_said_too(struct fspf_volume *v, const char *line)
{
	struct said *s = calloc(1, sizeof(*s));

	assert_int_equal(verify(v, NULL, s), -EBADMSG);
	assert_int_equal(s->n, 2);
	assert_string_equal(s->line[0], "damaged: /u");
	assert_string_equal(s->line[1], line);
	free(s);
}

/* A file's blocks are those of another region's node, or of the session table: whoever comes second
 * is told. */
static void test_shared_blocks(void **state)
{
	struct fspf_error err;
	struct sample *m = sample_new();
	char line[200];

	(void)state;
	add_extent(m, m->u, 100, m->t.v->root->sessions.addr, 1);
	commit_and_kill(m);
	assert_said_too(
		m->t.v,
		"inconsistent: session table: its blocks are in use twice, or lie where none can");
	sample_free(m);

	m = sample_new();
	assert_int_equal(fspf_region_add(m->t.v,
					 &(struct fspf_region_params){.prefix = "/r",
								      .protection = FSPF_ENCRYPTED},
					 &err),
			 0);
	snprintf(line, sizeof(line),
		 "inconsistent: region /r: blocks of the node at %llu are in use twice, or lie "
		 "where none can",
		 (unsigned long long)m->t.v->regions[1]->root.addr);
	add_extent(m, m->u, 100, m->t.v->regions[1]->root.addr, 1);
	commit_and_kill(m);
	assert_said_too(m->t.v, line);
	sample_free(m);
}

static void test_no_top(void **state)
{
	struct merkle_key key = fspf_key(FSPF_OBJECT_ROOT, FSPF_ITEM_INODE, 0);
	struct sample *m = sample_new();
	struct said *s = calloc(1, sizeof(*s));
	struct fspf_error err;

	(void)state;
	assert_int_equal(fspf_region_add(m->t.v,
					 &(struct fspf_region_params){
						 .prefix = "/r", .protection = FSPF_AUTHENTICATED},
					 &err),
			 0);
	assert_int_equal(merkle_delete(m->t.v->regions[1]->tree, &key), 0);
	atomic_store(&m->t.v->regions[1]->files, 0);
	commit_and_kill(m);
	assert_said(m->t.v, "top", "region /r: there is no top directory");
	assert_int_equal(verify(m->t.v, "/", s), 0);
	assert_int_equal(verify(m->t.v, "/r", s), -EBADMSG);
	assert_int_equal(verify(m->t.v, "/x", s), -ENOENT);
	free(s);
	sample_free(m);
}

/* Orphans are no inconsistency, whatever they have lost already. */
static void test_orphans(void **state)
{
	struct sample *m = sample_new();
	struct fspf_attr attr;

	(void)state;
	assert_int_equal(fspf_lookup(m->t.v, FSPF_ROOT, "x", &attr), 0);
	assert_int_equal(fspf_unlink(m->t.v, FSPF_ROOT, "x"), 0);
	assert_int_equal(fspf_lookup(m->t.v, FSPF_ROOT, "s", &attr), 0);
	assert_int_equal(fspf_unlink(m->t.v, FSPF_ROOT, "s"), 0);
	assert_int_equal(fspf_lookup(m->t.v, FSPF_ROOT, "e", &attr), 0);
	assert_int_equal(fspf_rmdir(m->t.v, FSPF_ROOT, "e"), 0);
	assert_int_equal(fspf_sync(m->t.v), 0);
	assert_whole(m->t.v, "with orphans");
	xattr_hole(m);
	inline_missing(m);
	commit_and_kill(m);
	assert_whole(m->t.v, "with orphans of which something is gone");
	sample_free(m);
}

/* ---- damage ---- */

struct places {
	uint64_t addr[256];
	size_t n;
};

static int note_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	struct places *p = ctx;

	(void)plain;
	assert_true(p->n < ARRAY_LEN(p->addr));
	p->addr[p->n++] = ptr->addr;
	return 0;
}

static void find_nodes(struct fspf_region *region, struct places *ret)
{
	struct merkle_walk walk = {.ctx = ret, .node = note_node};
	struct merkle_config config = {.store = &region->store, .sealer = region->sealer};

	memcpy(config.identity, region->identity, sizeof(config.identity));
	assert_int_equal(merkle_walk(&config, &region->root, &walk), 0);
}

/* Enough of everything for a tree of three levels would take long; two are as good. */
static void fill_much(struct sample *m)
{
	uint8_t data[6000] = {1};
	char name[32];

	for (unsigned i = 0; i < 400; i++) {
		uint64_t ino;

		snprintf(name, sizeof(name), "%u", i);
		ino = test_volume_file(&m->t, i % 2 ? m->d : m->e, name,
				       (i % 10 ? S_IFREG : S_IFDIR) | 0755);
		if (i % 10 == 1)
			assert_int_equal(
				fspf_write(m->t.v, ino, 0, data, i % 20 == 1 ? 6000 : 900, 0),
				i % 20 == 1 ? 6000 : 900);
		if (i % 7 == 0)
			assert_int_equal(fspf_setxattr(m->t.v, ino, "user.v", data, 3000, 0, false),
					 0);
	}
	for (unsigned i = 1; i < 400; i += 40) { /* orphans */
		struct fspf_attr attr;

		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(fspf_lookup(m->t.v, m->d, name, &attr), 0);
		assert_int_equal(fspf_unlink(m->t.v, m->d, name), 0);
	}
}

static void assert_only_damaged(struct sample *m, uint64_t block)
{
	struct said *s = calloc(1, sizeof(*s));

	store_fake_corrupt(m->t.disk, block, block);
	test_volume_open(&m->t, true);
	assert_int_equal(verify(m->t.v, NULL, s), -EBADMSG);
	assert_true(s->n > 0);
	for (size_t i = 0; i < s->n && i < LINES; i++)
		if (strncmp(s->line[i], "damaged: ", 9))
			fail_msg("block %llu: %s", (unsigned long long)block, s->line[i]);
	assert_null(strstr(s->err.text, "inconsistent"));
	fspf_abandon(m->t.v);
	m->t.v = NULL;
	free(s);
}

/* Each node in turn is damaged: what it hides is nobody's inconsistency. */
static void test_damaged_nodes(void **state)
{
	struct sample *m = sample_new();
	struct store_fake *disk = m->t.disk;
	struct places nodes = {.n = 0};

	(void)state;
	m->t.expect_reports = true;
	fill_much(m);
	assert_int_equal(fspf_sync(m->t.v), 0);
	assert_whole(m->t.v, "with much in it");
	find_nodes(top_region(m), &nodes);
	m->t.tag = m->t.v->tag;
	fspf_abandon(m->t.v);
	m->t.v = NULL;
	assert_true(nodes.n > 10);
	for (size_t i = 0; i < nodes.n; i++) {
		m->t.disk = store_fake_clone(disk);
		assert_only_damaged(m, nodes.addr[i] + i % MERKLE_NODE_BLOCKS);
		store_fake_free(m->t.disk);
	}
	m->t.disk = disk;
	sample_free(m);
}

static void test_damaged_block(void **state)
{
	struct sample *m = sample_new();
	struct said *s = calloc(1, sizeof(*s));

	(void)state;
	store_fake_corrupt(m->t.disk, first_extent(m, m->f).addr + 3, 1);
	assert_int_equal(verify(m->t.v, NULL, s), -EBADMSG);
	assert_int_equal(s->n, 1);
	assert_string_equal(s->line[0], "damaged: /f");
	assert_int_equal(s->result.damaged_blocks, 1);
	assert_int_equal(s->result.damaged_files, 1);
	free(s);
	sample_free(m);
}

static void test_damaged_map(void **state)
{
	struct sample *m = sample_new();
	struct said *s = calloc(1, sizeof(*s));

	(void)state;
	test_volume_close(&m->t);
	test_volume_open(&m->t, true);
	store_fake_corrupt(m->t.disk, m->t.v->root->space.addr, 1);
	assert_int_equal(verify(m->t.v, NULL, s), -EBADMSG);
	assert_int_equal(s->n, 1);
	assert_string_equal(s->line[0], "damaged: a node of the space map");
	free(s);
	sample_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	      cmocka_unit_test(test_defects),
		cmocka_unit_test(test_records),	      cmocka_unit_test(test_shared_blocks),
		cmocka_unit_test(test_no_top),	      cmocka_unit_test(test_orphans),
		cmocka_unit_test(test_damaged_nodes), cmocka_unit_test(test_damaged_block),
		cmocka_unit_test(test_damaged_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
