/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_addr.c - fspf addr: add a region
 */
#include "fspf/cmd/change.h"

static int cmd_addr(int argc, char **argv);

const struct command command_addr = {
	.name = "addr",
	.synopsis = "VOLUME PREFIX --encrypted|--authenticated",
	.summary = "add a region to a volume",
	.notes =
		"PREFIX is an absolute path inside the volume; files below it belong to the region\n"
		"with the longest prefix.  Prints the volume's new tag.\n",
	.takes = TAKES_KEY | TAKES_ANCHOR,
	.arguments_min = 2,
	.arguments_max = 2,
	.run = cmd_addr,
};

struct addr_options {
	bool encrypted, authenticated;
	bool not_protected, ephemeral; /* known, so that they get a clear answer */
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
		{.name = "not-protected", .help = "not yet supported", .flag = &o->not_protected},
		{.name = "kernel", .value = "DIR", .help = "not yet supported", .text = &o->kernel},
		{.name = "ephemeral", .help = "not yet supported", .flag = &o->ephemeral},
		{0}};

	return parse_command_line(&command_addr, own, argc, argv, in);
}

static int check_options(const struct addr_options *o)
{
	const char *later = o->not_protected ? "--not-protected"
			    : o->kernel	     ? "--kernel"
			    : o->ephemeral   ? "--ephemeral"
					     : NULL;
	int status = EXIT_DONE;

	if (later)
		status = usage_error(&command_addr, "option %s is not yet supported", later);
	else if (o->encrypted && o->authenticated)
		status = usage_error(&command_addr,
				     "--encrypted and --authenticated exclude each other");
	else if (!o->encrypted && !o->authenticated)
		status = usage_error(&command_addr, "--encrypted or --authenticated is needed");
	return status;
}

static int addr(const struct addr_options *o, const struct invocation *in)
{
	const struct fspf_region_params params = {
		.prefix = in->argv[1],
		.protection = o->encrypted ? FSPF_ENCRYPTED : FSPF_AUTHENTICATED,
	};
	struct fspf_error err = {0};
	struct change change;
	int status = check_options(o);

	if (!status)
		status = change_begin(&command_addr, &in->common, in->argv[0], &change);
	if (!status) {
		if (fspf_region_add(change.v, &params, &err))
			status = change_abandon(&change, print_failure(&err));
		else
			status = change_commit(&change, EXIT_DONE);
	}
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
