/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/noexec.h - inside libfspf: the policy that nothing unprotected is executed
 *
 * Under FSPF_POLICY_EXEC_PROTECTED, regular files of regions that are not protected are shown
 * without execute bits, in modes and in ACLs, whatever is stored; then execve(2) fails with EACCES
 * for everybody.  What maps a file executable asks no mode: that is up to how regions are mounted.
 * A tool that builds regions sees what is stored.  Any thread; no locks are taken but an inode's.
 */
#ifndef FSPF_FSPF_NOEXEC_H
#define FSPF_FSPF_NOEXEC_H

#include "fspf/volume.h"

bool fspf_noexec_applies(struct fspf_volume *v);

/* Take from @attr, of a call that gave @result, what is not shown; gives @result. */
MUST_CHECK int fspf_noexec_attr(struct fspf_volume *v, int result, struct fspf_attr *attr);

/* The same of an access ACL's @len bytes, if the attribute @name is one. */
void fspf_noexec_acl(struct fspf_volume *v, uint64_t ino, const char *name, void *value,
		     size_t len);

/* A fspf_entry_fn, with a struct fspf_noexec_listing, before the one that is told. */
struct fspf_noexec_listing {
	struct fspf_volume *v;
	fspf_entry_fn *entry;
	void *ctx;
};
MUST_CHECK int fspf_noexec_entry(void *listing, const struct fspf_entry *entry);

#endif
