mod places;

use super::*;
use crate::event::{Argv, WaitStatus};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn id(tgid: u32) -> ProcessId {
    ProcessId {
        tgid,
        start_ns: u64::from(tgid) * 3,
    }
}

fn image(args: &str) -> Box<Image> {
    Box::new(Image {
        argv: Argv {
            bytes: args.as_bytes().to_vec(),
            true_bytes: args.len() as u32,
            fault: false,
        },
        ..Image::default()
    })
}

fn event(tgid: u32, seq: u32, ts_ns: u64, kind: EventKind) -> Event {
    Event {
        process: id(tgid),
        seq,
        ts_ns,
        unseen_exec: false,
        taken_midway: false,
        kind,
    }
}

fn exec(tgid: u32, seq: u32, ts_ns: u64, args: &str) -> Event {
    event(tgid, seq, ts_ns, EventKind::Exec(image(args)))
}

fn unmatched(tgid: u32, seq: u32, ts_ns: u64) -> Event {
    let kind = EventKind::Unmatched {
        usage: Usage::default(),
        maxrss_pages: 0,
        place: None,
    };
    event(tgid, seq, ts_ns, kind)
}

fn exit(tgid: u32, seq: u32, ts_ns: u64, matched: bool) -> Event {
    let kind = EventKind::Exit {
        matched,
        status: WaitStatus(7 << 8),
        usage: Some(Usage::default()),
        maxrss_pages: 0,
    };
    event(tgid, seq, ts_ns, kind)
}

const EXIT7: End = End::Exit(WaitStatus(7 << 8));

/// Start, end, CODE and re-execs of each execution, in the order they came out.
fn run(events: &[Event]) -> (Vec<Seen>, Pair) {
    let mut pair = Pair::default();
    let mut out = Vec::new();
    for event in events {
        pair.push(event.clone(), &mut out);
    }
    let rows = out.iter().map(|e| (e.start_ns, e.end_ns, e.end, e.reexecs));
    (rows.collect(), pair)
}

#[test]
fn an_exec_and_an_exit_are_one_execution() {
    let (rows, pair) = run(&[exec(1, 1, 10, "a\0"), exit(1, 2, 30, true)]);
    assert_eq!(rows, [(10, 30, EXIT7, 0)]);
    assert!(pair.processes.is_empty());
    assert_eq!(pair.unpaired(), Unpaired::default());
}

#[test]
fn the_same_arguments_again_go_on_and_others_end_it() {
    let (rows, _) = run(&[
        exec(1, 1, 10, "a\0"),
        exec(1, 2, 20, "a\0"),
        exec(1, 3, 30, "b\0"),
        exit(1, 4, 40, true),
    ]);
    assert_eq!(rows, [(10, 30, End::Exec, 1), (30, 40, EXIT7, 0)]);
}

/// Also one whose record came before its time; a re-exec begins nothing.
#[test]
fn what_begins_is_noted_if_asked() {
    let mut pair = Pair::default();
    let mut out = Vec::new();
    pair.push(exec(1, 1, 10, "a\0"), &mut out);
    assert_eq!(pair.take_begun(), []);
    pair.note_begun();
    pair.push(exec(1, 2, 20, "a\0"), &mut out);
    pair.push(exec(1, 3, 30, "b\0"), &mut out);
    pair.push(exec(2, 2, 40, "c\0"), &mut out);
    assert_eq!(pair.take_begun(), [(id(1), 30)]);
    pair.advance(40 + GIVE_UP_NS, &mut out);
    assert_eq!(pair.take_begun(), [(id(2), 40)]);
    assert_eq!(pair.take_begun(), []);
    let running = pair.running_in(id(2), 90).expect("it runs");
    assert_eq!((running.time_ns(), running.end), (50, End::Running));
    assert_eq!(pair.running_in(id(3), 90), None);
}

