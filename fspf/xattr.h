/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/xattr.h - inside libfspf: extended attributes of one inode, and the ACLs among them
 *
 * All calls are under the inode's lock, those that change under the gate too.  A large value is
 * kept in pieces (docs/format.md, "Extended attributes").
 */
#ifndef FSPF_FSPF_XATTR_H
#define FSPF_FSPF_XATTR_H

#include "fspf/inode.h"

#define FSPF_XATTR_CAPABILITY "security.capability"
#define FSPF_XATTR_ACL_ACCESS "system.posix_acl_access"
#define FSPF_XATTR_ACL_DEFAULT "system.posix_acl_default"

/* The whole value into memory of the caller's (free it).  -ENODATA. */
MUST_CHECK int fspf_xattr_load(struct fspf_inode *inode, const char *name, uint8_t **ret,
			       size_t *ret_len);
/* Create or replace. */
MUST_CHECK int fspf_xattr_store(struct fspf_volume *v, struct fspf_inode *inode, const char *name,
				const void *value, size_t len);
/* -ENODATA. */
MUST_CHECK int fspf_xattr_delete(struct fspf_volume *v, struct fspf_inode *inode, const char *name);

/* File capabilities do not outlive a change of the contents or the owner. */
MUST_CHECK int fspf_xattr_drop_capability(struct fspf_volume *v, struct fspf_inode *inode);

/* A walk over the stored pieces of an inode's attributes, in their order. */
struct fspf_xattr_walk {
	const struct fspf_region *region;
	uint64_t next; /* where the next piece of the attribute at hand lies */
	uint32_t left; /* bytes of its value still to come: 0 behind the last piece */
};

/* The next item of @w: is it the piece that has to come now?  The name, borrowed and without a NUL,
 * if it is an attribute's first; else NULL.  -EBADMSG. */
MUST_CHECK int fspf_xattr_step(struct fspf_xattr_walk *w, const struct merkle_key *key,
			       const void *item, size_t len, const char **ret_name,
			       size_t *ret_name_len);

/* ---- ACLs (fspf/acl.c) ---- */

/* An access ACL was set: the mode follows its owner, mask and other entries.  *ret_trivial: it says
 * no more than the mode does and need not be kept.  -EINVAL: malformed. */
MUST_CHECK int fspf_acl_to_mode(const void *acl, size_t len, uint32_t *mode, bool *ret_trivial);
/* chmod: the access ACL, if there is one, follows the mode. */
MUST_CHECK int fspf_acl_chmod(struct fspf_volume *v, struct fspf_inode *inode);
/* A new @inode in @parent: inherit its default ACL, which then replaces the umask.  @inode's mode
 * is set. */
MUST_CHECK int fspf_acl_inherit(struct fspf_volume *v, struct fspf_inode *parent,
				struct fspf_inode *inode, uint32_t umask);

#endif
