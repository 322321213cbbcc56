/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/volume.h - inside libfspf: the open volume, its locks, and the way in and out for operations
 *
 * Locks, outermost first; whoever holds one may take only those below it:
 *
 * 0. copying up, a mutex for some inodes each (fspf/copyup.c): while contents in place become
 *    ordinary ones
 *
 * 1. gate, read-write: shared by whatever changes anything, exclusive for the instant in which a
 *    commit freezes the volume
 *
 * 2. names, one mutex: all changes of names (create, link, unlink, rename, rmdir)
 *
 * 3. inode lock, one mutex an inode: its attributes, dirty pages and block map; one at a time
 *
 * 4. table lock, one mutex: which inodes are in memory; the trees' locks, inside merkle/
 *
 * 5. the locks of space, page pool and committer: leaves
 *
 * Lookups, attribute reads, directory reads and file reads take neither names nor gate.  No lock
 * but that of copying up, the gate (shared), names and an inode's is held across I/O, and those
 * only for tree nodes that are not cached and for the blocks at the edges of an unaligned write.
 *
 * Sessions: V1..V4 below are the volume's own invariants.
 *   V1  What a root names was durable before the root was written (fspf/commit_write.c).
 *   V2  A root is written to the slot that does not hold the last published one.
 *   V3  Blocks that only an older root reaches are reused only after the newer one was published.
 *   V4  A frozen state is what the operations before one instant produced, all of them and nothing
 * else.
 */
#ifndef FSPF_FSPF_VOLUME_H
#define FSPF_FSPF_VOLUME_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fspf/fspf.h"
#include "fspf/home.h"
#include "fspf/item.h"
#include "fspf/root.h"
#include "fspf/space.h"

struct fspf_inode_table;
struct fspf_page_pool;
struct fspf_committer;
struct fspf_inplace;

/* One region of the open volume. */
struct fspf_region {
	struct fspf_volume *v;
	uint16_t id;
	enum fspf_protection protection;
	enum crypto_class class; /* how its tree is sealed */
	uint32_t flags;		 /* enum fspf_region_flags */
	char host[FSPF_HOST_MAX + 1];
	char prefix[FSPF_PREFIX_MAX + 1];
	struct fspf_home *home; /* where its changes go */
	struct crypto_key *key; /* encrypted regions */
	/* A rotation is under way: what sessions up to old_sessions sealed has the old key.  The
	 * committer's, who changes them under state_lock (fspf/rekey.h). */
	struct crypto_key *old_key;
	uint32_t old_sessions; /* 0: none */
	uint8_t hash_key[CRYPTO_SIPHASH_KEY_SIZE];
	uint8_t identity[MERKLE_IDENTITY_SIZE];
	struct crypto_sealer *sealer;
	struct merkle_store store;
	struct merkle_tree *tree; /* NULL: all of it is a host's */
	struct fspf_host *passed; /* which serves it; NULL: or cannot be reached */
	atomic_uint_fast64_t next_object, files, blocks, unwritten;
	struct merkle_ptr root; /* as last committed */
	struct crypto_digest tag;
	bool stub; /* nothing but the way to other regions, in memory (fspf/locked.h) */
	/* Where it hangs: the directory that its root covers; none for "/" or when that is locked.
	 */
	struct fspf_region *cover;
	uint64_t cover_object;
	/* Contents in place (fspf/inplace.h): the host's directory that they lie below, O_PATH; -1:
	 * not in place, or it was not there when the region was opened.  Whoever opens the region
	 * sets all three; the descriptor is the region's. */
	int host_fd;
	bool in_place;
	bool copy_up; /* contents may change: they are copied into the volume first */
};

struct fspf_volume {
	struct fspf_store *store;
	struct fspf_header header;
	struct crypto_key *key; /* NULL: keyless, or opened without */
	struct crypto_sessions *sessions;
	struct fspf_root_sealer *root_sealer;
	struct merkle_cache *cache;
	struct fspf_home stored;  /* the volume's own space */
	struct fspf_home scratch; /* ephemeral regions'; no space: there are none */
	atomic_bool
		space_known; /* loaded: until then only what the root record says of it is known */
	struct fspf_anchor *anchor;
	bool read_only;
	bool peek;
	bool authoring;		      /* a tool that builds regions: none is ephemeral now */
	bool ephemeral;		      /* every region is, and nothing is ever published */
	atomic_bool closing;	      /* what is in scratch space is of no more use */
	struct fspf_inplace *inplace; /* open files of the host */

	/* The last committed state; changed by the committer alone, under state_lock. */
	pthread_mutex_t state_lock;
	struct fspf_root *root;
	struct fspf_root *replaced; /* published, and left with the first commit: see
				       fspf/snapshot.h; else NULL */
	struct crypto_digest tag;
	struct crypto_digest base; /* the tag from which this open started */
	unsigned slot;		   /* where it lies */
	bool sessions_released; /* the stored table's blocks, for a commit that has not come through
				   yet */

