//! Storms and pids that come again, against the oracle: none missing, none doubled.

mod common;

use common::{Bed, Cgroup, Report, check, count, skip};

/// 5003 executions from both CPUs at once.
#[test]
fn a_storm() {
    let Some(bed) = Bed::new() else { return };
    bed.observe(&["storm", &count(5003).to_string(), "8"]);
}

#[test]
fn a_storm_by_name() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace(&["--comm", &bed.tag]);
    let report = bed
        .workload_outside()
        .run(&["storm", &count(2003).to_string(), "5"]);
    check(&report.expected, &tracer.stop());
}

/// Another storm, filtered out, beside the one that counts.
#[test]
fn a_storm_beside_a_storm() {
    let Some(bed) = Bed::new() else { return };
    let n = count(2003).to_string();
    let tracer = bed.trace_cgroup();
    let outside = bed.workload_outside().start(&["storm", &n, "3"]);
    let inside = bed.workload().run(&["storm", &n, "3"]);
    outside.finish();
    check(&inside.expected, &tracer.stop());
}

/// Whatever the workers of a storm start is followed from their parent.
#[test]
fn a_storm_below_a_pid() {
    let Some(bed) = Bed::new() else { return };
    let argv = bed
        .workload_outside()
        .argv(&["storm", &count(2003).to_string(), "7"]);
    let (observed, output, elapsed) = common::Observed::of_command(bed.scratch.path(), &[], &argv);
    let report = Report::of_output(&output, argv, observed.status, elapsed);
    check(&report.with_main(), &observed);
}

/// Says so where pids cannot be chosen.
fn chosen(report: &Report) -> bool {
    for why in &report.skipped {
        skip(why);
    }
    report.skipped.is_empty()
}

#[test]
fn one_pid_again_and_again() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace_cgroup();
    let report = bed.workload().run(&["reuse", &count(503).to_string()]);
    let observed = tracer.stop();
    if chosen(&report) {
        check(&report.expected, &observed);
    }
}

/// The same pid, now of processes that are not to be reported.
#[test]
fn a_pid_that_was_ours() {
    let Some(bed) = Bed::new() else { return };
    let outside = Cgroup::v2(&format!("{}-outside", bed.tag));
    let tracer = bed.trace_cgroup();
    let workload = bed.workload().moves(&outside.procs());
    let report = workload.run(&["stale", &count(101).to_string()]);
    let observed = tracer.stop();
    if chosen(&report) {
        check(&report.labelled(&["inside"]), &observed);
    }
}
