/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record is encoded into one slot-sized buffer in guarded memory (it holds region keys until
 * sealed), the sealed part is encrypted in place, and what is written is rounded up to whole blocks
 * of which the rest is zero.
 *
 * Writing uses a cursor that stops at the end of the slot, reading one that stops at the end of the
 * part: no length taken from storage is trusted before it was compared with what is there.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "crypto/kdf.h"
#include "fspf/item.h"
#include "fspf/root.h"
#include "fspf/volume.h"

#define ROOT_MAGIC "FSPFROOT"
#define ROOT_KEYED 1u
#define ROOT_PUBLIC 184u /* bytes before the public regions */
#define ROOT_MAC_AT 152u
#define ROOT_INFO "fspf root record v1"
#define BLOB_AAD "fspf session table v1"

struct fspf_root_sealer {
	struct crypto_aead *aead;
	struct crypto_salt salt;
	atomic_uint_fast64_t counter;
};

/* ---- a cursor over bytes ---- */

struct bytes {
	uint8_t *p;
	size_t at, end;
	bool overrun; /* sticky: checked once at the end */
};

static uint8_t *take(struct bytes *b, size_t n)
{
	uint8_t *p = b->p + b->at;

	if (b->overrun || n > b->end - b->at) {
		b->overrun = true;
		return NULL;
	}
	b->at += n;
	return p;
}

static void put_bytes(struct bytes *b, const void *data, size_t n)
{
	uint8_t *p = take(b, n);

	if (p)
		memcpy(p, data, n);
}

static void put_u64(struct bytes *b, uint64_t v)
{
	uint8_t x[8];

	put_le64(x, v);
	put_bytes(b, x, sizeof(x));
}

static void put_u32(struct bytes *b, uint32_t v)
{
	uint8_t x[4];

	put_le32(x, v);
	put_bytes(b, x, sizeof(x));
}

static void put_u16(struct bytes *b, uint16_t v)
{
	uint8_t x[2];

	put_le16(x, v);
	put_bytes(b, x, sizeof(x));
}

static void put_ptr(struct bytes *b, const struct merkle_ptr *ptr)
{
	uint8_t *p = take(b, MERKLE_PTR_SIZE);

	if (!p)
		return;
	if (merkle_ptr_is_null(ptr))
		memset(p, 0, MERKLE_PTR_SIZE);
	else
		merkle_ptr_encode(ptr, p);
}

static void get_bytes(struct bytes *b, void *data, size_t n)
{
	const uint8_t *p = take(b, n);

	if (p)
		memcpy(data, p, n);
	else
		memset(data, 0, n);
}

static uint64_t get_u64(struct bytes *b)
{
	const uint8_t *p = take(b, 8);

	return p ? get_le64(p) : 0;
}

static uint32_t get_u32(struct bytes *b)
{
	const uint8_t *p = take(b, 4);

	return p ? get_le32(p) : 0;
}

static uint16_t get_u16(struct bytes *b)
{
	const uint8_t *p = take(b, 2);

	return p ? get_le16(p) : 0;
}

static int get_ptr(struct bytes *b, struct merkle_ptr *ret)
{
	static const uint8_t none[MERKLE_PTR_SIZE];
	const uint8_t *p = take(b, MERKLE_PTR_SIZE);

	memset(ret, 0, sizeof(*ret));
	if (!p || !memcmp(p, none, sizeof(none)))
		return 0;
	return merkle_ptr_decode(p, ret);
}

/* ---- the sealer ---- */

