/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/locked.h - inside libfspf: regions that are there, and whose keys are not
 *
 * Of a locked region nothing is known, not even its prefix.  But the directory that it covers bears
 * a mark (docs/format.md, "INODE"), and lies in a region of its own, which may be known: it is
 * shown without any permission, and nothing can be looked up in it.
 *
 * A known region may lie below a locked one.  The way there leads through *stubs*: a region in
 * memory, never stored, that takes the place of the locked one and holds the directories on that
 * way and nothing else.  What is not on it cannot be told from what is locked: -EACCES, not
 * -ENOENT. Only a volume that is open without its key, and so read-only, has locked regions or
 * stubs.
 */
#ifndef FSPF_FSPF_LOCKED_H
#define FSPF_FSPF_LOCKED_H

#include "fspf/inode.h"

/* Mark the directory @ino, which a region's top is about to cover.  Under the gate. */
MUST_CHECK int fspf_locked_mark(struct fspf_volume *v, uint64_t ino);

/* Is it the place of a region that is not known? */
bool fspf_is_locked(const struct fspf_inode *inode);
MUST_CHECK int fspf_is_locked_at(struct fspf_region *region, uint64_t object, bool *ret);

/* A stub at @prefix, with its top directory; appended to the volume's regions. */
MUST_CHECK int fspf_stub_new(struct fspf_volume *v, const char *prefix, struct fspf_region **ret);
/* The directories of @path below it, those that are not there yet. */
MUST_CHECK int fspf_stub_way(struct fspf_region *stub, const char *path);

#endif
