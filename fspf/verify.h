/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/verify.h - inside libfspf: what the files of fspf_verify() share
 *
 * Two things can be wrong with a volume.  *Damage* is what does not verify: bytes that the storage
 * or an attacker changed.  An *inconsistency* is sealed as it should be and says what no volume
 * says; only a bug, or somebody who holds the key, can have made it.  They are told apart in every
 * line of the report, and both mean -EBADMSG.
 *
 * Each region is walked once, in key order, and so object by object (verify_walk.c): what the items
 * of one object say of each other is checked while they pass (verify_object.c).  What
 * objects say of each other is checked behind the walk, from the few words that are kept of each
 * (verify_names.c), and the blocks that all of it reaches against the space map at the very end
 * (verify_space.c).  Lines come behind each region's walk, when paths can be told
 * (verify_report.c).
 *
 * Then each snapshot, as a volume of its own, but for the nodes and blocks that have been checked
 * already (verify_snapshot.c): what an object says of itself is checked where all of it is read.
 *
 *   A damaged node hides a range of keys.  No check reports what that range may explain: nothing is
 *   missing from an object that it touches, and nothing is missing that could be anywhere.
 *
 * One thread.  Functions that return int give 0 or a negative errno that ends the verification.
 */
#ifndef FSPF_FSPF_VERIFY_H
#define FSPF_FSPF_VERIFY_H

#include "fspf/extent.h"
#include "fspf/inplace.h"
#include "fspf/reach.h"
#include "fspf/xattr.h"

/* What can be inconsistent about an object; the texts are in verify_report.c, in this order. */
enum verify_problem {
	VERIFY_NUMBER,	 /* of the object: not given yet */
	VERIFY_ITEM,	 /* of a type or at an offset that there is not */
	VERIFY_INODE,	 /* does not decode */
	VERIFY_INLINE,	 /* and the inode disagree */
	VERIFY_TARGET,	 /* of a symbolic link */
	VERIFY_CONTENTS, /* of something that cannot have any */
	VERIFY_IN_PLACE, /* what is said of contents in place is malformed or incomplete */
	VERIFY_XATTR,	 /* malformed, misplaced or incomplete */
	VERIFY_DIRENT,	 /* does not decode */
	VERIFY_PLACE,	 /* of an entry is not its name's */
	VERIFY_TWICE,	 /* the same name */
	VERIFY_NO_DIR,	 /* and has entries */
	VERIFY_EXTENT,	 /* does not decode */
	VERIFY_OVERLAP,	 /* of extents */
	VERIFY_SPACE,	 /* blocks of an extent are another's too, or nowhere */
	VERIFY_SUMS,	 /* of blocks */
	VERIFY_ENTRIES,	 /* are not as many as the inode says */
	VERIFY_LINKS,	 /* are not as many as the inode says */
	VERIFY_ORPHAN,	 /* without names and no orphan, or the other way round */
	VERIFY_TYPE,	 /* is another in an entry */
	VERIFY_NAMES,	 /* of a directory: several */
	VERIFY_PARENT,	 /* of a directory does not name it */
	VERIFY_TOP,	 /* is no directory, or is named */
	VERIFY_CIRCLE,	 /* of directories */
	VERIFY_NO_INODE, /* and other items */
	VERIFY_GONE,	 /* but named */
	VERIFY_PROBLEMS	 /* how many there are */
};

/* What is kept of an object: about 100 bytes. */
struct verify_object {
	uint64_t object;
	uint64_t parent;   /* as its inode says */
	uint64_t named_by; /* the directory of the last entry that names it */
	uint32_t problems; /* a bit each */
	uint32_t nlink;	   /* as its inode says */
	uint32_t names;	   /* entries that name it */
	uint32_t subdirs;  /* entries of it that name directories */
	uint8_t type;	   /* as DT_* */
	uint8_t named_type;
	uint8_t way;  /* to the top directory: see verify_names.c */
	bool inode;   /* its INODE item was read */
	bool orphan;  /* it has an ORPHAN item */
	bool damaged; /* something of it does not verify */
	char *host;   /* what is wrong with its file on the host, in words; NULL: nothing known */
	UT_hash_handle hh;
};

/* The names at one place of a hash. */
struct verify_place {
	uint64_t place;
	uint32_t n;
	struct {
		uint8_t len;
		char text[FSPF_NAME_MAX];
	} name[256];
};

/* The object whose items are passing. */
struct verify_at {
	struct verify_object *o; /* NULL: none */
	struct fspf_inode_item inode;
	bool has[2]; /* parts of the INLINE item */
	size_t len[2];
	bool nul; /* in one of them */
	struct fspf_xattr_walk xattr;
	bool extents;
	uint64_t blocks, unwritten; /* of its extents so far */
	uint64_t next;		    /* block behind the last extent */
	uint64_t entries;
	bool in_place; /* it has the IN_PLACE item */
	uint64_t leaves;
	struct merkle_verity *verity; /* of the leaves so far; NULL: not all have come */
	/* From here on nothing is cleared for the next object. */
	struct verify_place place;
	struct fspf_in_place_item said; /* in_place */
	int host_fd;			/* of its file on the host; -1: not to be read */
};

/* Items that were not read: of a node that does not verify, or of a subtree that was checked as
 * another state's.  In ascending order. */
