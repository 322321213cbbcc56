/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host region as a whole: its beginning and end, and the covers.  Those form a tree of names
 * beside the host's directories, and a directory that was reached along it carries its place in it
 * (struct host_id): whether a name is covered never depends on what the host shows.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "fspf/host_internal.h"
#include "fspf/store.h"

static int init_tree_lock(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;
	int r = -pthread_rwlockattr_init(&attr);

	if (r)
		return r;
	/* Readers that keep coming must not keep a rename waiting. */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	r = -pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	return r;
}

static int open_top(const char *path, struct statx *ret)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	int r = fd < 0 ? -errno : host_stat(fd, ret);

	if (r == 0 && !S_ISDIR(ret->stx_mode) && !S_ISREG(ret->stx_mode))
		r = -ENOTSUP;
	if (r && fd >= 0)
		close(fd);
	return r ? r : fd;
}

int fspf_host_new(const char *path, uint64_t ino_base, bool read_only, struct fspf_host **ret)
{
	struct fspf_host *h = calloc(1, sizeof(*h));
	struct statx st;
	int fd = -1, r = h ? 0 : -ENOMEM;

	if (r == 0) {
		h->base = ino_base;
		h->read_only = read_only;
		fd = open_top(path, &st);
		r = fd < 0 ? fd : host_add_root(h, fd, &st);
	}
	if (r == 0)
		r = init_tree_lock(&h->tree);
	if (r) {
		if (h && h->root)
			host_free_all(h);
		else if (fd >= 0)
			close(fd);
		free(h);
	} else {
		pthread_mutex_init(&h->lock, NULL);
		*ret = h;
	}
	return r;
}

static void free_ways(struct host_way *way)
{
	while (way) {
		struct host_way *next = way->next;

		free_ways(way->child);
		free(way);
		way = next;
	}
}

struct fspf_host *fspf_host_free(struct fspf_host *h)
{
	if (h) {
		host_free_all(h);
		free_ways(h->way.child);
		pthread_mutex_destroy(&h->lock);
		pthread_rwlock_destroy(&h->tree);
		free(h);
	}
	return NULL;
}

/* ---- covers ---- */

static struct host_way *find_way(const struct host_way *way, const char *name)
{
	struct host_way *child = way ? way->child : NULL;

	while (child && strcmp(child->name, name))
		child = child->next;
	return child;
}

const struct host_way *host_way_at(const struct host_file *file, const char *name)
{
	return find_way(file->id.way, name);
}

/* Covers come in the order in which they were made, which is that of their cookies. */
static struct host_way *add_way(struct host_way *way, const char *name)
{
	struct host_way *child = calloc(1, sizeof(*child)), **at = &way->child;

	if (child) {
		snprintf(child->name, sizeof(child->name), "%s", name);
		while (*at)
			at = &(*at)->next;
		*at = child;
	}
	return child;
}

/* Cut the first name off @path: 1, 0 when there is none, or what is wrong with it. */
static int next_name(const char **path, char name[static FSPF_NAME_MAX + 1])
{
	size_t len;
	int r;

	*path += strspn(*path, "/");
	len = strcspn(*path, "/");
	if (len == 0)
		return 0;
	if (len > FSPF_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, *path, len);
	name[len] = 0;
	*path += len;
	r = fspf_name_check(name, &len);
	return r ? r : 1;
}

static int check_path(const struct host_way *top, const char *path)
{
	const struct host_way *way = top;
	char name[FSPF_NAME_MAX + 1];
	bool any = false;
	int r;

	while ((r = next_name(&path, name)) == 1) {
		if (way && way->ino)
			return -EINVAL;
		way = find_way(way, name);
		any = true;
	}
	if (r == 0 && !any)
		r = -EINVAL;
	if (r == 0 && way)
		r = -EEXIST;
	return r;
}

static int add_cover(struct fspf_host *h, const char *path, uint64_t ino)
{
	struct host_way *way = &h->way, *next;
	char name[FSPF_NAME_MAX + 1];

	while (next_name(&path, name) == 1) {
		next = find_way(way, name);
		if (!next)
			next = add_way(way, name);
		if (!next)
			return -ENOMEM;
		way = next;
	}
	way->index = h->covers++;
	way->ino = ino;
	return 0;
}

int fspf_host_cover(struct fspf_host *h, const char *relpath, uint64_t ino)
{
	bool seen;
	int r;

	pthread_rwlock_wrlock(&h->tree);
	host_lock(h);
	seen = h->objects > FSPF_OBJECT_ROOT;
	host_unlock(h);
	r = check_path(&h->way, relpath);
	if (r == 0 && h->root->id.type != S_IFDIR)
		r = -ENOTDIR;
	else if (r == 0 && seen) /* a directory on the way may be in use, and not know it */
		r = -EBUSY;
	else if (r == 0 && h->covers == FSPF_HOST_COVERS)
		r = -ENOSPC;
	if (r == 0)
		r = add_cover(h, relpath, ino);
	pthread_rwlock_unlock(&h->tree);
	return r;
}

/* ---- */

int fspf_host_top(struct fspf_host *h, struct fspf_attr *ret)
{
	struct host_place place;
	int r = host_visit(h, h->base | FSPF_OBJECT_ROOT, &place);

	if (r == 0) {
		r = host_adopt_again(h, &place, ret);
		host_leave(h, &place);
	}
	return r;
}

void fspf_host_path_of(struct fspf_host *h, uint64_t ino, char *path, size_t size)
{
	const struct host_file *top = NULL;
	struct host_file *file = NULL;
	char *text = NULL;

	if (host_get(h, ino, &file) == 0) {
		host_lock(h);
		text = host_path(file, file->held < 0 ? file->names : NULL, &top);
		host_unlock(h);
	}
	if (text && top == h->root)
		snprintf(path, size, "%s", text);
	else
		snprintf(path, size, "inode %llu", (unsigned long long)ino);
	free(text);
	if (file)
		host_put(h, file);
}

/* In blocks of ours, whatever those of the host are. */
static uint64_t blocks(const struct statfs *st, uint64_t count)
{
	uint64_t size = st->f_frsize ? (uint64_t)st->f_frsize : (uint64_t)st->f_bsize;

	if (size >= FSPF_BLOCK_SIZE)
		return count * (size / FSPF_BLOCK_SIZE);
	return count / (FSPF_BLOCK_SIZE / size);
}

int fspf_host_statfs(struct fspf_host *h, struct fspf_statfs *ret)
{
	struct statfs st;

	if (fstatfs(h->root->held, &st))
		return -errno;
	if (st.f_bsize <= 0)
		return -EIO;
	*ret = (struct fspf_statfs){
		.blocks = blocks(&st, st.f_blocks),
		.blocks_free = blocks(&st, st.f_bfree),
		.blocks_available = blocks(&st, st.f_bavail),
		.files = st.f_files,
		.files_free = st.f_ffree,
	};
	return 0;
}
