/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/volume_driver.c - choosing operations, and those on names */
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/support/volume_driver_internal.h"

const struct driver_profile driver_mixed = {
	.weight =
		{
			[DRIVER_CREATE] = 14,	  [DRIVER_MKDIR] = 5,	 [DRIVER_MKNOD] = 1,
			[DRIVER_SYMLINK] = 2,	  [DRIVER_TMPFILE] = 1,	 [DRIVER_LINK] = 4,
			[DRIVER_UNLINK] = 7,	  [DRIVER_RMDIR] = 3,	 [DRIVER_RENAME] = 12,
			[DRIVER_WRITE] = 30,	  [DRIVER_TRUNCATE] = 5, [DRIVER_ALLOCATE] = 6,
			[DRIVER_COPY] = 2,	  [DRIVER_SETATTR] = 4,	 [DRIVER_SETXATTR] = 5,
			[DRIVER_REMOVEXATTR] = 3, [DRIVER_READ] = 4,	 [DRIVER_HOLD] = 2,
			[DRIVER_RELEASE] = 2,	  [DRIVER_FSYNC] = 8,	 [DRIVER_SYNC] = 3,
		},
	.file_max = 400000,
	.write_max = 120000,
	.xattr_max = 6000,
	.names = 24,
	.inodes = 70,
};

/* ---- choosing ---- */

uint64_t driver_below(struct volume_driver *d, uint64_t n)
{
	return test_below(&d->random, n);
}

void driver_fill(uint64_t *random, void *data, size_t size)
{
	uint8_t *p = data;

	for (; size; p += min_u64(size, 8), size -= min_u64(size, 8)) {
		uint64_t word = test_random(random);

		memcpy(p, &word, min_u64(size, 8));
	}
}

void driver_name(uint64_t n, char *name)
{
	int len = snprintf(name, FSPF_NAME_MAX + 1, "n%llu", (unsigned long long)n);

	if (n % 7 == 3) {
		size_t long_len = n % 2 ? FSPF_NAME_MAX : 120;

		memset(name + len, 'x', long_len - (size_t)len);
		name[long_len] = 0;
	}
}

static bool any_inode(const struct model_inode *inode)
{
	return inode != NULL;
}

static bool any_dir(const struct model_inode *inode)
{
	return model_is_dir(inode) && inode->nlink;
}

struct model_inode *driver_pick(struct volume_driver *d, bool (*wanted)(const struct model_inode *))
{
	for (int i = 0; i < 30; i++) {
		struct model_inode *inode = d->m->inode[driver_below(d, d->m->ninodes)];

		if (wanted(inode))
			return inode;
	}
	return NULL;
}

static struct model_inode *pick_dir(struct volume_driver *d)
{
	struct model_inode *dir = driver_pick(d, any_dir);

	return dir ? dir : d->m->root;
}

struct model_inode *driver_pick_inode(struct volume_driver *d)
{
	return driver_pick(d, any_inode);
}

/* A name in @dir: mostly one that is there. */
static void pick_name(struct volume_driver *d, const struct model_inode *dir, bool there,
		      char *name)
{
	unsigned n = HASH_COUNT(dir->entries);
	struct model_entry *e = dir->entries;

	driver_name(driver_below(d, d->profile->names), name);
	if (!there || n == 0 || driver_below(d, 8) == 0)
		return;
	for (uint64_t i = driver_below(d, n); i > 0; i--)
		e = e->hh.next;
	strcpy(name, e->name);
}

/* ---- results ---- */

static bool is_fault(int r)
{
	return r == -EIO || r == -ENOSPC || r == -EROFS || r == -ESTALE;
}

bool driver_settle(struct volume_driver *d, int expected, int r)
{
	if (r != expected && !(d->faults && is_fault(r)))
		model_fail("step %llu, %s: result %d and not %d", (unsigned long long)d->m->step,
			   d->what, r, expected);
	return r == 0;
}

