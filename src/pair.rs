//! Pairs the start and the end of each execution: the state machine that turns
//! events of processes into executions, each reported exactly once. Pure: time
//! is what the events and the caller say.
//!
//! The kernel numbers each process's records without gaps, so a record that
//! overtook an earlier one is seen as such, whatever the times say: it is parked
//! until the earlier one is here, or is given up as lost.

mod descent;
mod gone;
mod places;
mod running;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};

use crate::event::{End, Event, EventKind, Execution, Image, Place, ProcessId, Usage};
use crate::hash::QuickMap;

use gone::Gone;
pub use running::{Longest, Subject};

/// An exec with the same arguments later than this is a loop, not a runtime that
/// re-executes itself.
const REEXEC_NS: u64 = 1_000_000_000;
/// How long after a parked record the one before it may still come.
const GIVE_UP_NS: u64 = 1_000_000_000;
/// Records parked in all; beyond it the oldest is taken as it is.
const PARKED_MAX: usize = 65_536;

/// What could not be paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpaired {
    /// Ends of executions whose start was lost.
    pub finishes_without_start: u64,
    /// Executions whose end was lost.
    pub starts_without_finish: u64,
    /// Records that came after they had been given up.
    pub late_records: u64,
}

impl Unpaired {
    /// Adds what another source came to.
    pub fn add(&mut self, other: Unpaired) {
        self.finishes_without_start += other.finishes_without_start;
        self.starts_without_finish += other.starts_without_finish;
        self.late_records += other.late_records;
    }
}

/// An execution that has not ended yet.
#[derive(Debug)]
struct Open {
    image: Box<Image>,
    start_ns: u64,
    start_known: bool,
    last_exec_ns: u64,
    reexecs: u32,
    place: Option<Place>,
    part_of: Option<ProcessId>,
    below: Option<ProcessId>,
}

#[derive(Debug)]
struct Process {
    next_seq: u32,
    last_ts_ns: u64,
    open: Option<Open>,
    /// Adopted in an exec; nothing has come since.
    in_exec: bool,
    /// By number.
    parked: BTreeMap<u32, Event>,
    /// The runtime that it descends from.
    part_of: Option<ProcessId>,
    /// See [`Execution::below`].
    below: Option<ProcessId>,
    /// It has an execution, or had one.
    begun: bool,
}

impl Default for Process {
    fn default() -> Self {
        Process {
            next_seq: 1,
            last_ts_ns: 0,
            open: None,
            in_exec: false,
            parked: BTreeMap::new(),
            part_of: None,
            below: None,
            begun: false,
        }
    }
}

impl Process {
    fn begin(&mut self, id: ProcessId, mut open: Open, notes: &mut Notes) {
        open.part_of = self.part_of;
        open.below = self.below;
        self.begun = true;
        if let Some(begun) = &mut notes.begun {
            begun.push((id, open.start_ns));
        }
        self.open = Some(open);
    }

    fn exec(
        &mut self,
        id: ProcessId,
        image: Box<Image>,
        ts_ns: u64,
        notes: &mut Notes,
        out: &mut Vec<Execution>,
    ) {
        if let Some(open) = self.open.as_mut()
            && open.continues_as(&image, ts_ns)
        {
            open.reexecs += 1;
            open.last_exec_ns = ts_ns;
            return;
        }
        let (used, maxrss_pages) = (Some(image.usage), Some(image.maxrss_pages));
        if let Some(open) = self.open.take() {
            out.push(open.close(id, ts_ns, End::Exec, used, maxrss_pages));
        }
        self.begin(id, Open::new(image, ts_ns, true, ts_ns), notes);
    }

    /// The parked record that is next in sequence.
    fn take_next(&mut self) -> Option<Event> {
        self.parked.remove(&self.next_seq)
    }
}

/// The state machine.
#[derive(Debug, Default)]
pub struct Pair {
    processes: QuickMap<ProcessId, Process>,
    /// Parked records, by time, process and number, oldest first as parked.
    parked: VecDeque<(u64, ProcessId, u32)>,
    notes: Notes,
    placed: Vec<Placed>,
    gone: Gone,
}

