// SPDX-License-Identifier: MIT OR Apache-2.0
// One process each: how it was started, how it ended, what it did between.
#include "workload.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int plain(int argc, char **argv)
{
	int n = argc ? atoi(argv[0]) : 1;

	for (int i = 0; i < n; i++)
		slot_run(slot_plain(0, "plain", ROLE_EXIT, 0));
	return 0;
}

static int codes(int argc, char **argv)
{
	(void)argc, (void)argv;
	for (const int *c = (const int[]){ 0, 1, 77, 255, -1 }; *c >= 0; c++)
		slot_run(slot_plain(0, "code", ROLE_EXIT, *c));
	return 0;
}

static int signals(int argc, char **argv)
{
	const struct {
		int sig;
		bool core;
	} how[] = {
		{ SIGKILL, false }, { SIGTERM, false }, { SIGSEGV, false },  { SIGSEGV, true },
		{ SIGABRT, true },  { SIGHUP, false },	{ SIGRTMAX, false }, { SIGQUIT, true },
	};

	(void)argc, (void)argv;
	for (size_t i = 0; i < sizeof(how) / sizeof(*how); i++) {
		struct slot *s = slot_plain(0, "signal", ROLE_SIGNAL, how[i].sig);

		s->p[1] = how[i].core;
		slot_run(s);
	}
	return 0;
}

/* Long-running children that we kill ourselves, one stopped and continued before. */
static int killed(int argc, char **argv)
{
	static const int sigs[] = { SIGTERM, SIGKILL, SIGINT };

	(void)argc, (void)argv;
	for (int i = 0; i < 3; i++) {
		struct slot *s = slot_plain(0, "killed", ROLE_WAIT, 0);

		slot_spawn(s);
		slot_await(&s->stage, 1);
		sleep_ms(50);
		if (i == 1) {
			kill(s->pid, SIGSTOP);
			waitpid(s->pid, NULL, WUNTRACED);
			kill(s->pid, SIGCONT);
		}
		stamp_last(s);
		kill(s->pid, sigs[i]);
		slot_wait(s);
		emit_slot(s);
	}
	return 0;
}

/* Children that never exec, and one whose exec fails: no rows. */
static int fork_only(int argc, char **argv)
{
	char *args[] = { sh->tag, "missing", NULL };
	struct slot *s;

	(void)argc, (void)argv;
	for (int i = 0; i < 7; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			if (i == 3)
				execv("/nonexistent/program", args);
			_exit(i);
		}
		waitpid(pid, NULL, 0);
		emit_note("none", "fork without exec: %d", pid);
	}
	s = slot_plain(0, "forks", ROLE_FORK_ONLY, 5);
	s->p[1] = 11;
	slot_run(s);
	return 0;
}

static int exec_fails(int argc, char **argv)
{
	(void)argc, (void)argv;
	slot_run(slot_plain(0, "exec-fails", ROLE_EXEC_FAILS, 3));
	slot_run(slot_plain(0, "dies-in-exec", ROLE_DIES_IN_EXEC, 0));
	return 0;
}

/* n further execs of the same argv, each after delay_ms. */
static struct slot *chain_same(int n, int delay_ms, enum how how)
{
	struct slot *s = slot_plain(0, "chain-same", ROLE_EXIT, 4);

	for (int i = 1; i <= n; i++) {
		s->step[i] = s->step[0];
		s->step[i].how = (int)how;
		s->step[i].delay_ms = delay_ms;
		s->n_steps++;
	}
	return s;
}

static int chain_same_case(int argc, char **argv)
{
	(void)argc, (void)argv;
	slot_run(chain_same(1, 0, HOW_EXECVE));
	slot_run(chain_same(1, 20, HOW_MEMFD));
	slot_run(chain_same(1, 0, HOW_EMPTY_PATH));
	slot_run(chain_same(5, 0, HOW_EXECVE));
	return 0;
}

/* Each within a second of the last, though not of the first; then one that is too late. */
static int chain_late(int argc, char **argv)
{
	(void)argc, (void)argv;
	slot_run(chain_same(3, 450, HOW_EXECVE));
	slot_run(chain_same(1, 1300, HOW_EXECVE));
	return 0;
}

static int chain_other(int argc, char **argv)
{
	struct slot *s = slot_plain(0, "chain-other", ROLE_EXIT, 6);

	(void)argc, (void)argv;
	step_add(s, HOW_EXECVE, 2, sh->tag, "second");
	slot_run(s);
	/* a, b, b, c, a: four executions, one of them with a re-exec */
	s = slot_plain(0, "chain-mixed", ROLE_EXIT, 7);
	step_add(s, HOW_EXECVE, 2, sh->tag, "b");
	step_add(s, HOW_EMPTY_PATH, 2, sh->tag, "b");
	step_add(s, HOW_EXECVE, 3, sh->tag, "c", "");
	s->step[s->n_steps++] = s->step[0];
	slot_run(s);
	/* as long as each other, one byte differs; and one more empty argument */
	s = slot_plain(0, "chain-alike", ROLE_EXIT, 8);
	step_add(s, HOW_EXECVE, 2, sh->tag, "abcdefgh");
	step_add(s, HOW_EXECVE, 2, sh->tag, "abcdefgi");
	step_add(s, HOW_EXECVE, 3, sh->tag, "abcdefgi", "");
	step_add(s, HOW_EXECVE, 3, sh->tag, "abcdef", "h");
	slot_run(s);
	return 0;
}

static int memfd(int argc, char **argv)
{
	struct slot *s = slot_plain(0, "memfd", ROLE_EXIT, 9);

	(void)argc, (void)argv;
	s->step[0].how = HOW_MEMFD;
	slot_run(s);
	s = slot_plain(0, "empty-path", ROLE_EXIT, 10);
	s->step[0].how = HOW_EMPTY_PATH;
	slot_run(s);
	return 0;
}

