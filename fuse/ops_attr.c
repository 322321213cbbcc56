/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/ops_attr.c - attributes of files, and of the file system
 *
 * With the writeback cache the kernel ignores size, mtime and ctime of a regular file it holds, and
 * sends its own by SETATTR, so GETATTR need not be in step with pages still to be written.
 */
#include <errno.h>

#include "fspf/store.h"
#include "fuse/daemon_internal.h"

/* The kernel's bit for FATTR_KILL_SUIDGID; libfuse names it so. */
#define KILL_SUIDGID FUSE_SET_ATTR_KILL_SUID

static void reply_attr(fuse_req_t req, int err, const struct fspf_attr *attr)
{
	struct stat st;

	err = (int)daemon_checked(req, err);
	if (err < 0) {
		daemon_reply(req, err);
		return;
	}
	daemon_stat(attr, &st);
	fuse_reply_attr(req, &st, daemon_attr_timeout(daemon_of(req), attr));
}

void daemon_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fspf_attr attr;
	int err = fspf_getattr(daemon_volume(req), ino, &attr);

	(void)fi;
	reply_attr(req, err, &attr);
}

/*
 * Must set-id bits and capabilities go?  When a file is given away, always (chown(2), for root as
 * well; libfspf leaves directories alone).  When it is truncated, if the kernel says so or, because
 * libfuse 3.14 does not pass that on, if another than root does it.  A mode that comes along
 * has been worked out by the kernel, which then rules.
 */
static bool kills_privileges(fuse_req_t req, int to_set)
{
	if (to_set & FUSE_SET_ATTR_MODE)
		return false;
	if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | KILL_SUIDGID))
		return true;
	return to_set & FUSE_SET_ATTR_SIZE && fuse_req_ctx(req)->uid != 0;
}

static uint32_t fields_of(fuse_req_t req, int to_set)
{
	static const struct {
		int fuse;
		uint32_t fspf;
	} map[] = {
		{FUSE_SET_ATTR_MODE, FSPF_SET_MODE},
		{FUSE_SET_ATTR_UID, FSPF_SET_UID},
		{FUSE_SET_ATTR_GID, FSPF_SET_GID},
		{FUSE_SET_ATTR_SIZE, FSPF_SET_SIZE},
		{FUSE_SET_ATTR_ATIME, FSPF_SET_ATIME},
		{FUSE_SET_ATTR_MTIME, FSPF_SET_MTIME},
		{FUSE_SET_ATTR_CTIME, FSPF_SET_CTIME},
		{FUSE_SET_ATTR_ATIME_NOW, FSPF_SET_ATIME_NOW},
		{FUSE_SET_ATTR_MTIME_NOW, FSPF_SET_MTIME_NOW},
	};
	uint32_t set = 0;

	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (to_set & map[i].fuse)
			set |= map[i].fspf;
	/* The kernel sets both bits of a time for "now". */
	if (set & FSPF_SET_ATIME_NOW)
		set &= ~(uint32_t)FSPF_SET_ATIME;
	if (set & FSPF_SET_MTIME_NOW)
		set &= ~(uint32_t)FSPF_SET_MTIME;
	if (kills_privileges(req, to_set))
		set |= FSPF_SET_KILL_PRIV;
	return set;
}

void daemon_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		    struct fuse_file_info *fi)
{
	const struct fspf_attr wanted = {
		.size = (uint64_t)attr->st_size,
		.mode = attr->st_mode,
		.uid = attr->st_uid,
		.gid = attr->st_gid,
		.atime = attr->st_atim,
		.mtime = attr->st_mtim,
		.ctime = attr->st_ctim,
	};
	struct fspf_attr got;
	int err = fspf_setattr(daemon_volume(req), ino, fields_of(req, to_set), &wanted, &got);

	(void)fi;
	reply_attr(req, err, &got);
}

void daemon_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fspf_statfs s;
	struct statvfs st = {0};
	int err = fspf_statfs(daemon_volume(req), &s);

	(void)ino;
	if (err < 0) {
		daemon_reply(req, err);
		return;
	}
	st.f_bsize = FSPF_BLOCK_SIZE;
	st.f_frsize = FSPF_BLOCK_SIZE;
	st.f_blocks = s.blocks;
	st.f_bfree = s.blocks_free;
	st.f_bavail = s.blocks_available;
	st.f_files = s.files;
	st.f_ffree = s.files_free;
	st.f_favail = s.files_free;
	st.f_namemax = FSPF_NAME_MAX;
	fuse_reply_statfs(req, &st);
}
