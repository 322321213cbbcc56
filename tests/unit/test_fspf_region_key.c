/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_region_key.c - the keys of single regions open these and nothing else
 *
 * Volumes with an encrypted and with an authenticated "/" are opened with each subset of their
 * regions' keys.  What is known reads as it was written; what is not refuses; the way to what is
 * known is there, and nothing beside it.  No key writes, and none outlives a rotation.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/support/volume_model.h"
#include "tests/support/volume_world.h"

#define REGIONS 5u

/* The place of "/" is the first. */
static const struct world_region inside[] = {
	{"/a", FSPF_ENCRYPTED},
	{"/a/b/c", FSPF_ENCRYPTED},
	{"/way/to/open", FSPF_AUTHENTICATED},
	{"/way/to/open/shut", FSPF_ENCRYPTED},
	{NULL, 0},
};

struct fixture {
	struct world w;
	bool encrypted[REGIONS];
	struct fspf_credential *key[REGIONS]; /* of the encrypted ones */
};

static const char *prefix_of(unsigned i)
{
	return i ? inside[i - 1].prefix : "/";
}

/* "prefix/name", whatever the prefix. */
static const char *in_region(unsigned i, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", i ? prefix_of(i) : "", name);
	return path;
}

/* Each region has a file "f" that holds its prefix, and a directory "d". */
static void fill_region(struct fspf_volume *v, unsigned i)
{
	const struct fspf_caller caller = {0};
	const char *text = prefix_of(i);
	struct fspf_attr top, attr;

	assert_int_equal(fspf_resolve(v, text, &top), 0);
	assert_int_equal(fspf_create_file(v, top.ino, "f", S_IFREG | 0644, 0, &caller, &attr), 0);
	assert_int_equal(fspf_write(v, attr.ino, 0, text, strlen(text), 0), strlen(text));
	fspf_forget(v, attr.ino, 1);
	assert_int_equal(fspf_create_file(v, top.ino, "d", S_IFDIR | 0755, 0, &caller, &attr), 0);
	fspf_forget(v, attr.ino, 1);
	fspf_forget(v, top.ino, 1);
}

static void export_keys(struct fixture *f)
{
	struct fspf_error err = {0};

	for (unsigned i = 0; i < REGIONS; i++) {
		f->key[i] = fspf_credential_free(f->key[i]);
		assert_int_equal(fspf_region_key(f->w.v, prefix_of(i), &f->key[i], &err),
				 f->encrypted[i] ? 0 : -EINVAL);
	}
}

static void make(struct fixture *f, enum fspf_protection root)
{
	memset(f, 0, sizeof(*f));
	world_create(&f->w, root, 0, 1024, inside);
	for (unsigned i = 0; i < REGIONS; i++) {
		f->encrypted[i] = (i ? inside[i - 1].protection : root) == FSPF_ENCRYPTED;
		fill_region(f->w.v, i);
	}
	assert_int_equal(fspf_sync(f->w.v), 0);
	export_keys(f);
	world_close(&f->w);
}

static void end(struct fixture *f)
{
	for (unsigned i = 0; i < REGIONS; i++)
		fspf_credential_free(f->key[i]);
	world_free(&f->w, false);
}

static void expect_no_report(void *ctx, const struct fspf_report *report)
{
	(void)ctx;
	model_fail("reported: %s", report->text);
}

static int open_with(struct fixture *f, const struct fspf_credential *const *keys, size_t n,
		     bool read_only, struct fspf_volume **ret)
{
	struct fspf_open_params params = {
		.path = "test",
		.region_keys = keys,
		.nregion_keys = n,
		.read_only = read_only,
		.anchor = anchor_fake_open(&f->w.anchor),
		.report = expect_no_report,
	};
	struct fspf_error err = {0};
	int r;

	assert_int_equal(store_fake_open(f->w.disk,
					 read_only ? FSPF_STORE_READ_ONLY : FSPF_STORE_READ_WRITE,
					 &params.store),
			 0);
	r = fspf_open(&params, ret, &err);
	assert_true(r == 0 || (err.text[0] && err.hint[0]));
	return r;
}

/* ---- what is seen ---- */

/* From the top of the volume, name by name, as the kernel comes. */
static int walk(struct fspf_volume *v, const char *path, struct fspf_attr *ret)
{
	char copy[256], *rest = copy, *name;
	struct fspf_attr next;
	int r = fspf_reference(v, FSPF_ROOT, ret);

	snprintf(copy, sizeof(copy), "%s", path);
	while (r == 0 && (name = strsep(&rest, "/"))) {
		if (!*name)
			continue;
		r = fspf_lookup(v, ret->ino, name, &next);
		fspf_forget(v, ret->ino, 1);
		if (r == 0)
			*ret = next;
	}
	return r;
}

