/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key slots change in place: the slot block is read, changed and written whole.  The tag does not
 * cover the slots, so neither adding nor removing one needs the anchor.  Removing one keeps its
 * credential from opening this copy of the volume; it cannot take back what its holder may have
 * kept (docs/threat-model.md).
 */
#include <errno.h>

#include "crypto/selftest.h"
#include "fspf/credential.h"
#include "fspf/error.h"
#include "fspf/header.h"

struct head {
	struct fspf_store *store;
	struct fspf_header header;
	struct fspf_keyslots slots;
};

static int open_head(const char *path, enum fspf_store_mode mode, struct head *h,
		     struct fspf_error *err)
{
	int r = crypto_init();

	h->store = NULL;
	if (r)
		return fspf_fail(err, r, NULL, "the cryptographic library computes wrongly here");
	r = fspf_store_open_directory(path, mode, &h->store);
	if (r == -EBUSY)
		return fspf_fail(err, r, "unmount it first", "the volume %s is in use", path);
	if (r)
		return fspf_fail(err, r, NULL, "cannot open the volume %s: %s", path, strerror(-r));
	r = fspf_header_read(h->store, &h->header, err);
	if (r)
		return r;
	if (!h->header.keyed)
		return fspf_fail(err, -EINVAL, NULL,
				 "the volume has no key: it holds authenticated regions alone");
	return fspf_keyslots_read(h->store, &h->slots, err);
}

static enum crypto_keyslot_kind kind_of(const struct fspf_keyslots *slots, uint32_t i)
{
	struct crypto_keyslot_info info;

	/* A slot that somebody damaged is not empty: it is never overwritten by accident. */
	if (crypto_keyslot_info(&slots->slot[i], &info))
		return CRYPTO_KEYSLOT_KEY;
	return info.kind;
}

static int find_empty(const struct fspf_keyslots *slots, uint32_t *ret)
{
	for (uint32_t i = 0; i < FSPF_KEYSLOTS; i++) {
		if (kind_of(slots, i) == CRYPTO_KEYSLOT_EMPTY) {
			*ret = i;
			return 0;
		}
	}
	return -ENOSPC;
}

int fspf_key_add(const char *path, const struct fspf_credential *credential,
		 const struct fspf_credential *fresh, uint32_t *ret_slot, struct fspf_error *err)
{
	struct crypto_key *key = NULL;
	struct head h;
	uint32_t slot, used;
	int r = open_head(path, FSPF_STORE_READ_WRITE, &h, err);

	if (r == 0)
		r = fspf_keyslots_open(&h.slots, &h.header, credential, &key, &used, err);
	if (r)
		goto out;
	r = find_empty(&h.slots, &slot);
	if (r) {
		fspf_fail(err, r, "remove one with `fspf key remove`", "all %u key slots are taken",
			  FSPF_KEYSLOTS);
		goto out;
	}
	r = fspf_keyslots_seal(&h.slots, slot, &h.header, fresh, 0, 0, key);
	if (r)
		fspf_fail(err, r, NULL, "cannot make the key slot: %s", strerror(-r));
	else
		r = fspf_keyslots_write(h.store, &h.slots, err);
	if (r == 0)
		*ret_slot = slot;
out:
	crypto_key_free(key);
	fspf_store_free(h.store);
	return r;
}

/* Slots other than @slot that are in use. */
static uint32_t others(const struct fspf_keyslots *slots, uint32_t slot)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < FSPF_KEYSLOTS; i++)
		n += i != slot && kind_of(slots, i) != CRYPTO_KEYSLOT_EMPTY;
	return n;
}

static int check_remove(struct head *h, const struct fspf_credential *credential, uint32_t slot,
			struct fspf_error *err)
{
	struct fspf_keyslots rest = h->slots;
	struct crypto_key *key = NULL;
	uint32_t used;
	int r;

	if (slot >= FSPF_KEYSLOTS || kind_of(&h->slots, slot) == CRYPTO_KEYSLOT_EMPTY)
		return fspf_fail(err, -ENOENT, "see `fspf key list`", "key slot %u is empty", slot);
	if (others(&h->slots, slot) == 0)
		return fspf_fail(err, -EPERM, "add another key first",
				 "key slot %u is the last one: without it nothing opens the volume",
				 slot);
	/* Proof that somebody can still get in afterwards. */
	memset(&rest.slot[slot], 0, sizeof(rest.slot[slot]));
	r = fspf_keyslots_open(&rest, &h->header, credential, &key, &used, NULL);
	crypto_key_free(key);
	if (r)
		return fspf_fail(err, r, "give a key or passphrase that stays",
				 "the given key opens none of the other slots");
	return 0;
}

int fspf_key_remove(const char *path, const struct fspf_credential *credential, uint32_t slot,
		    struct fspf_error *err)
{
	struct head h;
	int r = open_head(path, FSPF_STORE_READ_WRITE, &h, err);

	if (r == 0)
		r = check_remove(&h, credential, slot, err);
	if (r == 0) {
		memset(&h.slots.slot[slot], 0, sizeof(h.slots.slot[slot]));
		r = fspf_keyslots_write(h.store, &h.slots, err);
	}
	fspf_store_free(h.store);
	return r;
}

int fspf_key_list(const char *path, struct crypto_keyslot_info ret[static FSPF_KEYSLOTS],
		  struct fspf_error *err)
{
	struct head h;
	int r = open_head(path, FSPF_STORE_PEEK, &h, err);

	for (uint32_t i = 0; i < FSPF_KEYSLOTS && r == 0; i++) {
		r = crypto_keyslot_info(&h.slots.slot[i], &ret[i]);
		if (r)
			fspf_fail(err, r, NULL, "key slot %u is malformed", i);
	}
	fspf_store_free(h.store);
	return r;
}
