/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/volume_driver_data.c - operations on contents and attributes */
#include <errno.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/volume_driver_internal.h"

#define CAPABILITY "security.capability"

/* ---- where and how much ---- */

/* Ends of blocks, of the file and of what fits beside the inode are where things go wrong. */
static uint64_t pick_offset(struct volume_driver *d, const struct model_inode *inode)
{
	uint64_t max = d->profile->file_max;

	switch (driver_below(d, 6)) {
	case 0:
		return 0;
	case 1:
		return min_u64(inode->size, max);
	case 2:
		return driver_below(d, max / 4096) * 4096;
	case 3:
		return driver_below(d, 4096);
	case 4:
		return driver_below(d, min_u64(inode->size, max) + 1);
	default:
		return driver_below(d, max);
	}
}

static uint64_t pick_size(struct volume_driver *d, uint64_t max)
{
	static const uint64_t usual[] = {1, 100, 2048, 2049, 4096, 8192, 30000, UINT64_MAX};
	uint64_t limit = min_u64(max, usual[driver_below(d, ARRAY_LEN(usual))]);

	return driver_below(d, 3) ? 1 + driver_below(d, limit) : limit;
}

static struct model_inode *pick_file(struct volume_driver *d)
{
	return driver_pick(d, model_is_file);
}

/* ---- contents ---- */

static void lost_privileges(struct model_inode *inode)
{
	inode->mode &= ~(uint32_t)S_ISUID;
	if (inode->mode & S_IXGRP)
		inode->mode &= ~(uint32_t)S_ISGID;
}

static void lost_capability(struct model_inode *inode)
{
	if (model_find_xattr(inode, CAPABILITY))
		model_delete_xattr(inode, CAPABILITY);
}

static void written(struct volume_driver *d, struct model_inode *inode, uint64_t offset,
		    const void *data, size_t size)
{
	if (size == 0)
		return;
	if (offset + size > inode->size)
		model_resize(inode, offset + size);
	memcpy(inode->data + offset, data, size);
	model_changed(d->m, inode);
}

int driver_write(struct volume_driver *d)
{
	struct model_inode *inode = pick_file(d);
	bool kill_priv = driver_below(d, 4) == 0;
	uint64_t offset;
	uint8_t *data;
	size_t size;
	ssize_t r;

	if (!inode)
		return 0;
	offset = pick_offset(d, inode);
	size = pick_size(d, d->profile->write_max);
	data = malloc(size);
	driver_fill(&d->random, data, size);
	snprintf(d->what, sizeof(d->what), "write %zu at %llu of %llx", size,
		 (unsigned long long)offset, (unsigned long long)inode->ino);
	r = fspf_write(d->v, inode->ino, offset, data, size, kill_priv);
	if (driver_settle(d, 0, r < 0 ? (int)r : (r == (ssize_t)size ? 0 : -ENODATA))) {
		written(d, inode, offset, data, size);
		if (kill_priv) {
			lost_privileges(inode);
			lost_capability(inode);
		}
	}
	free(data);
	return r < 0 ? (int)r : 0;
}

int driver_truncate(struct volume_driver *d)
{
	struct model_inode *inode = pick_file(d);
	struct fspf_attr attr = {0};
	int r;

	if (!inode)
		return 0;
	attr.size = driver_below(d, 4) ? pick_offset(d, inode) : 0;
	snprintf(d->what, sizeof(d->what), "truncate %llx to %llu", (unsigned long long)inode->ino,
		 (unsigned long long)attr.size);
	r = fspf_setattr(d->v, inode->ino, FSPF_SET_SIZE, &attr, &attr);
	if (driver_settle(d, 0, r)) {
		model_resize(inode, attr.size);
		model_changed(d->m, inode);
	}
	return r;
}

static void zero(struct model_inode *inode, uint64_t offset, uint64_t end)
{
	end = min_u64(end, inode->size);
	if (offset < end)
		memset(inode->data + offset, 0, end - offset);
}

