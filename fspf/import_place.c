/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/import_place.c - where in the volume the file at hand goes, and contents in place
 *
 * The way from the top of the source to the file at hand is the way from the destination to it in
 * the volume; and a region in place lies in the volume as its directory does on the host.  So
 * the path within the region, whatever the source was, is the path on the host.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fspf/import_internal.h"
#include "fspf/inplace.h"

const struct fspf_region *fspf_import_unkept(struct fspf_volume *v, const char *path)
{
	const char *rest;
	const struct fspf_region *region = fspf_region_at(v, path, &rest);

	return region && region->protection == FSPF_NOT_PROTECTED ? region : NULL;
}

int fspf_import_check_kept(const struct fspf_import *im)
{
	char *path = fspf_import_path(im);
	int r;

	if (!path)
		return -ENOMEM;
	r = fspf_import_unkept(im->work.v, path) ? -EREMOTE : 0;
	free(path);
	return r;
}

bool fspf_import_in_place(struct fspf_volume *v, uint64_t parent)
{
	const struct fspf_region *region = fspf_region_of(v, parent);

	return v->authoring && region && region->in_place;
}

char *fspf_import_path(const struct fspf_import *im)
{
	const char *below = im->as ? im->as : im->work.path + im->source_len;
	char *path;

	if (asprintf(&path, "%s%s%s", im->into, im->as ? "/" : "", below) < 0)
		return NULL;
	return path;
}

const char *fspf_import_host_path(const struct fspf_import *im, uint64_t parent, const char *path)
{
	const struct fspf_region *region = fspf_region_of(im->work.v, parent);
	size_t len = strcmp(region->prefix, "/") ? strlen(region->prefix) : 0;

	/* What is too deep to have a path in messages has none that could be recorded either. */
	return path[0] == '/' && strlen(path) > len ? path + len + 1 : "";
}

int fspf_import_record(struct fspf_import *im, int fd, const struct fspf_import_target *t,
		       const char **ret_doing)
{
	char *path = fspf_import_path(im);
	int r = path ? 0 : -ENOMEM;

	*ret_doing = "record";
	if (!r)
		r = fspf_inplace_record(&im->work, fd, t->attr.ino,
					fspf_import_host_path(im, t->parent, path));
	free(path);
	return r;
}

int fspf_import_tell(struct fspf_import *im, char kind)
{
	const struct fspf_transfer *transfer = im->work.transfer;
	char *path;

	if (!transfer || !transfer->change)
		return 0;
	path = fspf_import_path(im);
	if (!path)
		return -ENOMEM;
	transfer->change(transfer->ctx, kind, *path ? path : "/");
	free(path);
	return 0;
}
