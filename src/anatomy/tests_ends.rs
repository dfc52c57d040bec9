//! Starts that fail, that go on, or of which something was lost.

use super::tests::{History, crun_to_setup, only, phases, process, runc_to_setup};
use super::*;
use crate::source::Alive;

fn failed(start: &Start) -> (Phase, Option<u32>, u64) {
    match start.outcome {
        Outcome::Failed { phase, status } => (phase, status.map(|s| s.0), start.end_ns / 1000),
        outcome => panic!("{outcome:?}"),
    }
}

#[test]
fn failures_have_their_phase() {
    let mut launch = History::default();
    launch.exec(0, 20, 1, "runc run web").exit(3000, 20, 1 << 8);
    assert_eq!(
        failed(only(&launch.told())),
        (Phase::Launch, Some(256), 3000)
    );

    let mut init = History::default();
    init.exec(0, 20, 1, "runc run web")
        .fork(900, 20, 21)
        .exec(1000, 21, 20, "runc init")
        .exit(2000, 21, 1 << 8)
        .exit(3000, 20, 1 << 8);
    assert_eq!(failed(only(&init.told())), (Phase::Init, Some(256), 3000));

    // Its process in the container ends after it, or with it.
    let mut setup = History::default();
    runc_to_setup(&mut setup, 0, 20, "runc exec web /no");
    setup.exit(12_000, 20, 255 << 8).exit(12_100, 23, 255 << 8);
    let starts = setup.told();
    assert_eq!(
        failed(only(&starts)),
        (Phase::Setup, Some(255 << 8), 12_100)
    );
    assert_eq!(
        phases(&starts[0]),
        [Some(6100), Some(2900), Some(3100), None, None]
    );

    let mut detached = History::default();
    runc_to_setup(&mut detached, 0, 20, "runc exec -d web /no");
    detached.exit(12_000, 20, 0).exit(12_100, 23, 1 << 8);
    assert_eq!(
        failed(only(&detached.told())),
        (Phase::Setup, Some(256), 12_100)
    );

    // Deleted before anybody started it.
    let mut caller = History::default();
    crun_to_setup(&mut caller, 0, 20, "crun create web");
    caller.exit(5000, 20, 0).exit(9000, 23, 9);
    let starts = caller.told();
    assert_eq!(failed(only(&starts)), (Phase::Caller, Some(9), 9000));
    assert_eq!(
        phases(&starts[0]),
        [Some(3000), None, Some(2000), Some(4000), None]
    );

    let mut start = History::default();
    crun_to_setup(&mut start, 0, 20, "crun create web");
    start
        .exit(5000, 20, 0)
        .exec(6000, 50, 1, "crun start web")
        .exec(6500, 50, 1, "crun start web")
        .exit(8000, 23, 1 << 8)
        .exit(9000, 50, 1 << 8);
    let starts = start.told();
    assert_eq!(failed(only(&starts)), (Phase::Start, Some(256), 9000));
}

/// The second `create` fails, as the id is taken; it does not take the first one's place.
#[test]
fn an_id_that_is_taken() {
    let mut h = History::default();
    crun_to_setup(&mut h, 0, 20, "crun create web");
    h.exit(5000, 20, 0)
        .exec(6000, 30, 1, "crun create web")
        .exit(7000, 30, 1 << 8)
        .exec(8000, 50, 1, "crun start web")
        .exec(9000, 23, 1, "sh");
    let starts = h.told();
    assert_eq!(starts.len(), 2);
    assert_eq!(failed(&starts[0]), (Phase::Launch, Some(256), 7000));
    assert_eq!(starts[1].outcome, Outcome::Started);
    assert_eq!(starts[1].main, process(20));
}

#[test]
fn a_killed_run_may_leave_its_payload() {
    let mut h = History::default();
    runc_to_setup(&mut h, 0, 20, "runc run web");
    h.exit(10_000, 20, 9).exec(11_000, 23, 1, "sh");
    assert_eq!(only(&h.told()).outcome, Outcome::Started);
}

