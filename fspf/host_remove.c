/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of a host region: taking them away and moving them, with the tree lock held exclusively.
 * What a name means is looked at before it goes, and held open meanwhile, so that a file of which
 * somebody has a number lives on without a name (H3).  Should the host put something else there in
 * the instant between, that is gone, and what we looked at is stale, or held for nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fspf/host_internal.h"

/* A name and what it means now. */
struct spot {
	struct host_place dir;
	const char *name;
	int fd; /* O_PATH; -1: nothing there */
	struct statx st;
	struct host_file *file; /* used; NULL: nobody has a number of it */
};

/* ---- */

static int look(struct fspf_host *h, struct spot *s)
{
	int r = host_child(h, s->dir.fd, s->name, &s->fd, &s->st);

	s->file = NULL;
	if (r == 0) /* ways are not removed, so it is not the file of one */
		s->file = host_find(h, &s->st, NULL);
	else
		s->fd = -1;
	return r == -ENOENT ? 0 : r;
}

static int enter_spot(struct fspf_host *h, uint64_t parent, const char *name, struct spot *ret)
{
	size_t len;
	int r = fspf_name_check(name, &len);

	if (r)
		return r;
	r = host_enter_dir(h, parent, &ret->dir);
	if (r)
		return r;
	ret->name = name;
	r = host_way_at(ret->dir.file, name) ? -EBUSY : look(h, ret);
	if (r)
		host_leave(h, &ret->dir);
	return r;
}

static void leave_spot(struct fspf_host *h, struct spot *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->file)
		host_put(h, s->file);
	host_leave(h, &s->dir);
}

/* ---- files without a name ---- */

/* May one more be held?  So many that the rest of the program does not notice. */
static int check_room(struct fspf_host *h, const struct spot *s)
{
	struct rlimit limit;
	uint64_t held;

	if (!s->file || getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return 0;
	host_lock(h);
	held = h->held;
	host_unlock(h);
	return held < limit.rlim_cur / 4 ? 0 : -EMFILE;
}

static void hold(struct fspf_host *h, struct spot *s)
{
	host_lock(h);
	if (s->file->held < 0) {
		s->file->held = s->fd;
		s->fd = -1;
		h->held++;
	}
	host_unlock(h);
}

/* Names that we have seen it under may be gone; if one is left, all is well. */
static bool is_reachable(struct fspf_host *h, struct host_file *file)
{
	struct statx st;
	int fd;

	if (host_walk(h, file, &fd, &st))
		return false;
	close(fd);
	return true;
}

/* The name is gone. */
static void lose_name(struct fspf_host *h, struct spot *s)
{
	if (!s->file)
		return;
	host_lock(h);
	host_name_remove(h, s->file, s->dir.file, s->name);
	host_unlock(h);
	if (!is_reachable(h, s->file))
		hold(h, s);
}

/* ---- unlink, rmdir ---- */

static int remove_spot(struct fspf_host *h, struct spot *s, int flags)
{
	int r = s->fd < 0 ? -ENOENT : check_room(h, s);

	if (r == 0 && unlinkat(s->dir.fd, s->name, flags))
		r = -errno;
	if (r == 0)
		lose_name(h, s);
	return r;
}

static int remove_name(struct fspf_host *h, uint64_t parent, const char *name, int flags)
{
	struct spot s;
	bool entered;
	int r;

	if (h->read_only)
		return -EROFS;
	pthread_rwlock_wrlock(&h->tree);
	r = enter_spot(h, parent, name, &s);
	entered = r == 0;
	if (entered)
		r = remove_spot(h, &s, flags);
	pthread_rwlock_unlock(&h->tree);
	/* Only now, for closing the last of a large file takes its time. */
	if (entered)
		leave_spot(h, &s);
	return r;
}

int fspf_host_unlink(struct fspf_host *h, uint64_t parent, const char *name)
{
	return remove_name(h, parent, name, 0);
}

int fspf_host_rmdir(struct fspf_host *h, uint64_t parent, const char *name)
{
	return remove_name(h, parent, name, AT_REMOVEDIR);
}

/* ---- rename ---- */

/* @from's file has the name @fresh now, which is taken over.  If the host has made a loop of it,
 * the file is left without a name, which is stale. */
static void move_name(struct fspf_host *h, const struct spot *from, struct host_name *fresh)
{
	if (!from->file) {
		free(fresh);
		return;
	}
	host_lock(h);
	host_name_remove(h, from->file, from->dir.file, from->name);
	(void)!host_name_add(h, from->file, fresh);
	host_unlock(h);
}

/* Memory first: nothing may fail once the host has renamed. */
struct fresh_names {
	struct host_name *from, *to;
};

/* If both names mean one file already, rename(2) does nothing, and what is forgotten here is a name
 * that will be seen again. */
static void moved(struct fspf_host *h, struct spot *from, struct spot *to, bool exchange,
		  struct fresh_names *fresh)
{
	if (exchange) {
		move_name(h, to, fresh->from);
		fresh->from = NULL;
	} else {
		lose_name(h, to);
	}
	move_name(h, from, fresh->to);
	fresh->to = NULL;
}

static int rename_spots(struct fspf_host *h, struct spot *from, struct spot *to, unsigned flags)
{
	struct fresh_names fresh = {
		.from = host_name_new(from->dir.file, from->name),
		.to = host_name_new(to->dir.file, to->name),
	};
	bool exchange = flags & RENAME_EXCHANGE;
	int r = fresh.from && fresh.to ? 0 : -ENOMEM;

	if (r == 0 && from->fd < 0)
		r = -ENOENT;
	if (r == 0 && !exchange)
		r = check_room(h, to);
	if (r == 0 && renameat2(from->dir.fd, from->name, to->dir.fd, to->name, flags))
		r = -errno;
	if (r == 0)
		moved(h, from, to, exchange, &fresh);
	free(fresh.from);
	free(fresh.to);
	return r;
}

/* Both or none. */
static int enter_spots(struct fspf_host *h, uint64_t parent, const char *name, uint64_t new_parent,
		       const char *new_name, struct spot ret[static 2])
{
	int r = enter_spot(h, parent, name, &ret[0]);

	if (r)
		return r;
	r = enter_spot(h, new_parent, new_name, &ret[1]);
	if (r)
		leave_spot(h, &ret[0]);
	return r;
}

int fspf_host_rename(struct fspf_host *h, uint64_t parent, const char *name, uint64_t new_parent,
		     const char *new_name, unsigned flags, const struct fspf_caller *caller)
{
	struct spot spot[2];
	bool entered;
	int r;

	(void)caller; /* a whiteout is the host's, and nobody's */
	if (h->read_only)
		return -EROFS;
	pthread_rwlock_wrlock(&h->tree);
	r = enter_spots(h, parent, name, new_parent, new_name, spot);
	entered = r == 0;
	if (entered)
		r = rename_spots(h, &spot[0], &spot[1], flags);
	pthread_rwlock_unlock(&h->tree);
	for (size_t i = 0; i < ARRAY_LEN(spot) && entered; i++)
		leave_spot(h, &spot[i]);
	return r;
}
