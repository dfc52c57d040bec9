/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Cgroups: which one a task is in, in any hierarchy, and whether that is, or is
 * below, one that was asked for. A verdict is remembered per cgroup: an id is
 * not used twice, and a cgroup never changes its place.
 */
#ifndef EXECLAT_CGROUP_BPF_H
#define EXECLAT_CGROUP_BPF_H

#include "maps.bpf.h"

#define V2_HIERARCHY 0
#define SUBSYS_MAX 16
#define LINKS_MAX 48

/* Where a v1 hierarchy's css stands in css_set: 0 unknown, 1 + index, or: */
#define SLOT_LINKS 255
#define HIERARCHY_SLOTS 16 /* more than XL_HIERARCHIES, a power of two */
u32 hierarchy_slots[HIERARCHY_SLOTS] = {};

/* Direct-mapped: id << 8 | hierarchy slot << 2 | verdict; 0 is empty. */
#define VERDICT_SLOTS 16384
u64 verdicts[VERDICT_SLOTS] = {};

/* `typed`: the verifier shall know what it is that is returned. */
static __always_inline struct cgroup *subsys_cgroup(struct css_set *cset, u32 index, u32 hierarchy,
						    bool typed)
{
	struct cgroup_subsys_state **subsys = __builtin_preserve_access_index(&cset->subsys[0]);
	struct cgroup_subsys_state *css = NULL;
	struct cgroup *cgrp;

	bpf_probe_read_kernel(&css, sizeof(css), subsys + index);
	if (typed) {
		css = bpf_rdonly_cast(css, bpf_core_type_id_kernel(struct cgroup_subsys_state));
		cgrp = css->cgroup;
		return cgrp->root->hierarchy_id == (int)hierarchy ? cgrp : NULL;
	}
	cgrp = BPF_CORE_READ(css, cgroup);
	return BPF_CORE_READ(cgrp, root, hierarchy_id) == (int)hierarchy ? cgrp : NULL;
}

/* Named hierarchies have no controller: they hang on the set's list of links. */
static __always_inline u64 linked_cgroup(struct css_set *cset, u32 hierarchy)
{
	u64 offset = bpf_core_field_offset(struct cgrp_cset_link, cgrp_link);
	struct list_head *at = BPF_CORE_READ(cset, cgrp_links.next);

	for (int i = 0; i < LINKS_MAX; i++) {
		struct cgrp_cset_link *link = (void *)at - offset;
		struct cgroup *cgrp = BPF_CORE_READ(link, cgrp);

		if (!cgrp)
			return 0;
		if (BPF_CORE_READ(cgrp, root, hierarchy_id) == (int)hierarchy)
			return (u64)cgrp;
		if (bpf_probe_read_kernel(&at, sizeof(at), &at->next))
			return 0;
	}
	return 0;
}

/*
 * The address of the cgroup in a v1 hierarchy, wherever it is in the css_set at this
 * address; notes the place. Global functions take no pointers, but the verifier looks
 * at them once, not on each path that leads to them.
 */
__noinline u64 search_v1_cgroup(u64 css_set, u32 hierarchy, u32 slot)
{
	struct css_set *cset = (void *)css_set;
	u32 *known = &hierarchy_slots[slot & (HIERARCHY_SLOTS - 1)];
	u32 count = bpf_core_field_size(cset->subsys) / sizeof(void *);

	for (u32 i = 0; *known != SLOT_LINKS && i < SUBSYS_MAX; i++) {
		struct cgroup *cgrp;

		if (i >= count)
			break;
		cgrp = subsys_cgroup(cset, i, hierarchy, false);
		if (cgrp) {
			*known = i + 1;
			return (u64)cgrp;
		}
	}
	*known = SLOT_LINKS;
	return linked_cgroup(cset, hierarchy);
}

/* The address of a cgroup, no matter how the verifier knows it. */
static __always_inline u64 address_of(struct cgroup *cgrp)
{
	return (u64)BPF_CORE_READ(cgrp, self.cgroup);
}

