/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotation from its beginning to its end.  It ends for all regions that have two keys in one
 * commit: so those that still have them after an interruption are those of the rotation that was
 * interrupted.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/error.h"
#include "fspf/rekey.h"
#include "fspf/rotate.h"

bool fspf_is_rotating(struct fspf_volume *v)
{
	bool any = false;

	pthread_mutex_lock(&v->state_lock);
	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		any = any || v->regions[i]->old_sessions;
	pthread_mutex_unlock(&v->state_lock);
	return any;
}

/* ---- which regions ---- */

/* What is changed in an ephemeral region is not stored, so what is stored of it cannot be sealed
 * again. */
static bool can_rotate(const struct fspf_region *region)
{
	return region->protection == FSPF_ENCRYPTED && !fspf_region_is_ephemeral(region);
}

/* Those that have two keys already, or those that still need a new one: not in @had. */
static void select_regions(struct fspf_rotation *t, const char *prefix,
			   const struct fspf_rotation *had)
{
	struct fspf_volume *v = t->v;

	t->n = 0;
	for (size_t i = 0; i < atomic_load(&v->nregions); i++) {
		struct fspf_region *region = v->regions[i];
		bool chosen =
			had ? can_rotate(region) && (!prefix || !strcmp(prefix, region->prefix))
			    : region->old_sessions > 0;

		for (size_t k = 0; had && k < had->n; k++)
			chosen = chosen && had->region[k] != region;
		if (chosen)
			t->region[t->n++] = region;
	}
}

static int check_prefix(struct fspf_volume *v, const char *prefix, struct fspf_error *err)
{
	for (size_t i = 0; i < atomic_load(&v->nregions); i++) {
		const struct fspf_region *region = v->regions[i];

		if (strcmp(prefix, region->prefix))
			continue;
		if (can_rotate(region))
			return 0;
		if (region->protection == FSPF_ENCRYPTED)
			return fspf_fail(err, -EINVAL, NULL,
					 "what the ephemeral region %s has stored cannot be sealed "
					 "again",
					 prefix);
		return fspf_fail(err, -EINVAL, NULL,
				 "the region %s is not encrypted: it has no key", prefix);
	}
	return fspf_fail(err, -ENOENT, "see `fspf show`", "there is no region at %s", prefix);
}

static int check_any(struct fspf_volume *v, struct fspf_error *err)
{
	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (can_rotate(v->regions[i]))
			return 0;
	return fspf_fail(err, -ENOENT, NULL, "the volume has no region whose key could be rotated");
}

static int check(struct fspf_volume *v, const char *prefix, struct fspf_error *err)
{
	uint32_t snapshots;

	if (v->read_only || v->ephemeral)
		return fspf_fail(err, -EROFS, NULL, "the volume is open read-only");
	if (!v->key)
		return fspf_fail(err, -EINVAL, NULL,
				 "the volume has no key: there is nothing to "
				 "rotate");
	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (v->regions[i]->old_sessions && !can_rotate(v->regions[i]))
			return fspf_fail(
				err, -EBUSY, "unmount it, then rotate",
				"a rotation of the region %s is under way, which is ephemeral now",
				v->regions[i]->prefix);
	pthread_mutex_lock(&v->state_lock);
	snapshots = v->root->nsnapshots;
	pthread_mutex_unlock(&v->state_lock);
	if (snapshots)
		return fspf_fail(
			err, -EPERM, "remove the snapshots first",
			"the volume's %u snapshots are sealed under the old keys and would "
			"keep them",
			snapshots);
	return prefix ? check_prefix(v, prefix, err) : check_any(v, err);
}

/* ---- keys ---- */

static int begin(struct fspf_rotation *t)
{
	struct fspf_rekey *k = calloc(1, sizeof(*k));
	int r = k ? 0 : -ENOMEM;

	for (size_t i = 0; i < t->n && r == 0; i++) {
		k->region[k->n++] = t->region[i];
		r = crypto_key_random(&k->key[i]);
		if (r == 0)
			r = crypto_key_copy(k->key[i], &k->copy[i]);
	}
	if (r == 0)
		r = fspf_rekey(t->v, k);
	for (size_t i = 0; k && i < k->n; i++) {
		crypto_key_free(k->key[i]);
		crypto_key_free(k->copy[i]);
	}
	free(k);
	return r;
}

