/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The oracle's workload: it makes processes of every awkward kind and says, as
 * JSON lines on stdout, what an exact observer must report of them. It shares
 * no code with execlat: pids and statuses are those of fork and wait, times
 * are its own stamps of CLOCK_MONOTONIC.
 *
 * Words: a *job* is one process, described by a *slot* in memory that all
 * processes share (an inherited memfd). Its *steps* are the images that it
 * runs one after the other; the last image plays the slot's *role*. Each image
 * is this program again, which knows its slot by the environment (WL_SLOT).
 *
 * To add a case: write one function, add one row to its topic's table.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

typedef uint64_t u64;

#define NSLOTS 320 /* more than kretprobes have instances */
#define NSTEPS 8
#define NMOVES 4
#define SHARED_FD 200 /* the memfd, at the same number in every image */
#define MS 1000000ull

/* How a step's exec is done. */
enum how {
	HOW_EXECVE,
	HOW_EMPTY_PATH,		/* execveat(fd, "", AT_EMPTY_PATH) of the file */
	HOW_MEMFD,		/* the same, of a copy in a memfd */
	HOW_THREAD,		/* execve by a thread that is not the leader */
	HOW_THREAD_LEADER_GONE, /* the same, after the leader has exited */
	HOW_COMPAT,		/* the 32-bit execve, by int 0x80 */
	HOW_COMPAT_AT,		/* the 32-bit execveat */
};

/* How a job's process is made. */
enum via { VIA_FORK, VIA_VFORK, VIA_SPAWN, VIA_CLONE_SIGNAL_0, VIA_SET_TID, VIA_PIDNS };

/* As the kernel has it for all threads of a process, children apart; it only grows. */
struct used {
	u64 cpu_ns, major_faults, voluntary, involuntary;
};

struct step {
	char path[128]; /* empty: this program */
	char args[384]; /* NUL after each */
	int n_args;
	int how;	      /* enum how */
	int delay_ms;	      /* before this step's exec; -1: until go */
	int touch_mib;	      /* memory that its image touches and keeps, … */
	int burn_ms;	      /* … and CPU time that it takes then, before anything else */
	int argc, ppid, uid;  /* as main() finds them after the exec */
	_Atomic u64 pre_ns;   /* before the exec */
	_Atomic u64 entry_ns; /* the first thing in main() after it */
	struct used pre_used;
	struct used entry_used;
};

struct slot {
	/* the order, by whoever makes the job */
	char label[48]; /* goes into the line; tests choose by it */
	char join[256]; /* cgroup.procs to join before the first exec */
	int role;	/* enum role, played by the last image */
	int via;	/* enum via */
	int set_tid;	/* the pid to have, with VIA_SET_TID */
	int ppid;	/* where the image itself cannot know; 0: it can */
	int uid_before; /* setuid before the first exec; 0: as we are */
	int cpu;	/* pin before the first exec; -1: not */
	int n_steps;
	long p[4]; /* the role's parameters */
	struct step step[NSTEPS];
	bool start_known;     /* false: the observer starts after the exec */
	bool by_construction; /* status is what it must be, not what wait said */

	/* what happened */
	_Atomic int stage;     /* images entered */
	_Atomic int go;	       /* the role may go on */
	_Atomic int ready;     /* the role has come so far */
	_Atomic u64 fork_ns;   /* before the fork */
	_Atomic u64 last_ns;   /* the latest stamp before the end */
	struct used last_used; /* no less at the end */
	_Atomic int pid, status, waited;
	_Atomic u64 after_ns;	/* after the wait */
	struct used after_used; /* as wait4() has it, its children included */
	u64 after_maxrss_kib;	/* the same; 0: not waited for */
};

struct shared {
	char self[256];		 /* this program's path */
	char tag[64];		 /* argv[0] of all images, unless a case is about it */
	char moves[NMOVES][256]; /* cgroup.procs files to move through */
	int n_moves;
	int end_signal; /* the program's own end, if not 0 */
	_Atomic int serial;
	_Atomic int stop; /* of storms */
	struct slot slot[NSLOTS];
};

extern struct shared *sh;

