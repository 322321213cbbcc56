/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/test_fspf_alloc.c - fallocate, seek and copy: case by case, against a buffer, on a
 * full volume, and by several threads
 *
 * Whatever the order of operations, after a sync the promises of the space manager are those of the
 * unwritten extents and nothing else, and the block map is what the inode's counts say (E1, E2 of
 * fspf/extent.h); check_map() looks.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <unistd.h>

#include "fspf/extent_walk.h"
#include "tests/unit/test_fspf_volume.h"

#define B 4096u
#define KEEP FALLOC_FL_KEEP_SIZE
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO FALLOC_FL_ZERO_RANGE
#define MIB (UINT64_C(1) << 20)

static int setup(void **state)
{
	struct test_volume *t = calloc(1, sizeof(*t));

	test_volume_create(t, 0);
	*state = t;
	return 0;
}

static int setup_small(void **state)
{
	struct test_volume *t = calloc(1, sizeof(*t));

	test_volume_create(t, FSPF_SIZE_MIN);
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

static void fill_file(struct test_volume *t, uint64_t ino, uint64_t offset, size_t size)
{
	uint8_t *data = malloc(size);

	memset(data, 'x', size);
	assert_int_equal(fspf_write(t->v, ino, offset, data, size, false), size);
	free(data);
}

static void truncate_to(struct test_volume *t, uint64_t ino, uint64_t size)
{
	struct fspf_attr attr = {.size = size};

	assert_int_equal(fspf_setattr(t->v, ino, FSPF_SET_SIZE, &attr, &attr), 0);
}

/* 'x' or zero from @offset on, @size bytes. */
static void assert_bytes(struct test_volume *t, uint64_t ino, uint64_t offset, size_t size,
			 uint8_t byte)
{
	uint8_t *data = malloc(size);

	assert_int_equal(fspf_read(t->v, ino, offset, data, size), size);
	for (size_t i = 0; i < size; i++)
		if (data[i] != byte)
			fail_msg("byte %llu is 0x%02x", (unsigned long long)(offset + i), data[i]);
	free(data);
}

static int alloc(struct test_volume *t, uint64_t ino, int mode, uint64_t offset, uint64_t size)
{
	return fspf_fallocate(t->v, ino, mode, offset, size);
}

/* ---- the map and the account ---- */

struct sums {
	uint64_t end, blocks, unwritten;
};

static int sum_extent(void *ctx, const struct fspf_extent *e)
{
	struct sums *s = ctx;

	assert_true(e->first >= s->end); /* E1 */
	s->end = e->first + e->count;
	*(e->addr ? &s->blocks : &s->unwritten) += e->count;
	return 0;
}

static void check_map(struct test_volume *t, uint64_t ino)
{
	struct sums s = {0};
	struct fspf_space_stat st;
	struct fspf_inode *inode;

	assert_int_equal(fspf_space_promise(t->v->stored.space, 0, 0), 0); /* waits for loading */
	assert_int_equal(fspf_sync(t->v), 0);
	assert_int_equal(fspf_inode_get(t->v, ino, &inode), 0);
	assert_int_equal(fspf_map_walk(inode, 0, FSPF_FILE_SIZE_MAX / B - 1, sum_extent, &s), 0);
	assert_int_equal(s.blocks, inode->a.blocks); /* E2 */
	assert_int_equal(s.unwritten, inode->a.unwritten);
	fspf_inode_put(t->v, inode, 1);
	fspf_space_stat(t->v->stored.space, &st);
	assert_int_equal(st.promised, atomic_load(&t->v->regions[0]->unwritten));
	assert_true(fspf_space_check(t->v->stored.space));
}

struct cover {
	uint64_t at;
	bool whole;
};

static int cover_extent(void *ctx, const struct fspf_extent *e)
{
	struct cover *c = ctx;

	if (e->first > c->at)
		c->whole = false;
	c->at = e->first + e->count;
	return 0;
}

/* Is every block of the range mapped, written or not? */
static bool is_covered(struct test_volume *t, uint64_t ino, uint64_t offset, uint64_t size)
{
	struct cover c = {.at = offset / B, .whole = true};
	uint64_t last = (offset + size - 1) / B;
	struct fspf_inode *inode;

	assert_int_equal(fspf_inode_get(t->v, ino, &inode), 0);
	assert_int_equal(fspf_map_walk(inode, c.at, last, cover_extent, &c), 0);
	fspf_inode_put(t->v, inode, 1);
	return c.whole && c.at > last;
}

static void assert_seek(struct test_volume *t, uint64_t ino, uint64_t from, uint64_t data,
			uint64_t hole)
{
	uint64_t at;

	assert_int_equal(fspf_seek(t->v, ino, from, SEEK_DATA, &at), 0);
	assert_int_equal(at, data);
	assert_int_equal(fspf_seek(t->v, ino, data, SEEK_HOLE, &at), 0);
	assert_int_equal(at, hole);
}

/* ---- arguments ---- */

static void test_arguments(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);
	uint64_t dir = test_volume_file(t, FSPF_ROOT, "dir", S_IFDIR | 0755);
	uint64_t fifo = test_volume_file(t, FSPF_ROOT, "fifo", S_IFIFO | 0644);

	assert_int_equal(alloc(t, ino, 0, 0, 0), -EINVAL);
	assert_int_equal(alloc(t, ino, FALLOC_FL_PUNCH_HOLE, 0, 1), -EOPNOTSUPP);
	assert_int_equal(alloc(t, ino, PUNCH | ZERO, 0, 1), -EOPNOTSUPP);
	assert_int_equal(alloc(t, ino, FALLOC_FL_COLLAPSE_RANGE, 0, B), -EOPNOTSUPP);
	assert_int_equal(alloc(t, ino, FALLOC_FL_INSERT_RANGE, 0, B), -EOPNOTSUPP);
	assert_int_equal(alloc(t, ino, 1 << 20, 0, B), -EOPNOTSUPP);
	assert_int_equal(alloc(t, ino, 0, FSPF_FILE_SIZE_MAX, 1), -EFBIG);
	assert_int_equal(alloc(t, ino, KEEP, 1, FSPF_FILE_SIZE_MAX), -EFBIG);
	assert_int_equal(alloc(t, ino, 0, UINT64_MAX, UINT64_MAX), -EFBIG);
	assert_int_equal(alloc(t, ino, PUNCH, 1, UINT64_MAX), -EFBIG);
	assert_int_equal(alloc(t, ino, PUNCH, 1, INT64_MAX - 1), 0);
	assert_int_equal(alloc(t, dir, 0, 0, 1), -EISDIR);
	assert_int_equal(alloc(t, fifo, 0, 0, 1), -ENODEV);
	assert_int_equal(alloc(t, 12345, 0, 0, 1), -ENOENT);
	assert_int_equal(test_volume_attr(t, ino).size, 0);
}

