/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/volume_driver_internal.h - what the files of the driver share */
#ifndef FSPF_TESTS_SUPPORT_VOLUME_DRIVER_INTERNAL_H
#define FSPF_TESTS_SUPPORT_VOLUME_DRIVER_INTERNAL_H

#include "tests/support/volume_driver.h"

uint64_t driver_below(struct volume_driver *d, uint64_t n);
/* Some inode that is @wanted; NULL: none was met. */
struct model_inode *driver_pick(struct volume_driver *d,
				bool (*wanted)(const struct model_inode *));
struct model_inode *driver_pick_inode(struct volume_driver *d);

/* Is the result as expected?  True: it is success, and the model is to follow. */
bool driver_settle(struct volume_driver *d, int expected, int r);

/* Operations on contents and attributes (volume_driver_data.c). */
int driver_write(struct volume_driver *d);
int driver_truncate(struct volume_driver *d);
int driver_allocate(struct volume_driver *d);
int driver_copy(struct volume_driver *d);
int driver_setattr(struct volume_driver *d);
int driver_setxattr(struct volume_driver *d);
int driver_removexattr(struct volume_driver *d);
int driver_read(struct volume_driver *d);

#endif
