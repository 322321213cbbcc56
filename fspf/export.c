/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/export.c - fspf_export: a tree of the volume onto the host
 *
 * Gone through with a stack, as fspf_import() does it, and written with *at() calls relative to
 * open directories, each file made new (O_EXCL), so nothing that somebody puts into the destination
 * meanwhile is followed or overwritten.  Files are private (0600, 0700) until they are whole.
 *
 * A regular file whose contents or attributes do not verify is removed again.  Attributes that the
 * host's file system refuses leave the file where it is, reported.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fspf/error.h"
#include "fspf/export_internal.h"
#include "fspf/hostdir.h"
#include "fspf/treecount.h"

/* A directory that is being written. */
struct level {
	struct fspf_attr attr; /* referenced */
	struct fspf_namelist names;
};

struct export
{
	struct fspf_volume *v;
	struct fspf_work work;
	struct fspf_hostdir host;
	size_t top_len; /* of the path of the top in work.path: what follows is relative */
	int top_fd;	/* for hard links; -1 when a single file is exported */
	struct level *level;
	size_t depth, room;
	struct fspf_export_link *links;
};

static struct level *top(struct export *ex)
{
	return &ex->level[ex->depth - 1];
}

/* ---- one file ---- */

/* Make the host file and open it: for writing if it has contents, else O_PATH. */
static int make_regular(int at, const char *name)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

static int make_other(struct fspf_volume *v, const struct fspf_attr *attr, int at, const char *name)
{
	char target[FSPF_SYMLINK_MAX + 1];
	ssize_t len;
	int fd = -1, r = 0;

	if (S_ISLNK(attr->mode)) {
		len = fspf_readlink(v, attr->ino, target, sizeof(target));
		if (len < 0)
			r = (int)len;
		else if (symlinkat(target, at, name))
			r = -errno;
	} else if (mknodat(at, name, (attr->mode & S_IFMT) | 0600, attr->rdev)) {
		r = -errno;
	}
	if (!r) {
		fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : fd;
	}
	return r;
}

static int write_file(struct export *ex, const struct fspf_attr *attr, const char *name)
{
	int at = fspf_hostdir_fd(&ex->host);
	const char *doing = "make a host file for";
	bool whole = false;
	int fd = S_ISREG(attr->mode) ? make_regular(at, name) : make_other(ex->v, attr, at, name);
	int r = fd < 0 ? fd : 0;

	if (!r && S_ISREG(attr->mode))
		r = fspf_export_data(&ex->work, attr, fd, &doing);
	if (!r) {
		r = fspf_export_attributes(&ex->work, attr, fd, &doing);
		whole = r != -EBADMSG;
	}
	if (fd >= 0 && close(fd) && !r) {
		doing = "write";
		r = -errno;
		whole = false;
	}
	if (fd >= 0 && !whole)
		(void)unlinkat(at, name, 0);
	if (whole && attr->nlink > 1 && ex->top_fd >= 0 &&
	    !fspf_export_link_find(ex->links, attr->ino) && !r)
		r = fspf_export_link_add(&ex->links, attr->ino, ex->work.path + ex->top_len + 1);
	return fspf_work_problem(&ex->work, r, doing);
}

static int export_file(struct export *ex, const struct fspf_attr *attr, const char *name)
{
	const char *linked = attr->nlink > 1 ? fspf_export_link_find(ex->links, attr->ino) : NULL;
	uint64_t bytes = 0;
	int r = 0;

	/* Too many links, or too long a path, for the host: then it becomes a file of its own. */
	if (linked && !linkat(ex->top_fd, linked, fspf_hostdir_fd(&ex->host), name, 0))
		bytes = S_ISREG(attr->mode) ? attr->size : 0;
	else
		r = write_file(ex, attr, name);
	ex->work.done.files_done++;
	return r ? r : fspf_work_step(&ex->work, bytes);
}

/* ---- directories ---- */

