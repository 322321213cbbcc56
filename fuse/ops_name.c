/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/ops_name.c - names: finding, making, moving and removing them
 *
 * Names longer than FSPF_NAME_MAX are the library's to refuse.  "." and ".." are looked up only by
 * a kernel that was handed a file handle (EXPORT_SUPPORT): "." means the inode itself, of which the
 * kernel may know no more than the number.
 */
#include <dirent.h>
#include <errno.h>

#include "fuse/daemon_internal.h"

static int find_dotdot(void *ctx, const struct fspf_entry *entry)
{
	uint64_t *ino = ctx;

	if (strcmp(entry->name, "..") == 0)
		*ino = entry->ino;
	return *ino != 0;
}

/* The parent may be renamed away meanwhile, and was the parent once: the kernel checks its chain
 * of names under its own locks. */
static int lookup_parent(struct fspf_volume *v, uint64_t ino, struct fspf_attr *ret)
{
	uint64_t parent = 0;
	int err = fspf_readdir(v, ino, 0, false, find_dotdot, &parent);

	if (err < 0)
		return err;
	return parent == 0 ? -ESTALE : fspf_reference(v, parent, ret);
}

static int lookup_any(struct fspf_volume *v, uint64_t parent, const char *name,
		      struct fspf_attr *ret)
{
	if (strcmp(name, ".") == 0)
		return fspf_reference(v, parent, ret);
	if (strcmp(name, "..") == 0)
		return lookup_parent(v, parent, ret);
	return fspf_lookup(v, parent, name, ret);
}

void daemon_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct fuse_entry_param absent = {
		.ino = 0,
		.entry_timeout = daemon_timeout(fspf_is_foreign(daemon_volume(req), parent))};
	struct fspf_attr attr;
	int err = (int)daemon_checked(req, lookup_any(daemon_volume(req), parent, name, &attr));

	/* That a name does not exist is worth remembering too. */
	if (err == -ENOENT)
		fuse_reply_entry(req, &absent);
	else
		daemon_reply_entry(req, err, &attr);
}

void daemon_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	fspf_forget(daemon_volume(req), ino, n);
	fuse_reply_none(req);
}

void daemon_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		fspf_forget(daemon_volume(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

void daemon_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	const struct fspf_caller caller = daemon_caller(req);
	struct fspf_attr attr;
	int err = fspf_create_file(daemon_volume(req), parent, name, mode, rdev, &caller, &attr);

	daemon_reply_entry(req, err, &attr);
}

void daemon_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	daemon_mknod(req, parent, name, (mode & ~(mode_t)S_IFMT) | S_IFDIR, 0);
}

void daemon_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	const struct fspf_caller caller = daemon_caller(req);
	struct fspf_attr attr;
	int err = fspf_symlink(daemon_volume(req), parent, name, target, &caller, &attr);

	daemon_reply_entry(req, err, &attr);
}

void daemon_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct fspf_attr attr;
	int err = fspf_link(daemon_volume(req), ino, parent, name, &attr);

	daemon_reply_entry(req, err, &attr);
}

void daemon_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	daemon_reply(req, fspf_unlink(daemon_volume(req), parent, name));
}

void daemon_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	daemon_reply(req, fspf_rmdir(daemon_volume(req), parent, name));
}

void daemon_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		   const char *new_name, unsigned int flags)
{
	const struct fspf_caller caller = daemon_caller(req);

	daemon_reply(req, fspf_rename(daemon_volume(req), parent, name, new_parent, new_name, flags,
				      &caller));
}

void daemon_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[FSPF_SYMLINK_MAX + 1];
	ssize_t n = fspf_readlink(daemon_volume(req), ino, target, sizeof(target));

	n = daemon_checked(req, n);
	if (n < 0)
		daemon_reply(req, (int)n);
	else
		fuse_reply_readlink(req, target);
}

void daemon_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	const struct fspf_caller caller = daemon_caller(req);
	struct fspf_volume *v = daemon_volume(req);
	struct fuse_entry_param entry;
	struct fspf_attr attr;
	int err = (int)daemon_checked(req, fspf_tmpfile(v, parent, mode, &caller, &attr));

	if (err < 0) {
		daemon_reply(req, err);
		return;
	}
	daemon_entry(daemon_of(req), &attr, &entry);
	fi->keep_cache = 1;
	if (fuse_reply_create(req, &entry, fi) < 0)
		fspf_forget(v, attr.ino, 1);
}
