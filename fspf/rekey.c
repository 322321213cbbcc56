/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new session begins together with the new keys, and the old ones are kept for all sessions
 * before it, that of this open included: whatever was sealed until now, published or not, opens as
 * before.
 *
 *   K1  what a session sealed for a region was sealed under one key: keys change when a session
 *       begins that has sealed nothing
 *   K2  a record has the keys of all that it names: the committer changes them between commits
 */
#include "fspf/rekey.h"
#include "fspf/commit.h"

/* K1.  Nothing but the session can fail, and it comes first. */
static int begin(struct fspf_volume *v, struct fspf_rekey *k)
{
	uint32_t last = crypto_sessions_count(v->sessions);
	int r = crypto_sessions_begin(v->sessions);

	for (size_t i = 0; i < k->n && r == 0; i++) {
		struct fspf_region *region = k->region[i];

		crypto_sealer_rekey(region->sealer, k->copy[i], last);
		region->old_key = region->key;
		region->old_sessions = last;
		region->key = k->key[i];
		k->key[i] = k->copy[i] = NULL;
	}
	return r;
}

static void end(struct fspf_rekey *k)
{
	for (size_t i = 0; i < k->n; i++) {
		struct fspf_region *region = k->region[i];

		crypto_sealer_forget_old(region->sealer);
		region->old_key = crypto_key_free(region->old_key);
		region->old_sessions = 0;
	}
}

int fspf_rekey_now(struct fspf_volume *v)
{
	struct fspf_rekey *k;
	int r = 0;

	pthread_mutex_lock(&v->state_lock);
	k = v->rekey;
	if (k && k->ends)
		end(k);
	else if (k)
		r = begin(v, k);
	if (k && r == 0) {
		k->done = true;
		v->rekey = NULL;
	}
	pthread_mutex_unlock(&v->state_lock);
	return r;
}

/* A commit of which nobody can say that there was nothing to commit. */
static int commit(struct fspf_volume *v)
{
	fspf_record_changed(v);
	return fspf_sync(v);
}

static bool is_done(struct fspf_volume *v, const struct fspf_rekey *k)
{
	bool done;

	pthread_mutex_lock(&v->state_lock);
	done = k->done;
	pthread_mutex_unlock(&v->state_lock);
	return done;
}

/* The commit that answers may have begun to write before it was asked; and the last commit is there
 * because each root slot has every other record: now the older one does not say more than the
 * newer. */
int fspf_rekey(struct fspf_volume *v, struct fspf_rekey *k)
{
	int r = 0;

	pthread_mutex_lock(&v->state_lock);
	v->rekey = k;
	pthread_mutex_unlock(&v->state_lock);
	while (r == 0 && !is_done(v, k))
		r = commit(v);
	if (r == 0)
		r = commit(v);
	pthread_mutex_lock(&v->state_lock);
	v->rekey = NULL;
	pthread_mutex_unlock(&v->state_lock);
	return r;
}
