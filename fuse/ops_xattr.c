/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/ops_xattr.c - extended attributes
 *
 * The name spaces of Linux go to the library; of "system." that is the two ACLs.  "fspf." and
 * "system.fspf." are the daemon's own (control.c): they can be read, are not listed, and cannot be
 * set.  Anything else is not supported, as on other file systems; the kernel hands everything on.
 */
#include <errno.h>
#include <stdlib.h>

#include "fuse/daemon_internal.h"

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define GROUPS_MAX 65536 /* NGROUPS_MAX */

static bool has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_supported(const char *name)
{
	return has_prefix(name, "user.") || has_prefix(name, "security.") ||
	       has_prefix(name, "trusted.") || strcmp(name, ACL_ACCESS) == 0 ||
	       strcmp(name, ACL_DEFAULT) == 0;
}

/* May a program change an attribute of this name? */
static int check_change(const char *name)
{
	if (daemon_control_name(name))
		return -EPERM;
	return is_supported(name) ? 0 : -EOPNOTSUPP;
}

/* A length when the caller asked with size 0, else the bytes. */
static void reply_value(fuse_req_t req, ssize_t n, const void *value, size_t size)
{
	n = daemon_checked(req, n);
	if (n < 0)
		daemon_reply(req, (int)n);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)n);
	else
		fuse_reply_buf(req, value, (size_t)n);
}

void daemon_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	void *value = size ? daemon_buffer(daemon_of(req), size) : NULL;
	ssize_t n = -ENOMEM;

	if (size && !value)
		n = -ENOMEM;
	else if (daemon_control_name(name))
		n = daemon_control_get(req, ino, name, value, size);
	else if (!is_supported(name))
		n = -EOPNOTSUPP;
	else
		n = fspf_getxattr(daemon_volume(req), ino, name, value, size);
	reply_value(req, n, value, size);
}

void daemon_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	void *list = size ? daemon_buffer(daemon_of(req), size) : NULL;
	ssize_t n = -ENOMEM;

	if (!size || list)
		n = fspf_listxattr(daemon_volume(req), ino, list, size);
	reply_value(req, n, list, size);
}

static bool in_group(fuse_req_t req, uint32_t gid)
{
	int n = fuse_req_ctx(req)->gid == gid ? 0 : fuse_req_getgroups(req, 0, NULL);
	gid_t *groups = n > 0 && n <= GROUPS_MAX ? calloc((size_t)n, sizeof(*groups)) : NULL;
	bool found = fuse_req_ctx(req)->gid == gid;

	if (groups)
		n = fuse_req_getgroups(req, n, groups);
	for (int i = 0; groups && i < n && !found; i++)
		found = groups[i] == gid;
	free(groups);
	return found;
}

/*
 * As chmod(2) does, setting an access ACL drops S_ISGID unless the caller may keep it: root, or a
 * member of the file's group.  The kernel works this out itself and tells libfuse 3.16 and later;
 * before that it has to be asked for by hand.
 */
static bool acl_kills_sgid(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct fspf_attr attr;

	if (strcmp(name, ACL_ACCESS) != 0 || fuse_req_ctx(req)->uid == 0)
		return false;
	if (fspf_getattr(daemon_volume(req), ino, &attr) < 0 || !(attr.mode & S_ISGID))
		return false;
	return !in_group(req, attr.gid);
}

void daemon_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		     size_t size, int flags)
{
	int err = check_change(name);

	if (err == 0)
		err = fspf_setxattr(daemon_volume(req), ino, name, value, size, flags,
				    acl_kills_sgid(req, ino, name));
	daemon_reply(req, err);
}

void daemon_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	int err = check_change(name);

	if (err == 0)
		err = fspf_removexattr(daemon_volume(req), ino, name);
	daemon_reply(req, err);
}