static void test_read_only(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t), at;

	fill_file(t, ino, 0, 3 * B);
	test_volume_close(t);
	test_volume_open(t, true);
	assert_int_equal(alloc(t, ino, 0, 0, 1), -EROFS);
	assert_int_equal(alloc(t, ino, PUNCH, 0, 1), -EROFS);
	assert_int_equal(fspf_copy_range(t->v, ino, 0, ino, 2 * B, B), -EROFS);
	assert_int_equal(fspf_seek(t->v, ino, 1, SEEK_HOLE, &at), 0);
	assert_int_equal(at, 3 * B);
	test_volume_close(t);
	test_volume_open(t, false);
}

/* ---- allocate ---- */

static void test_allocate(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);

	assert_int_equal(alloc(t, ino, 0, 100, 10 * B), 0);
	assert_int_equal(test_volume_attr(t, ino).size, 100 + 10 * B);
	assert_int_equal(test_volume_attr(t, ino).blocks, 11 * 8);
	assert_true(is_covered(t, ino, 100, 10 * B));
	assert_bytes(t, ino, 0, 100 + 10 * B, 0);
	assert_int_equal(alloc(t, ino, KEEP, 20 * B, B), 0);
	assert_int_equal(test_volume_attr(t, ino).size, 100 + 10 * B);
	assert_int_equal(test_volume_attr(t, ino).blocks, 12 * 8);
	assert_int_equal(alloc(t, ino, 0, 0, 30 * B), 0);
	assert_int_equal(test_volume_attr(t, ino).blocks, 30 * 8);
	check_map(t, ino);
	test_volume_reopen(t);
	assert_int_equal(test_volume_attr(t, ino).size, 30 * B);
	assert_true(is_covered(t, ino, 0, 30 * B));
	fill_file(t, ino, 5 * B + 7, 3 * B);
	check_map(t, ino);
	assert_bytes(t, ino, 5 * B + 7, 3 * B, 'x');
	assert_bytes(t, ino, 8 * B + 7, 22 * B - 7, 0);
	assert_int_equal(test_volume_attr(t, ino).blocks, 30 * 8);
	truncate_to(t, ino, 7 * B);
	check_map(t, ino);
	assert_int_equal(test_volume_attr(t, ino).blocks, 7 * 8);
	assert_int_equal(alloc(t, ino, KEEP, 0, 20 * B), 0);
	truncate_to(t, ino, 7 * B); /* drops what lies behind the end */
	check_map(t, ino);
	assert_int_equal(test_volume_attr(t, ino).blocks, 7 * 8);
}

