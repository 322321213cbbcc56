/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/change.h - a volume open for change by a command, and the tag it ends up with
 *
 * Whoever pins tags (--tag) must be told the last one that was published, however the command ends,
 * or the volume is lost to them.  So publications are watched on their way to the anchor.
 */
#ifndef FSPF_FSPF_CMD_CHANGE_H
#define FSPF_FSPF_CMD_CHANGE_H

#include "fspf/cmd/cmd.h"

struct change {
	struct fspf_volume *v;
	struct crypto_digest
		tag; /* the last one published; other threads set it while @v is open */
	bool published;
};

/* Open for writing: commits only when memory presses, and at the end.  Gives an exit status; after
 * EXIT_DONE it ends with one of the others.  @ret stays where it is until then. */
MUST_CHECK int change_begin(const struct command *command, const struct common_options *o,
			    const char *path, struct change *ret);

/* What change_begin() opens with, for a call of the library that opens and closes by itself: the
 * change then tells what was published.  The credential is the caller's, whatever the result. */
MUST_CHECK int change_params(const struct command *command, const struct common_options *o,
			     const char *path, struct change *change, struct fspf_open_params *ret,
			     struct fspf_credential **ret_credential);

/* Close, and print the tag to stdout (when closing fails, the last one that was published; none, if
 * @status is a failure and nothing was changed).  Gives @status, or closing's if that was
 * EXIT_DONE.
 */
MUST_CHECK int change_commit(struct change *c, int status);
/* The same without printing: there is a tag to be told, c->tag, if *ret_tell. */
MUST_CHECK int change_close(struct change *c, int status, bool *ret_tell);

/* Give up what was not committed.  If something was, that is said and the new tag printed.  Gives
 * @status. */
int change_abandon(struct change *c, int status);

#endif
