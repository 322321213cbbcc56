/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/anchor.h - where the expected tag is kept: trusted, durable, changed by
 * compare-and-set alone
 *
 * A volume is only as fresh as its anchor.  At open the volume's tag must equal the
 * anchor's; after each commit the new tag is published, and it is that publication which makes the
 * commit count.  An anchor knows tags and nothing else.
 *
 * Kinds in this room: none (no freshness across mounts, asked for by name), pinned (a tag given by
 * hand; publishing only remembers), file (64 hex digits and a newline, in a file on trusted
 * storage).  Others (TPM NV, key broker, etcd) implement the same table.
 *
 * -ESTALE: the anchor does not hold what the caller expected (somebody else published, or the
 * volume was rolled back); nothing was changed.  -ENOENT: no tag file.  -EBADMSG is never returned:
 * an anchor's bytes are trusted, so a malformed tag file is -EINVAL.  Other errors are the
 * system's; after one of them the anchor's content is the old or the new tag, never something else.
 * One thread at a time.
 */
#ifndef FSPF_FSPF_ANCHOR_H
#define FSPF_FSPF_ANCHOR_H

#include <stdbool.h>

#include "crypto/digest.h"

struct fspf_anchor;

struct fspf_anchor_ops {
	const char *name; /* "none", "pinned", "file" */
	/* The expected tag.  *ret_any is false when there is none to compare with. */
	int (*load)(struct fspf_anchor *a, struct crypto_digest *ret, bool *ret_any);
	/* Durable when it returns.  @expected NULL: the anchor is to be new (create). */
	int (*publish)(struct fspf_anchor *a, const struct crypto_digest *expected,
		       const struct crypto_digest *tag);
	void (*free)(struct fspf_anchor *a);
};

struct fspf_anchor {
	const struct fspf_anchor_ops *ops;
};

/* All owned by the caller until given to fspf_open() or fspf_create(), which take them over,
 * success or not. */
MUST_CHECK int fspf_anchor_none(struct fspf_anchor **ret);
MUST_CHECK int fspf_anchor_pinned(const struct crypto_digest *tag,
				  struct fspf_anchor **ret); /* @tag NULL: for create */

/*
 * @path is opened at the first load or publish.  It is rewritten in place with one write and
 * fdatasync (a barrier over space written before is two to three times cheaper than a new file's),
 * under a lock, and compared first.  For create (@expected NULL) the file must be missing or empty;
 * it and its directory entry are made durable.  @read_only: publish is -EROFS, load needs no write
 * permission.
 */
MUST_CHECK int fspf_anchor_file(const char *path, bool read_only, struct fspf_anchor **ret);

static inline struct fspf_anchor *fspf_anchor_free(struct fspf_anchor *a)
{
	if (a)
		a->ops->free(a);
	return NULL;
}

#endif
