/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_tamper.c - the host changes the volume, block by block and byte by byte
 *
 * A volume with an encrypted and an authenticated region, and a copy of an earlier moment of it.
 * Each stored block in turn is changed by a bit, zeroed, swapped with another and brought back from
 * the earlier copy.  Whoever opens the volume then is refused, or reads of every file what was
 * written there, or -EBADMSG, and never anything else (P1, P2, P3); a file that has no part in
 * the damage is read whole, and verify names the one that has (P7).  Each byte of the head is
 * changed too.  Older volumes, and mixtures of two moments, are refused or do not verify (P4, P6).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fspf/space_store.h"
#include "tests/support/volume_driver.h"
#include "tests/support/volume_world.h"

#define STALE "the volume's tag is not the expected one: rollback or replacement suspected"

enum owner { FREE, HEAD, SESSIONS, MAP, NODE, DATA };

/* What lies at an address. */
struct block {
	uint64_t at;
	enum owner owner;
	uint16_t region;
	uint64_t object; /* DATA */
	UT_hash_handle hh;
};

/* Damage that is being looked at. */
struct damage {
	const struct block *block[2];
	unsigned n;
	bool anything; /* what it is is not known: all may fail */
	const char *what;
};

struct reports {
	char text[8192];
	size_t n;
};

static struct world base;	 /* closed */
static struct store_fake *older; /* the same volume, at an earlier moment */
static struct crypto_digest older_tag;
static struct model *model; /* of base */
static struct block *blocks;
static uint64_t random_state;
static const struct fspf_caller caller = {.uid = 1, .gid = 1};

/* ---- the volume ---- */

static const uint64_t sizes[] = {0, 100, 2048, 4096, 5000, 40000, 41000, 300000, 1234, 70000};

static void make_file(const char *dir, unsigned i)
{
	uint64_t size = sizes[i % ARRAY_LEN(sizes)];
	uint8_t *data = malloc(size + 10 * i + 1);
	struct fspf_attr parent, attr;
	char name[FSPF_NAME_MAX + 1];

	driver_name(i, name);
	driver_fill(&random_state, data, size + 10 * i);
	assert_int_equal(fspf_resolve(base.v, dir, &parent), 0);
	assert_int_equal(
		fspf_create_file(base.v, parent.ino, name, S_IFREG | 0640, 0, &caller, &attr), 0);
	assert_true(fspf_write(base.v, attr.ino, 0, data, size, false) >= 0);
	assert_int_equal(fspf_setxattr(base.v, attr.ino, "user.x", data, i * 10, 0, false), 0);
	fspf_forget(base.v, attr.ino, 1);
	fspf_forget(base.v, parent.ino, 1);
	free(data);
}

static void make_dir(const char *in, const char *name)
{
	struct fspf_attr parent, attr;

	assert_int_equal(fspf_resolve(base.v, in, &parent), 0);
	assert_int_equal(
		fspf_create_file(base.v, parent.ino, name, S_IFDIR | 0755, 0, &caller, &attr), 0);
	assert_int_equal(fspf_symlink(base.v, attr.ino, "link", "/some/where", &caller, &attr), 0);
	fspf_forget(base.v, parent.ino, 1);
}

/* Overwrite a part of every second file. */
static void change_files(void)
{
	uint8_t data[9000];

	for (size_t i = 0; i < model->ninodes; i++) {
		const struct model_inode *inode = model->inode[i];

		if (!model_is_file(inode) || i % 2)
			continue;
		driver_fill(&random_state, data, sizeof(data));
		assert_true(fspf_write(base.v, inode->ino, inode->size / 3, data, sizeof(data),
				       false) == sizeof(data));
	}
}

/* ---- what lies where ---- */

static void own(uint64_t at, uint64_t count, enum owner owner, uint16_t region, uint64_t object)
{
	for (; count; at++, count--) {
		struct block *b = calloc(1, sizeof(*b));

		*b = (struct block){.at = at, .owner = owner, .region = region, .object = object};
		HASH_ADD(hh, blocks, at, sizeof(b->at), b);
	}
}

static int own_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	const struct fspf_region *region = ctx;

	(void)plain;
	own(ptr->addr, MERKLE_NODE_BLOCKS, NODE, region->id, 0);
	return 0;
}

