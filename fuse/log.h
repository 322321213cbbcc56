/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/log.h - what the daemon has to say: stderr in the foreground, syslog after that
 *
 * A log starts on stderr, in the form that all commands use, and moves to syslog when the daemon
 * leaves its terminal.  Reports of the library go through daemon_log_report(), which says the same
 * sentence once a minute at most and then how often it was swallowed: a damaged file that a program
 * reads in a loop must not fill the disk.  Any thread.
 */
#ifndef FSPF_FUSE_LOG_H
#define FSPF_FUSE_LOG_H

#include "crypto/base.h"
#include "fspf/fspf.h"

#define DAEMON_LOG_QUIET_SECONDS 60

struct daemon_log;

MUST_CHECK int daemon_log_new(struct daemon_log **ret);
void daemon_log_free(struct daemon_log *log); /* NULL is allowed */

/* From now on to syslog, libfuse's own messages too. */
void daemon_log_to_syslog(struct daemon_log *log);

void daemon_log_error(struct daemon_log *log, const char *fmt, ...) PRINTF_LIKE(2, 3);
void daemon_log_note(struct daemon_log *log, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* What fspf_open() or fspf_close() said, and its hint. */
void daemon_log_failure(struct daemon_log *log, const struct fspf_error *err);

/* A fspf_report_fn; @log is the context. */
void daemon_log_report(void *log, const struct fspf_report *report);

#endif
