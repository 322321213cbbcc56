/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/verify_inplace.c - contents in place: what the volume says of them, and the host's files
 *
 * The item with the digest comes before the leaves, and these in order of the file.  So the host's
 * file is opened with the former, its blocks are checked as their leaves pass, and the digest is
 * built from the leaves.  An orphan may have lost items, and its contents are nobody's any more:
 * they are not read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fspf/verify.h"
#include "merkle/verity.h"

static void close_host(struct verify_at *at)
{
	if (at->host_fd >= 0)
		close(at->host_fd);
	at->host_fd = -1;
}

/* The first fault of a file is told; all count. */
static int damaged(struct verify *w, const struct fspf_inplace_fault *fault)
{
	struct verify_at *at = &w->at;
	struct verify_object *o = at->o;
	char words[128];

	w->host_damaged = true;
	o->damaged = true;
	if (fault->wrong == FSPF_INPLACE_BLOCK)
		w->result->damaged_blocks++;
	else
		close_host(at);
	if (o->host)
		return 0;
	fspf_inplace_words(fault, words, sizeof(words));
	return asprintf(&o->host, "%s %s", at->said.path, words) < 0 ? -ENOMEM : 0;
}

static bool is_orphan(const struct verify_object *o)
{
	return o->orphan || !o->nlink;
}

/* The size is right from the beginning: a file without blocks is looked at only here. */
static int open_host(struct verify *w)
{
	struct verify_at *at = &w->at;
	const struct fspf_inplace_piece nothing = {.size = at->inode.size, .data = w->buffer};
	struct fspf_inplace_fault fault;
	int fd = fspf_inplace_open(w->region, at->said.path, &fault);

	if (fd < 0)
		return damaged(w, &fault);
	at->host_fd = fd;
	return fspf_inplace_check(fd, &nothing, &fault) ? damaged(w, &fault) : 0;
}

int verify_in_place_item(struct verify *w, const struct merkle_key *key, const void *value,
			 size_t len)
{
	struct verify_at *at = &w->at;
	int r;

	at->in_place = true;
	if (key->offset) {
		verify_problem(at->o, VERIFY_ITEM);
		return 0;
	}
	if (fspf_in_place_decode(value, len, &at->said)) {
		verify_problem(at->o, VERIFY_IN_PLACE);
		return 0;
	}
	if (!at->o->inode || !at->inode.in_place || is_orphan(at->o))
		return 0;
	r = merkle_verity_new(&at->verity);
	return r ? r : open_host(w);
}

/* One bad block hides none of the others. */
static int check_blocks(struct verify *w, const struct fspf_verity_item *item)
{
	struct verify_at *at = &w->at;
	struct fspf_inplace_fault fault;
	struct fspf_inplace_piece p = {
		.size = at->inode.size,
		.first = item->first,
		.count = item->count,
		.data = w->buffer,
		.leaf = item->leaf,
	};
	int r = 0;

	w->result->blocks += item->count;
	if (!fspf_inplace_check(at->host_fd, &p, &fault))
		return 0;
	p.count = 1;
	for (uint32_t i = 0; i < item->count && r == 0 && at->host_fd >= 0; i++) {
		p.first = item->first + i;
		p.leaf = &item->leaf[i];
		if (fspf_inplace_check(at->host_fd, &p, &fault))
			r = damaged(w, &fault);
	}
	return r;
}

static int add_leaves(struct verify_at *at, const struct fspf_verity_item *item)
{
	int r = 0;

	for (uint32_t i = 0; i < item->count && r == 0 && at->verity; i++)
		r = merkle_verity_add(at->verity, &item->leaf[i]);
	at->leaves += item->count;
	return r;
}

int verify_in_place_leaves(struct verify *w, const struct merkle_key *key, const void *value,
			   size_t len)
{
	struct verify_at *at = &w->at;
	uint64_t blocks = merkle_verity_leaves(at->inode.size);
	struct fspf_verity_item item;
	int r;

	if (fspf_verity_decode(key, value, len, &item) || item.first != at->leaves ||
	    item.first >= blocks ||
	    item.count != min_u64(FSPF_VERITY_LEAVES, blocks - item.first)) {
		at->verity = merkle_verity_free(at->verity);
		at->leaves = UINT64_MAX; /* whatever comes, it is not what there should be */
		return 0;
	}
	r = add_leaves(at, &item);
	if (r == 0 && at->host_fd >= 0)
		r = check_blocks(w, &item);
	return r ? r : verify_progress(w);
}

/* All leaves, and the digest of them. */
static bool is_complete(struct verify_at *at)
{
	struct crypto_digest digest;

	return at->verity && !merkle_verity_finish(at->verity, at->inode.size, &digest) &&
	       crypto_digest_equal(&digest, &at->said.digest);
}

void verify_in_place_end(struct verify *w, bool sound)
{
	struct verify_at *at = &w->at;
	bool agrees = at->inode.in_place ? is_complete(at) : !at->in_place && !at->leaves;

	if (sound && !agrees)
		verify_problem(at->o, VERIFY_IN_PLACE);
	at->verity = merkle_verity_free(at->verity);
	close_host(at);
}
