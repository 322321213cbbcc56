/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_transfer.c - fspf_import and fspf_export, over a volume in a directory
 *
 * Host trees are made below a private directory; the volume has no key, so that opening it costs
 * nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fspf/fspf.h"
#include "fspf/store.h"

#define BIG (3u << 20) /* bytes of a file that takes several pieces */

static char directory[] = "/tmp/fspf-transfer-XXXXXX";

struct seen {
	int reports;
	int last_code;
	int steps;
	int stop_after; /* steps; 0: never */
};

static void on_report(void *ctx, const struct fspf_report *report)
{
	struct seen *s = ctx;

	s->reports++;
	s->last_code = report->code;
}

static int on_progress(void *ctx, const struct fspf_progress *progress)
{
	struct seen *s = ctx;

	assert_non_null(progress->path);
	s->steps++;
	return s->stop_after && s->steps >= s->stop_after;
}

static struct fspf_transfer transfer_of(struct seen *s)
{
	return (struct fspf_transfer){.progress = on_progress, .report = on_report, .ctx = s};
}

/* ---- host files ---- */

static const char *path_of(const char *name)
{
	static char paths[4][256];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(paths[i], sizeof(paths[i]), "%s/%s", directory, name);
	return paths[i];
}

static void put_file(const char *name, const void *data, size_t len)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static size_t get_file(const char *name, void *data, size_t size)
{
	int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, data, size);
	assert_true(n >= 0);
	close(fd);
	return (size_t)n;
}

static void make_directory(const char *name)
{
	assert_int_equal(mkdir(path_of(name), 0755), 0);
}

static struct stat stat_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(path_of(name), &st), 0);
	return st;
}

static bool exists(const char *name)
{
	return !access(path_of(name), F_OK);
}

/* ---- the volume ---- */

static int set_up_group(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down_group(void **state)
{
	(void)state;
	return rmdir(directory);
}

static struct fspf_volume *open_volume(void)
{
	struct fspf_open_params params = {.path = path_of("volume"),
					  .commit_interval_ms = UINT32_MAX};
	struct fspf_volume *v;

	assert_int_equal(fspf_anchor_none(&params.anchor), 0);
	assert_int_equal(fspf_open(&params, &v, NULL), 0);
	return v;
}

static int set_up(void **state)
{
	const struct fspf_create_params params = {.path = path_of("volume"), .authenticated = true};
	struct crypto_digest tag;

	assert_int_equal(fspf_create(&params, &tag, NULL), 0);
	make_directory("src");
	*state = open_volume();
	return 0;
}

static int tear_down(void **state)
{
	char command[256];

	assert_int_equal(fspf_close(*state, NULL, NULL), 0);
	snprintf(command, sizeof(command), "chmod -R u+rwx %s && rm -rf %s/*", directory,
		 directory);
	return system(command);
}

static int import(struct fspf_volume *v, const char *path, const char *source)
{
	return fspf_import(v, path, path_of(source), NULL, NULL);
}

static int export(struct fspf_volume *v, const char *path, const char *destination)
{
	return fspf_export(v, path, path_of(destination), NULL, NULL);
}

/* ---- tests ---- */

static void fill(uint8_t *data, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
}

static void contents_of_all_sizes(void **state)
{
	static const size_t sizes[] = {0,    1,	   2047, 2048, 2049,	4095,
				       4096, 4097, 8192, BIG,  BIG - 1, BIG + 1};
	static uint8_t in[BIG + 1], out[BIG + 2];
	char name[32];

	fill(in, sizeof(in), 1);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		snprintf(name, sizeof(name), "src/%zu", sizes[i]);
		put_file(name, in, sizes[i]);
	}
	assert_int_equal(import(*state, "/", "src"), 0);
	assert_int_equal(export(*state, "/", "out"), 0);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		snprintf(name, sizeof(name), "out/%zu", sizes[i]);
		assert_int_equal(get_file(name, out, sizeof(out)), sizes[i]);
		assert_memory_equal(in, out, sizes[i]);
	}
}

