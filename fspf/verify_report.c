/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/verify_report.c - what was found, in lines
 *
 * Objects are named by path, each once for its damage and once for each inconsistency.  Where the
 * inode of an object cannot be read, or knows a wrong parent, its path comes from the entry that
 * names it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "fspf/dir.h"
#include "fspf/error.h"
#include "fspf/verify.h"

#define PATH_SIZE 4096u
#define LINE_SIZE (PATH_SIZE + FSPF_HOST_PATH_MAX + 512u)

static const char *const problem_text[VERIFY_PROBLEMS] = {
	[VERIFY_NUMBER] = "no file has been given its number yet",
	[VERIFY_ITEM] = "it has an item that there cannot be",
	[VERIFY_INODE] = "its inode does not decode",
	[VERIFY_INLINE] = "its inode and its inline contents disagree",
	[VERIFY_TARGET] = "its target is malformed",
	[VERIFY_CONTENTS] = "it has contents, and its type has none",
	[VERIFY_IN_PLACE] = "what it says of its contents in place is malformed or incomplete",
	[VERIFY_XATTR] = "an extended attribute is malformed, misplaced or incomplete",
	[VERIFY_DIRENT] = "an entry does not decode",
	[VERIFY_PLACE] = "an entry does not lie in its name's place",
	[VERIFY_TWICE] = "a name is there twice",
	[VERIFY_NO_DIR] = "it has entries and is no directory",
	[VERIFY_EXTENT] = "an extent does not decode",
	[VERIFY_OVERLAP] = "its extents overlap",
	[VERIFY_SPACE] = "its blocks are in use twice, or lie where none can",
	[VERIFY_SUMS] = "its blocks are counted wrongly",
	[VERIFY_ENTRIES] = "its entries are counted wrongly",
	[VERIFY_LINKS] = "its links are counted wrongly",
	[VERIFY_ORPHAN] = "its links and the list of orphans disagree",
	[VERIFY_TYPE] = "an entry names it as something else",
	[VERIFY_NAMES] = "it is a directory and has several names",
	[VERIFY_PARENT] = "its parent is not the directory that names it",
	[VERIFY_TOP] = "it is not a top directory",
	[VERIFY_CIRCLE] = "it does not lie below the top directory",
	[VERIFY_NO_INODE] = "it has items and no inode",
	[VERIFY_GONE] = "an entry names it, and it is not there",
};

static void tell(struct verify *w, char *text)
{
	struct fspf_report report = {.code = -EBADMSG, .text = text};

	fspf_printable(text);
	if (w->transfer && w->transfer->report)
		w->transfer->report(w->transfer->ctx, &report);
}

void verify_tell(struct verify *w, const char *fmt, ...)
{
	char text[LINE_SIZE];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	tell(w, text);
}

void verify_tell_inconsistent(struct verify *w, const char *what)
{
	w->inconsistent++;
	verify_tell(w, "inconsistent: %s%s", w->state, what);
}

void verify_tell_region(struct verify *w, const char *fmt, ...)
{
	char what[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	w->inconsistent++;
	verify_tell(w, "inconsistent: %sregion %s: %s", w->state, w->region->prefix, what);
}

int verify_progress(struct verify *w)
{
	struct fspf_progress p = {
		.files_done = w->result->files,
		.bytes_done = (w->result->blocks + w->result->nodes * MERKLE_NODE_BLOCKS) *
			      FSPF_BLOCK_SIZE,
		.bytes_total = w->bytes_total,
		.path = w->region->prefix,
	};

	if (!w->transfer || !w->transfer->progress)
		return 0;
	return w->transfer->progress(w->transfer->ctx, &p) ? -ECANCELED : 0;
}

/* By the entry that names it: all that is left when its inode is not there. */
static bool path_by_entry(struct verify *w, const struct verify_object *o, char path[PATH_SIZE])
{
	struct fspf_dirent_item d;
	size_t len;

	if (!o->names || fspf_dir_find_object(w->region, o->named_by, o->object, &d))
		return false;
	fspf_path_of(w->v, fspf_ino(w->region, o->named_by), path, PATH_SIZE);
	len = strlen(path);
	if (path[0] != '/' || len + 1 + d.name_len >= PATH_SIZE)
		return false;
	snprintf(path + len, PATH_SIZE - len, "%s%s", len > 1 ? "/" : "", d.name);
	return true;
}

static void path_of(struct verify *w, const struct verify_object *o, char path[PATH_SIZE])
{
	if (o->inode)
		fspf_path_of(w->v, fspf_ino(w->region, o->object), path, PATH_SIZE);
	if (o->inode && path[0] == '/')
		return;
	if (!path_by_entry(w, o, path))
		fspf_path_of(w->v, fspf_ino(w->region, o->object), path, PATH_SIZE);
}

static void tell_object(struct verify *w, const struct verify_object *o, bool damaged)
{
	char path[PATH_SIZE];

	path_of(w, o, path);
	if (damaged && o->host)
		verify_tell(w, "damaged: %s%s (host file %s)", w->state, path, o->host);
	else if (damaged)
		verify_tell(w, "damaged: %s%s", w->state, path);
	for (unsigned i = 0; i < VERIFY_PROBLEMS; i++) {
		if (!verify_has(o, i))
			continue;
		w->inconsistent++;
		verify_tell(w, "inconsistent: %s%s: %s", w->state, path, problem_text[i]);
	}
}

static void tell_hidden(struct verify *w, const struct verify_hidden *h)
{
	verify_tell(w, "damaged: %sa node of region %.100s with inodes %llu to %llu", w->state,
		    w->region->prefix, (unsigned long long)fspf_ino(w->region, h->first),
		    (unsigned long long)fspf_ino(w->region, min_u64(h->last, FSPF_OBJECT_MAX)));
}

/* Where not even the top directory was met, its path stands for everything that cannot be named. */
static void tell_top(struct verify *w)
{
	const uint64_t top = FSPF_OBJECT_ROOT;
	struct verify_object *o;

	HASH_FIND(hh, w->objects, &top, sizeof(top), o);
	if (o || !verify_is_lost(w, top))
		return;
	w->result->damaged_files++;
	verify_tell(w, "damaged: %s%s", w->state, w->region->prefix);
}

void verify_tell_objects(struct verify *w)
{
	struct verify_object *o, *next;

	for (size_t i = 0; i < w->nhidden; i++)
		if (w->hidden[i].lost)
			tell_hidden(w, &w->hidden[i]);
	tell_top(w);
	HASH_ITER (hh, w->objects, o, next) {
		bool damaged = o->damaged || verify_is_lost(w, o->object);

		if (!damaged && !o->problems)
			continue;
		w->result->damaged_files++;
		tell_object(w, o, damaged);
	}
}
