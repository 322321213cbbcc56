/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/cmd_run.c - `fspf run VOLUME [OPTIONS] -- COMMAND [ARGUMENT...]`
 *
 * The command line is cut at the first "--" before it is taken apart, so nothing that belongs to
 * the command is ever looked at.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fspf/cmd/cmd.h"
#include "fuse/run.h"

const struct command command_run = {
	.name = "run",
	.synopsis = "VOLUME [OPTIONS] -- COMMAND [ARGUMENT...]",
	.summary = "run a command that sees the regions at their prefixes",
	.notes =
		"The command lives in a mount name space of its own, where each region of the\n"
		"volume is at its prefix; its root directory is the volume's if that holds anything\n"
		"beside other regions.  When it ends, what it started is ended, and the volume is\n"
		"committed and closed.  Exit status: the command's; 128 and the number of the signal\n"
		"that killed it; 126 it cannot be executed, 127 it was not found.\n",
	.takes = TAKES_KEY | TAKES_ANCHOR,
	.arguments_min = 1,
	.arguments_max = 1,
	.run = cmd_run,
};

/* How the command line asked for it. */
struct line {
	struct option_values lists; /* -o */
	const char *user, *grace;
	bool env_clear, root, no_root;
	char **command; /* NULL: there is no "--" */
};

/* Where "--" is; @argc if it is nowhere. */
static int find_cut(int argc, char **argv)
{
	int i = 1;

	while (i < argc && strcmp(argv[i], "--") != 0)
		i++;
	return i;
}

static int parse_grace(const char *text, unsigned *ret)
{
	char *end;
	unsigned long seconds;

	*ret = RUN_GRACE_SECONDS;
	if (!text)
		return EXIT_DONE;
	errno = 0;
	seconds = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno != 0 || seconds > RUN_GRACE_SECONDS_MAX)
		return usage_error(&command_run, "--grace %s: not a number of seconds", text);
	*ret = (unsigned)seconds;
	return EXIT_DONE;
}

static int check(const struct line *line)
{
	int status = EXIT_DONE;

	if (!line->command || !*line->command)
		status = usage_error(&command_run, "no command is given: it stands after --");
	else if (!**line->command)
		status = usage_error(&command_run, "the command's name is empty");
	else if (line->root && line->no_root)
		status = usage_error(&command_run, "--root and --no-root exclude each other");
	else if (line->user && (!*line->user || *line->user == ':'))
		status = usage_error(&command_run, "--user %s: there is no user in it", line->user);
	return status;
}

static int run(const struct line *line, const struct invocation *i)
{
	struct run_request r = {
		.command = line->command,
		.user = line->user,
		.env_clear = line->env_clear,
		.root = line->root ? RUN_ROOT_ALWAYS
				   : (line->no_root ? RUN_ROOT_NEVER : RUN_ROOT_IF_USED),
	};
	int status = check(line);

	if (status == EXIT_DONE)
		status = parse_grace(line->grace, &r.grace_seconds);
	if (status != EXIT_DONE)
		return status;
	if (daemon_options_init(&r.options, &command_run) < 0) {
		print_error("out of memory");
		return EXIT_FAILED;
	}
	r.options.common = i->common;
	status = daemon_options_parse(&r.options, line->lists.value, line->lists.count);
	if (status == EXIT_DONE)
		status = daemon_options_volume(&r.options, i->argv[0]);
	if (status == EXIT_DONE)
		status = run_volume(&r);
	daemon_options_free(&r.options);
	return status;
}

int cmd_run(int argc, char **argv)
{
	struct line line = {.command = NULL};
	const struct command_option own[] = {
		{.name = "user",
		 .value = "USER[:GROUP]",
		 .help = "who the command runs as: names, as the command's tree has\n"
			 "them, or numbers",
		 .text = &line.user},
		{.name = "env-clear",
		 .help = "an environment of PATH, HOME, USER, LOGNAME and TERM alone",
		 .flag = &line.env_clear},
		{.name = "root",
		 .help = "the command's root directory is the volume's",
		 .flag = &line.root},
		{.name = "no-root",
		 .help = "it is not: other regions alone are shown",
		 .flag = &line.no_root},
		{.name = "grace",
		 .value = "SECONDS",
		 .help = "from SIGTERM or SIGINT to SIGKILL (8)",
		 .text = &line.grace},
		{.letter = 'o',
		 .value = "OPTIONS",
		 .values = &line.lists,
		 .help = "mount options, separated by commas, as for fspf mount"},
		{0},
	};
	struct invocation i;
	int cut = find_cut(argc, argv);

	if (!parse_command_line(&command_run, own, cut, argv, &i))
		return i.status;
	if (cut < argc)
		line.command = argv + cut + 1;
	return run(&line, &i);
}