static int own_item(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	const struct fspf_region *region = ctx;
	struct fspf_extent e;

	if (key->type != FSPF_ITEM_EXTENT || key->object == 0)
		return 0;
	assert_int_equal(fspf_extent_decode(key, value, len, region->class, &e), 0);
	if (e.addr)
		own(e.addr, e.count, DATA, region->id, key->object);
	return 0;
}

static void own_region(struct fspf_region *region)
{
	struct merkle_walk walk = {.ctx = region, .node = own_node, .item = own_item};
	struct merkle_config config = {.store = &region->store, .sealer = region->sealer};

	memcpy(config.identity, region->identity, sizeof(config.identity));
	assert_int_equal(merkle_walk(&config, &region->root, &walk), 0);
}

static int own_map_node(void *ctx, const struct merkle_ptr *ptr, const void *plain)
{
	(void)ctx;
	(void)plain;
	own(ptr->addr, MERKLE_NODE_BLOCKS, MAP, FSPF_REGION_SPACE, 0);
	return 0;
}

static void own_map(struct fspf_volume *v)
{
	struct merkle_walk walk = {.node = own_map_node};
	struct merkle_config config = {.store = &v->regions[0]->store};

	assert_int_equal(fspf_space_sealer(v, &config.sealer), 0);
	fspf_identity(v, FSPF_REGION_SPACE, config.identity);
	assert_int_equal(merkle_walk(&config, &v->root->space, &walk), 0);
	crypto_sealer_free(config.sealer);
}

static void find_owners(void)
{
	struct fspf_volume *v = base.v;
	uint64_t at = 0;

	own(0, FSPF_HEAD_BLOCKS, HEAD, 0, 0);
	own(v->root->sessions.addr, fspf_blob_blocks(v->root->sessions.count), SESSIONS, 0, 0);
	own_map(v);
	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		own_region(v->regions[i]);
	for (; store_fake_next(base.disk, at, &at); at++) {
		struct block *b;

		HASH_FIND(hh, blocks, &at, sizeof(at), b);
		if (!b)
			own(at, 1, FREE, 0, 0);
	}
}

/* ---- reading a damaged volume ---- */

static _Noreturn void failed(const struct damage *d, const char *path, const char *what, int r)
{
	for (unsigned i = 0; i < d->n; i++)
		fprintf(stderr, "block %llu, owner %d, region %u, object %llu\n",
			(unsigned long long)d->block[i]->at, d->block[i]->owner,
			d->block[i]->region, (unsigned long long)d->block[i]->object);
	model_fail("%s: %s: %s: %d", d->what, path, what, r);
}

static bool may_fail(const struct damage *d, const struct model_inode *inode)
{
	uint16_t region = model_region(inode);

	for (unsigned i = 0; i < d->n; i++) {
		const struct block *b = d->block[i];

		if (b->owner == NODE && (b->region == region || b->region == 0))
			return true; /* what lies in "/" is on the way to all */
		if (b->owner == DATA && b->region == region &&
		    b->object == (inode->ino & FSPF_OBJECT_MAX))
			return true;
	}
	return d->anything;
}

/* True if it could be had; it fails the test if it failed and should not. */
static bool had(const struct damage *d, const struct model_inode *inode, const char *path,
		const char *what, int r)
{
	if (r == -EBADMSG && may_fail(d, inode))
		return false;
	if (r)
		failed(d, path, what, r);
	return true;
}

static void check_contents(struct fspf_volume *v, const struct damage *d,
			   const struct model_inode *inode, const char *path)
{
	uint8_t data[FSPF_BLOCK_SIZE];

	for (uint64_t at = 0; at < inode->size; at += sizeof(data)) {
		size_t want = (size_t)min_u64(sizeof(data), inode->size - at);
		ssize_t n = fspf_read(v, inode->ino, at, data, sizeof(data));

		if (!had(d, inode, path, "read", n < 0 ? (int)n : 0))
			continue;
		if ((size_t)n != want || memcmp(data, inode->data + at, want))
			failed(d, path, "other bytes", (int)n);
	}
}

static void check_xattrs(struct fspf_volume *v, const struct damage *d,
			 const struct model_inode *inode, const char *path)
{
	uint8_t value[4096];

	for (const struct model_xattr *x = inode->xattrs; x; x = x->hh.next) {
		ssize_t n = fspf_getxattr(v, inode->ino, x->name, value, sizeof(value));

		if (!had(d, inode, path, "xattr", n < 0 ? (int)n : 0))
			continue;
		if ((size_t)n != x->len || memcmp(value, x->value, x->len))
			failed(d, path, "another attribute", (int)n);
	}
}

