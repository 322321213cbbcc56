/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/hostdir.h - inside libfspf: a path of open host directories, from a top one down
 *
 * Everything on the host is reached by *at() calls relative to these, without following symlinks,
 * so a tree that changes meanwhile can lose files but never lead outside.  Any depth: only the
 * innermost few stay open; going up reopens ".." and checks that it is the directory it was
 * (-EXDEV if not: it was moved).  One thread.
 */
#ifndef FSPF_FSPF_HOSTDIR_H
#define FSPF_FSPF_HOSTDIR_H

#include <sys/stat.h>

#include "fspf/namelist.h"

struct fspf_hostdir_level {
	int fd; /* -1: closed for now */
	dev_t dev;
	ino_t ino;
};

/* The zero value has no level. */
struct fspf_hostdir {
	struct fspf_hostdir_level *level;
	size_t depth, room;
};

/* openat(2) for reading, without following a symlink, and without changing the access time where
 * that is allowed: what is imported is to be as it was.  A descriptor or a negative errno. */
MUST_CHECK int fspf_hostdir_open(int at, const char *name, int flags);

/* Add the open directory @fd, taken over (closed on failure too). */
MUST_CHECK int fspf_hostdir_push(struct fspf_hostdir *d, int fd, const struct stat *st);
/* Open @name below the innermost, without following a symlink, and push it. */
MUST_CHECK int fspf_hostdir_down(struct fspf_hostdir *d, const char *name, struct stat *ret);
/* The innermost; it stays the stack's. */
int fspf_hostdir_fd(const struct fspf_hostdir *d);
/* Close the innermost; its parent is open again afterwards. */
MUST_CHECK int fspf_hostdir_up(struct fspf_hostdir *d);
void fspf_hostdir_free(struct fspf_hostdir *d);

/* Open the directory in which @path lies (@path is cut there), and give its last name, which lies
 * in
 * @path too.  -ENOENT: it ends with a slash. */
MUST_CHECK int fspf_hostdir_open_parent(char *path, const char **ret_name);

/* The names in the innermost directory but "." and "..", sorted by inode number. */
MUST_CHECK int fspf_hostdir_list(const struct fspf_hostdir *d, struct fspf_namelist *ret);

#endif
