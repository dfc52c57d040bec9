//! Executions that have run for longer than a limit, while they still run. Pure: what
//! time it is, the caller says.
//!
//! The limit is one for all, so the oldest is due first: a look at who is costs
//! nothing while nobody is. Only what has not ended and was not told is kept.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::event::ProcessId;

/// Who is to be told when.
#[derive(Debug)]
pub struct Slow {
    limit_ns: u64,
    began_ns: u64,
    waiting: BTreeSet<(u64, ProcessId)>,
}

impl Slow {
    /// For what passes the limit after `began_ns`: who had done so before is no news.
    pub fn new(limit: Duration, began_ns: u64) -> Slow {
        Slow {
            limit_ns: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            began_ns,
            waiting: BTreeSet::new(),
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
        self.waiting.remove(&(start_ns, process));
    }

    /// Somebody whose execution has passed the limit by `now_ns`, the longest first;
    /// each once.
    pub fn next(&mut self, now_ns: u64) -> Option<ProcessId> {
        let (start_ns, _) = self.waiting.first()?;
        let due = start_ns.saturating_add(self.limit_ns) <= now_ns;
        due.then(|| self.waiting.pop_first())?
            .map(|(_, process)| process)
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
            .map(|process| process.tgid)
            .collect()
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
