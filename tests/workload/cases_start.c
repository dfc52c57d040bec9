// SPDX-License-Identifier: MIT OR Apache-2.0
// Starts of containers by the chains of processes that runc 1.3 and crun make, for
// kernels on which those cannot run. Each moment is told by a stamp before and one after:
// {"type":"stamp","mark":…,"before_ns":…,"after_ns":…,"pid":…}
#include "workload.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define GATE_FD 201 /* what is to become the payload waits here; 202 opens it */
#define FILE_FD 6   /* runc 1.3 executes its init by this */
#define PAYLOAD_CODE 7

static char before[32];

/* The next stamp's first half; it survives an exec in the environment. */
static void begin_mark(void)
{
	snprintf(before, sizeof(before), "%llu", (unsigned long long)now_ns());
	setenv("WL_BEFORE", before, 1);
}

/* In one write, so that the lines of several processes do not mix. */
static void end_mark(const char *mark)
{
	char line[256];
	int bytes = snprintf(line, sizeof(line),
			     "{\"type\":\"stamp\",\"mark\":\"%s\",\"before_ns\":%s,"
			     "\"after_ns\":%llu,\"pid\":%d}\n",
			     mark, getenv("WL_BEFORE"), (unsigned long long)now_ns(), getpid());

	if (write(1, line, bytes) != bytes)
		die("stdout");
}

static void become(const char *path, const char *image, char **argv) __attribute__((noreturn));
static void become(const char *path, const char *image, char **argv)
{
	setenv("WL_START", image, 1);
	begin_mark();
	execv(path, argv);
	die(path);
}

/* Waits for all children; returns the last code that is not 0. */
static int reap(void)
{
	int status, code = 0;

	while (wait(&status) > 0)
		if (WIFEXITED(status) && WEXITSTATUS(status))
			code = WEXITSTATUS(status);
	return code;
}

/* The process that becomes the payload, once it is told to. */
static void enter(void) __attribute__((noreturn));
static void enter(void)
{
	char *argv[] = { "payload", "argument", NULL };
	char byte;

	end_mark("ready");
	if (read(GATE_FD, &byte, 1) != 1)
		_exit(1);
	if (!strcmp(getenv("WL_COMMAND"), "fail"))
		_exit(PAYLOAD_CODE);
	become(getenv("WL_SELF"), "payload", argv);
}

/* The child has our parent, and our way to tell it. */
static pid_t fork_parent(void)
{
	pid_t pid = clone_call(CLONE_PARENT, 0, 0);

	if (pid < 0)
		die("clone");
	return pid;
}

/* Forks what forks what becomes the payload; all are children of the runtime. */
static void runc_init(void)
{
	if (fork_parent())
		_exit(0);
	begin_mark();
	if (fork_parent())
		_exit(0);
	enter();
}

static void runc_main(void)
{
	char *argv[] = { "/usr/sbin/runc", "init", NULL };

	/* Go tries whether it can have a pidfd. */
	if (fork() == 0)
		_exit(0);
	if (fork() == 0) {
		if (dup2(open(getenv("WL_SELF"), O_RDONLY), FILE_FD) != FILE_FD)
			die("dup2");
		become("/proc/self/fd/6", "init", argv);
	}
	/* That one, init and its child; what that has made waits. */
	for (int i = 0; i < 3; i++)
		wait(NULL);
}

static void crun_main(void)
{
	begin_mark();
	if (fork() == 0)
		enter();
}

static void hook(void)
{
	char *argv[] = { "hook", "argument", NULL };
	pid_t pid = fork();

	if (pid == 0)
		become(getenv("WL_SELF"), "hook", argv);
	if (waitpid(pid, NULL, 0) != pid)
		die("waitpid");
}

static bool open_gate(void)
{
	return write(GATE_FD + 1, "", 1) == 1;
}

/* What a runtime does once it has its image. */
static int runtime_main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	bool runc = strstr(argv[0], "runc"), starts = !strcmp(command, "start");

	if (!getenv("WL_AGAIN"))
		end_mark(starts ? "asked" : "begin");
	if (!runc && !getenv("WL_AGAIN")) {
		setenv("WL_AGAIN", "1", 1);
		execv(getenv("WL_SELF"), argv);
	}
	if (starts)
		return !open_gate();
	if (runc)
		runc_main();
	else
		crun_main();
	hook();
	/* Whoever called `create` gets what it leaves. */
	if (!strcmp(command, "create"))
		return 0;
	return open_gate() ? reap() : 1;
}

/* An image of such a start. */
int start_image(int argc, char **argv)
{
	const char *image = getenv("WL_START");

	if (!strcmp(image, "main"))
		return runtime_main(argc, argv);
	if (!strcmp(image, "init")) {
		end_mark("init");
		runc_init();
	}
	if (!strcmp(image, "hook"))
		sleep_ms(3);
	if (!strcmp(image, "payload"))
		end_mark("payload");
	return strcmp(image, "payload") ? 0 : PAYLOAD_CODE;
}

static int call(const char *runtime, const char *command)
{
	char *argv[] = { (char *)runtime, (char *)command, "web", NULL };
	int status;
	pid_t pid;

	unsetenv("WL_AGAIN");
	pid = fork();
	if (pid == 0)
		become(sh->self, "main", argv);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return WEXITSTATUS(status);
}

/* RUNTIME and what is to happen: run, create (with its start), or fail. */
static int start(int argc, char **argv)
{
	const char *runtime = argc ? argv[0] : "runc", *command = argc > 1 ? argv[1] : "run";
	int gate[2];

	setenv("WL_SELF", sh->self, 1);
	setenv("WL_COMMAND", command, 1);
	if (pipe(gate) < 0 || dup2(gate[0], GATE_FD) < 0 || dup2(gate[1], GATE_FD + 1) < 0)
		die("pipe");
	if (strcmp(command, "create"))
		return call(runtime, "run") != PAYLOAD_CODE;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (call(runtime, "create"))
		return 1;
	sleep_ms(11);
	if (call(runtime, "start"))
		return 1;
	return reap() != PAYLOAD_CODE;
}

const struct wcase start_cases[] = {
	{ "start", "RUNTIME run|create|fail", start },
	{ 0 },
};
