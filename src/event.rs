//! What happened to a process, in the words of the whole program: processes,
//! their images, how they ended, and the executions made of these.

use std::fmt;

use nix::sys::signal::Signal;

/// A process: a reused pid is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId {
    /// Thread group id in the initial pid namespace.
    pub tgid: u32,
    /// Start of the process's leader, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
}

/// Resources as the kernel accounts them to all threads of a process, children apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time, nanoseconds; up to one tick behind.
    pub cpu_ns: u64,
    /// Page faults that had to wait for I/O.
    pub major_faults: u64,
    /// Times that a thread gave up its CPU to wait.
    pub voluntary_switches: u64,
    /// Times that a thread was made to give up its CPU.
    pub involuntary_switches: u64,
}

impl Usage {
    /// Switches of either kind.
    pub fn switches(&self) -> u64 {
        self.voluntary_switches
            .saturating_add(self.involuntary_switches)
    }

    /// What was used since `earlier`.
    pub fn since(&self, earlier: &Usage) -> Usage {
        Usage {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            major_faults: self.major_faults.saturating_sub(earlier.major_faults),
            voluntary_switches: self
                .voluntary_switches
                .saturating_sub(earlier.voluntary_switches),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(earlier.involuntary_switches),
        }
    }
}

/// The argument vector as the kernel holds it: each argument with its NUL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Argv {
    /// The captured bytes, from the first argument on.
    pub bytes: Vec<u8>,
    /// Its true length; more than was captured if the limit cut it.
    pub true_bytes: u32,
    /// A part of what should have been captured could not be read.
    pub fault: bool,
}

impl Argv {
    /// Whether the limit cut it. (What could not be read is `fault`.)
    pub fn truncated(&self) -> bool {
        !self.fault && (self.bytes.len() as u64) < u64::from(self.true_bytes)
    }

    /// Whether all of it is here.
    pub fn whole(&self) -> bool {
        !self.fault && !self.truncated()
    }

    /// The first argument, if all of it is here.
    pub fn first(&self) -> Option<&[u8]> {
        let end = self.bytes.iter().position(|&byte| byte == 0);
        match end {
            Some(end) => Some(&self.bytes[..end]),
            None => (self.whole() && !self.bytes.is_empty()).then_some(&self.bytes),
        }
    }

    /// The arguments; the last is cut short if this is not the whole.
    pub fn args(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let bytes = match self.bytes.last() {
            Some(0) => &self.bytes[..self.bytes.len() - 1],
            _ => &self.bytes[..],
        };
        let mut rest = (!self.bytes.is_empty()).then_some(bytes);
        std::iter::from_fn(move || {
            let bytes = rest.take()?;
            let Some(end) = memchr::memchr(0, bytes) else {
                return Some(bytes);
            };
            rest = Some(&bytes[end + 1..]);
            Some(&bytes[..end])
        })
    }

    /// Same vector as far as can be told, and nothing in it unknown.
    pub fn same_as(&self, other: &Argv) -> bool {
        !self.fault
            && !other.fault
            && self.true_bytes == other.true_bytes
            && self.bytes == other.bytes
    }
}

/// What an exec brought, or what a process was when tracing began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// Tgid of the parent at that time.
    pub ppid: u32,
    /// Real user id, in the initial user namespace.
    pub uid: u32,
    /// The task's name, NUL-padded.
    pub comm: [u8; 16],
    /// Its arguments.
    pub argv: Argv,
    /// Id of its cgroup in the hierarchy that is shown; 0 if unknown.
    pub cgroup_id: u64,
    /// It is outside the cgroups asked for: it counts only if it is a runtime's, and about
    /// a container inside.
    pub elsewhere: bool,
    /// Inside the cgroups asked for; known of what a runtime forked alone.
    pub in_cgroup: bool,
    /// What the process had used before.
    pub usage: Usage,
    /// The most that earlier images of the process had resident, in pages.
    pub maxrss_pages: u64,
}

impl Image {
    /// The name without its padding.
    pub fn comm(&self) -> &[u8] {
        let end = self.comm.iter().position(|&b| b == 0);
        &self.comm[..end.unwrap_or(self.comm.len())]
    }
}

/// Where the kernel saw a process that a runtime moved, or started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Id of its cgroup in the hierarchy that is shown; 0 if it was seen in another one.
    pub cgroup_id: u64,
    /// Inside the cgroups asked for, in whichever hierarchy.
    pub inside: bool,
}

