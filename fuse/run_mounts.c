/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/run_mounts.c - name spaces, and regions at their prefixes
 *
 * Everything that is to be put somewhere is first taken as a mount without a place (open_tree(2)),
 * while all paths still mean what they meant; then the volume's own mount is taken away or becomes
 * the root; then each is put into its place (move_mount(2)).  So nothing that is put somewhere can
 * be in the way of what is still to be found, wherever the volume was mounted.
 *
 * A region within another comes along with it, since the file system crosses regions by itself.  It
 * gets a mount of its own only if that has other attributes than the one around it, or if one of
 * the outside's directories is put over the way to it.
 *
 * A region that is passed through shows what the host likes, at any time.  So no symlink is
 * followed on the way to a region, neither where it is taken nor where it is put into another, and
 * what is found must be the region's top; else there is no command.  What is in no region is the
 * environment's, whose symlinks are followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuse/inner.h"
#include "fuse/mountpoint.h"
#include "fuse/run_internal.h"

/* What a program expects and no volume can hold; only where the whole root is the volume's. */
static const char *const outside_directories[] = {"/proc", "/sys", "/dev"};

#define PIECES_MAX (FSPF_REGIONS_MAX + ARRAY_LEN(outside_directories))

/* A mount without a place, and where it will be. */
struct piece {
	int mount;
	const char *target;
	const struct run_region *region; /* NULL: one of the outside's directories */
};

struct arrangement {
	const struct run_plan *plan;
	const char *place;
	dev_t device; /* the volume's */
	struct piece pieces[PIECES_MAX];
	size_t count;
};

/* ---- our name space ---- */

static int say_no_namespace(int err)
{
	print_error("cannot have a mount name space of our own: %s", strerror(-err));
	if (err == -EPERM || err == -EACCES)
		print_hint("this needs CAP_SYS_ADMIN; " DAEMON_CONTAINER_NEEDS);
	return EXIT_FAILED;
}

/* The root directory of a process in a chroot is no mount, and its propagation cannot be changed;
 * so be at the root of all for a moment, which is where joining a mount name space leads. */
static int make_private_from_above(void)
{
	int namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (namespace < 0 || root < 0 || cwd < 0)
		err = -errno;
	else if (setns(namespace, CLONE_NEWNS) < 0 ||
		 mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || fchdir(root) < 0 ||
		 chroot(".") < 0 || fchdir(cwd) < 0)
		err = -errno;
	if (namespace >= 0)
		close(namespace);
	if (root >= 0)
		close(root);
	if (cwd >= 0)
		close(cwd);
	return err;
}

/* Private and not slave: what the command finds at a path is settled when it starts. */
int run_mounts_isolate(void)
{
	int err = 0;

	if (unshare(CLONE_NEWNS) < 0)
		return say_no_namespace(-errno);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		err = -errno;
	if (err == -EINVAL)
		err = make_private_from_above();
	return err < 0 ? say_no_namespace(err) : EXIT_DONE;
}

/* Is @path, if there is one, reached without entering @directory, and the other way round? */
static bool is_apart(const char *path, const char *directory)
{
	return !path || (!daemon_is_within(path, directory) && !daemon_is_within(directory, path));
}

int run_mounts_place(const char *volume, const char *tag_file, char **ret)
{
	/* What a system has; /dev/shm is what a container without any files has. */
	static const char *const places[] = {"/mnt", "/media",	 "/srv",     "/opt",	"/tmp",
					     "/run", "/var/tmp", "/dev/shm", "/dev/pts"};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		char *path = realpath(places[i], NULL);
		struct stat st;

		if (path && stat(path, &st) == 0 && S_ISDIR(st.st_mode) && is_apart(volume, path) &&
		    is_apart(tag_file, path)) {
			*ret = path;
			return EXIT_DONE;
		}
		free(path);
	}
	print_error("there is no directory where the volume could be mounted");
	print_hint("make an empty one: mkdir /mnt");
	return EXIT_FAILED;
}

/* ---- taking ---- */

static int say_cannot_take(const char *path, int err)
{
	print_error("cannot take %s into the command's name space: %s", path, strerror(-err));
	if (err == -ENOSYS)
		print_hint("this needs Linux 5.12 or newer");
	else if (err == -EPERM)
		print_hint("this needs CAP_SYS_ADMIN; " DAEMON_CONTAINER_NEEDS);
	return fspf_exit_status(err);
}