enum verdict { OUTSIDE = 0, INSIDE = 1, TOO_DEEP = 2, VERDICT = 3 };

/* Whether the cgroup at this address or one above it was asked for. */
__noinline int below_target(u64 address, u32 hierarchy)
{
	struct cgroup *cgrp = (void *)address;

	for (int i = 0; i < XL_CGROUP_DEPTH; i++) {
		struct xl_cgroup_key key = { .hierarchy = hierarchy };
		struct cgroup_subsys_state *parent;

		key.id = BPF_CORE_READ(cgrp, kn, id);
		if (bpf_map_lookup_elem(&targ_cgroups, &key))
			return INSIDE;
		parent = BPF_CORE_READ(cgrp, self.parent);
		if (!parent)
			return OUTSIDE;
		cgrp = BPF_CORE_READ(parent, cgroup);
	}
	return TOO_DEEP;
}

static __always_inline u32 verdict_slot(u64 id, u32 slot)
{
	u64 hash = (id ^ ((u64)slot << 60)) * 0x9e3779b97f4a7c15ULL;

	return (hash >> 32) & (VERDICT_SLOTS - 1);
}

static __always_inline bool in_targets(struct cgroup *cgrp, u64 id, u32 hierarchy, u32 slot)
{
	u64 *verdict = &verdicts[verdict_slot(id, slot)];
	u64 known = id << 8 | (u64)(slot + 1) << 2;
	u64 is = *(volatile u64 *)verdict;

	if (targ_cgroup_exact) {
		struct xl_cgroup_key key = { .id = id, .hierarchy = hierarchy };

		return bpf_map_lookup_elem(&targ_cgroups, &key) != NULL;
	}
	if ((is & ~(u64)VERDICT) != known) {
		is = known | (below_target(address_of(cgrp), hierarchy) & VERDICT);
		*(volatile u64 *)verdict = is;
	}
	/* What is remembered is a loss each time. */
	if (is & TOO_DEEP)
		COUNT(cgroup_unknown);
	return is & INSIDE;
}

/* The task's cgroup in a hierarchy; `slot` says where to remember its place. */
static __always_inline struct cgroup *cgroup_in(struct task_struct *task, u32 hierarchy, u32 slot,
						bool direct)
{
	struct css_set *cset = GET(direct, task, cgroups);
	bool typed = kernel_has_rdonly_cast();
	u32 place;
	u64 address;

	if (hierarchy == V2_HIERARCHY)
		return GET(direct, cset, dfl_cgrp);
	place = hierarchy_slots[slot & (HIERARCHY_SLOTS - 1)];
	if (place && place <= SUBSYS_MAX)
		return subsys_cgroup(cset, place - 1, hierarchy, typed);
	address = search_v1_cgroup((u64)BPF_CORE_READ(task, cgroups), hierarchy, slot);
	if (typed && address)
		return bpf_rdonly_cast((void *)address, bpf_core_type_id_kernel(struct cgroup));
	return (void *)address;
}

/* The id of what cgroup_in() has found in this hierarchy. */
static __always_inline u64 cgroup_id_of(struct cgroup *cgrp, u32 hierarchy, bool direct)
{
	bool typed = hierarchy == V2_HIERARCHY ? direct : kernel_has_rdonly_cast();
	struct kernfs_node *kn = GET(typed, cgrp, kn);

	return GET(typed, kn, id);
}

static __always_inline bool in_asked_cgroups(struct task_struct *task, bool direct)
{
	if (!targ_hierarchy_count)
		return true;
	for (u32 i = 0; i < XL_HIERARCHIES; i++) {
		u32 hierarchy;
		struct cgroup *cgrp;
		u64 id;

		if (i >= targ_hierarchy_count)
			break;
		hierarchy = targ_hierarchies[i];
		cgrp = cgroup_in(task, hierarchy, i, direct);
		if (!cgrp) {
			COUNT(cgroup_unknown);
			continue;
		}
		id = cgroup_id_of(cgrp, hierarchy, direct);
		if (in_targets(cgrp, id, hierarchy, i))
			return true;
	}
	return false;
}

#endif
