/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/export_links.c - hard links in the volume become hard links on the host
 */
#include <errno.h>
#include <stdlib.h>

#include <uthash.h>

#include "fspf/export_internal.h"

struct fspf_export_link {
	uint64_t ino;
	UT_hash_handle hh;
	char path[];
};

int fspf_export_link_add(struct fspf_export_link **links, uint64_t ino, const char *path)
{
	size_t size = strlen(path) + 1;
	struct fspf_export_link *link = malloc(sizeof(*link) + size);
	int r = link ? 0 : -ENOMEM;

	if (!r) {
		link->ino = ino;
		memcpy(link->path, path, size);
		HASH_ADD(hh, *links, ino, sizeof(link->ino), link);
	}
	return r;
}

const char *fspf_export_link_find(struct fspf_export_link *links, uint64_t ino)
{
	struct fspf_export_link *link;

	HASH_FIND(hh, links, &ino, sizeof(ino), link);
	return link ? link->path : NULL;
}

void fspf_export_links_free(struct fspf_export_link **links)
{
	struct fspf_export_link *link, *next;

	HASH_ITER (hh, *links, link, next) {
		HASH_DEL(*links, link);
		free(link);
	}
}
