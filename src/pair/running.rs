//! Looks at what has not ended yet, which change nothing.

use super::{Open, Pair};
use crate::event::{End, Execution, Found, Image, Place, ProcessId};

/// An execution, over or not, as far as it matters to what it is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its process.
    pub process: ProcessId,
    /// What runs.
    pub image: &'a Image,
    /// Its start, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// Its end, the same; None where it has not ended.
    pub ended_ns: Option<u64>,
    /// See [`Execution::container`].
    pub container: Option<&'a Found>,
    /// See [`Execution::place`].
    pub place: Option<Place>,
    /// See [`Execution::part_of`].
    pub part_of: Option<ProcessId>,
    /// It ran before anything was seen.
    pub ran_before: bool,
}

impl<'a> From<&'a Execution> for Subject<'a> {
    fn from(execution: &'a Execution) -> Subject<'a> {
        Subject {
            process: execution.process,
            image: &execution.image,
            start_ns: execution.start_ns,
            ended_ns: (execution.end != End::Running).then_some(execution.end_ns),
            container: execution.container.as_deref(),
            place: execution.place,
            part_of: execution.part_of,
            ran_before: !execution.start_known,
        }
    }
}

/// What runs still, as far as it is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Longest {
    /// How many in all.
    pub count: u64,
    /// Of these, those that ran before anything was seen.
    pub ran_before: u64,
    /// The longest, longest first.
    pub executions: Vec<Execution>,
}

impl Pair {
    /// What runs still, as executions up to `now_ns`; longest first.
    pub fn running(&self, now_ns: u64) -> Vec<Execution> {
        let mut running: Vec<Execution> = self
            .processes
            .iter()
            .filter_map(|(id, process)| {
                let open = process.open.as_ref()?;
                Some(open.snapshot(*id, now_ns))
            })
            .collect();
        running.sort_by_key(|execution| (execution.start_ns, execution.process));
        running
    }

    /// All that runs still, in no order.
    pub fn subjects(&self) -> impl Iterator<Item = Subject<'_>> {
        self.processes.iter().filter_map(|(id, process)| {
            let open = process.open.as_ref()?;
            Some(open.subject(*id))
        })
    }

    /// What runs in this process still.
    pub fn subject(&self, process: ProcessId) -> Option<Subject<'_>> {
        let open = self.processes.get(&process)?.open.as_ref()?;
        Some(open.subject(process))
    }

    /// What runs in this process still, as an execution up to `now_ns`.
    pub fn running_in(&self, process: ProcessId, now_ns: u64) -> Option<Execution> {
        let open = self.processes.get(&process)?.open.as_ref()?;
        Some(open.snapshot(process, now_ns))
    }

    /// The longest of what runs still, for looks that are taken often: the others are
    /// counted, but not copied. `taken` says which are meant. `most` of what was seen to
    /// start, and `most` of what ran before.
    pub fn longest_running(
        &self,
        most: usize,
        now_ns: u64,
        taken: impl Fn(Subject<'_>) -> bool,
    ) -> Longest {
        let open = self.processes.iter().filter_map(|(id, process)| {
            let open = process.open.as_ref()?;
            taken(open.subject(*id)).then_some((open.start_ns, *id, open))
        });
        let (seen, before): (Vec<_>, Vec<_>) = open.partition(|(.., open)| open.start_known);
        let count = (seen.len() + before.len()) as u64;
        let ran_before = before.len() as u64;
        let mut longest = oldest(before, most);
        longest.append(&mut oldest(seen, most));
        let snapshot = |(_, id, open): (u64, ProcessId, &Open)| open.snapshot(id, now_ns);
        Longest {
            count,
            ran_before,
            executions: longest.into_iter().map(snapshot).collect(),
        }
    }
}

impl Open {
    fn subject(&self, process: ProcessId) -> Subject<'_> {
        Subject {
            process,
            image: &self.image,
            start_ns: self.start_ns,
            ended_ns: None,
            container: None,
            place: self.place,
            part_of: self.part_of,
            ran_before: !self.start_known,
        }
    }
}

/// Those that began first, in that order.
fn oldest(mut open: Vec<(u64, ProcessId, &Open)>, most: usize) -> Vec<(u64, ProcessId, &Open)> {
    let began = |one: &(u64, ProcessId, &Open)| (one.0, one.1);
    if most < open.len() {
        open.select_nth_unstable_by_key(most, began);
        open.truncate(most);
    }
    open.sort_unstable_by_key(began);
    open
}
