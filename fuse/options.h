/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/options.h - what `fspf mount` and `fspf run` were asked for
 *
 * The same options come from the command line, from mount(8) and from /etc/fstab.  Everything in a
 * -o list is looked up in one table: ours, the kernel's (passed on), mount(8)'s own (ignored);
 * what is in none of them is a usage error.  Keys never stand in a -o list, only the names of
 * files: lists are seen by everybody in /proc.  One thread.
 */
#ifndef FSPF_FUSE_OPTIONS_H
#define FSPF_FUSE_OPTIONS_H

#include "fspf/cmd/cmd.h"

#define DAEMON_COMMIT_SECONDS_MAX 3600u

struct daemon_options {
	const struct command *command; /* for usage errors */
	struct common_options common;
	char *volume;	  /* absolute */
	char *mountpoint; /* absolute */
	char *tag_file;	  /* absolute; what common.tag_file then points to */
	bool read_only;
	bool noexec;		  /* all of the mount */
	bool ephemeral;		  /* nothing is stored */
	bool passthrough;	  /* fuse/passthrough.h */
	const char *scratch;	  /* directory for what is not stored; NULL: the library's choice */
	const char *on_violation; /* "eio" (NULL too) or "abort" */
	bool foreground;
	bool debug;
	bool sloppy;		     /* mount -s: unknown options are ignored */
	bool allow_other;	     /* asked for; root has it always */
	bool named;		     /* fsname= was given */
	uint32_t commit_interval_ms; /* 0: the library's default, as with the next two */
	uint64_t dirty_max;
	uint64_t node_cache;
	char *kernel; /* a -o list for libfuse; never NULL after daemon_options_init() */
	char *lists;  /* the text that the strings above point into */
};

MUST_CHECK int daemon_options_init(struct daemon_options *o, const struct command *command);
void daemon_options_free(struct daemon_options *o);

/* All the -o lists, once: options separated by commas; "\," is a comma and "\\" a backslash.  Gives
 * an exit status. */
MUST_CHECK int daemon_options_parse(struct daemon_options *o, const char *const *lists, int count);

/* The paths made absolute, because the daemon leaves the working directory, and checked; the mount
 * point also against the volume, which comes first.  They give an exit status. */
MUST_CHECK int daemon_options_volume(struct daemon_options *o, const char *volume);
MUST_CHECK int daemon_options_mountpoint(struct daemon_options *o, const char *mountpoint);

/* The argument vector for libfuse; freed with fuse_opt_free_args().  @read_only: the volume is,
 * asked for or not.  -ENOMEM. */
struct fuse_args;
MUST_CHECK int daemon_options_fuse_args(const struct daemon_options *o, bool read_only,
					struct fuse_args *ret);

#endif
