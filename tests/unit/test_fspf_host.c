/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_host.c - a host directory passed through: every operation, while the host
 * keeps still
 */
#include <linux/falloc.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "tests/unit/test_fspf_host.h"

/* ---- operations ---- */

static void test_lookup(void **state)
{
	struct world *w = *state;
	uint64_t d, f;

	host_mkdir(w, "d");
	host_write(w, "d/f", "hello");
	d = look(w, TOP, "d");
	f = look(w, d, "f");
	assert_true(d != f && d > TOP && f > TOP);
	assert_true(look(w, d, "f") == f);
	assert_true(look(w, d, ".") == d);
	assert_true(look(w, f, ".") == f);
	assert_true(look(w, d, "..") == TOP);
	assert_true(look(w, TOP, "..") == TOP);
	assert_int_equal(look_error(w, d, "nothing"), -ENOENT);
	assert_int_equal(look_error(w, f, "x"), -ENOTDIR);
	assert_int_equal(look_error(w, f + 1, "x"), -ESTALE);
	assert_int_equal(look_error(w, 1, "d"), -ESTALE);
	assert_true(attr_of(w, f).size == 5);
	assert_true(attr_of(w, f).generation == 0);
	assert_true(S_ISDIR(attr_of(w, d).mode));
	assert_true(attr_of(w, f).btime.tv_sec > 0);
}

static void test_forget(void **state)
{
	struct world *w = *state;
	uint64_t d, f;

	host_mkdir(w, "d");
	host_write(w, "d/f", "hello");
	d = look(w, TOP, "d");
	f = look(w, d, "f");
	assert_true(look(w, d, "f") == f);
	fspf_host_forget(w->h, f, 1);
	assert_reads(w, f, "hello");
	/* A directory stays as long as what is below it. */
	fspf_host_forget(w->h, d, 1);
	assert_reads(w, f, "hello");
	assert_int_equal(files_known(w), 3);
	fspf_host_forget(w->h, f, 1);
	assert_int_equal(getattr_error(w, f), -ESTALE);
	assert_int_equal(getattr_error(w, d), -ESTALE);
	assert_int_equal(files_known(w), 1);
	/* The top always exists, and numbers are not used again. */
	fspf_host_forget(w->h, TOP, 100);
	fspf_host_forget(w->h, f, 1);
	attr_of(w, TOP);
	assert_true(look(w, TOP, "d") > f);
}

static void test_reference(void **state)
{
	struct world *w = *state;
	struct fspf_attr attr;
	uint64_t f;

	host_write(w, "f", "hello");
	f = look(w, TOP, "f");
	assert_int_equal(fspf_host_reference(w->h, f, &attr), 0);
	assert_true(attr.ino == f && attr.size == 5);
	fspf_host_forget(w->h, f, 1);
	assert_reads(w, f, "hello");
	fspf_host_forget(w->h, f, 1);
	assert_int_equal(fspf_host_reference(w->h, f, &attr), -ESTALE);
}

static void test_create(void **state)
{
	static const uint32_t kind[] = {S_IFREG, S_IFDIR, S_IFIFO, S_IFSOCK};
	struct world *w = *state;
	struct fspf_caller caller = {.uid = 1000, .gid = 1001, .umask = 027};
	struct fspf_attr attr;
	char name[16];

	umask(0077); /* ours is nobody's business */
	for (size_t i = 0; i < ARRAY_LEN(kind); i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		assert_int_equal(
			fspf_host_create_file(w->h, TOP, name, kind[i] | 0777, 0, &caller, &attr),
			0);
		assert_int_equal(attr.mode, kind[i] | 0750);
		assert_int_equal(attr.uid, geteuid() ? geteuid() : 1000);
		assert_int_equal(attr.gid, geteuid() ? getegid() : 1001);
		assert_int_equal(host_stat_of(w, name).st_mode, kind[i] | 0750);
		assert_int_equal(
			fspf_host_create_file(w->h, TOP, name, kind[i] | 0777, 0, &caller, &attr),
			-EEXIST);
		assert_true(look(w, TOP, name) == attr.ino);
	}
	assert_int_equal(
		fspf_host_create_file(w->h, TOP, "set", S_IFREG | 06755, 0, &caller, &attr), 0);
	assert_int_equal(attr.mode & 07777, 06750);
	if (geteuid() == 0) {
		assert_int_equal(fspf_host_create_file(w->h, TOP, "dev", S_IFCHR | 0666,
						       makedev(1, 3), &caller, &attr),
				 0);
		assert_true(attr.rdev == makedev(1, 3));
		assert_int_equal(read_error(w, attr.ino), -EINVAL);
	}
	assert_int_equal(fspf_host_create_file(w->h, TOP, "l", S_IFLNK | 0666, 0, &caller, &attr),
			 -EINVAL);
}

