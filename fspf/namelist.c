/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/namelist.c - the names of a directory, in two growing arrays
 */
#include <errno.h>
#include <stdlib.h>

#include "fspf/namelist.h"

/* Room for @want elements of @size bytes in *array, which has room for *room. */
static int grow(void **array, size_t *room, size_t want, size_t size)
{
	size_t more = *room ? *room : 64;
	void *grown;
	int r = 0;

	if (want > *room) {
		while (more < want)
			more *= 2;
		grown = reallocarray(*array, more, size);
		if (grown) {
			*array = grown;
			*room = more;
		} else {
			r = -ENOMEM;
		}
	}
	return r;
}

int fspf_namelist_add(struct fspf_namelist *list, const char *name, uint64_t number)
{
	size_t size = strlen(name) + 1;
	void *entry = list->entry, *text = list->text;
	int r;

	r = grow(&entry, &list->room, list->count + 1, sizeof(*list->entry));
	list->entry = entry;
	if (!r)
		r = grow(&text, &list->text_room, list->text_len + size, 1);
	list->text = text;
	if (!r) {
		list->entry[list->count++] =
			(struct fspf_name){.number = number, .offset = list->text_len};
		memcpy(list->text + list->text_len, name, size);
		list->text_len += size;
	}
	return r;
}

static int by_number(const void *a, const void *b)
{
	const struct fspf_name *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

void fspf_namelist_sort(struct fspf_namelist *list)
{
	if (list->count > 1)
		qsort(list->entry, list->count, sizeof(*list->entry), by_number);
}

const char *fspf_namelist_next(struct fspf_namelist *list)
{
	const char *name = NULL;

	if (list->next < list->count)
		name = list->text + list->entry[list->next++].offset;
	return name;
}

void fspf_namelist_free(struct fspf_namelist *list)
{
	free(list->entry);
	free(list->text);
	memset(list, 0, sizeof(*list));
}
