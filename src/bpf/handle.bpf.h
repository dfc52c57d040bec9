/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is done at an exec, a fork and an end, whichever probe it is that tells. */
#ifndef EXECLAT_HANDLE_BPF_H
#define EXECLAT_HANDLE_BPF_H

#include "match.bpf.h"
#include "report.bpf.h"
#include "track.bpf.h"

/* Untracked processes, almost all of most hosts, cost no look at their leader. */
static __always_inline struct xl_tracked *tracked_entry(struct task_struct *leader, u32 tgid,
							bool direct)
{
	if (!may_be_tracked(tgid))
		return NULL;
	return find_tracked(tgid, GET(direct, leader, start_time));
}

/*
 * Enters the exec into the table, and completes the record's header by what is
 * known there. False if there is no room in it.
 */
static __always_inline bool note_exec(struct exec_scratch *scratch, struct xl_tracked *entry,
				      u32 flags, u32 exec_id, bool again)
{
	struct xl_header *header = &scratch->record.header;

	if (!entry) {
		scratch->fresh.start_ns = header->start_ns;
		scratch->fresh.seq = 1;
		scratch->fresh.flags = flags;
		scratch->fresh.exec_id = exec_id;
		if (insert_tracked(header->tgid, scratch)) {
			header->seq = 1;
			return true;
		}
		/* The scan may just have adopted it. */
		entry = find_tracked(header->tgid, header->start_ns);
		if (!entry) {
			if (!again)
				COUNT(table_full);
			return false;
		}
	}
	/* The kernel may skip a probe; then what the process ran is not known. */
	if (entry->exec_id == exec_id)
		header->flags |= XL_F_TAKEN_MIDWAY;
	else if (entry->exec_id + 1 != exec_id)
		header->flags |= XL_F_UNSEEN_EXEC;
	entry->exec_id = exec_id;
	entry->flags = flags;
	entry->leader_gone = 0;
	header->seq = ++entry->seq;
	return true;
}

/*
 * Whether a copy before this one has looked at the exec of this process, or at the fork
 * that made this task. If not, it was skipped, and the caller stands in for it. Of all
 * that the first copy was kept from, what none stands in for was lost: so every one has
 * to come by here, be it tracked or not.
 */
static __always_inline bool is_seen(u32 pid, u64 start_ns, u32 exec_id, u32 which)
{
	u32 at = pid & (XL_SLOTS - 1);
	u64 mark = start_ns * 0x9e3779b97f4a7c15ULL + exec_id;
	u64 *last = bpf_map_lookup_elem(&seen, &at);

	if (!last)
		return false;
	if (which && *last == mark)
		return true;
	*last = mark;
	return false;
}

/* What a process is from an exec on that matches. */
static __always_inline u32 matched_flags(u32 flags, u64 comm, bool taken)
{
	flags |= XL_T_ACTIVE;
	if (targ_follow)
		flags |= XL_T_FOLLOW;
	if (targ_anatomy || (targ_runtimes && may_be_runtime(comm, flags)))
		flags |= XL_T_RUNTIME;
	else
		flags &= ~(XL_T_RUNTIME | XL_T_LINEAGE);
	return taken ? flags & ~XL_T_ELSEWHERE : flags | XL_T_ELSEWHERE;
}

static __always_inline u32 unmatched_flags(u32 flags, bool started)
{
	flags &= ~(XL_T_ACTIVE | XL_T_RUNTIME | XL_T_LINEAGE | XL_T_ELSEWHERE);
	return started ? flags | XL_T_ACTIVE : flags;
}

/*
 * The current task has got a new image. Pointers are loaded before the paths part,
 * here and below: the verifier looks at them again on each, see readable(). `again`: the
 * exec's return comes by here, too, if it is seen.
 */
