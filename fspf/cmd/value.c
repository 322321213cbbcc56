/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/value.c - sizes and names, to and from text
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fspf/cmd/cmd.h"

static const char units[] = "KMGTPE"; /* 2^10, 2^20, ... */

/* "", "B", "K", "KB", "KiB" and so on: the power of two. */
static int parse_unit(const char *text, unsigned *ret_shift)
{
	const char *unit = *text ? strchr(units, *text >= 'a' ? *text - 'a' + 'A' : *text) : NULL;
	unsigned shift = 0;

	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		text++;
		if (*text == 'i')
			text += text[1] == 'B' ? 2 : 0;
		else if (*text == 'B')
			text++;
	} else if (*text == 'B') {
		text++;
	}
	if (!*text)
		*ret_shift = shift;
	return *text ? -EINVAL : 0;
}

int parse_size(const char *text, uint64_t *ret)
{
	uint64_t value = 0;
	unsigned shift = 0;
	size_t digits = strspn(text, "0123456789");
	int r = digits ? parse_unit(text + digits, &shift) : -EINVAL;

	for (size_t i = 0; !r && i < digits; i++) {
		if (value > INT64_MAX / 10)
			r = -ERANGE;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (!r && (value > (uint64_t)INT64_MAX >> shift))
		r = -ERANGE;
	if (!r)
		*ret = value << shift;
	return r;
}

void format_size(uint64_t bytes, char ret[static FORMAT_SIZE_MAX])
{
	double value = (double)bytes;
	const char *unit = NULL;

	for (const char *u = units; value >= 1024 && *u; u++) {
		value /= 1024;
		unit = u;
	}
	if (unit)
		snprintf(ret, FORMAT_SIZE_MAX, "%.*f %ciB", value < 100 ? 1 : 0, value, *unit);
	else
		snprintf(ret, FORMAT_SIZE_MAX, "%u B", (unsigned)bytes);
}

const char *protection_name(enum fspf_protection protection)
{
	const char *name = "unknown";

	switch (protection) {
	case FSPF_ENCRYPTED:
		name = "encrypted";
		break;
	case FSPF_AUTHENTICATED:
		name = "authenticated";
		break;
	case FSPF_NOT_PROTECTED:
		name = "not-protected";
		break;
	}
	return name;
}

int write_all(int fd, const char *data, size_t len)
{
	int r = 0;

	while (!r && len > 0) {
		ssize_t n = write(fd, data, len);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (n == 0) {
			r = -EIO;
		} else if (errno != EINTR) {
			r = -errno;
		}
	}
	return r;
}
