//! Adopts what runs already. The probes are live before this begins, so what begins,
//! execs or ends meanwhile is theirs.

mod argv;
mod left_out;
mod records;

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result};
use libbpf_rs::{Link, MapCore as _, MapFlags, MapMut};

use super::iter::{CgroupNames, Listed, list, list_named};
use super::readers;
use crate::config::KernelFilter;
use crate::event::{Argv, ProcessId};
use crate::filter::name_matches;
use crate::runtime;
use crate::skel::types::{xl_exec, xl_flags, xl_limits, xl_tracked_flags, xl_wanted};
use crate::wire;
pub use argv::{Argvs, Without, answer};
pub use left_out::LeftOuts;
use left_out::Why;
use records::{append_attach, append_in_exec, append_record};

/// Descendants may fork while they are looked for; a tree that outruns this many
/// passes is followed by its forks alone.
const PASSES_MAX: usize = 16;
/// So much of an argv is looked at for the name, whatever is kept.
pub const NAME_BYTES: u32 = 4096;

/// What one run of the scan needs.
pub struct Scan<'a> {
    /// The iterator.
    pub link: &'a Link,
    /// The kernel side's table of whom to adopt.
    pub wanted: &'a MapMut<'a>,
    /// Switches the kernel side between listing and adopting.
    pub set_commit: &'a mut dyn FnMut(bool),
    /// What to look for.
    pub filter: &'a KernelFilter,
    /// The most of an argv that is kept, bytes.
    pub args_bytes: u32,
    /// Reads them.
    pub argvs: Argvs,
    /// Names of cgroups that are not reported yet.
    pub names: CgroupNames,
    /// By the pid of a parent, a child that is inside the cgroups asked for: where the parent
    /// is a runtime, that is its container.
    pub contained: HashMap<u32, xl_exec>,
    /// What is left out.
    pub left_out: LeftOuts,
    /// The probes were live then, `CLOCK_MONOTONIC` nanoseconds.
    pub live_ns: u64,
    /// Ends the message that a pid was not found.
    pub pids_hint: &'static str,
    /// execlat itself, and its readers once they are listed.
    pub ours: HashSet<u32>,
    /// /proc calls processes by the numbers that the kernel side has for them.
    pub proc_is_ours: bool,
}

/// What the passes so far have come to.
#[derive(Default)]
struct Known {
    settled: HashSet<ProcessId>,
    /// By pid.
    flags: HashMap<u32, u32>,
    /// Adopted in an exec, or right after one that nobody saw.
    in_exec: HashMap<ProcessId, xl_exec>,
}

/// Somebody to adopt.
struct Candidate {
    listed: Listed,
    flags: u32,
    args: Vec<u8>,
    true_bytes: u32,
    fault: bool,
}

