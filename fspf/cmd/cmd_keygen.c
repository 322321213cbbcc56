/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/cmd_keygen.c - fspf keygen: a random key
 *
 * The digits go from guarded memory to write(2).  A file is made new, never overwritten: the old
 * key may be the only one of some volume.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fspf/cmd/cmd.h"

static int cmd_keygen(int argc, char **argv);

const struct command command_keygen = {
	.name = "keygen",
	.synopsis = "[FILE]",
	.summary = "make a random key",
	.notes =
		"32 random bytes as 64 hex digits, to FILE (made new, mode 0600) or, without FILE\n"
		"or when it is \"-\", to standard output.\n",
	.arguments_max = 1,
	.run = cmd_keygen,
};

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

static int write_key(const char *path, const char *line, size_t len)
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

static int keygen(const char *path)
{
	struct fspf_error err = {0};
	struct fspf_credential *key = NULL;
	const size_t len = 2 * CRYPTO_KEY_SIZE + 1;
	char *line = crypto_secret_alloc(len);
	int status = EXIT_DONE;

	if (!line) {
		print_error("out of memory");
		status = EXIT_FAILED;
	} else if (fspf_credential_random(&key, &err)) {
		status = print_failure(&err);
	} else if (fspf_credential_hex(key, line)) {
		print_error("cannot print the key");
		status = EXIT_FAILED;
	} else {
		line[len - 1] = '\n';
		status = write_key(path, line, len);
	}
	fspf_credential_free(key);
	crypto_secret_free(line);
	return status;
}

static int cmd_keygen(int argc, char **argv)
{
	struct invocation in;

	if (parse_command_line(&command_keygen, NULL, argc, argv, &in))
		in.status = keygen(in.argc ? in.argv[0] : NULL);
	return in.status;
}
