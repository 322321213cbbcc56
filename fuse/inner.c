/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/inner.c - putting mounts into a mount, finding them, taking them away
 *
 * Nobody remembers them: who unmounts may be another process than who mounted.  They are found in
 * the table of mounts, as those within a mount that show, of the same file system, just what they
 * hide.  A mount that is only moved out of the way and back could not be told from one that a user
 * has made; so a copy without a place is kept, and the original is unmounted.
 */
#include "fuse/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fuse/mountpoint.h"

/* ---- the way ---- */

static int open_beneath(int root, const char *path, int *ret)
{
	const struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

	if (fd < 0)
		return -errno;
	*ret = (int)fd;
	return 0;
}

static bool is_on(int fd, dev_t device)
{
	dev_t found;

	return daemon_device(fd, "", &found) == 0 && found == device;
}

int daemon_inner_open(int root, dev_t device, const char *path, int *ret)
{
	int fd = -1;
	int err = is_on(root, device) ? open_beneath(root, path, &fd) : -EXDEV;

	if (err < 0)
		return err;
	if (!is_on(fd, device)) {
		close(fd);
		return -EXDEV;
	}
	*ret = fd;
	return 0;
}

/* ---- putting ---- */

/* @at becomes a mount point, of itself.  Where the mount around it is shared with other name
 * spaces, the copy would be one of its peers, and be told of what happens in itself; private, it
 * becomes shared on its own, and appears there just as here. */
