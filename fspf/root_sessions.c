/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session table: the salts one behind the other, and a digest of them in the root record.
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/root.h"

#define BLOB_AAD "fspf session table v1"

uint64_t fspf_blob_blocks(uint32_t count)
{
	uint64_t bytes = (uint64_t)count * CRYPTO_SALT_SIZE;

	return (bytes + FSPF_BLOCK_SIZE - 1) / FSPF_BLOCK_SIZE;
}

/* Before the salts: what the digest is of, besides them. */
#define BLOB_HEAD (sizeof(BLOB_AAD) - 1 + FSPF_VOLUME_ID_SIZE + 4)

static int blob_digest(const struct fspf_header *header, uint32_t count, const uint8_t *salts,
		       size_t len, struct crypto_digest *ret)
{
	uint8_t head[BLOB_HEAD];

	memcpy(head, BLOB_AAD, sizeof(BLOB_AAD) - 1);
	memcpy(head + sizeof(BLOB_AAD) - 1, header->volume_id, FSPF_VOLUME_ID_SIZE);
	put_le32(head + sizeof(BLOB_AAD) - 1 + FSPF_VOLUME_ID_SIZE, count);
	return crypto_sha256v(
		(const struct iovec[]){{head, sizeof(head)}, {(void *)(uintptr_t)salts, len}}, 2,
		ret);
}

int fspf_blob_write(struct fspf_store *store, const struct fspf_header *header,
		    struct crypto_sessions *table, struct fspf_blob *blob)
{
	uint32_t count = crypto_sessions_count(table);
	size_t len = fspf_blob_blocks(count) * FSPF_BLOCK_SIZE;
	uint8_t *data = calloc(1, len);
	struct crypto_salt salt;
	int r = data ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < count && r == 0; i++) {
		r = crypto_sessions_salt(table, i + 1, &salt);
		if (r == 0)
			memcpy(data + (size_t)i * CRYPTO_SALT_SIZE, salt.b, CRYPTO_SALT_SIZE);
	}
	blob->count = count;
	if (r == 0)
		r = blob_digest(header, count, data, len, &blob->digest);
	if (r == 0)
		r = store->ops->write(store, blob->addr, data, len);
	free(data);
	return r;
}

int fspf_blob_read(struct fspf_store *store, const struct fspf_header *header,
		   const struct fspf_blob *blob, struct crypto_sessions *table)
{
	size_t len = fspf_blob_blocks(blob->count) * FSPF_BLOCK_SIZE;
	uint8_t *data = calloc(1, len ? len : 1);
	struct crypto_digest digest;
	struct crypto_salt salt;
	int r = data ? store->ops->read(store, blob->addr, data, len) : -ENOMEM;

	if (r == 0)
		r = blob_digest(header, blob->count, data, len, &digest);
	if (r == 0 && !crypto_digest_equal(&digest, &blob->digest))
		r = -EBADMSG;
	for (uint32_t i = 0; i < blob->count && r == 0; i++) {
		memcpy(salt.b, data + (size_t)i * CRYPTO_SALT_SIZE, CRYPTO_SALT_SIZE);
		r = crypto_sessions_load(table, &salt);
	}
	free(data);
	return r;
}
