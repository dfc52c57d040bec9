//! Histories of processes made at random.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
enum Step {
    Same,
    Other,
    Leave,
}

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
