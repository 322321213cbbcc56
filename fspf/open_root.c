/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening: which of the two root records is the volume's state.
 *
 * Both slots are read and verified.  With an anchor the record whose tag it holds is taken, and no
 * other: the newest, or, when a crash fell between writing and publishing, the one before, which is
 * still whole because nothing that it reaches has been reused (V3).  Without an anchor the newest
 * that verifies is taken.  With --recover a newer record is taken if it says, under the volume's
 * key, that its open began at the anchored tag: it descends from that state.  Which of its
 * descendants the host shows is the host's choice; an anchor that is published to leaves it none.
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/error.h"
#include "fspf/open.h"
#include "fspf/region_key.h"

#define STALE_TEXT "the volume's tag is not the expected one: rollback or replacement suspected"

struct candidates {
	struct fspf_root *root[2];
	struct crypto_digest tag[2];
	int error[2];
};

static void read_candidates(struct fspf_volume *v, const struct fspf_open_params *params,
			    struct candidates *c)
{
	struct crypto_key *room[FSPF_REGIONS_MAX];
	struct fspf_root_keys keys = fspf_region_keys_of(params, room);

	keys.volume = v->key;
	for (unsigned i = 0; i < 2; i++)
		c->error[i] =
			fspf_root_read(v->store, &v->header, &keys, i, &c->root[i], &c->tag[i]);
}

/* The newest of those that verify; -1: none. */
static int newest(const struct candidates *c)
{
	int best = -1;

	for (int i = 0; i < 2; i++)
		if (c->root[i] && (best < 0 || c->root[i]->generation > c->root[best]->generation))
			best = i;
	return best;
}

/* Why a slot could not be read that may hold the newest, or the expected one; 0: each says what it
 * is. */
static int unread(const struct candidates *c)
{
	for (int i = 0; i < 2; i++)
		if (c->error[i] && c->error[i] != -EBADMSG && c->error[i] != -ENOENT)
			return c->error[i];
	return 0;
}

/* The one with the expected tag, or a descendant of it if that is asked for and the record's word
 * for it is @sealed: in a volume without a key anybody could write such a record. */
static int expected(const struct candidates *c, const struct crypto_digest *tag, bool recover,
		    bool sealed)
{
	int best = newest(c);

	if (recover && best >= 0 && sealed && c->root[best]->opened &&
	    crypto_digest_equal(&c->root[best]->base, tag))
		return best;
	for (int i = 0; i < 2; i++)
		if (c->root[i] && crypto_digest_equal(&c->tag[i], tag))
			return i;
	return -1;
}

static int no_candidate(const struct candidates *c, struct fspf_error *err)
{
	int r = c->error[0] == -EBADMSG || c->error[0] == -ENOENT ? c->error[1] : c->error[0];

	if (r != -EBADMSG && r != -ENOENT)
		return fspf_fail(err, r, NULL, "cannot read the volume's root records: %s",
				 strerror(-r));
	return fspf_fail(err, -EBADMSG,
			 "both were changed on the storage; restore the volume from a copy",
			 "neither of the volume's root records verifies");
}

/* What may have happened, and what to do if it was meant. */
static const char *stale_hint(const struct fspf_anchor *anchor, bool recover)
{
	if (recover)
		return "no state on the storage descends from the expected one";
	if (!strcmp(anchor->ops->name, "pinned"))
		return "if the last session was pinned to this tag and crashed, --recover accepts a "
		       "state that descends from it";
	return "a crash does not cause this; if the volume was restored from a copy on purpose, "
	       "put its tag (`fspf tag`) into the tag file";
}

static int choose(struct fspf_volume *v, const struct fspf_open_params *params,
		  struct candidates *c, struct fspf_error *err)
{
	struct crypto_digest tag;
	bool any = false;
	int chosen, r;

	r = v->anchor->ops->load(v->anchor, &tag, &any);
	if (r == -ENOENT)
		return fspf_fail(err, r,
				 "is the path right?  without the tag nobody can tell whether the "
				 "volume is the newest; --no-rollback-protection opens it all the "
				 "same",
				 "the tag file does not exist");
	if (r)
		return fspf_fail(err, r, NULL, "cannot read the expected tag: %s",
				 r == -EINVAL ? "the tag file does not hold 64 hex digits"
					      : strerror(-r));
	if (newest(c) < 0)
		return no_candidate(c, err);
	if (params->recover && any && !v->header.keyed)
		return fspf_fail(
			err, -EINVAL, "give the tag of the state on the storage, if you trust it",
			"a volume without a key cannot prove what its states descend from");
	r = unread(c);
	chosen = any ? expected(c, &tag, params->recover, v->header.keyed) : newest(c);
	if (r && (chosen < 0 || !any))
		return fspf_fail(err, r, NULL, "cannot read one of the volume's root records: %s",
				 strerror(-r));
	if (chosen < 0)
		return fspf_fail(err, -ESTALE, stale_hint(v->anchor, params->recover), STALE_TEXT);
	v->root = c->root[chosen];
	c->root[chosen] = NULL;
	v->tag = c->tag[chosen];
	v->base = any ? tag : v->tag;
	v->slot = (unsigned)chosen;
	return 0;
}

int fspf_open_root(struct fspf_volume *v, const struct fspf_open_params *params,
		   struct fspf_error *err)
{
	struct candidates c = {0};
	int r;

	read_candidates(v, params, &c);
	r = choose(v, params, &c, err);
	if (r == 0)
		r = fspf_region_keys_used(v->root, params, err);
	fspf_root_free(c.root[0]);
	fspf_root_free(c.root[1]);
	return r;
}
