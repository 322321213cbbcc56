/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/volume_driver.h - random operations on an open volume and on its model at once
 *
 * A step chooses an operation, foretells its result from the model, does it on the volume,
 * compares, and if it succeeded does it on the model.  So the model is the state after m->step
 * steps, and driver->acked the last step whose effects must survive any crash.  One thread.
 */
#ifndef FSPF_TESTS_SUPPORT_VOLUME_DRIVER_H
#define FSPF_TESTS_SUPPORT_VOLUME_DRIVER_H

#include "tests/support/seed.h"
#include "tests/support/volume_model.h"

enum driver_op {
	DRIVER_CREATE,
	DRIVER_MKDIR,
	DRIVER_MKNOD,
	DRIVER_SYMLINK,
	DRIVER_TMPFILE,
	DRIVER_LINK,
	DRIVER_UNLINK,
	DRIVER_RMDIR,
	DRIVER_RENAME,
	DRIVER_WRITE,
	DRIVER_TRUNCATE,
	DRIVER_ALLOCATE,
	DRIVER_COPY,
	DRIVER_SETATTR,
	DRIVER_SETXATTR,
	DRIVER_REMOVEXATTR,
	DRIVER_READ,
	DRIVER_HOLD,
	DRIVER_RELEASE,
	DRIVER_FSYNC,
	DRIVER_SYNC,
	DRIVER_OPS
};

/* How often each operation comes, and how large things get. */
struct driver_profile {
	unsigned weight[DRIVER_OPS];
	uint64_t file_max;  /* bytes */
	uint64_t write_max; /* bytes at once */
	size_t xattr_max;
	unsigned names; /* a name is one of so many */
	size_t inodes;	/* above so many, what would make one removes one */
};

/* A bit of everything, in files of up to some 100 KiB. */
extern const struct driver_profile driver_mixed;

struct volume_driver {
	struct model *m;
	struct fspf_volume *v;
	uint64_t random;
	const struct driver_profile *profile;
	bool faults; /* what should succeed may fail with -EIO, -ENOSPC, -EROFS or -ESTALE */
	bool blind;  /* the store is dead: the model does not know the times of the last step */
	uint64_t acked;
	enum driver_op op; /* of the last step */
	char what[512];	   /* in words */
};

/* One operation; its result. */
int volume_driver_step(struct volume_driver *d);
/* That operation. */
int volume_driver_do(struct volume_driver *d, enum driver_op op);

/* The @n-th name of a pool: some are short, some 255 bytes long; @name has FSPF_NAME_MAX + 1. */
void driver_name(uint64_t n, char *name);
void driver_fill(uint64_t *random, void *data, size_t size);

#endif
