/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a host region and their numbers, and how a change by the host is told from one of ours
 * (H5).
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/host_internal.h"

/* ---- numbers ---- */

static struct host_node *find_node(const struct fspf_host *h, uint64_t ino)
{
	struct host_node *node;

	HASH_FIND(hh, h->nodes, &ino, sizeof(ino), node);
	return node;
}

int host_get(struct fspf_host *h, uint64_t ino, struct host_file **ret)
{
	struct host_node *node;

	host_lock(h);
	node = find_node(h, ino);
	if (node) {
		node->file->uses++;
		*ret = node->file;
	}
	host_unlock(h);
	return node ? 0 : -ESTALE;
}

/* Numbers with references use their file, those without are there only as the file's newest. */
static void reference(struct host_node *node)
{
	if (node->refs++ == 0)
		node->file->uses++;
}

static void node_free(struct fspf_host *h, struct host_node *node)
{
	HASH_DEL(h->nodes, node);
	free(node);
}

static struct host_node *node_new(struct fspf_host *h, struct host_file *file)
{
	struct host_node *node = NULL;

	if (h->objects < FSPF_OBJECT_MAX - 1)
		node = calloc(1, sizeof(*node));
	if (node) {
		node->file = file;
		node->ino = h->base | ++h->objects;
		HASH_ADD(hh, h->nodes, ino, sizeof(node->ino), node);
	}
	return node;
}

/* The last reference has gone. */
static void node_unused(struct fspf_host *h, struct host_node *node)
{
	struct host_file *file = node->file;

	if (node != file->node)
		node_free(h, node);
	host_drop(h, file);
}

int fspf_host_reference(struct fspf_host *h, uint64_t ino, struct fspf_attr *ret)
{
	struct host_place place;
	struct host_node *node;
	int r = host_visit(h, ino, &place);

	if (r)
		return r;
	host_lock(h);
	node = find_node(h, ino);
	if (node)
		reference(node);
	host_unlock(h);
	if (node)
		host_attr(ino, &place.st, ret);
	host_leave(h, &place);
	return node ? 0 : -ESTALE;
}

void fspf_host_forget(struct fspf_host *h, uint64_t ino, uint64_t n)
{
	uint64_t kept = ino == (h->base | FSPF_OBJECT_ROOT) ? 1 : 0; /* our own */
	struct host_node *node;

	host_lock(h);
	node = find_node(h, ino);
	if (node && n > 0 && node->refs > kept) {
		node->refs -= min_u64(n, node->refs - kept);
		if (node->refs == 0)
			node_unused(h, node);
	}
	host_unlock(h);
}

/* ---- files ---- */

static struct host_id id_of(const struct statx *st, const struct host_way *way)
{
	return (struct host_id){
		.dev = (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor,
		.ino = st->stx_ino,
		.type = st->stx_mode & S_IFMT,
		.way = way,
	};
}

static struct host_file *find_file(const struct fspf_host *h, const struct host_id *id)
{
	struct host_file *file;

	HASH_FIND(hh, h->files, id, sizeof(*id), file);
	if (file)
		file->uses++;
	return file;
}

struct host_file *host_find(struct fspf_host *h, const struct statx *st, const struct host_way *way)
{
	struct host_id id = id_of(st, way);
	struct host_file *file;