static void test_create_sgid_and_acl(void **state)
{
	/* version 2; owner rwx, owning group rwx, mask rwx, other r-x */
	static const uint8_t acl[] = {2,    0,	  0, 0, 1,    0,    7,	  0,	0xff, 0xff,
				      0xff, 0xff, 4, 0, 7,    0,    0xff, 0xff, 0xff, 0xff,
				      0x20, 0,	  5, 0, 0xff, 0xff, 0xff, 0xff};
	struct world *w = *state;
	struct fspf_caller caller = {.uid = 1000, .gid = 1001, .umask = 077};
	struct fspf_attr attr;
	uint64_t d;

	host_mkdir(w, "sgid");
	assert_int_equal(chmod(at(w, "sgid").text, 02775), 0);
	d = look(w, TOP, "sgid");
	assert_int_equal(fspf_host_create_file(w->h, d, "f", S_IFREG | 0666, 0, &caller, &attr), 0);
	assert_int_equal(attr.gid, attr_of(w, d).gid);
	assert_int_equal(attr.mode & 07777, 0600);
	assert_int_equal(fspf_host_create_file(w->h, d, "d", S_IFDIR | 0777, 0, &caller, &attr), 0);
	assert_int_equal(attr.mode & 07777, 02700);
	host_mkdir(w, "acl");
	if (setxattr(at(w, "acl").text, "system.posix_acl_default", acl, sizeof(acl), 0))
		return; /* the host has none */
	d = look(w, TOP, "acl");
	assert_int_equal(fspf_host_create_file(w->h, d, "f", S_IFREG | 0666, 0, &caller, &attr), 0);
	assert_int_equal(attr.mode & 07777, 0664);
}

static void test_symlink(void **state)
{
	struct world *w = *state;
	struct fspf_attr attr;
	char target[64];

	assert_int_equal(fspf_host_symlink(w->h, TOP, "l", "/etc/passwd", &caller_root, &attr), 0);
	assert_true(S_ISLNK(attr.mode));
	assert_int_equal(fspf_host_readlink(w->h, attr.ino, target, sizeof(target)), 11);
	assert_string_equal(target, "/etc/passwd");
	assert_int_equal(fspf_host_readlink(w->h, attr.ino, target, 11), -ERANGE);
	assert_int_equal(fspf_host_readlink(w->h, TOP, target, sizeof(target)), -EINVAL);
	assert_int_equal(read_error(w, attr.ino), -EINVAL);
	assert_int_equal(look_error(w, attr.ino, "x"), -ENOTDIR);
	assert_int_equal(fspf_host_symlink(w->h, TOP, "l", "x", &caller_root, &attr), -EEXIST);
	assert_int_equal(fspf_host_tmpfile(w->h, TOP, 0600, &caller_root, &attr), -EOPNOTSUPP);
}

static void test_setattr(void **state)
{
	struct world *w = *state;
	struct fspf_attr a = {.size = 3, .mode = 04711, .atime.tv_sec = 11, .mtime.tv_sec = 22}, b;
	uint64_t f;

	host_write(w, "f", "hello");
	f = look(w, TOP, "f");
	assert_int_equal(fspf_host_setattr(w->h, f,
					   FSPF_SET_SIZE | FSPF_SET_MODE | FSPF_SET_ATIME |
						   FSPF_SET_MTIME | FSPF_SET_CTIME,
					   &a, &b),
			 0);
	assert_true(b.ino == f && b.size == 3 && b.mode == (S_IFREG | 04711));
	assert_true(b.atime.tv_sec == 11 && b.mtime.tv_sec == 22);
	assert_int_equal(host_stat_of(w, "f").st_mtime, 22);
	assert_int_equal(fspf_host_setattr(w->h, f, FSPF_SET_MTIME_NOW, &a, &b), 0);
	assert_true(b.atime.tv_sec == 11 && b.mtime.tv_sec > 1000);
	assert_int_equal(fspf_host_setattr(w->h, f, FSPF_SET_KILL_PRIV, &a, &b), 0);
	assert_int_equal(b.mode & 07777, 0711);
	assert_int_equal(fspf_host_setattr(w->h, TOP, FSPF_SET_SIZE, &a, &b), -EISDIR);
	a.size = UINT64_MAX;
	assert_int_equal(fspf_host_setattr(w->h, f, FSPF_SET_SIZE, &a, &b), -EFBIG);
	a = (struct fspf_attr){.uid = 1, .gid = 2};
	if (geteuid() == 0) {
		assert_int_equal(fspf_host_setattr(w->h, f, FSPF_SET_UID | FSPF_SET_GID, &a, &b),
				 0);
		assert_true(b.uid == 1 && b.gid == 2);
	}
	/* All of that was ours. */
	assert_true(look(w, TOP, "f") == f);
}

