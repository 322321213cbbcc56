/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stress.c - a mixed load of many threads that knows what must be there
 *
 *	stress run DIRECTORY SECONDS THREADS SEED STATE
 *	stress check DIRECTORY STATE
 *
 * Each thread has a directory of its own with a few files, a copy of whose contents it keeps in
 * memory: it writes, reads and compares, truncates, maps, punches, renames, links and removes.  All
 * threads share one directory in which they make, rename and remove the same few names (any outcome
 * that some order of the calls allows is right) and one file in which each writes blocks that name
 * themselves.  STATE, outside, receives what must be there at the end; check compares it, after a
 * remount.  Exit status 0, or 1 at the first thing that is not as it must be, which is told.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

#define FILES 24
#define SIZE_MAX_FILE 200000
#define SHARED_NAMES 16
#define SHARED_BLOCKS 16 /* of each thread */
#define BLOCK 4096

static const char *top;
static uint64_t seed;
static unsigned nthreads;
static time_t deadline;
static volatile bool failed;

struct model {
	bool exists;
	size_t size;
	uint8_t *data;
};

struct worker {
	pthread_t thread;
	int id;
	uint64_t rng;
	uint64_t operations;
	char dir[4096];
	struct model files[FILES];
};

static uint64_t next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t below(struct worker *w, uint64_t n)
{
	return next(&w->rng) % n;
}

static uint64_t digest(const uint8_t *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

#define FAIL(w, ...)                                                                               \
	do {                                                                                       \
		fprintf(stderr, "thread %d, operation %llu: ", (w)->id,                            \
			(unsigned long long)(w)->operations);                                      \
		fprintf(stderr, __VA_ARGS__);                                                      \
		fprintf(stderr, " (%s)\n", strerror(errno));                                       \
		failed = true;                                                                     \
		return;                                                                            \
	} while (0)

static const char *path_of(struct worker *w, int i, char path[static 4200])
{
	snprintf(path, 4200, "%s/file_%d", w->dir, i);
	return path;
}

static void fill(struct worker *w, uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i % 64 ? p[i - 1] + 1 : (uint8_t)next(&w->rng));
}

/* ---- operations on a file of one's own; each leaves model and file in step */

static void op_create(struct worker *w, int i)
{
	struct model *m = &w->files[i];
	char path[4200];
	int fd = open(path_of(w, i, path), O_CREAT | O_RDWR | (m->exists ? O_TRUNC : O_EXCL), 0644);
	if (fd < 0)
		FAIL(w, "create %s", path);
	m->exists = true;
	m->size = 0;
	size_t len = below(w, 3) ? below(w, 6000) : below(w, 60000);
	fill(w, m->data, len);
	if (write(fd, m->data, len) != (ssize_t)len)
		FAIL(w, "write %s", path);
	m->size = len;
	if (!below(w, 8) && fsync(fd))
		FAIL(w, "fsync %s", path);
	if (close(fd))
		FAIL(w, "close %s", path);
}

static void extend(struct model *m, size_t to)
{
	if (to > m->size) {
		memset(m->data + m->size, 0, to - m->size);
		m->size = to;
	}
}

static void op_write(struct worker *w, int i)
{
	struct model *m = &w->files[i];
	char path[4200];
	size_t at = below(w, SIZE_MAX_FILE - 40000), len = 1 + below(w, below(w, 4) ? 3000 : 40000);
	int fd = open(path_of(w, i, path), O_WRONLY);
	if (fd < 0)
		FAIL(w, "open %s", path);
	if (at > m->size + 50000)
		at = m->size;
	extend(m, at);
	fill(w, m->data + at, len);
	if (m->size < at + len)
		m->size = at + len;
	if (pwrite(fd, m->data + at, len, (off_t)at) != (ssize_t)len)
		FAIL(w, "pwrite %s", path);
	close(fd);
}

static void op_read(struct worker *w, int i)
{
	struct model *m = &w->files[i];
	char path[4200];
	uint8_t *got = malloc(SIZE_MAX_FILE + 1);
	int fd = open(path_of(w, i, path), O_RDONLY);
	ssize_t n = fd < 0 ? -1 : pread(fd, got, SIZE_MAX_FILE + 1, 0);
	bool same = n == (ssize_t)m->size && !memcmp(got, m->data, m->size);
	free(got);
	if (fd >= 0)
		close(fd);
	if (!same)
		FAIL(w, "%s: %zd bytes, not the %zu that were written", path, n, m->size);
}