static int push_level(struct export *ex, const struct fspf_attr *attr)
{
	struct level *grown;
	size_t room = ex->depth + 32;
	int r = 0;

	if (ex->depth == ex->room) {
		grown = reallocarray(ex->level, room, sizeof(*grown));
		if (grown) {
			ex->level = grown;
			ex->room = room;
		} else {
			r = -ENOMEM;
		}
	}
	if (!r)
		ex->level[ex->depth++] = (struct level){.attr = *attr};
	return r;
}

static int add_entry(void *ctx, const struct fspf_entry *entry)
{
	struct fspf_namelist *names = ctx;
	int r = 0;

	if (strcmp(entry->name, ".") && strcmp(entry->name, ".."))
		r = fspf_namelist_add(names, entry->name, entry->ino);
	return r;
}

/* The host's directory is the innermost: read the names of the volume's.  Takes over the reference
 * on @attr, success or not.  Files were made, and so stored, in the order of their numbers. */
static int begin_directory(struct export *ex, const struct fspf_attr *attr)
{
	int r = push_level(ex, attr);

	if (r) {
		fspf_forget(ex->v, attr->ino, 1);
	} else {
		r = fspf_readdir(ex->v, attr->ino, 0, false, add_entry, &top(ex)->names);
		fspf_namelist_sort(&top(ex)->names);
		r = fspf_work_problem(&ex->work, r, "list");
	}
	return r;
}

/* Takes over the reference on @attr.  *ret_entered: there is a new innermost directory. */
static int enter_directory(struct export *ex, const struct fspf_attr *attr, const char *name,
			   bool *ret_entered)
{
	struct stat st;
	int r = mkdirat(fspf_hostdir_fd(&ex->host), name, 0700) ? -errno : 0;

	if (!r)
		r = fspf_hostdir_down(&ex->host, name, &st);
	*ret_entered = !r;
	if (r) {
		fspf_forget(ex->v, attr->ino, 1);
		r = fspf_work_problem(&ex->work, r, "make a host directory for");
	} else {
		r = begin_directory(ex, attr);
	}
	return r;
}

static int leave_directory(struct export *ex)
{
	struct level *level = top(ex);
	const char *doing = "";
	int r = fspf_export_attributes(&ex->work, &level->attr, fspf_hostdir_fd(&ex->host), &doing);

	r = fspf_work_problem(&ex->work, r, doing);
	if (!r)
		r = fspf_hostdir_up(&ex->host);
	fspf_namelist_free(&level->names);
	fspf_forget(ex->v, level->attr.ino, 1);
	ex->depth--;
	if (ex->depth > 0)
		fspf_work_up(&ex->work);
	return r;
}

static int export_name(struct export *ex, const char *name)
{
	struct fspf_attr attr;
	bool entered = false;
	int r = fspf_work_down(&ex->work, name), found;

	if (!r) {
		found = fspf_lookup(ex->v, top(ex)->attr.ino, name, &attr);
		if (found) {
			r = fspf_work_problem(&ex->work, found, "read");
		} else if (S_ISDIR(attr.mode)) {
			r = enter_directory(ex, &attr, name, &entered);
		} else {
			r = export_file(ex, &attr, name);
			fspf_forget(ex->v, attr.ino, 1);
		}
		if (!entered)
			fspf_work_up(&ex->work);
	}
	return r;
}

/* ---- the top ---- */

/* Open @destination as an empty directory, making it if it is not there. */
static int open_destination(struct export *ex, const char *destination)
{
	struct fspf_namelist names = {.count = 0};
	struct stat st;
	int r = mkdir(destination, 0700) && errno != EEXIST ? -errno : 0;
	int fd = r ? -1 : open(destination, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!r && fd < 0)
		r = -errno;
	if (!r && fstat(fd, &st)) {
		r = -errno;
		close(fd);
	}
	if (!r)
		r = fspf_hostdir_push(&ex->host, fd, &st);
	if (!r)
		r = fspf_hostdir_list(&ex->host, &names);
	if (!r && names.count > 0)
		r = -ENOTEMPTY;
	if (!r) {
		ex->top_fd = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		r = ex->top_fd < 0 ? -errno : 0;
	}
	fspf_namelist_free(&names);
	return r;
}

