/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/inner.h - directories of a mount, mounted onto themselves to be noexec (or not)
 *
 * Only a mount can keep a file from being mapped executable, so where a region's files must not be
 * executed and others may, the region is a mount of its own within the volume's: the same file
 * system, found at the same path, with another attribute.  While one of these is there, umount(8)
 * calls the mount around it busy; daemon_unmount() takes them away first.
 *
 * No symlink is followed below the mount, since a region that is passed through shows what the host
 * likes.  Negative errnos.  Not for a thread of the daemon that serves this mount, see
 * fuse/outside.h.
 */
#ifndef FSPF_FUSE_INNER_H
#define FSPF_FUSE_INNER_H

#include <stdbool.h>
#include <sys/types.h>

#include "crypto/base.h"

#define DAEMON_INNER_MAX 64u /* as many as there can be regions */

/* What is at @path below the directory @root, as O_PATH; both are on the file system @device.
 * -EXDEV: something else is mounted there; -ELOOP: a symlink is on the way; -ENOENT, -ENOTDIR.  In
 * any process that may ask the mount. */
MUST_CHECK int daemon_inner_open(int root, dev_t device, const char *path, int *ret);

/* In the mount at @mountpoint, whose device is @device, @prefix ("/a/b") becomes a mount of its
 * own.  -ENOENT: there is no such file; -EXDEV: something else is mounted there; -ENOSYS: this
 * needs Linux 5.12. */
MUST_CHECK int daemon_inner_put(const char *mountpoint, dev_t device, const char *prefix,
				bool noexec);

/* All that daemon_inner_put() put into a mount, taken away and kept. */
struct daemon_inner {
	size_t count;
	struct daemon_inner_mount {
		char *path;
		int kept; /* the same mount without a place; -1: none */
		bool away;
	} mount[DAEMON_INNER_MAX]; /* those around others before them */
};

/* Take them away from the mount at @path, absolute and without symlinks.  -EBUSY: one is in use,
 * and all are where they were. */
MUST_CHECK int daemon_inner_take(const char *path, struct daemon_inner *ret);

/* What daemon_inner_take() gave: put back to where it was, or given up. */
void daemon_inner_restore(struct daemon_inner *inner);
void daemon_inner_free(struct daemon_inner *inner);

#endif