/* More holes than one go fills. */
static void test_allocate_many(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);

	for (uint64_t i = 0; i < 200; i++)
		fill_file(t, ino, (2 * i + 1) * B, B);
	assert_int_equal(fspf_sync(t->v), 0);
	assert_int_equal(alloc(t, ino, 0, 0, 500 * B), 0);
	assert_true(is_covered(t, ino, 0, 500 * B));
	check_map(t, ino);
	assert_int_equal(test_volume_attr(t, ino).blocks, 500 * 8);
	for (uint64_t i = 0; i < 200; i++) {
		assert_bytes(t, ino, 2 * i * B, B, 0);
		assert_bytes(t, ino, (2 * i + 1) * B, B, 'x');
	}
}

/* A small file whose contents lie beside its inode. */
static void test_inline(void **state)
{
	static const struct {
		int mode;
		uint64_t offset, size, file_size, zero_from, zero_to;
	} c[] = {
		{0, 0, 100, 500, 0, 0},
		{0, 0, 10000, 10000, 0, 0},
		{0, 3 * B, 1, 3 * B + 1, 0, 0},
		{KEEP, 0, 10000, 500, 0, 0},
		{KEEP, 3 * B, 10, 500, 0, 0},
		{PUNCH, 0, B, 500, 0, 500},
		{PUNCH, 0, 100, 500, 0, 100},
		{PUNCH, 100, 100, 500, 100, 200},
		{PUNCH, 100, 4 * B, 500, 100, 500},
		{PUNCH, B, B, 500, 0, 0},
		{ZERO, 0, 3 * B, 3 * B, 0, 500},
		{ZERO, 100, 3 * B, 100 + 3 * B, 100, 500},
		{ZERO, 2 * B, B, 3 * B, 0, 0},
		{ZERO | KEEP, 200, 100, 500, 200, 300},
		{ZERO | KEEP, 200, 2 * B, 500, 200, 500},
	};
	struct test_volume *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(c) * 3; i++) {
		size_t k = i / 3;
		uint64_t ino = new_file(t);

		fill_file(t, ino, 0, 500);
		if (i % 3)
			assert_int_equal(fspf_sync(t->v), 0);
		assert_int_equal(alloc(t, ino, c[k].mode, c[k].offset, c[k].size), 0);
		if (i % 3 == 2)
			test_volume_reopen(t);
		assert_int_equal(test_volume_attr(t, ino).size, c[k].file_size);
		if (c[k].zero_from)
			assert_bytes(t, ino, 0, (size_t)c[k].zero_from, 'x');
		assert_bytes(t, ino, c[k].zero_from, (size_t)(c[k].zero_to - c[k].zero_from), 0);
		assert_bytes(t, ino, c[k].zero_to, (size_t)(500 - c[k].zero_to), 'x');
		assert_bytes(t, ino, 500, (size_t)(c[k].file_size - 500), 0);
		check_map(t, ino);
	}
}

/* ---- punch and zero ---- */

static void test_punch(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);

	fill_file(t, ino, 0, 20 * B);
	check_map(t, ino);
	assert_int_equal(alloc(t, ino, PUNCH, B + 100, 4 * B), 0);
	assert_bytes(t, ino, 0, B + 100, 'x');
	assert_bytes(t, ino, B + 100, 4 * B, 0);
	assert_bytes(t, ino, 5 * B + 100, 15 * B - 100, 'x');
	check_map(t, ino);
	assert_int_equal(test_volume_attr(t, ino).blocks, 17 * 8);
	assert_seek(t, ino, 2 * B, 5 * B, 20 * B);
	/* Up to the end and beyond: the last block goes whole, the size stays. */
	assert_int_equal(alloc(t, ino, PUNCH, 18 * B, 100 * B), 0);
	assert_int_equal(test_volume_attr(t, ino).size, 20 * B);
	check_map(t, ino);
	assert_int_equal(test_volume_attr(t, ino).blocks, 15 * 8);
	assert_int_equal(alloc(t, ino, KEEP, 0, 40 * B), 0);
	assert_int_equal(alloc(t, ino, PUNCH, 0, INT64_MAX), 0);
	check_map(t, ino);
	assert_int_equal(test_volume_attr(t, ino).blocks, 0);
	assert_bytes(t, ino, 0, 20 * B, 0);
}