/* What a symlink points to is never touched. */
static void test_setattr_symlink(void **state)
{
	struct world *w = *state;
	struct fspf_attr a = {.mtime.tv_sec = 22, .uid = 5, .mode = 0777}, b;
	struct stat before, after;
	uint64_t l;

	host_symlink(w, outside(w, "secret").text, "l");
	assert_int_equal(stat(outside(w, "secret").text, &before), 0);
	l = look(w, TOP, "l");
	assert_int_equal(fspf_host_setattr(w->h, l, FSPF_SET_MTIME, &a, &b), 0);
	assert_true(S_ISLNK(b.mode) && b.mtime.tv_sec == 22);
	assert_true(fspf_host_setattr(w->h, l, FSPF_SET_MODE, &a, &b) <= 0);
	if (geteuid() == 0) {
		assert_int_equal(fspf_host_setattr(w->h, l, FSPF_SET_UID, &a, &b), 0);
		assert_int_equal(b.uid, 5);
		assert_int_equal(fspf_host_setxattr(w->h, l, "trusted.x", "v", 1, 0, false), 0);
		assert_int_equal(getxattr(outside(w, "secret").text, "trusted.x", NULL, 0), -1);
	}
	assert_int_equal(stat(outside(w, "secret").text, &after), 0);
	assert_true(before.st_mode == after.st_mode && before.st_uid == after.st_uid &&
		    before.st_mtime == after.st_mtime);
}

static void test_data(void **state)
{
	struct world *w = *state;
	uint64_t f = make(w, TOP, "f", S_IFREG | 0644), at_offset;
	uint8_t *big = malloc(1 << 20), *back = malloc(1 << 20);

	for (size_t i = 0; i < 1 << 20; i++)
		big[i] = (uint8_t)(i * 7 + i / 251);
	assert_int_equal(fspf_host_write(w->h, f, 100, big, 1 << 20, 0), 1 << 20);
	assert_int_equal(fspf_host_read(w->h, f, 100, back, 1 << 20), 1 << 20);
	assert_memory_equal(big, back, 1 << 20);
	assert_int_equal(fspf_host_read(w->h, f, (1 << 20) + 90, back, 100), 10);
	assert_int_equal(fspf_host_read(w->h, f, 1 << 30, back, 100), 0);
	assert_int_equal(fspf_host_read(w->h, f, UINT64_MAX - 5, back, 100), 0);
	assert_int_equal(fspf_host_write(w->h, f, INT64_MAX, back, 100, 0), -EFBIG);
	assert_int_equal(fspf_host_fsync(w->h, f), 0);
	assert_int_equal(fspf_host_fsync(w->h, TOP), 0);
	assert_int_equal(read_error(w, TOP), -EISDIR);
	assert_int_equal(fspf_host_write(w->h, TOP, 0, big, 1, 0), -EISDIR);
	assert_int_equal(fspf_host_seek(w->h, f, 0, SEEK_HOLE, &at_offset), 0);
	assert_true(at_offset == (1 << 20) + 100);
	assert_int_equal(fspf_host_seek(w->h, f, 5 << 20, SEEK_DATA, &at_offset), -ENXIO);
	assert_int_equal(fspf_host_seek(w->h, f, 0, SEEK_SET, &at_offset), -EINVAL);
	assert_true(look(w, TOP, "f") == f);
	free(big);
	free(back);
}