int fspf_root_sealer_new(const struct crypto_key *volume_key,
			 const uint8_t volume_id[static FSPF_VOLUME_ID_SIZE],
			 const struct crypto_salt *salt, struct fspf_root_sealer **ret)
{
	uint8_t info[sizeof(ROOT_INFO) - 1 + FSPF_VOLUME_ID_SIZE];
	struct fspf_root_sealer *s = calloc(1, sizeof(*s));
	struct crypto_key *key = NULL;
	int r = -ENOMEM;

	if (!s)
		goto out;
	memcpy(info, ROOT_INFO, sizeof(ROOT_INFO) - 1);
	memcpy(info + sizeof(ROOT_INFO) - 1, volume_id, FSPF_VOLUME_ID_SIZE);
	r = crypto_hkdf(volume_key, salt, sizeof(*salt), info, sizeof(info), &key);
	if (r)
		goto out;
	r = crypto_aead_new(key, &s->aead);
	if (r)
		goto out;
	s->salt = *salt;
	atomic_init(&s->counter, 1);
	*ret = s;
	s = NULL;
out:
	crypto_key_free(key);
	fspf_root_sealer_free(s);
	return r;
}

struct fspf_root_sealer *fspf_root_sealer_free(struct fspf_root_sealer *s)
{
	if (s)
		crypto_aead_free(s->aead);
	free(s);
	return NULL;
}

static int seal(struct fspf_root_sealer *s, const void *aad, size_t aad_len, const void *in,
		void *out, size_t len, uint64_t counter, struct crypto_mac *ret)
{
	struct crypto_nonce nonce = crypto_nonce_from_counter(counter);

	return crypto_aead_seal(s->aead, &nonce, aad, aad_len, in, out, len, ret);
}

/* A fresh counter; far fewer than CRYPTO_SEALS_MAX commits fit a lifetime, but the limit is kept
 * all the same. */
static int next_counter(struct fspf_root_sealer *s, uint64_t *ret)
{
	*ret = atomic_fetch_add(&s->counter, 1);
	return *ret < CRYPTO_SEALS_MAX ? 0 : -EKEYEXPIRED;
}

static int open_sealed(const struct crypto_key *volume_key, const struct fspf_header *header,
		       const struct crypto_salt *salt, uint64_t counter,
		       const struct crypto_mac *mac, const void *aad, size_t aad_len, void *data,
		       size_t len)
{
	struct crypto_nonce nonce = crypto_nonce_from_counter(counter);
	struct fspf_root_sealer *s = NULL;
	int r = fspf_root_sealer_new(volume_key, header->volume_id, salt, &s);

	if (r == 0)
		r = crypto_aead_open(s->aead, &nonce, aad, aad_len, data, data, len, mac);
	fspf_root_sealer_free(s);
	return r;
}

struct fspf_root *fspf_root_new(void)
{
	return crypto_secret_alloc(sizeof(struct fspf_root));
}

struct fspf_root *fspf_root_free(struct fspf_root *root)
{
	return crypto_secret_free(root);
}

/* ---- encoding ---- */

static void put_region(struct bytes *b, const struct fspf_region_record *r)
{
	size_t prefix_len = strlen(r->prefix);

	put_u16(b, r->id);
	put_u16(b, (uint16_t)r->class);
	put_u32(b, (uint32_t)prefix_len);
	put_u64(b, r->next_object);
	put_u64(b, r->files);
	put_u64(b, r->blocks);
	put_u64(b, r->unwritten);
	put_ptr(b, &r->root);
	put_bytes(b, r->tag.b, sizeof(r->tag.b));
	put_bytes(b, r->hash_key, sizeof(r->hash_key));
	put_bytes(b, r->key, sizeof(r->key));
	put_bytes(b, r->prefix, prefix_len);
}

static void put_regions(struct bytes *b, const struct fspf_root *root, enum crypto_class class)
{
	for (uint32_t i = 0; i < root->nregions; i++)
		if (root->region[i].class == class)
			put_region(b, &root->region[i]);
}

static uint32_t count_regions(const struct fspf_root *root, enum crypto_class class)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < root->nregions; i++)
		n += root->region[i].class == class;
	return n;
}

