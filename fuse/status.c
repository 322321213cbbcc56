/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/status.c - the daemon's side of `fspf status`
 *
 * Long prefixes of many regions can make it longer than an attribute may be; then the last regions
 * are left out, and counted.
 */
#include "fuse/status.h"

#include <errno.h>
#include <stdlib.h>

#include "fspf/cmd/json.h"
#include "fuse/control.h"
#include "fuse/daemon_internal.h"
#include "fuse/options.h"
#include "fuse/view.h"

static json_t *region_json(const struct fspf_region_info *region)
{
	char protection[DAEMON_PROTECTION_MAX];
	json_t *json = json_object();

	if (region->locked)
		return json_pack("{s:s, s:b}", "protection", "encrypted", "locked", 1);
	daemon_protection(region, protection);
	json_object_set_new(json, "prefix", json_name(region->prefix));
	json_object_set_new(json, "protection", json_string(protection));
	json_object_set_new(json, "locked", json_false());
	if (region->host[0])
		json_object_set_new(json, "kernel", json_name(region->host));
	json_object_set_new(json, "tag", json_tag(&region->tag));
	return json;
}

static json_t *regions_json(struct fspf_volume *v)
{
	struct fspf_region_info *regions = calloc(FSPF_REGIONS_MAX, sizeof(*regions));
	json_t *json = json_array();
	size_t count = 0;

	if (regions)
		fspf_regions(v, regions, &count);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(json, region_json(&regions[i]));
	free(regions);
	return json;
}

static json_t *commits_json(const struct fspf_counters *c)
{
	json_t *json = json_object();

	json_object_set_new(json, "count", json_number(c->commits));
	json_object_set_new(json, "generation", json_number(c->generation));
	json_object_set_new(json, "last",
			    c->committed.tv_sec ? json_number((uint64_t)c->committed.tv_sec)
						: json_null());
	return json;
}

static json_t *cache_json(const struct fspf_counters *c)
{
	json_t *json = json_object();

	json_object_set_new(json, "bytes", json_number(c->cache_bytes));
	json_object_set_new(json, "max", json_number(c->cache_max));
	json_object_set_new(json, "hits", json_number(c->cache_hits));
	json_object_set_new(json, "misses", json_number(c->cache_misses));
	return json;
}

static uint64_t uptime(const struct daemon *d)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)(now.tv_sec - d->started.tv_sec);
}

static void add_daemon(json_t *json, struct daemon *d, pid_t pid)
{
	json_object_set_new(json, "program", json_string("fspf"));
	json_object_set_new(json, "version", json_string(FSPF_VERSION));
	json_object_set_new(json, "volume", json_name(d->options->volume));
	json_object_set_new(json, "pid", pid ? json_number((uint64_t)pid) : json_null());
	json_object_set_new(json, "uptime", json_number(uptime(d)));
	json_object_set_new(json, "read_only", json_boolean(fspf_is_read_only(d->volume)));
	json_object_set_new(json, "ephemeral", json_boolean(d->options->ephemeral));
	json_object_set_new(json, "on_violation", json_string(d->aborts ? "abort" : "eio"));
	json_object_set_new(json, "requests", json_number(atomic_load(&d->flow.requests)));
}

static json_t *status_json(struct daemon *d, pid_t pid)
{
	json_t *json = json_object();
	struct fspf_counters c;
	struct crypto_digest tag;

	fspf_counters(d->volume, &c);
	fspf_tag(d->volume, &tag);
	add_daemon(json, d, pid);
	json_object_set_new(json, "tag", json_tag(&tag));
	json_object_set_new(json, "violations", json_number(c.violations));
	json_object_set_new(json, "dirty_bytes", json_number(c.dirty_bytes));
	json_object_set_new(json, "blocks_sealed", json_number(c.blocks_sealed));
	json_object_set_new(json, "blocks_opened", json_number(c.blocks_opened));
	json_object_set_new(json, "commits", commits_json(&c));
	json_object_set_new(json, "node_cache", cache_json(&c));
	json_object_set_new(json, "regions", regions_json(d->volume));
	json_object_set_new(json, "regions_left_out", json_number(0));
	return json;
}

static bool leave_one_out(json_t *json)
{
	json_t *regions = json_object_get(json, "regions");
	json_t *count = json_object_get(json, "regions_left_out");
	size_t n = json_array_size(regions);

	return n > 0 && json_array_remove(regions, n - 1) == 0 &&
	       json_integer_set(count, json_integer_value(count) + 1) == 0;
}

int daemon_status(struct daemon *d, pid_t pid, char **ret)
{
	json_t *json = status_json(d, pid);
	char *text = json_dumps(json, JSON_COMPACT);

	while (text && strlen(text) > DAEMON_STATUS_MAX) {
		free(text);
		text = leave_one_out(json) ? json_dumps(json, JSON_COMPACT) : NULL;
	}
	json_decref(json);
	if (!text)
		return -ENOMEM;
	*ret = text;
	return 0;
}
