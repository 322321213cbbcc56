/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/seek.c - the thread that seeks
 */
#include "fuse/seek.h"

#include <errno.h>
#include <stdlib.h>

#include "fuse/daemon_internal.h"

/* FUSE 7.44 came with Linux 6.16. */
#define MINOR_MIN 44

struct seek_request {
	struct seek_request *next;
	fuse_req_t req;
	fuse_ino_t ino;
	uint64_t offset;
	int whence;
};

struct daemon_seek {
	struct daemon *daemon;
	pthread_t thread;
	pthread_mutex_t lock; /* the queue */
	pthread_cond_t work;
	struct seek_request *first, **last;
	bool stopping;
};

/* Have the kernel write what it holds of the file; -ENOSYS: it cannot be had. */
static int write_out(struct daemon *d, fuse_ino_t ino)
{
	struct fspf_attr attr;
	int err = d->protocol_minor < MINOR_MIN ? -ENOSYS : fspf_getattr(d->volume, ino, &attr);

	if (err == 0)
		err = daemon_outside_write_file(d->outside, d->device, ino, attr.generation);
	return err == -EPIPE ? -ENOSYS : err;
}

static void answer(struct daemon *d, const struct seek_request *r)
{
	uint64_t found;
	int err = write_out(d, r->ino);

	if (err == -ENOSYS) {
		fuse_reply_err(r->req, ENOSYS); /* once and for all */
		return;
	}
	if (err == 0)
		err = fspf_seek(d->volume, r->ino, r->offset, r->whence, &found);
	err = (int)daemon_checked(r->req, err);
	if (err < 0)
		daemon_reply(r->req, err);
	else
		fuse_reply_lseek(r->req, (off_t)found);
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
		answer(s->daemon, r);
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

int daemon_seek_start(struct daemon *d, struct daemon_seek **ret)
{
	struct daemon_seek *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->daemon = d;
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
