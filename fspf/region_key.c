/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keys open which regions is found out by trying, in root_read.c; here is what may be asked,
 * and what is said to somebody whose key opens none.
 */
#include <errno.h>

#include "fspf/credential.h"
#include "fspf/error.h"
#include "fspf/region_key.h"

/* ---- given back ---- */

int fspf_region_keys_check(const struct fspf_open_params *params, struct fspf_error *err)
{
	if (params->nregion_keys > FSPF_REGIONS_MAX)
		return fspf_fail(err, -EINVAL, NULL, "there cannot be more than %u region keys",
				 FSPF_REGIONS_MAX);
	if (params->nregion_keys && params->credential)
		return fspf_fail(err, -EINVAL, "leave the region keys out",
				 "the volume's own key opens all of its regions");
	for (size_t i = 0; i < params->nregion_keys; i++)
		if (!params->region_keys[i]->key)
			return fspf_fail(err, -EINVAL, NULL, "a region's key is no passphrase");
	return 0;
}

struct fspf_root_keys fspf_region_keys_of(const struct fspf_open_params *params,
					  struct crypto_key *room[static FSPF_REGIONS_MAX])
{
	for (size_t i = 0; i < params->nregion_keys; i++)
		room[i] = params->region_keys[i]->key;
	return (struct fspf_root_keys){.region = room, .nregion = params->nregion_keys};
}

static bool is_used(const struct fspf_root *root, const struct crypto_key *key)
{
	for (uint32_t i = 0; i < root->nregions; i++)
		if (root->region[i].protection == FSPF_ENCRYPTED &&
		    !memcmp(root->region[i].key, key->b, CRYPTO_KEY_SIZE))
			return true;
	return false;
}

int fspf_region_keys_used(const struct fspf_root *root, const struct fspf_open_params *params,
			  struct fspf_error *err)
{
	for (size_t i = 0; i < params->nregion_keys; i++)
		if (!is_used(root, params->region_keys[i]->key))
			return fspf_fail(err, -EKEYREJECTED,
					 "it may be from before `fspf key rotate`: `fspf key "
					 "export-region` gives the present one",
					 "wrong region key: it opens no region of the volume");
	return 0;
}

/* ---- given out ---- */

static int check(const struct fspf_volume *v, const struct fspf_region_record *record,
		 const char *prefix, struct fspf_error *err)
{
	if (!v->header.keyed)
		return fspf_fail(err, -EINVAL, NULL,
				 "the volume has no key: it holds authenticated regions alone");
	if (!v->root->opened)
		return fspf_fail(err, -ENOKEY, "give --key-file, --passphrase-file or FSPF_KEY",
				 "a region's key is given out with the volume's key");
	if (!record)
		return fspf_fail(err, -ENOENT, "see `fspf show`", "there is no region at %s",
				 prefix);
	if (record->protection != FSPF_ENCRYPTED)
		return fspf_fail(err, -EINVAL, "it can be read without any",
				 "the region %s is not encrypted: it has no key", prefix);
	if (record->old_sessions)
		return fspf_fail(err, -EAGAIN, "`fspf key rotate` goes on where it stopped",
				 "the region %s is being rotated: its new key does not open all of "
				 "it yet",
				 prefix);
	return 0;
}

static const struct fspf_region_record *find(const struct fspf_root *root, const char *prefix)
{
	for (uint32_t i = 0; i < root->nregions; i++)
		if (!strcmp(root->region[i].prefix, prefix))
			return &root->region[i];
	return NULL;
}

int fspf_region_key(struct fspf_volume *v, const char *prefix, struct fspf_credential **ret,
		    struct fspf_error *err)
{
	const struct fspf_region_record *record;
	char normal[FSPF_PREFIX_MAX + 1];
	struct crypto_key *key = NULL;
	int r = fspf_prefix_normalise(prefix, normal);

	if (r)
		return fspf_fail(err, r, NULL, "%s is not a region's prefix", prefix);
	pthread_mutex_lock(&v->state_lock);
	record = find(v->root, normal);
	r = check(v, record, normal, err);
	if (r == 0) {
		r = crypto_key_new(&key);
		if (r)
			fspf_fail(err, r, NULL, "out of memory");
	}
	if (r == 0)
		memcpy(key->b, record->key, CRYPTO_KEY_SIZE);
	pthread_mutex_unlock(&v->state_lock);
	return r ? r : fspf_credential_from_key(key, ret, err);
}
