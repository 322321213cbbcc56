/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are open for reading and writing, the least recently used of which makes room.  One is
 * opened through the descriptor by which the file was found, so it is that file and of the type
 * that was seen (H4).  The cache spares the opening, and the host a close after each write, which
 * some file systems answer by sending everything home.
 *
 * O_NONBLOCK is for a lease that somebody on the host holds: better an error than waiting for him.
 */
#include <errno.h>
#include <unistd.h>

#include "fspf/host_internal.h"

#define OPEN_FLAGS (O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* ---- under the lock ---- */

static void slot_free(struct host_slot *slot)
{
	close(slot->fd);
	slot->file->slot = NULL;
	*slot = (struct host_slot){.fd = -1};
}

/* One that is free, or idle for longest; NULL: all are in use. */
static struct host_slot *slot_to_take(struct fspf_host *h)
{
	struct host_slot *best = NULL;

	for (size_t i = 0; i < ARRAY_LEN(h->slots); i++) {
		struct host_slot *slot = &h->slots[i];

		if (slot->users == 0 && (!best || slot->when < best->when))
			best = slot;
	}
	if (best && best->file)
		slot_free(best);
	return best;
}

/* @fd goes into the cache, unless there is no room or another is in use for this file. */
static struct host_slot *slot_put(struct fspf_host *h, struct host_file *file, int fd,
				  bool writable)
{
	struct host_slot *slot = NULL;

	if (file->slot && file->slot->users == 0)
		slot_free(file->slot);
	if (!file->slot)
		slot = slot_to_take(h);
	if (slot) {
		*slot = (struct host_slot){.file = file, .fd = fd, .writable = writable};
		file->slot = slot;
	}
	return slot;
}

static int slot_use(struct fspf_host *h, struct host_slot *slot)
{
	slot->users++;
	slot->when = ++h->clock;
	return slot->fd;
}

/* ---- */

bool host_trim(struct fspf_host *h)
{
	bool any = false;

	host_lock(h);
	for (size_t i = 0; i < ARRAY_LEN(h->slots); i++)
		if (h->slots[i].file && h->slots[i].users == 0) {
			slot_free(&h->slots[i]);
			any = true;
		}
	host_unlock(h);
	return any;
}

static int reopen(struct fspf_host *h, const struct host_place *place, int flags)
{
	struct host_fd_path path = host_fd_path(place->fd);
	int fd = open(path.text, flags | OPEN_FLAGS);

	if (fd < 0 && errno == EMFILE && host_trim(h))
		fd = open(path.text, flags | OPEN_FLAGS);
	return fd < 0 ? -errno : fd;
}

static int check_regular(const struct host_place *place)
{
	if (place->file->id.type == S_IFREG)
		return 0;
	return place->file->id.type == S_IFDIR ? -EISDIR : -EINVAL;
}

static struct host_open use_cached(struct fspf_host *h, const struct host_file *file, bool write)
{
	struct host_open o = {.fd = -1};
	struct host_slot *slot;

	host_lock(h);
	slot = file->slot;
	if (slot && (slot->writable || !write))
		o = (struct host_open){.fd = slot_use(h, slot), .slot = slot};
	host_unlock(h);
	return o;
}

int host_open_data(struct fspf_host *h, const struct host_place *place, bool write,
		   struct host_open *ret)
{
	struct host_open o;
	int r = check_regular(place);

	if (r)
		return r;
	o = use_cached(h, place->file, write);
	if (o.fd < 0) {
		o.fd = reopen(h, place, write ? O_RDWR : O_RDONLY);
		if (o.fd < 0)
			return o.fd;
		host_lock(h);
		o.slot = slot_put(h, place->file, o.fd, write);
		if (o.slot)
			slot_use(h, o.slot);
		host_unlock(h);
	}
	*ret = o;
	return 0;
}

void host_close_data(struct fspf_host *h, struct host_open *o)
{
	if (o->slot) {
		host_lock(h);
		o->slot->users--;
		host_unlock(h);
	} else {
		close(o->fd);
	}
}

int fspf_host_open(struct fspf_host *h, uint64_t ino, bool write, int *ret_fd)
{
	struct host_place place;
	int r = write ? host_visit_to_change(h, ino, &place) : host_visit(h, ino, &place);
	int fd;

	if (r)
		return r;
	r = check_regular(&place);
	if (r == 0) {
		fd = reopen(h, &place, write ? O_RDWR : O_RDONLY);
		if (fd < 0)
			r = fd;
		else
			*ret_fd = fd;
	}
	host_leave(h, &place);
	return r;
}

/* ---- directories ---- */

/*
 * Not every host remembers a directory's positions: tmpfs counted entries before Linux 6.6, and
 * keeps its place among entries that go only for a descriptor that stays open.  So the reader that
 * comes back to where it was gets its descriptor back, untouched.
 */
static int take_cached_dir(struct fspf_host *h, const struct host_file *file, uint64_t position)
{
	struct host_slot *slot;
	int fd = -1;

	host_lock(h);
	slot = file->slot;
	if (slot && slot->position == position) {
		fd = slot->fd;
		slot->file->slot = NULL;
		*slot = (struct host_slot){.fd = -1};
	}
	host_unlock(h);
	return fd;
}

int host_open_dir(struct fspf_host *h, const struct host_place *place, uint64_t position,
		  int *ret_fd)
{
	int fd = take_cached_dir(h, place->file, position);

	if (fd < 0) {
		fd = reopen(h, place, O_RDONLY | O_DIRECTORY);
		if (fd >= 0 && position > 0 && lseek(fd, (off_t)position, SEEK_SET) < 0) {
			int r = -errno;

			close(fd);
			fd = r;
		}
	}
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

void host_close_dir(struct fspf_host *h, struct host_file *file, int fd, uint64_t position)
{
	struct host_slot *slot;

	host_lock(h);
	slot = slot_put(h, file, fd, false);
	if (slot) {
		slot->position = position;
		slot->when = ++h->clock;
	}
	host_unlock(h);
	if (!slot)
		close(fd);
}
