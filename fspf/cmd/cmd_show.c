/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_show.c - fspf show: what a volume is made of
 */
#include <stdio.h>

#include "fspf/cmd/cmd.h"
#include "fspf/cmd/json.h"
#include "fspf/cmd/show.h"
#include "fspf/cmd/slots.h"
#include "fspf/cmd/snapshots.h"
#include "fspf/error.h"
#include "fspf/store.h"

static int cmd_show(int argc, char **argv);

const struct command command_show = {
	.name = "show",
	.synopsis = "VOLUME [PATH]",
	.summary = "show regions, tags, sizes and key slots",
	.notes =
		"Works without a key (of encrypted regions it then shows only that they are there)\n"
		"and while the volume is mounted.  With PATH, that file is shown, with its fs-verity\n"
		"digest; the volume must not be in use for that.\n",
	.takes = TAKES_KEY | TAKES_REGION_KEY | TAKES_ANCHOR | TAKES_SNAPSHOT | TAKES_JSON,
	.arguments_min = 1,
	.arguments_max = 2,
	.run = cmd_show,
};

struct facts {
	struct fspf_info info;
	struct fspf_region_info region[FSPF_REGIONS_MAX];
	size_t count;
	struct fspf_snapshot_info snapshot[FSPF_SNAPSHOTS_MAX];
	size_t nsnapshots;
};

static void volume_id_hex(const struct fspf_info *info, char ret[static 33])
{
	for (size_t i = 0; i < sizeof(info->volume_id); i++)
		snprintf(ret + 2 * i, 3, "%02x", info->volume_id[i]);
}

/* ---- for machines ---- */

static json_t *region_json(const struct fspf_region_info *region)
{
	json_t *json = json_object();

	json_object_set_new(json, "id", json_number(region->id));
	json_object_set_new(json, "class", json_string(protection_name(region->protection)));
	json_object_set_new(json, "locked", json_boolean(region->locked));
	if (!region->locked) {
		json_object_set_new(json, "prefix", json_name(region->prefix));
		if (region->host[0])
			json_object_set_new(json, "kernel", json_name(region->host));
		json_object_set_new(json, "ephemeral", json_boolean(region->ephemeral));
		json_object_set_new(json, "copy_up", json_boolean(region->copy_up));
		json_object_set_new(json, "rotating", json_boolean(region->rotating));
		json_object_set_new(json, "tag", json_tag(&region->tag));
		json_object_set_new(json, "files", json_number(region->files));
		json_object_set_new(json, "bytes", json_number(region->blocks * FSPF_BLOCK_SIZE));
	}
	return json;
}

/* null: not known without the key. */
static json_t *if_opened(const struct fspf_info *info, json_t *json)
{
	if (!info->opened) {
		json_decref(json);
		json = json_null();
	}
	return json;
}

static json_t *facts_json(const struct facts *f)
{
	const struct fspf_info *info = &f->info;
	json_t *json = json_object(), *regions = json_array();
	char id[33];

	volume_id_hex(info, id);
	json_object_set_new(json, "id", json_string(id));
	json_object_set_new(json, "format", json_number(info->version));
	json_object_set_new(json, "tag", json_tag(&info->tag));
	json_object_set_new(json, "previous_tag", json_tag(&info->previous_tag));
	json_object_set_new(json, "generation", json_number(info->generation));
	json_object_set_new(json, "keyed", json_boolean(info->keyed));
	json_object_set_new(json, "require_protected",
			    json_boolean(info->policy & FSPF_POLICY_REQUIRE_PROTECTED));
	json_object_set_new(
		json, "exec",
		json_string(info->policy & FSPF_POLICY_EXEC_PROTECTED ? "protected" : "any"));
	json_object_set_new(json, "opened", json_boolean(info->opened));
	json_object_set_new(json, "sessions", json_number(info->sessions));
	json_object_set_new(json, "clean", if_opened(info, json_boolean(info->clean)));
	json_object_set_new(json, "bytes_used", if_opened(info, json_number(info->bytes_used)));
	json_object_set_new(json, "size_limit", json_number(info->size_limit));
	json_object_set_new(json, "segment_bytes",
			    json_number((uint64_t)info->segment_blocks * FSPF_BLOCK_SIZE));
	json_object_set_new(json, "key_slots", key_slots_json(info->slots));
	for (size_t i = 0; i < f->count; i++)
		json_array_append_new(regions, region_json(&f->region[i]));
	json_object_set_new(json, "regions", regions);
	json_object_set_new(json, "snapshots",
			    if_opened(info, snapshots_json(f->snapshot, f->nsnapshots)));
	return json;
}

