/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_key_rotate.c - fspf key rotate: new keys for what a volume holds
 *
 * The slots stay as they are: they open the volume's key, and what is replaced are the keys that
 * lie in the sealed root record.  What was done before an interruption is kept, and the next call
 * goes on there.
 */
#include "fspf/cmd/change.h"
#include "fspf/cmd/key.h"

static int key_rotate(int argc, char **argv);

const struct command command_key_rotate = {
	.name = "key rotate",
	.synopsis = "VOLUME [--region PREFIX]",
	.summary = "give encrypted regions new keys, and seal again what they hold",
	.notes =
		"After an interruption or a crash the volume is as usable as before, with both keys;\n"
		"the same command goes on.  Keys that were given out with `fspf key export-region`\n"
		"open nothing afterwards.  Prints the volume's new tag.\n",
	.takes = TAKES_KEY | TAKES_ANCHOR,
	.arguments_min = 1,
	.arguments_max = 1,
	.run = key_rotate,
};

static int rotate(struct change *change, const char *prefix)
{
	struct fspf_error err = {0};
	struct progress progress;
	int r, status = EXIT_DONE;

	progress_start(&progress, "rotating");
	r = fspf_rotate(change->v, prefix, &progress.transfer, &err);
	progress_end(&progress);
	if (r)
		status = progress_failure(&progress, &err);
	return change_commit(change, status);
}

static int key_rotate(int argc, char **argv)
{
	const char *prefix = NULL;
	const struct command_option own[] = {{.name = "region",
					      .value = "PREFIX",
					      .help = "only the region at PREFIX",
					      .text = &prefix},
					     {0}};
	struct change change;
	struct invocation in;

	if (parse_command_line(&command_key_rotate, own, argc, argv, &in)) {
		in.status = change_begin(&command_key_rotate, &in.common, in.argv[0], &change);
		if (!in.status)
			in.status = rotate(&change, prefix);
	}
	return in.status;
}
