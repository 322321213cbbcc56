/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/daemon_internal.h - what the files that answer requests share
 *
 * One struct daemon is the whole state; every handler gets it through fuse_req_userdata().  An
 * inode number of libfspf is a node id of the kernel, the roots included (FSPF_ROOT ==
 * FUSE_ROOT_ID).
 *
 * References: an answer that gives the kernel an entry carries one reference, which libfspf took
 * when it found the inode and the kernel gives back with FORGET.  If the answer cannot be delivered
 * (the caller was killed meanwhile), nobody will, so whoever replies gives it back at once.
 */
#ifndef FSPF_FUSE_DAEMON_INTERNAL_H
#define FSPF_FUSE_DAEMON_INTERNAL_H

#include <pthread.h>

#include "fspf/fspf.h"
#include "fuse/fuse_api.h"
#include "fuse/log.h"
#include "fuse/loop.h"
#include "fuse/negotiate.h"
#include "fuse/outside.h"
#include "fuse/passthrough.h"
#include "fuse/seek.h"
#include "fuse/violation.h"

/* Nobody but this kernel changes anything, so what it knows stays true.  Seconds; any value that
 * its clock cannot reach would do. */
#define DAEMON_TIMEOUT 1e9

/* But in a region that is passed through from the host, which may change it at any time. */
#define DAEMON_TIMEOUT_FOREIGN 1.0

/* The largest read the kernel asks for: 256 pages, or more when the administrator raised
 * fs.fuse.max_pages_limit; a larger one gets a larger buffer. */
#define DAEMON_BUFFER_SIZE ((size_t)1 << 20)

#define DAEMON_CLOSERS_MAX 8u

struct daemon_options;

/* Who waits for the end of this mount (fuse/control.c). */
struct daemon_closers {
	pthread_mutex_t lock;
	int pipes[DAEMON_CLOSERS_MAX];
	size_t count;
};

struct daemon {
	struct fspf_volume *volume;
	struct fuse_session *session;
	struct daemon_log *log;
	struct daemon_negotiation negotiation;
	pthread_key_t buffers; /* one struct daemon_buffer a thread, for answers */
	struct daemon_closers closers;
	struct daemon_outside *outside;
	struct daemon_seek *seek;
	struct daemon_flow flow;
	bool aborts;		 /* at the first violation */
	pthread_t starter;	 /* the thread that waits for signals */
	struct timespec started; /* CLOCK_BOOTTIME */
	const struct daemon_options *options;
	dev_t device;		 /* of the mount; 0: not known */
	unsigned protocol_minor; /* the kernel's */
	bool writes_back;	 /* it has a writeback cache */
	bool needs_open;	 /* it, or we, cannot do without OPEN; it not without OPENDIR */
	struct daemon_passthrough *passthrough; /* NULL: not asked for */
	bool needs_opendir;
};

static inline struct daemon *daemon_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct fspf_volume *daemon_volume(fuse_req_t req)
{
	return daemon_of(req)->volume;
}

static inline struct fspf_caller daemon_caller(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct fspf_caller){.uid = ctx->uid, .gid = ctx->gid, .umask = ctx->umask};
}

/* ---- answers (reply.c) ---- */

/* What the kernel, and through it a program, is told about a library's negative errno (or 0). */
MUST_CHECK int daemon_errno(int err);

double daemon_timeout(bool foreign);
double daemon_attr_timeout(const struct daemon *d, const struct fspf_attr *attr);
void daemon_stat(const struct fspf_attr *attr, struct stat *ret);
void daemon_entry(const struct daemon *d, const struct fspf_attr *attr,
		  struct fuse_entry_param *ret);

/* 0 or a negative errno, as the whole answer. */
void daemon_reply(fuse_req_t req, int err);
/* An entry, with its reference, when @err is 0. */
void daemon_reply_entry(fuse_req_t req, int err, const struct fspf_attr *attr);

/* This thread's buffer of at least @size bytes, kept until the thread ends; NULL: no memory. */
void *daemon_buffer(struct daemon *d, size_t size);
MUST_CHECK int daemon_buffers_init(struct daemon *d);
void daemon_buffers_free(struct daemon *d);

/* ---- the fspf. name space and the end of the mount (control.c) ---- */

bool daemon_control_name(const char *name);
/* The value's length; @size 0 asks for it. */
MUST_CHECK ssize_t daemon_control_get(fuse_req_t req, fuse_ino_t ino, const char *name, char *value,
				      size_t size);
/* The whole of an attribute's value, or its length; -ERANGE. */
MUST_CHECK ssize_t daemon_give(const char *text, char *value, size_t size);
void daemon_closers_init(struct daemon_closers *c);
/* One line to everybody who waits; lines that cannot be delivered are dropped. */
void daemon_closers_tell(struct daemon_closers *c, const char *line);

/* ---- requests, by file ---- */

void daemon_init(void *userdata, struct fuse_conn_info *conn);

void daemon_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void daemon_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n);
void daemon_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void daemon_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void daemon_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void daemon_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void daemon_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void daemon_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void daemon_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void daemon_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		   const char *new_name, unsigned int flags);
void daemon_readlink(fuse_req_t req, fuse_ino_t ino);
void daemon_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);

void daemon_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void daemon_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		    struct fuse_file_info *fi);
void daemon_statfs(fuse_req_t req, fuse_ino_t ino);

void daemon_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void daemon_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		     size_t size, int flags);
void daemon_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void daemon_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

void daemon_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void daemon_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void daemon_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		 struct fuse_file_info *fi);
void daemon_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		  struct fuse_file_info *fi);
void daemon_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void daemon_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		      struct fuse_file_info *fi);
void daemon_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		  struct fuse_file_info *fi);
void daemon_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
			    struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
			    struct fuse_file_info *to_fi, size_t size, int flags);
void daemon_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		  struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
		  size_t out_size);

void daemon_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void daemon_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi);
void daemon_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			struct fuse_file_info *fi);

/* The table of all of the above. */
extern const struct fuse_lowlevel_ops daemon_operations;

#endif