static void test_fallocate(void **state)
{
	struct world *w = *state;
	uint64_t f = make(w, TOP, "f", S_IFREG | 0644);
	int r = fspf_host_fallocate(w->h, f, 0, 0, 8192);

	if (r == -EOPNOTSUPP)
		skip(); /* the host's file system has none */
	assert_int_equal(r, 0);
	assert_true(attr_of(w, f).size == 8192);
	write_text(w, f, "hello");
	assert_int_equal(
		fspf_host_fallocate(w->h, f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
		0);
	assert_int_equal(fspf_host_fallocate(w->h, f, FALLOC_FL_COLLAPSE_RANGE, 0, 4096),
			 -EOPNOTSUPP);
	assert_true(look(w, TOP, "f") == f);
}

static void test_copy_range(void **state)
{
	struct world *w = *state;
	uint64_t a = make(w, TOP, "a", S_IFREG | 0644), b = make(w, TOP, "b", S_IFREG | 0644);

	write_text(w, a, "0123456789");
	assert_int_equal(fspf_host_copy_range(w->h, a, 2, b, 0, 5), 5);
	assert_reads(w, b, "23456");
	assert_int_equal(fspf_host_copy_range(w->h, a, 8, b, 0, 100), 2);
	assert_reads(w, b, "89456");
	assert_int_equal(fspf_host_copy_range(w->h, a, 100, b, 0, 100), 0);
	assert_int_equal(fspf_host_copy_range(w->h, a, 0, a, 10, 5), 5);
	assert_reads(w, a, "012345678901234");
	assert_int_equal(fspf_host_copy_range(w->h, a, 0, a, 3, 5), -EINVAL);
	assert_true(look(w, TOP, "a") == a && look(w, TOP, "b") == b);
}

static void test_xattr(void **state)
{
	struct world *w = *state;
	uint64_t f = make(w, TOP, "f", S_IFREG | 0644);
	char value[16] = {0};
	int r = fspf_host_setxattr(w->h, f, "user.a", "value", 5, 0, false);

	if (r == -EOPNOTSUPP)
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(fspf_host_setxattr(w->h, f, "user.a", "v", 1, XATTR_CREATE, false),
			 -EEXIST);
	assert_int_equal(fspf_host_getxattr(w->h, f, "user.a", NULL, 0), 5);
	assert_int_equal(fspf_host_getxattr(w->h, f, "user.a", value, 2), -ERANGE);
	assert_int_equal(fspf_host_getxattr(w->h, f, "user.a", value, sizeof(value)), 5);
	assert_string_equal(value, "value");
	assert_true(fspf_host_listxattr(w->h, f, NULL, 0) >= 7);
	assert_int_equal(fspf_host_removexattr(w->h, f, "user.a"), 0);
	assert_int_equal(fspf_host_removexattr(w->h, f, "user.a"), -ENODATA);
	assert_int_equal(fspf_host_getxattr(w->h, f, "user.a", NULL, 0), -ENODATA);
}

static void test_kill_priv(void **state)
{
	struct world *w = *state;
	uint64_t f = make(w, TOP, "f", S_IFREG | 06755);

	assert_int_equal(chmod(at(w, "f").text, 06755), 0);
	if (geteuid() == 0) { /* else the host does as it likes */
		write_text(w, f, "x");
		assert_int_equal(attr_of(w, f).mode & 07777, 06755);
	}
	assert_int_equal(fspf_host_write(w->h, f, 0, "y", 1, FSPF_WRITE_KILL_PRIV), 1);
	assert_int_equal(attr_of(w, f).mode & 07777, 0755);
	if (geteuid() == 0) {
		assert_int_equal(chmod(at(w, "f").text, 02745), 0);
		assert_int_equal(fspf_host_write(w->h, f, 0, "y", 1, FSPF_WRITE_KILL_PRIV), 1);
		assert_int_equal(attr_of(w, f).mode & 07777, 02745); /* mandatory locking's */
	}
}

static void test_statfs(void **state)
{
	struct world *w = *state;
	struct fspf_statfs st;

	assert_int_equal(fspf_host_statfs(w->h, &st), 0);
	assert_true(st.blocks > 0 && st.blocks >= st.blocks_free &&
		    st.blocks_free >= st.blocks_available);
}

static void test_path_of(void **state)
{
	struct world *w = *state;
	uint64_t d = make(w, TOP, "d", S_IFDIR | 0755), f = make(w, d, "f", S_IFREG | 0644);
	char path[64];

	fspf_host_path_of(w->h, TOP, path, sizeof(path));
	assert_string_equal(path, "");
	fspf_host_path_of(w->h, f, path, sizeof(path));
	assert_string_equal(path, "d/f");
	assert_int_equal(fspf_host_unlink(w->h, d, "f"), 0);
	fspf_host_path_of(w->h, f, path, sizeof(path));
	assert_memory_equal(path, "inode ", 6);
	fspf_host_path_of(w->h, 7, path, sizeof(path));
	assert_string_equal(path, "inode 7");
}

static void test_read_only(void **state)
{
	struct world *w = *state;
	struct fspf_attr attr = {0};
	uint64_t f;
	int fd;

	host_write(w, "f", "hello");
	fspf_host_free(w->h);
	open_region(w, true);
	f = look(w, TOP, "f");
	assert_reads(w, f, "hello");
	assert_int_equal(fspf_host_write(w->h, f, 0, "x", 1, 0), -EROFS);
	assert_int_equal(fspf_host_open(w->h, f, true, &fd), -EROFS);
	assert_int_equal(fspf_host_setattr(w->h, f, FSPF_SET_MODE, &attr, &attr), -EROFS);
	assert_int_equal(fspf_host_create_file(w->h, TOP, "g", S_IFREG, 0, &caller_root, &attr),
			 -EROFS);
	assert_int_equal(fspf_host_symlink(w->h, TOP, "g", "x", &caller_root, &attr), -EROFS);
	assert_int_equal(fspf_host_tmpfile(w->h, TOP, 0600, &caller_root, &attr), -EROFS);
	assert_int_equal(fspf_host_link(w->h, f, TOP, "g", &attr), -EROFS);
	assert_int_equal(fspf_host_unlink(w->h, TOP, "f"), -EROFS);
	assert_int_equal(fspf_host_rmdir(w->h, TOP, "f"), -EROFS);
	assert_int_equal(fspf_host_rename(w->h, TOP, "f", TOP, "g", 0, &caller_root), -EROFS);
	assert_int_equal(fspf_host_fallocate(w->h, f, 0, 0, 10), -EROFS);
	assert_int_equal(fspf_host_copy_range(w->h, f, 0, f, 10, 1), -EROFS);
	assert_int_equal(fspf_host_setxattr(w->h, f, "user.a", "v", 1, 0, false), -EROFS);
	assert_int_equal(fspf_host_removexattr(w->h, f, "user.a"), -EROFS);
	assert_int_equal(fspf_host_fsync(w->h, f), 0);
}

/* ---- names that move and go ---- */

static void test_unlink_while_referenced(void **state)
{
	struct world *w = *state;
	size_t descriptors = open_descriptors();
	uint64_t f = make(w, TOP, "f", S_IFREG | 0644), d = make(w, TOP, "d", S_IFDIR | 0755);
	struct fspf_attr attr = {.mode = 0600};
	struct listed l;

	write_text(w, f, "still here");
	assert_int_equal(fspf_host_unlink(w->h, TOP, "f"), 0);
	assert_int_equal(look_error(w, TOP, "f"), -ENOENT);
	assert_reads(w, f, "still here");
	write_text(w, f, "even now ");
	assert_reads(w, f, "even now e");
	assert_true(attr_of(w, f).nlink == 0);
	assert_int_equal(fspf_host_setattr(w->h, f, FSPF_SET_MODE, &attr, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0600);
	assert_int_equal(fspf_host_rmdir(w->h, TOP, "d"), 0);
	attr_of(w, d);
	l = list(w, d, true);
	assert_int_equal(l.count, 2);
	assert_int_equal(fspf_host_create_file(w->h, d, "x", S_IFREG, 0, &caller_root, &attr),
			 -ENOENT);
	fspf_host_forget(w->h, f, 1);
	fspf_host_forget(w->h, d, 1);
	assert_int_equal(getattr_error(w, f), -ESTALE);
	assert_int_equal(files_known(w), 1);
	assert_int_equal(w->h->held, 0);
	assert_int_equal(open_descriptors(), descriptors);
}

static void test_unlink_errors(void **state)
{
	struct world *w = *state;

	make(w, TOP, "f", S_IFREG | 0644);
	make(w, make(w, TOP, "d", S_IFDIR | 0755), "x", S_IFREG | 0644);
	assert_int_equal(fspf_host_unlink(w->h, TOP, "nothing"), -ENOENT);
	assert_int_equal(fspf_host_unlink(w->h, TOP, "d"), -EISDIR);
	assert_int_equal(fspf_host_rmdir(w->h, TOP, "f"), -ENOTDIR);
	assert_int_equal(fspf_host_rmdir(w->h, TOP, "d"), -ENOTEMPTY);
	assert_int_equal(fspf_host_unlink(w->h, TOP, ".."), -EINVAL);
}

static void test_rename(void **state)
{
	struct world *w = *state;
	uint64_t a = make(w, TOP, "a", S_IFDIR | 0755), b = make(w, TOP, "b", S_IFDIR | 0755);
	uint64_t sub = make(w, a, "sub", S_IFDIR | 0755), f = make(w, sub, "f", S_IFREG | 0644);
	char path[64];

	write_text(w, f, "moved");
	assert_int_equal(fspf_host_rename(w->h, a, "sub", b, "bus", 0, &caller_root), 0);
	assert_reads(w, f, "moved");
	fspf_host_path_of(w->h, f, path, sizeof(path));
	assert_string_equal(path, "b/bus/f");
	assert_true(look(w, b, "bus") == sub);
	assert_true(look(w, sub, "..") == b);
	assert_int_equal(fspf_host_rename(w->h, a, "sub", b, "x", 0, &caller_root), -ENOENT);
	assert_int_equal(fspf_host_rename(w->h, TOP, "b", sub, "x", 0, &caller_root), -EINVAL);
	assert_int_equal(fspf_host_rename(w->h, TOP, "a", TOP, "b", RENAME_NOREPLACE, &caller_root),
			 -EEXIST);
	assert_int_equal(fspf_host_rename(w->h, TOP, "a", b, "bus", RENAME_EXCHANGE, &caller_root),
			 0);
	assert_reads(w, f, "moved");
	assert_true(look(w, TOP, "a") == sub);
	assert_true(look(w, b, "bus") == a);
	fspf_host_path_of(w->h, f, path, sizeof(path));
	assert_string_equal(path, "a/f");
}

static void test_rename_over(void **state)
{
	struct world *w = *state;
	uint64_t a = make(w, TOP, "a", S_IFREG | 0644), b = make(w, TOP, "b", S_IFREG | 0644);
	struct fspf_attr attr;

	write_text(w, a, "new");
	write_text(w, b, "old");
	assert_int_equal(fspf_host_rename(w->h, TOP, "a", TOP, "b", 0, &caller_root), 0);
	assert_reads(w, a, "new");
	assert_reads(w, b, "old");
	assert_true(look(w, TOP, "b") == a);
	assert_int_equal(w->h->held, 1);
	fspf_host_forget(w->h, b, 1);
	assert_int_equal(w->h->held, 0);
	/* Two names of one file: nothing happens. */
	assert_int_equal(fspf_host_link(w->h, a, TOP, "c", &attr), 0);
	assert_int_equal(fspf_host_rename(w->h, TOP, "b", TOP, "c", 0, &caller_root), 0);
	assert_true(look(w, TOP, "b") == a && look(w, TOP, "c") == a);
	assert_int_equal(w->h->held, 0);
}

static void test_hard_links(void **state)
{
	struct world *w = *state;
	uint64_t a = make(w, TOP, "a", S_IFREG | 0644);
	struct fspf_attr attr;

	write_text(w, a, "text");
	assert_int_equal(fspf_host_link(w->h, a, TOP, "b", &attr), 0);
	assert_true(attr.ino == a && attr.nlink == 2);
	assert_int_equal(fspf_host_link(w->h, a, TOP, "b", &attr), -EEXIST);
	assert_int_equal(fspf_host_link(w->h, TOP, TOP, "t", &attr), -EPERM);
	assert_int_equal(link(at(w, "a").text, at(w, "c").text), 0);
	assert_true(look(w, TOP, "c") == a);
	assert_true(attr_of(w, a).nlink == 3);
	/* Another name is as good: nothing needs to be held open. */
	assert_int_equal(fspf_host_unlink(w->h, TOP, "c"), 0);
	assert_int_equal(fspf_host_unlink(w->h, TOP, "a"), 0);
	assert_int_equal(w->h->held, 0);
	assert_reads(w, a, "text");
	/* The other name is there no more, for the host took it away. */
	assert_int_equal(fspf_host_link(w->h, a, TOP, "d", &attr), 0);
	assert_int_equal(unlink(at(w, "b").text), 0);
	assert_reads(w, a, "text");
	assert_int_equal(fspf_host_unlink(w->h, TOP, "d"), 0);
	assert_int_equal(w->h->held, 1);
	assert_reads(w, a, "text");
}

static void test_many_links(void **state)
{
	struct world *w = *state;
	uint64_t a = make(w, TOP, "a", S_IFREG | 0644);
	struct host_file *file;
	struct fspf_attr attr;
	char name[16];
	size_t n = 0;

	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "l%u", i);
		assert_int_equal(fspf_host_link(w->h, a, TOP, name, &attr), 0);
	}
	assert_int_equal(host_get(w->h, a, &file), 0);
	for (const struct host_name *l = file->names; l; l = l->next)
		n++;
	host_put(w->h, file);
	assert_int_equal(n, HOST_NAMES);
	for (unsigned i = 100; i-- > 0;) {
		snprintf(name, sizeof(name), "l%u", i);
		assert_int_equal(fspf_host_unlink(w->h, TOP, name), 0);
		assert_int_equal(getattr_error(w, a), 0);
	}
}

