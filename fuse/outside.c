/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/outside.c - the child, and how to ask it
 *
 * A file is reached by its handle, whose form for FUSE is taken from the kernel's source; what the
 * kernel gives for the root is compared with that before it is relied on.  Being in the mount for a
 * moment keeps nobody from unmounting: whoever made us ask has a file open there.
 */
#include "fuse/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fspf/fspf.h"
#include "fuse/inner.h"
#include "fuse/mountpoint.h"

/* The node id in two halves, the high one first, and the generation. */
#define HANDLE_TYPE 0x81
#define HANDLE_WORDS 3u
#define ROOT_INO 1

enum task {
	WRITE_FILE,
	SYNC,
	PUT_INNER,
	UNMOUNT,
};

struct order {
	enum task task;
	dev_t device;
	uint64_t ino, generation;
	bool noexec;
	char prefix[FSPF_PREFIX_MAX + 1];
};

struct daemon_outside {
	pthread_mutex_t lock; /* an order and its answer */
	int socket;
	pid_t child;
};

union handle {
	struct file_handle header;
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

/* Descriptors in the mount; -1: none. */
struct opened {
	int root, file;
};

/* ---- the child ---- */

static int open_root(const char *mountpoint, dev_t device, struct opened *o)
{
	dev_t found;

	o->root = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o->root < 0)
		return -errno;
	if (daemon_device(o->root, "", &found) < 0 || found != device)
		return -EXDEV; /* something else is mounted there */
	return 0;
}

static void make_handle(uint64_t ino, uint64_t generation, union handle *ret)
{
	const uint32_t words[HANDLE_WORDS] = {(uint32_t)(ino >> 32), (uint32_t)ino,
					      (uint32_t)generation};

	ret->header.handle_bytes = sizeof(words);
	ret->header.handle_type = HANDLE_TYPE;
	memcpy(ret->header.f_handle, words, sizeof(words));
}

static bool handles_are_as_known(int root)
{
	union handle got = {.header.handle_bytes = MAX_HANDLE_SZ}, known;
	int mount_id;

	if (name_to_handle_at(root, "", &got.header, &mount_id, AT_EMPTY_PATH) < 0)
		return false;
	make_handle(ROOT_INO, 0, &known);
	return got.header.handle_type == known.header.handle_type &&
	       got.header.handle_bytes == known.header.handle_bytes &&
	       memcmp(got.header.f_handle, known.header.f_handle, 2 * sizeof(uint32_t)) == 0;
}

static int write_file(const char *mountpoint, const struct order *order, struct opened *o)
{
	union handle handle;

	if (open_root(mountpoint, order->device, o) < 0 || !handles_are_as_known(o->root))
		return -ENOSYS;
	make_handle(order->ino, order->generation, &handle);
	o->file = open_by_handle_at(o->root, &handle.header, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (o->file < 0)
		return -ENOSYS;
	if (sync_file_range(o->file, 0, 0,
			    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				    SYNC_FILE_RANGE_WAIT_AFTER) < 0)
		return -errno;
	return 0;
}

static int sync_mount(const char *mountpoint, dev_t device, struct opened *o)
{
	if (open_root(mountpoint, device, o) < 0) {
		sync();
		return 0;
	}
	return syncfs(o->root) < 0 ? -errno : 0;
}

static int carry_out(const char *mountpoint, const struct order *order, struct opened *o)
{
	int result = -EINVAL;

	switch (order->task) {
	case WRITE_FILE:
		result = write_file(mountpoint, order, o);
		break;
	case SYNC:
		result = sync_mount(mountpoint, order->device, o);
		break;
	case PUT_INNER:
		result = daemon_inner_put(mountpoint, order->device, order->prefix, order->noexec);
		break;
	case UNMOUNT:
		result = daemon_unmount(mountpoint);
		break;
	}
	return result;
}

static void close_all(struct opened *o)
{
	if (o->file >= 0)
		close(o->file);
	if (o->root >= 0)
		close(o->root);
}

/* The descriptors of a write_file() are closed after the answer: close(2) takes, in some kernels,
 * the lock that whoever waits for the answer holds. */
static _Noreturn void serve(int socket, const char *mountpoint)
{
	struct order order;

	while (recv(socket, &order, sizeof(order), 0) == (ssize_t)sizeof(order)) {
		struct opened o = {-1, -1};
		int result = carry_out(mountpoint, &order, &o);

		if (order.task != WRITE_FILE)
			close_all(&o);
		if (send(socket, &result, sizeof(result), MSG_NOSIGNAL) < 0)
			_exit(0);
		if (order.task == WRITE_FILE)
			close_all(&o);
	}
	_exit(0);
}

/* Keep nothing of what was inherited but @socket: no terminal, no pipe that somebody reads to its
 * end, no directory, no key; and outlive the signals that the daemon answers by giving orders. */
static int leave_everything(int socket)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	char *key = getenv("FSPF_KEY");
	int null = open("/dev/null", O_RDWR);

	if (key)
		explicit_bzero(key, strlen(key));
	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGTERM, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	prctl(PR_SET_NAME, "fspf-outside");
	if (null < 0 || chdir("/") < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(null, 2) < 0 || close_range((unsigned)socket + 1, ~0u, 0) < 0)
		return -errno;
	if (socket > 3 && close_range(3, (unsigned)socket - 1, 0) < 0)
		return -errno;
	return 0;
}

