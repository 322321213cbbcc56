/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/view.c - the attributes fspf.*
 */
#include "fuse/view.h"

#include <errno.h>
#include <stdio.h>

#include "fspf/cmd/cmd.h"
#include "fuse/daemon_internal.h"

#define DIGEST_PREFIX "sha256:"
#define DIGEST_LEN (sizeof(DIGEST_PREFIX) - 1 + CRYPTO_DIGEST_HEX - 1)

static bool is_in_place(const struct fspf_region_info *region)
{
	return region->protection == FSPF_AUTHENTICATED && region->host[0];
}

void daemon_protection(const struct fspf_region_info *region,
		       char ret[static DAEMON_PROTECTION_MAX])
{
	snprintf(ret, DAEMON_PROTECTION_MAX, "%s%s%s", protection_name(region->protection),
		 region->ephemeral ? " ephemeral" : "", is_in_place(region) ? " in-place" : "");
}

static ssize_t give_protection(const struct fspf_region_info *region, char *value, size_t size)
{
	char text[DAEMON_PROTECTION_MAX];

	daemon_protection(region, text);
	return daemon_give(text, value, size);
}

/* The length is known before; for it alone nothing is read. */
static ssize_t give_digest(struct fspf_volume *v, uint64_t ino,
			   const struct fspf_region_info *region, char *value, size_t size)
{
	char text[DIGEST_LEN + 1] = DIGEST_PREFIX;
	struct crypto_digest digest;
	struct fspf_attr attr;
	int err = fspf_getattr(v, ino, &attr);

	if (err < 0)
		return err;
	if (region->protection == FSPF_NOT_PROTECTED || !S_ISREG(attr.mode))
		return -ENODATA;
	if (size == 0)
		return DIGEST_LEN;
	err = fspf_file_digest(v, ino, &digest);
	if (err < 0)
		return err;
	crypto_digest_hex(&digest, text + strlen(DIGEST_PREFIX));
	return daemon_give(text, value, size);
}

static ssize_t give_tag(struct fspf_volume *v, char *value, size_t size)
{
	struct crypto_digest tag;
	char hex[CRYPTO_DIGEST_HEX];

	fspf_tag(v, &tag);
	crypto_digest_hex(&tag, hex);
	return daemon_give(hex, value, size);
}

ssize_t daemon_view_get(fuse_req_t req, fuse_ino_t ino, const char *name, char *value, size_t size)
{
	struct fspf_volume *v = daemon_volume(req);
	struct fspf_region_info region;
	int err = fspf_region_of_file(v, ino, &region);

	if (err < 0)
		return err;
	if (strcmp(name, "fspf.region") == 0)
		return daemon_give(region.prefix, value, size);
	if (strcmp(name, "fspf.protection") == 0)
		return give_protection(&region, value, size);
	if (strcmp(name, "fspf.digest") == 0)
		return give_digest(v, ino, &region, value, size);
	if (strcmp(name, "fspf.tag") == 0 && ino == FUSE_ROOT_ID)
		return give_tag(v, value, size);
	return -ENODATA;
}
