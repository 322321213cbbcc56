/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/fspf.h - libfspf: an encrypted, authenticated, fresh volume as a library
 *
 * A volume is a directory on storage that nobody trusts; it holds regions, each a tree of files
 * below a path prefix, encrypted or authenticated.  One tag names the exact state of all of it.
 * This is everything that the daemon and the tools do; another program can do it too.  It does not
 * know FUSE.  Bytes: docs/format.md; reasons: docs/design.md.
 *
 * Files are named by 64-bit inode numbers that are never used again (region in the upper 16 bits,
 * object in the lower 48; the root of "/" is FSPF_ROOT).  Names are byte strings of 1 to 255 bytes
 * without '/' and NUL.  Sizes and offsets are bytes.
 *
 * What holds always:
 *   - A read gives what was written there, or fails with -EBADMSG.
 *   - Operations change memory; fspf_fsync() and fspf_sync() return when the state they cover is
 * durable and its tag is published.  After a crash a volume opens in the last published state, and
 * that is a state which really was, at one instant.
 *   - A failed operation changes nothing that can be seen.
 *   - No permission is checked here: that is the kernel's (or the caller's) work.  POSIX ACLs and
 * set-id bits are kept as the file system must keep them.
 *
 * Results: 0 (or a count) or a negative errno.  These have one meaning each, throughout:
 *   -EBADMSG      stored bytes failed verification: damage or tampering.  Already reported (struct
 * fspf_report). -ESTALE       the volume's tag is not the expected one (open), or the anchor was
 * changed by somebody else -EKEYREJECTED the credential opens no key slot -ENOKEY       a key is
 * needed and none was given -EBUSY        at open: somebody else has the volume open; else as
 * rename(2), rmdir(2) -ENOSPC       full: nothing was lost, and deleting still works -EROFS the
 * volume is open read-only, or became read-only after a failed commit -EXDEV        two regions All
 * others are as the system call of the same name has them.  ret_* arguments are written on success
 * alone.
 *
 * Any thread may call anything on an open volume at any time, except fspf_close(), which is the
 * last call.
 */
#ifndef FSPF_FSPF_FSPF_H
#define FSPF_FSPF_FSPF_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "crypto/digest.h"
#include "crypto/keyslot.h"
#include "crypto/session.h"
#include "fspf/anchor.h"

#define FSPF_ROOT UINT64_C(1) /* region 0, object 1 */
#define FSPF_NAME_MAX 255u    /* bytes */
#define FSPF_PREFIX_MAX 1023u /* bytes of a region's prefix */
#define FSPF_HOST_MAX 1023u   /* bytes of a region's directory on the host */
#define FSPF_SYMLINK_MAX 4095u
#define FSPF_XATTR_NAME_MAX 255u
#define FSPF_XATTR_VALUE_MAX 65536u
#define FSPF_REGIONS_MAX 64u
#define FSPF_KEYSLOTS 16u
#define FSPF_FILE_SIZE_MAX (INT64_MAX & ~UINT64_C(4095))
#define FSPF_SIZE_MIN (UINT64_C(16) << 20) /* bytes: the smallest volume limit */
#define FSPF_LINK_MAX 65000u
#define FSPF_SNAPSHOT_NAME_MAX 255u /* bytes */
#define FSPF_SNAPSHOTS_MAX 128u	    /* and as many as fit the root record */

struct fspf_volume;

/* What a region promises for what it holds. */
enum fspf_protection {
	FSPF_ENCRYPTED = 1,	/* nobody without the key reads or changes it unnoticed */
	FSPF_AUTHENTICATED = 2, /* nobody changes it unnoticed */
	FSPF_NOT_PROTECTED =
		3, /* passed through from the host, or (ephemeral) of no lasting worth */
};

/* What the owner of a volume demands of all its mounts; kept in the root record. */
enum fspf_policy {
	FSPF_POLICY_REQUIRE_PROTECTED = 1 << 0, /* no region that is not protected */
	FSPF_POLICY_EXEC_PROTECTED = 1 << 1,	/* nothing in such a region may be executed */
	FSPF_POLICY_ALL = FSPF_POLICY_REQUIRE_PROTECTED | FSPF_POLICY_EXEC_PROTECTED,
};

/* What went wrong, in words, for whoever prints: one line each, no newline; hint may be empty. */
struct fspf_error {
	int code; /* negative errno, as above */
	char text[512];
	char hint[256];
};

