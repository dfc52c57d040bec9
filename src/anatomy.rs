//! The anatomy of a container's start: which part of it took how long. A start is
//! told by marks, moments that the kernel has seen; a phase is what lies between
//! two of them, so that the phases of a start add up to its total.
//!
//! Pure: events in, finished starts out. What was not seen is unknown here, and a
//! start whose fate was not seen is said to be so.

mod call;
mod figures;
mod follow;
mod open;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_any;
#[cfg(test)]
mod tests_callers;
#[cfg(test)]
mod tests_ends;

pub use figures::{Figure, Figures, PERCENTILES};
pub use follow::Anatomy;

use crate::event::{Argv, Image, ProcessId, WaitStatus};

/// What a runtime was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Command {
    /// Make a container and run its payload.
    Run,
    /// Make a container; `start` comes later, as a command of its own.
    Create,
    /// Run a payload in a container that is there.
    Exec,
    /// Start a container whose `create` was not seen.
    Start,
}

impl Command {
    /// By the name that the runtime has for it.
    fn named(name: &str) -> Option<Command> {
        match name {
            "run" => Some(Command::Run),
            "create" => Some(Command::Create),
            "exec" => Some(Command::Exec),
            "start" => Some(Command::Start),
            _ => None,
        }
    }

    /// As rows have it.
    pub fn name(self) -> &'static str {
        match self {
            Command::Run => "run",
            Command::Create => "create+start",
            Command::Exec => "exec",
            Command::Start => "start",
        }
    }
}

/// A moment of a start, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// The runtime's first exec.
    Begin,
    /// The exec of its init, which crun does not have.
    Init,
    /// The fork of the process that becomes the payload.
    Ready,
    /// The end of `create`.
    Created,
    /// The first exec of `start`.
    Asked,
    /// The payload's exec.
    Payload,
}

/// How many marks there are.
const MARKS: usize = 6;

/// A part of a start, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// The runtime, up to the exec of its init or, without one, up to the fork of
    /// the process that becomes the payload.
    Launch,
    /// Init, up to the fork of the process that becomes the payload.
    Init,
    /// That process, up to the end of `create` or to the payload's exec.
    Setup,
    /// From the end of `create` to `start`: the caller's time.
    Caller,
    /// From the first exec of `start` to the payload's.
    Start,
}

/// All phases.
pub const PHASES: [Phase; 5] = [
    Phase::Launch,
    Phase::Init,
    Phase::Setup,
    Phase::Caller,
    Phase::Start,
];

impl Phase {
    /// As tables, JSON and CSV have it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Launch => "launch",
            Phase::Init => "init",
            Phase::Setup => "setup",
            Phase::Caller => "caller",
            Phase::Start => "start",
        }
    }

    /// The mark that it begins at.
    fn begins(self) -> Mark {
        match self {
            Phase::Launch => Mark::Begin,
            Phase::Init => Mark::Init,
            Phase::Setup => Mark::Ready,
            Phase::Caller => Mark::Created,
            Phase::Start => Mark::Asked,
        }
    }
}

/// What became of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The payload runs.
    Started,
    /// It ended before, in this phase.
    Failed {
        /// Where.
        phase: Phase,
        /// How the runtime ended, or else the process that would have been the
        /// payload; absent where another program replaced the runtime.
        status: Option<WaitStatus>,
    },
    /// It was in this phase when tracing ended.
    Pending {
        /// Where.
        phase: Phase,
    },
    /// It is over, but something of it was not seen.
    Unknown,
}

impl Outcome {
    /// As JSON and CSV have it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Started => "started",
            Outcome::Failed { .. } => "failed",
            Outcome::Pending { .. } => "pending",
            Outcome::Unknown => "unknown",
        }
    }

    /// The phase that it did not get out of.
    pub fn phase(self) -> Option<Phase> {
        match self {
            Outcome::Failed { phase, .. } | Outcome::Pending { phase } => Some(phase),
            Outcome::Started | Outcome::Unknown => None,
        }
    }
}

/// A program that the runtime ran on the way: a hook, or a helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Whose.
    pub process: ProcessId,
    /// The file's name or, where that says nothing, the base name of argv\[0\].
    pub name: Vec<u8>,
    /// Its arguments.
    pub argv: Argv,
    /// Its fork, `CLOCK_MONOTONIC` nanoseconds.
    pub begin_ns: u64,
    /// Its end; absent where it ran still when the start was over.
    pub end: Option<(u64, WaitStatus)>,
    /// In which phase it began, if that is known.
    pub phase: Option<Phase>,
}

