/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The filters, cheapest first; nothing else is read for what does not pass. */
#ifndef EXECLAT_MATCH_BPF_H
#define EXECLAT_MATCH_BPF_H

#include "cgroup.bpf.h"

#define EVERY_BYTE(b) (0x0101010101010101ULL * (b))

/* 0x80 in every byte of the word that is a slash; exact, no borrow between bytes. */
static __always_inline u64 slashes(u64 word)
{
	u64 x = word ^ EVERY_BYTE('/');

	return ~(((x & EVERY_BYTE(0x7f)) + EVERY_BYTE(0x7f)) | x | EVERY_BYTE(0x7f));
}

/* 0xff in every byte up to, and with, the last marked one (little-endian order). */
static __always_inline u64 up_to_last(u64 marks)
{
	marks |= marks >> 8;
	marks |= marks >> 16;
	marks |= marks >> 32;
	return (marks >> 7) * 0xff;
}

/*
 * The base name in the window that ends at the last byte of argv[0]. No branch:
 * with one per byte, the paths multiply and the verifier gives up. From the last
 * word to the first, keep what follows the last slash, then nothing.
 */
static __always_inline void base_name(struct xl_name_key *key, const u64 *window)
{
	u64 *out = (u64 *)key->name;
	u64 drop = 0;

#pragma unroll
	for (int i = XL_NAME_BYTES / 8 - 1; i >= 0; i--) {
		u64 marks = slashes(window[i]);

		out[i] = window[i] & ~up_to_last(marks) & ~drop;
		drop |= 0 - ((marks | (0 - marks)) >> 63);
	}
}

/* The name filter's answer for argv[0]: 0 no, 1 yes, -1 it could not be read. */
static __always_inline int argv0_matches(struct task_struct *task, u32 which, bool direct)
{
	struct mm_struct *mm = FOLLOW(direct, task, mm);
	struct name_scratch *scratch;
	struct xl_name_key key;
	unsigned long at;
	long bytes;

	scratch = bpf_map_lookup_elem(&name_scratch, &which);
	if (!scratch)
		return -1;
	at = GET(direct, mm, arg_start);
	bytes = bpf_probe_read_user_str(scratch->argv0, sizeof(scratch->argv0), (void *)at);
	if (bytes <= 1 || bytes >= XL_ARGV0_BYTES)
		return bytes == 1 ? 0 : -1;
	/* The window ends before the NUL, and starts in `zeros` if argv[0] is short. */
	bytes = (bytes - 1) & (XL_ARGV0_BYTES - 1);
	base_name(&key, (const u64 *)((u8 *)scratch + bytes));
	return bpf_map_lookup_elem(&targ_base_names, &key) != NULL;
}

static __always_inline bool name_matches(struct task_struct *task, u32 which, bool direct)
{
	/* Set: between v5.18 and v6.4 the helper leaves what is after the NUL. */
	struct xl_comm_key comm = {};
	u8 *match;
	int argv0;

	bpf_get_current_comm(&comm, sizeof(comm));
	match = bpf_map_lookup_elem(&targ_comms, &comm);
	if (match && *match == XL_MATCH_ALWAYS)
		return true;
	argv0 = argv0_matches(task, which, direct);
	return argv0 > 0 || (argv0 < 0 && match);
}

static __always_inline bool uid_matches(void)
{
	u32 uid = bpf_get_current_uid_gid();

	return bpf_map_lookup_elem(&targ_uid_set, &uid) != NULL;
}

/* The first eight bytes of the current task's name. */
static __always_inline u64 comm_word(struct task_struct *task, bool direct)
{
	u64 comm[2] = {};

	if (direct)
		return *(u64 *)task->comm;
	bpf_get_current_comm(comm, sizeof(comm));
	return comm[0];
}

/* Spares most programs the look at all the words. */
static __always_inline bool begins_as_runtime(u64 comm)
{
	return targ_runtime_firsts >> (comm & 63) & 1;
}

/*
 * Whether a program called so may be a runtime. What a runtime executes again goes by
 * the number of a descriptor, by `exe`, or by that of its copy in memory: these are
 * believed of its own processes alone. Global, here and below: see search_v1_cgroup().
 */
__noinline int may_be_runtime(u64 comm, u32 tracked_flags)
{
	if (begins_as_runtime(comm)) {
#pragma unroll
		for (int i = 0; i < XL_RUNTIME_WORDS; i++)
			if ((comm & targ_runtime_words[i].mask) == targ_runtime_words[i].word)
				return true;
	}
	if (!(tracked_flags & (XL_T_RUNTIME | XL_T_LINEAGE)))
		return false;
	return (u8)((u8)comm - '0') <= 9 || (u32)comm == 0x657865 /* "exe" */ ||
	       (comm & 0xffffffffffffULL) == 0x3a64666d656dULL /* "memfd:" */;
}

/* The name of a runtime itself is counted: it may be the one that was meant. */
__noinline int count_left_out_by_name(u64 comm)
{
	LEFT_OUT(by_name);
	if (!begins_as_runtime(comm))
		return 0;
#pragma unroll
	for (int i = 0; i < XL_RUNTIME_WORDS; i++)
		if ((comm & (targ_runtime_words[i].mask << 8 | 0xff)) == targ_runtime_words[i].word)
			LEFT_OUT(runtimes[i]);
	return 0;
}

/* What there is to an exec; no bit: it does not match, and is not in the cgroups asked for. */
#define MATCHES 1
#define IN_CGROUP 2 /* inside the cgroups asked for; looked at where it is not TAKEN */
#define TAKEN 4	    /* there, or run by a process that was */

/*
 * To the verifier the result of a global function is any number: so the paths that lead
 * here are one, and what follows is looked at once.
 */
__noinline int forget(int value)
{
	barrier_var(value);
	return value;
}

/*
 * Whether the current task's new image passes the filters, but that it may be outside
 * the cgroups asked for if a runtime runs it. `again`: another probe judges it too, and
 * counts it if it is left out.
 */
static __always_inline u32 judge_exec(struct task_struct *task, u32 tracked_flags, u32 which,
				      bool direct, bool again)
{
	bool follow = tracked_flags & XL_T_FOLLOW;
	/* Its runtime matched, and may have moved it: its name alone is asked. */
	bool lineage = targ_anatomy && (tracked_flags & XL_T_LINEAGE);
	u32 where = (follow || lineage) && !(tracked_flags & XL_T_ELSEWHERE) ? TAKEN : 0;

	if (targ_scope && !follow && !lineage && !(tracked_flags & XL_T_SCOPE))
		return 0;
	if ((!where || (tracked_flags & XL_T_LINEAGE)) && in_asked_cgroups(task, direct))
		where = TAKEN | IN_CGROUP;
	where = forget(where);
	if (follow)
		return where | MATCHES;
	if (!where && !lineage &&
	    !(targ_from_outside && may_be_runtime(comm_word(task, direct), tracked_flags))) {
		if (!again)
			LEFT_OUT(by_cgroup);
		return 0;
	}
	if (targ_names && !name_matches(task, which, direct)) {
		if (!again)
			count_left_out_by_name(comm_word(task, direct));
		return where;
	}
	if (targ_uids && !lineage && !uid_matches()) {
		if (!again)
			LEFT_OUT(by_uid);
		return where;
	}
	return where | MATCHES;
}

#endif
