/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd.h - what the commands of the `fspf` program share
 *
 * One file a command: `fspf tag` is the row command_tag and its function cmd_tag(), in cmd_tag.c.
 * A command gets its own name as argv[0], describes its options in a table from which both the
 * parsing and `fspf tag --help` are made, calls libfspf, and gives an exit status.  What it shows
 * goes to stdout, which main() flushes and checks; messages go to stderr, one line each, as
 * `fspf: error: what, where` and `fspf: hint: what to do`.
 *
 * Functions here that give an "exit status" have printed the message that belongs to it.  One
 * thread; secrets are only in guarded memory and never in an argument.
 */
#ifndef FSPF_FSPF_CMD_CMD_H
#define FSPF_FSPF_CMD_CMD_H

#include "fspf/fspf.h"

/* docs/man/fspf.1, "EXIT STATUS"; fspf_exit_status() gives the same numbers for error codes. */
enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_DAMAGED = 3,
	EXIT_WRONG_TAG = 4,
	EXIT_WRONG_KEY = 5,
	EXIT_IN_USE = 6,
};

/* Groups of options that many commands take (struct common_options). */
enum command_takes {
	TAKES_KEY = 1 << 0,	   /* --key-file, --passphrase-file */
	TAKES_ANCHOR = 1 << 1,	   /* --tag, --tag-file, --no-rollback-protection, --recover */
	TAKES_JSON = 1 << 2,	   /* --json */
	TAKES_SUBCOMMAND = 1 << 3, /* options end at the first argument */
	TAKES_REGION_KEY = 1 << 4, /* --region-key-file */
	TAKES_SNAPSHOT = 1 << 5,   /* --snapshot */
};

struct command {
	const char *name;     /* "" for a program that has no commands */
	const char *synopsis; /* what follows "fspf NAME"; [OPTIONS] is added if it lacks */
	const char *summary;  /* one line that begins small, for the list in `fspf --help` */
	const char *notes;    /* more for `fspf NAME --help`; ends with a newline; may be NULL */
	unsigned takes;
	int arguments_min, arguments_max;
	int (*run)(int argc, char **argv);
};

extern const struct command command_keygen, command_create, command_addr, command_addf, command_tag,
	command_show, command_verify, command_export, command_key, command_policy, command_snapshot;

/* In fuse/: the daemon's commands, and `mount.fuse.fspf VOLUME MOUNTPOINT [-o OPTIONS]` as mount(8)
 * calls it (also `fspf VOLUME MOUNTPOINT -o OPTIONS`, as mount.fuse(8) does); argv[0] is the
 * program's name.  All give an exit status. */