static __always_inline int handle_exec(void *ctx, struct task_struct *task, u32 which, bool direct,
				       bool again)
{
	u32 tgid = GET(direct, task, tgid), exec_id = GET(direct, task, self_exec_id);
	struct task_struct *leader = GET(direct, task, group_leader);
	struct task_struct *parent = GET(direct, task, real_parent);
	struct xl_tracked *entry = tracked_entry(leader, tgid, direct);
	u32 flags = entry ? entry->flags : 0;
	bool lineage = flags & XL_T_LINEAGE;
	struct exec_scratch *scratch;
	struct xl_header *header;
	bool matches, started;
	u32 verdict;

	/* The table knows for certain, but only of what is tracked. */
	if (which && entry && entry->exec_id == exec_id)
		return 0;
	/* Not so of the scan's entries: what the scan knows of an exec is less. */
	if (!again && entry && flags & XL_T_FINALIZED && entry->exec_id == exec_id)
		return 0;
	if (targ_copies > 1) {
		if (is_seen(tgid, GET(direct, leader, start_time), exec_id, which))
			return 0;
		if (which)
			COUNT(stood_in_execs);
	}
	verdict = forget(judge_exec(task, flags, which, direct, again));
	matches = verdict & MATCHES;
	/* A runtime's hook, or the payload: it is told, and what it starts is not. */
	started = !matches && targ_anatomy && lineage;
	/* Else it is reported where a runtime's child is: that is its container's place. */
	if (!matches && !lineage && !(flags & XL_T_ACTIVE)) {
		/* It was seen all the same. */
		if (entry)
			entry->exec_id = exec_id;
		return 0;
	}
	scratch = bpf_map_lookup_elem(&exec_scratch, &which);
	if (!scratch)
		return 0;
	header = &scratch->record.header;
	header->ts_ns = bpf_ktime_get_ns();
	header->kind = XL_EXEC;
	header->flags = matches || started ? 0 : XL_F_UNMATCHED;
	if ((matches || started) && !(verdict & TAKEN))
		header->flags = XL_F_ELSEWHERE;
	if (lineage && (verdict & IN_CGROUP))
		header->flags |= XL_F_IN_CGROUP;
	header->start_ns = GET(direct, leader, start_time);
	header->tgid = tgid;
	flags = matches ? matched_flags(flags, comm_word(task, direct), verdict & TAKEN)
			: unmatched_flags(flags, started);
	/* An exec by another thread has ended the old leader, not the process. */
	flags &= ~(XL_T_LEADER_CODE | XL_T_FINALIZED);
	if (again)
		flags |= XL_T_FINALIZED;
	if (note_exec(scratch, entry, flags, exec_id, again))
		report_exec(ctx, task, parent, scratch, lineage, which, direct);
	return 0;
}

/*
 * Of the processes that a runtime, or one whose place is to be decided, starts. All that
 * --follow takes of the latter are decided as it is.
 */
static __always_inline bool reports_forks(u32 flags)
{
	if (!targ_anatomy && !targ_runtimes)
		return false;
	return flags & (XL_T_RUNTIME | XL_T_LINEAGE) ||
	       (flags & XL_T_FOLLOW && flags & XL_T_ELSEWHERE);
}

/* `task` has made `child`; threads come by here too. */
static __always_inline int handle_fork(void *ctx, struct task_struct *task,
				       struct task_struct *child, u32 which)
{
	u32 tgid = child->tgid, parent_tgid = task->tgid;
	struct task_struct *leader = readable(task)->group_leader;
	struct xl_tracked fresh = {}, *parent, *teller = NULL;

	if (targ_copies > 1) {
		if (is_seen(child->pid, child->start_time, child->self_exec_id, which))
			return 0;
		if (which)
			COUNT(stood_in_forks);
	}
	if (child->pid != tgid)
		return 0;
	parent = tracked_entry(leader, parent_tgid, true);
	if (parent)
		fresh.flags = parent->flags & (XL_T_SCOPE | XL_T_FOLLOW);
	if (parent && reports_forks(parent->flags)) {
		teller = parent;
		fresh.flags |= XL_T_LINEAGE | (parent->flags & XL_T_ELSEWHERE);
		fresh.seq = 1;
	} else if (targ_forks && parent) {
		teller = parent;
		fresh.seq = 1;
	}
	if (targ_command && parent_tgid == own_tgid)
		fresh.flags |= XL_T_SCOPE;
	if (!fresh.flags && !teller)
		return 0;
	fresh.start_ns = child->start_time;
	fresh.exec_id = child->self_exec_id;
	if (!insert_hashed(tgid, &fresh)) {
		/* The scan, or another copy, may just have made it. */
		if (!find_tracked(tgid, fresh.start_ns))
			COUNT(table_full);
	} else if (teller) {
		struct xl_fork record = {
			.header.start_ns = fresh.start_ns,
			.header.tgid = tgid,
			.by_start_ns = leader->start_time,
			.by_tgid = parent_tgid,
		};

		if (!(fresh.flags & XL_T_LINEAGE))
			record.header.flags |= XL_F_DESCENT;
		/* Runtimes fork one by one; a fetched sum would need v5.12. */
		__sync_fetch_and_add(&teller->flags, XL_T_ONE_FORK);
		record.nth = *(volatile u32 *)&teller->flags / XL_T_ONE_FORK;
		report_fork(ctx, task, child, &record, which);
	}
	return 0;
}

