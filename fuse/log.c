/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/log.c - how messages get out
 *
 * Repetitions are found by the hash of the text in a small table where a newer text pushes out an
 * older one: two texts that share a place are printed more often than needed, never less.
 */
#include "fuse/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>

#include "fspf/cmd/cmd.h"
#include "fuse/fuse_api.h"

#include <fuse_log.h>

#define TEXT_MAX 1024
#define PLACES 256u

struct place {
	uint64_t hash;	/* 0: empty */
	time_t printed; /* CLOCK_MONOTONIC, seconds */
	unsigned swallowed;
};

struct daemon_log {
	atomic_bool to_syslog;
	pthread_mutex_t lock;
	struct place places[PLACES];
};

static void say(const struct daemon_log *log, int priority, const char *text)
{
	if (atomic_load(&log->to_syslog))
		syslog(priority, "%s%s", priority == LOG_ERR ? "error: " : "", text);
	else if (priority == LOG_ERR)
		print_error("%s", text);
	else
		fprintf(stderr, "fspf: %s\n", text);
}

/* libfuse's lines, "fuse: what\n"; it gives no context, so these know no log. */
static char *libfuse_text(char text[static TEXT_MAX], const char *fmt, va_list ap)
{
	char *start = text;

	vsnprintf(text, TEXT_MAX, fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(text, "fuse: ", 6) == 0)
		start += 6;
	return start;
}

static void PRINTF_LIKE(2, 0)
	libfuse_to_stderr(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[TEXT_MAX];

	if (level >= FUSE_LOG_INFO)
		vfprintf(stderr, fmt, ap); /* the option -d */
	else
		print_error("%s", libfuse_text(text, fmt, ap));
}

static void PRINTF_LIKE(2, 0)
	libfuse_to_syslog(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[TEXT_MAX];

	syslog((int)level, "%s", libfuse_text(text, fmt, ap));
}

int daemon_log_new(struct daemon_log **ret)
{
	struct daemon_log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	pthread_mutex_init(&log->lock, NULL);
	fuse_set_log_func(libfuse_to_stderr);
	*ret = log;
	return 0;
}

void daemon_log_free(struct daemon_log *log)
{
	if (!log)
		return;
	pthread_mutex_destroy(&log->lock);
	free(log);
}

void daemon_log_to_syslog(struct daemon_log *log)
{
	openlog("fspf", LOG_PID, LOG_DAEMON);
	fuse_set_log_func(libfuse_to_syslog);
	atomic_store(&log->to_syslog, true);
}

void daemon_log_error(struct daemon_log *log, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(log, LOG_ERR, text);
}

void daemon_log_note(struct daemon_log *log, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(log, LOG_NOTICE, text);
}

void daemon_log_failure(struct daemon_log *log, const struct fspf_error *err)
{
	say(log, LOG_ERR, err->text);
	if (err->hint[0] && atomic_load(&log->to_syslog))
		syslog(LOG_NOTICE, "hint: %s", err->hint);
	else if (err->hint[0])
		print_hint("%s", err->hint);
}

static uint64_t hash_of(const char *text)
{
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a: nobody gains by collisions here */

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
	return h | 1;
}

static time_t now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* May this text be printed now?  *ret_swallowed is how often it was not, since it last was. */
static bool admit(struct daemon_log *log, const char *text, unsigned *ret_swallowed)
{
	uint64_t hash = hash_of(text);
	struct place *p = &log->places[hash % PLACES];
	time_t now = now_seconds();
	bool same, quiet;

	pthread_mutex_lock(&log->lock);
	same = p->hash == hash;
	quiet = same && now - p->printed < DAEMON_LOG_QUIET_SECONDS;
	*ret_swallowed = same ? p->swallowed : 0;
	if (quiet)
		p->swallowed++;
	else
		*p = (struct place){.hash = hash, .printed = now};
	pthread_mutex_unlock(&log->lock);
	return !quiet;
}

void daemon_log_report(void *ctx, const struct fspf_report *report)
{
	struct daemon_log *log = ctx;
	unsigned swallowed;

	if (!admit(log, report->text, &swallowed))
		return;
	if (swallowed > 0)
		daemon_log_error(log, "%s (and %u times more since it was last said)", report->text,
				 swallowed);
	else
		daemon_log_error(log, "%s", report->text);
}
