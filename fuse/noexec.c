/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/noexec.c - the policy that nothing unprotected is executed, kept by mounts
 *
 * The library hides execute bits; what maps a file executable (dlopen, a loader called by hand)
 * asks the mount alone.  So each region that is not protected becomes a noexec mount of its own,
 * and so does each protected one within it, to be none again.  Of a mount that is all noexec
 * nothing needs to be done.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mount.h>

#include "fuse/mountpoint.h"
#include "fuse/service.h"

uint64_t daemon_mount_attributes(const struct fspf_region_info *region, uint32_t policy)
{
	return region->protection == FSPF_NOT_PROTECTED && (policy & FSPF_POLICY_EXEC_PROTECTED)
		       ? MOUNT_ATTR_NOEXEC
		       : 0;
}

/* A region around another has the shorter prefix. */
static int shorter_first(const void *a, const void *b)
{
	const struct fspf_region_info *x = a, *y = b;
	size_t m = strlen(x->prefix), n = strlen(y->prefix);

	return (m > n) - (m < n);
}

/* Of the closest region around the one at @i. */
static uint64_t attributes_around(const struct fspf_region_info *regions, size_t i, uint32_t policy)
{
	uint64_t attributes = 0;

	for (size_t k = 0; k < i; k++)
		if (!regions[k].locked && daemon_is_within(regions[i].prefix, regions[k].prefix))
			attributes = daemon_mount_attributes(&regions[k], policy);
	return attributes;
}

static int say_cannot_restrict(const char *prefix, int err)
{
	print_error("cannot keep files of %s from being executed, as the volume's policy demands: "
		    "%s",
		    prefix, err == -ENOSYS ? "this needs Linux 5.12" : strerror(-err));
	print_hint(
		"this needs CAP_SYS_ADMIN; without it, -o noexec forbids it for all of the mount");
	return EXIT_FAILED;
}

/* A region whose directory the host lacks cannot be reached while this mount lives. */
static int restrict_one(struct daemon_service *s, const struct fspf_region_info *region,
			uint64_t attributes)
{
	int err = daemon_outside_put_inner(s->daemon.outside, s->daemon.device, region->prefix,
					   attributes & MOUNT_ATTR_NOEXEC);

	return err == 0 || err == -ENOENT ? EXIT_DONE : say_cannot_restrict(region->prefix, err);
}

int daemon_service_restrict(struct daemon_service *s)
{
	struct fspf_region_info *regions = calloc(FSPF_REGIONS_MAX, sizeof(*regions));
	int status = EXIT_DONE;
	struct fspf_info info;
	size_t count = 0;

	if (!regions) {
		print_error("out of memory");
		return EXIT_FAILED;
	}
	fspf_info(s->daemon.volume, &info);
	if (!s->options->noexec)
		fspf_regions(s->daemon.volume, regions, &count);
	qsort(regions, count, sizeof(regions[0]), shorter_first);
	for (size_t i = 0; i < count && status == EXIT_DONE; i++) {
		uint64_t attributes = daemon_mount_attributes(&regions[i], info.policy);

		if (!regions[i].locked && attributes != attributes_around(regions, i, info.policy))
			status = restrict_one(s, &regions[i], attributes);
	}
	free(regions);
	return status;
}
