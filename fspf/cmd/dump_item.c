/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/dump_item.c - pointers and items of the trees
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fspf/cmd/dump.h"
#include "fspf/cmd/json.h"

json_t *dump_pointer_json(const struct merkle_ptr *ptr, enum crypto_class class)
{
	json_t *json = json_object();

	if (merkle_ptr_is_null(ptr)) {
		json_decref(json);
		return json_null();
	}
	json_object_set_new(json, "addr", json_number(ptr->addr));
	json_object_set_new(json, "level", json_number(ptr->level));
	json_object_set_new(json, "birth", json_number(ptr->birth));
	if (class == CRYPTO_CLASS_ENCRYPTED) {
		json_object_set_new(json, "session", json_number(ptr->seal.session));
		json_object_set_new(json, "counter", json_number(ptr->seal.counter));
	}
	json_object_set_new(json, "seal", json_hex(ptr->seal.tag, fspf_tag_size(class)));
	return json;
}

static void set_time(json_t *json, const char *name, const struct timespec *t)
{
	char text[64];

	snprintf(text, sizeof(text), "%lld.%09ld", (long long)t->tv_sec, t->tv_nsec);
	json_object_set_new(json, name, json_string(text));
}

static void inode_json(json_t *json, const void *value, size_t len)
{
	struct fspf_inode_item i;
	char mode[16];

	if (fspf_inode_decode(value, len, &i)) {
		json_object_set_new(json, "error", json_string("malformed"));
		return;
	}
	snprintf(mode, sizeof(mode), "%07o", i.mode);
	json_object_set_new(json, "mode", json_string(mode));
	json_object_set_new(json, "nlink", json_number(i.nlink));
	json_object_set_new(json, "uid", json_number(i.uid));
	json_object_set_new(json, "gid", json_number(i.gid));
	json_object_set_new(json, "size", json_number(i.size));
	json_object_set_new(json, "blocks", json_number(i.blocks));
	json_object_set_new(json, "unwritten_blocks", json_number(i.unwritten));
	if (S_ISCHR(i.mode) || S_ISBLK(i.mode))
		json_object_set_new(json, "rdev", json_number(i.rdev));
	if (S_ISDIR(i.mode)) {
		json_object_set_new(json, "entries", json_number(i.entries));
		json_object_set_new(json, "covered", json_boolean(i.covered));
	}
	json_object_set_new(json, "generation", json_number(i.generation));
	json_object_set_new(json, "parent", json_number(i.parent));
	json_object_set_new(json, "inlined", json_boolean(i.inlined));
	json_object_set_new(json, "in_place", json_boolean(i.in_place));
	set_time(json, "atime", &i.atime);
	set_time(json, "mtime", &i.mtime);
	set_time(json, "ctime", &i.ctime);
	set_time(json, "btime", &i.btime);
}

static const char *dirent_kind(uint8_t type)
{
	static const char *const names[] = {
		[DT_FIFO] = "fifo",	[DT_CHR] = "character device",
		[DT_DIR] = "directory", [DT_BLK] = "block device",
		[DT_REG] = "file",	[DT_LNK] = "symlink",
		[DT_SOCK] = "socket",
	};

	return type < ARRAY_LEN(names) && names[type] ? names[type] : "unknown";
}

static void dirent_json(json_t *json, const void *value, size_t len)
{
	struct fspf_dirent_item d;

	if (fspf_dirent_decode(value, len, &d)) {
		json_object_set_new(json, "error", json_string("malformed"));
	} else {
		json_object_set_new(json, "name", json_name(d.name));
		json_object_set_new(json, "kind", json_string(dirent_kind(d.type)));
		json_object_set_new(json, "target", json_number(d.object));
	}
}

static void extent_json(json_t *json, enum crypto_class class, const struct merkle_key *key,
			const void *value, size_t len)
{
	struct fspf_extent e;

	if (fspf_extent_decode(key, value, len, class, &e)) {
		json_object_set_new(json, "error", json_string("malformed"));
		return;
	}
	json_object_set_new(json, "first_block", json_number(e.first));
	json_object_set_new(json, "blocks", json_number(e.count));
	if (e.addr) {
		json_object_set_new(json, "addr", json_number(e.addr));
		json_object_set_new(json, "birth", json_number(e.birth));
	} else {
		json_object_set_new(json, "unwritten", json_true());
	}
	if (e.addr && class == CRYPTO_CLASS_ENCRYPTED) {
		json_object_set_new(json, "session", json_number(e.session));
		json_object_set_new(json, "counter", json_number(e.counter));
	}
}

static void in_place_json(json_t *json, const void *value, size_t len)
{
	struct fspf_in_place_item i;

	if (fspf_in_place_decode(value, len, &i)) {
		json_object_set_new(json, "error", json_string("malformed"));
	} else {
		json_object_set_new(json, "digest", json_hex(i.digest.b, sizeof(i.digest.b)));
		json_object_set_new(json, "host_path", json_name(i.path));
	}
}

static void verity_json(json_t *json, const struct merkle_key *key, const void *value, size_t len)
{
	struct fspf_verity_item i;

	if (fspf_verity_decode(key, value, len, &i)) {
		json_object_set_new(json, "error", json_string("malformed"));
	} else {
		json_object_set_new(json, "first_block", json_number(i.first));
		json_object_set_new(json, "blocks", json_number(i.count));
	}
}

/* A first piece begins with the length of the name, and the name; it has number 0. */
static void xattr_json(json_t *json, const struct merkle_key *key, const void *value, size_t len)
{
	const uint8_t *p = value;
	char name[FSPF_XATTR_NAME_MAX + 1];

	if ((key->offset & 0xff) == 0 && len > 1 && p[0] && len > p[0]) {
		memcpy(name, p + 1, p[0]);
		name[p[0]] = '\0';
		json_object_set_new(json, "name", json_name(name));
	}
	json_object_set_new(json, "bytes", json_number(len));
}

static const char *item_kind(uint8_t type)
{
	static const char *const names[] = {
		[FSPF_ITEM_INODE] = "inode",	   [FSPF_ITEM_INLINE] = "inline",
		[FSPF_ITEM_XATTR] = "xattr",	   [FSPF_ITEM_DIRENT] = "dirent",
		[FSPF_ITEM_EXTENT] = "extent",	   [FSPF_ITEM_ORPHAN] = "orphan",
		[FSPF_ITEM_IN_PLACE] = "in place", [FSPF_ITEM_VERITY] = "verity",
	};

	return type < ARRAY_LEN(names) && names[type] ? names[type] : "unknown";
}

json_t *dump_item_json(const struct fspf_region_record *region, const struct merkle_key *key,
		       const void *value, size_t len)
{
	json_t *json = json_object();

	json_object_set_new(json, "object", json_number(key->object));
	json_object_set_new(json, "type", json_string(item_kind(key->type)));
	json_object_set_new(json, "offset", json_number(key->offset));
	switch (key->type) {
	case FSPF_ITEM_INODE:
		inode_json(json, value, len);
		break;
	case FSPF_ITEM_XATTR:
		xattr_json(json, key, value, len);
		break;
	case FSPF_ITEM_DIRENT:
		dirent_json(json, value, len);
		break;
	case FSPF_ITEM_EXTENT:
		extent_json(json, fspf_class(region->protection), key, value, len);
		break;
	case FSPF_ITEM_IN_PLACE:
		in_place_json(json, value, len);
		break;
	case FSPF_ITEM_VERITY:
		verity_json(json, key, value, len);
		break;
	default:
		json_object_set_new(json, "bytes", json_number(len));
		break;
	}
	return json;
}