static void check_tree(struct fspf_volume *v, const struct damage *d,
		       const struct model_inode *inode, const char *path);

static void check_entries(struct fspf_volume *v, const struct damage *d,
			  const struct model_inode *dir, const char *path)
{
	for (const struct model_entry *e = dir->entries; e; e = e->hh.next) {
		char *child;

		assert_true(asprintf(&child, "%s/%s", path, e->name) > 0);
		check_tree(v, d, e->inode, child);
		free(child);
	}
}

static void check_tree(struct fspf_volume *v, const struct damage *d,
		       const struct model_inode *inode, const char *path)
{
	struct fspf_attr attr;
	int r = fspf_resolve(v, *path ? path : "/", &attr);

	if (had(d, inode, path, "lookup", r)) {
		if (attr.ino != inode->ino || attr.mode != inode->mode ||
		    (model_is_file(inode) && attr.size != inode->size) ||
		    attr.nlink != inode->nlink)
			failed(d, path, "other attributes", 0);
		if (model_is_file(inode))
			check_contents(v, d, inode, path);
		check_xattrs(v, d, inode, path);
		fspf_forget(v, attr.ino, 1);
	}
	check_entries(v, d, inode, path);
}

static void note_report(void *ctx, const struct fspf_report *report)
{
	struct reports *all = ctx;
	size_t room = sizeof(all->text) - all->n;
	int n = snprintf(all->text + all->n, room, "%s\n", report->text);

	assert_int_equal(report->code, -EBADMSG);
	all->n += min_u64((uint64_t)n, room - 1);
}

/* The path of a damaged file must be among what was reported. */
static void check_named(struct fspf_volume *v, const struct damage *d, const struct reports *all)
{
	char path[4096];

	for (unsigned i = 0; i < d->n; i++) {
		const struct block *b = d->block[i];

		if (b->owner != DATA)
			continue;
		fspf_path_of(v, (uint64_t)b->region << FSPF_OBJECT_BITS | b->object, path,
			     sizeof(path));
		if (path[0] != '/' || !strstr(all->text, path))
			failed(d, path, "verify does not name it", 0);
	}
}

static void check_verify(struct fspf_volume *v, const struct damage *d)
{
	struct reports all = {.n = 0};
	struct fspf_transfer transfer = {.report = note_report, .ctx = &all};
	struct fspf_verify_result result;
	struct fspf_error err;
	bool damaged = false, node = false;
	int r = fspf_verify(v, NULL, &transfer, &result, &err);

	for (unsigned i = 0; i < d->n; i++) {
		damaged |= d->block[i]->owner >= MAP;
		node |= d->block[i]->owner == NODE;
	}
	if (d->anything ? r && r != -EBADMSG : r != (damaged ? -EBADMSG : 0))
		failed(d, "verify", err.text, r);
	if (damaged && !all.n)
		failed(d, "verify", "nothing is named", r);
	if (!node && !d->anything)
		check_named(v, d, &all);
}

/* ---- one damage ---- */

/* What nobody reaches matters to nobody. */
static bool matters(const struct damage *d)
{
	bool may = d->anything;

	for (unsigned i = 0; i < d->n; i++)
		may |= d->block[i]->owner != FREE;
	return may;
}

static bool may_be_refused(const struct damage *d)
{
	bool may = d->anything;

	for (unsigned i = 0; i < d->n; i++)
		may |= d->block[i]->owner == HEAD || d->block[i]->owner == SESSIONS ||
		       (d->block[i]->owner == NODE && d->block[i]->region == 0);
	return may;
}

static bool is_refusal(int r)
{
	return r == -EBADMSG || r == -ESTALE || r == -EKEYREJECTED || r == -EPROTONOSUPPORT;
}

/* A damaged volume, opened for writing, either takes a change or says that it does not. */
static void check_writing(struct world *w, const struct damage *d)
{
	struct fspf_attr attr = {.mode = 0700};
	struct fspf_error err;
	int r = world_try_open(w, false, &err);

	if (r && !(is_refusal(r) && may_be_refused(d)))
		failed(d, "open for writing", err.text, r);
	if (r)
		return;
	r = fspf_setattr(w->v, FSPF_ROOT, FSPF_SET_MODE, &attr, &attr);
	if (r == 0)
		r = fspf_sync(w->v);
	if (r && ((r != -EBADMSG && r != -EROFS) || !matters(d)))
		failed(d, "a change", "an error", r);
	world_abandon(w);
}

