/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/common.c - from the common options to an open volume
 *
 * Where the key and the expected tag come from must never be a matter of precedence: two sources
 * are refused, also when one of them is an environment variable that was forgotten.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fspf/cmd/cmd.h"

/* ---- the credential ---- */

/* FSPF_KEY, and it is gone from the environment, /proc/PID/environ included. */
static int credential_from_environment(char *hex, struct fspf_credential **ret,
				       struct fspf_error *err)
{
	int r = fspf_credential_key_hex(hex, ret, err);

	crypto_wipe(hex, strlen(hex));
	unsetenv("FSPF_KEY");
	return r;
}

static int load_credential(const struct common_options *o, char *hex, struct fspf_credential **ret)
{
	struct fspf_error err = {0};
	int r = 0, status = EXIT_DONE;

	*ret = NULL;
	if (o->key_file)
		r = fspf_credential_key_file(o->key_file, ret, &err);
	else if (o->passphrase_file)
		r = fspf_credential_passphrase_file(o->passphrase_file, ret, &err);
	else if (hex)
		r = credential_from_environment(hex, ret, &err);

	if (r && hex) {
		print_error("FSPF_KEY: %s", err.text);
		status = fspf_exit_status(r);
	} else if (r) {
		status = print_failure(&err);
	} else if (err.text[0]) {
		print_hint_later("%s", err.text);
	}
	return status;
}

int common_credential(const struct command *command, const struct common_options *o,
		      struct fspf_credential **ret)
{
	char *hex = getenv("FSPF_KEY");
	int status;

	if (o->key_file && o->passphrase_file)
		status = usage_error(command, "both --key-file and --passphrase-file are given");
	else if (hex && (o->key_file || o->passphrase_file))
		status = usage_error(command,
				     "both %s and the environment variable FSPF_KEY are given",
				     o->key_file ? "--key-file" : "--passphrase-file");
	else
		status = load_credential(o, hex, ret);
	return status;
}

/* ---- keys of single regions ---- */

static int load_region_key(const char *path, struct region_keys *keys)
{
	struct fspf_error err = {0};
	int status = EXIT_DONE;

	if (fspf_credential_key_file(path, &keys->key[keys->count], &err))
		status = print_failure(&err);
	else
		keys->count++;
	if (!status && err.text[0])
		print_hint_later("%s", err.text);
	return status;
}

int common_region_keys(const struct command *command, const struct common_options *o,
		       struct region_keys *ret)
{
	const char *other = o->key_file		 ? "--key-file"
			    : o->passphrase_file ? "--passphrase-file"
			    : getenv("FSPF_KEY") ? "the environment variable FSPF_KEY"
						 : NULL;
	int status = EXIT_DONE;

	ret->count = 0;
	if (o->region_key_files.count && other)
		status = usage_error(command,
				     "both --region-key-file and %s are given: the volume's key "
				     "opens all regions",
				     other);
	for (int i = 0; i < o->region_key_files.count && !status; i++)
		status = load_region_key(o->region_key_files.value[i], ret);
	return status;
}

void free_region_keys(struct region_keys *keys)
{
	while (keys->count > 0)
		fspf_credential_free(keys->key[--keys->count]);
}

void use_region_keys(const struct region_keys *keys, struct fspf_open_params *params)
{
	params->region_keys = (const struct fspf_credential *const *)keys->key;
	params->nregion_keys = keys->count;
}

/* ---- the anchor ---- */

static int pinned_anchor(const struct command *command, const char *from, const char *hex,
			 struct fspf_anchor **ret, int *ret_error)
{
	struct crypto_digest tag;
	int status = EXIT_DONE;

	if (crypto_digest_parse(hex, &tag))
		status = usage_error(command, "%s: a tag is 64 hex digits, not all zero", from);
	else
		*ret_error = fspf_anchor_pinned(&tag, ret);
	return status;
}

/* Everything that cannot be meant together, or cannot be left out. */
static int check_anchor_options(const struct command *command, const struct common_options *o,
				const char *environment, enum anchor_need need)
{
	int count = !!o->tag + !!o->tag_file + o->no_rollback_protection;
	int status = EXIT_DONE;

	if (count > 1)
		status = usage_error(
			command,
			"--tag, --tag-file and --no-rollback-protection exclude each other");
	else if (count && environment)
		status = usage_error(command,
				     "both %s and the environment variable FSPF_TAG are given",
				     o->tag	   ? "--tag"
				     : o->tag_file ? "--tag-file"
						   : "--no-rollback-protection");
	else if (o->recover && !o->tag && !o->tag_file && !environment)
		status = usage_error(command, "--recover needs the tag to recover from");
	else if (!count && !environment && need == ANCHOR_REQUIRED) {
		print_error("no expected tag is given: an older state could pass for the newest");
		print_hint("give --tag HEX (or FSPF_TAG), --tag-file FILE, or "
			   "--no-rollback-protection");
		status = EXIT_USAGE;
	}
	return status;
}

int common_anchor(const struct command *command, const struct common_options *o, bool read_only,
		  enum anchor_need need, struct fspf_anchor **ret)
{
	const char *environment = getenv("FSPF_TAG");
	int r = 0, status = check_anchor_options(command, o, environment, need);

	if (status)
		;
	else if (o->tag)
		status = pinned_anchor(command, "--tag", o->tag, ret, &r);
	else if (environment)
		status = pinned_anchor(command, "FSPF_TAG", environment, ret, &r);
	else if (o->tag_file)
		r = fspf_anchor_file(o->tag_file, read_only, ret);
	else
		r = fspf_anchor_none(ret);
	if (r) {
		print_error("cannot set up the anchor: %s", strerror(-r));
		status = fspf_exit_status(r);
	}
	return status;
}

/* ---- open and close ---- */

int common_open_params(const struct fspf_open_params *params, struct fspf_volume **ret)
{
	struct fspf_error err = {0};
	int status = EXIT_DONE;

	if (fspf_open(params, ret, &err))
		status = print_failure(&err);
	return status;
}

int common_open(const struct command *command, const struct common_options *o, const char *path,
		enum open_mode mode, struct fspf_volume **ret)
{
	struct fspf_open_params params = {
		.path = path,
		.read_only = true,
		.peek = mode == OPEN_PEEK,
		.recover = o->recover,
		.snapshot = o->snapshot,
	};
	struct fspf_credential *credential = NULL;
	struct region_keys keys;
	int status = common_region_keys(command, o, &keys);

	if (!status)
		status = common_credential(command, o, &credential);
	if (!status)
		status = common_anchor(command, o, true,
				       mode == OPEN_PEEK ? ANCHOR_OPTIONAL : ANCHOR_REQUIRED,
				       &params.anchor);
	if (!status) {
		params.credential = credential;
		use_region_keys(&keys, &params);
		status = common_open_params(&params, ret);
	}
	fspf_credential_free(credential);
	free_region_keys(&keys);
	return status;
}

int close_volume(struct fspf_volume *v, int status)
{
	struct fspf_error err = {0};
	int closing = EXIT_DONE;

	if (fspf_close(v, NULL, &err))
		closing = print_failure(&err);
	return status ? status : closing;
}

void print_tag(const struct crypto_digest *tag)
{
	char hex[CRYPTO_DIGEST_HEX];

	crypto_digest_hex(tag, hex);
	printf("%s\n", hex);
}