impl Place {
    /// This place, and where the same container was seen before: a runtime enters each
    /// hierarchy by itself, and one inside is enough.
    pub fn and(self, before: Option<Place>) -> Place {
        let Some(before) = before else {
            return self;
        };
        let better = self.cgroup_id != 0 && (self.inside || !before.inside);
        Place {
            cgroup_id: match better || before.cgroup_id == 0 {
                true => self.cgroup_id,
                false => before.cgroup_id,
            },
            inside: self.inside || before.inside,
        }
    }
}

/// A step in a process's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// It got a new image that matches.
    Exec(Box<Image>),
    /// It got a new image that does not match.
    Unmatched {
        /// What the process had used by then.
        usage: Usage,
        /// The most that its images up to then had resident, in pages.
        maxrss_pages: u64,
        /// Where it is, if a runtime forked it.
        place: Option<Place>,
    },
    /// It was running when tracing began, and matches.
    Running(Box<Image>),
    /// It was in an exec when it was adopted. If its next event follows an unseen exec,
    /// that was this one, and it was over by then.
    InExec,
    /// It has been made; reported of what runtimes fork, or of all that is tracked.
    Fork {
        /// Who made it: with `CLONE_PARENT` this is not the parent that it has.
        by: ProcessId,
        /// Of that one's forks: 1, 2, 3, …; a gap is a loss.
        nth: u32,
        /// Where it was cloned into, if that is another cgroup than its parent's.
        place: Option<Place>,
        /// It is a runtime's work; else only who descends from whom is told.
        of_runtime: bool,
    },
    /// It was moved to another cgroup; of pid 0, which moves nowhere: a cgroup was removed.
    /// Has no place in the process's sequence.
    Attach {
        /// Who moved it.
        by: ProcessId,
        /// Where to.
        place: Place,
    },
    /// Its last thread has ended.
    Exit {
        /// Whether the image that it ran last matched.
        matched: bool,
        /// As `wait` reports it.
        status: WaitStatus,
        /// What all its threads had used by then; absent where too many were still ending.
        usage: Option<Usage>,
        /// The most that any of its images had resident, in pages.
        maxrss_pages: u64,
    },
}

/// A step in a process's life, and its place among the others of that process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub process: ProcessId,
    /// 1, 2, 3, … within the process; 0 of an attach, which is in no sequence.
    pub seq: u32,
    /// When, `CLOCK_MONOTONIC` nanoseconds.
    pub ts_ns: u64,
    /// The process has exec'd since its last event, and the kernel skipped the probe.
    pub unseen_exec: bool,
    /// This exec was under way when the process was adopted: what was told of the
    /// process then is the same image.
    pub taken_midway: bool,
    /// What.
    pub kind: EventKind,
}

impl Event {
    /// The image that it brought, or found.
    pub fn image(&self) -> Option<&Image> {
        match &self.kind {
            EventKind::Exec(image) | EventKind::Running(image) => Some(image),
            EventKind::InExec
            | EventKind::Unmatched { .. }
            | EventKind::Fork { .. }
            | EventKind::Attach { .. }
            | EventKind::Exit { .. } => None,
        }
    }
}

/// A process's end in the encoding of `wait(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitStatus(pub u32);

impl WaitStatus {
    /// The exit code, if it was not a signal.
    pub fn exit_code(self) -> Option<u8> {
        (self.0 & 0x7f == 0).then_some((self.0 >> 8) as u8)
    }

    /// The signal that ended it.
    pub fn signal(self) -> Option<u8> {
        let signal = (self.0 & 0x7f) as u8;
        (signal != 0).then_some(signal)
    }

    /// Whether a core was dumped.
    pub fn core_dumped(self) -> bool {
        self.signal().is_some() && self.0 & 0x80 != 0
    }
}

/// A signal's name, as `kill -l` has it, with `SIG`.
pub fn signal_name(signal: u8) -> String {
    /// First real-time signal of the kernel; the C library keeps two for itself.
    const RTMIN: u8 = 34;
    match Signal::try_from(i32::from(signal)) {
        Ok(known) => known.as_str().to_owned(),
        Err(_) if signal == RTMIN => "SIGRTMIN".to_owned(),
        Err(_) if signal > RTMIN && signal <= 64 => format!("SIGRTMIN+{}", signal - RTMIN),
        Err(_) => format!("SIG{signal}"),
    }
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process ended.
    Exit(WaitStatus),
    /// Another program replaced it.
    Exec,
    /// It had not ended when tracing did.
    Running,
    /// It is over, but its end was not seen.
    Unknown,
}

