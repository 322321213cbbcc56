/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/snapshots.h - snapshots, as `fspf show` and `fspf snapshot list` print them
 */
#ifndef FSPF_FSPF_CMD_SNAPSHOTS_H
#define FSPF_FSPF_CMD_SNAPSHOTS_H

#include <jansson.h>

#include "fspf/fspf.h"

/* One a line, after @indent: tag, time (UTC), name. */
void print_snapshots(const char *indent, const struct fspf_snapshot_info *snapshot, size_t count);
json_t *snapshots_json(const struct fspf_snapshot_info *snapshot, size_t count);

#endif
