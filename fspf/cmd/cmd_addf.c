/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_addf.c - fspf addf: bring a host tree into a volume
 *
 * Nothing is committed while it runs unless memory presses, so an import that is interrupted, or
 * that does not fit, is given up and the volume is as it was.  A file that could not be read is
 * reported and left out; what could be taken is kept, and the exit status is 1.  The changes that
 * an update makes are shown when all of it is over, since it may be given up.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fspf/cmd/change.h"
#include "fspf/cmd/json.h"
#include "fspf/error.h"

static int cmd_addf(int argc, char **argv);

const struct command command_addf = {
	.name = "addf",
	.synopsis = "VOLUME PREFIX SOURCE [--update]",
	.summary = "bring files into a volume",
	.notes =
		"If SOURCE is a directory, PREFIX becomes like it: contents, owners, modes, times,\n"
		"links and extended attributes.  If it is a file, it becomes PREFIX, or goes into\n"
		"the directory PREFIX.  PREFIX is an absolute path inside the volume, made if need\n"
		"be; existing files of the same names are replaced, others stay.  Prints the\n"
		"volume's new tag.  In a region in place, contents stay where they are and what\n"
		"they have to be is recorded.  With --update, what is gone from SOURCE goes, and\n"
		"each difference is shown: + new, - gone, M other contents, m other attributes.\n",
	.takes = TAKES_KEY | TAKES_ANCHOR | TAKES_JSON,
	.arguments_min = 3,
	.arguments_max = 3,
	.run = cmd_addf,
};

/* Is @path @top, or below it? */
static bool is_below(const char *path, const char *top)
{
	size_t len = strlen(top);

	return !strncmp(path, top, len) &&
	       (path[len] == '/' || !path[len] || (len && top[len - 1] == '/'));
}

/* A volume that is to swallow its own files would never be done. */
static int check_source(const char *volume, const char *source)
{
	char *v = realpath(volume, NULL);
	char *s = realpath(source, NULL);
	int e = s ? 0 : errno;
	int status = EXIT_FAILED;

	if (e)
		print_error("cannot import '%s': %s", source, strerror(e));
	else if (v && is_below(v, s))
		print_error("cannot import '%s': the volume itself lies in it", source);
	else
		status = EXIT_DONE;
	free(v);
	free(s);
	return status;
}

/* Errors after which the rest would fail too: what was taken in is not worth keeping. */
static bool is_final(int code)
{
	return code == -ECANCELED || code == -ENOSPC || code == -EROFS || code == -ENOMEM ||
	       code == -ESTALE;
}

/* Without /proc the attributes of symbolic links and special files cannot be read. */
static void hint_proc(void)
{
	if (access("/proc/self/fd", F_OK) < 0)
		print_hint("mount /proc first (mount -t proc proc /proc), in a chroot too");
}

struct addf {
	struct progress progress; /* first: the library's ctx is this */
	struct change change;
	bool update, json;
	json_t *changes;
};

/* ---- what changed ---- */

static void on_change(void *ctx, char kind, const char *path)
{
	struct addf *a = ctx;
	const char text[] = {kind, '\0'};

	json_array_append_new(a->changes,
			      json_pack("{s:s, s:o}", "kind", text, "path", json_name(path)));
}

static void show_changes(const json_t *changes)
{
	const json_t *change;
	size_t i;

	json_array_foreach(changes, i, change)
	{
		char *path = strdup(json_string_value(json_object_get(change, "path")));

		if (!path)
			break;
		fspf_printable(path);
		printf("%s %s\n", json_string_value(json_object_get(change, "kind")), path);
		free(path);
	}
}

/* Everything in the order of a text's lines: the differences, the tag. */
static int show(const struct addf *a, int status, bool tell_tag)
{
	json_t *json;
	int printing = EXIT_DONE;

	if (!a->json) {
		show_changes(a->changes);
		if (tell_tag)
			print_tag(&a->change.tag);
	} else if (tell_tag) {
		json = json_object();
		if (a->update)
			json_object_set(json, "changes", a->changes);
		json_object_set_new(json, "tag", json_tag(&a->change.tag));
		printing = print_json(json);
	}
	return status ? status : printing;
}

/* ---- the work ---- */

static int import(struct addf *a, const struct invocation *in)
{
	struct progress *p = &a->progress;
	struct fspf_error err = {0};
	bool tell;
	int r, status = EXIT_DONE;

	progress_start(p, a->update ? "updating" : "importing");
	p->transfer.update = a->update;
	p->transfer.change = a->update ? on_change : NULL;
	r = fspf_import(a->change.v, in->argv[1], in->argv[2], &p->transfer, &err);
	progress_end(p);
	if (r)
		status = progress_failure(p, &err);
	if (r == -ENOENT)
		hint_proc();
	if (is_final(r)) {
		status = change_abandon(&a->change, status);
		if (!a->change.published)
			print_hint("the volume is as it was before");
	} else {
		status = change_close(&a->change, status, &tell);
		status = show(a, status, tell);
	}
	return status;
}

static int addf(struct addf *a, const struct invocation *in)
{
	int status = check_source(in->argv[0], in->argv[2]);

	if (!status)
		status = change_begin(&command_addf, &in->common, in->argv[0], &a->change);
	if (!status)
		status = import(a, in);
	return status;
}

static int cmd_addf(int argc, char **argv)
{
	struct addf a = {.update = false};
	const struct command_option own[] = {
		{.name = "update",
		 .help = "make PREFIX equal to SOURCE, and show what that changes",
		 .flag = &a.update},
		{0}};
	struct invocation in;

	if (parse_command_line(&command_addf, own, argc, argv, &in)) {
		a.json = in.common.json;
		a.changes = json_array();
		in.status = addf(&a, &in);
		json_decref(a.changes);
	}
	return in.status;
}