static const char *shown(const char *name)
{
	return name + (strlen(name) > 40 ? strlen(name) - 40 : 0);
}

/* ---- making names ---- */

static const struct fspf_caller caller = {.uid = 1000, .gid = 100};

/* What has been made must look as it was asked for. */
static struct model_inode *made(struct volume_driver *d, struct model_inode *dir, uint32_t mode,
				const struct fspf_attr *attr)
{
	uint32_t gid = dir->mode & S_ISGID ? dir->gid : caller.gid;

	if (S_ISDIR(mode) && dir->mode & S_ISGID)
		mode |= S_ISGID;
	if (attr->mode != mode || attr->uid != caller.uid || attr->gid != gid)
		model_fail("step %llu, %s: made with mode %o owner %u:%u",
			   (unsigned long long)d->m->step, d->what, attr->mode, attr->uid,
			   attr->gid);
	return model_inode_new(d->m, attr);
}

static void entered(struct volume_driver *d, struct model_inode *dir, const char *name,
		    struct model_inode *inode)
{
	model_enter(dir, name, inode);
	dir->nlink += model_is_dir(inode);
	model_changed(d->m, dir);
	model_changed(d->m, inode);
}

static int create(struct volume_driver *d, uint32_t mode, uint64_t rdev)
{
	struct model_inode *dir = pick_dir(d);
	char name[FSPF_NAME_MAX + 1];
	struct fspf_attr attr;
	int r, expected;

	pick_name(d, dir, false, name);
	expected = model_find(dir, name) ? -EEXIST : 0;
	snprintf(d->what, sizeof(d->what), "create %s of mode %o in %llx", shown(name), mode,
		 (unsigned long long)dir->ino);
	r = fspf_create_file(d->v, dir->ino, name, mode, rdev, &caller, &attr);
	if (driver_settle(d, expected, r)) {
		entered(d, dir, name, made(d, dir, mode, &attr));
		fspf_forget(d->v, attr.ino, 1);
	}
	return r;
}

static int do_create(struct volume_driver *d)
{
	return create(d, S_IFREG | 0644, 0);
}

static int do_mkdir(struct volume_driver *d)
{
	return create(d, S_IFDIR | 0755, 0);
}

static int do_mknod(struct volume_driver *d)
{
	return driver_below(d, 2) ? create(d, S_IFCHR | 0600, 0x1203) : create(d, S_IFIFO, 0);
}

static int do_symlink(struct volume_driver *d)
{
	struct model_inode *dir = pick_dir(d), *inode;
	size_t len = 1 + driver_below(d, driver_below(d, 4) ? 60 : FSPF_SYMLINK_MAX);
	char name[FSPF_NAME_MAX + 1], *target = calloc(1, len + 1);
	struct fspf_attr attr;
	int r, expected;

	memset(target, 'a' + (int)driver_below(d, 26), len);
	pick_name(d, dir, false, name);
	expected = model_find(dir, name) ? -EEXIST : 0;
	snprintf(d->what, sizeof(d->what), "symlink %s to %zu bytes in %llx", shown(name), len,
		 (unsigned long long)dir->ino);
	r = fspf_symlink(d->v, dir->ino, name, target, &caller, &attr);
	if (driver_settle(d, expected, r)) {
		inode = made(d, dir, S_IFLNK | 0777, &attr);
		inode->target = target;
		target = NULL;
		entered(d, dir, name, inode);
		fspf_forget(d->v, attr.ino, 1);
	}
	free(target);
	return r;
}

static int do_tmpfile(struct volume_driver *d)
{
	struct model_inode *dir = pick_dir(d), *inode;
	struct fspf_attr attr;
	int r;

	snprintf(d->what, sizeof(d->what), "tmpfile in %llx", (unsigned long long)dir->ino);
	r = fspf_tmpfile(d->v, dir->ino, 0600, &caller, &attr);
	if (driver_settle(d, 0, r)) {
		inode = made(d, dir, S_IFREG | 0600, &attr);
		inode->held = 1;
		model_changed(d->m, inode);
		if (inode->nlink)
			model_fail("a nameless file has %u links", inode->nlink);
	}
	return r;
}

