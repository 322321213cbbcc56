/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/ops_init.c - the terms on which the kernel and the daemon work together
 *
 * A request costs 15 to 40 us, so the one that is never sent is the fast one.  Nobody but this
 * kernel changes a mounted volume: it may cache all it learns, for ever.  What was chosen:
 *
 *   WRITEBACK_CACHE      writes are collected in the page cache; the kernel owns size, mtime and
 *                        ctime of regular files and tells them by SETATTR.
 *   EXPLICIT_INVAL_DATA  and not AUTO_INVAL_DATA: no page becomes stale behind the kernel's back.
 *   no ATOMIC_O_TRUNC    it says "the daemon truncates when it gets OPEN with O_TRUNC"; but OPEN is
 *                        answered once with ENOSYS and then never sent, and the truncation would
 *                        be lost.  Without it the kernel sends SETATTR of the size, which arrives.
 *   no CREATE            (there is no such handler.)  An open without OPEN has no state and no
 *                        RELEASE, but the kernel sends RELEASE for each file opened by CREATE. With
 *                        MKNOD, which it uses instead, one request makes a file and none closes it.
 *   DONT_MASK, POSIX_ACL the umask comes with the request, and libfspf applies it unless a default
 *                        ACL takes its place; the kernel checks permissions by mode and ACL.
 *   EXPORT_SUPPORT       file handles outlive the kernel's cache: it may look up "." of any number.
 *   no HANDLE_KILLPRIV   the first version: it drops set-id bits on any write, delayed ones too,
 *                        also after the owner has set them anew.  See negotiate.h for the second.
 *   PASSTHROUGH          if asked for (passthrough.h): then there is OPEN, RELEASE, and no
 *                        WRITEBACK_CACHE.
 *   no locks             flock() and POSIX locks are kept by the kernel, which sees all users.
 */
#include "fuse/daemon_internal.h"

#define WANTED                                                                                     \
	(FUSE_CAP_ASYNC_READ | FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_DONT_MASK | FUSE_CAP_IOCTL_DIR | \
	 FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |         \
	 FUSE_CAP_ASYNC_DIO | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_PARALLEL_DIROPS |                \
	 FUSE_CAP_POSIX_ACL | FUSE_CAP_CACHE_SYMLINKS | DAEMON_CAP_KILLPRIV_V2)

/* Requests that the kernel may have under way on its own account: readahead, asynchronous direct
 * I/O and page-cache write-back share them. */
#define BACKGROUND_MAX 64u
#define BACKGROUND_CONGESTED 48u

void daemon_init(void *userdata, struct fuse_conn_info *conn)
{
	struct daemon *d = userdata;

	d->protocol_minor = conn->proto_minor;
	d->needs_open =
		!(conn->capable & FUSE_CAP_NO_OPEN_SUPPORT) || fspf_is_partly_read_only(d->volume);
	d->needs_opendir = !(conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT);
	conn->want = conn->capable & WANTED;
	daemon_passthrough_negotiate(d->passthrough, conn);
	d->writes_back = conn->want & FUSE_CAP_WRITEBACK_CACHE;
	conn->max_write = 1u << 20; /* and with it 256 pages a request */
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_CONGESTED;
	conn->time_gran = 1;
}

const struct fuse_lowlevel_ops daemon_operations = {
	.init = daemon_init,
	.lookup = daemon_lookup,
	.forget = daemon_forget,
	.forget_multi = daemon_forget_multi,
	.getattr = daemon_getattr,
	.setattr = daemon_setattr,
	.readlink = daemon_readlink,
	.mknod = daemon_mknod,
	.mkdir = daemon_mkdir,
	.unlink = daemon_unlink,
	.rmdir = daemon_rmdir,
	.symlink = daemon_symlink,
	.rename = daemon_rename,
	.link = daemon_link,
	.open = daemon_open,
	.release = daemon_release,
	.read = daemon_read,
	.write = daemon_write,
	.fsync = daemon_fsync,
	.opendir = daemon_opendir,
	.readdir = daemon_readdir,
	.readdirplus = daemon_readdirplus,
	.fsyncdir = daemon_fsync,
	.statfs = daemon_statfs,
	.setxattr = daemon_setxattr,
	.getxattr = daemon_getxattr,
	.listxattr = daemon_listxattr,
	.removexattr = daemon_removexattr,
	.fallocate = daemon_fallocate,
	.lseek = daemon_lseek,
	.copy_file_range = daemon_copy_file_range,
	.ioctl = daemon_ioctl,
#if DAEMON_HAS_TMPFILE
	.tmpfile = daemon_tmpfile,
#endif
};
