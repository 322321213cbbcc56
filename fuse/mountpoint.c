/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/mountpoint.c - looking at mounts from outside
 */
#include "fuse/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fspf/cmd/cmd.h"
#include "fuse/inner.h"

#define MOUNTS_LINE_MAX 65536 /* an overlay's options are long */
#define FUSERMOUNT "fusermount3"

bool daemon_is_within(const char *path, const char *directory)
{
	size_t n = strlen(directory);

	if (strncmp(path, directory, n) != 0)
		return false;
	return path[n] == '\0' || path[n] == '/' || directory[n - 1] == '/';
}

/* "NAME=NUMBER" in the options; 0 when it is not there. */
static unsigned number_in(const struct mntent *entry, const char *name)
{
	const char *at = hasmntopt(entry, name);
	const char *value = at ? strchr(at, '=') : NULL;

	return value ? (unsigned)strtoul(value + 1, NULL, 10) : 0;
}

static void describe(const struct mntent *entry, struct daemon_mount *ret)
{
	*ret = (struct daemon_mount){
		.fspf = strcmp(entry->mnt_type, DAEMON_FS_TYPE) == 0,
		.owner = number_in(entry, "user_id"),
		.group = number_in(entry, "group_id"),
	};
}

/* The table is in the order of mounting, so the last one at a path is the topmost. */
int daemon_find_mount(const char *path, struct daemon_mount *ret)
{
	FILE *table = setmntent("/proc/self/mounts", "re");
	char *line = malloc(MOUNTS_LINE_MAX);
	struct mntent entry;
	int err = -EINVAL;

	if (!table || !line)
		err = table ? -ENOMEM : -errno;
	while (table && line && getmntent_r(table, &entry, line, MOUNTS_LINE_MAX)) {
		if (strcmp(entry.mnt_dir, path) != 0)
			continue;
		describe(&entry, ret);
		err = 0;
	}
	if (table)
		endmntent(table);
	free(line);
	return err;
}

/* The last component need not answer: the directory before it is resolved, and the name added. */
static int resolve_parent(const char *path, char **ret)
{
	char *copy = strdup(path), *parent = NULL, *name, *slash;
	int err = -ENOMEM;

	if (!copy)
		return -ENOMEM;
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	slash = strrchr(copy, '/');
	name = slash ? slash + 1 : copy;
	if (slash == copy)
		parent = strdup("");
	else if (slash)
		*slash = '\0';
	if (!parent)
		parent = realpath(slash ? copy : ".", NULL);
	if (!parent)
		err = -errno;
	else if (asprintf(ret, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name) >= 0)
		err = 0;
	free(parent);
	free(copy);
	return err;
}

int daemon_resolve_mountpoint(const char *path, char **ret)
{
	char *resolved = realpath(path, NULL);
	int err = resolved ? 0 : -errno;

	if (resolved)
		*ret = resolved;
	else if (err == -ENOTCONN || err == -EACCES || err == -EIO)
		err = resolve_parent(path, ret);
	return err;
}

int daemon_device(int fd, const char *path, dev_t *ret)
{
	struct statx st;

	if (statx(fd, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_EMPTY_PATH, 0, &st) < 0)
		return -errno;
	*ret = makedev(st.stx_dev_major, st.stx_dev_minor);
	return 0;
}

static int check_directory(const char *path)
{
	struct stat st;
	int err = stat(path, &st) == 0 ? 0 : -errno;

	if (err == 0 && !S_ISDIR(st.st_mode))
		err = -ENOTDIR;
	if (err == 0)
		return EXIT_DONE;
	print_error("cannot mount at %s: %s", path, strerror(-err));
	if (err == -ENOTCONN)
		print_hint("the daemon of a mount there is gone; clean up with: fspf umount %s",
			   path);
	else if (err == -ENOENT)
		print_hint("make the directory first: mkdir -p %s", path);
	else if (err == -ENOTDIR)
		print_hint("a mount point is a directory");
	return EXIT_FAILED;
}

/* A container's device rules give EPERM; permissions give EACCES, to root too in a user name space
 * that does not map the device's owner. */