/* ---- directories ---- */

static void test_readdir(void **state)
{
	struct world *w = *state;
	uint64_t d = make(w, TOP, "d", S_IFDIR | 0755), f = make(w, d, "f", S_IFREG | 0644);
	struct listed l, first = {.stop_at = 1};
	int i;

	host_symlink(w, "/etc", "d/l");
	l = list(w, d, false);
	assert_int_equal(l.count, 4);
	assert_string_equal(l.entry[0].name, ".");
	assert_true(l.entry[0].ino == d);
	assert_string_equal(l.entry[1].name, "..");
	assert_true(l.entry[1].ino == TOP);
	i = listed_at(&l, "l");
	assert_true(i >= 2 && !l.entry[i].has_attr && l.entry[i].type == DT_LNK);
	l = list(w, d, true);
	i = listed_at(&l, "f");
	assert_true(i >= 2 && l.entry[i].has_attr && l.entry[i].ino == f);
	assert_false(l.entry[0].has_attr || l.entry[1].has_attr);
	/* That was a reference, and the one on what stops is given back. */
	fspf_host_forget(w->h, f, 1);
	attr_of(w, f);
	fspf_host_forget(w->h, f, 1);
	assert_int_equal(getattr_error(w, f), -ESTALE);
	i = listed_at(&l, "l");
	fspf_host_forget(w->h, l.entry[i].ino, 1);
	assert_int_equal(files_known(w), 2);
	first.stop_at = 2;
	assert_int_equal(fspf_host_readdir(w->h, d, 0, true, list_entry, &first), 0);
	assert_int_equal(first.count, 2);
	assert_int_equal(files_known(w), 2);
	assert_int_equal(fspf_host_readdir(w->h, TOP, UINT64_MAX, false, list_entry, &l), -EINVAL);
	f = look(w, d, "f");
	assert_int_equal(fspf_host_readdir(w->h, f, 0, false, list_entry, &l), -ENOTDIR);
}

