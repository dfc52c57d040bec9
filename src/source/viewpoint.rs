//! What the kernel side calls otherwise than we do, in namespaces of our own: the time, and
//! our cgroup. Both are told by the iterator, so they are found however we got here.

use anyhow::Result;
use libbpf_rs::Link;

use super::iter::{CgroupNames, Listed, list_named};
use super::now;
use crate::wire::{self, xl_exec};

/// A clock that is known this well is known well enough: we may be preempted meanwhile.
const CLOSE_NS: u64 = 1_000_000;
/// Looks at the clocks at most.
const LOOKS_MAX: usize = 5;

/// Lists all processes, and sets our clock by the kernel's.
///
/// # Errors
/// The iterator cannot be run.
pub fn look(link: &Link, names: &mut CgroupNames) -> Result<Vec<Listed>> {
    let mut closest: Option<Ahead> = None;
    let mut looks = 0;
    loop {
        let before_ns = now::own_ns();
        let listed = list_named(link, names)?;
        let seen = Ahead::new(before_ns, now::own_ns(), listed.iter().map(|l| &l.record));
        closest = closest.into_iter().chain(seen).min_by_key(Ahead::width_ns);
        looks += 1;
        let Some(ahead) = closest else {
            return Ok(listed);
        };
        if ahead.may_be_none() || ahead.width_ns() <= CLOSE_NS || looks == LOOKS_MAX {
            now::set_ahead_ns(ahead.ns());
            return Ok(listed);
        }
    }
}

/// How far the kernel's clock may be ahead of ours: what it says while something was done
/// is between what ours said before and after.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    least_ns: i64,
    most_ns: i64,
}

impl Ahead {
    fn new<'a>(
        before_ns: u64,
        after_ns: u64,
        records: impl Iterator<Item = &'a xl_exec>,
    ) -> Option<Ahead> {
        let (first_ns, last_ns) = records.map(|r| r.header.ts_ns).fold(None, |all, ns| {
            let (first, last) = all.unwrap_or((ns, ns));
            Some((ns.min(first), ns.max(last)))
        })?;
        Some(Ahead {
            least_ns: last_ns.wrapping_sub(after_ns) as i64,
            most_ns: first_ns.wrapping_sub(before_ns) as i64,
        })
    }

    fn width_ns(&self) -> u64 {
        self.most_ns.abs_diff(self.least_ns)
    }

    fn may_be_none(self) -> bool {
        self.least_ns <= 0 && self.most_ns >= 0
    }

    fn ns(self) -> i64 {
        match self.may_be_none() {
            true => 0,
            false => self.least_ns.midpoint(self.most_ns),
        }
    }
}

/// The path of our own cgroup, as the kernel side has it in the hierarchy that is shown.
pub fn own_cgroup(listed: &[Listed], own_tgid: u32, names: &CgroupNames) -> Option<String> {
    let mut listed = listed.iter().map(|listed| &listed.record);
    let own = listed.find(|record| record.header.tgid == own_tgid)?;
    let named = wire::cgroups(names.get(own.cgroup_id)?).next()?;
    (!named.truncated).then_some(named.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skel::types::xl_header;

    fn ahead(before_ns: u64, after_ns: u64, stamps: &[u64]) -> Option<i64> {
        let record = |ts_ns: &u64| xl_exec {
            header: xl_header {
                ts_ns: *ts_ns,
                ..xl_header::default()
            },
            ..xl_exec::default()
        };
        let records: Vec<xl_exec> = stamps.iter().map(record).collect();
        Ahead::new(before_ns, after_ns, records.iter()).map(Ahead::ns)
    }

    #[test]
    fn one_clock_is_not_ahead_of_itself() {
        assert_eq!(ahead(100, 200, &[101, 150, 199]), Some(0));
        assert_eq!(ahead(100, 200, &[]), None);
    }

    #[test]
    fn a_clock_of_another_namespace_is_met_in_between() {
        assert_eq!(ahead(100, 200, &[5_104, 5_150, 5_198]), Some(5_001));
        assert_eq!(ahead(5_100, 5_200, &[104, 198]), Some(-4_999));
    }
}
