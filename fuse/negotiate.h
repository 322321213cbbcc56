/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/negotiate.h - one capability that the kernel has and libfuse before 3.17 cannot ask for
 *
 * Without FUSE_HANDLE_KILLPRIV_V2 the kernel asks for the attribute security.capability before
 * every single write(2), to know whether it must be removed; with it, it asks once for each file
 * and remembers.  That makes small writes two to three times as fast.  The kernel offers it in
 * INIT, and takes it by one bit of the answer, which an old libfuse leaves 0; so its input and
 * output are watched for this one exchange, and the bit set.  With a libfuse that knows the
 * capability nothing is watched.
 *
 * What it obliges the daemon to: set-id bits and file capabilities are dropped by libfspf when a
 * file is written, truncated or given away (ops_attr.c, ops_data.c).  Together with the writeback
 * cache that is right because the kernel writes through, with the writer's identity, for as long as
 * a file has such bits; only pages of files without them are written late.
 */
#ifndef FSPF_FUSE_NEGOTIATE_H
#define FSPF_FUSE_NEGOTIATE_H

#include <stdint.h>

#include "crypto/base.h"

struct fuse_session;

/* Used while INIT is under way, by one thread. */
struct daemon_negotiation {
	uint64_t init; /* the unique id of the kernel's INIT; 0: not seen, or answered */
};

/* Once, after the mount and before the first request is read; the userdata of @session is a struct
 * daemon. */
MUST_CHECK int daemon_negotiate(struct fuse_session *session);

#endif