/* The exit status that documents promise for an error code: 0 done, 1 failed, 2 usage, 3 damaged or
 * tampered with (-EBADMSG), 4 wrong tag (-ESTALE), 5 wrong key (-EKEYREJECTED, -ENOKEY), 6 in use
 * (-EBUSY). */
int fspf_exit_status(int code);

/* ---- credentials
 * ------------------------------------------------------------------------------------------ */

/* A key or a passphrase in guarded memory, owned by the caller. */
struct fspf_credential;

/* 32 raw bytes, or 64 hex digits with or without a newline; "-" is standard input.  -EINVAL
 * malformed. */
MUST_CHECK int fspf_credential_key_file(const char *path, struct fspf_credential **ret,
					struct fspf_error *err);
/* 64 hex digits, for FSPF_KEY; the caller wipes and unsets its copy. */
MUST_CHECK int fspf_credential_key_hex(const char *hex, struct fspf_credential **ret,
				       struct fspf_error *err);
/* The file's first line without its newline; 1 to 1024 bytes. */
MUST_CHECK int fspf_credential_passphrase_file(const char *path, struct fspf_credential **ret,
					       struct fspf_error *err);
MUST_CHECK int fspf_credential_random(struct fspf_credential **ret, struct fspf_error *err);
/* A raw key as 64 hex digits; -EINVAL for a passphrase. */
MUST_CHECK int fspf_credential_hex(const struct fspf_credential *c,
				   char ret[static 2 * CRYPTO_KEY_SIZE + 1]);
struct fspf_credential *fspf_credential_free(struct fspf_credential *c);

/* ---- create, open, close
 * ---------------------------------------------------------------------------------- */

struct fspf_create_params {
	const char *path;
	const struct fspf_credential
		*credential;	    /* NULL: only with authenticated; a volume without any secret */
	struct fspf_anchor *anchor; /* taken over; NULL: none.  Receives the first tag */
	bool authenticated;	    /* the class of the root region; else encrypted */
	uint64_t size; /* limit on the segments' bytes, rounded down to whole segments; 0: none */
	uint32_t segment_blocks;		/* 0: default; a power of two */
	uint32_t argon2_ops, argon2_kib;	/* 0: default */
	uint32_t root_mode, root_uid, root_gid; /* of "/"; mode 0: 0755 */
};

/* A new volume, durable and published; a failure leaves nothing behind.  -EEXIST, -ENOTEMPTY, ...
 */
MUST_CHECK int fspf_create(const struct fspf_create_params *params, struct crypto_digest *ret_tag,
			   struct fspf_error *err);

/* Something that happened while nobody was waiting for it, e.g. damage found by a read. */
struct fspf_report {
	int code;	  /* negative errno */
	const char *text; /* one line, with the path of the file where there is one */
};
typedef void fspf_report_fn(void *ctx, const struct fspf_report *report); /* any thread */

struct fspf_open_params {
	const char *path;
	const struct fspf_credential
		*credential; /* NULL: authenticated regions alone, read-only (any, if keyless) */
	/* Instead of it: keys of single regions (fspf_region_key), which are open then beside the
	 * authenticated ones, read-only.  Where another region lies is a directory that nothing can
	 * be looked up in (-EACCES). */
	const struct fspf_credential *const *region_keys;
	size_t nregion_keys;	    /* at most FSPF_REGIONS_MAX */
	struct fspf_anchor *anchor; /* taken over, success or not; required */
	bool read_only;
	bool peek; /* read-only and without a lock: fspf_tag, fspf_regions, fspf_info and
		      fspf_snapshots	    alone may be used */
	/* Nothing is stored: every region is ephemeral, and the volume's files are only read.  An
	 * encrypted volume can be opened so without its key, as far as that is read-only too. */
	bool ephemeral;
	const char *scratch_dir; /* for ephemeral regions' changes; NULL: /var/tmp or another */
	bool authoring; /* by a tool that builds regions: what is ephemeral or in place when mounted
			   is written to the volume */
	const char *snapshot; /* this one's state instead of the volume's own, read-only; its tag is
				 fspf_tag() */
	bool restore; /* fspf_snapshot_restore() sets it: the snapshot's state becomes the volume's
		       */
	bool recover; /* accept a newer state that provably descends from the anchored one */
	bool stop_on_violation; /* at the first report of -EBADMSG: nothing is changed, committed
				   or published any more, from before it is told */
	uint64_t dirty_max;	/* bytes of dirty data; 0: 256 MiB */
	uint64_t node_cache;	/* bytes of clean nodes; 0: 64 MiB */
	uint32_t commit_interval_ms; /* 0: 5000; UINT32_MAX: never by time */
	fspf_report_fn *report;	     /* may be NULL */
	void *report_ctx;
	/* For tests: another store (taken over); path is then a name for messages only. */
	struct fspf_store *store;
};