/// A runtime has put a process somewhere.
#[derive(Debug)]
pub struct Placed {
    /// The runtime.
    pub image: Box<Image>,
    /// Where it put it, as far as is known of all hierarchies.
    pub place: Place,
    /// When, `CLOCK_MONOTONIC` nanoseconds.
    pub at_ns: u64,
}

/// What is said of records beside the executions that they make.
#[derive(Debug, Default)]
struct Notes {
    unpaired: Unpaired,
    /// Whose execution has begun, and when it did; kept only if somebody asks.
    begun: Option<Vec<(ProcessId, u64)>>,
}

impl Pair {
    /// From now on, notes which executions begin.
    pub fn note_begun(&mut self) {
        self.notes.begun.get_or_insert_default();
    }

    /// Which have begun since the last call: the process, and the start in
    /// nanoseconds. They may be over.
    pub fn take_begun(&mut self) -> Vec<(ProcessId, u64)> {
        self.notes
            .begun
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Takes the next event; pushes the executions that it ends.
    pub fn push(&mut self, event: Event, out: &mut Vec<Execution>) {
        let id = event.process;
        if let EventKind::Attach { by, place } = event.kind {
            return self.attached(id, by, place, event.ts_ns);
        }
        self.gone.touch(id, self.processes.len());
        let process = self.processes.entry(id).or_default();
        if event.seq < process.next_seq {
            self.notes.unpaired.late_records += 1;
            return;
        }
        if event.seq > process.next_seq {
            let Entry::Vacant(place) = process.parked.entry(event.seq) else {
                // One of that number is here already.
                self.notes.unpaired.late_records += 1;
                return;
            };
            self.parked.push_back((event.ts_ns, id, event.seq));
            place.insert(event);
            if self.parked.len() > PARKED_MAX {
                self.give_up_oldest(out);
            }
            return;
        }
        let mut next = Some(event);
        while let Some(event) = next {
            self.note_descent(&event);
            self.note_place(&event);
            let process = self.processes.entry(id).or_default();
            if apply(process, event, &mut self.notes, out) {
                self.notes.unpaired.late_records += process.parked.len() as u64;
                self.processes.remove(&id);
                return;
            }
            next = process.take_next();
        }
    }

    /// Nothing older than `horizon_ns` will come but by accident: what waits for a
    /// record that should have been here long ago does not wait longer.
    pub fn advance(&mut self, horizon_ns: u64, out: &mut Vec<Execution>) {
        while let Some(&(ts_ns, ..)) = self.parked.front() {
            if ts_ns.saturating_add(GIVE_UP_NS) > horizon_ns {
                break;
            }
            self.give_up_oldest(out);
        }
    }

    fn give_up_oldest(&mut self, out: &mut Vec<Execution>) {
        let Some((ts_ns, id, seq)) = self.parked.pop_front() else {
            return;
        };
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        // What it waited for may have come since.
        let parked = process.parked.get(&seq);
        if parked.is_none_or(|event| event.ts_ns != ts_ns) {
            return;
        }
        if self.apply_parked(id, out) {
            self.processes.remove(&id);
        }
    }

    /// Applies what is parked, whatever is missing in between. True if the process ended.
    fn apply_parked(&mut self, id: ProcessId, out: &mut Vec<Execution>) -> bool {
        let process = self.processes.entry(id).or_default();
        let parked = std::mem::take(&mut process.parked);
        let mut ended = false;
        for event in parked.into_values() {
            let process = self.processes.entry(id).or_default();
            // Nothing comes after an end.
            if ended || event.seq < process.next_seq {
                self.notes.unpaired.late_records += 1;
                continue;
            }
            // Records before this one may be lost. Each of them was an exec, so that what is
            // open has ended unseen.
            if event.seq > process.next_seq {
                close_unseen(id, process, &mut self.notes, out);
            }
            self.note_descent(&event);
            self.note_place(&event);
            let process = self.processes.entry(id).or_default();
            ended = apply(process, event, &mut self.notes, out);
        }
        ended
    }

    /// Whether a record waits for an earlier one.
    pub fn waits(&self) -> bool {
        !self.parked.is_empty()
    }

    /// What could not be paired so far.
    pub fn unpaired(&self) -> Unpaired {
        self.notes.unpaired
    }
}

impl Open {
    fn new(image: Box<Image>, start_ns: u64, start_known: bool, ts_ns: u64) -> Open {
        Open {
            image,
            start_ns,
            start_known,
            last_exec_ns: ts_ns,
            reexecs: 0,
            place: None,
            part_of: None,
            below: None,
        }
    }

