/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/near.c - how a thread finds and joins its client
 *
 * The request's header has the client's thread; field 39 of its /proc/PID/stat is the processor it
 * last ran on (proc_pid_stat(5)).  Reading that costs about as much as a request, so one in
 * LOOK_EVERY pays for all.
 *
 * It can also block.  Linux 6.18 makes readers of that file wait while the process is in the midst
 * of execve(2), where it closes files, and closing writes them: a SETATTR from there would wait for
 * us and we for its sender.  So only requests that are sent from the middle of an ordinary system
 * call are looked at (is_ordinary()).
 */
#include "fuse/near.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_EVERY 32u
#define PROCESSOR_FIELD 39

/* The fields behind the name, which may hold anything, begin after its last parenthesis. */
static int parse_processor(const char *stat)
{
	const char *p = strrchr(stat, ')');

	for (int field = 2; p && field < PROCESSOR_FIELD; field++)
		p = strchr(p + 1, ' ');
	return p ? atoi(p + 1) : -1;
}

static int processor_of(uint32_t thread)
{
	char path[32], stat[1024];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/stat", thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	stat[n] = 0;
	return parse_processor(stat);
}

/* Narrowing the mask moves us; widening it again lets the scheduler do its work. */
static void move_to(int processor)
{
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 ||
	    !CPU_ISSET((size_t)processor, &allowed))
		return;
	CPU_ZERO(&one);
	CPU_SET((size_t)processor, &one);
	if (sched_setaffinity(0, sizeof(one), &one) == 0)
		(void)sched_setaffinity(0, sizeof(allowed), &allowed);
}

static bool is_ordinary(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_READ:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
	case FUSE_RENAME2:
	case FUSE_FSYNC:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return true;
	default:
		return false;
	}
}

void daemon_near(struct daemon_near *near, const struct fuse_buf *request)
{
	struct fuse_in_header header;
	int processor;

	if (near->served++ % LOOK_EVERY || request->size < sizeof(header))
		return;
	memcpy(&header, request->mem, sizeof(header));
	if (!is_ordinary(header.opcode)) {
		near->served--; /* the next one, then */
		return;
	}
	processor = header.pid ? processor_of(header.pid) : -1;
	if (processor >= 0 && processor < CPU_SETSIZE && processor != sched_getcpu())
		move_to(processor);
}
