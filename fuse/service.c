/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/service.c - opening, mounting, serving, unmounting, closing
 *
 * Each step can fail with a message on the user's terminal and its exit status.  What has been
 * begun is undone by daemon_service_end(), which is also the normal end.
 *
 * A request to end unmounts while the loop goes on serving, because the kernel writes out its cache
 * as part of that.  If somebody still uses the mount, the cache is written out first and then the
 * connection is cut: a daemon that was told to end does end, and later uses fail with ENOTCONN.
 */
#include "fuse/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "crypto/selftest.h"
#include "fuse/control.h"
#include "fuse/loop.h"
#include "fuse/mountpoint.h"

#define READAHEAD_KIB 4096
#define STEP_NS 10000000	 /* of waiting for something without a wake-up */
#define UNMOUNTED_WAIT_STEPS 200 /* for the end of the loop after an unmount */
#define DRAIN_QUIET_STEPS 10	 /* without a request: the kernel has sent all it had */
#define DRAIN_WAIT_STEPS 500
#define REFUSE_WAIT_STEPS 50 /* for the requests of those who met a violation */

static void step(void)
{
	const struct timespec t = {.tv_nsec = STEP_NS};

	nanosleep(&t, NULL);
}

/* ---- begin ---- */

static int failed(const char *what, int err)
{
	print_error("%s: %s", what, strerror(-err));
	return EXIT_FAILED;
}

/* Regions that are passed through, and contents in place, hold many descriptors.  The command of a
 * run, which was forked before, keeps the limit that it was given. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* without, fewer files can be held */
}

static void begin_daemon(struct daemon *d, const struct daemon_options *o)
{
	d->aborts = o->on_violation && strcmp(o->on_violation, "abort") == 0;
	d->starter = pthread_self();
	d->options = o;
	clock_gettime(CLOCK_BOOTTIME, &d->started);
	daemon_closers_init(&d->closers);
}

int daemon_service_begin(struct daemon_service *s)
{
	int err = daemon_log_new(&s->daemon.log);

	if (err < 0)
		return failed("cannot start", err);
	err = daemon_buffers_init(&s->daemon);
	if (err < 0) {
		daemon_log_free(s->daemon.log);
		s->daemon.log = NULL;
		return failed("cannot start", err);
	}
	begin_daemon(&s->daemon, s->options);
	err = daemon_outside_start(s->options->mountpoint, &s->daemon.outside);
	raise_descriptors();
	return err < 0 ? failed("cannot start", err) : EXIT_DONE;
}

/* Virtual machines hide them from their guests more often than processors lack them. */
static void note_slow_processor(struct daemon_log *log)
{
	if (!crypto_has_aes_instructions())
		daemon_log_note(log, "this processor shows no AES instructions: sealing is more "
				     "than ten times slower than with them");
}

