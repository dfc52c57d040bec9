// SPDX-License-Identifier: MIT OR Apache-2.0
// The same pid again, as soon as the kernel gives it back.
#include "workload.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether pids can be chosen here; says so if not. */
static bool can_choose(int pid)
{
	pid_t got = fork_as(pid);

	if (got == 0)
		_exit(0);
	if (got < 0 && errno != EEXIST) {
		emit_note("skip", "cannot choose pids");
		return false;
	}
	if (got > 0)
		waitpid(got, NULL, 0);
	return true;
}

/* N processes of one pid, from alternating CPUs, ending in different ways. */
static int reuse(int argc, char **argv)
{
	int n = argc ? atoi(argv[0]) : 101, pid;
	struct slot *s = slot_plain(0, "reuse", ROLE_EXIT, 0);

	slot_run(s);
	pid = s->pid;
	if (!can_choose(pid))
		return 0;
	for (int i = 1; i < n; i++) {
		s = slot_plain(0, "reuse", i % 5 ? ROLE_EXIT : ROLE_SIGNAL, i % 5 ? i % 256 : 9);
		s->via = VIA_SET_TID;
		s->set_tid = pid;
		s->cpu = i % n_cpus();
		if (i % 7 == 0)
			step_add(s, HOW_EXECVE, 2, sh->tag, "second");
		slot_run(s);
	}
	return 0;
}

/*
 * The pid of a reported process comes back N times as one that is not: a fork
 * without exec, an exec outside (--move OUT), then inside again (--move IN).
 */
static int stale(int argc, char **argv)
{
	int n = argc ? atoi(argv[0]) : 13, pid;
	struct slot *s = slot_plain(0, "inside", ROLE_EXIT, 0);
	pid_t got;

	slot_run(s);
	pid = s->pid;
	if (!can_choose(pid))
		return 0;
	for (int i = 0; i < n; i++) {
		got = fork_as(pid);
		if (got == 0)
			_exit(1);
		if (got < 0)
			die("fork with a pid");
		waitpid(got, NULL, 0);
		s = slot_plain(0, "outside", ROLE_EXIT, 140);
		s->via = VIA_SET_TID;
		s->set_tid = pid;
		snprintf(s->join, sizeof(s->join), "%s", sh->moves[0]);
		slot_run(s);
		s = slot_plain(0, "inside", ROLE_EXIT, 141);
		s->via = VIA_SET_TID;
		s->set_tid = pid;
		slot_run(s);
	}
	return 0;
}

const struct wcase pid_cases[] = {
	{ "reuse", "[N]", reuse },
	{ "stale", "[N] (--move OUT)", stale },
	{ 0 },
};
