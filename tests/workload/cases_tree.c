// SPDX-License-Identifier: MIT OR Apache-2.0
// Families, and processes that ran before the observer started or still run when it ends.
#include "workload.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A parent that leaves its child behind: it comes to us. */
static int orphan(int argc, char **argv)
{
	struct slot *parent = slot_plain(0, "parent", ROLE_SPAWN_LEAVE, 61);
	struct slot *child = slot_plain(1, "orphan", ROLE_WAIT, 62);

	(void)argc, (void)argv;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	parent->p[1] = 1;
	parent->p[2] = 1;
	slot_run(parent);
	atomic_store(&child->go, 1);
	slot_wait(child);
	emit_slot(child);

	/* One that execs again, with another argv, when its parent is gone. */
	parent = slot_plain(0, "parent", ROLE_SPAWN_LEAVE, 63);
	child = slot_plain(1, "orphan-exec", ROLE_EXIT, 64);
	step_add(child, HOW_EXECVE, 2, sh->tag, "alone")->delay_ms = -1;
	parent->p[1] = 1;
	parent->p[2] = 1;
	slot_run(parent);
	atomic_store(&child->go, 1);
	slot_wait(child);
	emit_slot(child);
	return 0;
}

/*
 * A tree of executions below a first one: slot 0 starts 1 and 2, 1 starts 3 and
 * 4, 2 starts 5. root_tag is 0's argv[0]; the others have "below".
 */
static struct slot *tree(const char *root_tag, int wait_for_go)
{
	static const int first[] = { 1, 3, 5, 0, 0, 0 }, count[] = { 2, 2, 1, 0, 0, 0 };
	struct slot *s;

	for (int i = 0; i < 6; i++) {
		s = slot_reset(i, i ? "below" : "root");
		step_add(s, HOW_EXECVE, 2, i ? "below" : root_tag, i ? "child" : "root");
		s->role = count[i] ? ROLE_SPAWN : ROLE_EXIT;
		s->p[0] = 70 + i;
		s->p[1] = first[i];
		s->p[2] = count[i];
	}
	s = &sh->slot[4];
	step_add(s, HOW_EXECVE, 2, "below", "another image");
	s = &sh->slot[0];
	if (wait_for_go) {
		step_add(s, HOW_EXECVE, 2, root_tag, "root again");
		s->step[1].delay_ms = -1;
	}
	return s;
}

static void tree_end(struct slot *s)
{
	slot_wait(s);
	for (int i = 0; i < 6; i++)
		emit_slot(&sh->slot[i]);
}

static int family(int argc, char **argv)
{
	struct slot *root = tree(argc ? argv[0] : sh->tag, 0), *aside;

	slot_spawn(root);
	tree_end(root);
	aside = slot_plain(6, "aside", ROLE_EXIT, 0);
	aside->step[0].args[0] ^= 1; /* not the tag */
	slot_run(aside);
	return 0;
}

/* The same, but its root is there, and waits, before the observer starts. */
static int family_running(int argc, char **argv)
{
	struct slot *root = tree(argc ? argv[0] : sh->tag, 1);

	root->start_known = false;
	slot_spawn(root);
	slot_await(&root->stage, 1);
	await_stdin("%d", root->pid);
	slot_run(slot_plain(6, "aside", ROLE_EXIT, 0));
	atomic_store(&root->go, 1);
	tree_end(root);
	return 0;
}

/* What already runs: their ends are reported, their starts are not known. */
static int running(int argc, char **argv)
{
	static const enum role role[] = { ROLE_WAIT, ROLE_WAIT, ROLE_EXIT, ROLE_LEADER_GONE_WAIT,
					  ROLE_THREADS_WAIT };
	struct slot *s, *zombie = slot_plain(5, "zombie", ROLE_EXIT, 0);

	(void)argc, (void)argv;
	slot_spawn(zombie); /* not waited for: it has ended, it gives no row */
	for (int i = 0; i < 5; i++) {
		s = slot_plain(i, "running", role[i], 80 + i);
		s->p[1] = 7;
		s->start_known = false;
		if (role[i] == ROLE_EXIT) /* execs again after the start */
			step_add(s, HOW_EXECVE, 2, sh->tag, "known")->delay_ms = -1;
		slot_spawn(s);
	}
	for (int i = 0; i < 5; i++)
		slot_await(i < 3 ? &sh->slot[i].stage : &sh->slot[i].ready, 1);
	waitid(P_PID, (id_t)zombie->pid, NULL, WEXITED | WNOWAIT);
	await_stdin("%d", getpid());
	for (int i = 0; i < 5; i++) {
		s = &sh->slot[i];
		if (i == 1 || i == 4) {
			stamp_last(s);
			kill(s->pid, SIGKILL);
		}
		atomic_store(&s->go, 1);
		slot_wait(s);
		emit_slot(s);
	}
	slot_wait(zombie);
	return 0;
}

/* What still runs when the observer is stopped. */
static int still(int argc, char **argv)
{
	struct slot *s;

	(void)argc, (void)argv;
	await_stdin("start");
	for (int i = 0; i < 3; i++) {
		s = slot_plain(i, "still", i == 2 ? ROLE_LEADER_GONE_WAIT : ROLE_WAIT, 0);
		slot_spawn(s);
		slot_await(i == 2 ? &s->ready : &s->stage, 1);
		emit_slot(s);
	}
	await_stdin("still");
	for (int i = 0; i < 3; i++) {
		atomic_store(&sh->slot[i].go, 1);
		slot_wait(&sh->slot[i]);
	}
	return 0;
}

/* For `execlat -- workload status …`: our own end is what is looked at. */
static int end_by(int argc, char **argv)
{
	slot_run(slot_plain(0, "child", ROLE_EXIT, 90));
	if (argc > 1)
		sh->end_signal = atoi(argv[1]);
	return argc ? atoi(argv[0]) : 0;
}

const struct wcase tree_cases[] = {
	{ "orphan", "", orphan },
	{ "family", "[ROOT_NAME]", family },
	{ "family-running", "[ROOT_NAME]", family_running },
	{ "running", "", running },
	{ "still", "", still },
	{ "end-by", "[CODE [SIGNAL]]", end_by },
	{ 0 },
};
