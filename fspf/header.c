/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header block ends in a SHA-256 of what precedes it.  That finds accidents and says so early;
 * what stops an attacker is that the whole block's digest stands in every root record.
 */
#include <assert.h>
#include <errno.h>

#include "fspf/credential.h"
#include "fspf/error.h"
#include "fspf/header.h"
#include "merkle/tree.h"

#define HEADER_MAGIC "FSPFVOL1"
#define HEADER_KEYED 1u
#define HEADER_SUM (FSPF_BLOCK_SIZE - CRYPTO_DIGEST_SIZE)
#define HEADER_USED 64u /* bytes; zeroes from here to the sum */

static int encode(const struct fspf_header *h, uint8_t block[static FSPF_BLOCK_SIZE])
{
	struct crypto_digest sum;
	int r;

	memset(block, 0, FSPF_BLOCK_SIZE);
	memcpy(block, HEADER_MAGIC, 8);
	put_le32(block + 8, h->version);
	put_le32(block + 12, h->keyed ? HEADER_KEYED : 0);
	memcpy(block + 16, h->volume_id, FSPF_VOLUME_ID_SIZE);
	put_le32(block + 32, h->segment_blocks);
	put_le32(block + 36, MERKLE_NODE_SIZE);
	put_le32(block + 40, FSPF_BLOCK_SIZE);
	put_le64(block + 48, h->size_blocks);
	r = crypto_sha256(block, HEADER_SUM, &sum);
	if (r == 0)
		memcpy(block + HEADER_SUM, sum.b, sizeof(sum.b));
	return r;
}

static bool geometry_is_valid(const struct fspf_header *h)
{
	uint32_t s = h->segment_blocks;

	return s >= FSPF_SEGMENT_BLOCKS_MIN && s <= FSPF_SEGMENT_BLOCKS_MAX && (s & (s - 1)) == 0 &&
	       h->size_blocks % s == 0 && h->size_blocks < UINT64_C(1) << 50;
}

/* Everything that the sum does not say: sizes this program can work with, and nothing unknown. */
static bool rest_is_zero(const uint8_t *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (p[i])
			return false;
	return true;
}

static int decode(const uint8_t *p, struct fspf_header *h, struct fspf_error *err)
{
	static const char hint[] = "the directory may belong to something else, or the host may "
				   "have changed it";
	struct crypto_digest sum;
	int r = crypto_sha256(p, HEADER_SUM, &sum);

	if (r)
		return fspf_fail(err, r, NULL, "cannot compute SHA-256");
	if (memcmp(p, HEADER_MAGIC, 8))
		return fspf_fail(err, -EBADMSG, hint, "the volume's header does not begin as one");
	h->version = get_le32(p + 8);
	if (h->version != FSPF_VERSION_FORMAT)
		return fspf_fail(err, -EPROTONOSUPPORT, "use a program that knows this version",
				 "the volume has format version %u; this program knows %u",
				 h->version, FSPF_VERSION_FORMAT);
	if (memcmp(sum.b, p + HEADER_SUM, sizeof(sum.b)))
		return fspf_fail(err, -EBADMSG, hint, "the volume's header is damaged");
	h->keyed = get_le32(p + 12) & HEADER_KEYED;
	memcpy(h->volume_id, p + 16, FSPF_VOLUME_ID_SIZE);
	h->segment_blocks = get_le32(p + 32);
	h->size_blocks = get_le64(p + 48);
	if (get_le32(p + 12) & ~HEADER_KEYED || get_le32(p + 36) != MERKLE_NODE_SIZE ||
	    get_le32(p + 40) != FSPF_BLOCK_SIZE || get_le32(p + 44) || !geometry_is_valid(h) ||
	    !rest_is_zero(p, HEADER_USED - 8, HEADER_SUM))
		return fspf_fail(err, -EBADMSG, hint, "the volume's header is malformed");
	return 0;
}

