/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/cmd_mount.c - `fspf mount`, and the same for mount(8)
 *
 * mount(8) runs mount.fuse.fspf with SOURCE TARGET [-sfnv] [-N NAMESPACE] [-o LIST] [-t TYPE],
 * where -f means "fake"; mount.fuse(8) runs the program named in the type, as in `fspf SOURCE
 * TARGET -o LIST`.  Both forms are taken apart here and then do what `fspf mount` does.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fspf/cmd/cmd.h"
#include "fuse/daemon.h"

const struct command command_mount = {
	.name = "mount",
	.synopsis = "VOLUME MOUNTPOINT",
	.summary = "serve a volume as a file system",
	.notes =
		"Options for -o: key_file=, passphrase_file=, region_key_file=FILE[:FILE...],\n"
		"tag=, tag_file=, no_rollback_protection, recover, snapshot= (as the long options);\n"
		"ro, rw, allow_other, dev,\n"
		"nodev, suid, nosuid, exec, noexec, fsname=; commit=SECONDS (5),\n"
		"dirty_max=BYTES (256M), node_cache=BYTES (64M), foreground;\n"
		"ephemeral (nothing is stored), scratch=DIR, on_violation=eio|abort;\n"
		"passthrough (the kernel reads and writes the host's files by itself).\n"
		"Also as: mount -t fuse.fspf VOLUME MOUNTPOINT -o key_file=FILE,...\n",
	.takes = TAKES_KEY | TAKES_REGION_KEY | TAKES_ANCHOR | TAKES_SNAPSHOT,
	.arguments_min = 2,
	.arguments_max = 2,
	.run = cmd_mount,
};

/* How the command line asked for it. */
struct request {
	struct common_options common;
	struct option_values lists; /* -o */
	const char *volume, *mountpoint;
	bool foreground, debug, sloppy, fake;
};

static int serve(const struct request *r)
{
	struct daemon_options o;
	int status;

	if (daemon_options_init(&o, &command_mount) < 0) {
		print_error("out of memory");
		return EXIT_FAILED;
	}
	o.common = r->common;
	o.sloppy = r->sloppy;
	status = daemon_options_parse(&o, r->lists.value, r->lists.count);
	o.debug |= r->debug;
	o.foreground |= r->foreground || o.debug;
	if (status == EXIT_DONE)
		status = daemon_options_volume(&o, r->volume);
	if (status == EXIT_DONE)
		status = daemon_options_mountpoint(&o, r->mountpoint);
	if (status == EXIT_DONE && !r->fake)
		status = daemon_run(&o);
	daemon_options_free(&o);
	return status;
}

int cmd_mount(int argc, char **argv)
{
	struct request r = {0};
	const struct command_option own[] = {
		{.letter = 'o',
		 .value = "OPTIONS",
		 .values = &r.lists,
		 .help = "mount options, separated by commas"},
		{.name = "foreground",
		 .letter = 'f',
		 .flag = &r.foreground,
		 .help = "stay in the foreground; Ctrl-C unmounts and closes"},
		{.name = "debug",
		 .letter = 'd',
		 .flag = &r.debug,
		 .help = "show every request; implies -f"},
		{0},
	};
	struct invocation i;

	if (!parse_command_line(&command_mount, own, argc, argv, &i))
		return i.status;
	r.common = i.common;
	r.volume = i.argv[0];
	r.mountpoint = i.argv[1];
	return serve(&r);
}

static int add_list(struct request *r, const char *list)
{
	if (r->lists.count == OPTION_VALUES_MAX)
		return usage_error(&command_mount, "too many -o");
	r->lists.value[r->lists.count++] = list;
	return EXIT_DONE;
}

/* -n, -v, -N and -t change nothing here: there is no mtab, and the type is known. */
static int take_letter(struct request *r, int letter, bool mount8)
{
	int status = EXIT_DONE;

	if (letter == 'o')
		status = add_list(r, optarg);
	else if (letter == 's')
		r->sloppy = true;
	else if (letter == 'f' && mount8)
		r->fake = true;
	else if (letter == 'f')
		r->foreground = true;
	else if (letter == 'r')
		status = add_list(r, "ro");
	else if (letter == 'w')
		status = add_list(r, "rw");
	else if (!strchr("nvNt", letter))
		status = EXIT_USAGE; /* getopt() has said why */
	return status;
}

int daemon_mount_helper(int argc, char **argv)
{
	const char *base = strrchr(argv[0], '/');
	bool mount8 = strncmp(base ? base + 1 : argv[0], "mount.", 6) == 0;
	struct request r = {0};
	int status = EXIT_DONE;
	int letter;

	optind = 0;
	while (status == EXIT_DONE && (letter = getopt(argc, argv, "o:sfnvrwN:t:")) != -1)
		status = take_letter(&r, letter, mount8);
	if (status != EXIT_DONE)
		return status;
	if (argc - optind != 2)
		return usage_error(&command_mount, "a volume and a mount point are needed");
	r.volume = argv[optind];
	r.mountpoint = argv[optind + 1];
	return serve(&r);
}
