//! Whoever calls a runtime may match as well: a wrapper of its name, conmon, a shell. Its
//! records before the call are no loss, and the start is the runtime's own.

use super::tests::{History, crun_to_setup, image, only, phases, process, runc_to_setup};
use super::*;
use crate::event::EventKind;

/// From `h`'s end on: `runc run web`, by a process that has records already.
fn goes_well(mut h: History) {
    runc_to_setup(&mut h, 1000, 20, "/usr/sbin/runc run web");
    h.exec(20_000, 23, 20, "sh")
        .exit(30_000, 23, 0)
        .exit(31_000, 20, 0);
    let starts = h.told();
    let start = only(&starts);
    assert_eq!(start.outcome, Outcome::Started, "{start:#?}");
    assert_eq!(start.main, process(20));
    assert_eq!(
        phases(start),
        [Some(6100), Some(2900), Some(10_000), None, None]
    );
    assert_eq!(start.total_ns(), Some(19_000_000));
}

#[test]
fn a_script_becomes_the_runtime() {
    let mut h = History::default();
    h.exec(100, 20, 1, "/bin/sh /opt/runc run web");
    goes_well(h);
}

#[test]
fn what_does_not_match_may_lie_between() {
    let mut h = History::default();
    h.exec(100, 20, 1, "/bin/sh /opt/runc run web").push(
        300,
        20,
        EventKind::Unmatched {
            usage: Default::default(),
            maxrss_pages: 0,
            place: None,
        },
    );
    goes_well(h);
}

/// Before that it has run something of its own.
#[test]
fn a_script_waits_for_the_runtime() {
    let mut h = History::default();
    h.exec(100, 10, 1, "/bin/sh /opt/runc run web")
        .fork(150, 10, 11)
        .exec(200, 11, 10, "date")
        .exit(300, 11, 0)
        .fork(400, 10, 20);
    goes_well(h);
}

/// conmon forks twice, and may have been there before.
#[test]
fn conmon_calls_the_runtime() {
    for before in [false, true] {
        let mut h = History::default();
        let conmon = image("conmon -c web", 1);
        let kind = match before {
            true => EventKind::Running(conmon),
            false => EventKind::Exec(conmon),
        };
        h.push(100, 10, kind)
            .fork(200, 10, 11)
            .exit(250, 10, 0)
            .fork(300, 11, 20);
        goes_well(h);
    }
}

/// A program, not a script, bears the runtime's name.
#[test]
fn a_wrapper_of_a_runtimes_name_is_no_start() {
    for name in ["runc", "crun"] {
        let mut becomes = History::default();
        becomes.exec(100, 20, 1, &format!("{name} --root /other run web"));
        goes_well(becomes);
        let mut waits = History::default();
        waits
            .exec(100, 10, 1, &format!("{name} run web"))
            .fork(500, 10, 20);
        goes_well(waits);
    }
}

#[test]
fn a_wrapper_has_a_start_of_its_own_for_another_container() {
    let mut h = History::default();
    h.exec(100, 10, 1, "runc run other")
        .fork(500, 10, 20)
        .exec(600, 20, 10, "runc run web")
        .exit(900, 20, 1 << 8)
        .exit(1000, 10, 1 << 8);
    assert_eq!(h.told().len(), 2);
}

#[test]
fn a_wrapper_creates_and_starts() {
    let mut h = History::default();
    h.exec(100, 10, 1, "crun create web").fork(500, 10, 20);
    crun_to_setup(&mut h, 1000, 20, "crun --root /r create web");
    h.exit(6000, 20, 0)
        .exit(6500, 10, 0)
        .exec(7000, 50, 1, "crun start web")
        .fork(7500, 50, 51)
        .exec(8000, 51, 50, "crun --root /r start web")
        .exec(9000, 23, 1, "sh")
        .exit(9500, 51, 0)
        .exit(9600, 50, 0);
    let starts = h.told();
    let start = starts.first().expect("a start");
    assert_eq!(start.outcome, Outcome::Started, "{start:#?}");
    assert_eq!(start.main, process(20));
    assert_eq!(
        phases(start),
        [Some(3000), None, Some(2000), Some(2000), Some(1000)]
    );
    assert_eq!(starts.len(), 1, "{starts:#?}");
}

#[test]
fn a_wrapper_starts_what_has_the_same_root() {
    let mut h = History::default();
    crun_to_setup(&mut h, 1000, 20, "crun create web");
    h.exit(6000, 20, 0)
        .exec(7000, 50, 1, "crun start web")
        .fork(7500, 50, 51)
        .exec(8000, 51, 50, "crun start web")
        .exec(9000, 23, 1, "sh")
        .exit(9500, 51, 0)
        .exit(9600, 50, 0);
    let starts = h.told();
    assert_eq!(
        phases(only(&starts)),
        [Some(3000), None, Some(2000), Some(2000), Some(1000)]
    );
    assert!(starts[0].hooks.is_empty(), "{starts:#?}");
}

/// What is lost between its records is known to be.
#[test]
fn a_callers_lost_record_is_a_loss() {
    let mut h = History::default();
    h.exec(100, 20, 1, "/bin/sh /opt/runc run web").lose(20);
    runc_to_setup(&mut h, 1000, 20, "/usr/sbin/runc run web");
    h.exec(20_000, 23, 20, "sh");
    let starts = h.told();
    assert_eq!(starts[0].mark(Mark::Begin), None);
    assert_eq!(starts[0].mark(Mark::Payload), Some(20_000_000));
}
