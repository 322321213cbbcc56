/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_export.c - fspf export: files out of a volume, without FUSE
 */
#include "fspf/cmd/cmd.h"

static int cmd_export(int argc, char **argv);

const struct command command_export = {
	.name = "export",
	.synopsis = "VOLUME PATH DESTINATION",
	.summary = "copy files out of a volume",
	.notes =
		"PATH is an absolute path inside the volume.  DESTINATION must not exist, or be an\n"
		"empty directory; a single file can also go into any directory under its own\n"
		"name.  A damaged file is reported and left out; the exit status is then 3.\n"
		"Owners are kept when run as root.\n",
	.takes = TAKES_KEY | TAKES_REGION_KEY | TAKES_ANCHOR | TAKES_SNAPSHOT,
	.arguments_min = 3,
	.arguments_max = 3,
	.run = cmd_export,
};

static int export(const struct invocation *in)
{
	struct fspf_error err = {0};
	struct fspf_volume *v = NULL;
	struct progress progress;
	int r, status;

	status = common_open(&command_export, &in->common, in->argv[0], OPEN_READ_ONLY, &v);
	if (!status) {
		progress_start(&progress, "exporting");
		r = fspf_export(v, in->argv[1], in->argv[2], &progress.transfer, &err);
		progress_end(&progress);
		if (r)
			status = progress_failure(&progress, &err);
		status = close_volume(v, status);
	}
	return status;
}

static int cmd_export(int argc, char **argv)
{
	struct invocation in;

	if (parse_command_line(&command_export, NULL, argc, argv, &in))
		in.status = export(&in);
	return in.status;
}