    fn continues_as(&self, image: &Image, ts_ns: u64) -> bool {
        ts_ns.saturating_sub(self.last_exec_ns) <= REEXEC_NS && self.image.argv.same_as(&image.argv)
    }

    fn close(
        self,
        process: ProcessId,
        end_ns: u64,
        end: End,
        used: Option<Usage>,
        maxrss_pages: Option<u64>,
    ) -> Execution {
        Execution {
            process,
            start_ns: self.start_ns,
            start_known: self.start_known,
            end_ns,
            end,
            reexecs: self.reexecs,
            used: used.map(|usage| usage.since(&self.image.usage)),
            maxrss_pages,
            place: self.place,
            part_of: self.part_of,
            below: self.below,
            container: None,
            image: self.image,
        }
    }

    fn snapshot(&self, process: ProcessId, now_ns: u64) -> Execution {
        Execution {
            process,
            image: self.image.clone(),
            start_ns: self.start_ns,
            start_known: self.start_known,
            end_ns: now_ns,
            end: End::Running,
            reexecs: self.reexecs,
            used: None,
            maxrss_pages: None,
            place: self.place,
            part_of: self.part_of,
            below: self.below,
            container: None,
        }
    }
}

/// The next record of a process, none missing before it. True if the process ended.
fn apply(process: &mut Process, event: Event, notes: &mut Notes, out: &mut Vec<Execution>) -> bool {
    let (id, ts_ns) = (event.process, event.ts_ns);
    // What it was adopted for was over by then: nothing is missing.
    let was_over = std::mem::take(&mut process.in_exec) && event.unseen_exec;
    if event.unseen_exec {
        close_unseen(id, process, notes, out);
    }
    if event.taken_midway {
        process.open = None;
    }
    process.next_seq = event.seq.saturating_add(1);
    process.last_ts_ns = ts_ns;
    match event.kind {
        EventKind::Exec(image) => {
            process.exec(id, image, ts_ns, notes, out);
            false
        }
        EventKind::Unmatched {
            usage,
            maxrss_pages,
            place: _,
        } => {
            if let Some(open) = process.open.take() {
                out.push(open.close(id, ts_ns, End::Exec, Some(usage), Some(maxrss_pages)));
            }
            false
        }
        EventKind::Fork { .. } | EventKind::Attach { .. } => false,
        EventKind::Running(image) => {
            process.begin(id, Open::new(image, id.start_ns, false, ts_ns), notes);
            false
        }
        EventKind::InExec => {
            process.in_exec = true;
            false
        }
        EventKind::Exit {
            matched,
            status,
            usage,
            maxrss_pages,
        } => {
            match process.open.take() {
                Some(open) => {
                    let end = End::Exit(status);
                    out.push(open.close(id, ts_ns, end, usage, Some(maxrss_pages)));
                }
                None if matched && !was_over => notes.unpaired.finishes_without_start += 1,
                None => {}
            }
            true
        }
    }
}

/// Ends what is open in a process as `?`.
fn close_unseen(id: ProcessId, process: &mut Process, notes: &mut Notes, out: &mut Vec<Execution>) {
    if let Some(open) = process.open.take() {
        notes.unpaired.starts_without_finish += 1;
        out.push(open.close(id, process.last_ts_ns, End::Unknown, None, None));
    }
}