int driver_allocate(struct volume_driver *d)
{
	static const int modes[] = {0,
				    FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE,
				    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
	struct model_inode *inode = pick_file(d);
	int mode = modes[driver_below(d, ARRAY_LEN(modes))];
	uint64_t offset, size;
	int r;

	if (!inode)
		return 0;
	offset = pick_offset(d, inode);
	size = pick_size(d, d->profile->write_max);
	snprintf(d->what, sizeof(d->what), "fallocate %d of %llx, %llu at %llu", mode,
		 (unsigned long long)inode->ino, (unsigned long long)size,
		 (unsigned long long)offset);
	r = fspf_fallocate(d->v, inode->ino, mode, offset, size);
	if (!driver_settle(d, 0, r))
		return r;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		zero(inode, offset, offset + size);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + size > inode->size)
		model_resize(inode, offset + size);
	model_changed(d->m, inode);
	return r;
}

static int copy_result(const struct model_inode *from, uint64_t from_offset,
		       const struct model_inode *to, uint64_t to_offset, uint64_t *size)
{
	uint64_t distance =
		from_offset > to_offset ? from_offset - to_offset : to_offset - from_offset;

	if (from_offset >= from->size) {
		*size = 0;
		return 0;
	}
	*size = min_u64(*size, from->size - from_offset);
	return from == to && distance < *size ? -EINVAL : 0;
}

int driver_copy(struct volume_driver *d)
{
	struct model_inode *from = pick_file(d), *to = pick_file(d);
	uint64_t from_offset, to_offset, size;
	uint8_t *data;
	ssize_t r;
	int expected;

	if (!from || !to)
		return 0;
	from_offset = pick_offset(d, from);
	to_offset = pick_offset(d, to);
	size = pick_size(d, d->profile->write_max);
	snprintf(d->what, sizeof(d->what), "copy %llu from %llu of %llx to %llu of %llx",
		 (unsigned long long)size, (unsigned long long)from_offset,
		 (unsigned long long)from->ino, (unsigned long long)to_offset,
		 (unsigned long long)to->ino);
	r = fspf_copy_range(d->v, from->ino, from_offset, to->ino, to_offset, size);
	expected = copy_result(from, from_offset, to, to_offset, &size);
	if (!driver_settle(d, expected, r < 0 ? (int)r : 0))
		return (int)r;
	if ((uint64_t)r > size || (!d->faults && (uint64_t)r != size))
		model_fail("%s: copied %zd", d->what, r);
	if (r > 0) {
		data = malloc((size_t)r);
		memcpy(data, from->data + from_offset, (size_t)r);
		written(d, to, to_offset, data, (size_t)r);
		free(data);
	}
	return 0;
}

/* Between two answers of seek there is nothing but zeroes where it says so. */
static void check_seek(struct volume_driver *d, const struct model_inode *inode, uint64_t offset)
{
	uint64_t at, data = inode->size;
	int r = fspf_seek(d->v, inode->ino, offset, SEEK_DATA, &data);

	if (r && r != -ENXIO)
		model_fail("seek in %llx: %d", (unsigned long long)inode->ino, r);
	if (r)
		data = inode->size;
	for (at = offset; at < data && inode->data[at] == 0; at++)
		;
	if (at < data)
		model_fail("seek in %llx from %llu: no data before %llu, but at %llu",
			   (unsigned long long)inode->ino, (unsigned long long)offset,
			   (unsigned long long)data, (unsigned long long)at);
}

int driver_read(struct volume_driver *d)
{
	struct model_inode *inode = pick_file(d);
	uint64_t offset, want;
	uint8_t *data;
	size_t size;
	ssize_t r;

	if (!inode)
		return 0;
	offset = pick_offset(d, inode);
	size = pick_size(d, d->profile->write_max);
	want = offset < inode->size ? min_u64(size, inode->size - offset) : 0;
	data = malloc(size);
	snprintf(d->what, sizeof(d->what), "read %zu at %llu of %llx", size,
		 (unsigned long long)offset, (unsigned long long)inode->ino);
	r = fspf_read(d->v, inode->ino, offset, data, size);
	if (driver_settle(d, 0, r < 0 ? (int)r : ((uint64_t)r == want ? 0 : -ENODATA))) {
		if (want && memcmp(data, inode->data + offset, want))
			model_fail("step %llu, %s: wrong bytes", (unsigned long long)d->m->step,
				   d->what);
		if (want)
			check_seek(d, inode, offset);
	}
	free(data);
	return r < 0 ? (int)r : 0;
}

/* ---- attributes ---- */

