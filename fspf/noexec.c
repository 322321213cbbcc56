/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Execute bits of files that are not protected, hidden on their way out.
 */
#include "fspf/noexec.h"

#include <errno.h>
#include <sys/stat.h>

#include "fspf/dispatch.h"

#define EXECUTE_BITS 0111u

/* An ACL as system.posix_acl_access has it: a version, and entries of tag, permissions, id. */
#define ACL_ACCESS "system.posix_acl_access"
#define ACL_HEADER_SIZE 4u
#define ACL_ENTRY_SIZE 8u
#define ACL_PERMISSIONS 2u /* of an entry: 16 bits */
#define ACL_EXECUTE 1u

bool fspf_noexec_applies(struct fspf_volume *v)
{
	return (atomic_load(&v->policy) & FSPF_POLICY_EXEC_PROTECTED) && !v->authoring;
}

static bool is_unprotected(struct fspf_volume *v, uint64_t ino)
{
	const struct fspf_region *region = fspf_region_of(v, ino);

	return region && region->protection == FSPF_NOT_PROTECTED;
}

static void hide(struct fspf_volume *v, struct fspf_attr *attr)
{
	if (S_ISREG(attr->mode) && is_unprotected(v, attr->ino))
		attr->mode &= ~EXECUTE_BITS;
}

int fspf_noexec_attr(struct fspf_volume *v, int result, struct fspf_attr *attr)
{
	if (result == 0 && fspf_noexec_applies(v))
		hide(v, attr);
	return result;
}

int fspf_noexec_entry(void *ctx, const struct fspf_entry *entry)
{
	struct fspf_noexec_listing *listing = ctx;
	struct fspf_entry shown = *entry;
	struct fspf_attr attr;

	if (entry->attr) {
		attr = *entry->attr;
		hide(listing->v, &attr);
		shown.attr = &attr;
	}
	return listing->entry(listing->ctx, &shown);
}

void fspf_noexec_acl(struct fspf_volume *v, uint64_t ino, const char *name, void *value, size_t len)
{
	struct fspf_attr attr;
	uint8_t *acl = value;

	if (!fspf_noexec_applies(v) || strcmp(name, ACL_ACCESS) != 0 || !is_unprotected(v, ino))
		return;
	/* Of a directory it is the right to enter, and stays. */
	if (fspf_getattr(v, ino, &attr) == 0 && S_ISDIR(attr.mode))
		return;
	for (size_t at = ACL_HEADER_SIZE; at + ACL_ENTRY_SIZE <= len; at += ACL_ENTRY_SIZE)
		acl[at + ACL_PERMISSIONS] &= (uint8_t)~ACL_EXECUTE;
}
