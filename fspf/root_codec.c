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

static void put_entry(struct fspf_bytes *b, const struct fspf_region_record *r)
{
	size_t prefix_len = strlen(r->prefix), host_len = strlen(r->host);

	put_u16(b, r->id);
	put_u16(b, (uint16_t)r->protection);
	put_u16(b, (uint16_t)prefix_len);
	put_u16(b, (uint16_t)host_len);
	put_u32(b, r->flags);
	put_u32(b, 0);
	put_u64(b, r->next_object);
	put_u64(b, r->files);
	put_u64(b, r->blocks);
	put_u64(b, r->unwritten);
	put_ptr(b, &r->root);
	put_bytes(b, r->tag.b, sizeof(r->tag.b));
	put_bytes(b, r->hash_key, sizeof(r->hash_key));
	put_bytes(b, r->prefix, prefix_len);
	put_bytes(b, r->host, host_len);
}

static bool is_encrypted(const struct fspf_region_record *r)
{
	return r->protection == FSPF_ENCRYPTED;
}

static uint16_t count_regions(const struct fspf_root *root, bool encrypted)
{
	uint16_t n = 0;

	for (uint32_t i = 0; i < root->nregions; i++)
		n = (uint16_t)(n + (is_encrypted(&root->region[i]) == encrypted));
	return n;
}

static int put_capsule(struct fspf_bytes *b, const struct fspf_region_record *r,
		       fspf_capsule_fn *seal, void *ctx)
{
	struct fspf_capsule capsule = {.key = r->key};
	size_t head = b->at;
	int error;

	put_bytes(b, (const uint8_t[FSPF_CAPSULE_HEAD]){0}, FSPF_CAPSULE_HEAD);
	put_entry(b, r);
	if (b->overrun)
		return 0; /* seen at the end */
	capsule.data = b->p + head + FSPF_CAPSULE_HEAD;
	capsule.len = b->at - head - FSPF_CAPSULE_HEAD;
	error = seal(ctx, &capsule);
	put_le32(b->p + head, (uint32_t)capsule.len);
	memcpy(b->p + head + 8, capsule.mac.b, sizeof(capsule.mac.b));
	return error;
}

/* Lengths and the MAC are filled in by encode(), when they are known. */
int fspf_root_put_public(struct fspf_bytes *b, const struct fspf_header *header,
			 const struct fspf_root *root, fspf_capsule_fn *seal, void *ctx)
{
	int r = 0;

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
	put_u32(b, root->policy);
	put_u16(b, count_regions(root, false));
	put_u16(b, count_regions(root, true));
	put_u64(b, root->sessions.addr);
	put_u64(b, root->sessions.birth);
	put_u32(b, root->sessions.count);
	put_u32(b, 0);
	put_bytes(b, root->sessions.digest.b, sizeof(root->sessions.digest.b));
	for (uint32_t i = 0; i < root->nregions; i++)
		if (!is_encrypted(&root->region[i]))
			put_entry(b, &root->region[i]);
	for (uint32_t i = 0; i < root->nregions && r == 0; i++)
		if (is_encrypted(&root->region[i]))
			r = put_capsule(b, &root->region[i], seal, ctx);
	return r;
}

static void put_keys(struct fspf_bytes *b, const struct fspf_region_record *r)
{
	put_u16(b, r->id);
	put_u16(b, 0);
	put_u32(b, r->old_sessions);
	put_bytes(b, r->key, sizeof(r->key));
	put_bytes(b, r->old_key, sizeof(r->old_key));
}

static void put_snapshot(struct fspf_bytes *b, const struct fspf_snapshot *s)
{
	size_t len = strlen(s->name);

	put_u32(b, (uint32_t)len);
	put_u32(b, s->length);
	put_u64(b, s->generation);
	put_u64(b, (uint64_t)s->time.tv_sec);
	put_u32(b, (uint32_t)s->time.tv_nsec);
	put_bytes(b, s->tag.b, sizeof(s->tag.b));
	put_u64(b, s->addr);
	put_u64(b, s->birth);
	put_bytes(b, s->name, len);
}

