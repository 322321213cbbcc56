/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/show.h - the parts of fspf show
 */
#ifndef FSPF_FSPF_CMD_SHOW_H
#define FSPF_FSPF_CMD_SHOW_H

#include "fspf/cmd/cmd.h"

/* One file: in->argv is volume and path.  Gives an exit status. */
MUST_CHECK int show_file(const struct command *command, const struct invocation *in);

#endif
