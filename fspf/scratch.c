/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scratch file: block i at offset i x 4096, sealed; its counter and tag in a table a segment
 * that is made with the segment's first reservation.
 *
 * A block that is read while it is written (a reader that was overtaken does that) may be met with
 * the old tag and the new bytes: then it does not verify, and the reader looks again.
 */
#include "fspf/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "crypto/gcm.h"
#include "fspf/fdio.h"

#define SEGMENTS_MAX (1u << 20) /* 64 TiB in segments of 64 MiB */

struct seal {
	uint64_t counter; /* 0: never written */
	struct crypto_mac mac;
};

struct scratch {
	struct fspf_store store;
	int fd;
	struct crypto_gcm *gcm;
	pthread_mutex_t lock; /* all below */
	uint64_t counter;
	uint64_t highest; /* segment */
	struct seal *segments[SEGMENTS_MAX];
};

static struct scratch *scratch_of(struct fspf_store *s)
{
	return (struct scratch *)s;
}

static off_t offset_of(uint64_t block)
{
	return (off_t)(block * FSPF_BLOCK_SIZE);
}

/* Locked.  NULL: nothing was ever reserved there. */
static struct seal *seal_of(struct scratch *s, uint64_t block)
{
	uint64_t segment = block / s->store.segment_blocks;

	if (segment >= SEGMENTS_MAX || !s->segments[segment])
		return NULL;
	return &s->segments[segment][block % s->store.segment_blocks];
}

static void aad_of(uint64_t block, uint8_t aad[static 8])
{
	put_le64(aad, block);
}

/* ---- whole runs of the file ---- */

/* What lies beyond the end of the file is zeroes. */
static int read_file(int fd, uint64_t block, uint8_t *data, size_t len)
{
	ssize_t n = fspf_fd_read(fd, data, len, (uint64_t)offset_of(block));

	if (n < 0)
		return (int)n;
	memset(data + n, 0, len - (size_t)n);
	return 0;
}

/* ---- one block ---- */

static int open_block(struct scratch *s, uint64_t block, uint8_t *data)
{
	struct crypto_nonce nonce;
	struct seal seal = {0};
	const struct seal *at;
	uint8_t aad[8];
	int r;

	pthread_mutex_lock(&s->lock);
	at = seal_of(s, block);
	if (at)
		seal = *at;
	pthread_mutex_unlock(&s->lock);
	if (seal.counter == 0) {
		memset(data, 0, FSPF_BLOCK_SIZE);
		return 0;
	}
	nonce = crypto_nonce_from_counter(seal.counter);
	aad_of(block, aad);
	r = crypto_gcm_open(s->gcm, &nonce, aad, sizeof(aad), data, data, FSPF_BLOCK_SIZE,
			    &seal.mac);
	return r == -EBADMSG ? 0 : r; /* X3: it was wiped */
}

/* X2 */
static int next_counter(struct scratch *s, uint64_t *ret)
{
	int r = -ENOSPC; /* 16 TiB were written: the key has done its work */

	pthread_mutex_lock(&s->lock);
	if (s->counter < CRYPTO_SEALS_MAX) {
		*ret = ++s->counter;
		r = 0;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int seal_block(struct scratch *s, uint64_t block, const uint8_t *in, uint8_t *out,
		      struct seal *ret)
{
	struct crypto_nonce nonce;
	uint8_t aad[8];
	int r = -EAGAIN;

	aad_of(block, aad);
	while (r == -EAGAIN) {
		r = next_counter(s, &ret->counter);
		if (r)
			break;
		nonce = crypto_nonce_from_counter(ret->counter);
		r = crypto_gcm_seal(s->gcm, &nonce, aad, sizeof(aad), in, out, FSPF_BLOCK_SIZE,
				    &ret->mac);
	}
	return r;
}

/* ---- the store ---- */

static int scratch_read(struct fspf_store *store, uint64_t block, void *data, size_t len)
{
	struct scratch *s = scratch_of(store);
	int r = read_file(s->fd, block, data, len);

	for (size_t i = 0; i < len / FSPF_BLOCK_SIZE && r == 0; i++)
		r = open_block(s, block + i, (uint8_t *)data + i * FSPF_BLOCK_SIZE);
	return r;
}

static int scratch_write(struct fspf_store *store, uint64_t block, const void *data, size_t len)
{
	struct scratch *s = scratch_of(store);
	size_t n = len / FSPF_BLOCK_SIZE;
	uint8_t *sealed = calloc(n, FSPF_BLOCK_SIZE);
	struct seal *seals = calloc(n, sizeof(*seals));
	int r = sealed && seals ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && r == 0; i++)
		r = seal_block(s, block + i, (const uint8_t *)data + i * FSPF_BLOCK_SIZE,
			       sealed + i * FSPF_BLOCK_SIZE, &seals[i]);
	if (r == 0)
		r = fspf_fd_write(s->fd, sealed, len, (uint64_t)offset_of(block));
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct seal *at = seal_of(s, block + i);

		if (at)
			*at = seals[i];
		else
			r = -EINVAL; /* nobody writes where nothing was reserved */
	}
	pthread_mutex_unlock(&s->lock);
	free(seals);
	free(sealed);
	return r;
}

