/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/import.c - fspf_import: a host tree into the volume
 *
 * The tree is gone through with a stack, not by recursion, so that its depth costs no C stack; the
 * host's side of the stack is a fspf_hostdir.  Symlinks below the top are kept as symlinks and
 * never followed; @source itself may be a symlink to a directory.
 *
 * A directory's own attributes come last, after its contents; a default ACL of a directory that was
 * there before goes first, so that nothing inherits from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fspf/error.h"
#include "fspf/hostcount.h"
#include "fspf/hostdir.h"
#include "fspf/import_internal.h"

/* A directory that is being filled. */
struct level {
	struct fspf_attr attr; /* in the volume; referenced */
	struct stat st;	       /* on the host */
	bool merged;	       /* it was in the volume before */
	struct fspf_namelist names;
};

struct import {
	struct fspf_work work;
	struct fspf_hostdir host; /* one level more than @level where a single file is imported */
	struct level *level;
	size_t depth, room;
	struct fspf_import_link *links;
};

static struct level *top(struct import *im)
{
	return &im->level[im->depth - 1];
}

/* ---- one file ---- */

/* Open for reading what can be read, else only for looking; *st becomes that of what was opened. */
static int open_source(int at, const char *name, struct stat *st)
{
	mode_t type = st->st_mode & S_IFMT;
	int flags = type == S_IFREG ? O_RDONLY | O_NONBLOCK | O_NOCTTY : O_PATH;
	int fd = openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	if (!r && fstat(fd, st))
		r = -errno;
	if (!r && (st->st_mode & S_IFMT) != type)
		r = -EAGAIN; /* it was replaced by another kind of file just now */
	if (r && fd >= 0)
		close(fd);
	return r ? r : fd;
}

static int fill_target(struct import *im, int fd, const struct stat *st,
		       struct fspf_import_target *t, const char **ret_doing)
{
	bool alone = im->depth == 0; /* directly in a directory that was there before */
	int r = 0;

	if (S_ISREG(st->st_mode))
		r = fspf_import_data(&im->work, fd, st, t->attr.ino, ret_doing);
	if (!r)
		r = fspf_import_attributes(&im->work, fd, st, &t->attr, alone, ret_doing);
	if (!r && t->unnamed) {
		*ret_doing = "replace";
		r = fspf_import_target_place(im->work.v, t);
	}
	return r;
}

/* Other names of the file will come: keep its reference for them. */
static int remember_link(struct import *im, const struct stat *st,
			 const struct fspf_import_target *t)
{
	bool first = st->st_nlink > 1 && !fspf_import_link_find(im->links, st);
	int r = first ? fspf_import_link_add(&im->links, st, t->attr.ino) : 0;

	if (!first || r)
		fspf_forget(im->work.v, t->attr.ino, 1);
	return r;
}

static int copy_file(struct import *im, uint64_t parent, const char *name, struct stat *st)
{
	struct fspf_import_target t = {.parent = parent, .name = name};
	const char *doing = "open";
	int fd = open_source(fspf_hostdir_fd(&im->host), name, st);
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
			r = remember_link(im, st, &t);
	}
	if (fd >= 0)
		close(fd);
	return fspf_work_problem(&im->work, r, doing);
}

/* A further name of a file that is in the volume already; false: it has to be copied after all
 * (another region, or too many links). */
static bool link_file(struct import *im, uint64_t parent, const char *name, const struct stat *st,
		      uint64_t ino)
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

static int import_file(struct import *im, uint64_t parent, const char *name, struct stat *st)
{
	uint64_t linked = st->st_nlink > 1 ? fspf_import_link_find(im->links, st) : 0;
	uint64_t bytes = 0;
	int r = 0;

	if (linked && link_file(im, parent, name, st, linked))
		bytes = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	else
		r = copy_file(im, parent, name, st);
	im->work.done.files_done++;
	return r ? r : fspf_work_step(&im->work, bytes);
}

/* ---- directories ---- */

