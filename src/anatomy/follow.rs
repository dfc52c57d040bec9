//! Follows starts by the events of the processes that they are made of.

mod over;

use std::collections::{BTreeMap, VecDeque};

use super::call::{Call, Called, Created, same};
use super::open::{Fate, Open, bad};
use super::{Command, Mark, Start};
use crate::event::{Event, EventKind, Image, ProcessId, WaitStatus};
use crate::hash::QuickMap;
use crate::order::Order;
use crate::source::Alive;
use over::runtime_failed;

/// Events are taken so long after the horizon: one that comes late still finds its
/// place among those of other processes, as it does in the pair stage.
const HOLD_NS: u64 = 1_000_000_000;
/// How long after a runtime has failed its last process may still end, or run the
/// payload all the same.
const GIVE_UP_NS: u64 = 1_000_000_000;
/// Starts that go on at once; beyond it the oldest is given up as unknown.
const STARTS_MAX: usize = 8192;

/// What a process is to starts. Kept of every process that has a record, to its end: a
/// runtime's caller may match as well, and what it ran before is then no record lost.
#[derive(Debug, Clone, Copy, Default)]
struct Role {
    /// It is the runtime that was called.
    main_of: Option<u64>,
    /// It was forked by one.
    member_of: Option<u64>,
    next_seq: u32,
    last_ns: u64,
    /// How many forks of it were told, if that is known.
    forks: Option<u32>,
    /// A fork between it and whoever it descends from was not seen.
    stray: bool,
}

impl Role {
    fn forget(&mut self, start: u64) {
        for of in [&mut self.main_of, &mut self.member_of] {
            of.take_if(|of| *of == start);
        }
    }
}

/// The state machine.
#[derive(Debug, Default)]
pub struct Anatomy {
    order: Order,
    look: Option<Alive>,
    processes: QuickMap<ProcessId, Role>,
    /// By a number of our own, oldest first.
    starts: BTreeMap<u64, Open>,
    next_start: u64,
    /// Containers that were created, or are about to be, and wait for `start`.
    created: Created,
    /// Starts whose runtime has failed while a process of theirs lives, and when.
    failing: VecDeque<(u64, u64)>,
    /// Starts that were given up because there were too many.
    pub given_up: u64,
}

impl Anatomy {
    /// Takes an event, in any order.
    pub fn push(&mut self, event: Event) {
        self.order.push(event);
    }

    /// Takes a look at all processes.
    pub fn look(&mut self, look: Alive) {
        self.look = Some(look);
    }

    /// Nothing older than `horizon_ns` will come but by accident; hands out the
    /// starts that are over.
    pub fn advance(&mut self, horizon_ns: u64, out: &mut Vec<Start>) {
        let until_ns = match horizon_ns {
            u64::MAX => u64::MAX,
            ns => ns.saturating_sub(HOLD_NS),
        };
        let events: Vec<Event> = self.order.release(until_ns).collect();
        for event in events {
            self.apply(event, out);
        }
        if let Some(look) = self.look.take_if(|look| look.seen_ns <= until_ns) {
            self.reconcile(&look, out);
        }
        while let Some(&(ns, start)) = self.failing.front() {
            if ns.saturating_add(GIVE_UP_NS) > until_ns {
                break;
            }
            self.failing.pop_front();
            self.over(start, out);
        }
    }

    /// Tracing has ended: hands out what goes on still, oldest first.
    pub fn end(&mut self, now_ns: u64, out: &mut Vec<Start>) {
        self.failing.clear();
        let starts: Vec<u64> = self.starts.keys().copied().collect();
        for start in starts {
            let failed = self.starts.get(&start).is_some_and(runtime_failed);
            match failed {
                true => self.over(start, out),
                false => self.finish(start, Fate::Pending, now_ns, out),
            }
        }
    }

    /// How many processes are kept in mind.
    #[cfg(test)]
    #[cfg(test)]
    pub(super) fn processes_known(&self) -> usize {
        self.processes.len()
    }

    fn apply(&mut self, event: Event, out: &mut Vec<Start>) {
        let (id, ts_ns) = (event.process, event.ts_ns);
        let role = self.processes.entry(id).or_insert(Role {
            next_seq: 1,
            forks: (event.seq == 1).then_some(0),
            stray: event.seq != 1,
            ..Role::default()
        });
        // Whether something that it did before this was not seen.
        let gap = event.unseen_exec || event.seq != role.next_seq;
        role.next_seq = event.seq.saturating_add(1);
        role.last_ns = ts_ns;
        match event.kind {
            EventKind::Fork { by, nth, .. } => self.forked(id, ts_ns, by, nth),
            EventKind::Exec(image) => self.exec(id, image, ts_ns, gap, out),
            EventKind::Unmatched { .. } => self.replaced(id, ts_ns, out),
            // How far it had come before tracing began is not known, nor what it forked.
            EventKind::Running(_) | EventKind::InExec => role.forks = None,
            EventKind::Attach { .. } => {}
            EventKind::Exit { status, .. } => self.ended(id, ts_ns, status, gap, out),
        }
    }

    fn forked(&mut self, id: ProcessId, ts_ns: u64, by: ProcessId, nth: u32) {
        let stray = self.processes.get(&by).is_none_or(|role| role.stray);
        if let Some(role) = self.processes.get_mut(&id) {
            role.stray = stray;
        }
        let Some(role) = self.processes.get_mut(&by) else {
            return;
        };
        let gap = role
            .forks
            .is_some_and(|forks| nth > forks.saturating_add(1));
        role.forks = Some(nth);
        let Some(start) = role.main_of.or(role.member_of) else {
            return;
        };
        let Some(open) = self.starts.get_mut(&start) else {
            return;
        };
        open.fork_lost |= gap;
        open.missing |= gap;
        if open.add(id, by, ts_ns)
            && let Some(role) = self.processes.get_mut(&id)
        {
            role.member_of = Some(start);
        }
    }

