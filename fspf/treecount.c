/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/treecount.c - how many bytes a tree of the volume holds
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/treecount.h"

/* Directories that were met and not yet read, each with the reference that readdir took. */
struct todo {
	uint64_t *ino;
	size_t count, room;
};

struct count {
	struct fspf_treecount *owner;
	struct todo directories;
	struct todo files; /* of the directory at hand: references to give back */
	uint64_t total;
};

static int todo_add(struct todo *t, uint64_t ino)
{
	uint64_t *grown;
	size_t room = t->room ? 2 * t->room : 256;
	int r = 0;

	if (t->count == t->room) {
		grown = reallocarray(t->ino, room, sizeof(*grown));
		if (grown) {
			t->ino = grown;
			t->room = room;
		} else {
			r = -ENOMEM;
		}
	}
	if (!r)
		t->ino[t->count++] = ino;
	return r;
}

static void todo_forget(struct todo *t, struct fspf_volume *v)
{
	while (t->count > 0)
		fspf_forget(v, t->ino[--t->count], 1);
}

static int count_entry(void *ctx, const struct fspf_entry *entry)
{
	struct count *c = ctx;
	int r = 0;

	if (atomic_load(&c->owner->stop)) {
		r = -ECANCELED;
	} else if (entry->attr) { /* not "." and ".." */
		r = todo_add(S_ISDIR(entry->attr->mode) ? &c->directories : &c->files,
			     entry->attr->ino);
		if (S_ISREG(entry->attr->mode))
			c->total += entry->attr->size;
	}
	return r;
}

static int count_directory(struct count *c, uint64_t ino)
{
	int r = fspf_readdir(c->owner->v, ino, 0, true, count_entry, c);

	todo_forget(&c->files, c->owner->v);
	return r == -ECANCELED || r == -ENOMEM ? r : 0;
}

static void *count_thread(void *arg)
{
	struct count c = {.owner = arg};
	int r = count_directory(&c, c.owner->top);
	uint64_t ino;

	while (!r && c.directories.count > 0) {
		ino = c.directories.ino[--c.directories.count];
		r = count_directory(&c, ino);
		fspf_forget(c.owner->v, ino, 1);
	}
	if (!r)
		atomic_store(c.owner->ret_total, c.total);
	todo_forget(&c.directories, c.owner->v);
	free(c.directories.ino);
	free(c.files.ino);
	return NULL;
}

void fspf_treecount_start(struct fspf_treecount *c, struct fspf_volume *v, uint64_t top,
			  atomic_uint_least64_t *ret_total)
{
	c->v = v;
	c->top = top;
	c->ret_total = ret_total;
	c->running = !pthread_create(&c->thread, NULL, count_thread, c);
}

void fspf_treecount_stop(struct fspf_treecount *c)
{
	if (c->running) {
		atomic_store(&c->stop, true);
		pthread_join(c->thread, NULL);
		c->running = false;
	}
}
