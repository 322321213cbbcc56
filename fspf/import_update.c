/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/import_update.c - what differs between a file of the host and the volume's
 *
 * Contents are compared by digest: times and sizes prove nothing, and are no reason to leave a file
 * as it is recorded.  Times of access and of change are not compared.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fspf/import_internal.h"
#include "fspf/inplace.h"

/* ---- attributes ---- */

static bool basics_differ(const struct stat *st, const struct fspf_attr *attr)
{
	return (!S_ISLNK(st->st_mode) && st->st_mode != attr->mode) || st->st_uid != attr->uid ||
	       st->st_gid != attr->gid || st->st_mtim.tv_sec != attr->mtime.tv_sec ||
	       st->st_mtim.tv_nsec != attr->mtime.tv_nsec;
}

static size_t count_names(const char *names, ssize_t len)
{
	size_t n = 0;

	for (ssize_t i = 0; i < len; i++)
		n += names[i] == 0;
	return n;
}

/* Each of the host's attributes, in w->names, against the volume's. */
static int values_differ(struct fspf_work *w, int fd, const struct stat *st, uint64_t ino,
			 ssize_t len)
{
	uint8_t *value = malloc(FSPF_XATTR_VALUE_MAX);
	int r = value ? 0 : -ENOMEM;

	for (const char *name = w->names; name < w->names + len && !r; name += strlen(name) + 1) {
		ssize_t host = fspf_import_xattr_get(fd, st, name, w->value, FSPF_XATTR_VALUE_MAX);
		ssize_t have = fspf_getxattr(w->v, ino, name, value, FSPF_XATTR_VALUE_MAX);

		if (host < 0)
			r = (int)host;
		else if (have < 0 && have != -ENODATA)
			r = (int)have;
		else
			r = host != have || memcmp(w->value, value, (size_t)host) != 0;
	}
	free(value);
	return r;
}

static int xattrs_differ(struct fspf_work *w, int fd, const struct stat *st, uint64_t ino)
{
	ssize_t len = fspf_import_xattr_list(w, fd, st);
	size_t n = len < 0 ? 0 : count_names(w->names, len);
	ssize_t have = fspf_listxattr(w->v, ino, w->value, FSPF_XATTR_VALUE_MAX);

	if (len < 0 || have < 0)
		return (int)(len < 0 ? len : have);
	return n != count_names(w->value, have) ? 1 : values_differ(w, fd, st, ino, len);
}

int fspf_import_attributes_differ(struct fspf_work *w, int fd, const struct stat *st,
				  const struct fspf_attr *attr)
{
	return basics_differ(st, attr) ? 1 : xattrs_differ(w, fd, st, attr->ino);
}

int fspf_import_attributes_renew(struct fspf_work *w, int fd, const struct stat *st,
				 const struct fspf_attr *attr, const char **ret_doing)
{
	ssize_t len = fspf_listxattr(w->v, attr->ino, w->names, FSPF_WORK_NAMES);
	struct fspf_attr now;
	int r = len < 0 ? (int)len : 0;

	*ret_doing = "remove an extended attribute of";
	for (const char *name = w->names; name < w->names + len && !r; name += strlen(name) + 1)
		r = fspf_removexattr(w->v, attr->ino, name);
	if (!r)
		r = fspf_getattr(w->v, attr->ino, &now);
	return r ? r : fspf_import_attributes(w, fd, st, &now, false, ret_doing);
}

/* ---- contents ---- */

static int target_differs(struct fspf_work *w, int fd, uint64_t ino)
{
	char host[FSPF_SYMLINK_MAX + 2], have[FSPF_SYMLINK_MAX + 2];
	ssize_t len = readlinkat(fd, "", host, sizeof(host) - 1);
	ssize_t r = len < 0 ? -errno : fspf_readlink(w->v, ino, have, sizeof(have));

	return r < 0 ? (int)r : len != r || memcmp(host, have, (size_t)len) != 0;
}