/// Each image counts from what the process had used at its exec, the peak too.
#[test]
fn what_one_image_used_is_not_the_next_ones() {
    let used = |cpu_ns| Usage {
        cpu_ns,
        major_faults: cpu_ns / 10,
        ..Usage::default()
    };
    let begin = |seq, args: &str, cpu_ns, maxrss_pages| {
        let mut image = image(args);
        (image.usage, image.maxrss_pages) = (used(cpu_ns), maxrss_pages);
        event(1, seq, u64::from(seq) * 100, EventKind::Exec(image))
    };
    let exit = |seq, cpu_ns, maxrss_pages| {
        let kind = EventKind::Exit {
            matched: true,
            status: WaitStatus(0),
            usage: Some(used(cpu_ns)),
            maxrss_pages,
        };
        event(1, seq, u64::from(seq) * 100, kind)
    };
    let mut pair = Pair::default();
    let mut out = Vec::new();
    let events = [
        begin(1, "small\0", 30, 5),
        begin(2, "large\0", 70, 6),
        // Goes on: the peak of both images is above that of those before.
        begin(3, "large\0", 80, 200),
        begin(4, "small\0", 170, 200),
        exit(5, 190, 200),
    ];
    for event in events {
        pair.push(event, &mut out);
    }
    let seen: Vec<_> = out
        .iter()
        .map(|e| {
            let used = e.used.expect("their ends were seen");
            let off_ns = e.off_cpu_ns().expect("as was their CPU time");
            (
                used.cpu_ns,
                used.major_faults,
                off_ns,
                e.maxrss_pages,
                e.maxrss_known(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (40, 4, 60, Some(6), Some(true)),
            (100, 10, 100, Some(200), Some(true)),
            (20, 2, 80, Some(200), Some(false)),
        ]
    );
}

#[test]
fn the_same_arguments_much_later_are_a_loop() {
    let later = 10 + REEXEC_NS + 1;
    let (rows, _) = run(&[
        exec(1, 1, 10, "a\0"),
        exec(1, 2, later, "a\0"),
        exit(1, 3, later + 5, true),
    ]);
    assert_eq!(
        rows,
        [(10, later, End::Exec, 0), (later, later + 5, EXIT7, 0)]
    );
}

#[test]
fn each_reexec_starts_the_second_anew() {
    let step = REEXEC_NS - 1;
    let (rows, _) = run(&[
        exec(1, 1, 10, "a\0"),
        exec(1, 2, 10 + step, "a\0"),
        exec(1, 3, 10 + 2 * step, "a\0"),
        exit(1, 4, 10 + 2 * step + 5, true),
    ]);
    assert_eq!(rows, [(10, 10 + 2 * step + 5, EXIT7, 2)]);
}

#[test]
fn unreadable_arguments_never_merge() {
    let mut unreadable = image("a\0");
    unreadable.argv.fault = true;
    let (rows, _) = run(&[
        exec(1, 1, 10, "a\0"),
        event(1, 2, 20, EventKind::Exec(unreadable)),
        exit(1, 3, 30, true),
    ]);
    assert_eq!(rows.len(), 2);
}

#[test]
fn an_exec_that_does_not_match_ends_the_row() {
    let (rows, pair) = run(&[
        exec(1, 1, 10, "a\0"),
        unmatched(1, 2, 20),
        exec(1, 3, 30, "a\0"),
        unmatched(1, 4, 40),
        exit(1, 5, 50, false),
    ]);
    assert_eq!(rows, [(10, 20, End::Exec, 0), (30, 40, End::Exec, 0)]);
    assert!(pair.processes.is_empty());
    assert_eq!(pair.unpaired(), Unpaired::default());
}

#[test]
fn what_ran_before_is_measured_from_the_start_of_its_process() {
    let running = event(5, 1, 100, EventKind::Running(image("a\0")));
    let mut pair = Pair::default();
    let mut out = Vec::new();
    pair.push(running, &mut out);
    assert_eq!(pair.running(120)[0].time_ns(), 105);
    pair.push(exit(5, 2, 130, true), &mut out);
    assert_eq!((out[0].start_ns, out[0].start_known), (15, false));
}

#[test]
fn a_lost_start_is_counted_and_not_invented() {
    let (mut rows, mut pair) = run(&[exit(1, 2, 30, true)]);
    assert!(rows.is_empty());
    let mut out = Vec::new();
    pair.advance(30 + GIVE_UP_NS - 1, &mut out);
    assert_eq!(pair.unpaired().finishes_without_start, 0);
    pair.advance(30 + GIVE_UP_NS, &mut out);
    assert_eq!(pair.unpaired().finishes_without_start, 1);
    assert!(out.is_empty() && pair.processes.is_empty());
    rows.clear();
}

#[test]
fn a_lost_exec_in_between_ends_the_first_unseen() {
    let (_, mut pair) = run(&[exec(1, 1, 10, "a\0"), exit(1, 3, 30, true)]);
    let mut out = Vec::new();
    pair.advance(u64::MAX, &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].end, End::Unknown);
    let unpaired = pair.unpaired();
    assert_eq!(unpaired.starts_without_finish, 1);
    assert_eq!(unpaired.finishes_without_start, 1);
}

#[test]
fn an_exec_that_the_kernel_skipped_makes_the_end_unknown() {
    let mut last = exit(1, 2, 30, true);
    last.unseen_exec = true;
    let (rows, pair) = run(&[exec(1, 1, 10, "a\0"), last]);
    assert_eq!(rows, [(10, 10, End::Unknown, 0)]);
    let unpaired = pair.unpaired();
    assert_eq!(unpaired.starts_without_finish, 1);
    assert_eq!(unpaired.finishes_without_start, 1);
    let mut same = exec(1, 2, 20, "a\0");
    same.unseen_exec = true;
    let (rows, _) = run(&[exec(1, 1, 10, "a\0"), same, exit(1, 3, 30, true)]);
    assert_eq!(rows, [(10, 10, End::Unknown, 0), (20, 30, EXIT7, 0)]);
}

/// Listed without its argv, maybe: its exec, which was not over, tells the rest.
#[test]
fn an_exec_that_was_under_way_when_its_process_was_taken_in_is_one() {
    let running = || {
        let mut running = exec(1, 1, 10, "");
        let EventKind::Exec(image) = running.kind else {
            unreachable!("an exec");
        };
        running.kind = EventKind::Running(image);
        running
    };
    let mut midway = exec(1, 2, 20, "a\0");
    midway.taken_midway = true;
    let (rows, pair) = run(&[running(), midway, exit(1, 3, 30, true)]);
    assert_eq!(rows, [(20, 30, EXIT7, 0)]);
    assert_eq!(pair.unpaired(), Unpaired::default());
    // The next one is another.
    let (rows, _) = run(&[running(), exec(1, 2, 20, "a\0"), exit(1, 3, 30, true)]);
    assert_eq!(rows.len(), 2);
}

#[test]
fn what_is_gone_without_an_exit_is_unknown() {
    let (_, mut pair) = run(&[exec(1, 1, 10, "a\0"), exec(2, 1, 11, "b\0")]);
    let mut out = Vec::new();
    pair.reconcile(5, |_| false, &mut out);
    assert!(out.is_empty(), "both are younger than the look");
    pair.reconcile(100, |process| process == id(2), &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].process, out[0].end), (id(1), End::Unknown));
    assert_eq!(pair.running(200).len(), 1);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Same,
    Other,
    Leave,
}