static int do_link(struct volume_driver *d)
{
	struct model_inode *dir = pick_dir(d), *inode = driver_pick_inode(d);
	char name[FSPF_NAME_MAX + 1];
	struct fspf_attr attr;
	int r, expected = 0;

	pick_name(d, dir, false, name);
	if (model_region(dir) != model_region(inode))
		expected = -EXDEV;
	else if (model_is_dir(inode))
		expected = -EPERM;
	else if (model_find(dir, name))
		expected = -EEXIST;
	snprintf(d->what, sizeof(d->what), "link %llx to %s in %llx",
		 (unsigned long long)inode->ino, shown(name), (unsigned long long)dir->ino);
	r = fspf_link(d->v, inode->ino, dir->ino, name, &attr);
	if (driver_settle(d, expected, r)) {
		inode->nlink++;
		entered(d, dir, name, inode);
		if (attr.ino != inode->ino || attr.nlink != inode->nlink)
			model_fail("%s: link count %u", d->what, attr.nlink);
		fspf_forget(d->v, attr.ino, 1);
	}
	return r;
}

/* ---- removing names ---- */

static void unnamed(struct volume_driver *d, struct model_inode *inode)
{
	inode->nlink = model_is_dir(inode) ? 0 : inode->nlink - 1;
	model_changed(d->m, inode);
	model_inode_drop(d->m, inode);
}

static void removed(struct volume_driver *d, struct model_inode *dir, const char *name)
{
	struct model_inode *inode = model_find(dir, name);

	model_leave(dir, name);
	dir->nlink -= model_is_dir(inode);
	model_changed(d->m, dir);
	unnamed(d, inode);
}

static int do_unlink(struct volume_driver *d)
{
	struct model_inode *dir = pick_dir(d), *inode;
	char name[FSPF_NAME_MAX + 1];
	int r, expected;

	pick_name(d, dir, true, name);
	inode = model_find(dir, name);
	expected = !inode ? -ENOENT : (model_is_dir(inode) ? -EISDIR : 0);
	snprintf(d->what, sizeof(d->what), "unlink %s in %llx", shown(name),
		 (unsigned long long)dir->ino);
	r = fspf_unlink(d->v, dir->ino, name);
	if (driver_settle(d, expected, r))
		removed(d, dir, name);
	return r;
}

static int removable(const struct model_inode *inode)
{
	if (inode->pinned)
		return -EBUSY;
	return inode->entries ? -ENOTEMPTY : 0;
}

static int do_rmdir(struct volume_driver *d)
{
	struct model_inode *dir = pick_dir(d), *inode;
	char name[FSPF_NAME_MAX + 1];
	int r, expected;

	pick_name(d, dir, true, name);
	inode = model_find(dir, name);
	if (!inode)
		expected = -ENOENT;
	else
		expected = model_is_dir(inode) ? removable(inode) : -ENOTDIR;
	snprintf(d->what, sizeof(d->what), "rmdir %s in %llx", shown(name),
		 (unsigned long long)dir->ino);
	r = fspf_rmdir(d->v, dir->ino, name);
	if (driver_settle(d, expected, r))
		removed(d, dir, name);
	return r;
}

/* ---- rename ---- */

struct renaming {
	struct model_inode *from_dir, *to_dir, *from, *to;
	char name[FSPF_NAME_MAX + 1], new_name[FSPF_NAME_MAX + 1];
	unsigned flags;
};

static bool is_above(const struct model_inode *inode, const struct model_inode *dir)
{
	while (dir && dir != inode)
		dir = dir->parent;
	return dir != NULL;
}

static int can_move(const struct model_inode *inode, const struct model_inode *dir,
		    const struct model_inode *into)
{
	if (!model_is_dir(inode))
		return 0;
	if (inode->pinned)
		return -EBUSY;
	return dir != into && is_above(inode, into) ? -EINVAL : 0;
}

