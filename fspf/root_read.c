/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a record, from a slot or from a snapshot's copy: the tag over the bytes as they are
 * stored; the public part; the sealed part, if the volume key is there; then the encrypted regions,
 * each with the key that the sealed part has for it, or with one that the reader was given.
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/root_codec.h"

/* The sealed part, in place. */
static int open_sealed(const struct crypto_key *volume_key, const struct fspf_header *header,
		       const struct fspf_root *root, const uint8_t *aad, size_t aad_len,
		       uint8_t *data, size_t len)
{
	struct crypto_nonce nonce = crypto_nonce_from_counter(root->counter);
	struct crypto_gcm *gcm = NULL;
	int r = fspf_root_derive(volume_key, &root->salt, FSPF_ROOT_INFO, header->volume_id, &gcm);

	if (r == 0)
		r = crypto_gcm_open(gcm, &nonce, aad, aad_len, data, data, len, &root->mac);
	crypto_gcm_free(gcm);
	return r;
}

/* Open one capsule with @key and add its region; what a wrong key gives is -EBADMSG. */
static int add_encrypted(const struct fspf_capsules *c, const struct fspf_capsule *capsule,
			 const uint8_t *key, struct fspf_root *root)
{
	uint8_t *entry = crypto_secret_alloc(FSPF_ENTRY_MAX);
	struct fspf_region_record *region = &root->region[root->nregions];
	struct fspf_bytes b = {.p = entry, .end = capsule->len};
	int r = entry ? fspf_capsule_open(c, capsule, key, entry) : -ENOMEM;

	if (r == 0)
		r = fspf_root_get_entry(&b, region);
	if (r == 0 && (b.at != b.end || region->protection != FSPF_ENCRYPTED))
		r = -EBADMSG;
	if (r == 0) {
		memcpy(region->key, key, CRYPTO_KEY_SIZE);
		root->nregions++;
	}
	crypto_secret_free(entry);
	return r;
}

/* Every region: each capsule opens with the key that the sealed part has for it. */
static int add_all(const struct fspf_header *header, struct fspf_bytes *capsules,
		   const struct fspf_region_record *keys, struct fspf_root *root)
{
	const struct fspf_capsules c = {header, root};
	int r = 0;

	for (uint32_t i = 0; i < root->capsules && r == 0; i++) {
		struct fspf_region_record *region = &root->region[root->nregions];
		struct fspf_capsule capsule;

		r = fspf_root_get_capsule(capsules, &capsule);
		if (r == 0)
			r = add_encrypted(&c, &capsule, keys[i].key, root);
		if (r)
			break;
		if (region->id != keys[i].id)
			return -EBADMSG;
		region->old_sessions = keys[i].old_sessions;
		memcpy(region->old_key, keys[i].old_key, sizeof(region->old_key));
	}
	return r;
}

/* Those regions of which one of the keys is the key. */
static int add_some(const struct fspf_header *header, struct fspf_bytes *capsules,
		    const struct fspf_root_keys *keys, struct fspf_root *root)
{
	const struct fspf_capsules c = {header, root};

	for (uint32_t i = 0; i < root->capsules; i++) {
		struct fspf_capsule capsule;
		int r = fspf_root_get_capsule(capsules, &capsule);

		if (r)
			return r;
		r = -EBADMSG;
		for (size_t k = 0; k < keys->nregion && r == -EBADMSG; k++)
			r = add_encrypted(&c, &capsule, keys->region[k]->b, root);
		if (r && r != -EBADMSG)
			return r;
	}
	return 0;
}

/* The sealed part, which names all regions' keys. */
static int decode_sealed(const struct fspf_header *header, const struct crypto_key *volume_key,
			 uint8_t *slot, size_t public_len, size_t len, struct fspf_bytes *capsules,
			 struct fspf_root *root)
{
	struct fspf_region_record *keys =
		crypto_secret_alloc(FSPF_REGIONS_MAX * sizeof(struct fspf_region_record));
	struct fspf_bytes b = {.p = slot, .at = public_len, .end = len};
	int r = keys ? 0 : -ENOMEM;

	if (r == 0 && header->keyed) {
		memset(slot + FSPF_ROOT_MAC_AT, 0, CRYPTO_MAC_SIZE);
		r = open_sealed(volume_key, header, root, slot, public_len, slot + public_len,
				len - public_len);
	}
	if (r == 0)
		r = fspf_root_get_sealed(&b, root, keys);
	if (r == 0 && (b.overrun || b.at != len))
		r = -EBADMSG;
	if (r == 0)
		r = add_all(header, capsules, keys, root);
	root->opened = r == 0;
	crypto_secret_free(keys);
	return r;
}

