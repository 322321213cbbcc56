/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/ops_data.c - what is in files
 *
 * There are no file handles: OPEN is answered with ENOSYS, the kernel remembers that, and from then
 * on opens and closes without us.  An open file is one that the kernel holds a reference on.
 *
 * Not so where a part of a writable volume is read-only: the kernel knows only mounts to be so, and
 * would take what is written into its cache.  There OPEN is served, to refuse it.  (With
 * passthrough it has to be told, at each OPEN, what the file's data is read from.)
 */
#include <errno.h>
#include <fcntl.h>

#include "fuse/daemon_internal.h"

/* One request's part of a long copy, so that it can be interrupted in between and others get their
 * turn; the caller goes on by itself. */
#define COPY_MAX ((size_t)64 << 20)

void daemon_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct daemon *d = daemon_of(req);
	bool denied = (fi->flags & O_ACCMODE) != O_RDONLY && !fspf_is_writable(d->volume, ino);

	fi->keep_cache = 1;
	if (!d->needs_open && !d->passthrough)
		fuse_reply_err(req, ENOSYS);
	else if (denied)
		fuse_reply_err(req, EROFS);
	else if (d->passthrough)
		daemon_passthrough_open(req, ino, fi);
	else
		fuse_reply_open(req, fi);
}

void daemon_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	daemon_passthrough_release(daemon_of(req), ino, fi);
	fuse_reply_err(req, 0);
}

void daemon_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		 struct fuse_file_info *fi)
{
	void *data = daemon_buffer(daemon_of(req), size);
	ssize_t n = -ENOMEM;

	(void)fi;
	if (data)
		n = fspf_read(daemon_volume(req), ino, (uint64_t)offset, data, size);
	n = daemon_checked(req, n);
	if (n < 0)
		daemon_reply(req, (int)n);
	else
		fuse_reply_buf(req, data, (size_t)n);
}

/*
 * A page that the kernel wrote late says nothing about who wrote it, and its set-id bits have been
 * dealt with when it was written (negotiate.h); after that the owner may have set them again.
 *
 * With the writeback cache the kernel keeps the times of regular files, whichever way a write
 * takes, and sends them by SETATTR, but only when they have changed: if the write touched them too,
 * a second one within the same tick of the kernel's clock would leave ours behind.
 */
void daemon_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		  struct fuse_file_info *fi)
{
	unsigned flags = daemon_of(req)->writes_back ? FSPF_WRITE_KEEP_TIMES : 0;
	ssize_t n;

	if (!fi->writepage && fuse_req_ctx(req)->uid != 0)
		flags |= FSPF_WRITE_KILL_PRIV;
	n = fspf_write(daemon_volume(req), ino, (uint64_t)offset, data, size, flags);
	n = daemon_checked(req, n);
	if (n < 0)
		daemon_reply(req, (int)n);
	else
		fuse_reply_write(req, (size_t)n);
}

/* fsync, fdatasync, and fsync of a directory. */
void daemon_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	int err = fspf_fsync(daemon_volume(req), ino);

	(void)datasync;
	(void)fi;
	/* The anchor was changed by another: what was to be promised cannot be kept. */
	if (err == -ESTALE && !fspf_is_foreign(daemon_volume(req), ino))
		err = -EIO;
	daemon_reply(req, err);
}

/*
 * Allocating and copying change a file as writing does, so they drop set-id bits, too; but the
 * kernel takes it for the daemon's business and goes on believing the mode that it has.  (File
 * capabilities it removes itself.)
 */
static void drop_set_id(fuse_req_t req, fuse_ino_t ino)
{
	struct fspf_volume *v = daemon_volume(req);
	struct fspf_attr attr;

	if (fuse_req_ctx(req)->uid == 0 || fspf_getattr(v, ino, &attr) < 0 ||
	    !(attr.mode & (S_ISUID | S_ISGID)))
		return;
	if (fspf_setattr(v, ino, FSPF_SET_KILL_PRIV, &attr, &attr) == 0)
		fuse_lowlevel_notify_inval_inode(daemon_of(req)->session, ino, -1, 0);
}

void daemon_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		      struct fuse_file_info *fi)
{
	int err = fspf_fallocate(daemon_volume(req), ino, mode, (uint64_t)offset, (uint64_t)length);

	(void)fi;
	if (err == 0)
		drop_set_id(req, ino);
	daemon_reply(req, err);
}

/* The kernel has written both ranges before it asks. */
void daemon_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
			    struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
			    struct fuse_file_info *to_fi, size_t size, int flags)
{
	ssize_t n = -EINVAL;

	(void)from_fi;
	(void)to_fi;
	if (flags == 0)
		n = fspf_copy_range(daemon_volume(req), from, (uint64_t)from_offset, to,
				    (uint64_t)to_offset, min_u64(size, COPY_MAX));
	n = daemon_checked(req, n);
	if (n < 0) {
		daemon_reply(req, (int)n);
		return;
	}
	drop_set_id(req, to);
	fuse_reply_write(req, (size_t)n);
}

/* There are none; FS_IOC_GETFLAGS is asked for by lsattr and by copying tools, and ENOTTY is the
 * answer they understand. */
void daemon_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		  struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
		  size_t out_size)
{
	(void)ino;
	(void)cmd;
	(void)arg;
	(void)fi;
	(void)flags;
	(void)in;
	(void)in_size;
	(void)out_size;
	fuse_reply_err(req, ENOTTY);
}
