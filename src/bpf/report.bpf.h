/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Fills records and hands them to userspace; what cannot be handed over is counted. */
#ifndef EXECLAT_REPORT_BPF_H
#define EXECLAT_REPORT_BPF_H

#include "cgroup.bpf.h"

/* Ids of cgroups whose name was reported lately; a collision only repeats one. */
#define NAMED_SLOTS 4096
#define NAMED_USES 1024
u64 named_cgroups[NAMED_SLOTS] = {};

static __always_inline bool output(void *ctx, void *record, u64 bytes)
{
	return bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, record, bytes) == 0;
}

/* The threads that are gone: the kernel adds each to these as it releases it. */
static __always_inline void fill_gone(struct xl_usage *usage, struct signal_struct *signal,
				      bool direct)
{
	usage->cpu_ns = GET(direct, signal, sum_sched_runtime);
	usage->major_faults = GET(direct, signal, maj_flt);
	usage->voluntary_switches = GET(direct, signal, nvcsw);
	usage->involuntary_switches = GET(direct, signal, nivcsw);
}

static __always_inline void add_thread(struct xl_usage *usage, struct task_struct *thread,
				       bool direct)
{
	usage->cpu_ns += GET(direct, thread, se.sum_exec_runtime);
	usage->major_faults += GET(direct, thread, maj_flt);
	usage->voluntary_switches += GET(direct, thread, nvcsw);
	usage->involuntary_switches += GET(direct, thread, nivcsw);
}

static __always_inline void walk_anew(struct walk *walk, struct signal_struct *signal, int threads)
{
	walk->threads = threads;
	fill_gone(&walk->usage, signal, false);
	walk->node = (u64)BPF_CORE_READ(signal, thread_head.next);
}

/*
 * Adds the next thread that is not gone: what is seen as the end may come while
 * other threads are on their way out. One that goes meanwhile moves from the list to
 * the sums: then all is done again.
 */
static __always_inline void walk_on(struct walk *walk)
{
	struct signal_struct *signal = (void *)walk->signal;
	struct list_head *node = (void *)walk->node;
	struct task_struct *thread;

	if (walk->node == walk->head) {
		int threads = BPF_CORE_READ(signal, nr_threads);

		walk->done = threads == walk->threads;
		if (!walk->done)
			walk_anew(walk, signal, threads);
		return;
	}
	thread = (void *)node - bpf_core_field_offset(struct task_struct, thread_node);
	add_thread(&walk->usage, thread, false);
	walk->node = (u64)BPF_CORE_READ(node, next);
}

/*
 * A part of a walk; true if it is over. The verifier looks at a global function once,
 * however often it is called: bpf_loop() is no help, since kernels before v5.13 do
 * not load a program that so much as holds the address of a function.
 */
__noinline int walk_part(u32 which)
{
	struct walk *walk = bpf_map_lookup_elem(&walks, &which);

	if (!walk)
		return 1;
	for (int i = 0; i < XL_WALK_TURNS && !walk->done; i++)
		walk_on(walk);
	return walk->done;
}

/* False if there are too many. `which` of the CPU's walks this is, see there. */
static __always_inline bool fill_threads(struct xl_usage *usage, struct signal_struct *signal,
					 u32 which)
{
	struct walk *walk = bpf_map_lookup_elem(&walks, &which);

	if (!walk)
		return false;
	walk->signal = (u64)signal;
	walk->head = (u64)__builtin_preserve_access_index(&signal->thread_head);
	walk->done = 0;
	walk_anew(walk, signal, BPF_CORE_READ(signal, nr_threads));
	for (int i = 0; i < XL_WALK_PARTS; i++)
		if (walk_part(which))
			break;
	*usage = walk->usage;
	return walk->done;
}

/* Copies argv behind the record; returns the bytes captured. */
static __always_inline u64 capture_args(struct exec_scratch *scratch, struct task_struct *task,
					bool direct)
{
	struct mm_struct *mm = FOLLOW(direct, task, mm);
	u64 start = GET(direct, mm, arg_start);
	u64 true_bytes = GET(direct, mm, arg_end) - start;
	u64 bytes = true_bytes;

	scratch->record.args_bytes = true_bytes;
	if (bytes > targ_args_bytes)
		bytes = targ_args_bytes;
	if (bytes > XL_ARGS_MAX_BYTES)
		bytes = XL_ARGS_MAX_BYTES;
	if (bpf_probe_read_user(scratch->args, bytes, (void *)start) == 0)
		return bytes;
	/* A later page is not resident: take the first one alone. */
	scratch->record.header.flags |= XL_F_ARGS_FAULT;
	true_bytes = 4096 - (start & 4095);
	if (bytes > true_bytes)
		bytes = true_bytes;
	barrier_var(bytes);
	if (bytes > 4096)
		bytes = 4096;
	return bpf_probe_read_user(scratch->args, bytes, (void *)start) == 0 ? bytes : 0;
}

