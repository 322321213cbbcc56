/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_policy.c - fspf policy: what a volume demands of its mounts
 */
#include <stdio.h>

#include "fspf/cmd/change.h"
#include "fspf/cmd/json.h"

static int cmd_policy(int argc, char **argv);

const struct command command_policy = {
	.name = "policy",
	.synopsis = "VOLUME [--require-protected|--allow-unprotected] [--exec=any|protected]",
	.summary = "show or set what a volume demands of its mounts",
	.notes = "The policy is part of the volume's state, and so of its tag.  Without an option\n"
		 "it is shown; else it is changed, and the volume's new tag is printed.\n",
	.takes = TAKES_KEY | TAKES_ANCHOR | TAKES_JSON,
	.arguments_min = 1,
	.arguments_max = 1,
	.run = cmd_policy,
};

struct policy_options {
	bool require, allow;
	const char *exec;
};

static bool parse_policy(int argc, char **argv, struct policy_options *o, struct invocation *in)
{
	const struct command_option own[] = {
		{.name = "require-protected",
		 .help = "no region that is not protected can be added or mounted",
		 .flag = &o->require},
		{.name = "allow-unprotected", .help = "they can (the default)", .flag = &o->allow},
		{.name = "exec",
		 .value = "any|protected",
		 .help = "protected: nothing in a region that is not protected can be\n"
			 "executed or mapped executable",
		 .text = &o->exec},
		{0}};

	return parse_command_line(&command_policy, own, argc, argv, in);
}

static int check_options(const struct policy_options *o)
{
	if (o->require && o->allow)
		return usage_error(&command_policy, "--require-protected and --allow-unprotected "
						    "exclude each other");
	if (o->exec && strcmp(o->exec, "any") != 0 && strcmp(o->exec, "protected") != 0)
		return usage_error(&command_policy, "--exec is any or protected, not '%s'",
				   o->exec);
	return EXIT_DONE;
}

static uint32_t changed(const struct policy_options *o, uint32_t policy)
{
	if (o->require)
		policy |= FSPF_POLICY_REQUIRE_PROTECTED;
	if (o->allow)
		policy &= ~(uint32_t)FSPF_POLICY_REQUIRE_PROTECTED;
	if (o->exec && strcmp(o->exec, "protected") == 0)
		policy |= FSPF_POLICY_EXEC_PROTECTED;
	else if (o->exec)
		policy &= ~(uint32_t)FSPF_POLICY_EXEC_PROTECTED;
	return policy;
}

static int set(const struct policy_options *o, const struct invocation *in)
{
	struct fspf_error err = {0};
	struct fspf_info info;
	struct change change;
	int status = change_begin(&command_policy, &in->common, in->argv[0], &change);

	if (status)
		return status;
	fspf_info(change.v, &info);
	if (fspf_policy_set(change.v, changed(o, info.policy), &err))
		return change_abandon(&change, print_failure(&err));
	return change_commit(&change, EXIT_DONE);
}

static int show(const struct invocation *in)
{
	struct fspf_volume *v = NULL;
	struct fspf_info info;
	bool require, exec;
	int status = common_open(&command_policy, &in->common, in->argv[0], OPEN_PEEK, &v);

	if (status)
		return status;
	fspf_info(v, &info);
	require = info.policy & FSPF_POLICY_REQUIRE_PROTECTED;
	exec = info.policy & FSPF_POLICY_EXEC_PROTECTED;
	if (in->common.json)
		status = print_json(json_pack("{s:b, s:s}", "require_protected", require, "exec",
					      exec ? "protected" : "any"));
	else
		printf("regions  %s\nexec     %s\n",
		       require ? "must be protected" : "may be unprotected",
		       exec ? "protected" : "any");
	return close_volume(v, status);
}

static int cmd_policy(int argc, char **argv)
{
	struct policy_options o = {0};
	struct invocation in;

	if (parse_policy(argc, argv, &o, &in)) {
		in.status = check_options(&o);
		if (!in.status)
			in.status = o.require || o.allow || o.exec ? set(&o, &in) : show(&in);
	}
	return in.status;
}
