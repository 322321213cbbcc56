/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/background.h - leaving the terminal without leaving the user in the dark
 *
 * The process forks before anything is opened: the library's threads and the locked pages of the
 * keys do not survive a fork.  The child does all the work and may fail with a message on the
 * user's terminal; the parent waits for one byte, the exit status, and goes with it.  When the byte
 * is 0 the file system is there.
 */
#ifndef FSPF_FUSE_BACKGROUND_H
#define FSPF_FUSE_BACKGROUND_H

#include <stdbool.h>

#include "crypto/base.h"

struct daemon_background {
	int pipe; /* where the child tells its status; -1: nobody waits */
};

/* *ret_parent true: we are the parent, the child has told, and *ret_status is what to exit with.
 * Else we are the child. */
MUST_CHECK int daemon_background_fork(struct daemon_background *b, bool *ret_parent,
				      int *ret_status);

/* Off the terminal: own session, "/", no input, no output.  Then the parent may go. */
MUST_CHECK int daemon_background_detach(struct daemon_background *b);

/* Tell the status of a start that failed; nothing when it has been told already. */
void daemon_background_fail(struct daemon_background *b, int status);

#endif
