/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/dump.h - fspf-dump: the stored structures, as they lie on the storage
 *
 * It reads the same bytes as libfspf but keeps no state: what does not verify is shown as "damaged"
 * and the rest goes on.  Everything becomes one JSON value first; text for people is made from
 * that, so both show the same.  Key material is never put into it: no region keys, no hash keys; of
 * files' contents only lengths.
 */
#ifndef FSPF_FSPF_CMD_DUMP_H
#define FSPF_FSPF_CMD_DUMP_H

#include <jansson.h>

#include "fspf/item.h"
#include "fspf/root.h"

struct dump_slot {
	struct fspf_root *root; /* NULL: see error */
	struct crypto_digest tag;
	int error; /* -ENOENT: empty; -EBADMSG */
};

struct dump {
	struct fspf_store *store;
	struct fspf_header header;
	struct fspf_keyslots keyslots;
	struct crypto_key *key;		  /* NULL: none was given, or needed */
	struct crypto_sessions *sessions; /* of the chosen root */
	struct dump_slot slot[2];
	int chosen;		    /* the slot whose trees are shown; -1: none */
	struct fspf_root *snapshot; /* whose trees are shown instead; NULL */
	bool damage;		    /* something did not verify */
};

/* ---- dump_open.c ---- */

/* @credential may be NULL.  @expected (may be NULL): the tag of the root to choose; else the
 * newest. On failure @d can and need be closed all the same. */
MUST_CHECK int dump_open(struct dump *d, const char *path, const struct fspf_credential *credential,
			 const struct crypto_digest *expected, struct fspf_error *err);
/* Show the trees of this one, which the chosen root lists. */
MUST_CHECK int dump_open_snapshot(struct dump *d, const char *name, struct fspf_error *err);
void dump_close(struct dump *d);

/* The snapshot's root, or else the chosen one, or NULL. */
const struct fspf_root *dump_root(const struct dump *d);
/* The same, or -EBADMSG. */
MUST_CHECK int dump_need_root(const struct dump *d, const struct fspf_root **ret,
			      struct fspf_error *err);

/* One region's tree, ready to be read. */
struct dump_region {
	struct dump *d;
	const struct fspf_region_record *record;
	struct crypto_sealer *sealer;
	struct merkle_store store;
	struct merkle_config config;
	struct merkle_cache *cache;
	struct merkle_tree *tree;
};

/* @ret stays where it is until it is closed. */
MUST_CHECK int dump_region_open(struct dump *d, const struct fspf_region_record *record,
				struct dump_region *ret);
void dump_region_close(struct dump_region *r);

/* ---- dump_head.c: header, key slots, root records ---- */

json_t *dump_head_json(struct dump *d);

/* ---- dump_item.c ---- */

json_t *dump_pointer_json(const struct merkle_ptr *ptr, enum crypto_class class);
json_t *dump_item_json(const struct fspf_region_record *region, const struct merkle_key *key,
		       const void *value, size_t len);

/* ---- dump_tree.c, dump_file.c: each gives an error code with the words in @err ---- */

/* Every node of every region, level by level. */
MUST_CHECK int dump_nodes(struct dump *d, json_t **ret, struct fspf_error *err);
/* The node at block @addr, with its items. */
MUST_CHECK int dump_node(struct dump *d, uint64_t addr, json_t **ret, struct fspf_error *err);
/* All items of the file @ino. */
MUST_CHECK int dump_inode(struct dump *d, uint64_t ino, json_t **ret, struct fspf_error *err);
MUST_CHECK int dump_path(struct dump *d, const char *path, json_t **ret, struct fspf_error *err);

/* ---- dump_text.c ---- */

/* For people: "name: value" lines, indented. */
void dump_print_text(const json_t *json);

#endif
