/* SPDX-License-Identifier: Apache-2.0 */
#include "fspf/home.h"

int fspf_home_alloc(struct fspf_home *home, uint32_t want, uint32_t least, bool promised,
		    uint64_t *ret_block, uint32_t *ret_count)
{
	int r = fspf_space_alloc(home->space, want, least, promised, ret_block, ret_count);

	if (r == 0)
		*ret_block += home->base;
	return r;
}

void fspf_home_release(struct fspf_home *home, uint64_t block, uint64_t count, uint64_t birth)
{
	if (block >= home->base)
		fspf_space_release(home->space, block - home->base, count, birth);
}

void fspf_home_unalloc(struct fspf_home *home, uint64_t block, uint64_t count)
{
	fspf_space_unalloc(home->space, block - home->base, count);
}

void fspf_home_unalloc_promised(struct fspf_home *home, uint64_t block, uint64_t count)
{
	fspf_space_unalloc_promised(home->space, block - home->base, count);
}
