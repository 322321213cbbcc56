/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/import_remove.c - what is gone from the host goes from the volume
 *
 * With a stack, not by recursion, as the import itself.  A directory on the way to a region stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fspf/dir.h"
#include "fspf/import_internal.h"

/* A directory that is being emptied. */
struct level {
	uint64_t ino;
	struct fspf_namelist names;
};

struct removal {
	struct fspf_import *im;
	struct level *level;
	size_t depth, room;
};

static int list_entry(void *ctx, const struct fspf_entry *entry)
{
	struct fspf_namelist *names = ctx;

	if (!strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
		return 0;
	return fspf_namelist_add(names, entry->name, entry->cookie);
}

static int push(struct removal *rm, uint64_t ino)
{
	struct level *grown;
	size_t room = rm->depth + 32;

	if (rm->depth == rm->room) {
		grown = reallocarray(rm->level, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		rm->level = grown;
		rm->room = room;
	}
	rm->level[rm->depth] = (struct level){.ino = ino};
	rm->depth++;
	return fspf_readdir(rm->im->work.v, ino, 0, false, list_entry,
			    &rm->level[rm->depth - 1].names);
}

static bool must_stay(struct fspf_volume *v, uint64_t parent, uint64_t ino)
{
	struct fspf_region *region = fspf_region_of(v, ino);

	return region != fspf_region_of(v, parent) ||
	       fspf_region_is_pinned(v, region, ino & FSPF_OBJECT_MAX);
}

/* The last name of the work's path, which is that of the directory that has become empty. */
static const char *last_name(const struct fspf_import *im)
{
	return strrchr(im->work.path, '/') + 1;
}

static int gone(struct fspf_import *im, int r)
{
	return r ? r : fspf_import_tell(im, '-');
}

/* @name in @parent, where the work's path leads: a file goes at once, a directory is pushed. */
static int remove_one(struct removal *rm, uint64_t parent, const char *name, bool *ret_pushed)
{
	struct fspf_volume *v = rm->im->work.v;
	struct fspf_attr attr;
	int r = fspf_lookup(v, parent, name, &attr);

	*ret_pushed = false;
	if (r) /* a region's place, whose top is not here */
		return r == -ENOENT ? 0 : r;
	fspf_forget(v, attr.ino, 1);
	if (must_stay(v, parent, attr.ino))
		return 0;
	if (!S_ISDIR(attr.mode))
		return gone(rm->im, fspf_unlink(v, parent, name));
	r = push(rm, attr.ino);
	*ret_pushed = r == 0;
	return r;
}

/* The innermost directory is empty, as far as it can be. */
static int pop(struct removal *rm, uint64_t top)
{
	struct fspf_volume *v = rm->im->work.v;
	uint64_t parent = rm->depth > 1 ? rm->level[rm->depth - 2].ino : top;
	int r = fspf_rmdir(v, parent, last_name(rm->im));

	fspf_namelist_free(&rm->level[--rm->depth].names);
	return r == -ENOTEMPTY || r == -EBUSY ? 0 : gone(rm->im, r);
}

/* Where a failure left off is nobody's place to go on. */
static void path_back(struct fspf_import *im, size_t len)
{
	im->work.path_len = len;
	im->work.path[len] = '\0';
}

int fspf_import_remove(struct fspf_import *im, uint64_t parent, const char *name)
{
	struct removal rm = {.im = im};
	size_t len = im->work.path_len;
	bool pushed;
	int r = remove_one(&rm, parent, name, &pushed);

	while (!r && rm.depth > 0) {
		struct level *level = &rm.level[rm.depth - 1];
		const char *next = fspf_namelist_next(&level->names);

		if (next) {
			r = fspf_work_down(&im->work, next);
			if (!r)
				r = remove_one(&rm, level->ino, next, &pushed);
		} else {
			r = pop(&rm, parent);
			pushed = false;
		}
		if (!r && !pushed && rm.depth > 0)
			fspf_work_up(&im->work);
	}
	while (rm.depth > 0)
		fspf_namelist_free(&rm.level[--rm.depth].names);
	free(rm.level);
	path_back(im, len);
	return r;
}

int fspf_import_remove_gone(struct fspf_import *im, int fd, uint64_t ino)
{
	struct fspf_namelist names = {.count = 0};
	size_t len = im->work.path_len;
	const char *name;
	struct stat st;
	int r = fspf_readdir(im->work.v, ino, 0, false, list_entry, &names);

	while (!r && (name = fspf_namelist_next(&names))) {
		if (!fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (errno != ENOENT) {
			r = -errno;
			break;
		}
		r = fspf_work_down(&im->work, name);
		if (!r)
			r = fspf_import_remove(im, ino, name);
		path_back(im, len);
	}
	fspf_namelist_free(&names);
	return r;
}