/* @slot holds a whole slot; opens the sealed part in place. */
static int decode(const struct fspf_header *header, const struct fspf_root_keys *keys,
		  uint8_t *slot, size_t len, struct fspf_root *root)
{
	size_t public_len = get_le32(slot + FSPF_ROOT_PUBLIC_LEN_AT);
	struct fspf_bytes b = {.p = slot, .end = public_len};
	int r;

	if (public_len < FSPF_ROOT_PUBLIC || public_len >= len)
		return -EBADMSG;
	r = fspf_root_get_public(&b, header, root);
	if (r || b.overrun)
		return -EBADMSG;
	if (header->keyed && !keys->volume)
		r = add_some(header, &b, keys, root);
	else
		r = decode_sealed(header, keys->volume, slot, public_len, len, &b, root);
	if (r == 0 && b.at != public_len)
		r = -EBADMSG;
	return r ? r : fspf_root_check_regions(root);
}

static bool is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && !memcmp(p, p + 1, len - 1));
}

/* A record in @buffer, a whole slot. */
static int read_record(const struct fspf_header *header, const struct fspf_root_keys *keys,
		       uint8_t *buffer, struct fspf_root **ret, struct crypto_digest *ret_tag)
{
	size_t len = get_le32(buffer + FSPF_ROOT_LEN_AT);
	struct fspf_root *root = fspf_root_new();
	int r = root ? 0 : -ENOMEM;

	if (r == 0 && (len < FSPF_ROOT_PUBLIC || len > FSPF_ROOT_SLOT_BYTES))
		r = -EBADMSG;
	if (r == 0)
		r = crypto_sha256(buffer, len, ret_tag);
	if (r == 0)
		r = decode(header, keys, buffer, len, root);
	if (r == 0) {
		*ret = root;
		root = NULL;
	}
	fspf_root_free(root);
	return r;
}

int fspf_root_read(struct fspf_store *store, const struct fspf_header *header,
		   const struct fspf_root_keys *keys, unsigned slot, struct fspf_root **ret,
		   struct crypto_digest *ret_tag)
{
	uint8_t *buffer = crypto_secret_alloc(FSPF_ROOT_SLOT_BYTES);
	int r = buffer ? store->ops->read(store, fspf_root_slot_block(slot), buffer,
					  FSPF_ROOT_SLOT_BYTES)
		       : -ENOMEM;

	if (r == 0 && is_zero(buffer, FSPF_BLOCK_SIZE))
		r = -ENOENT;
	if (r == 0)
		r = read_record(header, keys, buffer, ret, ret_tag);
	crypto_secret_free(buffer);
	return r;
}

/* ---- copies ---- */

int fspf_root_length(struct fspf_store *store, unsigned slot, uint32_t *ret_length)
{
	uint8_t block[FSPF_BLOCK_SIZE];
	int r = store->ops->read(store, fspf_root_slot_block(slot), block, sizeof(block));

	*ret_length = get_le32(block + FSPF_ROOT_LEN_AT);
	if (r == 0 && (*ret_length < FSPF_ROOT_PUBLIC || *ret_length > FSPF_ROOT_SLOT_BYTES))
		r = -EBADMSG;
	return r;
}

/* @length bytes at @block into a slot-sized @buffer, if they have that tag. */
static int read_tagged(struct fspf_store *store, uint64_t block, uint32_t length,
		       const struct crypto_digest *tag, uint8_t *buffer)
{
	size_t whole = (length + FSPF_BLOCK_SIZE - 1) / FSPF_BLOCK_SIZE * FSPF_BLOCK_SIZE;
	struct crypto_digest got;
	int r = store->ops->read(store, block, buffer, whole);

	if (r == 0)
		r = crypto_sha256(buffer, length, &got);
	if (r == 0 && !crypto_digest_equal(&got, tag))
		r = -EBADMSG;
	memset(buffer + length, 0, FSPF_ROOT_SLOT_BYTES - length);
	return r;
}

int fspf_root_copy(struct fspf_store *store, unsigned slot, const struct crypto_digest *tag,
		   uint64_t addr, uint32_t length)
{
	uint8_t *buffer = crypto_secret_alloc(FSPF_ROOT_SLOT_BYTES);
	size_t whole = (length + FSPF_BLOCK_SIZE - 1) / FSPF_BLOCK_SIZE * FSPF_BLOCK_SIZE;
	int r = buffer ? read_tagged(store, fspf_root_slot_block(slot), length, tag, buffer)
		       : -ENOMEM;

	if (r == 0)
		r = store->ops->write(store, addr, buffer, whole);
	crypto_secret_free(buffer);
	return r;
}

int fspf_root_read_copy(struct fspf_store *store, const struct fspf_header *header,
			const struct fspf_root_keys *keys, const struct fspf_snapshot *snapshot,
			struct fspf_root **ret)
{
	uint8_t *buffer = crypto_secret_alloc(FSPF_ROOT_SLOT_BYTES);
	struct crypto_digest tag;
	int r = buffer ? read_tagged(store, snapshot->addr, snapshot->length, &snapshot->tag,
				     buffer)
		       : -ENOMEM;

	if (r == 0 && get_le32(buffer + FSPF_ROOT_LEN_AT) != snapshot->length)
		r = -EBADMSG;
	if (r == 0)
		r = read_record(header, keys, buffer, ret, &tag);
	crypto_secret_free(buffer);
	return r;
}
