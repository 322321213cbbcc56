/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/import_tree.c - going through the host's tree
 *
 * With a stack, not by recursion, so that its depth costs no C stack; the host's side of the stack
 * is a fspf_hostdir.  Symlinks below the top are kept as symlinks and never followed.
 *
 * A directory's own attributes come last, after its contents; a default ACL of a directory that was
 * there before goes first, so that nothing inherits from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fspf/hostcount.h"
#include "fspf/import_internal.h"

/* A directory that is being filled. */
struct fspf_import_level {
	struct fspf_attr attr; /* in the volume; referenced */
	struct stat st;	       /* on the host */
	bool merged;	       /* it was in the volume before */
	struct fspf_namelist names;
};

static struct fspf_import_level *top(struct fspf_import *im)
{
	return &im->level[im->depth - 1];
}

/* ---- one file ---- */

int fspf_import_open(int at, const char *name, struct stat *st)
{
	mode_t type = st->st_mode & S_IFMT;
	int fd = type == S_IFREG ? fspf_hostdir_open(at, name, O_NONBLOCK | O_NOCTTY)
				 : openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int r = fd >= 0 ? 0 : type == S_IFREG ? fd : -errno;

	if (!r && fstat(fd, st))
		r = -errno;
	if (!r && (st->st_mode & S_IFMT) != type)
		r = -EAGAIN; /* it was replaced by another kind of file just now */
	if (r && fd >= 0)
		close(fd);
	return r ? r : fd;
}

static int fill_target(struct fspf_import *im, int fd, const struct stat *st,
		       struct fspf_import_target *t, const char **ret_doing)
{
	bool alone = im->depth == 0 || im->update; /* its directory was there before */
	int r = 0;

	if (S_ISREG(st->st_mode) && fspf_import_in_place(im->work.v, t->parent))
		r = fspf_import_record(im, fd, t, ret_doing);
	else if (S_ISREG(st->st_mode))
		r = fspf_import_data(&im->work, fd, st, t->attr.ino, ret_doing);
	if (!r)
		r = fspf_import_attributes(&im->work, fd, st, &t->attr, alone, ret_doing);
	if (!r && t->unnamed) {
		*ret_doing = "replace what is in the volume with";
		r = fspf_import_target_place(im->work.v, t);
	}
	return r;
}

/* Other names of the file will come: keep its reference for them. */
static int remember_link(struct fspf_import *im, const struct stat *st, uint64_t ino)
{
	bool first = st->st_nlink > 1 && !fspf_import_link_find(im->links, st);
	int r = first ? fspf_import_link_add(&im->links, st, ino) : 0;

	if (!first || r)
		fspf_forget(im->work.v, ino, 1);
	return r;
}

static int copy_file(struct fspf_import *im, const char *name, uint64_t parent, const char *as,
		     struct stat *st)
{
	struct fspf_import_target t = {.parent = parent, .name = as};
	const char *doing = "open";
	int fd = fspf_import_open(fspf_hostdir_fd(&im->host), name, st);
	int r = fd < 0 ? fd : 0;

	if (!r) {
		doing = "make";
		r = fspf_import_target_make(im->work.v, fd, st, &t);
	}
	if (!r) {
		r = fill_target(im, fd, st, &t, &doing);
		if (r)
			fspf_import_target_discard(im->work.v, &t);
		else
			r = remember_link(im, st, t.attr.ino);
	}
	if (fd >= 0)
		close(fd);
	return fspf_work_problem(&im->work, r, doing);
}

/* A further name of a file that is in the volume already; false: it has to be copied after all
 * (another region, or too many links). */
static bool link_file(struct fspf_import *im, uint64_t parent, const char *name,
		      const struct stat *st, uint64_t ino)
{
	struct fspf_volume *v = im->work.v;
	struct fspf_attr attr;
	int r = fspf_link(v, ino, parent, name, &attr);

	if (r == -EEXIST && !fspf_import_make_way(v, parent, name))
		r = fspf_link(v, ino, parent, name, &attr);
	if (!r) {
		fspf_forget(v, ino, 1);
		fspf_import_link_used(&im->links, st, v);
	}
	return !r;
}

static int renew_attributes(struct fspf_import *im, const char *name, struct stat *st,
			    const struct fspf_attr *attr)
{
	const char *doing = "open";
	int fd = fspf_import_open(fspf_hostdir_fd(&im->host), name, st);
	int r = fd < 0 ? fd : 0;

	if (!r)
		r = fspf_import_attributes_renew(&im->work, fd, st, attr, &doing);
	if (fd >= 0)
		close(fd);
	return fspf_work_problem(&im->work, r, doing);
}

