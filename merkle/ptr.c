/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle/ptr.c - keys and encoded pointers
 *
 * A pointer is encoded as: address 8, birth 8, session 4, counter 8, tag 32, level 1, zero 3.
 * Decoding accepts exactly what encoding gives for a pointer that a tree could have written, or
 * all zero, so a pointer has one encoding and its bytes may be compared in its stead.
 */
#include "merkle/merkle_internal.h"

enum { AT_ADDR = 0, AT_BIRTH = 8, AT_SESSION = 16, AT_COUNTER = 20, AT_TAG = 28, AT_LEVEL = 60 };

static_assert(AT_TAG + CRYPTO_SEAL_SIZE == AT_LEVEL, "fields follow one another");
static_assert(AT_LEVEL + 4 == MERKLE_PTR_SIZE, "level and three zero bytes end the pointer");

const struct merkle_range merkle_range_all = {
	.first = {.object = 0, .offset = 0, .type = 0},
	.last = {.object = UINT64_MAX, .offset = UINT64_MAX, .type = UINT8_MAX},
};

int merkle_key_compare(const struct merkle_key *a, const struct merkle_key *b)
{
	int r;

	if (a->object != b->object)
		r = a->object < b->object ? -1 : 1;
	else if (a->type != b->type)
		r = a->type < b->type ? -1 : 1;
	else
		r = (a->offset > b->offset) - (a->offset < b->offset);
	return r;
}

bool merkle_key_before(const struct merkle_key *key, struct merkle_key *ret)
{
	bool is = key->object > 0 || key->type > 0 || key->offset > 0;
	struct merkle_key k = *key;

	if (k.offset-- == 0 && k.type-- == 0)
		k.object--;
	if (is)
		*ret = k;
	return is;
}

bool merkle_key_after(const struct merkle_key *key, struct merkle_key *ret)
{
	bool is = merkle_key_compare(key, &merkle_range_all.last) < 0;
	struct merkle_key k = *key;

	if (++k.offset == 0 && ++k.type == 0)
		k.object++;
	if (is)
		*ret = k;
	return is;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= p[i];
	return any == 0;
}

bool merkle_name_is_null(const struct merkle_name *name)
{
	return all_zero(name->b, sizeof(name->b));
}

void merkle_ptr_encode(const struct merkle_ptr *ptr, uint8_t out[static MERKLE_PTR_SIZE])
{
	memset(out, 0, MERKLE_PTR_SIZE);
	put_le64(out + AT_ADDR, ptr->addr);
	put_le64(out + AT_BIRTH, ptr->birth);
	put_le32(out + AT_SESSION, ptr->seal.session);
	put_le64(out + AT_COUNTER, ptr->seal.counter);
	memcpy(out + AT_TAG, ptr->seal.tag, CRYPTO_SEAL_SIZE);
	out[AT_LEVEL] = ptr->level;
}

int merkle_ptr_decode(const uint8_t in[static MERKLE_PTR_SIZE], struct merkle_ptr *ret)
{
	struct merkle_ptr p = {.addr = get_le64(in + AT_ADDR),
			       .birth = get_le64(in + AT_BIRTH),
			       .seal = {.session = get_le32(in + AT_SESSION),
					.counter = get_le64(in + AT_COUNTER)},
			       .level = in[AT_LEVEL]};
	bool sound = p.addr != 0 && p.birth != 0 && !all_zero(in + AT_TAG, CRYPTO_SEAL_SIZE) &&
		     p.level < MERKLE_LEVELS_MAX && all_zero(in + AT_LEVEL + 1, 3);
	int r = -EBADMSG;

	memcpy(p.seal.tag, in + AT_TAG, CRYPTO_SEAL_SIZE);
	if (sound || all_zero(in, MERKLE_PTR_SIZE)) {
		*ret = p;
		r = 0;
	}
	return r;
}

bool merkle_ptr_is_null(const struct merkle_ptr *ptr)
{
	struct merkle_name name;

	merkle_ptr_encode(ptr, name.b);
	return merkle_name_is_null(&name);
}
