/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/progress.c - long work on a terminal: how much, how fast, how long yet; and Ctrl-C
 *
 * The line is drawn on stderr, at most five times a second, and only when that is a terminal.  A
 * signal sets a flag that the next progress callback turns into "stop", so the library ends the
 * work in its own order; a second signal of the same kind finds the default action and ends the
 * process.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fspf/cmd/cmd.h"
#include "fspf/error.h"

#define REDRAW_MS 200
#define LINE_MAX_COLUMNS 240

static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP};

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
	(void)number;
	stop_wanted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal,
				   .sa_flags = SA_RESTART | (int)SA_RESETHAND};
	struct sigaction old;

	stop_wanted = 0;
	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++) {
		/* Ignored signals (nohup) stay ignored. */
		if (!sigaction(stop_signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			(void)sigaction(stop_signals[i], &action, NULL);
	}
}

static void release_signals(void)
{
	struct sigaction old;

	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++) {
		if (!sigaction(stop_signals[i], NULL, &old) && old.sa_handler == on_signal)
			(void)signal(stop_signals[i], SIG_DFL);
	}
}

static uint64_t now_ms(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int terminal_columns(void)
{
	struct winsize size;
	int columns = 80;

	if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col > 0)
		columns = size.ws_col;
	return columns < LINE_MAX_COLUMNS ? columns : LINE_MAX_COLUMNS - 1;
}

/* ", 42 %, 0:12 left", or nothing when the total is not known. */
static void format_rest(const struct fspf_progress *done, uint64_t elapsed_ms, char *ret,
			size_t size)
{
	uint64_t bytes = min_u64(done->bytes_done, done->bytes_total);
	uint64_t left;

	ret[0] = '\0';
	if (done->bytes_total > 0 && bytes > 0) {
		left = (uint64_t)((double)elapsed_ms / 1000 * (double)(done->bytes_total - bytes) /
				  (double)bytes);
		snprintf(ret, size, ", %u %%, %llu:%02u left",
			 (unsigned)(100 * (double)bytes / (double)done->bytes_total),
			 (unsigned long long)left / 60, (unsigned)(left % 60));
	}
}

static void draw(const struct progress *p, const struct fspf_progress *done, uint64_t now)
{
	char line[LINE_MAX_COLUMNS + 256], rest[64];
	char bytes[FORMAT_SIZE_MAX], rate[FORMAT_SIZE_MAX];
	uint64_t elapsed = max_u64(now - p->started_ms, 1);

	format_size(done->bytes_done, bytes);
	format_size((uint64_t)((double)done->bytes_done * 1000 / (double)elapsed), rate);
	format_rest(done, elapsed, rest, sizeof(rest));
	snprintf(line, sizeof(line), "%s: %llu files, %s, %s/s%s  %s", p->verb,
		 (unsigned long long)done->files_done, bytes, rate, rest,
		 done->path ? done->path : "");
	fspf_printable(line);
	fprintf(stderr, "\r\033[K%.*s", terminal_columns() - 1, line);
	fflush(stderr);
}

static void erase(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}

static int on_progress(void *ctx, const struct fspf_progress *done)
{
	struct progress *p = ctx;
	uint64_t now = p->terminal ? now_ms() : 0;

	if (p->terminal && now - p->drawn_ms >= REDRAW_MS) {
		draw(p, done, now);
		p->drawn = true;
		p->drawn_ms = now;
	}
	return stop_wanted;
}

/* A line of its own, above the progress. */
static void on_report(void *ctx, const struct fspf_report *report)
{
	struct progress *p = ctx;

	erase(p);
	print_report(NULL, report);
	snprintf(p->told, sizeof(p->told), "%s", report->text);
}

void progress_start(struct progress *p, const char *verb)
{
	*p = (struct progress){
		.transfer = {.progress = on_progress, .ctx = p, .report = on_report},
		.verb = verb,
		.terminal = isatty(STDERR_FILENO),
	};
	p->started_ms = p->drawn_ms = now_ms();
	catch_signals();
}

int progress_failure(const struct progress *p, const struct fspf_error *err)
{
	return strcmp(p->told, err->text) ? print_failure(err) : fspf_exit_status(err->code);
}

void progress_end(struct progress *p)
{
	erase(p);
	release_signals();
}
