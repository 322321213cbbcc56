/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_keygen.c - fspf keygen: a random key
 */
#include "fspf/cmd/keyfile.h"

static int cmd_keygen(int argc, char **argv);

const struct command command_keygen = {
	.name = "keygen",
	.synopsis = "[FILE]",
	.summary = "make a random key",
	.notes =
		"32 random bytes as 64 hex digits, to FILE (made new, mode 0600) or, without FILE\n"
		"or when it is \"-\", to standard output.\n",
	.arguments_max = 1,
	.run = cmd_keygen,
};

static int keygen(const char *path)
{
	struct fspf_error err = {0};
	struct fspf_credential *key = NULL;
	int status;

	if (fspf_credential_random(&key, &err))
		status = print_failure(&err);
	else
		status = write_key(path, key);
	fspf_credential_free(key);
	return status;
}

static int cmd_keygen(int argc, char **argv)
{
	struct invocation in;

	if (parse_command_line(&command_keygen, NULL, argc, argv, &in))
		in.status = keygen(in.argc ? in.argv[0] : NULL);
	return in.status;
}