static int end(struct fspf_rotation *t)
{
	struct fspf_rekey *k = calloc(1, sizeof(*k));
	int r = -ENOMEM;

	if (k) {
		k->ends = true;
		k->n = t->n;
		memcpy(k->region, t->region, t->n * sizeof(t->region[0]));
		r = fspf_rekey(t->v, k);
	}
	free(k);
	return r;
}

/* ---- the work ---- */

static int walk_all(struct fspf_rotation *t)
{
	int r = 0;

	t->renewed = t->damaged = 0;
	for (size_t i = 0; i < t->n && r == 0; i++)
		r = fspf_rotate_walk(t, t->region[i]);
	t->counts = false;
	return r;
}

/* K3.  What cannot be read stays old, and the old key with it. */
static int renew(struct fspf_rotation *t)
{
	int r;

	t->counts = true;
	do {
		r = walk_all(t);
	} while (r == 0 && t->renewed && !t->damaged);
	if (r == 0 && t->damaged)
		r = -EBADMSG;
	return r ? r : end(t);
}

static void count(struct fspf_rotation *t)
{
	for (size_t i = 0; i < t->n; i++)
		t->done.bytes_total += atomic_load(&t->region[i]->blocks) * FSPF_BLOCK_SIZE;
}

/* The rotation under way, if there is one; then the regions that it did not have. */
static int rotate(struct fspf_rotation *t, struct fspf_rotation *rest, const char *prefix)
{
	int r;

	select_regions(t, NULL, NULL);
	select_regions(rest, prefix, t);
	count(t);
	count(rest);
	r = t->n ? renew(t) : 0;
	if (r || rest->n == 0)
		return r;
	rest->done.files_done = t->done.files_done;
	rest->done.bytes_done = t->done.bytes_done;
	rest->done.bytes_total += t->done.bytes_total;
	t->done.bytes_total = rest->done.bytes_total;
	r = begin(rest);
	return r ? r : renew(rest);
}

static int fail(int r, struct fspf_error *err)
{
	const char *hint =
		"`fspf key rotate` goes on where it stopped; until then both keys are kept";

	if (r == -ECANCELED)
		return fspf_fail(err, r, hint, "interrupted: not everything is under the new key");
	if (r == -ENOSPC)
		return fspf_fail(err, r, "make space; `fspf key rotate` goes on where it stopped",
				 "not everything could be sealed again: the volume is full");
	if (r == -EBADMSG)
		return fspf_fail(
			err, r,
			"remove or restore what `fspf verify` names; until then the old key "
			"is kept",
			"what is damaged cannot be sealed again");
	return fspf_fail(err, r, hint, "not everything could be sealed again: %s", strerror(-r));
}

int fspf_rotate(struct fspf_volume *v, const char *prefix, const struct fspf_transfer *transfer,
		struct fspf_error *err)
{
	char normal[FSPF_PREFIX_MAX + 1];
	struct fspf_rotation *t;
	int r = prefix ? fspf_prefix_normalise(prefix, normal) : 0;

	if (r)
		return fspf_fail(err, r, NULL, "%s is not a region's prefix", prefix);
	r = check(v, prefix ? normal : NULL, err);
	if (r)
		return r;
	if (atomic_exchange(&v->rotates, true))
		return fspf_fail(err, -EBUSY, NULL, "the volume's keys are being rotated already");
	t = calloc(2, sizeof(*t));
	r = t ? 0 : -ENOMEM;
	if (t) {
		t[0].v = t[1].v = v;
		t[0].transfer = t[1].transfer = transfer;
		r = rotate(&t[0], &t[1], prefix ? normal : NULL);
	}
	free(t);
	atomic_store(&v->rotates, false);
	return r ? fail(r, err) : 0;
}
