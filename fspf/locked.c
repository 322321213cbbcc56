/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stub is a region like any other, with a tree that has never been stored: so whatever looks at
 * directories needs not know of it.  It is built before anybody has looked into it.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "fspf/dir.h"
#include "fspf/locked.h"

#define STUB_MODE (S_IFDIR | 0555)

int fspf_locked_mark(struct fspf_volume *v, uint64_t ino)
{
	struct fspf_inode *inode;
	int r = fspf_inode_get(v, ino, &inode);

	if (r)
		return r;
	pthread_mutex_lock(&inode->lock);
	inode->a.covered = true;
	fspf_inode_dirty(v, inode);
	pthread_mutex_unlock(&inode->lock);
	fspf_inode_put(v, inode, 1);
	return 0;
}

/* Where nothing is locked a mark says nothing new, and may be younger than what it is compared
 * with. Marks do not change where something is. */
bool fspf_is_locked(const struct fspf_inode *inode)
{
	const struct fspf_volume *v = inode->region->v;

	return v->header.keyed && !v->key && inode->a.covered &&
	       !fspf_region_covering(inode->region, inode->object);
}

int fspf_is_locked_at(struct fspf_region *region, uint64_t object, bool *ret)
{
	struct fspf_inode *inode;
	int r = fspf_inode_get(region->v, fspf_ino(region, object), &inode);

	if (r)
		return r;
	*ret = fspf_is_locked(inode);
	fspf_inode_put(region->v, inode, 1);
	return 0;
}

/* ---- stubs ---- */

static int put_inode(struct fspf_region *stub, uint64_t object, const struct fspf_inode_item *a)
{
	struct merkle_key key = fspf_key(object, FSPF_ITEM_INODE, 0);
	uint8_t item[FSPF_INODE_SIZE];

	fspf_inode_encode(a, item);
	return merkle_put(stub->tree, &key, item, sizeof(item));
}

static int get_inode(struct fspf_region *stub, uint64_t object, struct fspf_inode_item *ret)
{
	struct merkle_key key = fspf_key(object, FSPF_ITEM_INODE, 0);
	uint8_t item[FSPF_INODE_SIZE];
	size_t len;
	int r = merkle_get(stub->tree, &key, item, sizeof(item), &len);

	return r ? r : fspf_inode_decode(item, len, ret);
}

static int new_directory(struct fspf_region *stub, uint64_t object, uint64_t parent)
{
	const struct timespec now = fspf_now();
	const struct fspf_inode_item a = {
		.mode = STUB_MODE,
		.nlink = 2,
		.parent = parent,
		.generation = stub->v->stamp,
		.atime = now,
		.mtime = now,
		.ctime = now,
		.btime = now,
	};

	atomic_fetch_add(&stub->files, 1);
	return put_inode(stub, object, &a);
}

/* The ids of locked regions are not known; what matters is that no open one has it. */
static uint16_t free_id(struct fspf_volume *v, const char *prefix)
{
	uint16_t id = strcmp(prefix, "/") ? FSPF_REGION_SPACE - 1 : 0;

	while (fspf_region_of(v, (uint64_t)id << FSPF_OBJECT_BITS))
		id--;
	return id;
}

int fspf_stub_new(struct fspf_volume *v, const char *prefix, struct fspf_region **ret)
{
	struct fspf_region_record *record = crypto_secret_alloc(sizeof(*record));
	size_t n = atomic_load(&v->nregions);
	struct fspf_region *stub = NULL;
	int r = record ? 0 : -ENOMEM;

	if (r == 0 && n == FSPF_REGIONS_MAX)
		r = -EBADMSG; /* each stands for a region, and no volume has so many */
	if (r == 0) {
		record->id = free_id(v, prefix);
		record->protection = FSPF_AUTHENTICATED;
		record->next_object = FSPF_OBJECT_ROOT + 1;
		strcpy(record->prefix, prefix);
		r = fspf_region_open(v, record, &stub);
	}
	if (r == 0) {
		stub->stub = true;
		r = new_directory(stub, FSPF_OBJECT_ROOT, FSPF_OBJECT_ROOT);
	}
	if (r == 0) {
		v->regions[n] = *ret = stub;
		atomic_store(&v->nregions, n + 1);
	} else {
		fspf_region_free(stub);
	}
	crypto_secret_free(record);
	return r;
}

static int enter(struct fspf_region *stub, uint64_t parent, const char *name, uint64_t object)
{
	struct fspf_inode_item a;
	uint64_t offset;
	int r = fspf_dir_place(stub, parent, name, &offset);

	if (r == 0)
		r = fspf_dir_put(stub, parent, offset, object, STUB_MODE, name);
	if (r == 0)
		r = get_inode(stub, parent, &a);
	if (r == 0) {
		a.nlink++;
		a.entries++;
		r = put_inode(stub, parent, &a);
	}
	return r;
}

static int make(struct fspf_region *stub, uint64_t parent, const char *name, uint64_t *ret_object)
{
	uint64_t object = atomic_fetch_add(&stub->next_object, 1);
	int r = new_directory(stub, object, parent);

	if (r == 0)
		r = enter(stub, parent, name, object);
	if (r == 0)
		*ret_object = object;
	return r;
}

int fspf_stub_way(struct fspf_region *stub, const char *path)
{
	struct fspf_dirent_item d = {.object = FSPF_OBJECT_ROOT};
	char name[FSPF_NAME_MAX + 1];
	int r = 0;

	while (*path && r == 0) {
		uint64_t parent = d.object;

		path = fspf_prefix_name(path, name);
		if (!path)
			return -EBADMSG;
		r = fspf_dir_find(stub, parent, name, &d, NULL);
		if (r == -ENOENT)
			r = make(stub, parent, name, &d.object);
	}
	return r;
}