/* What is unwritten keeps its promise, what is written becomes unwritten, pages go. */
static void test_zero(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);

	fill_file(t, ino, 0, 10 * B);
	assert_int_equal(alloc(t, ino, 0, 10 * B, 10 * B), 0);
	check_map(t, ino);
	fill_file(t, ino, 8 * B, 4 * B);
	assert_int_equal(alloc(t, ino, ZERO, 5 * B + 10, 20 * B), 0);
	assert_int_equal(test_volume_attr(t, ino).size, 25 * B + 10);
	assert_true(is_covered(t, ino, 0, 25 * B + 10));
	assert_bytes(t, ino, 0, 5 * B + 10, 'x');
	assert_bytes(t, ino, 5 * B + 10, 20 * B, 0);
	check_map(t, ino);
	assert_int_equal(test_volume_attr(t, ino).blocks, 26 * 8);
	assert_seek(t, ino, 0, 0, 6 * B);
	assert_int_equal(alloc(t, ino, ZERO | KEEP, 0, 100 * B), 0);
	assert_int_equal(test_volume_attr(t, ino).size, 25 * B + 10);
	check_map(t, ino);
	assert_int_equal(test_volume_attr(t, ino).blocks, 100 * 8);
	assert_bytes(t, ino, 0, 25 * B + 10, 0);
}

/* ---- seek ---- */

static void test_seek(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t), at;
	uint64_t dir = test_volume_file(t, FSPF_ROOT, "dir", S_IFDIR | 0755);

	assert_int_equal(fspf_seek(t->v, ino, 0, SEEK_DATA, &at), -ENXIO);
	assert_int_equal(fspf_seek(t->v, ino, 0, SEEK_HOLE, &at), -ENXIO);
	assert_int_equal(fspf_seek(t->v, ino, 0, SEEK_SET, &at), -EINVAL);
	assert_int_equal(fspf_seek(t->v, dir, 0, SEEK_DATA, &at), -EINVAL);
	fill_file(t, ino, 0, 100);
	for (int i = 0; i < 2; i++) { /* dirty, then inline */
		assert_seek(t, ino, 0, 0, 100);
		assert_seek(t, ino, 50, 50, 100);
		assert_int_equal(fspf_seek(t->v, ino, 100, SEEK_DATA, &at), -ENXIO);
		assert_int_equal(fspf_sync(t->v), 0);
	}
	truncate_to(t, ino, 1 << 30);
	fill_file(t, ino, 1000 * B + 5, 3 * B);
	fill_file(t, ino, 1004 * B, B);
	for (int i = 0; i < 2; i++) { /* dirty, then written */
		assert_seek(t, ino, 0, 0, B);
		assert_seek(t, ino, B, 1000 * B, 1005 * B);
		assert_seek(t, ino, 1002 * B + 1, 1002 * B + 1, 1005 * B);
		assert_int_equal(fspf_seek(t->v, ino, 1005 * B, SEEK_DATA, &at), -ENXIO);
		assert_int_equal(fspf_seek(t->v, ino, 7 * B + 3, SEEK_HOLE, &at), 0);
		assert_int_equal(at, 7 * B + 3);
		assert_int_equal(fspf_sync(t->v), 0);
	}
	fill_file(t, ino, 1005 * B, B); /* a page behind an extent, and one before it */
	fill_file(t, ino, 999 * B, B);
	assert_seek(t, ino, B, 999 * B, 1006 * B);
	assert_int_equal(alloc(t, ino, 0, 0, 1 << 30), 0);
	assert_seek(t, ino, B, 999 * B, 1006 * B);
	truncate_to(t, ino, FSPF_FILE_SIZE_MAX);
	assert_int_equal(fspf_seek(t->v, ino, FSPF_FILE_SIZE_MAX - 1, SEEK_HOLE, &at), 0);
	assert_int_equal(at, FSPF_FILE_SIZE_MAX - 1);
	assert_int_equal(fspf_seek(t->v, ino, 2000 * B, SEEK_DATA, &at), -ENXIO);
}