MUST_CHECK int fspf_open(const struct fspf_open_params *params, struct fspf_volume **ret,
			 struct fspf_error *err);

/* Commit, store the space map, publish, free.  The volume is gone whatever the result; a negative
 * result says that the last changes may not have become durable.  @ret_tag (may be NULL) is the tag
 * it was left with. */
MUST_CHECK int fspf_close(struct fspf_volume *v, struct crypto_digest *ret_tag,
			  struct fspf_error *err);

/* Free without committing: what a killed process leaves behind.  For tests and for failed starts.
 */
void fspf_abandon(struct fspf_volume *v);

bool fspf_is_read_only(struct fspf_volume *v);

/* ---- attributes and names
 * ------------------------------------------------------------------------------------ */

struct fspf_attr {
	uint64_t ino;
	uint64_t generation;
	uint64_t size;
	uint64_t blocks; /* of 512 bytes */
	uint64_t rdev;	 /* as makedev(3) gives it */
	uint32_t mode;	 /* type and permissions */
	uint32_t nlink;
	uint32_t uid, gid;
	struct timespec atime, mtime, ctime, btime;
	bool foreign; /* somebody else may change it: believe it for a moment only */
};

enum fspf_attr_set {
	FSPF_SET_MODE = 1 << 0,
	FSPF_SET_UID = 1 << 1,
	FSPF_SET_GID = 1 << 2,
	FSPF_SET_SIZE = 1 << 3,
	FSPF_SET_ATIME = 1 << 4,
	FSPF_SET_MTIME = 1 << 5,
	FSPF_SET_CTIME = 1 << 6,
	FSPF_SET_ATIME_NOW = 1 << 7,
	FSPF_SET_MTIME_NOW = 1 << 8,
	FSPF_SET_KILL_PRIV =
		1 << 9, /* drop set-id bits and file capabilities, as a write by another does */
};

/* Who makes a new file.  umask is applied unless the parent has a default ACL. */
struct fspf_caller {
	uint32_t uid, gid, umask;
};

/*
 * lookup, create, symlink, tmpfile and link take one reference on the inode they give, and so does
 * readdir for each entry it is told to; fspf_forget() gives @n back.  An unlinked file lives as
 * long as it is referenced (and is removed at the next open of the volume if the process dies
 * first).  fspf_reference takes one more on an inode number from anywhere (a file handle): -ESTALE
 * when there is no such file.
 */
MUST_CHECK int fspf_lookup(struct fspf_volume *v, uint64_t parent, const char *name,
			   struct fspf_attr *ret);
MUST_CHECK int fspf_reference(struct fspf_volume *v, uint64_t ino, struct fspf_attr *ret);
void fspf_forget(struct fspf_volume *v, uint64_t ino, uint64_t n);

MUST_CHECK int fspf_getattr(struct fspf_volume *v, uint64_t ino, struct fspf_attr *ret);
MUST_CHECK int fspf_setattr(struct fspf_volume *v, uint64_t ino, uint32_t set,
			    const struct fspf_attr *attr, struct fspf_attr *ret);

/* Any kind of file but a symlink; the type is in @mode.  -EEXIST. */
MUST_CHECK int fspf_create_file(struct fspf_volume *v, uint64_t parent, const char *name,
				uint32_t mode, uint64_t rdev, const struct fspf_caller *caller,
				struct fspf_attr *ret);
MUST_CHECK int fspf_symlink(struct fspf_volume *v, uint64_t parent, const char *name,
			    const char *target, const struct fspf_caller *caller,
			    struct fspf_attr *ret);
/* A regular file without a name, in @parent's region; fspf_link can name it. */
MUST_CHECK int fspf_tmpfile(struct fspf_volume *v, uint64_t parent, uint32_t mode,
			    const struct fspf_caller *caller, struct fspf_attr *ret);
