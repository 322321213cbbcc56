/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_inplace.c - contents in place: recorded, read, verified, recorded anew
 *
 * Copying up, and everything beside threads: test_fspf_copyup.c.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "test_fspf_inplace.h"

static const size_t sizes[] = {0,	   1,	    4095,	 4096,	  4097,		64 * B,
			       64 * B + 1, 128 * B, 300 * B + 5, 256 * B, 1024 * B + 77};

static void make_sizes(struct bed *b)
{
	char name[32];

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		snprintf(name, sizeof(name), "%zu", sizes[i]);
		host_make(b, name, sizes[i], (uint32_t)i);
	}
}

static void check_sizes(struct bed *b)
{
	char name[32];

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct fspf_attr attr;

		snprintf(name, sizeof(name), "/p/%zu", sizes[i]);
		assert_int_equal(bed_read(b, name, sizes[i], (uint32_t)i), 0);
		attr = bed_attr(b, name);
		assert_int_equal(attr.size, sizes[i]);
		assert_int_equal(attr.blocks, (sizes[i] + B - 1) / B * 8);
	}
}

static void what_was_recorded_reads_back(void **state)
{
	struct bed *b = bed_new();
	struct fspf_verify_result result;
	struct fspf_attr a, l;
	char target[16];

	(void)state;
	make_sizes(b);
	assert_int_equal(mkdir(host_path(b, "d"), 0750), 0);
	host_make(b, "d/inside", 5000, 99);
	assert_int_equal(symlink("d/inside", host_path(b, "link")), 0);
	assert_int_equal(link(host_path(b, "d/inside"), host_path(b, "other")), 0);
	assert_int_equal(chmod(host_path(b, "4097"), 04751), 0);
	assert_int_equal(bed_record(b, false), 0);
	check_sizes(b);
	bed_reopen(b, false);
	check_sizes(b);
	assert_int_equal(bed_attr(b, "/p/4097").mode, S_IFREG | 04751);
	assert_int_equal(bed_attr(b, "/p/d").mode, S_IFDIR | 0750);
	assert_int_equal(bed_read(b, "/p/d/inside", 5000, 99), 0);
	a = bed_attr(b, "/p/other");
	l = bed_attr(b, "/p/d/inside");
	assert_int_equal(a.ino, l.ino);
	assert_int_equal(fspf_readlink(b->t.v, bed_ino(b, "/p/link"), target, sizeof(target)), 8);
	assert_int_equal(fspf_verify(b->t.v, NULL, NULL, &result, NULL), 0);
	assert_true(result.blocks > 1024);
	assert_int_equal(atomic_load(&b->t.reports), 0);
	/* Nothing of it is in the volume. */
	assert_int_equal(atomic_load(&bed_region(b)->blocks), 0);
	bed_free(b);
}

static void any_part_can_be_read(void **state)
{
	static uint8_t want[300 * B + 5], got[300 * B + 5];
	uint64_t random = test_seed("parts"), ino, at;
	struct bed *b = bed_new();

	(void)state;
	host_make(b, "f", sizeof(want), 3);
	fill(want, sizeof(want), 3);
	assert_int_equal(bed_record(b, false), 0);
	ino = bed_ino(b, "/p/f");
	for (int i = 0; i < 2000; i++) {
		uint64_t from = test_below(&random, sizeof(want) + 10);
		size_t size = test_below(&random, i % 2 ? 3 * B : sizeof(want));
		size_t n = from >= sizeof(want) ? 0 : min_u64(size, sizeof(want) - from);

		assert_int_equal(fspf_read(b->t.v, ino, from, got, size), n);
		assert_memory_equal(got, want + from, n);
	}
	assert_int_equal(fspf_seek(b->t.v, ino, 5000, SEEK_DATA, &at), 0);
	assert_int_equal(at, 5000);
	assert_int_equal(fspf_seek(b->t.v, ino, 5000, SEEK_HOLE, &at), 0);
	assert_int_equal(at, sizeof(want));
	assert_int_equal(fspf_seek(b->t.v, ino, sizeof(want), SEEK_DATA, &at), -ENXIO);
	bed_free(b);
}

