// SPDX-License-Identifier: MIT OR Apache-2.0
// How a job's process is made, executed and waited for.
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <string.h>
#include <unistd.h>

/* The step's arguments as a vector. */
static char **step_argv(struct step *st, char **v)
{
	char *p = st->args;

	for (int i = 0; i < st->n_args; i++, p += strlen(p) + 1)
		v[i] = p;
	v[st->n_args] = NULL;
	return v;
}

static const char *step_path(const struct step *st)
{
	return st->path[0] ? st->path : sh->self;
}

static char **slot_env(const struct slot *s, char *buf, size_t size, char **v)
{
	snprintf(buf, size, "WL_SLOT=%td", s - sh->slot);
	v[0] = buf;
	v[1] = NULL;
	return v;
}

static void do_exec(struct slot *s, int i, char **argv)
{
	struct step *st = &s->step[i];
	char buf[32], *env[2];
	int fd;

	slot_env(s, buf, sizeof(buf), env);
	stamp_used(&st->pre_used);
	switch (st->how) {
	case HOW_EMPTY_PATH:
	case HOW_MEMFD:
		fd = st->how == HOW_MEMFD ? memfd_of_self()
					  : open(step_path(st), O_PATH | O_CLOEXEC);
		if (fd < 0)
			die("image");
		atomic_store(&st->pre_ns, now_ns());
		syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
		break;
	case HOW_COMPAT:
	case HOW_COMPAT_AT:
		atomic_store(&st->pre_ns, now_ns());
		compat_exec(step_path(st), argv, env, st->how == HOW_COMPAT_AT);
		break;
	default:
		atomic_store(&st->pre_ns, now_ns());
		execve(step_path(st), argv, env);
	}
}

void execve_step(struct slot *s, int i)
{
	char *v[64];

	do_exec(s, i, step_argv(&s->step[i], v));
	die("exec of a step");
}

/* Leaves this image for the slot's step i. */
void exec_step(struct slot *s, int i)
{
	struct step *st = &s->step[i];

	if (st->delay_ms < 0)
		slot_await(&s->go, 1);
	else if (st->delay_ms)
		sleep_ms(st->delay_ms);
	if (st->how == HOW_THREAD || st->how == HOW_THREAD_LEADER_GONE)
		exec_in_thread(s, i, st->how == HOW_THREAD_LEADER_GONE);
	execve_step(s, i);
}

/* clone3 does what fork does, and lets the pid be chosen. */
pid_t clone_call(u64 flags, u64 exit_signal, int set_tid)
{
	pid_t tid = set_tid;
	struct {
		u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack;
		u64 stack_size, tls, set_tid, set_tid_size;
	} args = { .flags = flags, .exit_signal = exit_signal };

	if (set_tid) {
		args.set_tid = (u64)(uintptr_t)&tid;
		args.set_tid_size = 1;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* fork, and the child gets this pid; -1 with EEXIST if it cannot be had. */
pid_t fork_as(int want)
{
	pid_t pid = clone_call(0, SIGCHLD, want);
	char text[16];

	if (pid >= 0 || (errno != EPERM && errno != ENOSYS && errno != EINVAL))
		return pid;
	/* Without CAP_CHECKPOINT_RESTORE: the next pid, if nobody else forks. */
	for (int tries = 0; tries < 100; tries++) {
		snprintf(text, sizeof(text), "%d", want - 1);
		if (write_file("/proc/sys/kernel/ns_last_pid", text) < 0)
			return -1;
		pid = fork();
		if (pid == 0 && getpid() != want)
			_exit(0);
		if (pid <= 0 || pid == want)
			return pid;
		waitpid(pid, NULL, 0);
	}
	errno = EEXIST;
	return -1;
}

static void prepare_child(struct slot *s)
{
	if (s->cpu >= 0)
		pin_cpu(s->cpu);
	if (s->join[0] && write_file(s->join, "0") < 0)
		die(s->join);
	if (s->uid_before &&
	    setresuid((uid_t)s->uid_before, (uid_t)s->uid_before, (uid_t)s->uid_before) < 0)
		die("setresuid");
}

static pid_t make(struct slot *s, char **argv)
{
	char buf[32], *env[2];
	pid_t pid = -1;

	switch (s->via) {
	case VIA_SPAWN:
		atomic_store(&s->step[0].pre_ns, now_ns());
		errno = posix_spawn(&pid, step_path(&s->step[0]), NULL, NULL, argv,
				    slot_env(s, buf, sizeof(buf), env));
		return errno ? -1 : pid;
	case VIA_VFORK:
		/* Its child shares our memory and our stack: exec and nothing else. */
		slot_env(s, buf, sizeof(buf), env);
		atomic_store(&s->step[0].pre_ns, now_ns());
		pid = vfork();
		if (pid == 0) {
			execve(step_path(&s->step[0]), argv, env);
			_exit(125);
		}
		return pid;
	case VIA_CLONE_SIGNAL_0:
		pid = clone_call(0, 0, 0);
		break;
	case VIA_PIDNS:
		s->ppid = getpid();
		pid = clone_call(CLONE_NEWPID, SIGCHLD, 0);
		break;
	case VIA_SET_TID:
		pid = fork_as(s->set_tid);
		break;
	default:
		pid = fork();
	}
	if (pid == 0) {
		prepare_child(s);
		do_exec(s, 0, argv);
		die("exec");
	}
	return pid;
}

void slot_spawn_argv(struct slot *s, char **argv)
{
	pid_t pid;

	atomic_store(&s->fork_ns, now_ns());
	pid = make(s, argv);
	if (pid < 0)
		die("making a process");
	atomic_store(&s->pid, pid);
}

void slot_spawn(struct slot *s)
{
	char *v[64];

	slot_spawn_argv(s, step_argv(&s->step[0], v));
}

/* User and system time are each cut to microseconds. */
static void put_after(struct slot *s, const struct rusage *ru)
{
	u64 us = (u64)(ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) * 1000000 +
		 (u64)(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec);

	s->after_used = (struct used){
		.cpu_ns = (us + 2) * 1000,
		.major_faults = (u64)ru->ru_majflt,
		.voluntary = (u64)ru->ru_nvcsw,
		.involuntary = (u64)ru->ru_nivcsw,
	};
	s->after_maxrss_kib = (u64)ru->ru_maxrss;
}

void slot_wait(struct slot *s)
{
	int status = 0;
	struct rusage ru;
	pid_t got;

	do
		got = wait4(atomic_load(&s->pid), &status, __WALL, &ru);
	while (got < 0 && errno == EINTR);
	if (got < 0 && !(errno == ECHILD && s->by_construction))
		die("waitpid");
	if (got >= 0) {
		atomic_store(&s->status, status);
		put_after(s, &ru);
	}
	atomic_store(&s->after_ns, now_ns());
	atomic_store(&s->waited, 1);
}

/* The whole life of a job, and its lines. */
void slot_run(struct slot *s)
{
	slot_spawn(s);
	slot_wait(s);
	emit_slot(s);
}
