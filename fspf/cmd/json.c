/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/json.c - JSON output
 */
#include <stdio.h>
#include <stdlib.h>

#include "fspf/cmd/json.h"

static json_t *escaped(const char *name)
{
	char *text = malloc(4 * strlen(name) + 1);
	char *p = text;
	json_t *json = NULL;

	if (text) {
		for (; *name; name++) {
			unsigned char c = (unsigned char)*name;

			if (c < 0x80)
				*p++ = *name;
			else
				p += sprintf(p, "\\x%02x", c);
		}
		*p = '\0';
		json = json_string(text);
	}
	free(text);
	return json;
}

json_t *json_name(const char *name)
{
	json_t *json = json_string(name); /* NULL when it is not UTF-8 */

	return json ? json : escaped(name);
}

json_t *json_number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

json_t *json_hex(const uint8_t *data, size_t len)
{
	char hex[2 * 64 + 1] = "";

	for (size_t i = 0; i < len && i < 64; i++)
		snprintf(hex + 2 * i, 3, "%02x", data[i]);
	return json_string(hex);
}

json_t *json_tag(const struct crypto_digest *tag)
{
	char hex[CRYPTO_DIGEST_HEX];

	crypto_digest_hex(tag, hex);
	return json_string(hex);
}

int print_json(json_t *json)
{
	int status = EXIT_DONE;

	if (!json) {
		print_error("cannot make the JSON text: out of memory");
		status = EXIT_FAILED;
	} else if (json_dumpf(json, stdout, JSON_INDENT(2)) || putchar('\n') == EOF) {
		status = EXIT_FAILED; /* said by finish_output() */
	}
	json_decref(json);
	return status;
}
