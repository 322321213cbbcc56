/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_host.h - a host region on a directory of its own, and the host beside it
 *
 * BASE/dir is served; BASE/outside is what must never be seen, and BASE/outside/secret says SECRET.
 * The host acts by paths (host_*), the region by numbers (the rest).
 */
#ifndef FSPF_TESTS_UNIT_TEST_FSPF_HOST_H
#define FSPF_TESTS_UNIT_TEST_FSPF_HOST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fspf/host_internal.h"

#define BASE_INO (UINT64_C(5) << FSPF_OBJECT_BITS)
#define TOP (BASE_INO | 1)
#define SECRET "SECRET: from outside"
#define PATH_SIZE 4096

struct world {
	char base[256];
	struct fspf_host *h;
};

static const struct fspf_caller caller_root = {0};

/* ---- the host ---- */

struct host_text {
	char text[PATH_SIZE];
};

/* A path: @rel in the served directory. */
static inline struct host_text at(const struct world *w, const char *rel)
{
	struct host_text path;

	snprintf(path.text, sizeof(path.text), "%s/dir%s%s", w->base, *rel ? "/" : "", rel);
	return path;
}

static inline struct host_text outside(const struct world *w, const char *rel)
{
	struct host_text path;

	snprintf(path.text, sizeof(path.text), "%s/outside/%s", w->base, rel);
	return path;
}

static inline void host_write_path(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static inline void host_write(const struct world *w, const char *rel, const char *text)
{
	host_write_path(at(w, rel).text, text);
}

static inline void host_mkdir(const struct world *w, const char *rel)
{
	assert_int_equal(mkdir(at(w, rel).text, 0755), 0);
}

static inline void host_rename(const struct world *w, const char *from, const char *to)
{
	assert_int_equal(rename(at(w, from).text, at(w, to).text), 0);
}

static inline void host_symlink(const struct world *w, const char *target, const char *rel)
{
	assert_int_equal(symlink(target, at(w, rel).text), 0);
}

/* The second: a change that cannot be missed for lack of a tick. */
static inline void host_touch(const struct world *w, const char *rel, time_t mtime)
{
	const struct timespec t[2] = {{.tv_sec = mtime}, {.tv_sec = mtime}};

	assert_int_equal(utimensat(AT_FDCWD, at(w, rel).text, t, AT_SYMLINK_NOFOLLOW), 0);
}

static inline struct stat host_stat_of(const struct world *w, const char *rel)
{
	struct stat st;

	assert_int_equal(lstat(at(w, rel).text, &st), 0);
	return st;
}

/* ---- the region ---- */

static inline struct fspf_attr look_attr(const struct world *w, uint64_t parent, const char *name)
{
	struct fspf_attr attr;

	assert_int_equal(fspf_host_lookup(w->h, parent, name, &attr), 0);
	assert_true(attr.foreign);
	assert_true(attr.ino >> FSPF_OBJECT_BITS == BASE_INO >> FSPF_OBJECT_BITS);
	return attr;
}

static inline uint64_t look(const struct world *w, uint64_t parent, const char *name)
{
	return look_attr(w, parent, name).ino;
}

/* The number of a path, with a reference on it and on all before it. */
static inline uint64_t look_path(const struct world *w, const char *rel)
{
	char copy[PATH_SIZE], *save = NULL;
	uint64_t ino = TOP;

	snprintf(copy, sizeof(copy), "%s", rel);
	for (char *n = strtok_r(copy, "/", &save); n; n = strtok_r(NULL, "/", &save))
		ino = look(w, ino, n);
	return ino;
}

static inline int look_error(const struct world *w, uint64_t parent, const char *name)
{
	struct fspf_attr attr;

	return fspf_host_lookup(w->h, parent, name, &attr);
}

static inline struct fspf_attr attr_of(const struct world *w, uint64_t ino)
{
	struct fspf_attr attr;

	assert_int_equal(fspf_host_getattr(w->h, ino, &attr), 0);
	assert_true(attr.ino == ino);
	return attr;
}

static inline int getattr_error(const struct world *w, uint64_t ino)
{
	struct fspf_attr attr;

	return fspf_host_getattr(w->h, ino, &attr);
}

static inline uint64_t make(const struct world *w, uint64_t parent, const char *name, uint32_t mode)
{
	struct fspf_attr attr;

	assert_int_equal(fspf_host_create_file(w->h, parent, name, mode, 0, &caller_root, &attr),
			 0);
	return attr.ino;
}

static inline ssize_t read_error(const struct world *w, uint64_t ino)
{
	char data[64];

	return fspf_host_read(w->h, ino, 0, data, sizeof(data));
}

static inline void assert_reads(const struct world *w, uint64_t ino, const char *text)
{
	char data[256] = {0};

	assert_int_equal(fspf_host_read(w->h, ino, 0, data, sizeof(data) - 1), strlen(text));
	assert_string_equal(data, text);
}

static inline void write_text(const struct world *w, uint64_t ino, const char *text)
{
	assert_int_equal(fspf_host_write(w->h, ino, 0, text, strlen(text), 0), strlen(text));
}

/* ---- listing ---- */

#define LISTED_MAX 64u

struct listed {
	struct {
		char name[256];
		uint64_t ino, cookie;
		uint8_t type;
		bool has_attr;
	} entry[LISTED_MAX];
	size_t count, stop_at;
};

static inline int list_entry(void *ctx, const struct fspf_entry *e)
{
	struct listed *l = ctx;

	if (l->count == l->stop_at)
		return 1;
	assert_true(l->count < LISTED_MAX);
	snprintf(l->entry[l->count].name, sizeof(l->entry[0].name), "%s", e->name);
	l->entry[l->count].ino = e->ino;
	l->entry[l->count].cookie = e->cookie;
	l->entry[l->count].type = e->type;
	l->entry[l->count].has_attr = e->attr;
	assert_true(e->cookie > 0 && e->cookie <= INT64_MAX);
	if (e->attr)
		assert_true(e->attr->ino == e->ino);
	l->count++;
	return 0;
}

static inline struct listed list(const struct world *w, uint64_t ino, bool with_attr)
{
	struct listed l = {.stop_at = SIZE_MAX};

	assert_int_equal(fspf_host_readdir(w->h, ino, 0, with_attr, list_entry, &l), 0);
	return l;
}

/* Its index, or -1. */
static inline int listed_at(const struct listed *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (!strcmp(l->entry[i].name, name))
			return (int)i;
	return -1;
}

/* ---- what it costs ---- */

static inline size_t files_known(const struct world *w)
{
	return HASH_COUNT(w->h->files);
}

static inline size_t open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* ---- beginning and end ---- */

static inline void open_region(struct world *w, bool read_only)
{
	assert_int_equal(fspf_host_new(at(w, "").text, BASE_INO, read_only, &w->h), 0);
}

static inline int setup_in(const char *tmp, void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	umask(0);
	snprintf(w->base, sizeof(w->base), "%s/fspf-host-XXXXXX", tmp);
	assert_non_null(mkdtemp(w->base));
	assert_int_equal(mkdir(at(w, "").text, 0755), 0);
	assert_int_equal(mkdir(outside(w, "").text, 0755), 0);
	host_write_path(outside(w, "secret").text, SECRET);
	open_region(w, false);
	*state = w;
	return 0;
}

static inline int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	return setup_in(tmp ? tmp : "/tmp", state);
}

static inline int teardown(void **state)
{
	struct world *w = *state;
	char command[512];

	fspf_host_free(w->h);
	snprintf(command, sizeof(command), "rm -rf '%s'", w->base);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

#endif
