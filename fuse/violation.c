/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/violation.c - from a report to the end
 *
 * A report may come from any thread with the library's locks held, so here a flag is set and a
 * signal sent, and no more.
 */
#include "fuse/violation.h"

#include <errno.h>

#include "fuse/daemon_internal.h"

void daemon_violation_report(void *daemon, const struct fspf_report *report)
{
	struct daemon *d = daemon;
	bool ends = d->aborts && report->code == -EBADMSG;
	bool first = ends && !atomic_exchange(&d->flow.refused, true);

	daemon_log_report(d->log, report);
	if (!first)
		return;
	daemon_log_error(d->log, "nothing is served any more, because of on_violation=abort");
	pthread_kill(d->starter, DAEMON_SIGNAL_ENDED);
}

bool daemon_violated(const struct daemon *d)
{
	return atomic_load(&d->flow.refused);
}

ssize_t daemon_checked(fuse_req_t req, ssize_t result)
{
	return daemon_violated(daemon_of(req)) ? -EIO : result;
}
