/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are open, by number, and what the kernel knows each by: it takes a descriptor, keeps
 * the file, and gives an id for it, which answers to OPEN name.  With each opening it opens that
 * file again, with the flags that the program gave, so a descriptor for reading will do for all;
 * but every OPEN comes here and is tried on the host first, as whatever the host allows now (H2,
 * -EROFS).
 *
 * An opening that is counted has a handle of 1, so that its RELEASE is known; others have 0.
 *
 * A set-id bit that is set while somebody has the file open for writing is not dropped by his next
 * write.  He could have kept it by a shared mapping, on any file system.
 */
#include "fuse/passthrough.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <uthash.h>

#include "fspf/cmd/cmd.h"
#include "fuse/daemon_internal.h"

#define COUNTED 1u /* struct fuse_file_info's handle */
#define SERVED 0   /* instead of an id: by the daemon */

struct opened {
	uint64_t ino;
	unsigned count;
	int backing; /* the kernel's id of the host's file, or SERVED */
	UT_hash_handle hh;
};

struct daemon_passthrough {
	bool granted;
	int device; /* borrowed: the connection */
	pthread_mutex_t lock;
	struct opened *files;
	bool told; /* that a file was refused */
};

/* ---- the kernel's part ---- */

#if DAEMON_HAS_PASSTHROUGH && defined(FUSE_DEV_IOC_BACKING_OPEN)

static const bool is_built = true;

static bool negotiate(struct fuse_conn_info *conn)
{
	if (!(conn->capable & FUSE_CAP_PASSTHROUGH))
		return false;
	conn->want |= FUSE_CAP_PASSTHROUGH;
	conn->want &= ~(uint32_t)FUSE_CAP_WRITEBACK_CACHE;
	return true;
}

/* An id, greater than 0. */
static int backing_open(int device, int fd)
{
	struct fuse_backing_map map = {.fd = fd};
	int id = ioctl(device, FUSE_DEV_IOC_BACKING_OPEN, &map);

	return id < 0 ? -errno : id;
}

static void backing_close(int device, int id)
{
	uint32_t closed = (uint32_t)id;

	ioctl(device, FUSE_DEV_IOC_BACKING_CLOSE, &closed);
}

static void answer_with(struct fuse_file_info *fi, int id)
{
	fi->backing_id = id;
}

#else

static const bool is_built = false;

static bool negotiate(struct fuse_conn_info *conn)
{
	(void)conn;
	return false;
}

static int backing_open(int device, int fd)
{
	(void)device;
	(void)fd;
	return -ENOSYS;
}

static void backing_close(int device, int id)
{
	(void)device;
	(void)id;
}

static void answer_with(struct fuse_file_info *fi, int id)
{
	(void)fi;
	(void)id;
}

#endif

/* ---- beginning and end ---- */

int daemon_passthrough_built(void)
{
	if (is_built)
		return EXIT_DONE;
	print_error("-o passthrough: this fspf was built without it");
	print_hint("it takes libfuse 3.17 and the headers of Linux 6.9; without the option the "
		   "daemon reads and writes the host's files");
	return EXIT_FAILED;
}

int daemon_passthrough_new(struct daemon_passthrough **ret)
{
	struct daemon_passthrough *p = calloc(1, sizeof(*p));

	if (!p) {
		print_error("out of memory");
		return EXIT_FAILED;
	}
	pthread_mutex_init(&p->lock, NULL);
	*ret = p;
	return EXIT_DONE;
}

