/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/key.h - the commands of `fspf key` that have files of their own
 */
#ifndef FSPF_FSPF_CMD_KEY_H
#define FSPF_FSPF_CMD_KEY_H

#include "fspf/cmd/cmd.h"

extern const struct command command_key_rotate, command_key_export_region;

#endif
