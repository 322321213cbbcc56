/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/run_child.c - from a fork to the command
 *
 * What goes wrong here is said here, and told by the exit status, as if the command had given it: a
 * caller of a shell knows 126 and 127.
 *
 * The process is asked to die when its parent does, twice: becoming another user undoes the
 * request. Who executes a set-user-ID program undoes it too; that is between the command and its
 * kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/run_internal.h"

#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND 127

/* ---- the command's process ---- */

static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILED); /* too late to be told */
}

static void wipe_key(void)
{
	char *key = getenv("FSPF_KEY");

	if (key)
		explicit_bzero(key, strlen(key));
}

/* False: there will be none. */
static bool receive_plan(int fd, struct run_plan *ret)
{
	size_t got = 0;

	while (got < sizeof(*ret)) {
		ssize_t n = read(fd, (char *)ret + got, sizeof(*ret) - got);

		if (n > 0)
			got += (size_t)n;
		else if (n == 0 || errno != EINTR)
			return false;
	}
	return true;
}

/* The same path again, which may be another directory now: a region's, or one of another root. */
static void go_to(const char *directory)
{
	if (chdir(directory) < 0 && chdir("/") < 0)
		print_error("cannot enter the root directory: %s", strerror(errno));
}

static int execute(char **command)
{
	int err;

	execvp(command[0], command);
	err = errno;
	print_error("cannot run %s: %s", command[0], strerror(err));
	if (err == ENOENT && strchr(command[0], '/') && access(command[0], F_OK) == 0)
		print_hint("the file is there, but not its loader or interpreter: the tree lacks "
			   "the libraries");
	return err == ENOENT || err == ENOTDIR ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
}

static int become_command(const struct run_request *request, pid_t parent)
{
	bool with_user = request->user || request->env_clear;
	struct run_user user = {0};
	char **variables;
	int status = EXIT_DONE;

	if (with_user)
		status = run_user_find(request->user, &user);
	if (status == EXIT_DONE && request->user)
		status = run_user_become(&user);
	if (status != EXIT_DONE)
		return status;
	die_with(parent);
	variables = run_environment(request->env_clear, with_user ? &user : NULL);
	if (!variables) {
		print_error("out of memory");
		return EXIT_FAILED;
	}
	environ = variables;
	return execute(request->command);
}

static _Noreturn void live(const struct run_request *request, int pipe, pid_t parent)
{
	char directory[PATH_MAX];
	struct run_plan plan;
	int status;

	wipe_key();
	die_with(parent);
	if (!getcwd(directory, sizeof(directory)))
		directory[0] = '\0';
	if (!receive_plan(pipe, &plan))
		_exit(EXIT_FAILED);
	status = run_mounts_arrange(&plan, request->options.mountpoint);
	go_to(directory);
	if (status == EXIT_DONE)
		status = become_command(request, parent);
	_exit(status);
}

/* ---- our process ---- */

int run_child_fork(const struct run_request *request, const sigset_t *mask, struct run_child *ret)
{
	pid_t parent = getpid(), pid;
	int ends[2];
	int err = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		err = -errno;
	if (pid == 0) {
		close(ends[1]);
		sigprocmask(SIG_SETMASK, mask, NULL);
		live(request, ends[0], parent);
	}
	close(ends[0]);
	if (err < 0)
		close(ends[1]);
	else
		*ret = (struct run_child){.pid = pid, .plan = ends[1]};
	return err;
}

static void close_plan(struct run_child *c)
{
	if (c->plan >= 0)
		close(c->plan);
	c->plan = -1;
}

void run_child_go(struct run_child *c, const struct run_plan *plan)
{
	int err = write_all(c->plan, (const char *)plan, sizeof(*plan));

	(void)err;
	close_plan(c);
}

void run_child_cancel(struct run_child *c)
{
	close_plan(c);
	if (c->pid > 0)
		waitpid(c->pid, NULL, 0);
	c->pid = 0;
}