static void op_truncate(struct worker *w, int i)
{
	struct model *m = &w->files[i];
	char path[4200];
	size_t to = below(w, 3) ? below(w, m->size + 1) : below(w, SIZE_MAX_FILE);
	if (truncate(path_of(w, i, path), (off_t)to))
		FAIL(w, "truncate %s", path);
	extend(m, to);
	m->size = to;
}

static void op_map(struct worker *w, int i)
{
	struct model *m = &w->files[i];
	char path[4200];
	if (!m->size)
		return;
	int fd = open(path_of(w, i, path), O_RDWR);
	uint8_t *p = fd < 0 ? MAP_FAILED : mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		FAIL(w, "mmap %s", path);
	bool same = !memcmp(p, m->data, m->size);
	size_t at = below(w, m->size), len = 1 + below(w, m->size - at);
	fill(w, m->data + at, len);
	memcpy(p + at, m->data + at, len);
	if (!below(w, 4) && msync(p, m->size, MS_SYNC))
		FAIL(w, "msync %s", path);
	munmap(p, m->size);
	close(fd);
	if (!same)
		FAIL(w, "%s: other bytes in memory", path);
}

static void op_punch(struct worker *w, int i)
{
	struct model *m = &w->files[i];
	char path[4200];
	if (!m->size)
		return;
	size_t at = below(w, m->size), len = 1 + below(w, 30000);
	int fd = open(path_of(w, i, path), O_WRONLY);
	if (fd < 0)
		FAIL(w, "open %s", path);
	int result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len);
	close(fd);
	if (result && errno != EOPNOTSUPP)
		FAIL(w, "punch %s", path);
	if (!result)
		memset(m->data + at, 0, at + len > m->size ? m->size - at : len);
}

static void op_rename(struct worker *w, int i)
{
	int j = (int)below(w, FILES);
	char from[4200], to[4200];
	if (i == j)
		return;
	if (rename(path_of(w, i, from), path_of(w, j, to)))
		FAIL(w, "rename %s to %s", from, to);
	struct model gone = w->files[j];
	w->files[j] = w->files[i];
	w->files[i] = gone;
	w->files[i].exists = false;
}

static void op_unlink(struct worker *w, int i)
{
	char path[4200], other[4300];
	path_of(w, i, path);
	snprintf(other, sizeof(other), "%s.link", path);
	if (link(path, other))
		FAIL(w, "link %s", path);
	if (unlink(path) || (below(w, 2) && access(path, F_OK) == 0))
		FAIL(w, "unlink %s", path);
	if (below(w, 3)) {
		if (rename(other, path))
			FAIL(w, "rename %s back", path);
		return;
	}
	int fd = open(other, O_RDONLY);
	struct stat st;
	if (fd < 0 || unlink(other) || fstat(fd, &st) || (size_t)st.st_size != w->files[i].size || st.st_nlink != 0)
		FAIL(w, "unlinked while open: %s", other);
	close(fd);
	w->files[i].exists = false;
}

static void op_fsync(struct worker *w, int i)
{
	char path[4200];
	int fd = open(path_of(w, i, path), O_RDONLY);
	if (fd < 0 || fsync(fd))
		FAIL(w, "fsync %s", path);
	close(fd);
}

static void op_xattr(struct worker *w, int i)
{
	char path[4200], value[64], got[64];
	int len = snprintf(value, sizeof(value), "%d %llu", w->id, (unsigned long long)below(w, 1u << 30));
	path_of(w, i, path);
	if (setxattr(path, "user.stress", value, (size_t)len, 0)) {
		if (errno == EOPNOTSUPP)
			return;
		FAIL(w, "setxattr %s", path);
	}
	if (getxattr(path, "user.stress", got, sizeof(got)) != len || memcmp(got, value, (size_t)len))
		FAIL(w, "getxattr %s", path);
}