int daemon_service_open(struct daemon_service *s)
{
	const struct daemon_options *o = s->options;
	struct fspf_open_params params = {
		.path = o->volume,
		.read_only = o->read_only,
		.ephemeral = o->ephemeral,
		.scratch_dir = o->scratch,
		.snapshot = o->common.snapshot,
		.recover = o->common.recover,
		.dirty_max = o->dirty_max,
		.node_cache = o->node_cache,
		.commit_interval_ms = o->commit_interval_ms,
		.stop_on_violation = s->daemon.aborts,
		.report = daemon_violation_report,
		.report_ctx = &s->daemon,
	};
	struct fspf_credential *credential = NULL;
	struct region_keys keys;
	struct fspf_error err;
	int status = common_region_keys(o->command, &o->common, &keys);

	if (status == EXIT_DONE)
		status = common_credential(o->command, &o->common, &credential);
	if (status == EXIT_DONE)
		status = common_anchor(o->command, &o->common,
				       o->read_only || o->ephemeral || o->common.snapshot,
				       ANCHOR_REQUIRED, &params.anchor);
	if (status == EXIT_DONE) {
		s->pinned = strcmp(params.anchor->ops->name, "pinned") == 0;
		params.credential = credential;
		use_region_keys(&keys, &params);
		if (fspf_open(&params, &s->daemon.volume, &err) < 0)
			status = print_failure(&err);
		else if (daemon_violated(&s->daemon))
			status = EXIT_DAMAGED; /* met at its very end, and said */
		else
			note_slow_processor(s->daemon.log);
	}
	fspf_credential_free(credential);
	free_region_keys(&keys);
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

static void tune(struct daemon_service *s)
{
	if (daemon_device(AT_FDCWD, s->options->mountpoint, &s->daemon.device) < 0) {
		s->daemon.device = 0;
		return;
	}
	write_setting(s->daemon.device, "read_ahead_kb", READAHEAD_KIB);
	write_setting(s->daemon.device, "max_ratio", 100);
}

static int new_session(struct daemon_service *s)
{
	struct fuse_args args;
	int err = daemon_options_fuse_args(s->options, fspf_is_read_only(s->daemon.volume), &args);

	if (err < 0)
		return failed("cannot mount", err);
	s->daemon.session =
		fuse_session_new(&args, &daemon_operations, sizeof(daemon_operations), &s->daemon);
	fuse_opt_free_args(&args);
	if (!s->daemon.session)
		return usage_error(s->options->command, "the mount options were not accepted");
	return EXIT_DONE;
}

int daemon_service_mount(struct daemon_service *s)
{
	const struct daemon_options *o = s->options;
	int status = EXIT_DONE;
	int err;

	if (o->passthrough)
		status = daemon_passthrough_new(&s->daemon.passthrough);
	if (status == EXIT_DONE)
		status = new_session(s);

	if (status != EXIT_DONE)
		return status;
	if (fuse_session_mount(s->daemon.session, o->mountpoint) != 0) {
		daemon_explain_mount(o->mountpoint, o->allow_other);
		return EXIT_FAILED;
	}
	err = daemon_negotiate(s->daemon.session);
	if (err == 0)
		err = daemon_loop_first(s->daemon.session);
	if (err < 0)
		return failed("the kernel did not accept the mount", err);
	tune(s);
	return o->passthrough ? daemon_passthrough_begin(&s->daemon) : EXIT_DONE;
}

int daemon_service_start(struct daemon_service *s)
{
	int err = daemon_seek_start(&s->daemon, &s->daemon.seek);

	if (err == 0)
		err = daemon_loop_start(s->daemon.session, &s->daemon.flow, &s->loop);
	return err < 0 ? failed("cannot start a thread", err) : EXIT_DONE;
}

/* ---- end ---- */

/* Somebody may have mounted something over us, or instead of us. */
static bool is_on_top(const struct daemon_service *s)
{
	dev_t device;

	return s->daemon.device == 0 ||
	       (daemon_device(AT_FDCWD, s->options->mountpoint, &device) == 0 &&
		device == s->daemon.device);
}

/* syncfs() of a FUSE file system may return before its writes have been answered. */
static void drain(struct daemon_service *s, int steps)
{
	uint64_t seen = atomic_load(&s->daemon.flow.requests);
	int quiet = 0;

	for (int i = 0; i < steps && quiet < DRAIN_QUIET_STEPS; i++) {
		uint64_t now;

		step();
		now = atomic_load(&s->daemon.flow.requests);
		quiet = now == seen ? quiet + 1 : 0;
		seen = now;
	}
}

/* A mount that lives on elsewhere (a bind mount, another name space) keeps the loop alive. */
static bool ends_by_itself(const struct daemon_service *s)
{
	for (int i = 0; i < UNMOUNTED_WAIT_STEPS && !daemon_loop_ended(s->loop); i++)
		step();
	return daemon_loop_ended(s->loop);
}

void daemon_service_stop(struct daemon_service *s)
{
	struct daemon *d = &s->daemon;
	int err = daemon_outside_sync(d->outside, d->device);

	if (err < 0)
		daemon_log_error(d->log, "cannot write out the kernel's cache: %s", strerror(-err));
	if (is_on_top(s) && daemon_outside_unmount(d->outside) == 0 && ends_by_itself(s))
		return;
	daemon_log_note(s->daemon.log, "%s is still in use: its users are cut off", s->name);
	drain(s, DRAIN_WAIT_STEPS);
	daemon_loop_stop(s->loop);
}

/* The end of the connection to the kernel, whoever still waits for an answer, while its number
 * stays taken: other threads may be about to reply. */
static void cut_connection(struct daemon_service *s)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	(void)dup3(null, fuse_session_fd(s->daemon.session), O_CLOEXEC);
	close(null);
}

