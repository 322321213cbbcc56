/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/names.h - inside libfspf: what operations on names share
 *
 * Every change of names happens under v->names and the gate, with its directories looked up before.
 * Entries and attributes of a directory change together or not at all: what can fail (finding,
 * placing, the first tree change) comes before what cannot be undone; should a later tree change
 * fail all the same, the volume fails.
 *
 *   R1  a directory's `entries` is the number of its entries, its nlink 2 plus that of its
 * subdirectories R2  a file's nlink is the number of entries that name it; at 0 it has an ORPHAN
 * item
 */
#ifndef FSPF_FSPF_NAMES_H
#define FSPF_FSPF_NAMES_H

#include "fspf/dir.h"

/* The gate, then names; fspf_names_end() undoes both. */
MUST_CHECK int fspf_names_begin(struct fspf_region *region, bool frees);
void fspf_names_end(struct fspf_volume *v);

/* A directory that is still there, referenced: -ENOTDIR, -ENOENT. */
MUST_CHECK int fspf_get_dir(struct fspf_volume *v, uint64_t ino, struct fspf_inode **ret);

/* An entry came to or went from @dir; @subdir: it is a directory's.  Takes the lock. */
void fspf_dir_changed(struct fspf_volume *v, struct fspf_inode *dir, int entries, int subdirs);

/* One name less; at 0 the orphan item is put.  Takes the lock.  A failure fails the volume. */
MUST_CHECK int fspf_drop_link(struct fspf_volume *v, struct fspf_inode *inode);

/* May directory @inode go (empty, and not on the way to a region)?  -ENOTEMPTY, -EBUSY. */
MUST_CHECK int fspf_dir_removable(struct fspf_volume *v, struct fspf_inode *inode);

#endif