static void op_list(struct worker *w, int i)
{
	(void)i;
	int want = 0, have = 0;
	for (int k = 0; k < FILES; k++)
		want += w->files[k].exists;
	DIR *d = opendir(w->dir);
	if (!d)
		FAIL(w, "opendir %s", w->dir);
	for (struct dirent *e; (e = readdir(d));)
		have += !strncmp(e->d_name, "file_", 5);
	closedir(d);
	if (have != want)
		FAIL(w, "%s lists %d files, not %d", w->dir, have, want);
}

static void op_directory(struct worker *w, int i)
{
	char path[4200], target[4096], link[4300];
	snprintf(path, sizeof(path), "%s/dir_%d", w->dir, i);
	snprintf(link, sizeof(link), "%s/link", path);
	if (mkdir(path, 0755) || symlink(path, link))
		FAIL(w, "mkdir %s", path);
	ssize_t n = readlink(link, target, sizeof(target));
	if (n != (ssize_t)strlen(path) || memcmp(target, path, (size_t)n))
		FAIL(w, "readlink %s", link);
	if (rmdir(path) == 0 || errno != ENOTEMPTY)
		FAIL(w, "rmdir of a full directory %s", path);
	if (unlink(link) || rmdir(path))
		FAIL(w, "rmdir %s", path);
}

/* ---- operations that all do to the same things */

static void op_shared_name(struct worker *w, int i)
{
	char a[4200], b[4200];
	(void)i;
	snprintf(a, sizeof(a), "%s/shared/name_%d", top, (int)below(w, SHARED_NAMES));
	snprintf(b, sizeof(b), "%s/shared/name_%d", top, (int)below(w, SHARED_NAMES));
	int result, fd;
	switch (below(w, 5)) {
	case 0:
		fd = open(a, O_CREAT | O_WRONLY, 0644);
		result = fd < 0 ? -1 : 0;
		if (fd >= 0 && (write(fd, a, strlen(a)) < 0 || close(fd)))
			FAIL(w, "write %s", a);
		break;
	case 1:
		result = unlink(a);
		break;
	case 2:
		result = rename(a, b);
		break;
	case 3:
		result = link(a, b);
		break;
	default: {
		struct stat st;
		result = stat(a, &st);
	}
	}
	if (result && errno != ENOENT && errno != EEXIST)
		FAIL(w, "%s and %s", a, b);
}

static void op_shared_block(struct worker *w, int i)
{
	/* Blocks of one's own, between those of the others: a page is not read and written at once. */
	uint64_t block[BLOCK / 8], index = below(w, SHARED_BLOCKS) * nthreads + (uint64_t)w->id;
	char path[4200];
	(void)i;
	snprintf(path, sizeof(path), "%s/shared_blocks", top);
	int fd = open(path, O_RDWR);
	if (fd < 0)
		FAIL(w, "open %s", path);
	if (below(w, 2)) {
		uint64_t salt = below(w, UINT32_MAX);
		for (size_t k = 0; k < BLOCK / 8; k++)
			block[k] = (index << 32 | k) ^ salt << 16;
		block[0] = index << 32 | salt;
		if (pwrite(fd, block, BLOCK, (off_t)(index * BLOCK)) != BLOCK)
			FAIL(w, "pwrite %s", path);
	} else {
		ssize_t n = pread(fd, block, BLOCK, (off_t)(index * BLOCK));
		if (n != 0 && n != BLOCK)
			FAIL(w, "pread %s: %zd", path, n);
		uint64_t salt = block[0] & UINT32_MAX;
		bool same = n == 0 || !block[0] || block[0] >> 32 == index;
		for (size_t k = 1; same && n && block[0] && k < BLOCK / 8; k++)
			same = block[k] == ((index << 32 | k) ^ salt << 16);
		if (!same)
			FAIL(w, "%s: block %llu is mixed or another's", path, (unsigned long long)index);
	}
	close(fd);
}

typedef void operation(struct worker *w, int i);

static const struct {
	operation *run;
	int weight;
	bool needs_file;
} operations[] = {
	{op_create, 12, false},	 {op_write, 14, true},	     {op_read, 20, true},
	{op_truncate, 6, true},	 {op_map, 6, true},	     {op_punch, 3, true},
	{op_rename, 6, true},	 {op_unlink, 6, true},	     {op_fsync, 1, true},
	{op_xattr, 4, true},	 {op_list, 4, false},	     {op_directory, 3, false},
	{op_shared_name, 8, false}, {op_shared_block, 7, false},
};

