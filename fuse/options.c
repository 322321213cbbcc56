/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/options.c - -o lists and paths
 *
 * One row an option.  A row stores (at an offset in struct daemon_options), passes on to libfuse,
 * both, or neither.  The times of last access are not kept by a FUSE file system whose daemon does
 * not write them, so the options about them have nothing to say and are accepted for fstab's sake.
 */
#include "fuse/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuse/fuse_api.h"
#include "fuse/mountpoint.h"
#include "fuse/passthrough.h"

#include <fuse_opt.h>

enum kind {
	NOTHING, /* neither stores nor has a value */
	SET,	 /* a bool becomes true */
	CLEAR,
	TEXT,  /* NAME=VALUE */
	FILES, /* NAME=FILE:FILE, also several times */
	SIZE,
	SECONDS,
	VALUE, /* has one, which is not stored */
};

#define AT(member) offsetof(struct daemon_options, member)

static const struct row {
	const char *name;
	enum kind kind;
	size_t offset;
	bool pass; /* on to libfuse, and through it to the kernel */
} rows[] = {
	{"key_file", TEXT, AT(common.key_file), false},
	{"passphrase_file", TEXT, AT(common.passphrase_file), false},
	{"region_key_file", FILES, AT(common.region_key_files), false},
	{"tag", TEXT, AT(common.tag), false},
	{"tag_file", TEXT, AT(common.tag_file), false},
	{"no_rollback_protection", SET, AT(common.no_rollback_protection), false},
	{"recover", SET, AT(common.recover), false},
	{"ephemeral", SET, AT(ephemeral), false},
	{"passthrough", SET, AT(passthrough), false},
	{"scratch", TEXT, AT(scratch), false},
	{"on_violation", TEXT, AT(on_violation), false},
	{"snapshot", TEXT, AT(common.snapshot), false},
	{"commit", SECONDS, AT(commit_interval_ms), false},
	{"dirty_max", SIZE, AT(dirty_max), false},
	{"node_cache", SIZE, AT(node_cache), false},
	{"foreground", SET, AT(foreground), false},
	{"debug", SET, AT(debug), false},

	{"ro", SET, AT(read_only), true},
	{"rw", CLEAR, AT(read_only), true},
	{"allow_other", SET, AT(allow_other), true},
	{"fsname", VALUE, 0, true},
	{"default_permissions", NOTHING, 0, false}, /* always */
	{"allow_root", NOTHING, 0, true},
	{"auto_unmount", NOTHING, 0, true},
	{"dev", NOTHING, 0, true},
	{"nodev", NOTHING, 0, true},
	{"suid", NOTHING, 0, true},
	{"nosuid", NOTHING, 0, true},
	{"exec", CLEAR, AT(noexec), true},
	{"noexec", SET, AT(noexec), true},
	{"sync", NOTHING, 0, true},
	{"async", NOTHING, 0, true},
	{"dirsync", NOTHING, 0, true},
	{"context", VALUE, 0, true},
	{"fscontext", VALUE, 0, true},
	{"defcontext", VALUE, 0, true},
	{"rootcontext", VALUE, 0, true},

	{"atime", NOTHING, 0, false},
	{"noatime", NOTHING, 0, false},
	{"diratime", NOTHING, 0, false},
	{"nodiratime", NOTHING, 0, false},
	{"relatime", NOTHING, 0, false},
	{"norelatime", NOTHING, 0, false},
	{"strictatime", NOTHING, 0, false},
	{"nostrictatime", NOTHING, 0, false},
	{"lazytime", NOTHING, 0, false},
	{"nolazytime", NOTHING, 0, false},

	/* mount(8)'s and systemd's own */
	{"defaults", NOTHING, 0, false},
	{"auto", NOTHING, 0, false},
	{"noauto", NOTHING, 0, false},
	{"user", NOTHING, 0, false},
	{"user", VALUE, 0, false},
	{"nouser", NOTHING, 0, false},
	{"users", NOTHING, 0, false},
	{"nousers", NOTHING, 0, false},
	{"owner", NOTHING, 0, false},
	{"noowner", NOTHING, 0, false},
	{"group", NOTHING, 0, false},
	{"nogroup", NOTHING, 0, false},
	{"nofail", NOTHING, 0, false},
	{"_netdev", NOTHING, 0, false},
	{"silent", NOTHING, 0, false},
	{"loud", NOTHING, 0, false},
	{"comment", VALUE, 0, false},
	{"helper", VALUE, 0, false},
	{"uhelper", VALUE, 0, false},
};

int daemon_options_init(struct daemon_options *o, const struct command *command)
{
	*o = (struct daemon_options){.command = command};
	o->kernel = strdup("");
	o->lists = strdup("");
	if (!o->kernel || !o->lists) {
		daemon_options_free(o);
		return -ENOMEM;
	}
	return 0;
}