impl Hook {
    /// From its fork to its end, nanoseconds.
    pub fn time_ns(&self) -> Option<u64> {
        let (end_ns, _) = self.end?;
        Some(end_ns.saturating_sub(self.begin_ns))
    }
}

/// The start of a container, or of a process in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// `runc` or `crun`.
    pub runtime: &'static str,
    /// What it was asked.
    pub command: Command,
    /// The container's id as given.
    pub container: Option<Vec<u8>>,
    /// The runtime's process: of `create` and `start` the first that was seen.
    pub main: ProcessId,
    /// Its image.
    pub image: Box<Image>,
    /// The process that becomes the payload.
    pub payload: Option<ProcessId>,
    /// What the payload's exec brought.
    pub payload_image: Option<Box<Image>>,
    /// The marks by their order, `CLOCK_MONOTONIC` nanoseconds; absent where
    /// a mark was not reached, was not seen, or is none of this command's.
    marks: [Option<u64>; MARKS],
    /// What became of it.
    pub outcome: Outcome,
    /// The payload's exec, the failure, or the end of tracing, nanoseconds.
    pub end_ns: u64,
    /// What ran on the way, in the order of their forks.
    pub hooks: Vec<Hook>,
}

/// The marks that a command of a runtime has, in order.
fn marks_of(runtime: &str, command: Command) -> &'static [Mark] {
    use Mark::{Asked, Begin, Created, Init, Payload, Ready};
    let has_init = runtime == "runc";
    match (command, has_init) {
        (Command::Run | Command::Exec, true) => &[Begin, Init, Ready, Payload],
        (Command::Run | Command::Exec, false) => &[Begin, Ready, Payload],
        (Command::Create, true) => &[Begin, Init, Ready, Created, Asked, Payload],
        (Command::Create, false) => &[Begin, Ready, Created, Asked, Payload],
        (Command::Start, _) => &[Asked, Payload],
    }
}

impl Start {
    /// Runtime and command, `runc exec`.
    pub fn action(&self) -> String {
        format!("{} {}", self.runtime, self.command.name())
    }

    /// When it came to a mark, if that was seen.
    pub fn mark(&self, mark: Mark) -> Option<u64> {
        self.marks[mark as usize]
    }

    /// The phase that began at the last mark seen.
    fn stage(&self) -> Phase {
        let last = |phase: &&Phase| self.mark(phase.begins()).is_some();
        *PHASES.iter().rev().find(last).unwrap_or(&PHASES[0])
    }

    /// How long a phase took, nanoseconds: that in which it failed or still is up
    /// to then. None where it was not reached, where a mark was not seen, and where
    /// the command has no such phase.
    pub fn phase_ns(&self, phase: Phase) -> Option<u64> {
        let marks = marks_of(self.runtime, self.command);
        let at = marks.iter().position(|mark| *mark == phase.begins())?;
        let begin_ns = self.mark(marks[at])?;
        let end_ns = match self.mark(*marks.get(at + 1)?) {
            Some(ns) => ns,
            None if self.outcome.phase() == Some(phase) => self.end_ns,
            None => return None,
        };
        Some(end_ns.saturating_sub(begin_ns))
    }

    /// From the runtime's first exec to the payload's, to the failure or, where it
    /// is pending, to the end of tracing; nanoseconds.
    pub fn total_ns(&self) -> Option<u64> {
        if self.outcome == Outcome::Unknown {
            return None;
        }
        Some(self.end_ns.saturating_sub(self.mark(Mark::Begin)?))
    }

    /// The first that was seen of it, nanoseconds.
    pub fn seen_ns(&self) -> u64 {
        self.marks
            .iter()
            .flatten()
            .copied()
            .min()
            .unwrap_or(self.end_ns)
    }

    /// Makes marks go forward: where `start` overtook the end of `create`, the
    /// later mark's time stands for both, and the phase between took no time.
    fn order_marks(&mut self) {
        let mut next_ns = self.end_ns;
        for ns in self.marks.iter_mut().rev().flatten() {
            *ns = (*ns).min(next_ns);
            next_ns = *ns;
        }
    }

    fn place_hooks(&mut self) {
        let marks = self.marks;
        for hook in &mut self.hooks {
            let begun = |phase: &&Phase| {
                marks[phase.begins() as usize].is_some_and(|ns| ns <= hook.begin_ns)
            };
            hook.phase = PHASES.iter().rev().find(begun).copied();
        }
    }
}
