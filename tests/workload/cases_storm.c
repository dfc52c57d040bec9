// SPDX-License-Identifier: MIT OR Apache-2.0
// Many executions at once, and races that need many tries.
#include "workload.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void (*plan)(struct slot *s, int k);

/* Copies the file that a worker wrote its lines into. */
static void copy_out(FILE *f)
{
	char buf[65536];
	size_t n;

	rewind(f);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		fwrite(buf, 1, n, stdout);
	fclose(f);
}

/* Stop when a word comes. */
static bool on_word;

/* n jobs from w workers; workers are forks without exec, so no rows themselves. */
static int storm(int n, int w, bool pinned, const char *label, plan make)
{
	FILE *lines[NSLOTS];
	pid_t pid[NSLOTS];

	if (w < 1 || w > NSLOTS)
		die("number of workers");
	fflush(stdout);
	for (int i = 0; i < w; i++) {
		lines[i] = tmpfile();
		if (!lines[i])
			die("tmpfile");
		pid[i] = fork();
		if (pid[i] < 0)
			die("fork");
		if (pid[i] > 0)
			continue;
		emit_to(lines[i]);
		if (pinned)
			pin_cpu(i % n_cpus());
		for (int k = i; k < n && !atomic_load(&sh->stop); k += w) {
			struct slot *s = slot_plain(i, label, ROLE_EXIT, 0);

			make(s, k);
			slot_run(s);
		}
		fflush(lines[i]);
		_exit(0);
	}
	if (on_word)
		await_stdin("storming");
	atomic_store(&sh->stop, on_word);
	for (int i = 0; i < w; i++) {
		int status;

		if (waitpid(pid[i], &status, 0) < 0 || status)
			die("a worker");
		copy_out(lines[i]);
	}
	return 0;
}

static int number(int argc, char **argv, int i, int otherwise)
{
	return i < argc ? atoi(argv[i]) : otherwise;
}

static void plan_plain(struct slot *s, int k)
{
	s->p[0] = k * 7 % 256;
	if (k % 13 == 0) { /* some re-execute themselves, some run another */
		s->step[1] = s->step[0];
		s->n_steps = 2;
		if (k % 2)
			step_arg(&s->step[1], "other");
	}
}

static void plan_two_exit(struct slot *s, int k)
{
	s->role = ROLE_TWO_EXIT;
	s->p[0] = k % 100;
	s->p[1] = 100 + k % 100;
}

static void plan_many_exit(struct slot *s, int k)
{
	s->role = ROLE_MANY_EXIT;
	s->p[0] = k % 200;
	s->p[1] = 5;
}

static void plan_group_race(struct slot *s, int k)
{
	s->role = ROLE_GROUP_RACE;
	s->p[0] = k % 200;
	s->p[1] = 8;
}

static void plan_exit_and_group(struct slot *s, int k)
{
	s->role = ROLE_EXIT_AND_GROUP;
	s->p[0] = k % 100;
	s->p[1] = 100 + k % 100;
}

/* An exec by a thread while the leader waits: pids and tids change places. */
static void plan_exec_thread(struct slot *s, int k)
{
	s->p[0] = k % 256;
	step_add(s, k % 2 ? HOW_THREAD : HOW_THREAD_LEADER_GONE, 2, sh->tag, "from a thread");
}

static int storm_case(int argc, char **argv)
{
	return storm(number(argc, argv, 0, 5003), number(argc, argv, 1, 8), true, "storm",
		     plan_plain);
}

/* Storms until it is told to stop, or N are done. */
static int storm_on_word(int argc, char **argv)
{
	on_word = true;
	return storm_case(argc, argv);
}

static int two_exit(int argc, char **argv)
{
	return storm(number(argc, argv, 0, 101), number(argc, argv, 1, 2), false, "two-exit",
		     plan_two_exit);
}

static int many_exit(int argc, char **argv)
{
	return storm(number(argc, argv, 0, 101), number(argc, argv, 1, 2), false, "many-exit",
		     plan_many_exit);
}

static int group_race(int argc, char **argv)
{
	return storm(number(argc, argv, 0, 101), number(argc, argv, 1, 2), false, "group-race",
		     plan_group_race);
}

static int exit_and_group(int argc, char **argv)
{
	return storm(number(argc, argv, 0, 101), number(argc, argv, 1, 2), false, "exit-and-group",
		     plan_exit_and_group);
}

static int exec_thread(int argc, char **argv)
{
	return storm(number(argc, argv, 0, 101), number(argc, argv, 1, 2), false,
		     "exec-thread-storm", plan_exec_thread);
}

const struct wcase storm_cases[] = {
	{ "storm", "[N [WORKERS]]", storm_case },
	{ "storm-on-word", "[N [WORKERS]]", storm_on_word },
	{ "two-exit", "[N [WORKERS]]", two_exit },
	{ "many-exit", "[N [WORKERS]]", many_exit },
	{ "group-race", "[N [WORKERS]]", group_race },
	{ "exit-and-group", "[N [WORKERS]]", exit_and_group },
	{ "exec-thread-storm", "[N [WORKERS]]", exec_thread },
	{ 0 },
};
