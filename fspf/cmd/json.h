/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/json.h - JSON output, the few shapes that several commands print
 *
 * All tolerate that memory ran out: jansson then gives NULL and passes NULL on, and print_json()
 * says so.
 */
#ifndef FSPF_FSPF_CMD_JSON_H
#define FSPF_FSPF_CMD_JSON_H

#include <jansson.h>

#include "fspf/cmd/cmd.h"

/* A name from the volume.  JSON is UTF-8, names are bytes: what is not UTF-8 becomes "\xNN". */
json_t *json_name(const char *name);

json_t *json_hex(const uint8_t *data, size_t len); /* at most 64 bytes */
json_t *json_number(uint64_t n);
json_t *json_tag(const struct crypto_digest *tag);

/* Print @json, indented, with a newline, and free it.  Gives an exit status. */
MUST_CHECK int print_json(json_t *json);

#endif