extern const struct command command_mount, command_umount, command_run, command_status;
int cmd_mount(int argc, char **argv);
int cmd_umount(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_status(int argc, char **argv);
int daemon_mount_helper(int argc, char **argv);

/* ---- options ---- */

#define OPTION_VALUES_MAX 64 /* as many as a volume has regions */

/* The values of an option that may be given several times. */
struct option_values {
	const char *value[OPTION_VALUES_MAX];
	int count;
};

/* The zero value: nothing given.  Strings are borrowed (from argv, or from whoever set them). */
struct common_options {
	const char *key_file;
	const char *passphrase_file;
	struct option_values region_key_files;
	const char *tag;
	const char *tag_file;
	const char *snapshot; /* common_open() opens it instead of the volume's own state */
	bool no_rollback_protection;
	bool recover;
	bool json;
};

/* One option of a command's own; exactly one of the targets is set. A table of them ends with a row
 * of zeroes. */
struct command_option {
	const char *name;  /* long, without "--"; NULL: only a letter */
	char letter;	   /* short; 0: none */
	const char *value; /* the value's name in the help text; NULL for a flag */
	const char *help;  /* "\n" goes on in the next line */
	bool *flag;
	const char **text;
	uint64_t *size; /* parsed by parse_size() */
	struct option_values *values;
};

/* A command line, taken apart. */
struct invocation {
	struct common_options common;
	int argc; /* the arguments that are no options: within the command's min and max */
	char **argv;
	int status; /* when parse_command_line() gave false: what to return */
};

/*
 * Take @argv apart.  @own may be NULL.  False: there is nothing left to do but to return
 * ret->status (a mistake, reported; or --help, printed).
 */
MUST_CHECK bool parse_command_line(const struct command *command, const struct command_option *own,
				   int argc, char **argv, struct invocation *ret);

/* ---- messages (stderr) ---- */

/* What stands before the colon: "fspf" unless set. */
void set_program_name(const char *name);

void print_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
void print_hint(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* For advice beside the point: printed by finish_output(), and only when nothing failed. */
void print_hint_later(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* What the library said, and its hint; gives the exit status that belongs to it. */
MUST_CHECK int print_failure(const struct fspf_error *err);

/* A mistake in how @command (NULL: fspf itself) was called: EXIT_USAGE, with the hint where to read
 * on. */
MUST_CHECK int usage_error(const struct command *command, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "Usage: fspf tag VOLUME [PREFIX] [OPTIONS]", to stdout. */
void print_usage(const struct command *command);

/* A fspf_report_fn: damage met on the way, as an error line. */
void print_report(void *ctx, const struct fspf_report *report);

/* Flush stdout: @status, or EXIT_FAILED when something written to it was lost (a full disk). */
MUST_CHECK int finish_output(int status);

/* ---- opening a volume ---- */

/*
 * The credential from --key-file, --passphrase-file or FSPF_KEY (wiped, and removed from the
 * environment); *ret is NULL when there is none.  More than one is a usage error.  Gives an exit
 * status.
 */
MUST_CHECK int common_credential(const struct command *command, const struct common_options *o,
				 struct fspf_credential **ret);

/* The keys of single regions, from --region-key-file, to be given to fspf_open(). */
struct region_keys {
	struct fspf_credential *key[OPTION_VALUES_MAX];
	size_t count;
};

/* A usage error beside the volume's own key.  Gives an exit status; end it with free_region_keys()
 * whatever that is. */
MUST_CHECK int common_region_keys(const struct command *command, const struct common_options *o,
				  struct region_keys *ret);
void free_region_keys(struct region_keys *keys);
/* What is in @keys, as the parameters take it. */
void use_region_keys(const struct region_keys *keys, struct fspf_open_params *params);

/* What a command does when no anchor is given. */
enum anchor_need {
	ANCHOR_REQUIRED, /* an error; the hint names the three ways */
	ANCHOR_OPTIONAL, /* as with --no-rollback-protection */
};

/* The anchor from --tag or FSPF_TAG, --tag-file, --no-rollback-protection; more than one is a usage
 * error.  @read_only: nothing will be published.  Gives an exit status. */
MUST_CHECK int common_anchor(const struct command *command, const struct common_options *o,
			     bool read_only, enum anchor_need need, struct fspf_anchor **ret);

/* How to look at a volume; fspf/cmd/change.h is for those who change it. */
enum open_mode {
	OPEN_READ_ONLY, /* beside other readers */
	OPEN_PEEK,	/* beside anybody; no anchor needed, but checked if given */
};

/* Credential, anchor and fspf_open() in one.  Gives an exit status. */
MUST_CHECK int common_open(const struct command *command, const struct common_options *o,
			   const char *path, enum open_mode mode, struct fspf_volume **ret);
/* fspf_open(), with the message printed.  Gives an exit status. */
MUST_CHECK int common_open_params(const struct fspf_open_params *params, struct fspf_volume **ret);

/* Close it: @status, or that of the failure if @status was EXIT_DONE. */
MUST_CHECK int close_volume(struct fspf_volume *v, int status);

void print_tag(const struct crypto_digest *tag);

/* ---- values ---- */

/* "512", "64K", "10M", "2G", "1T" (or "10MiB"); powers of 1024.  -EINVAL malformed, -ERANGE
 * above 2^63 - 1. */
MUST_CHECK int parse_size(const char *text, uint64_t *ret);

#define FORMAT_SIZE_MAX 16

/* "1.5 GiB". */
void format_size(uint64_t bytes, char ret[static FORMAT_SIZE_MAX]);

const char *protection_name(enum fspf_protection protection);

/* Secrets for stdout: written past stdio, whose buffers nobody wipes.  0 or a negative errno. */
MUST_CHECK int write_all(int fd, const char *data, size_t len);

/* ---- long work ---- */

/* Drawn on stderr when that is a terminal: bytes, rate, time left.  From progress_start() to
 * progress_end(), SIGINT, SIGTERM and SIGHUP stop the work (-ECANCELED) instead of the process. */
struct progress {
	struct fspf_transfer transfer; /* for the library; its callbacks come back here */
	const char *verb;	       /* "importing" */
	bool terminal, drawn;
	uint64_t started_ms, drawn_ms; /* CLOCK_MONOTONIC */
	char told[512];		       /* the last report, as printed */
};

void progress_start(struct progress *p, const char *verb);
void progress_end(struct progress *p);

/* As print_failure(), but says nothing twice: not what was the last report already. */
MUST_CHECK int progress_failure(const struct progress *p, const struct fspf_error *err);

#endif
