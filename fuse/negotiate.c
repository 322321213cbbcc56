/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/negotiate.c - how INIT is watched
 *
 * libfuse lets a program do its reads and writes on /dev/fuse.  Ours are read(2) and writev(2), but
 * for the answer to INIT, in which one bit is set if the kernel had offered it.  The layouts are
 * the kernel's stable interface (linux/fuse.h).
 */
#include "fuse/negotiate.h"

#include <errno.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuse/daemon_internal.h"

static bool offers_killpriv(const void *request, size_t size, uint64_t *ret_unique)
{
	struct fuse_in_header header;
	struct fuse_init_in init = {0};

	/* Kernels before 7.36 send less after the flags. */
	if (size < sizeof(header) + offsetof(struct fuse_init_in, flags) + sizeof(init.flags))
		return false;
	memcpy(&header, request, sizeof(header));
	if (header.opcode != FUSE_INIT)
		return false;
	memcpy(&init, (const char *)request + sizeof(header),
	       min_u64(sizeof(init), size - sizeof(header)));
	*ret_unique = header.unique;
	return init.flags & FUSE_HANDLE_KILLPRIV_V2;
}

static ssize_t watched_read(int fd, void *buf, size_t size, void *userdata)
{
	struct daemon_negotiation *n = &((struct daemon *)userdata)->negotiation;
	uint64_t unique;
	ssize_t got = read(fd, buf, size);

	if (got > 0 && offers_killpriv(buf, (size_t)got, &unique))
		n->init = unique;
	return got;
}

/* Is @iov the answer to INIT: the header and the structure, as libfuse sends them? */
static bool answers_init(const struct daemon_negotiation *n, const struct iovec *iov, int count)
{
	struct fuse_out_header header;

	if (n->init == 0 || count != 2 || iov[0].iov_len != sizeof(header) ||
	    iov[1].iov_len > sizeof(struct fuse_init_out) ||
	    iov[1].iov_len < offsetof(struct fuse_init_out, flags) + sizeof(uint32_t))
		return false;
	memcpy(&header, iov[0].iov_base, sizeof(header));
	return header.unique == n->init && header.error == 0;
}

static ssize_t watched_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct daemon_negotiation *n = &((struct daemon *)userdata)->negotiation;
	struct fuse_init_out out = {0};
	struct iovec changed[2];

	if (!answers_init(n, iov, count))
		return writev(fd, iov, count);
	memcpy(&out, iov[1].iov_base, iov[1].iov_len);
	out.flags |= FUSE_HANDLE_KILLPRIV_V2;
	changed[0] = iov[0];
	changed[1] = (struct iovec){.iov_base = &out, .iov_len = iov[1].iov_len};
	n->init = 0;
	return writev(fd, changed, 2);
}

int daemon_negotiate(struct fuse_session *session)
{
	const struct fuse_custom_io io = {.read = watched_read, .writev = watched_writev};

	if (DAEMON_CAP_KILLPRIV_V2)
		return 0;
	/* The descriptor stays the one that the mount gave. */
	return fuse_session_custom_io(session, &io, fuse_session_fd(session)) == 0 ? 0 : -EINVAL;
}
