/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/cmd_status.c - `fspf status MOUNTPOINT`: what a daemon says of its mount
 *
 * The answer is asked for with room for the longest, and once: asked for its length first, it could
 * have grown in between.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "fspf/cmd/cmd.h"
#include "fspf/cmd/json.h"
#include "fspf/error.h"
#include "fuse/control.h"
#include "fuse/mountpoint.h"

const struct command command_status = {
	.name = "status",
	.synopsis = "MOUNTPOINT",
	.summary = "show what a mounted volume is doing",
	.notes = "Any file of the mount will do.  For root, and for the user who mounted it.\n",
	.takes = TAKES_JSON,
	.arguments_min = 1,
	.arguments_max = 1,
	.run = cmd_status,
};

static int say(const char *path, int err)
{
	if (err == -ENODATA || err == -EOPNOTSUPP || err == -EINVAL)
		print_error("%s is not in a mount of fspf", path);
	else
		print_error("cannot ask for the status of %s: %s", path, strerror(-err));
	if (err == -EPERM || err == -EACCES)
		print_hint("only root and the user who mounted it may ask");
	else if (err == -ENOTCONN)
		print_hint("its daemon is gone; clean up with: fspf umount %s", path);
	return EXIT_FAILED;
}

/* Another file system could give anything. */
static json_t *parse(const char *text, size_t len)
{
	json_t *json = json_loadb(text, len, 0, NULL);
	const char *program = json_string_value(json_object_get(json, "program"));

	if (program && strcmp(program, "fspf") == 0)
		return json;
	json_decref(json);
	return NULL;
}

/* The length, or a negative errno. */
static ssize_t get(const char *path, char text[static DAEMON_STATUS_MAX])
{
	ssize_t n = getxattr(path, DAEMON_XATTR_STATUS, text, DAEMON_STATUS_MAX);

	return n < 0 ? -errno : n;
}

static _Noreturn void get_for_another(const char *path, const struct daemon_mount *m, int pipe,
				      char text[static DAEMON_STATUS_MAX])
{
	ssize_t n = -EACCES;

	if (setgroups(0, NULL) == 0 && setresgid(m->group, m->group, m->group) == 0 &&
	    setresuid(m->owner, m->owner, m->owner) == 0)
		n = get(path, text);
	_exit(n > 0 && write_all(pipe, text, (size_t)n) == 0 ? 0 : 1);
}

static ssize_t read_all(int fd, char *data, size_t size)
{
	size_t got = 0;
	ssize_t n = 1;

	while (n > 0 && got < size) {
		n = read(fd, data + got, size - got);
		got += n > 0 ? (size_t)n : 0;
	}
	return n < 0 ? -errno : (ssize_t)got;
}

/* A user's mount shuts even root out, so root asks as that user, in a child. */
static ssize_t get_as_owner(const char *path, char text[static DAEMON_STATUS_MAX])
{
	struct daemon_mount mount;
	ssize_t n = -EACCES;
	int ends[2], status;
	char *mountpoint = NULL;
	pid_t child;

	if (geteuid() != 0 || daemon_resolve_mountpoint(path, &mountpoint) < 0)
		return -EACCES;
	if (daemon_find_mount(mountpoint, &mount) == 0 && mount.fspf &&
	    pipe2(ends, O_CLOEXEC) == 0) {
		child = fork();
		if (child == 0)
			get_for_another(mountpoint, &mount, ends[1], text);
		close(ends[1]);
		n = read_all(ends[0], text, DAEMON_STATUS_MAX);
		close(ends[0]);
		if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
			n = -EACCES;
	}
	free(mountpoint);
	return n;
}

static int ask(const char *path, json_t **ret)
{
	char *text = malloc(DAEMON_STATUS_MAX);
	json_t *json = NULL;
	ssize_t n;

	if (!text)
		return say(path, -ENOMEM);
	n = get(path, text);
	if (n == -EACCES)
		n = get_as_owner(path, text);
	if (n > 0)
		json = parse(text, (size_t)n);
	free(text);
	if (!json)
		return say(path, n < 0 ? (int)n : -ENODATA);
	*ret = json;
	return EXIT_DONE;
}

