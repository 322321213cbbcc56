/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/slots.c - key slots for people and machines
 */
#include <stdio.h>

#include "fspf/cmd/cmd.h"
#include "fspf/cmd/json.h"
#include "fspf/cmd/slots.h"

void print_key_slots(const struct crypto_keyslot_info slots[static FSPF_KEYSLOTS])
{
	char memory[FORMAT_SIZE_MAX];
	bool any = false;

	for (unsigned i = 0; i < FSPF_KEYSLOTS; i++) {
		const struct crypto_keyslot_info *slot = &slots[i];

		if (slot->kind == CRYPTO_KEYSLOT_EMPTY)
			continue;
		any = true;
		format_size((uint64_t)slot->kib * 1024, memory);
		if (slot->kind == CRYPTO_KEYSLOT_KEY)
			printf("  %2u  key\n", i);
		else
			printf("  %2u  passphrase (Argon2id, %u passes over %s)\n", i, slot->ops,
			       memory);
	}
	if (!any)
		printf("  none\n");
}

json_t *key_slots_json(const struct crypto_keyslot_info slots[static FSPF_KEYSLOTS])
{
	json_t *array = json_array();

	for (int i = 0; i < (int)FSPF_KEYSLOTS; i++) {
		if (slots[i].kind == CRYPTO_KEYSLOT_KEY)
			json_array_append_new(array,
					      json_pack("{s:i, s:s}", "slot", i, "kind", "key"));
		else if (slots[i].kind == CRYPTO_KEYSLOT_PASSPHRASE)
			json_array_append_new(array,
					      json_pack("{s:i, s:s, s:o, s:o}", "slot", i, "kind",
							"passphrase", "argon2_passes",
							json_number(slots[i].ops), "argon2_kib",
							json_number(slots[i].kib)));
	}
	return array;
}