/* What of it differs, if it is there; *ret_done: nothing is left to be copied. */
static int update_file(struct fspf_import *im, const char *name, uint64_t parent, const char *as,
		       struct stat *st, uint64_t linked, bool *ret_done)
{
	enum fspf_import_verdict verdict = FSPF_IMPORT_SAME;
	struct fspf_attr attr;
	int r = fspf_import_compare(im, name, parent, as, st, linked, &attr, &verdict);

	*ret_done = verdict >= FSPF_IMPORT_ATTRIBUTES;
	if (r || verdict == FSPF_IMPORT_NEW) {
		*ret_done |= r != 0;
		return fspf_work_problem(&im->work, r, "compare");
	}
	if (verdict == FSPF_IMPORT_ATTRIBUTES)
		r = renew_attributes(im, name, st, &attr);
	if (!*ret_done || linked)
		fspf_forget(im->work.v, attr.ino, 1);
	else if (!r)
		r = remember_link(im, st, attr.ino);
	if (*ret_done && linked)
		fspf_import_link_used(&im->links, st, im->work.v);
	return r;
}

/* *ret_refused: the file at hand has no place in the volume, which was told. */
static int refuse(struct fspf_import *im, bool *ret_refused)
{
	int r = fspf_import_check_kept(im);

	*ret_refused = r != 0;
	return fspf_work_problem(&im->work, r, "import");
}

int fspf_import_file(struct fspf_import *im, const char *name, uint64_t parent, const char *as,
		     struct stat *st)
{
	uint64_t linked = st->st_nlink > 1 ? fspf_import_link_find(im->links, st) : 0;
	uint64_t bytes = 0;
	bool done = false;
	int r = refuse(im, &done);

	if (im->update && !r && !done)
		r = update_file(im, name, parent, as, st, linked, &done);
	if (r || done)
		;
	else if (linked && link_file(im, parent, as, st, linked))
		bytes = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	else
		r = copy_file(im, name, parent, as, st);
	im->work.done.files_done++;
	return r ? r : fspf_work_step(&im->work, bytes);
}

/* ---- directories ---- */

static int push_level(struct fspf_import *im, const struct fspf_import_level *level)
{
	struct fspf_import_level *grown;
	size_t room = im->depth + 32;
	int r = 0;

	if (im->depth == im->room) {
		grown = reallocarray(im->level, room, sizeof(*grown));
		if (grown) {
			im->level = grown;
			im->room = room;
		} else {
			r = -ENOMEM;
		}
	}
	if (r)
		fspf_forget(im->work.v, level->attr.ino, 1);
	else
		im->level[im->depth++] = *level;
	return r;
}

/* The volume's directory is there and the host's is open: from now on it is the innermost. */
static int begin_directory(struct fspf_import *im, struct fspf_import_level *level)
{
	struct fspf_volume *v = im->work.v;
	int r = 0;

	if (level->merged && !im->update) {
		r = fspf_removexattr(v, level->attr.ino, "system.posix_acl_default");
		if (r == -ENODATA || r == -ENOTSUP)
			r = 0;
		r = fspf_work_problem(&im->work, r, "remove the default ACL of");
	}
	if (r)
		fspf_forget(v, level->attr.ino, 1);
	else
		r = push_level(im, level);
	if (!r)
		r = fspf_work_problem(&im->work, fspf_hostdir_list(&im->host, &top(im)->names),
				      "list");
	return r;
}

/* A directory that is new, or in whose place something else was, is told of. */
static int update_directory(struct fspf_import *im, const char *name)
{
	uint64_t parent = top(im)->attr.ino;
	struct fspf_attr old;
	int r = fspf_lookup(im->work.v, parent, name, &old);

	if (!r) {
		fspf_forget(im->work.v, old.ino, 1);
		if (S_ISDIR(old.mode))
			return 0;
		r = fspf_import_remove(im, parent, name);
	}
	return r && r != -ENOENT ? r : fspf_import_tell(im, '+');
}