/* ---- against a buffer ---- */

#define MODEL_BLOCKS 160u
#define MODEL_MAX (MODEL_BLOCKS * B)
#define MODEL_STEPS 4000

struct model {
	struct test_volume *t;
	uint64_t ino, random;
	uint64_t size;
	uint8_t data[MODEL_MAX]; /* zero beyond the size */
	uint8_t buffer[MODEL_MAX];
};

/* Ranges begin and end on blocks, near them, or anywhere. */
static uint64_t random_edge(struct model *m)
{
	uint64_t block = test_below(&m->random, MODEL_BLOCKS) * B;

	switch (test_below(&m->random, 4)) {
	case 0:
		return block;
	case 1:
		return block + test_below(&m->random, 3);
	case 2:
		return test_below(&m->random, 3000);
	default:
		return block + test_below(&m->random, B);
	}
}

static void random_range(struct model *m, uint64_t *offset, uint64_t *end)
{
	uint64_t a = random_edge(m), b = random_edge(m);

	if (test_below(&m->random, 2))
		b = min_u64(a + 1 + test_below(&m->random, 3 * B), MODEL_MAX);
	*offset = min_u64(a, b);
	*end = max_u64(a, b);
	if (*end == *offset)
		*end += 1;
}

static void model_write(struct model *m)
{
	uint64_t offset, end;

	random_range(m, &offset, &end);
	test_fill(&m->random, m->data + offset, (size_t)(end - offset));
	assert_int_equal(fspf_write(m->t->v, m->ino, offset, m->data + offset,
				    (size_t)(end - offset), false),
			 end - offset);
	m->size = max_u64(m->size, end);
}

static void model_allocate(struct model *m)
{
	static const int modes[] = {0, KEEP, PUNCH, ZERO, ZERO | KEEP};
	int mode = modes[test_below(&m->random, ARRAY_LEN(modes))];
	uint64_t offset, end;

	random_range(m, &offset, &end);
	assert_int_equal(alloc(m->t, m->ino, mode, offset, end - offset), 0);
	if (mode & (ZERO | FALLOC_FL_PUNCH_HOLE))
		memset(m->data + offset, 0, (size_t)(end - offset));
	if (!(mode & KEEP))
		m->size = max_u64(m->size, end);
	if (mode != PUNCH && !is_covered(m->t, m->ino, offset, end - offset))
		fail_msg("not all of %llu..%llu was allocated", (unsigned long long)offset,
			 (unsigned long long)end);
}

static void model_truncate(struct model *m)
{
	uint64_t size = random_edge(m);

	truncate_to(m->t, m->ino, size);
	if (size < m->size)
		memset(m->data + size, 0, (size_t)(m->size - size));
	m->size = size;
}

static void model_copy(struct model *m)
{
	uint64_t from = random_edge(m), to = random_edge(m);
	size_t size = (size_t)test_below(&m->random, 40 * B);
	size_t n = from < m->size ? (size_t)min_u64(size, m->size - from) : 0;
	bool overlap = n && (from > to ? from - to : to - from) < n;

	if (to + n > MODEL_MAX)
		return;
	assert_int_equal(fspf_copy_range(m->t->v, m->ino, from, m->ino, to, size),
			 overlap ? -EINVAL : (ssize_t)n);
	if (overlap || n == 0)
		return;
	memcpy(m->data + to, m->data + from, n);
	m->size = max_u64(m->size, to + n);
}

static void check_contents(struct model *m)
{
	assert_int_equal(test_volume_attr(m->t, m->ino).size, m->size);
	assert_int_equal(fspf_read(m->t->v, m->ino, 0, m->buffer, MODEL_MAX), m->size);
	assert_memory_equal(m->buffer, m->data, m->size);
}

static bool is_zero(const uint8_t *data, uint64_t size)
{
	return size == 0 || (data[0] == 0 && !memcmp(data, data + 1, (size_t)(size - 1)));
}

/* Data and holes alternate, and there is nothing in the holes. */
static void check_seek(struct model *m)
{
	uint64_t at = test_below(&m->random, m->size + 1), next;
	int r = 0;

	while (at < m->size) {
		r = fspf_seek(m->t->v, m->ino, at, SEEK_DATA, &next);
		assert_true(r == 0 || r == -ENXIO);
		if (r)
			next = m->size;
		assert_true(next >= at && next <= m->size);
		assert_true(is_zero(m->data + at, next - at));
		if (r)
			break;
		assert_int_equal(fspf_seek(m->t->v, m->ino, next, SEEK_HOLE, &at), 0);
		assert_true(at > next && at <= m->size);
	}
}