MUST_CHECK int fspf_link(struct fspf_volume *v, uint64_t ino, uint64_t parent, const char *name,
			 struct fspf_attr *ret);
MUST_CHECK int fspf_unlink(struct fspf_volume *v, uint64_t parent, const char *name);
MUST_CHECK int fspf_rmdir(struct fspf_volume *v, uint64_t parent, const char *name);
/* @flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT as renameat2(2). */
MUST_CHECK int fspf_rename(struct fspf_volume *v, uint64_t parent, const char *name,
			   uint64_t new_parent, const char *new_name, unsigned flags,
			   const struct fspf_caller *caller);
/* NUL-terminated into @size bytes; gives the length.  */
MUST_CHECK ssize_t fspf_readlink(struct fspf_volume *v, uint64_t ino, char *target, size_t size);

/* Is this a file of a region that is passed through?  Then the host may change it, and what is in
 * it, at any time, and -ESTALE says that another one is in its place. */
bool fspf_is_foreign(struct fspf_volume *v, uint64_t ino);
/* A descriptor of such a file on the host, a regular one, for reading or for both; it becomes the
 * caller's.  -EINVAL: another kind of file, or not foreign; -EISDIR; -EROFS. */
MUST_CHECK int fspf_foreign_open(struct fspf_volume *v, uint64_t ino, bool write, int *ret_fd);
/* Such a file that the host has changed has a new number at its next lookup, so that a cache of the
 * old one is left behind.  Not from now on: the caller's caches end with each opening anyway. */
void fspf_foreign_keep_numbers(struct fspf_volume *v);

/* May contents of this file be changed?  Of an open volume some regions may be read-only: those in
 * place that copy nothing up, and what is passed through where nothing is stored. */
bool fspf_is_writable(struct fspf_volume *v, uint64_t ino);
/* Is there such a region in a volume that is otherwise not read-only? */
bool fspf_is_partly_read_only(struct fspf_volume *v);

/* One entry; the cookie continues after it.  "." and ".." come first.  Return 1 to stop before it
 * (it comes again), 0 to go on, or a negative errno, which fspf_readdir returns. */
struct fspf_entry {
	const char *name;
	uint64_t ino;
	uint64_t cookie;	      /* below 2^63, stable for as long as the entry lives */
	uint8_t type;		      /* DT_* */
	const struct fspf_attr *attr; /* with_attr: else NULL, and NULL for "." and ".." */
};
typedef int fspf_entry_fn(void *ctx, const struct fspf_entry *entry);
/* @cookie 0 starts.  @with_attr: attributes too, and a reference on each entry for which the
 * callback returned 0 (but not on "." and ".."). */
MUST_CHECK int fspf_readdir(struct fspf_volume *v, uint64_t ino, uint64_t cookie, bool with_attr,
			    fspf_entry_fn *entry, void *ctx);

/* ---- contents
 * --------------------------------------------------------------------------------------------- */

/* Bytes got: fewer only at the end of the file. */
MUST_CHECK ssize_t fspf_read(struct fspf_volume *v, uint64_t ino, uint64_t offset, void *data,
			     size_t size);
/* Bytes taken, all or none.  Times are touched unless they are kept by whoever calls, as the
 * kernel does for what it had in its cache. */
enum fspf_write_flags {
	FSPF_WRITE_KILL_PRIV =
		1 << 0, /* drop set-id bits, as a write by another than the owner does */
	FSPF_WRITE_KEEP_TIMES = 1 << 1, /* the times are not this write's */
};
MUST_CHECK ssize_t fspf_write(struct fspf_volume *v, uint64_t ino, uint64_t offset,
			      const void *data, size_t size, unsigned flags);
/* @mode as fallocate(2): 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE[|KEEP_SIZE]; else
 * -EOPNOTSUPP. */
MUST_CHECK int fspf_fallocate(struct fspf_volume *v, uint64_t ino, int mode, uint64_t offset,
			      uint64_t size);
/* SEEK_DATA or SEEK_HOLE; -ENXIO at or beyond the end. */
MUST_CHECK int fspf_seek(struct fspf_volume *v, uint64_t ino, uint64_t offset, int whence,
			 uint64_t *ret_offset);
/* Bytes copied, fewer only at the source's end. */
MUST_CHECK ssize_t fspf_copy_range(struct fspf_volume *v, uint64_t from, uint64_t from_offset,
				   uint64_t to, uint64_t to_offset, size_t size);