void daemon_options_free(struct daemon_options *o)
{
	free(o->volume);
	free(o->mountpoint);
	free(o->tag_file);
	free(o->kernel);
	free(o->lists);
	*o = (struct daemon_options){0};
}

static int out_of_memory(void)
{
	print_error("out of memory");
	return EXIT_FAILED;
}

static const struct row *find_row(const char *name, bool with_value)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		bool takes_value = r->kind >= TEXT;

		if (takes_value == with_value && strcmp(r->name, name) == 0)
			return r;
	}
	return NULL;
}

static int store_seconds(const struct daemon_options *o, const char *value, uint32_t *ret)
{
	char *end;
	unsigned long seconds;

	errno = 0;
	seconds = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || errno != 0 || seconds == 0 ||
	    seconds > DAEMON_COMMIT_SECONDS_MAX)
		return usage_error(o->command, "-o commit=%s: not a number of seconds from 1 to %u",
				   value, DAEMON_COMMIT_SECONDS_MAX);
	*ret = (uint32_t)(seconds * 1000);
	return EXIT_DONE;
}

static int store_size(const struct daemon_options *o, const char *name, const char *value,
		      uint64_t *ret)
{
	uint64_t size;

	if (parse_size(value, &size) < 0 || size == 0)
		return usage_error(o->command, "-o %s=%s: not a size, such as 64M", name, value);
	*ret = size;
	return EXIT_DONE;
}

static int store_files(const struct daemon_options *o, const char *name, char *value,
		       struct option_values *ret)
{
	char *rest = value;

	while (rest) {
		char *file = strsep(&rest, ":");

		if (*file == '\0')
			return usage_error(o->command, "-o %s: the name of a file is empty", name);
		if (ret->count == OPTION_VALUES_MAX)
			return usage_error(o->command, "-o %s: too many files", name);
		ret->value[ret->count++] = file;
	}
	return EXIT_DONE;
}

static int store(struct daemon_options *o, const struct row *r, char *value)
{
	char *at = (char *)o + r->offset;
	int status = EXIT_DONE;

	switch (r->kind) {
	case SET:
	case CLEAR:
		*(bool *)(void *)at = r->kind == SET;
		break;
	case TEXT:
		*(const char **)(void *)at = value;
		break;
	case FILES:
		status = store_files(o, r->name, value, (struct option_values *)(void *)at);
		break;
	case SIZE:
		status = store_size(o, r->name, value, (uint64_t *)(void *)at);
		break;
	case SECONDS:
		status = store_seconds(o, value, (uint32_t *)(void *)at);
		break;
	case NOTHING:
	case VALUE:
		break;
	}
	return status;
}

/* Append to the list for libfuse, in which commas and backslashes are escaped again. */
static int pass_on(struct daemon_options *o, const char *name, const char *value)
{
	size_t used = strlen(o->kernel);
	size_t room = used + strlen(name) + 2 * (value ? strlen(value) : 0) + 3;
	char *list = realloc(o->kernel, room);
	char *p;

	if (!list)
		return out_of_memory();
	o->kernel = list;
	p = list + used;
	p += sprintf(p, "%s%s%s", used ? "," : "", name, value ? "=" : "");
	for (; value && *value; value++) {
		if (*value == ',' || *value == '\\')
			*p++ = '\\';
		*p++ = *value;
	}
	*p = '\0';
	return EXIT_DONE;
}

static bool for_somebody_else(const char *option)
{
	return strncmp(option, "x-", 2) == 0 || strncmp(option, "X-", 2) == 0;
}

static int unknown_option(const struct daemon_options *o, const char *name, bool with_value)
{
	if (o->sloppy)
		return EXIT_DONE;
	if (find_row(name, !with_value))
		return usage_error(o->command, "-o %s: %s", name,
				   with_value ? "takes no value" : "needs a value");
	if (strcmp(name, "key") == 0 || strcmp(name, "passphrase") == 0)
		return usage_error(o->command, "-o %s: secrets come from files: %s_file=FILE", name,
				   name);
	return usage_error(o->command, "-o %s: unknown option", name);
}

/* One option, unescaped, that stays in memory for as long as @o. */
static int parse_one(struct daemon_options *o, char *option)
{
	char *value = strchr(option, '=');
	const struct row *r;
	int status;

	if (*option == '\0' || for_somebody_else(option))
		return EXIT_DONE;
	if (value)
		*value++ = '\0';
	r = find_row(option, value != NULL);
	if (!r)
		return unknown_option(o, option, value != NULL);
	status = store(o, r, value);
	if (strcmp(option, "fsname") == 0)
		o->named = true;
	if (status == EXIT_DONE && r->pass)
		status = pass_on(o, option, value);
	return status;
}

