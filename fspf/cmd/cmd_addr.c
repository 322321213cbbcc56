/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_addr.c - fspf addr: add a region
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/cmd/change.h"

static int cmd_addr(int argc, char **argv);

const struct command command_addr = {
	.name = "addr",
	.synopsis = "VOLUME PREFIX --encrypted|--authenticated|--not-protected "
		    "[--kernel PATH|--ephemeral] [--copy-up]",
	.summary = "add a region to a volume",
	.notes =
		"PREFIX is an absolute path inside the volume; files below it belong to the region\n"
		"with the longest prefix.  A region is kept in the volume, unless it is said to be\n"
		"a directory of the host (--kernel) or --ephemeral.  Prints the volume's new tag.\n",
	.takes = TAKES_KEY | TAKES_ANCHOR,
	.arguments_min = 2,
	.arguments_max = 2,
	.run = cmd_addr,
};

struct addr_options {
	bool encrypted, authenticated, not_protected;
	bool ephemeral, copy_up;
	const char *kernel;
};

static bool parse_addr(int argc, char **argv, struct addr_options *o, struct invocation *in)
{
	const struct command_option own[] = {
		{.name = "encrypted",
		 .help = "contents, names and attributes are secret and protected\n"
			 "against change",
		 .flag = &o->encrypted},
		{.name = "authenticated",
		 .help = "protected against change; readable without a key",
		 .flag = &o->authenticated},
		{.name = "not-protected",
		 .help = "neither; with --kernel or --ephemeral",
		 .flag = &o->not_protected},
		{.name = "kernel",
		 .value = "PATH",
		 .help = "not protected: the host's directory or file PATH shows\n"
			 "through; authenticated: the contents of files stay in the\n"
			 "host's directory PATH, and `fspf addf` records what they\n"
			 "have to be",
		 .text = &o->kernel},
		{.name = "copy-up",
		 .help = "authenticated with --kernel: a file that is written is\n"
			 "copied into the volume first (else it is read-only)",
		 .flag = &o->copy_up},
		{.name = "ephemeral",
		 .help = "what is changed while it is mounted is gone afterwards",
		 .flag = &o->ephemeral},
		{0}};

	return parse_command_line(&command_addr, own, argc, argv, in);
}

/* The library knows which classes there are; here it is only made sure that one is named. */
static int protection(const struct addr_options *o, enum fspf_protection *ret)
{
	int status = EXIT_DONE;

	if (o->encrypted + o->authenticated + o->not_protected > 1)
		status = usage_error(&command_addr, "--encrypted, --authenticated and "
						    "--not-protected exclude each other");
	else if (!o->encrypted && !o->authenticated && !o->not_protected)
		status = usage_error(&command_addr, "--encrypted, --authenticated or "
						    "--not-protected is needed");
	*ret = o->encrypted	  ? FSPF_ENCRYPTED
	       : o->authenticated ? FSPF_AUTHENTICATED
				  : FSPF_NOT_PROTECTED;
	return status;
}

/* The path as it will be used: absolute, and what is there now.  An image may be built elsewhere
 * than it runs, so for a region in place the directory need not exist yet. */
static int host_path(const struct addr_options *o, char **ret)
{
	*ret = realpath(o->kernel, NULL);
	if (!*ret && errno == ENOENT && o->authenticated && o->kernel[0] == '/') {
		*ret = strdup(o->kernel);
		print_hint_later("there is no %s here now", o->kernel);
	}
	if (!*ret) {
		print_error("cannot find %s: %s", o->kernel, strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static int add(const struct fspf_region_params *params, const struct invocation *in)
{
	struct fspf_error err = {0};
	struct change change;
	int status = change_begin(&command_addr, &in->common, in->argv[0], &change);

	if (status)
		return status;
	if (fspf_region_add(change.v, params, &err))
		status = change_abandon(&change, print_failure(&err));
	else
		status = change_commit(&change, EXIT_DONE);
	return status;
}

static int addr(const struct addr_options *o, const struct invocation *in)
{
	struct fspf_region_params params = {
		.prefix = in->argv[1],
		.ephemeral = o->ephemeral,
		.copy_up = o->copy_up,
	};
	char *host = NULL;
	int status = protection(o, &params.protection);

	if (!status && o->kernel)
		status = host_path(o, &host);
	params.host = host;
	if (!status)
		status = add(&params, in);
	free(host);
	return status;
}

static int cmd_addr(int argc, char **argv)
{
	struct addr_options o = {0};
	struct invocation in;

	if (parse_addr(argc, argv, &o, &in))
		in.status = addr(&o, &in);
	return in.status;
}
