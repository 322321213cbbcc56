/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking everything, region by region; fspf/verify.h says how.
 *
 * A node that does not verify hides a range of keys.  Which files lie in it nobody can say exactly:
 * those whose number falls into the range and whose name was read are named.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fspf/error.h"
#include "fspf/verify.h"

void verify_take_regions(struct verify *w, const struct fspf_root *root)
{
	w->nrecords = root->nregions;
	for (uint32_t i = 0; i < w->nrecords; i++) {
		const struct fspf_region_record *record = &root->region[i];

		w->record[i] = (struct verify_record){
			.id = record->id,
			.root = record->root,
			.tag = record->tag,
			.next_object = record->next_object,
			.files = record->files,
			.blocks = record->blocks,
			.unwritten = record->unwritten,
		};
	}
}

/* The committed state, all of it at one instant. */
static void take_state(struct verify *w)
{
	struct fspf_volume *v = w->v;

	pthread_mutex_lock(&v->state_lock);
	w->opened = v->root->opened;
	w->space_root = v->root->space;
	w->sessions = v->root->sessions;
	w->bytes_total = v->root->used * FSPF_BLOCK_SIZE;
	w->nsnapshots = v->root->nsnapshots;
	memcpy(w->snapshot, v->root->snapshot, sizeof(w->snapshot));
	verify_take_regions(w, v->root);
	pthread_mutex_unlock(&v->state_lock);
}

static void forget(struct verify *w)
{
	verify_objects_free(w);
	free(w->hidden);
	w->hidden = NULL;
	w->nhidden = 0;
	w->names_unknown = w->blocks_unknown = false;
	w->files = w->blocks = w->unwritten = 0;
}

static int verify_region(struct verify *w)
{
	int r = verify_walk(w);

	if (r == 0) {
		verify_names(w);
		verify_counts(w);
		verify_tell_objects(w);
	}
	forget(w);
	return r;
}

/* NULL: it is locked. */
static struct fspf_region *region_by_id(struct fspf_volume *v, uint16_t id)
{
	return fspf_region_of(v, (uint64_t)id << FSPF_OBJECT_BITS);
}

int verify_regions(struct verify *w, const char *prefix)
{
	bool found = false;
	int r = 0;

	for (uint32_t i = 0; i < w->nrecords && r == 0; i++) {
		w->said = &w->record[i];
		w->region = region_by_id(w->v, w->said->id);
		if (!w->region || (prefix && strcmp(prefix, w->region->prefix)))
			continue;
		found = true;
		if (w->region->protection !=
		    FSPF_NOT_PROTECTED) /* or else there is nothing to check */
			r = verify_region(w);
	}
	return r ? r : (found ? 0 : -ENOENT);
}

static int verify_state(struct verify *w, const char *prefix)
{
	int r;

	take_state(w);
	w->buffer = malloc((size_t)VERIFY_RUN * FSPF_BLOCK_SIZE);
	r = w->buffer ? verify_space_begin(w) : -ENOMEM;
	if (r == 0)
		r = verify_regions(w, prefix);
	if (r == 0 && !prefix && w->opened)
		r = verify_snapshots(w);
	if (r == 0 && !prefix && w->opened)
		r = verify_space(w);
	verify_space_end(w);
	free(w->buffer);
	return r;
}

static int fail(const struct verify *w, int r, const char *prefix, struct fspf_error *err)
{
	if (r == -ENOENT)
		return fspf_fail(err, r,
				 w->v->key || !w->v->header.keyed
					 ? "see `fspf show`"
					 : "an encrypted region can only be verified with the key",
				 "there is no region %s to verify", prefix);
	return fspf_fail(err, r, NULL, "cannot verify: %s", strerror(-r));
}

/* What was found, in one sentence; damage comes first, because it may be the cause of the rest. */
static int conclude(const struct verify *w, struct fspf_error *err)
{
	const struct fspf_verify_result *result = w->result;

	if (result->damaged_nodes || result->damaged_blocks || w->host_damaged)
		return fspf_fail(
			err, -EBADMSG,
			"what is damaged was changed on the storage; restore it from a copy",
			"%llu files are damaged", (unsigned long long)result->damaged_files);
	if (w->inconsistent)
		return fspf_fail(
			err, -EBADMSG,
			"this was sealed with the volume's key: the program has a bug, or somebody "
			"else has the key",
			"the volume is inconsistent in %llu places",
			(unsigned long long)w->inconsistent);
	return 0;
}

int fspf_verify(struct fspf_volume *v, const char *prefix, const struct fspf_transfer *transfer,
		struct fspf_verify_result *ret, struct fspf_error *err)
{
	char normal[FSPF_PREFIX_MAX + 1] = "";
	struct verify *w;
	int r = prefix ? fspf_prefix_normalise(prefix, normal) : 0;

	memset(ret, 0, sizeof(*ret));
	if (r)
		return fspf_fail(err, r, NULL, "%s is not a region's prefix", prefix);
	w = calloc(1, sizeof(*w));
	if (!w)
		return fspf_fail(err, -ENOMEM, NULL, "not enough memory");
	w->v = v;
	w->transfer = transfer;
	w->result = ret;
	r = verify_state(w, prefix ? normal : NULL);
	r = r ? fail(w, r, normal, err) : conclude(w, err);
	free(w);
	return r;
}
