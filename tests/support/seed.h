/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/seed.h - random numbers that can be had again
 *
 * A randomised test takes its seed here, which prints it; FSPF_TEST_SEED in the environment
 * (decimal or 0x) replays a run.  Not for secrets.
 */
#ifndef FSPF_TESTS_SUPPORT_SEED_H
#define FSPF_TESTS_SUPPORT_SEED_H

#include <stdint.h>

/* FSPF_TEST_SEED or something new; prints how to replay @test. */
uint64_t test_seed(const char *test);

/* The next number; the state may start as any number. */
uint64_t test_random(uint64_t *state);

/* 0 .. @bound - 1, @bound > 0. */
static inline uint64_t test_below(uint64_t *state, uint64_t bound)
{
	return test_random(state) % bound;
}

#endif
