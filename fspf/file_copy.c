/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying inside the volume, by reading and writing: a block is sealed for its place (object and
 * position), so no two files can share one.  What it saves is the way through the caller.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/dispatch.h"
#include "fspf/volume.h"

#define B FSPF_BLOCK_SIZE
#define COPY_PIECE ((size_t)1 << 20)

/* One piece: bytes copied, 0 at the source's end.  Pieces end on a block of the target, so that
 * only the first and the last change a part of one. */
static ssize_t copy_piece(struct fspf_volume *v, uint64_t from, uint64_t from_offset, uint64_t to,
			  uint64_t to_offset, size_t size, void *buffer)
{
	size_t room = COPY_PIECE - to_offset % B;
	ssize_t n = fspf_read(v, from, from_offset, buffer, (size_t)min_u64(size, room));

	return n > 0 ? fspf_write(v, to, to_offset, buffer, (size_t)n, 0) : n;
}

static ssize_t copy_bytes(struct fspf_volume *v, uint64_t from, uint64_t from_offset, uint64_t to,
			  uint64_t to_offset, size_t size)
{
	size_t done = 0;
	void *buffer = malloc(COPY_PIECE);
	ssize_t n = buffer ? 1 : -ENOMEM;

	while (n > 0 && done < size) {
		n = copy_piece(v, from, from_offset + done, to, to_offset + done, size - done,
			       buffer);
		done += n > 0 ? (size_t)n : 0;
	}
	if (buffer)
		crypto_wipe(buffer, min_u64(size, COPY_PIECE));
	free(buffer);
	return done ? (ssize_t)done : n;
}

ssize_t fspf_tree_copy_range(struct fspf_volume *v, uint64_t from, uint64_t from_offset,
			     uint64_t to, uint64_t to_offset, size_t size)
{
	const struct fspf_region *region = fspf_region_of(v, to);
	struct fspf_attr source, target;
	uint64_t distance;
	int r = fspf_getattr(v, from, &source);

	if (r == 0)
		r = fspf_getattr(v, to, &target);
	if (r)
		return r;
	if (!S_ISREG(source.mode) || !S_ISREG(target.mode))
		return S_ISDIR(source.mode) || S_ISDIR(target.mode) ? -EISDIR : -EINVAL;
	if (v->read_only || (region && fspf_region_writable(region)))
		return -EROFS;
	if (from_offset >= source.size)
		return 0;
	size = (size_t)min_u64(size, min_u64(source.size - from_offset, SSIZE_MAX));
	distance = from_offset > to_offset ? from_offset - to_offset : to_offset - from_offset;
	if (from == to && distance < size)
		return -EINVAL;
	return size ? copy_bytes(v, from, from_offset, to, to_offset, size) : 0;
}
