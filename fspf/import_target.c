/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/import_target.c - the new file in the volume that a host file becomes
 *
 * It is made under its name if that is free.  If it is taken, a regular file is made without a name
 * and takes the place of the old one when it is whole, as one that is recorded in place always is;
 * anything else replaces the old one at once.
 * Directories stay and are filled further.
 */
#include <errno.h>
#include <unistd.h>

#include "fspf/import_internal.h"

int fspf_import_make_way(struct fspf_volume *v, uint64_t parent, const char *name)
{
	struct fspf_attr old;
	int r = fspf_lookup(v, parent, name, &old);

	if (!r) {
		r = S_ISDIR(old.mode) ? -EISDIR : fspf_unlink(v, parent, name);
		fspf_forget(v, old.ino, 1);
	}
	return r;
}

int fspf_import_directory(struct fspf_volume *v, uint64_t parent, const char *name,
			  const struct stat *st, struct fspf_attr *ret, bool *ret_merged)
{
	const struct fspf_caller caller = {.uid = st->st_uid, .gid = st->st_gid};
	bool merged = false;
	int r = fspf_create_file(v, parent, name, st->st_mode, 0, &caller, ret);

	if (r == -EEXIST) {
		r = fspf_import_make_way(v, parent, name);
		merged = r == -EISDIR;
		if (merged)
			r = fspf_lookup(v, parent, name, ret);
		else if (!r)
			r = fspf_create_file(v, parent, name, st->st_mode, 0, &caller, ret);
	}
	if (!r)
		*ret_merged = merged;
	return r;
}

static int make_symlink(const struct fspf_import_target *t, struct fspf_volume *v, int fd,
			const struct fspf_caller *caller, struct fspf_attr *ret)
{
	char text[FSPF_SYMLINK_MAX + 2];
	ssize_t len = readlinkat(fd, "", text, sizeof(text) - 1);
	int r;

	if (len < 0) {
		r = -errno;
	} else {
		text[len] = '\0';
		r = fspf_symlink(v, t->parent, t->name, text, caller, ret);
	}
	return r;
}

static int make_file(struct fspf_volume *v, int fd, const struct stat *st,
		     struct fspf_import_target *t)
{
	const struct fspf_caller caller = {.uid = st->st_uid, .gid = st->st_gid};
	int r;

	if (S_ISLNK(st->st_mode))
		r = make_symlink(t, v, fd, &caller, &t->attr);
	else
		r = fspf_create_file(v, t->parent, t->name, st->st_mode, st->st_rdev, &caller,
				     &t->attr);
	return r;
}

int fspf_import_target_make(struct fspf_volume *v, int fd, const struct stat *st,
			    struct fspf_import_target *t)
{
	const struct fspf_caller caller = {.uid = st->st_uid, .gid = st->st_gid};
	bool in_place = S_ISREG(st->st_mode) && fspf_import_in_place(v, t->parent);
	int r = in_place ? -EEXIST : make_file(v, fd, st, t);

	if (r == -EEXIST && S_ISREG(st->st_mode)) {
		r = fspf_tmpfile(v, t->parent, st->st_mode, &caller, &t->attr);
		t->unnamed = !r;
	} else if (r == -EEXIST) {
		r = fspf_import_make_way(v, t->parent, t->name);
		if (!r)
			r = make_file(v, fd, st, t);
	}
	return r;
}

int fspf_import_target_place(struct fspf_volume *v, struct fspf_import_target *t)
{
	struct fspf_attr attr;
	int r = fspf_import_make_way(v, t->parent, t->name);

	if (!r || r == -ENOENT)
		r = fspf_link(v, t->attr.ino, t->parent, t->name, &attr);
	if (!r) {
		fspf_forget(v, t->attr.ino, 1); /* the link's reference */
		t->unnamed = false;
	}
	return r;
}

void fspf_import_target_discard(struct fspf_volume *v, const struct fspf_import_target *t)
{
	if (!t->unnamed)
		(void)!fspf_unlink(v, t->parent, t->name);
	fspf_forget(v, t->attr.ino, 1);
}
