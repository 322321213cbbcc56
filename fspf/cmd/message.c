/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/message.c - one line each on stderr: what went wrong, and what to do about it
 *
 * Messages quote names from the command line and from volumes, so each is made printable before it
 * reaches the terminal, and is written with one call, so that lines of several threads do not mix.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "fspf/cmd/cmd.h"
#include "fspf/error.h"

static const char *program_name = "fspf";
static char later[512]; /* a hint for the end */

void set_program_name(const char *name)
{
	program_name = name;
}

static void PRINTF_LIKE(2, 0) print_message(const char *kind, const char *fmt, va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, args);
	fspf_printable(text);
	fprintf(stderr, "%s: %s: %s\n", program_name, kind, text);
}

void print_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_message("error", fmt, args);
	va_end(args);
}

void print_hint(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_message("hint", fmt, args);
	va_end(args);
}

void print_hint_later(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(later, sizeof(later), fmt, args);
	va_end(args);
}

int print_failure(const struct fspf_error *err)
{
	if (err->text[0])
		print_error("%s", err->text);
	else
		print_error("%s", strerror(-err->code));
	if (err->hint[0])
		print_hint("%s", err->hint);
	return fspf_exit_status(err->code);
}

/* The rest of the command's name, with a space before it; "" for the program itself. */
static const char *command_words(const struct command *command)
{
	static char words[32];

	words[0] = '\0';
	if (command && *command->name)
		snprintf(words, sizeof(words), " %s", command->name);
	return words;
}

void print_usage(const struct command *command)
{
	printf("Usage: %s%s %s%s\n", program_name, command_words(command), command->synopsis,
	       strstr(command->synopsis, "[OPTIONS]") ? "" : " [OPTIONS]");
}

int usage_error(const struct command *command, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_message("error", fmt, args);
	va_end(args);
	print_hint("see `%s%s --help`", program_name, command_words(command));
	return EXIT_USAGE;
}

void print_report(void *ctx, const struct fspf_report *report)
{
	(void)ctx;
	print_error("%s", report->text);
}

int finish_output(int status)
{
	int r = 0;

	if (fflush(stdout))
		r = -errno;
	else if (ferror(stdout))
		r = -EIO;
	if (r) {
		print_error("cannot write to standard output: %s", strerror(-r));
		if (status == EXIT_DONE)
			status = EXIT_FAILED;
	}
	if (status == EXIT_DONE && later[0])
		print_hint("%s", later);
	return status;
}
