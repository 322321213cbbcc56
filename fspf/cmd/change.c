/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/change.c - a volume open for change by a command
 */
#include <stdlib.h>

#include "fspf/cmd/change.h"

/* An anchor that passes everything on to another and remembers what that has accepted. */
struct watch {
	struct fspf_anchor base;
	struct fspf_anchor_ops ops;
	struct fspf_anchor *inner; /* owned */
	struct change *change;
};

static int watch_load(struct fspf_anchor *a, struct crypto_digest *ret, bool *ret_any)
{
	struct watch *w = (struct watch *)a;

	return w->inner->ops->load(w->inner, ret, ret_any);
}

static int watch_publish(struct fspf_anchor *a, const struct crypto_digest *expected,
			 const struct crypto_digest *tag)
{
	struct watch *w = (struct watch *)a;
	int r = w->inner->ops->publish(w->inner, expected, tag);

	if (!r) {
		w->change->tag = *tag;
		w->change->published = true;
	}
	return r;
}

static void watch_free(struct fspf_anchor *a)
{
	struct watch *w = (struct watch *)a;

	fspf_anchor_free(w->inner);
	free(w);
}

/* Takes over @inner, success or not. */
static struct fspf_anchor *watch_new(struct fspf_anchor *inner, struct change *change)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (w) {
		w->ops = (struct fspf_anchor_ops){.name = inner->ops->name,
						  .load = watch_load,
						  .publish = watch_publish,
						  .free = watch_free};
		w->base.ops = &w->ops;
		w->inner = inner;
		w->change = change;
	} else {
		fspf_anchor_free(inner);
	}
	return w ? &w->base : NULL;
}

int change_params(const struct command *command, const struct common_options *o, const char *path,
		  struct change *change, struct fspf_open_params *ret,
		  struct fspf_credential **ret_credential)
{
	int status = common_credential(command, o, ret_credential);

	*change = (struct change){.v = NULL};
	*ret = (struct fspf_open_params){
		.path = path,
		.credential = *ret_credential,
		.recover = o->recover,
		.authoring = true,
		.commit_interval_ms = UINT32_MAX,
		.report = print_report,
	};
	if (!status)
		status = common_anchor(command, o, false, ANCHOR_REQUIRED, &ret->anchor);
	if (!status)
		ret->anchor = watch_new(ret->anchor, change);
	return status;
}

int change_begin(const struct command *command, const struct common_options *o, const char *path,
		 struct change *ret)
{
	struct fspf_credential *credential = NULL;
	struct fspf_open_params params;
	int status = change_params(command, o, path, ret, &params, &credential);

	if (!status)
		status = common_open_params(&params, &ret->v);
	fspf_credential_free(credential);
	return status;
}

int change_close(struct change *c, int status, bool *ret_tell)
{
	struct fspf_error err = {0};
	int closing = EXIT_DONE;

	/* Nothing is published when nothing was changed. */
	if (!c->published)
		fspf_tag(c->v, &c->tag);
	if (fspf_close(c->v, NULL, &err))
		closing = print_failure(&err);
	*ret_tell = !status || c->published;
	return status ? status : closing;
}

int change_commit(struct change *c, int status)
{
	bool tell;

	status = change_close(c, status, &tell);
	if (tell)
		print_tag(&c->tag);
	return status;
}

int change_abandon(struct change *c, int status)
{
	fspf_abandon(c->v);
	if (c->published) {
		print_hint("a part of the changes is in the volume; its new tag is printed");
		print_tag(&c->tag);
	}
	return status;
}