enum { MANY = 3000 };

struct paging {
	struct world *w;
	uint64_t dir;
	unsigned char *seen; /* MANY of them */
	uint64_t cookie;
	size_t left; /* of this page */
	size_t total;
};

static int page_entry(void *ctx, const struct fspf_entry *e)
{
	struct paging *p = ctx;
	unsigned long i;

	if (p->left == 0)
		return 1;
	p->left--;
	p->cookie = e->cookie;
	if (e->name[0] == '.')
		return 0;
	i = strtoul(e->name, NULL, 10);
	assert_true(i < MANY);
	p->seen[i]++;
	p->total++;
	assert_true(p->total <= MANY); /* or it goes round in circles */
	if (e->attr)
		fspf_host_forget(p->w->h, e->attr->ino, 1);
	return 0;
}

/* All pages of @size entries; @unlink_seen: what was seen goes after each page. */
static void page_through(struct paging *p, size_t size, bool with_attr, bool unlink_seen)
{
	size_t before = SIZE_MAX;
	char name[32];

	p->cookie = 0;
	p->total = 0;
	memset(p->seen, 0, MANY);
	while (p->total != before) {
		before = p->total;
		p->left = size + (p->cookie == 0 ? 2 : 0);
		assert_int_equal(
			fspf_host_readdir(p->w->h, p->dir, p->cookie, with_attr, page_entry, p), 0);
		for (unsigned i = 0; i < MANY && unlink_seen; i++) {
			if (p->seen[i] != 1)
				continue;
			snprintf(name, sizeof(name), "%u", i);
			p->seen[i] = 2; /* gone */
			assert_int_equal(fspf_host_unlink(p->w->h, p->dir, name), 0);
		}
	}
}

