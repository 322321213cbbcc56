/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/seek.h - SEEK_DATA and SEEK_HOLE beside a kernel that writes late
 *
 * The kernel passes these on without writing out what it holds of the file, so the daemon's answer
 * would be about an older file: a reader could take fresh data for a hole, and cp(1) would lose it.
 * Before it answers, the daemon therefore has the kernel write that file's pages (outside.h).  That
 * takes CAP_DAC_READ_SEARCH, and a kernel (Linux 6.16) in which a page counts as being written
 * until the daemon has answered.  Without either the answer is ENOSYS, after which the kernel takes
 * every file as one piece of data up to its end: always right, if not sparse.
 *
 * The waiting is done in a thread of its own, in order of arrival: the pages come to the loop's
 * threads, so none of those may wait for them.
 */
#ifndef FSPF_FUSE_SEEK_H
#define FSPF_FUSE_SEEK_H

#include "crypto/base.h"

struct daemon;
struct daemon_seek;

/* @d is borrowed; its outside, device and volume are used. */
MUST_CHECK int daemon_seek_start(struct daemon *d, struct daemon_seek **ret);

/* After the loop has ended.  NULL is allowed. */
void daemon_seek_stop(struct daemon_seek *s);

#endif
