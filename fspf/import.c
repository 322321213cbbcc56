/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/import.c - fspf_import: where the host's files come from and where in the volume they go
 *
 * A directory's contents go into the directory @path.  A single file goes to @path, or, as with
 * cp(1), into @path under its own name if that is a directory or ends with a slash.  @source may be
 * a symlink to a directory; any other symlink is imported as one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fspf/dispatch.h"
#include "fspf/error.h"
#include "fspf/import_internal.h"

/* ---- the host's side ---- */

/* The directory that @source is (*ret_name NULL), or the one it lies in; @copy is of @source. */
static int open_source(const char *source, char *copy, const char **ret_name)
{
	int fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a symlink may lead here */
	int r = fd < 0 ? -errno : fd;

	*ret_name = NULL;
	return r == -ENOTDIR ? fspf_hostdir_open_parent(copy, ret_name) : r;
}

/* ---- the volume's side ---- */

/* Absolute, and without "..", which could mean two things where a symlink is in the way. */
static bool is_proper_path(const char *path)
{
	bool proper = *path == '/';

	for (const char *p = path; proper && (p = strstr(p, "/..")); p += 3)
		proper = p[3] != '\0' && p[3] != '/';
	return proper;
}

/* Without empty components and ".", as prefixes are; a slash at the end means something. */
static void tidy(char *path)
{
	char *to = path;
	bool slash = path[strlen(path) - 1] == '/';

	for (const char *from = path; *from;) {
		size_t n;

		from += strspn(from, "/");
		n = strcspn(from, "/");
		if (n == 0 || (n == 1 && *from == '.')) {
			from += n;
			continue;
		}
		*to++ = '/';
		memmove(to, from, n);
		to += n;
		from += n;
	}
	if (slash || to == path)
		*to++ = '/';
	*to = '\0';
}

/* What is passed through is the host's, and an unprotected ephemeral region begins empty: there is
 * nothing that could be brought into. */
static int check_kept(struct fspf_volume *v, const char *path, struct fspf_error *err)
{
	const struct fspf_region *region = fspf_import_unkept(v, path);

	if (!region)
		return 0;
	return fspf_fail(err, -EINVAL,
			 *region->host
				 ? "its files are the host's: put them there"
				 : "what is to be there at first belongs into an encrypted or "
				   "authenticated region",
			 "the region %s is not protected, and nothing of it is kept in the volume",
			 region->prefix);
}

/* mkdir -p, from the top of the innermost region on the way; takes a reference on the last.  The
 * regions around that one may not be there to be walked through. */
static int make_path(struct fspf_volume *v, const char *path, struct fspf_attr *ret)
{
	const struct stat fresh = {
		.st_mode = S_IFDIR | 0755, .st_uid = geteuid(), .st_gid = getegid()};
	const char *below = "";
	struct fspf_region *region = fspf_region_at(v, path, &below);
	char *copy = strdup(below), *rest = copy, *name;
	struct fspf_attr next;
	bool merged;
	int r = copy ? 0 : -ENOMEM;

	if (r == 0)
		r = region ? fspf_reference_top(region, ret) : -ENOKEY;
	while (!r && (name = strsep(&rest, "/"))) {
		if (!*name)
			continue;
		r = fspf_lookup(v, ret->ino, name, &next);
		if (r == -ENOENT) {
			r = fspf_import_directory(v, ret->ino, name, &fresh, &next, &merged);
		} else if (!r && !S_ISDIR(next.mode)) {
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

static bool is_directory(struct fspf_volume *v, const char *path)
{
	struct fspf_attr attr;
	bool directory = false;

	if (!fspf_resolve(v, path, &attr)) {
		directory = S_ISDIR(attr.mode);
		fspf_forget(v, attr.ino, 1);
	}
	return directory;
}

/* Cut @path into a directory and the name that a single file, @name on the host, gets there. */
static const char *split_target(struct fspf_volume *v, char *path, const char *name)
{
	char *slash = strrchr(path, '/');
	const char *as = name;

	if (slash[1] && !is_directory(v, path)) {
		as = slash + 1;
		*slash = '\0';
	}
	return as;
}

/* ---- both ---- */

/* @fd, taken over, is the directory in which the file lies. */
static int import_single(struct fspf_import *im, int fd, const char *name,
			 const struct fspf_attr *parent, const char *as)
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
		r = fspf_import_file(im, name, parent->ino, as, &st);
	}
	return r;
}

/* What fspf_import_path() makes paths of. */
static int begin_paths(struct fspf_import *im, uint64_t directory, const char *as)
{
	char path[4096];

	fspf_path_of(im->work.v, directory, path, sizeof(path));
	im->into = strdup(strcmp(path, "/") ? path : "");
	im->source_len = im->work.path_len;
	im->as = as;
	im->update = im->work.transfer && im->work.transfer->update;
	return im->into ? 0 : -ENOMEM;
}

/* @name NULL: the contents of the open directory @fd; it is taken over. */
static int import_open(struct fspf_volume *v, int fd, const char *name, char *path,
		       const char *source, const struct fspf_transfer *transfer,
		       struct fspf_error *err)
{
	struct fspf_import im = {.depth = 0};
	const char *as = name ? split_target(v, path, name) : NULL;
	struct fspf_attr attr;
	int r = make_path(v, path, &attr);

	if (r) {
		close(fd);
		fspf_fail(err, r, NULL, "cannot make the directory for '%s' in the volume: %s",
			  source, fspf_work_reason(r));
	} else {
		r = fspf_work_begin(&im.work, v, transfer, source);
		if (!r)
			r = begin_paths(&im, attr.ino, as);
		if (r)
			close(fd);
		else if (name)
			r = import_single(&im, fd, name, &attr, as);
		else
			r = fspf_import_tree(&im, fd, &attr);
		fspf_import_free(&im);
		r = fspf_work_end(&im.work, r, "imported", err);
		fspf_forget(v, attr.ino, 1);
	}
	return r;
}

int fspf_import(struct fspf_volume *v, const char *path, const char *source,
		const struct fspf_transfer *transfer, struct fspf_error *err)
{
	char *path_copy = strdup(path), *source_copy = strdup(source);
	const char *name;
	int r = path_copy && source_copy ? 0 : -ENOMEM, fd;

	if (r) {
		fspf_fail(err, r, NULL, "out of memory");
	} else if (!is_proper_path(path)) {
		r = fspf_fail(err, -EINVAL, NULL, "'%s' is not an absolute path without '..'",
			      path);
	} else {
		tidy(path_copy);
		r = check_kept(v, path_copy, err);
	}
	if (!r) {
		fd = open_source(source, source_copy, &name);
		if (fd < 0)
			r = fspf_fail(err, fd, NULL, "cannot open '%s': %s", source, strerror(-fd));
		else
			r = import_open(v, fd, name, path_copy, source, transfer, err);
	}
	free(path_copy);
	free(source_copy);
	return r;
}