static void make_script(const char *name, const char *interpreter, const char *arg)
{
	FILE *f = fopen(name, "w");

	if (!f)
		die(name);
	fprintf(f, "#!%s %s\nnot for a shell\n", interpreter, arg);
	fclose(f);
	chmod(name, 0755);
}

/* argv becomes interpreter, its argument, the script, then argv[1] and so on. */
static int script(int argc, char **argv)
{
	char cwd[100], interp[128], one[128], two[128];
	struct slot *s;

	(void)argc, (void)argv;
	if (!getcwd(cwd, sizeof(cwd)))
		die("getcwd");
	snprintf(interp, sizeof(interp), "%s/interp", cwd);
	snprintf(one, sizeof(one), "%s/script", cwd);
	snprintf(two, sizeof(two), "%s/script2", cwd);
	if (copy_self(interp, 0755) < 0)
		die(interp);
	make_script(one, interp, "one argument");
	make_script(two, one, "");

	s = slot_reset(0, "script");
	step_add(s, HOW_EXECVE, 5, interp, "one argument", one, "x", "");
	strcpy(s->step[0].path, one);
	s->p[0] = 11;
	slot_spawn_argv(s, (char *[]){ "dropped", "x", "", NULL });
	slot_wait(s);
	emit_slot(s);

	s = slot_reset(0, "script-of-script");
	step_add(s, HOW_EXECVE, 5, interp, "one argument", one, two, "y");
	strcpy(s->step[0].path, two);
	slot_spawn_argv(s, (char *[]){ "dropped", "y", NULL });
	slot_wait(s);
	emit_slot(s);
	return 0;
}

static int ways(int argc, char **argv)
{
	static const int via[] = { VIA_VFORK, VIA_SPAWN, VIA_CLONE_SIGNAL_0 };
	static const char *const label[] = { "vfork", "posix_spawn", "exit-signal-0" };

	(void)argc, (void)argv;
	for (int i = 0; i < 3; i++) {
		struct slot *s = slot_plain(0, label[i], ROLE_EXIT, 12 + i);

		s->via = via[i];
		slot_run(s);
	}
	return 0;
}

/* Nobody can wait for these: their status is what they were told to end with. */
static int sigchld_ignored(int argc, char **argv)
{
	(void)argc, (void)argv;
	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 3; i++) {
		struct slot *s = slot_plain(0, "sigchld-ignored", ROLE_EXIT, 21 + i);

		s->by_construction = true;
		s->status = (21 + i) << 8;
		if (i == 2) {
			s->role = ROLE_SIGNAL;
			s->p[0] = s->status = SIGTERM;
		}
		slot_run(s);
	}
	signal(SIGCHLD, SIG_DFL);
	return 0;
}

/* pid 1 of a namespace of its own; the rows have the pids that we see. */
static int pid_namespace(int argc, char **argv)
{
	(void)argc, (void)argv;
	for (int i = 0; i < 3; i++) {
		struct slot *s = slot_plain(0, "pid-namespace", ROLE_EXIT, 22 + i);

		s->via = VIA_PIDNS;
		if (i == 1)
			step_add(s, HOW_THREAD, 2, sh->tag, "from a thread");
		if (i == 2) {
			s->role = ROLE_TWO_EXIT;
			s->p[1] = 25;
		}
		slot_run(s);
	}
	return 0;
}

/* The 32-bit system calls. */
static int compat(int argc, char **argv)
{
	(void)argc, (void)argv;
	if (!compat_works()) {
		emit_note("skip", "no 32-bit system calls");
		return 0;
	}
	for (int i = 0; i < 4; i++) {
		struct slot *s = slot_plain(0, "compat", ROLE_EXIT, 26 + i);

		s->step[0].how = i % 2 ? HOW_COMPAT_AT : HOW_COMPAT;
		if (i > 1) {
			s->step[1] = s->step[0];
			s->n_steps = 2;
			step_add(s, s->step[0].how, 3, sh->tag, "", "another");
		}
		slot_run(s);
	}
	return 0;
}

static int changes(int argc, char **argv)
{
	struct slot *s;

	(void)argc, (void)argv;
	slot_run(slot_plain(0, "rename", ROLE_RENAME, 31));
	s = slot_plain(0, "setuid", ROLE_SETUID, 32);
	s->p[1] = 65534;
	slot_run(s);
	s = slot_plain(0, "cgroups", ROLE_CGROUPS, 33);
	s->p[1] = 11;
	slot_run(s);
	return 0;
}

static int memory(int argc, char **argv)
{
	struct slot *s = slot_plain(0, "memory", ROLE_MEMORY, 34);

	s->p[1] = argc ? atoi(argv[0]) : 64;
	slot_run(s);
	return 0;
}

const struct wcase basic_cases[] = {
	{ "plain", "[N]", plain },
	{ "memory", "[MiB]", memory },
	{ "codes", "", codes },
	{ "signals", "", signals },
	{ "killed", "", killed },
	{ "fork-only", "", fork_only },
	{ "exec-fails", "", exec_fails },
	{ "chain-same", "", chain_same_case },
	{ "chain-late", "", chain_late },
	{ "chain-other", "", chain_other },
	{ "memfd", "", memfd },
	{ "script", "", script },
	{ "ways", "", ways },
	{ "sigchld-ignored", "", sigchld_ignored },
	{ "pid-namespace", "", pid_namespace },
	{ "compat", "", compat },
	{ "changes", "", changes },
	{ 0 },
};