static void attributes_set(struct model_inode *inode, uint32_t set, const struct fspf_attr *attr)
{
	if (set & FSPF_SET_MODE)
		inode->mode = (inode->mode & S_IFMT) | (attr->mode & 07777);
	if (set & FSPF_SET_UID)
		inode->uid = attr->uid;
	if (set & FSPF_SET_GID)
		inode->gid = attr->gid;
	if (!(set & (FSPF_SET_UID | FSPF_SET_GID)) || model_is_dir(inode))
		return;
	if (!(set & FSPF_SET_MODE))
		lost_privileges(inode);
	lost_capability(inode);
}

int driver_setattr(struct volume_driver *d)
{
	static const uint32_t modes[] = {0644, 0600, 0755, 04755, 02755, 02644, 01777};
	struct model_inode *inode = driver_pick_inode(d);
	uint32_t set = (uint32_t)driver_below(d, 8);
	struct fspf_attr attr = {
		.mode = modes[driver_below(d, ARRAY_LEN(modes))],
		.uid = (uint32_t)driver_below(d, 3),
		.gid = (uint32_t)driver_below(d, 3),
		.mtime = {(time_t)driver_below(d, UINT64_C(1) << 34),
			  (long)driver_below(d, 1000000000)},
	};
	struct fspf_attr after;
	int r;

	if (driver_below(d, 2))
		set |= FSPF_SET_MTIME;
	snprintf(d->what, sizeof(d->what), "setattr %x mode %o of %llx", set, attr.mode,
		 (unsigned long long)inode->ino);
	r = fspf_setattr(d->v, inode->ino, set, &attr, &after);
	if (!driver_settle(d, 0, r))
		return r;
	attributes_set(inode, set, &attr);
	model_changed(d->m, inode);
	if (after.mode != inode->mode || after.uid != inode->uid || after.gid != inode->gid ||
	    (set & FSPF_SET_MTIME && memcmp(&after.mtime, &attr.mtime, sizeof(attr.mtime))))
		model_fail("step %llu, %s: mode %o owner %u:%u", (unsigned long long)d->m->step,
			   d->what, after.mode, after.uid, after.gid);
	return r;
}

static void pick_xattr(struct volume_driver *d, char name[static 64])
{
	uint64_t n = driver_below(d, 8);

	if (n == 0)
		strcpy(name, CAPABILITY);
	else
		snprintf(name, 64, "user.attribute-%llu", (unsigned long long)n);
}

int driver_setxattr(struct volume_driver *d)
{
	struct model_inode *inode = driver_pick_inode(d);
	static const int flags[] = {0, 0, XATTR_CREATE, XATTR_REPLACE};
	int flag = flags[driver_below(d, ARRAY_LEN(flags))];
	size_t size =
		driver_below(d, 3) ? driver_below(d, 100) : driver_below(d, d->profile->xattr_max);
	uint8_t *value = malloc(size + 1);
	char name[64];
	int r, expected = 0;

	driver_fill(&d->random, value, size);
	pick_xattr(d, name);
	if (flag == XATTR_CREATE && model_find_xattr(inode, name))
		expected = -EEXIST;
	if (flag == XATTR_REPLACE && !model_find_xattr(inode, name))
		expected = -ENODATA;
	snprintf(d->what, sizeof(d->what), "setxattr %s of %llx, %zu bytes, flags %d", name,
		 (unsigned long long)inode->ino, size, flag);
	r = fspf_setxattr(d->v, inode->ino, name, value, size, flag, false);
	if (driver_settle(d, expected, r)) {
		model_set_xattr(inode, name, value, size);
		model_changed(d->m, inode);
	}
	free(value);
	return r;
}

int driver_removexattr(struct volume_driver *d)
{
	struct model_inode *inode = driver_pick_inode(d);
	char name[64];
	int r;

	pick_xattr(d, name);
	snprintf(d->what, sizeof(d->what), "removexattr %s of %llx", name,
		 (unsigned long long)inode->ino);
	r = fspf_removexattr(d->v, inode->ino, name);
	if (driver_settle(d, model_find_xattr(inode, name) ? 0 : -ENODATA, r)) {
		model_delete_xattr(inode, name);
		model_changed(d->m, inode);
	}
	return r;
}