/* Puts the names of the cgroup at this address, leaf first; returns their bytes. */
__noinline int put_cgroup_names(u64 address, u32 which)
{
	struct cgroup *cgrp = (void *)address;
	struct cgroup_scratch *scratch;
	u32 at = 0, names = 0;

	scratch = bpf_map_lookup_elem(&cgroup_scratch, &which);
	if (!scratch)
		return 0;
	scratch->record.truncated = 1;
	for (int i = 0; i < XL_CGROUP_NAMES; i++) {
		const char *name = BPF_CORE_READ(cgrp, kn, name);
		struct cgroup_subsys_state *parent = BPF_CORE_READ(cgrp, self.parent);
		long bytes;

		if (!parent) {
			scratch->record.truncated = 0;
			break;
		}
		if (at >= XL_CGROUP_PATH_BYTES)
			break;
		bytes = bpf_probe_read_kernel_str(&scratch->path[at & (XL_CGROUP_PATH_BYTES - 1)],
						  256, name);
		if (bytes <= 0)
			break;
		at += bytes;
		names++;
		cgrp = BPF_CORE_READ(parent, cgroup);
	}
	/* Not one too many: the root has no name. */
	if (names == XL_CGROUP_NAMES && !BPF_CORE_READ(cgrp, self.parent))
		scratch->record.truncated = 0;
	scratch->record.names = names;
	return at;
}

/* The record of a cgroup, in scratch space; `bytes` of names follow it. */
static __always_inline struct cgroup_scratch *cgroup_record(struct cgroup *cgrp, u64 id, u32 which,
							    u32 *bytes)
{
	u32 of_names = put_cgroup_names(address_of(cgrp), which);
	struct cgroup_scratch *scratch = bpf_map_lookup_elem(&cgroup_scratch, &which);

	if (!scratch)
		return NULL;
	of_names &= 2 * XL_CGROUP_PATH_BYTES - 1;
	if (of_names > sizeof(scratch->path))
		of_names = sizeof(scratch->path);
	scratch->record.header = (struct xl_header){
		.bytes = sizeof(scratch->record) + of_names,
		.kind = XL_CGROUP,
		.ts_ns = bpf_ktime_get_ns(),
	};
	scratch->record.cgroup_id = id;
	*bytes = of_names;
	return scratch;
}

static __always_inline bool report_cgroup(void *ctx, struct cgroup *cgrp, u64 id, u32 which)
{
	u32 bytes;
	struct cgroup_scratch *scratch = cgroup_record(cgrp, id, which, &bytes);

	if (!scratch)
		return false;
	if (output(ctx, scratch, sizeof(scratch->record) + bytes))
		return true;
	COUNT(names_failed);
	return false;
}

/* Reports the cgroup's name if that was not done lately; false if it could not. */
static __always_inline bool name_cgroup(void *ctx, struct cgroup *cgrp, u64 id, u32 which)
{
	u64 *named = &named_cgroups[((id * 0x9e3779b97f4a7c15ULL) >> 32) & (NAMED_SLOTS - 1)];

	if (*(volatile u64 *)named == id)
		return true;
	if (!report_cgroup(ctx, cgrp, id, which))
		return false;
	*(volatile u64 *)named = id;
	return true;
}

/*
 * The id of the cgroup to show; reports its name if that was not done lately. A CPU that
 * sees one cgroup alone must look now and then whether the others have displaced it, as
 * userspace forgets, too.
 */
static __always_inline u64 shown_cgroup(void *ctx, struct task_struct *task,
					struct exec_scratch *scratch, u32 which, bool direct)
{
	u32 hierarchy = targ_shown_hierarchy;
	struct cgroup *cgrp = cgroup_in(task, hierarchy, XL_HIERARCHIES, direct);
	u64 id = cgrp ? cgroup_id_of(cgrp, hierarchy, direct) : 0;

	if (!id || (scratch->named_cgroup == id && ++scratch->named_uses % NAMED_USES))
		return id;
	if (name_cgroup(ctx, cgrp, id, which))
		scratch->named_cgroup = id;
	return id;
}

/* The current task's user and name; helper calls cost more than loads do. */
static __always_inline void fill_names(struct xl_exec *record, struct task_struct *task,
				       bool direct)
{
	if (direct) {
		const struct cred *cred = readable(task)->cred;

		record->uid = cred->uid.val;
		*(u64 *)record->comm = *(u64 *)task->comm;
		*(u64 *)(record->comm + 8) = *(u64 *)(task->comm + 8);
	} else {
		record->uid = bpf_get_current_uid_gid();
		bpf_get_current_comm(record->comm, sizeof(record->comm));
	}
}

/* Of the images that were replaced; 16 TiB and more are one. */
static __always_inline u32 peak_pages(struct signal_struct *signal, bool direct)
{
	u64 pages = GET(direct, signal, maxrss);

	return pages > 0xffffffff ? 0xffffffff : pages;
}

