/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_snapshot_case.c - refusals, damage, limits, regions, and operations beside
 */
#include <pthread.h>
#include <stdatomic.h>

#include "fspf/extent.h"
#include "tests/unit/test_fspf_snapshot.h"

static int try_select(struct world *w, const char *name, bool keyed, struct fspf_error *err)
{
	struct fspf_open_params params = {.path = "test",
					  .credential = keyed ? w->key : NULL,
					  .snapshot = name,
					  .commit_interval_ms = UINT32_MAX};

	params.anchor = anchor_fake_open(&w->anchor);
	assert_int_equal(store_fake_open(w->disk, FSPF_STORE_READ_ONLY, &params.store), 0);
	return fspf_open(&params, &w->v, err);
}

/* One damaged copy: that snapshot is refused, by itself; it can be deleted. */
static void test_tampered_copy(void **state)
{
	struct crypto_digest tag, got;
	struct fspf_verify_result result;
	struct fspf_error err;
	uint8_t block[FSPF_BLOCK_SIZE];
	struct world w;
	uint64_t before, addr;

	(void)state;
	begin_case(&w, 0);
	(void)new_file(w.v, "f", 1 << 20, 1);
	must(fspf_snapshot_create(w.v, "good", &tag, &err), &err);
	before = used(w.v);
	(void)new_file(w.v, "g", 1 << 20, 1);
	must(fspf_snapshot_create(w.v, "bad", NULL, &err), &err);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "g"), 0);
	addr = fspf_snapshot_find(w.v->root, "bad")->addr;
	store_fake_get(w.disk, addr, block);
	block[300] ^= 1;
	store_fake_put(w.disk, addr, block);
	world_close(&w);

	w.expects_damage = true;
	assert_int_equal(try_select(&w, "bad", true, &err), -EBADMSG);
	assert_int_equal(try_select(&w, "none", true, &err), -ENOENT);
	assert_int_equal(try_select(&w, "good", false, &err), -ENOKEY);
	assert_int_equal(try_restore(&w, "bad", &err), -EBADMSG);
	assert_int_equal(try_select(&w, "good", true, &err), 0);
	fspf_tag(w.v, &got);
	assert_true(crypto_digest_equal(&tag, &got));
	assert_true(fspf_is_read_only(w.v));
	check_whole(w.v);
	world_abandon(&w);

	world_open(&w, false);
	assert_int_equal(fspf_verify(w.v, NULL, NULL, &result, &err), -EBADMSG);
	assert_int_equal(result.damaged_nodes, 1);
	world_abandon(&w);
	world_open(&w, false); /* as after a crash: what can be read is kept */
	must(fspf_snapshot_delete(w.v, "bad", &err), &err);
	world_close(&w);
	w.expects_damage = false;
	world_open(&w, false);
	sound(&w);
	assert_true(used(w.v) < before + 64);
	world_free(&w, false);
}

static void count_line(void *ctx, const struct fspf_report *report)
{
	unsigned *lines = ctx;

	*lines += !strncmp(report->text, "damaged: snapshot s: /g", 23);
}

/* Damage in what only a snapshot has is told with its path there. */
static void test_damage_is_told_by_path(void **state)
{
	struct fspf_verify_result result;
	struct fspf_error err;
	struct world w;
	unsigned lines = 0;
	const struct fspf_transfer transfer = {.report = count_line, .ctx = &lines};
	uint64_t ino;
	struct fspf_block block;
	struct fspf_inode *inode;

	(void)state;
	begin_case(&w, 0);
	(void)new_file(w.v, "f", 1 << 20, 1);
	ino = new_file(w.v, "g", 1 << 20, 1);
	must(fspf_snapshot_create(w.v, "s", NULL, &err), &err);
	assert_int_equal(fspf_inode_get(w.v, ino, &inode), 0);
	assert_int_equal(fspf_map_read(inode, 7, 1, &block), 0);
	fspf_inode_put(w.v, inode, 1);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "g"), 0);
	sound(&w);
	store_fake_corrupt(w.disk, block.addr, 3);
	assert_int_equal(fspf_verify(w.v, NULL, &transfer, &result, &err), -EBADMSG);
	assert_int_equal(lines, 1);
	assert_int_equal(result.damaged_blocks, 1);
	assert_int_equal(result.damaged_files, 1);
	world_free(&w, false);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", "a/b", "/", "a\nb", "\x7f"};
	char name[FSPF_SNAPSHOT_NAME_MAX + 2];
	struct fspf_error err;
	struct world w;

	(void)state;
	begin_case(&w, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(fspf_snapshot_create(w.v, bad[i], NULL, &err), -EINVAL);
	memset(name, 'x', sizeof(name));
	name[FSPF_SNAPSHOT_NAME_MAX + 1] = 0;
	assert_int_equal(fspf_snapshot_create(w.v, name, NULL, &err), -EINVAL);
	name[FSPF_SNAPSHOT_NAME_MAX] = 0;
	must(fspf_snapshot_create(w.v, name, NULL, &err), &err);
	assert_int_equal(fspf_snapshot_create(w.v, name, NULL, &err), -EEXIST);
	assert_int_equal(fspf_snapshot_delete(w.v, "none", &err), -ENOENT);
	world_close(&w);
	assert_int_equal(try_restore(&w, "none", &err), -ENOENT);
	world_open(&w, true);
	assert_int_equal(fspf_snapshot_create(w.v, "s", NULL, &err), -EROFS);
	assert_int_equal(fspf_snapshot_delete(w.v, name, &err), -EROFS);
	world_free(&w, false);
}

