/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_create.c - fspf create: a new volume
 *
 * With --envar-output a key that was made here exists nowhere else, so it must reach standard
 * output or the volume is of no use: that is said then.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fspf/cmd/cmd.h"
#include "fspf/store.h"

static int cmd_create(int argc, char **argv);

const struct command command_create = {
	.name = "create",
	.synopsis = "VOLUME",
	.summary = "make a new volume with a region at /",
	.notes =
		"Prints the volume's tag.  VOLUME is a directory that does not exist, or is empty.\n"
		"An encrypted volume needs a key or a passphrase; an authenticated one that is\n"
		"made without can be read and changed without, and only its tag protects it.\n",
	.takes = TAKES_KEY,
	.arguments_min = 1,
	.arguments_max = 1,
	.run = cmd_create,
};

struct create_options {
	bool authenticated;
	bool envar_output;
	bool no_rollback_protection;
	uint64_t size;
	uint64_t segment_size;
	const char *tag_file;
};

static bool parse_create(int argc, char **argv, struct create_options *o, struct invocation *in)
{
	const struct command_option own[] = {
		{.name = "authenticated",
		 .help = "protect / against change only; else it is encrypted as well",
		 .flag = &o->authenticated},
		{.name = "size",
		 .value = "BYTES",
		 .help = "the most that the volume may take, such as 10G; 0: no limit\n"
			 "but that of the storage (default)",
		 .size = &o->size},
		{.name = "segment-size",
		 .value = "BYTES",
		 .help = "size of the files that it is stored in, a power of two from\n"
			 "1M to 1G (default 64M)",
		 .size = &o->segment_size},
		{.name = "tag-file",
		 .value = "FILE",
		 .help = "keep the tag in FILE, on trusted storage, from now on",
		 .text = &o->tag_file},
		{.name = "no-rollback-protection",
		 .help = "keep the tag nowhere, as without --tag-file",
		 .flag = &o->no_rollback_protection},
		{.name = "envar-output",
		 .help = "print `export FSPF_KEY=..` and `export FSPF_TAG=..`, and make\n"
			 "a random key if none is given",
		 .flag = &o->envar_output},
		{0}};

	return parse_command_line(&command_create, own, argc, argv, in);
}

/* Bytes into blocks; what is out of range is the library's to refuse, what is no number of blocks
 * is refused here. */
static int segment_blocks(uint64_t bytes, uint32_t *ret)
{
	int status = EXIT_DONE;

	if (bytes % FSPF_BLOCK_SIZE || bytes / FSPF_BLOCK_SIZE > UINT32_MAX)
		status = usage_error(
			&command_create,
			"option --segment-size: a power of two from 1M to 1G is needed");
	else
		*ret = (uint32_t)(bytes / FSPF_BLOCK_SIZE);
	return status;
}

static int create_anchor(const struct create_options *o, struct fspf_anchor **ret)
{
	int r, status = EXIT_DONE;

	if (o->tag_file && o->no_rollback_protection) {
		status = usage_error(&command_create,
				     "--tag-file and --no-rollback-protection exclude each other");
	} else if (o->tag_file) {
		r = fspf_anchor_file(o->tag_file, false, ret);
		if (r) {
			print_error("cannot use tag file '%s': %s", o->tag_file, strerror(-r));
			status = fspf_exit_status(r);
		}
	}
	return status;
}

/* The given credential, a random one, or NULL where none is needed. */
static int create_credential(const struct create_options *o, const struct invocation *in,
			     struct fspf_credential **ret)
{
	struct fspf_error err = {0};
	int status = common_credential(&command_create, &in->common, ret);

	if (!status && !*ret && !o->authenticated) {
		if (!o->envar_output) {
			print_error("an encrypted volume needs a key or a passphrase");
			print_hint("make a key with `fspf keygen FILE` and give --key-file FILE");
			status = EXIT_WRONG_KEY;
		} else if (fspf_credential_random(ret, &err)) {
			status = print_failure(&err);
		}
	}
	return status;
}

static int print_key_variable(const struct fspf_credential *c)
{
	static const char head[] = "export FSPF_KEY=";
	const size_t len = sizeof(head) - 1 + 2 * CRYPTO_KEY_SIZE + 1;
	char *line = crypto_secret_alloc(len);
	int r = line ? 0 : -ENOMEM;

	if (!r) {
		memcpy(line, head, sizeof(head) - 1);
		r = fspf_credential_hex(c, line + sizeof(head) - 1);
		line[len - 1] = '\n';
	}
	if (!r)
		r = write_all(STDOUT_FILENO, line, len);
	else if (r == -EINVAL)
		r = 0; /* a passphrase: the user has it */
	crypto_secret_free(line);
	return r;
}

static int print_created(const struct create_options *o, const struct fspf_credential *c,
			 const struct crypto_digest *tag)
{
	int r = o->envar_output && c ? print_key_variable(c) : 0;
	int status = EXIT_FAILED;

	if (r) {
		print_error("the volume was made, but its key could not be printed: %s",
			    strerror(-r));
		print_hint("remove it and create it again");
	} else {
		printf("%s", o->envar_output ? "export FSPF_TAG=" : "");
		print_tag(tag);
		if (fflush(stdout)) {
			print_error("the volume was made, but its tag could not be printed: %s",
				    strerror(errno));
			print_hint("`fspf tag` prints it");
			clearerr(stdout); /* it has been said */
		} else {
			status = EXIT_DONE;
		}
	}
	return status;
}

static int create(const struct create_options *o, const struct invocation *in)
{
	struct fspf_error err = {0};
	struct fspf_credential *credential = NULL;
	struct fspf_create_params params = {
		.path = in->argv[0],
		.authenticated = o->authenticated,
		.root_uid = geteuid(), /* as mkdir(1): who makes it can write in it */
		.root_gid = getegid(),
		.size = o->size,
	};
	struct crypto_digest tag;
	int status = segment_blocks(o->segment_size, &params.segment_blocks);

	if (!status)
		status = create_credential(o, in, &credential);
	params.credential = credential;
	if (!status)
		status = create_anchor(o, &params.anchor);
	if (!status && fspf_create(&params, &tag, &err))
		status = print_failure(&err);
	else if (!status)
		status = print_created(o, credential, &tag);
	fspf_credential_free(credential);
	return status;
}

static int cmd_create(int argc, char **argv)
{
	struct create_options o = {0};
	struct invocation in;

	if (parse_create(argc, argv, &o, &in))
		in.status = create(&o, &in);
	return in.status;
}
