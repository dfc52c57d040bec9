//! Processes that are no more, by a look at all of them. Looks are rare, but a recording
//! may be full of them: one goes through all processes only where as many records have
//! come since the last; else through those alone that it may have something to say of.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Pair, close_unseen};
use crate::event::{Execution, ProcessId};

/// So many records are remembered, however few processes there are.
const TOUCHED_MIN: usize = 1024;

/// Who there was at the last look.
#[derive(Debug, Default)]
pub(super) struct Gone {
    known: Option<Known>,
    /// How often a process was asked about, for tests.
    #[cfg(test)]
    pub(super) asked: usize,
}

#[derive(Debug, Default)]
struct Known {
    /// Each process with the time of a record of it, the earliest first; it may have had
    /// later ones.
    by_time: BinaryHeap<Reverse<(u64, ProcessId)>>,
    /// Who had records since, with repetitions.
    touched: Vec<ProcessId>,
}

impl Gone {
    /// A record of the process has come; there are so many processes.
    pub(super) fn touch(&mut self, process: ProcessId, processes: usize) {
        if let Some(known) = &mut self.known {
            known.touched.push(process);
            if known.touched.len() > processes.max(TOUCHED_MIN) {
                self.known = None;
            }
        }
    }
}

impl Pair {
    /// Ends what is open in processes that are no more, by a look at all processes
    /// at `seen_ns` all of whose earlier events have been pushed.
    pub fn reconcile(
        &mut self,
        seen_ns: u64,
        alive: impl Fn(ProcessId) -> bool,
        out: &mut Vec<Execution>,
    ) {
        for (_, id) in self.take_gone(seen_ns, alive) {
            self.apply_parked(id, out);
            if let Some(mut process) = self.processes.remove(&id) {
                close_unseen(id, &mut process, &mut self.notes, out);
            }
        }
    }

    /// Who had no record since the look, and was not seen by it; the earliest first.
    fn take_gone(
        &mut self,
        seen_ns: u64,
        alive: impl Fn(ProcessId) -> bool,
    ) -> Vec<(u64, ProcessId)> {
        let last_ns = |id| self.processes.get(&id).map(|process| process.last_ts_ns);
        let mut by_time = match self.gone.known.take() {
            Some(Known {
                mut by_time,
                touched,
            }) => {
                let touched = touched
                    .into_iter()
                    .filter_map(|id| Some((last_ns(id)?, id)));
                by_time.extend(touched.map(Reverse));
                by_time
            }
            None => {
                let all = self.processes.iter();
                all.map(|(id, process)| Reverse((process.last_ts_ns, *id)))
                    .collect()
            }
        };
        let (mut gone, mut stay) = (Vec::new(), Vec::new());
        while let Some(&Reverse((then_ns, id))) = by_time.peek()
            && then_ns < seen_ns
        {
            by_time.pop();
            #[cfg(test)]
            {
                self.gone.asked += 1;
            }
            match last_ns(id) {
                Some(ns) if ns < seen_ns && !alive(id) => gone.push((ns, id)),
                Some(ns) => stay.push(Reverse((ns, id))),
                None => {}
            }
        }
        gone.sort_unstable();
        gone.dedup();
        stay.sort_unstable();
        stay.dedup();
        by_time.extend(stay);
        self.gone.known = Some(Known {
            by_time,
            touched: Vec::new(),
        });
        gone
    }
}
