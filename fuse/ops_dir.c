/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/ops_dir.c - what is in directories
 *
 * The buffer is filled until the next entry does not fit; the library then keeps that one for the
 * next request, whose offset is the cookie of the last one delivered.  With attributes
 * (readdirplus) each entry but "." and ".." carries a reference; their numbers are kept aside, to
 * be given back if the answer cannot be delivered.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "fuse/daemon_internal.h"

struct listing {
	fuse_req_t req;
	char *buffer;
	size_t size;	/* bytes it may hold */
	size_t filled;	/* bytes */
	uint64_t *inos; /* with attributes: on which we hold a reference */
	size_t count;
};

void daemon_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->keep_cache = 1;
	fi->cache_readdir = 1;
	if (daemon_of(req)->needs_opendir)
		fuse_reply_open(req, fi);
	else
		fuse_reply_err(req, ENOSYS);
}

static int add_name(void *ctx, const struct fspf_entry *entry)
{
	struct listing *l = ctx;
	const struct stat st = {.st_ino = entry->ino, .st_mode = DTTOIF(entry->type)};
	size_t n = fuse_add_direntry(l->req, l->buffer + l->filled, l->size - l->filled,
				     entry->name, &st, (off_t)entry->cookie);

	if (n > l->size - l->filled)
		return 1;
	l->filled += n;
	return 0;
}

/* A node id of 0 tells the kernel that there is a name and nothing to remember about it. */
static void entry_of(fuse_req_t req, const struct fspf_entry *entry, struct fuse_entry_param *ret)
{
	if (entry->attr) {
		daemon_entry(daemon_of(req), entry->attr, ret);
		return;
	}
	*ret = (struct fuse_entry_param){0};
	ret->attr.st_ino = entry->ino;
	ret->attr.st_mode = DTTOIF(entry->type);
}

static int add_entry(void *ctx, const struct fspf_entry *entry)
{
	struct listing *l = ctx;
	struct fuse_entry_param e;
	size_t n;

	entry_of(l->req, entry, &e);
	n = fuse_add_direntry_plus(l->req, l->buffer + l->filled, l->size - l->filled, entry->name,
				   &e, (off_t)entry->cookie);
	if (n > l->size - l->filled)
		return 1;
	l->filled += n;
	if (e.ino != 0)
		l->inos[l->count++] = e.ino;
	return 0;
}

/* An error after some entries is told by the request that would begin with it. */
static void reply_listing(struct listing *l, int err)
{
	struct fspf_volume *v = daemon_volume(l->req);

	if (daemon_checked(l->req, 0) < 0) {
		l->filled = 0;
		err = -EIO;
	}
	if (err < 0 && l->filled == 0) {
		daemon_reply(l->req, err);
		return;
	}
	if (fuse_reply_buf(l->req, l->buffer, l->filled) == 0)
		return;
	for (size_t i = 0; i < l->count; i++)
		fspf_forget(v, l->inos[i], 1);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool with_attr)
{
	/* As many entries as fit if every name were one byte long. */
	size_t entry_size = fuse_add_direntry_plus(req, NULL, 0, "a", NULL, 0);
	struct listing l = {.req = req, .size = size};
	int err = -ENOMEM;

	l.buffer = daemon_buffer(daemon_of(req), size);
	if (with_attr)
		l.inos = calloc(size / entry_size + 1, sizeof(*l.inos));
	if (l.buffer && (l.inos || !with_attr))
		err = fspf_readdir(daemon_volume(req), ino, (uint64_t)offset, with_attr,
				   with_attr ? add_entry : add_name, &l);
	reply_listing(&l, err);
	free(l.inos);
}

void daemon_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, false);
}

void daemon_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, true);
}
