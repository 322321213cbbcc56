/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/random.h - randomness from the kernel (getrandom)
 *
 * Used for keys, salts and identifiers, never per block: nonces are counters
 * (crypto/session.h).  Any thread may call.
 */
#ifndef FSPF_CRYPTO_RANDOM_H
#define FSPF_CRYPTO_RANDOM_H

#include "crypto/base.h"

/* Fill @len bytes; 0, or -EIO with the buffer undefined. */
MUST_CHECK int crypto_random(void *data, size_t len);

#endif
