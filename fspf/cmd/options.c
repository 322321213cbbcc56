/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/options.c - a command line taken apart by a table, and the help text from the same table
 *
 * The command's own rows and those of the groups it takes are put into one list; getopt_long() gets
 * its arrays from it, --help prints it.  getopt's own messages are off: ours name the option and
 * never what follows its '=', which may be a secret typed in the wrong place.  Names must be
 * written out: a shortened one could mean something else in a later version.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "fspf/cmd/cmd.h"

#define ROWS_MAX 32
#define ROW_VALUE 0x100 /* getopt_long()'s value of row 0's long name; letters are below */
#define HELP_COLUMN 28	/* where the explanations begin */

struct rows {
	struct command_option row[ROWS_MAX];
	int count;
	struct option longs[ROWS_MAX + 1];
	char shorts[2 * ROWS_MAX + 3];
	bool help;
};

static void add_row(struct rows *rows, const struct command_option *row)
{
	if (rows->count == ROWS_MAX)
		abort(); /* a table in this program is too long */
	rows->row[rows->count++] = *row;
}

static void add_rows(struct rows *rows, const struct command_option *table)
{
	while (table && (table->name || table->letter))
		add_row(rows, table++);
}

static void add_common_rows(struct rows *rows, unsigned takes, struct common_options *o)
{
	const struct command_option key[] = {
		{.name = "key-file",
		 .value = "FILE",
		 .help = "the volume's key, 64 hex digits or 32 bytes; - is standard\n"
			 "input; or the environment variable FSPF_KEY",
		 .text = &o->key_file},
		{.name = "passphrase-file",
		 .value = "FILE",
		 .help = "the passphrase, the file's first line; - is standard input",
		 .text = &o->passphrase_file},
		{0}};
	const struct command_option region_key[] = {
		{.name = "region-key-file",
		 .value = "FILE",
		 .help = "the key of one region (`fspf key export-region`), instead;\n"
			 "may be given for several regions",
		 .values = &o->region_key_files},
		{0}};
	const struct command_option anchor[] = {
		{.name = "tag",
		 .value = "HEX",
		 .help = "the tag that the volume must have (or FSPF_TAG)",
		 .text = &o->tag},
		{.name = "tag-file",
		 .value = "FILE",
		 .help = "the file, on trusted storage, that holds this tag",
		 .text = &o->tag_file},
		{.name = "no-rollback-protection",
		 .help = "accept any state of the volume, older ones too",
		 .flag = &o->no_rollback_protection},
		{.name = "recover",
		 .help = "accept a newer state that provably descends from the tag's",
		 .flag = &o->recover},
		{0}};
	const struct command_option snapshot[] = {
		{.name = "snapshot",
		 .value = "NAME",
		 .help = "the state that this snapshot keeps, instead of the newest",
		 .text = &o->snapshot},
		{0}};
	const struct command_option json[] = {
		{.name = "json", .help = "print JSON", .flag = &o->json}, {0}};
	const struct command_option help[] = {
		{.name = "help", .help = "print this text", .flag = &rows->help}, {0}};

	add_rows(rows, takes & TAKES_KEY ? key : NULL);
	add_rows(rows, takes & TAKES_REGION_KEY ? region_key : NULL);
	add_rows(rows, takes & TAKES_ANCHOR ? anchor : NULL);
	add_rows(rows, takes & TAKES_SNAPSHOT ? snapshot : NULL);
	add_rows(rows, takes & TAKES_JSON ? json : NULL);
	add_rows(rows, help);
}

static void fill_getopt_tables(struct rows *rows, unsigned takes)
{
	int nlongs = 0, nshorts = 0;

	if (takes & TAKES_SUBCOMMAND)
		rows->shorts[nshorts++] = '+';
	rows->shorts[nshorts++] = ':';
	for (int i = 0; i < rows->count; i++) {
		const struct command_option *row = &rows->row[i];

		if (row->name)
			rows->longs[nlongs++] = (struct option){
				row->name, row->value ? required_argument : no_argument, NULL,
				ROW_VALUE + i};
		if (row->letter)
			rows->shorts[nshorts++] = row->letter;
		if (row->letter && row->value)
			rows->shorts[nshorts++] = ':';
	}
}

static const struct command_option *find_row(const struct rows *rows, int value)
{
	const struct command_option *found = NULL;

	if (value >= ROW_VALUE) {
		found = &rows->row[value - ROW_VALUE];
	} else {
		for (int i = 0; i < rows->count && !found; i++) {
			if (value && rows->row[i].letter == value)
				found = &rows->row[i];
		}
	}
	return found;
}

#define TITLE_MAX 48

