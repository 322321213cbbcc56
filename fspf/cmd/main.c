/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/main.c - the `fspf` program: harden the process, find the command, run it
 *
 * The same binary is mount(8)'s helper: called as mount.fuse.fspf, or, by mount.fuse(8), as
 * `fspf VOLUME MOUNTPOINT -o OPTIONS` without a command.
 */
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

#include "crypto/selftest.h"
#include "fspf/cmd/cmd.h"
#include "fspf/cmd/process.h"

static const struct command *const commands[] = {
	&command_keygen, &command_create, &command_addr,   &command_addf,   &command_mount,
	&command_umount, &command_run,	  &command_status, &command_tag,    &command_show,
	&command_verify, &command_export, &command_key,	   &command_policy, &command_snapshot,
};

static const struct command *find_command(const char *name)
{
	const struct command *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(commands) && !found; i++) {
		if (!strcmp(commands[i]->name, name))
			found = commands[i];
	}
	return found;
}

static void print_general_help(void)
{
	printf("Usage: fspf COMMAND VOLUME [ARGUMENTS] [OPTIONS]\n\n"
	       "Encrypted, authenticated, fresh volumes on storage that nobody trusts.\n\n"
	       "Commands:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-8s %s\n", commands[i]->name, commands[i]->summary);
	printf("\n`fspf COMMAND --help` tells more.  Exit status: 0 done, 1 failed, 2 usage,\n"
	       "3 damaged or tampered with, 4 wrong tag, 5 wrong key, 6 in use.\n");
}

/* `fspf VOLUME MOUNTPOINT -o OPTIONS`: not a command, but a directory with a volume in it. */
static bool is_mount_call(int argc, char **argv)
{
	char path[4096];
	bool o = false;
	int len = argc > 2 ? snprintf(path, sizeof(path), "%s/volume.fspf", argv[1]) : -1;

	for (int i = 3; i < argc; i++)
		o = o || !strncmp(argv[i], "-o", 2);
	return o && len > 0 && (size_t)len < sizeof(path) && !access(path, F_OK);
}

static int dispatch(int argc, char **argv)
{
	const char *first = argc > 1 ? argv[1] : NULL;
	const struct command *command = first ? find_command(first) : NULL;
	int status = EXIT_DONE;

	if (!strncmp(basename(argv[0]), "mount.", 6))
		status = daemon_mount_helper(argc, argv);
	else if (command)
		status = command->run(argc - 1, argv + 1);
	else if (!first)
		status = usage_error(NULL, "no command is given");
	else if (!strcmp(first, "--help") || !strcmp(first, "-h") || !strcmp(first, "help"))
		print_general_help();
	else if (!strcmp(first, "--version"))
		printf("fspf %s\n", FSPF_VERSION);
	else if (is_mount_call(argc, argv))
		status = daemon_mount_helper(argc, argv);
	else
		status = usage_error(NULL, "unknown %s '%s'", *first == '-' ? "option" : "command",
				     first);
	return status;
}

int main(int argc, char **argv)
{
	int status = harden_process();

	if (!status && argc < 1)
		status = EXIT_USAGE;
	if (!status && crypto_init()) {
		print_error(
			"the self-test of the cryptography failed: nothing can be trusted here");
		status = EXIT_FAILED;
	}
	if (!status)
		status = dispatch(argc, argv);
	return finish_output(status);
}
