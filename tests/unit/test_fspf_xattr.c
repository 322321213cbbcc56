/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_xattr.c - extended attributes: case by case, against a model, and with
 * stored items that no volume writes
 *
 * The hash that places them is this file's own (it stands before the library's): the library's
 * with as many bits cut off as a test wants, so that names collide.
 */
#include <sodium.h>
#include <sys/xattr.h>

#include "crypto/siphash.h"
#include "fspf/xattr.h"
#include "tests/unit/test_fspf_volume.h"

#define VALUE_MAX FSPF_XATTR_VALUE_MAX

static uint64_t hash_mask = UINT64_MAX;

uint64_t crypto_siphash(const uint8_t key[static CRYPTO_SIPHASH_KEY_SIZE], const void *data,
			size_t len)
{
	uint8_t hash[crypto_shorthash_siphash24_BYTES];

	crypto_shorthash_siphash24(hash, data, len, key);
	if (len > 6 && !memcmp(data, "xattr", 6))
		return get_le64(hash) & hash_mask;
	return get_le64(hash);
}

static int setup(void **state)
{
	struct test_volume *t = calloc(1, sizeof(*t));

	hash_mask = UINT64_MAX;
	test_volume_create(t, 0);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	test_volume_free(*state);
	free(*state);
	return 0;
}

static uint64_t new_file(struct test_volume *t)
{
	static unsigned n;
	char name[32];

	snprintf(name, sizeof(name), "file%u", n++);
	return test_volume_file(t, FSPF_ROOT, name, S_IFREG | 0644);
}

static int set(struct test_volume *t, uint64_t ino, const char *name, const void *value,
	       size_t size, int flags)
{
	return fspf_setxattr(t->v, ino, name, value, size, flags, false);
}

static void assert_value(struct test_volume *t, uint64_t ino, const char *name, const void *value,
			 size_t size)
{
	uint8_t *got = malloc(VALUE_MAX + 1);

	assert_int_equal(fspf_getxattr(t->v, ino, name, got, VALUE_MAX + 1), size);
	assert_memory_equal(got, value, size);
	assert_int_equal(fspf_getxattr(t->v, ino, name, NULL, 0), size);
	free(got);
}

/* ---- case by case ---- */

static void test_sizes(void **state)
{
	static const size_t size[] = {0, 1, 2047, 2048, 2049, 4096, 4097, 65535, 65536};
	struct test_volume *t = *state;
	uint64_t ino = new_file(t), random = 1;
	uint8_t *value = malloc(VALUE_MAX);
	char name[32];

	test_fill(&random, value, VALUE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(size); i++) {
		snprintf(name, sizeof(name), "user.%zu", size[i]);
		assert_int_equal(set(t, ino, name, value, size[i], 0), 0);
	}
	test_volume_reopen(t);
	for (size_t i = 0; i < ARRAY_LEN(size); i++) {
		snprintf(name, sizeof(name), "user.%zu", size[i]);
		assert_value(t, ino, name, value, size[i]);
	}
	/* Each becomes every other. */
	for (size_t i = 0; i < ARRAY_LEN(size) * ARRAY_LEN(size); i++) {
		size_t from = size[i / ARRAY_LEN(size)], to = size[i % ARRAY_LEN(size)];

		assert_int_equal(set(t, ino, "user.x", value, from, 0), 0);
		assert_int_equal(set(t, ino, "user.x", value, to, XATTR_REPLACE), 0);
		assert_value(t, ino, "user.x", value, to);
	}
	free(value);
}

static void test_limits(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);
	char *big = calloc(1, VALUE_MAX + 1);
	char name[FSPF_XATTR_NAME_MAX + 2];

	memset(name, 'n', sizeof(name));
	name[FSPF_XATTR_NAME_MAX] = 0;
	assert_int_equal(set(t, ino, name, "v", 1, 0), 0);
	assert_value(t, ino, name, "v", 1);
	assert_int_equal(fspf_removexattr(t->v, ino, name), 0);
	name[FSPF_XATTR_NAME_MAX] = 'n';
	name[FSPF_XATTR_NAME_MAX + 1] = 0;
	assert_int_equal(set(t, ino, name, "v", 1, 0), -ERANGE);
	assert_int_equal(fspf_getxattr(t->v, ino, name, NULL, 0), -ERANGE);
	assert_int_equal(fspf_removexattr(t->v, ino, name), -ERANGE);
	assert_int_equal(set(t, ino, "", "v", 1, 0), -ERANGE);
	assert_int_equal(set(t, ino, "user.big", big, VALUE_MAX + 1, 0), -E2BIG);
	assert_int_equal(set(t, ino, "user.flag", "v", 1, 4), -EINVAL);
	assert_int_equal(set(t, 1u << 30, "user.x", "v", 1, 0), -ENOENT);
	assert_int_equal(fspf_listxattr(t->v, ino, NULL, 0), 0);
	free(big);
}

