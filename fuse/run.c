/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/run.c - the life of a run
 *
 * All signals that can be passed on are blocked before the first thread starts and taken by the
 * main thread, so nothing is done in a signal handler, and process 1, for whom the kernel drops
 * signals that nobody waits for, gets them too.
 *
 * The command stays in our process group, so it is in the terminal's foreground when we are.  What
 * the terminal sends, it sends to the whole group; the kernel marks such signals (SI_KERNEL), and
 * they are not passed on again.  When the command is stopped by the terminal, so are we, and with
 * us the volume; whoever lets us go on is passed on as any other signal.
 *
 * When the command has ended, what it left behind is ended, and only then is the volume unmounted:
 * so all that these processes wrote is in the state that is published.
 */
#include "fuse/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuse/mountpoint.h"
#include "fuse/run_internal.h"
#include "fuse/service.h"

#define EXIT_OF_SIGNAL 128

struct run {
	struct run_request *request;
	struct daemon_service service;
	struct run_child child;
	struct run_plan plan;
	sigset_t signals; /* that we wait for */
	sigset_t mask;	  /* as it was before, and will be for the command */
	bool running;
	bool asked;		  /* to end: it has until the deadline */
	struct timespec deadline; /* CLOCK_MONOTONIC */
	int status;		  /* the command's, when it does not run any more */
};

/* ---- signals ---- */

/* Those that say that we have gone wrong ourselves, and the one that is ours. */
static const int kept[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP, SIGPIPE};

/* What our parent had us ignore (nohup(1) does), the command ignores as well, having inherited it.
 */
static void leave_out_ignored(sigset_t *set)
{
	struct sigaction action;

	for (int signal = 1; signal <= SIGRTMAX; signal++)
		if (signal != SIGCHLD && sigismember(set, signal) == 1 &&
		    sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			sigdelset(set, signal);
}

/* A parent that ignored its children's end would never hear of it. */
static void block_signals(struct run *r)
{
	const struct sigaction action = {.sa_handler = SIG_DFL};

	sigaction(SIGCHLD, &action, NULL);
	sigfillset(&r->signals);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		sigdelset(&r->signals, kept[i]);
	sigdelset(&r->signals, DAEMON_SIGNAL_KICK);
	leave_out_ignored(&r->signals);
	pthread_sigmask(SIG_BLOCK, &r->signals, &r->mask);
}

/* Not the command: that has its own. */
static void ignore_broken_pipes(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGPIPE, &ignore, NULL);
}

static void ask_to_end(struct run *r)
{
	if (r->asked)
		return;
	r->asked = true;
	clock_gettime(CLOCK_MONOTONIC, &r->deadline);
	r->deadline.tv_sec += (time_t)r->request->grace_seconds;
}

/* The terminal that goes away tells none but the leader of its session. */
static bool command_has_it(const struct run *r, const siginfo_t *info)
{
	if (info->si_code != SI_KERNEL || (info->si_signo == SIGHUP && getsid(0) == getpid()))
		return false;
	return getpgid(r->child.pid) == getpgrp();
}

static void pass_on(struct run *r, const siginfo_t *info)
{
	if (command_has_it(r, info))
		return;
	kill(r->child.pid, info->si_signo);
	if (info->si_signo == SIGTERM || info->si_signo == SIGINT)
		ask_to_end(r);
}

/* ---- waiting ---- */

