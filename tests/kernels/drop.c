/*
 * drop: run a command with no more than the named capabilities.
 *
 *	drop [-u UID] CAPS COMMAND [ARG]...
 *
 * CAPS is a comma-separated list of the names below or of numbers; '-' means none. As root the
 * bounding set is what counts, since an exec by uid 0 gains whatever it still holds; for another
 * user the ambient set is what survives the exec. Setting all of them serves both. busybox has no
 * command that does.
 */
#define _GNU_SOURCE /* setresuid */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	const char *name;
	int nr;
} names[] = {
	{ "dac_override", 1 }, { "dac_read_search", 2 }, { "kill", 5 },	       { "setpcap", 8 },
	{ "net_admin", 12 },   { "ipc_lock", 14 },	 { "sys_ptrace", 19 }, { "sys_admin", 21 },
	{ "sys_nice", 23 },    { "sys_resource", 24 },	 { "syslog", 34 },     { "perfmon", 38 },
	{ "bpf", 39 },
};

static void fail(const char *what)
{
	fprintf(stderr, "drop: %s: %s\n", what, strerror(errno));
	exit(125);
}

static int cap_nr(const char *name)
{
	char *end;
	long nr = strtol(name, &end, 10);

	if (end != name && !*end && nr >= 0 && nr < 64)
		return (int)nr;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i].name, name))
			return names[i].nr;
	fprintf(stderr, "drop: no capability is called %s\n", name);
	exit(125);
}

static unsigned long long parse_caps(char *list)
{
	unsigned long long caps = 0;

	if (!strcmp(list, "-"))
		return 0;
	for (char *name = strtok(list, ","); name; name = strtok(NULL, ","))
		caps |= 1ULL << cap_nr(name);
	return caps;
}

/* The kernel says EINVAL for the first number past its last capability. */
static void drop_bounding(unsigned long long keep)
{
	for (int nr = 0; nr < 64; nr++) {
		if (keep >> nr & 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, nr, 0, 0, 0)) {
			if (errno == EINVAL)
				return;
			fail("bounding set");
		}
	}
}

static void set_caps(unsigned long long caps)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		unsigned int word = (unsigned int)(caps >> (32 * i));

		data[i].effective = data[i].permitted = data[i].inheritable = word;
	}
	if (syscall(SYS_capset, &head, data))
		fail("capset");
}

static void raise_ambient(unsigned long long caps)
{
	for (int nr = 0; nr < 64; nr++)
		if (caps >> nr & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, nr, 0, 0))
			fail("ambient set");
}

static void become(uid_t uid)
{
	/* Without this the change of user would clear the permitted set. */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
		fail("keep capabilities");
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		fail("change user");
}

int main(int argc, char **argv)
{
	unsigned long long caps;
	uid_t uid = 0;
	int opt;

	while ((opt = getopt(argc, argv, "+u:")) == 'u')
		uid = (uid_t)strtoul(optarg, NULL, 10);
	if (opt != -1 || argc - optind < 2) {
		fprintf(stderr, "usage: drop [-u UID] CAPS COMMAND [ARG]...\n");
		return 125;
	}
	caps = parse_caps(argv[optind]);
	drop_bounding(caps);
	if (uid)
		become(uid);
	set_caps(caps);
	if (uid)
		raise_ambient(caps);
	execvp(argv[optind + 1], argv + optind + 1);
	fail(argv[optind + 1]);
}
