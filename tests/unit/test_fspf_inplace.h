/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_inplace.h - a volume on a store in memory with a region in place at /p, and
 * the directory of the host where its contents lie
 */
#ifndef FSPF_TESTS_UNIT_TEST_FSPF_INPLACE_H
#define FSPF_TESTS_UNIT_TEST_FSPF_INPLACE_H

#include <fcntl.h>
#include <unistd.h>

#include "fspf/inplace.h"
#include "test_fspf_volume.h"

#define B FSPF_BLOCK_SIZE

struct bed {
	struct test_volume t;
	char host[64]; /* the directory */
	bool copy_up;
	char text[4608]; /* the last report's */
	char changes[4096];
};

static inline void bed_report(void *ctx, const struct fspf_report *report)
{
	struct bed *b = ctx;

	atomic_fetch_add(&b->t.reports, 1);
	snprintf(b->text, sizeof(b->text), "%s", report->text);
}

static inline struct fspf_region *bed_region(struct bed *b)
{
	return b->t.v->regions[1];
}

/* What whoever opens the region does; @authoring: and the volume. */
static inline void bed_prepare(struct bed *b, bool authoring)
{
	struct fspf_region *region = bed_region(b);

	if (region->host_fd < 0)
		region->host_fd = open(b->host, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(region->host_fd >= 0);
	region->in_place = true;
	region->copy_up = b->copy_up;
	b->t.v->authoring = authoring;
	b->t.v->report = bed_report;
	b->t.v->report_ctx = b;
}

static inline void bed_reopen(struct bed *b, bool authoring)
{
	test_volume_reopen(&b->t);
	bed_prepare(b, authoring);
}

static inline struct bed *bed_new(void)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct fspf_error err;

	assert_non_null(b);
	snprintf(b->host, sizeof(b->host), "/tmp/fspf-inplace-XXXXXX");
	assert_non_null(mkdtemp(b->host));
	b->t.expect_reports = true;
	test_volume_create(&b->t, 0);
	assert_int_equal(fspf_region_add(b->t.v,
					 &(struct fspf_region_params){
						 .prefix = "/p", .protection = FSPF_AUTHENTICATED},
					 &err),
			 0);
	bed_prepare(b, true);
	return b;
}

static inline void bed_free(struct bed *b)
{
	char command[256];

	test_volume_free(&b->t);
	snprintf(command, sizeof(command), "chmod -R u+rwx %s && rm -rf %s", b->host, b->host);
	assert_int_equal(system(command), 0);
	free(b);
}

/* ---- the host ---- */

static inline const char *host_path(const struct bed *b, const char *name)
{
	static _Thread_local char paths[4][512];
	static _Thread_local unsigned i;

	i = (i + 1) % 4;
	snprintf(paths[i], sizeof(paths[i]), "%s/%s", b->host, name);
	return paths[i];
}

static inline void fill(uint8_t *data, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(((uint32_t)i * 2654435761u + seed + (uint32_t)(i >> 12)) >> 11);
}

static inline void host_put(const struct bed *b, const char *name, const void *data, size_t len)
{
	int fd = open(host_path(b, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static inline void host_make(const struct bed *b, const char *name, size_t len, uint32_t seed)
{
	uint8_t *data = malloc(len + 1);

	fill(data, len, seed);
	host_put(b, name, data, len);
	free(data);
}

/* Change one byte where it lies. */
static inline void host_flip(const struct bed *b, const char *name, uint64_t at)
{
	int fd = open(host_path(b, name), O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 0x20;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

/* ---- the volume ---- */

static inline void bed_change(void *ctx, char kind, const char *path)
{
	struct bed *b = ctx;
	size_t len = strlen(b->changes);

	snprintf(b->changes + len, sizeof(b->changes) - len, "%c%s ", kind, path);
}

static inline int bed_record(struct bed *b, bool update)
{
	const struct fspf_transfer transfer = {
		.ctx = b, .report = bed_report, .update = update, .change = bed_change};
	struct fspf_error err = {0};
	int r = fspf_import(b->t.v, "/p", b->host, &transfer, &err);

	if (r)
		print_error("import: %s\n", err.text);
	return r;
}

static inline struct fspf_attr bed_attr(struct bed *b, const char *path)
{
	struct fspf_attr attr;

	assert_int_equal(fspf_resolve(b->t.v, path, &attr), 0);
	fspf_forget(b->t.v, attr.ino, 1);
	return attr;
}

static inline uint64_t bed_ino(struct bed *b, const char *path)
{
	return bed_attr(b, path).ino;
}

/* All of it: 0 if it is host_make()'s, 1 if it is something else, or an error. */
static inline int bed_read(struct bed *b, const char *path, size_t len, uint32_t seed)
{
	uint8_t *want = malloc(len + 1), *got = malloc(len + 2);
	ssize_t n = fspf_read(b->t.v, bed_ino(b, path), 0, got, len + 1);
	int r;

	fill(want, len, seed);
	if (n < 0)
		r = (int)n;
	else
		r = (size_t)n != len || memcmp(want, got, len) != 0;
	free(want);
	free(got);
	return r;
}

#endif