/* The fs-verity digest of a regular file (SHA-256, blocks of 4 KiB, no salt), as `fsverity digest`
 * gives it: known of contents in place, else computed by reading all of it. */
MUST_CHECK int fspf_file_digest(struct fspf_volume *v, uint64_t ino, struct crypto_digest *ret);

/* ---- extended attributes: any name space; system.posix_acl_* keep the mode in step
 * ------------------------- */

/* @size 0 asks for the length.  -ENODATA, -ERANGE. */
MUST_CHECK ssize_t fspf_getxattr(struct fspf_volume *v, uint64_t ino, const char *name, void *value,
				 size_t size);
MUST_CHECK ssize_t fspf_listxattr(struct fspf_volume *v, uint64_t ino, char *list, size_t size);
/* @flags: XATTR_CREATE, XATTR_REPLACE.  @kill_sgid: the kernel asks to drop S_ISGID with an access
 * ACL. */
MUST_CHECK int fspf_setxattr(struct fspf_volume *v, uint64_t ino, const char *name,
			     const void *value, size_t size, int flags, bool kill_sgid);
MUST_CHECK int fspf_removexattr(struct fspf_volume *v, uint64_t ino, const char *name);

/* ---- durability and state
 * ----------------------------------------------------------------------------------- */

/* Everything that had happened to this file, and before it to anything, is durable and published.
 * On the volume's top directory it is fspf_sync(): everything that happened at all. */
MUST_CHECK int fspf_fsync(struct fspf_volume *v, uint64_t ino);
MUST_CHECK int fspf_sync(struct fspf_volume *v);

struct fspf_statfs {
	uint64_t blocks, blocks_free, blocks_available; /* of FSPF_BLOCK_SIZE bytes */
	uint64_t files, files_free;
};
MUST_CHECK int fspf_statfs(struct fspf_volume *v, struct fspf_statfs *ret);

/* The tag of the last published state. */
void fspf_tag(struct fspf_volume *v, struct crypto_digest *ret);

/* ---- regions
 * ------------------------------------------------------------------------------------------------
 */

struct fspf_region_info {
	char prefix[FSPF_PREFIX_MAX + 1];
	enum fspf_protection protection;
	char host[FSPF_HOST_MAX + 1]; /* kernel regions: the directory or file; else "" */
	bool ephemeral; /* in an open volume: changes to it are stored nowhere, whatever the reason
			 */
	bool copy_up;
	bool rotating; /* what it holds is being sealed again under a new key */
	bool locked;   /* encrypted, and its key was not given: nothing but that is known of it */
	uint16_t id;
	struct crypto_digest
		tag;	 /* of the last published state; zero for a region without any node */
	uint64_t files;	 /* inodes */
	uint64_t blocks; /* data blocks of FSPF_BLOCK_SIZE that its files have */
};

/* The regions in order of their ids; *ret_count of them, at most FSPF_REGIONS_MAX. */
void fspf_regions(struct fspf_volume *v, struct fspf_region_info ret[static FSPF_REGIONS_MAX],
		  size_t *ret_count);

/* The region of a file.  -ESTALE: there is none with that number; -ENODATA: a directory on the way
 * to a region, where one is locked. */
MUST_CHECK int fspf_region_of_file(struct fspf_volume *v, uint64_t ino,
				   struct fspf_region_info *ret);

/*
 * A new empty region, committed and published.  Its class is its protection and where it is kept:
 *
 *              stored                      ephemeral
 * encrypted    in the volume               committed state, changes in scratch space
 * authent.     in the volume, or in place  the same
 *              (host: contents there)
 * unprotected  host: all of it             empty at first
 *
 * The directories down to it are made in the regions around it.  -EEXIST: there is a region
 * already; -ENOTDIR: something else than a directory is in the way; -ENOTEMPTY: the directory there
 * holds files, which would be hidden; -ENOKEY: encrypted, in a volume without a key; -EPERM: the
 * volume's policy does not allow it; -EINVAL: there is no such class, or the region around it is
 * ephemeral and this one is not.
 */
struct fspf_region_params {
	const char *prefix; /* absolute; normalised: no "//", ".", "..", trailing slash */
	enum fspf_protection protection;
	const char *host; /* an absolute path; NULL: kept in the volume */
	bool ephemeral;
	bool copy_up; /* in place: writing copies a file into the volume; else it is refused */
};
MUST_CHECK int fspf_region_add(struct fspf_volume *v, const struct fspf_region_params *params,
			       struct fspf_error *err);