/* Nothing here outlives the process. */
static int scratch_barrier(struct fspf_store *store)
{
	(void)store;
	return 0;
}

static int need_segment(struct scratch *s, uint64_t segment)
{
	int r = segment < SEGMENTS_MAX ? 0 : -ENOSPC;

	pthread_mutex_lock(&s->lock);
	if (r == 0 && !s->segments[segment]) {
		s->segments[segment] = calloc(s->store.segment_blocks, sizeof(struct seal));
		r = s->segments[segment] ? 0 : -ENOMEM;
	}
	if (r == 0)
		s->highest = max_u64(s->highest, segment);
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int scratch_reserve(struct fspf_store *store, uint64_t block, uint64_t count)
{
	struct scratch *s = scratch_of(store);
	int r = need_segment(s, block / store->segment_blocks);

	if (r == 0 && fallocate(s->fd, 0, offset_of(block), offset_of(count)) < 0)
		r = errno == EOPNOTSUPP ? 0 : -errno;
	return r == -EFBIG || r == -EDQUOT ? -ENOSPC : r;
}

static void scratch_trim(struct fspf_store *store, uint64_t block, uint64_t count)
{
	struct scratch *s = scratch_of(store);

	if (fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset_of(block),
		      offset_of(count)) < 0)
		return; /* advice */
}

static int scratch_available(struct fspf_store *store, uint64_t *ret_bytes)
{
	struct statvfs st;

	if (fstatvfs(scratch_of(store)->fd, &st) < 0)
		return -errno;
	*ret_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static int scratch_segments(struct fspf_store *store, uint64_t *ret_highest)
{
	struct scratch *s = scratch_of(store);

	pthread_mutex_lock(&s->lock);
	*ret_highest = s->highest;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static void scratch_free(struct fspf_store *store)
{
	struct scratch *s = scratch_of(store);

	for (uint64_t i = 0; i <= s->highest; i++)
		free(s->segments[i]);
	crypto_gcm_free(s->gcm);
	if (s->fd >= 0)
		close(s->fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static const struct fspf_store_ops scratch_ops = {
	.read = scratch_read,
	.write = scratch_write,
	.barrier = scratch_barrier,
	.reserve = scratch_reserve,
	.trim = scratch_trim,
	.available = scratch_available,
	.segments = scratch_segments,
	.free = scratch_free,
};

/* ---- making it ---- */

/* A file without a name, where the file system can; else one that loses it at once. */
static int open_nameless(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd >= 0 ? fd : -errno;
	if (snprintf(path, sizeof(path), "%s/.fspf-XXXXXX", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

static int open_somewhere(const char *dir)
{
	static const char *const places[] = {"/var/tmp", "/tmp", "/dev/shm"};
	int fd = -ENOENT;

	if (dir)
		return open_nameless(dir);
	for (size_t i = 0; i < ARRAY_LEN(places) && fd < 0; i++)
		fd = open_nameless(places[i]);
	return fd;
}

int fspf_scratch_store_new(const char *dir, uint64_t segment_blocks, struct fspf_store **ret)
{
	struct scratch *s = calloc(1, sizeof(*s));
	struct crypto_key *key = NULL;
	int r = s ? crypto_key_random(&key) : -ENOMEM;

	if (!s)
		return r;
	s->store = (struct fspf_store){.ops = &scratch_ops, .segment_blocks = segment_blocks};
	pthread_mutex_init(&s->lock, NULL);
	s->fd = -1;
	if (r == 0)
		r = crypto_gcm_new(key, &s->gcm);
	crypto_key_free(key);
	if (r == 0) {
		s->fd = open_somewhere(dir);
		r = s->fd < 0 ? s->fd : 0;
	}
	if (r)
		scratch_free(&s->store);
	else
		*ret = &s->store;
	return r;
}
