use super::*;

#[test]
fn a_lost_start_is_counted_and_not_invented() {
    let (rows, mut pair) = run(&[exit(1, 2, 30, true)]);
    assert!(rows.is_empty());
    let mut out = Vec::new();
    pair.advance(30 + GIVE_UP_NS - 1, &mut out);
    assert_eq!(pair.unpaired().finishes_without_start, 0);
    pair.advance(30 + GIVE_UP_NS, &mut out);
    assert_eq!(pair.unpaired().finishes_without_start, 1);
    assert!(out.is_empty() && pair.processes.is_empty());
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

/// Only a damaged recording has that: it must not begin what never comes out.
#[test]
fn what_comes_after_an_end_is_late() {
    let mut pair = Pair::default();
    pair.note_begun();
    let mut out = Vec::new();
    pair.push(exit(1, 3, 30, true), &mut out);
    pair.push(exec(1, 5, 40, "a\0"), &mut out);
    pair.advance(40 + GIVE_UP_NS, &mut out);
    assert!(out.is_empty() && pair.processes.is_empty());
    assert_eq!(pair.take_begun(), []);
    let unpaired = pair.unpaired();
    assert_eq!(
        (unpaired.finishes_without_start, unpaired.late_records),
        (1, 1)
    );
}
