/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/cmd_umount.c - `fspf umount MOUNTPOINT`: everything durable, daemon gone, tag printed
 *
 * umount(8) returns when the kernel has let go; the daemon then still commits.  This command waits
 * for that, over a pipe whose writing end the daemon takes (control.h) before the unmount and holds
 * until it exits.  What can happen, and what it means:
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
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fspf/cmd/cmd.h"
#include "fuse/control.h"
#include "fuse/mountpoint.h"

#define CLOSING_WAIT_MS 5000
#define EXIT_WAIT_MS 5000

const struct command command_umount = {
	.name = "umount",
	.synopsis = "MOUNTPOINT",
	.summary = "unmount, wait until the volume is closed, print its tag",
	.arguments_min = 1,
	.arguments_max = 1,
	.run = cmd_umount,
};

/* One unmount under way; descriptors are -1 when there is none. */
struct parting {
	const char *path;
	struct daemon_mount mount;
	int read_end, write_end;
	pid_t daemon; /* 0: not known */
	int process;  /* a pidfd of it */
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

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- asking the daemon to tell us ---- */

/* A daemon that is not root's may look at our descriptors only while we are dumpable, which main()
 * and a change of user undo.  The daemon's process is remembered, if we can see it. */
static int ask(struct parting *p)
{
	char name[64], value[16];
	ssize_t n;

	snprintf(name, sizeof(name), DAEMON_XATTR_CLOSING "%d", p->write_end);
	prctl(PR_SET_DUMPABLE, 1);
	n = getxattr(p->path, name, value, sizeof(value) - 1);
	if (n < 0)
		n = -errno;
	prctl(PR_SET_DUMPABLE, 0);
	if (n < 0)
		return (int)n;
	value[n] = '\0';
	p->daemon = (pid_t)strtol(value, NULL, 10);
	if (p->daemon > 0)
		p->process = pidfd_open(p->daemon, 0);
	return 0;
}

/* A user's mount shuts even root out, so root asks as that user, in a child, and gives that user
 * the pipe. */
static int ask_as_owner(struct parting *p)
{
	const struct daemon_mount *m = &p->mount;
	int status = 0;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child == 0) {
		if (fchown(p->write_end, m->owner, m->group) < 0 || setgroups(0, NULL) < 0 ||
		    setresgid(m->group, m->group, m->group) < 0 ||
		    setresuid(m->owner, m->owner, m->owner) < 0)
			_exit(EPERM);
		_exit(-ask(p) & 0xff);
	}
	if (waitpid(child, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int ask_somehow(struct parting *p)
{
	int err = ask(p);

	if (err == -EACCES && geteuid() == 0 && p->mount.owner != 0)
		err = ask_as_owner(p);
	return err;
}

/* ---- hearing what it says ---- */

/* -EBUSY: nothing within @ms. */
static int await(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -EBUSY : 0;
}

/* One of the daemon's last lines: shown, and *status changed if it is an error.  Is it the tag? */
static bool take_line(char *line, int *status)
{
	char hex[65];
	int number, text = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "error %d %n", &number, &text) == 1 && text > 0) {
		print_error("%s", line + text);
		*status = number;
	}
	if (sscanf(line, "tag %64[0-9a-f]", hex) != 1)
		return false;
	printf("%s\n", hex);
	return true;
}

/* To the end of the pipe, which is the end of the daemon but for a moment. */
static int hear(struct parting *p)
{
	FILE *lines = fdopen(p->read_end, "r");
	char line[DAEMON_LINE_MAX + 1];
	bool tag = false;
	int status = EXIT_DONE;

	if (!lines) {
		print_error("out of memory");
		return EXIT_FAILED;
	}
	p->read_end = -1; /* the stream's now */
	while (fgets(line, sizeof(line), lines))
		tag |= take_line(line, &status);
	fclose(lines);
	if (p->process >= 0 && await(p->process, EXIT_WAIT_MS) < 0)
		print_hint("the daemon has let go of everything, but its process is still there");
	if (!tag) {
		print_error("the daemon of %s died before the volume was closed", p->path);
		print_hint("it opens in its last published state");
		status = EXIT_FAILED;
	}
	return status;
}

/* ---- the command ---- */

static int say_alive_elsewhere(const struct parting *p)
{
	print_error("%s is unmounted here, but the file system is in use elsewhere and stays open",
		    p->path);
	if (p->daemon > 0)
		print_hint("look for bind mounts and for containers that were started meanwhile; "
			   "kill %d cuts them off and closes the volume",
			   (int)p->daemon);
	else
		print_hint("look for bind mounts and for containers that were started meanwhile");
	return fspf_exit_status(-EBUSY);
}

static int say_unseen(const char *path)
{
	print_error("the daemon of %s cannot see this process", path);
	print_hint("run this command outside the container, or use umount(8); the volume is closed "
		   "all the same");
	return EXIT_FAILED;
}

static int clean_up_dead(const char *path)
{
	int err = daemon_unmount(path);

	if (err < 0)
		return say(path, err);
	print_error("the daemon of %s was gone: unmounted, but the volume was not closed", path);
	print_hint("it opens in its last published state");
	return EXIT_FAILED;
}

static int unmount_and_hear(struct parting *p)
{
	int err = daemon_unmount(p->path);

	if (err < 0 && err != -EINVAL)
		return say(p->path, err);
	err = await(p->read_end, CLOSING_WAIT_MS);
	if (err == -EBUSY)
		return say_alive_elsewhere(p);
	return err < 0 ? say(p->path, err) : hear(p);
}

static int part(struct parting *p)
{
	int ends[2];
	int err, status;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return say(p->path, -errno);
	p->read_end = ends[0];
	p->write_end = ends[1];
	err = ask_somehow(p);
	close_end(&p->write_end); /* the daemon's is the only one now */
	if (err == 0)
		status = unmount_and_hear(p);
	else if (err == -ENOTCONN)
		status = clean_up_dead(p->path);
	else if (err == -ESRCH)
		status = say_unseen(p->path);
	else
		status = say(p->path, err);
	close_end(&p->read_end);
	close_end(&p->process);
	return status;
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
	struct parting p = {.read_end = -1, .write_end = -1, .process = -1};
	struct invocation i;
	char *path = NULL;
	int status;

	if (!parse_command_line(&command_umount, NULL, argc, argv, &i))
		return i.status;
	status = find(i.argv[0], &path, &p.mount);
	p.path = path;
	if (status == EXIT_DONE)
		status = part(&p);
	free(path);
	return status;
}
