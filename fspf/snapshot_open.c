/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot's record in the place of the volume's own: to be read, to be read beside it, or to be
 * the volume's state again.
 *
 * The record that lists the snapshot was accepted as always; the copy has the tag that it says.
 * From the listing record come the session table, which only grows and is needed by both, and the
 * policy, which is the owner's last word.
 */
#include <errno.h>

#include "fspf/error.h"
#include "fspf/open.h"
#include "fspf/snapshot.h"

static int no_key(struct fspf_error *err)
{
	return fspf_fail(err, -ENOKEY, "give --key-file, --passphrase-file or FSPF_KEY",
			 "the volume's key is needed to find its snapshots");
}

static int read_snapshot(struct fspf_volume *v, const struct fspf_snapshot *s,
			 struct fspf_root **ret)
{
	const struct fspf_root_keys keys = {.volume = v->key};

	return fspf_root_read_copy(v->store, &v->header, &keys, s, ret);
}

static int find_snapshot(struct fspf_volume *v, const char *name, struct crypto_digest *ret_tag,
			 struct fspf_root **ret, struct fspf_error *err)
{
	const struct fspf_snapshot *s = fspf_snapshot_find(v->root, name);
	int r;

	if (!v->root->opened)
		return no_key(err);
	if (!s)
		return fspf_fail(err, -ENOENT, "`fspf snapshot list` shows those that there are",
				 "there is no snapshot %s", name);
	r = read_snapshot(v, s, ret);
	if (r == -EBADMSG)
		return fspf_fail(err, r,
				 "it was changed on the storage; the volume and its other "
				 "snapshots are not concerned",
				 "the record of the snapshot %s does not verify", name);
	if (r)
		return fspf_fail(err, r, NULL, "cannot read the snapshot %s: %s", name,
				 strerror(-r));
	*ret_tag = s->tag;
	return 0;
}

/* @root as a state to be read under @listing. */
static void complete(struct fspf_root *root, const struct fspf_root *listing)
{
	root->sessions = listing->sessions;
	root->policy = listing->policy;
	root->nsnapshots = 0;
}

int fspf_snapshot_select(struct fspf_volume *v, const char *name, struct fspf_error *err)
{
	struct fspf_root *root;
	int r = find_snapshot(v, name, &v->tag, &root, err);

	if (r)
		return r;
	complete(root, v->root);
	fspf_root_free(v->root);
	v->root = root;
	return 0;
}

/* ---- beside the volume ---- */

static int open_view(struct fspf_volume *view, const struct fspf_volume *v,
		     const struct fspf_snapshot *s)
{
	int r;

	view->store = v->store;
	view->header = v->header;
	view->key = v->key;
	crypto_sessions_free(view->sessions);
	view->sessions = v->sessions;
	view->tag = s->tag;
	r = read_snapshot(view, s, &view->root);
	if (r)
		return r;
	complete(view->root, v->root);
	return fspf_volume_regions(view);
}

int fspf_snapshot_view(struct fspf_volume *v, const struct fspf_snapshot *snapshot,
		       struct fspf_volume **ret)
{
	const struct fspf_open_params params = {.read_only = true};
	struct fspf_volume *view = NULL;
	int r = fspf_volume_new(&params, &view);

	if (r)
		return r;
	r = open_view(view, v, snapshot);
	if (r)
		fspf_snapshot_view_free(view);
	else
		*ret = view;
	return r;
}

/* What is borrowed stays. */
void fspf_snapshot_view_free(struct fspf_volume *view)
{
	if (!view)
		return;
	view->store = NULL;
	view->key = NULL;
	view->sessions = NULL;
	fspf_volume_free(view);
}

/* ---- restoring ---- */

static const struct fspf_region_record *region_by_id(const struct fspf_root *root, uint16_t id)
{
	for (uint32_t i = 0; i < root->nregions; i++)
		if (root->region[i].id == id)
			return &root->region[i];
	return NULL;
}

/* Object numbers are never given twice. */
static void put_regions(struct fspf_root *root, const struct fspf_root *live,
			const struct fspf_root *snapshot)
{
	root->nregions = snapshot->nregions;
	root->public_regions = snapshot->public_regions;
	root->capsules = snapshot->capsules;
	memcpy(root->region, snapshot->region, sizeof(root->region));
	for (uint32_t i = 0; i < root->nregions; i++) {
		const struct fspf_region_record *now = region_by_id(live, root->region[i].id);

		if (now)
			root->region[i].next_object =
				max_u64(root->region[i].next_object, now->next_object);
	}
	if (snapshot->next_region > root->next_region)
		root->next_region = snapshot->next_region;
	memset(&root->space, 0, sizeof(root->space));
}

static int check_policy(const struct fspf_root *live, const struct fspf_root *snapshot,
			struct fspf_error *err)
{
	if (!(live->policy & FSPF_POLICY_REQUIRE_PROTECTED))
		return 0;
	for (uint32_t i = 0; i < snapshot->nregions; i++)
		if (snapshot->region[i].protection == FSPF_NOT_PROTECTED)
			return fspf_fail(err, -EPERM, NULL,
					 "the volume's policy does not allow the region %s, which "
					 "the snapshot has",
					 snapshot->region[i].prefix);
	return 0;
}

int fspf_snapshot_put_back(struct fspf_volume *v, const char *name, struct fspf_error *err)
{
	struct fspf_root *snapshot = NULL, *root = NULL;
	struct crypto_digest tag;
	int r = find_snapshot(v, name, &tag, &snapshot, err);

	if (r == 0)
		r = check_policy(v->root, snapshot, err);
	if (r == 0) {
		root = fspf_root_new();
		if (!root)
			r = fspf_fail(err, -ENOMEM, NULL, "not enough memory");
	}
	if (r == 0) {
		*root = *v->root;
		put_regions(root, v->root, snapshot);
		v->replaced = v->root;
		v->root = root;
	}
	fspf_root_free(snapshot);
	return r;
}

/* The regions that the volume had and has no more. */
static void find_gone(struct fspf_volume *v, struct fspf_region_info *ret, size_t *ret_count)
{
	const struct fspf_root *before = v->replaced;

	*ret_count = 0;
	pthread_mutex_lock(&v->state_lock);
	for (uint32_t i = 0; i < before->nregions; i++)
		if (!region_by_id(v->root, before->region[i].id))
			fspf_region_describe(&before->region[i], &ret[(*ret_count)++]);
	pthread_mutex_unlock(&v->state_lock);
}

int fspf_snapshot_restore(const struct fspf_open_params *params, const char *name,
			  struct fspf_region_info ret_gone[static FSPF_REGIONS_MAX],
			  size_t *ret_ngone, struct crypto_digest *ret_tag, struct fspf_error *err)
{
	struct fspf_open_params open = *params;
	struct fspf_volume *v = NULL;
	int r;

	open.read_only = open.peek = false;
	open.snapshot = name;
	open.restore = true;
	open.commit_interval_ms = UINT32_MAX;
	r = fspf_open(&open, &v, err);
	if (r)
		return r;
	find_gone(v, ret_gone, ret_ngone);
	return fspf_close(v, ret_tag, err); /* which commits */
}
