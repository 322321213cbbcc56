/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/snapshots.c - snapshots for people and machines
 */
#include <stdio.h>

#include "fspf/cmd/json.h"
#include "fspf/cmd/snapshots.h"
#include "fspf/error.h"

#define TIME_MAX sizeof("2026-11-22T12:00:00Z")

/* A year that has not four digits gives "-". */
static void format_time(const struct timespec *time, char ret[static TIME_MAX])
{
	struct tm tm;

	if (!gmtime_r(&time->tv_sec, &tm) || !strftime(ret, TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
		strcpy(ret, "-");
}

void print_snapshots(const char *indent, const struct fspf_snapshot_info *snapshot, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char time[TIME_MAX], hex[CRYPTO_DIGEST_HEX], name[FSPF_SNAPSHOT_NAME_MAX + 1];

		format_time(&snapshot[i].time, time);
		crypto_digest_hex(&snapshot[i].tag, hex);
		snprintf(name, sizeof(name), "%s", snapshot[i].name);
		fspf_printable(name);
		printf("%s%s  %s  %s\n", indent, hex, time, name);
	}
}

json_t *snapshots_json(const struct fspf_snapshot_info *snapshot, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++) {
		char time[TIME_MAX];

		format_time(&snapshot[i].time, time);
		json_array_append_new(array,
				      json_pack("{s:o, s:s, s:o, s:o}", "name",
						json_name(snapshot[i].name), "time", time, "tag",
						json_tag(&snapshot[i].tag), "generation",
						json_number(snapshot[i].generation)));
	}
	return array;
}
