/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of a host region: finding and making them.  What a number is for is learned with the tree
 * lock held from the opening of the directory on, so that no rename of ours comes between.
 */
#include <errno.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fspf/host_internal.h"

/* ---- finding ---- */

static int look_up_child(struct fspf_host *h, uint64_t parent, const char *name,
			 struct fspf_attr *ret)
{
	struct host_place dir;
	struct statx st;
	int fd, r = host_enter_dir(h, parent, &dir);

	if (r)
		return r;
	r = host_child(h, dir.fd, name, &fd, &st);
	if (r == 0) {
		r = host_adopt(h, dir.file, name, fd, &st, ret);
		close(fd);
	}
	host_leave(h, &dir);
	return r;
}

/* What covers @name, or 0: an answer without asking the host (H6). */
static uint64_t cover_at(struct fspf_host *h, uint64_t parent, const char *name)
{
	const struct host_way *way;
	struct host_file *file;
	uint64_t ino = 0;

	if (host_get(h, parent, &file) == 0) {
		way = host_way_at(file, name);
		ino = way ? way->ino : 0;
		host_put(h, file);
	}
	return ino;
}

static int look_up(struct fspf_host *h, uint64_t parent, const char *name, struct fspf_attr *ret)
{
	uint64_t cover = cover_at(h, parent, name);

	if (cover == 0)
		return look_up_child(h, parent, name, ret);
	*ret = (struct fspf_attr){.ino = cover};
	return 1;
}

int host_parent(struct fspf_host *h, uint64_t ino, uint64_t *ret)
{
	struct host_file *file;
	int r = host_get(h, ino, &file);

	if (r)
		return r;
	host_lock(h);
	if (file == h->root)
		*ret = ino;
	else if (file->names)
		*ret = file->names->dir->node->ino;
	else
		r = -ESTALE;
	host_drop(h, file);
	host_unlock(h);
	return r;
}

int fspf_host_lookup(struct fspf_host *h, uint64_t parent, const char *name, struct fspf_attr *ret)
{
	size_t len;
	int r;

	if (!strcmp(name, "."))
		return fspf_host_reference(h, parent, ret);
	if (!strcmp(name, "..")) {
		r = host_parent(h, parent, &parent);
		return r ? r : fspf_host_reference(h, parent, ret);
	}
	r = fspf_name_check(name, &len);
	if (r)
		return r;
	pthread_rwlock_rdlock(&h->tree);
	r = look_up(h, parent, name, ret);
	pthread_rwlock_unlock(&h->tree);
	return r;
}

static ssize_t read_target(int fd, char *target, size_t size)
{
	ssize_t n = readlinkat(fd, "", target, size);

	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ERANGE;
	target[n] = 0;
	return n;
}

ssize_t fspf_host_readlink(struct fspf_host *h, uint64_t ino, char *target, size_t size)
{
	struct host_place place;
	ssize_t n = host_visit(h, ino, &place);

	if (n)
		return n;
	n = place.file->id.type == S_IFLNK ? read_target(place.fd, target, size) : -EINVAL;
	host_leave(h, &place);
	return n;
}

/* ---- making ---- */

/* What is to be made. */
struct recipe {
	uint32_t mode;
	dev_t rdev;
	const char *target; /* of a symlink */
	const struct fspf_caller *caller;
};

/* Where: the directory, and what it hands down. */
struct site {
	struct host_place dir;
	const char *name;
	bool default_acl;
};

static int enter_site(struct fspf_host *h, uint64_t parent, const char *name, struct site *ret)
{
	size_t len;
	int r = fspf_name_check(name, &len);

	if (r)
		return r;
	if (cover_at(h, parent, name))
		return -EEXIST;
	r = host_enter_dir(h, parent, &ret->dir);
	if (r == 0) {
		ret->name = name;
		ret->default_acl = getxattr(host_fd_path(ret->dir.fd).text,
					    "system.posix_acl_default", NULL, 0) > 0;
	}
	return r;
}

static int make_file(int at, const char *name, uint32_t mode)
{
	int fd = openat(at, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
			mode & 07777);

	return fd < 0 ? -errno : fd;
}

/* A name that the host may have given to something else by the time it is opened: that is not ours
 * to give away. */
static int open_made(struct fspf_host *h, int at, const char *name, uint32_t type)
{
	struct statx st;
	int fd, r = host_child(h, at, name, &fd, &st);

	if (r)
		return r == -ENOENT ? -ESTALE : r;
	if ((st.stx_mode & S_IFMT) != type || (geteuid() == 0 && st.stx_uid != 0) ||
	    (type != S_IFDIR && st.stx_nlink != 1)) {
		close(fd);
		fd = -ESTALE;
	}
	return fd;
}

static int make(struct fspf_host *h, int at, const char *name, const struct recipe *what,
		uint32_t mode)
{
	uint32_t type = mode & S_IFMT;
	int r;

	if (type == S_IFREG)
		return make_file(at, name, mode);
	if (type == S_IFDIR)
		r = mkdirat(at, name, mode & 07777);
	else if (type == S_IFLNK)
		r = symlinkat(what->target, at, name);
	else
		r = mknodat(at, name, mode, what->rdev);
	return r ? -errno : open_made(h, at, name, type);
}