/* ---- the daemon ---- */

int daemon_outside_start(const char *mountpoint, struct daemon_outside **ret)
{
	struct daemon_outside *o = calloc(1, sizeof(*o));
	int ends[2];
	int err = 0;

	if (!o)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		err = -errno;
		free(o);
		return err;
	}
	o->child = fork();
	if (o->child == 0) {
		if (leave_everything(ends[1]) < 0)
			_exit(1);
		serve(ends[1], mountpoint);
	}
	if (o->child < 0)
		err = -errno;
	close(ends[1]);
	o->socket = ends[0];
	pthread_mutex_init(&o->lock, NULL);
	if (err == 0) {
		*ret = o;
	} else {
		close(o->socket);
		free(o);
	}
	return err;
}

static int ask(struct daemon_outside *o, const struct order *order)
{
	int result = -EPIPE;
	ssize_t n;

	pthread_mutex_lock(&o->lock);
	if (send(o->socket, order, sizeof(*order), MSG_NOSIGNAL) == (ssize_t)sizeof(*order)) {
		do
			n = recv(o->socket, &result, sizeof(result), 0);
		while (n < 0 && errno == EINTR);
		if (n != (ssize_t)sizeof(result))
			result = -EPIPE;
	}
	pthread_mutex_unlock(&o->lock);
	return result;
}

int daemon_outside_write_file(struct daemon_outside *o, dev_t device, uint64_t ino,
			      uint64_t generation)
{
	const struct order order = {
		.task = WRITE_FILE, .device = device, .ino = ino, .generation = generation};

	return ask(o, &order);
}

int daemon_outside_sync(struct daemon_outside *o, dev_t device)
{
	const struct order order = {.task = SYNC, .device = device};

	return ask(o, &order);
}

int daemon_outside_put_inner(struct daemon_outside *o, dev_t device, const char *prefix,
			     bool noexec)
{
	struct order order = {.task = PUT_INNER, .device = device, .noexec = noexec};

	snprintf(order.prefix, sizeof(order.prefix), "%s", prefix);
	return ask(o, &order);
}

int daemon_outside_unmount(struct daemon_outside *o)
{
	const struct order order = {.task = UNMOUNT};

	return ask(o, &order);
}

pid_t daemon_outside_pid(const struct daemon_outside *o)
{
	return o->child;
}

void daemon_outside_stop(struct daemon_outside *o)
{
	if (!o)
		return;
	close(o->socket);
	waitpid(o->child, NULL, 0);
	pthread_mutex_destroy(&o->lock);
	free(o);
}
