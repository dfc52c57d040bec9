use super::*;

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

/// The old image was gone, or on its way out: its end is not asked for.
#[test]
fn what_was_adopted_in_an_exec_begins_with_its_next_record() {
    let adopted = event(1, 1, 10, EventKind::InExec);
    let after_unseen = |mut event: Event| {
        event.unseen_exec = true;
        event
    };
    // The exec met the entry, and was reported.
    let (rows, pair) = run(&[
        adopted.clone(),
        exec(1, 2, 20, "new\0"),
        exit(1, 3, 30, true),
    ]);
    assert_eq!(rows, [(20, 30, EXIT7, 0)]);
    assert_eq!(pair.unpaired(), Unpaired::default());
    // It was over before, and what it ran does not match.
    for next in [exit(1, 2, 20, true), unmatched(1, 2, 20)] {
        let (rows, pair) = run(&[adopted.clone(), after_unseen(next)]);
        assert_eq!(rows, []);
        assert_eq!(pair.unpaired(), Unpaired::default());
    }
    // What is unseen later than that is lost.
    let later = [
        adopted,
        exec(1, 2, 20, "a\0"),
        after_unseen(exit(1, 3, 30, true)),
    ];
    let (rows, pair) = run(&later);
    assert_eq!(rows, [(20, 20, End::Unknown, 0)]);
    assert_eq!(pair.unpaired().starts_without_finish, 1);
}
