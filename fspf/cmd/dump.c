/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/dump.c - the `fspf-dump` program
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/selftest.h"
#include "fspf/cmd/cmd.h"
#include "fspf/cmd/dump.h"
#include "fspf/cmd/json.h"
#include "fspf/cmd/process.h"

static const struct command command_dump = {
	.name = "",
	.synopsis = "VOLUME [--nodes | --node ADDR | --inode N | --path P]",
	.summary = "show the stored structures of a volume",
	.notes =
		"Header, key slots and root records; with an option, what the trees hold.  Without\n"
		"a key, the parts that are public.  Never key material.  Nothing is locked and\n"
		"nothing changed; of a volume that is mounted meanwhile, nodes may be gone while\n"
		"they are looked for.\n",
	.takes = TAKES_KEY | TAKES_ANCHOR | TAKES_SNAPSHOT | TAKES_JSON,
	.arguments_min = 1,
	.arguments_max = 1,
};

struct dump_options {
	const char *node, *inode, *path;
	bool nodes;
};

static bool parse(int argc, char **argv, struct dump_options *o, struct invocation *in)
{
	const struct command_option own[] = {
		{.name = "nodes",
		 .help = "every node of the regions' trees, level by level",
		 .flag = &o->nodes},
		{.name = "node",
		 .value = "ADDR",
		 .help = "the node at block ADDR, with its items",
		 .text = &o->node},
		{.name = "inode",
		 .value = "N",
		 .help = "all items of the file with inode number N",
		 .text = &o->inode},
		{.name = "path",
		 .value = "P",
		 .help = "all items of the file at the absolute path P",
		 .text = &o->path},
		{0}};

	return parse_command_line(&command_dump, own, argc, argv, in);
}

static int parse_number(const char *option, const char *text, uint64_t *ret)
{
	char *end;
	unsigned long long n;
	int status = EXIT_DONE;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (*text < '0' || *text > '9' || *end || errno)
		status =
			usage_error(&command_dump, "option %s: '%s' is not a number", option, text);
	else
		*ret = n;
	return status;
}

static int check_options(const struct dump_options *o, uint64_t *ret_number)
{
	int status = EXIT_DONE;

	if (o->nodes + !!o->node + !!o->inode + !!o->path > 1)
		status = usage_error(&command_dump,
				     "--nodes, --node, --inode and --path exclude each other");
	else if (o->node)
		status = parse_number("--node", o->node, ret_number);
	else if (o->inode)
		status = parse_number("--inode", o->inode, ret_number);
	return status;
}

/* The tag that was given, if any. */
static int expected_tag(const struct common_options *o, struct crypto_digest *ret, bool *ret_any)
{
	struct fspf_anchor *anchor = NULL;
	int status = common_anchor(&command_dump, o, true, ANCHOR_OPTIONAL, &anchor);
	int r;

	if (!status) {
		r = anchor->ops->load(anchor, ret, ret_any);
		if (r) {
			print_error("cannot read the expected tag: %s", strerror(-r));
			status = fspf_exit_status(r);
		}
	}
	fspf_anchor_free(anchor);
	return status;
}

static int show(struct dump *d, const struct dump_options *o, uint64_t number, bool as_json)
{
	struct fspf_error err = {0};
	json_t *json = NULL;
	int r = 0, status = EXIT_DONE;

	if (o->nodes)
		r = dump_nodes(d, &json, &err);
	else if (o->node)
		r = dump_node(d, number, &json, &err);
	else if (o->inode)
		r = dump_inode(d, number, &json, &err);
	else if (o->path)
		r = dump_path(d, o->path, &json, &err);
	else
		json = dump_head_json(d);

	if (r) {
		status = print_failure(&err);
	} else if (as_json) {
		status = print_json(json);
	} else {
		dump_print_text(json);
		json_decref(json);
	}
	if (!status && d->damage) {
		print_error("some of what is shown is damaged or tampered with");
		status = EXIT_DAMAGED;
	}
	return status;
}

static int dump(const struct dump_options *o, const struct invocation *in)
{
	struct fspf_error err = {0};
	struct fspf_credential *credential = NULL;
	struct crypto_digest tag;
	struct dump d = {.chosen = -1};
	bool any = false;
	uint64_t number = 0;
	int status = check_options(o, &number);

	if (!status)
		status = expected_tag(&in->common, &tag, &any);
	if (!status)
		status = common_credential(&command_dump, &in->common, &credential);
	if (!status) {
		if (dump_open(&d, in->argv[0], credential, any ? &tag : NULL, &err) ||
		    (in->common.snapshot && dump_open_snapshot(&d, in->common.snapshot, &err)))
			status = print_failure(&err);
		else
			status = show(&d, o, number, in->common.json);
	}
	dump_close(&d);
	fspf_credential_free(credential);
	return status;
}

int main(int argc, char **argv)
{
	struct dump_options o = {.nodes = false};
	struct invocation in;
	int status;

	set_program_name("fspf-dump");
	status = harden_process();
	if (!status && crypto_init()) {
		print_error(
			"the self-test of the cryptography failed: nothing can be trusted here");
		status = EXIT_FAILED;
	}
	if (status)
		;
	else if (argc == 2 && !strcmp(argv[1], "--version"))
		printf("fspf-dump %s\n", FSPF_VERSION);
	else if (parse(argc, argv, &o, &in))
		status = dump(&o, &in);
	else
		status = in.status;
	return finish_output(status);
}
