//! Starts as runtimes make them, by the chains that were measured.

use super::*;
use crate::event::{Event, EventKind, Usage};
use crate::fixture;
use std::collections::HashMap;

/// Events of some processes, by their pids; times are in microseconds.
#[derive(Debug, Default, Clone)]
pub(super) struct History {
    pub(super) events: Vec<Event>,
    seqs: HashMap<u32, u32>,
    forks: HashMap<u32, u32>,
}

/// A pid is that of one process here.
pub(super) fn process(pid: u32) -> ProcessId {
    ProcessId {
        tgid: pid,
        start_ns: u64::from(pid) * 7,
    }
}

pub(super) fn image(line: &str, ppid: u32) -> Box<Image> {
    let args = format!("{}\0", line.replace(' ', "\0"));
    Box::new(Image {
        ppid,
        ..fixture::image(args)
    })
}

impl History {
    pub(super) fn push(&mut self, at_us: u64, pid: u32, kind: EventKind) -> &mut History {
        let seq = self.seqs.entry(pid).or_default();
        *seq += 1;
        self.events.push(Event {
            process: process(pid),
            seq: *seq,
            ts_ns: at_us * 1000,
            unseen_exec: false,
            taken_midway: false,
            kind,
        });
        self
    }

    pub(super) fn exec(&mut self, at_us: u64, pid: u32, ppid: u32, line: &str) -> &mut History {
        self.push(at_us, pid, EventKind::Exec(image(line, ppid)))
    }

    /// With a comm of its own.
    fn exec_as(&mut self, at_us: u64, pid: u32, line: &str, comm: &[u8]) -> &mut History {
        let mut image = image(line, 1);
        image.comm = [0; 16];
        image.comm[..comm.len()].copy_from_slice(comm);
        self.push(at_us, pid, EventKind::Exec(image))
    }

    pub(super) fn fork(&mut self, at_us: u64, by: u32, pid: u32) -> &mut History {
        let nth = self.forks.entry(by).or_default();
        *nth += 1;
        let (by, nth) = (process(by), *nth);
        self.push(
            at_us,
            pid,
            EventKind::Fork {
                by,
                nth,
                place: None,
                of_runtime: true,
            },
        )
    }

    pub(super) fn exit(&mut self, at_us: u64, pid: u32, status: u32) -> &mut History {
        let kind = EventKind::Exit {
            matched: true,
            status: WaitStatus(status),
            usage: Some(Usage::default()),
            maxrss_pages: 0,
        };
        self.push(at_us, pid, kind)
    }

    /// The record that comes next is lost.
    pub(super) fn lose(&mut self, pid: u32) -> &mut History {
        *self.seqs.entry(pid).or_default() += 1;
        self
    }

    pub(super) fn told(&self) -> Vec<Start> {
        self.told_until(u64::MAX)
    }

    /// Tracing ended then, by which all was read.
    pub(super) fn told_until(&self, end_us: u64) -> Vec<Start> {
        let mut anatomy = Anatomy::default();
        let mut out = Vec::new();
        for event in &self.events {
            anatomy.push(event.clone());
        }
        anatomy.advance(u64::MAX, &mut out);
        anatomy.end(end_us.saturating_mul(1000), &mut out);
        out
    }
}

/// runc up to its process that waits in the container: `m` forks `m+1`, that `m+2`,
/// that `m+3`. It ends 9 ms after `at`, `line` being told at `at`.
pub(super) fn runc_to_setup(h: &mut History, at: u64, m: u32, line: &str) {
    h.exec(at, m, 1, line)
        // Go looks whether it can have a pidfd.
        .fork(at + 1000, m, m + 9)
        .exit(at + 1040, m + 9, 0)
        .fork(at + 6000, m, m + 1)
        .exec(at + 6100, m + 1, m, "/usr/sbin/runc init")
        .exec(at + 7900, m + 1, m, "/usr/sbin/runc init")
        .fork(at + 8500, m + 1, m + 2)
        .fork(at + 9000, m + 2, m + 3)
        .exit(at + 9300, m + 2, 0)
        .exit(at + 9400, m + 1, 0);
}

/// crun up to the same.
pub(super) fn crun_to_setup(h: &mut History, at: u64, m: u32, line: &str) {
    h.exec(at, m, 1, line)
        .exec(at + 1500, m, 1, line)
        .fork(at + 3000, m, m + 3);
}

pub(super) fn phases(start: &Start) -> [Option<u64>; 5] {
    PHASES.map(|phase| start.phase_ns(phase).map(|ns| ns / 1000))
}

pub(super) fn only(starts: &[Start]) -> &Start {
    assert_eq!(starts.len(), 1, "{starts:#?}");
    let start = &starts[0];
    if let Some(total) = start.total_ns() {
        let sum: u64 = PHASES.iter().filter_map(|p| start.phase_ns(*p)).sum();
        let all = start.mark(Mark::Begin).is_some();
        assert!(!all || sum == total, "{start:#?}");
    }
    start
}

const US: Option<u64> = None;

#[test]
fn runc_run() {
    let mut h = History::default();
    runc_to_setup(&mut h, 100, 20, "/usr/sbin/runc run -b /b web");
    h.exec(20_200, 23, 20, "sh -c true")
        .exit(224_000, 23, 7 << 8)
        .exit(226_000, 20, 7 << 8);
    let starts = h.told();
    let start = only(&starts);
    assert_eq!(
        (start.action(), start.outcome),
        ("runc run".into(), Outcome::Started)
    );
    assert_eq!(
        phases(start),
        [Some(6100), Some(2900), Some(11_100), None, None]
    );
    assert_eq!(start.total_ns(), Some(20_100_000));
    assert_eq!(start.payload, Some(process(23)));
    assert_eq!(start.container.as_deref(), Some(&b"web"[..]));
    assert!(start.hooks.is_empty());
}

