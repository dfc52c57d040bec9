/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The few kernel types and fields that are read, and all that differs between
 * kernels. CO-RE relocates every access, so only names and kinds matter here,
 * not order or size; no vmlinux.h is needed to build.
 */
#ifndef EXECLAT_KERNEL_BPF_H
#define EXECLAT_KERNEL_BPF_H

/* Tells libbpf's headers that kernel types are known: they are, from here. */
#define __VMLINUX_H__

#include <stdbool.h>

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
};

#define BPF_NOEXIST 1
#define BPF_F_CURRENT_CPU 0xffffffffULL

/* include/linux/sched/signal.h, include/linux/sched.h: unchanged for decades. */
#define SIGNAL_GROUP_EXIT 0x00000004
#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000
#define SIGSEGV 11
#define SIGCHLD 17
#define SIG_IGN 1

/* What never changes needs no relocation, which takes 0.7 ms for each type. */
struct list_head {
	struct list_head *next;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	u64 regs[31];
	u64 sp;
	u64 pc;
	u64 pstate;
};

struct pt_regs {
	struct user_pt_regs user_regs;
};
#else
#error "execlat knows the registers of x86-64 and arm64 alone"
#endif

struct kernfs_node {
	const char *name;
	u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp;
	struct list_head cgrp_links;
};

struct cgrp_cset_link {
	struct cgroup *cgrp;
	struct list_head cgrp_link;
};

typedef struct {
	int counter;
} atomic_t;

struct sigaction {
	void *sa_handler;
};

struct k_sigaction {
	struct sigaction sa;
};

struct sighand_struct {
	struct k_sigaction action[64];
};

struct signal_struct {
	atomic_t live;
	int nr_threads;
	int quick_threads;
	struct list_head thread_head;
	unsigned int flags;
	int group_exit_code;
	unsigned long maxrss;
	unsigned long long sum_sched_runtime;
	unsigned long maj_flt;
	unsigned long nvcsw;
	unsigned long nivcsw;
};

struct sched_entity {
	u64 sum_exec_runtime;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
};

typedef struct {
	u32 val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct task_struct {
	int pid;
	int tgid;
	int exit_state;
	int exit_code;
	int exit_signal;
	unsigned int flags;
	u64 start_time;
	u64 self_exec_id;
	struct task_struct *real_parent;
	struct task_struct *parent; /* real_parent, or the tracer */
	struct task_struct *group_leader;
	struct list_head thread_node;
	struct signal_struct *signal;
	struct sighand_struct *sighand;
	struct mm_struct *mm;
	struct css_set *cgroups;
	const struct cred *cred;
	struct sched_entity se;
	unsigned long maj_flt;
	unsigned long nvcsw;
	unsigned long nivcsw;
	char comm[16];
};

/*
 * Since v6.16 the tracepoint itself tells the last thread, but comes before
 * exit_mm().
 */
struct trace_event_raw_sched_process_exit {
	bool group_dead;
};

#pragma clang attribute pop

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

static __always_inline bool kernel_has_group_dead(void)
{
	return bpf_core_field_exists(struct trace_event_raw_sched_process_exit, group_dead);
}

/*
 * Since v6.0 the last thread's plain exit is a group exit too, by a count of its
 * own ("signal: Guarantee that SIGNAL_GROUP_EXIT is set on process exit"): the
 * status is known when the process ends, whichever thread is the last.
 */
static __always_inline bool kernel_tells_status(void)
{
	return bpf_core_field_exists(struct signal_struct, quick_threads);
}

/*
 * Since v6.2 the verifier asks of each pointer that is loaded from a trusted object
 * whether it can be trusted too, by searching all of the kernel's types by name:
 * half of the time that the load took. Of what may only be read it does not ask.
 * bpf_rdonly_cast() came with the same version.
 */
extern void *bpf_rdonly_cast(const void *object, u32 type_id) __ksym __weak;

static __always_inline bool kernel_has_rdonly_cast(void)
{
	return bpf_ksym_exists(bpf_rdonly_cast);
}

static __always_inline struct task_struct *readable(struct task_struct *task)
{
	if (kernel_has_rdonly_cast())
		return bpf_rdonly_cast(task, bpf_core_type_id_kernel(struct task_struct));
	return task;
}

/* bpf_get_current_task_btf() came with v5.11: commit 3ca1032ab7ab. */
enum bpf_func_id___task_btf {
	BPF_FUNC_get_current_task_btf___task_btf = 158,
};

static __always_inline bool kernel_has_task_btf(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id___task_btf,
					  BPF_FUNC_get_current_task_btf___task_btf);
}

/*
 * A field of a kernel object. `direct` says that the verifier knows the pointer
 * to be one: then it is a plain load, which costs nothing and is allowed under
 * lockdown; else it goes through bpf_probe_read_kernel. It is always a constant,
 * so that one of the two is compiled.
 */
#define GET(direct, object, field) ((direct) ? (object)->field : BPF_CORE_READ((object), field))

/* The same for a pointer in a task. */
#define FOLLOW(direct, task, field)                                                                \
	((direct) ? readable(task)->field : BPF_CORE_READ((task), field))

#endif
