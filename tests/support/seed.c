/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/seed.c - random numbers that can be had again: SplitMix64 (Steele, Lea, Flood
 * 2014), which needs no warming up and has one word of state
 */
#include "tests/support/seed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

uint64_t test_seed(const char *test)
{
	const char *given = getenv("FSPF_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	if (given) {
		seed = strtoull(given, NULL, 0);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		seed = (uint64_t)now.tv_sec << 20 ^ (uint64_t)now.tv_nsec ^
		       (uint64_t)getpid() << 40;
		seed = test_random(&seed);
	}
	printf("%s: replay with FSPF_TEST_SEED=0x%" PRIx64 "\n", test, seed);
	fflush(stdout);
	return seed;
}

uint64_t test_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}
