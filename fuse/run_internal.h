/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/run_internal.h - what the files of `fspf run` share
 *
 * Functions that give an "exit status" have printed why.
 */
#ifndef FSPF_FUSE_RUN_INTERNAL_H
#define FSPF_FUSE_RUN_INTERNAL_H

#include <signal.h>
#include <sys/types.h>

#include "fspf/fspf.h"
#include "fuse/run.h"

/* ---- what goes where (run_plan.c): in our process, from the open volume ---- */

struct run_region {
	char prefix[FSPF_PREFIX_MAX + 1];
	uint64_t attributes; /* MOUNT_ATTR_*, for a mount of its own; 0: as the volume is mounted */
	uint64_t top;	     /* inode number; 0: it has none now */
	bool may_lack_top;   /* then its place in the region around it stands for it */
};

/* Without pointers: it goes through a pipe. */
struct run_plan {
	bool whole_root;
	size_t count;
	struct run_region regions[FSPF_REGIONS_MAX]; /* without "/"; parents before children */
};

/* Gives an exit status. */
MUST_CHECK int run_plan_make(struct fspf_volume *v, enum run_root root, struct run_plan *ret);

/* ---- mounts (run_mounts.c) ---- */

/* A mount name space of our own, from which nothing reaches the outside.  Gives an exit status. */
MUST_CHECK int run_mounts_isolate(void);

/* A directory that may be hidden from this process by a mount, to be freed: it is no part of the
 * way to @volume or @tag_file (which may be NULL).  Gives an exit status. */
MUST_CHECK int run_mounts_place(const char *volume, const char *tag_file, char **ret);

/* In the command's process: one more name space, and in it all regions at their prefixes, and no
 * mount at @place, where the volume was.  Gives an exit status. */
MUST_CHECK int run_mounts_arrange(const struct run_plan *plan, const char *place);

/* ---- the user and the environment (run_user.c): in the command's process ---- */

struct run_user {
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t group_count;
	char *name, *home; /* never NULL */
};

/* USER[:GROUP], names or numbers, as /etc/passwd and /etc/group have them now; NULL: who we are.
 * The strings are never freed: the process executes something else.  Gives an exit status. */
MUST_CHECK int run_user_find(const char *text, struct run_user *ret);
MUST_CHECK int run_user_become(const struct run_user *user);

/* What the command gets: our variables, or few (@clear); never one that begins with FSPF_.  @user:
 * whose HOME, USER and LOGNAME are set; NULL: nobody's.  NULL: no memory. */
char **run_environment(bool clear, const struct run_user *user);

/* ---- the command's process (run_child.c) ---- */

struct run_child {
	pid_t pid;
	int plan; /* where it waits for its plan; -1: it has it, or never will */
};

/* Fork it; @mask is its signal mask.  It dies with us.  Negative errno. */
MUST_CHECK int run_child_fork(const struct run_request *request, const sigset_t *mask,
			      struct run_child *ret);
/* Let it go on.  If it is gone already, that is seen when it is waited for. */
void run_child_go(struct run_child *c, const struct run_plan *plan);
/* It ends without having done anything, and has been waited for.  Nothing if there is none. */
void run_child_cancel(struct run_child *c);

/* ---- what a command leaves behind (run_rest.c) ---- */

/* All our children but @spared, and theirs: told to end, killed if they do not, waited for. */
void run_rest_end(pid_t spared);

#endif