static void model_step(struct model *m)
{
	uint64_t what = test_below(&m->random, 100);

	if (what < 30)
		model_write(m);
	else if (what < 65)
		model_allocate(m);
	else if (what < 73)
		model_truncate(m);
	else if (what < 78)
		model_copy(m);
	else if (what < 84)
		check_contents(m);
	else if (what < 92)
		check_seek(m);
	else if (what < 98)
		check_map(m->t, m->ino);
	else
		test_volume_reopen(m->t);
}

static void run_model(struct test_volume *t, uint64_t seed, int steps)
{
	struct model *m = calloc(1, sizeof(*m));

	m->t = t;
	m->random = seed;
	m->ino = new_file(t);
	for (int i = 0; i < steps; i++)
		model_step(m);
	check_contents(m);
	assert_int_equal(alloc(t, m->ino, PUNCH, 0, INT64_MAX), 0);
	check_map(t, m->ino);
	/* Contents that lay beside the inode are zeroed, not dropped: at most one block. */
	assert_true(test_volume_attr(t, m->ino).blocks <= 8);
	free(m);
}

static void test_model(void **state)
{
	run_model(*state, test_seed("test_fspf_alloc model"), MODEL_STEPS);
}

/* Small files: most of it happens within what lies beside the inode. */
static void test_model_young(void **state)
{
	uint64_t random = test_seed("test_fspf_alloc young");

	for (int i = 0; i < 150; i++)
		run_model(*state, test_random(&random), 12);
}

/* ---- a full volume ---- */

static void test_too_large(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t);

	fill_file(t, ino, 0, 1000);
	assert_int_equal(fspf_sync(t->v), 0);
	assert_int_equal(alloc(t, ino, 0, 0, 64 * MIB), -ENOSPC);
	assert_int_equal(alloc(t, ino, KEEP, 5000, UINT64_C(1) << 60), -ENOSPC);
	assert_int_equal(alloc(t, ino, ZERO, 10, 64 * MIB), -ENOSPC);
	assert_int_equal(test_volume_attr(t, ino).size, 1000);
	assert_int_equal(test_volume_attr(t, ino).blocks, 8);
	assert_bytes(t, ino, 0, 1000, 'x');
	check_map(t, ino);
}

/* Until there is no more room. */
static void fill_volume(struct test_volume *t, uint64_t ino)
{
	uint8_t *data = calloc(1, MIB);
	size_t size = MIB;
	uint64_t at = 0;

	while (size >= B) {
		ssize_t n = fspf_write(t->v, ino, at, data, size, false);

		assert_true(n == (ssize_t)size || n == -ENOSPC);
		if (n < 0)
			size /= 2;
		else
			at += size;
	}
	free(data);
}

/* What was allocated can be written when nothing else can be, and after a crash too. */
static void test_reserved(void **state)
{
	struct test_volume *t = *state;
	uint64_t ino = new_file(t), other = new_file(t);

	assert_int_equal(alloc(t, ino, 0, 0, 4 * MIB), 0);
	fill_volume(t, other);
	assert_int_equal(fspf_sync(t->v), 0);
	assert_int_equal(alloc(t, ino, 0, 4 * MIB, MIB), -ENOSPC);
	test_volume_reopen(t);
	for (uint64_t at = 0; at < 4 * MIB; at += 64 * B)
		fill_file(t, ino, at, 64 * B);
	check_map(t, ino);
	assert_bytes(t, ino, 0, 4 * MIB, 'x');
	/* Zeroing keeps the room, punching gives it back. */
	assert_int_equal(alloc(t, other, PUNCH, 0, INT64_MAX), 0);
	assert_int_equal(fspf_sync(t->v), 0);
	assert_int_equal(alloc(t, ino, ZERO, 0, 4 * MIB), 0);
	check_map(t, ino);
	fill_volume(t, other);
	for (uint64_t at = 0; at < 4 * MIB; at += 64 * B)
		fill_file(t, ino, at, 64 * B);
	check_map(t, ino);
}

/* ---- copy ---- */

