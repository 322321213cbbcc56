/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/outside.h - what the daemon has done to its own file system by another process
 *
 * Unmounting and writing out make the kernel send requests to the daemon and wait for the answers,
 * in a way that nothing interrupts.  If a thread of the daemon did that and the daemon were killed
 * meanwhile, the thread would wait for ever for threads that are gone; and because it is there, the
 * connection to the kernel stays open, so the waiting is never cut off: a process that nobody can
 * end, and every user of the mount with it.  So a small child does these things.  It has no end of
 * the connection, no key and no thread; it does what it is told over a socket, one thing at a
 * time, and exits when the other end is closed, for whatever reason.
 *
 * It is started before the volume is opened, so it has seen no secrets (but for FSPF_KEY, which it
 * wipes).  Negative errnos; -EPIPE: the child is gone.  Any thread.
 */
#ifndef FSPF_FUSE_OUTSIDE_H
#define FSPF_FUSE_OUTSIDE_H

#include <stdbool.h>
#include <sys/types.h>

#include "crypto/base.h"

struct daemon_outside;

/* While there is but one thread.  @mountpoint is absolute. */
MUST_CHECK int daemon_outside_start(const char *mountpoint, struct daemon_outside **ret);

/* What the kernel holds of a file of the mount, whose device is @device, becomes WRITE requests,
 * which have been answered when this returns.  -ENOSYS: that cannot be had here. */
MUST_CHECK int daemon_outside_write_file(struct daemon_outside *o, dev_t device, uint64_t ino,
					 uint64_t generation);

/* The same for all of its files; for all file systems, when the mount cannot be reached. */
MUST_CHECK int daemon_outside_sync(struct daemon_outside *o, dev_t device);

/* As daemon_inner_put(). */
MUST_CHECK int daemon_outside_put_inner(struct daemon_outside *o, dev_t device, const char *prefix,
					bool noexec);

/* As daemon_unmount(). */
MUST_CHECK int daemon_outside_unmount(struct daemon_outside *o);

/* For who counts the children of this process. */
pid_t daemon_outside_pid(const struct daemon_outside *o);

/* Ends the child and waits for it.  NULL is allowed. */
void daemon_outside_stop(struct daemon_outside *o);

#endif
