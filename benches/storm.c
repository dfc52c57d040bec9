// SPDX-License-Identifier: MIT OR Apache-2.0
// Forks, executes and waits as fast as it goes, from one worker per CPU, and
// tells what one such iteration took.
//
// usage: storm [-w WORKERS] [-n ITERATIONS] [-a ARGV_BYTES] [-g NAMES] PROGRAM
//        storm -s SLEEPERS
//
//   -w  workers, pinned to CPUs 0, 1, ... in turn; default: one for each CPU
//   -n  iterations of each worker
//   -a  pad argv to so many bytes in all
//   -g  argv[0] takes so many different values in turn
//   -s  no storm but so many processes that sleep; fewer if the host has no room
//
// Prints `ns_per_iteration executions`; of sleepers how many there are, and their
// process group, by which to kill them.
#define _GNU_SOURCE
#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES 4096

static long iterations = 1000, argv_bytes, names, workers;
static const char *program;

/* Shared with the workers: when each began and ended. */
static struct span {
	long began_ns, ended_ns;
} * spans;

static long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void work(int worker)
{
	long padding = argv_bytes - (long)strlen(program) - 2;
	char *pad = padding > 0 ? calloc(1, padding + 1) : NULL;
	char name[32];
	char *argv[] = { (char *)program, pad, NULL };
	char *envp[] = { NULL };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(worker % sysconf(_SC_NPROCESSORS_ONLN), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "sched_setaffinity");
	if (pad)
		memset(pad, 'x', padding);
	spans[worker].began_ns = now_ns();
	for (long i = 0; i < iterations; i++) {
		int status;
		pid_t child;

		if (names) {
			snprintf(name, sizeof(name), "nothing-%ld", (i * workers + worker) % names);
			argv[0] = name;
		}
		child = fork();
		if (child < 0)
			err(1, "fork");
		if (!child) {
			execve(program, argv, envp);
			_exit(127);
		}
		if (waitpid(child, &status, 0) < 0)
			err(1, "waitpid");
		if (status)
			errx(1, "%s ended with status %#x", program, status);
	}
	spans[worker].ended_ns = now_ns();
	_exit(0);
}

static int sleep_on(__attribute__((unused)) void *nothing)
{
	for (;;)
		pause();
	return 0;
}

/*
 * Processes of their own that share our memory, so that a hundred thousand of them
 * find room.
 */
static int sleep_beside(long count)
{
	char *stacks = mmap(NULL, (count + 1) * STACK_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	long started;

	if (stacks == MAP_FAILED)
		err(1, "mmap");
	if (setpgid(0, 0))
		err(1, "setpgid");
	for (started = 0; started < count; started++) {
		char *top = stacks + (started + 1) * STACK_BYTES;

		if (clone(sleep_on, top, CLONE_VM | SIGCHLD, NULL) < 0)
			break;
	}
	printf("%ld %d\n", started, getpgid(0));
	fflush(stdout);
	return sleep_on(NULL);
}

int main(int argc, char **argv)
{
	long sum_ns = 0, sleepers = 0;
	int option, failed = 0;

	workers = sysconf(_SC_NPROCESSORS_ONLN);
	while ((option = getopt(argc, argv, "w:n:a:g:s:")) != -1) {
		switch (option) {
		case 'w':
			workers = atol(optarg);
			break;
		case 'n':
			iterations = atol(optarg);
			break;
		case 'a':
			argv_bytes = atol(optarg);
			break;
		case 'g':
			names = atol(optarg);
			break;
		case 's':
			sleepers = atol(optarg);
			break;
		default:
			return 2;
		}
	}
	if (sleepers > 0)
		return sleep_beside(sleepers);
	program = argv[optind];
	if (!program || workers < 1 || iterations < 1)
		errx(2, "usage: storm [-w WORKERS] [-n ITERATIONS] [-a BYTES] [-g NAMES] "
			"PROGRAM");
	spans = mmap(NULL, workers * sizeof(*spans), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (spans == MAP_FAILED)
		err(1, "mmap");
	for (int worker = 0; worker < workers; worker++) {
		pid_t child = fork();

		if (child < 0)
			err(1, "fork");
		if (!child)
			work(worker);
	}
	for (int worker = 0; worker < workers; worker++) {
		int status;

		wait(&status);
		failed |= status;
	}
	if (failed)
		return 1;
	for (int worker = 0; worker < workers; worker++)
		sum_ns += spans[worker].ended_ns - spans[worker].began_ns;
	printf("%ld %ld\n", sum_ns / workers / iterations, workers * iterations);
	return 0;
}
