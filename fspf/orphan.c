/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing an inode that has no name left.  Its items go in pieces, each a change of its own under
 * the gate, contents first, the inode and its ORPHAN item together in the last: a crash in between
 * leaves an orphan with fewer items, and the next open goes on (N3).  A file of any size is removed
 * this way without making anybody wait for all of it.
 *
 *   N3  an inode without names has an ORPHAN item in the same commit, and is removed when its last
 *       reference goes, or when the volume is next opened
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/extent.h"
#include "fspf/inplace.h"

#define PIECE 64u /* items removed under one hold of the gate */

struct pieces {
	enum crypto_class class;
	struct merkle_key key[PIECE];
	struct {
		uint64_t addr, birth;
		uint32_t count;
	} run[PIECE]; /* count 0: not an extent */
	uint32_t n;
};

static int collect(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct pieces *p = ctx;
	struct fspf_extent e;
	int r = 0;

	p->key[p->n] = *key;
	p->run[p->n].count = 0;
	if (key->type == FSPF_ITEM_EXTENT) {
		r = fspf_extent_decode(key, value, len, p->class, &e);
		if (r)
			return r;
		p->run[p->n].addr = e.addr;
		p->run[p->n].birth = e.birth;
		p->run[p->n].count = e.count;
	}
	p->n++;
	return p->n == PIECE ? 1 : 0;
}

static void release(struct fspf_inode *inode, uint64_t addr, uint64_t birth, uint32_t count)
{
	struct fspf_home *home = inode->region->home;

	if (count == 0)
		return;
	if (addr) {
		inode->a.blocks -= count;
		atomic_fetch_sub(&inode->region->blocks, count);
		fspf_home_release(home, addr, count, birth);
	} else {
		inode->a.unwritten -= count;
		atomic_fetch_sub(&inode->region->unwritten, count);
		fspf_space_unpromise(home->space, count);
	}
}

/* Everything of the object behind the inode item, up to PIECE items; 1 if there may be more. */
static int remove_some(struct fspf_inode *inode, struct pieces *p)
{
	struct merkle_key from = fspf_key(inode->object, FSPF_ITEM_INLINE, 0);
	struct merkle_key to = fspf_key(inode->object, UINT8_MAX, UINT64_MAX);
	int more;
	int r = 0;

	p->n = 0;
	more = merkle_scan(inode->region->tree, &from, &to, collect, p);
	if (more < 0)
		return more;
	for (uint32_t i = 0; i < p->n && r == 0; i++) {
		r = merkle_delete(inode->region->tree, &p->key[i]);
		if (r == 0)
			release(inode, p->run[i].addr, p->run[i].birth, p->run[i].count);
	}
	return r ? r : more;
}

static int remove_inode(struct fspf_volume *v, struct fspf_inode *inode)
{
	struct merkle_key key = fspf_key(inode->object, FSPF_ITEM_INODE, 0);
	struct merkle_key orphan = fspf_key(0, FSPF_ITEM_ORPHAN, inode->object);
	uint8_t item[1];
	size_t len;
	int r = merkle_get(inode->region->tree, &orphan, item, sizeof(item), &len);

	/* Looked at first, so that a damaged node of it leaves everything as it is. */
	if (r == 0)
		r = merkle_delete(inode->region->tree, &key);
	if (r &&
	    r != -ENOENT) /* a file made and unlinked since the last commit may have no item yet */
		return r;
	r = merkle_delete(inode->region->tree, &orphan);
	if (r) {
		fspf_volume_fail(v, r, "an unlinked file could not be removed");
		return r;
	}
	atomic_fetch_sub(&inode->region->files, 1);
	inode->dead = true;
	inode->dirty = false;
	return 0;
}

/* One piece, locked; 0 when it was the last. */
static int remove_piece(struct fspf_volume *v, struct fspf_inode *inode, struct pieces *p)
{
	int r;

	fspf_space_unpromise(inode->region->home->space,
			     fspf_pages_drop(&inode->pages, v->pages, 0, UINT64_MAX));
	r = remove_some(inode, p);
	if (r == 0)
		r = remove_inode(v, inode);
	if (r >= 0)
		atomic_store(&inode->region->home->changed, atomic_load(&v->epoch));
	return r;
}

/* Closing may meet an inode that the opening's clean-up is still removing: whoever comes second
 * finds it dead. */
int fspf_inode_remove(struct fspf_volume *v, struct fspf_inode *inode)
{
	struct pieces *p = malloc(sizeof(*p));
	int r = p ? 1 : -ENOMEM;

	if (p)
		p->class = inode->region->class;
	while (r == 1) {
		r = fspf_begin(inode->region, true);
		if (r)
			break;
		pthread_mutex_lock(&inode->lock);
		r = inode->dead ? 0 : remove_piece(v, inode, p);
		pthread_mutex_unlock(&inode->lock);
		fspf_end(v);
	}
	free(p);
	fspf_hostfile_forget(v->inplace->files, inode->ino);
	return r;
}

struct orphans {
	uint64_t object[PIECE];
	uint32_t n;
};

static int collect_orphan(void *ctx, const struct merkle_key *key, const void *value, size_t len)
{
	struct orphans *o = ctx;

	(void)value;
	(void)len;
	if (key->offset == 0 || key->offset > FSPF_OBJECT_MAX)
		return -EBADMSG;
	o->object[o->n++] = key->offset;
	return o->n == PIECE ? 1 : 0;
}

/* Up to PIECE orphans of a region from object *from on; 1 if there may be more. */
static int remove_orphans(struct fspf_volume *v, struct fspf_region *region, uint64_t *from)
{
	struct merkle_key first = fspf_key(0, FSPF_ITEM_ORPHAN, *from);
	struct merkle_key last = fspf_key(0, FSPF_ITEM_ORPHAN, UINT64_MAX);
	struct orphans o = {.n = 0};
	int more = merkle_scan(region->tree, &first, &last, collect_orphan, &o);

	for (uint32_t i = 0; i < o.n; i++) {
		struct fspf_inode *inode;

		if (fspf_inode_get(v, fspf_ino(region, o.object[i]), &inode) == 0)
			fspf_inode_put(v, inode, 1); /* removes it unless somebody uses it */
		*from = o.object[i] + 1;
	}
	return more;
}

int fspf_orphans_remove(struct fspf_volume *v)
{
	int r = 0;

	for (size_t i = 0; i < atomic_load(&v->nregions); i++) {
		uint64_t from = 0;
		int more = 1;

		while (more == 1 && v->regions[i]->tree)
			more = remove_orphans(v, v->regions[i], &from);
		if (more < 0)
			r = more;
	}
	return r;
}

/* At close nobody holds a file open any more, whatever the counts say. */
int fspf_orphans_close(struct fspf_volume *v)
{
	struct fspf_inode *inode;
	int r = 0;

	while (r == 0 && (inode = fspf_inode_nameless(v))) {
		if (!fspf_region_is_ephemeral(inode->region))
			r = fspf_inode_remove(v, inode);
		if (r || fspf_region_is_ephemeral(inode->region))
			inode->dead = true; /* its orphan item stays for the next open */
		fspf_inode_put(v, inode, 1);
	}
	return r == -EBADMSG ? 0 : r;
}