/* That of `fsverity digest` for the same bytes: see test_merkle_verity.c. */
static void digests(void **state)
{
	struct bed *b = bed_new();
	struct crypto_digest in_place, copied;
	uint64_t ino;

	(void)state;
	host_make(b, "f", 200 * B + 9, 3);
	assert_int_equal(bed_record(b, false), 0);
	assert_int_equal(fspf_file_digest(b->t.v, bed_ino(b, "/p/f"), &in_place), 0);
	ino = test_volume_file(&b->t, FSPF_ROOT, "copy", S_IFREG | 0600);
	assert_int_equal(fspf_copy_range(b->t.v, bed_ino(b, "/p/f"), 0, ino, 0, 1 << 30),
			 200 * B + 9);
	assert_int_equal(fspf_file_digest(b->t.v, ino, &copied), 0);
	assert_true(crypto_digest_equal(&in_place, &copied));
	assert_int_equal(fspf_file_digest(b->t.v, bed_ino(b, "/p"), &copied), -EISDIR);
	bed_free(b);
}

/* ---- what the host does ---- */

#define F_SIZE ((size_t)(70 * B + 100))

static void each_block(void **state)
{
	struct bed *b = bed_new();
	uint8_t page[B];
	uint64_t ino;
	char words[64];

	(void)state;
	host_make(b, "f", F_SIZE, 1);
	assert_int_equal(bed_record(b, false), 0);
	ino = bed_ino(b, "/p/f");
	for (uint64_t block = 0; block <= 70; block++) {
		uint64_t other = (block + 1) % 71;

		host_flip(b, "f", block * B + block % 100);
		atomic_store(&b->t.reports, 0);
		assert_int_equal(bed_read(b, "/p/f", F_SIZE, 1), -EBADMSG);
		assert_int_equal(fspf_read(b->t.v, ino, block * B + 7, page, 1), -EBADMSG);
		assert_int_equal(atomic_load(&b->t.reports), 1);
		snprintf(words, sizeof(words), "block %llu of /p/f (host file f) does not",
			 (unsigned long long)block);
		assert_non_null(strstr(b->text, words));
		assert_true(fspf_read(b->t.v, ino, other * B, page, 50) == 50);
		host_flip(b, "f", block * B + block % 100);
		assert_int_equal(bed_read(b, "/p/f", F_SIZE, 1), 0);
	}
	bed_free(b);
}

static void shorter(struct bed *b)
{
	assert_int_equal(truncate(host_path(b, "d/f"), F_SIZE - 1), 0);
}

static void longer(struct bed *b)
{
	assert_int_equal(truncate(host_path(b, "d/f"), F_SIZE + 1), 0);
}

static void other_contents(struct bed *b)
{
	host_make(b, "new", F_SIZE, 2);
	assert_int_equal(rename(host_path(b, "new"), host_path(b, "d/f")), 0);
}

static void same_contents(struct bed *b)
{
	host_make(b, "new", F_SIZE, 1);
	assert_int_equal(rename(host_path(b, "new"), host_path(b, "d/f")), 0);
}

static void removed(struct bed *b)
{
	assert_int_equal(unlink(host_path(b, "d/f")), 0);
}

static void directory_as_symlink(struct bed *b)
{
	assert_int_equal(rename(host_path(b, "d"), host_path(b, "e")), 0);
	assert_int_equal(symlink("e", host_path(b, "d")), 0);
}

static void file_as_symlink(struct bed *b)
{
	host_make(b, "new", F_SIZE, 1);
	assert_int_equal(unlink(host_path(b, "d/f")), 0);
	assert_int_equal(symlink("../new", host_path(b, "d/f")), 0);
}

static void file_as_fifo(struct bed *b)
{
	assert_int_equal(unlink(host_path(b, "d/f")), 0);
	assert_int_equal(mkfifo(host_path(b, "d/f"), 0600), 0);
}

