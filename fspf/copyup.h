/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/copyup.h - inside libfspf: contents in place become contents in the volume
 *
 * Whatever changes contents calls one of these first, without any lock, and may take for granted
 * afterwards that they are ordinary: no file's contents become in place that have been something
 * else.  A file whose contents are not in place is left alone, which costs a look.
 */
#ifndef FSPF_FSPF_COPYUP_H
#define FSPF_FSPF_COPYUP_H

#include "fspf/inode.h"

/* Copy them, verified.  On failure they are in place as before: -EBADMSG (reported), -ENOSPC... */
MUST_CHECK int fspf_copy_up(struct fspf_volume *v, struct fspf_inode *inode);

/* Give them up: the file is empty afterwards. */
MUST_CHECK int fspf_copy_up_nothing(struct fspf_volume *v, struct fspf_inode *inode);

#endif
