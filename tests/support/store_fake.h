/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/store_fake.h - a store in memory that fails, forgets and lies to order
 *
 * There is the *medium* (struct store_fake, the test's own) and there are the *stores* opened on it
 * (struct fspf_store, which the volume takes over and frees).  The medium outlives them, so a test
 * can look at what a crashed volume left behind:
 *
 *	struct store_fake *disk = store_fake_new(), *after;
 *	store_fake_open(disk, FSPF_STORE_READ_WRITE, &store);
 *	store_fake_die_at(disk, STORE_FAKE_WRITE, n);
 *	... run a volume on store until it fails, and close it ...
 *	after = store_fake_crash(disk, seed);
 *	... open a volume on after, and look ...
 *
 * A store keeps the contract of fspf/store.h to the letter and no further: what was not covered by
 * a barrier may be there after a crash, or not, or half, in any order.  A violation of the contract
 * by the caller (a run across segments, a change outside the head) is -EINVAL as it is in
 * the directory store; writes to blocks that nobody reserved are counted (S5 of fspf/space.h).
 *
 * All functions may be called from any thread, also while a store is in use; freeing is for the
 * last one.  Memory that cannot be had ends the program.  Contents are shared between clones
 * until they are written, so cloning costs no more than a table.
 */
#ifndef FSPF_TESTS_SUPPORT_STORE_FAKE_H
#define FSPF_TESTS_SUPPORT_STORE_FAKE_H

#include "fspf/store.h"

struct store_fake;

enum store_fake_op {
	STORE_FAKE_READ,
	STORE_FAKE_WRITE,
	STORE_FAKE_BARRIER,
	STORE_FAKE_RESERVE,
	STORE_FAKE_TRIM,
	STORE_FAKE_OPS /* how many there are */
};

/* One call of a store, as it came, whether it succeeded or not. */
struct store_fake_event {
	enum store_fake_op op;
	uint64_t block, count; /* 0 for a barrier */
	int result;
};

/* An empty medium, without limits. */
struct store_fake *store_fake_new(void);
/* The whole contents as a reader sees them now, all durable; no faults, no limits, no history. */
struct store_fake *store_fake_clone(struct store_fake *f);
/* What a power cut now would leave: all that the last barrier covered, and of each block written or
 * trimmed since one of its contents since (or the one before).  Which, @seed decides: nothing new,
 * everything, all up to some write, or block by block; @f goes on as it was. */
struct store_fake *store_fake_crash(struct store_fake *f, uint64_t seed);
/* After its stores; NULL is allowed; returns NULL. */
struct store_fake *store_fake_free(struct store_fake *f);

/* As fspf_store_open_directory(), locks included: -EBUSY.  The caller sets segment_blocks. */
MUST_CHECK int store_fake_open(struct store_fake *f, enum fspf_store_mode mode,
			       struct fspf_store **ret);

/* Faults.  The @n-th call of kind @op from now on (1: the next) fails with @error, once, and does
 * nothing (a barrier that failed once fails from then on, as the contract has it); or the medium
 * dies with it: that call and all later ones fail with -EIO.  What the dying write was writing may
 * be there after a crash like the rest.  0: never. */
void store_fake_fail_at(struct store_fake *f, enum store_fake_op op, uint64_t n, int error);
void store_fake_die_at(struct store_fake *f, enum store_fake_op op, uint64_t n);
bool store_fake_is_dead(struct store_fake *f);

/* Segments can take @blocks in all (0: any number): -ENOSPC from reserve, or, on a file
 * system that cannot reserve, only from the write. */
void store_fake_limit(struct store_fake *f, uint64_t blocks, bool at_write);
/* Bytes that a crash keeps together: 4096 (the default) or less, a divisor of it. */
void store_fake_tear(struct store_fake *f, size_t bytes);

/* What happened.  The events are the medium's and stay valid until the next call of a store. */
uint64_t store_fake_count(struct store_fake *f, enum store_fake_op op);
const struct store_fake_event *store_fake_events(struct store_fake *f, size_t *ret_n);
void store_fake_forget_events(struct store_fake *f);  /* and the counts */
uint64_t store_fake_unreserved(struct store_fake *f); /* blocks written without being reserved */
uint64_t store_fake_allocated(struct store_fake *f);  /* blocks reserved or written, not trimmed */

/* The attacker.  At once, durable, and in no history. */
void store_fake_get(struct store_fake *f, uint64_t block, void *data);
void store_fake_put(struct store_fake *f, uint64_t block, const void *data);  /* NULL: zeroes */
void store_fake_corrupt(struct store_fake *f, uint64_t block, uint64_t seed); /* flips one bit */
void store_fake_swap(struct store_fake *f, uint64_t a, uint64_t b);
/* Brings back what @block was in @older, which may be any medium. */
void store_fake_replay(struct store_fake *f, uint64_t block, struct store_fake *older);
/* The first block with contents at or after @from; false when there is none. */
bool store_fake_next(struct store_fake *f, uint64_t from, uint64_t *ret_block);

#endif
