/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse/run_user.c - who the command is, and what it finds in its environment
 *
 * Names are looked up in the command's own tree, after the regions are in place: a volume that
 * brings its /etc says who its users are.  The files are read directly and no name service is
 * asked, because its modules would be taken from that tree too, for a C library that was not.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuse/run_internal.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define GROUPS_MAX 256u
#define OWN_PREFIX "FSPF_"

/* ---- who ---- */

static bool is_number(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long n;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno != 0 || *end || n >= UINT32_MAX) /* the last one means "unchanged" */
		return false;
	*ret = (uint32_t)n;
	return true;
}

/* The entry that stays valid until the next call of its kind; NULL: there is none. */
static struct passwd *find_passwd(const char *name, uid_t uid)
{
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd *entry = NULL;

	while (file && (entry = fgetpwent(file)))
		if (name ? strcmp(entry->pw_name, name) == 0 : entry->pw_uid == uid)
			break;
	if (file)
		fclose(file);
	return entry;
}

static int find_group(const char *name, gid_t *ret)
{
	FILE *file = fopen("/etc/group", "re");
	const struct group *entry = NULL;

	while (file && (entry = fgetgrent(file)))
		if (strcmp(entry->gr_name, name) == 0)
			break;
	if (entry)
		*ret = entry->gr_gid;
	if (file)
		fclose(file);
	return entry ? 0 : -ENOENT;
}

static bool is_member(const struct group *group, const char *name)
{
	for (char **member = group->gr_mem; *member; member++)
		if (strcmp(*member, name) == 0)
			return true;
	return false;
}

/* The groups that name @user, after its own. */
static void add_memberships(struct run_user *user)
{
	FILE *file = fopen("/etc/group", "re");
	const struct group *entry;

	while (file && (entry = fgetgrent(file)))
		if (is_member(entry, user->name) && entry->gr_gid != user->gid &&
		    user->group_count < GROUPS_MAX)
			user->groups[user->group_count++] = entry->gr_gid;
	if (file)
		fclose(file);
}

static int no_such(const char *what, const char *name, const char *file)
{
	print_error("--user: there is no %s '%s' in %s of the command's tree", what, name, file);
	print_hint("give its number, as in --user 1000:1000");
	return EXIT_FAILED;
}

/* A number need not be in /etc/passwd; then its group has the same. */
static int find_by_name(const char *name, struct run_user *ret)
{
	uint32_t number = 0;
	bool numeric = is_number(name, &number);
	const struct passwd *entry = find_passwd(numeric ? NULL : name, number);

	if (!entry && !numeric)
		return no_such("user", name, "/etc/passwd");
	ret->uid = entry ? entry->pw_uid : number;
	ret->gid = entry ? entry->pw_gid : number;
	ret->name = strdup(entry ? entry->pw_name : name);
	ret->home = strdup(entry ? entry->pw_dir : "/");
	ret->groups = calloc(GROUPS_MAX, sizeof(*ret->groups));
	if (ret->name && ret->home && ret->groups)
		return EXIT_DONE;
	print_error("out of memory");
	return EXIT_FAILED;
}

/* With a group by hand, that is the only one. */
static int find_groups(const char *group, struct run_user *ret)
{
	uint32_t number;

	if (group && is_number(group, &number))
		ret->gid = number;
	else if (group && find_group(group, &ret->gid) < 0)
		return no_such("group", group, "/etc/group");
	ret->groups[0] = ret->gid;
	ret->group_count = 1;
	if (!group)
		add_memberships(ret);
	return EXIT_DONE;
}

int run_user_find(const char *text, struct run_user *ret)
{
	char own[16], *name, *group;
	int status;

	snprintf(own, sizeof(own), "%u", (unsigned)geteuid());
	name = strdup(text ? text : own);
	if (!name) {
		print_error("out of memory");
		return EXIT_FAILED;
	}
	group = strchr(name, ':');
	if (group)
		*group++ = '\0';
	status = find_by_name(name, ret);
	if (status == EXIT_DONE)
		status = find_groups(group, ret);
	free(name);
	return status;
}

int run_user_become(const struct run_user *user)
{
	int err = 0;

	if (setgroups(user->group_count, user->groups) < 0 ||
	    setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0)
		err = -errno;
	if (err == 0)
		return EXIT_DONE;
	print_error("cannot become user %s: %s", user->name, strerror(-err));
	if (err == -EPERM)
		print_hint("this needs CAP_SETUID and CAP_SETGID; a container gets them by "
			   "--cap-add SETUID --cap-add SETGID");
	return EXIT_FAILED;
}

/* ---- the environment ---- */

static bool has_name(const char *variable, const char *name)
{
	size_t n = strlen(name);

	return strncmp(variable, name, n) == 0 && variable[n] == '=';
}

static bool passes(const char *variable, bool clear, bool user)
{
	if (strncmp(variable, OWN_PREFIX, strlen(OWN_PREFIX)) == 0)
		return false;
	if (clear)
		return has_name(variable, "TERM");
	return !user || !(has_name(variable, "HOME") || has_name(variable, "USER") ||
			  has_name(variable, "LOGNAME"));
}

/* False: no memory. */
static bool add(char **list, size_t *count, const char *name, const char *value)
{
	char *variable;

	if (asprintf(&variable, "%s=%s", name, value) < 0)
		return false;
	list[(*count)++] = variable;
	return true;
}

char **run_environment(bool clear, const struct run_user *user)
{
	size_t count = 0, room = 5; /* PATH, HOME, USER, LOGNAME, NULL */
	bool ok = true;
	char **list;

	for (char **v = environ; *v; v++)
		room++;
	list = calloc(room, sizeof(*list));
	if (!list)
		return NULL;
	for (char **v = environ; *v; v++)
		if (passes(*v, clear, user))
			list[count++] = *v;
	if (clear)
		ok = add(list, &count, "PATH", DEFAULT_PATH);
	if (user)
		ok = ok && add(list, &count, "HOME", user->home) &&
		     add(list, &count, "USER", user->name) &&
		     add(list, &count, "LOGNAME", user->name);
	return ok ? list : NULL;
}