struct verify_hidden {
	uint64_t first, last; /* objects */
	bool lost;	      /* it does not verify */
};

/* A region's record in the state that is verified. */
struct verify_record {
	uint16_t id;
	struct merkle_ptr root;
	struct crypto_digest tag;
	uint64_t next_object, files, blocks, unwritten;
};

struct verify {
	struct fspf_volume *v;			 /* a snapshot's view while that is verified */
	char state[FSPF_SNAPSHOT_NAME_MAX + 16]; /* "snapshot NAME: ", or "" */
	const struct fspf_transfer *transfer;
	struct fspf_verify_result *result;
	uint64_t inconsistent; /* lines */
	uint64_t bytes_total;
	uint8_t *buffer; /* VERIFY_RUN blocks */

	/* The state: of one instant, whatever is committed meanwhile. */
	bool opened; /* all regions are known */
	struct merkle_ptr space_root;
	struct fspf_blob sessions;
	uint32_t nrecords;
	struct verify_record record[FSPF_REGIONS_MAX];
	uint32_t nsnapshots;
	struct fspf_snapshot snapshot[FSPF_SNAPSHOTS_MAX];

	struct fspf_space *reached; /* blocks */
	struct fspf_reach reach;    /* the same, and which are nodes' */
	bool reached_unknown;	    /* not all of them could be found out */
	bool host_damaged;	    /* some file of the host */

	/* Of the region at hand. */
	struct fspf_region *region;
	const struct verify_record *said;
	struct verify_object *objects;
	struct verify_hidden *hidden;
	size_t nhidden;
	bool names_unknown, blocks_unknown; /* some entry or extent could not be read */
	uint64_t files, blocks, unwritten;
	struct verify_at at;
};

#define VERIFY_RUN FSPF_EXTENT_BLOCKS_MAX

/* ---- the walk (verify_walk.c) ---- */

MUST_CHECK int verify_walk(struct verify *w);

/* ---- objects (verify_object.c) ---- */

/* What is known of @object; made if there is nothing yet.  -ENOMEM. */
MUST_CHECK int verify_object(struct verify *w, uint64_t object, struct verify_object **ret);
void verify_objects_free(struct verify *w);

static inline void verify_problem(struct verify_object *o, enum verify_problem problem)
{
	o->problems |= UINT32_C(1) << problem;
}

static inline bool verify_has(const struct verify_object *o, enum verify_problem problem)
{
	return o->problems >> problem & 1;
}

/* May items of @object lie in a node that was not read?  In one that does not verify? */
bool verify_is_hidden(const struct verify *w, uint64_t object);
bool verify_is_lost(const struct verify *w, uint64_t object);
/* Note that these were not read.  -ENOMEM. */
MUST_CHECK int verify_hide(struct verify *w, const struct merkle_key *first,
			   const struct merkle_key *last, bool lost);

/* The items of an object, in their order; then its end, also where there was none. */
MUST_CHECK int verify_object_begin(struct verify *w, uint64_t object);
MUST_CHECK int verify_object_item(struct verify *w, const struct merkle_key *key, const void *value,
				  size_t len);
void verify_object_end(struct verify *w);
/* An extent that decodes: the map alone, not the blocks. */
void verify_object_extent(struct verify *w, const struct fspf_extent *e);

/* ---- contents in place (verify_inplace.c): the items as they come, with the host's file, and the
 * end of any object ---- */

MUST_CHECK int verify_in_place_item(struct verify *w, const struct merkle_key *key,
				    const void *value, size_t len);
MUST_CHECK int verify_in_place_leaves(struct verify *w, const struct merkle_key *key,
				      const void *value, size_t len);
/* @sound: items that should be there are. */
void verify_in_place_end(struct verify *w, bool sound);

/* ---- what objects say of each other, and the record of all (verify_names.c) ---- */

void verify_names(struct verify *w);
void verify_counts(struct verify *w);

/* ---- space (verify_space.c) ---- */

MUST_CHECK int verify_space_begin(struct verify *w);
void verify_space_end(struct verify *w);
/* The blocks are reached; 1: they were before, or no block can lie there. */
MUST_CHECK int verify_reach(struct verify *w, uint64_t addr, uint64_t count);
MUST_CHECK int verify_reach_node(struct verify *w, const struct merkle_ptr *ptr);
/* Has this node been checked already, as another state's?  Have these blocks of data? */
bool verify_has_node(const struct verify *w, const struct merkle_ptr *ptr);
bool verify_has_block(const struct verify *w, uint64_t addr);
/* Behind all regions: the session table, and the stored map if there is one. */
MUST_CHECK int verify_space(struct verify *w);

/* ---- regions and states (verify.c, verify_snapshot.c) ---- */

/* The regions of w->v as @root has them. */
void verify_take_regions(struct verify *w, const struct fspf_root *root);
/* All of them, or that of @prefix (-ENOENT: there is none). */
MUST_CHECK int verify_regions(struct verify *w, const char *prefix);
MUST_CHECK int verify_snapshots(struct verify *w);

/* ---- telling (verify_report.c) ---- */

void verify_tell(struct verify *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void verify_tell_inconsistent(struct verify *w, const char *what);
/* "inconsistent: region PREFIX: ..." */
void verify_tell_region(struct verify *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void verify_tell_objects(struct verify *w);
MUST_CHECK int verify_progress(struct verify *w);

#endif