/* The group of a set-group-id directory was handed down by the host. */
static int give_away(const struct site *site, int fd, const struct fspf_caller *caller)
{
	gid_t gid = site->dir.st.stx_mode & S_ISGID ? (gid_t)-1 : caller->gid;

	if (geteuid() != 0)
		return 0;
	return fchownat(fd, "", caller->uid, gid, AT_EMPTY_PATH) ? -errno : 0;
}

/* Our own umask may have taken bits away, and the change of owner those for set-id.  With a default
 * ACL the host has worked out the permissions. */
static int complete_mode(const struct site *site, int fd, uint32_t mode)
{
	struct statx st;
	int r = host_stat(fd, &st);

	if (r || S_ISLNK(mode))
		return r;
	if (site->default_acl)
		mode = (mode & ~0777u) | (st.stx_mode & 0777);
	if (S_ISDIR(mode))
		mode |= site->dir.st.stx_mode & S_ISGID;
	return mode == st.stx_mode ? 0 : host_chmod(fd, mode);
}

static int finish(struct fspf_host *h, const struct site *site, int fd, const struct recipe *what,
		  uint32_t mode, struct fspf_attr *ret)
{
	struct statx st;
	int r = give_away(site, fd, what->caller);

	if (r == 0)
		r = complete_mode(site, fd, mode);
	if (r == 0)
		r = host_stat(fd, &st);
	if (r == 0)
		r = host_adopt(h, site->dir.file, site->name, fd, &st, ret);
	if (r)
		unlinkat(site->dir.fd, site->name, S_ISDIR(mode) ? AT_REMOVEDIR : 0);
	return r;
}

static int make_at(struct fspf_host *h, const struct site *site, const struct recipe *what,
		   struct fspf_attr *ret)
{
	uint32_t mode = what->mode & S_IFMT ? what->mode : what->mode | S_IFREG;
	int fd, r;

	if (!site->default_acl && !S_ISLNK(mode))
		mode &= ~(what->caller->umask & 0777);
	fd = make(h, site->dir.fd, site->name, what, mode);
	if (fd < 0)
		return fd;
	r = finish(h, site, fd, what, mode, ret);
	close(fd);
	return r;
}

static int create(struct fspf_host *h, uint64_t parent, const char *name, const struct recipe *what,
		  struct fspf_attr *ret)
{
	struct site site;
	int r;

	if (h->read_only)
		return -EROFS;
	pthread_rwlock_rdlock(&h->tree);
	r = enter_site(h, parent, name, &site);
	if (r == 0) {
		r = make_at(h, &site, what, ret);
		host_leave(h, &site.dir);
	}
	pthread_rwlock_unlock(&h->tree);
	return r;
}

int fspf_host_create_file(struct fspf_host *h, uint64_t parent, const char *name, uint32_t mode,
			  uint64_t rdev, const struct fspf_caller *caller, struct fspf_attr *ret)
{
	const struct recipe what = {.mode = mode, .rdev = rdev, .caller = caller};

	return S_ISLNK(mode) ? -EINVAL : create(h, parent, name, &what, ret);
}

int fspf_host_symlink(struct fspf_host *h, uint64_t parent, const char *name, const char *target,
		      const struct fspf_caller *caller, struct fspf_attr *ret)
{
	const struct recipe what = {.mode = S_IFLNK | 0777, .target = target, .caller = caller};

	return create(h, parent, name, &what, ret);
}

int fspf_host_tmpfile(struct fspf_host *h, uint64_t parent, uint32_t mode,
		      const struct fspf_caller *caller, struct fspf_attr *ret)
{
	(void)parent;
	(void)mode;
	(void)caller;
	(void)ret;
	return h->read_only ? -EROFS : -EOPNOTSUPP;
}

/* A path of /proc, followed, names the file itself without the right to read it. */
static int link_at(struct fspf_host *h, const struct host_place *place, const struct site *site,
		   struct fspf_attr *ret)
{
	struct statx st;
	int r;

	if (place->file->id.type == S_IFDIR)
		return -EPERM;
	if (linkat(AT_FDCWD, host_fd_path(place->fd).text, site->dir.fd, site->name,
		   AT_SYMLINK_FOLLOW))
		return -errno;
	r = host_stat(place->fd, &st);
	return r ? r : host_adopt(h, site->dir.file, site->name, place->fd, &st, ret);
}

int fspf_host_link(struct fspf_host *h, uint64_t ino, uint64_t parent, const char *name,
		   struct fspf_attr *ret)
{
	struct host_place place;
	struct site site;
	int r;

	if (h->read_only)
		return -EROFS;
	pthread_rwlock_rdlock(&h->tree);
	r = host_enter(h, ino, &place);
	if (r == 0) {
		r = enter_site(h, parent, name, &site);
		if (r == 0) {
			r = link_at(h, &place, &site, ret);
			host_leave(h, &site.dir);
		}
		host_leave(h, &place);
	}
	pthread_rwlock_unlock(&h->tree);
	return r;
}
