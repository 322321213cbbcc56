/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/export_internal.h - what the files of the export share
 */
#ifndef FSPF_FSPF_EXPORT_INTERNAL_H
#define FSPF_FSPF_EXPORT_INTERNAL_H

#include "fspf/work.h"

/* ---- export_file.c: one file's contents and attributes, into the new host file @fd.
 * Each gives a negative errno and, in *ret_doing, what failed, for fspf_work_problem(). ---- */

MUST_CHECK int fspf_export_data(struct fspf_work *w, const struct fspf_attr *attr, int fd,
				const char **ret_doing);

/* Owner, xattrs, mode, times.  @fd may be O_PATH.  Who is not root cannot give files away, nor set
 * trusted and security attributes: that is passed over, and set-id bits are then dropped. */
MUST_CHECK int fspf_export_attributes(struct fspf_work *w, const struct fspf_attr *attr, int fd,
				      const char **ret_doing);

/* ---- export_links.c: files with several names that were written, by inode number ---- */

struct fspf_export_link;

/* Remember that @ino lies at @path below the top of the destination.  -ENOMEM. */
MUST_CHECK int fspf_export_link_add(struct fspf_export_link **links, uint64_t ino,
				    const char *path);
/* Its path, or NULL. */
const char *fspf_export_link_find(struct fspf_export_link *links, uint64_t ino);
void fspf_export_links_free(struct fspf_export_link **links);

#endif