static bool is_from_terminal(int signal)
{
	return signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

static void take_status(struct run *r, int status)
{
	if (WIFSTOPPED(status)) {
		if (is_from_terminal(WSTOPSIG(status)))
			kill(getpid(), SIGSTOP);
		return;
	}
	r->running = false;
	r->status = WIFSIGNALED(status) ? EXIT_OF_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Everybody who ended: as process 1 we are the parent of others' children too. */
static void reap(struct run *r)
{
	pid_t pid;
	int status;

	while (r->running && (pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0)
		if (pid == r->child.pid)
			take_status(r, status);
}

/* The next signal, or 0 when the command's time is over. */
static int next_signal(const struct run *r, siginfo_t *info)
{
	struct timespec now, left = {0};
	int signal;

	if (r->asked) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		left.tv_sec = r->deadline.tv_sec - now.tv_sec;
		left.tv_nsec = r->deadline.tv_nsec - now.tv_nsec;
		if (left.tv_nsec < 0) {
			left.tv_nsec += 1000000000;
			left.tv_sec--;
		}
		if (left.tv_sec < 0)
			return 0;
	}
	do
		signal = r->asked ? sigtimedwait(&r->signals, info, &left)
				  : sigwaitinfo(&r->signals, info);
	while (signal < 0 && errno == EINTR);
	return signal < 0 ? 0 : signal;
}

static void kill_command(struct run *r)
{
	daemon_log_note(r->service.daemon.log, "%s is killed: it did not end within %u s",
			r->request->command[0], r->request->grace_seconds);
	kill(r->child.pid, SIGKILL);
	r->asked = false;
}

static void lose_mount(struct run *r)
{
	daemon_log_error(r->service.daemon.log, "the kernel has cut off the file system");
	kill(r->child.pid, SIGTERM);
	ask_to_end(r);
}

static bool is_violated(const struct run *r)
{
	return daemon_violated(&r->service.daemon);
}

static void await_command(struct run *r)
{
	reap(r);
	while (r->running) {
		siginfo_t info = {0};
		int signal = next_signal(r, &info);

		if (signal == 0)
			kill_command(r);
		else if (signal == SIGCHLD)
			reap(r);
		else if (signal == DAEMON_SIGNAL_ENDED && is_violated(r))
			kill(r->child.pid, SIGKILL);
		else if (signal == DAEMON_SIGNAL_ENDED && daemon_loop_ended(r->service.loop))
			lose_mount(r);
		else if (!is_from_terminal(signal) || info.si_code != SI_KERNEL)
			pass_on(r, &info);
	}
}

/* ---- start and end ---- */

static int prepare(struct run *r)
{
	struct daemon_options *o = &r->request->options;
	int status;

	if (geteuid() != 0) {
		print_error("fspf run needs root, to arrange a name space for the command");
		print_hint("leave out the container's --user and the image's USER; the option "
			   "--user of fspf run is for the command alone");
		return EXIT_FAILED;
	}
	status = daemon_check_device();
	if (status == EXIT_DONE)
		status = run_mounts_isolate();
	if (status == EXIT_DONE)
		status = run_mounts_place(o->volume, o->tag_file, &o->mountpoint);
	return status;
}

static int fork_command(struct run *r)
{
	int err;

	block_signals(r);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	err = run_child_fork(r->request, &r->mask, &r->child);
	if (err < 0) {
		print_error("cannot fork: %s", strerror(-err));
		return EXIT_FAILED;
	}
	ignore_broken_pipes();
	r->running = true;
	return EXIT_DONE;
}

static int start(struct run *r)
{
	struct daemon_service *s = &r->service;
	int status = prepare(r);

	if (status == EXIT_DONE)
		status = fork_command(r);
	if (status != EXIT_DONE)
		return status;
	status = daemon_service_begin(s);
	if (status == EXIT_DONE)
		status = daemon_service_open(s);
	if (status == EXIT_DONE)
		status = run_plan_make(s->daemon.volume, r->request->root, &r->plan);
	if (status == EXIT_DONE)
		status = daemon_service_mount(s);
	if (status == EXIT_DONE)
		status = daemon_service_start(s);
	return status;
}

/* Whoever waits for the end of the command's input or output is not to wait for us. */
static void leave_streams(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
	    null > STDERR_FILENO)
		close(null);
}

static void serve(struct run *r)
{
	run_child_go(&r->child, &r->plan);
	leave_streams();
	await_command(r);
	run_rest_end(daemon_outside_pid(r->service.daemon.outside));
	if (!daemon_loop_ended(r->service.loop) && !is_violated(r))
		daemon_service_stop(&r->service);
}

int run_volume(struct run_request *request)
{
	struct run r = {
		.request = request,
		.service = {.options = &request->options, .name = request->options.volume},
		.child = {.plan = -1},
	};
	int status = start(&r);

	if (status == EXIT_DONE)
		serve(&r);
	else
		run_child_cancel(&r.child);
	status = daemon_service_end(&r.service, status);
	if (is_violated(&r))
		return status;
	return r.status != EXIT_DONE ? r.status : status;
}