/* A region whose prefix takes most of a kilobyte of the record. */
static void add_long_region(struct world *w, unsigned i)
{
	char prefix[FSPF_PREFIX_MAX + 1];
	struct fspf_error err;
	size_t len = 0;

	for (int part = 0; part < 4; part++) {
		len += (size_t)snprintf(prefix + len, sizeof(prefix) - len, "/%u", i);
		memset(prefix + len, 'p', 240);
		len += 240;
	}
	prefix[len] = 0;
	must(fspf_region_add(w->v,
			     &(struct fspf_region_params){.prefix = prefix,
							  .protection = FSPF_AUTHENTICATED},
			     &err),
	     &err);
}

/* As many as there may be; and as many as the record has room for. */
static void test_limits(void **state)
{
	struct fspf_error err;
	struct world w;
	char name[FSPF_SNAPSHOT_NAME_MAX + 1];
	unsigned n = 0;

	(void)state;
	begin_case(&w, 0);
	for (; n < FSPF_SNAPSHOTS_MAX; n++) {
		snprintf(name, sizeof(name), "%u", n);
		must(fspf_snapshot_create(w.v, name, NULL, &err), &err);
	}
	assert_int_equal(fspf_snapshot_create(w.v, "more", NULL, &err), -ENOSPC);
	sound(&w);
	world_free(&w, false);

	begin_case(&w, 0);
	for (unsigned i = 0; i < 25; i++)
		add_long_region(&w, i);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	for (n = 0; n < FSPF_SNAPSHOTS_MAX; n++) {
		snprintf(name, 4, "%03u", n);
		name[3] = 'x';
		if (fspf_snapshot_create(w.v, name, NULL, &err))
			break;
	}
	assert_in_range(n, 50, FSPF_SNAPSHOTS_MAX - 1);
	assert_int_equal(err.code, -ENOSPC);
	sound(&w);
	world_close(&w);
	world_open(&w, false);
	sound(&w);
	assert_int_equal(w.v->root->nsnapshots, n);
	world_free(&w, false);
}

/* A region that was added since is gone, and its number is not given again. */
static void test_restore_takes_regions_away(void **state)
{
	struct fspf_region_info region[FSPF_REGIONS_MAX];
	const struct fspf_region_params params = {.prefix = "/new", .protection = FSPF_ENCRYPTED};
	struct fspf_error err;
	uint64_t object;
	struct world w;
	size_t n;

	(void)state;
	begin_case(&w, 0);
	must(fspf_snapshot_create(w.v, "s", NULL, &err), &err);
	must(fspf_region_add(w.v, &params, &err), &err);
	object = new_file(w.v, "f", 65536, 1);
	world_close(&w);
	must(try_restore(&w, "s", &err), &err);
	world_open(&w, false);
	fspf_regions(w.v, region, &n);
	assert_int_equal(n, 1);
	must(fspf_region_add(w.v, &params, &err), &err);
	fspf_regions(w.v, region, &n);
	assert_int_equal(n, 2);
	assert_int_equal(region[1].id, 2);
	assert_true(new_file(w.v, "f", 65536, 1) > object);
	sound(&w);
	world_free(&w, false);
}

/* ---- faults ---- */

struct fault {
	enum store_fake_op op;
	int error;
};

static int make_b(struct fspf_volume *v, struct fspf_error *err)
{
	return fspf_snapshot_create(v, "b", NULL, err);
}

static int delete_a(struct fspf_volume *v, struct fspf_error *err)
{
	return fspf_snapshot_delete(v, "a", err);
}

/* The one that stays has its file; where none is left, nothing is in use for it. */
static void check_file_of(struct world *w, const char *name)
{
	const struct fspf_snapshot *s = fspf_snapshot_find(w->v->root, name);
	struct fspf_volume *view = NULL;
	struct fspf_attr attr;

	if (!s)
		return;
	assert_int_equal(fspf_snapshot_view(w->v, s, &view), 0);
	assert_int_equal(fspf_lookup(view, FSPF_ROOT, name, &attr), 0);
	fspf_forget(view, attr.ino, 1);
	fspf_snapshot_view_free(view);
}