static void test_copy(void **state)
{
	struct test_volume *t = *state;
	uint64_t from = new_file(t), to = new_file(t);
	uint64_t dir = test_volume_file(t, FSPF_ROOT, "dir", S_IFDIR | 0755);
	uint64_t random = 7;
	uint8_t *data = malloc(3 * MIB), *got = malloc(3 * MIB);

	test_fill(&random, data, 3 * MIB);
	assert_int_equal(fspf_write(t->v, from, 0, data, 3 * MIB, false), 3 * MIB);
	assert_int_equal(fspf_copy_range(t->v, from, 17, to, 5000, 10 * MIB), 3 * MIB - 17);
	assert_int_equal(test_volume_attr(t, to).size, 3 * MIB - 17 + 5000);
	assert_int_equal(fspf_read(t->v, to, 5000, got, 3 * MIB), 3 * MIB - 17);
	assert_memory_equal(got, data + 17, 3 * MIB - 17);
	assert_bytes(t, to, 0, 5000, 0);
	assert_int_equal(fspf_copy_range(t->v, from, 3 * MIB, to, 0, 1), 0);
	assert_int_equal(fspf_copy_range(t->v, from, 0, to, 0, 0), 0);
	assert_int_equal(fspf_copy_range(t->v, from, 0, from, 0, 1), -EINVAL);
	assert_int_equal(fspf_copy_range(t->v, from, 0, from, 99, 100), -EINVAL);
	assert_int_equal(fspf_copy_range(t->v, from, 0, from, 100, 100), 100);
	assert_int_equal(fspf_copy_range(t->v, from, 0, to, UINT64_MAX - 5, 100), -EFBIG);
	assert_int_equal(fspf_copy_range(t->v, from, 0, dir, 0, 100), -EISDIR);
	assert_int_equal(fspf_copy_range(t->v, 9999, 0, to, 0, 100), -ENOENT);
	free(data);
	free(got);
}

static void test_copy_regions(void **state)
{
	struct test_volume *t = *state;
	uint64_t from = new_file(t), to;
	struct fspf_error err;
	struct fspf_attr top;

	fill_file(t, from, 0, 10 * B);
	assert_int_equal(fspf_region_add(t->v,
					 &(struct fspf_region_params){
						 .prefix = "/r", .protection = FSPF_AUTHENTICATED},
					 &err),
			 0);
	assert_int_equal(fspf_resolve(t->v, "/r", &top), 0);
	to = test_volume_file(t, top.ino, "copy", S_IFREG | 0644);
	assert_int_equal(fspf_copy_range(t->v, from, 0, to, 3, 10 * B), 10 * B);
	assert_bytes(t, to, 3, 10 * B, 'x');
	assert_int_equal(alloc(t, to, PUNCH, B, B), 0);
	fspf_forget(t->v, top.ino, 1);
	test_volume_reopen(t);
	assert_bytes(t, to, 3, B - 3, 'x');
	assert_bytes(t, to, B, B, 0);
	assert_bytes(t, to, 2 * B, 8 * B + 3, 'x');
}

/* ---- what happens in other threads ---- */

/* An assertion that fails in another thread cannot go back to cmocka: it ends the program. */
static void failures_abort(bool yes)
{
	if (yes)
		setenv("CMOCKA_TEST_ABORT", "1", 1);
	else
		unsetenv("CMOCKA_TEST_ABORT");
}

/* ---- while a batch is being written ---- */

/* A store whose first write of data calls back; the committer holds no lock then. */
struct watched {
	struct test_volume *t;
	uint64_t ino;
	const struct fspf_store_ops *below;
	struct fspf_store_ops ops;
	bool armed, called;
	void (*act)(struct test_volume *t, uint64_t ino);
};

static struct watched watched;

static int watched_write(struct fspf_store *store, uint64_t block, const void *data, size_t len)
{
	if (watched.armed) {
		watched.armed = false;
		watched.act(watched.t, watched.ino);
		watched.called = true;
	}
	return watched.below->write(store, block, data, len);
}

#define BATCH_FILE (1500 * B) /* more than may be left for when the gate is closed */

/* @act is done when the file's first batch is on its way. */
static void with_batch(struct test_volume *t, void (*act)(struct test_volume *t, uint64_t ino))
{
	uint64_t ino = new_file(t);

	watched = (struct watched){
		.t = t, .ino = ino, .below = t->v->store->ops, .armed = true, .act = act};
	watched.ops = *watched.below;
	watched.ops.write = watched_write;
	fill_file(t, ino, 0, BATCH_FILE);
	t->v->store->ops = &watched.ops;
	failures_abort(true);
	assert_int_equal(fspf_sync(t->v), 0);
	failures_abort(false);
	t->v->store->ops = watched.below;
	assert_true(watched.called);
	check_map(t, ino);
}