static void file_as_directory(struct bed *b)
{
	assert_int_equal(unlink(host_path(b, "d/f")), 0);
	assert_int_equal(mkdir(host_path(b, "d/f"), 0700), 0);
}

static void another_of_the_volume(struct bed *b)
{
	assert_int_equal(unlink(host_path(b, "d/f")), 0);
	assert_int_equal(link(host_path(b, "g"), host_path(b, "d/f")), 0);
}

static const struct host_change {
	void (*make)(struct bed *b);
	const char *words; /* NULL: it is none */
	bool kept;	   /* what is open already notices nothing */
} host_changes[] = {
	{shorter, "is shorter than recorded", false},
	{longer, "is longer than recorded", false},
	{other_contents, "does not verify", false},
	{same_contents, NULL, false},
	{removed, "is gone", false},
	{directory_as_symlink, "is not a regular file", true},
	{file_as_symlink, "is not a regular file", false},
	{file_as_fifo, "is not a regular file", false},
	{file_as_directory, "is not a regular file", false},
	{another_of_the_volume, "does not verify", false},
};

static void check_change(const struct host_change *change, bool open_before)
{
	struct bed *b = bed_new();
	bool bad = change->words && !(open_before && change->kept);
	struct fspf_verify_result result;
	struct fspf_error err;

	assert_int_equal(mkdir(host_path(b, "d"), 0755), 0);
	host_make(b, "d/f", F_SIZE, 1);
	host_make(b, "g", F_SIZE, 5);
	assert_int_equal(bed_record(b, false), 0);
	bed_reopen(b, false);
	if (open_before)
		assert_int_equal(bed_read(b, "/p/d/f", F_SIZE, 1), 0);
	change->make(b);
	assert_int_equal(bed_read(b, "/p/d/f", F_SIZE, 1), bad ? -EBADMSG : 0);
	if (bad && !strstr(b->text, change->words))
		fail_msg("%s, not %s", b->text, change->words);
	assert_int_equal(bed_read(b, "/p/d/f", F_SIZE, 1), bad ? -EBADMSG : 0);
	assert_int_equal(bed_read(b, "/p/g", F_SIZE, 5), 0);
	assert_int_equal(atomic_load(&b->t.reports), bad);
	assert_int_equal(fspf_verify(b->t.v, NULL, NULL, &result, &err),
			 change->words ? -EBADMSG : 0);
	assert_int_equal(result.damaged_files, change->words ? 1 : 0);
	bed_free(b);
}

static void what_the_host_changes_is_noticed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(host_changes); i++) {
		check_change(&host_changes[i], false);
		check_change(&host_changes[i], true);
	}
}

static void a_directory_that_is_not_there(void **state)
{
	struct bed *b = bed_new();

	(void)state;
	host_make(b, "f", 5000, 1);
	host_make(b, "empty", 0, 1);
	assert_int_equal(bed_record(b, false), 0);
	test_volume_reopen(&b->t);
	bed_prepare(b, false);
	close(bed_region(b)->host_fd);
	bed_region(b)->host_fd = -1;
	assert_int_equal(bed_read(b, "/p/f", 5000, 1), -EBADMSG);
	assert_int_equal(bed_attr(b, "/p/f").size, 5000);
	bed_free(b);
}

/* More files than are kept open. */
static void many_files(void **state)
{
	struct bed *b = bed_new();
	char name[32];

	(void)state;
	for (uint32_t i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "%u", i);
		host_make(b, name, i * 50, i);
	}
	assert_int_equal(bed_record(b, false), 0);
	for (uint32_t i = 0; i < 900; i++) {
		snprintf(name, sizeof(name), "/p/%u", i % 300);
		assert_int_equal(bed_read(b, name, i % 300 * 50, i % 300), 0);
	}
	bed_free(b);
}

/* ---- verify ---- */

static void collect(void *ctx, const struct fspf_report *report)
{
	struct bed *b = ctx;
	size_t len = strlen(b->changes);

	snprintf(b->changes + len, sizeof(b->changes) - len, "%s\n", report->text);
}