/* Is it recorded as it would be now?  Takes no look at the contents. */
static int place_differs(struct fspf_import *im, uint64_t parent, uint64_t ino)
{
	bool wanted = fspf_import_in_place(im->work.v, parent), is;
	struct fspf_in_place_item item;
	struct fspf_inode *inode;
	char *path;
	int r = fspf_inode_get(im->work.v, ino, &inode);

	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	is = inode->a.in_place;
	r = is ? fspf_inplace_item(inode, &item) : 0;
	pthread_mutex_unlock(&inode->lock);
	fspf_inode_put(im->work.v, inode, 1);
	if (r || is != wanted || !is)
		return r ? r : is != wanted;
	path = fspf_import_path(im);
	if (!path)
		return -ENOMEM;
	/* A file with several names is recorded by the one that was met first. */
	r = strcmp(fspf_import_host_path(im, parent, path), item.path) != 0;
	free(path);
	return r;
}

static int data_differs(struct fspf_import *im, int fd, uint64_t parent, const struct stat *st,
			const struct fspf_attr *attr)
{
	struct crypto_digest host, have;
	uint64_t size;
	int r;

	if ((uint64_t)st->st_size != attr->size || attr->nlink > st->st_nlink)
		return 1;
	r = place_differs(im, parent, attr->ino);
	if (r)
		return r;
	r = fspf_inplace_digest(&im->work, fd, &size, &host);
	if (r == 0)
		r = fspf_file_digest(im->work.v, attr->ino, &have);
	return r ? r : !crypto_digest_equal(&host, &have);
}

static int contents_differ(struct fspf_import *im, int fd, uint64_t parent, const struct stat *st,
			   const struct fspf_attr *attr)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		return data_differs(im, fd, parent, st, attr);
	case S_IFLNK:
		return target_differs(&im->work, fd, attr->ino);
	case S_IFCHR:
	case S_IFBLK:
		return st->st_rdev != attr->rdev;
	default:
		return 0;
	}
}

/* ---- the verdict ---- */

static int compare_file(struct fspf_import *im, const char *name, uint64_t parent, struct stat *st,
			const struct fspf_attr *attr, enum fspf_import_verdict *ret)
{
	int fd = fspf_import_open(fspf_hostdir_fd(&im->host), name, st);
	int r = fd < 0 ? fd : contents_differ(im, fd, parent, st, attr);

	*ret = FSPF_IMPORT_SAME;
	if (r == 1) {
		*ret = FSPF_IMPORT_CONTENTS;
	} else if (r == 0) {
		r = fspf_import_attributes_differ(&im->work, fd, st, attr);
		if (r == 1)
			*ret = FSPF_IMPORT_ATTRIBUTES;
	}
	if (fd >= 0)
		close(fd);
	return r < 0 ? r : 0;
}

/* What is there and of the same kind. */
static int compare(struct fspf_import *im, const char *name, uint64_t parent, struct stat *st,
		   uint64_t linked, const struct fspf_attr *attr, enum fspf_import_verdict *ret)
{
	int r = 0;

	if (linked)
		*ret = attr->ino == linked ? FSPF_IMPORT_SAME : FSPF_IMPORT_CONTENTS;
	else
		r = compare_file(im, name, parent, st, attr, ret);
	if (r == 0 && *ret == FSPF_IMPORT_CONTENTS)
		r = fspf_import_tell(im, 'M');
	else if (r == 0 && *ret == FSPF_IMPORT_ATTRIBUTES)
		r = fspf_import_tell(im, 'm');
	return r;
}

int fspf_import_compare(struct fspf_import *im, const char *name, uint64_t parent, const char *as,
			struct stat *st, uint64_t linked, struct fspf_attr *ret,
			enum fspf_import_verdict *ret_verdict)
{
	struct fspf_attr attr;
	int r = fspf_lookup(im->work.v, parent, as, &attr);

	if (!r && (attr.mode & S_IFMT) == (st->st_mode & S_IFMT)) {
		r = compare(im, name, parent, st, linked, &attr, ret_verdict);
		if (r)
			fspf_forget(im->work.v, attr.ino, 1);
		else
			*ret = attr;
		return r;
	}
	if (!r) {
		fspf_forget(im->work.v, attr.ino, 1);
		r = fspf_import_remove(im, parent, as);
	} else if (r == -ENOENT) {
		r = 0;
	}
	if (!r)
		r = fspf_import_tell(im, '+');
	*ret_verdict = FSPF_IMPORT_NEW;
	return r;
}
