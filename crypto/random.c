/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getrandom(2) and not a generator of our own: it waits until the kernel's pool is seeded, and
 * there is no state here that a fork could repeat.  Requests over 256 bytes may be cut
 * short by a signal, hence the loop.
 */
#include <errno.h>
#include <sys/random.h>

#include "crypto/random.h"

int crypto_random(void *data, size_t len)
{
	uint8_t *at = data;
	int r = 0;

	while (len > 0 && r == 0) {
		ssize_t got = getrandom(at, len, 0);

		if (got > 0) {
			at += got;
			len -= (size_t)got;
		} else if (got == 0 || errno != EINTR) {
			r = -EIO;
		}
	}
	return r;
}
