/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/process.h - what a process that will hold keys does before anything else
 */
#ifndef FSPF_FSPF_CMD_PROCESS_H
#define FSPF_FSPF_CMD_PROCESS_H

#include "crypto/base.h"

/* No core dumps, no ptrace by others of the same user, and descriptors 0 to 2 open (on /dev/null if
 * need be), so that no file of a volume gets one of these numbers and messages into it.  Gives an
 * exit status. */
MUST_CHECK int harden_process(void);

#endif
