/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The tables of tracked processes: by tgid, told apart by the leader's start time.
 * An entry is in a slot or in the hash, and stays where it is.
 */
#ifndef EXECLAT_TRACK_BPF_H
#define EXECLAT_TRACK_BPF_H

#include "maps.bpf.h"

static __always_inline u32 *maybe_slot(u32 tgid)
{
	return &maybe_tracked[tgid & (XL_SLOTS - 1)];
}

static __always_inline bool may_be_tracked(u32 tgid)
{
	return *(volatile u32 *)maybe_slot(tgid) != 0;
}

static __always_inline struct xl_tracked *slot_of(u32 tgid)
{
	u32 at = tgid & (XL_SLOTS - 1);

	return bpf_map_lookup_elem(&slots, &at);
}

/* The entry of this tgid, be it this very process's or an earlier one's. */
static __always_inline struct xl_tracked *entry_of(u32 tgid)
{
	struct xl_tracked *entry = slot_of(tgid);

	if (entry && entry->start_ns && entry->tgid == tgid)
		return entry;
	return bpf_map_lookup_elem(&tracked, &tgid);
}

/*
 * Frees a slot; true for the one caller that did. `alone`: nobody else can be about
 * to. A start time of 0 says that it is free, and goes before the count does.
 */
static __always_inline bool free_slot(struct xl_tracked *slot, u32 tgid, u64 start_ns, bool alone)
{
	bool mine;
	u8 yes = 1;

	if (!alone && bpf_map_update_elem(&freeing, &tgid, &yes, BPF_NOEXIST))
		return false;
	mine = *(volatile u64 *)&slot->start_ns == start_ns && slot->tgid == tgid;
	if (mine) {
		*(volatile u64 *)&slot->start_ns = 0;
		__sync_fetch_and_add(maybe_slot(tgid), -1);
	}
	if (!alone)
		bpf_map_delete_elem(&freeing, &tgid);
	return mine;
}

static __always_inline bool remove_hashed(u32 tgid)
{
	if (bpf_map_delete_elem(&tracked, &tgid))
		return false;
	__sync_fetch_and_add(maybe_slot(tgid), -1);
	return true;
}

/* True for the one caller that removed the entry, which is that of this process. */
static __always_inline bool untrack(u32 tgid, struct xl_tracked *entry, u64 start_ns, bool alone)
{
	if (entry->flags & XL_T_SLOT)
		return free_slot(entry, tgid, start_ns, alone);
	return remove_hashed(tgid);
}

/*
 * The entry of this very process, or NULL. One of an earlier process with the
 * same tgid, whose end was not seen, is removed and counted.
 */
static __always_inline struct xl_tracked *find_tracked(u32 tgid, u64 start_ns)
{
	struct xl_tracked *entry = entry_of(tgid);
	u64 found_ns;

	if (!entry)
		return NULL;
	found_ns = entry->start_ns;
	if (found_ns == start_ns)
		return entry;
	if (untrack(tgid, entry, found_ns, false))
		COUNT(stale);
	return NULL;
}

/* False if the hash is full, or if somebody else has just made an entry. */
static __always_inline bool insert_hashed(u32 tgid, const struct xl_tracked *fresh)
{
	/* Count first: whoever finds the entry must find the count set. */
	__sync_fetch_and_add(maybe_slot(tgid), 1);
	if (!bpf_map_update_elem(&tracked, &tgid, fresh, BPF_NOEXIST))
		return true;
	__sync_fetch_and_add(maybe_slot(tgid), -1);
	return false;
}

/*
 * For an exec, in the process itself: takes the slot if nothing else is, or is about
 * to be, counted there. Of two that come at once both see two, and go to the hash.
 * The scan does not look into slots, so they are not used until it is over.
 */
static __always_inline bool insert_tracked(u32 tgid, struct exec_scratch *scratch)
{
	struct xl_tracked *slot, *fresh = &scratch->fresh;
	u32 *count = maybe_slot(tgid);

	if (!scratch->scan_over) {
		scratch->scan_over = *(volatile u32 *)&scan_over;
		if (!scratch->scan_over)
			return insert_hashed(tgid, fresh);
	}
	__sync_fetch_and_add(count, 1);
	slot = slot_of(tgid);
	if (slot && *(volatile u32 *)count == 1) {
		slot->seq = fresh->seq;
		slot->flags = fresh->flags | XL_T_SLOT;
		slot->exec_id = fresh->exec_id;
		slot->end_ns = 0;
		slot->leader_gone = 0;
		slot->tgid = tgid;
		*(volatile u64 *)&slot->start_ns = fresh->start_ns;
		return true;
	}
	__sync_fetch_and_add(count, -1);
	return insert_hashed(tgid, fresh);
}

#endif