/* The current task has removed a cgroup. */
static __always_inline int handle_rmdir(void *ctx, struct cgroup *cgrp)
{
	u32 by_tgid = bpf_get_current_pid_tgid() >> 32;
	struct task_struct *current = (void *)bpf_get_current_task();
	struct xl_attach record = { .by_tgid = by_tgid };
	struct xl_tracked *by;

	if (!may_be_tracked(by_tgid))
		return 0;
	record.by_start_ns = BPF_CORE_READ(current, group_leader, start_time);
	by = find_tracked(by_tgid, record.by_start_ns);
	if (by && by->flags & (XL_T_RUNTIME | XL_T_LINEAGE))
		report_attach(ctx, cgrp, &record);
	return 0;
}

/* The current task moves `task`, and all threads of it, to a cgroup. */
static __always_inline int handle_attach(void *ctx, struct cgroup *cgrp, struct task_struct *task)
{
	u32 tgid = BPF_CORE_READ(task, tgid), by_tgid = bpf_get_current_pid_tgid() >> 32;
	struct task_struct *current = (void *)bpf_get_current_task();
	struct xl_attach record = { .header.tgid = tgid, .by_tgid = by_tgid };
	struct xl_tracked *moved, *by;

	if (!may_be_tracked(tgid) && !may_be_tracked(by_tgid))
		return 0;
	record.header.start_ns = BPF_CORE_READ(task, group_leader, start_time);
	record.by_start_ns = BPF_CORE_READ(current, group_leader, start_time);
	moved = find_tracked(tgid, record.header.start_ns);
	by = find_tracked(by_tgid, record.by_start_ns);
	if ((moved && moved->flags & (XL_T_RUNTIME | XL_T_LINEAGE)) ||
	    (by && by->flags & (XL_T_RUNTIME | XL_T_LINEAGE)))
		report_attach(ctx, cgrp, &record);
	return 0;
}

/* What wait() will report: a group's code, or else the leader's own. */
static __always_inline u32 wait_status(struct task_struct *task, struct task_struct *leader,
				       const struct xl_tracked *entry, bool direct)
{
	struct signal_struct *signal = FOLLOW(direct, task, signal);
	/* Volatile: merged with the load from the leader, it is one the verifier refuses. */
	u32 leader_code = *(const volatile u32 *)&entry->leader_code;

	if (GET(direct, signal, flags) & SIGNAL_GROUP_EXIT)
		return GET(direct, signal, group_exit_code);
	/* The leader may not have stored it yet when another thread is the last. */
	if (entry->flags & XL_T_LEADER_CODE)
		return leader_code;
	return GET(direct, leader, exit_code);
}

/*
 * An exec that fails when the old image is gone already has counted, but nobody is told
 * of it: bprm_execve() forces SIGSEGV on the process. It ends as the image before.
 */
static __always_inline bool died_in_exec(const struct xl_tracked *entry, u32 exec_id, u32 status)
{
	return entry->exec_id + 1 == exec_id && (status & 0x7f) == SIGSEGV;
}

/*
 * Reports the end of a tracked process; the record holds when, how and what it used.
 * `alone`: nobody else can see the same end now.
 */
static __always_inline int finish(void *ctx, u32 tgid, struct xl_tracked *entry, u32 exec_id,
				  bool alone, struct xl_exit *record)
{
	record->header.start_ns = entry->start_ns;
	record->header.tgid = tgid;
	record->header.seq = entry->seq + 1;
	if (!(entry->flags & XL_T_ACTIVE))
		record->header.flags |= XL_F_UNMATCHED;
	if (entry->exec_id != exec_id && !died_in_exec(entry, exec_id, record->status))
		record->header.flags |= XL_F_UNSEEN_EXEC;
	/*
	 * Of several that come here, the one that removes the entry reports. What
	 * never exec'd since it is tracked has no record to close.
	 */
	if (untrack(tgid, entry, record->header.start_ns, alone) && record->header.seq != 1)
		report_exit(ctx, record);
	return 0;
}

