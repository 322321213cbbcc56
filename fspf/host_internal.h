/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/host_internal.h - what the files of fspf/host*.c share
 *
 * A struct host_file is one file of the host: (device, inode, type), the names it was seen under,
 * and what is held open of it.  A struct host_node is a number for it; there is more than one only
 * after the host has changed it (H5).  A file is in memory while anything needs it: a number with
 * references, a name below it, or an operation under way.
 *
 * Locks, outermost first:
 *   1. tree, read-write: shared from following a name to having learned what is there; exclusive
 *      where names change their meaning (unlink, rmdir, rename, cover)
 *   2. lock, one mutex: all the tables.  No host I/O under it but statx(2) of open files.
 */
#ifndef FSPF_FSPF_HOST_INTERNAL_H
#define FSPF_FSPF_HOST_INTERNAL_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <uthash.h>

#include "fspf/host.h"
#include "fspf/item.h"

#define HOST_NAMES 16u /* names of one file that are remembered, the newest ones */

/* A name on the way to a cover, or the cover: a tree beside the directories of the same names. */
struct host_way {
	struct host_way *child, *next;
	unsigned index; /* order of covers */
	uint64_t ino;	/* what covers it; 0: a directory on the way */
	char name[FSPF_NAME_MAX + 1];
};

/* Without padding: it is a key. */
struct host_id {
	uint64_t dev, ino;
	uint64_t type;
	const struct host_way *way; /* which of the two files of H6 */
};

struct host_name {
	struct host_name *next;
	struct host_file *dir; /* used */
	char name[];
};

/* A descriptor in the cache.  One of a directory has a position: it is taken out while it is
 * used. */
struct host_slot {
	struct host_file *file; /* NULL: free */
	int fd;
	bool writable;
	unsigned users;
	uint64_t when;	   /* last used */
	uint64_t position; /* of a directory */
};

struct host_file {
	struct host_id id;
	struct host_node *node;	 /* the newest number */
	uint64_t uses;		 /* numbers with references, names below it, operations */
	struct host_name *names; /* newest first; a directory has one */
	int held;		 /* O_PATH: the top, and files without a name (H3); else -1 */
	int cached;		 /* what bury() closes of the slot; else -1 */
	struct host_slot *slot;	 /* or NULL */
	/* As last seen, for H5. */
	uint64_t size;
	struct statx_timestamp mtime;
	unsigned changing; /* changes of ours that are under way */
	bool foreign;	   /* the host has changed it since a number was last given */
	struct host_file *next_dead;
	UT_hash_handle hh;
};

struct host_node {
	uint64_t ino;
	uint64_t refs;
	struct host_file *file;
	UT_hash_handle hh;
};

struct fspf_host {
	uint64_t base;
	bool read_only;
	bool keeps_numbers;	  /* under the lock */
	atomic_bool by_component; /* there is no openat2(2) */
	pthread_rwlock_t tree;
	struct host_way way; /* of the top */
	unsigned covers;
	pthread_mutex_t lock;
	struct host_file *root;
	struct host_file *files;
	struct host_node *nodes;
	struct host_file *dead; /* to be buried by host_unlock() */
	uint64_t objects;	/* given so far */
	uint64_t held;		/* files that are held open for H3 */
	struct host_slot slots[FSPF_HOST_FDS];
	uint64_t clock; /* of the slots */
};

/* A file, found by its number and held for one operation. */
struct host_place {
	struct host_file *file; /* used */
	uint64_t ino;
	int fd; /* O_PATH */
	struct statx st;
};

/* ---- host_table.c: coming and going, names ---- */

void host_lock(struct fspf_host *h);
/* Frees and closes, after unlocking, what nobody uses any more. */
void host_unlock(struct fspf_host *h);

/* Under the lock: one use less. */
void host_drop(struct fspf_host *h, struct host_file *file);
/* One use less. */
void host_put(struct fspf_host *h, struct host_file *file);
void host_free_all(struct fspf_host *h);

MUST_CHECK struct host_name *host_name_new(struct host_file *dir, const char *name);
/* Under the lock: the name is taken over, whatever the result.  -ELOOP: a directory above itself.
 */
MUST_CHECK int host_name_add(struct fspf_host *h, struct host_file *file, struct host_name *name);
void host_name_remove(struct fspf_host *h, struct host_file *file, const struct host_file *dir,
		      const char *name);

/* ---- host_file.c: files and numbers ---- */

/* The file of a number, used.  -ESTALE. */
MUST_CHECK int host_get(struct fspf_host *h, uint64_t ino, struct host_file **ret);
/* The file that @st tells of, used, or NULL when there is none in memory. */
struct host_file *host_find(struct fspf_host *h, const struct statx *st,
			    const struct host_way *way);
