/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling what is wrong with a file of the host: once a file and block, because a program that does
 * not get its bytes asks again and again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fspf/inplace.h"

#define TOLD_MAX 65536u /* then all of it is forgotten, and told again where it is met again */

struct told_key {
	uint64_t ino, block;
};

struct fspf_inplace_told {
	struct told_key key;
	UT_hash_handle hh;
};

static void forget(struct fspf_inplace *p)
{
	struct fspf_inplace_told *told, *next;

	HASH_ITER (hh, p->told, told, next) {
		HASH_DEL(p->told, told);
		free(told);
	}
}

struct fspf_inplace *fspf_inplace_free(struct fspf_inplace *p)
{
	if (!p)
		return NULL;
	forget(p);
	fspf_hostfiles_free(p->files);
	pthread_mutex_destroy(&p->lock);
	for (uint32_t i = 0; i < FSPF_INPLACE_COPYING; i++)
		pthread_mutex_destroy(&p->copying[i]);
	free(p);
	return NULL;
}

/* The first time?  Where there is no memory to know it, yes. */
static bool is_new(struct fspf_inplace *p, const struct told_key *key)
{
	struct fspf_inplace_told *told;
	bool fresh = true;

	pthread_mutex_lock(&p->lock);
	HASH_FIND(hh, p->told, key, sizeof(*key), told);
	if (told) {
		fresh = false;
	} else {
		if (HASH_COUNT(p->told) == TOLD_MAX)
			forget(p);
		told = calloc(1, sizeof(*told));
		if (told) {
			told->key = *key;
			HASH_ADD(hh, p->told, key, sizeof(told->key), told);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return fresh;
}

void fspf_inplace_words(const struct fspf_inplace_fault *fault, char *text, size_t size)
{
	static const char *const words[] = {
		[FSPF_INPLACE_GONE] = "is gone",
		[FSPF_INPLACE_KIND] =
			"is not a regular file, or not reached without symbolic links",
		[FSPF_INPLACE_SHORT] = "is shorter than recorded",
		[FSPF_INPLACE_LONG] = "is longer than recorded",
		[FSPF_INPLACE_ITEMS] = "is not named in the volume, or its hashes are not there",
	};

	if (fault->wrong == FSPF_INPLACE_BLOCK)
		snprintf(text, size, "does not verify: block %llu",
			 (unsigned long long)fault->block);
	else if (fault->wrong == FSPF_INPLACE_ACCESS)
		snprintf(text, size, "cannot be read: %s", strerror(-fault->error));
	else
		snprintf(text, size, "%s", words[fault->wrong]);
}

void fspf_inplace_tell(struct fspf_volume *v, const struct fspf_inode *inode,
		       const struct fspf_inplace_fault *fault)
{
	bool block = fault->wrong == FSPF_INPLACE_BLOCK;
	struct told_key key = {inode->ino, block ? fault->block : UINT64_MAX - fault->wrong};
	struct fspf_in_place_item item = {.path = "?"};
	char path[4096], words[128];

	if (!is_new(v->inplace, &key))
		return;
	fspf_path_of(v, inode->ino, path, sizeof(path));
	if (fspf_inplace_item(inode, &item))
		snprintf(item.path, sizeof(item.path), "?");
	fspf_inplace_words(fault, words, sizeof(words));
	if (block)
		fspf_report_text(v, fault->error,
				 "damaged: block %llu of %s (host file %s) does not verify",
				 (unsigned long long)fault->block, path, item.path);
	else
		fspf_report_text(v, fault->error, "%s: the host file %s of %s %s",
				 fault->error == -EBADMSG ? "damaged" : "unreadable", item.path,
				 path, words);
}