/* A mount that is still there is taken away even while it is in use. */
static void end_session(struct daemon_service *s)
{
	int err = daemon_loop_join(s->loop);

	if (err < 0)
		daemon_log_error(s->daemon.log, "reading from the kernel failed: %s",
				 strerror(-err));
	if (daemon_violated(&s->daemon) && s->loop)
		cut_connection(s);
	daemon_seek_stop(s->daemon.seek);
	if (!s->daemon.session)
		return;
	if (is_on_top(s))
		fuse_session_unmount(s->daemon.session);
	fuse_session_destroy(s->daemon.session);
}

/* The tag that the volume is left with, to everybody who needs it. */
static void tell_tag(struct daemon_service *s, const struct crypto_digest *tag)
{
	char hex[CRYPTO_DIGEST_HEX], line[DAEMON_LINE_MAX];

	crypto_digest_hex(tag, hex);
	snprintf(line, sizeof(line), DAEMON_LINE_TAG, hex);
	daemon_closers_tell(&s->daemon.closers, line);
	if (s->pinned && s->prints_tag)
		printf("%s\n", hex);
	else if (s->pinned)
		daemon_log_note(s->daemon.log, "%s is left with the tag %s", s->options->volume,
				hex);
}

static int tell_failure(struct daemon_service *s, const struct fspf_error *err)
{
	char line[DAEMON_LINE_MAX];
	int status = fspf_exit_status(err->code);

	daemon_log_failure(s->daemon.log, err);
	snprintf(line, sizeof(line), DAEMON_LINE_ERROR, status, err->text);
	daemon_closers_tell(&s->daemon.closers, line);
	return status;
}

/* When closing fails, the tag is the last one that was published. */
static int close_served(struct daemon_service *s)
{
	struct crypto_digest tag;
	struct fspf_error err;
	int status = EXIT_DONE;

	daemon_closers_tell(&s->daemon.closers, DAEMON_LINE_CLOSING);
	fspf_tag(s->daemon.volume, &tag);
	if (fspf_close(s->daemon.volume, &tag, &err) < 0)
		status = tell_failure(s, &err);
	tell_tag(s, &tag);
	return daemon_violated(&s->daemon) ? EXIT_DAMAGED : status;
}

/* The tag is the last one that was published before. */
static void abandon_served(struct daemon_service *s)
{
	struct fspf_error err = {.code = -EBADMSG};
	struct crypto_digest tag;

	fspf_tag(s->daemon.volume, &tag);
	fspf_abandon(s->daemon.volume);
	snprintf(err.text, sizeof(err.text),
		 "%s was given up because stored bytes did not verify; what was not committed "
		 "before is lost",
		 s->options->volume);
	(void)tell_failure(s, &err);
	tell_tag(s, &tag);
}

int daemon_service_end(struct daemon_service *s, int status)
{
	bool violated = daemon_violated(&s->daemon);
	bool served = status == EXIT_DONE && !violated;

	if (!s->daemon.log)
		return status; /* it did not even begin */
	/* A read that failed is tried again by the kernel, page by page: let that be EIO too, and
	 * not whatever a cut connection gives. */
	if (violated && s->loop)
		drain(s, REFUSE_WAIT_STEPS);
	if (!served && s->loop)
		daemon_loop_stop(s->loop);
	end_session(s);
	if (violated)
		status = EXIT_DAMAGED;
	if (served)
		status = close_served(s);
	else if (violated && s->daemon.volume)
		abandon_served(s);
	else if (s->daemon.volume)
		fspf_abandon(s->daemon.volume); /* nobody has changed anything */
	daemon_outside_stop(s->daemon.outside);
	daemon_buffers_free(&s->daemon);
	daemon_passthrough_free(s->daemon.passthrough);
	daemon_log_free(s->daemon.log);
	return status;
}
