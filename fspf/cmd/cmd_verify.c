/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_verify.c - fspf verify: read and check everything
 *
 * What is damaged goes to stdout with --json, as part of the answer, and to stderr otherwise.
 */
#include <errno.h>
#include <stdio.h>

#include "fspf/cmd/cmd.h"
#include "fspf/cmd/json.h"
#include "fspf/error.h"

static int cmd_verify(int argc, char **argv);

const struct command command_verify = {
	.name = "verify",
	.synopsis = "VOLUME [--region PREFIX]",
	.summary = "read everything and check it against the tag",
	.notes = "Names every damaged file; the exit status is 3 if there is one.  Without a key,\n"
		 "the authenticated regions are checked.\n",
	.takes = TAKES_KEY | TAKES_REGION_KEY | TAKES_ANCHOR | TAKES_SNAPSHOT | TAKES_JSON,
	.arguments_min = 1,
	.arguments_max = 1,
	.run = cmd_verify,
};

static void collect_report(void *ctx, const struct fspf_report *report)
{
	json_array_append_new(ctx, json_name(report->text));
}

/* The JSON variant's reports go to an array; the progress line has to give way for the others. */
struct verify_work {
	struct progress progress;
	json_t *problems;
};

static void on_problem(void *ctx, const struct fspf_report *report)
{
	struct verify_work *w = ctx;

	if (w->problems)
		collect_report(w->problems, report);
	else
		w->progress.transfer.report(w->progress.transfer.ctx, report);
}

static int on_progress(void *ctx, const struct fspf_progress *progress)
{
	struct verify_work *w = ctx;

	return w->progress.transfer.progress(w->progress.transfer.ctx, progress);
}

static void print_result(const struct fspf_verify_result *result)
{
	printf("checked %llu files, %llu data blocks, %llu nodes\n",
	       (unsigned long long)result->files, (unsigned long long)result->blocks,
	       (unsigned long long)result->nodes);
	if (result->damaged_files || result->damaged_blocks || result->damaged_nodes)
		printf("damaged %llu files, %llu data blocks, %llu nodes\n",
		       (unsigned long long)result->damaged_files,
		       (unsigned long long)result->damaged_blocks,
		       (unsigned long long)result->damaged_nodes);
}

/* @problems is taken over. */
static json_t *result_json(int r, const struct crypto_digest *tag,
			   const struct fspf_verify_result *result, json_t *problems)
{
	json_t *json = json_object();

	json_object_set_new(json, "whole", json_boolean(!r));
	json_object_set_new(json, "tag", json_tag(tag));
	json_object_set_new(json, "files", json_number(result->files));
	json_object_set_new(json, "blocks", json_number(result->blocks));
	json_object_set_new(json, "nodes", json_number(result->nodes));
	json_object_set_new(json, "damaged_files", json_number(result->damaged_files));
	json_object_set_new(json, "damaged_blocks", json_number(result->damaged_blocks));
	json_object_set_new(json, "damaged_nodes", json_number(result->damaged_nodes));
	json_object_set_new(json, "problems", problems);
	return json;
}

static int verify_open_volume(struct fspf_volume *v, const char *prefix, bool json)
{
	struct verify_work work = {.problems = json ? json_array() : NULL};
	const struct fspf_transfer transfer = {
		.progress = on_progress, .report = on_problem, .ctx = &work};
	struct fspf_verify_result result = {0};
	struct fspf_error err = {0};
	struct crypto_digest tag;
	int r, printing, status = EXIT_DONE;

	fspf_tag(v, &tag);
	progress_start(&work.progress, "verifying");
	r = fspf_verify(v, prefix, &transfer, &result, &err);
	progress_end(&work.progress);

	if (r == -ECANCELED)
		fspf_fail(&err, r, NULL, "interrupted: not everything was verified");
	if (r)
		status = print_failure(&err);
	if (!r || r == -EBADMSG) {
		printing = EXIT_DONE;
		if (json)
			printing = print_json(
				result_json(r, &tag, &result, json_incref(work.problems)));
		else
			print_result(&result);
		status = status ? status : printing;
	}
	json_decref(work.problems);
	return status;
}

static int verify(const char *prefix, const struct invocation *in)
{
	struct fspf_volume *v = NULL;
	int status = common_open(&command_verify, &in->common, in->argv[0], OPEN_READ_ONLY, &v);

	if (!status)
		status = close_volume(v, verify_open_volume(v, prefix, in->common.json));
	return status;
}

static int cmd_verify(int argc, char **argv)
{
	const char *prefix = NULL;
	const struct command_option own[] = {{.name = "region",
					      .value = "PREFIX",
					      .help = "only the region at PREFIX",
					      .text = &prefix},
					     {0}};
	struct invocation in;

	if (parse_command_line(&command_verify, own, argc, argv, &in))
		in.status = verify(prefix, &in);
	return in.status;
}
