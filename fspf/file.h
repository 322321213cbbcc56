/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/file.h - inside libfspf: the contents of one regular file
 *
 * What a file's bytes are, in order: its dirty page; else the page of the batch being written;
 * else, if the inode says so, the inline item; else what the block map names; else zeroes.  Bytes
 * beyond the size are zero wherever they are kept (D1).  A file with an inline item that has dirty
 * data has the page of its block 0 dirty or in the batch (D2).
 */
#ifndef FSPF_FSPF_FILE_H
#define FSPF_FSPF_FILE_H

#include "fspf/inode.h"

/* Contents of block @block as they are now, under the inode's lock: into @page.  For the edges of
 * unaligned changes. */
MUST_CHECK int fspf_file_read_block(struct fspf_volume *v, struct fspf_inode *inode, uint64_t block,
				    uint8_t page[static FSPF_BLOCK_SIZE]);

/* The dirty page of @block, made (with its present contents) if there is none; uses up one promise
 * if *ret_used.  Under the inode's lock and the gate. */
MUST_CHECK int fspf_file_dirty_page(struct fspf_volume *v, struct fspf_inode *inode, uint64_t block,
				    bool whole, uint8_t **ret_page, bool *ret_used);

/* The small contents or the symlink's target; -ERANGE when longer than @size. */
MUST_CHECK int fspf_file_read_inline(struct fspf_inode *inode, void *data, size_t size,
				     size_t *ret_len);

/* Set the size, cutting off or extending with zeroes.  Under the inode's lock and the gate; adds to
 * @used the promised blocks it used (at most one). */
MUST_CHECK int fspf_file_truncate(struct fspf_volume *v, struct fspf_inode *inode, uint64_t size,
				  uint64_t *used);

/* Zero the bytes from..to of a block, if it has any data; may use one promised block.  Locks as
 * above. */
MUST_CHECK int fspf_file_zero_part(struct fspf_volume *v, struct fspf_inode *inode, uint64_t block,
				   size_t from, size_t to, uint64_t *used);

/* Drop blocks first .. last from memory and from the map. */
MUST_CHECK int fspf_file_drop_blocks(struct fspf_volume *v, struct fspf_inode *inode,
				     uint64_t first, uint64_t last);

/* Delete the inline item, if there is one: its contents lie elsewhere now, or are gone.  Locks as
 * above. */
MUST_CHECK int fspf_file_drop_inline(struct fspf_inode *inode);

/* Drop set-id bits: under the lock. */
void fspf_file_kill_priv(struct fspf_inode *inode);

#endif
