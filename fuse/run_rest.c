/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/run_rest.c - processes that outlive the command that started them
 *
 * We are the reaper of all that descends from us (or process 1), so whoever loses its parent
 * becomes our child.  Only children of ours are ever sent a signal: their numbers cannot be used
 * again before we have waited for them, so nobody else is ever hit.  What is below them comes up
 * when they are gone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuse/run_internal.h"

#define STEP_NS 10000000
#define GRACE_STEPS 100	  /* from SIGTERM to SIGKILL: a second */
#define KILL_STEPS 500	  /* who is not gone by then is not ours to end: another traces it, say */
#define CHILDREN_MAX 512u /* at a time */

struct children {
	pid_t pid[CHILDREN_MAX];
	size_t count;
};

static void add(struct children *c, pid_t pid)
{
	if (pid > 0 && c->count < CHILDREN_MAX)
		c->pid[c->count++] = pid;
}

static bool has(const struct children *c, pid_t pid)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->pid[i] == pid)
			return true;
	return false;
}

/* ---- finding ---- */

static bool knows_us(int proc)
{
	char number[16] = "";

	return readlinkat(proc, "self", number, sizeof(number) - 1) > 0 &&
	       strtol(number, NULL, 10) == getpid();
}

static int new_proc(void)
{
	int context = fsopen("proc", FSOPEN_CLOEXEC);
	int proc = -1;

	if (context >= 0 && fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		proc = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (context >= 0)
		close(context);
	return proc;
}

/* Negative: there is none. */
static int open_proc(void)
{
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (proc >= 0 && knows_us(proc))
		return proc;
	if (proc >= 0)
		close(proc);
	return new_proc();
}

static DIR *open_directory(int proc, const char *path)
{
	int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;

	if (fd >= 0 && !directory)
		close(fd);
	return directory;
}

static FILE *open_file(int proc, const char *path)
{
	int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;

	if (fd >= 0 && !file)
		close(fd);
	return file;
}

/* Each of our threads has a list.  False: not in this kernel. */
static bool list_by_thread(int proc, struct children *ret)
{
	DIR *threads = open_directory(proc, "self/task");
	const struct dirent *entry;
	bool ok = threads != NULL;

	while (ok && (entry = readdir(threads))) {
		char path[sizeof("self/task//children") + sizeof(entry->d_name)];
		FILE *list;
		int pid;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "self/task/%s/children", entry->d_name);
		list = open_file(proc, path);
		ok = list != NULL;
		while (list && fscanf(list, "%d", &pid) == 1)
			add(ret, pid);
		if (list)
			fclose(list);
	}
	if (threads)
		closedir(threads);
	return ok;
}

/* A program's name, which stands before it in parentheses, may hold anything, parentheses too. */
static pid_t parent_of(int proc, const char *pid)
{
	char path[300], line[512];
	FILE *stat;
	const char *after;
	int parent = 0;
	size_t n;

	snprintf(path, sizeof(path), "%s/stat", pid);
	stat = open_file(proc, path);
	if (!stat)
		return 0;
	n = fread(line, 1, sizeof(line) - 1, stat);
	fclose(stat);
	line[n] = '\0';
	after = strrchr(line, ')');
	return after && sscanf(after, ") %*c %d", &parent) == 1 ? parent : 0;
}

static void list_by_parent(int proc, struct children *ret)
{
	DIR *processes = open_directory(proc, ".");
	const struct dirent *entry;

	while (processes && (entry = readdir(processes)))
		if (entry->d_name[0] > '0' && entry->d_name[0] <= '9' &&
		    parent_of(proc, entry->d_name) == getpid())
			add(ret, (pid_t)strtol(entry->d_name, NULL, 10));
	if (processes)
		closedir(processes);
}

/* Those that have ended are waited for first, so these all live. */
static void list_children(int proc, struct children *ret)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	ret->count = 0;
	if (list_by_thread(proc, ret))
		return;
	ret->count = 0;
	list_by_parent(proc, ret);
}

/* ---- ending ---- */

/* One round; how many are left?  Nobody is sent SIGTERM twice, which may mean something else. */
static size_t signal_all(int proc, pid_t spared, int signal, struct children *told)
{
	struct children now;
	size_t left = 0;

	list_children(proc, &now);
	for (size_t i = 0; i < now.count; i++) {
		if (now.pid[i] == spared)
			continue;
		left++;
		if (signal == SIGTERM && has(told, now.pid[i]))
			continue;
		kill(now.pid[i], signal);
		add(told, now.pid[i]);
	}
	return left;
}

void run_rest_end(pid_t spared)
{
	const struct timespec step = {.tv_nsec = STEP_NS};
	struct children told = {.count = 0};
	int proc = open_proc();

	if (proc < 0) {
		print_error("cannot look for processes that the command left behind: no /proc");
		return;
	}
	for (int i = 0; i < GRACE_STEPS + KILL_STEPS; i++) {
		if (signal_all(proc, spared, i < GRACE_STEPS ? SIGTERM : SIGKILL, &told) == 0)
			break;
		nanosleep(&step, NULL);
	}
	close(proc);
}
