/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The wire format: what the kernel side hands to userspace, and the limits both
 * sides share. It is defined here alone; the build derives the Rust types from
 * the object file's BTF. Fields have fixed widths, padding is explicit, and
 * there are no bools, enums or bit fields in records, so that a recording made
 * on one machine reads the same on another.
 */
#ifndef EXECLAT_H
#define EXECLAT_H

/* Numbers that both sides need. An enum, because BTF does not carry macros. */
enum xl_limits {
	/* Changes whenever a record's layout or meaning does. */
	XL_WIRE_VERSION = 3,
	XL_COMM_BYTES = 16,
	XL_COPIES = 3, /* of a program that the kernel may skip */
	/* A base name is compared in a window of this size, its NUL aside. */
	XL_NAME_BYTES = 64,
	/* argv[0] is read up to here to find its base name. */
	XL_ARGV0_BYTES = 4096,
	/* A record with 64 KiB of payload is silently corrupt in the perf buffer,
	 * and a per-CPU map value ends at 32 KiB: stay below both. */
	XL_ARGS_MAX_BYTES = 32000,
	/* Cgroup hierarchies that the filters of one run may name. */
	XL_HIERARCHIES = 8,
	/* Levels that the subtree test climbs. */
	XL_CGROUP_DEPTH = 96,
	/* Levels and bytes of a cgroup's name that are reported. */
	XL_CGROUP_NAMES = 24,
	XL_CGROUP_PATH_BYTES = 2048,
	/* CPUs with counters of their own; higher ones share them. */
	XL_COUNTER_CPUS = 1024,
	/* Rows of the scan's table of processes to adopt, per pass. */
	XL_WANTED = 4096,
	/* Threads looked at when a process ends before all of them are gone: the product. */
	XL_WALK_TURNS = 8,
	XL_WALK_PARTS = 128,
	/* Slots for tracked processes at most; a power of two. */
	XL_SLOTS = 65536,
	/* Beginnings of names that may be a runtime's. */
	XL_RUNTIME_WORDS = 16,
};

enum xl_kind {
	XL_EXEC = 1,	/* xl_exec, then the captured argv */
	XL_EXIT = 2,	/* xl_exit */
	XL_RUNNING = 3, /* xl_exec of a process that ran before, then its argv */
	XL_CGROUP = 4,	/* xl_cgroup, then names, leaf first, each with its NUL */
	XL_FORK = 5,	/* xl_fork, of the child; of a runtime's, and with --tree of all tracked */
	XL_ATTACH = 6,	/* xl_attach, of who is moved to another cgroup, or of nobody */
};

enum xl_flags {
	/*
	 * exec: passes no filter; it only ends what ran in the process before.
	 * exit: the image that ended is such a one; it closes the process's records.
	 */
	XL_F_UNMATCHED = 1,
	/* exec: argv, or its tail, could not be read. */
	XL_F_ARGS_FAULT = 2,
	/*
	 * scan, fork, attach, and any exec of what a runtime forked: inside the cgroups
	 * asked for.
	 */
	XL_F_IN_CGROUP = 4,
	/* scan: every thread has ended, and the parent was told; a zombie. */
	XL_F_DEAD = 8,
	/* scan: was put into the table of tracked processes now. */
	XL_F_TAKEN = 16,
	/* scan: was in that table already. */
	XL_F_KNOWN = 32,
	/* exec, exit: the process has exec'd unseen since its last record. */
	XL_F_UNSEEN_EXEC = 64,
	/* exit: too many threads were still ending; what they used is not known. */
	XL_F_USAGE_UNKNOWN = 128,
	/*
	 * exec: it was under way when the process was adopted. What was told of the
	 * process then, maybe without its argv, is this very image.
	 * scan, running: the process has exec'd since it was looked at, or is at it; there
	 * is no argv. If its next record has XL_F_UNSEEN_EXEC, it was over by then.
	 */
	XL_F_TAKEN_MIDWAY = 256,
	/*
	 * exec, running: outside the cgroups asked for. It may be a runtime's work on a
	 * container inside; userspace decides.
	 */
	XL_F_ELSEWHERE = 512,
	/* scan: its last thread is on its way out. */
	XL_F_ENDING = 1024,
	/* fork: no runtime's work; it says who descends from whom. */
	XL_F_DESCENT = 2048,
};

struct xl_header {
	__u32 bytes; /* of the whole record, with what follows the struct */
	__u16 kind;
	__u16 flags;
	__u64 ts_ns;	/* CLOCK_MONOTONIC */
	__u64 start_ns; /* start of the process's leader: with tgid, its identity */
	__u32 tgid;
	__u32 seq; /* of this process's records: 1, 2, 3, …; a gap is a loss */
};

/* What the kernel had accounted to the process, all its threads together. */
struct xl_usage {
	__u64 cpu_ns;
	__u64 major_faults;
	__u64 voluntary_switches;
	__u64 involuntary_switches;
};