static void expect_open(struct fspf_volume *v, unsigned i)
{
	const struct fspf_caller caller = {0};
	const char *text = prefix_of(i);
	struct fspf_attr attr, made;
	char got[64];

	assert_int_equal(walk(v, in_region(i, "f"), &attr), 0);
	assert_int_equal(fspf_read(v, attr.ino, 0, got, sizeof(got)), strlen(text));
	assert_memory_equal(got, text, strlen(text));
	assert_int_equal(fspf_write(v, attr.ino, 0, "x", 1, 0), -EROFS);
	fspf_forget(v, attr.ino, 1);
	assert_int_equal(walk(v, in_region(i, "nothing"), &attr), -ENOENT);
	assert_int_equal(walk(v, in_region(i, "d"), &attr), 0);
	assert_int_equal(fspf_create_file(v, attr.ino, "new", S_IFREG | 0600, 0, &caller, &made),
			 -EROFS);
	fspf_forget(v, attr.ino, 1);
}

static int any_entry(void *ctx, const struct fspf_entry *entry)
{
	unsigned *n = ctx;

	*n += strcmp(entry->name, ".") && strcmp(entry->name, "..");
	return 0;
}

/* Its place, if one gets that far, is a directory without permissions, or a part of the way to
 * something else. */
static void expect_shut(struct fspf_volume *v, unsigned i)
{
	struct fspf_attr attr;
	unsigned n = 0;
	int r;

	assert_int_equal(walk(v, in_region(i, "f"), &attr), -EACCES);
	assert_int_equal(walk(v, in_region(i, "nothing"), &attr), -EACCES);
	assert_int_equal(fspf_resolve(v, in_region(i, "f"), &attr), -ENOKEY);
	r = walk(v, prefix_of(i), &attr);
	assert_true(r == 0 || r == -EACCES);
	if (r)
		return;
	assert_true(S_ISDIR(attr.mode));
	r = fspf_readdir(v, attr.ino, 0, false, any_entry, &n);
	if (attr.mode & 07777) {
		assert_int_equal(attr.mode & 07777, 0555);
		assert_int_equal(r, 0);
		assert_true(n > 0);
	} else {
		assert_int_equal(r, -EACCES);
	}
	fspf_forget(v, attr.ino, 1);
}

/* Every name that can be seen from the top leads up again. */
static void expect_way_back(struct fspf_volume *v, const char *path)
{
	struct fspf_attr attr, up;
	char copy[256], *slash;

	snprintf(copy, sizeof(copy), "%s", path);
	assert_int_equal(walk(v, copy, &attr), 0);
	assert_int_equal(fspf_lookup(v, attr.ino, "..", &up), 0);
	fspf_forget(v, attr.ino, 1);
	slash = strrchr(copy, '/');
	slash[slash == copy] = 0;
	assert_int_equal(walk(v, copy, &attr), 0);
	assert_int_equal(up.ino, attr.ino);
	fspf_forget(v, attr.ino, 1);
	fspf_forget(v, up.ino, 1);
}

static void expect_verified(struct fspf_volume *v)
{
	struct fspf_verify_result result;
	struct fspf_error err = {0};

	if (fspf_verify(v, NULL, NULL, &result, &err))
		model_fail("%s", err.text);
}

/* ---- the tests ---- */

static void open_subset(struct fixture *f, unsigned subset)
{
	const struct fspf_credential *keys[REGIONS];
	struct fspf_region_info info[FSPF_REGIONS_MAX];
	struct fspf_volume *v = NULL;
	struct fspf_error err = {0};
	size_t n = 0, count, known = 0;

	for (unsigned i = 0; i < REGIONS; i++)
		if (f->key[i] && subset >> i & 1)
			keys[n++] = f->key[i];
	assert_int_equal(open_with(f, keys, n, false, &v), -ENOKEY);
	assert_int_equal(open_with(f, keys, n, true, &v), 0);
	fspf_regions(v, info, &count);
	assert_int_equal(count, REGIONS);
	for (size_t i = 0; i < count; i++)
		known += !info[i].locked;
	for (unsigned i = 0; i < REGIONS; i++) {
		bool is_known = !f->encrypted[i] || subset >> i & 1;

		if (is_known)
			expect_open(v, i);
		else
			expect_shut(v, i);
		if (is_known && i)
			expect_way_back(v, prefix_of(i));
		known -= is_known;
	}
	assert_int_equal(known, 0);
	expect_verified(v);
	assert_int_equal(fspf_close(v, NULL, &err), 0);
}

