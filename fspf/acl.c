/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ACL is kept and changed in the form in which the kernel passes it (linux/posix_acl_xattr.h): a
 * 32-bit version, then entries of tag (16), permissions (16) and id (32), little-endian.  What it
 * means is from POSIX.1e draft 17 (section 23) and acl(5): three entries stand for the three
 * classes of the mode, the mask standing for the group class where there is one, and these entries
 * and the permission bits of the mode are always the same.
 *
 * Everything here follows from that: an access ACL gives the mode its bits, chmod gives the ACL
 * its, and a file that inherits gets in each class what both the default ACL and the mode asked for
 * allow.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fspf/xattr.h"

#define VERSION 2u
#define HEADER 4u  /* bytes */
#define ENTRY 8u   /* bytes */
#define TRIVIAL 3u /* entries: owner, group, other */
#define PERMS 7u

enum tag {
	OWNER = 0x01,
	USER = 0x02,
	OWNING_GROUP = 0x04,
	GROUP = 0x08,
	MASK = 0x10,
	OTHER = 0x20,
};

/* Where the classes have their bits in the mode. */
static const unsigned class_shift[] = {6, 3, 0};

static uint32_t tag_of(const uint8_t *acl, size_t i)
{
	return get_le16(acl + HEADER + i * ENTRY);
}

static uint32_t perms_of(const uint8_t *acl, size_t i)
{
	return get_le16(acl + HEADER + i * ENTRY + 2);
}

static void set_perms(uint8_t *acl, size_t i, uint32_t perms)
{
	put_le16(acl + HEADER + i * ENTRY + 2, (uint16_t)(perms & PERMS));
}

static uint32_t id_of(const uint8_t *acl, size_t i)
{
	return get_le32(acl + HEADER + i * ENTRY + 4);
}

/* Skip the entries of @tag from *i on: how many. */
static size_t skip(const uint8_t *acl, size_t n, enum tag tag, size_t *i)
{
	size_t from = *i;

	while (*i < n && tag_of(acl, *i) == tag)
		(*i)++;
	return *i - from;
}

/* The ids of entries from..to-1 are ids, and each is there once.  Ascending ones, as all tools
 * write them, cost one pass. */
static bool ids_are_valid(const uint8_t *acl, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		uint32_t id = id_of(acl, i);

		if (id == UINT32_MAX)
			return false;
		if (i > from && id > id_of(acl, i - 1))
			continue;
		for (size_t k = from; k < to; k++)
			if (k != i && id_of(acl, k) == id)
				return false;
	}
	return true;
}

/* Owner, users, owning group, groups, mask, other: in this order, and a mask if anybody is named.
 */
static bool entries_are_valid(const uint8_t *acl, size_t n)
{
	size_t i = 0, users, groups, masks, first_user, first_group;
	bool ok = skip(acl, n, OWNER, &i) == 1;

	first_user = i;
	users = skip(acl, n, USER, &i);
	ok = ok && skip(acl, n, OWNING_GROUP, &i) == 1;
	first_group = i;
	groups = skip(acl, n, GROUP, &i);
	masks = skip(acl, n, MASK, &i);
	ok = ok && skip(acl, n, OTHER, &i) == 1 && i == n && masks <= 1;
	ok = ok && (masks == 1 || users + groups == 0);
	for (size_t k = 0; k < n && ok; k++)
		ok = perms_of(acl, k) <= PERMS;
	return ok && ids_are_valid(acl, first_user, first_user + users) &&
	       ids_are_valid(acl, first_group, first_group + groups);
}

/* The number of entries of an ACL from outside; 0: there is none in it, which means "no ACL". */
static int check(const uint8_t *acl, size_t len, size_t *ret_n)
{
	size_t n;

	if (len == 0) {
		*ret_n = 0;
		return 0;
	}
	if (len < HEADER)
		return -EINVAL;
	if (get_le32(acl) != VERSION)
		return -EOPNOTSUPP;
	if ((len - HEADER) % ENTRY)
		return -EINVAL;
	n = (len - HEADER) / ENTRY;
	if (n && !entries_are_valid(acl, n))
		return -EINVAL;
	*ret_n = n;
	return 0;
}