/* Lengths and the MAC are filled in by encode(), when they are known. */
static void put_public(struct bytes *b, const struct fspf_header *header,
		       const struct fspf_root *root)
{
	put_bytes(b, ROOT_MAGIC, 8);
	put_u32(b, FSPF_VERSION_FORMAT);
	put_u32(b, 0);
	put_bytes(b, header->volume_id, FSPF_VOLUME_ID_SIZE);
	put_bytes(b, header->digest.b, sizeof(header->digest.b));
	put_u64(b, root->generation);
	put_u32(b, header->keyed ? ROOT_KEYED : 0);
	put_u32(b, 0);
	put_bytes(b, root->previous.b, sizeof(root->previous.b));
	put_bytes(b, root->salt.b, sizeof(root->salt.b));
	put_u64(b, root->counter);
	put_bytes(b, (const uint8_t[CRYPTO_MAC_SIZE]){0}, CRYPTO_MAC_SIZE);
	put_u32(b, count_regions(root, CRYPTO_CLASS_AUTHENTICATED));
	put_u32(b, 0);
	put_u64(b, 0);
	put_regions(b, root, CRYPTO_CLASS_AUTHENTICATED);
}

static void put_sealed(struct bytes *b, const struct fspf_root *root)
{
	put_bytes(b, root->base.b, sizeof(root->base.b));
	put_u64(b, root->sessions.addr);
	put_u64(b, root->sessions.birth);
	put_u32(b, root->sessions.count);
	put_u32(b, 0);
	put_bytes(b, root->sessions.salt.b, sizeof(root->sessions.salt.b));
	put_u64(b, root->sessions.counter);
	put_bytes(b, root->sessions.mac.b, sizeof(root->sessions.mac.b));
	put_ptr(b, &root->space);
	put_u64(b, root->cursor);
	put_u64(b, root->segments);
	put_u64(b, root->used);
	put_u32(b, root->policy);
	put_u16(b, root->next_region);
	put_u16(b, (uint16_t)count_regions(root, CRYPTO_CLASS_ENCRYPTED));
	put_regions(b, root, CRYPTO_CLASS_ENCRYPTED);
}

/* Encode into @slot (zeroed) and seal in place; the record's length. */
static int encode(const struct fspf_header *header, struct fspf_root_sealer *sealer,
		  struct fspf_root *root, uint8_t *slot, size_t *ret_len)
{
	struct bytes b = {.p = slot, .end = FSPF_ROOT_SLOT_BYTES};
	size_t public_len;
	int r;

	memset(&root->salt, 0, sizeof(root->salt));
	root->counter = 0;
	if (sealer) {
		root->salt = sealer->salt;
		r = next_counter(sealer, &root->counter);
		if (r)
			return r;
	}
	put_public(&b, header, root);
	public_len = b.at;
	put_sealed(&b, root);
	if (b.overrun)
		return -E2BIG;
	put_le32(slot + 12, (uint32_t)b.at);
	put_le32(slot + 76, (uint32_t)public_len);
	*ret_len = b.at;
	if (!sealer)
		return 0;
	r = seal(sealer, slot, public_len, slot + public_len, slot + public_len, b.at - public_len,
		 root->counter, &root->mac);
	if (r == 0)
		memcpy(slot + ROOT_MAC_AT, root->mac.b, sizeof(root->mac.b));
	return r;
}

static uint64_t slot_block(unsigned slot)
{
	return FSPF_ROOT_SLOT0 + (uint64_t)slot * FSPF_ROOT_SLOT_BLOCKS;
}

int fspf_root_write(struct fspf_store *store, const struct fspf_header *header,
		    struct fspf_root_sealer *sealer, unsigned slot, struct fspf_root *root,
		    struct crypto_digest *ret_tag)
{
	uint8_t *buffer = crypto_secret_alloc(FSPF_ROOT_SLOT_BYTES);
	struct crypto_digest tag;
	size_t len = 0;
	int r = -ENOMEM;

