/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/hostcount.c - how many bytes a host tree holds
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fspf/hostcount.h"
#include "fspf/hostdir.h"

struct count {
	struct fspf_hostcount *owner;
	struct fspf_hostdir dir;
	struct fspf_namelist *names; /* one for each level of dir */
	size_t room;
	uint64_t total;
};

/* The innermost directory was just pushed: read its names. */
static int list_level(struct count *c)
{
	struct fspf_namelist *grown;
	size_t room = c->dir.depth + 32;
	int r = 0;

	if (c->dir.depth > c->room) {
		grown = reallocarray(c->names, room, sizeof(*grown));
		if (grown) {
			c->names = grown;
			c->room = room;
		} else {
			r = -ENOMEM;
		}
	}
	if (!r) {
		memset(&c->names[c->dir.depth - 1], 0, sizeof(*c->names));
		(void)!fspf_hostdir_list(&c->dir, &c->names[c->dir.depth - 1]);
	}
	return r;
}

static int count_name(struct count *c, const char *name)
{
	struct stat st;
	int r = 0;

	if (fstatat(fspf_hostdir_fd(&c->dir), name, &st, AT_SYMLINK_NOFOLLOW))
		st.st_mode = 0;
	if (S_ISREG(st.st_mode))
		c->total += (uint64_t)st.st_size;
	else if (S_ISDIR(st.st_mode) && !fspf_hostdir_down(&c->dir, name, &st))
		r = list_level(c);
	return r;
}

static int count_tree(struct count *c)
{
	const char *name;
	int r = list_level(c);

	while (!r && c->dir.depth > 0) {
		name = fspf_namelist_next(&c->names[c->dir.depth - 1]);
		if (atomic_load(&c->owner->stop)) {
			r = -ECANCELED;
		} else if (name) {
			r = count_name(c, name);
		} else {
			fspf_namelist_free(&c->names[c->dir.depth - 1]);
			r = fspf_hostdir_up(&c->dir);
		}
	}
	return r;
}

static void *count_thread(void *arg)
{
	struct count c = {.owner = arg};
	struct stat st;

	if (fstat(c.owner->fd, &st))
		close(c.owner->fd);
	else if (!fspf_hostdir_push(&c.dir, c.owner->fd, &st) && !count_tree(&c))
		atomic_store(c.owner->ret_total, c.total);
	for (size_t i = 0; i < c.dir.depth && i < c.room; i++)
		fspf_namelist_free(&c.names[i]);
	free(c.names);
	fspf_hostdir_free(&c.dir);
	return NULL;
}

void fspf_hostcount_start(struct fspf_hostcount *c, int fd, atomic_uint_least64_t *ret_total)
{
	c->ret_total = ret_total;
	c->fd = fspf_hostdir_open(fd, ".", O_DIRECTORY);
	c->running = c->fd >= 0 && !pthread_create(&c->thread, NULL, count_thread, c);
	if (c->fd >= 0 && !c->running)
		close(c->fd);
}

void fspf_hostcount_stop(struct fspf_hostcount *c)
{
	if (c->running) {
		atomic_store(&c->stop, true);
		pthread_join(c->thread, NULL);
		c->running = false;
	}
}
