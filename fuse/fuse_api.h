/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/fuse_api.h - libfuse's low-level API, and all that depends on its version
 *
 * No other file of this room tests FUSE_VERSION.  The oldest supported version is 3.14 (Debian 12).
 */
#ifndef FSPF_FUSE_FUSE_API_H
#define FSPF_FUSE_FUSE_API_H

#define FUSE_USE_VERSION 314

#include <fuse_lowlevel.h>

/* O_TMPFILE reaches the daemon from 3.17 on. */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
#define DAEMON_HAS_TMPFILE 1
#else
#define DAEMON_HAS_TMPFILE 0
#endif

/* The kernel reads and writes files of the host by itself (fuse/passthrough.h). */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17) && defined(FUSE_CAP_PASSTHROUGH)
#define DAEMON_HAS_PASSTHROUGH 1
#else
#define DAEMON_HAS_PASSTHROUGH 0
#endif

/* Whether libfuse itself can ask for "set-id bits are killed by the daemon, version 2"; if not,
 * fuse/negotiate.c does it. */
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
#define DAEMON_CAP_KILLPRIV_V2 FUSE_CAP_HANDLE_KILLPRIV_V2
#else
#define DAEMON_CAP_KILLPRIV_V2 0u
#endif

#endif