/* Takes @disk over. */
static void check_damaged(struct store_fake *disk, const struct damage *d)
{
	struct fspf_error err = {0};
	struct world w;
	int r;

	world_clone(&base, disk, NULL, &w);
	w.expects_damage = true;
	r = world_try_open(&w, true, &err);
	if (r && (!is_refusal(r) || !may_be_refused(d) || !err.text[0]))
		failed(d, "open", err.text, r);
	if (r == 0) {
		check_tree(w.v, d, model->root, "");
		check_verify(w.v, d);
		world_abandon(&w);
	}
	check_writing(&w, d);
	world_free(&w, true);
}

/* ---- each block ---- */

static bool same(struct store_fake *disk, uint64_t at)
{
	uint8_t a[FSPF_BLOCK_SIZE], b[FSPF_BLOCK_SIZE];

	store_fake_get(base.disk, at, a);
	store_fake_get(disk, at, b);
	return !memcmp(a, b, sizeof(a));
}

static const struct block *any_block(void)
{
	uint64_t skip = test_below(&random_state, HASH_COUNT(blocks));
	const struct block *b = blocks;

	while (skip--)
		b = b->hh.next;
	return b;
}

enum change { FLIP, ZERO, SWAP, REPLAY, CHANGES };

static void damage_block(const struct block *b, enum change change)
{
	static const char *const what[CHANGES] = {"flipped", "zeroed", "swapped", "replayed"};
	struct store_fake *disk = store_fake_clone(base.disk);
	struct damage d = {.block = {b}, .n = 1, .what = what[change]};

	switch (change) {
	case FLIP:
		store_fake_corrupt(disk, b->at, test_random(&random_state));
		break;
	case ZERO:
		store_fake_put(disk, b->at, NULL);
		break;
	case SWAP:
		d.block[d.n++] = any_block();
		store_fake_swap(disk, b->at, d.block[1]->at);
		break;
	case REPLAY:
	case CHANGES:
		store_fake_replay(disk, b->at, older);
		break;
	}
	if (same(disk, b->at))
		store_fake_free(disk);
	else
		check_damaged(disk, &d);
}

static void each_block(enum change change)
{
	unsigned count[DATA + 1] = {0};

	for (const struct block *b = blocks; b; b = b->hh.next) {
		damage_block(b, change);
		count[b->owner]++;
	}
	printf("%u blocks of files, %u of nodes, %u of the head, %u of sessions, %u of the space map, %u others\n",
	       count[DATA], count[NODE], count[HEAD], count[SESSIONS], count[MAP], count[FREE]);
	assert_true(count[DATA] > 100 && count[NODE] > 8 && count[SESSIONS] > 0 && count[MAP] > 0);
}

static void test_p2_a_bit_of_each_block(void **state)
{
	(void)state;
	each_block(FLIP);
}

static void test_p2_each_block_zeroed(void **state)
{
	(void)state;
	each_block(ZERO);
}

static void test_p2_each_block_swapped(void **state)
{
	(void)state;
	each_block(SWAP);
}

static void test_p3_each_block_replayed(void **state)
{
	(void)state;
	each_block(REPLAY);
}

/* ---- the head, byte by byte ---- */

static void damage_byte(uint64_t block, size_t at)
{
	struct damage d = {.anything = true, .what = "a byte of the head"};
	struct store_fake *disk = store_fake_clone(base.disk);
	uint8_t data[FSPF_BLOCK_SIZE];
	struct crypto_digest tag;
	struct fspf_error err = {0};
	struct world w;
	int r;

	store_fake_get(disk, block, data);
	data[at] ^= (uint8_t)(1u << test_below(&random_state, 8));
	store_fake_put(disk, block, data);
	world_clone(&base, disk, NULL, &w);
	w.expects_damage = true;
	r = world_try_open(&w, true, &err);
	if (r && (!is_refusal(r) || !err.text[0]))
		failed(&d, "open", err.text, r);
	if (block == 0 && r != -EBADMSG && r != -EPROTONOSUPPORT)
		failed(&d, "open", "a changed header was taken", r);
	if (r == 0) {
		fspf_tag(w.v, &tag);
		assert_true(crypto_digest_equal(&tag, &base.anchor.tag));
	}
	world_free(&w, true);
}