/* ---- for people ---- */

static void print_facts(const struct fspf_info *info, bool kept)
{
	char size[FORMAT_SIZE_MAX], id[33], hex[CRYPTO_DIGEST_HEX];

	volume_id_hex(info, id);
	printf("volume      %s (format %u)\n", id, info->version);
	crypto_digest_hex(&info->tag, hex);
	printf("tag         %s\n", hex);
	crypto_digest_hex(&info->previous_tag, hex);
	printf("before it   %s\n", crypto_digest_is_zero(&info->previous_tag) ? "-" : hex);
	printf("generation  %llu\n", (unsigned long long)info->generation);
	if (info->opened) {
		format_size(info->bytes_used, size);
		printf("state       %s\n", kept		 ? "kept"
					   : info->clean ? "closed"
							 : "in use, or was not closed");
		printf("used        %s\n", size);
	}
	printf("sessions    %u\n", info->sessions);
	format_size(info->size_limit, size);
	printf("limit       %s\n", info->size_limit ? size : "none");
	format_size((uint64_t)info->segment_blocks * FSPF_BLOCK_SIZE, size);
	printf("segments    of %s\n", size);
	if (info->policy)
		printf("policy     %s%s\n",
		       info->policy & FSPF_POLICY_REQUIRE_PROTECTED ? " every region is protected"
								    : "",
		       info->policy & FSPF_POLICY_EXEC_PROTECTED
			       ? " nothing unprotected is executed"
			       : "");
}

static void print_host(const struct fspf_region_info *region)
{
	char host[FSPF_HOST_MAX + 1];

	snprintf(host, sizeof(host), "%s", region->host);
	fspf_printable(host);
	if (host[0])
		printf(" (%s %s%s)",
		       region->protection == FSPF_NOT_PROTECTED ? "the host's" : "in place at",
		       host, region->copy_up ? ", copied up when written" : "");
	printf("\n");
}

static void print_region(const struct fspf_region_info *region)
{
	char prefix[FSPF_PREFIX_MAX + 1], size[FORMAT_SIZE_MAX], hex[CRYPTO_DIGEST_HEX];

	if (region->locked) {
		printf("  %-13s  (locked: no key was given)\n",
		       protection_name(region->protection));
	} else {
		snprintf(prefix, sizeof(prefix), "%s", region->prefix);
		fspf_printable(prefix);
		format_size(region->blocks * FSPF_BLOCK_SIZE, size);
		crypto_digest_hex(&region->tag, hex);
		printf("  %-13s  %-64s  %8llu files  %10s  %s%s",
		       protection_name(region->protection),
		       region->protection == FSPF_NOT_PROTECTED ? "-" : hex,
		       (unsigned long long)region->files, size, prefix,
		       region->ephemeral  ? " (ephemeral)"
		       : region->rotating ? " (rotating)"
					  : "");
		print_host(region);
	}
}

static int print_all(const struct facts *f, bool kept)
{
	print_facts(&f->info, kept);
	printf("key slots\n");
	print_key_slots(f->info.slots);
	printf("regions\n");
	for (size_t i = 0; i < f->count; i++)
		print_region(&f->region[i]);
	if (f->nsnapshots) {
		printf("snapshots\n");
		print_snapshots("  ", f->snapshot, f->nsnapshots);
	}
	if (!f->info.opened)
		printf("  of locked ones nothing is known without their keys\n");
	return EXIT_DONE;
}

static int show(const struct invocation *in)
{
	struct fspf_volume *v = NULL;
	static struct facts facts; /* some 200 KiB */
	int status = common_open(&command_show, &in->common, in->argv[0], OPEN_PEEK, &v);

	if (!status) {
		fspf_info(v, &facts.info);
		fspf_regions(v, facts.region, &facts.count);
		if (fspf_snapshots(v, facts.snapshot, &facts.nsnapshots))
			facts.nsnapshots = 0; /* not known without the key */
		status = in->common.json ? print_json(facts_json(&facts))
					 : print_all(&facts, in->common.snapshot);
		status = close_volume(v, status);
	}
	return status;
}

static int cmd_show(int argc, char **argv)
{
	struct invocation in;

	if (parse_command_line(&command_show, NULL, argc, argv, &in))
		in.status = in.argc > 1 ? show_file(&command_show, &in) : show(&in);
	return in.status;
}
