/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/keyfile.h - a key on its way out of the program
 *
 * The digits go from guarded memory to write(2).  A file is made new, never overwritten: the old
 * key may be the only one of some volume.
 */
#ifndef FSPF_FSPF_CMD_KEYFILE_H
#define FSPF_FSPF_CMD_KEYFILE_H

#include "fspf/cmd/cmd.h"

/* 64 hex digits and a newline to @path (mode 0600), or, when that is NULL or "-", to standard
 * output.  Gives an exit status. */
MUST_CHECK int write_key(const char *path, const struct fspf_credential *key);

#endif
