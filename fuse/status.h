/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/status.h - the state of a mount, for `fspf status`
 */
#ifndef FSPF_FUSE_STATUS_H
#define FSPF_FUSE_STATUS_H

#include <sys/types.h>

#include "crypto/base.h"

struct daemon;

/* Compact JSON of at most DAEMON_STATUS_MAX bytes, to be freed; docs/man/fspf-status.1 has its
 * members.  @pid: our process number as the reader knows it, or 0.  Touches no storage. */
MUST_CHECK int daemon_status(struct daemon *d, pid_t pid, char **ret);

#endif