/* What the volume demands (enum fspf_policy), from now on; committed and published.  -EPERM: a
 * region does not meet it. */
MUST_CHECK int fspf_policy_set(struct fspf_volume *v, uint32_t policy, struct fspf_error *err);
/* The key of the encrypted region at @prefix, to be given to somebody who shall read that region
 * alone; @v is open (or peeked at) with the volume's key.  -ENOENT; -EINVAL: it is not encrypted;
 * -EAGAIN: it is being rotated. */
MUST_CHECK int fspf_region_key(struct fspf_volume *v, const char *prefix,
			       struct fspf_credential **ret, struct fspf_error *err);
/* ---- snapshots
 * ----------------------------------------------------------------------------------------------
 */

struct fspf_snapshot_info {
	char name[FSPF_SNAPSHOT_NAME_MAX + 1];
	struct timespec time;	  /* at which it was made */
	uint64_t generation;	  /* of the state that it keeps */
	struct crypto_digest tag; /* of that state */
};

/* In the order in which they were made.  -ENOKEY: the volume's key was not given. */
MUST_CHECK int fspf_snapshots(struct fspf_volume *v,
			      struct fspf_snapshot_info ret[static FSPF_SNAPSHOTS_MAX],
			      size_t *ret_count);

/*
 * Keep the state of this instant under @name, 1 to 255 bytes without '/' and control characters;
 * @ret_tag (may be NULL) is its tag, with which the volume is published in passing.  Operations go
 * on meanwhile; it costs two commits.  -EEXIST; -EINVAL, the name; -ENOSPC: no space, or the
 * volume has as many snapshots as it can.
 */
MUST_CHECK int fspf_snapshot_create(struct fspf_volume *v, const char *name,
				    struct crypto_digest *ret_tag, struct fspf_error *err);

/*
 * Give up a snapshot, and the blocks that nobody else reaches, which are free with the commit
 * after it.  All trees are read for that; operations go on meanwhile, but those that wait for
 * durability wait for it too.  -ENOENT; -EBADMSG: the volume itself is damaged.
 */
MUST_CHECK int fspf_snapshot_delete(struct fspf_volume *v, const char *name,
				    struct fspf_error *err);

/*
 * Open the volume as @params say (their anchor is taken over), make the state of snapshot @name its
 * state, publish that under a new tag, and close it.  The state before is gone, unless it is
 * another snapshot's; the snapshots stay.  Regions that were added since disappear: @ret_gone.
 * Nobody else can have the volume open: -EBUSY.  -ENOENT; -EPERM: the volume's policy.  A failure
 * leaves the volume as it was.
 */
MUST_CHECK int fspf_snapshot_restore(const struct fspf_open_params *params, const char *name,
				     struct fspf_region_info ret_gone[static FSPF_REGIONS_MAX],
				     size_t *ret_ngone, struct crypto_digest *ret_tag,
				     struct fspf_error *err);

/* A path from the root of the volume, through regions; symlinks are not followed.  Takes a
 * reference. */
MUST_CHECK int fspf_resolve(struct fspf_volume *v, const char *path, struct fspf_attr *ret);

/* The path of an inode for messages: one of its names, or "inode 12" when there is none. */
void fspf_path_of(struct fspf_volume *v, uint64_t ino, char *path, size_t size);

/* ---- facts for `fspf show`
 * ---------------------------------------------------------------------------------- */

struct fspf_info {
	uint8_t volume_id[16];
	uint32_t version;
	uint64_t generation;
	uint32_t segment_blocks;
	uint64_t size_limit; /* bytes, 0 none */
	uint32_t sessions;
	uint64_t bytes_used;
	bool keyed;
	bool opened;	 /* all of it is known: it has no key, or that was given */
	bool clean;	 /* was closed: the space map is stored */
	uint32_t policy; /* enum fspf_policy */
	struct crypto_digest tag, previous_tag;
	struct crypto_keyslot_info slots[FSPF_KEYSLOTS];
};
void fspf_info(struct fspf_volume *v, struct fspf_info *ret);