static void test_flags(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);

	assert_int_equal(set(t, ino, "user.a", "1", 1, XATTR_REPLACE), -ENODATA);
	assert_int_equal(fspf_getxattr(t->v, ino, "user.a", NULL, 0), -ENODATA);
	assert_int_equal(set(t, ino, "user.a", "2", 1, XATTR_CREATE), 0);
	assert_int_equal(set(t, ino, "user.a", "3", 1, XATTR_CREATE), -EEXIST);
	assert_value(t, ino, "user.a", "2", 1);
	assert_int_equal(set(t, ino, "user.a", "4", 1, XATTR_REPLACE), 0);
	assert_value(t, ino, "user.a", "4", 1);
	assert_int_equal(set(t, ino, "user.a", "5", 1, XATTR_CREATE | XATTR_REPLACE), -EEXIST);
	assert_int_equal(set(t, ino, "user.b", "5", 1, XATTR_CREATE | XATTR_REPLACE), -ENODATA);
	assert_int_equal(fspf_removexattr(t->v, ino, "user.a"), 0);
	assert_int_equal(fspf_removexattr(t->v, ino, "user.a"), -ENODATA);
}

static void test_buffers(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);
	char list[64], value[8];
	ssize_t n;

	assert_int_equal(fspf_listxattr(t->v, ino, list, sizeof(list)), 0);
	assert_int_equal(set(t, ino, "user.a", "value", 5, 0), 0);
	assert_int_equal(set(t, ino, "user.bc", "", 0, 0), 0);
	assert_int_equal(fspf_getxattr(t->v, ino, "user.a", value, 4), -ERANGE);
	assert_int_equal(fspf_getxattr(t->v, ino, "user.a", value, 5), 5);
	assert_int_equal(fspf_getxattr(t->v, ino, "user.bc", value, 1), 0);
	n = fspf_listxattr(t->v, ino, NULL, 0);
	assert_int_equal(n, 7 + 8);
	assert_int_equal(fspf_listxattr(t->v, ino, list, 14), -ERANGE);
	assert_int_equal(fspf_listxattr(t->v, ino, list, 15), 15);
	assert_true(!memcmp(list, "user.a\0user.bc", 15) || !memcmp(list, "user.bc\0user.a", 15));
}

static void test_name_spaces(void **state)
{
	static const uint32_t type[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR};
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);
	char name[16];

	assert_int_equal(set(t, ino, "fspf.tag", "v", 1, 0), -EPERM);
	assert_int_equal(fspf_removexattr(t->v, ino, "fspf.tag"), -EPERM);
	assert_int_equal(fspf_getxattr(t->v, ino, "fspf.tag", NULL, 0), -ENODATA);
	assert_int_equal(set(t, ino, "fspfx", "v", 1, 0), 0);
	assert_int_equal(set(t, ino, "user.fspf.tag", "v", 1, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(type); i++) {
		snprintf(name, sizeof(name), "type%zu", i);
		ino = test_volume_file(t, FSPF_ROOT, name, type[i] | 0644);
		assert_int_equal(set(t, ino, "trusted.t", name, 5, 0), 0);
		assert_value(t, ino, "trusted.t", name, 5);
	}
}

static void test_read_only(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);

	assert_int_equal(set(t, ino, "user.a", "v", 1, 0), 0);
	test_volume_close(t);
	test_volume_open(t, true);
	assert_value(t, ino, "user.a", "v", 1);
	assert_int_equal(set(t, ino, "user.a", "w", 1, 0), -EROFS);
	assert_int_equal(fspf_removexattr(t->v, ino, "user.a"), -EROFS);
	test_volume_close(t);
	test_volume_open(t, false);
}