struct xl_exec {
	struct xl_header header;
	struct xl_usage usage;
	/*
	 * In the hierarchy that userspace chose to show. Of an unmatched exec: only if a
	 * runtime forked the process; its container's.
	 */
	__u64 cgroup_id;
	__u64 exec_id; /* scan: counts the process's execs */
	__u32 ppid;
	__u32 uid;
	__u32 args_bytes;   /* argv's true length; captured is what follows here */
	__u32 maxrss_pages; /* the most that an earlier image had resident */
	__u8 comm[16];
};

struct xl_exit {
	struct xl_header header;
	struct xl_usage usage;
	__u64 maxrss_pages; /* the most that any image had resident */
	__u32 status;	    /* as wait() reports it */
	__u32 pad;
};

/* Who made a process: not always the parent that it has, for CLONE_PARENT. */
struct xl_fork {
	struct xl_header header;
	__u64 by_start_ns; /* with by_tgid, the identity of who forked */
	__u64 cgroup_id;   /* as in xl_exec, if cloned into another than its parent's */
	__u32 by_tgid;
	__u32 nth; /* of its forks: 1, 2, 3, …; a gap is a loss */
};

/*
 * A process is moved to a cgroup, by a tracked one, or is itself a runtime's child: with
 * the cgroupfs driver runtimes move their children, with systemd's pid 1 does. In no
 * process's sequence: seq is 0. Of tgid 0: a tracked one has removed the cgroup.
 */
struct xl_attach {
	struct xl_header header;
	__u64 by_start_ns; /* with by_tgid, the identity of who moved it */
	__u64 cgroup_id;   /* as in xl_exec; 0: a cgroup of another hierarchy */
	__u32 by_tgid;
	__u32 pad;
};

struct xl_cgroup {
	struct xl_header header;
	__u64 cgroup_id;
	__u32 names;	 /* how many follow */
	__u32 truncated; /* not zero: levels above, or part of a name, are missing */
};

/* Everything that the kernel side could not do, per CPU. */
struct xl_counters {
	__u64 output_failed;  /* records that found the buffer full */
	__u64 table_full;     /* processes not tracked, for want of a free entry */
	__u64 stale;	      /* tracked processes whose end was never seen */
	__u64 cgroup_unknown; /* cgroup tests that met no cgroup or too deep a one */
	__u64 names_failed;   /* cgroup names that found the buffer full */
	/* Seen by a copy of a program that the kernel skipped, and so not lost. */
	__u64 stood_in_execs;
	__u64 stood_in_forks; /* threads, too */
	__u64 stood_in_exits; /* of tracked processes; also by the signal to the parent */
};

/* What the filters have left out, per CPU: it says why nothing matches. */
struct xl_left_out {
	__u64 by_cgroup;
	__u64 by_name;
	__u64 by_uid;
	__u64 runtimes[16]; /* of by_name, by XL_RUNTIME_WORDS */
	__u64 pad[5];	    /* cache lines of their own */
};

/* The beginning of a name, at most eight bytes of it. */
struct xl_word {
	__u64 mask;
	__u64 word;
};

/* Key of the cgroups asked for: ids of different hierarchies collide. */
struct xl_cgroup_key {
	__u64 id;
	__u32 hierarchy;
	__u32 pad;
};

/* Base name of argv[0], right-aligned in its window, NULs before it. */
struct xl_name_key {
	__u8 name[64];
};

struct xl_comm_key {
	__u8 comm[16];
};

/* What a name in the filter's maps may match. */
enum xl_match {
	XL_MATCH_ALWAYS = 1,
	/* comm is cut from a longer name: counts only where argv[0] is unreadable */
	XL_MATCH_IF_NO_ARGV0 = 2,
};

/* A tracked process. */
struct xl_tracked {
	__u64 start_ns;
	__u32 seq;
	__u32 flags;
	__u32 leader_code; /* what the leader gave to do_exit, if seen there */
	__u32 exec_id;	   /* the kernel's count of execs, at the last one seen */
	__u64 end_ns;	   /* its last thread was on its way out; 0: not yet */
	__u32 leader_gone; /* not zero: the leader has passed its own exit */
	__u32 tgid;	   /* in a slot: whose it is */
};

enum xl_tracked_flags {
	XL_T_ACTIVE = 1,      /* userspace holds an open execution of it */
	XL_T_SCOPE = 2,	      /* --pid or COMMAND, or descends from one */
	XL_T_FOLLOW = 4,      /* descends from a matched process, with --follow */
	XL_T_LEADER_CODE = 8, /* leader_code is set */
	XL_T_RUNTIME = 16,    /* may be a runtime, or matches with --anatomy: forks are reported */
	XL_T_LINEAGE = 32,    /* forked by a runtime, or by such a fork; not yet another program */
	XL_T_SLOT = 64,	      /* the entry is a slot */
	XL_T_ELSEWHERE = 128, /* its exec, or that of who started it, had XL_F_ELSEWHERE */
	XL_T_FINALIZED = 256, /* its last exec was told beside the return, which is to come */
	XL_T_ONE_FORK = 512,  /* from this bit on: how many forks of it were told */
};

/* A process that the scan is to adopt. */
struct xl_wanted {
	__u64 start_ns;
	__u64 exec_id;
	__u32 flags; /* xl_tracked_flags */
	__u32 pad;
};

#endif