/* What an image does once its steps are done; roles.c has the table. */
enum role {
	ROLE_EXIT,	       /* exit code p0 */
	ROLE_SIGNAL,	       /* kill itself by p0; p1: 1 = leave a core */
	ROLE_WAIT,	       /* until go, or killed; then exit code p0 */
	ROLE_SLEEP,	       /* p1 ms, then exit code p0 */
	ROLE_MEMORY,	       /* p1 MiB, touched and held, then exit code p0 */
	ROLE_RENAME,	       /* PR_SET_NAME, overwrite argv, then exit code p0 */
	ROLE_SETUID,	       /* setuid(p1), then exit code p0 */
	ROLE_CGROUPS,	       /* through the moves p1 times, then exit code p0 */
	ROLE_EXEC_FAILS,       /* execs that fail, then exit code p0 */
	ROLE_DIES_IN_EXEC,     /* by SIGSEGV, in an exec that fails too late */
	ROLE_FORK_ONLY,	       /* p1 children that never exec, then exit code p0 */
	ROLE_SPAWN,	       /* jobs of the slots p1 … p1+p2-1, then exit code p0 */
	ROLE_SPAWN_LEAVE,      /* the same, but leaves when they have exec'd */
	ROLE_LEADER_FIRST,     /* leader: p0 by way p2; last thread: p1 by way p3 */
	ROLE_TWO_EXIT,	       /* two threads at once: codes p0 and p1 */
	ROLE_GROUP_RACE,       /* p1 threads, each its own exit_group(p0 + i) */
	ROLE_EXIT_AND_GROUP,   /* one thread SYS_exit(p0), one exit_group(p1) */
	ROLE_THREADS_SIGNAL,   /* p2 threads; one of them kills all by p0; p1: core */
	ROLE_THREADS_WAIT,     /* p1 idle threads, until killed */
	ROLE_LEADER_GONE_WAIT, /* leader: p0 at once; last thread: p1 after go */
	ROLE_MANY_EXIT,	       /* p1 threads at once, SYS_exit(p0 + i) */
	ROLE_BURN,	       /* p1 threads take p2 ms of CPU each, then end by way p3 */
};

/* Ways a thread can end, for ROLE_LEADER_FIRST. */
enum way { WAY_SYS_EXIT, WAY_PTHREAD_EXIT, WAY_EXIT_GROUP, WAY_SIGNAL };

struct wcase {
	const char *name;
	const char *args;		   /* shown by `workload list` */
	int (*run)(int argc, char **argv); /* its own arguments only */
};

/* slot.c, make.c */
u64 now_ns(void);
u64 cpu_ns(bool thread);
void stamp_used(struct used *used);
void stamp_last(struct slot *s);
void die(const char *what) __attribute__((noreturn));
void shared_create(void);
void shared_map(void);
struct slot *slot_reset(int i, const char *label);
struct slot *slot_plain(int i, const char *label, enum role role, long p0);
struct step *step_add(struct slot *s, enum how how, int n_args, ...);
void step_arg(struct step *st, const char *arg);
void exec_step(struct slot *s, int i) __attribute__((noreturn));
void slot_spawn(struct slot *s);
void slot_spawn_argv(struct slot *s, char **argv);
void slot_wait(struct slot *s);
void slot_await(_Atomic int *flag, int value);
void slot_run(struct slot *s);
void sleep_ms(long ms);
void pin_cpu(int cpu);
int n_cpus(void);
int write_file(const char *path, const char *text);
int copy_self(const char *to, int mode);
int memfd_of_self(void);
pid_t clone_call(u64 flags, u64 exit_signal, int set_tid);
pid_t fork_as(int pid);
void await_stdin(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* compat.c */
bool compat_works(void);
void compat_exec(const char *path, char **argv, char **env, bool at);

/* emit.c */
void emit_slot(const struct slot *s);
void emit_slot_argv(const struct slot *s, char **argv);
void emit_note(const char *type, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void emit_to(FILE *f);

/* roles.c, threads.c */
int play(struct slot *s, int argc, char **argv);
void role_leader_first(struct slot *s) __attribute__((noreturn));
void role_leader_gone_wait(struct slot *s) __attribute__((noreturn));
void role_two_exit(struct slot *s) __attribute__((noreturn));
void role_group_race(struct slot *s) __attribute__((noreturn));
void role_exit_and_group(struct slot *s) __attribute__((noreturn));
void role_threads_signal(struct slot *s) __attribute__((noreturn));
void role_threads_wait(struct slot *s) __attribute__((noreturn));
void role_many_exit(struct slot *s) __attribute__((noreturn));
void role_burn(struct slot *s) __attribute__((noreturn));
void burn(long ms);
void touch(long mib);
void exec_in_thread(struct slot *s, int i, bool leader_gone) __attribute__((noreturn));
void execve_step(struct slot *s, int i) __attribute__((noreturn));
void die_by(struct slot *s, int sig, bool core) __attribute__((noreturn));

/* cases_start.c */
int start_image(int argc, char **argv);

/* cases_*.c: tables that end with a row of zeros */
extern const struct wcase basic_cases[], thread_cases[], argv_cases[];
extern const struct wcase tree_cases[], filter_cases[], pid_cases[], storm_cases[];
extern const struct wcase usage_cases[], loss_cases[], start_cases[], fuse_cases[];

#endif