int fspf_header_read(struct fspf_store *store, struct fspf_header *ret, struct fspf_error *err)
{
	uint8_t block[FSPF_BLOCK_SIZE];
	struct fspf_header h = {0};
	int r = store->ops->read(store, FSPF_HEADER_BLOCK, block, sizeof(block));

	if (r)
		return fspf_fail(err, r, NULL, "cannot read the volume's header: %s", strerror(-r));
	r = decode(block, &h, err);
	if (r)
		return r;
	r = crypto_sha256(block, sizeof(block), &h.digest);
	if (r)
		return fspf_fail(err, r, NULL, "cannot compute SHA-256");
	*ret = h;
	return 0;
}

int fspf_header_write(struct fspf_store *store, struct fspf_header *header, struct fspf_error *err)
{
	uint8_t block[FSPF_BLOCK_SIZE];
	int r;

	if (!geometry_is_valid(header))
		return fspf_fail(err, -EINVAL, NULL,
				 "a segment has %u to %u blocks, a power of two, and the size "
				 "limit is a multiple of it",
				 FSPF_SEGMENT_BLOCKS_MIN, FSPF_SEGMENT_BLOCKS_MAX);
	r = encode(header, block);
	if (r == 0)
		r = crypto_sha256(block, sizeof(block), &header->digest);
	if (r == 0)
		r = store->ops->write(store, FSPF_HEADER_BLOCK, block, sizeof(block));
	if (r)
		return fspf_fail(err, r, NULL, "cannot write the volume's header: %s",
				 strerror(-r));
	return 0;
}

static_assert(sizeof(struct fspf_keyslots) == FSPF_BLOCK_SIZE, "the slots fill one block");

int fspf_keyslots_read(struct fspf_store *store, struct fspf_keyslots *ret, struct fspf_error *err)
{
	int r = store->ops->read(store, FSPF_KEYSLOT_BLOCK, ret, sizeof(*ret));

	if (r)
		return fspf_fail(err, r, NULL, "cannot read the key slots: %s", strerror(-r));
	return 0;
}

int fspf_keyslots_write(struct fspf_store *store, const struct fspf_keyslots *slots,
			struct fspf_error *err)
{
	int r = store->ops->write(store, FSPF_KEYSLOT_BLOCK, slots, sizeof(*slots));

	if (r == 0)
		r = store->ops->barrier(store);
	if (r)
		return fspf_fail(err, r, NULL, "cannot write the key slots: %s", strerror(-r));
	return 0;
}

/* Malformed slots are passed over while another may open, and named when none does. */
int fspf_keyslots_open(const struct fspf_keyslots *slots, const struct fspf_header *header,
		       const struct fspf_credential *credential, struct crypto_key **ret_key,
		       uint32_t *ret_slot, struct fspf_error *err)
{
	const struct crypto_credential *c = &credential->secret;
	uint32_t malformed = 0;
	int r = -EKEYREJECTED;

	for (uint32_t i = 0; i < FSPF_KEYSLOTS; i++) {
		r = crypto_keyslot_open(&slots->slot[i], c, header->volume_id,
					sizeof(header->volume_id), ret_key);
		if (r == 0) {
			*ret_slot = i;
			return 0;
		}
		if (r == -EBADMSG)
			malformed++;
		else if (r != -EKEYREJECTED)
			return fspf_fail(err, r, NULL, "cannot open key slot %u: %s", i,
					 strerror(-r));
	}
	if (malformed)
		return fspf_fail(
			err, -EKEYREJECTED,
			"a slot was changed on the storage; another slot's key still opens "
			"the volume",
			"no key slot opens with this key, and %u of them are malformed", malformed);
	return fspf_fail(err, -EKEYREJECTED, "see `fspf key list` for the kinds of key it has",
			 "wrong %s: it opens none of the volume's key slots",
			 c->key ? "key" : "passphrase");
}

int fspf_keyslots_seal(struct fspf_keyslots *slots, uint32_t slot, const struct fspf_header *header,
		       const struct fspf_credential *credential, uint32_t ops, uint32_t kib,
		       const struct crypto_key *key)
{
	return crypto_keyslot_seal(&credential->secret, header->volume_id,
				   sizeof(header->volume_id), ops, kib, key, &slots->slot[slot]);
}