static void test_ctime(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);
	struct fspf_attr old = {.ctime.tv_sec = 1, .mtime.tv_sec = 1}, now;

	assert_int_equal(fspf_setattr(t->v, ino, FSPF_SET_MTIME | FSPF_SET_CTIME, &old, &now), 0);
	assert_int_equal(set(t, ino, "user.a", "v", 1, 0), 0);
	now = test_volume_attr(t, ino);
	assert_int_equal(now.mtime.tv_sec, 1);
	assert_true(now.ctime.tv_sec > 1);
	assert_int_equal(fspf_setattr(t->v, ino, FSPF_SET_CTIME, &old, &now), 0);
	assert_int_equal(fspf_removexattr(t->v, ino, "user.b"), -ENODATA);
	assert_int_equal(test_volume_attr(t, ino).ctime.tv_sec, 1);
	assert_int_equal(fspf_removexattr(t->v, ino, "user.a"), 0);
	assert_true(test_volume_attr(t, ino).ctime.tv_sec > 1);
}

static void test_capability(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);
	struct fspf_attr attr = {.uid = 5};

	assert_int_equal(set(t, ino, FSPF_XATTR_CAPABILITY, "cap", 3, 0), 0);
	assert_int_equal(set(t, ino, "user.a", "v", 1, 0), 0);
	assert_int_equal(fspf_write(t->v, ino, 0, "x", 1, false), 1);
	assert_value(t, ino, FSPF_XATTR_CAPABILITY, "cap", 3);
	assert_int_equal(fspf_write(t->v, ino, 0, "x", 1, true), 1);
	assert_int_equal(fspf_getxattr(t->v, ino, FSPF_XATTR_CAPABILITY, NULL, 0), -ENODATA);
	assert_int_equal(set(t, ino, FSPF_XATTR_CAPABILITY, "cap", 3, 0), 0);
	assert_int_equal(fspf_setattr(t->v, ino, FSPF_SET_UID, &attr, &attr), 0);
	assert_int_equal(fspf_getxattr(t->v, ino, FSPF_XATTR_CAPABILITY, NULL, 0), -ENODATA);
	assert_value(t, ino, "user.a", "v", 1);
}

/* ---- names that collide ---- */

static void test_slots(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);
	uint8_t value[5000] = {0};
	char name[32];

	hash_mask = 0;
	for (unsigned i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "user.%u", i);
		value[0] = (uint8_t)i;
		assert_int_equal(set(t, ino, name, value, i % 2 ? sizeof(value) : 1, 0), 0);
	}
	assert_int_equal(set(t, ino, "user.more", "v", 1, 0), -ENOSPC);
	assert_int_equal(fspf_removexattr(t->v, ino, "user.77"), 0);
	assert_int_equal(set(t, ino, "user.more", "v", 1, 0), 0);
	assert_int_equal(set(t, ino, "user.more2", "v", 1, 0), -ENOSPC);
	test_volume_reopen(t);
	assert_value(t, ino, "user.more", "v", 1);
	assert_int_equal(fspf_getxattr(t->v, ino, "user.77", NULL, 0), -ENODATA);
	for (unsigned i = 78; i < 256; i++) {
		snprintf(name, sizeof(name), "user.%u", i);
		value[0] = (uint8_t)i;
		assert_value(t, ino, name, value, i % 2 ? sizeof(value) : 1);
	}
}

/* ---- the model ---- */

#define NAMES 24u
#define STEPS 6000

struct model {
	uint8_t *value[NAMES]; /* NULL: not there */
	size_t size[NAMES];
};

