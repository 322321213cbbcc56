/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/anchor_file.c - the anchor that is a file: 64 hex digits and a newline
 *
 * How: the descriptor stays open from the first use on, so that a commit costs one pwrite and one
 * fdatasync.  The 65 bytes lie in one sector of a file whose length does not change, so a crash
 * leaves the old ones or the new.  Both compare and write happen under an exclusive flock, and a
 * reader holds a shared one, so no mixture is ever seen either.
 *
 * The anchor is what the *path* names.  Somebody may have put another file there since it was
 * opened (an editor, a backup, another daemon); writing to the old one would publish to nobody.  So
 * the identity is compared under the lock before the comparison and after the write.  Symbolic
 * links are followed: the storage is trusted, and its owner may arrange it at will.
 */
#include "fspf/anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_LEN (CRYPTO_DIGEST_HEX) /* bytes: the newline takes the NUL's place */
#define REOPENS_MAX 8		     /* who replaces the file faster than that is at war with us */

struct anchor_file {
	struct fspf_anchor anchor;
	char *path;
	int fd; /* -1: not open */
	bool read_only;
};

static struct anchor_file *file_of(struct fspf_anchor *a)
{
	return (struct anchor_file *)a;
}

static void close_file(struct anchor_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* O_NONBLOCK: a FIFO is refused, not waited for. */
static int open_file(struct anchor_file *f, bool create)
{
	int flags = O_CLOEXEC | O_NONBLOCK | (f->read_only ? O_RDONLY : O_RDWR);
	struct stat st;
	int r = 0;

	if (f->fd >= 0)
		return 0;
	f->fd = open(f->path, flags | (create ? O_CREAT : 0), 0600);
	if (f->fd < 0)
		return -errno;
	if (fstat(f->fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -EINVAL;
	if (r)
		close_file(f);
	return r;
}

/* @how: LOCK_SH to wait for a publisher, who is quick; LOCK_EX not to.  -EBUSY. */
static int lock_file(struct anchor_file *f, int how)
{
	int r;

	if (how == LOCK_EX)
		how |= LOCK_NB;
	do
		r = flock(f->fd, how) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r == -EWOULDBLOCK ? -EBUSY : r;
}

static void unlock_file(struct anchor_file *f)
{
	if (f->fd >= 0)
		(void)flock(f->fd, LOCK_UN);
}

/* Whether the path still names the open file. */
static int is_current(struct anchor_file *f, bool *ret)
{
	struct stat ours, named;

	if (fstat(f->fd, &ours) < 0)
		return -errno;
	if (stat(f->path, &named) < 0) {
		if (errno != ENOENT)
			return -errno;
		*ret = false;
		return 0;
	}
	*ret = ours.st_nlink && ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
	return 0;
}

/* Open and lock the file that the path names now. */
static int open_current(struct anchor_file *f, int how, bool create)
{
	bool current = false;
	int i, r = 0;

	for (i = 0; i < REOPENS_MAX && !r && !current; i++) {
		r = open_file(f, create);
		if (!r)
			r = lock_file(f, how);
		if (!r)
			r = is_current(f, &current);
		if (!r && !current)
			close_file(f);
	}
	if (!r && !current)
		r = -EBUSY;
	return r;
}

/* The content: 0 with *ret_any false when the file is empty. */
static int read_tag(struct anchor_file *f, struct crypto_digest *ret, bool *ret_any)
{
	char text[FILE_LEN + 1];
	ssize_t n;

	do
		n = pread(f->fd, text, sizeof(text), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_any = n;
	if (!n)
		return 0;
	if (n != (ssize_t)FILE_LEN || text[FILE_LEN - 1] != '\n')
		return -EINVAL;
	text[FILE_LEN - 1] = 0;
	return crypto_digest_parse(text, ret);
}

static int write_tag(struct anchor_file *f, const struct crypto_digest *tag)
{
	char text[CRYPTO_DIGEST_HEX];
	ssize_t n;

	crypto_digest_hex(tag, text);
	text[FILE_LEN - 1] = '\n';
	do
		n = pwrite(f->fd, text, FILE_LEN, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == (ssize_t)FILE_LEN ? 0 : -EIO;
}

static int sync_tag(struct anchor_file *f)
{
	int r;

	do
		r = fdatasync(f->fd) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r;
}

/* The directory that holds the file itself, not a link to it; without the right to open it the
 * whole file system is synced. */
static int sync_name(struct anchor_file *f)
{
	char *real = realpath(f->path, NULL);
	int fd, r = 0;

	if (!real)
		return -errno;
	fd = open(dirname(real), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		if (fsync(fd) < 0 && errno != EINVAL)
			r = -errno;
		close(fd);
	} else if (errno != EACCES || syncfs(f->fd) < 0) {
		r = -errno;
	}
	free(real);
	return r;
}

/* For a new anchor (@expected NULL) there must be nothing at all, not even what is no tag. */
static int compare(struct anchor_file *f, const struct crypto_digest *expected)
{
	struct crypto_digest held;
	bool any = false;
	int r;

	r = read_tag(f, &held, &any);
	if (!expected)
		return any ? -ESTALE : r;
	if (!r && (!any || !crypto_digest_equal(&held, expected)))
		r = -ESTALE;
	return r;
}

static int write_durably(struct anchor_file *f, const struct crypto_digest *tag, bool new_name)
{
	bool current = false;
	int r;

	r = write_tag(f, tag);
	if (!r)
		r = sync_tag(f);
	if (!r && new_name)
		r = sync_name(f);
	if (!r)
		r = is_current(f, &current);
	return !r && !current ? -ESTALE : r;
}

static int file_load(struct fspf_anchor *a, struct crypto_digest *ret, bool *ret_any)
{
	struct anchor_file *f = file_of(a);
	struct crypto_digest tag;
	bool any;
	int r;

	r = open_current(f, LOCK_SH, false);
	if (!r)
		r = read_tag(f, &tag, &any);
	unlock_file(f);
	if (!r && !any)
		r = -EINVAL; /* "no tag" is for the anchor none to say, not for an accident */
	if (!r) {
		*ret = tag;
		*ret_any = true;
	}
	return r;
}

static int file_publish(struct fspf_anchor *a, const struct crypto_digest *expected,
			const struct crypto_digest *tag)
{
	struct anchor_file *f = file_of(a);
	int r;

	if (f->read_only)
		return -EROFS;
	r = open_current(f, LOCK_EX, !expected);
	if (!r)
		r = compare(f, expected);
	if (!r)
		r = write_durably(f, tag, !expected);
	unlock_file(f);
	return r;
}

static void file_free(struct fspf_anchor *a)
{
	struct anchor_file *f = file_of(a);

	close_file(f);
	free(f->path);
	free(f);
}

static const struct fspf_anchor_ops file_ops = {
	.name = "file",
	.load = file_load,
	.publish = file_publish,
	.free = file_free,
};

int fspf_anchor_file(const char *path, bool read_only, struct fspf_anchor **ret)
{
	struct anchor_file *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->anchor.ops = &file_ops;
	f->fd = -1;
	f->read_only = read_only;
	f->path = strdup(path);
	if (!f->path) {
		free(f);
		return -ENOMEM;
	}
	*ret = &f->anchor;
	return 0;
}
