/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/cmd_umount.c - `fspf umount MOUNTPOINT`: everything durable, daemon gone, tag printed
 *
 * umount(8) returns when the kernel has let go; the daemon then still commits.  This command waits
 * for that, over a pipe whose writing end the daemon takes (control.h) before the unmount and holds
 * until it has exited.  What can happen, and what it means:
 *
 *   the daemon was gone already (ENOTCONN)   the mount is cleaned up, and we say that the volume
 * was not closed; the mount is busy                        nothing happened; the pipe ends with us;
 *   somebody else unmounted in between       we did ask for the tag, so it comes all the same;
 *   unmounted here, alive elsewhere          (a bind mount, another mount name space) the daemon
 * does not say "closing" within a few seconds; the pipe ends without a result           the daemon
 * died while closing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <grp.h>
#include <unistd.h>

#include "fspf/cmd/cmd.h"
#include "fuse/control.h"
#include "fuse/mountpoint.h"

#define CLOSING_WAIT_MS 5000

const struct command command_umount = {
	.name = "umount",
	.synopsis = "MOUNTPOINT",
	.summary = "unmount, wait until the volume is closed, print its tag",
	.arguments_min = 1,
	.arguments_max = 1,
	.run = cmd_umount,
};

static int say(const char *path, int err)
{
	print_error("cannot unmount %s: %s", path, strerror(-err));
	if (err == -EBUSY)
		print_hint("see who uses it with: fuser -vm %s", path);
	else if (err == -EPERM || err == -EACCES)
		print_hint("only root and the user who mounted it can unmount it");
	return fspf_exit_status(err);
}

static int say_dead(const char *path)
{
	int err = daemon_unmount(path);

	if (err < 0)
		return say(path, err);
	print_error("the daemon of %s was gone: unmounted, but the volume was not closed", path);
	print_hint("it opens in its last published state");
	return EXIT_FAILED;
}

/* ---- asking the daemon to tell us ---- */

/* A daemon that is not root's may look at our descriptors only while we are dumpable, which main()
 * and a change of user undo. */
static int ask(const char *path, int pipe)
{
	char name[64], value[16];
	int err;

	snprintf(name, sizeof(name), DAEMON_XATTR_CLOSING "%d", pipe);
	prctl(PR_SET_DUMPABLE, 1);
	err = getxattr(path, name, value, sizeof(value)) < 0 ? -errno : 0;
	prctl(PR_SET_DUMPABLE, 0);
	return err;
}

/* A user's mount shuts even root out, so root asks as that user, in a child, and gives that user
 * the pipe. */
static int ask_as(const char *path, int pipe, const struct daemon_mount *mount)
{
	int status = 0;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child == 0) {
		if (fchown(pipe, mount->owner, mount->group) < 0 || setgroups(0, NULL) < 0 ||
		    setresgid(mount->group, mount->group, mount->group) < 0 ||
		    setresuid(mount->owner, mount->owner, mount->owner) < 0)
			_exit(EPERM);
		_exit(-ask(path, pipe) & 0xff);
	}
	if (waitpid(child, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int ask_somehow(const char *path, int pipe, const struct daemon_mount *mount)
{
	int err = ask(path, pipe);

	if (err == -EACCES && geteuid() == 0 && mount->owner != 0)
		err = ask_as(path, pipe, mount);
	return err;
}

/* ---- hearing what it says ---- */

static int await_closing(int pipe)
{
	struct pollfd p = {.fd = pipe, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, CLOSING_WAIT_MS);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -EBUSY : 0;
}

/* One of the daemon's last lines: true, and *ret_status, when it is a result. */
static bool take_result(char *line, int *ret_status)
{
	char hex[65];
	int status, text = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "tag %64[0-9a-f]", hex) == 1) {
		printf("%s\n", hex);
		*ret_status = EXIT_DONE;
		return true;
	}
	if (sscanf(line, "error %d %n", &status, &text) == 1 && text > 0) {
		print_error("%s", line + text);
		*ret_status = status;
		return true;
	}
	return false;
}

/* To the end of the pipe, which is the end of the daemon.  Takes over @pipe. */
static int hear(const char *path, int pipe)
{
	FILE *lines = fdopen(pipe, "r");
	char line[DAEMON_LINE_MAX + 1];
	bool any = false;
	int status = EXIT_FAILED;

	if (!lines) {
		close(pipe);
		print_error("out of memory");
		return EXIT_FAILED;
	}
	while (fgets(line, sizeof(line), lines))
		any |= take_result(line, &status);
	fclose(lines);
	if (!any) {
		print_error("the daemon of %s died before the volume was closed", path);
		print_hint("it opens in its last published state");
	}
	return status;
}

/* ---- the command ---- */

static int unmount_and_hear(const char *path, int pipe)
{
	int err = daemon_unmount(path);

	if (err < 0 && err != -EINVAL) {
		close(pipe);
		return say(path, err);
	}
	err = await_closing(pipe);
	if (err == 0)
		return hear(path, pipe);
	close(pipe);
	print_error("%s is unmounted here, but the file system is in use elsewhere and stays open",
		    path);
	print_hint("look for bind mounts of it and for containers that were started meanwhile: "
		   "grep -l fuse.fspf /proc/*/mounts");
	return fspf_exit_status(err);
}

static int unmount(const char *path, const struct daemon_mount *mount)
{
	int ends[2];
	int err;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return say(path, -errno);
	err = ask_somehow(path, ends[1], mount);
	close(ends[1]);
	if (err == 0)
		return unmount_and_hear(path, ends[0]);
	close(ends[0]);
	if (err == -ENOTCONN)
		return say_dead(path);
	if (err == -ESRCH) {
		print_error("the daemon of %s cannot see this process", path);
		print_hint(
			"run this command outside the container, or use umount(8); the volume is "
			"closed all the same");
		return EXIT_FAILED;
	}
	return say(path, err);
}

static int find(const char *argument, char **ret_path, struct daemon_mount *ret)
{
	int err = daemon_resolve_mountpoint(argument, ret_path);

	if (err < 0)
		return say(argument, err);
	err = daemon_find_mount(*ret_path, ret);
	if (err == -EINVAL) {
		print_error("%s is not a mount point", *ret_path);
		return EXIT_FAILED;
	}
	if (err < 0)
		return say(*ret_path, err);
	if (!ret->fspf) {
		print_error("what is mounted at %s is not a volume of fspf", *ret_path);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

int cmd_umount(int argc, char **argv)
{
	struct invocation i;
	struct daemon_mount mount;
	char *path = NULL;
	int status;

	if (!parse_command_line(&command_umount, NULL, argc, argv, &i))
		return i.status;
	status = find(i.argv[0], &path, &mount);
	if (status == EXIT_DONE)
		status = unmount(path, &mount);
	free(path);
	return status;
}