/* The connection has ended, and with it the kernel has let go of the files. */
void daemon_passthrough_free(struct daemon_passthrough *p)
{
	struct opened *file, *next;

	if (!p)
		return;
	HASH_ITER (hh, p->files, file, next) {
		HASH_DEL(p->files, file);
		free(file);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void daemon_passthrough_negotiate(struct daemon_passthrough *p, struct fuse_conn_info *conn)
{
	if (p)
		p->granted = negotiate(conn);
}

/* Any file will do. */
static int try_it(int device)
{
	int fd = memfd_create("fspf", MFD_CLOEXEC);
	int id;

	if (fd < 0)
		return -errno;
	id = backing_open(device, fd);
	close(fd);
	if (id < 0)
		return id;
	backing_close(device, id);
	return 0;
}

static int refused(const char *why, const char *hint)
{
	print_error("-o passthrough: %s", why);
	print_hint("%s; without the option the daemon reads and writes the host's files", hint);
	return EXIT_FAILED;
}

int daemon_passthrough_begin(struct daemon *d)
{
	struct daemon_passthrough *p = d->passthrough;
	int err;

	p->device = fuse_session_fd(d->session);
	if (!p->granted)
		return refused("the kernel does not have it",
			       "it takes Linux 6.9 with CONFIG_FUSE_PASSTHROUGH");
	err = try_it(p->device);
	if (err < 0)
		return refused(strerror(-err), err == -EPERM ? "it takes CAP_SYS_ADMIN"
							     : "the kernel refused a file");
	fspf_foreign_keep_numbers(d->volume);
	return EXIT_DONE;
}

/* ---- openings ---- */

/* A write by the kernel drops nothing: it takes that for the daemon's business. */
static bool drops_on_write(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 || st.st_mode & (S_ISUID | S_ISGID) ||
	       fgetxattr(fd, "security.capability", NULL, 0) >= 0;
}

/* Locked. */
static int give_to_kernel(struct daemon_passthrough *p, struct daemon_log *log, int fd)
{
	int id;

	if (drops_on_write(fd))
		return SERVED;
	id = backing_open(p->device, fd);
	if (id > 0)
		return id;
	if (!p->told)
		daemon_log_note(log, "the kernel does not pass a file of the host through: %s",
				strerror(-id));
	p->told = true;
	return SERVED;
}

/* Locked. */
static struct opened *find(const struct daemon_passthrough *p, uint64_t ino)
{
	struct opened *file;

	HASH_FIND(hh, p->files, &ino, sizeof(ino), file);
	return file;
}

/* One opening more; @ret_backing is how it is served. */
static int count(struct daemon *d, uint64_t ino, int fd, int *ret_backing)
{
	struct daemon_passthrough *p = d->passthrough;
	struct opened *file;

	pthread_mutex_lock(&p->lock);
	file = find(p, ino);
	if (!file) {
		file = calloc(1, sizeof(*file));
		if (file) {
			file->ino = ino;
			file->backing = give_to_kernel(p, d->log, fd);
			HASH_ADD(hh, p->files, ino, sizeof(file->ino), file);
		}
	}
	if (file) {
		file->count++;
		*ret_backing = file->backing;
	}
	pthread_mutex_unlock(&p->lock);
	return file ? 0 : -ENOMEM;
}

static int open_foreign(struct daemon *d, uint64_t ino, struct fuse_file_info *fi)
{
	bool write = (fi->flags & O_ACCMODE) != O_RDONLY;
	int fd, backing;
	int err = fspf_foreign_open(d->volume, ino, write, &fd);

	if (err < 0)
		return err;
	err = count(d, ino, fd, &backing);
	close(fd);
	if (err < 0)
		return err;
	fi->fh = COUNTED;
	fi->keep_cache = 0;
	if (backing != SERVED)
		answer_with(fi, backing);
	return 0;
}

void daemon_passthrough_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct daemon *d = daemon_of(req);
	int err = 0;

	if (fspf_is_foreign(d->volume, ino))
		err = open_foreign(d, ino, fi);
	if (err < 0)
		daemon_reply(req, err);
	else if (fuse_reply_open(req, fi) < 0)
		daemon_passthrough_release(d, ino, fi);
}

void daemon_passthrough_release(struct daemon *d, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	struct daemon_passthrough *p = d->passthrough;
	struct opened *file;

	if (!p || fi->fh != COUNTED)
		return;
	pthread_mutex_lock(&p->lock);
	file = find(p, ino);
	if (file && --file->count == 0) {
		if (file->backing != SERVED)
			backing_close(p->device, file->backing);
		HASH_DEL(p->files, file);
		free(file);
	}
	pthread_mutex_unlock(&p->lock);
}
