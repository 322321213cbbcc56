/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/violation.h - when stored bytes do not verify: said always, and with -o on_violation=abort
 * the end of the daemon
 *
 * From the moment of the report on nothing that a request asks for is given out, and the library
 * commits and publishes nothing (stop_on_violation).  The thread that waits for signals is woken by
 * DAEMON_SIGNAL_ENDED and takes the mount away; the exit status is EXIT_DAMAGED.  What programs
 * have in the kernel's cache already, having been verified, stays theirs until they let go of it.
 */
#ifndef FSPF_FUSE_VIOLATION_H
#define FSPF_FUSE_VIOLATION_H

#include "fspf/fspf.h"
#include "fuse/fuse_api.h"

struct daemon;

/* A fspf_report_fn; the struct daemon is the context.  Takes no lock but the log's. */
void daemon_violation_report(void *daemon, const struct fspf_report *report);

/* Is this the end? */
bool daemon_violated(const struct daemon *d);

/* @result (a count or a negative errno) of what was done for a request; or -EIO, when that must not
 * be given out any more.  Asked by all that reply with what the volume holds. */
MUST_CHECK ssize_t daemon_checked(fuse_req_t req, ssize_t result);

#endif
