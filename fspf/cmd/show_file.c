/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/show_file.c - fspf show VOLUME PATH: one file, and the digest that it has
 *
 * The volume is opened read-only for it, since a digest that is not recorded takes all of the file.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fspf/cmd/json.h"
#include "fspf/cmd/show.h"
#include "fspf/error.h"

struct file {
	struct fspf_region_info region;
	struct fspf_attr attr;
	struct crypto_digest digest; /* of a regular file */
};

static int look(struct fspf_volume *v, const char *path, struct file *f, struct fspf_error *err)
{
	int r = fspf_resolve(v, path, &f->attr);

	if (r)
		return fspf_fail(err, r, NULL, "cannot find %s: %s", path, strerror(-r));
	r = fspf_region_of_file(v, f->attr.ino, &f->region);
	if (r == 0 && S_ISREG(f->attr.mode))
		r = fspf_file_digest(v, f->attr.ino, &f->digest);
	fspf_forget(v, f->attr.ino, 1);
	return r ? fspf_fail(err, r, NULL, "cannot read %s: %s", path, strerror(-r)) : 0;
}

static void print_file(const struct file *f)
{
	char prefix[FSPF_PREFIX_MAX + 1], hex[CRYPTO_DIGEST_HEX];

	snprintf(prefix, sizeof(prefix), "%s", f->region.prefix);
	fspf_printable(prefix);
	printf("region      %s\n", prefix);
	printf("protection  %s\n", protection_name(f->region.protection));
	printf("mode        %06o\n", f->attr.mode);
	printf("size        %llu\n", (unsigned long long)f->attr.size);
	crypto_digest_hex(&f->digest, hex);
	if (S_ISREG(f->attr.mode))
		printf("digest      sha256:%s\n", hex);
}

static json_t *file_json(const struct file *f)
{
	json_t *json = json_object();
	char mode[16];

	snprintf(mode, sizeof(mode), "%06o", f->attr.mode);
	json_object_set_new(json, "region", json_name(f->region.prefix));
	json_object_set_new(json, "class", json_string(protection_name(f->region.protection)));
	json_object_set_new(json, "mode", json_string(mode));
	json_object_set_new(json, "size", json_number(f->attr.size));
	if (S_ISREG(f->attr.mode))
		json_object_set_new(json, "digest", json_tag(&f->digest));
	return json;
}

int show_file(const struct command *command, const struct invocation *in)
{
	struct fspf_volume *v = NULL;
	struct fspf_error err = {0};
	struct file f;
	int status = common_open(command, &in->common, in->argv[0], OPEN_READ_ONLY, &v);

	if (status)
		return status;
	if (look(v, in->argv[1], &f, &err))
		status = print_failure(&err);
	else if (in->common.json)
		status = print_json(file_json(&f));
	else
		print_file(&f);
	return close_volume(v, status);
}
