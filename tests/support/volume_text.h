/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/volume_text.h - the texts of volume_model.h, and a digest of them and of contents
 */
#ifndef FSPF_TESTS_SUPPORT_VOLUME_TEXT_H
#define FSPF_TESTS_SUPPORT_VOLUME_TEXT_H

#include "fspf/fspf.h"

/* Exactly @size bytes of the file, in odd pieces.  0 or the error. */
int volume_text_read(struct fspf_volume *v, uint64_t ino, uint8_t *data, uint64_t size);

#endif
