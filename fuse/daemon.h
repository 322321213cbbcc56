/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/daemon.h - a volume served to the kernel, from start to end
 *
 * daemon_run() opens the volume, mounts it, serves it until it is unmounted (by anybody) or a
 * signal asks for the end, and closes it.  With options->foreground it returns after that; else the
 * calling process gets its answer as soon as the mount works, and a child goes on.  It changes
 * the process's signal handling, so one call a process; main() has made it undumpable.
 *
 * Privileges: nothing is dropped.  The daemon of a root mount stays root, because it opens segments
 * and tag files that belong to root, and because `fspf umount` has it open a pipe in /proc/PID/fd;
 * it acts for its callers only through libfspf, which knows no permissions; the kernel checks them
 * (default_permissions) before a request is sent.  The daemon of a user's mount has that user's
 * rights alone.
 */
#ifndef FSPF_FUSE_DAEMON_H
#define FSPF_FUSE_DAEMON_H

#include "fuse/options.h"

/* Gives an exit status; what there was to say has been said. */
MUST_CHECK int daemon_run(const struct daemon_options *options);

#endif
