//! Prepares the kernel side before and right after its load: what the filters ask
//! for, the sizes of maps and buffers, and what this host lacks.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use libbpf_rs::{MapCore as _, MapFlags};

use super::attach::Flavour;
use super::host::Facts;
use super::targets::{self, Hierarchy, Target};
use crate::config::{KernelFilter, Live as Config};
use crate::runtime;
use crate::skel::types::{xl_cgroup_key, xl_limits, xl_match, xl_word};
use crate::skel::{ExeclatSkel, OpenExeclatSkel};
use crate::wire;

/// Buffers by default: so much per CPU, but not more than so much in all.
const BUFFER_PER_CPU_BYTES: u64 = 4 << 20;
const BUFFER_TOTAL_BYTES: u64 = 64 << 20;
const BUFFER_MIN_BYTES: u64 = 64 << 10;
/// The reader is woken at half a buffer, but not later than at so much.
const WATERMARK_MAX_BYTES: u64 = 256 << 10;

/// Locked memory that is enough for all maps.
const MEMLOCK_BYTES: u64 = 64 << 20;

/// Tracked processes beside those in slots: as many as the host may have, within
/// reason.
const TRACKED_MAX: u32 = 131_072;

/// What the kernel side is loaded with.
pub struct Plan {
    /// The cgroups asked for.
    pub targets: Vec<Target>,
    hierarchies: Vec<u32>,
    /// The hierarchy whose cgroups are shown.
    pub shown: Hierarchy,
    /// The directories of the targets, without links.
    pub directories: Vec<PathBuf>,
}

/// What the filters mean on this host.
///
/// # Errors
/// A cgroup that is none, or hierarchies beyond the limit.
pub fn plan(filter: &KernelFilter) -> Result<Plan> {
    let known = targets::hierarchies()?;
    let mut plan = Plan {
        targets: Vec::new(),
        hierarchies: Vec::new(),
        shown: targets::shown_by_default()?,
        directories: Vec::new(),
    };
    for (i, path) in filter.cgroups.iter().enumerate() {
        let (target, hierarchy) = targets::resolve(path, &known)?;
        if i == 0 {
            plan.shown = hierarchy;
        }
        if !plan.hierarchies.contains(&target.hierarchy) {
            plan.hierarchies.push(target.hierarchy);
        }
        plan.targets.push(target);
        plan.directories
            .push(fs::canonicalize(path).unwrap_or_else(|_| path.clone()));
    }
    if plan.hierarchies.len() > xl_limits::XL_HIERARCHIES.0 as usize {
        bail!(
            "--cgroup names more than {} hierarchies",
            xl_limits::XL_HIERARCHIES.0
        );
    }
    Ok(plan)
}

