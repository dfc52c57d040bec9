//! Any number of starts at once, in any order of arrival: each comes out as it does
//! alone. With a record lost, nothing that is told is wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{History, crun_to_setup, image, process, runc_to_setup};
use super::*;
use crate::event::{Event, EventKind, Usage};
use crate::source::Alive;

/// How many kinds of lives there are.
const LIVES: usize = 10;

/// A life to its end. Its processes have pids from `m` on; times are in microseconds.
fn life(kind: usize, at: u64, m: u32) -> History {
    let mut h = History::default();
    let (runtime, to_setup): (_, fn(&mut History, u64, u32, &str)) = match kind % 2 {
        0 => ("runc", runc_to_setup),
        _ => ("crun", crun_to_setup),
    };
    let begin = |h: &mut History, command: &str| {
        to_setup(h, at, m, &format!("{runtime} {command} c{m}"));
    };
    let payload = m + 3;
    match kind / 2 {
        0 => {
            begin(&mut h, "run");
            hook(&mut h, at + 10_000, m, m + 20, 0);
            h.exec(at + 20_000, payload, m, "sh")
                .exit(at + 30_000, payload, 3 << 8)
                .exit(at + 31_000, m, 3 << 8);
        }
        1 => {
            begin(&mut h, "create");
            hook(&mut h, at + 10_000, m, m + 20, 0);
            h.exit(at + 20_000, m, 0);
            h.exec(at + 40_000, m + 50, 1, &format!("{runtime} start c{m}"));
            hook(&mut h, at + 41_000, payload, m + 21, 0);
            h.exit(at + 45_000, m + 50, 0)
                .exec(at + 45_500, payload, 1, "sh")
                .exit(at + 60_000, payload, 9);
        }
        2 => {
            begin(&mut h, "exec");
            h.exit(at + 15_000, m, 0)
                .exec(at + 15_500, payload, m, "sh")
                .exit(at + 60_000, payload, 0);
        }
        3 => {
            begin(&mut h, "run");
            hook(&mut h, at + 10_000, m, m + 20, 1);
            h.exit(at + 14_000, payload, 9).exit(at + 15_000, m, 1 << 8);
        }
        _ => {
            begin(&mut h, "create");
            h.exit(at + 20_000, m, 0);
            h.exec(at + 40_000, m + 50, 1, &format!("{runtime} start c{m}"))
                .exit(at + 44_000, payload, 1 << 8)
                .exit(at + 45_000, m + 50, 1 << 8);
        }
    }
    h
}

fn hook(h: &mut History, at: u64, by: u32, pid: u32, code: u32) {
    h.fork(at, by, pid)
        .exec(at + 100, pid, by, "/bin/prepare")
        .exit(at + 3000, pid, code << 8);
}

/// Each comes so long after it happened; all are read at the end, when nothing lives.
fn told(events: &[(Event, u64)]) -> Vec<Start> {
    let mut arrivals: Vec<(u64, &Event)> = events
        .iter()
        .map(|(event, delay_ns)| (event.ts_ns + delay_ns, event))
        .collect();
    arrivals.sort_by_key(|(at_ns, _)| *at_ns);
    let mut anatomy = Anatomy::default();
    let mut out = Vec::new();
    for (at_ns, event) in arrivals {
        anatomy.push(event.clone());
        anatomy.advance(at_ns, &mut out);
    }
    anatomy.look(Alive {
        seen_ns: u64::MAX,
        processes: Vec::new(),
    });
    anatomy.advance(u64::MAX, &mut out);
    anatomy.end(u64::MAX, &mut out);
    assert_eq!(anatomy.processes_known(), 0);
    out.sort_by_key(|start| start.main);
    out
}

fn lives() -> impl Strategy<Value = Vec<(usize, u64)>> {
    proptest::collection::vec((0..LIVES, 0u64..60_000), 1..7)
}

/// The events of all, each with a life's number.
fn all(lives: &[(usize, u64)]) -> Vec<History> {
    (0u32..)
        .zip(lives)
        .map(|(i, (kind, at))| life(*kind, *at, 1000 * (i + 1)))
        .collect()
}

fn sums_up(start: &Start) -> bool {
    let phases: Vec<u64> = PHASES.iter().filter_map(|p| start.phase_ns(*p)).collect();
    start.total_ns() == Some(phases.iter().sum())
}

