/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/inplace.c - how fast contents in place are recorded and read, from the host's page cache
 *
 *	bench_inplace [DIRECTORY]	below which it makes a file of 512 MiB and a volume (/tmp)
 *
 * Prints MB/s (10^6 bytes) of one thread.  "hashed" is what crypto/digest.h does with blocks of
 * 4 KiB in memory, "read" the same file by pread(2) alone: neither can be beaten.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fspf/volume.h"
#include "merkle/verity.h"

#define SIZE (UINT64_C(512) << 20)
#define PIECE ((size_t)1 << 20)
#define ROUNDS 3

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what, int r)
{
	fprintf(stderr, "bench_inplace: %s: %s\n", what, strerror(-r));
	exit(1);
}

static void tell(const char *what, double start)
{
	printf("%-24s %6.0f MB/s\n", what, (double)SIZE / 1e6 / (now() - start));
}

static void make_file(const char *path, uint8_t *piece)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	for (size_t i = 0; i < PIECE; i++)
		piece[i] = (uint8_t)(i * 2654435761u >> 11);
	for (uint64_t at = 0; at < SIZE; at += PIECE) {
		put_le64(piece, at);
		if (fd < 0 || write(fd, piece, PIECE) != (ssize_t)PIECE)
			fail(path, -errno);
	}
	close(fd);
}

static void hash_alone(const uint8_t *piece)
{
	struct crypto_digest leaf;
	double start = now();

	for (uint64_t at = 0; at < SIZE; at += MERKLE_VERITY_BLOCK)
		if (merkle_verity_leaf(piece + at % PIECE, MERKLE_VERITY_BLOCK, &leaf))
			fail("hash", -EIO);
	tell("hashed", start);
}

static void read_alone(const char *path, uint8_t *piece)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	double start = now();

	for (uint64_t at = 0; at < SIZE; at += PIECE)
		if (pread(fd, piece, PIECE, (off_t)at) != (ssize_t)PIECE)
			fail(path, -errno);
	tell("read", start);
	close(fd);
}

static struct fspf_volume *open_volume(const char *path, const char *host)
{
	struct fspf_open_params params = {.path = path, .authoring = true};
	struct fspf_volume *v;
	struct fspf_error err;

	if (fspf_anchor_none(&params.anchor) || fspf_open(&params, &v, &err))
		fail(err.text, -EIO);
	v->regions[0]->in_place = true;
	v->regions[0]->host_fd = open(host, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return v;
}

static void read_verified(struct fspf_volume *v, size_t size, uint8_t *piece)
{
	struct fspf_attr attr;
	char what[64];
	double start;
	int r = fspf_resolve(v, "/file", &attr);

	if (r)
		fail("/file", r);
	for (int round = 0; round < ROUNDS; round++) {
		start = now();
		for (uint64_t at = 0; at < SIZE; at += size)
			if (fspf_read(v, attr.ino, at, piece, size) != (ssize_t)size)
				fail("fspf_read", -EBADMSG);
		snprintf(what, sizeof(what), "verified, %zu KiB reads", size >> 10);
		tell(what, start);
	}
	fspf_forget(v, attr.ino, 1);
}

int main(int argc, char **argv)
{
	char base[256], host[300], file[320], volume[300], command[300];
	const struct fspf_create_params create = {.path = volume, .authenticated = true};
	uint8_t *piece = aligned_alloc(4096, PIECE);
	struct crypto_digest tag;
	struct fspf_error err;
	struct fspf_volume *v;
	double start;

	snprintf(base, sizeof(base), "%s/fspf-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!piece || !mkdtemp(base))
		fail(base, -errno);
	snprintf(host, sizeof(host), "%s/host", base);
	snprintf(file, sizeof(file), "%s/file", host);
	snprintf(volume, sizeof(volume), "%s/volume", base);
	if (mkdir(host, 0700))
		fail(host, -errno);
	make_file(file, piece);
	if (fspf_create(&create, &tag, &err))
		fail(err.text, -EIO);
	v = open_volume(volume, host);
	hash_alone(piece);
	read_alone(file, piece);
	start = now();
	if (fspf_import(v, "/", host, NULL, &err))
		fail(err.text, -EIO);
	tell("recorded", start);
	read_verified(v, PIECE, piece);
	read_verified(v, PIECE / 8, piece);
	read_verified(v, PIECE / 256, piece);
	if (fspf_close(v, NULL, &err))
		fail(err.text, -EIO);
	free(piece);
	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	return system(command) != 0;
}
