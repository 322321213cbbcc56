/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/background.c - fork, wait for one byte, detach
 *
 * The umask stays what the user had: the only files that the daemon makes on the host are the
 * volume's own, and those of a daemon started by hand are to look like those of the tools.
 */
#include "fuse/background.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fspf/cmd/cmd.h"

static int await_child(pid_t child, int pipe)
{
	unsigned char status;
	ssize_t n;

	do
		n = read(pipe, &status, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return status;
	waitpid(child, NULL, 0);
	print_error("the daemon died while starting");
	return EXIT_FAILED;
}

int daemon_background_fork(struct daemon_background *b, bool *ret_parent, int *ret_status)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child < 0) {
		int err = -errno;

		close(ends[0]);
		close(ends[1]);
		return err;
	}
	close(child == 0 ? ends[0] : ends[1]);
	*b = (struct daemon_background){.pipe = child == 0 ? ends[1] : -1};
	*ret_parent = child != 0;
	if (child != 0) {
		*ret_status = await_child(child, ends[0]);
		close(ends[0]);
	}
	return 0;
}

static void tell(struct daemon_background *b, int status)
{
	unsigned char byte = (unsigned char)status;
	ssize_t n;

	if (b->pipe < 0)
		return;
	n = write(b->pipe, &byte, 1);
	(void)n; /* a parent that was killed: the mount is there all the same */
	close(b->pipe);
	b->pipe = -1;
}

int daemon_background_detach(struct daemon_background *b)
{
	int null;

	if (b->pipe < 0)
		return 0;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || chdir("/") < 0)
		return -errno;
	setsid(); /* fails only for a group's leader, which a child is not */
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0)
		return -errno;
	if (null > STDERR_FILENO)
		close(null);
	tell(b, EXIT_DONE);
	return 0;
}

void daemon_background_fail(struct daemon_background *b, int status)
{
	tell(b, status);
}
