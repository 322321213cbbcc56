/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/image.c - a node's stored bytes: packing is canonical, opening trusts nothing
 *
 * docs/format.md, "Nodes".  Header: magic 4, version 1, level 1, count 2, bytes of values 2, zero
 * 6.  Then the slots in key order.  Values lie at the end, that of the first item last, each
 * directly below the one before; what is left in the middle is zero.  So there is exactly one image
 * for given items, nothing stale is ever stored, and the checker need not reason about overlaps:
 * each value has one place where it can be.
 *
 * M2 is kept here: merkle_image_read() is the only way from the store into memory.  It opens the
 * seal, whose associated data binds the node to its region, level, address and birth, and then
 * checks the structure as if the seal proved nothing, because in an authenticated region anybody
 * could have been the author.
 */
#include "merkle/merkle_internal.h"

#define NODE_MAGIC 0x4e505346u /* "FSPN" */
#define NODE_VERSION 1u
#define NODE_AAD_KIND 'N' /* a sealed node, and no other kind of block */
#define NODE_AAD_SIZE (MERKLE_IDENTITY_SIZE + 1 + 1 + 8 + 8)

enum { AT_MAGIC = 0, AT_VERSION = 4, AT_LEVEL = 5, AT_COUNT = 6, AT_LIVE = 8, AT_ZERO = 10 };

void merkle_image_header(uint8_t *image, const struct merkle_header *h)
{
	memset(image, 0, MERKLE_HEADER_SIZE);
	put_le32(image + AT_MAGIC, NODE_MAGIC);
	image[AT_VERSION] = NODE_VERSION;
	image[AT_LEVEL] = h->level;
	put_le16(image + AT_COUNT, (uint16_t)h->count);
	put_le16(image + AT_LIVE, (uint16_t)h->live);
}

void merkle_image_header_get(const uint8_t *image, struct merkle_header *ret)
{
	ret->level = image[AT_LEVEL];
	ret->count = get_le16(image + AT_COUNT);
	ret->live = get_le16(image + AT_LIVE);
}

void merkle_slot_put(uint8_t *slot, const struct merkle_key *key, uint32_t place, uint32_t len)
{
	put_le64(slot, key->object);
	put_le64(slot + 8, key->offset);
	put_le16(slot + 16, (uint16_t)place);
	put_le16(slot + 18, (uint16_t)len);
	put_le32(slot + 20, key->type);
}

static void node_aad(const struct merkle_config *config, const struct merkle_ptr *ptr,
		     uint8_t aad[static NODE_AAD_SIZE])
{
	memcpy(aad, config->identity, MERKLE_IDENTITY_SIZE);
	aad += MERKLE_IDENTITY_SIZE;
	aad[0] = NODE_AAD_KIND;
	aad[1] = ptr->level;
	put_le64(aad + 2, ptr->addr);
	put_le64(aad + 10, ptr->birth);
}

/* Comparing the bytes with themselves, shifted by one, is as fast as the machine's memcmp. */
static bool zero_from_to(const uint8_t *image, size_t from, size_t to)
{
	return from >= to ||
	       (image[from] == 0 && memcmp(image + from, image + from + 1, to - from - 1) == 0);
}

/* After this the slot table and the values lie inside the image and apart from each other. */
static bool header_sound(const uint8_t *image, const struct merkle_ptr *ptr)
{
	struct merkle_header h;
	size_t table_end, values;

	merkle_image_header_get(image, &h);
	table_end = MERKLE_HEADER_SIZE + (size_t)h.count * MERKLE_SLOT_SIZE;
	values = MERKLE_NODE_SIZE - min_u64(h.live, MERKLE_NODE_SIZE);
	return get_le32(image + AT_MAGIC) == NODE_MAGIC && image[AT_VERSION] == NODE_VERSION &&
	       h.level == ptr->level && zero_from_to(image, AT_ZERO, MERKLE_HEADER_SIZE) &&
	       h.count > 0 && table_end <= values && zero_from_to(image, table_end, values);
}

