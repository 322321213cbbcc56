/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/verify_object.c - the items of one object, against its inode and each other
 *
 * They come in the order of their types: inode, inline contents, attributes, entries, extents,
 * contents in place.  So
 * each can be checked as it passes, and what must be there and how often when the object ends.  An
 * orphan may have lost any of its items already (docs/format.md, "ORPHAN"), and an object in a
 * damaged node's range as well: of these nothing is expected.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <dirent.h>

#include "fspf/dir.h"
#include "fspf/verify.h"

#define TARGET_PART MERKLE_VALUE_MAX /* bytes of a target in the first item */
#define XATTR_PLACE (~UINT64_C(0xffff))
#define DIRENT_PLACE (~UINT64_C(0xff))

int verify_object(struct verify *w, uint64_t object, struct verify_object **ret)
{
	struct verify_object *o;

	HASH_FIND(hh, w->objects, &object, sizeof(object), o);
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o)
			return -ENOMEM;
		o->object = object;
		HASH_ADD(hh, w->objects, object, sizeof(o->object), o);
		if (object >= w->said->next_object)
			verify_problem(o, VERIFY_NUMBER);
	}
	*ret = o;
	return 0;
}

void verify_objects_free(struct verify *w)
{
	struct verify_object *o, *next;

	HASH_ITER (hh, w->objects, o, next) {
		HASH_DEL(w->objects, o);
		free(o->host);
		free(o);
	}
}

/* The last range that begins at or before @object, and ends at or behind it. */
static const struct verify_hidden *hidden_at(const struct verify *w, uint64_t object)
{
	size_t low = 0, high = w->nhidden;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (w->hidden[middle].first <= object)
			low = middle + 1;
		else
			high = middle;
	}
	return low && w->hidden[low - 1].last >= object ? &w->hidden[low - 1] : NULL;
}

bool verify_is_hidden(const struct verify *w, uint64_t object)
{
	return hidden_at(w, object) != NULL;
}

/* Several ranges may touch one object. */
bool verify_is_lost(const struct verify *w, uint64_t object)
{
	const struct verify_hidden *h = hidden_at(w, object);

	for (; h && h->last >= object; h = h == w->hidden ? NULL : h - 1)
		if (h->lost)
			return true;
	return false;
}

