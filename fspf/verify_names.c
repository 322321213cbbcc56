/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/verify_names.c - what the objects of a region say of each other, and its record of them all
 *
 * Every entry was counted at the object that it names, so one pass over the objects compares names
 * with links, types and parents.  An entry that could not be read may be anybody's: then an
 * object may have fewer names than its inode says, but never more.
 */
#include <dirent.h>

#include "fspf/verify.h"

/* What is known of an object's way to the top directory. */
enum { WAY_UNKNOWN, WAY_GOOD, WAY_NONE, WAY_ASKED };

static bool is_top(const struct verify_object *o)
{
	return o->object == FSPF_OBJECT_ROOT;
}

static bool directory_links_agree(const struct verify *w, const struct verify_object *o)
{
	uint64_t full = UINT64_C(2) + o->subdirs;

	if (verify_has(o, VERIFY_DIRENT))
		return true;
	if (o->names || is_top(o))
		return o->nlink == full;
	return o->nlink == 0 || (w->names_unknown && o->nlink == full);
}

static bool links_agree(const struct verify *w, const struct verify_object *o)
{
	if (o->type == DT_DIR)
		return directory_links_agree(w, o);
	return o->names == o->nlink || (w->names_unknown && o->names < o->nlink);
}

/* An object without names is an orphan, and no other is; told only where the links are right. */
static bool orphan_agrees(const struct verify *w, const struct verify_object *o)
{
	if (o->orphan)
		return o->nlink == 0;
	return o->nlink > 0 || verify_is_hidden(w, 0);
}

static void check_directory(struct verify_object *o)
{
	uint64_t by = is_top(o) ? o->object : o->named_by;

	if (is_top(o) && o->names)
		verify_problem(o, VERIFY_TOP);
	else if (o->names > 1)
		verify_problem(o, VERIFY_NAMES);
	else if (by && o->parent != by)
		verify_problem(o, VERIFY_PARENT);
}

static void check_object(const struct verify *w, struct verify_object *o)
{
	if (verify_is_hidden(w, o->object) || verify_has(o, VERIFY_INODE))
		return;
	if (!o->inode) {
		if (o->names)
			verify_problem(o, VERIFY_GONE);
		else if (!o->orphan)
			verify_problem(o, VERIFY_NO_INODE);
		return;
	}
	if (o->names && o->named_type != o->type)
		verify_problem(o, VERIFY_TYPE);
	if (!links_agree(w, o))
		verify_problem(o, VERIFY_LINKS);
	else if (!orphan_agrees(w, o))
		verify_problem(o, VERIFY_ORPHAN);
	if (o->type == DT_DIR)
		check_directory(o);
	else if (is_top(o))
		verify_problem(o, VERIFY_TOP);
}

/* ---- circles ---- */

/* The directory that names @o; NULL: none that is known, where every way may end. */
static struct verify_object *above(const struct verify *w, const struct verify_object *o)
{
	struct verify_object *up = NULL;

	if (!is_top(o) && o->names)
		HASH_FIND(hh, w->objects, &o->named_by, sizeof(o->named_by), up);
	return up;
}

/* Climb as far as nobody has, then say of all on the way where it led. */
static void find_way(const struct verify *w, struct verify_object *o)
{
	struct verify_object *at = o;
	uint8_t way;

	while (at && at->way == WAY_UNKNOWN) {
		at->way = WAY_ASKED;
		at = above(w, at);
	}
	way = !at || at->way == WAY_GOOD ? WAY_GOOD : WAY_NONE;
	for (at = o; at && at->way == WAY_ASKED; at = above(w, at)) {
		at->way = way;
		if (way == WAY_NONE)
			verify_problem(at, VERIFY_CIRCLE);
	}
}

void verify_names(struct verify *w)
{
	struct verify_object *o, *next;
	uint64_t top = FSPF_OBJECT_ROOT;

	HASH_ITER (hh, w->objects, o, next)
		check_object(w, o);
	HASH_ITER (hh, w->objects, o, next)
		if (o->type == DT_DIR)
			find_way(w, o);
	HASH_FIND(hh, w->objects, &top, sizeof(top), o);
	if (!o && !verify_is_hidden(w, top))
		verify_tell_region(w, "there is no top directory");
}

static void check_count(struct verify *w, const char *what, uint64_t have, uint64_t said)
{
	if (have != said)
		verify_tell_region(w, "there are %llu %s, and its record says %llu",
				   (unsigned long long)have, what, (unsigned long long)said);
}

void verify_counts(struct verify *w)
{
	if (w->nhidden == 0)
		check_count(w, "files", w->files, w->said->files);
	if (!w->blocks_unknown) {
		check_count(w, "data blocks", w->blocks, w->said->blocks);
		check_count(w, "unwritten blocks", w->unwritten, w->said->unwritten);
	}
}