/// runc 1.3 executes its init once, from a descriptor: comm is `6`.
#[test]
fn runc_1_3() {
    let mut h = History::default();
    h.exec(0, 20, 1, "/usr/sbin/runc exec -d web true")
        .fork(5000, 20, 21)
        .exec_as(5100, 21, "/usr/sbin/runc init", b"6")
        .fork(6000, 21, 22)
        .fork(6500, 22, 23)
        .exit(6600, 22, 0)
        .exit(6700, 21, 0)
        // It does not wait for the payload.
        .exit(11_000, 20, 0)
        .exec(11_500, 23, 20, "true");
    let starts = h.told();
    assert_eq!(only(&starts).outcome, Outcome::Started);
    assert_eq!(
        phases(&starts[0]),
        [Some(5100), Some(1400), Some(5000), None, None]
    );
}

#[test]
fn create_and_start_are_one() {
    let mut h = History::default();
    runc_to_setup(&mut h, 0, 20, "runc --root /r create -b /b web");
    h.exit(24_000, 20, 0)
        // Another container with that id, of another root.
        .exec(30_000, 40, 1, "runc --root /other start web")
        .exit(31_000, 40, 1 << 8)
        .exec(54_000, 50, 1, "runc --root /r start web")
        // Sometimes after it has exited.
        .exit(57_000, 50, 0)
        .exec(57_300, 23, 1, "sh");
    let starts = h.told();
    assert_eq!(starts.len(), 2);
    let other = &starts[0];
    let phase = Phase::Start;
    assert_eq!(other.command, Command::Start);
    assert!(matches!(other.outcome, Outcome::Failed { phase: p, .. } if p == phase));
    assert_eq!(phases(other), [US, US, US, US, Some(1000)]);
    assert_eq!(other.total_ns(), None);
    let start = only(&starts[1..]);
    assert_eq!(
        (start.action(), start.outcome),
        ("runc create+start".into(), Outcome::Started)
    );
    let expected = [
        Some(6100),
        Some(2900),
        Some(15_000),
        Some(30_000),
        Some(3300),
    ];
    assert_eq!(phases(start), expected);
    assert_eq!(start.total_ns(), Some(57_300_000));
}

#[test]
fn start_may_overtake_the_end_of_create() {
    let mut h = History::default();
    crun_to_setup(&mut h, 0, 20, "crun create web");
    h.exec(5000, 50, 1, "crun start web")
        .exit(6000, 20, 0)
        .exec(7000, 23, 1, "sh")
        .exit(7100, 50, 0);
    let starts = h.told();
    assert_eq!(
        phases(only(&starts)),
        [Some(3000), None, Some(2000), Some(0), Some(2000)]
    );
}

#[test]
fn hooks_have_their_names_and_places() {
    for runtime in ["runc", "crun"] {
        let mut h = History::default();
        let to_setup = match runtime {
            "runc" => runc_to_setup,
            _ => crun_to_setup,
        };
        to_setup(&mut h, 0, 20, &format!("{runtime} create web"));
        // Of the runtime, then of the process in the container.
        h.fork(12_000, 20, 30)
            .exec(12_100, 30, 20, "/bin/prepare x")
            .exit(15_000, 30, 0)
            .fork(16_000, 23, 31)
            .exec_as(16_100, 31, "libnetwork-setkey y", b"exe")
            .exit(19_000, 31, 0)
            .exit(24_000, 20, 0)
            .exec(30_000, 50, 1, &format!("{runtime} start web"))
            .fork(30_500, 23, 32)
            .exec(30_600, 32, 23, "/bin/greet")
            .exit(31_500, 32, 3 << 8)
            .fork(31_600, 50, 33)
            .exec(31_700, 33, 50, "/bin/poststart")
            .exec(32_000, 23, 1, "sh")
            .exit(33_000, 33, 0);
        let starts = h.told();
        let start = only(&starts);
        assert_eq!(start.outcome, Outcome::Started, "{runtime}");
        let hooks: Vec<_> = start
            .hooks
            .iter()
            .map(|h| (String::from_utf8_lossy(&h.name), h.phase, h.time_ns()))
            .collect();
        let (setup, begun) = (Some(Phase::Setup), Some(Phase::Start));
        let expected = [
            ("prepare".into(), setup, Some(3_000_000)),
            ("libnetwork-setkey".into(), setup, Some(3_000_000)),
            ("greet".into(), begun, Some(1_000_000)),
            ("poststart".into(), begun, None),
        ];
        assert_eq!(hooks, expected, "{runtime}");
    }
}

#[test]
fn crun_exec_forks_twice() {
    let mut h = History::default();
    crun_to_setup(&mut h, 0, 20, "/x/crun exec web true");
    h.fork(3600, 23, 24)
        .exit(3900, 23, 0)
        .exec(6000, 24, 20, "true")
        .exit(7000, 24, 0)
        .exit(7200, 20, 0);
    let starts = h.told();
    let start = only(&starts);
    assert_eq!(
        (start.action(), start.outcome),
        ("crun exec".into(), Outcome::Started)
    );
    assert_eq!(phases(start), [Some(3600), None, Some(2400), None, None]);
    assert_eq!(start.payload, Some(process(24)));
}
