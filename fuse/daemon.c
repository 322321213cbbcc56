/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/daemon.c - the daemon's life
 *
 * Start: fork, open the volume, mount, answer INIT, start the loop, restrict, let the parent go.
 * The steps are those of fuse/service.c.
 *
 * All signals that mean something are blocked before the first thread starts and taken by the main
 * thread with sigwait(), so nothing is ever done in a signal handler.
 */
#include "fuse/daemon.h"

#include <signal.h>
#include <unistd.h>

#include "fuse/background.h"
#include "fuse/loop.h"
#include "fuse/service.h"

struct life {
	struct daemon_service service;
	struct daemon_background background;
};

static void signals_of_life(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGHUP);
	sigaddset(ret, DAEMON_SIGNAL_ENDED);
}

static void prepare_signals(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	signals_of_life(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGPIPE, &ignore, NULL); /* who waits for our end may go away */
}

static int let_parent_go(struct life *l)
{
	int err;

	if (l->background.pipe >= 0)
		daemon_log_to_syslog(l->service.daemon.log);
	err = daemon_background_detach(&l->background);
	if (err == 0)
		return EXIT_DONE;
	print_error("cannot leave the terminal: %s", strerror(-err));
	return EXIT_FAILED;
}

static int start(struct life *l)
{
	int status = daemon_service_begin(&l->service);

	if (status == EXIT_DONE)
		status = daemon_service_open(&l->service);
	if (status == EXIT_DONE)
		status = daemon_service_mount(&l->service);
	if (status == EXIT_DONE)
		status = daemon_service_start(&l->service);
	if (status == EXIT_DONE)
		status = daemon_service_restrict(&l->service);
	if (status == EXIT_DONE)
		status = let_parent_go(l);
	return status;
}

static void serve(struct life *l)
{
	struct daemon_loop *loop = l->service.loop;
	sigset_t set;
	int signal;

	signals_of_life(&set);
	while (!daemon_loop_ended(loop) && !daemon_violated(&l->service.daemon)) {
		sigwait(&set, &signal);
		if (signal != DAEMON_SIGNAL_ENDED && !daemon_loop_ended(loop))
			daemon_service_stop(&l->service);
	}
}

/* The pipes of those who wait are left to the end of the process, which is what they wait for. */
static int live(struct life *l)
{
	int status;

	prepare_signals();
	status = start(l);
	if (status == EXIT_DONE)
		serve(l);
	status = daemon_service_end(&l->service, status);
	daemon_background_fail(&l->background, status);
	return status;
}

int daemon_run(const struct daemon_options *options)
{
	struct life l = {
		.service = {.options = options,
			    .name = options->mountpoint,
			    .prints_tag = options->foreground},
		.background = {.pipe = -1},
	};
	bool parent = false;
	int status = EXIT_FAILED;
	int err = 0;

	if (!options->foreground)
		err = daemon_background_fork(&l.background, &parent, &status);
	if (err < 0)
		print_error("cannot fork: %s", strerror(-err));
	else if (!parent)
		status = live(&l);
	return status;
}
