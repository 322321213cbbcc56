/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/passthrough.h - the kernel reads and writes files of the host by itself
 *
 * In a region that is passed through (fspf/host.h) the daemon adds nothing to a file's data.  With
 * FUSE passthrough (Linux 6.9) it gives the kernel the host's file when one is opened, and reads,
 * writes and mappings go there without it.  Names and attributes come to the daemon as ever.
 *
 * It costs the writeback cache, of the whole mount: the kernel has one or the other.  So it is only
 * for who asks for it.  OPEN and RELEASE are served then.
 *
 *   - All openings of a file at one time agree, as the kernel demands: all by the same file of the
 *     host, or all by the daemon.  The first one decides.
 *   - The daemon is left with what it has to see: files with set-id bits or capabilities, which a
 *     write must drop; and with what the kernel refuses, such as files on an overlay.
 *   - Whoever serves it, the kernel caches no data of such a file from one opening to the next.
 *
 * One connection has one struct daemon_passthrough.  Any thread, between begin and free.
 */
#ifndef FSPF_FUSE_PASSTHROUGH_H
#define FSPF_FUSE_PASSTHROUGH_H

#include <stdint.h>

#include "crypto/base.h"
#include "fuse/fuse_api.h"

struct daemon;
struct daemon_passthrough;

/* Is it built in?  An exit status: if it is not, that has been said. */
MUST_CHECK int daemon_passthrough_built(void);

/* It is asked for; gives an exit status. */
MUST_CHECK int daemon_passthrough_new(struct daemon_passthrough **ret);
void daemon_passthrough_free(struct daemon_passthrough *p); /* NULL is allowed */

/* While INIT is answered: wanted instead of the writeback cache, if the kernel has it.  @p may be
 * NULL, as it may below. */
void daemon_passthrough_negotiate(struct daemon_passthrough *p, struct fuse_conn_info *conn);

/* After INIT: try whether the kernel lets us.  An exit status. */
MUST_CHECK int daemon_passthrough_begin(struct daemon *d);

/* The answer to OPEN, of any file; @fi is as for a file of the volume. */
void daemon_passthrough_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
/* What the opening took is given back. */
void daemon_passthrough_release(struct daemon *d, fuse_ino_t ino, const struct fuse_file_info *fi);

#endif
