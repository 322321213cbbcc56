/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a root record, field by field, through a cursor that stops at the end of the slot
 * when writing and at the end of the part when reading: no length taken from storage is trusted
 * before it was compared with what is there.
 */
#include <errno.h>

#include "fspf/item.h"
#include "fspf/root_codec.h"
#include "fspf/volume.h"

/* ---- a cursor over bytes ---- */

static uint8_t *take(struct fspf_bytes *b, size_t n)
{
	uint8_t *p = b->p + b->at;

	if (b->overrun || n > b->end - b->at) {
		b->overrun = true;
		return NULL;
	}
	b->at += n;
	return p;
}

static void put_bytes(struct fspf_bytes *b, const void *data, size_t n)
{
	uint8_t *p = take(b, n);

	if (p)
		memcpy(p, data, n);
}

static void put_u64(struct fspf_bytes *b, uint64_t v)
{
	uint8_t x[8];

	put_le64(x, v);
	put_bytes(b, x, sizeof(x));
}

static void put_u32(struct fspf_bytes *b, uint32_t v)
{
	uint8_t x[4];

	put_le32(x, v);
	put_bytes(b, x, sizeof(x));
}

static void put_u16(struct fspf_bytes *b, uint16_t v)
{
	uint8_t x[2];

	put_le16(x, v);
	put_bytes(b, x, sizeof(x));
}

static void put_ptr(struct fspf_bytes *b, const struct merkle_ptr *ptr)
{
	uint8_t *p = take(b, MERKLE_PTR_SIZE);

	if (!p)
		return;
	if (merkle_ptr_is_null(ptr))
		memset(p, 0, MERKLE_PTR_SIZE);
	else
		merkle_ptr_encode(ptr, p);
}

static void get_bytes(struct fspf_bytes *b, void *data, size_t n)
{
	const uint8_t *p = take(b, n);

	if (p)
		memcpy(data, p, n);
	else
		memset(data, 0, n);
}

static uint64_t get_u64(struct fspf_bytes *b)
{
	const uint8_t *p = take(b, 8);

	return p ? get_le64(p) : 0;
}

static uint32_t get_u32(struct fspf_bytes *b)
{
	const uint8_t *p = take(b, 4);

	return p ? get_le32(p) : 0;
}

static uint16_t get_u16(struct fspf_bytes *b)
{
	const uint8_t *p = take(b, 2);

	return p ? get_le16(p) : 0;
}

static int get_ptr(struct fspf_bytes *b, struct merkle_ptr *ret)
{
	static const uint8_t none[MERKLE_PTR_SIZE];
	const uint8_t *p = take(b, MERKLE_PTR_SIZE);

	memset(ret, 0, sizeof(*ret));
	if (!p || !memcmp(p, none, sizeof(none)))
		return 0;
	return merkle_ptr_decode(p, ret);
}

/* ---- encoding ---- */

static void put_region(struct fspf_bytes *b, const struct fspf_region_record *r)
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

static void put_regions(struct fspf_bytes *b, const struct fspf_root *root, enum crypto_class class)
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
void fspf_root_put_public(struct fspf_bytes *b, const struct fspf_header *header,
			  const struct fspf_root *root)
{
	put_bytes(b, FSPF_ROOT_MAGIC, 8);
	put_u32(b, FSPF_VERSION_FORMAT);
	put_u32(b, 0);
	put_bytes(b, header->volume_id, FSPF_VOLUME_ID_SIZE);
	put_bytes(b, header->digest.b, sizeof(header->digest.b));
	put_u64(b, root->generation);
	put_u32(b, header->keyed ? FSPF_ROOT_KEYED : 0);
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

void fspf_root_put_sealed(struct fspf_bytes *b, const struct fspf_root *root)
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

/* ---- decoding ---- */

static int get_region(struct fspf_bytes *b, struct fspf_region_record *r)
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

static int get_regions(struct fspf_bytes *b, struct fspf_root *root, uint32_t n,
		       enum crypto_class class)
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

int fspf_root_get_public(struct fspf_bytes *b, const struct fspf_header *header,
			 struct fspf_root *root)
{
	uint8_t magic[8], id[FSPF_VOLUME_ID_SIZE];
	struct crypto_digest digest;
	uint32_t flags;

	get_bytes(b, magic, sizeof(magic));
	if (memcmp(magic, FSPF_ROOT_MAGIC, sizeof(magic)) || get_u32(b) != FSPF_VERSION_FORMAT)
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
	    flags != (header->keyed ? FSPF_ROOT_KEYED : 0) || root->generation == 0 || get_u32(b) ||
	    get_u64(b))
		return -EBADMSG;
	return get_regions(b, root, root->public_regions, CRYPTO_CLASS_AUTHENTICATED);
}

int fspf_root_get_sealed(struct fspf_bytes *b, struct fspf_root *root)
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
int fspf_root_check_regions(struct fspf_root *root)
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