/// Start, end, CODE and re-execs.
type Seen = (u64, u64, End, u32);

/// A process's history, and what must be reported of it.
fn history(tgid: u32, steps: &[Step], ends: bool) -> (Vec<Event>, Vec<Seen>) {
    let (mut events, mut rows) = (Vec::new(), Vec::new());
    let mut open: Option<(u64, u32)> = None;
    let (mut name, mut seq, mut ts) = (0, 0, u64::from(tgid) * 1000);
    for step in steps {
        seq += 1;
        ts += 7;
        match (step, open) {
            (Step::Same, Some((start, reexecs))) => {
                events.push(exec(tgid, seq, ts, &format!("{name}\0")));
                open = Some((start, reexecs + 1));
            }
            (Step::Leave, Some((start, reexecs))) => {
                events.push(unmatched(tgid, seq, ts));
                rows.push((start, ts, End::Exec, reexecs));
                open = None;
            }
            (Step::Leave, None) => seq -= 1,
            (Step::Other | Step::Same, open_now) => {
                if let Some((start, reexecs)) = open_now {
                    rows.push((start, ts, End::Exec, reexecs));
                }
                name += 1;
                events.push(exec(tgid, seq, ts, &format!("{name}\0")));
                open = Some((ts, 0));
            }
        }
    }
    if ends && seq > 0 {
        events.push(exit(tgid, seq + 1, ts + 7, open.is_some()));
        if let Some((start, reexecs)) = open {
            rows.push((start, ts + 7, EXIT7, reexecs));
        }
    }
    (events, rows)
}

