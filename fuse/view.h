/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/view.h - what a file of a mount is protected by, as extended attributes
 *
 *   fspf.region       the prefix of its region
 *   fspf.protection   "encrypted", "authenticated" or "not-protected"; then, if its changes are not
 *                     stored, " ephemeral", and if the host has its contents, " in-place"
 *   fspf.digest       of regular files of protected regions: their fs-verity digest, as `fsverity
 *                     digest` prints it ("sha256:HEX").  The file is read for it, but for contents
 *                     in place.  Of what programs wrote, it has what was closed or fsynced.
 *   fspf.tag          of the root directory: the tag of the last published state, 64 hex digits
 *
 * They can be read by all who may read the file, are not listed, so that nobody copies them, and
 * cannot be changed.  -ENODATA: a file does not have that.
 */
#ifndef FSPF_FUSE_VIEW_H
#define FSPF_FUSE_VIEW_H

#include "fspf/fspf.h"
#include "fuse/fuse_api.h"

#define DAEMON_PROTECTION_MAX 48u

void daemon_protection(const struct fspf_region_info *region,
		       char ret[static DAEMON_PROTECTION_MAX]);

/* The value's length; @size 0 asks for it. */
MUST_CHECK ssize_t daemon_view_get(fuse_req_t req, fuse_ino_t ino, const char *name, char *value,
				   size_t size);

#endif
