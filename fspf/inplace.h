/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/inplace.h - inside libfspf: contents in place, in files of the host that nobody trusts
 *
 * A region in place holds names and attributes; the contents of its files lie in files of the
 * host, below region->host_fd, and the volume says of each what it must be: its size, the hash of
 * each of its blocks, and its fs-verity digest (docs/format.md, "Contents in place").
 *
 *   L1  What is given out was verified behind its copying: bytes are read into a buffer of ours,
 *       and it is the buffer that is hashed.  The host may change its file at any time.
 *   L2  A file of another size than the recorded one does not verify, whatever part is read.
 *   L3  While an inode has the flag, its extents and dirty pages mean nothing to a reader.
 *   L4  The flag goes in the same change as the items, and only when all of the contents are in
 *       dirty pages or extents (fspf/copyup.c), or nothing of them is left.
 *
 * -EBADMSG: the contents are not what was recorded, or are not there; the reporter has been told,
 * once for each file and block, with both paths.
 */
#ifndef FSPF_FSPF_INPLACE_H
#define FSPF_FSPF_INPLACE_H

#include "fspf/hostfile.h"
#include "fspf/inode.h"

#define FSPF_INPLACE_BLOCKS 256u /* the most of one read */

/* What a volume needs for it: open files, what was told, who copies up. */
struct fspf_inplace_told;
#define FSPF_INPLACE_COPYING 16u
struct fspf_inplace {
	struct fspf_hostfiles *files;
	pthread_mutex_t lock; /* told */
	struct fspf_inplace_told *told;
	pthread_mutex_t copying[FSPF_INPLACE_COPYING]; /* by inode; outside of the gate */
};

MUST_CHECK int fspf_inplace_new(struct fspf_inplace **ret);
struct fspf_inplace *fspf_inplace_free(struct fspf_inplace *p);

/* What is wrong with a file of the host. */
enum fspf_inplace_wrong {
	FSPF_INPLACE_BLOCK, /* does not verify */
	FSPF_INPLACE_GONE,
	FSPF_INPLACE_KIND,   /* is no regular file */
	FSPF_INPLACE_SHORT,  /* shorter than recorded */
	FSPF_INPLACE_LONG,   /* longer */
	FSPF_INPLACE_ACCESS, /* cannot be read: see error */
	FSPF_INPLACE_ITEMS,  /* the volume does not say what it must be */
};

struct fspf_inplace_fault {
	enum fspf_inplace_wrong wrong;
	uint64_t block; /* FSPF_INPLACE_BLOCK */
	int error;	/* negative errno: -EBADMSG, but for ACCESS */
};

/* Whole blocks of a file of the host, and what they must be. */
struct fspf_inplace_piece {
	uint64_t size; /* of the file, bytes */
	uint64_t first;
	uint32_t count;
	uint8_t *data; /* count blocks */
	const struct crypto_digest *leaf;
};

/* Read and verify: 0, or the fault's error.  What is behind the file's end is zeroes. */
MUST_CHECK int fspf_inplace_check(int fd, const struct fspf_inplace_piece *p,
				  struct fspf_inplace_fault *ret);

/* Open the host's file @path of @region: a descriptor, or the fault's error. */
MUST_CHECK int fspf_inplace_open(const struct fspf_region *region, const char *path,
				 struct fspf_inplace_fault *ret);

/* Whole blocks of @inode, at most FSPF_INPLACE_BLOCKS, into @data.  -EAGAIN: its contents are not
 * in place (any more).  Takes its lock. */
MUST_CHECK int fspf_inplace_read(struct fspf_volume *v, struct fspf_inode *inode, uint64_t first,
				 uint32_t count, uint8_t *data);

/* The IN_PLACE item; -EBADMSG where there is none. */
MUST_CHECK int fspf_inplace_item(const struct fspf_inode *inode, struct fspf_in_place_item *ret);

/* The words for a fault: "is gone".  @size bytes of room. */
void fspf_inplace_words(const struct fspf_inplace_fault *fault, char *text, size_t size);
/* Tell the reporter, unless it was told of this file and block already. */
void fspf_inplace_tell(struct fspf_volume *v, const struct fspf_inode *inode,
		       const struct fspf_inplace_fault *fault);

/* ---- recording (inplace_record.c) ---- */

/* Make the new, empty and nameless file @ino one whose contents are in place: those that @fd reads
 * now, at @path below the region's directory.  -EAGAIN: they change meanwhile; -ENAMETOOLONG. */
struct fspf_work;
MUST_CHECK int fspf_inplace_record(struct fspf_work *w, int fd, uint64_t ino, const char *path);

/* Only the digest of what @fd reads, and its size. */
MUST_CHECK int fspf_inplace_digest(struct fspf_work *w, int fd, uint64_t *ret_size,
				   struct crypto_digest *ret);

#endif
