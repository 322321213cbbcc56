/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table maps inode numbers to inodes; the dirty list is threaded through them.  Both are under
 * one mutex that is held for a few instructions.  An inode is loaded without it: whoever comes
 * second finds the first one's (N1).  A load that ran beside the dropping of any inode is repeated,
 * because what it read may be older than what was dropped.
 *
 *   N1  at most one struct fspf_inode for an inode number
 *   N2  what is dirty is on the dirty list and is never dropped from memory
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/inode.h"
#include "fspf/locked.h"

struct fspf_inode_table {
	pthread_mutex_t lock;
	struct fspf_inode *by_ino;
	struct fspf_inode dirty; /* head of the ring */
	uint64_t dirty_count;
	uint64_t drops;
};

int fspf_inode_table_new(struct fspf_inode_table **ret)
{
	struct fspf_inode_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	t->dirty.next = t->dirty.prev = &t->dirty;
	*ret = t;
	return 0;
}

static void inode_free(struct fspf_inode *inode)
{
	pthread_mutex_destroy(&inode->lock);
	free(inode);
}

struct fspf_inode_table *fspf_inode_table_free(struct fspf_inode_table *t)
{
	struct fspf_inode *inode, *next;

	if (!t)
		return NULL;
	HASH_ITER (hh, t->by_ino, inode, next) {
		struct fspf_chunk *c, *cnext;

		HASH_ITER (hh, inode->pages.chunks, c, cnext) {
			HASH_DEL(inode->pages.chunks, c);
			free(c);
		}
		HASH_DEL(t->by_ino, inode);
		inode_free(inode);
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

static void list_add(struct fspf_inode_table *t, struct fspf_inode *inode)
{
	if (inode->listed)
		return;
	inode->listed = true;
	inode->next = &t->dirty;
	inode->prev = t->dirty.prev;
	inode->prev->next = inode;
	t->dirty.prev = inode;
	t->dirty_count++;
}

static void list_remove(struct fspf_inode_table *t, struct fspf_inode *inode)
{
	if (!inode->listed)
		return;
	inode->listed = false;
	inode->prev->next = inode->next;
	inode->next->prev = inode->prev;
	t->dirty_count--;
}

static struct fspf_inode *inode_alloc(struct fspf_region *region, uint64_t object)
{
	struct fspf_inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	pthread_mutex_init(&inode->lock, NULL);
	inode->region = region;
	inode->object = object;
	inode->ino = fspf_ino(region, object);
	inode->refs = 1;
	return inode;
}

/* Under the table's lock: the inode that is there, referenced, or NULL. */
static struct fspf_inode *find_and_hold(struct fspf_inode_table *t, uint64_t ino)
{
	struct fspf_inode *inode;

	HASH_FIND(hh, t->by_ino, &ino, sizeof(ino), inode);
	if (inode)
		inode->refs++;
	return inode;
}

static int load(struct fspf_region *region, uint64_t object, struct fspf_inode **ret)
{
	struct merkle_key key = fspf_key(object, FSPF_ITEM_INODE, 0);
	uint8_t item[FSPF_INODE_SIZE];
	struct fspf_inode *inode;
	size_t len;
	int r = region->tree ? merkle_get(region->tree, &key, item, sizeof(item), &len) : -ENOENT;

	if (r)
		return r == -ERANGE ? -EBADMSG : r;
	inode = inode_alloc(region, object);
	if (!inode)
		return -ENOMEM;
	r = fspf_inode_decode(item, len, &inode->a);
	inode->type = inode->a.mode & S_IFMT;
	/* When it last changed is not known: what was written out and dropped from memory may wait
	 * for a commit still, and an fsync must wait with it. */
	inode->changed = atomic_load(&region->home->changed);
	if (r)
		inode_free(inode);
	else
		*ret = inode;
	return r;
}

/* Put @fresh into the table unless somebody was faster (N1), or an inode was dropped meanwhile:
 * NULL then. */
static struct fspf_inode *install(struct fspf_inode_table *t, struct fspf_inode *fresh,
				  uint64_t drops)
{
	struct fspf_inode *inode;

	pthread_mutex_lock(&t->lock);
	inode = find_and_hold(t, fresh->ino);
	if (!inode && t->drops == drops) {
		HASH_ADD(hh, t->by_ino, ino, sizeof(fresh->ino), fresh);
		inode = fresh;
	}
	pthread_mutex_unlock(&t->lock);
	if (inode != fresh)
		inode_free(fresh);
	return inode;
}

int fspf_inode_get(struct fspf_volume *v, uint64_t ino, struct fspf_inode **ret)
{
	struct fspf_inode_table *t = v->table;
	struct fspf_region *region = fspf_region_of(v, ino);
	struct fspf_inode *inode, *fresh = NULL;
	uint64_t drops;
	int r;

	if (!region)
		return -ENOENT;
	do {
		pthread_mutex_lock(&t->lock);
		inode = find_and_hold(t, ino);
		drops = t->drops;
		pthread_mutex_unlock(&t->lock);
		if (!inode) {
			r = load(region, ino & FSPF_OBJECT_MAX, &fresh);
			if (r)
				return r;
			inode = install(t, fresh, drops);
		}
	} while (!inode);
	*ret = inode;
	return 0;
}

/* Give references back; true if the caller now holds the last one of a nameless inode. */
static bool put_refs(struct fspf_volume *v, struct fspf_inode *inode, uint64_t n)
{
	struct fspf_inode_table *t = v->table;
	bool drop, nameless = false;

	pthread_mutex_lock(&t->lock);
	inode->refs -= n;
	drop = inode->refs == 0;
	if (drop && inode->a.nlink == 0 && !inode->dead && !v->read_only &&
	    !atomic_load(&v->failed)) {
		inode->refs = 1;
		nameless = true;
		drop = false;
	}
	drop = drop && (inode->dead || !inode->listed); /* N2 */
	if (drop) {
		list_remove(t, inode);
		HASH_DEL(t->by_ino, inode);
		t->drops++;
	}
	pthread_mutex_unlock(&t->lock);
	if (drop)
		inode_free(inode);
	return nameless;
}

void fspf_inode_put(struct fspf_volume *v, struct fspf_inode *inode, uint64_t n)
{
	if (!put_refs(v, inode, n))
		return;
	if (fspf_inode_remove(v, inode))
		inode->dead = true; /* its orphan item stays for the next open */
	put_refs(v, inode, 1);
}

int fspf_inode_new(struct fspf_volume *v, struct fspf_region *region, uint32_t mode,
		   uint64_t parent, struct fspf_inode **ret)
{
	uint64_t object = atomic_fetch_add(&region->next_object, 1);
	struct fspf_inode *inode;

	if (object > FSPF_OBJECT_MAX)
		return -ENOSPC;
	inode = inode_alloc(region, object);
	if (!inode)
		return -ENOMEM;
	inode->a.mode = mode;
	inode->type = mode & S_IFMT;
	inode->a.nlink = S_ISDIR(mode) ? 2 : 1;
	inode->a.parent = parent;
	inode->a.generation = v->stamp;
	inode->a.btime = fspf_now();
	inode->a.atime = inode->a.mtime = inode->a.ctime = inode->a.btime;
	atomic_fetch_add(&region->files, 1);
	pthread_mutex_lock(&v->table->lock);
	HASH_ADD(hh, v->table->by_ino, ino, sizeof(inode->ino), inode);
	pthread_mutex_unlock(&v->table->lock);
	*ret = inode;
	return 0;
}

void fspf_inode_cancel(struct fspf_volume *v, struct fspf_inode *inode)
{
	atomic_fetch_sub(&inode->region->files, 1);
	inode->dirty = false;
	inode->dead = true;
	put_refs(v, inode, 1);
}

void fspf_inode_dirty(struct fspf_volume *v, struct fspf_inode *inode)
{
	uint64_t epoch = atomic_load(&v->epoch);

	inode->dirty = true;
	inode->changed = epoch;
	atomic_store(&inode->region->home->changed, epoch);
	pthread_mutex_lock(&v->table->lock);
	list_add(v->table, inode);
	pthread_mutex_unlock(&v->table->lock);
}

struct timespec fspf_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return t;
}

void fspf_inode_touch(struct fspf_inode *inode, unsigned which)
{
	struct timespec now = fspf_now();

	if (which & FSPF_TOUCH_ATIME)
		inode->a.atime = now;
	if (which & FSPF_TOUCH_MTIME)
		inode->a.mtime = now;
	if (which & FSPF_TOUCH_CTIME)
		inode->a.ctime = now;
}

/* Blocks as stat(2) counts them: data on disk, promised, and waiting in memory.  Small contents
 * beside the inode count as one block, so that no tool takes the file for a hole, and contents in
 * place as many as they would have. */
static uint64_t stat_blocks(const struct fspf_inode *inode)
{
	uint64_t blocks = inode->a.blocks + inode->a.unwritten;

	if (inode->a.in_place)
		return (inode->a.size + FSPF_BLOCK_SIZE - 1) / FSPF_BLOCK_SIZE *
		       (FSPF_BLOCK_SIZE / 512);
	if (S_ISREG(inode->a.mode) && blocks == 0 && inode->a.inlined && inode->a.size)
		blocks = 1;
	if (inode->pages.count > blocks)
		blocks = inode->pages.count;
	return blocks * (FSPF_BLOCK_SIZE / 512);
}

void fspf_inode_attr(const struct fspf_inode *inode, struct fspf_attr *ret)
{
	const struct fspf_inode_item *a = &inode->a;

	*ret = (struct fspf_attr){
		.ino = inode->ino,
		.generation = a->generation,
		.size = a->size,
		.blocks = stat_blocks(inode),
		.rdev = a->rdev,
		.mode = fspf_is_locked(inode) ? inode->type : a->mode,
		.nlink = a->nlink,
		.uid = a->uid,
		.gid = a->gid,
		.atime = a->atime,
		.mtime = a->mtime,
		.ctime = a->ctime,
		.btime = a->btime,
	};
}

int fspf_inode_flush(struct fspf_volume *v, struct fspf_inode *inode)
{
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_INODE, 0);
	uint8_t item[FSPF_INODE_SIZE];
	int r;

