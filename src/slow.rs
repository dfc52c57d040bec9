//! Executions that have run for longer than a limit, while they still run. Pure: what
//! time it is, the caller says.
//!
//! The limit is one for all, so the oldest is due first: a look at who is costs
//! nothing while nobody is. Only what has not ended and was not told is kept.
//!
//! What waits for a child is told with that one: it waits here until the child is due.
//! Where the child ends before, it is told by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::event::ProcessId;

/// Who is to be told when.
#[derive(Debug)]
pub struct Slow {
    limit_ns: u64,
    began_ns: u64,
    waiting: BTreeSet<Key>,
    /// Due at this look, and not decided yet.
    looked_at: BTreeSet<Key>,
    /// Due, and told with the child that this is the key of.
    behind: BTreeMap<Key, Vec<Late>>,
    /// Due, and the child that they waited for has ended.
    left: Vec<Late>,
}

/// An execution: its start, and whose.
type Key = (u64, ProcessId);

/// An execution that has passed the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// Whose.
    pub process: ProcessId,
    /// Its start, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// It has waited for a child already.
    waited: bool,
}

impl Late {
    fn key(self) -> Key {
        (self.start_ns, self.process)
    }
}

impl Slow {
    /// For what passes the limit after `began_ns`: who had done so before is no news.
    pub fn new(limit: Duration, began_ns: u64) -> Slow {
        Slow {
            limit_ns: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            began_ns,
            waiting: BTreeSet::new(),
            looked_at: BTreeSet::new(),
            behind: BTreeMap::new(),
            left: Vec::new(),
        }
    }

    /// An execution of the process has begun.
    pub fn begin(&mut self, process: ProcessId, start_ns: u64) {
        if start_ns.saturating_add(self.limit_ns) > self.began_ns {
            self.waiting.insert((start_ns, process));
        }
    }

    /// Whether these are meant is not known yet: they are told at the next look.
    pub fn again(&mut self, undecided: &[(ProcessId, u64)]) {
        let entries = undecided
            .iter()
            .map(|(process, start_ns)| (*start_ns, *process));
        self.waiting.extend(entries);
    }

    /// It has ended.
    pub fn end(&mut self, process: ProcessId, start_ns: u64) {
        let key = (start_ns, process);
        self.waiting.remove(&key);
        self.left
            .extend(self.behind.remove(&key).unwrap_or_default());
    }

    /// Those that have passed the limit by `now_ns`, the longest first. Each is to be
    /// decided, passed over, or asked of again.
    pub fn due(&mut self, now_ns: u64) -> Vec<Late> {
        let mut due = std::mem::take(&mut self.left);
        while let Some((start_ns, process)) = self.next(now_ns) {
            due.push(Late {
                process,
                start_ns,
                waited: false,
            });
        }
        due.sort_unstable_by_key(|late| late.key());
        self.looked_at = due.iter().map(|late| late.key()).collect();
        due
    }

    /// Whether it is told now, by itself; `child` is one that it may wait for.
    pub fn decide(&mut self, late: Late, child: Option<(ProcessId, u64)>) -> bool {
        self.looked_at.remove(&late.key());
        let parents = self.behind.remove(&late.key()).unwrap_or_default();
        let child = child.map(|(process, start_ns)| (start_ns, process));
        let comes = |key: &Key| self.waiting.contains(key) || self.looked_at.contains(key);
        let Some(child) = child.filter(|key| !late.waited && comes(key)) else {
            // The parents are named in its line.
            return true;
        };
        let behind = self.behind.entry(child).or_default();
        behind.extend(parents);
        behind.push(Late {
            waited: true,
            ..late
        });
        false
    }

    /// It is not told at all.
    pub fn pass_over(&mut self, late: Late) {
        self.looked_at.remove(&late.key());
        let parents = self.behind.remove(&late.key());
        self.left.extend(parents.unwrap_or_default());
    }