static int say_unreachable(const struct run_region *r, int err)
{
	const char *why = strerror(-err);

	if (err == -ELOOP)
		why = "a symlink is on the way to it";
	else if (err == -EXDEV)
		why = "something else is in its place";
	print_error("cannot show region %s to the command: %s", r->prefix, why);
	if (err == -ENOSYS)
		print_hint("this needs Linux 5.12 or newer");
	else if (err == -ELOOP || err == -EXDEV || err == -ENOENT || err == -ENOTDIR)
		print_hint("what the host passes through must be there, and on the way to a region "
			   "within it directories, not symlinks");
	return EXIT_FAILED;
}

static bool is_top(int fd, const struct run_region *r)
{
	struct stat st;

	if (r->top == 0)
		return r->may_lack_top;
	return fstat(fd, &st) == 0 && st.st_ino == r->top;
}

/* The top of @r, which is at @path below @root. */
static int open_top(const struct arrangement *a, int root, const char *path,
		    const struct run_region *r, int *ret)
{
	int fd;
	int err = daemon_inner_open(root, a->device, path, &fd);

	if (err < 0)
		return err;
	if (!is_top(fd, r)) {
		close(fd);
		return -EXDEV;
	}
	*ret = fd;
	return 0;
}

/* What @at is open for becomes a mount of its own, @piece; @attributes are added to it. */
static int take(struct arrangement *a, int at, struct piece piece, uint64_t attributes)
{
	struct mount_attr attr = {.attr_set = attributes};

	piece.mount = open_tree(at, "",
				OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
	if (piece.mount < 0)
		return say_cannot_take(piece.target, -errno);
	a->pieces[a->count++] = piece;
	if (attributes &&
	    mount_setattr(piece.mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return say_cannot_take(piece.target, -errno);
	return EXIT_DONE;
}

static bool is_region(const struct run_plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->count; i++)
		if (strcmp(plan->regions[i].prefix, path) == 0)
			return true;
	return false;
}

/* A region that has the same name as one of the outside's directories is there instead of it. */
static int take_outside(struct arrangement *a)
{
	int status = EXIT_DONE;

	for (size_t i = 0; i < ARRAY_LEN(outside_directories) && status == EXIT_DONE; i++) {
		const char *path = outside_directories[i];
		int fd;

		if (is_region(a->plan, path))
			continue;
		fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		status = take(a, fd, (struct piece){.target = path}, 0);
		close(fd);
	}
	return status;
}

/* Below one of the outside's directories that will be there? */
static bool will_be_hidden(const struct arrangement *a, const char *prefix)
{
	for (size_t i = 0; i < a->count; i++)
		if (!a->pieces[i].region && daemon_is_within(prefix, a->pieces[i].target))
			return true;
	return false;
}

/* The closest region around it comes last of those before it. */
static bool has_own_mount(const struct arrangement *a, size_t i)
{
	const struct run_region *r = &a->plan->regions[i];
	bool comes_along = a->plan->whole_root;
	uint64_t attributes = 0;

	for (size_t k = 0; k < i; k++) {
		if (!daemon_is_within(r->prefix, a->plan->regions[k].prefix))
			continue;
		comes_along = true;
		attributes = a->plan->regions[k].attributes;
	}
	return !comes_along || r->attributes != attributes || will_be_hidden(a, r->prefix);
}

static int take_region(struct arrangement *a, int root, const struct run_region *r)
{
	int fd;
	int err = open_top(a, root, r->prefix + 1, r, &fd);
	int status;

	if (err < 0)
		return say_unreachable(r, err);
	status = take(a, fd, (struct piece){.target = r->prefix, .region = r}, r->attributes);
	close(fd);
	return status;
}

static int take_regions(struct arrangement *a)
{
	int root = open(a->place, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int err = root < 0 ? -errno : daemon_device(root, "", &a->device);
	int status = err < 0 ? say_cannot_take("/", err) : EXIT_DONE;

	for (size_t i = 0; i < a->plan->count && status == EXIT_DONE; i++)
		if (has_own_mount(a, i))
			status = take_region(a, root, &a->plan->regions[i]);
	if (root >= 0)
		close(root);
	return status;
}

/* ---- the root ---- */

/* pivot_root(2) is refused by some containers' filters, and impossible on an initial RAM disk: then
 * the old root stays below the new one, or beside it, where a program finds it only if it may
 * change its root. */
static int change_root(const char *place)
{
	if (chdir(place) < 0)
		return -errno;
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		if (umount2(".", MNT_DETACH) < 0)
			return -errno;
	} else {
		(void)mount(".", "/", NULL, MS_MOVE, NULL);
		if (chroot(".") < 0)
			return -errno;
	}
	return chdir("/") < 0 ? -errno : 0;
}

static int leave_place(const struct arrangement *a)
{
	int err = 0;

	if (a->plan->whole_root)
		err = change_root(a->place);
	else if (umount2(a->place, MNT_DETACH) < 0)
		err = -errno;
	if (err == 0)
		return EXIT_DONE;
	print_error("cannot change the command's root directory: %s", strerror(-err));
	return EXIT_FAILED;
}

/* ---- putting ---- */

static int make_directories_to(char *path)
{
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		int failed;

		*p = '\0';
		failed = mkdir(path, 0755) < 0 && errno != EEXIST;
		*p = '/';
		if (failed)
			return -errno;
	}
	return 0;
}

static int make_target(const char *target, bool directory)
{
	char path[FSPF_PREFIX_MAX + 1];
	int err, fd;

	snprintf(path, sizeof(path), "%s", target);
	err = make_directories_to(path);
	if (err < 0)
		return err;
	if (directory)
		return mkdir(path, 0755) < 0 ? -errno : 0;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* Something is there that @piece can be mounted on. */
static int provide_target(const struct piece *piece)
{
	struct stat from, at;

	if (fstat(piece->mount, &from) < 0)
		return -errno;
	if (stat(piece->target, &at) < 0)
		return errno == ENOENT ? make_target(piece->target, S_ISDIR(from.st_mode)) : -errno;
	if (S_ISDIR(from.st_mode) && !S_ISDIR(at.st_mode))
		return -ENOTDIR;
	return !S_ISDIR(from.st_mode) && S_ISDIR(at.st_mode) ? -EISDIR : 0;
}

/* Into what is no region's, by its path. */
static int put_outside(const struct piece *piece)
{
	int err = provide_target(piece);

	if (err < 0) {
		print_error("cannot make a mount point for %s: %s", piece->target, strerror(-err));
		if (err == -EROFS || err == -EACCES)
			print_hint("make it beforehand, where its file system can be written: "
				   "mkdir -p %s, in a container when the image is built",
				   piece->target);
		return EXIT_FAILED;
	}
	if (move_mount(piece->mount, "", AT_FDCWD, piece->target,
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) < 0)
		return say_cannot_take(piece->target, -errno);
	return EXIT_DONE;
}

/* Into the volume: onto the same top, at @path below @root. */
static int put_inside(const struct arrangement *a, const struct piece *piece, int root,
		      const char *path)
{
	int status = EXIT_DONE;
	int at;
	int err = open_top(a, root, path, piece->region, &at);

	if (err < 0)
		return say_unreachable(piece->region, err);
	if (move_mount(piece->mount, "", at, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		status = say_cannot_take(piece->target, -errno);
	close(at);
	return status;
}

static int put_into_root(const struct arrangement *a, const struct piece *piece)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int status;

	if (root < 0)
		return say_cannot_take(piece->target, -errno);
	status = put_inside(a, piece, root, piece->target + 1);
	close(root);
	return status;
}

/* The closest one around it comes last of those before it. */
static const struct piece *piece_around(const struct arrangement *a, size_t i)
{
	const struct piece *found = NULL;

	for (size_t k = 0; k < i; k++)
		if (daemon_is_within(a->pieces[i].target, a->pieces[k].target))
			found = &a->pieces[k];
	return found;
}

static int put(const struct arrangement *a, size_t i)
{
	const struct piece *piece = &a->pieces[i], *around = piece_around(a, i);

	if (around && around->region)
		return put_inside(a, piece, around->mount,
				  piece->target + strlen(around->target) + 1);
	if (piece->region && !around && a->plan->whole_root)
		return put_into_root(a, piece);
	return put_outside(piece);
}

static int put_all(struct arrangement *a)
{
	mode_t mask = umask(0);
	int status = EXIT_DONE;

	for (size_t i = 0; i < a->count && status == EXIT_DONE; i++)
		status = put(a, i);
	for (size_t i = 0; i < a->count; i++)
		close(a->pieces[i].mount);
	umask(mask);
	return status;
}

int run_mounts_arrange(const struct run_plan *plan, const char *place)
{
	struct arrangement a = {.plan = plan, .place = place};
	int status = EXIT_DONE;

	if (unshare(CLONE_NEWNS) < 0)
		return say_no_namespace(-errno);
	if (plan->whole_root)
		status = take_outside(&a);
	if (status == EXIT_DONE)
		status = take_regions(&a);
	if (status == EXIT_DONE)
		status = leave_place(&a);
	if (status == EXIT_DONE)
		status = put_all(&a);
	return status;
}