static int put_onto(int at, bool noexec)
{
	struct mount_attr attr = {.propagation = MS_PRIVATE};
	int err = 0;
	int tree = open_tree(at, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (tree < 0)
		return -errno;
	if (noexec)
		attr.attr_set = MOUNT_ATTR_NOEXEC;
	else
		attr.attr_clr = MOUNT_ATTR_NOEXEC;
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
	    move_mount(tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		err = -errno;
	close(tree);
	return err;
}

int daemon_inner_put(const char *mountpoint, dev_t device, const char *prefix, bool noexec)
{
	int root = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int at = -1;
	int err = root < 0 ? -errno : 0;

	if (err == 0)
		err = daemon_inner_open(root, device, prefix + 1, &at);
	if (err == 0)
		err = put_onto(at, noexec);
	if (at >= 0)
		close(at);
	if (root >= 0)
		close(root);
	return err;
}

/* ---- finding ---- */

/* One line of /proc/self/mountinfo. */
struct row {
	unsigned major, minor;
	char *root, *path; /* which part of the file system is where */
};

/* The table writes blanks and the like as \ooo. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p; p++) {
		unsigned octal;

		if (*p == '\\' && sscanf(p + 1, "%3o", &octal) == 1) {
			*to++ = (char)octal;
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
}

static bool parse_row(const char *line, struct row *ret)
{
	*ret = (struct row){0};
	if (sscanf(line, "%*d %*d %u:%u %ms %ms", &ret->major, &ret->minor, &ret->root,
		   &ret->path) != 4) {
		free(ret->root);
		return false;
	}
	unescape(ret->root);
	unescape(ret->path);
	return true;
}

static void row_free(struct row *row)
{
	free(row->root);
	free(row->path);
	*row = (struct row){0};
}

/* Does @row show what is at the same path in @outer? */
static bool is_inner(const struct row *row, const struct row *outer)
{
	size_t n = strlen(outer->path);
	const char *root = strcmp(outer->root, "/") == 0 ? "" : outer->root;

	return row->major == outer->major && row->minor == outer->minor &&
	       strncmp(row->path, outer->path, n) == 0 && row->path[n] == '/' &&
	       strncmp(row->root, root, strlen(root)) == 0 &&
	       strcmp(row->root + strlen(root), row->path + n) == 0;
}

static void add(struct daemon_inner *inner, char *path)
{
	if (inner->count < DAEMON_INNER_MAX)
		inner->mount[inner->count++] =
			(struct daemon_inner_mount){.path = path, .kept = -1};
	else
		free(path);
}

/* The last one at a path is the topmost; what was found within those below it is none of ours. */
static void consider(struct row *row, const char *path, struct row *outer,
		     struct daemon_inner *inner)
{
	if (strcmp(row->path, path) == 0) {
		row_free(outer);
		daemon_inner_free(inner);
		*outer = *row;
		*row = (struct row){0};
	} else if (outer->path && is_inner(row, outer)) {
		add(inner, row->path);
		row->path = NULL;
	}
}

static int shorter_first(const void *a, const void *b)
{
	const struct daemon_inner_mount *x = a, *y = b;
	size_t m = strlen(x->path), n = strlen(y->path);

	return (m > n) - (m < n);
}

/* Without /proc there are none that could be found, and the mount around them will be busy. */
static void find_all(const char *path, struct daemon_inner *ret)
{
	FILE *table = fopen("/proc/self/mountinfo", "re");
	struct row outer = {0}, row;
	char *line = NULL;
	size_t room = 0;

	if (!table)
		return;
	while (getline(&line, &room, table) > 0) {
		if (!parse_row(line, &row))
			continue;
		consider(&row, path, &outer, ret);
		row_free(&row);
	}
	row_free(&outer);
	free(line);
	fclose(table);
	qsort(ret->mount, ret->count, sizeof(ret->mount[0]), shorter_first);
}

/* ---- taking ---- */

/* The directory that @path is in, and its name there. */
static int open_parent(const char *path, const char **ret_name, int *ret)
{
	const struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS,
	};
	const char *name = strrchr(path, '/') + 1;
	char *parent = strndup(path, (size_t)(name - path));
	long fd;
	int err = 0;

	if (!parent)
		return -ENOMEM;
	fd = syscall(SYS_openat2, AT_FDCWD, parent, &how, sizeof(how));
	if (fd < 0)
		err = -errno;
	free(parent);
	*ret_name = name;
	*ret = (int)fd;
	return err;
}

static int keep(struct daemon_inner_mount *m)
{
	const char *name;
	int parent;
	int err = open_parent(m->path, &name, &parent);

	if (err < 0)
		return err;
	m->kept =
		open_tree(parent, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	if (m->kept < 0)
		err = -errno;
	close(parent);
	return err;
}

static int take(struct daemon_inner_mount *m)
{
	const char *name;
	char at[PATH_MAX];
	int parent;
	int err = open_parent(m->path, &name, &parent);

	if (err < 0)
		return err;
	snprintf(at, sizeof(at), "/proc/self/fd/%d/%s", parent, name);
	if (umount2(at, UMOUNT_NOFOLLOW) < 0)
		err = -errno;
	close(parent);
	m->away = err == 0;
	return err;
}

static void put_back(struct daemon_inner_mount *m)
{
	const char *name;
	int parent;

	if (!m->away || open_parent(m->path, &name, &parent) < 0)
		return;
	m->away = move_mount(m->kept, "", parent, name, MOVE_MOUNT_F_EMPTY_PATH) < 0;
	close(parent);
}

int daemon_inner_take(const char *path, struct daemon_inner *ret)
{
	int err = 0;

	*ret = (struct daemon_inner){0};
	find_all(path, ret);
	for (size_t i = 0; i < ret->count && err == 0; i++)
		err = keep(&ret->mount[i]);
	for (size_t i = ret->count; i > 0 && err == 0; i--)
		err = take(&ret->mount[i - 1]);
	if (err < 0)
		daemon_inner_restore(ret);
	return err;
}

void daemon_inner_restore(struct daemon_inner *inner)
{
	for (size_t i = 0; i < inner->count; i++)
		put_back(&inner->mount[i]);
	daemon_inner_free(inner);
}

void daemon_inner_free(struct daemon_inner *inner)
{
	for (size_t i = 0; i < inner->count; i++) {
		if (inner->mount[i].kept >= 0)
			close(inner->mount[i].kept);
		free(inner->mount[i].path);
	}
	inner->count = 0;
}