/// What waits for ever is told a second after its runtime has failed.
#[test]
fn a_failed_runtime_is_not_waited_for_long() {
    let mut h = History::default();
    runc_to_setup(&mut h, 0, 20, "runc create web");
    h.exit(12_000, 20, 9);
    let mut anatomy = Anatomy::default();
    let mut out = Vec::new();
    h.events.iter().for_each(|e| anatomy.push(e.clone()));
    anatomy.advance(2_011_000_000, &mut out);
    assert!(out.is_empty());
    anatomy.advance(2_012_000_000, &mut out);
    assert_eq!(failed(only(&out)), (Phase::Setup, Some(9), 12_000));
}

#[test]
fn what_goes_on_at_the_end_is_told() {
    let mut h = History::default();
    runc_to_setup(&mut h, 0, 20, "runc create web");
    h.exit(24_000, 20, 0);
    let starts = h.told_until(30_000);
    let phase = Phase::Caller;
    assert_eq!(only(&starts).outcome, Outcome::Pending { phase });
    assert_eq!(
        phases(&starts[0]),
        [Some(6100), Some(2900), Some(15_000), Some(6000), None]
    );
    assert_eq!(starts[0].total_ns(), Some(30_000_000));
}

#[test]
fn what_was_lost_is_unknown() {
    // The payload's exec.
    let mut h = History::default();
    runc_to_setup(&mut h, 0, 20, "runc run web");
    h.lose(23).exit(30_000, 23, 1 << 8).exit(31_000, 20, 1 << 8);
    let starts = h.told();
    assert_eq!(only(&starts).outcome, Outcome::Unknown);
    assert_eq!(
        phases(&starts[0]),
        [Some(6100), Some(2900), None, None, None]
    );
    assert_eq!(starts[0].total_ns(), None);

    // The exec of init: two phases are not known, the total is.
    let mut h = History::default();
    h.exec(0, 20, 1, "runc run web")
        .fork(6000, 20, 21)
        .lose(21)
        .exec(7000, 21, 20, "runc init")
        .fork(8000, 21, 22)
        .fork(8500, 22, 23)
        .exec(9000, 23, 20, "sh");
    let starts = h.told();
    assert_eq!(starts[0].outcome, Outcome::Started);
    assert_eq!(phases(&starts[0]), [None, None, Some(500), None, None]);
    assert_eq!(starts[0].total_ns(), Some(9_000_000));

    // The fork of the payload's process.
    let mut h = History::default();
    h.exec(0, 20, 1, "crun run web")
        .lose(23)
        .exec(9000, 23, 20, "sh")
        .exit(9100, 23, 1 << 8)
        .exit(9200, 20, 1 << 8);
    assert_eq!(only(&h.told()).outcome, Outcome::Unknown);
}

#[test]
fn an_end_that_was_lost_is_found_by_a_look() {
    let mut h = History::default();
    runc_to_setup(&mut h, 0, 20, "runc run web");
    let mut anatomy = Anatomy::default();
    let mut out = Vec::new();
    h.events.iter().for_each(|e| anatomy.push(e.clone()));
    anatomy.look(Alive {
        seen_ns: 50_000_000,
        processes: vec![],
    });
    anatomy.advance(u64::MAX, &mut out);
    assert_eq!(only(&out).outcome, Outcome::Unknown);
    assert!(anatomy.processes_known() == 0);
}

/// Created before tracing began: its payload is not to be seen, its hook is none.
#[test]
fn a_start_alone_has_hooks_at_most() {
    for runtime in ["runc", "crun"] {
        let mut h = History::default();
        h.exec(0, 50, 1, &format!("{runtime} start web"))
            .fork(1000, 50, 51)
            .exec(1100, 51, 50, "/bin/poststart")
            .exit(2000, 51, 0)
            .exit(3000, 50, 0);
        let starts = h.told();
        let start = only(&starts);
        assert_eq!((start.outcome, start.payload), (Outcome::Unknown, None));
        assert_eq!(start.hooks[0].name, b"poststart");
        assert_eq!(start.hooks[0].time_ns(), Some(1_000_000));
    }
}

