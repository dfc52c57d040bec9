// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * driver: starts what the test asks for, as a shell or an engine would, and says
 * how and when each ended. Orphans come to it, so that payloads are seen as well.
 *
 * stdin, for each program: how many words follow, on a line; then the words, each
 * with a NUL: the file to execute, and its argv.
 *
 * stdout: `ready`; `started PID NS`, the time being that before the fork; `ended
 * PID STATUS NS`, once for each child, as wait reports it.
 *
 * A child reads nothing and writes where our stderr goes.
 *
 * `driver as UID FILE ARGV...` executes FILE with ARGV as that user. By any other name
 * than driver it does nothing, well; or starts a process as a runtime does, see enter().
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static sigset_t inherited;
static int nothing;

static unsigned long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Returns once the child has its new image, or has failed to get one. */
static pid_t spawn(char **words)
{
	pid_t pid = vfork();

	if (pid)
		return pid;
	sigprocmask(SIG_SETMASK, &inherited, NULL);
	if (dup2(nothing, 0) == 0 && dup2(2, 1) == 1)
		execv(words[0], words + 1);
	_exit(127);
}

static char *read_until(int delimiter)
{
	char *text = NULL;
	size_t size = 0;

	if (getdelim(&text, &size, delimiter, stdin) < 0)
		exit(0);
	return text;
}

static void start_one(void)
{
	char *count = read_until('\n');
	int n = atoi(count);
	char **words = calloc(n + 1, sizeof(*words));
	unsigned long long before;
	pid_t pid;

	if (!words)
		err(1, "calloc");
	for (int i = 0; i < n; i++)
		words[i] = read_until(0);
	before = now_ns();
	pid = spawn(words);
	if (pid < 0)
		err(1, "vfork");
	printf("started %d %llu\n", pid, before);
	for (int i = 0; i < n; i++)
		free(words[i]);
	free(words);
	free(count);
}

static void reap(int signals)
{
	struct signalfd_siginfo info;
	pid_t pid;
	int status;

	while (read(signals, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		printf("ended %d %d %llu\n", pid, status, now_ns());
}

/*
 * What else this machine does is not to be measured: we and our children come
 * first, also where sessions share the CPU as autogroups, and are given it at once,
 * as a short slice has it from v6.12 on. All this may fail.
 */
static void come_first(void)
{
	struct {
		unsigned int size, policy;
		unsigned long long flags;
		int nice;
		unsigned int priority;
		unsigned long long slice_ns, deadline, period;
	} attr = { .size = sizeof(attr), .nice = -20, .slice_ns = 100000 };
	int fd;

	if (syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
		setpriority(PRIO_PROCESS, 0, -20);
	setsid();
	fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "-20", 3) < 0)
		warn("autogroup");
	close(fd);
}

static void execute_as(uid_t uid, const char *file, char **argv)
{
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		err(1, "driver as %u", uid);
	execv(file, argv);
	err(127, "%s", file);
}

static void write_pid(const char *file, pid_t pid)
{
	FILE *f = fopen(file, "we");

	if (!f || fprintf(f, "%d\n", pid) < 0 || fclose(f))
		err(1, "%s", file);
}

/*
 * By the environment. CLONE_INTO=CGROUP: starts a process in there. PID_FILE=FILE:
 * starts one that somebody else, who finds its pid there, has to move and to kill. It
 * executes nothing, so where it is, is all that it shows. ENOSYS is the exit status
 * where it cannot be cloned into a cgroup.
 */
static int enter(void)
{
	const char *cgroup = getenv("CLONE_INTO"), *file = getenv("PID_FILE");
	struct clone_args args = { .exit_signal = SIGCHLD };
	pid_t pid;

	if (!cgroup && !file)
		return 0;
	if (cgroup) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (!pid && file)
		pause();
	if (!pid)
		_exit(0);
	if (pid < 0 && errno == ENOSYS)
		return ENOSYS;
	if (pid < 0)
		err(1, "clone3");
	if (file)
		write_pid(file, pid);
	return waitpid(pid, NULL, 0) != pid;
}

int main(int argc, char **argv)
{
	struct pollfd fds[2] = { { .fd = 0, .events = POLLIN }, { .events = POLLIN } };
	sigset_t child;

	if (strcmp(program_invocation_short_name, "driver"))
		return enter();
	if (argc > 4 && !strcmp(argv[1], "as"))
		execute_as(atoi(argv[2]), argv[3], argv + 4);
	come_first();
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &inherited);
	fds[1].fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fds[1].fd < 0 || nothing < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		err(1, "driver");
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	/* Nothing is left in stdin's buffer: the next program waits for our word. */
	while (poll(fds, 2, -1) >= 0) {
		if (fds[1].revents)
			reap(fds[1].fd);
		if (fds[0].revents)
			start_one();
	}
	err(1, "poll");
}
