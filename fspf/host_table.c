/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of a host region.  Directories point to nothing below them; what is below points up, a
 * name at the directory it is in, so that moving a directory moves all that is in it.
 *
 * A file whose last use goes is taken out of the tables at once, and with it the directories that
 * were in memory for its sake; closing, which may take as long as the deletion of a large file, is
 * left to host_unlock().
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fspf/host_internal.h"

/* ---- going ---- */

void host_lock(struct fspf_host *h)
{
	pthread_mutex_lock(&h->lock);
}

static void bury(struct host_file *file)
{
	while (file->names) {
		struct host_name *name = file->names;

		file->names = name->next;
		free(name);
	}
	if (file->held >= 0)
		close(file->held);
	if (file->cached >= 0)
		close(file->cached);
	free(file->node);
	free(file);
}

void host_unlock(struct fspf_host *h)
{
	struct host_file *dead = h->dead;

	h->dead = NULL;
	pthread_mutex_unlock(&h->lock);
	while (dead) {
		struct host_file *file = dead;

		dead = file->next_dead;
		bury(file);
	}
}

/* What is cached of it has no users: they would use the file. */
static void take_out(struct fspf_host *h, struct host_file *file)
{
	HASH_DEL(h->files, file);
	HASH_DEL(h->nodes, file->node);
	if (file->held >= 0)
		h->held--;
	if (file->slot) {
		file->cached = file->slot->fd;
		*file->slot = (struct host_slot){.fd = -1};
	}
	file->next_dead = h->dead;
	h->dead = file;
}

static void release(struct host_file *file, struct host_file **todo)
{
	if (--file->uses == 0) {
		file->next_dead = *todo;
		*todo = file;
	}
}

/* A list and no recursion: the host says how deep its directories are. */
void host_drop(struct fspf_host *h, struct host_file *file)
{
	struct host_file *todo = NULL;

	release(file, &todo);
	while (todo) {
		file = todo;
		todo = file->next_dead;
		for (struct host_name *name = file->names; name; name = name->next)
			release(name->dir, &todo);
		take_out(h, file);
	}
}

void host_put(struct fspf_host *h, struct host_file *file)
{
	host_lock(h);
	host_drop(h, file);
	host_unlock(h);
}

void host_free_all(struct fspf_host *h)
{
	struct host_node *node, *next_node;
	struct host_file *file, *next;

	HASH_ITER (hh, h->nodes, node, next_node) {
		HASH_DEL(h->nodes, node);
		if (node != node->file->node)
			free(node);
	}
	HASH_ITER (hh, h->files, file, next) {
		HASH_DEL(h->files, file);
		if (file->slot)
			file->cached = file->slot->fd;
		bury(file);
	}
}

/* ---- names ---- */

struct host_name *host_name_new(struct host_file *dir, const char *name)
{
	size_t size = strlen(name) + 1;
	struct host_name *n = malloc(sizeof(*n) + size);

	if (n) {
		n->next = NULL;
		n->dir = dir;
		memcpy(n->name, name, size);
	}
	return n;
}

static void unhook(struct fspf_host *h, struct host_name **at)
{
	struct host_name *name = *at;

	*at = name->next;
	host_drop(h, name->dir);
	free(name);
}

void host_name_remove(struct fspf_host *h, struct host_file *file, const struct host_file *dir,
		      const char *name)
{
	for (struct host_name **at = &file->names; *at; at = &(*at)->next)
		if ((*at)->dir == dir && !strcmp((*at)->name, name)) {
			unhook(h, at);
			break;
		}
}

/* Is @file @dir, or above it?  There is no loop yet, so this ends. */
static bool is_above(const struct host_file *file, const struct host_file *dir)
{
	while (dir != file && dir->names)
		dir = dir->names->dir;
	return dir == file;
}

/* All names but the newest @keep. */
static void keep_names(struct fspf_host *h, struct host_file *file, unsigned keep)
{
	struct host_name **at = &file->names;

	for (unsigned i = 0; *at && i < keep; i++)
		at = &(*at)->next;
	while (*at)
		unhook(h, at);
}

static bool has_name(const struct host_file *file, const struct host_name *name)
{
	const struct host_name *n = file->names;

	while (n && (n->dir != name->dir || strcmp(n->name, name->name)))
		n = n->next;
	return n;
}

/* One that is there keeps its place: somebody may be trying them one after the other. */
int host_name_add(struct fspf_host *h, struct host_file *file, struct host_name *name)
{
	bool is_dir = file->id.type == S_IFDIR;
	bool loop = is_dir && is_above(file, name->dir);

	if (loop || has_name(file, name)) {
		free(name);
		return loop ? -ELOOP : 0;
	}
	name->dir->uses++;
	name->next = file->names;
	file->names = name;
	keep_names(h, file, is_dir ? 1 : HOST_NAMES);
	return 0;
}