	if (!buffer)
		goto out;
	do {
		memset(buffer, 0, FSPF_ROOT_SLOT_BYTES);
		r = encode(header, sealer, root, buffer, &len);
	} while (r == -EAGAIN);
	if (r == 0)
		r = crypto_sha256(buffer, len, &tag);
	if (r)
		goto out;
	len = (len + FSPF_BLOCK_SIZE - 1) / FSPF_BLOCK_SIZE * FSPF_BLOCK_SIZE;
	r = store->ops->write(store, slot_block(slot), buffer, len);
	if (r == 0)
		*ret_tag = tag;
out:
	crypto_secret_free(buffer);
	return r;
}

/* ---- decoding ---- */

static int get_region(struct bytes *b, struct fspf_region_record *r)
{
	uint32_t prefix_len;
	int error;

	r->id = get_u16(b);
	r->class = get_u16(b);
	prefix_len = get_u32(b);
	r->next_object = get_u64(b);
	r->files = get_u64(b);
	r->blocks = get_u64(b);
	r->unwritten = get_u64(b);
	error = get_ptr(b, &r->root);
	get_bytes(b, r->tag.b, sizeof(r->tag.b));
	get_bytes(b, r->hash_key, sizeof(r->hash_key));
	get_bytes(b, r->key, sizeof(r->key));
	if (error || prefix_len == 0 || prefix_len > FSPF_PREFIX_MAX || r->id == FSPF_REGION_SPACE)
		return -EBADMSG;
	get_bytes(b, r->prefix, prefix_len);
	r->prefix[prefix_len] = 0;
	if (b->overrun || r->prefix[0] != '/' || strlen(r->prefix) != prefix_len)
		return -EBADMSG;
	return 0;
}

static int get_regions(struct bytes *b, struct fspf_root *root, uint32_t n, enum crypto_class class)
{
	for (uint32_t i = 0; i < n; i++) {
		if (root->nregions == FSPF_REGIONS_MAX)
			return -EBADMSG;
		if (get_region(b, &root->region[root->nregions]))
			return -EBADMSG;
		if (root->region[root->nregions].class != class)
			return -EBADMSG;
		root->nregions++;
	}
	return 0;
}

static int get_public(struct bytes *b, const struct fspf_header *header, struct fspf_root *root)
{
	uint8_t magic[8], id[FSPF_VOLUME_ID_SIZE];
	struct crypto_digest digest;
	uint32_t flags;

	get_bytes(b, magic, sizeof(magic));
	if (memcmp(magic, ROOT_MAGIC, sizeof(magic)) || get_u32(b) != FSPF_VERSION_FORMAT)
		return -EBADMSG;
	get_u32(b); /* both lengths were checked by the caller */
	get_bytes(b, id, sizeof(id));
	get_bytes(b, digest.b, sizeof(digest.b));
	root->generation = get_u64(b);
	flags = get_u32(b);
	get_u32(b);
	get_bytes(b, root->previous.b, sizeof(root->previous.b));
	get_bytes(b, root->salt.b, sizeof(root->salt.b));
	root->counter = get_u64(b);
	get_bytes(b, root->mac.b, sizeof(root->mac.b));
	root->public_regions = get_u32(b);
	if (memcmp(id, header->volume_id, sizeof(id)) ||
	    !crypto_digest_equal(&digest, &header->digest) ||
	    flags != (header->keyed ? ROOT_KEYED : 0) || root->generation == 0 || get_u32(b) ||
	    get_u64(b))
		return -EBADMSG;
	return get_regions(b, root, root->public_regions, CRYPTO_CLASS_AUTHENTICATED);
}

static int get_sealed(struct bytes *b, struct fspf_root *root)
{
	uint32_t zero;
	uint16_t n;
	int r;

	get_bytes(b, root->base.b, sizeof(root->base.b));
	root->sessions.addr = get_u64(b);
	root->sessions.birth = get_u64(b);
	root->sessions.count = get_u32(b);
	zero = get_u32(b);
	get_bytes(b, root->sessions.salt.b, sizeof(root->sessions.salt.b));
	root->sessions.counter = get_u64(b);
	get_bytes(b, root->sessions.mac.b, sizeof(root->sessions.mac.b));
	r = get_ptr(b, &root->space);
	root->cursor = get_u64(b);
	root->segments = get_u64(b);
	root->used = get_u64(b);
	root->policy = get_u32(b);
	root->next_region = get_u16(b);
	n = get_u16(b);
	if (r || zero || root->sessions.count > CRYPTO_SESSIONS_MAX || root->policy)
		return -EBADMSG;
	return get_regions(b, root, n, CRYPTO_CLASS_ENCRYPTED);
}

