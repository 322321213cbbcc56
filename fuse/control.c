/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/control.c - the daemon's own extended attributes, and who waits for its end
 *
 * The descriptor is opened through /proc while its owner waits for our answer, so it cannot be
 * reused meanwhile; and it must be a pipe, which nothing happens to when it is opened.  A waiter
 * who gave up (the mount was busy) has closed its end; it is noticed and dropped when the next one
 * comes, or never, which costs a descriptor.
 */
#include "fuse/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/daemon_internal.h"
#include "fuse/status.h"
#include "fuse/view.h"

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool daemon_control_name(const char *name)
{
	return starts_with(name, "fspf.") || starts_with(name, "system.fspf.");
}

ssize_t daemon_give(const char *text, char *value, size_t size)
{
	size_t n = strlen(text);

	if (size == 0)
		return (ssize_t)n;
	if (size < n)
		return -ERANGE;
	memcpy(value, text, n);
	return (ssize_t)n;
}

static bool is_owner(fuse_req_t req)
{
	uid_t uid = fuse_req_ctx(req)->uid;

	return uid == 0 || uid == geteuid();
}

static int parse_descriptor(const char *text, int *ret)
{
	char *end;
	long n;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtol(text, &end, 10);
	if (errno != 0 || *end || n > INT16_MAX)
		return -EINVAL;
	*ret = (int)n;
	return 0;
}

static int open_pipe_of(pid_t pid, int descriptor, int *ret)
{
	char path[64];
	struct stat st;
	int fd;

	if (pid <= 0)
		return -ESRCH; /* a process that our name space of processes does not hold */
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, descriptor);
	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISFIFO(st.st_mode))
		return -EINVAL;
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

static bool has_reader(int pipe)
{
	struct pollfd p = {.fd = pipe};

	return poll(&p, 1, 0) == 0 || !(p.revents & POLLERR);
}

static void drop_gone(struct daemon_closers *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (has_reader(c->pipes[i]))
			c->pipes[kept++] = c->pipes[i];
		else
			close(c->pipes[i]);
	}
	c->count = kept;
}

static int closers_add(struct daemon_closers *c, int pipe)
{
	int err = 0;

	pthread_mutex_lock(&c->lock);
	drop_gone(c);
	if (c->count < ARRAY_LEN(c->pipes))
		c->pipes[c->count++] = pipe;
	else
		err = -EBUSY;
	pthread_mutex_unlock(&c->lock);
	return err;
}

static int register_closer(fuse_req_t req, const char *descriptor)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	int number, fd = -1, err;

	if (!is_owner(req))
		return -EPERM;
	err = parse_descriptor(descriptor, &number);
	if (err == 0)
		err = open_pipe_of(ctx->pid, number, &fd);
	if (err < 0)
		return err;
	err = closers_add(&daemon_of(req)->closers, fd);
	if (err < 0)
		close(fd);
	return err;
}

/* Our process number as @pid knows it; 0: not at all. */
static pid_t pid_seen_by(pid_t pid)
{
	char path[64];
	struct stat ours, theirs;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	if (stat("/proc/self/ns/pid", &ours) < 0 || stat(path, &theirs) < 0 ||
	    ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev)
		return 0;
	return getpid();
}

static ssize_t give_status(fuse_req_t req, char *value, size_t size)
{
	char *text = NULL;
	ssize_t n;

	if (!is_owner(req))
		return -EPERM;
	if (size == 0)
		return DAEMON_STATUS_MAX;
	n = daemon_status(daemon_of(req), pid_seen_by(fuse_req_ctx(req)->pid), &text);
	if (n == 0)
		n = daemon_give(text, value, size);
	free(text);
	return n;
}

static ssize_t take_closer(fuse_req_t req, const char *descriptor, char *value, size_t size)
{
	char text[16];
	int err = register_closer(req, descriptor);

	if (err < 0)
		return err;
	snprintf(text, sizeof(text), "%d", (int)pid_seen_by(fuse_req_ctx(req)->pid));
	return daemon_give(text, value, size);
}

ssize_t daemon_control_get(fuse_req_t req, fuse_ino_t ino, const char *name, char *value,
			   size_t size)
{
	if (starts_with(name, "fspf."))
		return daemon_view_get(req, ino, name, value, size);
	if (strcmp(name, DAEMON_XATTR_STATUS) == 0)
		return give_status(req, value, size);
	if (ino == FUSE_ROOT_ID && starts_with(name, DAEMON_XATTR_CLOSING))
		return take_closer(req, name + strlen(DAEMON_XATTR_CLOSING), value, size);
	return -ENODATA;
}

void daemon_closers_init(struct daemon_closers *c)
{
	pthread_mutex_init(&c->lock, NULL);
	c->count = 0;
}

void daemon_closers_tell(struct daemon_closers *c, const char *line)
{
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->count; i++) {
		/* One who does not listen any more loses nothing. */
		ssize_t n = write(c->pipes[i], line, strlen(line));

		(void)n;
	}
	pthread_mutex_unlock(&c->lock);
}
