/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/import_links.c - hard links on the host become hard links in the volume
 */
#include <errno.h>
#include <stdlib.h>

#include <uthash.h>

#include "fspf/import_internal.h"

struct link_key {
	uint64_t dev, ino;
};

struct fspf_import_link {
	struct link_key key;
	uint64_t ino;	/* in the volume; referenced */
	uint64_t names; /* still to come, if all of them lie in the tree */
	UT_hash_handle hh;
};

static struct fspf_import_link *find(struct fspf_import_link *links, const struct stat *st)
{
	struct link_key key = {.dev = st->st_dev, .ino = st->st_ino};
	struct fspf_import_link *link;

	HASH_FIND(hh, links, &key, sizeof(key), link);
	return link;
}

int fspf_import_link_add(struct fspf_import_link **links, const struct stat *st, uint64_t ino)
{
	struct fspf_import_link *link = calloc(1, sizeof(*link));
	int r = link ? 0 : -ENOMEM;

	if (!r) {
		link->key = (struct link_key){.dev = st->st_dev, .ino = st->st_ino};
		link->ino = ino;
		link->names = st->st_nlink - 1;
		HASH_ADD(hh, *links, key, sizeof(link->key), link);
	}
	return r;
}

uint64_t fspf_import_link_find(struct fspf_import_link *links, const struct stat *st)
{
	struct fspf_import_link *link = find(links, st);

	return link ? link->ino : 0;
}

static void drop(struct fspf_import_link **links, struct fspf_import_link *link,
		 struct fspf_volume *v)
{
	HASH_DEL(*links, link);
	fspf_forget(v, link->ino, 1);
	free(link);
}

void fspf_import_link_used(struct fspf_import_link **links, const struct stat *st,
			   struct fspf_volume *v)
{
	struct fspf_import_link *link = find(*links, st);

	if (link && --link->names == 0)
		drop(links, link, v);
}

void fspf_import_links_free(struct fspf_import_link **links, struct fspf_volume *v)
{
	struct fspf_import_link *link, *next;

	HASH_ITER (hh, *links, link, next)
		drop(links, link, v);
}
