// SPDX-License-Identifier: MIT OR Apache-2.0
// What an image does after its exec.
#include "workload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(struct slot *s, long code) __attribute__((noreturn));
static void leave(struct slot *s, long code)
{
	stamp_used(&s->last_used);
	stamp_last(s);
	_exit((int)code);
}

/* Ends the process by a signal; where the core goes is up to core_pattern, the cwd is scratch. */
void die_by(struct slot *s, int sig, bool core)
{
	struct rlimit limit;

	getrlimit(RLIMIT_CORE, &limit);
	limit.rlim_cur = core ? limit.rlim_max : 0;
	setrlimit(RLIMIT_CORE, &limit);
	signal(sig, SIG_DFL);
	stamp_last(s);
	if (sig == SIGSEGV) {
		int *volatile nowhere = NULL;

		*(volatile int *)nowhere = 1;
	}
	kill(getpid(), sig);
	for (;;)
		pause();
}

/* Small pages: they take the kernel longest to give back. */
void touch(long mib)
{
	size_t bytes = (size_t)mib << 20;
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	memset(memory, 1, bytes);
}

/* Of the calling thread; so much at least, whatever else runs on this machine. */
void burn(long ms)
{
	u64 end = cpu_ns(true) + (u64)ms * MS;

	while (cpu_ns(true) < end)
		;
}

static void role_memory(struct slot *s)
{
	touch(s->p[1]);
	leave(s, s->p[0]);
}

/* What setproctitle does, and a new comm: the row must show what was exec'd. */
static void role_rename(struct slot *s, int argc, char **argv)
{
	prctl(PR_SET_NAME, "another-name");
	for (int i = 0; i < argc; i++)
		memset(argv[i], 'X', strlen(argv[i]));
	sleep_ms(2);
	leave(s, s->p[0]);
}

static void role_setuid(struct slot *s)
{
	uid_t uid = (uid_t)s->p[1];

	if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		die("setresuid");
	leave(s, s->p[0]);
}

static void role_cgroups(struct slot *s)
{
	for (long n = 0; n < s->p[1]; n++)
		for (int i = 0; i < sh->n_moves; i++)
			if (write_file(sh->moves[i], "0") < 0)
				die(sh->moves[i]);
	leave(s, s->p[0]);
}

/* Execs that fail in this image: nothing of them may be seen. */
static void role_exec_fails(struct slot *s)
{
	char *argv[] = { sh->tag, "never", NULL }, *env[] = { NULL };

	if (execve("/nonexistent/program", argv, env) == 0 || errno != ENOENT)
		die("exec of a missing file");
	if (execve("/dev/null", argv, env) == 0 || errno != EACCES)
		die("exec of a device");
	if (execve("/proc/self/status", argv, env) == 0)
		die("exec of a text");
	leave(s, s->p[0]);
}

/* An exec that fails when this image is gone already: its segment lies in the kernel. */
static void role_dies_in_exec(struct slot *s)
{
	const struct {
		Elf64_Ehdr head;
		Elf64_Phdr load;
	} program = {
		.head = {
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				     EV_CURRENT },
			.e_type = ET_EXEC,
#ifdef __aarch64__
			.e_machine = EM_AARCH64,
#else
			.e_machine = EM_X86_64,
#endif
			.e_version = EV_CURRENT,
			.e_entry = 0x400000,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1,
		},
		.load = {
			.p_type = PT_LOAD,
			.p_flags = PF_R | PF_X,
			.p_vaddr = 0xffff800000000000,
			.p_filesz = sizeof(program),
			.p_memsz = sizeof(program),
			.p_align = 0x1000,
		},
	};
	char *argv[] = { sh->tag, "never", NULL }, *env[] = { NULL };
	int fd = memfd_create("dies", MFD_CLOEXEC);

	if (fd < 0 || write(fd, &program, sizeof(program)) != sizeof(program))
		die("a program");
	stamp_last(s);
	fexecve(fd, argv, env);
	die("an exec that fails late has failed early");
}

static void role_fork_only(struct slot *s)
{
	for (long i = 0; i < s->p[1]; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit((int)i);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
	}
	leave(s, s->p[0]);
}

static void role_spawn(struct slot *s, bool leave_them)
{
	for (long i = 0; i < s->p[2]; i++) {
		struct slot *child = &sh->slot[s->p[1] + i];

		slot_spawn(child);
		if (!leave_them)
			slot_wait(child);
	}
	for (long i = 0; leave_them && i < s->p[2]; i++)
		slot_await(&sh->slot[s->p[1] + i].stage, 1);
	leave(s, s->p[0]);
}

int play(struct slot *s, int argc, char **argv)
{
	switch (s->role) {
	case ROLE_EXIT:
		break;
	case ROLE_SIGNAL:
		die_by(s, (int)s->p[0], s->p[1]);
	case ROLE_WAIT:
		slot_await(&s->go, 1);
		break;
	case ROLE_SLEEP:
		sleep_ms(s->p[1]);
		break;
	case ROLE_MEMORY:
		role_memory(s);
		break;
	case ROLE_RENAME:
		role_rename(s, argc, argv);
		break;
	case ROLE_SETUID:
		role_setuid(s);
		break;
	case ROLE_CGROUPS:
		role_cgroups(s);
		break;
	case ROLE_EXEC_FAILS:
		role_exec_fails(s);
		break;
	case ROLE_DIES_IN_EXEC:
		role_dies_in_exec(s);
		break;
	case ROLE_FORK_ONLY:
		role_fork_only(s);
		break;
	case ROLE_SPAWN:
	case ROLE_SPAWN_LEAVE:
		role_spawn(s, s->role == ROLE_SPAWN_LEAVE);
		break;
	case ROLE_LEADER_FIRST:
		role_leader_first(s);
	case ROLE_LEADER_GONE_WAIT:
		role_leader_gone_wait(s);
	case ROLE_TWO_EXIT:
		role_two_exit(s);
	case ROLE_GROUP_RACE:
		role_group_race(s);
	case ROLE_EXIT_AND_GROUP:
		role_exit_and_group(s);
	case ROLE_THREADS_SIGNAL:
		role_threads_signal(s);
	case ROLE_THREADS_WAIT:
		role_threads_wait(s);
	case ROLE_MANY_EXIT:
		role_many_exit(s);
	case ROLE_BURN:
		role_burn(s);
	}
	leave(s, s->p[0]);
}
