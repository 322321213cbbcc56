/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/seek.c - the thread that seeks
 *
 * Opening the mount's root for the moment keeps nobody from unmounting: who asks has a file open
 * there anyway.  The descriptors are closed after the answer, because close(2) takes, in some
 * kernels, the lock that the asking thread holds.
 */
#include "fuse/seek.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuse/daemon_internal.h"
#include "fuse/mountpoint.h"

/* FUSE 7.44 came with Linux 6.16. */
#define MINOR_MIN 44

/* A file handle of a FUSE file system: the node id in two halves, high one first, and the
 * generation. What the kernel gives for the root is compared with that before it is relied on. */
#define HANDLE_TYPE 0x81
#define HANDLE_WORDS 3u

struct seek_request {
	struct seek_request *next;
	fuse_req_t req;
	fuse_ino_t ino;
	uint64_t offset;
	int whence;
};

struct daemon_seek {
	struct daemon *daemon;
	const char *mountpoint;
	dev_t device;
	pthread_t thread;
	pthread_mutex_t lock; /* the queue */
	pthread_cond_t work;
	struct seek_request *first, **last;
	bool stopping;
};

union handle {
	struct file_handle header;
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static void make_handle(uint64_t ino, uint64_t generation, union handle *ret)
{
	const uint32_t words[HANDLE_WORDS] = {(uint32_t)(ino >> 32), (uint32_t)ino,
					      (uint32_t)generation};

	ret->header.handle_bytes = sizeof(words);
	ret->header.handle_type = HANDLE_TYPE;
	memcpy(ret->header.f_handle, words, sizeof(words));
}

static bool handles_are_as_known(int root)
{
	union handle got = {.header.handle_bytes = MAX_HANDLE_SZ}, known;
	int mount_id;

	if (name_to_handle_at(root, "", &got.header, &mount_id, AT_EMPTY_PATH) < 0)
		return false;
	make_handle(FUSE_ROOT_ID, 0, &known);
	return got.header.handle_type == known.header.handle_type &&
	       got.header.handle_bytes == known.header.handle_bytes &&
	       memcmp(got.header.f_handle, known.header.f_handle, 2 * sizeof(uint32_t)) == 0;
}

static int open_root(const struct daemon_seek *s, int *ret)
{
	int fd = open(s->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dev_t device;

	if (fd < 0)
		return -errno;
	if (daemon_device(fd, "", &device) < 0 || device != s->device ||
	    !handles_are_as_known(fd)) {
		close(fd);
		return -EXDEV;
	}
	*ret = fd;
	return 0;
}

/* Descriptors for one request; -1: none. */
struct opened {
	int root, file;
};

static int open_file(const struct daemon_seek *s, fuse_ino_t ino, struct opened *o)
{
	struct fspf_attr attr;
	union handle handle;
	int err = fspf_getattr(s->daemon->volume, ino, &attr);

	if (err == 0)
		err = open_root(s, &o->root);
	if (err < 0)
		return err;
	make_handle(ino, attr.generation, &handle);
	o->file = open_by_handle_at(o->root, &handle.header, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return o->file < 0 ? -errno : 0;
}

static void answer(struct daemon_seek *s, const struct seek_request *r)
{
	struct opened o = {-1, -1};
	uint64_t found;
	int err = s->daemon->protocol_minor >= MINOR_MIN ? open_file(s, r->ino, &o) : -ENOSYS;

	if (err < 0) {
		fuse_reply_err(r->req, ENOSYS);
	} else if (sync_file_range(o.file, 0, 0,
				   SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					   SYNC_FILE_RANGE_WAIT_AFTER) < 0) {
		daemon_reply(r->req, -errno);
	} else {
		err = fspf_seek(s->daemon->volume, r->ino, r->offset, r->whence, &found);
		if (err < 0)
			daemon_reply(r->req, err);
		else
			fuse_reply_lseek(r->req, (off_t)found);
	}
	if (o.file >= 0)
		close(o.file);
	if (o.root >= 0)
		close(o.root);
}

/* The first of the queue; NULL: it is empty and nothing more will come. */
static struct seek_request *next_request(struct daemon_seek *s)
{
	struct seek_request *r;

	pthread_mutex_lock(&s->lock);
	while (!s->first && !s->stopping)
		pthread_cond_wait(&s->work, &s->lock);
	r = s->first;
	if (r)
		s->first = r->next;
	if (!s->first)
		s->last = &s->first;
	pthread_mutex_unlock(&s->lock);
	return r;
}

static void *serve(void *seek)
{
	struct daemon_seek *s = seek;
	struct seek_request *r;

	while ((r = next_request(s))) {
		answer(s, r);
		free(r);
	}
	return NULL;
}

void daemon_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		  struct fuse_file_info *fi)
{
	struct daemon_seek *s = daemon_of(req)->seek;
	struct seek_request *r = malloc(sizeof(*r));

	(void)fi;
	if (!r) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*r = (struct seek_request){
		.req = req, .ino = ino, .offset = (uint64_t)offset, .whence = whence};
	pthread_mutex_lock(&s->lock);
	*s->last = r;
	s->last = &r->next;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
}

int daemon_seek_start(struct daemon *d, const char *mountpoint, dev_t device,
		      struct daemon_seek **ret)
{
	struct daemon_seek *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->daemon = d;
	s->mountpoint = mountpoint;
	s->device = device;
	s->last = &s->first;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	err = -pthread_create(&s->thread, NULL, serve, s);
	if (err == 0)
		*ret = s;
	else
		free(s);
	return err;
}

void daemon_seek_stop(struct daemon_seek *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
