// SPDX-License-Identifier: MIT OR Apache-2.0
// workload [--tag T] [--join CGROUP.PROCS]... [--move CGROUP.PROCS]... CASE [ARG]...
#include "workload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct wcase *const tables[] = {
	basic_cases, thread_cases, argv_cases, tree_cases,  filter_cases, pid_cases,
	storm_cases, usage_cases,  loss_cases, start_cases, fuse_cases,
};

#define NTABLES (int)(sizeof(tables) / sizeof(*tables))

static int list(void)
{
	for (int i = 0; i < NTABLES; i++)
		for (const struct wcase *c = tables[i]; c->name; c++)
			printf("%-20s %s\n", c->name, c->args);
	return 0;
}

static const struct wcase *find(const char *name)
{
	for (int i = 0; i < NTABLES; i++)
		for (const struct wcase *c = tables[i]; c->name; c++)
			if (!strcmp(c->name, name))
				return c;
	return NULL;
}

/* An image of a job: on to its next step, or its role. */
static int image(const char *slot, u64 now, int argc, char **argv)
{
	struct slot *s;
	struct step *st;
	int stage;

	shared_map();
	s = &sh->slot[atoi(slot)];
	stage = atomic_load(&s->stage);
	st = &s->step[stage];
	st->argc = argc;
	st->ppid = getppid();
	st->uid = (int)getuid();
	stamp_used(&st->entry_used);
	atomic_store(&st->entry_ns, now);
	atomic_store(&s->stage, stage + 1);
	if (st->touch_mib)
		touch(st->touch_mib);
	burn(st->burn_ms);
	if (stage + 1 < s->n_steps)
		exec_step(s, stage + 1);
	return play(s, argc, argv);
}

/* Cases make files and cores in a directory of their own. */
static char scratch[] = "/tmp/workload-XXXXXX";

static void scratch_make(void)
{
	if (!mkdtemp(scratch) || chmod(scratch, 0755) < 0 || chdir(scratch) < 0)
		die("scratch directory");
}

static void scratch_remove(void)
{
	DIR *d = opendir(scratch);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (unlinkat(dirfd(d), e->d_name, 0) < 0 && errno != EISDIR && errno != EBUSY)
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	if (d)
		closedir(d);
	rmdir(scratch);
}

static int usage(void)
{
	fprintf(stderr, "usage: workload [--tag T] [--join PROCS]... [--move PROCS]... "
			"list | kill SIGNAL PID | CASE [ARG]...\n");
	return 2;
}

static int run(const struct wcase *c, int argc, char **argv, u64 entry)
{
	int status;

	scratch_make();
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	status = c->run(argc, argv);
	scratch_remove();
	printf("{\"type\":\"done\",\"pid\":%d,\"ppid\":%d,\"exit_code\":%d,\"min_ns\":%llu}\n",
	       getpid(), getppid(), status, (unsigned long long)(now_ns() - entry));
	fflush(stdout);
	if (sh->end_signal)
		kill(getpid(), sh->end_signal);
	return status;
}

int main(int argc, char **argv)
{
	u64 entry = now_ns();
	const char *slot = getenv("WL_SLOT");
	const struct wcase *c;
	int i;

	if (slot)
		return image(slot, entry, argc, argv);
	if (getenv("WL_START"))
		return start_image(argc, argv);
	shared_create();
	if (readlink("/proc/self/exe", sh->self, sizeof(sh->self) - 1) < 0)
		die("/proc/self/exe");
	strcpy(sh->tag, "workload");
	for (i = 1; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2) {
		if (!strcmp(argv[i], "--tag"))
			snprintf(sh->tag, sizeof(sh->tag), "%s", argv[i + 1]);
		else if (!strcmp(argv[i], "--join") && write_file(argv[i + 1], "0") < 0)
			die(argv[i + 1]);
		else if (!strcmp(argv[i], "--move") && sh->n_moves < NMOVES)
			snprintf(sh->moves[sh->n_moves++], sizeof(sh->moves[0]), "%s", argv[i + 1]);
	}
	if (i >= argc)
		return usage();
	if (!strcmp(argv[i], "list"))
		return list();
	if (!strcmp(argv[i], "kill") && i + 2 < argc)
		return kill(atoi(argv[i + 2]), atoi(argv[i + 1])) < 0;
	c = find(argv[i]);
	return c ? run(c, argc - i - 1, argv + i + 1, entry) : usage();
}
