/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_tag.c - fspf tag: the tag of a volume and of its regions
 *
 * It looks at the head of the volume alone, beside whoever has it open, and shows what was
 * published last.
 */
#include <stdio.h>

#include "fspf/cmd/cmd.h"
#include "fspf/cmd/json.h"

static int cmd_tag(int argc, char **argv);

const struct command command_tag = {
	.name = "tag",
	.synopsis = "VOLUME [PREFIX]",
	.summary = "print the tags of a volume and of its regions",
	.notes =
		"64 hex digits a line: the volume's tag, then each region's in the order of\n"
		"`fspf show`; with PREFIX, that region's alone.  Works without a key (encrypted\n"
		"regions are left out then) and while the volume is mounted.  A tag is only as\n"
		"trustworthy as its origin: take the expected one from here only for a volume that\n"
		"you have just made or checked.\n",
	.takes = TAKES_KEY | TAKES_REGION_KEY | TAKES_ANCHOR | TAKES_SNAPSHOT | TAKES_JSON,
	.arguments_min = 1,
	.arguments_max = 2,
	.run = cmd_tag,
};

struct tags {
	struct crypto_digest volume;
	struct fspf_region_info region[FSPF_REGIONS_MAX];
	size_t count;
};

/* "/data" and "/data/" are the same prefix. */
static bool same_prefix(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);

	while (la > 1 && a[la - 1] == '/')
		la--;
	while (lb > 1 && b[lb - 1] == '/')
		lb--;
	return la == lb && !memcmp(a, b, la);
}

static bool is_shown(const struct fspf_region_info *region, const char *prefix)
{
	return !region->locked && (!prefix || same_prefix(region->prefix, prefix));
}

static int no_such_region(const struct tags *tags, const char *prefix)
{
	bool locked = false;

	for (size_t i = 0; i < tags->count; i++)
		locked = locked || tags->region[i].locked;
	print_error("there is no region at '%s'", prefix);
	if (locked)
		print_hint("without the key, encrypted regions cannot be seen: give --key-file or "
			   "--passphrase-file");
	return locked ? EXIT_WRONG_KEY : EXIT_FAILED;
}

static json_t *tags_json(const struct tags *tags, const char *prefix)
{
	json_t *regions = json_array();

	for (size_t i = 0; i < tags->count; i++) {
		const struct fspf_region_info *region = &tags->region[i];

		if (is_shown(region, prefix))
			json_array_append_new(regions, json_pack("{s:o, s:o}", "prefix",
								 json_name(region->prefix), "tag",
								 json_tag(&region->tag)));
	}
	return json_pack("{s:o, s:o}", "tag", json_tag(&tags->volume), "regions", regions);
}

static int print_tags(const struct tags *tags, const char *prefix, bool json)
{
	int status = EXIT_DONE;

	if (json) {
		status = print_json(tags_json(tags, prefix));
	} else {
		if (!prefix)
			print_tag(&tags->volume);
		for (size_t i = 0; i < tags->count; i++) {
			if (is_shown(&tags->region[i], prefix))
				print_tag(&tags->region[i].tag);
		}
	}
	return status;
}

static int tag(const struct invocation *in)
{
	const char *prefix = in->argc > 1 ? in->argv[1] : NULL;
	struct fspf_volume *v = NULL;
	struct tags tags = {.count = 0};
	bool found = !prefix;
	int status = common_open(&command_tag, &in->common, in->argv[0], OPEN_PEEK, &v);

	if (!status) {
		fspf_tag(v, &tags.volume);
		fspf_regions(v, tags.region, &tags.count);
		for (size_t i = 0; i < tags.count; i++)
			found = found || is_shown(&tags.region[i], prefix);
		status = found ? print_tags(&tags, prefix, in->common.json)
			       : no_such_region(&tags, prefix);
		status = close_volume(v, status);
	}
	return status;
}

static int cmd_tag(int argc, char **argv)
{
	struct invocation in;

	if (parse_command_line(&command_tag, NULL, argc, argv, &in))
		in.status = tag(&in);
	return in.status;
}