static void test_each_subset(void **state)
{
	static const enum fspf_protection roots[] = {FSPF_ENCRYPTED, FSPF_AUTHENTICATED};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		make(&f, roots[i]);
		for (unsigned subset = 0; subset < 1u << REGIONS; subset++)
			open_subset(&f, subset);
		end(&f);
	}
}

/* On the way to /a/b/c there is nothing but that way. */
static void test_nothing_beside_the_way(void **state)
{
	static const char *const on_it[] = {"/", "/a", "/a/b"};
	const struct fspf_credential *keys[1];
	struct fspf_volume *v = NULL;
	struct fspf_error err = {0};
	struct fixture f;
	struct fspf_attr attr;

	(void)state;
	make(&f, FSPF_ENCRYPTED);
	keys[0] = f.key[2];
	assert_int_equal(open_with(&f, keys, 1, true, &v), 0);
	for (size_t i = 0; i < ARRAY_LEN(on_it); i++) {
		unsigned n = 0;

		assert_int_equal(walk(v, on_it[i], &attr), 0);
		assert_int_equal(attr.mode, S_IFDIR | 0555);
		assert_int_equal(fspf_readdir(v, attr.ino, 0, true, any_entry, &n), 0);
		assert_int_equal(n, i == 0 ? 2 : 1); /* at the top, to /way too */
		fspf_forget(v, attr.ino, 1);
	}
	assert_int_equal(fspf_close(v, NULL, &err), 0);
	end(&f);
}

static void test_wrong_keys(void **state)
{
	const struct fspf_credential *keys[2];
	struct fspf_credential *other = NULL;
	struct fspf_volume *v = NULL;
	struct fspf_error err = {0};
	struct fixture f;

	(void)state;
	make(&f, FSPF_AUTHENTICATED);
	assert_int_equal(fspf_credential_random(&other, &err), 0);
	keys[0] = f.key[1];
	keys[1] = other;
	assert_int_equal(open_with(&f, keys, 2, true, &v), -EKEYREJECTED);
	keys[0] = f.w.key; /* a raw key of a slot is no region's */
	assert_int_equal(open_with(&f, keys, 1, true, &v), -EKEYREJECTED);
	fspf_credential_free(other);
	end(&f);
}

static int stop(void *ctx, const struct fspf_progress *progress)
{
	(void)ctx;
	(void)progress;
	return 1;
}

/* What was given out is worth nothing after a rotation, and nothing is given out during one. */
static void test_rotation(void **state)
{
	const struct fspf_transfer transfer = {.progress = stop};
	const struct fspf_credential *keys[1];
	struct fspf_credential *none = NULL;
	struct fspf_volume *v = NULL;
	struct fspf_error err = {0};
	struct fixture f;

	(void)state;
	make(&f, FSPF_ENCRYPTED);
	keys[0] = f.key[1];
	world_open(&f.w, false);
	assert_int_equal(fspf_rotate(f.w.v, "/a", &transfer, &err), -ECANCELED);
	assert_int_equal(fspf_region_key(f.w.v, "/a", &none, &err), -EAGAIN);
	assert_true(err.hint[0]);
	world_close(&f.w);
	assert_int_equal(open_with(&f, keys, 1, true, &v), -EKEYREJECTED);
	world_open(&f.w, false);
	assert_int_equal(fspf_rotate(f.w.v, "/a", NULL, &err), 0);
	world_close(&f.w);
	assert_int_equal(open_with(&f, keys, 1, true, &v), -EKEYREJECTED);
	keys[0] = f.key[2]; /* another region's is as good as before */
	assert_int_equal(open_with(&f, keys, 1, true, &v), 0);
	assert_int_equal(fspf_close(v, NULL, &err), 0);
	world_open(&f.w, true);
	export_keys(&f);
	world_close(&f.w);
	for (unsigned subset = 0; subset < 1u << REGIONS; subset++)
		open_subset(&f, subset);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_subset),
		cmocka_unit_test(test_nothing_beside_the_way),
		cmocka_unit_test(test_wrong_keys),
		cmocka_unit_test(test_rotation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
