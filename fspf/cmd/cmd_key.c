/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_key.c - fspf key: list, add and remove key slots of a volume; and the other commands
 *
 * Slots hold the volume's key, wrapped; changing them rewrites no data and leaves the tag as it is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fspf/cmd/cmd.h"
#include "fspf/cmd/json.h"
#include "fspf/cmd/key.h"
#include "fspf/cmd/slots.h"

static int cmd_key(int argc, char **argv);
static int key_list(int argc, char **argv);
static int key_add(int argc, char **argv);
static int key_remove(int argc, char **argv);

static const struct command subcommands[] = {
	{
		.name = "key list",
		.synopsis = "VOLUME",
		.summary = "list the key slots of a volume",
		.takes = TAKES_JSON,
		.arguments_min = 1,
		.arguments_max = 1,
		.run = key_list,
	},
	{
		.name = "key add",
		.synopsis = "VOLUME --new-key-file FILE|--new-passphrase-file FILE",
		.summary = "let another key or passphrase open a volume",
		.notes = "Prints the number of the new slot.\n",
		.takes = TAKES_KEY,
		.arguments_min = 1,
		.arguments_max = 1,
		.run = key_add,
	},
	{
		.name = "key remove",
		.synopsis = "VOLUME SLOT",
		.summary = "remove a key or passphrase from a volume",
		.notes =
			"The credential given must open another slot, so that nobody is locked out.\n"
			"Whoever had the removed key, and a copy of the volume from that time, can\n"
			"still read that copy.\n",
		.takes = TAKES_KEY,
		.arguments_min = 2,
		.arguments_max = 2,
		.run = key_remove,
	},
};

const struct command command_key = {
	.name = "key",
	.synopsis = "list|add|remove|rotate|export-region VOLUME",
	.summary = "list, add, remove, replace and give out keys",
	.notes = "  fspf key list VOLUME\n"
		 "  fspf key add VOLUME --new-key-file FILE|--new-passphrase-file FILE\n"
		 "  fspf key remove VOLUME SLOT\n"
		 "  fspf key rotate VOLUME [--region PREFIX]\n"
		 "  fspf key export-region VOLUME PREFIX [FILE]\n\n"
		 "`fspf key add --help` tells more, as for any command.\n",
	.takes = TAKES_SUBCOMMAND,
	.arguments_min = 1,
	.arguments_max = 1000,
	.run = cmd_key,
};

/* The credential that authorises the change; none is an error. */
static int authority(const struct command *command, const struct invocation *in,
		     struct fspf_credential **ret)
{
	int status = common_credential(command, &in->common, ret);

	if (!status && !*ret) {
		print_error("a key or passphrase that opens the volume is needed");
		print_hint("give --key-file, --passphrase-file or FSPF_KEY");
		status = EXIT_WRONG_KEY;
	}
	return status;
}

/* ---- list ---- */

static int key_list(int argc, char **argv)
{
	struct crypto_keyslot_info slots[FSPF_KEYSLOTS];
	struct fspf_error err = {0};
	struct invocation in;

	if (parse_command_line(&subcommands[0], NULL, argc, argv, &in)) {
		if (fspf_key_list(in.argv[0], slots, &err))
			in.status = print_failure(&err);
		else if (in.common.json)
			in.status = print_json(key_slots_json(slots));
		else
			print_key_slots(slots);
	}
	return in.status;
}

/* ---- add ---- */

static int fresh_credential(const char *key_file, const char *passphrase_file,
			    struct fspf_credential **ret)
{
	struct fspf_error err = {0};
	int r, status = EXIT_DONE;

	if (!key_file == !passphrase_file) {
		status = usage_error(&subcommands[1],
				     "one of --new-key-file and --new-passphrase-file is needed");
	} else {
		r = key_file ? fspf_credential_key_file(key_file, ret, &err)
			     : fspf_credential_passphrase_file(passphrase_file, ret, &err);
		if (r)
			status = print_failure(&err);
		else if (err.text[0])
			print_hint_later("%s", err.text);
	}
	return status;
}

static int key_add(int argc, char **argv)
{
	const char *key_file = NULL, *passphrase_file = NULL;
	const struct command_option own[] = {
		{.name = "new-key-file",
		 .value = "FILE",
		 .help = "the key to add, as for --key-file",
		 .text = &key_file},
		{.name = "new-passphrase-file",
		 .value = "FILE",
		 .help = "the passphrase to add, as for --passphrase-file",
		 .text = &passphrase_file},
		{0}};
	struct fspf_credential *credential = NULL, *fresh = NULL;
	struct fspf_error err = {0};
	struct invocation in;
	uint32_t slot = 0;

	if (parse_command_line(&subcommands[1], own, argc, argv, &in)) {
		in.status = authority(&subcommands[1], &in, &credential);
		if (!in.status)
			in.status = fresh_credential(key_file, passphrase_file, &fresh);
		if (!in.status && fspf_key_add(in.argv[0], credential, fresh, &slot, &err))
			in.status = print_failure(&err);
		else if (!in.status)
			printf("%u\n", slot);
		fspf_credential_free(credential);
		fspf_credential_free(fresh);
	}
	return in.status;
}

/* ---- remove ---- */

static int parse_slot(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long slot = strtoul(text, &end, 10);
	int status = EXIT_DONE;

	if (*text < '0' || *text > '9' || *end || slot >= FSPF_KEYSLOTS)
		status = usage_error(&subcommands[2], "'%s' is not a key slot: they are 0 to %u",
				     text, FSPF_KEYSLOTS - 1);
	else
		*ret = (uint32_t)slot;
	return status;
}

static int key_remove(int argc, char **argv)
{
	struct fspf_credential *credential = NULL;
	struct fspf_error err = {0};
	struct invocation in;
	uint32_t slot = 0;

	if (parse_command_line(&subcommands[2], NULL, argc, argv, &in)) {
		in.status = parse_slot(in.argv[1], &slot);
		if (!in.status)
			in.status = authority(&subcommands[2], &in, &credential);
		if (!in.status && fspf_key_remove(in.argv[0], credential, slot, &err))
			in.status = print_failure(&err);
		fspf_credential_free(credential);
	}
	return in.status;
}

/* ---- key ---- */

static const struct command *const all[] = {
	&subcommands[0],
	&subcommands[1],
	&subcommands[2],
	&command_key_rotate,
	&command_key_export_region,
};

static const struct command *find_subcommand(const char *name)
{
	const struct command *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(all) && !found; i++) {
		if (!strcmp(all[i]->name + strlen("key "), name))
			found = all[i];
	}
	return found;
}

static int cmd_key(int argc, char **argv)
{
	const struct command *subcommand;
	struct invocation in;

	if (parse_command_line(&command_key, NULL, argc, argv, &in)) {
		subcommand = find_subcommand(in.argv[0]);
		if (subcommand)
			in.status = subcommand->run(in.argc, in.argv);
		else
			in.status =
				usage_error(&command_key, "unknown command 'key %s'", in.argv[0]);
	}
	return in.status;
}