/* Take the next option off *list in place: escapes undone, the comma after it made a NUL. */
static char *next_option(char **list)
{
	char *start = *list, *from = start, *to = start;

	for (; *from && *from != ','; from++) {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from;
	}
	*list = *from ? from + 1 : NULL;
	*to = '\0';
	return start;
}

/* All lists in one, which the strings that were stored go on pointing into. */
static char *join_lists(const char *const *lists, int count)
{
	size_t room = 1;
	char *joined, *p;

	for (int i = 0; i < count; i++)
		room += strlen(lists[i]) + 1;
	joined = p = malloc(room);
	if (!joined)
		return NULL;
	*p = '\0';
	for (int i = 0; i < count; i++)
		p += sprintf(p, "%s%s", i ? "," : "", lists[i]);
	return joined;
}

int daemon_options_parse(struct daemon_options *o, const char *const *lists, int count)
{
	char *rest = join_lists(lists, count);
	int status = rest ? EXIT_DONE : out_of_memory();

	free(o->lists);
	o->lists = rest;
	while (rest && status == EXIT_DONE)
		status = parse_one(o, next_option(&rest));
	if (status == EXIT_DONE && o->on_violation && strcmp(o->on_violation, "eio") != 0 &&
	    strcmp(o->on_violation, "abort") != 0)
		status = usage_error(o->command, "-o on_violation is eio or abort, not '%s'",
				     o->on_violation);
	if (status == EXIT_DONE && o->passthrough)
		status = daemon_passthrough_built();
	return status;
}

/* The tag file is opened anew for each tag.  If it cannot be found, that is said by who opens it.
 */
static void make_tag_file_absolute(struct daemon_options *o)
{
	o->tag_file = o->common.tag_file ? realpath(o->common.tag_file, NULL) : NULL;
	if (o->tag_file)
		o->common.tag_file = o->tag_file;
}

int daemon_options_volume(struct daemon_options *o, const char *volume)
{
	make_tag_file_absolute(o);
	o->volume = realpath(volume, NULL);
	if (o->volume)
		return EXIT_DONE;
	print_error("cannot find the volume %s: %s", volume, strerror(errno));
	return EXIT_FAILED;
}

int daemon_options_mountpoint(struct daemon_options *o, const char *mountpoint)
{
	int status = daemon_check_mountpoint(mountpoint, &o->mountpoint);

	if (status == EXIT_DONE && daemon_is_within(o->volume, o->mountpoint)) {
		print_error("the volume %s is inside the mount point %s, which would hide it",
			    o->volume, o->mountpoint);
		print_hint("mount it at a directory elsewhere");
		status = EXIT_FAILED;
	} else if (status == EXIT_DONE && daemon_is_within(o->mountpoint, o->volume)) {
		print_error("the mount point %s is inside the volume %s", o->mountpoint, o->volume);
		print_hint("mount it at a directory elsewhere");
		status = EXIT_FAILED;
	}
	return status;
}

/* One more "-o LIST". */
static int add_list(struct fuse_args *args, const char *list)
{
	if (*list == '\0')
		return 0;
	return fuse_opt_add_arg(args, "-o") < 0 || fuse_opt_add_arg(args, list) < 0 ? -ENOMEM : 0;
}

/* The volume's path as the source that mount(8) shows, with commas escaped. */
static int add_name(struct fuse_args *args, const char *volume)
{
	char *list = NULL;
	char *option = NULL;
	int err = -ENOMEM;

	if (asprintf(&option, "fsname=%s", volume) < 0)
		option = NULL;
	if (option && fuse_opt_add_opt_escaped(&list, option) == 0)
		err = add_list(args, list);
	free(list);
	free(option);
	return err;
}

/* Later options win, so what is usual comes first: root's mounts are like native ones. */
int daemon_options_fuse_args(const struct daemon_options *o, bool read_only, struct fuse_args *ret)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int err = 0;

	if (fuse_opt_add_arg(&args, "fspf") < 0)
		err = -ENOMEM;
	if (err == 0)
		err = add_list(&args, "default_permissions,subtype=fspf");
	if (err == 0 && geteuid() == 0)
		err = add_list(&args, "dev,suid,allow_other");
	if (err == 0 && !o->named)
		err = add_name(&args, o->volume);
	if (err == 0)
		err = add_list(&args, o->kernel);
	if (err == 0 && read_only)
		err = add_list(&args, "ro");
	if (err == 0 && o->debug && fuse_opt_add_arg(&args, "-d") < 0)
		err = -ENOMEM;
	if (err == 0)
		*ret = args;
	else
		fuse_opt_free_args(&args);
	return err;
}