static void *work(void *arg)
{
	struct worker *w = arg;
	while (!failed && time(NULL) < deadline) {
		int pick = (int)below(w, 100);
		size_t op = 0;
		while (pick >= operations[op].weight)
			pick -= operations[op++].weight;
		int i = (int)below(w, FILES);
		w->operations++;
		if (operations[op].needs_file && !w->files[i].exists)
			op_create(w, i);
		else
			operations[op].run(w, i);
	}
	return NULL;
}

static void begin(struct worker *w, int id)
{
	w->id = id;
	w->rng = seed * 1000 + (uint64_t)id;
	snprintf(w->dir, sizeof(w->dir), "%s/thread_%d", top, id);
	if (mkdir(w->dir, 0755))
		err(1, "%s", w->dir);
	for (int i = 0; i < FILES; i++)
		w->files[i].data = calloc(1, SIZE_MAX_FILE + 60000);
}

static int run(int threads, const char *state)
{
	nthreads = (unsigned)threads;
	struct worker *workers = calloc((size_t)threads, sizeof(*workers));
	char path[4200];
	snprintf(path, sizeof(path), "%s/shared", top);
	if (mkdir(path, 0755))
		err(1, "%s", path);
	snprintf(path, sizeof(path), "%s/shared_blocks", top);
	int fd = open(path, O_CREAT | O_RDWR, 0644);
	if (fd < 0 || ftruncate(fd, (off_t)SHARED_BLOCKS * nthreads * BLOCK))
		err(1, "%s", path);
	close(fd);
	for (int t = 0; t < threads; t++)
		begin(&workers[t], t);
	for (int t = 0; t < threads; t++)
		pthread_create(&workers[t].thread, NULL, work, &workers[t]);
	uint64_t total = 0;
	for (int t = 0; t < threads; t++) {
		pthread_join(workers[t].thread, NULL);
		total += workers[t].operations;
	}
	FILE *f = fopen(state, "w");
	if (!f)
		err(1, "%s", state);
	for (int t = 0; t < threads; t++)
		for (int i = 0; i < FILES; i++) {
			struct model *m = &workers[t].files[i];
			fprintf(f, "thread_%d/file_%d %d %zu %016llx\n", t, i, m->exists, m->exists ? m->size : 0,
				(unsigned long long)(m->exists ? digest(m->data, m->size) : 0));
		}
	fclose(f);
	printf("# %llu operations by %d threads\n", (unsigned long long)total, threads);
	return failed;
}

static int check_one(const char *name, int exists, size_t size, unsigned long long want)
{
	char path[4200];
	snprintf(path, sizeof(path), "%s/%s", top, name);
	int fd = open(path, O_RDONLY);
	if (!exists || fd < 0) {
		if (fd >= 0)
			close(fd);
		return exists == (fd >= 0) ? 0 : (printf("%s: exists: %d, should: %d\n", path, fd >= 0, exists), 1);
	}
	uint8_t *data = malloc(SIZE_MAX_FILE + 60000);
	ssize_t n = read(fd, data, SIZE_MAX_FILE + 60000);
	bool same = n == (ssize_t)size && digest(data, size) == want;
	close(fd);
	free(data);
	if (!same)
		printf("%s: %zd bytes, not the %zu that were left\n", path, n, size);
	return !same;
}

static int check(const char *state)
{
	FILE *f = fopen(state, "r");
	char name[256];
	int exists, wrong = 0;
	size_t size;
	unsigned long long want;
	if (!f)
		err(1, "%s", state);
	while (fscanf(f, "%255s %d %zu %llx", name, &exists, &size, &want) == 4)
		wrong += check_one(name, exists, size, want);
	fclose(f);
	return wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 7 && !strcmp(argv[1], "run")) {
		top = argv[2];
		deadline = time(NULL) + atoi(argv[3]);
		seed = strtoull(argv[5], NULL, 10);
		return run(atoi(argv[4]), argv[6]);
	}
	if (argc == 4 && !strcmp(argv[1], "check")) {
		top = argv[2];
		return check(argv[3]);
	}
	errx(1, "stress run DIRECTORY SECONDS THREADS SEED STATE | stress check DIRECTORY STATE");
}
