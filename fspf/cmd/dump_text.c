/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/dump_text.c - a JSON value for people: "name: value" lines, indented
 *
 * Whatever fits a line stands on one line.  Depth is that of what fspf-dump builds: a few levels.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fspf/cmd/dump.h"
#include "fspf/error.h"

#define LINE_COLUMNS 132

static bool is_scalar(const json_t *json)
{
	return !json_is_object(json) && !json_is_array(json);
}

static void print_scalar(const json_t *json)
{
	char *copy;

	if (json_is_string(json)) {
		copy = strdup(json_string_value(json));
		if (copy) {
			fspf_printable(copy);
			fputs(copy, stdout);
		}
		free(copy);
	} else if (json_is_integer(json)) {
		printf("%llu", (unsigned long long)json_integer_value(json));
	} else if (json_is_boolean(json)) {
		fputs(json_is_true(json) ? "yes" : "no", stdout);
	} else {
		fputs("-", stdout);
	}
}

static size_t scalar_len(const json_t *json)
{
	return json_is_string(json) ? json_string_length(json)
	       : json_is_integer(json)
		       ? (size_t)snprintf(NULL, 0, "%lld", (long long)json_integer_value(json))
		       : strlen("yes");
}

/* An object of scalars that is short enough for a line. */
static bool fits_line(const json_t *json, int indent)
{
	const char *key;
	const json_t *value;
	bool fits = json_is_object(json);
	size_t len = (size_t)indent;

	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		fits = fits && is_scalar(value);
		len += strlen(key) + strlen(" , ") + scalar_len(value);
	}
	return fits && len < LINE_COLUMNS;
}

static void print_line(const json_t *json)
{
	const char *key, *separator = "";
	const json_t *value;

	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		printf("%s%s ", separator, key);
		print_scalar(value);
		separator = ", ";
	}
	printf("\n");
}

static void print_value(const json_t *json, int indent);

static void print_members(const json_t *json, int indent, bool first_in_place)
{
	const char *key;
	const json_t *value;

	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		printf("%*s%s:", first_in_place ? 0 : indent, "", key);
		first_in_place = false;
		print_value(value, indent);
	}
}

static void print_elements(const json_t *json, int indent)
{
	size_t i;
	const json_t *value;

	json_array_foreach(json, i, value)
	{
		printf("%*s- ", indent, "");
		if (is_scalar(value)) {
			print_scalar(value);
			printf("\n");
		} else if (fits_line(value, indent)) {
			print_line(value);
		} else {
			print_members(value, indent + 2, true);
		}
	}
}

/* After "name:". */
static void print_value(const json_t *json, int indent)
{
	if (is_scalar(json)) {
		printf(" ");
		print_scalar(json);
		printf("\n");
	} else if (json_is_array(json)) {
		printf("%s\n", json_array_size(json) ? "" : " none");
		print_elements(json, indent + 2);
	} else if (fits_line(json, indent)) {
		printf(" ");
		print_line(json);
	} else {
		printf("\n");
		print_members(json, indent + 2, false);
	}
}

void dump_print_text(const json_t *json)
{
	if (json_is_array(json))
		print_elements(json, 0);
	else
		print_members(json, 0, false);
}