static void holes(void **state)
{
	const off_t size = 20 << 20;
	struct stat st;
	uint8_t c;
	int fd = open(path_of("src/sparse"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(pwrite(fd, "x", 1, 5 << 20), 1);
	close(fd);
	assert_int_equal(truncate(path_of("src/sparse"), size), 0);
	assert_int_equal(import(*state, "/", "src"), 0);
	assert_int_equal(export(*state, "/", "out"), 0);
	st = stat_of("out/sparse");
	assert_int_equal(st.st_size, size);
	assert_true(st.st_blocks * 512 < 1 << 20);
	fd = open(path_of("out/sparse"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &c, 1, 5 << 20), 1);
	assert_int_equal(c, 'x');
	close(fd);
}

static void attributes(void **state)
{
	const struct timespec times[2] = {{.tv_sec = 2208988800 + 5, .tv_nsec = 123456789},
					  {.tv_sec = -5, .tv_nsec = 987654321}};
	char value[8];
	struct stat st;

	make_directory("src/d");
	put_file("src/d/f", "x", 1);
	assert_int_equal(symlink("f", path_of("src/d/l")), 0);
	assert_int_equal(mkfifo(path_of("src/d/p"), 0640), 0);
	(void)!setxattr(path_of("src/d/f"), "user.name", "value", 5, 0);
	assert_int_equal(chmod(path_of("src/d/f"), 06751), 0);
	assert_int_equal(utimensat(AT_FDCWD, path_of("src/d/l"), times, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(utimensat(AT_FDCWD, path_of("src/d/f"), times, 0), 0);
	assert_int_equal(chmod(path_of("src/d"), 0500), 0);
	assert_int_equal(utimensat(AT_FDCWD, path_of("src/d"), times, 0), 0);

	assert_int_equal(import(*state, "/a/b", "src"), 0);
	assert_int_equal(export(*state, "/a/b", "out"), 0);
	st = stat_of("out/d");
	assert_int_equal(st.st_mode, S_IFDIR | 0500);
	assert_int_equal(st.st_mtim.tv_sec, -5);
	st = stat_of("out/d/f");
	assert_int_equal(st.st_mode, S_IFREG | 06751);
	assert_int_equal(st.st_atim.tv_nsec, 123456789);
	assert_int_equal(st.st_mtim.tv_nsec, 987654321);
	st = stat_of("out/d/l");
	assert_int_equal(st.st_mtim.tv_sec, -5);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat_of("out/d/p").st_mode, S_IFIFO | 0640);
	if (getxattr(path_of("src/d/f"), "user.name", value, sizeof(value)) == 5)
		assert_int_equal(getxattr(path_of("out/d/f"), "user.name", value, sizeof(value)),
				 5);
}

static void links_stay_links(void **state)
{
	struct stat a, b;

	make_directory("src/sub");
	put_file("src/a", "x", 1);
	assert_int_equal(link(path_of("src/a"), path_of("src/sub/b")), 0);
	assert_int_equal(import(*state, "/", "src"), 0);
	/* Again, over what is there: still one file. */
	assert_int_equal(import(*state, "/", "src"), 0);
	assert_int_equal(export(*state, "/", "out"), 0);
	a = stat_of("out/a");
	b = stat_of("out/sub/b");
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_nlink, 2);
}

static void what_is_there_is_replaced(void **state)
{
	struct seen seen = {0};
	const struct fspf_transfer transfer = transfer_of(&seen);
	char text[8];

	put_file("src/file", "old", 3);
	assert_int_equal(symlink("x", path_of("src/link")), 0);
	make_directory("src/dir");
	put_file("src/dir/inside", "1", 1);
	put_file("src/stays", "1", 1);
	assert_int_equal(import(*state, "/", "src"), 0);

	make_directory("new");
	put_file("new/file", "newer", 5);
	make_directory("new/link");
	put_file("new/dir", "a file", 6);
	assert_int_equal(fspf_import(*state, "/", path_of("new"), &transfer, NULL), -EISDIR);
	assert_int_equal(seen.reports, 1); /* a file does not replace a directory */

	assert_int_equal(export(*state, "/", "out"), 0);
	assert_int_equal(get_file("out/file", text, sizeof(text)), 5);
	assert_memory_equal(text, "newer", 5);
	assert_true(S_ISDIR(stat_of("out/link").st_mode));
	assert_true(exists("out/dir/inside") && exists("out/stays"));
}

static void single_files(void **state)
{
	struct fspf_attr attr;
	char text[8];

	put_file("src/one", "1", 1);
	assert_int_equal(import(*state, "/", "src/one"), 0);
	assert_int_equal(import(*state, "/x/other", "src/one"), 0);
	assert_int_equal(import(*state, "/y/", "src/one"), 0);
	assert_int_equal(import(*state, "/one/z", "src/one"), -ENOTDIR);
	assert_int_equal(import(*state, "relative", "src/one"), -EINVAL);
	assert_int_equal(import(*state, "/x/../one", "src/one"), -EINVAL);
	assert_int_equal(import(*state, "/none", "src/none"), -ENOENT);
	assert_int_equal(fspf_resolve(*state, "/none", &attr), -ENOENT);

	make_directory("out");
	assert_int_equal(export(*state, "/one", "out"), 0);
	assert_int_equal(export(*state, "/x/other", "out"), 0);
	assert_int_equal(export(*state, "/y/one", "out/third"), 0);
	assert_true(exists("out/one") && exists("out/other") && exists("out/third"));
	assert_int_equal(get_file("out/third", text, sizeof(text)), 1);
	assert_int_equal(export(*state, "/y/one", "out/third"), -EEXIST);
	assert_int_equal(export(*state, "/y", "out"), -ENOTEMPTY);
	assert_int_equal(export(*state, "/y", "none/out"), -ENOENT);
	assert_int_equal(export(*state, "/nothing", "out2"), -ENOENT);
	assert_false(exists("out2"));
}

/* The caller stops it: an error, and no file that is not whole. */
static void stopping(void **state)
{
	static uint8_t data[BIG];
	struct seen seen = {.stop_after = 2};
	const struct fspf_transfer transfer = transfer_of(&seen);
	struct fspf_error err;
	struct fspf_attr attr;

	fill(data, sizeof(data), 2);
	put_file("src/big", data, sizeof(data));
	assert_int_equal(fspf_import(*state, "/", path_of("src"), &transfer, &err), -ECANCELED);
	assert_non_null(strstr(err.text, "interrupted"));
	assert_int_equal(fspf_resolve(*state, "/big", &attr), -ENOENT);

	assert_int_equal(import(*state, "/", "src"), 0);
	seen.steps = 0;
	assert_int_equal(fspf_export(*state, "/", path_of("out"), &transfer, &err), -ECANCELED);
	assert_false(exists("out/big"));
}

static void damage_segment(unsigned byte)
{
	int fd = open(path_of("volume/segments/00000001"), O_RDWR | O_CLOEXEC);
	uint8_t block[FSPF_BLOCK_SIZE];
	off_t at = 0;

	/* The first block that holds the file's bytes. */
	assert_true(fd >= 0);
	while (pread(fd, block, sizeof(block), at) == sizeof(block) &&
	       (block[0] != byte || memcmp(block, block + 1, sizeof(block) - 1)))
		at += (off_t)sizeof(block);
	block[7] ^= 1;
	assert_int_equal(pwrite(fd, block, sizeof(block), at), sizeof(block));
	close(fd);
}

static void a_damaged_file_is_left_out(void **state)
{
	static uint8_t data[BIG];
	struct seen seen = {0};
	const struct fspf_transfer transfer = transfer_of(&seen);
	struct fspf_error err;

	memset(data, 'd', sizeof(data));
	put_file("src/damaged", data, sizeof(data));
	memset(data, 'w', sizeof(data));
	put_file("src/whole", data, sizeof(data));
	assert_int_equal(import(*state, "/", "src"), 0);
	assert_int_equal(fspf_close(*state, NULL, NULL), 0);
	damage_segment('d');
	*state = open_volume();

	assert_int_equal(fspf_export(*state, "/", path_of("out"), &transfer, &err), -EBADMSG);
	assert_int_equal(seen.reports, 1);
	assert_int_equal(seen.last_code, -EBADMSG);
	assert_non_null(strstr(err.text, "/damaged"));
	assert_false(exists("out/damaged"));
	assert_int_equal(stat_of("out/whole").st_size, BIG);
}

static void a_deep_tree(void **state)
{
	const int levels = 1500; /* a path of 6000 bytes: no system call would take it */
	struct stat st;
	int fd = open(path_of("src"), O_RDONLY | O_CLOEXEC), next;

	for (int i = 0; i < levels; i++) {
		assert_int_equal(mkdirat(fd, "abc", 0700), 0);
		next = openat(fd, "abc", O_RDONLY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(fd);
	assert_int_equal(import(*state, "/", "src"), 0);
	assert_int_equal(export(*state, "/", "out"), 0);
	fd = open(path_of("out"), O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < levels; i++) {
		next = openat(fd, "abc", O_RDONLY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	assert_int_equal(fstatat(fd, "abc", &st, 0), -1);
	close(fd);
}

static void symlinks_are_not_followed(void **state)
{
	make_directory("src/real");
	put_file("src/real/f", "x", 1);
	assert_int_equal(symlink("..", path_of("src/up")), 0);
	assert_int_equal(symlink("/nonexistent/target", path_of("src/dangling")), 0);
	assert_int_equal(symlink("src", path_of("top")), 0);
	assert_int_equal(import(*state, "/", "top"), 0); /* but the top itself is */
	assert_int_equal(export(*state, "/", "out"), 0);
	assert_true(S_ISLNK(stat_of("out/up").st_mode));
	assert_true(S_ISLNK(stat_of("out/dangling").st_mode));
	assert_true(exists("out/real/f"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(contents_of_all_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(holes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(attributes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_stay_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_there_is_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(single_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stopping, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_left_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_deep_tree, set_up, tear_down),
		cmocka_unit_test_setup_teardown(symlinks_are_not_followed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