static void zero_and_punch(struct test_volume *t, uint64_t ino)
{
	struct fspf_inode *inode;

	assert_int_equal(fspf_inode_get(t->v, ino, &inode), 0);
	assert_non_null(inode->batch);
	fspf_inode_put(t->v, inode, 1);
	assert_seek(t, ino, 0, 0, BATCH_FILE);
	assert_int_equal(alloc(t, ino, ZERO, 10 * B, 10 * B), 0);
	assert_int_equal(alloc(t, ino, PUNCH, 30 * B + 5, 10 * B), 0);
	assert_int_equal(alloc(t, ino, 0, 25 * B, 10 * B), 0);
	assert_seek(t, ino, 0, 0, 10 * B);
	assert_seek(t, ino, 10 * B, 20 * B, 31 * B);
	assert_seek(t, ino, 31 * B, 40 * B, BATCH_FILE);
	assert_bytes(t, ino, 10 * B, 10 * B, 0);
}

static void test_batch(void **state)
{
	struct test_volume *t = *state;

	with_batch(t, zero_and_punch);
	for (int i = 0; i < 2; i++) {
		assert_bytes(t, watched.ino, 0, 10 * B, 'x');
		assert_bytes(t, watched.ino, 10 * B, 10 * B, 0);
		assert_bytes(t, watched.ino, 20 * B, 10 * B + 5, 'x');
		assert_bytes(t, watched.ino, 30 * B + 5, 10 * B, 0);
		assert_bytes(t, watched.ino, 40 * B + 5, BATCH_FILE - 40 * B - 5, 'x');
		test_volume_reopen(t);
	}
}

/* ---- several at once ---- */

#define THREADS 4u
#define THREAD_STEPS 300

struct worker {
	struct test_volume *t;
	uint64_t ino, random;
	unsigned number;
	pthread_t thread;
};

/* Each writes blocks of its own letter; all allocate, punch and zero anywhere.  So a block is zero
 * or of one letter at any moment. */
static void work_step(struct worker *w)
{
	static const int modes[] = {0, KEEP, PUNCH, ZERO};
	uint64_t block = test_below(&w->random, 64), count = 1 + test_below(&w->random, 16);
	uint8_t data[16 * B];
	ssize_t n;

	switch (test_below(&w->random, 8)) {
	case 0:
	case 1:
	case 2:
		memset(data, 'a' + (int)w->number, sizeof(data));
		assert_int_equal(fspf_write(w->t->v, w->ino, block * B, data, count * B, false),
				 count * B);
		break;
	case 3:
		n = fspf_read(w->t->v, w->ino, block * B, data, B);
		assert_true(n >= 0);
		assert_true(n == 0 || !memcmp(data, data + 1, (size_t)(n - 1)));
		break;
	case 4:
		if (test_below(&w->random, 8) == 0)
			assert_int_equal(fspf_sync(w->t->v), 0);
		break;
	default:
		assert_int_equal(
			alloc(w->t, w->ino, modes[test_below(&w->random, 4)], block * B, count * B),
			0);
	}
}

static void *work(void *arg)
{
	for (int i = 0; i < THREAD_STEPS; i++)
		work_step(arg);
	return NULL;
}

static void test_threads(void **state)
{
	struct test_volume *t = *state;
	struct worker w[THREADS];
	uint64_t seed = test_seed("test_fspf_alloc threads");
	uint64_t ino;

	test_volume_close(t);
	t->interval_ms = 1;
	test_volume_open(t, false);
	ino = new_file(t);
	failures_abort(true);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.t = t, .ino = ino, .random = seed + i, .number = i};
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(w[i].thread, NULL);
	failures_abort(false);
	check_map(t, ino);
	test_volume_reopen(t);
	check_map(t, ino);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_arguments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_allocate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_allocate_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_punch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zero, setup, teardown),
		cmocka_unit_test_setup_teardown(test_seek, setup, teardown),
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_model_young, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_large, setup_small, teardown),
		cmocka_unit_test_setup_teardown(test_reserved, setup_small, teardown),
		cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copy_regions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