	(void)v;
	if (!inode->dirty || inode->dead)
		return 0;
	fspf_inode_encode(&inode->a, item);
	r = merkle_put(inode->region->tree, &key, item, sizeof(item));
	if (r == 0)
		inode->dirty = false;
	return r;
}

struct fspf_inode *fspf_inode_next_dirty(struct fspf_volume *v)
{
	struct fspf_inode_table *t = v->table;
	struct fspf_inode *inode = NULL;

	pthread_mutex_lock(&t->lock);
	if (t->dirty_count) {
		inode = t->dirty.next;
		list_remove(t, inode);
		inode->refs++;
	}
	pthread_mutex_unlock(&t->lock);
	return inode;
}

void fspf_inode_relist(struct fspf_volume *v, struct fspf_inode *inode)
{
	pthread_mutex_lock(&v->table->lock);
	list_add(v->table, inode);
	pthread_mutex_unlock(&v->table->lock);
}

uint64_t fspf_inode_dirty_count(struct fspf_volume *v)
{
	uint64_t n;

	pthread_mutex_lock(&v->table->lock);
	n = v->table->dirty_count;
	pthread_mutex_unlock(&v->table->lock);
	return n;
}

struct fspf_inode *fspf_inode_nameless(struct fspf_volume *v)
{
	struct fspf_inode *inode, *next, *found = NULL;

	pthread_mutex_lock(&v->table->lock);
	HASH_ITER (hh, v->table->by_ino, inode, next) {
		if (inode->a.nlink || inode->dead)
			continue;
		inode->refs++;
		found = inode;
		break;
	}
	pthread_mutex_unlock(&v->table->lock);
	return found;
}