static int push_level(struct import *im, const struct level *level)
{
	struct level *grown;
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
static int begin_directory(struct import *im, struct level *level)
{
	struct fspf_volume *v = im->work.v;
	int r = 0;

	if (level->merged) {
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

/* *ret_entered tells whether there is a new innermost directory. */
static int enter_directory(struct import *im, const char *name, bool *ret_entered)
{
	struct level level = {.merged = false};
	size_t depth = im->depth;
	int r = fspf_hostdir_down(&im->host, name, &level.st);

	if (r) {
		r = fspf_work_problem(&im->work, r, "open");
	} else {
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

/* All of its contents are in: its own attributes, and up. */
static int leave_directory(struct import *im)
{
	struct level *level = top(im);
	const char *doing = "";
	int r = fspf_import_attributes(&im->work, fspf_hostdir_fd(&im->host), &level->st,
				       &level->attr, level->merged, &doing);

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

static int import_name(struct import *im, const char *name)
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
			r = import_file(im, top(im)->attr.ino, name, &st);
		if (!entered)
			fspf_work_up(&im->work);
	}
	return r;
}

/* The contents of the open host directory @fd (taken over) into the directory @attr (its
 * reference is taken over). */
static int import_directory(struct import *im, int fd, const struct fspf_attr *attr)
{
	struct fspf_hostcount count = {.running = false};
	struct level level = {.attr = *attr, .merged = true};
	const char *name;
	int r = fstat(fd, &level.st) ? -errno : 0;

	if (!r && im->work.transfer && im->work.transfer->progress)
		fspf_hostcount_start(&count, fd, &im->work.bytes_total);
	if (r)
		close(fd);
	else
		r = fspf_hostdir_push(&im->host, fd, &level.st);
	if (r)
		fspf_forget(im->work.v, attr->ino, 1);
	else
		r = begin_directory(im, &level);
	while (!r && im->depth > 0) {
		name = fspf_namelist_next(&top(im)->names);
		r = name ? import_name(im, name) : leave_directory(im);
	}
	fspf_hostcount_stop(&count);
	return r;
}

/* ---- the top ---- */

/* A single file, under its own name, into the directory @attr. */
static int import_single(struct import *im, int fd, const char *name, const struct fspf_attr *attr)
{
	struct stat st;
	int r = fstat(fd, &st) ? -errno : 0;

	if (r)
		close(fd);
	else
		r = fspf_hostdir_push(&im->host, fd, &st);
	if (!r && fstatat(fspf_hostdir_fd(&im->host), name, &st, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	if (!r) {
		atomic_store(&im->work.bytes_total, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
		r = import_file(im, attr->ino, name, &st);
	}
	fspf_forget(im->work.v, attr->ino, 1);
	return r;
}

/* mkdir -p, from the volume's root; takes a reference on the last. */
static int make_path(struct fspf_volume *v, const char *path, struct fspf_attr *ret)
{
	const struct stat fresh = {
		.st_mode = S_IFDIR | 0755, .st_uid = geteuid(), .st_gid = getegid()};
	char *copy = strdup(path), *rest = copy, *name;
	struct fspf_attr next;
	bool merged;
	int r = copy ? fspf_reference(v, FSPF_ROOT, ret) : -ENOMEM;

	while (!r && (name = strsep(&rest, "/"))) {
		if (!*name || !strcmp(name, "."))
			continue;
		if (!strcmp(name, ".."))
			r = -EINVAL;
		else
			r = fspf_lookup(v, ret->ino, name, &next);
		if (r == -ENOENT)
			r = fspf_import_directory(v, ret->ino, name, &fresh, &next, &merged);
		else if (!r && !S_ISDIR(next.mode)) {
			fspf_forget(v, next.ino, 1);
			r = -ENOTDIR;
		}
		fspf_forget(v, ret->ino, 1);
		if (!r)
			*ret = next;
	}
	free(copy);
	return r;
}

/* The directory that @source is (*ret_name NULL), or the one it lies in; @copy is of @source. */
static int open_top(const char *source, char *copy, const char **ret_name)
{
	int fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : fd;

	*ret_name = NULL;
	return r == -ENOTDIR ? fspf_hostdir_open_parent(copy, ret_name) : r;
}

static void import_free(struct import *im)
{
	while (im->depth > 0) {
		fspf_namelist_free(&top(im)->names);
		fspf_forget(im->work.v, top(im)->attr.ino, 1);
		im->depth--;
	}
	free(im->level);
	fspf_import_links_free(&im->links, im->work.v);
	fspf_hostdir_free(&im->host);
}

static int import_into(struct import *im, const struct fspf_attr *attr, const char *source)
{
	const char *name = NULL;
	char *copy = strdup(source);
	int fd = copy ? open_top(source, copy, &name) : -ENOMEM;
	int r;

	if (fd < 0) {
		fspf_forget(im->work.v, attr->ino, 1);
		r = fspf_work_problem(&im->work, fd, "open");
	} else if (name) {
		r = import_single(im, fd, name, attr);
	} else {
		r = import_directory(im, fd, attr);
	}
	import_free(im);
	free(copy);
	return r;
}

int fspf_import(struct fspf_volume *v, const char *path, const char *source,
		const struct fspf_transfer *transfer, struct fspf_error *err)
{
	struct import im = {.depth = 0};
	struct fspf_attr attr;
	int r = *path == '/' ? make_path(v, path, &attr) : -EINVAL;

	if (r == -EINVAL) {
		fspf_fail(err, r, NULL, "'%s' is not an absolute path without '..'", path);
	} else if (r) {
		fspf_fail(err, r, NULL, "cannot make the directory '%s' in the volume: %s", path,
			  fspf_work_reason(r));
	} else {
		r = fspf_work_begin(&im.work, v, transfer, source);
		if (r)
			fspf_forget(v, attr.ino, 1);
		else
			r = import_into(&im, &attr, source);
		r = fspf_work_end(&im.work, r, "imported", err);
	}
	return r;
}