#[test]
fn help_is_no_start() {
    let mut h = History::default();
    h.exec(0, 20, 1, "runc run --help").exit(4000, 20, 0);
    h.exec(0, 30, 1, "runc state web").exit(4000, 30, 0);
    h.exec(0, 40, 1, "sh -c true").exit(4000, 40, 0);
    assert_eq!(h.told(), []);
}

/// More than can be followed: the oldest is given up, and that is told.
#[test]
fn the_number_of_starts_is_bounded() {
    let mut h = History::default();
    let many = 8192 + 3;
    for i in 0..many {
        h.exec(u64::from(i), 100 + i, 1, "runc run web");
    }
    let mut anatomy = Anatomy::default();
    let mut out = Vec::new();
    h.events.iter().for_each(|e| anatomy.push(e.clone()));
    anatomy.advance(u64::MAX, &mut out);
    assert_eq!((out.len(), anatomy.given_up), (3, 3));
    assert!(out.iter().all(|start| start.outcome == Outcome::Unknown));
    anatomy.end(u64::MAX, &mut out);
    assert_eq!(out.len(), many as usize);
    // A process is kept in mind to its end, whatever became of its start.
    assert_eq!(anatomy.processes_known(), many as usize);
    let mut ends = h.clone();
    ends.events.clear();
    for i in 0..many {
        ends.exit(u64::from(many), 100 + i, 0);
    }
    ends.events.iter().for_each(|e| anatomy.push(e.clone()));
    anatomy.advance(u64::MAX, &mut out);
    assert_eq!((out.len(), anatomy.processes_known()), (many as usize, 0));
}

/// Where none has passed, how long they took until they failed is all that there is.
#[test]
fn figures_of_failures_alone_have_times() {
    let mut h = History::default();
    h.exec(0, 20, 1, "crun run a").exit(3000, 20, 1 << 8);
    h.exec(10_000, 30, 1, "crun run b").exit(17_000, 30, 1 << 8);
    let mut figures = Figures::default();
    h.told().iter().for_each(|start| figures.add(start));
    let told: Vec<_> = figures
        .each()
        .map(|(_, part, f)| (part, f.count, f.failed, f.max_ns()))
        .collect();
    let row = |part: &str| (part.to_owned(), 2, 2, 7_000_000);
    assert_eq!(told, [row("launch"), row("total")]);
    // One that passes stands for itself.
    let mut well = History::default();
    crun_to_setup(&mut well, 0, 20, "crun run c");
    well.exec(4000, 23, 20, "sh");
    well.told().iter().for_each(|start| figures.add(start));
    let total = figures.each().find(|(_, part, _)| part == "total");
    let total = total.map(|(_, _, f)| (f.count, f.failed, f.max_ns()));
    assert_eq!(total, Some((3, 2, 4_000_000)));
}

#[test]
fn figures_keep_failures_apart() {
    let mut h = History::default();
    for (i, code) in [0, 0, 1u32].into_iter().enumerate() {
        let (m, at) = (100 * (i as u32 + 1), 100_000 * i as u64);
        crun_to_setup(&mut h, at, m, "crun exec web x");
        if code == 0 {
            h.exec(at + 5000, m + 3, m, "x");
        }
        h.exit(at + 6000, m + 3, code << 8)
            .exit(at + 7000, m, code << 8);
    }
    let mut figures = Figures::default();
    h.told().iter().for_each(|start| figures.add(start));
    let told: Vec<_> = figures
        .each()
        .map(|(action, part, f)| (action.to_owned(), part, f.count, f.failed, f.max_ns()))
        .collect();
    let row = |part: &str, failed, max| ("crun exec".to_owned(), part.to_owned(), 3, failed, max);
    let expected = [
        row("launch", 0, 3_000_000),
        row("setup", 1, 2_000_000),
        row("total", 1, 5_000_000),
    ];
    assert_eq!(told, expected);
    assert_eq!(
        (figures.started, figures.failed, figures.lossy()),
        (2, 1, false)
    );
}
