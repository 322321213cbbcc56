/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/fdio.h - inside libfspf: pread(2) and pwrite(2) until all is done, whatever interrupts them
 */
#ifndef FSPF_FSPF_FDIO_H
#define FSPF_FSPF_FDIO_H

#include <sys/types.h>

#include "crypto/base.h"

/* Bytes read, fewer than @size only at the end of the file; or a negative errno. */
MUST_CHECK ssize_t fspf_fd_read(int fd, void *data, size_t size, uint64_t offset);
/* All of it.  -EIO: the system takes no more and gives no reason. */
MUST_CHECK int fspf_fd_write(int fd, const void *data, size_t size, uint64_t offset);

#endif