/// Sets what is constant for the kernel side, and the sizes of its maps.
///
/// # Errors
/// The object lacks what it should have.
pub fn configure(
    open: &mut OpenExeclatSkel<'_>,
    config: &Config,
    plan: &Plan,
    flavour: Flavour,
    copies: u32,
) -> Result<()> {
    let filter = &config.filter;
    let rodata = open.maps.rodata_data.as_deref_mut();
    let rodata = rodata.context("the BPF object has no .rodata")?;
    for (slot, hierarchy) in rodata.targ_hierarchies.iter_mut().zip(&plan.hierarchies) {
        *slot = *hierarchy;
    }
    rodata.targ_hierarchy_count = plan.hierarchies.len() as u32;
    rodata.targ_cgroup_exact = filter.cgroup_exact;
    rodata.targ_names = !filter.names.is_empty();
    rodata.targ_uids = !filter.uids.is_empty();
    rodata.targ_scope = filter.scoped();
    rodata.targ_follow = filter.follow;
    rodata.targ_command = filter.command;
    rodata.targ_anatomy = filter.anatomy;
    rodata.targ_forks = filter.forks;
    rodata.targ_runtimes = filter.runtimes;
    rodata.targ_from_outside = filter.from_outside();
    let mut words = runtime::WORDS.into_iter().map(|(word, _)| word);
    let firsts = words.clone().map(|word| 1 << (word[0] % 64));
    rodata.targ_runtime_firsts = firsts.fold(0, |all, bit: u64| all | bit);
    for place in &mut rodata.targ_runtime_words {
        *place = word(words.next());
    }
    rodata.targ_args_bytes = config.args_bytes;
    rodata.targ_copies = copies;
    rodata.targ_shown_hierarchy = plan.shown.id;

    let resize = "failed to size a map";
    let pid_max = fs::read_to_string("/proc/sys/kernel/pid_max").ok();
    let pid_max = pid_max
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(TRACKED_MAX);
    open.maps
        .tracked
        .set_max_entries(pid_max.min(TRACKED_MAX))
        .context(resize)?;
    open.maps
        .slots
        .set_max_entries(slots(pid_max))
        .context(resize)?;
    let at_least_one = |n: usize| n.max(1) as u32;
    open.maps
        .targ_cgroups
        .set_max_entries(at_least_one(plan.targets.len()))
        .context(resize)?;
    open.maps
        .targ_base_names
        .set_max_entries(at_least_one(filter.names.len()))
        .context(resize)?;
    open.maps
        .targ_comms
        .set_max_entries(at_least_one(filter.names.len()))
        .context(resize)?;
    open.maps
        .targ_uid_set
        .set_max_entries(at_least_one(filter.uids.len()))
        .context(resize)?;
    let maps = &mut open.maps;
    if copies > 1 {
        let slots = xl_limits::XL_SLOTS.0;
        maps.seen.set_max_entries(slots).context(resize)?;
    }
    for scratch in [&mut maps.exec_scratch, &mut maps.name_scratch] {
        let each = match flavour {
            Flavour::Tracepoint => copies,
            Flavour::Kprobe => 1,
        };
        scratch.set_max_entries(each).context(resize)?;
    }
    Ok(())
}

/// The beginning of a name, as the kernel side compares it; one that is none matches nothing.
fn word(name: Option<&[u8]>) -> xl_word {
    let name = name.unwrap_or_default();
    if name.is_empty() {
        return xl_word { mask: 0, word: 1 };
    }
    let mut bytes = [[0; 8]; 2];
    for (at, byte) in name.iter().take(8).enumerate() {
        (bytes[0][at], bytes[1][at]) = (0xff, *byte);
    }
    let [mask, word] = bytes.map(u64::from_ne_bytes);
    xl_word { mask, word }
}

/// One for each tgid, up to the most that the kernel side makes use of.
fn slots(pid_max: u32) -> u32 {
    let most = xl_limits::XL_SLOTS.0;
    pid_max.min(most).next_power_of_two()
}

/// Fills the maps that the kernel side's filters look into.
///
/// # Errors
/// A map refuses an entry.
pub fn fill_maps(skel: &ExeclatSkel<'_>, filter: &KernelFilter, plan: &Plan) -> Result<()> {
    let context = "failed to fill a filter's map";
    for target in &plan.targets {
        let map = &skel.maps.targ_cgroups;
        map.update(wire::as_bytes(&key(*target)), &[1], MapFlags::ANY)
            .context(context)?;
    }
    for uid in &filter.uids {
        let map = &skel.maps.targ_uid_set;
        map.update(&uid.to_ne_bytes(), &[1], MapFlags::ANY)
            .context(context)?;
    }
    for name in &filter.names {
        // Right-aligned, as the kernel side finds it in its window.
        let mut key = [0u8; xl_limits::XL_NAME_BYTES.0 as usize];
        let room = key.len() - name.len();
        key[room..].copy_from_slice(name);
        let map = &skel.maps.targ_base_names;
        map.update(&key, &[1], MapFlags::ANY).context(context)?;

        let mut comm = [0u8; xl_limits::XL_COMM_BYTES.0 as usize];
        let fits = name.len() < comm.len();
        let bytes = name.len().min(comm.len() - 1);
        comm[..bytes].copy_from_slice(&name[..bytes]);
        let rule = match fits {
            true => xl_match::XL_MATCH_ALWAYS,
            false => xl_match::XL_MATCH_IF_NO_ARGV0,
        };
        let known = skel
            .maps
            .targ_comms
            .lookup(&comm, MapFlags::ANY)
            .context(context)?;
        if fits || known.is_none() {
            let map = &skel.maps.targ_comms;
            map.update(&comm, &[rule.0 as u8], MapFlags::ANY)
                .context(context)?;
        }
    }
    Ok(())
}

