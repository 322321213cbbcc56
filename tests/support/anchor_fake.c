/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/anchor_fake.c - see the header */
#include "tests/support/anchor_fake.h"

#include <errno.h>
#include <stdlib.h>

struct handle {
	struct fspf_anchor anchor;
	struct anchor_fake *a;
};

static struct anchor_fake *fake_of(struct fspf_anchor *anchor)
{
	return ((struct handle *)anchor)->a;
}

static int fake_load(struct fspf_anchor *anchor, struct crypto_digest *ret, bool *ret_any)
{
	const struct anchor_fake *a = fake_of(anchor);

	*ret = a->tag;
	*ret_any = a->any;
	return 0;
}

static void set(struct anchor_fake *a, const struct crypto_digest *tag)
{
	if (a->hook)
		a->hook(a->ctx, false, tag);
	a->tag = *tag;
	a->any = true;
	if (a->hook)
		a->hook(a->ctx, true, tag);
}

static int fake_publish(struct fspf_anchor *anchor, const struct crypto_digest *expected,
			const struct crypto_digest *tag)
{
	struct anchor_fake *a = fake_of(anchor);

	a->publishes++;
	if (a->fail_at && --a->fail_at == 0) {
		if (a->fail_late)
			set(a, tag);
		return a->fail_error;
	}
	if (a->any != !!expected || (expected && !crypto_digest_equal(expected, &a->tag)))
		return -ESTALE;
	set(a, tag);
	return 0;
}

static void fake_free(struct fspf_anchor *anchor)
{
	free(anchor);
}

static const struct fspf_anchor_ops fake_ops = {
	.name = "fake",
	.load = fake_load,
	.publish = fake_publish,
	.free = fake_free,
};

struct fspf_anchor *anchor_fake_open(struct anchor_fake *a)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h)
		abort();
	h->anchor.ops = &fake_ops;
	h->a = a;
	return &h->anchor;
}
