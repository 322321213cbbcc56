/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_addf.c - fspf addf: bring a host tree into a volume
 *
 * Nothing is committed while it runs unless memory presses, so an import that is interrupted, or
 * that does not fit, is given up and the volume is as it was.  A file that could not be read is
 * reported and left out; what could be taken is kept, and the exit status is 1.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fspf/cmd/change.h"

static int cmd_addf(int argc, char **argv);

const struct command command_addf = {
	.name = "addf",
	.synopsis = "VOLUME PREFIX SOURCE",
	.summary = "bring files into a volume",
	.notes =
		"If SOURCE is a directory, PREFIX becomes like it: contents, owners, modes, times,\n"
		"links and extended attributes.  If it is a file, it becomes PREFIX, or goes into\n"
		"the directory PREFIX.  PREFIX is an absolute path inside the volume, made if need\n"
		"be; existing files of the same names are replaced, others stay.  Prints the\n"
		"volume's new tag.\n",
	.takes = TAKES_KEY | TAKES_ANCHOR,
	.arguments_min = 3,
	.arguments_max = 3,
	.run = cmd_addf,
};

/* Is @path @top, or below it? */
static bool is_below(const char *path, const char *top)
{
	size_t len = strlen(top);

	return !strncmp(path, top, len) &&
	       (path[len] == '/' || !path[len] || (len && top[len - 1] == '/'));
}

/* A volume that is to swallow its own files would never be done. */
static int check_source(const char *volume, const char *source)
{
	char *v = realpath(volume, NULL);
	char *s = realpath(source, NULL);
	int e = s ? 0 : errno;
	int status = EXIT_FAILED;

	if (e)
		print_error("cannot import '%s': %s", source, strerror(e));
	else if (v && is_below(v, s))
		print_error("cannot import '%s': the volume itself lies in it", source);
	else
		status = EXIT_DONE;
	free(v);
	free(s);
	return status;
}

/* Errors after which the rest would fail too: what was taken in is not worth keeping. */
static bool is_final(int code)
{
	return code == -ECANCELED || code == -ENOSPC || code == -EROFS || code == -ENOMEM ||
	       code == -ESTALE;
}

/* Without /proc the attributes of symbolic links and special files cannot be read. */
static void hint_proc(void)
{
	if (access("/proc/self/fd", F_OK) < 0)
		print_hint("mount /proc first (mount -t proc proc /proc), in a chroot too");
}

static int import(struct change *change, const struct invocation *in)
{
	struct fspf_error err = {0};
	struct progress progress;
	int r, status = EXIT_DONE;

	progress_start(&progress, "importing");
	r = fspf_import(change->v, in->argv[1], in->argv[2], &progress.transfer, &err);
	progress_end(&progress);
	if (r)
		status = progress_failure(&progress, &err);
	if (r == -ENOENT)
		hint_proc();
	if (is_final(r)) {
		status = change_abandon(change, status);
		if (!change->published)
			print_hint("the volume is as it was before");
	} else {
		status = change_commit(change, status);
	}
	return status;
}

static int addf(const struct invocation *in)
{
	struct change change;
	int status = check_source(in->argv[0], in->argv[2]);

	if (!status)
		status = change_begin(&command_addf, &in->common, in->argv[0], &change);
	if (!status)
		status = import(&change, in);
	return status;
}

static int cmd_addf(int argc, char **argv)
{
	struct invocation in;

	if (parse_command_line(&command_addf, NULL, argc, argv, &in))
		in.status = addf(&in);
	return in.status;
}
