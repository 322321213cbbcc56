/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/slots.h - key slots, as `fspf show` and `fspf key list` print them
 */
#ifndef FSPF_FSPF_CMD_SLOTS_H
#define FSPF_FSPF_CMD_SLOTS_H

#include <jansson.h>

#include "fspf/fspf.h"

/* The slots in use, one a line; "none" for a volume without a key. */
void print_key_slots(const struct crypto_keyslot_info slots[static FSPF_KEYSLOTS]);
json_t *key_slots_json(const struct crypto_keyslot_info slots[static FSPF_KEYSLOTS]);

#endif
