/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/anchor.c - the anchors that live in memory: none and pinned
 *
 * None compares with nothing and remembers nothing: asking for it by name is the only way to have a
 * volume without freshness.  Pinned starts from the tag that its user gave, and from then on
 * compares and sets like any other, so that a commit that did not start from the last one is caught
 * here too.
 */
#include "fspf/anchor.h"

#include <errno.h>
#include <stdlib.h>

struct anchor_pinned {
	struct fspf_anchor anchor;
	struct crypto_digest tag;
	bool any;
};

static int none_load(struct fspf_anchor *a, struct crypto_digest *ret, bool *ret_any)
{
	(void)a;
	memset(ret, 0, sizeof(*ret));
	*ret_any = false;
	return 0;
}

static int none_publish(struct fspf_anchor *a, const struct crypto_digest *expected,
			const struct crypto_digest *tag)
{
	(void)a;
	(void)expected;
	(void)tag;
	return 0;
}

static void none_free(struct fspf_anchor *a)
{
	free(a);
}

static const struct fspf_anchor_ops none_ops = {
	.name = "none",
	.load = none_load,
	.publish = none_publish,
	.free = none_free,
};

int fspf_anchor_none(struct fspf_anchor **ret)
{
	struct fspf_anchor *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->ops = &none_ops;
	*ret = a;
	return 0;
}

static struct anchor_pinned *pinned_of(struct fspf_anchor *a)
{
	return (struct anchor_pinned *)a;
}

static int pinned_load(struct fspf_anchor *a, struct crypto_digest *ret, bool *ret_any)
{
	*ret = pinned_of(a)->tag;
	*ret_any = pinned_of(a)->any;
	return 0;
}

static int pinned_publish(struct fspf_anchor *a, const struct crypto_digest *expected,
			  const struct crypto_digest *tag)
{
	struct anchor_pinned *p = pinned_of(a);

	if (p->any != !!expected || (expected && !crypto_digest_equal(expected, &p->tag)))
		return -ESTALE;
	p->tag = *tag;
	p->any = true;
	return 0;
}

static void pinned_free(struct fspf_anchor *a)
{
	free(pinned_of(a));
}

static const struct fspf_anchor_ops pinned_ops = {
	.name = "pinned",
	.load = pinned_load,
	.publish = pinned_publish,
	.free = pinned_free,
};

int fspf_anchor_pinned(const struct crypto_digest *tag, struct fspf_anchor **ret)
{
	struct anchor_pinned *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->anchor.ops = &pinned_ops;
	if (tag) {
		p->tag = *tag;
		p->any = true;
	}
	*ret = &p->anchor;
	return 0;
}
