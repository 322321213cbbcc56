/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a directory of the host.  First come ".", ".." and the covers, with the small cookies;
 * what follows has the host's own (d_off), which it can go on from at any time, moved up by OWN.
 * The host's go up to 2^63 - 1 (ext4: a hash of the name): those that would become larger than that
 * all mean the end.  On ext4 only the last entry has such a cookie, save for a name in 2^57 whose
 * hash is that large, and then the names after it, if any, are missed by whoever stops just there.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fspf/host_internal.h"

enum {
	DOT = 1,
	DOTDOT = 2,
	COVERS = 3,
	OWN = COVERS + FSPF_HOST_COVERS, /* and more are the host's */
};
#define END ((uint64_t)INT64_MAX)

#define BUFFER ((size_t)32 << 10) /* bytes of the host's entries at a time */

/* As getdents64(2) gives them. */
struct host_dirent {
	uint64_t d_ino;
	int64_t d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

struct reading {
	struct fspf_host *h;
	struct host_place *dir;
	bool with_attr;
	fspf_entry_fn *entry;
	void *ctx;
	uint64_t cookie; /* of the last entry that was told */
};

static int tell(struct reading *t, const struct fspf_entry *entry)
{
	int r = t->entry(t->ctx, entry);

	if (r == 0)
		t->cookie = entry->cookie;
	return r;
}

/* ---- our own entries ---- */

static int tell_dots(struct reading *t)
{
	struct fspf_entry dot = {".", t->dir->ino, DOT, DT_DIR, NULL};
	struct fspf_entry dotdot = {"..", t->dir->ino, DOTDOT, DT_DIR, NULL};
	int r = 0;

	if (t->cookie < DOT)
		r = tell(t, &dot);
	if (r == 0 && t->cookie < DOTDOT) {
		(void)!host_parent(t->h, t->dir->ino, &dotdot.ino);
		r = tell(t, &dotdot);
	}
	return r;
}

/* Covers are never changed once something was looked up, so no lock is needed but that of the
 * first lookup. */
static int tell_covers(struct reading *t)
{
	const struct host_way *way = t->dir->file->id.way;
	int r = 0;

	for (way = way ? way->child : NULL; way && r == 0; way = way->next) {
		struct fspf_entry e = {way->name, way->ino, COVERS + way->index, DT_DIR, NULL};

		if (way->ino && t->cookie < e.cookie)
			r = tell(t, &e);
	}
	return r;
}

/* ---- the host's ---- */

static uint64_t cookie_of(int64_t off)
{
	return off > INT64_MAX - OWN ? END : (uint64_t)off + OWN;
}

static uint64_t position_of(uint64_t cookie)
{
	return cookie <= OWN ? 0 : cookie - OWN;
}

static bool is_shown(const struct reading *t, const char *name)
{
	const struct host_way *way = host_way_at(t->dir->file, name);
	size_t len;

	return fspf_name_check(name, &len) == 0 && !(way && way->ino);
}

/* The tree lock from the opening on, as for a lookup; not around the callback. */
static int reference_child(const struct reading *t, const char *name, struct fspf_attr *ret)
{
	struct statx st;
	int fd, r;

	pthread_rwlock_rdlock(&t->h->tree);
	r = host_child(t->h, t->dir->fd, name, &fd, &st);
	if (r == 0) {
		r = host_adopt(t->h, t->dir->file, name, fd, &st, ret);
		close(fd);
	}
	pthread_rwlock_unlock(&t->h->tree);
	return r;
}

static int tell_with_attr(struct reading *t, struct fspf_entry *e)
{
	struct fspf_attr attr;
	int r = reference_child(t, e->name, &attr);

	if (r == -ENOENT)
		return 0; /* gone meanwhile */
	if (r)
		return tell(t, e); /* what is wrong with it must not hide the others */
	e->ino = attr.ino;
	e->type = (uint8_t)IFTODT(attr.mode);
	e->attr = &attr;
	r = tell(t, e);
	if (r)
		fspf_host_forget(t->h, attr.ino, 1);
	return r;
}

static int tell_host(struct reading *t, const struct host_dirent *d)
{
	struct fspf_entry e = {
		.name = d->d_name,
		.ino = t->h->base | FSPF_OBJECT_MAX,
		.cookie = cookie_of(d->d_off),
		.type = d->d_type,
	};
	int r = 0;

	if (d->d_off < 0)
		r = -EOVERFLOW;
	else if (is_shown(t, d->d_name))
		r = t->with_attr ? tell_with_attr(t, &e) : tell(t, &e);
	return r;
}

static int tell_buffer(struct reading *t, const uint8_t *buffer, size_t size)
{
	int r = 0;

	for (size_t at = 0; at < size && r == 0;) {
		const struct host_dirent *d = (const void *)(buffer + at);

		r = tell_host(t, d);
		at += d->d_reclen;
	}
	return r;
}

static int tell_all(struct reading *t, int fd)
{
	uint8_t *buffer = malloc(BUFFER);
	long n = 1;
	int r = buffer ? 0 : -ENOMEM;

	while (r == 0 && n > 0) {
		n = syscall(SYS_getdents64, fd, buffer, BUFFER);
		if (n < 0)
			r = errno == ENOENT ? 0 : -errno; /* it was removed: nothing is in it */
		else
			r = tell_buffer(t, buffer, (size_t)n);
	}
	free(buffer);
	return r;
}

static int tell_directory(struct reading *t)
{
	int fd, r = host_open_dir(t->h, t->dir, position_of(t->cookie), &fd);

	if (r)
		return r;
	r = tell_all(t, fd);
	/* Back to where the next call will go on; if that is not possible, it opens another. */
	if (lseek(fd, (off_t)position_of(t->cookie), SEEK_SET) < 0)
		close(fd);
	else
		host_close_dir(t->h, t->dir->file, fd, position_of(t->cookie));
	return r;
}

static int read_directory(struct reading *t)
{
	int r = tell_dots(t);

	if (r == 0)
		r = tell_covers(t);
	if (r == 0 && t->cookie < END)
		r = tell_directory(t);
	return r;
}

int fspf_host_readdir(struct fspf_host *h, uint64_t ino, uint64_t cookie, bool with_attr,
		      fspf_entry_fn *entry, void *ctx)
{
	struct host_place dir;
	struct reading t = {h, &dir, with_attr, entry, ctx, cookie};
	int r;

	if (cookie > INT64_MAX)
		return -EINVAL;
	r = host_visit(h, ino, &dir);
	if (r)
		return r;
	r = dir.file->id.type == S_IFDIR ? read_directory(&t) : -ENOTDIR;
	host_leave(h, &dir);
	return r == 1 ? 0 : r;
}
