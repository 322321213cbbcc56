/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/service.h - a volume served to the kernel: the steps that `fspf mount` and `fspf run` share
 *
 * The caller fills in the first members, blocks the signals that mean something
 * (DAEMON_SIGNAL_ENDED among them, which tells that nobody has the mount any more) and takes the
 * steps in the order below; whatever became of them, daemon_service_end() is the last.  Functions
 * that give an "exit status" have printed why.  One thread, the one that waits for the signals.
 */
#ifndef FSPF_FUSE_SERVICE_H
#define FSPF_FUSE_SERVICE_H

#include "fuse/daemon_internal.h"
#include "fuse/options.h"

struct daemon_loop;

struct daemon_service {
	const struct daemon_options *options;
	const char *name; /* of the mount, in messages */
	bool prints_tag;  /* a new tag that has no file is for standard output; else it is logged */

	struct daemon daemon;
	struct daemon_loop *loop; /* NULL: not started */
	bool pinned;		  /* the tag was given by hand: the next one must be told */
};

/* What is needed before anything is opened, the helper process among it: no threads yet. */
MUST_CHECK int daemon_service_begin(struct daemon_service *s);

/* Key, anchor and volume. */
MUST_CHECK int daemon_service_open(struct daemon_service *s);

/* Mount, and answer the kernel's first request. */
MUST_CHECK int daemon_service_mount(struct daemon_service *s);

/* Start the threads that serve.  From here on DAEMON_SIGNAL_ENDED may also say that the volume is
 * to be given up: daemon_violated(). */
MUST_CHECK int daemon_service_start(struct daemon_service *s);

/* Regions of which the volume's policy says that nothing is executed become mounts of their own
 * within the mount.  When it is served. */
MUST_CHECK int daemon_service_restrict(struct daemon_service *s);

/* MOUNT_ATTR_* that a mount of @region must have under the volume's @policy. */
uint64_t daemon_mount_attributes(const struct fspf_region_info *region, uint32_t policy);

/* Unmount, and if it is in use, cut its users off.  After that the loop has ended. */
void daemon_service_stop(struct daemon_service *s);

/* Undo what was begun.  With @status EXIT_DONE everything is committed, published and closed, and
 * the result is that of closing; with another, which is given back, nothing is, and neither after a
 * violation that ends the daemon, when the result is EXIT_DAMAGED. */
MUST_CHECK int daemon_service_end(struct daemon_service *s, int status);

#endif