/* The entry that stands for the class at @shift; a valid ACL has it. */
static size_t class_entry(const uint8_t *acl, size_t n, unsigned shift)
{
	uint32_t tag = shift == 6 ? OWNER : shift == 3 ? OWNING_GROUP : OTHER;
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		if (tag_of(acl, i) == tag || (shift == 3 && tag_of(acl, i) == MASK))
			found = i; /* the mask comes behind the owning group */
	return found;
}

static uint32_t with_class(uint32_t mode, unsigned shift, uint32_t perms)
{
	return (mode & ~(PERMS << shift)) | perms << shift;
}

int fspf_acl_to_mode(const void *acl, size_t len, uint32_t *mode, bool *ret_trivial)
{
	uint32_t m = *mode;
	size_t n;
	int r = check(acl, len, &n);

	if (r)
		return r;
	for (size_t c = 0; c < ARRAY_LEN(class_shift) && n; c++)
		m = with_class(m, class_shift[c],
			       perms_of(acl, class_entry(acl, n, class_shift[c])));
	*mode = m;
	*ret_trivial = n <= TRIVIAL;
	return 0;
}

/* One that we stored, so it was valid then.  -ENODATA. */
static int load(struct fspf_inode *inode, const char *name, uint8_t **ret, size_t *ret_len,
		size_t *ret_n)
{
	uint8_t *acl;
	size_t len, n = 0;
	int r = fspf_xattr_load(inode, name, &acl, &len);

	if (r)
		return r;
	if (check(acl, len, &n) || n == 0) {
		free(acl);
		return -EBADMSG;
	}
	*ret = acl;
	*ret_len = len;
	*ret_n = n;
	return 0;
}

int fspf_acl_chmod(struct fspf_volume *v, struct fspf_inode *inode)
{
	uint8_t *acl;
	size_t len, n;
	int r;

	if (inode->type == S_IFLNK)
		return 0;
	r = load(inode, FSPF_XATTR_ACL_ACCESS, &acl, &len, &n);
	if (r)
		return r == -ENODATA ? 0 : r;
	for (size_t c = 0; c < ARRAY_LEN(class_shift); c++)
		set_perms(acl, class_entry(acl, n, class_shift[c]),
			  inode->a.mode >> class_shift[c]);
	r = fspf_xattr_store(v, inode, FSPF_XATTR_ACL_ACCESS, acl, len);
	free(acl);
	return r;
}

/* In each class, what both the ACL and the mode allow, in both. */
static void restrict_both(uint8_t *acl, size_t n, uint32_t *mode)
{
	for (size_t c = 0; c < ARRAY_LEN(class_shift); c++) {
		size_t i = class_entry(acl, n, class_shift[c]);
		uint32_t perms = perms_of(acl, i) & *mode >> class_shift[c] & PERMS;

		set_perms(acl, i, perms);
		*mode = with_class(*mode, class_shift[c], perms);
	}
}

int fspf_acl_inherit(struct fspf_volume *v, struct fspf_inode *parent, struct fspf_inode *inode,
		     uint32_t umask)
{
	uint32_t mode = inode->a.mode;
	uint8_t *acl = NULL;
	size_t len, n;
	int r;

	if (inode->type == S_IFLNK)
		return 0;
	r = load(parent, FSPF_XATTR_ACL_DEFAULT, &acl, &len, &n);
	if (r == -ENODATA) {
		inode->a.mode &= ~(umask & 0777);
		return 0;
	}
	if (r)
		return r;
	if (inode->type == S_IFDIR)
		r = fspf_xattr_store(v, inode, FSPF_XATTR_ACL_DEFAULT, acl, len);
	restrict_both(acl, n, &mode);
	if (r == 0 && n > TRIVIAL)
		r = fspf_xattr_store(v, inode, FSPF_XATTR_ACL_ACCESS, acl, len);
	if (r == 0)
		inode->a.mode = mode;
	free(acl);
	return r;
}
