/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_acl.c - POSIX ACLs: case by case, and random ones against the host
 *
 * The comparison does the same to a file here and to one in a temporary directory of the host, and
 * is skipped where that has no ACLs.  It cannot show what it gives to both wrongly, so the cases
 * with the expected results written out stand beside it.
 */
#include <sys/xattr.h>
#include <unistd.h>

#include "fspf/xattr.h"
#include "tests/unit/test_fspf_volume.h"

#define ACCESS FSPF_XATTR_ACL_ACCESS
#define DEFAULT FSPF_XATTR_ACL_DEFAULT
#define ANY UINT32_MAX /* the id of entries that have none */
#define ENTRIES_MAX 12u
#define ACL_MAX (4 + 8 * ENTRIES_MAX)

enum { U = 1, u = 2, G = 4, g = 8, M = 16, O = 32 }; /* tags: upper case has no id */

struct entry {
	uint16_t tag, perms;
	uint32_t id;
};

struct acl {
	size_t n;
	struct entry e[ENTRIES_MAX];
};

static size_t encode(const struct acl *acl, uint8_t out[static ACL_MAX])
{
	put_le32(out, 2);
	for (size_t i = 0; i < acl->n; i++) {
		put_le16(out + 4 + 8 * i, acl->e[i].tag);
		put_le16(out + 6 + 8 * i, acl->e[i].perms);
		put_le32(out + 8 + 8 * i, acl->e[i].id);
	}
	return 4 + 8 * acl->n;
}

static int set_acl(struct test_volume *t, uint64_t ino, const char *name, const struct acl *acl)
{
	uint8_t value[ACL_MAX];
	size_t len = encode(acl, value);

	return fspf_setxattr(t->v, ino, name, value, len, 0, false);
}

static void assert_acl(struct test_volume *t, uint64_t ino, const char *name, const struct acl *acl)
{
	uint8_t expected[ACL_MAX], got[ACL_MAX];
	size_t len = encode(acl, expected);

	assert_int_equal(fspf_getxattr(t->v, ino, name, got, sizeof(got)), len);
	assert_memory_equal(got, expected, len);
}

static void assert_no_acl(struct test_volume *t, uint64_t ino, const char *name)
{
	assert_int_equal(fspf_getxattr(t->v, ino, name, NULL, 0), -ENODATA);
}

static uint32_t mode_of(struct test_volume *t, uint64_t ino)
{
	return test_volume_attr(t, ino).mode & 07777;
}

static void chmod_to(struct test_volume *t, uint64_t ino, uint32_t mode)
{
	struct fspf_attr attr = {.mode = mode};

	assert_int_equal(fspf_setattr(t->v, ino, FSPF_SET_MODE, &attr, &attr), 0);
}

static uint64_t make(struct test_volume *t, uint64_t parent, uint32_t mode, uint32_t umask)
{
	struct fspf_caller caller = {.umask = umask};
	struct fspf_attr attr;
	static unsigned n;
	char name[32];

	snprintf(name, sizeof(name), "f%u", n++);
	if (S_ISLNK(mode))
		assert_int_equal(fspf_symlink(t->v, parent, name, "x", &caller, &attr), 0);
	else
		assert_int_equal(fspf_create_file(t->v, parent, name, mode, 0, &caller, &attr), 0);
	fspf_forget(t->v, attr.ino, 1);
	return attr.ino;
}