static __always_inline void report_exec(void *ctx, struct task_struct *task,
					struct task_struct *parent, struct exec_scratch *scratch,
					bool lineage, u32 which, bool direct)
{
	struct signal_struct *signal = FOLLOW(direct, task, signal);
	struct xl_exec *record = &scratch->record;
	u64 bytes = 0;

	/* An exec leaves one thread. */
	fill_gone(&record->usage, signal, direct);
	add_thread(&record->usage, task, direct);
	record->maxrss_pages = peak_pages(signal, direct);
	record->ppid = GET(direct, parent, tgid);
	fill_names(record, task, direct);
	record->cgroup_id = 0;
	record->args_bytes = 0;
	if (!(record->header.flags & XL_F_UNMATCHED) || lineage)
		record->cgroup_id = shown_cgroup(ctx, task, scratch, which, direct);
	if (!(record->header.flags & XL_F_UNMATCHED))
		bytes = capture_args(scratch, task, direct);
	bytes += sizeof(*record);
	record->header.bytes = bytes;
	barrier_var(bytes);
	if (bytes > sizeof(*record) + sizeof(scratch->args))
		bytes = sizeof(*record) + sizeof(scratch->args);
	if (!output(ctx, record, bytes))
		COUNT(output_failed);
}

/*
 * What is left of a process whose last thread is on its way out; `lives`: it is not
 * released yet; `which` walk of the CPU's may be used. The leader is there to the last,
 * also where it left first and another thread, released already, sends the signal to
 * the parent.
 */
static __always_inline void fill_end(struct xl_exit *record, struct task_struct *task, bool direct,
				     bool lives, u32 which)
{
	struct signal_struct *signal = FOLLOW(direct, task, signal);

	if (lives && GET(direct, signal, nr_threads) > 1) {
		if (!fill_threads(&record->usage, BPF_CORE_READ(task, signal), which))
			record->header.flags |= XL_F_USAGE_UNKNOWN;
	} else {
		fill_gone(&record->usage, signal, direct);
		if (lives)
			add_thread(&record->usage, FOLLOW(direct, task, group_leader), direct);
	}
	record->maxrss_pages = GET(direct, signal, maxrss);
}

/* The record says who was forked, by whom, and which of its forks this is. */
static __always_inline void report_fork(void *ctx, struct task_struct *task,
					struct task_struct *child, struct xl_fork *record,
					u32 which)
{
	/* clone3() may put a child into another cgroup, of version 2. */
	if (BPF_CORE_READ(child, cgroups) != BPF_CORE_READ(task, cgroups)) {
		u32 hierarchy = targ_shown_hierarchy;
		struct cgroup *cgrp = cgroup_in(child, hierarchy, XL_HIERARCHIES, false);

		if (in_asked_cgroups(child, false))
			record->header.flags |= XL_F_IN_CGROUP;
		record->cgroup_id = cgrp ? cgroup_id_of(cgrp, hierarchy, false) : 0;
		if (record->cgroup_id)
			name_cgroup(ctx, cgrp, record->cgroup_id, XL_SCRATCH_FORK + which);
	}
	record->header.bytes = sizeof(*record);
	record->header.kind = XL_FORK;
	record->header.ts_ns = bpf_ktime_get_ns();
	record->header.seq = 1;
	if (!output(ctx, record, sizeof(*record)))
		COUNT(output_failed);
}

/* The record says who is moved, and by whom. Hierarchies that nobody asked for are passed over. */
static __always_inline void report_attach(void *ctx, struct cgroup *cgrp, struct xl_attach *record)
{
	u32 hierarchy = BPF_CORE_READ(cgrp, root, hierarchy_id);
	u64 id = BPF_CORE_READ(cgrp, kn, id);
	bool asked = false;

	for (u32 i = 0; i < XL_HIERARCHIES; i++) {
		if (i >= targ_hierarchy_count)
			break;
		if (targ_hierarchies[i] != hierarchy)
			continue;
		asked = true;
		if (in_targets(cgrp, id, hierarchy, i))
			record->header.flags |= XL_F_IN_CGROUP;
	}
	if (hierarchy == targ_shown_hierarchy) {
		record->cgroup_id = id;
		name_cgroup(ctx, cgrp, id, XL_SCRATCH_ATTACH);
	} else if (!asked) {
		return;
	}
	record->header.bytes = sizeof(*record);
	record->header.kind = XL_ATTACH;
	record->header.ts_ns = bpf_ktime_get_ns();
	if (!output(ctx, record, sizeof(*record)))
		COUNT(output_failed);
}

static __always_inline void report_exit(void *ctx, struct xl_exit *record)
{
	record->header.bytes = sizeof(*record);
	record->header.kind = XL_EXIT;
	if (!output(ctx, record, sizeof(*record)))
		COUNT(output_failed);
}

#endif
