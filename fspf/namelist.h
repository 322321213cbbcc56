/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/namelist.h - inside libfspf: the names of a directory, read once and gone through later
 *
 * Each name has a number to sort by (an inode number: files made together lie together, and reading
 * them in that order spares seeks).  Adding never invalidates what is returned later by next().
 */
#ifndef FSPF_FSPF_NAMELIST_H
#define FSPF_FSPF_NAMELIST_H

#include "crypto/base.h"

struct fspf_name {
	uint64_t number;
	size_t offset; /* into text */
};

/* The zero value is an empty list. */
struct fspf_namelist {
	struct fspf_name *entry;
	size_t count, room;
	char *text;
	size_t text_len, text_room;
	size_t next;
};

/* -ENOMEM. */
MUST_CHECK int fspf_namelist_add(struct fspf_namelist *list, const char *name, uint64_t number);
void fspf_namelist_sort(struct fspf_namelist *list);
/* The next name, NULL at the end; valid until the list is freed or added to. */
const char *fspf_namelist_next(struct fspf_namelist *list);
void fspf_namelist_free(struct fspf_namelist *list);

#endif