/* ---- for people ---- */

static unsigned long long number(const json_t *json, const char *name)
{
	return (unsigned long long)json_integer_value(json_object_get(json, name));
}

/* As a terminal may see it. */
static void text_of(const json_t *json, const char *name, char ret[static FSPF_PREFIX_MAX + 1])
{
	const char *text = json_string_value(json_object_get(json, name));

	snprintf(ret, FSPF_PREFIX_MAX + 1, "%s", text ? text : "-");
	fspf_printable(ret);
}

static void print_size(const char *label, const json_t *json, const char *name)
{
	char size[FORMAT_SIZE_MAX];

	format_size(number(json, name), size);
	printf("%s%s", label, size);
}

static void print_uptime(unsigned long long s)
{
	printf("up %llu d %02llu:%02llu:%02llu\n", s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
}

static void print_daemon(const json_t *json)
{
	char text[FSPF_PREFIX_MAX + 1];

	text_of(json, "volume", text);
	printf("volume      %s\n", text);
	if (number(json, "pid"))
		printf("daemon      %llu, ", number(json, "pid"));
	else
		printf("daemon      in another name space, ");
	print_uptime(number(json, "uptime"));
	printf("mode        %s%s\n",
	       json_is_true(json_object_get(json, "read_only")) ? "read-only" : "read-write",
	       json_is_true(json_object_get(json, "ephemeral")) ? ", nothing is stored" : "");
	text_of(json, "tag", text);
	printf("tag         %s\n", text);
}

static void print_commits(const json_t *commits)
{
	time_t last = (time_t)number(commits, "last");
	char when[64] = "none since it was mounted";
	struct tm tm;

	if (last && localtime_r(&last, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	printf("commits     %llu, the last: %s (generation %llu)\n", number(commits, "count"), when,
	       number(commits, "generation"));
}

static void print_work(const json_t *json)
{
	const json_t *cache = json_object_get(json, "node_cache");
	char on_violation[FSPF_PREFIX_MAX + 1];

	print_commits(json_object_get(json, "commits"));
	print_size("not stored  ", json, "dirty_bytes");
	print_size("\nnode cache  ", cache, "bytes");
	print_size(" of ", cache, "max");
	printf(", %llu found, %llu read\n", number(cache, "hits"), number(cache, "misses"));
	printf("requests    %llu\n", number(json, "requests"));
	printf("blocks      %llu sealed, %llu opened\n", number(json, "blocks_sealed"),
	       number(json, "blocks_opened"));
	text_of(json, "on_violation", on_violation);
	printf("violations  %llu (then: %s)\n", number(json, "violations"), on_violation);
}

static void print_region(const json_t *region)
{
	char protection[FSPF_PREFIX_MAX + 1], tag[FSPF_PREFIX_MAX + 1], prefix[FSPF_PREFIX_MAX + 1];

	text_of(region, "protection", protection);
	if (json_is_true(json_object_get(region, "locked"))) {
		printf("  %-23s  (locked: no key was given)\n", protection);
		return;
	}
	text_of(region, "tag", tag);
	text_of(region, "prefix", prefix);
	printf("  %-23s  %-64s  %s\n", protection, strspn(tag, "0") == strlen(tag) ? "-" : tag,
	       prefix);
}

static int print_status(const json_t *json)
{
	const json_t *regions = json_object_get(json, "regions");
	unsigned long long left_out = number(json, "regions_left_out");

	print_daemon(json);
	print_work(json);
	printf("regions\n");
	for (size_t i = 0; i < json_array_size(regions); i++)
		print_region(json_array_get(regions, i));
	if (left_out)
		printf("  and %llu more\n", left_out);
	return EXIT_DONE;
}

int cmd_status(int argc, char **argv)
{
	json_t *json = NULL;
	struct invocation i;
	int status;

	if (!parse_command_line(&command_status, NULL, argc, argv, &i))
		return i.status;
	status = ask(i.argv[0], &json);
	if (status != EXIT_DONE)
		return status;
	if (i.common.json)
		return print_json(json);
	status = print_status(json);
	json_decref(json);
	return status;
}
