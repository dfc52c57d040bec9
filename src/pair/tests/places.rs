use super::*;

fn attach(tgid: u32, by: u32, ts_ns: u64, place: Place) -> Event {
    event(tgid, 0, ts_ns, EventKind::Attach { by: id(by), place })
}

fn fork(tgid: u32, by: u32, ts_ns: u64, place: Option<Place>) -> Event {
    let (by, nth) = (id(by), 1);
    let of_runtime = true;
    let kind = EventKind::Fork {
        by,
        nth,
        place,
        of_runtime,
    };
    event(tgid, 1, ts_ns, kind)
}

/// The place of the only execution that ends, of a runtime with pid 2, and what it is part of.
fn places(events: Vec<Event>) -> Vec<(u32, Option<Place>, Option<u32>)> {
    let mut pair = Pair::default();
    let mut out = Vec::new();
    for event in events {
        pair.push(event, &mut out);
    }
    out.iter()
        .map(|e| (e.process.tgid, e.place, e.part_of.map(|by| by.tgid)))
        .collect()
}

const INSIDE: Place = Place {
    cgroup_id: 5,
    inside: true,
};

#[test]
fn a_runtime_is_where_it_puts_its_processes() {
    // By itself, as with the cgroupfs driver; by pid 1, as with systemd's.
    for by in [2, 1] {
        let found = places(vec![
            exec(2, 1, 10, "runc\0create\0web\0"),
            fork(3, 2, 11, None),
            exec(3, 2, 12, "runc\0init\0"),
            attach(3, by, 13, INSIDE),
            exit(3, 3, 14, true),
            exit(2, 2, 15, true),
        ]);
        assert_eq!(found, [(3, None, Some(2)), (2, Some(INSIDE), None)]);
    }
}

#[test]
fn what_a_runtimes_child_forks_is_its_own() {
    let found = places(vec![
        exec(2, 1, 10, "runc\0exec\0web\0true\0"),
        fork(3, 2, 11, None),
        fork(4, 3, 12, None),
        exit(3, 2, 13, false),
        attach(4, 1, 14, INSIDE),
        exit(2, 2, 15, true),
    ]);
    assert_eq!(found, [(2, Some(INSIDE), None)]);
    // Cloned right into its cgroup.
    let cloned = places(vec![
        exec(2, 1, 10, "runc\0exec\0web\0true\0"),
        fork(3, 2, 11, Some(INSIDE)),
        exit(2, 2, 15, true),
    ]);
    assert_eq!(cloned, [(2, Some(INSIDE), None)]);
}

#[test]
fn a_hook_is_no_container_nor_is_the_runtime_itself() {
    let hook = Place {
        cgroup_id: 0,
        inside: false,
    };
    let mut ran = unmatched(3, 2, 12);
    if let EventKind::Unmatched { place, .. } = &mut ran.kind {
        *place = Some(hook);
    }
    let found = places(vec![
        exec(2, 1, 10, "runc\0create\0web\0"),
        fork(3, 2, 11, None),
        ran,
        attach(2, 2, 13, INSIDE),
        exit(2, 2, 15, true),
    ]);
    assert_eq!(found, [(2, None, None)]);
}

#[test]
fn one_hierarchy_inside_is_enough() {
    let outside = Place {
        cgroup_id: 9,
        inside: false,
    };
    let unshown = Place {
        cgroup_id: 0,
        inside: true,
    };
    assert_eq!(outside.and(Some(INSIDE)), INSIDE);
    assert_eq!(INSIDE.and(Some(outside)), INSIDE);
    let both = Place {
        cgroup_id: 9,
        inside: true,
    };
    assert_eq!(unshown.and(Some(outside)), both);
    assert_eq!(outside.and(Some(unshown)), both);
}

/// A daemon whose name begins as a runtime's does: what it calls is not its own work.
#[test]
fn a_runtime_that_another_calls_is_on_its_own() {
    let found = places(vec![
        exec(2, 1, 10, "buildkitd"),
        fork(3, 2, 11, None),
        exec(3, 2, 12, "runc\0run\0web\0"),
        fork(4, 3, 13, None),
        attach(4, 3, 14, INSIDE),
        exit(3, 3, 15, true),
        exit(2, 2, 16, true),
    ]);
    assert_eq!(found, [(3, Some(INSIDE), None), (2, None, None)]);
}

/// From another CPU, and later than is waited for.
#[test]
fn the_exec_of_a_runtime_may_come_after_its_fork() {
    let found = places(vec![
        fork(3, 2, 11, None),
        exec(3, 2, 12, "runc\0init\0"),
        exec(2, 1, 10, "runc\0exec\0web\0true\0"),
        attach(3, 1, 13, INSIDE),
        exit(3, 3, 14, true),
        exit(2, 2, 15, true),
    ]);
    assert_eq!(found, [(3, None, Some(2)), (2, Some(INSIDE), None)]);
}

/// Runtimes enter one hierarchy after the other; those that nobody looks at say nothing.
#[test]
fn a_hierarchy_that_is_not_shown_is_no_place() {
    let other = Place {
        cgroup_id: 0,
        inside: false,
    };
    let found = places(vec![
        exec(2, 1, 10, "runc\0create\0web\0"),
        fork(3, 2, 11, None),
        attach(3, 2, 12, other),
        exit(2, 2, 15, true),
    ]);
    assert_eq!(found, [(2, None, None)]);
}

/// An exec was lost before the one that says where the container is: it says so all the same
/// when that is given up, and when the process is found to be gone.
#[test]
fn what_waited_for_a_lost_record_has_its_place() {
    let after_a_loss = || {
        let mut pair = Pair::default();
        let mut out = Vec::new();
        let mut moved = unmatched(3, 3, 12);
        if let EventKind::Unmatched { place, .. } = &mut moved.kind {
            *place = Some(INSIDE);
        }
        for event in [
            exec(2, 1, 10, "runc\0create\0web\0"),
            fork(3, 2, 11, None),
            moved,
        ] {
            pair.push(event, &mut out);
        }
        assert!(pair.take_placed().is_empty());
        (pair, out)
    };
    let (mut given_up, mut out) = after_a_loss();
    given_up.advance(12 + GIVE_UP_NS, &mut out);
    let (mut gone, _) = after_a_loss();
    gone.reconcile(20, |process| process == id(2), &mut out);
    for mut pair in [given_up, gone] {
        let placed = pair.take_placed();
        assert_eq!(placed.len(), 1);
        assert_eq!((placed[0].place, placed[0].at_ns), (INSIDE, 12));
        pair.push(exit(2, 2, 30, true), &mut out);
        let runtime = out.pop().expect("it has ended");
        assert_eq!(runtime.place, Some(INSIDE));
    }
}
