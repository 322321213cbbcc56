/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/work.h - inside libfspf: what import and export share while they go through a tree
 *
 * The path being worked on, the progress told to the caller, the problems met so far.  A problem
 * belongs to one file: it is reported and remembered, and the work goes on.  A fatal error ends it:
 * everything after it would fail too.  One thread; only bytes_total may be set by another.
 */
#ifndef FSPF_FSPF_WORK_H
#define FSPF_FSPF_WORK_H

#include <stdatomic.h>

#include "fspf/fspf.h"

#define FSPF_PIECE ((size_t)1 << 20) /* bytes of a file moved at a time */

struct fspf_work {
	struct fspf_volume *v;
	const struct fspf_transfer *transfer; /* may be NULL */
	struct fspf_progress done;
	atomic_uint_least64_t bytes_total; /* 0: not known (yet) */
	char *path;			   /* of the directory or file at hand; grows */
	size_t path_len, path_size;
	uint64_t problems;
	struct fspf_error first; /* the first problem; a damaged file's takes precedence */
	uint8_t *piece;		 /* FSPF_PIECE bytes */
	char *names;		 /* for lists of xattrs: FSPF_WORK_NAMES bytes */
	char *value;		 /* FSPF_XATTR_VALUE_MAX bytes */
};

#define FSPF_WORK_NAMES 65536u /* bytes: XATTR_LIST_MAX */

/* @path: how messages name the top. */
MUST_CHECK int fspf_work_begin(struct fspf_work *w, struct fspf_volume *v,
			       const struct fspf_transfer *transfer, const char *path);

/*
 * The end of it all: @r if it is fatal, else the first problem's code, in words in @err; frees.
 * @what is the sentence's verb: "imported", "exported".  A single problem is told in the same words
 * as it was reported in, so that whoever prints both can leave one out.
 */
MUST_CHECK int fspf_work_end(struct fspf_work *w, int r, const char *what, struct fspf_error *err);

/* Go down to @name, and up again. */
MUST_CHECK int fspf_work_down(struct fspf_work *w, const char *name);
void fspf_work_up(struct fspf_work *w);

/* More bytes are done; tells the caller.  -ECANCELED when it wants to stop. */
MUST_CHECK int fspf_work_step(struct fspf_work *w, uint64_t bytes);

/* strerror(), but for the codes that mean something of their own here. */
const char *fspf_work_reason(int r);

/* Errors after which nothing else could succeed. */
bool fspf_work_fatal(int r);

/*
 * The file at hand could not be moved whole; @doing says what failed ("read", "set the owner of").
 * A fatal @r is given back, with the same words remembered; otherwise it is reported, and 0.
 */
MUST_CHECK int fspf_work_problem(struct fspf_work *w, int r, const char *doing);

#endif
