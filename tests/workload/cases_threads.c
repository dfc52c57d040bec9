// SPDX-License-Identifier: MIT OR Apache-2.0
// Processes of several threads: who ends last, and whose status counts.
#include "workload.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

static struct slot *job(const char *label, enum role role, long p0, long p1, long p2, long p3)
{
	struct slot *s = slot_plain(0, label, role, p0);

	s->p[1] = p1;
	s->p[2] = p2;
	s->p[3] = p3;
	return s;
}

static int leader_first(int argc, char **argv)
{
	static const enum way leader[] = { WAY_SYS_EXIT, WAY_PTHREAD_EXIT };
	static const enum way last[] = { WAY_SYS_EXIT, WAY_EXIT_GROUP, WAY_PTHREAD_EXIT };

	(void)argc, (void)argv;
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++)
			slot_run(job("leader-first", ROLE_LEADER_FIRST, 41, 42 + j, (long)leader[i],
				     (long)last[j]));
	slot_run(job("leader-first-signal", ROLE_LEADER_FIRST, 41, SIGTERM, WAY_SYS_EXIT,
		     WAY_SIGNAL));
	return 0;
}

static int exec_thread(int argc, char **argv)
{
	static const enum how how[] = { HOW_THREAD, HOW_THREAD_LEADER_GONE };

	(void)argc, (void)argv;
	for (int i = 0; i < 2; i++) {
		struct slot *s = slot_plain(0, "exec-thread", ROLE_EXIT, 51 + i);

		step_add(s, how[i], 2, sh->tag, "from a thread");
		slot_run(s);
		/* the same argv: one execution */
		s = slot_plain(0, "exec-thread-same", ROLE_EXIT, 53 + i);
		s->step[1] = s->step[0];
		s->step[1].how = (int)how[i];
		s->n_steps = 2;
		slot_run(s);
	}
	return 0;
}

static int threads_die(int argc, char **argv)
{
	struct slot *s;

	(void)argc, (void)argv;
	slot_run(job("threads-core", ROLE_THREADS_SIGNAL, SIGSEGV, 1, 5, 0));
	slot_run(job("threads-segv", ROLE_THREADS_SIGNAL, SIGSEGV, 0, 5, 0));
	slot_run(job("threads-kill", ROLE_THREADS_SIGNAL, SIGKILL, 0, 5, 0));
	s = job("threads-killed", ROLE_THREADS_WAIT, 0, 7, 0, 0);
	slot_spawn(s);
	slot_await(&s->ready, 1);
	stamp_last(s);
	kill(s->pid, SIGKILL);
	slot_wait(s);
	emit_slot(s);
	return 0;
}

const struct wcase thread_cases[] = {
	{ "leader-first", "", leader_first },
	{ "exec-thread", "", exec_thread },
	{ "threads-die", "", threads_die },
	{ 0 },
};
