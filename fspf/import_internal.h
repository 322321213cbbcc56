/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/import_internal.h - what the files of the import share
 */
#ifndef FSPF_FSPF_IMPORT_INTERNAL_H
#define FSPF_FSPF_IMPORT_INTERNAL_H

#include "fspf/hostdir.h"
#include "fspf/work.h"

struct fspf_import_level; /* a directory that is being filled */
struct fspf_import_link;

struct fspf_import {
	struct fspf_work work;
	struct fspf_hostdir host; /* one level more than @level where a single file is imported */
	struct fspf_import_level *level;
	size_t depth, room;
	struct fspf_import_link *links;
	bool update;	   /* see struct fspf_transfer */
	char *into;	   /* the path in the volume into which it goes; "": the top */
	size_t source_len; /* of work.path: what follows is below it */
	const char *as;	   /* the name that a single file gets, else NULL */
};

/* ---- import_tree.c ---- */

/* The contents of the open host directory @fd (taken over) into the directory @attr of the volume,
 * and its attributes. */
MUST_CHECK int fspf_import_tree(struct fspf_import *im, int fd, const struct fspf_attr *attr);
/* One file that is no directory: @name in the innermost host directory, as @as in @parent. */
MUST_CHECK int fspf_import_file(struct fspf_import *im, const char *name, uint64_t parent,
				const char *as, struct stat *st);
/* All but im->work. */
void fspf_import_free(struct fspf_import *im);
/* Open for reading what can be read, else only for looking; *st, which says what it should be,
 * becomes that of what was opened. */
MUST_CHECK int fspf_import_open(int at, const char *name, struct stat *st);

/* ---- import_place.c: where in the volume the file at hand goes, and contents in place ---- */

/* The region of @path, if nothing of it is kept in the volume; else NULL. */
const struct fspf_region *fspf_import_unkept(struct fspf_volume *v, const char *path);
/* -EREMOTE: the file at hand would come into such a region. */
MUST_CHECK int fspf_import_check_kept(const struct fspf_import *im);
/* Is what is made in the directory @parent to be recorded in place? */
bool fspf_import_in_place(struct fspf_volume *v, uint64_t parent);
/* The path of the file at hand, in the volume: to be freed.  NULL: no memory. */
char *fspf_import_path(const struct fspf_import *im);
/* Its path within the region of @parent, which is its path on the host: points into @path. */
const char *fspf_import_host_path(const struct fspf_import *im, uint64_t parent, const char *path);
/* The contents that @fd reads, recorded for the new file of @t. */
struct fspf_import_target;
MUST_CHECK int fspf_import_record(struct fspf_import *im, int fd,
				  const struct fspf_import_target *t, const char **ret_doing);
/* Tell of a change of the file at hand, if changes are to be told. */
MUST_CHECK int fspf_import_tell(struct fspf_import *im, char kind);

/* ---- import_update.c: what differs between the host's tree and the volume's ---- */

enum fspf_import_verdict {
	FSPF_IMPORT_NEW,	/* it is not there (any more): make it */
	FSPF_IMPORT_CONTENTS,	/* replace it */
	FSPF_IMPORT_ATTRIBUTES, /* set its attributes */
	FSPF_IMPORT_SAME,
};

/* Compare the host's file @name, which is no directory, with @as in @parent, and tell.  @linked: it
 * is to be another name of that inode, or 0.  What is of another kind in the volume is removed.
 * *ret is referenced, unless it is NEW. */
MUST_CHECK int fspf_import_compare(struct fspf_import *im, const char *name, uint64_t parent,
				   const char *as, struct stat *st, uint64_t linked,
				   struct fspf_attr *ret, enum fspf_import_verdict *ret_verdict);
/* Do the attributes of the open host file differ from those of @attr?  1, 0 or an error. */
MUST_CHECK int fspf_import_attributes_differ(struct fspf_work *w, int fd, const struct stat *st,
					     const struct fspf_attr *attr);
/* Set all attributes to those of the host's file; xattrs that it does not have go. */
MUST_CHECK int fspf_import_attributes_renew(struct fspf_work *w, int fd, const struct stat *st,
					    const struct fspf_attr *attr, const char **ret_doing);

/* ---- import_remove.c: what is gone from the host ---- */

/* Remove what @name in @parent is, with all below it; the work's path is that of @name. */
MUST_CHECK int fspf_import_remove(struct fspf_import *im, uint64_t parent, const char *name);
/* Remove what the directory @ino has and the open host directory @fd has not. */
MUST_CHECK int fspf_import_remove_gone(struct fspf_import *im, int fd, uint64_t ino);

/* ---- import_target.c: the new file in the volume that a host file becomes ---- */

struct fspf_import_target {
	struct fspf_attr attr; /* referenced */
	uint64_t parent;
	const char *name;
	bool unnamed; /* has yet to take the place of what is called @name */
};

/* Make way for a new file: anything but a directory (-EISDIR) goes.  -ENOENT. */
MUST_CHECK int fspf_import_make_way(struct fspf_volume *v, uint64_t parent, const char *name);

/* The directory @name, made like @st if it is not there; takes a reference. */
MUST_CHECK int fspf_import_directory(struct fspf_volume *v, uint64_t parent, const char *name,
				     const struct stat *st, struct fspf_attr *ret,
				     bool *ret_merged);

/* A new file of the kind of @st for t->name in t->parent; @fd is open on the host's.  It ends with
 * _place (when it is whole: it now has its name) or _discard (it is gone), and with forgetting the
 * reference after the former. */
MUST_CHECK int fspf_import_target_make(struct fspf_volume *v, int fd, const struct stat *st,
				       struct fspf_import_target *t);
MUST_CHECK int fspf_import_target_place(struct fspf_volume *v, struct fspf_import_target *t);
void fspf_import_target_discard(struct fspf_volume *v, const struct fspf_import_target *t);

/* ---- import_file.c: one host file's contents and attributes, into the new file @ino.
 * Each gives a negative errno and, in *ret_doing, what failed, for fspf_work_problem(). ---- */

/* @fd is open for reading. */
MUST_CHECK int fspf_import_data(struct fspf_work *w, int fd, const struct stat *st, uint64_t ino,
				const char **ret_doing);

/* Names of the host's xattrs into w->names; their length. */
MUST_CHECK ssize_t fspf_import_xattr_list(struct fspf_work *w, int fd, const struct stat *st);
MUST_CHECK ssize_t fspf_import_xattr_get(int fd, const struct stat *st, const char *name,
					 void *value, size_t size);

/* Owner, xattrs, mode, times, in the order in which none undoes another.  @fd may be O_PATH.
 * @inherited: the new file may have got ACLs from its directory, which go. */
MUST_CHECK int fspf_import_attributes(struct fspf_work *w, int fd, const struct stat *st,
				      const struct fspf_attr *now, bool inherited,
				      const char **ret_doing);

/* ---- import_links.c: host files with several names that were met, by device and inode ---- */

/* Remember that @ino, of which a reference is taken over, is the file of @st.  -ENOMEM. */
MUST_CHECK int fspf_import_link_add(struct fspf_import_link **links, const struct stat *st,
				    uint64_t ino);
/* The file of @st, or 0. */
uint64_t fspf_import_link_find(struct fspf_import_link *links, const struct stat *st);
/* Another name of it was made; after the last it is forgotten. */
void fspf_import_link_used(struct fspf_import_link **links, const struct stat *st,
			   struct fspf_volume *v);
void fspf_import_links_free(struct fspf_import_link **links, struct fspf_volume *v);

#endif
