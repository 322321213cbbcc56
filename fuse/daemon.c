/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/daemon.c - the daemon's life
 *
 * Start: fork, open the volume, mount, answer INIT, start the loop, let the parent go.  Each step
 * can fail with a message on the user's terminal and its exit status.  What has been begun is
 * undone by finish(), which is also the normal end.
 *
 * All signals that mean something are blocked before the first thread starts and taken by the main
 * thread with sigwait(), so nothing is ever done in a signal handler.  A request to end (SIGTERM,
 * SIGINT, SIGHUP) unmounts while the loop goes on serving, because the kernel writes out its cache
 * as part of that.  If somebody still uses the mount, the cache is written out first and then the
 * connection is cut: a daemon that was told to end does end, and later uses fail with ENOTCONN.
 */
#include "fuse/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "fuse/background.h"
#include "fuse/control.h"
#include "fuse/daemon_internal.h"
#include "fuse/loop.h"
#include "fuse/mountpoint.h"

#define READAHEAD_KIB 4096
#define STEP_NS 10000000	 /* of waiting for something without a wake-up */
#define UNMOUNTED_WAIT_STEPS 200 /* for the end of the loop after an unmount */
#define DRAIN_QUIET_STEPS 10	 /* without a request: the kernel has sent all it had */
#define DRAIN_WAIT_STEPS 500

