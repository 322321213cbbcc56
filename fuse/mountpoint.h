/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/mountpoint.h - the place in the tree: what is mounted there, mounting and unmounting
 *
 * But for daemon_check_mountpoint(), nothing here asks a mounted file system anything, so that a
 * dead or a hanging daemon stops nobody from cleaning up.  Negative errnos; the functions that give
 * an "exit status" have printed why. Any thread.
 */
#ifndef FSPF_FUSE_MOUNTPOINT_H
#define FSPF_FUSE_MOUNTPOINT_H

#include <stdbool.h>
#include <sys/types.h>

#include "crypto/base.h"

#define DAEMON_FS_TYPE "fuse.fspf" /* as /proc/self/mounts shows it */

/* The topmost mount at a path. */
struct daemon_mount {
	bool fspf;   /* one of ours; then also: */
	uid_t owner; /* who runs the daemon */
	gid_t group;
};

/* Is @path @directory, or below it?  Both absolute and without symlinks. */
bool daemon_is_within(const char *path, const char *directory);

/* -EINVAL: nothing is mounted at @path, which is absolute. */
MUST_CHECK int daemon_find_mount(const char *path, struct daemon_mount *ret);

/* The absolute path of a mount point, however dead what is mounted there; to be freed. */
MUST_CHECK int daemon_resolve_mountpoint(const char *path, char **ret);

/* The device number of the file system that @path, relative to @fd as in openat(2), is on; "" is
 * @fd itself.  Sends no request. */
MUST_CHECK int daemon_device(int fd, const char *path, dev_t *ret);

/* Is there a /dev/fuse that we may use?  Gives an exit status. */
MUST_CHECK int daemon_check_device(void);

/* Can something be mounted at @path, and by us?  Then its absolute path, to be freed.  Gives an
 * exit status. */
MUST_CHECK int daemon_check_mountpoint(const char *path, char **ret);

/* For a hint, after what is needed has been named. */
#define DAEMON_CONTAINER_NEEDS                                                                     \
	"a container gets it by --device /dev/fuse --cap-add SYS_ADMIN (and --security-opt "       \
	"apparmor=unconfined where AppArmor is in the way)"

/* Mounting at @path failed: say so, and what may help. */
void daemon_explain_mount(const char *path, bool allow_other);

/* Take the topmost mount away, as umount(8) does, and what fuse/inner.h put into it.  -EBUSY,
 * -EINVAL (nothing there), -EPERM. */
MUST_CHECK int daemon_unmount(const char *path);

#endif
