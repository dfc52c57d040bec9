/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The scan of what runs already: an iterator over all processes that lists them
 * and, in a second pass, adopts those that userspace wants. It runs in the
 * context of who reads it, and knows start times to the nanosecond; /proc has 10 ms.
 */
#ifndef EXECLAT_SCAN_BPF_H
#define EXECLAT_SCAN_BPF_H

#include "track.bpf.h"
#include "report.bpf.h"

/* Ids of cgroups whose name the scan has written; a collision only repeats one. */
#define SCAN_NAMED_SLOTS 1024
u64 scan_named[SCAN_NAMED_SLOTS] = {};

/*
 * Names a cgroup behind the first process that is listed in it. The id and the name are of
 * one cgroup, wherever the process moves meanwhile, and are the same in every namespace:
 * /proc/PID/cgroup is neither.
 */
static __always_inline void name_listed(struct seq_file *seq, struct cgroup *cgrp, u64 id)
{
	u64 *named = &scan_named[((id * 0x9e3779b97f4a7c15ULL) >> 32) & (SCAN_NAMED_SLOTS - 1)];
	struct cgroup_scratch *scratch;
	u32 bytes;

	if (!id || *named == id)
		return;
	scratch = cgroup_record(cgrp, id, XL_SCRATCH_SCAN, &bytes);
	/* Of a call that came short the kernel drops all, and calls again. */
	if (scratch && !bpf_seq_write(seq, scratch, sizeof(scratch->record) + bytes))
		*named = id;
}

/*
 * What it has used stays 0 here: it is counted from the process's start, as its time is.
 * bpf_seq_write() can come short only by asking to be called again.
 */
static __always_inline void list_process(struct bpf_iter__task *ctx, struct task_struct *task,
					 u32 flags)
{
	struct task_struct *parent = readable(task)->real_parent;
	struct cgroup *cgrp;
	struct xl_exec record = {
		.header = {
			.bytes = sizeof(record),
			.kind = XL_RUNNING,
			.flags = flags,
			.ts_ns = bpf_ktime_get_ns(),
			.start_ns = task->start_time,
			.tgid = task->tgid,
			.seq = 1,
		},
		.exec_id = task->self_exec_id,
		.ppid = parent->tgid,
		.uid = readable(task)->cred->uid.val,
		.maxrss_pages = peak_pages(readable(task)->signal, true),
	};

	if (in_asked_cgroups(task, true))
		record.header.flags |= XL_F_IN_CGROUP;
	cgrp = cgroup_in(task, targ_shown_hierarchy, XL_HIERARCHIES, true);
	if (cgrp)
		record.cgroup_id = cgroup_id_of(cgrp, targ_shown_hierarchy, true);
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), task->comm);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	if (cgrp && !scan_over)
		name_listed(ctx->meta->seq, cgrp, record.cgroup_id);
}

/*
 * A process that has an entry, or that finds no room for one. An earlier pass may have
 * adopted it for what it descends from, when it had just exec'd: that exec met no entry,
 * and was not reported.
 */
static __always_inline u32 adopt_again(struct task_struct *task, const struct xl_wanted *wants,
				       u32 seq)
{
	u32 tgid = task->tgid;
	struct xl_tracked *entry = bpf_map_lookup_elem(&tracked, &tgid);

	if (!entry)
		COUNT(table_full);
	if (!entry || !(wants->flags & (XL_T_SCOPE | XL_T_FOLLOW)) ||
	    entry->start_ns != wants->start_ns || entry->exec_id == (u32)wants->exec_id ||
	    entry->seq > seq || task->self_exec_id != wants->exec_id)
		return XL_F_KNOWN;
	entry->exec_id = wants->exec_id;
	entry->flags = wants->flags;
	entry->seq = seq;
	return XL_F_TAKEN;
}

/*
 * Adopts the process, unless it ends; returns how it got into the table, or 0. The
 * entry goes in first and the process is looked at after: an exec or an end that begins
 * later than that look finds the entry. One that began before may have met it or not.
 * Of an end, whoever removes the entry decides: it is reported, or the process is not
 * adopted. An entry that an exec may be at work on is never removed: userspace is told
 * of the doubt, and the next record of the process resolves it.
 */
static __always_inline u32 adopt(struct task_struct *task)
{
	u32 tgid = task->tgid;
	struct xl_wanted *wants = bpf_map_lookup_elem(&wanted, &tgid);
	struct xl_tracked fresh = {};
	struct xl_tracked *entry;

	if (!wants || wants->start_ns != task->start_time)
		return 0;
	fresh.start_ns = wants->start_ns;
	fresh.flags = wants->flags;
	fresh.exec_id = wants->exec_id;
	fresh.seq = wants->flags & XL_T_ACTIVE ? 1 : 0;
	if (!insert_hashed(tgid, &fresh))
		return adopt_again(task, wants, fresh.seq);
	/* Removes nothing: a bucket's lock is a barrier between the entry and the looks. */
	bpf_map_delete_elem(&freeing, &tgid);
	/*
	 * A leader that left before met no entry to mark. It may be on its way yet
	 * and mark the entry too, so this is a count.
	 */
	if (task->flags & PF_EXITING) {
		entry = bpf_map_lookup_elem(&tracked, &tgid);
		if (entry)
			__sync_fetch_and_add(&entry->leader_gone, 1);
	}
	if (readable(task)->signal->live.counter == 0) {
		entry = bpf_map_lookup_elem(&tracked, &tgid);
		/* Its last exec is over: if that has met the entry, the end does, too. */
		if (entry && entry->seq == fresh.seq && remove_hashed(tgid))
			return 0;
	}
	return task->self_exec_id == wants->exec_id ? XL_F_TAKEN : XL_F_TAKEN | XL_F_TAKEN_MIDWAY;
}

SEC("iter/task")
int scan(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct signal_struct *signal;
	u32 flags = 0;

	own_tgid = bpf_get_current_pid_tgid() >> 32;
	tells_status = kernel_tells_status();
	if (!task || task->pid != task->tgid || task->flags & PF_KTHREAD)
		return 0;
	signal = readable(task)->signal;
	if (signal->live.counter == 0)
		flags |= task->exit_state && signal->nr_threads <= 1 ? XL_F_DEAD : XL_F_ENDING;
	if (scan_commit) {
		u32 adopted = adopt(task);

		if (!adopted)
			return 0;
		flags |= adopted;
	}
	list_process(ctx, task, flags);
	return 0;
}

#endif
