/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/error.h - filling in struct fspf_error, inside libfspf
 *
 * An error is put into words once, where the facts are: the text says what and where, the hint what
 * to do.  Whoever calls further up passes the code on and adds nothing.
 */
#ifndef FSPF_FSPF_ERROR_H
#define FSPF_FSPF_ERROR_H

#include "crypto/base.h"

struct fspf_error;

/*
 * Set @err (NULL: nobody wants to know) and return @code, so that "r = fspf_fail(...)" is one
 * statement.  @hint may be NULL.  Control characters in the text (a file's name may hold any)
 * become
 * '?', so that it stays one line and commands no terminal; what is too long is cut.
 */
int fspf_fail(struct fspf_error *err, int code, const char *hint, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* Make @text safe to print on one line: control characters become '?'. */
void fspf_printable(char *text);

#endif
