/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/dir.h - inside libfspf: a directory's entries as items of its region's tree
 *
 * An entry lies at the SipHash of its name: 55 bits of it, and 8 for names that collide; the offset
 * is the entry's readdir cookie.  Offsets below FSPF_DIR_FIRST are kept for "." and "..".  Finding
 * takes no lock but the tree's; adding and removing are under names and the gate.
 */
#ifndef FSPF_FSPF_DIR_H
#define FSPF_FSPF_DIR_H

#include "fspf/inode.h"

#define FSPF_DIR_DOT 1u
#define FSPF_DIR_DOTDOT 2u
#define FSPF_DIR_FIRST 256u

/* -ENOENT; @ret_offset may be NULL. */
MUST_CHECK int fspf_dir_find(struct fspf_region *region, uint64_t dir, const char *name,
			     struct fspf_dirent_item *ret, uint64_t *ret_offset);
/* The entry that names @object: a scan of the directory.  For messages. */
MUST_CHECK int fspf_dir_find_object(struct fspf_region *region, uint64_t dir, uint64_t object,
				    struct fspf_dirent_item *ret);
/* The directory that names @object, as its inode remembers. */
MUST_CHECK int fspf_dir_parent(struct fspf_region *region, uint64_t object, uint64_t *ret);

/* The first of the 256 offsets at which an entry of this name may lie. */
uint64_t fspf_dir_place_of(const struct fspf_region *region, const char *name, size_t len);
/* Where a new entry @name would go (it must not exist): a slot that is free.  -ENOSPC: 256 names
 * with one hash. */
MUST_CHECK int fspf_dir_place(struct fspf_region *region, uint64_t dir, const char *name,
			      uint64_t *ret_offset);
MUST_CHECK int fspf_dir_put(struct fspf_region *region, uint64_t dir, uint64_t offset,
			    uint64_t object, uint32_t mode, const char *name);
MUST_CHECK int fspf_dir_remove(struct fspf_region *region, uint64_t dir, uint64_t offset);

#endif