	host_lock(h);
	file = find_file(h, &id);
	host_unlock(h);
	return file;
}

bool host_is(const struct host_file *file, const struct statx *st)
{
	struct host_id id = id_of(st, file->id.way);

	return !memcmp(&id, &file->id, sizeof(id));
}

static void see(struct host_file *file, const struct statx *st)
{
	file->size = st->stx_size;
	file->mtime = st->stx_mtime;
}

static bool is_as_seen(const struct host_file *file, const struct statx *st)
{
	return file->size == st->stx_size && file->mtime.tv_sec == st->stx_mtime.tv_sec &&
	       file->mtime.tv_nsec == st->stx_mtime.tv_nsec;
}

static struct host_file *file_new(struct fspf_host *h, const struct host_id *id,
				  const struct statx *st)
{
	struct host_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->id = *id;
	file->held = file->cached = -1;
	file->uses = 1;
	see(file, st);
	file->node = node_new(h, file);
	if (!file->node) {
		free(file);
		return NULL;
	}
	HASH_ADD(hh, h->files, id, sizeof(file->id), file);
	return file;
}

int host_add_root(struct fspf_host *h, int fd, const struct statx *st)
{
	struct host_id id = id_of(st, &h->way);

	h->root = file_new(h, &id, st);
	if (!h->root)
		return -ENOMEM;
	h->root->held = fd;
	reference(h->root->node);
	return 0;
}

/* ---- H5 ---- */

/*
 * Under the lock no change of ours can begin or end, so a stat that is taken here is either as we
 * left the file, or the host's doing.  @st was taken before, and is taken again only if it says
 * that something has changed.
 */
static int changed_by_host(struct host_file *file, int fd, struct statx *st, bool *ret)
{
	int r = 0;

	*ret = false;
	if (file->id.type != S_IFREG || file->changing)
		return 0;
	if (!is_as_seen(file, st))
		r = host_stat(fd, st);
	if (r == 0) {
		*ret = file->foreign || !is_as_seen(file, st);
		file->foreign = false;
		see(file, st);
	}
	return r;
}

static int renumber(struct fspf_host *h, struct host_file *file)
{
	struct host_node *old = file->node, *node = node_new(h, file);

	if (!node)
		return -ENOMEM;
	file->node = node;
	if (old->refs == 0)
		node_free(h, old);
	return 0;
}

void fspf_host_keep_numbers(struct fspf_host *h)
{
	host_lock(h);
	h->keeps_numbers = true;
	host_unlock(h);
}

static int give(struct fspf_host *h, struct host_file *file, int fd, struct statx *st,
		struct fspf_attr *ret)
{
	bool changed;
	int r = changed_by_host(file, fd, st, &changed);

	if (r == 0 && changed && !h->keeps_numbers) {
		r = renumber(h, file);
		file->foreign = r != 0;
	}
	if (r == 0) {
		reference(file->node);
		host_attr(file->node->ino, st, ret);
	}
	return r;
}

int host_adopt(struct fspf_host *h, struct host_file *dir, const char *name, int fd,
	       struct statx *st, struct fspf_attr *ret)
{
	struct host_id id = id_of(st, host_way_at(dir, name));
	struct host_name *n = host_name_new(dir, name);
	struct host_file *file;
	int r = -ENOMEM;

	if (!n)
		return r;
	host_lock(h);
	file = find_file(h, &id);
	if (!file)
		file = file_new(h, &id, st);
	if (file) {
		r = host_name_add(h, file, n);
		if (r == 0)
			r = give(h, file, fd, st, ret);
		host_drop(h, file);
	} else {
		free(n);
	}
	host_unlock(h);
	return r;
}

int host_adopt_again(struct fspf_host *h, struct host_place *place, struct fspf_attr *ret)
{
	int r;

	host_lock(h);
	r = give(h, place->file, place->fd, &place->st, ret);
	host_unlock(h);
	return r;
}

/* What the host did since the file was last looked at would be lost in what we do: remember it. */
void host_change_begin(struct fspf_host *h, const struct host_place *place)
{
	struct host_file *file = place->file;
	struct statx st;

	host_lock(h);
	if (file->changing++ == 0 && file->id.type == S_IFREG && host_stat(place->fd, &st) == 0 &&
	    !is_as_seen(file, &st))
		file->foreign = true;
	host_unlock(h);
}

void host_change_end(struct fspf_host *h, const struct host_place *place, struct statx *ret)
{
	struct host_file *file = place->file;
	struct statx st;

	host_lock(h);
	file->changing--;
	if (host_stat(place->fd, &st) == 0)
		see(file, &st);
	else
		st = place->st;
	host_unlock(h);
	if (ret)
		*ret = st;
}