impl End {
    /// Whether it ended other than by exit code 0.
    pub fn failed(self) -> bool {
        match self {
            End::Exit(status) => status.exit_code() != Some(0),
            End::Unknown => true,
            End::Exec | End::Running => false,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Exit(status) => match (status.exit_code(), status.signal()) {
                (Some(code), _) => f.pad(&code.to_string()),
                (None, signal) => {
                    let name = signal_name(signal.unwrap_or_default());
                    let core = if status.core_dumped() { "+core" } else { "" };
                    f.pad(&format!("{name}{core}"))
                }
            },
            End::Exec => f.pad("exec"),
            End::Running => f.pad("-"),
            End::Unknown => f.pad("?"),
        }
    }
}

/// One program image run by one process: what a row is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Whose.
    pub process: ProcessId,
    /// What the first of its execs brought.
    pub image: Box<Image>,
    /// The completed exec, or the process's start where that was not seen.
    pub start_ns: u64,
    /// Whether `start_ns` is the exec's.
    pub start_known: bool,
    /// Its end, `CLOCK_MONOTONIC` nanoseconds; where it still runs, now; where
    /// its end is unknown, the last that was heard of it.
    pub end_ns: u64,
    /// How it ended.
    pub end: End,
    /// Execs of itself, with the same arguments, that it went on through.
    pub reexecs: u32,
    /// What it used; absent where its end was not seen, or not known.
    pub used: Option<Usage>,
    /// Peak of resident memory in pages; see [`Self::maxrss_known`].
    pub maxrss_pages: Option<u64>,
    /// Where it, or a process that it started, has put a process: of a runtime, that is
    /// its container's cgroup.
    pub place: Option<Place>,
    /// The runtime whose work this is a part of, as its `init` is.
    pub part_of: Option<ProcessId>,
    /// Its nearest ancestor that had an execution when it forked what led here; known only
    /// where all forks are reported.
    pub below: Option<ProcessId>,
    /// Of a runtime: where the container with the id that it was given was known to be when
    /// it ended. Another may have that id soon after.
    pub container: Option<Box<Found>>,
}

/// A container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Its path in the hierarchy that is shown, if it is known there.
    pub path: Option<String>,
    /// It is one of the cgroups asked for when the events were traced, or is below one.
    pub inside: bool,
}

impl Execution {
    /// How long it ran, nanoseconds.
    pub fn time_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// How long no thread of it was on a CPU, nanoseconds, as far as this can be told:
    /// never below 0 where several were at once.
    pub fn off_cpu_ns(&self) -> Option<u64> {
        let used = self.used?;
        Some(self.time_ns().saturating_sub(used.cpu_ns))
    }

    /// Whether the peak of resident memory is its own. The kernel keeps one over all
    /// images of a process: one that is not above that of the images before may be
    /// theirs, and is no more than a bound.
    pub fn maxrss_known(&self) -> Option<bool> {
        self.maxrss_pages
            .map(|pages| pages > self.image.maxrss_pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::argv;

    fn args(bytes: &[u8]) -> Vec<Vec<u8>> {
        argv(bytes).args().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn argv_splits_at_nuls_and_keeps_empty_arguments() {
        assert_eq!(args(b""), Vec::<Vec<u8>>::new());
        assert_eq!(args(b"\0"), vec![b"".to_vec()]);
        assert_eq!(args(b"a\0"), vec![b"a".to_vec()]);
        assert_eq!(args(b"a\0\0"), vec![b"a".to_vec(), b"".to_vec()]);
        assert_eq!(
            args(b"\0\0b\0"),
            vec![b"".to_vec(), b"".to_vec(), b"b".to_vec()]
        );
        // Cut in the middle of its last argument.
        assert_eq!(args(b"a\0bc"), vec![b"a".to_vec(), b"bc".to_vec()]);
    }

    #[test]
    fn wait_status_is_decoded() {
        assert_eq!(WaitStatus(77 << 8).exit_code(), Some(77));
        assert_eq!(WaitStatus(255 << 8).exit_code(), Some(255));
        assert_eq!(WaitStatus(9).signal(), Some(9));
        assert_eq!(WaitStatus(9).exit_code(), None);
        assert!(WaitStatus(11 | 0x80).core_dumped());
        assert!(!WaitStatus(0x80 << 8).core_dumped());
    }

    #[test]
    fn ends_are_shown_as_codes() {
        assert_eq!(End::Exit(WaitStatus(0)).to_string(), "0");
        assert_eq!(End::Exit(WaitStatus(9)).to_string(), "SIGKILL");
        assert_eq!(End::Exit(WaitStatus(0x8b)).to_string(), "SIGSEGV+core");
        assert_eq!(End::Exit(WaitStatus(36)).to_string(), "SIGRTMIN+2");
        assert_eq!(End::Exec.to_string(), "exec");
        assert_eq!(format!("{:<6}|", End::Unknown), "?     |");
    }
}