int verify_hide(struct verify *w, const struct merkle_key *first, const struct merkle_key *last,
		bool lost)
{
	struct verify_hidden *before = w->nhidden ? &w->hidden[w->nhidden - 1] : NULL;
	struct verify_hidden *more;

	if (before && !before->lost && !lost && before->last >= first->object) {
		before->last = last->object;
		return 0;
	}
	more = realloc(w->hidden, (w->nhidden + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	w->hidden = more;
	w->hidden[w->nhidden++] = (struct verify_hidden){first->object, last->object, lost};
	return 0;
}

int verify_object_begin(struct verify *w, uint64_t object)
{
	struct verify_at *at = &w->at;
	struct verify_object *o;
	int r = verify_object(w, object, &o);

	if (r)
		return r;
	memset(at, 0, offsetof(struct verify_at, place));
	at->place.n = 0;
	at->host_fd = -1;
	at->xattr.region = w->region;
	at->o = o;
	return 0;
}

/* Names come in the order of their places; is this one there already? */
static bool name_is_twice(struct verify_place *p, uint64_t place, const char *name, size_t len)
{
	if (p->place != place)
		p->n = 0;
	p->place = place;
	for (uint32_t i = 0; i < p->n; i++)
		if (p->name[i].len == len && !memcmp(p->name[i].text, name, len))
			return true;
	if (p->n < ARRAY_LEN(p->name)) {
		p->name[p->n].len = (uint8_t)len;
		memcpy(p->name[p->n].text, name, len);
		p->n++;
	}
	return false;
}

static void take_inode(struct verify *w, const struct merkle_key *key, const void *value,
		       size_t len)
{
	struct verify_at *at = &w->at;
	struct verify_object *o = at->o;

	w->result->files++;
	w->files++;
	if (key->offset) {
		verify_problem(o, VERIFY_ITEM);
	} else if (fspf_inode_decode(value, len, &at->inode)) {
		verify_problem(o, VERIFY_INODE);
	} else {
		o->inode = true;
		o->type = (uint8_t)IFTODT(at->inode.mode);
		o->nlink = at->inode.nlink;
		o->parent = at->inode.parent;
	}
}

static void take_inline(struct verify_at *at, const struct merkle_key *key, const void *value,
			size_t len)
{
	if (key->offset > 1) {
		verify_problem(at->o, VERIFY_ITEM);
		return;
	}
	at->has[key->offset] = true;
	at->len[key->offset] = len;
	at->nul |= memchr(value, 0, len) != NULL;
}

static void take_xattr(struct verify *w, const struct merkle_key *key, const void *value,
		       size_t len)
{
	struct verify_at *at = &w->at;
	const char *name;
	size_t name_len;
	int r = fspf_xattr_step(&at->xattr, key, value, len, &name, &name_len);

	if (r == 0 && name && name_is_twice(&at->place, key->offset & XATTR_PLACE, name, name_len))
		r = -EBADMSG;
	if (r == 0)
		return;
	at->xattr.left = 0; /* the rest of its pieces is wrong as well, and told once */
	if (!at->o->orphan && !verify_is_hidden(w, at->o->object))
		verify_problem(at->o, VERIFY_XATTR);
}

/* The child has one name more. */
static int name_child(struct verify *w, const struct fspf_dirent_item *d)
{
	struct verify_object *child;
	int r = verify_object(w, d->object, &child);

	if (r)
		return r;
	if (child->names && child->named_type != d->type)
		verify_problem(child, VERIFY_TYPE);
	child->names++;
	child->named_by = w->at.o->object;
	child->named_type = d->type;
	w->at.o->subdirs += d->type == DT_DIR;
	return 0;
}

static int take_dirent(struct verify *w, const struct merkle_key *key, const void *value,
		       size_t len)
{
	struct verify_at *at = &w->at;
	struct fspf_dirent_item d;

	at->entries++;
	if (fspf_dirent_decode(value, len, &d)) {
		verify_problem(at->o, VERIFY_DIRENT);
		w->names_unknown = true;
		return 0;
	}
	if ((key->offset & DIRENT_PLACE) != fspf_dir_place_of(w->region, d.name, d.name_len))
		verify_problem(at->o, VERIFY_PLACE);
	else if (name_is_twice(&at->place, key->offset & DIRENT_PLACE, d.name, d.name_len))
		verify_problem(at->o, VERIFY_TWICE);
	return name_child(w, &d);
}

void verify_object_extent(struct verify *w, const struct fspf_extent *e)
{
	struct verify_at *at = &w->at;

	if (e->first < at->next)
		verify_problem(at->o, VERIFY_OVERLAP);
	at->next = max_u64(at->next, e->first + e->count);
	at->extents = true;
	*(e->addr ? &at->blocks : &at->unwritten) += e->count;
	*(e->addr ? &w->blocks : &w->unwritten) += e->count;
}

int verify_object_item(struct verify *w, const struct merkle_key *key, const void *value,
		       size_t len)
{
	int r = 0;

	switch (key->type) {
	case FSPF_ITEM_INODE:
		take_inode(w, key, value, len);
		break;
	case FSPF_ITEM_INLINE:
		take_inline(&w->at, key, value, len);
		break;
	case FSPF_ITEM_XATTR:
		take_xattr(w, key, value, len);
		break;
	case FSPF_ITEM_DIRENT:
		r = take_dirent(w, key, value, len);
		break;
	case FSPF_ITEM_IN_PLACE:
		r = verify_in_place_item(w, key, value, len);
		break;
	case FSPF_ITEM_VERITY:
		r = verify_in_place_leaves(w, key, value, len);
		break;
	default:
		verify_problem(w->at.o, VERIFY_ITEM);
	}
	return r;
}

/* ---- the end of an object ---- */

static void end_regular(const struct verify_at *at)
{
	bool sound = !at->has[0] && !at->has[1];

	if (at->inode.inlined)
		sound = at->has[0] && !at->has[1] && at->len[0] <= at->inode.size && !at->extents;
	if (!sound)
		verify_problem(at->o, VERIFY_INLINE);
	if (!verify_has(at->o, VERIFY_EXTENT) &&
	    (at->inode.blocks != at->blocks || at->inode.unwritten != at->unwritten))
		verify_problem(at->o, VERIFY_SUMS);
}

static void end_link(const struct verify_at *at)
{
	size_t len = at->len[0] + at->len[1];

	if (!at->has[0] || (at->has[1] && at->len[0] != TARGET_PART) || at->nul ||
	    len > FSPF_SYMLINK_MAX || len != at->inode.size)
		verify_problem(at->o, VERIFY_TARGET);
}

static void end_other(const struct verify_at *at)
{
	if (at->has[0] || at->has[1] || at->inode.size)
		verify_problem(at->o, VERIFY_CONTENTS);
}

static void end_entries(const struct verify_at *at)
{
	if (at->entries && !S_ISDIR(at->inode.mode))
		verify_problem(at->o, VERIFY_NO_DIR);
	else if (at->entries != at->inode.entries)
		verify_problem(at->o, VERIFY_ENTRIES);
}

void verify_object_end(struct verify *w)
{
	struct verify_at *at = &w->at;
	struct verify_object *o = at->o;
	bool sound;

	if (!o)
		return;
	sound = o->inode && !o->orphan && o->nlink && !verify_is_hidden(w, o->object);
	verify_in_place_end(w, sound);
	at->o = sound ? o : NULL;
	if (!sound)
		return;
	if (S_ISREG(at->inode.mode))
		end_regular(at);
	else if (S_ISLNK(at->inode.mode))
		end_link(at);
	else
		end_other(at);
	if (!S_ISREG(at->inode.mode) && (at->extents || at->inode.blocks || at->inode.unwritten))
		verify_problem(o, VERIFY_CONTENTS);
	if (at->xattr.left)
		verify_problem(o, VERIFY_XATTR);
	end_entries(at);
	at->o = NULL;
}
