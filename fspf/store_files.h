/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/store_files.h - the open files of a directory store (internal to the store)
 *
 * A volume may have more segments than a process may have files, so segment files are opened when
 * they are needed and closed again, least recently used first, when STORE_FILES_MAX are open and
 * nobody is using them.  The head is open from first to last: it carries the lock.
 *
 * Any thread may call anything but init and close.  Results are 0 or a negative errno.
 */
#ifndef FSPF_FSPF_STORE_FILES_H
#define FSPF_FSPF_STORE_FILES_H

#include <pthread.h>
#include <stdbool.h>

#include "crypto/base.h"

#define STORE_FILES_MAX 256u /* open at once: a quarter of the usual limit of 1024 */

struct store_file; /* one open file, in use between get and put */

struct store_files {
	pthread_mutex_t lock; /* the table; held across open(2), never across data I/O */
	struct store_file *table;
	struct store_file *lru; /* the least recently used first */
	unsigned nopen;
	unsigned names;	  /* directories with names that no barrier has covered */
	uint64_t highest; /* segment; of those opened, and once scanned of all */
	bool scanned;
	int volume_dir;
	int segments_dir; /* -1: there is none, and all segments are empty (read-only alone) */
	bool read_only;
	pthread_mutex_t sync_lock; /* one barrier at a time; taken before lock */
	int broken;		   /* the error of the first barrier that failed */
};

/* Takes over the three descriptors, on success alone.  @fresh: the volume's own names are new and
 * the first barrier makes them durable as well. */
MUST_CHECK int fspf_store_files_init(struct store_files *files, int volume_dir, int segments_dir,
				     int head, bool read_only, bool fresh);
void fspf_store_files_close(struct store_files *files);

/* The file of @segment, made if @create; -ENOENT when there is none. */
MUST_CHECK int fspf_store_files_get(struct store_files *files, uint64_t segment, bool create,
				    struct store_file **ret);
/* @written: its contents changed, and the next barrier has to cover it. */
void fspf_store_files_put(struct store_files *files, struct store_file *file, bool written);
int fspf_store_file_fd(const struct store_file *file);

/* Make all that was put as written, and all names, durable.  Once it has failed it fails for ever:
 * the kernel reports lost data once and forgets it. */
MUST_CHECK int fspf_store_files_sync(struct store_files *files);

/* The highest segment that has a file, 0 for none. */
MUST_CHECK int fspf_store_files_highest(struct store_files *files, uint64_t *ret);

/* The number in a segment file's name (8 lower-case hex digits, not 0); 0 if it is no such name. */
uint64_t fspf_store_files_number(const char *name);

#endif
