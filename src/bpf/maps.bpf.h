/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Maps, what userspace sets before the load, and the counters of what failed. */
#ifndef EXECLAT_MAPS_BPF_H
#define EXECLAT_MAPS_BPF_H

#include "kernel.bpf.h"
#include "execlat.h"

/* Set before the load; a constant to the verifier, which drops what is off. */
const volatile u32 targ_hierarchies[XL_HIERARCHIES] = {};
const volatile u32 targ_hierarchy_count = 0;
const volatile bool targ_cgroup_exact = false;
const volatile bool targ_names = false;
const volatile bool targ_uids = false;
const volatile bool targ_scope = false;
const volatile bool targ_follow = false;
const volatile bool targ_command = false;
const volatile bool targ_anatomy = false;
/* Report all forks of tracked processes, and track what they make. */
const volatile bool targ_forks = false;
/* Report where runtimes put their containers. */
const volatile bool targ_runtimes = false;
/* Let runtimes pass that are outside the cgroups asked for. */
const volatile bool targ_from_outside = false;
/* How their names begin; also known where that is off. */
const volatile struct xl_word targ_runtime_words[XL_RUNTIME_WORDS] = {};
const volatile u64 targ_runtime_firsts = 0; /* a bit for each first byte, modulo 64 */
const volatile u32 targ_args_bytes = 4096;
const volatile u32 targ_copies = 1; /* of the tracepoints' programs, see there */
/* The hierarchy whose cgroup is shown in rows. */
const volatile u32 targ_shown_hierarchy = 0;

/* Written by one side, read by the other, while tracing. */
u32 own_tgid = 0;	/* execlat's, in the initial pid namespace; by the scan */
u32 tells_status = 0;	/* do_exit need not be watched; by the scan */
u32 scan_commit = 0;	/* the scan adopts what `wanted` holds */
u32 scan_over = 0;	/* and will not again: slots may be used */
u32 beside_returns = 0; /* finalize_exec is watched beside the returns of execve */
struct xl_counters counters[XL_COUNTER_CPUS] = {};
struct xl_left_out left_out[XL_COUNTER_CPUS] = {};

/*
 * tgids that may be tracked, counted by their low bits: one load spares almost
 * every fork and exit on the host a lookup in a cold hash bucket (95 to 290 ns).
 */
u32 maybe_tracked[XL_SLOTS] = {};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} events SEC(".maps");

/*
 * Tracked processes whose own exec made them so, by the low bits of their tgid: no
 * hash, no lock, which cost 250 ns at the exec and 100 at the end. Userspace makes
 * it as large as pid_max, up to XL_SLOTS.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct xl_tracked);
} slots SEC(".maps");

/*
 * All others: what ran before, children that take something from their parents, and
 * who finds the slot taken. Preallocated: allocation in a probe is unsafe before
 * v6.1. Userspace sizes it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct xl_tracked);
} tracked SEC(".maps");

/* tgids whose slot somebody is about to free, where several may be at it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u8);
} freeing SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XL_WANTED);
	__type(key, u32);
	__type(value, struct xl_wanted);
} wanted SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct xl_cgroup_key);
	__type(value, u8);
} targ_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct xl_name_key);
	__type(value, u8);
} targ_base_names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct xl_comm_key);
	__type(value, u8);
} targ_comms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, u32);
	__type(value, u8);
} targ_uid_set SEC(".maps");

/*
 * From v7.0 on tracepoints are preemptible, and the kernel skips a program on a CPU
 * on which the same one has been preempted. So copies of it are attached there, each
 * of which does what those before were kept from. They may run in between each
 * other, and have scratch space of their own: `which` says whose, from 0 on.
 */

/*
 * What a copy has looked at last, by the low bits of the pid: the next copy need not. It
 * is an exec, or the making of a process or thread, which is over before it can exec.
 * Userspace makes it as large as XL_SLOTS where there are copies.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} seen SEC(".maps");

/* Scratch of the exec handlers alone: one of another kind may run in between too. */
struct exec_scratch {
	/* What this CPU has seen last, for one cold cache line less each. */
	u64 named_cgroup;
	u32 scan_over;
	u32 named_uses;
	struct xl_tracked fresh;
	struct xl_exec record;
	u8 args[XL_ARGS_MAX_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct exec_scratch);
} exec_scratch SEC(".maps");

/* argv[0] with room before it, so that a window ending in it never starts outside. */
struct name_scratch {
	u8 zeros[XL_NAME_BYTES];
	u8 argv0[XL_ARGV0_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct name_scratch);
} name_scratch SEC(".maps");

struct cgroup_scratch {
	struct xl_cgroup record;
	u8 path[XL_CGROUP_PATH_BYTES + 256];
};

/* Whose it is: an exec's by `which`; where tracepoints are preemptible these come between. */
#define XL_SCRATCH_FORK XL_COPIES
#define XL_SCRATCH_ATTACH (2 * XL_COPIES)
#define XL_SCRATCH_SCAN (2 * XL_COPIES + 1)

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * XL_COPIES + 2);
	__type(key, u32);
	__type(value, struct cgroup_scratch);
} cgroup_scratch SEC(".maps");

/* A way through a process's threads; pointers are numbers here. */
struct walk {
	struct xl_usage usage;
	u64 signal, head, node;
	int threads;
	u32 done;
};

/*
 * One for each copy, and another: where tracepoints are preemptible, the end of a
 * process whose parent is told may come in between those whose parents are not.
 */
#define XL_WALK_TOLD XL_COPIES

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XL_COPIES + 1);
	__type(key, u32);
	__type(value, struct walk);
} walks SEC(".maps");

/* Adds one to a counter of this CPU. */
#define COUNT(field)                                                                               \
	__sync_fetch_and_add(&counters[bpf_get_smp_processor_id() & (XL_COUNTER_CPUS - 1)].field, 1)

/* The same for what the filters leave out. */
#define LEFT_OUT(field)                                                                            \
	__sync_fetch_and_add(&left_out[bpf_get_smp_processor_id() & (XL_COUNTER_CPUS - 1)].field, 1)

#endif
