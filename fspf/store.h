/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/store.h - where a volume's bytes lie: one address space of 4 KiB blocks on storage
 * that nobody trusts
 *
 * Block address = segment * blocks-per-segment + index.  Segment 0 is the head (`volume.fspf`:
 * header, key slots, root slots); segments 1, 2, ... are files of fixed size below `segments/`,
 * made when first reserved.  Address 0 is the head's first block and so never a node's or an
 * extent's. The store knows neither keys nor what a block means, and keeps no promise but the
 * barrier's.  docs/format.md, "The volume's directory".
 *
 * Results: 0 or a negative errno as the system gave it; a read beyond the end of what is stored
 * yields zeroes, as a hole does (zeroes never verify, so nobody is fooled).  A short or failed
 * write is an error, what it left behind is undefined.  -EROFS: opened read-only.  -ENOSPC.  All
 * calls may come from any thread at once; writes to the same blocks are the caller's to order.
 *
 * It is a table of functions so that tests can put a recording, reordering, dropping or
 * corrupting store in its place (tests/support/store_fake.h), and object or block storage later.
 */
#ifndef FSPF_FSPF_STORE_H
#define FSPF_FSPF_STORE_H

#include <stdbool.h>

#include "crypto/base.h"

#define FSPF_BLOCK_SIZE 4096u /* bytes */
#define FSPF_HEAD_BLOCKS                                                                           \
	64u /* header 1, key slots 1, root slots 2 x 16 from block 16 on; see header.h */
#define FSPF_SEGMENT_BLOCKS_DEFAULT 16384u /* 64 MiB */
#define FSPF_SEGMENT_BLOCKS_MIN 256u	   /* 1 MiB */
#define FSPF_SEGMENT_BLOCKS_MAX 262144u	   /* 1 GiB */

struct fspf_store;

struct fspf_store_ops {
	/* @len bytes, a multiple of the block size, inside one segment. */
	int (*read)(struct fspf_store *s, uint64_t block, void *data, size_t len);
	int (*write)(struct fspf_store *s, uint64_t block, const void *data, size_t len);
	/* Everything written before the call is durable when it returns: file data, sizes and
	 * names.  Once a barrier has failed all later ones do, because what was lost is not known:
	 * the store has to be opened anew. */
	int (*barrier)(struct fspf_store *s);
	/* Make sure that later writes to @count blocks cannot fail for want of space; makes the
	 * segment if it is not there.  -ENOSPC leaves things as they were (an empty segment file
	 * may remain). */
	int (*reserve)(struct fspf_store *s, uint64_t block, uint64_t count);
	/* The contents of @count blocks are no longer needed: give the space back.  Advice: errors
	 * are ignored. */
	void (*trim)(struct fspf_store *s, uint64_t block, uint64_t count);
	/* Bytes that the storage could still take, beyond what is reserved already. */
	int (*available)(struct fspf_store *s, uint64_t *ret_bytes);
	/* The highest segment that exists, 0 if only the head does. */
	int (*segments)(struct fspf_store *s, uint64_t *ret_highest);
	void (*free)(struct fspf_store *s);
};

/* Implementations embed it as their first member. */
struct fspf_store {
	const struct fspf_store_ops *ops;
	uint64_t segment_blocks; /* 0 until the opener has read the header and sets it; until then
				    there is only the head */
	bool read_only;
};

enum fspf_store_mode {
	FSPF_STORE_PEEK,       /* read-only, no lock: for looking at the head beside a writer */
	FSPF_STORE_READ_ONLY,  /* shared with other readers, excludes a writer */
	FSPF_STORE_READ_WRITE, /* alone */
};

/* Make a new volume directory (parents must exist) with an empty head and lock it.  -EEXIST when
 * the path is a volume already, -ENOTEMPTY when it is a directory with other things in it. */
MUST_CHECK int fspf_store_create_directory(const char *path, struct fspf_store **ret);

/* Open and lock.  -ENOENT: no such path, or no volume.fspf in it; -ENOTDIR; -EBUSY: somebody else
 * has it open (see modes); errors of the system. */
MUST_CHECK int fspf_store_open_directory(const char *path, enum fspf_store_mode mode,
					 struct fspf_store **ret);

/* Undo a create that failed half way: remove the files and the directory that create made. */
void fspf_store_remove_directory(const char *path);

static inline struct fspf_store *fspf_store_free(struct fspf_store *s)
{
	if (s)
		s->ops->free(s);
	return NULL;
}

#endif
