// SPDX-License-Identifier: MIT OR Apache-2.0
// How a job is described; time, files, waiting for one another.
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct shared *sh;

u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

/* Of the process or the calling thread; to the nanosecond, not to the tick. */
u64 cpu_ns(bool thread)
{
	struct timespec t;

	clock_gettime(thread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_PROCESS_CPUTIME_ID, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

void stamp_used(struct used *used)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	*used = (struct used){
		.cpu_ns = cpu_ns(false),
		.major_faults = (u64)ru.ru_majflt,
		.voluntary = (u64)ru.ru_nvcsw,
		.involuntary = (u64)ru.ru_nivcsw,
	};
}

/* Several threads may stamp: the latest counts. */
void stamp_last(struct slot *s)
{
	u64 now = now_ns(), old = atomic_load(&s->last_ns);

	while (old < now && !atomic_compare_exchange_weak(&s->last_ns, &old, now))
		;
}

void die(const char *what)
{
	fprintf(stderr, "workload: %s: %s\n", what, strerror(errno));
	_exit(125);
}

void shared_create(void)
{
	int fd = (int)syscall(SYS_memfd_create, "workload", 0);

	if (fd < 0 || ftruncate(fd, sizeof(*sh)) < 0 || dup2(fd, SHARED_FD) < 0)
		die("memfd");
	close(fd);
	shared_map();
}

void shared_map(void)
{
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
	if (sh == MAP_FAILED)
		die("mmap");
}

struct slot *slot_reset(int i, const char *label)
{
	struct slot *s = &sh->slot[i];

	memset(s, 0, sizeof(*s));
	snprintf(s->label, sizeof(s->label), "%s", label);
	s->cpu = -1;
	s->start_known = true;
	return s;
}

void step_arg(struct step *st, const char *arg)
{
	size_t used = 0;

	for (int i = 0; i < st->n_args; i++)
		used += strlen(st->args + used) + 1;
	if (used + strlen(arg) + 1 > sizeof(st->args)) {
		errno = E2BIG;
		die(arg);
	}
	strcpy(st->args + used, arg);
	st->n_args++;
}

struct step *step_add(struct slot *s, enum how how, int n_args, ...)
{
	struct step *st = &s->step[s->n_steps++];
	va_list ap;

	st->how = how;
	va_start(ap, n_args);
	for (int i = 0; i < n_args; i++)
		step_arg(st, va_arg(ap, const char *));
	va_end(ap);
	return st;
}

/* One step: the tag, the label, and a serial number that is never used again. */
struct slot *slot_plain(int i, const char *label, enum role role, long p0)
{
	struct slot *s = slot_reset(i, label);
	char serial[24];

	snprintf(serial, sizeof(serial), "#%d", atomic_fetch_add(&sh->serial, 1));
	step_add(s, HOW_EXECVE, 3, sh->tag, label, serial);
	s->role = role;
	s->p[0] = p0;
	return s;
}

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

static int copy_to_fd(int to)
{
	int from = open(sh->self, O_RDONLY | O_CLOEXEC);
	char buf[65536];
	ssize_t n;

	if (from < 0)
		return -1;
	while ((n = read(from, buf, sizeof(buf))) > 0)
		if (write(to, buf, (size_t)n) != n)
			die("copy of the program");
	close(from);
	return n < 0 ? -1 : 0;
}

int copy_self(const char *to, int mode)
{
	int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	if (fd < 0 || copy_to_fd(fd) < 0 || fchmod(fd, (mode_t)mode) < 0)
		return -1;
	return close(fd);
}

int memfd_of_self(void)
{
	int fd = (int)syscall(SYS_memfd_create, "wl-image", MFD_CLOEXEC);

	return fd < 0 || copy_to_fd(fd) < 0 ? -1 : fd;
}

void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

void pin_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int n_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : (int)n;
}

/* Waits for another process to set a flag; polls, so that no wake-up shapes the race. */
void slot_await(_Atomic int *flag, int value)
{
	for (u64 end = now_ns() + 60000 * MS; atomic_load(flag) < value; sleep_ms(1)) {
		if (now_ns() > end) {
			errno = ETIMEDOUT;
			die("waiting for another process");
		}
	}
}

/* Tells the harness that all is in place, and waits for its word. */
void await_stdin(const char *fmt, ...)
{
	char line[64], text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	emit_note("ready", "%s", text);
	if (!fgets(line, sizeof(line), stdin))
		die("stdin");
}
