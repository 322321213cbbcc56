/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy: a few bits in the root record, which the tag covers, that every mount obeys.
 */
#include <errno.h>

#include "fspf/error.h"
#include "fspf/volume.h"

int fspf_policy_check(struct fspf_volume *v, uint32_t policy, struct fspf_error *err)
{
	if (!(policy & FSPF_POLICY_REQUIRE_PROTECTED))
		return 0;
	for (size_t i = 0; i < atomic_load(&v->nregions); i++)
		if (v->regions[i]->protection == FSPF_NOT_PROTECTED)
			return fspf_fail(err, -EPERM, NULL,
					 "the region %s is not protected, and the volume's policy "
					 "demands that every region is",
					 v->regions[i]->prefix);
	return 0;
}

int fspf_policy_set(struct fspf_volume *v, uint32_t policy, struct fspf_error *err)
{
	int r = v->read_only || v->ephemeral ? -EROFS : 0;

	if (r)
		return fspf_fail(err, r, NULL, "the volume is open read-only");
	if (policy & ~(uint32_t)FSPF_POLICY_ALL)
		return fspf_fail(err, -EINVAL, NULL, "there is no such policy");
	r = fspf_policy_check(v, policy, err);
	if (r)
		return r;
	if (atomic_exchange(&v->policy, policy) == policy)
		return 0;
	fspf_record_changed(v);
	r = fspf_sync(v);
	return r ? fspf_fail(err, r, NULL, "the policy could not be stored: %s", strerror(-r)) : 0;
}