void fspf_root_put_sealed(struct fspf_bytes *b, const struct fspf_root *root)
{
	put_bytes(b, root->base.b, sizeof(root->base.b));
	put_ptr(b, &root->space);
	put_u64(b, root->cursor);
	put_u64(b, root->segments);
	put_u64(b, root->used);
	put_u16(b, root->next_region);
	put_u16(b, count_regions(root, true));
	put_u32(b, root->nsnapshots);
	for (uint32_t i = 0; i < root->nregions; i++)
		if (is_encrypted(&root->region[i]))
			put_keys(b, &root->region[i]);
	for (uint32_t i = 0; i < root->nsnapshots; i++)
		put_snapshot(b, &root->snapshot[i]);
}

size_t fspf_root_size(const struct fspf_root *root)
{
	size_t size = FSPF_ROOT_PUBLIC + FSPF_ROOT_SEALED;

	for (uint32_t i = 0; i < root->nregions; i++) {
		size += FSPF_ENTRY_HEAD + strlen(root->region[i].prefix) +
			strlen(root->region[i].host);
		if (is_encrypted(&root->region[i]))
			size += FSPF_CAPSULE_HEAD + FSPF_KEYS_SIZE;
	}
	for (uint32_t i = 0; i < root->nsnapshots; i++)
		size += FSPF_SNAPSHOT_HEAD + strlen(root->snapshot[i].name);
	return size;
}

/* ---- decoding ---- */

/* A string of @len bytes without a NUL. */
static bool get_text(struct fspf_bytes *b, char *out, size_t len, size_t max)
{
	if (len > max)
		return false;
	get_bytes(b, out, len);
	out[len] = 0;
	return !b->overrun && strlen(out) == len;
}

/* What a region's protection and flags say has to go together. */
static bool is_possible(const struct fspf_region_record *r)
{
	bool kernel = r->flags & FSPF_REGION_KERNEL, ephemeral = r->flags & FSPF_REGION_EPHEMERAL;
	const uint32_t known =
		FSPF_REGION_EPHEMERAL | FSPF_REGION_KERNEL | FSPF_REGION_COPY_UP | FSPF_REGION_FILE;

	if ((r->flags & ~known) || kernel != (r->host[0] == '/') || (kernel && ephemeral))
		return false;
	if ((r->flags & FSPF_REGION_COPY_UP) && !(kernel && r->protection == FSPF_AUTHENTICATED))
		return false;
	if ((r->flags & FSPF_REGION_FILE) && !(kernel && r->protection == FSPF_NOT_PROTECTED))
		return false;
	if (r->protection == FSPF_NOT_PROTECTED)
		return (kernel || ephemeral) && merkle_ptr_is_null(&r->root);
	return r->protection == FSPF_AUTHENTICATED || (r->protection == FSPF_ENCRYPTED && !kernel);
}

int fspf_root_get_entry(struct fspf_bytes *b, struct fspf_region_record *ret)
{
	size_t prefix_len, host_len;
	int error;

	memset(ret, 0, sizeof(*ret));
	ret->id = get_u16(b);
	ret->protection = get_u16(b);
	prefix_len = get_u16(b);
	host_len = get_u16(b);
	ret->flags = get_u32(b);
	error = get_u32(b) ? -EBADMSG : 0;
	ret->next_object = get_u64(b);
	ret->files = get_u64(b);
	ret->blocks = get_u64(b);
	ret->unwritten = get_u64(b);
	if (get_ptr(b, &ret->root))
		error = -EBADMSG;
	get_bytes(b, ret->tag.b, sizeof(ret->tag.b));
	get_bytes(b, ret->hash_key, sizeof(ret->hash_key));
	if (error || !get_text(b, ret->prefix, prefix_len, FSPF_PREFIX_MAX) ||
	    !get_text(b, ret->host, host_len, FSPF_HOST_MAX) || ret->prefix[0] != '/' ||
	    ret->id == FSPF_REGION_SPACE || !is_possible(ret))
		return -EBADMSG;
	return 0;
}

