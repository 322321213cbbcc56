/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_key_region.c - fspf key export-region: the key of one region, to be given away
 */
#include "fspf/cmd/key.h"
#include "fspf/cmd/keyfile.h"

static int key_export_region(int argc, char **argv);

const struct command command_key_export_region = {
	.name = "key export-region",
	.synopsis = "VOLUME PREFIX [FILE]",
	.summary = "give out the key of one encrypted region",
	.notes =
		"64 hex digits, to FILE (made new, mode 0600) or, without FILE or when it is \"-\", to\n"
		"standard output.  With it and --region-key-file that region, and no other encrypted\n"
		"one, can be read; nothing can be written.  `fspf key rotate` makes it worthless.\n",
	.takes = TAKES_KEY | TAKES_ANCHOR,
	.arguments_min = 2,
	.arguments_max = 3,
	.run = key_export_region,
};

static int export_region(struct fspf_volume *v, const char *prefix, const char *path)
{
	struct fspf_credential *key = NULL;
	struct fspf_error err = {0};
	int status;

	if (fspf_region_key(v, prefix, &key, &err))
		status = print_failure(&err);
	else
		status = write_key(path, key);
	fspf_credential_free(key);
	return status;
}

static int key_export_region(int argc, char **argv)
{
	struct fspf_volume *v = NULL;
	struct invocation in;

	if (parse_command_line(&command_key_export_region, NULL, argc, argv, &in)) {
		in.status = common_open(&command_key_export_region, &in.common, in.argv[0],
					OPEN_PEEK, &v);
		if (!in.status)
			in.status = close_volume(
				v, export_region(v, in.argv[1], in.argc > 2 ? in.argv[2] : NULL));
	}
	return in.status;
}
