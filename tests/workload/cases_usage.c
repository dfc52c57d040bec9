// SPDX-License-Identifier: MIT OR Apache-2.0
// What processes use: CPU time, memory, waits; each alone, and image by image.
#include "workload.h"

#include <signal.h>

/* One thread or several; all burn, then the last of them ends it, or all at once. */
static int usage_cpu(int argc, char **argv)
{
	static const enum way way[] = { WAY_EXIT_GROUP, WAY_SYS_EXIT };
	static const enum via via[] = { VIA_FORK, VIA_VFORK, VIA_SPAWN };

	(void)argc, (void)argv;
	for (int i = 0; i < 3; i++) {
		for (int j = 0; j < 2; j++) {
			struct slot *s = slot_plain(0, "burn-threads", ROLE_BURN, 3);

			s->via = (int)via[i];
			s->p[1] = 5;
			s->p[2] = 17;
			s->p[3] = (long)way[j];
			slot_run(s);
		}
	}
	struct slot *s = slot_plain(0, "burn", ROLE_EXIT, 0);

	s->step[0].burn_ms = 53;
	slot_run(s);
	return 0;
}

/* The leader is there still, as a zombie, when the last thread ends. */
static void leader_first(bool told)
{
	struct slot *s = slot_plain(0, "burn-leader-first", ROLE_LEADER_FIRST, 1);

	s->p[1] = 2;
	s->p[2] = WAY_SYS_EXIT;
	s->p[3] = WAY_SYS_EXIT;
	s->step[0].burn_ms = 19;
	/*
	 * Its parent gets no signal, and nothing to wait for: its end is seen earlier.
	 * One code for both: which of two counts is the kernel's affair (v6.0).
	 */
	if (!told)
		s->p[0] = 2;
	s->by_construction = !told;
	s->status = 2 << 8;
	signal(SIGCHLD, told ? SIG_DFL : SIG_IGN);
	slot_run(s);
	signal(SIGCHLD, SIG_DFL);
}

static int usage_leader_first(int argc, char **argv)
{
	(void)argc, (void)argv;
	leader_first(true);
	leader_first(false);
	return 0;
}

static int usage_sleep(int argc, char **argv)
{
	struct slot *s = slot_plain(0, "sleep", ROLE_SLEEP, 0);

	(void)argc, (void)argv;
	s->p[1] = 101;
	slot_run(s);
	return 0;
}

/* Small, then large, then small: each image's own, as far as the kernel can tell. */
static int usage_images(int argc, char **argv)
{
	struct slot *s = slot_plain(0, "images", ROLE_EXIT, 0);

	(void)argc, (void)argv;
	s->step[0].burn_ms = 3;
	step_add(s, HOW_EXECVE, 2, sh->tag, "large");
	s->step[1].touch_mib = 31;
	s->step[1].burn_ms = 41;
	step_add(s, HOW_EXECVE, 2, sh->tag, "small again");
	slot_run(s);
	/* Its threads end with the image. */
	s = slot_plain(0, "images-thread", ROLE_EXIT, 0);
	s->step[0].burn_ms = 29;
	step_add(s, HOW_THREAD, 2, sh->tag, "from a thread");
	slot_run(s);
	return 0;
}

/* Runs before the observer does; its second image after. */
static int usage_running(int argc, char **argv)
{
	struct slot *s = slot_plain(0, "running", ROLE_EXIT, 0);

	(void)argc, (void)argv;
	s->start_known = false;
	s->step[0].touch_mib = 23;
	s->step[0].burn_ms = 37;
	step_add(s, HOW_EXECVE, 2, sh->tag, "later")->delay_ms = -1;
	slot_spawn(s);
	slot_await(&s->stage, 1);
	await_stdin("running");
	atomic_store(&s->go, 1);
	slot_wait(s);
	emit_slot(s);
	return 0;
}

const struct wcase usage_cases[] = {
	{ "usage-cpu", "", usage_cpu },		{ "usage-leader-first", "", usage_leader_first },
	{ "usage-sleep", "", usage_sleep },	{ "usage-images", "", usage_images },
	{ "usage-running", "", usage_running }, { 0 },
};
