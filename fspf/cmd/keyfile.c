/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/keyfile.c - a key to a new file or to standard output
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fspf/cmd/keyfile.h"

/* A key that did not reach the disk whole is removed again. */
static int write_new_file(const char *path, const char *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	int r = fd < 0 ? -errno : 0;

	if (!r && fchmod(fd, 0600)) /* whatever the umask */
		r = -errno;
	if (!r)
		r = write_all(fd, data, len);
	if (!r && fsync(fd))
		r = -errno;
	if (fd >= 0) {
		if (close(fd) && !r)
			r = -errno;
		if (r)
			unlink(path);
	}
	return r;
}

static int write_line(const char *path, const char *line, size_t len)
{
	int r, status = EXIT_DONE;

	if (!path || !strcmp(path, "-")) {
		r = write_all(STDOUT_FILENO, line, len);
		if (r)
			print_error("cannot write to standard output: %s", strerror(-r));
	} else {
		r = write_new_file(path, line, len);
		if (r == -EEXIST) {
			print_error("'%s' exists already", path);
			print_hint("a key is never overwritten: choose another name");
		} else if (r) {
			print_error("cannot write '%s': %s", path, strerror(-r));
		}
	}
	if (r)
		status = EXIT_FAILED;
	return status;
}

int write_key(const char *path, const struct fspf_credential *key)
{
	const size_t len = 2 * CRYPTO_KEY_SIZE + 1;
	char *line = crypto_secret_alloc(len);
	int status = EXIT_FAILED;

	if (!line) {
		print_error("out of memory");
	} else if (fspf_credential_hex(key, line)) {
		print_error("cannot print the key");
	} else {
		line[len - 1] = '\n';
		status = write_line(path, line, len);
	}
	crypto_secret_free(line);
	return status;
}