proptest! {
    #[test]
    fn each_start_comes_out_as_it_does_alone(
        lives in lives(),
        delays in proptest::collection::vec(0u64..1_000_000_000, 200),
    ) {
        let histories = all(&lives);
        let mut expected: Vec<Start> = histories.iter().flat_map(History::told).collect();
        expected.sort_by_key(|start| start.main);
        prop_assert_eq!(expected.len(), lives.len());
        prop_assert!(expected.iter().all(sums_up));
        let events = histories.into_iter().flat_map(|h| h.events);
        let events: Vec<(Event, u64)> = events.zip(delays.into_iter().cycle()).collect();
        prop_assert_eq!(told(&events), expected);
    }

    #[test]
    fn what_is_told_is_true_though_a_record_is_lost(
        lives in lives(),
        lost in any::<proptest::sample::Index>(),
    ) {
        let histories = all(&lives);
        let truth: BTreeMap<ProcessId, Start> = histories
            .iter()
            .flat_map(History::told)
            .map(|start| (start.main, start))
            .collect();
        let mut events: Vec<(Event, u64)> =
            histories.into_iter().flat_map(|h| h.events).map(|e| (e, 0)).collect();
        events.remove(lost.index(events.len()));
        for start in told(&events) {
            let Some(true_start) = truth.get(&start.main) else {
                // A `start` whose `create` was lost.
                prop_assert_eq!(start.command, Command::Start);
                prop_assert_ne!(start.outcome, Outcome::Started);
                continue;
            };
            let failed = |s: &Start| matches!(s.outcome, Outcome::Failed { .. });
            if start.outcome != Outcome::Unknown {
                prop_assert_eq!(failed(&start), failed(true_start), "{:#?}", start);
                prop_assert!(!matches!(start.outcome, Outcome::Pending { .. }), "{:#?}", start);
            }
            for at in 0..MARKS {
                let (is, due) = (start.marks[at], true_start.marks[at]);
                let told = is.is_none() || is == due || start.outcome == Outcome::Unknown;
                prop_assert!(told, "{:#?} {:#?}", start, true_start);
            }
        }
    }
}

/// What a recording may hold: any events of a few processes.
fn any_event() -> impl Strategy<Value = Event> {
    let lines = [
        "runc run a",
        "crun create a",
        "crun start a",
        "runc init",
        "sh",
        "runc exec",
    ];
    let kind = prop_oneof![
        (0u32..6, any::<u32>()).prop_map(|(by, nth)| EventKind::Fork {
            by: process(by),
            nth,
            place: None,
            of_runtime: true,
        }),
        (0u32..6, 0..lines.len())
            .prop_map(move |(ppid, at)| EventKind::Exec(image(lines[at], ppid))),
        Just(EventKind::Unmatched {
            usage: Usage::default(),
            maxrss_pages: 0,
            place: None,
        }),
        any::<u16>().prop_map(|status| EventKind::Exit {
            matched: true,
            status: WaitStatus(status.into()),
            usage: Some(Usage::default()),
            maxrss_pages: 0,
        }),
    ];
    let seq = prop_oneof![0u32..5, any::<u32>()];
    let ts_ns = prop_oneof![0u64..100, any::<u64>()];
    (0u32..6, seq, ts_ns, any::<bool>(), kind).prop_map(|(pid, seq, ts_ns, unseen_exec, kind)| {
        Event {
            process: process(pid),
            seq,
            ts_ns,
            unseen_exec,
            taken_midway: false,
            kind,
        }
    })
}

proptest! {
    #[test]
    fn any_events_do_no_harm(events in proptest::collection::vec((any_event(), Just(0)), 0..60)) {
        let execs = events.iter().filter(|(e, _)| e.image().is_some()).count();
        let starts = told(&events);
        prop_assert!(starts.len() <= execs);
        for start in &starts {
            let known: Option<Vec<u64>> = marks_of(start.runtime, start.command)
                .iter()
                .map(|mark| start.mark(*mark))
                .collect();
            prop_assert!(known.is_none_or(|marks| marks.is_sorted() && sums_up(start)), "{start:#?}");
        }
    }
}

#[test]
fn the_lives_are_what_they_are_meant_to_be() {
    for kind in 0..LIVES {
        let starts = life(kind, 0, 1000).told();
        assert_eq!(starts.len(), 1);
        let failed = matches!(starts[0].outcome, Outcome::Failed { .. });
        assert_eq!(failed, kind / 2 >= 3, "{kind}: {starts:#?}");
        assert_eq!(starts[0].main, process(1000));
    }
}