/// The key of a cgroup in the kernel side's map.
pub fn key(target: Target) -> xl_cgroup_key {
    xl_cgroup_key {
        id: target.id,
        hierarchy: target.hierarchy,
        pad: 0,
    }
}

/// Pages per CPU, a power of two, and the watermark in bytes.
pub fn buffer_pages(asked_bytes: Option<u64>, cpus: u64) -> (usize, u32) {
    let page = page_bytes();
    let per_cpu = match asked_bytes {
        Some(total) => total / cpus,
        None => BUFFER_PER_CPU_BYTES.min(BUFFER_TOTAL_BYTES / cpus),
    };
    let pages = (per_cpu.max(BUFFER_MIN_BYTES) / page).max(1);
    let pages = 1u64 << pages.ilog2();
    let watermark = (pages * page / 2).min(WATERMARK_MAX_BYTES);
    (pages as usize, watermark as u32)
}

/// The oldest kernel that has all that the programs need; distributions may have
/// brought it to older ones, so only who fails is told.
const OLDEST: (u32, u32) = (5, 10);
/// The first that does not count maps as locked memory.
const FREE_MAPS: (u32, u32) = (5, 11);

/// What to tell if the kernel refuses the programs.
pub fn advice(facts: &Facts) -> String {
    let version = facts.version();
    let why = match facts.memlock_bytes {
        _ if version < OLDEST => format!(
            "Linux {} is too old: 5.10 or later is needed; ",
            facts.kernel
        ),
        Some(bytes) if version < FREE_MAPS && bytes < MEMLOCK_BYTES => format!(
            "before Linux 5.11 they need locked memory, and {} KiB may be too little: \
             ulimit -l unlimited; ",
            bytes >> 10
        ),
        _ => String::new(),
    };
    format!("failed to load the BPF programs ({why}-v shows the kernel's words)")
}

/// What went wrong with a buffer of that size, and what to try.
pub fn buffer_advice(pages: usize, cpus: u64) -> String {
    let total = pages as u64 * page_bytes() * cpus / 1024;
    format!("failed to set up a perf buffer of {total} KiB (try a smaller --buffer)")
}

/// How many CPUs are online.
pub fn cpus_online() -> u64 {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let count: u64 = online
        .trim()
        .split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(last.parse::<u64>().ok()? + 1 - first.parse::<u64>().ok()?)
        })
        .sum();
    count.max(1)
}

/// Size of a page, bytes.
pub fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_is_told_what_the_kernel_wants() {
        let told = |kernel: &str, memlock_bytes| {
            let kernel = kernel.to_owned();
            let facts = Facts {
                kernel,
                memlock_bytes,
                ..Facts::default()
            };
            advice(&facts)
        };
        let words = "-v shows the kernel's words)";
        let plain = format!("failed to load the BPF programs ({words}");
        assert_eq!(
            told("4.18.0-553.el8_10.x86_64", None),
            format!(
                "failed to load the BPF programs (Linux 4.18.0-553.el8_10.x86_64 is too old: \
                 5.10 or later is needed; {words}"
            )
        );
        assert!(told("5.9.16", Some(65536)).contains("too old"));
        assert!(told("5.10.0-46-amd64", Some(65536)).contains("64 KiB may be too little"));
        for (kernel, memlock) in [
            ("5.10.0-46-amd64", None),
            ("5.11.0", Some(65536)),
            ("6.1.0", Some(65536)),
            ("unknown", Some(65536)),
        ] {
            assert_eq!(told(kernel, memlock), plain, "{kernel}");
        }
    }

    #[test]
    fn buffers_are_powers_of_two_and_bounded() {
        let page = page_bytes();
        let total = |asked, cpus| buffer_pages(asked, cpus).0 as u64 * page * cpus;
        assert_eq!(total(None, 2), 8 << 20);
        assert_eq!(total(None, 128), 64 << 20);
        assert!(total(None, 1000) <= 64 << 20);
        assert_eq!(total(Some(3 << 20), 2), 2 << 20);
        assert_eq!(buffer_pages(Some(0), 4).0 as u64 * page, BUFFER_MIN_BYTES);
    }
}
