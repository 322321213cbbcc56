/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/reply.c - the library's results as the kernel wants them
 */
#include <errno.h>
#include <stdlib.h>

#include "fuse/daemon_internal.h"

#define ERRNO_MAX 511 /* the kernel refuses larger ones from a daemon */

struct daemon_buffer {
	void *data;
	size_t size;
};

int daemon_errno(int err)
{
	switch (-err) {
	case EBADMSG: /* stored bytes did not verify */
		return EIO;
	case ENOKEY: /* a region whose key we were not given */
	case EKEYREJECTED:
		return EACCES;
	case ENOSYS: /* would switch the operation off for as long as the mount lives */
		return EOPNOTSUPP;
	default:
		return err > 0 || err < -ERRNO_MAX ? EIO : -err;
	}
}

double daemon_timeout(bool foreign)
{
	return foreign ? DAEMON_TIMEOUT_FOREIGN : DAEMON_TIMEOUT;
}

/* What the kernel writes to a host's file by itself changes attributes that we never told. */
double daemon_attr_timeout(const struct daemon *d, const struct fspf_attr *attr)
{
	bool passed = d->passthrough && attr->foreign && S_ISREG(attr->mode);

	return passed ? 0 : daemon_timeout(attr->foreign);
}

void daemon_stat(const struct fspf_attr *attr, struct stat *ret)
{
	*ret = (struct stat){
		.st_ino = attr->ino,
		.st_mode = attr->mode,
		.st_nlink = attr->nlink,
		.st_uid = attr->uid,
		.st_gid = attr->gid,
		.st_rdev = attr->rdev,
		.st_size = (off_t)attr->size,
		.st_blksize =
			4096, /* the page: the kernel derives the grain of its cache from it */
		.st_blocks = (blkcnt_t)attr->blocks,
		.st_atim = attr->atime,
		.st_mtim = attr->mtime,
		.st_ctim = attr->ctime,
	};
}

void daemon_entry(const struct daemon *d, const struct fspf_attr *attr,
		  struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){
		.ino = attr->ino,
		.generation = attr->generation,
		.attr_timeout = daemon_attr_timeout(d, attr),
		.entry_timeout = daemon_timeout(attr->foreign),
	};
	daemon_stat(attr, &ret->attr);
}

void daemon_reply(fuse_req_t req, int err)
{
	fuse_reply_err(req, daemon_errno((int)daemon_checked(req, err)));
}

void daemon_reply_entry(fuse_req_t req, int err, const struct fspf_attr *attr)
{
	struct fspf_volume *v = daemon_volume(req);
	struct fuse_entry_param entry;

	err = (int)daemon_checked(req, err);
	if (err < 0) {
		daemon_reply(req, err);
		return;
	}
	daemon_entry(daemon_of(req), attr, &entry);
	if (fuse_reply_entry(req, &entry) < 0)
		fspf_forget(v, attr->ino, 1);
}

static void buffer_free(void *buffer)
{
	struct daemon_buffer *b = buffer;

	if (b)
		free(b->data);
	free(b);
}

static struct daemon_buffer *buffer_of_thread(struct daemon *d)
{
	struct daemon_buffer *b = pthread_getspecific(d->buffers);

	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	if (b && pthread_setspecific(d->buffers, b) != 0) {
		free(b);
		b = NULL;
	}
	return b;
}

void *daemon_buffer(struct daemon *d, size_t size)
{
	struct daemon_buffer *b = buffer_of_thread(d);
	void *data;

	if (!b)
		return NULL;
	if (b->size >= size)
		return b->data;
	size = max_u64(size, DAEMON_BUFFER_SIZE);
	if (posix_memalign(&data, 4096, size) != 0)
		return NULL;
	free(b->data);
	*b = (struct daemon_buffer){.data = data, .size = size};
	return data;
}

int daemon_buffers_init(struct daemon *d)
{
	return -pthread_key_create(&d->buffers, buffer_free);
}

/* The threads that had one have ended and freed it, but this one's may be left. */
void daemon_buffers_free(struct daemon *d)
{
	buffer_free(pthread_getspecific(d->buffers));
	pthread_key_delete(d->buffers);
}
