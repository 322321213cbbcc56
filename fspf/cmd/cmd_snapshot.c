/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_snapshot.c - fspf snapshot create|list|delete|restore: kept states of a volume
 */
#include <errno.h>
#include <stdio.h>

#include "fspf/cmd/change.h"
#include "fspf/cmd/json.h"
#include "fspf/cmd/snapshots.h"
#include "fspf/error.h"

static int cmd_snapshot(int argc, char **argv);
static int snapshot_create(int argc, char **argv);
static int snapshot_list(int argc, char **argv);
static int snapshot_delete(int argc, char **argv);
static int snapshot_restore(int argc, char **argv);

enum { CREATE, LIST, DELETE, RESTORE };

static const struct command subcommands[] = {
	[CREATE] =
		{
			.name = "snapshot create",
			.synopsis = "VOLUME NAME",
			.summary = "keep the state of a volume under a name",
			.notes =
				"Costs no copy: what changes later takes space, what stays is shared.\n"
				"Prints the volume's new tag.\n",
			.takes = TAKES_KEY | TAKES_ANCHOR,
			.arguments_min = 2,
			.arguments_max = 2,
			.run = snapshot_create,
		},
	[LIST] =
		{
			.name = "snapshot list",
			.synopsis = "VOLUME",
			.summary = "list the snapshots of a volume",
			.notes =
				"Tag, time (UTC) and name, the oldest first.  Works while the volume\n"
				"is mounted.\n",
			.takes = TAKES_KEY | TAKES_ANCHOR | TAKES_JSON,
			.arguments_min = 1,
			.arguments_max = 1,
			.run = snapshot_list,
		},
	[DELETE] =
		{
			.name = "snapshot delete",
			.synopsis = "VOLUME NAME",
			.summary = "delete a snapshot",
			.notes =
				"The space that it alone takes comes back.  Prints the volume's new tag.\n",
			.takes = TAKES_KEY | TAKES_ANCHOR,
			.arguments_min = 2,
			.arguments_max = 2,
			.run = snapshot_delete,
		},
	[RESTORE] =
		{
			.name = "snapshot restore",
			.synopsis = "VOLUME NAME",
			.summary = "make the state that a snapshot keeps the volume's state",
			.notes =
				"What the volume holds now is lost, unless a snapshot keeps it; regions\n"
				"that were added since disappear, and are named.  The snapshots stay.\n"
				"Prints the volume's new tag: a restore is a change like any other.\n",
			.takes = TAKES_KEY | TAKES_ANCHOR,
			.arguments_min = 2,
			.arguments_max = 2,
			.run = snapshot_restore,
		},
};

const struct command command_snapshot = {
	.name = "snapshot",
	.synopsis = "create|list|delete|restore VOLUME",
	.summary = "keep states of a volume, and go back to them",
	.notes =
		"  fspf snapshot create VOLUME NAME\n"
		"  fspf snapshot list VOLUME\n"
		"  fspf snapshot delete VOLUME NAME\n"
		"  fspf snapshot restore VOLUME NAME\n\n"
		"`fspf mount -o snapshot=NAME` shows one, as --snapshot does where a volume is only\n"
		"read.  `fspf snapshot create --help` tells more, as for any command.\n",
	.takes = TAKES_SUBCOMMAND,
	.arguments_min = 1,
	.arguments_max = 1000,
	.run = cmd_snapshot,
};

/* ---- create, delete ---- */

typedef int snapshot_change(struct fspf_volume *v, const char *name, struct fspf_error *err);

static int change_snapshots(const struct command *command, const struct invocation *in,
			    snapshot_change *what)
{
	struct fspf_error err = {0};
	struct change change;
	int status = change_begin(command, &in->common, in->argv[0], &change);

	if (!status) {
		if (what(change.v, in->argv[1], &err))
			status = change_abandon(&change, print_failure(&err));
		else
			status = change_commit(&change, EXIT_DONE);
	}
	return status;
}

static int create(struct fspf_volume *v, const char *name, struct fspf_error *err)
{
	return fspf_snapshot_create(v, name, NULL, err);
}

static int snapshot_create(int argc, char **argv)
{
	struct invocation in;

	if (parse_command_line(&subcommands[CREATE], NULL, argc, argv, &in))
		in.status = change_snapshots(&subcommands[CREATE], &in, create);
	return in.status;
}

static int snapshot_delete(int argc, char **argv)
{
	struct invocation in;

	if (parse_command_line(&subcommands[DELETE], NULL, argc, argv, &in))
		in.status = change_snapshots(&subcommands[DELETE], &in, fspf_snapshot_delete);
	return in.status;
}

/* ---- list ---- */

static int no_key(void)
{
	print_error("the volume's key is needed to find its snapshots");
	print_hint("give --key-file, --passphrase-file or FSPF_KEY");
	return EXIT_WRONG_KEY;
}

static int list(const struct invocation *in)
{
	struct fspf_snapshot_info snapshot[FSPF_SNAPSHOTS_MAX];
	struct fspf_volume *v = NULL;
	size_t count = 0;
	int status = common_open(&subcommands[LIST], &in->common, in->argv[0], OPEN_PEEK, &v);

	if (status)
		return status;
	if (fspf_snapshots(v, snapshot, &count))
		status = no_key();
	else if (in->common.json)
		status = print_json(snapshots_json(snapshot, count));
	else
		print_snapshots("", snapshot, count);
	return close_volume(v, status);
}

static int snapshot_list(int argc, char **argv)
{
	struct invocation in;

	if (parse_command_line(&subcommands[LIST], NULL, argc, argv, &in))
		in.status = list(&in);
	return in.status;
}

/* ---- restore ---- */

static void tell_gone(struct fspf_region_info *gone, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fspf_printable(gone[i].prefix);
		print_hint("the region %s, which the snapshot did not have, is gone",
			   gone[i].prefix);
	}
}

static int restore(const struct invocation *in)
{
	static struct fspf_region_info gone[FSPF_REGIONS_MAX]; /* some 130 KiB */
	struct fspf_credential *credential = NULL;
	struct fspf_open_params params;
	struct fspf_error err = {0};
	struct change change;
	size_t ngone = 0;
	int status = change_params(&subcommands[RESTORE], &in->common, in->argv[0], &change,
				   &params, &credential);

	if (!status) {
		if (fspf_snapshot_restore(&params, in->argv[1], gone, &ngone, NULL, &err))
			status = print_failure(&err);
		if (change.published) {
			tell_gone(gone, ngone);
			print_tag(&change.tag);
		}
	}
	fspf_credential_free(credential);
	return status;
}

static int snapshot_restore(int argc, char **argv)
{
	struct invocation in;

	if (parse_command_line(&subcommands[RESTORE], NULL, argc, argv, &in))
		in.status = restore(&in);
	return in.status;
}

/* ---- snapshot ---- */

static const struct command *find_subcommand(const char *name)
{
	const struct command *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(subcommands) && !found; i++) {
		if (!strcmp(subcommands[i].name + strlen("snapshot "), name))
			found = &subcommands[i];
	}
	return found;
}

static int cmd_snapshot(int argc, char **argv)
{
	const struct command *subcommand;
	struct invocation in;

	if (parse_command_line(&command_snapshot, NULL, argc, argv, &in)) {
		subcommand = find_subcommand(in.argv[0]);
		in.status = subcommand ? subcommand->run(in.argc, in.argv)
				       : usage_error(&command_snapshot,
						     "unknown command 'snapshot %s'", in.argv[0]);
	}
	return in.status;
}