/* The @n-th call of its kind fails in the middle of @change; false: there were not so many. */
static bool fails_at(const struct fault *fault, uint64_t n,
		     int (*change)(struct fspf_volume *, struct fspf_error *))
{
	struct store_fake *whole;
	struct fspf_error err;
	struct world w;
	int r;

	begin_case(&w, 0);
	(void)new_file(w.v, "a", 1 << 20, 1);
	must(fspf_snapshot_create(w.v, "a", NULL, &err), &err);
	assert_int_equal(fspf_unlink(w.v, FSPF_ROOT, "a"), 0);
	(void)new_file(w.v, "b", 1 << 20, 2);
	w.expects_damage = true; /* a volume that fails says so */
	store_fake_fail_at(w.disk, fault->op, n, fault->error);
	r = change(w.v, &err);
	store_fake_fail_at(w.disk, fault->op, 0, 0);
	if (!atomic_load(&w.v->failed))
		sound(&w);
	world_abandon(&w);
	whole = store_fake_clone(w.disk); /* a barrier that failed once goes on failing */
	store_fake_free(w.disk);
	w.disk = whole;
	w.expects_damage = false;
	world_open(&w, false);
	sound(&w);
	check_file_of(&w, "a");
	check_file_of(&w, "b");
	world_close(&w);
	world_open(&w, false);
	sound(&w);
	world_free(&w, false);
	return r != 0;
}

/* Whatever call fails: before or after, nothing lost, nothing left behind. */
static void test_faults(void **state)
{
	static const struct fault fault[] = {
		{STORE_FAKE_WRITE, -EIO},   {STORE_FAKE_WRITE, -ENOSPC},
		{STORE_FAKE_BARRIER, -EIO}, {STORE_FAKE_RESERVE, -ENOSPC},
		{STORE_FAKE_RESERVE, -EIO}, {STORE_FAKE_READ, -EIO},
	};
	unsigned failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fault); i++) {
		for (uint64_t n = 1; n < 24; n++)
			failed += fails_at(&fault[i], n, make_b);
		for (uint64_t n = 1; n < 24; n++)
			failed += fails_at(&fault[i], n, delete_a);
	}
	printf("%u failed\n", failed);
	assert_true(failed > 20);
}

/* ---- beside operations ---- */

#define WRITERS 3

struct beside {
	struct fspf_volume *v;
	unsigned number;
	atomic_bool *stop;
};

/* The first file is always as far as the second, or one step ahead. */
static void *write_pairs(void *arg)
{
	struct beside *b = arg;
	uint64_t ino[2];
	char name[16];

	for (unsigned i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%u.%u", b->number, i);
		ino[i] = new_file(b->v, name, 65536, 0);
	}
	for (uint64_t n = 1; !atomic_load(b->stop); n++)
		for (unsigned i = 0; i < 2; i++)
			if (fspf_write(b->v, ino[i], 0, &n, sizeof(n), 0) < 0)
				model_fail("a write fails");
	return NULL;
}

static bool read_number(struct fspf_volume *v, unsigned number, unsigned i, uint64_t *ret)
{
	struct fspf_attr attr;
	char name[16];

	snprintf(name, sizeof(name), "%u.%u", number, i);
	*ret = 0;
	if (fspf_lookup(v, FSPF_ROOT, name, &attr))
		return false;
	if (attr.size && fspf_read(v, attr.ino, 0, ret, sizeof(*ret)) != sizeof(*ret))
		model_fail("a read fails");
	fspf_forget(v, attr.ino, 1);
	return attr.size == 65536;
}

/* V4: a snapshot is of one instant. */
static void check_pairs(struct fspf_volume *v, const char *name)
{
	struct fspf_volume *view = NULL;
	uint64_t a, b;

	if (fspf_snapshot_view(v, fspf_snapshot_find(v->root, name), &view))
		model_fail("a snapshot cannot be opened");
	for (unsigned i = 0; i < WRITERS; i++)
		if (read_number(view, i, 0, &a) && read_number(view, i, 1, &b) &&
		    (a < b || a > b + 1))
			model_fail("snapshot %s has %llu and %llu", name, (unsigned long long)a,
				   (unsigned long long)b);
	fspf_snapshot_view_free(view);
}

static void test_beside_operations(void **state)
{
	struct beside b[WRITERS];
	pthread_t thread[WRITERS];
	atomic_bool stop = false;
	struct fspf_error err;
	struct world w;
	char name[16];

	(void)state;
	begin_case(&w, 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		b[i] = (struct beside){w.v, i, &stop};
		assert_int_equal(pthread_create(&thread[i], NULL, write_pairs, &b[i]), 0);
	}
	for (unsigned i = 0; i < 24; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		must(fspf_snapshot_create(w.v, name, NULL, &err), &err);
		if (i >= 4) { /* now the oldest, now a middle one */
			snprintf(name, sizeof(name), "s%u", (i - 4) ^ 1);
			must(fspf_snapshot_delete(w.v, name, &err), &err);
		}
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	for (uint32_t i = 0; i < w.v->root->nsnapshots; i++)
		check_pairs(w.v, w.v->root->snapshot[i].name);
	sound(&w);
	assert_true(fspf_space_is_exact(w.v->stored.space));
	world_close(&w);
	world_open(&w, false);
	sound(&w);
	world_free(&w, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tampered_copy),
		cmocka_unit_test(test_damage_is_told_by_path),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_restore_takes_regions_away),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_beside_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