	struct fspf_region *regions[FSPF_REGIONS_MAX];
	atomic_size_t nregions;
	struct fspf_rekey *rekey; /* that the next commit is to do, or NULL; under state_lock */
	atomic_bool rotates;	  /* somebody is in fspf_rotate() */
	/* Directories on the way to a region, which must stay where they are; under names. */
	struct fspf_pin {
		struct fspf_region *region;
		uint64_t object;
	} * pins;
	size_t npins;

	pthread_mutex_t names;
	pthread_rwlock_t gate;
	struct fspf_inode_table *table;
	struct fspf_page_pool *pages;
	struct fspf_committer *committer;
	atomic_int
		failed; /* negative errno after which nothing may change or be committed any more */
	atomic_uint_fast64_t
		epoch; /* of the changes being made now: 1, 2, ...; each freeze begins the next */
	atomic_uint_fast64_t generation; /* the open one, as both spaces have it */

	atomic_uint policy; /* enum fspf_policy: what the next root says */
	uint32_t stamp;	    /* random: the generation of the inodes that this open makes */
	uint64_t dirty_max; /* pages */
	uint32_t commit_interval_ms;
	fspf_report_fn *report;
	void *report_ctx;
	bool stop_on_violation;
	uint64_t cache_max;	   /* bytes */
	struct timespec committed; /* the last time; under state_lock */
	atomic_uint_fast64_t violations, sealed, opened, commits;
};

/* ---- in and out (fspf/volume.c) ---- */

/*
 * Begin a change: waits until it is admitted (space for the metadata it may dirty; @frees: it gives
 * space back and may use the reserve), then holds the gate shared until fspf_end().  -EROFS,
 * -ENOSPC, or what the volume failed with.
 */
MUST_CHECK int fspf_begin(struct fspf_region *region, bool frees);
void fspf_end(struct fspf_volume *v);

/* Something that the root record itself says has changed: the next commit writes one. */
void fspf_record_changed(struct fspf_volume *v);

/* Blocks that must stay free for metadata beyond what was promised. */
uint64_t fspf_space_keep(struct fspf_volume *v, const struct fspf_home *home, bool frees);

/* Promise @count blocks for dirty data, committing first if only deferred space is left.  Before
 * fspf_begin(). */
MUST_CHECK int fspf_promise(struct fspf_region *region, uint64_t count);

/* Do the changes of this region die with the open volume? */
static inline bool fspf_region_is_ephemeral(const struct fspf_region *region)
{
	return region->home == &region->v->scratch;
}

/* Something half done cannot be undone: nothing more is changed or committed; the published state
 * stays. */
void fspf_volume_fail(struct fspf_volume *v, int error, const char *what);

/* Tell the reporter.  @code counts as a violation if it is -EBADMSG. */
void fspf_report_text(struct fspf_volume *v, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- regions ---- */

static inline uint64_t fspf_ino(const struct fspf_region *region, uint64_t object)
{
	return (uint64_t)region->id << FSPF_OBJECT_BITS | object;
}

/* May files of @region be changed, apart from what the volume says?  0 or -EROFS. */
static inline int fspf_region_writable(const struct fspf_region *region)
{
	return region->in_place && !region->copy_up && !region->v->authoring ? -EROFS : 0;
}

/* The region of an inode number; NULL: there is none, or it is locked (its tree is not open). */
struct fspf_region *fspf_region_of(struct fspf_volume *v, uint64_t ino);

/* The region whose root covers directory @object of @region, or NULL. */
struct fspf_region *fspf_region_covering(const struct fspf_region *region, uint64_t object);

/* The region with the longest prefix of @path (absolute, normalised); the rest of the path behind
 * it. */
struct fspf_region *fspf_region_at(struct fspf_volume *v, const char *path, const char **ret_rest);

MUST_CHECK int fspf_region_open(struct fspf_volume *v, const struct fspf_region_record *record,
				struct fspf_region **ret);
struct fspf_region *fspf_region_free(struct fspf_region *region);
void fspf_region_describe(const struct fspf_region_record *record, struct fspf_region_info *ret);

/* -EPERM: some region does not meet @policy.  (fspf/policy.c) */
MUST_CHECK int fspf_policy_check(struct fspf_volume *v, uint32_t policy, struct fspf_error *err);

/* Find each region's covering directory and pin the way to it; after all are open.  -EBADMSG. */
MUST_CHECK int fspf_regions_attach(struct fspf_volume *v);
bool fspf_region_is_pinned(struct fspf_volume *v, const struct fspf_region *region,
			   uint64_t object);

/* Absolute, normalised, not too long: into @ret.  -EINVAL, -ENAMETOOLONG. */
MUST_CHECK int fspf_prefix_normalise(const char *path, char ret[static FSPF_PREFIX_MAX + 1]);

/* One component of @path into @name, and what follows it; NULL: too long. */
const char *fspf_prefix_name(const char *path, char name[static FSPF_NAME_MAX + 1]);

/* What stands first in every associated data: volume and region. */
void fspf_identity(const struct fspf_volume *v, uint16_t region,
		   uint8_t ret[static MERKLE_IDENTITY_SIZE]);

/* The store calls of a tree (read, write, alloc, release, report), over the volume of @region. */
void fspf_region_store(struct fspf_region *region);

#endif