static int setup(void **state)
{
	struct test_volume *t = calloc(1, sizeof(*t));

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

/* ---- which are ACLs ---- */

static const struct {
	const char *what;
	bool valid;
	struct acl acl;
} validity[] = {
	{"minimal", true, {3, {{U, 7, ANY}, {G, 5, ANY}, {O, 0, ANY}}}},
	{"with a mask", true, {4, {{U, 7, ANY}, {G, 5, ANY}, {M, 5, ANY}, {O, 0, ANY}}}},
	{"a user", true, {5, {{U, 7, ANY}, {u, 1, 9}, {G, 5, ANY}, {M, 5, ANY}, {O, 0, ANY}}}},
	{"a group", true, {5, {{U, 7, ANY}, {G, 5, ANY}, {g, 2, 9}, {M, 5, ANY}, {O, 0, ANY}}}},
	{"same id, user and group",
	 true,
	 {6, {{U, 7, ANY}, {u, 1, 9}, {G, 5, ANY}, {g, 1, 9}, {M, 7, ANY}, {O, 0, ANY}}}},
	{"ids descending",
	 true,
	 {6, {{U, 7, ANY}, {u, 1, 9}, {u, 1, 3}, {G, 5, ANY}, {M, 7, ANY}, {O, 0, ANY}}}},
	{"no owner", false, {2, {{G, 5, ANY}, {O, 0, ANY}}}},
	{"no group", false, {2, {{U, 5, ANY}, {O, 0, ANY}}}},
	{"no other", false, {2, {{U, 5, ANY}, {G, 0, ANY}}}},
	{"two owners", false, {4, {{U, 7, ANY}, {U, 7, ANY}, {G, 5, ANY}, {O, 0, ANY}}}},
	{"two masks",
	 false,
	 {5, {{U, 7, ANY}, {G, 5, ANY}, {M, 7, ANY}, {M, 7, ANY}, {O, 0, ANY}}}},
	{"two others", false, {4, {{U, 7, ANY}, {G, 5, ANY}, {O, 0, ANY}, {O, 0, ANY}}}},
	{"a user without mask", false, {4, {{U, 7, ANY}, {u, 1, 9}, {G, 5, ANY}, {O, 0, ANY}}}},
	{"a group without mask", false, {4, {{U, 7, ANY}, {G, 5, ANY}, {g, 1, 9}, {O, 0, ANY}}}},
	{"user behind group",
	 false,
	 {5, {{U, 7, ANY}, {G, 5, ANY}, {u, 1, 9}, {M, 7, ANY}, {O, 0, ANY}}}},
	{"mask behind other", false, {4, {{U, 7, ANY}, {G, 5, ANY}, {O, 0, ANY}, {M, 7, ANY}}}},
	{"a user twice",
	 false,
	 {6, {{U, 7, ANY}, {u, 1, 9}, {u, 2, 9}, {G, 5, ANY}, {M, 7, ANY}, {O, 0, ANY}}}},
	{"a user twice, apart",
	 false,
	 {7,
	  {{U, 7, ANY}, {u, 1, 9}, {u, 1, 8}, {u, 2, 9}, {G, 5, ANY}, {M, 7, ANY}, {O, 0, ANY}}}},
	{"a group twice",
	 false,
	 {6, {{U, 7, ANY}, {G, 5, ANY}, {g, 1, 9}, {g, 2, 9}, {M, 7, ANY}, {O, 0, ANY}}}},
	{"no id", false, {5, {{U, 7, ANY}, {u, 1, ANY}, {G, 5, ANY}, {M, 7, ANY}, {O, 0, ANY}}}},
	{"odd permissions", false, {3, {{U, 8, ANY}, {G, 5, ANY}, {O, 0, ANY}}}},
	{"odd tag", false, {4, {{U, 7, ANY}, {G, 5, ANY}, {64, 0, ANY}, {O, 0, ANY}}}},
	{"no tag", false, {4, {{U, 7, ANY}, {G, 5, ANY}, {0, 0, ANY}, {O, 0, ANY}}}},
};

static void test_validity(void **state)
{
	struct test_volume *t = *state;
	uint64_t file = make(t, FSPF_ROOT, S_IFREG | 0600, 0);
	uint64_t dir = make(t, FSPF_ROOT, S_IFDIR | 0700, 0);

	for (size_t i = 0; i < ARRAY_LEN(validity); i++) {
		const struct acl *acl = &validity[i].acl;
		int expected = validity[i].valid ? 0 : -EINVAL;

		if (set_acl(t, file, ACCESS, acl) != expected ||
		    set_acl(t, dir, DEFAULT, acl) != expected)
			fail_msg("%s: not as expected", validity[i].what);
		if (validity[i].valid)
			assert_acl(t, dir, DEFAULT, acl);
	}
}

static void test_malformed(void **state)
{
	struct test_volume *t = *state;
	uint64_t file = make(t, FSPF_ROOT, S_IFREG | 0640, 0);
	uint8_t value[ACL_MAX] = {0};
	size_t len = encode(&validity[2].acl, value);

	for (size_t i = 1; i < len; i++) {
		int r = fspf_setxattr(t->v, file, ACCESS, value, i, 0, false);

		assert_int_equal(r, i == 4 ? 0 : -EINVAL); /* 4: an empty one */
	}
	assert_int_equal(mode_of(t, file), 0640);
	put_le32(value, 3);
	assert_int_equal(fspf_setxattr(t->v, file, ACCESS, value, len, 0, false), -EOPNOTSUPP);
	assert_no_acl(t, file, ACCESS);
}

static void test_many_entries(void **state)
{
	struct test_volume *t = *state;
	uint64_t file = make(t, FSPF_ROOT, S_IFREG | 0640, 0);
	size_t users = 8000, len = 4 + 8 * (users + 4);
	uint8_t *value = calloc(1, len), *got = malloc(len);
	uint8_t *p = value + 4;

	put_le32(value, 2);
	for (size_t i = 0; i < users + 4; i++, p += 8) {
		uint16_t tag = i == 0 ? U : i <= users ? u : i == users + 1 ? G : M;

		put_le16(p, i == users + 3 ? O : tag);
		put_le16(p + 2, 6);
		put_le32(p + 4, tag == u ? (uint32_t)i : ANY);
	}
	assert_int_equal(fspf_setxattr(t->v, file, ACCESS, value, len, 0, false), 0);
	assert_int_equal(mode_of(t, file), 0666);
	assert_int_equal(fspf_getxattr(t->v, file, ACCESS, got, len), len);
	assert_memory_equal(got, value, len);
	chmod_to(t, file, 0604);
	assert_int_equal(fspf_getxattr(t->v, file, ACCESS, got, len), len);
	put_le16(value + len - 14, 0);
	put_le16(value + len - 6, 4);
	assert_memory_equal(got, value, len);
	free(value);
	free(got);
}

/* ---- access ACL and mode ---- */

static void test_access(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = make(t, FSPF_ROOT, S_IFREG | 06755, 0);
	const struct acl trivial = {3, {{U, 6, ANY}, {G, 4, ANY}, {O, 0, ANY}}};
	struct acl named = {5, {{U, 7, ANY}, {u, 7, 5}, {G, 1, ANY}, {M, 5, ANY}, {O, 4, ANY}}};
	struct acl with_mask = {4, {{U, 6, ANY}, {G, 4, ANY}, {M, 4, ANY}, {O, 0, ANY}}};

	assert_int_equal(set_acl(t, ino, ACCESS, &trivial), 0);
	assert_int_equal(mode_of(t, ino), 06640);
	assert_no_acl(t, ino, ACCESS);
	assert_int_equal(set_acl(t, ino, ACCESS, &named), 0);
	assert_int_equal(mode_of(t, ino), 06754); /* the mask, not the group */
	test_volume_reopen(t);
	assert_acl(t, ino, ACCESS, &named);
	chmod_to(t, ino, 0123);
	named.e[0].perms = 1;
	named.e[3].perms = 2;
	named.e[4].perms = 3;
	assert_acl(t, ino, ACCESS, &named);
	assert_int_equal(set_acl(t, ino, ACCESS, &with_mask), 0);
	assert_acl(t, ino, ACCESS, &with_mask);
	assert_int_equal(set_acl(t, ino, ACCESS, &trivial), 0);
	assert_no_acl(t, ino, ACCESS);
	assert_int_equal(mode_of(t, ino), 0640);
	assert_int_equal(set_acl(t, ino, ACCESS, &named), 0);
	assert_int_equal(fspf_removexattr(t->v, ino, ACCESS), 0);
	assert_int_equal(mode_of(t, ino), 0123);
	assert_no_acl(t, ino, ACCESS);
	assert_int_equal(fspf_removexattr(t->v, ino, ACCESS), 0);
}

static void test_set_gid(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = make(t, FSPF_ROOT, S_IFREG | 02755, 0);
	uint8_t value[ACL_MAX];
	size_t len = encode(&validity[0].acl, value);

	assert_int_equal(fspf_setxattr(t->v, ino, ACCESS, value, len, 0, false), 0);
	assert_int_equal(mode_of(t, ino), 02750);
	assert_int_equal(fspf_setxattr(t->v, ino, ACCESS, value, len, 0, true), 0);
	assert_int_equal(mode_of(t, ino), 0750);
}

static void test_empty(void **state)
{
	struct test_volume *t = *state;
	uint64_t dir = make(t, FSPF_ROOT, S_IFDIR | 0750, 0);
	const struct acl none = {0};

	for (int i = 0; i < 2; i++) { /* the second time there is nothing to remove */
		const char *name[] = {ACCESS, DEFAULT};

		for (int k = 0; k < 2; k++) {
			assert_int_equal(set_acl(t, dir, name[k], &validity[2].acl), 0);
			assert_int_equal(set_acl(t, dir, name[k], &none), 0);
			assert_no_acl(t, dir, name[k]);
			assert_int_equal(fspf_setxattr(t->v, dir, name[k], NULL, 0, 0, false), 0);
		}
	}
	assert_int_equal(mode_of(t, dir), 0750);
}

static void test_types(void **state)
{
	struct test_volume *t = *state;
	uint64_t file = make(t, FSPF_ROOT, S_IFREG | 0640, 0);
	uint64_t fifo = make(t, FSPF_ROOT, S_IFIFO | 0640, 0);
	uint64_t link = make(t, FSPF_ROOT, S_IFLNK, 0);
	const struct acl none = {0};

	assert_int_equal(set_acl(t, file, DEFAULT, &validity[2].acl), -EACCES);
	assert_int_equal(set_acl(t, file, DEFAULT, &none), 0);
	assert_int_equal(fspf_removexattr(t->v, file, DEFAULT), 0);
	assert_no_acl(t, file, DEFAULT);
	assert_int_equal(set_acl(t, fifo, ACCESS, &validity[2].acl), 0);
	assert_acl(t, fifo, ACCESS, &validity[2].acl);
	assert_int_equal(set_acl(t, link, ACCESS, &validity[2].acl), -EOPNOTSUPP);
	assert_int_equal(fspf_removexattr(t->v, link, ACCESS), -EOPNOTSUPP);
	assert_no_acl(t, link, ACCESS);
}

/* ---- inheritance ---- */

static void test_umask(void **state)
{
	struct test_volume *t = *state;
	uint64_t dir = make(t, FSPF_ROOT, S_IFDIR | 0777, 022);

	assert_int_equal(mode_of(t, dir), 0755);
	assert_int_equal(mode_of(t, make(t, dir, S_IFREG | 06777, 0137)), 06640);
	assert_int_equal(set_acl(t, dir, ACCESS, &validity[2].acl), 0);
	assert_int_equal(mode_of(t, make(t, dir, S_IFREG | 0666, 027)), 0640);
}

static void test_inherit(void **state)
{
	struct test_volume *t = *state;
	uint64_t dir = make(t, FSPF_ROOT, S_IFDIR | 0777, 0);
	const struct acl def = {5, {{U, 7, ANY}, {u, 7, 5}, {G, 6, ANY}, {M, 7, ANY}, {O, 5, ANY}}};
	const struct acl file_acl = {
		5, {{U, 6, ANY}, {u, 7, 5}, {G, 6, ANY}, {M, 4, ANY}, {O, 4, ANY}}};
	uint64_t ino;

	assert_int_equal(set_acl(t, dir, DEFAULT, &def), 0);
	ino = make(t, dir, S_IFREG | 0644, 0777); /* the umask does not count */
	assert_int_equal(mode_of(t, ino), 0644);
	assert_acl(t, ino, ACCESS, &file_acl);
	assert_no_acl(t, ino, DEFAULT);
	ino = make(t, dir, S_IFDIR | 0777, 0777);
	assert_int_equal(mode_of(t, ino), 0775);
	assert_acl(t, ino, ACCESS, &def);
	assert_acl(t, ino, DEFAULT, &def);
	ino = make(t, dir, S_IFLNK, 0777);
	assert_int_equal(mode_of(t, ino), 0777);
	assert_no_acl(t, ino, ACCESS);
}

static void test_inherit_trivial(void **state)
{
	struct test_volume *t = *state;
	uint64_t dir = make(t, FSPF_ROOT, S_IFDIR | 0777, 0);
	const struct acl def = {3, {{U, 6, ANY}, {G, 4, ANY}, {O, 0, ANY}}};
	uint64_t ino;

	assert_int_equal(set_acl(t, dir, DEFAULT, &def), 0);
	ino = make(t, dir, S_IFREG | 0777, 0);
	assert_int_equal(mode_of(t, ino), 0640);
	assert_no_acl(t, ino, ACCESS);
	ino = make(t, dir, S_IFDIR | 02777, 0);
	assert_int_equal(mode_of(t, ino), 02640);
	assert_no_acl(t, ino, ACCESS);
	assert_acl(t, ino, DEFAULT, &def);
}

/* ---- against the host ---- */

#define ROUNDS 400

struct pair {
	struct test_volume *t;
	uint64_t dir;	 /* here */
	char path[4096]; /* there */
};

/* Mostly an ACL; sometimes with something wrong.  Ids are unique: Linux does not ask for that. */
static void random_acl(uint64_t *random, struct acl *acl)
{
	size_t users = test_below(random, 3), groups = test_below(random, 3);
	bool mask = users + groups || test_below(random, 3) == 0;
	struct entry *e = acl->e;

	*e++ = (struct entry){U, (uint16_t)test_below(random, 8), ANY};
	for (size_t i = 0; i < users; i++)
		*e++ = (struct entry){u, (uint16_t)test_below(random, 8), (uint32_t)i};
	*e++ = (struct entry){G, (uint16_t)test_below(random, 8), ANY};
	for (size_t i = 0; i < groups; i++)
		*e++ = (struct entry){g, (uint16_t)test_below(random, 8), (uint32_t)i};
	if (mask)
		*e++ = (struct entry){M, (uint16_t)test_below(random, 8), ANY};
	*e++ = (struct entry){O, (uint16_t)test_below(random, 8), ANY};
	acl->n = (size_t)(e - acl->e);
	if (test_below(random, 4) == 0)
		acl->e[test_below(random, acl->n)].tag = (uint16_t)(1u << test_below(random, 7));
	if (test_below(random, 20) == 0)
		acl->e[test_below(random, acl->n)].perms = (uint16_t)test_below(random, 32);
	if (test_below(random, 20) == 0)
		acl->n = test_below(random, acl->n + 1);
}

static bool ids_differ(const struct acl *acl)
{
	for (size_t i = 0; i < acl->n; i++)
		for (size_t k = 0; k < i; k++)
			if (acl->e[i].tag == acl->e[k].tag && acl->e[i].id == acl->e[k].id)
				return false;
	return true;
}

/* Linux gives entries without an id the id ANY. */
static void normalise(uint8_t *acl, ssize_t len)
{
	for (ssize_t i = 4; i + 8 <= len; i += 8)
		if (!(get_le16(acl + i) & (u | g)))
			put_le32(acl + i + 4, ANY);
}

static void compare_acl(struct pair *p, uint64_t ino, const char *path, const char *name)
{
	uint8_t here[ACL_MAX], there[ACL_MAX];
	ssize_t n = getxattr(path, name, there, sizeof(there));

	if (n < 0)
		n = -errno;
	assert_int_equal(fspf_getxattr(p->t->v, ino, name, here, sizeof(here)), n);
	if (n > 0) {
		normalise(here, n);
		assert_memory_equal(here, there, (size_t)n);
	}
}

static void compare(struct pair *p, uint64_t ino, const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(test_volume_attr(p->t, ino).mode, st.st_mode);
	compare_acl(p, ino, path, ACCESS);
	compare_acl(p, ino, path, DEFAULT);
}

static void set_both(struct pair *p, uint64_t ino, const char *path, const char *name,
		     const struct acl *acl)
{
	uint8_t value[ACL_MAX];
	size_t len = encode(acl, value);
	int there = setxattr(path, name, value, len, 0) ? -errno : 0;
	int here = fspf_setxattr(p->t->v, ino, name, value, len, 0, false);

	if (there == -EACCES && here == -EINVAL)
		return; /* both wrong: Linux asks for a directory before it looks at the entries */
	assert_int_equal(here, there);
}

/* A new file or directory on both sides, and what is done to it. */
static void one_round(struct pair *p, uint64_t *random)
{
	uint32_t mode = (uint32_t)test_below(random, 01000);
	uint32_t mask = (uint32_t)test_below(random, 01000);
	bool is_dir = test_below(random, 2);
	mode_t before = umask(mask);
	char path[sizeof(p->path) + 8];
	struct acl acl;
	uint64_t ino;

	snprintf(path, sizeof(path), "%s/f", p->path);
	assert_int_equal(is_dir ? mkdir(path, mode) : mknod(path, S_IFREG | mode, 0), 0);
	umask(before);
	ino = make(p->t, p->dir, (is_dir ? S_IFDIR : S_IFREG) | mode, mask);
	compare(p, ino, path);
	for (int i = 0; i < 4; i++) {
		random_acl(random, &acl);
		if (ids_differ(&acl))
			set_both(p, ino, path, test_below(random, 2) ? ACCESS : DEFAULT, &acl);
		compare(p, ino, path);
		mode = (uint32_t)test_below(random, 01000);
		assert_int_equal(chmod(path, mode), 0);
		chmod_to(p->t, ino, mode);
		compare(p, ino, path);
	}
	assert_int_equal(removexattr(path, ACCESS), 0);
	assert_int_equal(fspf_removexattr(p->t->v, ino, ACCESS), 0);
	compare(p, ino, path);
	assert_int_equal(is_dir ? rmdir(path) : unlink(path), 0);
}

static bool host_has_acls(const char *path)
{
	uint8_t value[ACL_MAX];
	size_t len = encode(&validity[2].acl, value);

	return setxattr(path, DEFAULT, value, len, 0) == 0 && removexattr(path, DEFAULT) == 0;
}

static void test_host(void **state)
{
	struct pair p = {.t = *state};
	uint64_t random = test_seed("test_fspf_acl host");
	const char *tmp = getenv("TMPDIR");
	struct acl acl;
	bool has;

	snprintf(p.path, sizeof(p.path), "%s/fspf-acl-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(p.path));
	has = host_has_acls(p.path);
	assert_int_equal(chmod(p.path, 0777), 0);
	p.dir = make(p.t, FSPF_ROOT, S_IFDIR | 0777, 0);
	for (int i = 0; i < ROUNDS && has; i++) {
		one_round(&p, &random);
		random_acl(&random, &acl);
		acl.e[0].perms = 7; /* we go on making files there, whoever runs this */
		if (i % 4 == 3 && ids_differ(&acl))
			set_both(&p, p.dir, p.path, DEFAULT, &acl);
		if (i % 16 == 15)
			set_both(&p, p.dir, p.path, DEFAULT, &(struct acl){0});
	}
	assert_int_equal(rmdir(p.path), 0);
	if (!has)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_validity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_access, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_gid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_types, setup, teardown),
		cmocka_unit_test_setup_teardown(test_umask, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inherit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inherit_trivial, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