/* Counters since open, for the daemon's status and for benchmarks. */
struct fspf_counters {
	uint64_t commits, blocks_sealed, blocks_opened, dirty_bytes, violations;
	uint64_t generation;		    /* of the last published state */
	struct timespec committed;	    /* when that was; zero: before this open */
	uint64_t cache_bytes, cache_misses; /* clean nodes in memory; nodes that had to be read */
	uint64_t cache_hits, cache_max;	    /* found there; the most bytes it may hold */
};
void fspf_counters(struct fspf_volume *v, struct fspf_counters *ret);

/* ---- key slots: changed in place in the public header; no data is rewritten, the tag stays
 * ---------------- */

/* Add @fresh, authorised by @credential, to the volume at @path; gives the slot's number.  -ENOSPC:
 * no empty slot. */
MUST_CHECK int fspf_key_add(const char *path, const struct fspf_credential *credential,
			    const struct fspf_credential *fresh, uint32_t *ret_slot,
			    struct fspf_error *err);
/* Overwrite a slot with zeroes.  -ENOENT: it is empty; -EPERM: it is the last one. @credential must
 * open some other slot. */
MUST_CHECK int fspf_key_remove(const char *path, const struct fspf_credential *credential,
			       uint32_t slot, struct fspf_error *err);
/* No credential needed. */
MUST_CHECK int fspf_key_list(const char *path, struct crypto_keyslot_info ret[static FSPF_KEYSLOTS],
			     struct fspf_error *err);

/* ---- whole trees: progress is told now and then; returning non-zero stops with -ECANCELED
 * ------------------- */

struct fspf_progress {
	uint64_t files_done, bytes_done;
	uint64_t bytes_total; /* 0: not known */
	const char *path;     /* what is being worked on */
};
typedef int fspf_progress_fn(void *ctx, const struct fspf_progress *progress);

/* What differs from before, by its path in the volume.  @kind: '+' it is new, '-' it is gone, 'M'
 * its contents are others, 'm' only its attributes are. */
typedef void fspf_change_fn(void *ctx, char kind, const char *path);

struct fspf_transfer {
	fspf_progress_fn *progress; /* may be NULL */
	void *ctx;
	fspf_report_fn *report; /* a file that could not be taken or given whole: told, and the work
				   goes on; may be NULL */
	/* Of imports: make what is there equal to the source.  What is gone from it is removed,
	 * what is as it was is left alone, and each difference is told. */
	bool update;
	fspf_change_fn *change; /* may be NULL */
};

/* Bring the host tree (or file) @source in below @path, which is made if need be; owners, modes,
 * times, links, xattrs, holes.  Existing files of the same name are replaced.  The first error is
 * returned after everything that could be done was done.  Into a region in place, of a volume that
 * is open for authoring, contents do not come: their hashes do, and the path of each file within
 * the region is recorded as its path below the region's directory on the host. */
MUST_CHECK int fspf_import(struct fspf_volume *v, const char *path, const char *source,
			   const struct fspf_transfer *transfer, struct fspf_error *err);
/* The file or tree at @path to @destination on the host, which must not exist (or be an empty
 * directory). A damaged file is not written at all and reported; the rest is. */
MUST_CHECK int fspf_export(struct fspf_volume *v, const char *path, const char *destination,
			   const struct fspf_transfer *transfer, struct fspf_error *err);

/*
 * New keys for the encrypted regions (or for the one at @prefix, if not NULL): what they hold is
 * sealed again, beside whatever else is done with the volume.  The new keys are published at the
 * beginning; the old ones are gone when it returns 0.  Until then the volume has both and is like
 * any other, and after a failure or a crash the next call goes on: it first ends what was begun,
 * and then takes the regions that had no part in it.  -EPERM: there are snapshots; -EINVAL: the
 * region is not encrypted; -EBUSY: under way in this process already; -EBADMSG: something is
 * damaged.
 */
MUST_CHECK int fspf_rotate(struct fspf_volume *v, const char *prefix,
			   const struct fspf_transfer *transfer, struct fspf_error *err);

struct fspf_verify_result {
	uint64_t nodes, files, blocks; /* checked */
	uint64_t damaged_nodes, damaged_files, damaged_blocks;
};
/* Read and check every node and block of the open volume (or of region @prefix, if not NULL); each
 * damaged file is reported once, by path.  0 when all is whole, -EBADMSG when something is not. */
MUST_CHECK int fspf_verify(struct fspf_volume *v, const char *prefix,
			   const struct fspf_transfer *transfer, struct fspf_verify_result *ret,
			   struct fspf_error *err);

#endif
