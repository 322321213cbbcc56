/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/work.c - path, progress and problems of an import or export
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fspf/error.h"
#include "fspf/work.h"

/* ---- the path ---- */

static int path_reserve(struct fspf_work *w, size_t size)
{
	char *grown = w->path;
	int r = 0;

	if (size > w->path_size) {
		size += 256;
		grown = realloc(w->path, size);
		if (grown) {
			w->path = grown;
			w->path_size = size;
		} else {
			r = -ENOMEM;
		}
	}
	return r;
}

/* "/" is kept as "", so that a name can always be added after a slash. */
static int path_set(struct fspf_work *w, const char *path)
{
	size_t len = strlen(path);
	int r;

	while (len > 0 && path[len - 1] == '/')
		len--;
	r = path_reserve(w, len + 1);
	if (!r) {
		memcpy(w->path, path, len);
		w->path[len] = '\0';
		w->path_len = len;
	}
	return r;
}

int fspf_work_down(struct fspf_work *w, const char *name)
{
	size_t len = strlen(name);
	int r = path_reserve(w, w->path_len + len + 2);

	if (!r) {
		w->path[w->path_len] = '/';
		memcpy(w->path + w->path_len + 1, name, len + 1);
		w->path_len += len + 1;
	}
	return r;
}

void fspf_work_up(struct fspf_work *w)
{
	while (w->path_len > 0 && w->path[--w->path_len] != '/')
		;
	w->path[w->path_len] = '\0';
}

static const char *shown_path(const struct fspf_work *w)
{
	return w->path_len ? w->path : "/";
}

/* ---- progress ---- */

int fspf_work_step(struct fspf_work *w, uint64_t bytes)
{
	int r = 0;

	w->done.bytes_done += bytes;
	if (w->transfer && w->transfer->progress) {
		w->done.bytes_total = atomic_load(&w->bytes_total);
		w->done.path = shown_path(w);
		if (w->transfer->progress(w->transfer->ctx, &w->done))
			r = -ECANCELED;
	}
	return r;
}

/* ---- problems ---- */

bool fspf_work_fatal(int r)
{
	return r == -ECANCELED || r == -ENOSPC || r == -EROFS || r == -ENOMEM || r == -ESTALE ||
	       r == -EDQUOT;
}

const char *fspf_work_reason(int r)
{
	return r == -EBADMSG	 ? "damaged or tampered with"
	       : r == -ENOKEY	 ? "a key is needed"
	       : r == -ECANCELED ? "interrupted"
	       : r == -EXDEV	 ? "it was moved meanwhile"
	       : r == -EREMOTE	 ? "its region is not protected, and nothing of it is kept"
	       : r == -EAGAIN	 ? "it changes meanwhile"
				 : strerror(-r);
}

int fspf_work_problem(struct fspf_work *w, int r, const char *doing)
{
	struct fspf_error now = {0};
	struct fspf_report report = {.code = r, .text = now.text};

	if (!r)
		return 0;
	fspf_fail(&now, r, NULL, "cannot %s '%s': %s", doing, shown_path(w), fspf_work_reason(r));
	if (!w->first.code || fspf_work_fatal(r) ||
	    (r == -EBADMSG && w->first.code != -EBADMSG && !fspf_work_fatal(w->first.code)))
		w->first = now;
	if (!fspf_work_fatal(r)) {
		w->problems++;
		if (w->transfer && w->transfer->report)
			w->transfer->report(w->transfer->ctx, &report);
		r = 0;
	}
	return r;
}

/* ---- begin and end ---- */

static void work_free(struct fspf_work *w)
{
	free(w->path);
	free(w->piece);
	free(w->names);
	free(w->value);
	w->path = w->names = w->value = NULL;
	w->piece = NULL;
}

int fspf_work_begin(struct fspf_work *w, struct fspf_volume *v,
		    const struct fspf_transfer *transfer, const char *path)
{
	int r;

	memset(w, 0, sizeof(*w));
	w->v = v;
	w->transfer = transfer;
	w->piece = malloc(FSPF_PIECE);
	w->names = malloc(FSPF_WORK_NAMES);
	w->value = malloc(FSPF_XATTR_VALUE_MAX);
	r = w->piece && w->names && w->value ? path_set(w, path) : -ENOMEM;
	if (r)
		work_free(w);
	return r;
}

static int fail_fatally(const struct fspf_work *w, int r, const char *what, struct fspf_error *err)
{
	if (r == -ECANCELED)
		fspf_fail(err, r, NULL, "interrupted: not everything was %s", what);
	else if (w->first.code == r)
		fspf_fail(err, r, NULL, "%s", w->first.text);
	else
		fspf_fail(err, r, NULL, "not everything was %s: %s", what, fspf_work_reason(r));
	return r;
}

int fspf_work_end(struct fspf_work *w, int r, const char *what, struct fspf_error *err)
{
	if (r)
		fail_fatally(w, r, what, err);
	else if (w->problems == 1)
		r = fspf_fail(err, w->first.code, NULL, "%s", w->first.text);
	else if (w->problems)
		r = fspf_fail(err, w->first.code, NULL, "%llu files could not be %s",
			      (unsigned long long)w->problems, what);
	work_free(w);
	return r;
}