/* In place: records hold keys, and qsort(3) may take memory of its own that nobody wipes. */
static void swap_records(struct fspf_region_record *a, struct fspf_region_record *b)
{
	uint8_t *x = (uint8_t *)a, *y = (uint8_t *)b;

	for (size_t i = 0; i < sizeof(*a); i++) {
		uint8_t t = x[i];

		x[i] = y[i];
		y[i] = t;
	}
}

static void sort_by_id(struct fspf_root *root)
{
	for (uint32_t i = 1; i < root->nregions; i++)
		for (uint32_t j = i; j > 0 && root->region[j].id < root->region[j - 1].id; j--)
			swap_records(&root->region[j], &root->region[j - 1]);
}

static bool is_normal(const char *prefix)
{
	char normal[FSPF_PREFIX_MAX + 1];

	return fspf_prefix_normalise(prefix, normal) == 0 && strcmp(prefix, normal) == 0;
}

/* Each id and each prefix once, in order of ids; and, when all are known, one of them is "/". */
static int check_regions(struct fspf_root *root)
{
	bool top = !root->opened;

	sort_by_id(root);
	for (uint32_t i = 0; i < root->nregions; i++) {
		top |= root->region[i].id == 0 && !strcmp(root->region[i].prefix, "/");
		if (!is_normal(root->region[i].prefix) ||
		    (root->opened && root->region[i].id >= root->next_region) ||
		    root->region[i].next_object > FSPF_OBJECT_MAX + 1 ||
		    root->region[i].root.birth > root->generation)
			return -EBADMSG;
		for (uint32_t j = 0; j < i; j++)
			if (root->region[i].id == root->region[j].id ||
			    !strcmp(root->region[i].prefix, root->region[j].prefix))
				return -EBADMSG;
	}
	return top ? 0 : -EBADMSG;
}

/* @slot holds a whole slot; opens the sealed part in place. */
static int decode(const struct fspf_header *header, const struct crypto_key *volume_key,
		  uint8_t *slot, size_t len, struct fspf_root *root)
{
	size_t public_len = get_le32(slot + 76);
	struct bytes b = {.p = slot, .end = public_len};
	int r;

	if (public_len < ROOT_PUBLIC || public_len >= len)
		return -EBADMSG;
	r = get_public(&b, header, root);
	if (r || b.overrun || b.at != public_len)
		return -EBADMSG;
	if (header->keyed && !volume_key)
		return check_regions(root);
	if (header->keyed) {
		memset(slot + ROOT_MAC_AT, 0, CRYPTO_MAC_SIZE);
		r = open_sealed(volume_key, header, &root->salt, root->counter, &root->mac, slot,
				public_len, slot + public_len, len - public_len);
		if (r)
			return r;
	}
	b.end = len;
	r = get_sealed(&b, root);
	if (r || b.overrun || b.at != len)
		return -EBADMSG;
	root->opened = true;
	return check_regions(root);
}

static bool is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && !memcmp(p, p + 1, len - 1));
}

int fspf_root_read(struct fspf_store *store, const struct fspf_header *header,
		   const struct crypto_key *volume_key, unsigned slot, struct fspf_root **ret,
		   struct crypto_digest *ret_tag)
{
	uint8_t *buffer = crypto_secret_alloc(FSPF_ROOT_SLOT_BYTES);
	struct fspf_root *root = fspf_root_new();
	struct crypto_digest tag;
	size_t len;
	int r = -ENOMEM;