    /// One that has passed the limit by `now_ns`, the longest first; each once.
    fn next(&mut self, now_ns: u64) -> Option<Key> {
        let (start_ns, _) = self.waiting.first()?;
        let due = start_ns.saturating_add(self.limit_ns) <= now_ns;
        due.then(|| self.waiting.pop_first())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process(tgid: u32) -> ProcessId {
        ProcessId { tgid, start_ns: 3 }
    }

    fn due(slow: &mut Slow, now_ns: u64) -> Vec<u32> {
        std::iter::from_fn(|| slow.next(now_ns))
            .map(|(_, process)| process.tgid)
            .collect()
    }

    /// Who is told by itself at a look; `children` by their parents.
    fn told(slow: &mut Slow, now_ns: u64, children: &[(u32, (u32, u64))]) -> Vec<u32> {
        let mut told = Vec::new();
        for late in slow.due(now_ns) {
            let tgid = late.process.tgid;
            let child = children.iter().find(|(parent, _)| *parent == tgid);
            let child = child.map(|(_, (child, start_ns))| (process(*child), *start_ns));
            if slow.decide(late, child) {
                told.push(tgid);
            }
        }
        told
    }

    #[test]
    fn a_chain_is_told_by_its_innermost() {
        let mut slow = Slow::new(Duration::from_nanos(100), 0);
        for (tgid, start_ns) in [(1, 10), (2, 20), (3, 60)] {
            slow.begin(process(tgid), start_ns);
        }
        let chain = [(1, (2, 20)), (2, (3, 60))];
        assert_eq!(told(&mut slow, 115, &chain), [] as [u32; 0]);
        assert_eq!(told(&mut slow, 125, &chain), [] as [u32; 0]);
        assert_eq!(told(&mut slow, 165, &chain), [3]);
        for tgid in [1, 2, 3] {
            slow.end(process(tgid), u64::from(tgid));
        }
        assert_eq!(told(&mut slow, 999, &chain), [] as [u32; 0]);
    }

    #[test]
    fn all_of_a_chain_may_be_due_at_one_look() {
        let mut slow = Slow::new(Duration::from_nanos(100), 0);
        for (tgid, start_ns) in [(1, 10), (2, 20), (3, 60)] {
            slow.begin(process(tgid), start_ns);
        }
        let chain = [(1, (2, 20)), (2, (3, 60))];
        assert_eq!(told(&mut slow, 999, &chain), [3]);
        assert_eq!(told(&mut slow, 9999, &chain), [] as [u32; 0]);
    }

    /// A script that has run many short programs is slow all the same.
    #[test]
    fn whose_child_ends_is_told_by_itself() {
        let mut slow = Slow::new(Duration::from_nanos(100), 0);
        slow.begin(process(1), 10);
        slow.begin(process(2), 90);
        assert_eq!(told(&mut slow, 115, &[(1, (2, 90))]), [] as [u32; 0]);
        slow.end(process(2), 90);
        slow.begin(process(3), 116);
        assert_eq!(told(&mut slow, 120, &[(1, (3, 116))]), [1]);
        assert_eq!(told(&mut slow, 216, &[]), [3]);
    }

    /// So is who started something after it was told, or before.
    #[test]
    fn a_child_that_was_told_is_not_waited_for() {
        let mut slow = Slow::new(Duration::from_nanos(100), 0);
        slow.begin(process(2), 10);
        assert_eq!(told(&mut slow, 110, &[]), [2]);
        slow.begin(process(1), 50);
        assert_eq!(told(&mut slow, 150, &[(1, (2, 10))]), [1]);
    }

    #[test]
    fn who_waits_for_one_that_is_passed_over_is_told() {
        let mut slow = Slow::new(Duration::from_nanos(100), 0);
        slow.begin(process(1), 10);
        slow.begin(process(2), 50);
        assert_eq!(told(&mut slow, 110, &[(1, (2, 50))]), [] as [u32; 0]);
        let due = slow.due(150);
        assert_eq!(due.len(), 1);
        slow.pass_over(due[0]);
        assert_eq!(told(&mut slow, 151, &[(1, (2, 50))]), [1]);
    }

    #[test]
    fn each_is_told_once_when_it_passes_the_limit() {
        let mut slow = Slow::new(Duration::from_nanos(100), 1000);
        slow.begin(process(2), 1010);
        slow.begin(process(1), 1005);
        slow.begin(process(3), 1020);
        assert_eq!(due(&mut slow, 1104), [] as [u32; 0]);
        assert_eq!(due(&mut slow, 1105), [1]);
        slow.end(process(3), 1020);
        // Of another execution of that process.
        slow.end(process(2), 1011);
        assert_eq!(due(&mut slow, 9999), [2]);
        assert_eq!(due(&mut slow, u64::MAX), [] as [u32; 0]);
    }

    #[test]
    fn what_passed_before_tracing_is_no_news() {
        let mut slow = Slow::new(Duration::from_nanos(100), 1000);
        slow.begin(process(1), 900);
        slow.begin(process(2), 901);
        assert_eq!(due(&mut slow, 1001), [2]);
    }

    #[test]
    fn a_limit_without_end_is_never_passed_in_time() {
        let mut slow = Slow::new(Duration::MAX, 0);
        slow.begin(process(1), 7);
        assert_eq!(due(&mut slow, u64::MAX - 1), [] as [u32; 0]);
    }

    proptest! {
        /// Against the plain rule, whatever the order of beginnings, ends and looks.
        #[test]
        fn it_tells_what_a_scan_of_everything_would(
            steps in proptest::collection::vec((0u32..9, 0u64..3, 1u64..40), 0..200),
        ) {
            const LIMIT_NS: u64 = 50;
            let mut slow = Slow::new(Duration::from_nanos(LIMIT_NS), 0);
            let mut open: Vec<(u64, u32)> = Vec::new();
            let mut now_ns = 1;
            for (tgid, what, passes_ns) in steps {
                now_ns += passes_ns;
                let known = open.iter().position(|(_, of)| *of == tgid);
                match (what, known) {
                    (0, None) => {
                        open.push((now_ns, tgid));
                        slow.begin(process(tgid), now_ns);
                    }
                    (1, Some(at)) => {
                        let (start_ns, _) = open.swap_remove(at);
                        slow.end(process(tgid), start_ns);
                    }
                    _ => {
                        let mut expected = open.clone();
                        expected.retain(|(start_ns, _)| start_ns + LIMIT_NS <= now_ns);
                        expected.sort_unstable();
                        open.retain(|one| !expected.contains(one));
                        // What is told is told: its end is nothing to it any more.
                        let told: Vec<u32> = expected.iter().map(|(_, tgid)| *tgid).collect();
                        prop_assert_eq!(due(&mut slow, now_ns), told);
                    }
                }
                prop_assert!(slow.waiting.len() == open.len());
            }
        }
    }
}
