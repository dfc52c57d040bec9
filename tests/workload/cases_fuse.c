// SPDX-License-Identifier: MIT OR Apache-2.0
// File systems that do not answer, and what they can hold.
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int dev = -1;
static bool answers_lookups;
static _Atomic int *unanswered; /* shared with the child: requests without an answer */
static _Atomic int *writer;	/* the thread that waits to change the child's memory */

static void answer(const struct fuse_in_header *in, int error, const void *body, size_t bytes)
{
	char out[sizeof(struct fuse_out_header) + 256] = { 0 };
	struct fuse_out_header header = {
		.len = (uint32_t)(sizeof(header) + bytes),
		.error = error,
		.unique = in->unique,
	};

	memcpy(out, &header, sizeof(header));
	memcpy(out + sizeof(header), body, bytes);
	if (write(dev, out, header.len) < 0 && errno != ENOENT)
		die("answer to FUSE");
}

static struct fuse_attr attributes(u64 node)
{
	return (struct fuse_attr){
		.ino = node,
		.size = 4096,
		.blocks = 8,
		.mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0644,
		.nlink = 1,
		.blksize = 4096,
	};
}

static void *serve(void *arg)
{
	static char request[1 << 20];

	(void)arg;
	while (read(dev, request, sizeof(request)) > 0) {
		const struct fuse_in_header *in = (const void *)request;
		struct fuse_init_out init = {
			.major = 7, .minor = 31, .max_write = 4096, .time_gran = 1
		};
		struct fuse_entry_out entry = { .nodeid = 2,
						.entry_valid = 1000,
						.attr_valid = 1000 };
		struct fuse_attr_out attr = { .attr_valid = 1000 };
		struct fuse_open_out opened = { .fh = 1 };

		entry.attr = attributes(2);
		attr.attr = attributes(in->nodeid);
		if (in->opcode == FUSE_INIT)
			answer(in, 0, &init, sizeof(init));
		else if (in->opcode == FUSE_LOOKUP && answers_lookups)
			answer(in, 0, &entry, sizeof(entry));
		else if (in->opcode == FUSE_GETATTR)
			answer(in, 0, &attr, sizeof(attr));
		else if (in->opcode == FUSE_OPEN || in->opcode == FUSE_OPENDIR)
			answer(in, 0, &opened, sizeof(opened));
		else if (in->opcode == FUSE_LOOKUP || in->opcode == FUSE_READ ||
			 in->opcode == FUSE_READDIR || in->opcode == FUSE_READDIRPLUS)
			atomic_fetch_add(unanswered, 1);
		else if (in->opcode != FUSE_FORGET && in->opcode != FUSE_INTERRUPT &&
			 in->opcode != FUSE_BATCH_FORGET)
			answer(in, -ENOSYS, "", 0);
	}
	return NULL;
}

static void mount_fuse(const char *at)
{
	char options[128];
	pthread_t server;

	dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", dev);
	if (dev < 0 || mount("execlat-test", at, "fuse", 0, options) < 0)
		die("a mount of FUSE");
	unanswered = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (unanswered == MAP_FAILED || pthread_create(&server, NULL, serve, NULL))
		die("the server of a file system");
	writer = unanswered + 1;
}

/* The lock of our memory is held for as long as the file does not answer. */
static void *hold(void *page)
{
	int mem = open("/proc/self/mem", O_RDONLY);
	char byte;

	if (pread(mem, &byte, 1, (off_t)(uintptr_t)page) < 0)
		return NULL;
	return NULL;
}

/* Whoever waits to change it lets nobody pass, not even to read. */
static void *change(void *arg)
{
	(void)arg;
	while (!atomic_load(unanswered))
		sleep_ms(1);
	atomic_store(writer, (int)syscall(SYS_gettid));
	mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return NULL;
}

static void hostile(void) __attribute__((noreturn));
static void hostile(void)
{
	pthread_t threads[2];
	int file = open("m/x", O_RDONLY);
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);

	close(dev);
	/* That one first: to make a thread is to change the memory. */
	if (page == MAP_FAILED || pthread_create(&threads[0], NULL, change, NULL) ||
	    pthread_create(&threads[1], NULL, hold, page))
		die("a thread");
	pthread_join(threads[1], NULL);
	_exit(0);
}

/* The state of a thread, by what /proc/PID/stat says behind the name. */
static char state_of(int pid, int tid)
{
	char path[64], text[512] = "", *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : 0;
}

static void await_it(bool (*is)(int pid), int pid)
{
	for (int i = 0; !is(pid); i++) {
		if (i > 3000)
			die("the file system is not asked");
		sleep_ms(10);
	}
}

static bool is_asked(int pid)
{
	(void)pid;
	return atomic_load(unanswered) > 0;
}

static bool waits(int pid)
{
	int tid = atomic_load(writer);

	return tid && state_of(pid, tid) == 'D';
}

/* A process whose command line nobody can read, until a word comes. */
static int hung_memory(int argc, char **argv)
{
	pid_t pid;

	(void)argc, (void)argv;
	answers_lookups = true;
	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mkdir("m", 0755) < 0)
		die("a mount of our own");
	mount_fuse("m");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		hostile();
	await_it(is_asked, pid);
	await_it(waits, pid);
	await_stdin("%d", pid);
	kill(pid, SIGKILL);
	umount2("m", MNT_FORCE); /* whoever waits for it gets an error */
	umount2("m", MNT_DETACH);
	waitpid(pid, NULL, 0);
	rmdir("m");
	return 0;
}

/* A directory in which no name is ever found, nor missed, until a word comes. */
static int hung_directory(int argc, char **argv)
{
	if (argc < 1)
		return 2;
	mount_fuse(argv[0]);
	await_stdin("%d", getpid());
	umount2(argv[0], MNT_FORCE);
	umount2(argv[0], MNT_DETACH);
	return 0;
}

const struct wcase fuse_cases[] = {
	{ "hung-memory", "", hung_memory },
	{ "hung-directory", "DIR", hung_directory },
	{ 0 },
};