	if (!buffer || !root)
		goto out;
	r = store->ops->read(store, slot_block(slot), buffer, FSPF_ROOT_SLOT_BYTES);
	if (r)
		goto out;
	r = -ENOENT;
	if (is_zero(buffer, FSPF_BLOCK_SIZE))
		goto out;
	r = -EBADMSG;
	len = get_le32(buffer + 12);
	if (len < ROOT_PUBLIC || len > FSPF_ROOT_SLOT_BYTES)
		goto out;
	r = crypto_sha256(buffer, len, &tag);
	if (r == 0)
		r = decode(header, volume_key, buffer, len, root);
	if (r)
		goto out;
	*ret = root;
	*ret_tag = tag;
	root = NULL;
out:
	fspf_root_free(root);
	crypto_secret_free(buffer);
	return r;
}

/* ---- the session table ---- */

uint64_t fspf_blob_blocks(uint32_t count)
{
	uint64_t bytes = (uint64_t)count * CRYPTO_SALT_SIZE;

	return (bytes + FSPF_BLOCK_SIZE - 1) / FSPF_BLOCK_SIZE;
}

static size_t blob_aad(const struct fspf_header *header, uint32_t count, uint8_t out[static 64])
{
	memcpy(out, BLOB_AAD, sizeof(BLOB_AAD) - 1);
	memcpy(out + sizeof(BLOB_AAD) - 1, header->volume_id, FSPF_VOLUME_ID_SIZE);
	put_le32(out + sizeof(BLOB_AAD) - 1 + FSPF_VOLUME_ID_SIZE, count);
	return sizeof(BLOB_AAD) - 1 + FSPF_VOLUME_ID_SIZE + 4;
}

int fspf_blob_write(struct fspf_store *store, const struct fspf_header *header,
		    struct fspf_root_sealer *sealer, struct crypto_sessions *table,
		    struct fspf_blob *blob)
{
	uint32_t count = crypto_sessions_count(table);
	size_t len = fspf_blob_blocks(count) * FSPF_BLOCK_SIZE;
	uint8_t *data = calloc(1, len);
	uint8_t aad[64];
	size_t aad_len = blob_aad(header, count, aad);
	struct crypto_salt salt;
	int r = data ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < count && r == 0; i++) {
		r = crypto_sessions_salt(table, i + 1, &salt);
		if (r == 0)
			memcpy(data + (size_t)i * CRYPTO_SALT_SIZE, salt.b, CRYPTO_SALT_SIZE);
	}
	if (r)
		goto out;
	blob->count = count;
	blob->salt = sealer->salt;
	do {
		r = next_counter(sealer, &blob->counter);
		if (r == 0)
			r = seal(sealer, aad, aad_len, data, data, len, blob->counter, &blob->mac);
	} while (r == -EAGAIN);
	if (r == 0)
		r = store->ops->write(store, blob->addr, data, len);
out:
	free(data);
	return r;
}

int fspf_blob_read(struct fspf_store *store, const struct fspf_header *header,
		   const struct crypto_key *volume_key, const struct fspf_blob *blob,
		   struct crypto_sessions *table)
{
	size_t len = fspf_blob_blocks(blob->count) * FSPF_BLOCK_SIZE;
	uint8_t *data = calloc(1, len ? len : 1);
	uint8_t aad[64];
	size_t aad_len = blob_aad(header, blob->count, aad);
	struct crypto_salt salt;
	int r = data ? 0 : -ENOMEM;

	if (r)
		goto out;
	r = store->ops->read(store, blob->addr, data, len);
	if (r == 0)
		r = open_sealed(volume_key, header, &blob->salt, blob->counter, &blob->mac, aad,
				aad_len, data, len);
	for (uint32_t i = 0; i < blob->count && r == 0; i++) {
		memcpy(salt.b, data + (size_t)i * CRYPTO_SALT_SIZE, CRYPTO_SALT_SIZE);
		r = crypto_sessions_load(table, &salt);
	}
out:
	free(data);
	return r;
}
