//! A start that goes on: its marks so far, and the processes that it is made of.

use super::call::Call;
use super::{Command, Hook, MARKS, Mark, Outcome, Start};
use crate::event::{Image, ProcessId, WaitStatus};
use crate::text::base_name;

/// Processes of one start that are kept in mind; a runtime has ten at most.
const MEMBERS_MAX: usize = 64;

/// Of runc, the fork of its init's fork becomes the payload.
const RUNC_PAYLOAD_DEPTH: u8 = 2;

/// A process that the runtime forked, or such a one did.
#[derive(Debug)]
struct Member {
    process: ProcessId,
    fork_ns: u64,
    /// 0 for a child of the runtime.
    depth: u8,
    lives: bool,
    /// Its end, if that was seen.
    end: Option<(u64, WaitStatus)>,
    /// It runs a program of its own: a hook.
    other: bool,
}

/// How a start ends; the marks tell where.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Started,
    Failed(Option<WaitStatus>),
    Pending,
    Unknown,
}

/// A start that goes on.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) call: Call,
    pub(super) main: ProcessId,
    image: Box<Image>,
    pub(super) marks: [Option<u64>; MARKS],
    /// The end of `run`, `exec` or `create`, or of a `start` whose create was not seen.
    pub(super) main_end: Option<(u64, Option<WaitStatus>)>,
    /// The process of `start`, where `create` was seen.
    pub(super) starter: Option<ProcessId>,
    pub(super) starter_end: Option<(u64, Option<WaitStatus>)>,
    members: Vec<Member>,
    hooks: Vec<Hook>,
    payload_image: Option<Box<Image>>,
    /// A record of it was lost: what looks like a failure may be none.
    pub(super) missing: bool,
    /// Among them a fork.
    pub(super) fork_lost: bool,
}

impl Open {
    pub(super) fn new(call: Call, main: ProcessId, image: Box<Image>) -> Open {
        Open {
            call,
            main,
            image,
            marks: [None; MARKS],
            main_end: None,
            starter: None,
            starter_end: None,
            members: Vec::new(),
            hooks: Vec::new(),
            payload_image: None,
            missing: false,
            fork_lost: false,
        }
    }

    /// The first time counts.
    pub(super) fn set(&mut self, mark: Mark, ns: u64) {
        self.marks[mark as usize].get_or_insert(ns);
    }

    pub(super) fn has(&self, mark: Mark) -> bool {
        self.marks[mark as usize].is_some()
    }

    fn is_runc(&self) -> bool {
        self.call.runtime == "runc"
    }

    /// Who seemed to be `start` only runs it: in `process`, which is no hook then.
    pub(super) fn take_back_start(&mut self, process: ProcessId) {
        self.starter = None;
        self.marks[Mark::Asked as usize] = None;
        self.members.retain(|m| m.process != process);
    }

    /// A process forked by a runtime's or by a member; false if there are too many.
    pub(super) fn add(&mut self, process: ProcessId, by: ProcessId, fork_ns: u64) -> bool {
        if self.members.len() >= MEMBERS_MAX {
            self.missing = true;
            return false;
        }
        let by = self.members.iter().find(|m| m.process == by);
        self.members.push(Member {
            process,
            fork_ns,
            depth: by.map_or(0, |by| by.depth.saturating_add(1)),
            lives: true,
            end: None,
            other: false,
        });
        true
    }