static void make_many(struct world *w, uint64_t dir)
{
	char name[32];

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%u", i);
		fspf_host_forget(w->h, make(w, dir, name, S_IFREG | 0644), 1);
	}
}

/* Where positions are small numbers one after the other; on many a disk they are hashes. */
static int setup_in_memory(void **state)
{
	return access("/dev/shm", W_OK) ? setup(state) : setup_in("/dev/shm", state);
}

static void test_readdir_pages(void **state)
{
	struct world *w = *state;
	struct paging p = {.w = w, .dir = make(w, TOP, "d", S_IFDIR | 0755)};

	p.seen = malloc(MANY);
	make_many(w, p.dir);
	page_through(&p, 100, false, false);
	assert_int_equal(p.total, MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(p.seen[i], 1);
	page_through(&p, 1, false, false);
	assert_int_equal(p.total, MANY);
	page_through(&p, 77, true, true);
	assert_int_equal(p.total, MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(p.seen[i], 2);
	assert_int_equal(fspf_host_rmdir(w->h, TOP, "d"), 0);
	assert_int_equal(files_known(w), 2);
	free(p.seen);
}

/* ---- one file ---- */

static void test_single_file(void **state)
{
	struct world *w = *state;
	struct fspf_host *h = w->h;
	struct fspf_attr attr;

	host_write(w, "f", "one");
	host_touch(w, "f", 1000);
	assert_int_equal(fspf_host_new(at(w, "f").text, BASE_INO, false, &w->h), 0);
	assert_true(S_ISREG(attr_of(w, TOP).mode));
	assert_reads(w, TOP, "one");
	write_text(w, TOP, "two");
	assert_int_equal(look_error(w, TOP, "x"), -ENOTDIR);
	assert_int_equal(fspf_host_cover(w->h, "x", 1), -ENOTDIR);
	assert_int_equal(fspf_host_create_file(w->h, TOP, "x", S_IFREG, 0, &caller_root, &attr),
			 -ENOTDIR);
	assert_int_equal(fspf_host_top(w->h, &attr), 0);
	assert_true(attr.ino == TOP && attr.size == 3);
	host_touch(w, "f", 2000);
	assert_int_equal(fspf_host_top(w->h, &attr), 0);
	assert_true(attr.ino > TOP);
	assert_reads(w, attr.ino, "two");
	fspf_host_forget(w->h, attr.ino, 1);
	fspf_host_forget(w->h, TOP, 7);
	assert_reads(w, TOP, "two");
	/* Replaced on the host, it is what it was, as with a bind mount. */
	host_write(w, "g", "three");
	host_rename(w, "g", "f");
	assert_reads(w, TOP, "two");
	fspf_host_free(w->h);
	w->h = h;
}

/* A descriptor of the file itself, and of no other kind of file. */
static void test_open(void **state)
{
	struct world *w = *state;
	uint64_t d = make(w, TOP, "d", S_IFDIR | 0755), f = make(w, TOP, "f", S_IFREG | 0644);
	uint64_t fifo = make(w, TOP, "fifo", S_IFIFO | 0644);
	char text[8] = "";
	int fd, reader;

	assert_int_equal(fspf_host_open(w->h, d, false, &fd), -EISDIR);
	assert_int_equal(fspf_host_open(w->h, fifo, false, &fd), -EINVAL);
	assert_int_equal(fspf_host_open(w->h, TOP + 1000, false, &fd), -ESTALE);
	assert_int_equal(fspf_host_open(w->h, f, true, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(fd, "here", 4), 4);
	assert_reads(w, f, "here");
	assert_int_equal(fspf_host_open(w->h, f, false, &reader), 0);
	assert_int_equal(write(reader, "x", 1), -1);
	assert_int_equal(pread(reader, text, 4, 0), 4);
	assert_string_equal(text, "here");
	close(reader);
	/* Without a name it is held open, and opened again. */
	assert_int_equal(fspf_host_unlink(w->h, TOP, "f"), 0);
	assert_int_equal(fspf_host_open(w->h, f, false, &reader), 0);
	close(reader);
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_lookup),
		TEST(test_forget),
		TEST(test_reference),
		TEST(test_create),
		TEST(test_create_sgid_and_acl),
		TEST(test_symlink),
		TEST(test_setattr),
		TEST(test_setattr_symlink),
		TEST(test_data),
		TEST(test_fallocate),
		TEST(test_copy_range),
		TEST(test_xattr),
		TEST(test_kill_priv),
		TEST(test_statfs),
		TEST(test_path_of),
		TEST(test_read_only),
		TEST(test_unlink_while_referenced),
		TEST(test_unlink_errors),
		TEST(test_rename),
		TEST(test_rename_over),
		TEST(test_hard_links),
		TEST(test_many_links),
		TEST(test_readdir),
		TEST(test_readdir_pages),
		cmocka_unit_test_setup_teardown(test_readdir_pages, setup_in_memory, teardown),
		TEST(test_single_file),
		TEST(test_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