int fspf_root_get_public(struct fspf_bytes *b, const struct fspf_header *header,
			 struct fspf_root *root)
{
	uint8_t magic[8], id[FSPF_VOLUME_ID_SIZE];
	struct crypto_digest digest;
	uint32_t flags, zero;
	int r = 0;

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
	root->policy = get_u32(b);
	root->public_regions = get_u16(b);
	root->capsules = get_u16(b);
	root->sessions.addr = get_u64(b);
	root->sessions.birth = get_u64(b);
	root->sessions.count = get_u32(b);
	zero = get_u32(b);
	get_bytes(b, root->sessions.digest.b, sizeof(root->sessions.digest.b));
	if (memcmp(id, header->volume_id, sizeof(id)) ||
	    !crypto_digest_equal(&digest, &header->digest) ||
	    flags != (header->keyed ? FSPF_ROOT_KEYED : 0) || root->generation == 0 || zero ||
	    (root->policy & ~(uint32_t)FSPF_POLICY_ALL) ||
	    root->sessions.count > CRYPTO_SESSIONS_MAX ||
	    root->public_regions + root->capsules > FSPF_REGIONS_MAX ||
	    (root->capsules && !header->keyed))
		return -EBADMSG;
	for (uint32_t i = 0; i < root->public_regions && r == 0; i++) {
		r = fspf_root_get_entry(b, &root->region[root->nregions]);
		if (r == 0 && is_encrypted(&root->region[root->nregions]))
			r = -EBADMSG;
		root->nregions += r == 0;
	}
	return r;
}

int fspf_root_get_capsule(struct fspf_bytes *b, struct fspf_capsule *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->len = get_u32(b);
	if (get_u32(b) || ret->len > FSPF_ENTRY_MAX)
		return -EBADMSG;
	get_bytes(b, ret->mac.b, sizeof(ret->mac.b));
	ret->data = take(b, ret->len);
	return ret->data ? 0 : -EBADMSG;
}

static int get_keys(struct fspf_bytes *b, struct fspf_region_record *r)
{
	static const uint8_t none[CRYPTO_KEY_SIZE];
	uint16_t zero;

	r->id = get_u16(b);
	zero = get_u16(b);
	r->old_sessions = get_u32(b);
	get_bytes(b, r->key, sizeof(r->key));
	get_bytes(b, r->old_key, sizeof(r->old_key));
	if (zero || (!r->old_sessions && memcmp(r->old_key, none, sizeof(none))))
		return -EBADMSG;
	return 0;
}

static int get_snapshot(struct fspf_bytes *b, struct fspf_snapshot *s)
{
	size_t len = get_u32(b);

	s->length = get_u32(b);
	s->generation = get_u64(b);
	s->time.tv_sec = (time_t)get_u64(b);
	s->time.tv_nsec = get_u32(b);
	get_bytes(b, s->tag.b, sizeof(s->tag.b));
	s->addr = get_u64(b);
	s->birth = get_u64(b);
	if (len == 0 || !get_text(b, s->name, len, FSPF_SNAPSHOT_NAME_MAX) || s->addr == 0 ||
	    s->time.tv_nsec >= 1000000000 || s->length < FSPF_ROOT_PUBLIC ||
	    s->length > FSPF_ROOT_SLOT_BYTES || s->birth == 0 || s->generation == 0)
		return -EBADMSG;
	return 0;
}

/* In order of their generations, each with a name of its own, none newer than the record. */
static int check_snapshots(const struct fspf_root *root)
{
	for (uint32_t i = 0; i < root->nsnapshots; i++) {
		if (root->snapshot[i].generation >= root->generation ||
		    (i && root->snapshot[i].generation < root->snapshot[i - 1].generation))
			return -EBADMSG;
		for (uint32_t j = 0; j < i; j++)
			if (!strcmp(root->snapshot[i].name, root->snapshot[j].name))
				return -EBADMSG;
	}
	return 0;
}

int fspf_root_get_sealed(struct fspf_bytes *b, struct fspf_root *root,
			 struct fspf_region_record *keys)
{
	int r;

	get_bytes(b, root->base.b, sizeof(root->base.b));
	r = get_ptr(b, &root->space);
	root->cursor = get_u64(b);
	root->segments = get_u64(b);
	root->used = get_u64(b);
	root->next_region = get_u16(b);
	if (get_u16(b) != root->capsules)
		return -EBADMSG;
	root->nsnapshots = get_u32(b);
	if (r || root->nsnapshots > FSPF_SNAPSHOTS_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < root->capsules && r == 0; i++)
		r = get_keys(b, &keys[i]);
	for (uint32_t i = 0; i < root->nsnapshots && r == 0; i++)
		r = get_snapshot(b, &root->snapshot[i]);
	return r ? r : check_snapshots(root);
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