/* The process of the current task ends now: its last thread says so. */
static __always_inline int end_now(void *ctx, struct task_struct *task, struct task_struct *leader,
				   u32 tgid, struct xl_tracked *entry, bool alone, u32 which,
				   bool direct)
{
	struct xl_exit record = {
		.header.ts_ns = bpf_ktime_get_ns(),
		.status = wait_status(task, leader, entry, direct),
	};

	fill_end(&record, task, direct, true, which);
	return finish(ctx, tgid, entry, GET(direct, task, self_exec_id), alone, &record);
}

/*
 * Kernels that do not tell the last thread: `live` is 0 for several threads at
 * once, and before v6.0 too early for the leader's code. So: report when live is
 * 0 and the leader has passed here, whoever is the second to see both.
 */
static __always_inline bool last_by_count(struct task_struct *task, u32 tgid,
					  struct xl_tracked *entry)
{
	if (task->pid == tgid)
		__sync_fetch_and_add(&entry->leader_gone, 1);
	else if (!*(volatile u32 *)&entry->leader_gone)
		return false;
	return readable(task)->signal->live.counter == 0;
}

/*
 * Whether the parent will get a signal when all is torn down: not if the process
 * was cloned without one, or if the parent ignores its children.
 */
static __always_inline bool parent_will_be_told(struct task_struct *leader)
{
	struct task_struct *parent = leader->parent;
	struct sighand_struct *sighand = parent->sighand;

	if (leader->exit_signal != SIGCHLD)
		return leader->exit_signal > 0;
	return (u64)sighand->action[SIGCHLD - 1].sa.sa_handler != SIG_IGN;
}

static __always_inline int handle_exit(void *ctx, struct task_struct *task, bool group_dead,
				       u32 which)
{
	u32 tgid = task->tgid;
	struct task_struct *leader;
	struct xl_tracked *entry;

	if (!group_dead || !may_be_tracked(tgid))
		return 0;
	leader = task->group_leader;
	entry = tracked_entry(leader, tgid, true);
	if (!entry || (which && entry->end_ns))
		return 0;
	if (!kernel_has_group_dead() && !last_by_count(task, tgid, entry))
		return 0;
	if (which)
		COUNT(stood_in_exits);
	if (!parent_will_be_told(leader))
		return end_now(ctx, task, leader, tgid, entry, kernel_has_group_dead(), which,
			       true);
	/*
	 * Files are still open and, from v6.16 on, memory is still there: 55 ms per
	 * GB. The end is when the parent is told; this is kept should that not come.
	 */
	entry->end_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int handle_signal(void *ctx, int sig, struct task_struct *target,
					 struct task_struct *task, u32 tgid, bool direct)
{
	struct task_struct *leader = GET(direct, task, group_leader);
	struct task_struct *parent = GET(direct, leader, parent);
	struct signal_struct *signal = FOLLOW(direct, task, signal);
	struct xl_tracked *entry = tracked_entry(leader, tgid, direct);
	bool exit_seen;

	if (!entry)
		return 0;
	exit_seen = entry->end_ns;
	/* Where the kernel skips programs, it may have skipped every copy at the exit. */
	if (!exit_seen && (targ_copies == 1 || GET(direct, signal, live.counter)))
		return 0;
	/* It may send others on its way: hang-ups, death signals to its children. */
	if (target->tgid != GET(direct, parent, tgid) ||
	    (sig != SIGCHLD && sig != GET(direct, leader, exit_signal)))
		return 0;
	if (!exit_seen)
		COUNT(stood_in_exits);
	/* The list of tasks is locked: one at a time. But there may be one in tp_exit. */
	return end_now(ctx, task, leader, tgid, entry, kernel_has_group_dead(), XL_WALK_TOLD,
		       direct);
}

static __always_inline int handle_end(void *ctx, struct task_struct *task, u32 tgid, bool direct)
{
	struct task_struct *leader = GET(direct, task, group_leader);
	struct xl_tracked *entry = tracked_entry(leader, tgid, direct);

	return entry ? end_now(ctx, task, leader, tgid, entry, true, 0, direct) : 0;
}

#endif
