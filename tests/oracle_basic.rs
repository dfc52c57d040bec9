//! One process each, against the oracle: how it was started, how it ended, what it did between.

mod common;

use common::{Bed, Cgroup, check};

fn observe(case: &[&str]) {
    if let Some(bed) = Bed::new() {
        bed.observe(case);
    }
}

#[test]
fn plain_exec() {
    observe(&["plain", "17"]);
}

#[test]
fn exit_codes() {
    observe(&["codes"]);
}

#[test]
fn signals_and_cores() {
    observe(&["signals"]);
}

#[test]
fn killed_by_the_parent() {
    observe(&["killed"]);
}

#[test]
fn fork_without_exec_gives_no_row() {
    observe(&["fork-only"]);
}

#[test]
fn a_failed_exec_is_none() {
    observe(&["exec-fails"]);
}

#[test]
fn the_same_argv_again_continues_the_execution() {
    observe(&["chain-same"]);
}

#[test]
fn the_same_argv_after_a_second_is_another_execution() {
    observe(&["chain-late"]);
}

#[test]
fn another_argv_is_another_execution() {
    observe(&["chain-other"]);
}

#[test]
fn exec_by_file_descriptor() {
    observe(&["memfd"]);
}

#[test]
fn scripts() {
    observe(&["script"]);
}

#[test]
fn vfork_spawn_and_clone_without_signal() {
    observe(&["ways"]);
}

#[test]
fn a_parent_that_ignores_sigchld() {
    observe(&["sigchld-ignored"]);
}

#[test]
fn pids_of_the_initial_namespace() {
    observe(&["pid-namespace"]);
}

#[test]
fn exec_by_the_32_bit_entries() {
    observe(&["compat"]);
}

/// Found again at the exit whatever its comm, uid and cgroup are then.
#[test]
fn renamed_reowned_moved() {
    let Some(bed) = Bed::new() else { return };
    let outside = Cgroup::v2(&format!("{}-outside", bed.tag));
    let tracer = bed.trace_cgroup();
    let mut workload = bed.workload();
    for procs in [bed.cgroup.procs(), outside.procs()] {
        workload = workload.moves(&procs);
    }
    let report = workload.run(&["changes"]);
    let observed = tracer.stop();
    check(&report.expected, &observed);
    for row in &observed.rows {
        assert_ne!(
            row["comm"], "another-name",
            "comm is that of the exec: {row}"
        );
    }
}

#[test]
fn a_child_that_outlives_its_parent() {
    observe(&["orphan"]);
}

/// A process of 1 GB takes tens of milliseconds to be torn down, and its parent is told
/// after that: the end must be then, not when the exit began.
#[test]
fn the_end_is_when_the_parent_is_told() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace_cgroup();
    let report = bed.workload().run(&["memory", "1024"]);
    let observed = tracer.stop();
    check(&report.expected, &observed);
    let large = report.labelled(&["memory"]);
    let (began_ns, told_ns) = large[0].end_ns;
    let row = observed.rows.iter().find(|row| row["pid"] == large[0].pid);
    let end_ns = row.and_then(|row| row["end_ns"].as_u64()).expect("a row");
    assert!(
        end_ns - began_ns > (told_ns - began_ns) / 2,
        "{} of {} ns from the last instruction to the parent's wake-up",
        end_ns - began_ns,
        told_ns - began_ns
    );
}

#[test]
fn a_family() {
    observe(&["family"]);
}

/// Without any filter, among whatever else this machine does.
#[test]
fn no_filter() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace::<&str>(&[]);
    let workload = bed.workload_outside();
    let mut expected = workload.run(&["plain", "29"]).expected;
    expected.extend(workload.run(&["codes"]).expected);
    expected.extend(workload.run(&["chain-other"]).expected);
    let mut observed = tracer.stop();
    observed
        .rows
        .retain(|row| row["argv"][0] == bed.tag.as_str());
    check(&expected, &observed);
}