    fn exec(
        &mut self,
        id: ProcessId,
        image: Box<Image>,
        ts_ns: u64,
        gap: bool,
        out: &mut Vec<Start>,
    ) {
        let called = Called::by(&image);
        self.drop_wrapper(id, &called);
        let role = self.processes.get(&id).copied().unwrap_or_default();
        if let Some(start) = role.member_of
            && let Some(open) = self.starts.get_mut(&start)
        {
            if called == Called::Init {
                if !gap {
                    open.init(id, ts_ns);
                }
                return;
            }
            if open.exec(id, &image, ts_ns, gap) {
                let fate = match gap || open.unsure() {
                    true => Fate::Unknown,
                    false => Fate::Started,
                };
                self.finish(start, fate, ts_ns, out);
            }
        }
        if let Some(start) = role.main_of {
            if self
                .starts
                .get(&start)
                .is_some_and(|open| same(open, id, &called))
            {
                return;
            }
            self.main_ended(start, id, ts_ns, None, out);
        }
        match called {
            Called::For(call) => self.begin(id, call, image, ts_ns, gap, out),
            Called::Init | Called::Other if role.stray => self.unplaced(image.ppid),
            Called::Init | Called::Other => {}
        }
    }

    /// A program of a runtime's name that only runs the runtime, in its own process or in
    /// a child, is a wrapper: the start is that of what it runs.
    fn drop_wrapper(&mut self, id: ProcessId, called: &Called) {
        let role = self.processes.get(&id).copied().unwrap_or_default();
        let (Called::For(call), Some(start)) = (called, role.member_of.or(role.main_of)) else {
            return;
        };
        let Some(open) = self.starts.get_mut(&start) else {
            return;
        };
        if role.member_of.is_none() && same(open, id, called) {
            return;
        }
        match open.starter {
            None if open.call.wraps(call) => {
                self.remove(start);
            }
            Some(wrapper) if call.starts(&open.call) => {
                open.take_back_start(id);
                for of in [wrapper, id] {
                    if let Some(role) = self.processes.get_mut(&of) {
                        role.forget(start);
                    }
                }
            }
            None | Some(_) => {}
        }
    }

    /// A program was run by a process whose fork was not seen: by its parent, it may
    /// have been the payload.
    fn unplaced(&mut self, ppid: u32) {
        for open in self.starts.values_mut().filter(|o| o.main.tgid == ppid) {
            open.missing = true;
        }
    }

    fn begin(
        &mut self,
        id: ProcessId,
        call: Call,
        image: Box<Image>,
        ts_ns: u64,
        gap: bool,
        out: &mut Vec<Start>,
    ) {
        let mark = match call.command {
            Command::Start => Mark::Asked,
            _ => Mark::Begin,
        };
        let of_create = (call.command == Command::Start)
            .then(|| self.created.of(&call))
            .flatten();
        let waits = |start: &u64| self.starts.get(start).is_some_and(|o| o.starter.is_none());
        let start = match of_create.filter(waits) {
            Some(start) => start,
            None => {
                if self.starts.len() >= STARTS_MAX
                    && let Some((&oldest, _)) = self.starts.first_key_value()
                {
                    self.given_up += 1;
                    self.finish(oldest, Fate::Unknown, ts_ns, out);
                }
                let start = self.next_start;
                self.next_start += 1;
                self.created.begin(&call, start);
                self.starts.insert(start, Open::new(call, id, image));
                start
            }
        };
        if let Some(open) = self.starts.get_mut(&start) {
            if open.main != id {
                open.starter = Some(id);
            }
            if !gap {
                open.set(mark, ts_ns);
            }
        }
        if let Some(role) = self.processes.get_mut(&id) {
            role.main_of = Some(start);
        }
    }

    /// By something that does not match, and so is no runtime.
    fn replaced(&mut self, id: ProcessId, ts_ns: u64, out: &mut Vec<Start>) {
        if let Some(start) = self.processes.get(&id).and_then(|role| role.main_of) {
            self.main_ended(start, id, ts_ns, None, out);
        }
    }

    fn ended(
        &mut self,
        id: ProcessId,
        ts_ns: u64,
        status: WaitStatus,
        gap: bool,
        out: &mut Vec<Start>,
    ) {
        let Some(role) = self.processes.remove(&id) else {
            return;
        };
        if let Some(start) = role.member_of
            && let Some(open) = self.starts.get_mut(&start)
        {
            open.member_ended(id, ts_ns, status, gap);
            self.judge(start, ts_ns, out);
        }
        if let Some(start) = role.main_of {
            self.main_ended(start, id, ts_ns, Some(status), out);
        }
    }

    fn main_ended(
        &mut self,
        start: u64,
        id: ProcessId,
        ts_ns: u64,
        status: Option<WaitStatus>,
        out: &mut Vec<Start>,
    ) {
        if let Some(role) = self.processes.get_mut(&id) {
            role.main_of = None;
        }
        let Some(open) = self.starts.get_mut(&start) else {
            return;
        };
        if open.starter == Some(id) {
            open.starter_end = Some((ts_ns, status));
        } else {
            open.main_end = Some((ts_ns, status));
            if open.call.command == Command::Create {
                match bad(status) {
                    true => self.created.forget(&open.call, start),
                    false => {
                        open.set(Mark::Created, ts_ns);
                        self.created.sure(&open.call, start);
                    }
                }
            }
        }
        self.judge(start, ts_ns, out);
    }
}