struct life {
	const struct daemon_options *options;
	struct daemon daemon;
	struct daemon_background background;
	struct daemon_loop *loop;
	bool pinned; /* the tag was given by hand: the next one must be told */
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

static void step(void)
{
	const struct timespec t = {.tv_nsec = STEP_NS};

	nanosleep(&t, NULL);
}

/* ---- start ---- */

static int failed(const char *what, int err)
{
	print_error("%s: %s", what, strerror(-err));
	return EXIT_FAILED;
}

static int open_volume(struct life *l)
{
	const struct daemon_options *o = l->options;
	struct fspf_open_params params = {
		.path = o->volume,
		.read_only = o->read_only,
		.snapshot = o->common.snapshot,
		.recover = o->common.recover,
		.dirty_max = o->dirty_max,
		.node_cache = o->node_cache,
		.commit_interval_ms = o->commit_interval_ms,
		.report = daemon_log_report,
		.report_ctx = l->daemon.log,
	};
	struct fspf_credential *credential = NULL;
	struct fspf_error err;
	int status = common_credential(o->command, &o->common, &credential);

	if (status == EXIT_DONE)
		status = common_anchor(o->command, &o->common, o->read_only || o->common.snapshot,
				       ANCHOR_REQUIRED, &params.anchor);
	if (status == EXIT_DONE) {
		l->pinned = strcmp(params.anchor->ops->name, "pinned") == 0;
		params.credential = credential;
		if (fspf_open(&params, &l->daemon.volume, &err) < 0)
			status = print_failure(&err);
	}
	fspf_credential_free(credential);
	return status;
}

/* The kernel reads ahead 128 KiB unless told otherwise, whatever INIT says; and it lets one FUSE
 * file system fill no more than a hundredth of the dirty page cache, as if its daemon were not to
 * be trusted.  Only root may change either; without, things are slower. */
static void write_setting(dev_t device, const char *name, unsigned value)
{
	char path[128], text[16];
	ssize_t n = snprintf(text, sizeof(text), "%u\n", value);
	int fd;

	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/%s", major(device), minor(device), name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = write(fd, text, (size_t)n);
	(void)n;
	close(fd);
}

static void tune(struct life *l)
{
	if (daemon_device(AT_FDCWD, l->options->mountpoint, &l->daemon.device) < 0) {
		l->daemon.device = 0;
		return;
	}
	write_setting(l->daemon.device, "read_ahead_kb", READAHEAD_KIB);
	write_setting(l->daemon.device, "max_ratio", 100);
}

static int new_session(struct life *l)
{
	struct fuse_args args;
	int err = daemon_options_fuse_args(l->options, fspf_is_read_only(l->daemon.volume), &args);

	if (err < 0)
		return failed("cannot mount", err);
	l->daemon.session =
		fuse_session_new(&args, &daemon_operations, sizeof(daemon_operations), &l->daemon);
	fuse_opt_free_args(&args);
	if (!l->daemon.session)
		return usage_error(l->options->command, "the mount options were not accepted");
	return EXIT_DONE;
}

static int mount_volume(struct life *l)
{
	const struct daemon_options *o = l->options;
	int status = new_session(l);
	int err;

	if (status != EXIT_DONE)
		return status;
	if (fuse_session_mount(l->daemon.session, o->mountpoint) != 0) {
		daemon_explain_mount(o->mountpoint, o->allow_other);
		return EXIT_FAILED;
	}
	err = daemon_negotiate(l->daemon.session);
	if (err == 0)
		err = daemon_loop_first(l->daemon.session);
	if (err < 0)
		return failed("the kernel did not accept the mount", err);
	tune(l);
	return EXIT_DONE;
}

static int start_serving(struct life *l)
{
	int err = daemon_seek_start(&l->daemon, &l->daemon.seek);

	if (err == 0)
		err = daemon_loop_start(l->daemon.session, &l->loop);
	if (err < 0)
		return failed("cannot start a thread", err);
	if (l->background.pipe >= 0)
		daemon_log_to_syslog(l->daemon.log);
	err = daemon_background_detach(&l->background);
	return err < 0 ? failed("cannot leave the terminal", err) : EXIT_DONE;
}

static int start(struct life *l)
{
	int status = open_volume(l);

	if (status == EXIT_DONE)
		status = mount_volume(l);
	if (status == EXIT_DONE)
		status = start_serving(l);
	return status;
}

/* ---- service ---- */

/* Somebody may have mounted something over us, or instead of us. */
static bool is_on_top(const struct life *l)
{
	dev_t device;

	return l->daemon.device == 0 ||
	       (daemon_device(AT_FDCWD, l->options->mountpoint, &device) == 0 &&
		device == l->daemon.device);
}

/* syncfs() of a FUSE file system may return before its writes have been answered. */
static void drain(const struct life *l)
{
	uint64_t seen = daemon_loop_requests(l->loop);
	int quiet = 0;

	for (int i = 0; i < DRAIN_WAIT_STEPS && quiet < DRAIN_QUIET_STEPS; i++) {
		uint64_t now;

		step();
		now = daemon_loop_requests(l->loop);
		quiet = now == seen ? quiet + 1 : 0;
		seen = now;
	}
}

/* A mount that lives on elsewhere (a bind mount, another name space) keeps the loop alive. */
static bool ends_by_itself(const struct life *l)
{
	for (int i = 0; i < UNMOUNTED_WAIT_STEPS && !daemon_loop_ended(l->loop); i++)
		step();
	return daemon_loop_ended(l->loop);
}

static void stop(struct life *l)
{
	struct daemon *d = &l->daemon;
	int err = daemon_outside_sync(d->outside, d->device);

	if (err < 0)
		daemon_log_error(d->log, "cannot write out the kernel's cache: %s", strerror(-err));
	if (is_on_top(l) && daemon_outside_unmount(d->outside) == 0 && ends_by_itself(l))
		return;
	daemon_log_note(l->daemon.log, "%s is still in use: its users are cut off",
			l->options->mountpoint);
	drain(l);
	daemon_loop_stop(l->loop);
}

static void serve(struct life *l)
{
	sigset_t set;
	int signal;

	signals_of_life(&set);
	while (!daemon_loop_ended(l->loop)) {
		sigwait(&set, &signal);
		if (signal != DAEMON_SIGNAL_ENDED && !daemon_loop_ended(l->loop))
			stop(l);
	}
}

/* ---- end ---- */

/* A mount that is still there is taken away even while it is in use. */
static void end_session(struct life *l)
{
	int err = daemon_loop_join(l->loop);

	if (err < 0)
		daemon_log_error(l->daemon.log, "reading from the kernel failed: %s",
				 strerror(-err));
	daemon_seek_stop(l->daemon.seek);
	if (!l->daemon.session)
		return;
	if (is_on_top(l))
		fuse_session_unmount(l->daemon.session);
	fuse_session_destroy(l->daemon.session);
}

/* The tag that the volume is left with, to everybody who needs it. */
static void tell_tag(struct life *l, const struct crypto_digest *tag)
{
	char hex[CRYPTO_DIGEST_HEX], line[DAEMON_LINE_MAX];

	crypto_digest_hex(tag, hex);
	snprintf(line, sizeof(line), DAEMON_LINE_TAG, hex);
	daemon_closers_tell(&l->daemon.closers, line);
	if (l->pinned && l->options->foreground)
		printf("%s\n", hex);
	else if (l->pinned)
		daemon_log_note(l->daemon.log, "%s is left with the tag %s", l->options->volume,
				hex);
}

static int tell_failure(struct life *l, const struct fspf_error *err)
{
	char line[DAEMON_LINE_MAX];
	int status = fspf_exit_status(err->code);

	daemon_log_failure(l->daemon.log, err);
	snprintf(line, sizeof(line), DAEMON_LINE_ERROR, status, err->text);
	daemon_closers_tell(&l->daemon.closers, line);
	return status;
}

/* When closing fails, the tag is the last one that was published. */
static int close_served(struct life *l)
{
	struct crypto_digest tag;
	struct fspf_error err;
	int status = EXIT_DONE;

	daemon_closers_tell(&l->daemon.closers, DAEMON_LINE_CLOSING);
	fspf_tag(l->daemon.volume, &tag);
	if (fspf_close(l->daemon.volume, &tag, &err) < 0)
		status = tell_failure(l, &err);
	tell_tag(l, &tag);
	return status;
}

/* The pipes of those who wait are left to the end of the process, which is what they wait for. */
static int finish(struct life *l, int status)
{
	bool served = status == EXIT_DONE;

	if (!served && l->loop)
		daemon_loop_stop(l->loop);
	end_session(l);
	if (served)
		status = close_served(l);
	else if (l->daemon.volume)
		fspf_abandon(l->daemon.volume); /* nobody has changed anything */
	daemon_outside_stop(l->daemon.outside);
	daemon_buffers_free(&l->daemon);
	daemon_log_free(l->daemon.log);
	daemon_background_fail(&l->background, status);
	return status;
}

static int live(struct life *l)
{
	int status;
	int err = daemon_log_new(&l->daemon.log);

	if (err == 0)
		err = daemon_buffers_init(&l->daemon);
	if (err < 0) {
		daemon_log_free(l->daemon.log);
		return failed("cannot start", err);
	}
	daemon_closers_init(&l->daemon.closers);
	prepare_signals();
	err = daemon_outside_start(l->options->mountpoint, &l->daemon.outside);
	status = err < 0 ? failed("cannot start", err) : start(l);
	if (status == EXIT_DONE)
		serve(l);
	return finish(l, status);
}

int daemon_run(const struct daemon_options *options)
{
	struct life l = {.options = options, .background = {.pipe = -1}};
	bool parent = false;
	int status = EXIT_FAILED;
	int err = 0;

	if (!options->foreground)
		err = daemon_background_fork(&l.background, &parent, &status);
	if (err < 0)
		status = failed("cannot fork", err);
	else if (!parent)
		status = live(&l);
	return status;
}