static int export_directory(struct export *ex, const struct fspf_attr *attr)
{
	struct fspf_treecount count = {.running = false};
	struct fspf_attr own;
	const char *name;
	int r = fspf_reference(ex->v, attr->ino, &own);

	if (!r && ex->work.transfer && ex->work.transfer->progress)
		fspf_treecount_start(&count, ex->v, attr->ino, &ex->work.bytes_total);
	if (!r)
		r = begin_directory(ex, &own);
	while (!r && ex->depth > 0) {
		name = fspf_namelist_next(&top(ex)->names);
		r = name ? export_name(ex, name) : leave_directory(ex);
	}
	fspf_treecount_stop(&count);
	return r;
}

/*
 * Open the directory that a single file goes into: @destination if that is a directory (the file
 * then keeps its name), else the one that @destination lies in.  *ret_name is the file's name
 * there, for the caller to free.
 */
static int open_single(struct export *ex, const char *path, const char *destination,
		       char **ret_name)
{
	const char *name = strrchr(path, '/') + 1;
	char *copy = strdup(destination);
	struct stat st;
	int fd = copy ? open(destination, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = fd < 0 ? -errno : 0;

	if (copy && (r == -ENOENT || r == -ENOTDIR)) {
		fd = fspf_hostdir_open_parent(copy, &name);
		r = fd < 0 ? fd : 0;
	}
	if (!r && fstat(fd, &st)) {
		r = -errno;
		close(fd);
	}
	if (!r)
		r = fspf_hostdir_push(&ex->host, fd, &st);
	if (!r) {
		*ret_name = strdup(name);
		r = *ret_name ? 0 : -ENOMEM;
	}
	free(copy);
	return r;
}

static void export_free(struct export *ex)
{
	while (ex->depth > 0) {
		fspf_namelist_free(&top(ex)->names);
		fspf_forget(ex->v, top(ex)->attr.ino, 1);
		ex->depth--;
	}
	free(ex->level);
	fspf_export_links_free(&ex->links);
	fspf_hostdir_free(&ex->host);
	if (ex->top_fd >= 0)
		close(ex->top_fd);
}

static int export_work(struct export *ex, const struct fspf_attr *attr, const char *path,
		       const char *name, const struct fspf_transfer *transfer,
		       struct fspf_error *err)
{
	int r = fspf_work_begin(&ex->work, ex->v, transfer, path);

	if (!r) {
		ex->top_len = ex->work.path_len;
		if (name) {
			atomic_store(&ex->work.bytes_total, S_ISREG(attr->mode) ? attr->size : 0);
			r = export_file(ex, attr, name);
		} else {
			r = export_directory(ex, attr);
		}
	}
	return fspf_work_end(&ex->work, r, "exported", err);
}

int fspf_export(struct fspf_volume *v, const char *path, const char *destination,
		const struct fspf_transfer *transfer, struct fspf_error *err)
{
	struct export ex = {.v = v, .top_fd = -1};
	struct fspf_attr attr = {.ino = 0};
	char *name = NULL;
	int r = *path == '/' ? fspf_resolve(v, path, &attr) : -EINVAL;

	if (r) {
		fspf_fail(err, r,
			  r == -ENOKEY ? "give --key-file, --passphrase-file or FSPF_KEY" : NULL,
			  "cannot export '%s': %s", path, fspf_work_reason(r));
	} else {
		r = S_ISDIR(attr.mode) ? open_destination(&ex, destination)
				       : open_single(&ex, path, destination, &name);
		if (r)
			fspf_fail(err, r, NULL, "cannot export to '%s': %s", destination,
				  strerror(-r));
		else
			r = export_work(&ex, &attr, path, name, transfer, err);
	}
	export_free(&ex);
	if (attr.ino)
		fspf_forget(v, attr.ino, 1);
	free(name);
	return r;
}