/* Is it the file that @st tells of? */
bool host_is(const struct host_file *file, const struct statx *st);

/* The first file, without a name; @fd is taken over on success.  -ENOMEM. */
MUST_CHECK int host_add_root(struct fspf_host *h, int fd, const struct statx *st);

/*
 * A reference on what was found as @name in @dir, open as @fd, which stays the caller's: a number
 * if it has none, or a new one by H5.  Tree lock held.  -ENOMEM, -ELOOP.
 */
MUST_CHECK int host_adopt(struct fspf_host *h, struct host_file *dir, const char *name, int fd,
			  struct statx *st, struct fspf_attr *ret);
/* The same for a file that is in memory and needs no name. */
MUST_CHECK int host_adopt_again(struct fspf_host *h, struct host_place *place,
				struct fspf_attr *ret);

/*
 * Around each change that we make to @place's file: what the host looks like afterwards is known,
 * and no news for H5.  @ret (may be NULL) is its state after the change.
 */
void host_change_begin(struct fspf_host *h, const struct host_place *place);
void host_change_end(struct fspf_host *h, const struct host_place *place, struct statx *ret);

/* ---- host_walk.c: from a number to the file ---- */

MUST_CHECK int host_stat(int fd, struct statx *ret);
void host_attr(uint64_t ino, const struct statx *st, struct fspf_attr *ret);

/* "/proc/self/fd/N", by which calls that want a path reach the file that @fd is, and no other. */
struct host_fd_path {
	char text[32];
};
struct host_fd_path host_fd_path(int fd);

/* O_PATH of @file, which is as it should be.  Tree lock held.  -ESTALE. */
MUST_CHECK int host_walk(struct fspf_host *h, struct host_file *file, int *ret_fd,
			 struct statx *ret_st);
/* What is at @name, one checked name, in the directory open as @at: O_PATH. */
MUST_CHECK int host_child(struct fspf_host *h, int at, const char *name, int *ret_fd,
			  struct statx *ret_st);

/* Find the file of a number; tree lock held. */
MUST_CHECK int host_enter(struct fspf_host *h, uint64_t ino, struct host_place *ret);
/* The same, and -ENOTDIR. */
MUST_CHECK int host_enter_dir(struct fspf_host *h, uint64_t ino, struct host_place *ret);
/* The same as host_enter(), for whoever needs no names afterwards: takes the tree lock. */
MUST_CHECK int host_visit(struct fspf_host *h, uint64_t ino, struct host_place *ret);
/* host_visit() for whoever will change something: -EROFS. */
MUST_CHECK int host_visit_to_change(struct fspf_host *h, uint64_t ino, struct host_place *ret);
void host_leave(struct fspf_host *h, struct host_place *place);

/* The way at @name in @file, or NULL.  Tree lock held. */
const struct host_way *host_way_at(const struct host_file *file, const char *name);

/* Under the lock: the path of @file (@name: one of its names) below the nearest one above it that
 * is held open.  NULL: there is none, or no memory. */
char *host_path(const struct host_file *file, const struct host_name *name,
		const struct host_file **ret_top);

/* ---- host_cache.c: open files ---- */

struct host_open {
	int fd;
	struct host_slot *slot; /* NULL: not cached */
};
/* @place's file, a regular one, open for reading or for both.  -EISDIR, -EINVAL. */
MUST_CHECK int host_open_data(struct fspf_host *h, const struct host_place *place, bool write,
			      struct host_open *ret);
/* @place's directory, for this user alone, standing at @position. */
MUST_CHECK int host_open_dir(struct fspf_host *h, const struct host_place *place, uint64_t position,
			     int *ret_fd);
void host_close_data(struct fspf_host *h, struct host_open *o);
/* @position: where the descriptor stands now. */
void host_close_dir(struct fspf_host *h, struct host_file *file, int fd, uint64_t position);
/* Close what is cached and idle; true if there was any. */
bool host_trim(struct fspf_host *h);

/* ---- host_names.c ---- */

/* The number of the directory above; of the top, itself.  -ESTALE: it was removed. */
MUST_CHECK int host_parent(struct fspf_host *h, uint64_t ino, uint64_t *ret);

/* ---- host_attr.c ---- */

MUST_CHECK int host_chmod(int fd, uint32_t mode);

/* Drop set-id bits and capabilities, as a write by another than the owner does. */
MUST_CHECK int host_kill_priv(const struct host_place *place);

#endif
