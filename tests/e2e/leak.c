/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leak.c - is any name or any byte of a tree to be seen in a directory?
 *
 *	leak DIRECTORY TREE
 *
 * From TREE it takes every name and symlink target of 8 bytes or more, and of each regular file the
 * 16 bytes at every 64th offset (every 256th beyond 1 MiB), so that any run of 79 bytes of a file
 * is caught wherever it lies.  Then it looks at every byte of every file below DIRECTORY, holes
 * left out, and at the names there.  Pieces with fewer than six different bytes are no evidence and
 * are not looked for.  Exit status: 0 nothing seen, 1 seen (each told, at most ten), 2 failed.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 16
#define KEY 8
#define STEP 64
#define TOLD_MAX 10

struct piece {
	uint64_t key; /* its first KEY bytes */
	uint32_t len;
	uint32_t owner; /* index into paths */
	uint8_t bytes[PIECE];
};

static struct piece *table;
static size_t table_size = 1 << 16, table_used;
static uint8_t *filter; /* a bit for each hash of a key: most places are done with here */
#define FILTER_BITS 24 /* 2 MiB: stays in the processor's cache */
static char **paths;
static size_t npaths;
static int told;

static uint64_t key_of(const uint8_t *p)
{
	uint64_t key;
	memcpy(&key, p, KEY);
	return key;
}

static uint64_t mix(uint64_t x)
{
	x *= 0x9e3779b97f4a7c15u;
	x ^= x >> 29;
	return x * 0xbf58476d1ce4e5b9u;
}

static bool telling(const uint8_t *p, size_t len)
{
	bool seen[256] = {false};
	int different = 0;
	for (size_t i = 0; i < len; i++)
		if (!seen[p[i]]) {
			seen[p[i]] = true;
			different++;
		}
	return different >= 6;
}

static struct piece *slot_for(const struct piece *p)
{
	size_t i = mix(p->key) & (table_size - 1);
	while (table[i].len && !(table[i].len == p->len && !memcmp(table[i].bytes, p->bytes, p->len)))
		i = (i + 1) & (table_size - 1);
	return &table[i];
}

static void grow(void)
{
	struct piece *old = table;
	size_t old_size = table_size;
	table_size *= 2;
	table = calloc(table_size, sizeof(*table));
	if (!table)
		err(2, "memory");
	for (size_t i = 0; i < old_size; i++)
		if (old[i].len)
			*slot_for(&old[i]) = old[i];
	free(old);
}

static void add(const uint8_t *p, size_t len)
{
	struct piece piece = {.len = (uint32_t)(len < PIECE ? len : PIECE), .owner = (uint32_t)npaths - 1};
	if (len < KEY || !telling(p, piece.len))
		return;
	memcpy(piece.bytes, p, piece.len);
	piece.key = key_of(p);
	uint64_t bit = mix(piece.key) >> (64 - FILTER_BITS);
	filter[bit / 8] |= (uint8_t)(1 << bit % 8);
	struct piece *slot = slot_for(&piece);
	if (slot->len)
		return;
	*slot = piece;
	if (++table_used * 2 > table_size)
		grow();
}

static const uint8_t *map(const char *path, off_t size)
{
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		err(2, "%s", path);
	const uint8_t *p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		err(2, "%s", path);
	close(fd);
	return p;
}

static void add_content(const char *path, off_t size)
{
	if (size < PIECE || size > (off_t)1 << 30)
		return;
	const uint8_t *p = map(path, size);
	for (off_t at = 0; at + PIECE <= size; at += at < 1 << 20 ? STEP : 4 * STEP)
		add(p + at, PIECE);
	munmap((void *)(uintptr_t)p, (size_t)size);
}

static int collect(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	paths = realloc(paths, (npaths + 1) * sizeof(*paths));
	if (!paths || !(paths[npaths++] = strdup(path)))
		err(2, "memory");
	if (ftw->level > 0)
		add((const uint8_t *)path + ftw->base, strlen(path + ftw->base));
	if (S_ISREG(st->st_mode)) {
		add_content(path, st->st_size);
	} else if (S_ISLNK(st->st_mode)) {
		char target[4096];
		ssize_t n = readlink(path, target, sizeof(target));
		if (n > 0)
			add((uint8_t *)target, (size_t)n);
	}
	return 0;
}

static void look_at(const char *where, off_t base, const uint8_t *p, size_t len)
{
	for (size_t at = 0; at + KEY <= len; at++) {
		uint64_t key = key_of(p + at);
		uint64_t bit = mix(key) >> (64 - FILTER_BITS);
		if (!(filter[bit / 8] & 1 << bit % 8))
			continue;
		for (size_t i = mix(key) & (table_size - 1); table[i].len; i = (i + 1) & (table_size - 1))
			if (table[i].key == key && table[i].len <= len - at && !memcmp(table[i].bytes, p + at, table[i].len)) {
				if (told++ < TOLD_MAX)
					printf("%s: at %lld: %.*s\n\tof %s\n", where, (long long)base + (long long)at,
					       (int)table[i].len, (const char *)p + at, paths[table[i].owner]);
				break;
			}
	}
}

static int search(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	look_at(path, 0, (const uint8_t *)path + ftw->base, strlen(path + ftw->base));
	if (!S_ISREG(st->st_mode) || !st->st_size)
		return 0;
	const uint8_t *p = map(path, st->st_size);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		err(2, "%s", path);
	off_t from, to = 0;
	while ((from = lseek(fd, to, SEEK_DATA)) >= 0) {
		to = lseek(fd, from, SEEK_HOLE);
		look_at(path, from, p + from, (size_t)(to - from));
	}
	close(fd);
	munmap((void *)(uintptr_t)p, (size_t)st->st_size);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		errx(2, "leak DIRECTORY TREE");
	table = calloc(table_size, sizeof(*table));
	filter = calloc((size_t)1 << FILTER_BITS >> 3, 1);
	if (!table || !filter)
		err(2, "memory");
	if (nftw(argv[2], collect, 32, FTW_PHYS) < 0)
		err(2, "%s", argv[2]);
	if (nftw(argv[1], search, 32, FTW_PHYS) < 0)
		err(2, "%s", argv[1]);
	printf("# %zu pieces of %zu entries looked for, %d seen\n", table_used, npaths, told);
	return told ? 1 : 0;
}