impl Scan<'_> {
    /// Adopts what matches, and appends a record of each to `out`.
    ///
    /// # Errors
    /// The iterator or the table failed, or a process asked for does not exist.
    pub fn run(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let mut known = Known::default();
        for pass in 0..PASSES_MAX {
            let listed = list_named(self.link, &mut self.names)?;
            if pass == 0 {
                self.check_pids(&listed)?;
                self.note_contained(&listed);
            }
            let candidates = self.choose(listed, &mut known);
            for some in candidates.chunks(xl_limits::XL_WANTED.0 as usize) {
                self.adopt(some, &mut known, out)?;
            }
            // What execs is matched anew, and the probes see that. Only what counts for its
            // ancestors may have been overlooked, as they were not known yet.
            if candidates.is_empty() || !(self.filter.scoped() || self.filter.follow) {
                break;
            }
        }
        for record in known.in_exec.into_values() {
            append_in_exec(record, out);
        }
        if self.argvs.any_left_out() {
            self.argvs.forget_gone(&list(self.link)?);
        }
        Ok(())
    }

    fn check_pids(&self, listed: &[Listed]) -> Result<()> {
        for pid in &self.filter.pids {
            let there = |p: &Listed| p.record.header.tgid == *pid && !p.has(xl_flags::XL_F_DEAD);
            if !listed.iter().any(there) {
                anyhow::bail!("no process with pid {pid}{}", self.pids_hint);
            }
        }
        Ok(())
    }

    fn note_contained(&mut self, listed: &[Listed]) {
        if !self.filter.from_outside() {
            return;
        }
        let inside = listed.iter().filter(|p| p.has(xl_flags::XL_F_IN_CGROUP));
        let by_parent = inside.map(|process| (process.record.ppid, process.record));
        self.contained = by_parent.collect();
    }

    /// Who matches, or descends from one that does, and is not settled yet.
    fn choose(&mut self, listed: Vec<Listed>, known: &mut Known) -> Vec<Candidate> {
        let scope = xl_tracked_flags::XL_T_SCOPE.0;
        let follow = xl_tracked_flags::XL_T_FOLLOW.0;
        let elsewhere = xl_tracked_flags::XL_T_ELSEWHERE.0;
        self.note_readers(&listed);
        self.read_ahead(&listed, known);
        let mut candidates = Vec::new();
        let mut rest = listed;
        loop {
            // A child may be listed before its parent: go on until nothing changes.
            let before = rest.len();
            let mut undecided = Vec::new();
            for process in rest {
                let record = &process.record;
                let tgid = record.header.tgid;
                if self.is_out(&process, known) {
                    continue;
                }
                // An earlier image of its own counts as an ancestor.
                let of_its_own = known
                    .in_exec
                    .contains_key(&process.process())
                    .then_some(&tgid);
                let from = of_its_own.unwrap_or(&record.ppid);
                let mut flags = known.flags.get(from).copied().unwrap_or(0);
                flags &= match flags & follow {
                    0 => scope,
                    _ => scope | follow | elsewhere,
                };
                if self.filter.pids.contains(&tgid) {
                    flags |= xl_tracked_flags::XL_T_SCOPE.0;
                }
                if flags == 0 && self.is_seen(&process) {
                    undecided.push(process);
                    continue;
                }
                match self.candidate(process, flags) {
                    Ok(candidate) => {
                        let tgid = candidate.listed.record.header.tgid;
                        known.flags.insert(tgid, candidate.flags);
                        candidates.push(candidate);
                    }
                    Err(process) => undecided.push(process),
                }
            }
            if undecided.len() == before || undecided.is_empty() {
                return candidates;
            }
            rest = undecided;
        }
    }

    fn candidate(&mut self, listed: Listed, mut flags: u32) -> Result<Candidate, Listed> {
        let filter = self.filter;
        let process = listed.process();
        let in_scope = !filter.scoped() || flags & xl_tracked_flags::XL_T_SCOPE.0 != 0;
        let follows = flags & xl_tracked_flags::XL_T_FOLLOW.0 != 0;
        let inside = listed.has(xl_flags::XL_F_IN_CGROUP);
        let mut why = self.before_its_name(&listed).filter(|_| !follows);
        let may_match = (follows || in_scope) && why.is_none();
        let mut candidate = Candidate {
            listed,
            flags: 0,
            args: Vec::new(),
            true_bytes: 0,
            fault: false,
        };
        if may_match {
            self.read_args(&mut candidate);
            let comm = &candidate.listed.record.comm;
            let argv = Argv {
                bytes: std::mem::take(&mut candidate.args),
                true_bytes: candidate.true_bytes,
                fault: candidate.fault,
            };
            let named = || name_matches(&filter.names, comm, argv.first());
            let runtime = || runtime::name_of(&argv, comm);
            let is_runtime = filter.runtimes && runtime().is_some();
            if !(follows || inside || is_runtime) {
                why = Some(Why::Cgroup);
            } else if !(follows || filter.names.is_empty() || named()) {
                why = Some(Why::Name(runtime()));
            } else {
                flags = self.active(flags, inside, is_runtime);
            }
            candidate.args = argv.bytes;
            candidate.args.truncate(self.args_bytes as usize);
            candidate.args.shrink_to_fit();
        }
        let left_out = why.filter(|_| in_scope);
        self.argvs.note(
            &candidate.listed,
            match left_out {
                Some(Why::Name(_)) => Without::LeftOut,
                None if flags & xl_tracked_flags::XL_T_ACTIVE.0 != 0 => Without::Adopted,
                _ => Without::Same,
            },
        );
        self.left_out.note(process, left_out);
        candidate.flags = flags;
        if flags == 0 {
            return Err(candidate.listed);
        }
        Ok(candidate)
    }

    /// The flags of one that matches.
    fn active(&self, mut flags: u32, inside: bool, is_runtime: bool) -> u32 {
        let follows = flags & xl_tracked_flags::XL_T_FOLLOW.0 != 0;
        flags |= xl_tracked_flags::XL_T_ACTIVE.0;
        if is_runtime {
            flags |= xl_tracked_flags::XL_T_RUNTIME.0;
        }
        // What is followed is where its ancestor counts to be.
        if inside {
            flags &= !xl_tracked_flags::XL_T_ELSEWHERE.0;
        } else if self.filter.from_outside() && !follows {
            flags |= xl_tracked_flags::XL_T_ELSEWHERE.0;
        }
        if self.filter.follow {
            flags |= xl_tracked_flags::XL_T_FOLLOW.0;
        }
        flags
    }

    /// Why a process is left out, as far as its argv does not matter.
    fn before_its_name(&self, listed: &Listed) -> Option<Why> {
        let (filter, record) = (self.filter, &listed.record);
        let outside = || filter.from_outside() && runtime::may_be(&record.comm);
        if !listed.has(xl_flags::XL_F_IN_CGROUP) && !outside() {
            return Some(Why::Cgroup);
        }
        let other = !filter.uids.is_empty() && !filter.uids.contains(&record.uid);
        other.then_some(Why::Uid)
    }

    /// Whether nothing is to be decided of it, whatever it runs.
    fn is_out(&self, listed: &Listed, known: &Known) -> bool {
        listed.has(xl_flags::XL_F_DEAD)
            || listed.has(xl_flags::XL_F_ENDING)
            || self.ours.contains(&listed.record.header.tgid)
            || known.settled.contains(&listed.process())
    }

    /// Our own readers are not asked for. The first is known by its pid, where /proc has the
    /// kernel side's, or by its comm, which it has a moment later; the others are its children.
    fn note_readers(&mut self, listed: &[Listed]) {
        let first = self.proc_is_ours.then(|| self.argvs.first_reader());
        for Listed { record } in listed {
            let is_named = || self.ours.contains(&record.ppid) && record.comm == readers::COMM;
            if Some(record.header.tgid) == first || is_named() {
                self.ours.insert(record.header.tgid);
                let its = listed.iter().map(|one| &one.record);
                let its = its.filter(|one| one.ppid == record.header.tgid);
                self.ours.extend(its.map(|one| one.header.tgid));
            }
        }
    }

    /// Began when the probes were live: if not for its ancestors, its first exec is yet to
    /// come, or was seen.
    fn is_seen(&self, listed: &Listed) -> bool {
        listed.record.header.start_ns >= self.live_ns
    }

    /// Of whom it is sure to be looked at, the argv is read before, all at once.
    fn read_ahead(&mut self, listed: &[Listed], known: &Known) {
        if !self.proc_is_ours || self.filter.scoped() {
            return;
        }
        let is_due = |process: &&Listed| {
            let left_out = self.before_its_name(process).is_some();
            !(left_out || self.is_out(process, known) || self.is_seen(process))
        };
        let due: Vec<ProcessId> = listed.iter().filter(is_due).map(Listed::process).collect();
        self.argvs.read(&due);
    }

    /// If it execs meanwhile, the kernel side sees that and does not take it in.
    fn read_args(&mut self, candidate: &mut Candidate) {
        let found = match self.proc_is_ours {
            true => self.argvs.of(candidate.listed.process()),
            false => None,
        };
        // Empty while the kernel lays out a new image: its exec will tell.
        match found {
            Some((bytes, true_bytes)) => {
                candidate.true_bytes = true_bytes;
                candidate.args = bytes;
            }
            None => candidate.fault = true,
        }
    }

    /// Who has exec'd since it was listed is not settled where that may have been overlooked.
    fn adopt(&mut self, some: &[Candidate], known: &mut Known, out: &mut Vec<u8>) -> Result<()> {
        let context = || "failed to write the table of processes to adopt";
        for candidate in some {
            let record = &candidate.listed.record;
            let wants = xl_wanted {
                start_ns: record.header.start_ns,
                exec_id: record.exec_id,
                flags: candidate.flags,
                pad: 0,
            };
            let key = record.header.tgid.to_ne_bytes();
            self.wanted
                .update(&key, wire::as_bytes(&wants), MapFlags::ANY)
                .with_context(context)?;
        }
        (self.set_commit)(true);
        let taken = list_named(self.link, &mut self.names);
        (self.set_commit)(false);
        for candidate in some {
            let key = candidate.listed.record.header.tgid.to_ne_bytes();
            self.wanted.delete(&key).with_context(context)?;
        }
        let by_process: HashMap<ProcessId, &Candidate> =
            some.iter().map(|c| (c.listed.process(), c)).collect();
        for listed in taken? {
            let process = listed.process();
            let Some(candidate) = by_process.get(&process) else {
                continue;
            };
            let inherited = xl_tracked_flags::XL_T_SCOPE.0 | xl_tracked_flags::XL_T_FOLLOW.0;
            let in_exec = listed.has(xl_flags::XL_F_TAKEN_MIDWAY);
            if !in_exec || candidate.flags & inherited == 0 {
                known.settled.insert(process);
            }
            let active = candidate.flags & xl_tracked_flags::XL_T_ACTIVE.0 != 0;
            if !active || !listed.has(xl_flags::XL_F_TAKEN) {
                continue;
            }
            match in_exec {
                true => drop(known.in_exec.insert(process, listed.record)),
                false => {
                    known.in_exec.remove(&process);
                    self.append(listed.record, candidate, out);
                }
            }
        }
        Ok(())
    }

    /// What is to be known of a process that was adopted.
    fn append(&mut self, record: xl_exec, candidate: &Candidate, out: &mut Vec<u8>) {
        self.names.append(record.cgroup_id, out);
        append_record(record, candidate, out);
        let is_runtime = candidate.flags & xl_tracked_flags::XL_T_RUNTIME.0 != 0;
        if let Some(child) = self.contained.get(&record.header.tgid)
            && is_runtime
        {
            append_attach(&record, child, out);
            self.names.append(child.cgroup_id, out);
        }
    }
}
