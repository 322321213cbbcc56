/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table is a hash in the order of last use.  A file that falls out of it, or is replaced, is
 * closed when nobody uses it any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fspf/hostfile.h"
#include "fspf/item.h"

/* A FIFO must not block, a terminal not become ours: what it is, is known only afterwards. */
#define READ_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC)
#define RACES 8 /* renames on the host beside a look-up that the kernel asks to repeat */

struct fspf_hostfiles {
	pthread_mutex_t lock;
	struct fspf_hostfile *kept; /* by ino; the first is the longest unused */
};

/* ---- opening ---- */

static int open_beneath(int at, const char *path)
{
	struct open_how how = {
		.flags = READ_FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = -1;

	for (int i = 0; i < RACES; i++) {
		fd = syscall(SYS_openat2, at, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

/* Component by component, where openat2(2) is not there or not allowed. */
static int open_stepwise(int at, const char *path)
{
	char copy[FSPF_HOST_PATH_MAX + 1], *rest = copy, *name;
	int dir = -1, fd = at;
	size_t len;
	int r = fspf_host_path_check(path, &len);

	if (r)
		return r;
	memcpy(copy, path, len + 1);
	while (fd >= 0 && (name = strsep(&rest, "/"))) {
		fd = openat(fd, name,
			    rest ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : READ_FLAGS);
		r = fd < 0 ? -errno : 0;
		if (dir >= 0)
			close(dir);
		dir = fd;
	}
	return r ? r : fd;
}

int fspf_hostfile_open(int at, const char *path)
{
	struct stat st;
	int fd, r = 0;

	if (at < 0)
		return -ENOENT;
	fd = open_beneath(at, path);
	if (fd == -ENOSYS || fd == -EPERM || fd == -EAGAIN)
		fd = open_stepwise(at, path);
	if (fd < 0)
		return fd == -ENXIO ? -EINVAL : fd; /* a socket */
	if (fstat(fd, &st))
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -EINVAL;
	if (r)
		close(fd);
	return r ? r : fd;
}

/* ---- keeping ---- */

int fspf_hostfiles_new(struct fspf_hostfiles **ret)
{
	struct fspf_hostfiles *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	*ret = t;
	return 0;
}

static void file_free(struct fspf_hostfile *f)
{
	close(f->fd);
	free(f);
}

/* Under the lock. */
static void drop(struct fspf_hostfiles *t, struct fspf_hostfile *f)
{
	HASH_DEL(t->kept, f);
	f->kept = false;
	if (!f->users)
		file_free(f);
}

struct fspf_hostfiles *fspf_hostfiles_free(struct fspf_hostfiles *t)
{
	struct fspf_hostfile *f, *next;

	if (!t)
		return NULL;
	HASH_ITER (hh, t->kept, f, next)
		drop(t, f);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

struct fspf_hostfile *fspf_hostfile_find(struct fspf_hostfiles *t, uint64_t ino)
{
	struct fspf_hostfile *f;

	pthread_mutex_lock(&t->lock);
	HASH_FIND(hh, t->kept, &ino, sizeof(ino), f);
	if (f) {
		HASH_DEL(t->kept, f); /* and add it behind the others */
		HASH_ADD(hh, t->kept, ino, sizeof(f->ino), f);
		f->users++;
	}
	pthread_mutex_unlock(&t->lock);
	return f;
}

int fspf_hostfile_keep(struct fspf_hostfiles *t, uint64_t ino, int fd)
{
	struct fspf_hostfile *f = calloc(1, sizeof(*f)), *old;

	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	f->fd = fd;
	f->ino = ino;
	f->kept = true;
	pthread_mutex_lock(&t->lock);
	HASH_FIND(hh, t->kept, &ino, sizeof(ino), old);
	if (old)
		drop(t, old);
	HASH_ADD(hh, t->kept, ino, sizeof(f->ino), f);
	if (HASH_COUNT(t->kept) > FSPF_HOSTFILES_KEPT)
		drop(t, t->kept);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

void fspf_hostfile_forget(struct fspf_hostfiles *t, uint64_t ino)
{
	struct fspf_hostfile *f;

	pthread_mutex_lock(&t->lock);
	HASH_FIND(hh, t->kept, &ino, sizeof(ino), f);
	if (f)
		drop(t, f);
	pthread_mutex_unlock(&t->lock);
}

void fspf_hostfile_put(struct fspf_hostfiles *t, struct fspf_hostfile *f)
{
	pthread_mutex_lock(&t->lock);
	if (--f->users == 0 && !f->kept)
		file_free(f);
	pthread_mutex_unlock(&t->lock);
}