static void name_of(unsigned i, char name[static 64])
{
	snprintf(name, 64, "user.%.*s%u", (int)(i % 5 * 8),
		 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst", i);
}

static void check_model(struct test_volume *t, uint64_t ino, const struct model *m)
{
	char name[64], list[NAMES * 64];
	size_t expected = 0;
	ssize_t len = fspf_listxattr(t->v, ino, list, sizeof(list));

	assert_true(len >= 0);
	for (unsigned i = 0; i < NAMES; i++) {
		bool listed = false;

		name_of(i, name);
		for (const char *p = list; p < list + len; p += strlen(p) + 1)
			listed = listed || !strcmp(p, name);
		assert_int_equal(listed, m->value[i] != NULL);
		expected += m->value[i] ? strlen(name) + 1 : 0;
		if (m->value[i])
			assert_value(t, ino, name, m->value[i], m->size[i]);
	}
	assert_int_equal(len, expected);
}

static void model_set(struct test_volume *t, uint64_t ino, struct model *m, uint64_t *random)
{
	static const size_t limit[] = {1, 10, 300, 5000, VALUE_MAX + 1};
	unsigned i = (unsigned)test_below(random, NAMES);
	int flags = (int)test_below(random, 3);
	int expected = flags == XATTR_CREATE && m->value[i]	? -EEXIST
		       : flags == XATTR_REPLACE && !m->value[i] ? -ENODATA
								: 0;
	size_t size = (size_t)test_below(random, limit[test_below(random, ARRAY_LEN(limit))]);
	uint8_t *value = malloc(size + 1);
	char name[64];

	name_of(i, name);
	test_fill(random, value, size);
	assert_int_equal(set(t, ino, name, value, size, flags), expected);
	if (expected) {
		free(value);
		return;
	}
	free(m->value[i]);
	m->value[i] = value;
	m->size[i] = size;
}

static void model_remove(struct test_volume *t, uint64_t ino, struct model *m, uint64_t *random)
{
	unsigned i = (unsigned)test_below(random, NAMES);
	char name[64];

	name_of(i, name);
	assert_int_equal(fspf_removexattr(t->v, ino, name), m->value[i] ? 0 : -ENODATA);
	free(m->value[i]);
	m->value[i] = NULL;
}

static void run_model(struct test_volume *t, uint64_t *random, int steps)
{
	uint64_t ino = new_file(t);
	struct model m = {0};

	for (int step = 0; step < steps; step++) {
		uint64_t what = test_below(random, 100);

		if (what < 55)
			model_set(t, ino, &m, random);
		else if (what < 90)
			model_remove(t, ino, &m, random);
		else if (what < 97)
			check_model(t, ino, &m);
		else if (what < 99)
			assert_int_equal(fspf_sync(t->v), 0);
		else
			test_volume_reopen(t);
	}
	check_model(t, ino, &m);
	for (unsigned i = 0; i < NAMES; i++)
		free(m.value[i]);
}

static void test_model(void **state)
{
	uint64_t random = test_seed("test_fspf_xattr model");

	run_model(*state, &random, STEPS);
	hash_mask = UINT64_C(3) << 40; /* four places for all */
	run_model(*state, &random, STEPS / 2);
}

/* ---- stored items that no volume writes ---- */

/* One defect each in the item of "user.a" (offset 0 of its place), or beside it. */
struct defect {
	const char *what;
	uint64_t offset; /* from the first piece on */
	const char *item;
	size_t len;
	bool list_only; /* a search for "user.a" ends before it */
};

#define ITEM(s) s, sizeof(s) - 1

static const struct defect defect[] = {
	{"empty", 0, ITEM("\0"), false},
	{"no name", 0, ITEM("\0\0\0\0\0"), false},
	{"no length", 0, ITEM("\6user.a\0\0\0"), false},
	{"name beyond the item", 0, ITEM("\377user.a\0\0\0\0"), false},
	{"NUL in the name", 0, ITEM("\6user\0a\1\0\0\0v"), false},
	{"another name's place", 0, ITEM("\6user.b\1\0\0\0v"), false},
	{"value too short", 0, ITEM("\6user.a\2\0\0\0v"), false},
	{"value too long", 0, ITEM("\6user.a\1\0\0\0vv"), false},
	{"length beyond the limit", 0, ITEM("\6user.a\1\0\1\0v"), false},
	{"pieces missing", 0, ITEM("\6user.a\1\10\0\0v"), false},
	{"a piece too many", 1, ITEM("x"), true},
	{"a piece without a first", 256 + 3, ITEM("x"), true},
	{"the same slot's second", 256, ITEM("\6user.c\1\0\0\0v"), true},
};

static uint64_t place_of(const struct test_volume *t, const char *name)
{
	char text[64] = "xattr";

	strcpy(text + 6, name);
	return crypto_siphash(t->v->regions[0]->hash_key, text, 6 + strlen(name)) &
	       ~UINT64_C(0xffff);
}

static void put_item(struct test_volume *t, uint64_t ino, uint64_t offset, const void *item,
		     size_t len)
{
	struct merkle_key key = fspf_key(ino, FSPF_ITEM_XATTR, offset);

	assert_int_equal(merkle_put(t->v->regions[0]->tree, &key, item, len), 0);
}

static void test_defects(void **state)
{
	struct test_volume *t = *state;
	char buffer[256];

	for (size_t i = 0; i < ARRAY_LEN(defect); i++) {
		uint64_t ino = new_file(t);

		assert_int_equal(set(t, ino, "user.a", "v", 1, 0), 0);
		put_item(t, ino, place_of(t, "user.a") + defect[i].offset, defect[i].item,
			 defect[i].len);
		if (fspf_listxattr(t->v, ino, buffer, sizeof(buffer)) != -EBADMSG)
			fail_msg("listed in spite of: %s", defect[i].what);
		if (!defect[i].list_only &&
		    fspf_getxattr(t->v, ino, "user.a", buffer, sizeof(buffer)) != -EBADMSG)
			fail_msg("read in spite of: %s", defect[i].what);
		if (!defect[i].list_only && set(t, ino, "user.a", "w", 1, 0) != -EBADMSG)
			fail_msg("changed in spite of: %s", defect[i].what);
	}
}

/* A long value with a piece missing, too short, or followed by another's. */
static void test_broken_pieces(void **state)
{
	struct test_volume *t = *state;
	uint64_t place = place_of(t, "user.long");
	uint8_t *value = calloc(1, 10000);
	char buffer[10000];

	for (int i = 0; i < 4; i++) {
		uint64_t ino = new_file(t);
		struct merkle_key key = fspf_key(ino, FSPF_ITEM_XATTR, place + 2);

		assert_int_equal(set(t, ino, "user.long", value, 10000, 0), 0);
		if (i == 0)
			put_item(t, ino, place + 2, value, 2047);
		else if (i == 1)
			put_item(t, ino, place + 4, value, 10000 - 4 * 2048 + 1);
		else if (i == 2)
			assert_int_equal(merkle_delete(t->v->regions[0]->tree, &key), 0);
		key.offset = place + 4;
		if (i == 3)
			assert_int_equal(merkle_delete(t->v->regions[0]->tree, &key), 0);
		assert_int_equal(fspf_getxattr(t->v, ino, "user.long", buffer, sizeof(buffer)),
				 -EBADMSG);
		assert_int_equal(fspf_listxattr(t->v, ino, buffer, sizeof(buffer)), -EBADMSG);
		assert_int_equal(fspf_removexattr(t->v, ino, "user.long"), -EBADMSG);
	}
	free(value);
}

/* ---- storage that fails ---- */

/* The storage dies with each read in turn that a change needs: there is the old value or none, and
 * nothing half-changed that would have made the volume fail. */
static void test_read_errors(void **state)
{
	struct test_volume *t = *state;
	uint64_t warm = new_file(t), ino = 0;
	uint8_t *old = calloc(1, VALUE_MAX), *new = malloc(VALUE_MAX), *got = malloc(VALUE_MAX);
	struct store_fake *disk = t->disk;
	uint64_t n = 0;
	int r = -EIO;

	memset(new, 1, VALUE_MAX);
	for (int i = 0; i < 50; i++) {
		ino = new_file(t);
		assert_int_equal(set(t, ino, "user.a", old, VALUE_MAX, 0), 0);
	}
	test_volume_close(t);
	t->expect_reports = true;
	while (r == -EIO) {
		t->disk = store_fake_clone(disk);
		test_volume_open(t, false);
		assert_int_equal(set(t, warm, "user.a", old, 1, 0), 0); /* loaded by now */
		store_fake_die_at(t->disk, STORE_FAKE_READ, ++n);
		r = set(t, ino, "user.a", new, 10000, 0);
		assert_int_equal(atomic_load(&t->v->failed), 0);
		if (r && fspf_getxattr(t->v, ino, "user.a", got, VALUE_MAX) == VALUE_MAX)
			assert_memory_equal(got, old, VALUE_MAX);
		if (r == 0)
			assert_value(t, ino, "user.a", new, 10000);
		fspf_abandon(t->v);
		t->v = NULL;
		store_fake_free(t->disk);
	}
	assert_int_equal(r, 0);
	assert_true(n > 2);
	t->disk = disk;
	free(old);
	free(new);
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name_spaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ctime, setup, teardown),
		cmocka_unit_test_setup_teardown(test_capability, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_defects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_errors, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