/* "--name", or "-x" for what has only a letter or was given by it. */
static void row_title(const struct command_option *row, bool by_letter, char ret[static TITLE_MAX])
{
	if (by_letter || !row->name)
		snprintf(ret, TITLE_MAX, "-%c", row->letter);
	else
		snprintf(ret, TITLE_MAX, "--%s", row->name);
}

static int take_value(const struct command *command, const struct command_option *row)
{
	char title[TITLE_MAX];
	int status = EXIT_DONE;

	row_title(row, false, title);
	if (row->flag)
		*row->flag = true;
	else if (row->text)
		*row->text = optarg;
	else if (row->values && row->values->count < OPTION_VALUES_MAX)
		row->values->value[row->values->count++] = optarg;
	else if (row->values)
		status = usage_error(command, "option %s is given too often", title);
	else if (parse_size(optarg, row->size))
		status = usage_error(command, "option %s: '%s' is not a size like 512M or 10G",
				     title, optarg);
	return status;
}

/* getopt_long() gave '?' or ':'. */
static int report_mistake(const struct command *command, const struct rows *rows, int opt,
			  const char *argument)
{
	const struct command_option *row = find_row(rows, optopt);
	int name_len = (int)strcspn(argument, "=");
	char title[TITLE_MAX];
	int status;

	if (row)
		row_title(row, optopt < ROW_VALUE, title);
	if (row && opt == ':')
		status = usage_error(command, "option %s needs a value (%s)", title, row->value);
	else if (row)
		status = usage_error(command, "option %s takes no value", title);
	else if (optopt)
		status = usage_error(command, "unknown option -%c", optopt);
	else
		status = usage_error(command, "unknown option %.*s", name_len, argument);
	return status;
}

/* Was the long option of @row, just parsed, written out?  Its value is a part of the same argument
 * or the whole next one. */
static bool is_written_out(const struct command_option *row, char **argv)
{
	const char *argument = argv[optind - 1];

	if (row->value && optarg == argument)
		argument = argv[optind - 2];
	return strcspn(argument + 2, "=") == strlen(row->name);
}

static void print_row(const struct command_option *row)
{
	const char *help = row->help;
	int column = 0;

	if (row->letter)
		column += printf("  -%c%s", row->letter, row->name ? "," : "");
	if (row->name)
		column += printf("%s--%s", row->letter ? " " : "  ", row->name);
	if (row->value)
		column += printf(" %s", row->value);
	if (column >= HELP_COLUMN) {
		printf("\n");
		column = 0;
	}
	for (;;) {
		int len = (int)strcspn(help, "\n");

		printf("%*s%.*s\n", HELP_COLUMN - column, "", len, help);
		if (!help[len])
			break;
		help += len + 1;
		column = 0;
	}
}

static void print_help(const struct command *command, const struct rows *rows)
{
	print_usage(command);
	printf("\n%c%s.\n\n", toupper((unsigned char)*command->summary), command->summary + 1);
	if (command->notes)
		printf("%s\n", command->notes);
	printf("Options:\n");
	for (int i = 0; i < rows->count; i++)
		print_row(&rows->row[i]);
}

static int check_arguments(const struct command *command, int count, char **arguments)
{
	int status = EXIT_DONE;

	if (count > command->arguments_max)
		status = usage_error(command, "unexpected argument '%s'",
				     arguments[command->arguments_max]);
	else if (count < command->arguments_min)
		status = usage_error(command, "missing argument: %s", command->synopsis);
	return status;
}

bool parse_command_line(const struct command *command, const struct command_option *own, int argc,
			char **argv, struct invocation *ret)
{
	struct rows rows = {.count = 0};
	int opt, status = EXIT_DONE;

	memset(ret, 0, sizeof(*ret));
	add_rows(&rows, own);
	add_common_rows(&rows, command->takes, &ret->common);
	fill_getopt_tables(&rows, command->takes);

	optind = 0; /* glibc: begin anew */
	opterr = 0;
	while (status == EXIT_DONE && !rows.help &&
	       (opt = getopt_long(argc, argv, rows.shorts, rows.longs, NULL)) != -1) {
		const struct command_option *row = find_row(&rows, opt);

		if (row && opt >= ROW_VALUE && !is_written_out(row, argv))
			status = usage_error(command, "unknown option (did you mean --%s?)",
					     row->name);
		else if (row && opt != '?' && opt != ':')
			status = take_value(command, row);
		else
			status = report_mistake(command, &rows, opt, argv[optind - 1]);
	}
	if (status == EXIT_DONE && rows.help)
		print_help(command, &rows);
	else if (status == EXIT_DONE)
		status = check_arguments(command, argc - optind, argv + optind);

	ret->argc = argc - optind;
	ret->argv = argv + optind;
	ret->status = status;
	return status == EXIT_DONE && !rows.help;
}