static void verify_names_each_damaged_file(void **state)
{
	struct bed *b = bed_new();
	const struct fspf_transfer transfer = {.ctx = b, .report = collect};
	struct fspf_verify_result result;
	struct fspf_error err;

	(void)state;
	make_sizes(b);
	assert_int_equal(bed_record(b, false), 0);
	bed_reopen(b, false);
	host_flip(b, "4097", 4096);
	host_flip(b, "524288", 5 * B);
	host_flip(b, "524288", 127 * B);
	assert_int_equal(unlink(host_path(b, "0")), 0);
	assert_int_equal(fspf_verify(b->t.v, NULL, &transfer, &result, &err), -EBADMSG);
	assert_int_equal(result.damaged_files, 3);
	assert_int_equal(result.damaged_blocks, 3);
	assert_non_null(
		strstr(b->changes, "damaged: /p/4097 (host file 4097 does not verify: block 1)"));
	assert_non_null(strstr(b->changes,
			       "damaged: /p/524288 (host file 524288 does not verify: block 5)"));
	assert_non_null(strstr(b->changes, "damaged: /p/0 (host file 0 is gone)"));
	bed_free(b);
}

/* ---- what the items say ---- */

struct defect {
	const char *name;
	void (*make)(struct fspf_region *region, uint64_t object);
};

static void put(struct fspf_region *region, uint64_t object, enum fspf_item_type type,
		uint64_t offset, const void *value, size_t len)
{
	struct merkle_key key = fspf_key(object, type, offset);

	assert_int_equal(merkle_put(region->tree, &key, value, len), 0);
}

static void take(struct fspf_region *region, uint64_t object, enum fspf_item_type type,
		 uint64_t offset)
{
	struct merkle_key key = fspf_key(object, type, offset);

	assert_int_equal(merkle_delete(region->tree, &key), 0);
}

static void no_item(struct fspf_region *region, uint64_t object)
{
	take(region, object, FSPF_ITEM_IN_PLACE, 0);
}

static void no_leaves(struct fspf_region *region, uint64_t object)
{
	take(region, object, FSPF_ITEM_VERITY, 0);
}

static void no_last_leaves(struct fspf_region *region, uint64_t object)
{
	take(region, object, FSPF_ITEM_VERITY, 64);
}

static void more_leaves(struct fspf_region *region, uint64_t object)
{
	uint8_t leaf[32] = {1};

	put(region, object, FSPF_ITEM_VERITY, 128, leaf, sizeof(leaf));
}

static void leaves_malformed(struct fspf_region *region, uint64_t object)
{
	uint8_t leaf[33] = {1};

	put(region, object, FSPF_ITEM_VERITY, 64, leaf, sizeof(leaf));
}

static void leaves_zero(struct fspf_region *region, uint64_t object)
{
	uint8_t leaf[6 * 32 + 32] = {1};

	put(region, object, FSPF_ITEM_VERITY, 64, leaf, sizeof(leaf));
}

static void digest_wrong(struct fspf_region *region, uint64_t object)
{
	uint8_t item[33] = {1, 2, [32] = 'f'};

	put(region, object, FSPF_ITEM_IN_PLACE, 0, item, sizeof(item));
}

static void path_upwards(struct fspf_region *region, uint64_t object)
{
	uint8_t item[36] = {1, 2, [32] = '.', '.', '/', 'f'};

	put(region, object, FSPF_ITEM_IN_PLACE, 0, item, sizeof(item));
}