static void hint_device(int err)
{
	if (err == EPERM)
		print_hint("the device is there, and its use is forbidden: a container needs "
			   "--device /dev/fuse, and a bind mount is not enough");
	else if (err != EACCES)
		print_hint("load the kernel's module (modprobe fuse); a container needs "
			   "--device /dev/fuse --cap-add SYS_ADMIN");
	else if (geteuid() == 0)
		print_hint("root of a user name space is not the device's owner: outside, let "
			   "everybody use it (chmod 666 /dev/fuse)");
	else
		print_hint("run as root, or get read and write permission on /dev/fuse");
}

int daemon_check_device(void)
{
	int err = access("/dev/fuse", R_OK | W_OK) < 0 ? errno : 0;

	if (err == 0)
		return EXIT_DONE;
	print_error("cannot mount: /dev/fuse: %s", strerror(err));
	hint_device(err);
	return EXIT_FAILED;
}

int daemon_check_mountpoint(const char *path, char **ret)
{
	int status = check_directory(path);
	char *resolved = NULL;
	int err;

	if (status == EXIT_DONE)
		status = daemon_check_device();
	if (status != EXIT_DONE)
		return status;
	err = daemon_resolve_mountpoint(path, &resolved);
	if (err < 0) {
		print_error("cannot mount at %s: %s", path, strerror(-err));
		return EXIT_FAILED;
	}
	*ret = resolved;
	return EXIT_DONE;
}

static bool in_path(const char *program)
{
	const char *list = getenv("PATH");
	char *copy = strdup(list ? list : "/usr/bin:/bin"), *rest = NULL;
	bool found = false;

	for (char *dir = copy ? strtok_r(copy, ":", &rest) : NULL; dir && !found;
	     dir = strtok_r(NULL, ":", &rest)) {
		char *full = NULL;

		if (asprintf(&full, "%s/%s", dir, program) >= 0)
			found = access(full, X_OK) == 0;
		free(full);
	}
	free(copy);
	return found;
}

void daemon_explain_mount(const char *path, bool allow_other)
{
	print_error("cannot mount at %s", path);
	if (geteuid() == 0)
		print_hint("mounting needs CAP_SYS_ADMIN; " DAEMON_CONTAINER_NEEDS);
	else if (!in_path(FUSERMOUNT))
		print_hint("mounting without being root needs " FUSERMOUNT " (package fuse3)");
	else if (allow_other)
		print_hint("-o allow_other needs the line user_allow_other in /etc/fuse.conf");
	else if (access(path, W_OK) < 0)
		print_hint("you need write permission on the mount point");
}

/* fusermount3 is set-user-ID root and lets users unmount what they mounted.  What it says is left
 * out; what became of the mount is looked up. */
static int run_fusermount(const char *path)
{
	const char *const args[] = {FUSERMOUNT, "-u", "-q", "--", path, NULL};
	posix_spawn_file_actions_t files;
	int status = -1;
	pid_t pid;
	int err;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	err = -posix_spawnp(&pid, FUSERMOUNT, &files, NULL, (char *const *)(uintptr_t)args,
			    environ);
	if (err == 0 && waitpid(pid, &status, 0) < 0)
		err = -errno;
	if (err == 0 && status != 0)
		err = -EBUSY;
	posix_spawn_file_actions_destroy(&files);
	return err;
}

static int unmount_topmost(const char *path)
{
	struct daemon_mount mount;
	int err;

	if (umount2(path, UMOUNT_NOFOLLOW) == 0)
		return 0;
	err = -errno;
	if (err != -EPERM)
		return err;
	err = daemon_find_mount(path, &mount);
	if (err < 0)
		return err;
	return mount.owner == geteuid() ? run_fusermount(path) : -EPERM;
}

/* Where the daemon is gone, nothing within can be reached any more, nor need be put back. */
int daemon_unmount(const char *path)
{
	struct daemon_inner inner;
	int err = daemon_inner_take(path, &inner);

	if (err == -ENOTCONN || err == -ECONNABORTED)
		return umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) < 0 ? -errno : 0;
	if (err < 0)
		return err;
	err = unmount_topmost(path);
	if (err < 0)
		daemon_inner_restore(&inner);
	else
		daemon_inner_free(&inner);
	return err;
}
