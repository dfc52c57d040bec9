// SPDX-License-Identifier: MIT OR Apache-2.0
// Roles of images with several threads.
#include "workload.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct slot *job;
static _Atomic int waiting; /* threads that have not come to the barrier */

/* All threads go on within nanoseconds of each other, if there are CPUs for them. */
static void barrier(void)
{
	int turns = 0;

	atomic_fetch_sub(&waiting, 1);
	while (atomic_load(&waiting) > 0)
		if (++turns > 2000)
			sched_yield();
}

static void end_by(enum way way, long code) __attribute__((noreturn));
static void end_by(enum way way, long code)
{
	stamp_last(job);
	switch (way) {
	case WAY_PTHREAD_EXIT:
		pthread_exit(NULL);
	case WAY_EXIT_GROUP:
		syscall(SYS_exit_group, code);
		break;
	case WAY_SIGNAL:
		die_by(job, (int)code, false);
	case WAY_SYS_EXIT:
		syscall(SYS_exit, code);
	}
	for (;;)
		pause();
}

static void start(void *(*f)(void *), long arg)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	if (pthread_create(&t, &attr, f, (void *)arg))
		die("pthread_create");
}

/* Returns once the leader is a zombie: /proc says so. */
static void await_leader_gone(void)
{
	char path[64], buf[512], *p;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	for (;; sleep_ms(1)) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, buf, sizeof(buf) - 1);

		close(fd);
		if (fd < 0 || n <= 0)
			die("the leader's state");
		buf[n] = 0;
		p = strrchr(buf, ')');
		if (p && p[2] == 'Z')
			return;
	}
}

static void *last_thread(void *arg)
{
	(void)arg;
	await_leader_gone();
	sleep_ms(3);
	burn(job->step[0].burn_ms);
	if (job->step[0].burn_ms)
		stamp_used(&job->last_used);
	end_by((enum way)job->p[3], job->p[1]);
}

void role_leader_first(struct slot *s)
{
	job = s;
	start(last_thread, 0);
	end_by((enum way)s->p[2], s->p[0]);
}

static void *last_thread_waits(void *arg)
{
	(void)arg;
	await_leader_gone();
	atomic_store(&job->ready, 1);
	slot_await(&job->go, 1);
	end_by(WAY_SYS_EXIT, job->p[1]);
}

void role_leader_gone_wait(struct slot *s)
{
	job = s;
	start(last_thread_waits, 0);
	end_by(WAY_SYS_EXIT, s->p[0]);
}

static void *exit_with(void *code)
{
	barrier();
	end_by(WAY_SYS_EXIT, (long)code);
}

static void *exit_group_with(void *code)
{
	barrier();
	end_by(WAY_EXIT_GROUP, (long)code);
}

void role_two_exit(struct slot *s)
{
	job = s;
	waiting = 2;
	start(exit_with, s->p[1]);
	exit_with((void *)s->p[0]);
	abort();
}

void role_many_exit(struct slot *s)
{
	job = s;
	waiting = (int)s->p[1];
	for (long i = 1; i < s->p[1]; i++)
		start(exit_with, s->p[0] + i);
	exit_with((void *)s->p[0]);
	abort();
}

void role_group_race(struct slot *s)
{
	job = s;
	waiting = (int)s->p[1];
	for (long i = 1; i < s->p[1]; i++)
		start(exit_group_with, s->p[0] + i);
	exit_group_with((void *)s->p[0]);
	abort();
}

void role_exit_and_group(struct slot *s)
{
	job = s;
	waiting = 2;
	start(exit_group_with, s->p[1]);
	exit_with((void *)s->p[0]);
	abort();
}

static void *burn_and_end(void *arg)
{
	static _Atomic int burned;

	(void)arg;
	burn(job->p[2]);
	if (atomic_fetch_add(&burned, 1) == job->p[1] - 1)
		stamp_used(&job->last_used);
	barrier();
	end_by((enum way)job->p[3], job->p[0]);
}

void role_burn(struct slot *s)
{
	job = s;
	waiting = (int)s->p[1];
	for (long i = 1; i < s->p[1]; i++)
		start(burn_and_end, 0);
	burn_and_end(NULL);
	abort();
}

static void *idle(void *arg)
{
	(void)arg;
	barrier();
	for (;;)
		pause();
	return NULL;
}

static void *kill_all(void *arg)
{
	(void)arg;
	barrier();
	sleep_ms(1);
	die_by(job, (int)job->p[0], job->p[1]);
}

void role_threads_signal(struct slot *s)
{
	job = s;
	waiting = (int)s->p[2] + 1;
	for (long i = 1; i < s->p[2]; i++)
		start(idle, 0);
	start(kill_all, 0);
	idle(NULL);
	abort();
}

/* Whoever waits for `ready` kills it. */
void role_threads_wait(struct slot *s)
{
	job = s;
	waiting = (int)s->p[1];
	for (long i = 1; i < s->p[1]; i++)
		start(idle, 0);
	atomic_store(&s->ready, 1);
	idle(NULL);
	abort();
}

struct next {
	struct slot *slot;
	int step;
	bool leader_gone;
};

static void *exec_next(void *arg)
{
	struct next *next = arg;

	if (next->leader_gone)
		await_leader_gone();
	execve_step(next->slot, next->step);
}

void exec_in_thread(struct slot *s, int i, bool leader_gone)
{
	static struct next next;
	pthread_t t;

	next = (struct next){ s, i, leader_gone };
	if (pthread_create(&t, NULL, exec_next, &next))
		die("pthread_create");
	if (leader_gone)
		syscall(SYS_exit, 99);
	for (;;)
		pause();
}
