//! What a recording may hold to make the work grow faster than the recording. As many
//! records as here took minutes when each was compared with all that waited.

use super::*;
use std::collections::HashMap;

const PARKED: u32 = 65_521;

#[test]
fn records_in_falling_order_are_found_by_their_number() {
    let mut pair = Pair::default();
    let mut out = Vec::new();
    for tgid in 1..=23 {
        for seq in (1..=PARKED).rev() {
            pair.push(unmatched(tgid, seq, u64::from(seq)), &mut out);
        }
        // All of them were taken: what they leave behind is passed over.
        pair.advance(u64::MAX, &mut out);
    }
    assert_eq!(pair.unpaired(), Unpaired::default());
    let next: Vec<u32> = pair.processes.values().map(|it| it.next_seq).collect();
    assert_eq!(next, [PARKED + 1; 23]);
    assert!(!pair.waits());
}

#[test]
fn one_that_comes_twice_is_late() {
    let twice = [
        exit(1, 2, 30, true),
        exit(1, 2, 30, true),
        exec(1, 1, 10, "a\0"),
    ];
    let (rows, pair) = run(&twice);
    assert_eq!(rows, [(10, 30, EXIT7, 0)]);
    assert_eq!(pair.unpaired().late_records, 1);
}

/// A look asks about those alone of whom it may say something, and once about each.
#[test]
fn looks_do_not_go_through_all_processes() {
    const LOOKS: u64 = 100_003;
    let mut pair = Pair::default();
    let mut out = Vec::new();
    let seen = |ns: u64| 1_000 + ns;
    pair.push(exec(1, 1, 10, "stays\0"), &mut out);
    for tgid in 2..20_011 {
        pair.push(exec(tgid, 1, seen(LOOKS), "a\0"), &mut out);
    }
    for ns in 0..LOOKS {
        pair.reconcile(seen(ns), |it| it == id(1), &mut out);
    }
    assert!(out.is_empty());
    // The one that stays is in the list of each, and read with it.
    assert_eq!(pair.gone.asked as u64, LOOKS);
    pair.reconcile(seen(LOOKS) + 1, |_| false, &mut out);
    assert_eq!(out.len(), 20_010);
    assert!(pair.processes.is_empty());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Exec(u32),
    Exit(u32),
    /// It sees those whose number has this bit.
    Look(u32),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    use proptest::prelude::*;
    prop_oneof![
        6 => (1..9u32).prop_map(Step::Exec),
        2 => (1..9u32).prop_map(Step::Exit),
        3 => (0..4u32).prop_map(Step::Look),
    ]
}

proptest::proptest! {
    /// As one that goes through all each time.
    #[test]
    fn looks_end_what_a_plain_look_ends(
        steps in proptest::collection::vec((step(), 0..20u64), 0..60),
    ) {
        let mut pair = Pair::default();
        let mut open: HashMap<u32, (u32, u64)> = HashMap::new();
        let mut now_ns = 100;
        for (step, later_ns) in steps {
            now_ns += later_ns;
            let mut out = Vec::new();
            let mut wanted = Vec::new();
            match step {
                Step::Exec(tgid) => {
                    let (seq, _) = open.get(&tgid).copied().unwrap_or_default();
                    // The same again, and so it goes on.
                    pair.push(exec(tgid, seq + 1, now_ns, "a\0"), &mut out);
                    open.insert(tgid, (seq + 1, now_ns));
                }
                Step::Exit(tgid) => {
                    if let Some((seq, _)) = open.remove(&tgid) {
                        pair.push(exit(tgid, seq + 1, now_ns, true), &mut out);
                        out.clear();
                    }
                }
                Step::Look(bit) => {
                    let seen_ns = now_ns - later_ns / 2;
                    let sees = |tgid: u32| tgid >> bit & 1 == 1;
                    pair.reconcile(seen_ns, |id| sees(id.tgid), &mut out);
                    open.retain(|tgid, (_, ns)| {
                        let gone = *ns < seen_ns && !sees(*tgid);
                        if gone {
                            wanted.push((*ns, *tgid));
                        }
                        !gone
                    });
                }
            }
            wanted.sort_unstable();
            let ended: Vec<(u64, u32)> = out.iter().map(|e| (e.end_ns, e.process.tgid)).collect();
            proptest::prop_assert_eq!(ended, wanted);
        }
    }
}
