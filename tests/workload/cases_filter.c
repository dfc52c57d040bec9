// SPDX-License-Identifier: MIT OR Apache-2.0
// Executions of which a filter takes some: the label says which.
#include "workload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One execution in each of the given cgroups; label: its number. */
static int cgroups(int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		char label[16];
		struct slot *s;

		snprintf(label, sizeof(label), "%d", i);
		s = slot_plain(0, label, ROLE_EXIT, 100 + i);
		snprintf(s->join, sizeof(s->join), "%s", argv[i]);
		slot_run(s);
	}
	return 0;
}

/* N times: makes a cgroup below DIR, runs a child in it, removes it. */
static int cgroups_made(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 13;

	for (int i = 0; i < n && argc; i++) {
		struct slot *s = slot_plain(0, "made", ROLE_EXIT, i);
		char dir[200];

		snprintf(dir, sizeof(dir), "%s/made-%d", argv[0], i);
		if (mkdir(dir, 0755) < 0)
			die(dir);
		snprintf(s->join, sizeof(s->join), "%s/cgroup.procs", dir);
		slot_spawn(s);
		slot_wait(s);
		/* A zombie's thread may be in it for a moment after the wait. */
		for (int tries = 0; rmdir(dir) < 0; tries++, sleep_ms(1))
			if (errno != EBUSY || tries > 5000)
				die(dir);
		emit_slot(s);
	}
	return 0;
}

/* In one cgroup at the exec, in others until the exit: --move IN --move OUT. */
static int cgroups_left(int argc, char **argv)
{
	struct slot *s;

	(void)argc, (void)argv;
	/* execs inside, ends outside */
	s = slot_plain(0, "inside", ROLE_CGROUPS, 110);
	snprintf(s->join, sizeof(s->join), "%s", sh->moves[0]);
	s->p[1] = 3;
	slot_run(s);
	/* execs outside, moves in and out again, ends outside: never seen */
	s = slot_plain(0, "outside", ROLE_CGROUPS, 111);
	snprintf(s->join, sizeof(s->join), "%s", sh->moves[1]);
	s->p[1] = 3;
	slot_run(s);
	return 0;
}

static int uids(int argc, char **argv)
{
	char path[64];

	strcpy(path, "image");
	if (copy_self(path, 0755) < 0)
		die(path);
	for (int i = 0; i < argc; i++) {
		struct slot *s = slot_plain(0, argv[i], ROLE_EXIT, 120 + i);

		strcpy(s->step[0].path, "./image");
		s->uid_before = atoi(argv[i]);
		slot_run(s);
		/* Execs as it was, and changes afterwards: uid is that of the exec. */
		if (!s->uid_before) {
			s = slot_plain(0, argv[i], ROLE_SETUID, 130 + i);
			s->p[1] = 65534;
			slot_run(s);
		}
	}
	return 0;
}

static void run_name(const char *label, const char *file, const char *argv0)
{
	struct slot *s = slot_reset(0, label);
	char path[100];

	snprintf(path, sizeof(path), "./%s", file);
	if (copy_self(path, 0755) < 0)
		die(path);
	strcpy(s->step[0].path, path);
	step_add(s, HOW_EXECVE, 2, argv0, label);
	slot_run(s);
	unlink(path);
}

/* Executions around a NAME: as file name (and so comm), as argv[0], and near misses. */
static int names(int argc, char **argv)
{
	const char *name = argc ? argv[0] : sh->tag;
	char text[300], cut[16];

	snprintf(cut, sizeof(cut), "%.15s", name);
	run_name("comm", name, "elsewhere");
	run_name("comm-cut", cut, "elsewhere");
	run_name("argv0", "image", name);
	snprintf(text, sizeof(text), "/usr/local/../%s", name);
	run_name("argv0-path", "image", text);
	snprintf(text, sizeof(text), "./%s", name);
	run_name("argv0-dot", "image", text);
	memset(text, 'd', 220);
	text[0] = text[100] = text[219] = '/';
	snprintf(text + 220, sizeof(text) - 220, "%s", name);
	run_name("argv0-deep", "image", text);
	run_name("both", name, name);
	run_name("neither", "image", "elsewhere");
	snprintf(text, sizeof(text), "%sx", name);
	run_name("longer", "image", text);
	snprintf(text, sizeof(text), "x%s", name);
	run_name("suffix", "image", text);
	snprintf(text, sizeof(text), "%s", name);
	text[strlen(text) - 1] = 0;
	run_name("shorter", "image", text);
	snprintf(text, sizeof(text), "/x/%s/y", name);
	run_name("in-the-middle", "image", text);
	run_name("empty", "image", "");
	snprintf(text, sizeof(text), "-%s", name);
	run_name("login-shell", "image", text);
	return 0;
}

/* Executions that come to have the name, or lose it: NAME → other, other → NAME. */
static int names_change(int argc, char **argv)
{
	const char *name = argc ? argv[0] : sh->tag;
	struct slot *s;

	s = slot_reset(0, "lost");
	step_add(s, HOW_EXECVE, 2, name, "first");
	step_add(s, HOW_EXECVE, 2, "elsewhere", "second");
	slot_run(s);
	s = slot_reset(0, "won");
	step_add(s, HOW_EXECVE, 2, "elsewhere", "first");
	step_add(s, HOW_EXECVE, 2, name, "second");
	slot_run(s);
	s = slot_reset(0, "lost-and-won");
	step_add(s, HOW_EXECVE, 2, name, "first");
	step_add(s, HOW_EXECVE, 2, "elsewhere", "second");
	step_add(s, HOW_EXECVE, 2, name, "third");
	slot_run(s);
	s = slot_reset(0, "renamed");
	step_add(s, HOW_EXECVE, 2, name, "renames itself");
	s->role = ROLE_RENAME;
	slot_run(s);
	return 0;
}

const struct wcase filter_cases[] = {
	{ "cgroups", "PROCS...", cgroups },
	{ "cgroups-made", "DIR [N]", cgroups_made },
	{ "cgroups-left", "", cgroups_left },
	{ "uids", "UID...", uids },
	{ "names", "[NAME]", names },
	{ "names-change", "[NAME]", names_change },
	{ 0 },
};
