/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/error.c - error codes into words and into exit statuses
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "fspf/error.h"
#include "fspf/fspf.h"

int fspf_exit_status(int code)
{
	switch (code) {
	case 0:
		return 0;
	case -EBADMSG:
		return 3;
	case -ESTALE:
		return 4;
	case -EKEYREJECTED:
	case -ENOKEY:
		return 5;
	case -EBUSY:
		return 6;
	default:
		return 1;
	}
}

/* Bytes from 128 on are left alone: they are UTF-8 as far as a terminal is concerned. */
void fspf_printable(char *text)
{
	for (char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
}

int fspf_fail(struct fspf_error *err, int code, const char *hint, const char *fmt, ...)
{
	va_list args;

	if (err) {
		va_start(args, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, args);
		va_end(args);
		snprintf(err->hint, sizeof(err->hint), "%s", hint ? hint : "");
		fspf_printable(err->text);
		fspf_printable(err->hint);
		err->code = code;
	}
	return code;
}
