/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/process.c - no core dumps, no ptrace, standard descriptors open
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fspf/cmd/cmd.h"
#include "fspf/cmd/process.h"

static int open_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -errno : 0;
}

int harden_process(void)
{
	const struct rlimit none = {0, 0};
	int r = 0;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || setrlimit(RLIMIT_CORE, &none))
		r = -errno;
	if (!r)
		r = open_standard_descriptors();
	if (r)
		print_error("cannot protect the process: %s", strerror(-r));
	return r ? EXIT_FAILED : EXIT_DONE;
}
