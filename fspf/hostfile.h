/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/hostfile.h - inside libfspf: files of the host below a region's directory, opened and kept
 * open
 *
 * A path is followed from an open directory downwards and through no symbolic link, whatever the
 * host makes of it meanwhile: it leads to a regular file below that directory, or nowhere.
 *
 * Of the files that were opened last some are kept open, by the inode that they are the contents
 * of.  A file that is kept may have been unlinked or replaced since; what is read of it is verified
 * all the same, so nothing here is trusted.  Any thread.
 */
#ifndef FSPF_FSPF_HOSTFILE_H
#define FSPF_FSPF_HOSTFILE_H

#include <stdbool.h>
#include <uthash.h>

#include "crypto/base.h"

#define FSPF_HOSTFILES_KEPT                                                                        \
	128u /* a process may have 1024 descriptors, and the store uses some                       \
	      */

/* A descriptor for reading the regular file @path below the directory @at, or a negative errno:
 * -ENOENT, also when @at is -1; -ENOTDIR, -ELOOP: something else is on the way; -EINVAL: it is no
 * regular file. */
MUST_CHECK int fspf_hostfile_open(int at, const char *path);

struct fspf_hostfiles; /* those of a volume */
MUST_CHECK int fspf_hostfiles_new(struct fspf_hostfiles **ret);
struct fspf_hostfiles *fspf_hostfiles_free(struct fspf_hostfiles *t); /* none is in use any more */

struct fspf_hostfile {
	int fd;
	/* The table's: */
	uint64_t ino;
	uint32_t users;
	bool kept;
	UT_hash_handle hh;
};

/* The file that is kept for @ino, to be given back; NULL: none. */
struct fspf_hostfile *fspf_hostfile_find(struct fspf_hostfiles *t, uint64_t ino);
/* Keep @fd, which is taken over, for @ino, in place of another if there is one. */
MUST_CHECK int fspf_hostfile_keep(struct fspf_hostfiles *t, uint64_t ino, int fd);
/* It is not needed any more. */
void fspf_hostfile_forget(struct fspf_hostfiles *t, uint64_t ino);
void fspf_hostfile_put(struct fspf_hostfiles *t, struct fspf_hostfile *f);

#endif
