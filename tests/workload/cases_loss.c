// SPDX-License-Identifier: MIT OR Apache-2.0
// What makes a kernel skip its probes: execs asleep in the kernel, and bpf() calls beside them.
// And more processes at once than somebody may have room for.
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLEEPER "./sleeper"

static int number(int argc, char **argv, int i, int otherwise)
{
	return i < argc ? atoi(argv[i]) : otherwise;
}

/* A group that is asked before SLEEPER is executed; -1 where the kernel has none. */
static int ask_before_exec(void)
{
	int fan = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);

	if (copy_self(SLEEPER, 0755) < 0)
		die(SLEEPER);
	if (fan >= 0 &&
	    fanotify_mark(fan, FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, AT_FDCWD, SLEEPER) == 0)
		return fan;
	close(fan);
	return -1;
}

/* Waits until n execs are asleep; each has asked with a descriptor of its own. */
static void await_asleep(int fan, int n, int *asked)
{
	struct fanotify_event_metadata events[64], *e;
	int got = 0;

	while (got < n) {
		ssize_t bytes = read(fan, events, sizeof(events));

		if (bytes < 0)
			die("fanotify");
		for (e = events; FAN_EVENT_OK(e, bytes); e = FAN_EVENT_NEXT(e, bytes))
			asked[got++] = e->fd;
	}
}

static void wake(int fan, int asked)
{
	struct fanotify_response answer = { .fd = asked, .response = FAN_ALLOW };

	if (write(fan, &answer, sizeof(answer)) != sizeof(answer))
		die("fanotify");
	close(asked);
}

/* N execs sleep in the kernel at once, M others come and go meanwhile; then all go on. */
static int sleepers(int argc, char **argv)
{
	int n = number(argc, argv, 0, 13), m = number(argc, argv, 1, 3);
	int asked[NSLOTS], fan;

	if (n < 1 || n >= NSLOTS)
		die("number of sleepers");
	fan = ask_before_exec();
	if (fan < 0) {
		emit_note("skip", "no fanotify that asks before an exec");
		return 0;
	}
	for (int i = 0; i < n; i++) {
		struct slot *s = slot_plain(i, "sleeper", ROLE_EXIT, i % 256);

		strcpy(s->step[0].path, SLEEPER);
		slot_spawn(s);
	}
	await_asleep(fan, n, asked);
	for (int i = 0; i < m; i++)
		slot_run(slot_plain(n, "beside", ROLE_EXIT, i % 256));
	for (int i = 0; i < n; i++)
		wake(fan, asked[i]);
	for (int i = 0; i < n; i++) {
		slot_wait(&sh->slot[i]);
		emit_slot(&sh->slot[i]);
	}
	close(fan);
	return 0;
}

/* bpf() calls that change a map, on one CPU, until killed. */
static void hammer(int cpu)
{
	union bpf_attr map = {
		.map_type = BPF_MAP_TYPE_HASH,
		.key_size = 4,
		.value_size = 4096,
		.max_entries = 64,
		.map_flags = BPF_F_NO_PREALLOC,
	};
	static char value[4096];
	int fd = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof(map));

	if (fd < 0)
		die("a BPF map");
	pin_cpu(cpu);
	for (unsigned int key = 0;; key = (key + 1) % 64) {
		union bpf_attr update = {
			.map_fd = (unsigned int)fd,
			.key = (u64)(uintptr_t)&key,
			.value = (u64)(uintptr_t)value,
		};

		syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &update, sizeof(update));
		syscall(SYS_bpf, BPF_MAP_DELETE_ELEM, &update, sizeof(update));
	}
}

/* N jobs one after the other, on each CPU in turn, beside a process that hammers bpf(). */
static int hammered(int argc, char **argv)
{
	int n = number(argc, argv, 0, 101), cpus = n_cpus() < NSLOTS ? n_cpus() : NSLOTS;
	pid_t pid[NSLOTS];

	for (int i = 0; i < cpus; i++) {
		pid[i] = fork();
		if (pid[i] < 0)
			die("fork");
		if (pid[i] == 0)
			hammer(i);
	}
	for (int i = 0; i < n; i++) {
		struct slot *s = slot_plain(0, "hammered", ROLE_EXIT, i % 256);

		s->cpu = i % cpus;
		slot_run(s);
	}
	for (int i = 0; i < cpus; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	return 0;
}

/* N jobs that are all there at once. */
static int crowd(int argc, char **argv)
{
	int n = number(argc, argv, 0, 101);

	if (n < 1 || n > NSLOTS)
		die("number of jobs");
	for (int i = 0; i < n; i++) {
		slot_spawn(slot_plain(i, "crowd", ROLE_WAIT, i % 256));
		slot_await(&sh->slot[i].stage, 1);
	}
	for (int i = 0; i < n; i++) {
		atomic_store(&sh->slot[i].go, 1);
		slot_wait(&sh->slot[i]);
		emit_slot(&sh->slot[i]);
	}
	return 0;
}

const struct wcase loss_cases[] = {
	{ "sleepers", "[N [M]]", sleepers },
	{ "hammered", "[N]", hammered },
	{ "crowd", "[N]", crowd },
	{ 0 },
};