static int can_replace(const struct renaming *n)
{
	if (n->flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (model_is_dir(n->from) != model_is_dir(n->to))
		return model_is_dir(n->from) ? -ENOTDIR : -EISDIR;
	return model_is_dir(n->to) ? removable(n->to) : 0;
}

static int can_rename(const struct renaming *n)
{
	int r;

	if (model_region(n->from_dir) != model_region(n->to_dir))
		return -EXDEV;
	if (!n->from)
		return -ENOENT;
	r = can_move(n->from, n->from_dir, n->to_dir);
	if (r)
		return r;
	if (n->flags & RENAME_EXCHANGE)
		return n->to ? can_move(n->to, n->to_dir, n->from_dir) : -ENOENT;
	if (n->from == n->to)
		return n->flags & RENAME_NOREPLACE ? -EEXIST : 0;
	return n->to ? can_replace(n) : 0;
}

static void exchanged(struct volume_driver *d, const struct renaming *n)
{
	bool a = model_is_dir(n->from), b = model_is_dir(n->to);

	model_enter(n->from_dir, n->name, n->to);
	model_enter(n->to_dir, n->new_name, n->from);
	n->from_dir->nlink += b;
	n->from_dir->nlink -= a;
	n->to_dir->nlink += a;
	n->to_dir->nlink -= b;
	model_changed(d->m, n->from);
	model_changed(d->m, n->to);
}

static void left_whiteout(struct volume_driver *d, const struct renaming *n)
{
	struct fspf_attr attr;
	int r = -EIO;

	for (int i = 0; i < 3 && r == -EIO; i++)
		r = fspf_lookup(d->v, n->from_dir->ino, n->name, &attr);
	if (r || attr.mode != S_IFCHR || attr.rdev)
		model_fail("%s: no whiteout", d->what);
	model_enter(n->from_dir, n->name, model_inode_new(d->m, &attr));
	fspf_forget(d->v, attr.ino, 1);
}

static void moved(struct volume_driver *d, const struct renaming *n)
{
	bool is_dir = model_is_dir(n->from);

	model_leave(n->from_dir, n->name);
	n->from_dir->nlink -= is_dir;
	n->to_dir->nlink += is_dir && !n->to;
	model_enter(n->to_dir, n->new_name, n->from);
	model_changed(d->m, n->from);
	if (n->flags & RENAME_WHITEOUT)
		left_whiteout(d, n);
	if (n->to)
		unnamed(d, n->to);
}

static void pick_rename(struct volume_driver *d, struct renaming *n)
{
	static const unsigned flags[] = {
		0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT};

	n->from_dir = pick_dir(d);
	n->to_dir = driver_below(d, 2) ? pick_dir(d) : n->from_dir;
	n->flags = flags[driver_below(d, ARRAY_LEN(flags))];
	pick_name(d, n->from_dir, true, n->name);
	pick_name(d, n->to_dir, driver_below(d, 2), n->new_name);
	n->from = model_find(n->from_dir, n->name);
	n->to = model_find(n->to_dir, n->new_name);
}

static int do_rename(struct volume_driver *d)
{
	struct renaming n;
	int r;

	pick_rename(d, &n);
	snprintf(d->what, sizeof(d->what), "rename %s in %llx to %s in %llx, flags %u",
		 shown(n.name), (unsigned long long)n.from_dir->ino, shown(n.new_name),
		 (unsigned long long)n.to_dir->ino, n.flags);
	r = fspf_rename(d->v, n.from_dir->ino, n.name, n.to_dir->ino, n.new_name, n.flags, &caller);
	if (!driver_settle(d, can_rename(&n), r))
		return r;
	if (n.flags & RENAME_EXCHANGE)
		exchanged(d, &n);
	else if (n.from != n.to)
		moved(d, &n);
	else
		return r;
	model_changed(d->m, n.from_dir);
	model_changed(d->m, n.to_dir);
	return r;
}

/* ---- references ---- */

static bool can_hold(const struct model_inode *inode)
{
	return inode->nlink && inode->held == 0;
}

static int do_hold(struct volume_driver *d)
{
	struct model_inode *inode = driver_pick(d, can_hold);
	struct fspf_attr attr;
	int r;

	if (!inode)
		return 0;
	snprintf(d->what, sizeof(d->what), "hold %llx", (unsigned long long)inode->ino);
	r = fspf_reference(d->v, inode->ino, &attr);
	if (driver_settle(d, 0, r))
		inode->held++;
	return r;
}

static bool is_held(const struct model_inode *inode)
{
	return inode->held;
}

static int do_release(struct volume_driver *d)
{
	struct model_inode *inode = driver_pick(d, is_held);

	if (!inode)
		return 0;
	fspf_forget(d->v, inode->ino, inode->held);
	inode->held = 0;
	model_inode_drop(d->m, inode);
	return 0;
}

/* ---- durability ---- */

static int do_fsync(struct volume_driver *d)
{
	struct model_inode *inode = driver_pick_inode(d);
	int r;

	snprintf(d->what, sizeof(d->what), "fsync %llx", (unsigned long long)inode->ino);
	r = fspf_fsync(d->v, inode->ino);
	if (driver_settle(d, 0, r))
		d->acked = max_u64(d->acked, inode->changed);
	return r;
}

static int do_sync(struct volume_driver *d)
{
	int r;

	strcpy(d->what, "sync");
	r = fspf_sync(d->v);
	if (driver_settle(d, 0, r))
		d->acked = d->m->step;
	return r;
}

/* ---- steps ---- */

typedef int operation(struct volume_driver *d);

static operation *const operations[DRIVER_OPS] = {
	[DRIVER_CREATE] = do_create,
	[DRIVER_MKDIR] = do_mkdir,
	[DRIVER_MKNOD] = do_mknod,
	[DRIVER_SYMLINK] = do_symlink,
	[DRIVER_TMPFILE] = do_tmpfile,
	[DRIVER_LINK] = do_link,
	[DRIVER_UNLINK] = do_unlink,
	[DRIVER_RMDIR] = do_rmdir,
	[DRIVER_RENAME] = do_rename,
	[DRIVER_WRITE] = driver_write,
	[DRIVER_TRUNCATE] = driver_truncate,
	[DRIVER_ALLOCATE] = driver_allocate,
	[DRIVER_COPY] = driver_copy,
	[DRIVER_SETATTR] = driver_setattr,
	[DRIVER_SETXATTR] = driver_setxattr,
	[DRIVER_REMOVEXATTR] = driver_removexattr,
	[DRIVER_READ] = driver_read,
	[DRIVER_HOLD] = do_hold,
	[DRIVER_RELEASE] = do_release,
	[DRIVER_FSYNC] = do_fsync,
	[DRIVER_SYNC] = do_sync,
};

int volume_driver_do(struct volume_driver *d, enum driver_op op)
{
	int r;

	d->op = op;
	d->m->step++;
	r = operations[op](d);
	d->blind = !model_copy_times(d->m, d->v);
	if (d->blind && !d->faults)
		model_fail("step %llu, %s: attributes cannot be read",
			   (unsigned long long)d->m->step, d->what);
	return r;
}

static enum driver_op choose(struct volume_driver *d)
{
	uint64_t total = 0, at;
	unsigned op = 0;

	for (unsigned i = 0; i < DRIVER_OPS; i++)
		total += d->profile->weight[i];
	at = driver_below(d, total);
	while (at >= d->profile->weight[op])
		at -= d->profile->weight[op++];
	if (d->m->ninodes > d->profile->inodes && op <= DRIVER_TMPFILE)
		return driver_below(d, 2) ? DRIVER_UNLINK : DRIVER_RMDIR;
	return (enum driver_op)op;
}

int volume_driver_step(struct volume_driver *d)
{
	return volume_driver_do(d, choose(d));
}
