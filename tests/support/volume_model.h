/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/volume_model.h - what a volume should hold: a plain tree in memory
 *
 * The model knows names, attributes, contents and extended attributes, and nothing of how a volume
 * keeps them.  Its state, and that of an open volume, can be had as text, one line a name; the two
 * are equal if and only if the states are.  tests/support/volume_driver.h changes both.
 *
 * Inodes bear the numbers that the volume gave them; a region's top directory hangs at its prefix
 * and is pinned, as are the directories above it.  Times are copied from the volume when an
 * operation has changed them: what matters is that they are kept, not what the clock said.
 *
 * Whatever goes wrong here ends the program with a message.  One thread at a time.
 */
#ifndef FSPF_TESTS_SUPPORT_VOLUME_MODEL_H
#define FSPF_TESTS_SUPPORT_VOLUME_MODEL_H

#include <uthash.h>

#include "fspf/fspf.h"

struct model_entry {
	char *name;
	struct model_inode *inode;
	UT_hash_handle hh;
};

struct model_xattr {
	char *name;
	uint8_t *value;
	size_t len;
	UT_hash_handle hh;
};

struct model_inode {
	uint64_t ino;
	uint32_t mode, nlink, uid, gid;
	uint64_t rdev;
	struct timespec mtime, ctime;
	uint64_t size; /* of a regular file */
	uint8_t *data;
	char *target; /* of a symlink */
	struct model_entry *entries;
	struct model_inode *parent; /* of a directory; NULL: "/" */
	struct model_xattr *xattrs;
	bool pinned;
	uint64_t held;	  /* references that the test has */
	uint64_t changed; /* the model's step in which it last changed */
	bool stale;	  /* its times are to be copied */
	uint64_t hash;	  /* of the contents, if known */
	bool hash_known;
	size_t at; /* in model->inode */
};

struct model {
	struct model_inode *root;
	struct model_inode **inode; /* all, nameless ones too */
	size_t ninodes, room;
	uint64_t step; /* counted by the driver */
};

/* From the volume: its whole tree, by reading it. */
struct model *model_load(struct fspf_volume *v);
struct model *model_free(struct model *m); /* returns NULL */

struct model_inode *model_inode_new(struct model *m, const struct fspf_attr *attr);
/* Forget the inode if it has neither a name nor a reference. */
void model_inode_drop(struct model *m, struct model_inode *inode);
/* What a process that ends leaves behind: nothing that has no name. */
void model_drop_nameless(struct model *m);

static inline uint16_t model_region(const struct model_inode *inode)
{
	return (uint16_t)(inode->ino >> 48);
}

static inline bool model_is_dir(const struct model_inode *inode)
{
	return (inode->mode & 0170000) == 0040000;
}

static inline bool model_is_file(const struct model_inode *inode)
{
	return (inode->mode & 0170000) == 0100000;
}

struct model_inode *model_find(const struct model_inode *dir, const char *name);
void model_enter(struct model_inode *dir, const char *name, struct model_inode *inode);
void model_leave(struct model_inode *dir, const char *name);
/* Make the file that long, zeroes at the end. */
void model_resize(struct model_inode *inode, uint64_t size);
void model_set_xattr(struct model_inode *inode, const char *name, const void *value, size_t len);
struct model_xattr *model_find_xattr(const struct model_inode *inode, const char *name);
void model_delete_xattr(struct model_inode *inode, const char *name);

/* Note that it changed; model_copy_times() fetches its times after the operation, unless the store
 * is dead: false. */
void model_changed(struct model *m, struct model_inode *inode);
bool model_copy_times(struct model *m, struct fspf_volume *v);

/* The states as text; free it. */
char *model_text(struct model *m);
/* NULL when something could not be read, and then the error. */
char *model_volume_text(struct fspf_volume *v, int *ret_error);
/* Show where @is differs from @should. */
void model_text_difference(const char *should, const char *is);

/* Print the message, and abort. */
_Noreturn void model_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
