/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/run_plan.c - which regions the command sees, and whether "/" is one of them
 *
 * The region "/" is there in every volume, used or not.  It is used when one of the directories
 * that lead from the root to other regions, which were made with these, holds anything else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuse/mountpoint.h"
#include "fuse/run_internal.h"
#include "fuse/service.h"

/* One directory on the way to regions, being looked at. */
struct look {
	const struct run_plan *plan;
	const char *path; /* "" for the root */
	bool found;	  /* something that leads nowhere */
};

static bool leads_to_region(const struct run_plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->count; i++)
		if (daemon_is_within(plan->regions[i].prefix, path))
			return true;
	return false;
}

static int look_at(void *ctx, const struct fspf_entry *entry)
{
	struct look *look = ctx;
	char path[FSPF_PREFIX_MAX + FSPF_NAME_MAX + 2];

	if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", look->path, entry->name);
	look->found = !leads_to_region(look->plan, path);
	return look->found;
}

static int look_into(struct fspf_volume *v, const struct run_plan *plan, const char *path,
		     bool *ret_used)
{
	struct look look = {.plan = plan, .path = path};
	struct fspf_attr attr;
	int err = fspf_resolve(v, *path ? path : "/", &attr);

	if (err < 0)
		return err;
	err = fspf_readdir(v, attr.ino, 0, false, look_at, &look);
	fspf_forget(v, attr.ino, 1);
	if (err == 0)
		*ret_used = look.found;
	return err;
}

/* Is the region around the one at @i the region "/"? */
static bool is_outermost(const struct run_plan *plan, size_t i)
{
	for (size_t k = 0; k < plan->count; k++)
		if (k != i && daemon_is_within(plan->regions[i].prefix, plan->regions[k].prefix))
			return false;
	return true;
}

/* All directories between the root and outermost regions; some more than once, which costs little.
 */
static int root_is_used(struct fspf_volume *v, const struct run_plan *plan, bool *ret)
{
	bool used = false;
	int err = look_into(v, plan, "", &used);

	for (size_t i = 0; i < plan->count; i++) {
		char path[FSPF_PREFIX_MAX + 1];

		if (!is_outermost(plan, i))
			continue;
		snprintf(path, sizeof(path), "%s", plan->regions[i].prefix);
		for (char *p = strrchr(path, '/'); err == 0 && !used && p != path;
		     p = strrchr(path, '/')) {
			*p = '\0';
			err = look_into(v, plan, path, &used);
		}
	}
	if (err == 0)
		*ret = used;
	return err;
}

static int by_prefix(const void *a, const void *b)
{
	const struct run_region *x = a, *y = b;

	return strcmp(x->prefix, y->prefix); /* a parent is shorter, so it comes first */
}

/* By the volume alone: what a host has on the way to the region does not matter. */
static uint64_t top_of(struct fspf_volume *v, const char *prefix)
{
	struct fspf_attr attr;

	if (fspf_resolve(v, prefix, &attr) < 0)
		return 0;
	fspf_forget(v, attr.ino, 1);
	return attr.ino;
}

static int list_regions(struct fspf_volume *v, struct run_plan *plan)
{
	struct fspf_region_info *regions = calloc(FSPF_REGIONS_MAX, sizeof(*regions));
	struct fspf_info info;
	size_t count = 0;

	plan->count = 0;
	if (!regions)
		return -ENOMEM;
	fspf_info(v, &info);
	fspf_regions(v, regions, &count);
	for (size_t i = 0; i < count; i++) {
		struct run_region *r = &plan->regions[plan->count];

		if (regions[i].locked || strcmp(regions[i].prefix, "/") == 0)
			continue;
		memcpy(r->prefix, regions[i].prefix, sizeof(r->prefix));
		r->attributes = daemon_mount_attributes(&regions[i], info.policy);
		r->top = top_of(v, r->prefix);
		r->may_lack_top = regions[i].protection == FSPF_NOT_PROTECTED;
		plan->count++;
	}
	free(regions);
	qsort(plan->regions, plan->count, sizeof(plan->regions[0]), by_prefix);
	return 0;
}

int run_plan_make(struct fspf_volume *v, enum run_root root, struct run_plan *ret)
{
	bool used = false;
	int err = list_regions(v, ret);

	if (err == 0 && root == RUN_ROOT_IF_USED)
		err = root_is_used(v, ret, &used);
	if (err < 0) {
		print_error("cannot look into the volume's root directory: %s", strerror(-err));
		return fspf_exit_status(err);
	}
	ret->whole_root = root == RUN_ROOT_ALWAYS || used;
	if (ret->count == 0 && !ret->whole_root) {
		print_error("the volume has no region that could be shown to the command");
		print_hint("add one (fspf addr VOLUME /data --encrypted), or fill the root "
			   "directory, or give --root");
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}