/* An inner item's pointer: one level down, and not born after the node that names it. */
static bool child_sound(const uint8_t *value, uint32_t len, const struct merkle_ptr *ptr)
{
	struct merkle_ptr child;

	return len == MERKLE_PTR_SIZE && merkle_ptr_decode(value, &child) == 0 &&
	       !merkle_ptr_is_null(&child) && child.level + 1 == ptr->level &&
	       child.birth <= ptr->birth;
}

/* Slots in strictly ascending order within @range, each value where packing puts it. */
static bool items_sound(const uint8_t *image, const struct merkle_ptr *ptr,
			const struct merkle_range *range)
{
	struct merkle_key key, previous = range->first;
	struct merkle_header h;
	uint32_t place = MERKLE_NODE_SIZE, len;
	const uint8_t *slot;
	bool sound = true;
	int order;

	merkle_image_header_get(image, &h);
	for (uint32_t i = 0; i < h.count && sound; i++) {
		slot = merkle_slot_const(image, i);
		key = merkle_slot_key(slot);
		len = merkle_slot_len(slot);
		order = merkle_key_compare(&previous, &key);
		sound = (i == 0 ? order <= 0 : order < 0) && zero_from_to(slot, 21, 24) &&
			len > 0 && len <= MERKLE_VALUE_MAX && len <= place &&
			merkle_slot_place(slot) == place - len;
		if (sound && ptr->level > 0)
			sound = child_sound(image + place - len, len, ptr);
		place -= len;
		previous = key;
	}
	return sound && place == MERKLE_NODE_SIZE - h.live &&
	       merkle_key_compare(&previous, &range->last) <= 0;
}

int merkle_image_read(const struct merkle_config *config, const struct merkle_ptr *ptr,
		      const struct merkle_range *range, uint8_t *plain,
		      struct crypto_digest *ret_tag)
{
	struct crypto_digest tag = {{0}};
	uint8_t aad[NODE_AAD_SIZE];
	int r;

	node_aad(config, ptr, aad);
	r = config->store->read(config->store->ctx, ptr->addr, plain);
	if (r == 0 && ret_tag)
		r = crypto_sha256(plain, MERKLE_NODE_SIZE, &tag);
	if (r == 0)
		r = crypto_sealer_open(config->sealer, aad, sizeof(aad), plain, plain,
				       MERKLE_NODE_SIZE, &ptr->seal);
	if (r == 0 && !(header_sound(plain, ptr) && items_sound(plain, ptr, range)))
		r = -EBADMSG;
	if (r == 0 && ret_tag)
		*ret_tag = tag;
	return r;
}

int merkle_image_seal(const struct merkle_config *config, struct merkle_ptr *ptr, uint8_t *image)
{
	uint8_t aad[NODE_AAD_SIZE];
	int r;

	node_aad(config, ptr, aad);
	do { /* -EAGAIN: the tag came out all zero; the next counter gives another */
		r = crypto_sealer_take(config->sealer, 1, &ptr->seal.session, &ptr->seal.counter);
		if (r == 0)
			r = crypto_sealer_seal(config->sealer, aad, sizeof(aad), image, image,
					       MERKLE_NODE_SIZE, &ptr->seal);
	} while (r == -EAGAIN);
	return r;
}

void merkle_report(const struct merkle_config *config, const struct merkle_ptr *ptr,
		   const struct merkle_range *range, int error)
{
	struct merkle_damage damage = {
		.ptr = *ptr, .first = range->first, .last = range->last, .error = error};

	if (config->store->report)
		config->store->report(config->store->ctx, &damage);
}

uint32_t merkle_node_items(const void *plain)
{
	struct merkle_header h;

	merkle_image_header_get(plain, &h);
	return h.count;
}

void merkle_node_item(const void *plain, uint32_t i, struct merkle_key *ret_key,
		      const void **ret_value, size_t *ret_len)
{
	const uint8_t *image = plain;
	const uint8_t *slot = merkle_slot_const(image, i);

	*ret_key = merkle_slot_key(slot);
	*ret_value = image + merkle_slot_place(slot);
	*ret_len = merkle_slot_len(slot);
}