static void items_are_consistent(void **state)
{
	static const struct defect defects[] = {
		{"no item", no_item},
		{"no leaves", no_leaves},
		{"no last", no_last_leaves},
		{"more", more_leaves},
		{"malformed", leaves_malformed},
		{"zero", leaves_zero},
		{"digest", digest_wrong},
		{"upwards", path_upwards},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(defects); i++) {
		struct bed *b = bed_new();
		const struct fspf_transfer transfer = {.ctx = b, .report = collect};
		struct fspf_verify_result result;
		struct fspf_error err;

		host_make(b, "f", F_SIZE, 1);
		assert_int_equal(bed_record(b, false), 0);
		defects[i].make(bed_region(b), bed_ino(b, "/p/f") & FSPF_OBJECT_MAX);
		atomic_store(&b->t.v->stored.changed, atomic_load(&b->t.v->epoch));
		bed_reopen(b, false);
		assert_int_equal(fspf_verify(b->t.v, NULL, &transfer, &result, &err), -EBADMSG);
		if (!strstr(b->changes, "inconsistent: /p/f: what it says of its contents"))
			fail_msg("%s: %s", defects[i].name, b->changes);
		bed_free(b);
	}
}

static void paths_lead_down(void **state)
{
	static const char *const bad[] = {"",	"/",	"/a",	"a/",	 "a//b", ".",
					  "..", "a/..", "../a", "a/./b", "./a",	 "a/../b"};
	static const char *const good[] = {"a", "a/b", "...", ".a", "a..", "..a/b", "a b"};
	char longest[FSPF_HOST_PATH_MAX + 2];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(fspf_host_path_check(bad[i], &len), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(fspf_host_path_check(good[i], &len), 0);
	memset(longest, 'x', sizeof(longest));
	longest[FSPF_HOST_PATH_MAX + 1] = 0;
	assert_int_equal(fspf_host_path_check(longest, &len), -ENAMETOOLONG);
	longest[FSPF_HOST_PATH_MAX] = 0;
	assert_int_equal(fspf_host_path_check(longest, &len), 0);
}

/* ---- recording anew ---- */

static void expect_changes(struct bed *b, const char *const *want, size_t n)
{
	size_t found = 0;

	b->changes[0] = 0;
	assert_int_equal(bed_record(b, true), 0);
	for (size_t i = 0; i < n; i++) {
		char *at = strstr(b->changes, want[i]);

		if (!at)
			fail_msg("no %s in %s", want[i], b->changes);
	}
	for (const char *p = b->changes; *p; p++)
		found += *p == ' ';
	if (found != n)
		fail_msg("others than expected: %s", b->changes);
}

#define EXPECT(b, ...)                                                                             \
	expect_changes(b, (const char *const[]){__VA_ARGS__},                                      \
		       ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static void make_tree(struct bed *b)
{
	assert_int_equal(mkdir(host_path(b, "d"), 0755), 0);
	assert_int_equal(mkdir(host_path(b, "gone"), 0755), 0);
	assert_int_equal(mkdir(host_path(b, "gone/deep"), 0755), 0);
	host_make(b, "gone/deep/x", 10, 1);
	host_make(b, "gone/y", 10, 1);
	host_make(b, "d/same", 9000, 1);
	host_make(b, "d/other", 9000, 1);
	host_make(b, "mode", 10, 1);
	host_make(b, "kind", 10, 1);
	assert_int_equal(symlink("x", host_path(b, "link")), 0);
	host_make(b, "one", 10, 1);
	assert_int_equal(link(host_path(b, "one"), host_path(b, "two")), 0);
}

static void differences_are_told(void **state)
{
	struct bed *b = bed_new();
	struct fspf_attr same, attr;
	struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
	struct stat st;

	(void)state;
	make_tree(b);
	assert_int_equal(bed_record(b, false), 0);
	expect_changes(b, NULL, 0);
	same = bed_attr(b, "/p/d/same");

	host_make(b, "d/other", 9000, 2);
	host_make(b, "d/new", 5, 2);
	assert_int_equal(chmod(host_path(b, "mode"), 0600), 0);
	assert_int_equal(unlink(host_path(b, "kind")), 0);
	assert_int_equal(mkdir(host_path(b, "kind"), 0755), 0);
	assert_int_equal(unlink(host_path(b, "link")), 0);
	assert_int_equal(symlink("y", host_path(b, "link")), 0);
	assert_int_equal(utimensat(AT_FDCWD, host_path(b, "d"), times, 0), 0);
	assert_int_equal(unlink(host_path(b, "gone/deep/x")), 0);
	assert_int_equal(rmdir(host_path(b, "gone/deep")), 0);
	assert_int_equal(unlink(host_path(b, "gone/y")), 0);
	assert_int_equal(rmdir(host_path(b, "gone")), 0);
	EXPECT(b, "M/p/d/other ", "+/p/d/new ", "m/p/mode ", "-/p/kind ", "+/p/kind ", "M/p/link ",
	       "m/p/d ", "m/p ", "-/p/gone/deep/x ", "-/p/gone/deep ", "-/p/gone/y ", "-/p/gone ");
	attr = bed_attr(b, "/p/d/same");
	assert_memory_equal(&attr, &same, offsetof(struct fspf_attr, foreign));
	assert_int_equal(bed_attr(b, "/p/d").mtime.tv_sec, 2);
	assert_int_equal(bed_read(b, "/p/d/other", 9000, 2), 0);
	assert_int_equal(bed_attr(b, "/p/mode").mode, S_IFREG | 0600);
	assert_int_equal(stat(host_path(b, ""), &st), 0);
	assert_int_equal(bed_attr(b, "/p").mtime.tv_nsec, st.st_mtim.tv_nsec);
	expect_changes(b, NULL, 0);

	/* Links: of one file two are made, and the other way round. */
	assert_int_equal(bed_attr(b, "/p/one").nlink, 2);
	assert_int_equal(unlink(host_path(b, "two")), 0);
	host_make(b, "two", 10, 1);
	b->changes[0] = 0;
	assert_int_equal(bed_record(b, true), 0);
	assert_int_not_equal(bed_ino(b, "/p/one"), bed_ino(b, "/p/two"));
	assert_int_equal(bed_attr(b, "/p/one").nlink, 1);
	expect_changes(b, NULL, 0);
	bed_reopen(b, true);
	expect_changes(b, NULL, 0);
	assert_int_equal(bed_read(b, "/p/two", 10, 1), 0);
	bed_free(b);
}

static void xattrs_are_compared(void **state)
{
	struct bed *b = bed_new();

	(void)state;
	host_make(b, "f", 10, 1);
	host_make(b, "g", 10, 1);
	if (setxattr(host_path(b, "f"), "user.a", "1", 1, 0)) {
		bed_free(b);
		skip();
	}
	assert_int_equal(bed_record(b, false), 0);
	expect_changes(b, NULL, 0);
	assert_int_equal(setxattr(host_path(b, "f"), "user.a", "2", 1, 0), 0);
	EXPECT(b, "m/p/f ");
	assert_int_equal(removexattr(host_path(b, "f"), "user.a"), 0);
	assert_int_equal(setxattr(host_path(b, "f"), "user.b", "2", 1, 0), 0);
	EXPECT(b, "m/p/f ");
	assert_int_equal(fspf_getxattr(b->t.v, bed_ino(b, "/p/f"), "user.a", NULL, 0), -ENODATA);
	expect_changes(b, NULL, 0);
	bed_free(b);
}

/* ---- an older kernel ---- */

/* From here on openat2(2) is not there: for good, so this comes last. */
static void take_openat2_away(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		skip();
	assert_int_equal(syscall(SYS_openat2, -1, "", NULL, 0), -1);
	assert_int_equal(errno, ENOSYS);
}

static void without_openat2(void **state)
{
	take_openat2_away();
	what_was_recorded_reads_back(state);
	what_the_host_changes_is_noticed(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_recorded_reads_back),
		cmocka_unit_test(any_part_can_be_read),
		cmocka_unit_test(digests),
		cmocka_unit_test(each_block),
		cmocka_unit_test(what_the_host_changes_is_noticed),
		cmocka_unit_test(a_directory_that_is_not_there),
		cmocka_unit_test(many_files),
		cmocka_unit_test(verify_names_each_damaged_file),
		cmocka_unit_test(items_are_consistent),
		cmocka_unit_test(paths_lead_down),
		cmocka_unit_test(differences_are_told),
		cmocka_unit_test(xattrs_are_compared),
		cmocka_unit_test(without_openat2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
