/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/inode.h - inodes in memory: the table, references, attributes, what is dirty
 *
 * An inode is in the table while somebody refers to it (the kernel by lookups, an operation for its
 * duration) or while it is dirty.  In memory it is the truth; its item in the tree follows at the
 * latest when a commit freezes.
 *
 *   N1  There is at most one struct fspf_inode for an inode number.
 *   N2  What is dirty is on the dirty list and is never dropped from memory.
 *   N3  An inode without names (nlink 0) has an ORPHAN item in the same commit, and is removed
 *       when its last reference goes, or when the volume is next opened.
 */
#ifndef FSPF_FSPF_INODE_H
#define FSPF_FSPF_INODE_H

#include <uthash.h>

#include "fspf/pages.h"
#include "fspf/volume.h"

struct fspf_inode {
	uint64_t ino;
	struct fspf_region *region;
	uint64_t object;
	uint32_t type; /* S_IFMT bits: they never change, so they are read without the lock */
	uint64_t refs; /* table lock */

	pthread_mutex_t lock;
	struct fspf_inode_item a; /* attributes */
	struct fspf_pages pages;  /* dirty data */
	struct fspf_batch *batch; /* pages being written out, or NULL */
	uint64_t changed;	  /* epoch of the last change */
	bool dirty;		  /* differs from its item in the tree */
	bool dead;		  /* its items are gone */

	bool held; /* the committer's, while the gate is closed */
	struct fspf_inode *held_next;
	bool listed; /* on the dirty list; table lock, as the links */
	struct fspf_inode *next, *prev;
	UT_hash_handle hh;
};

MUST_CHECK int fspf_inode_table_new(struct fspf_inode_table **ret);
struct fspf_inode_table *fspf_inode_table_free(struct fspf_inode_table *t);

/* The inode, with one reference for the caller.  -ENOENT when there is none (or it is dead),
 * -EBADMSG... */
MUST_CHECK int fspf_inode_get(struct fspf_volume *v, uint64_t ino, struct fspf_inode **ret);
/* Give @n references back; removes a nameless inode with the last one. */
void fspf_inode_put(struct fspf_volume *v, struct fspf_inode *inode, uint64_t n);

/* A new inode in @region with its number, times and generation set; one reference.  Under the gate.
 * The caller fills it in and calls fspf_inode_dirty(), both under its lock; nothing is lost but a
 * number if it is given up with fspf_inode_cancel() instead. */
MUST_CHECK int fspf_inode_new(struct fspf_volume *v, struct fspf_region *region, uint32_t mode,
			      uint64_t parent, struct fspf_inode **ret);
void fspf_inode_cancel(struct fspf_volume *v, struct fspf_inode *inode);

/* Attributes or data changed: under the inode's lock and the gate. */
void fspf_inode_dirty(struct fspf_volume *v, struct fspf_inode *inode);

/* Set times to now (under the lock): which of them. */
enum { FSPF_TOUCH_ATIME = 1, FSPF_TOUCH_MTIME = 2, FSPF_TOUCH_CTIME = 4 };
void fspf_inode_touch(struct fspf_inode *inode, unsigned which);
struct timespec fspf_now(void);

void fspf_inode_attr(const struct fspf_inode *inode, struct fspf_attr *ret);

/* Put the inode's attributes into the tree, if dirty.  Under its lock and the gate. */
MUST_CHECK int fspf_inode_flush(struct fspf_volume *v, struct fspf_inode *inode);

/* The dirty list: a reference to its first inode (NULL: empty); it is taken off the list. */
struct fspf_inode *fspf_inode_next_dirty(struct fspf_volume *v);
/* Back on the list, when something of it is still dirty. */
void fspf_inode_relist(struct fspf_volume *v, struct fspf_inode *inode);
uint64_t fspf_inode_dirty_count(struct fspf_volume *v);

/* Remove all items of a nameless inode (contents, xattrs, the inode, its orphan item), in pieces
 * under the gate. -EBADMSG leaves the orphan for later. */
MUST_CHECK int fspf_inode_remove(struct fspf_volume *v, struct fspf_inode *inode);
/* At open (read-write) and at close: remove what N3 left. */
MUST_CHECK int fspf_orphans_remove(struct fspf_volume *v);
MUST_CHECK int fspf_orphans_close(struct fspf_volume *v);

/* Some nameless inode that is in memory, with a reference; NULL: none. */
struct fspf_inode *fspf_inode_nameless(struct fspf_volume *v);

#endif