#[test]
fn the_longest_are_chosen_and_the_others_counted() {
    let mut pair = Pair::default();
    let mut out = Vec::new();
    for tgid in [5, 3, 4, 1, 2] {
        let ts_ns = 1000 + u64::from(tgid);
        pair.push(exec(tgid, 1, ts_ns, "x\0"), &mut out);
    }
    for tgid in [13, 11, 12] {
        let running = EventKind::Running(image("old\0"));
        pair.push(event(tgid, 1, 900, running), &mut out);
    }
    pair.push(exit(4, 2, 2000, true), &mut out);
    let chosen = |most| {
        let longest = pair.longest_running(most, 5000, |_| true);
        assert_eq!((longest.count, longest.ran_before), (7, 3));
        let tgids = longest.executions.iter().map(|e| e.process.tgid);
        tgids.collect::<Vec<_>>()
    };
    assert_eq!(chosen(2), [11, 12, 1, 2]);
    assert_eq!(chosen(0), [0u32; 0]);
    assert_eq!(chosen(99), [11, 12, 13, 1, 2, 3, 5]);
    assert_eq!(
        pair.longest_running(99, 5000, |_| true).executions,
        pair.running(5000)
    );
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![Just(Step::Same), Just(Step::Other), Just(Step::Leave)];
    proptest::collection::vec(step, 0..6)
}

proptest! {
    /// Any histories, in any arrival order: nothing lost, doubled or invented.
    #[test]
    fn any_arrival_order_gives_the_same_executions(
        histories in proptest::collection::vec((steps(), any::<bool>()), 1..6),
        keys in proptest::collection::vec(any::<u32>(), 64),
    ) {
        let mut events = Vec::new();
        let mut expected = BTreeMap::new();
        for (tgid, (steps, ends)) in (1..).zip(&histories) {
            let (of_it, rows) = history(tgid, steps, *ends);
            events.extend(of_it);
            expected.insert(tgid, rows);
        }
        let mut shuffled: Vec<_> = events.into_iter().zip(keys.iter().cycle()).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let mut pair = Pair::default();
        let mut out = Vec::new();
        for (event, _) in shuffled {
            pair.push(event, &mut out);
        }
        for (tgid, rows) in expected {
            let got: Vec<_> = out
                .iter()
                .filter(|e| e.process.tgid == tgid)
                .map(|e| (e.start_ns, e.end_ns, e.end, e.reexecs))
                .collect();
            prop_assert_eq!(got, rows);
        }
        prop_assert_eq!(pair.unpaired(), Unpaired::default());
    }

    /// Any records lost: each end and each start is either in a row or counted.
    #[test]
    fn losses_are_counted(
        histories in proptest::collection::vec((steps(), any::<bool>()), 1..6),
        lost in proptest::collection::vec(any::<bool>(), 64),
    ) {
        let mut pair = Pair::default();
        let mut out = Vec::new();
        let (mut starts, mut finishes) = (0, 0);
        let mut lost = lost.iter().cycle();
        for (tgid, (steps, ends)) in (1..).zip(&histories) {
            for event in history(tgid, steps, *ends).0 {
                if *lost.next().unwrap() {
                    continue;
                }
                starts += u64::from(matches!(event.kind, EventKind::Exec(_)));
                finishes += u64::from(matches!(event.kind, EventKind::Exit { matched: true, .. }));
                pair.push(event, &mut out);
            }
        }
        pair.advance(u64::MAX, &mut out);
        pair.reconcile(u64::MAX, |_| false, &mut out);
        let reexecs: u64 = out.iter().map(|e| u64::from(e.reexecs)).sum();
        prop_assert_eq!(out.len() as u64 + reexecs, starts);
        let exits = out.iter().filter(|e| matches!(e.end, End::Exit(_))).count() as u64;
        let unknown = out.iter().filter(|e| e.end == End::Unknown).count() as u64;
        let unpaired = pair.unpaired();
        prop_assert_eq!(exits + unpaired.finishes_without_start, finishes);
        prop_assert_eq!(unknown, unpaired.starts_without_finish);
        prop_assert!(pair.processes.is_empty());
    }
}