static void test_p2_each_byte_of_the_head(void **state)
{
	uint64_t block = 0;
	unsigned n = 0;

	(void)state;
	for (; store_fake_next(base.disk, block, &block) && block < FSPF_HEAD_BLOCKS; block++)
		for (size_t at = 0; at < FSPF_BLOCK_SIZE; at++, n++)
			damage_byte(block, at);
	printf("%u bytes\n", n);
	assert_true(n >= 4 * FSPF_BLOCK_SIZE);
}

/* ---- other moments ---- */

static void test_p4_an_older_volume(void **state)
{
	struct fspf_error err;
	struct world w;

	(void)state;
	world_clone(&base, store_fake_clone(older), NULL, &w);
	for (int writing = 0; writing < 2; writing++) {
		assert_int_equal(world_try_open(&w, !writing, &err), -ESTALE);
		assert_string_equal(err.text, STALE);
		assert_int_equal(fspf_exit_status(err.code), 4);
	}
	w.recover = true;
	assert_int_equal(world_try_open(&w, false, &err), -ESTALE);
	w.recover = false;
	/* It is whole: with its own tag it opens. */
	w.anchor.tag = older_tag;
	world_open(&w, true);
	world_free(&w, true);
}

/* The file of the head from one moment, the segments from another; and blocks from either. */
static struct store_fake *mixture(unsigned of_a_hundred, bool head_old)
{
	struct store_fake *disk = store_fake_clone(base.disk);
	uint64_t at = 0;

	for (const struct block *b = blocks; b; b = b->hh.next) {
		bool old = b->at < FSPF_HEAD_BLOCKS ? head_old
						    : test_below(&random_state, 100) < of_a_hundred;

		if (old)
			store_fake_replay(disk, b->at, older);
	}
	for (; of_a_hundred == 100 && store_fake_next(older, at, &at); at++)
		if (at >= FSPF_HEAD_BLOCKS)
			store_fake_replay(disk, at, older);
	return disk;
}

static void test_p6_mixtures(void **state)
{
	struct damage d = {.anything = true, .what = "a mixture"};

	(void)state;
	for (unsigned i = 0; i <= 100; i += 5) {
		check_damaged(mixture(i, false), &d);
		check_damaged(mixture(i, true), &d);
	}
}

static void test_wrong_key(void **state)
{
	struct fspf_credential *right = base.key;
	struct fspf_error err;
	struct world w;

	(void)state;
	world_clone(&base, store_fake_clone(base.disk), NULL, &w);
	assert_int_equal(fspf_credential_random(&w.key, &err), 0);
	assert_int_equal(world_try_open(&w, true, &err), -EKEYREJECTED);
	assert_int_equal(fspf_exit_status(err.code), 5);
	fspf_credential_free(w.key);
	w.key = right;
	world_free(&w, true);
}

/* ---- */

static int make(void **state)
{
	static const struct world_region regions[] = {{"/auth", FSPF_AUTHENTICATED}, {NULL, 0}};

	(void)state;
	random_state = test_seed("tamper");
	world_create(&base, FSPF_ENCRYPTED, 0, 256, regions);
	make_dir("/", "d");
	make_dir("/auth", "d");
	for (unsigned i = 0; i < 10; i++) {
		make_file("/", i);
		make_file("/d", 10 + i);
		make_file("/auth", i);
		make_file("/auth/d", 10 + i);
	}
	world_close(&base);
	older = store_fake_clone(base.disk);
	older_tag = base.anchor.tag;
	world_open(&base, false);
	model = model_load(base.v);
	change_files();
	model_free(model);
	world_close(&base);
	world_open(&base, true);
	model = model_load(base.v);
	find_owners();
	world_abandon(&base);
	return 0;
}

static int unmake(void **state)
{
	struct block *b, *next;

	(void)state;
	HASH_ITER (hh, blocks, b, next) {
		HASH_DEL(blocks, b);
		free(b);
	}
	model_free(model);
	store_fake_free(older);
	world_free(&base, false);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_p2_a_bit_of_each_block),
		cmocka_unit_test(test_p2_each_block_zeroed),
		cmocka_unit_test(test_p2_each_block_swapped),
		cmocka_unit_test(test_p3_each_block_replayed),
		cmocka_unit_test(test_p2_each_byte_of_the_head),
		cmocka_unit_test(test_p4_an_older_volume),
		cmocka_unit_test(test_p6_mixtures),
		cmocka_unit_test(test_wrong_key),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