/* *ret_entered tells whether there is a new innermost directory. */
static int enter_directory(struct fspf_import *im, const char *name, bool *ret_entered)
{
	struct fspf_import_level level = {.merged = false};
	size_t depth = im->depth;
	bool refused;
	int r = refuse(im, &refused);

	*ret_entered = false;
	if (r || refused)
		return r;
	r = fspf_hostdir_down(&im->host, name, &level.st);
	if (r) {
		r = fspf_work_problem(&im->work, r, "open");
	} else {
		if (im->update)
			r = update_directory(im, name);
		if (!r)
			r = fspf_import_directory(im->work.v, top(im)->attr.ino, name, &level.st,
						  &level.attr, &level.merged);
		if (r)
			r = fspf_work_problem(&im->work, r, "make");
		else
			r = begin_directory(im, &level);
		if (!r && im->depth == depth)
			r = fspf_hostdir_up(&im->host);
	}
	*ret_entered = im->depth > depth;
	return r;
}

/* As the host's, or as they were before its entries changed. */
static int update_attributes(struct fspf_import *im, struct fspf_import_level *level,
			     const char **ret_doing)
{
	struct fspf_work *w = &im->work;
	int fd = fspf_hostdir_fd(&im->host);
	struct fspf_attr now;
	int differ, r = fspf_getattr(w->v, level->attr.ino, &now);

	*ret_doing = "compare";
	if (r)
		return r;
	differ = fspf_import_attributes_differ(w, fd, &level->st, &level->attr);
	if (differ < 0)
		return differ;
	if (differ)
		r = fspf_import_tell(im, 'm');
	if (!r && (differ || now.mtime.tv_sec != level->attr.mtime.tv_sec ||
		   now.mtime.tv_nsec != level->attr.mtime.tv_nsec))
		r = fspf_import_attributes_renew(w, fd, &level->st, &level->attr, ret_doing);
	return r;
}

/* All of its contents are in: what is gone goes, its own attributes, and up. */
static int leave_directory(struct fspf_import *im)
{
	struct fspf_import_level *level = top(im);
	const char *doing = "remove what is gone from";
	int r = 0;

	if (level->merged && im->update) {
		r = fspf_import_remove_gone(im, fspf_hostdir_fd(&im->host), level->attr.ino);
		if (!r)
			r = update_attributes(im, level, &doing);
	} else {
		r = fspf_import_attributes(&im->work, fspf_hostdir_fd(&im->host), &level->st,
					   &level->attr, level->merged || im->update, &doing);
	}
	r = fspf_work_problem(&im->work, r, doing);
	if (!r)
		r = fspf_hostdir_up(&im->host);
	fspf_namelist_free(&level->names);
	fspf_forget(im->work.v, level->attr.ino, 1);
	im->depth--;
	if (im->depth > 0)
		fspf_work_up(&im->work);
	return r;
}

static int import_name(struct fspf_import *im, const char *name)
{
	struct stat st;
	bool entered = false;
	int r = fspf_work_down(&im->work, name);

	if (!r) {
		if (fstatat(fspf_hostdir_fd(&im->host), name, &st, AT_SYMLINK_NOFOLLOW))
			r = fspf_work_problem(&im->work, -errno, "look at");
		else if (S_ISDIR(st.st_mode))
			r = enter_directory(im, name, &entered);
		else
			r = fspf_import_file(im, name, top(im)->attr.ino, name, &st);
		if (!entered)
			fspf_work_up(&im->work);
	}
	return r;
}

int fspf_import_tree(struct fspf_import *im, int fd, const struct fspf_attr *attr)
{
	struct fspf_hostcount count = {.running = false};
	struct fspf_import_level level = {.merged = true};
	const char *name;
	int r = fstat(fd, &level.st) ? -errno : 0;

	if (!r && im->work.transfer && im->work.transfer->progress)
		fspf_hostcount_start(&count, fd, &im->work.bytes_total);
	if (r)
		close(fd);
	else
		r = fspf_hostdir_push(&im->host, fd, &level.st);
	if (!r)
		r = fspf_reference(im->work.v, attr->ino, &level.attr);
	if (!r)
		r = begin_directory(im, &level);
	while (!r && im->depth > 0) {
		name = fspf_namelist_next(&top(im)->names);
		r = name ? import_name(im, name) : leave_directory(im);
	}
	fspf_hostcount_stop(&count);
	return r;
}

void fspf_import_free(struct fspf_import *im)
{
	while (im->depth > 0) {
		fspf_namelist_free(&top(im)->names);
		fspf_forget(im->work.v, top(im)->attr.ino, 1);
		im->depth--;
	}
	free(im->level);
	fspf_import_links_free(&im->links, im->work.v);
	fspf_hostdir_free(&im->host);
	free(im->into);
}