    pub(super) fn members(&self) -> impl Iterator<Item = ProcessId> + '_ {
        self.members.iter().map(|m| m.process)
    }

    /// The one that becomes the payload, as far as can be told. runc: by its depth.
    /// crun: the one forked first, before any hook; for `exec` that forks another and
    /// ends. Of a `start` alone: none, what that forks are hooks.
    fn candidate(&self) -> Option<&Member> {
        if self.call.command == Command::Start {
            return None;
        }
        let mut may_be = self.members.iter().filter(|m| !m.other);
        if self.is_runc() {
            return may_be.rfind(|m| m.depth == RUNC_PAYLOAD_DEPTH);
        }
        let mut dead = None;
        for member in may_be {
            if member.lives {
                return Some(member);
            }
            dead = Some(member);
        }
        dead
    }

    fn is_candidate(&self, process: ProcessId) -> bool {
        // crun's exec knows no hooks.
        let any = self.call.command == Command::Exec && !self.is_runc();
        any || self.candidate().is_some_and(|m| m.process == process)
    }

    /// Whether the process that becomes the payload is known.
    pub(super) fn known(&self) -> bool {
        self.candidate().is_some()
    }

    /// Whether a hook may be taken for the payload: crun's is known by the order of
    /// forks.
    pub(super) fn unsure(&self) -> bool {
        self.fork_lost && !self.is_runc()
    }

    /// Whether something lives that can still become the payload.
    pub(super) fn goes_on(&self) -> bool {
        let may_be = |m: &Member| m.lives && !m.other;
        self.call.command != Command::Start && self.members.iter().any(may_be)
    }

    /// A member runs another program; true if that is the payload.
    pub(super) fn exec(&mut self, process: ProcessId, image: &Image, ns: u64, gap: bool) -> bool {
        self.missing |= gap;
        let payload = self.is_candidate(process);
        let Some(member) = self.members.iter_mut().find(|m| m.process == process) else {
            return false;
        };
        let fork_ns = member.fork_ns;
        if payload {
            self.marks[Mark::Ready as usize] = Some(fork_ns);
            if !gap && !self.unsure() {
                self.set(Mark::Payload, ns);
            }
            self.payload_image = Some(Box::new(image.clone()));
            return true;
        }
        member.other = true;
        self.hooks.push(Hook {
            process,
            name: program_name(image),
            argv: image.argv.clone(),
            begin_ns: fork_ns,
            end: None,
            phase: None,
        });
        false
    }

    /// A member runs `runc init`.
    pub(super) fn init(&mut self, process: ProcessId, ns: u64) {
        let of_main = |m: &Member| m.process == process && m.depth == 0;
        if self.members.iter().any(of_main) {
            self.set(Mark::Init, ns);
        }
    }

    /// A member has ended; `gap`: it may have run something before.
    pub(super) fn member_ended(
        &mut self,
        process: ProcessId,
        ns: u64,
        status: WaitStatus,
        gap: bool,
    ) {
        let Some(member) = self.members.iter_mut().find(|m| m.process == process) else {
            return;
        };
        member.lives = false;
        member.end = Some((ns, status));
        if !member.other {
            self.missing |= gap;
        } else if let Some(hook) = self.hooks.iter_mut().find(|h| h.process == process) {
            hook.end = member.end;
        }
    }

    /// A process is gone, and its end was not seen.
    pub(super) fn gone(&mut self, process: ProcessId) {
        self.missing = true;
        for member in self.members.iter_mut().filter(|m| m.process == process) {
            member.lives = false;
        }
    }

    /// The failure that ended it: the later of the runtime's end, which its caller
    /// sees, and of that of the process that would have been the payload.
    pub(super) fn failure(&self) -> Option<(u64, Option<WaitStatus>)> {
        let runtime = match self.starter {
            Some(_) => self.starter_end,
            None => self.main_end,
        };
        let member = self.candidate().and_then(|m| m.end);
        match (runtime, member) {
            (Some((ns, status)), Some((last_ns, _))) if bad(status) => {
                Some((ns.max(last_ns), status))
            }
            (runtime, None) => runtime,
            (_, Some((ns, status))) => Some((ns, Some(status))),
        }
    }

    /// Ends it.
    pub(super) fn finish(self, fate: Fate, end_ns: u64) -> Start {
        let candidate = self.candidate().map(|m| (m.process, m.fork_ns));
        let mut start = Start {
            runtime: self.call.runtime,
            command: self.call.command,
            payload: candidate.map(|c| c.0),
            payload_image: self.payload_image,
            container: self.call.container,
            main: self.main,
            image: self.image,
            marks: self.marks,
            outcome: Outcome::Unknown,
            end_ns,
            hooks: self.hooks,
        };
        if let Some((_, fork_ns)) = candidate {
            start.marks[Mark::Ready as usize].get_or_insert(fork_ns);
        }
        start.order_marks();
        start.place_hooks();
        let phase = start.stage();
        start.outcome = match fate {
            Fate::Started => Outcome::Started,
            Fate::Failed(status) => Outcome::Failed { phase, status },
            Fate::Pending => Outcome::Pending { phase },
            Fate::Unknown => Outcome::Unknown,
        };
        start
    }
}

/// Whether an end was none with code 0.
pub(super) fn bad(status: Option<WaitStatus>) -> bool {
    status.is_none_or(|status| status.0 != 0)
}

/// The comm, unless that is `exe` or a number: then argv\[0\] tells more.
fn program_name(image: &Image) -> Vec<u8> {
    let comm = image.comm();
    let nameless = comm == b"exe" || comm.iter().all(u8::is_ascii_digit);
    let argv0 = image.argv.args().next().filter(|arg| !arg.is_empty());
    match argv0 {
        Some(path) if nameless => base_name(path).to_vec(),
        _ => comm.to_vec(),
    }
}
