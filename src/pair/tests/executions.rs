use super::*;

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
