/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/run.h - one command with a volume's regions at their prefixes, from start to end
 *
 * Three processes.  The calling one, which is the command's parent for whoever started it, opens
 * the volume, serves it in threads and waits; the helper of fuse/outside.h; and the command.  Two
 * mount name spaces beside the outside's, with nothing passed on between any of them: in the first,
 * where this process lives, the volume is mounted at some directory that this process does not
 * need, and all other paths (volume, tag file) mean what they mean outside.  The second is the
 * command's: there the regions are at their prefixes.  Both end with their processes, however these
 * end, and nothing is ever mounted or made outside but the mount points that the command's tree
 * lacks.
 *
 * The command's process is forked before the key is read and before there is a thread; it waits for
 * the plan of what goes where, arranges its name space, becomes the user, and executes the command.
 */
#ifndef FSPF_FUSE_RUN_H
#define FSPF_FUSE_RUN_H

#include "fuse/options.h"

#define RUN_GRACE_SECONDS 8u /* podman and docker kill after 10 */
#define RUN_GRACE_SECONDS_MAX 86400u

/* Is the region "/" the command's root directory? */
enum run_root {
	RUN_ROOT_IF_USED, /* when it holds anything but the way to other regions */
	RUN_ROOT_ALWAYS,
	RUN_ROOT_NEVER,
};

struct run_request {
	struct daemon_options options; /* without a mount point */
	char **command;		       /* as argv, NULL at its end */
	const char *user;	       /* USER[:GROUP]; NULL: unchanged */
	bool env_clear;
	enum run_root root;
	unsigned grace_seconds; /* from a request to end to SIGKILL */
};

/* Once a process, and while it has one thread.  Gives the command's exit status, or 128 and the
 * number of the signal that ended it; if there was no command, or closing failed after the command
 * had succeeded, the exit status of that, and always after a violation that ends the run.  What
 * there was to say has been said. */
MUST_CHECK int run_volume(struct run_request *request);

#endif
