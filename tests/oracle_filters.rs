//! The filters by name, uid and descent, against the oracle.

mod common;

use common::{Bed, Workload, check};

/// Runs a case with these filters beside `--cgroup`; rows with these labels are due.
fn filtered(bed: &Bed, args: &[&str], case: &[&str], matched: &[&str]) {
    let mut all = vec!["--cgroup", bed.cgroup.path()];
    all.extend(args);
    let tracer = bed.trace(&all);
    let report = bed.workload().run(case);
    check(&report.labelled(matched), &tracer.stop());
}

const BY_ARGV0: [&str; 5] = ["argv0", "argv0-path", "argv0-dot", "argv0-deep", "both"];

#[test]
fn a_name_is_comm_or_the_base_name_of_argv0() {
    let Some(bed) = Bed::new() else { return };
    let mut matched = BY_ARGV0.to_vec();
    matched.extend(["comm", "comm-cut"]);
    for name in ["x", "a-name", "exactly15bytes."] {
        filtered(&bed, &["--comm", name], &["names", name], &matched);
    }
}

/// Over 15 bytes, argv[0] alone decides.
#[test]
fn a_name_that_no_comm_can_hold() {
    let Some(bed) = Bed::new() else { return };
    let longest = "n".repeat(63);
    for name in ["exactly16bytes..", "containerd-shim-runc-v2", &longest] {
        filtered(&bed, &["--comm", name], &["names", name], &BY_ARGV0);
    }
}

#[test]
fn several_names() {
    let Some(bed) = Bed::new() else { return };
    let args = [
        "-n",
        "some-other",
        "-n",
        "this-name",
        "-n",
        "neither-of-these-three",
    ];
    let mut matched = BY_ARGV0.to_vec();
    matched.extend(["comm", "comm-cut"]);
    filtered(&bed, &args, &["names", "this-name"], &matched);
}

/// Every exec is matched anew.
#[test]
fn a_name_that_comes_and_goes() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace(&["-c", bed.cgroup.path(), "-n", &bed.tag]);
    let report = bed.workload().run(&["names-change"]);
    let mut expected = report.expected;
    expected.retain(|e| e.argv[0] == bed.tag.as_bytes());
    check(&expected, &tracer.stop());
}

/// Different options mean and.
#[test]
fn a_name_in_a_cgroup() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace(&["-c", bed.cgroup.path(), "-n", &bed.tag]);
    let inside = bed.workload().run(&["plain", "7"]);
    bed.workload().run(&["names", "another"]);
    bed.workload_outside().run(&["plain", "7"]);
    check(&inside.expected, &tracer.stop());
}

#[test]
fn a_uid() {
    let Some(bed) = Bed::new() else { return };
    let case = ["uids", "0", "1001", "65534", "1001"];
    filtered(&bed, &["--uid", "1001"], &case, &["1001"]);
    filtered(&bed, &["--uid", "0"], &case, &["0"]);
    filtered(
        &bed,
        &["-u", "65534", "-u", "1001"],
        &case,
        &["1001", "65534"],
    );
}

/// Without a cgroup to keep others out: nobody else on this machine has this uid.
#[test]
fn a_uid_alone() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace(&["--uid", "54321"]);
    let report = bed.workload_outside().run(&["uids", "54321", "0", "54322"]);
    check(&report.labelled(&["54321"]), &tracer.stop());
}

/// The process itself, which runs already, and all below it.
#[test]
fn a_pid_and_its_descendants() {
    let Some(bed) = Bed::new() else { return };
    let mut running = bed.workload_outside().start(&["family-running"]);
    let pid = running.ready();
    let tracer = bed.trace(&["--pid", &pid]);
    running.go();
    let report = running.finish();
    check(&report.labelled(&["root", "below"]), &tracer.stop());
}

/// Its descendants that run already count as well.
#[test]
fn a_pid_whose_children_run_already() {
    let Some(bed) = Bed::new() else { return };
    let mut running = bed.workload_outside().start(&["running"]);
    let pid = running.ready();
    let tracer = bed.trace(&["--pid", &pid]);
    running.go();
    let mut report = running.finish();
    report.main = report.main.running_before();
    check(&report.with_main(), &tracer.stop());
}

#[test]
fn a_pid_of_several() {
    let Some(bed) = Bed::new() else { return };
    let mut one = bed.workload_outside().start(&["family-running"]);
    let mut two = Workload::new(&bed.tag).start(&["family-running", "second"]);
    let pids = [one.ready(), two.ready()];
    let tracer = bed.trace(&["-p", &pids[0], "-p", &pids[1]]);
    one.go();
    two.go();
    let mut expected = one.finish().labelled(&["root", "below"]);
    expected.extend(two.finish().labelled(&["root", "below"]));
    check(&expected, &tracer.stop());
}

#[test]
fn follow() {
    let Some(bed) = Bed::new() else { return };
    let name = format!("{}-root", bed.tag);
    let case = ["family", &name];
    filtered(&bed, &["-n", &name], &case, &["root"]);
    filtered(&bed, &["-n", &name, "--follow"], &case, &["root", "below"]);
}

/// What a followed process becomes needs no match.
#[test]
fn follow_through_another_exec() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace(&["-c", bed.cgroup.path(), "-n", &bed.tag, "--follow"]);
    let report = bed.workload().run(&["names-change"]);
    let mut expected = report.expected;
    // Of `won`, the first image came before any match.
    expected.retain(|e| e.label != "won" || e.argv[0] == bed.tag.as_bytes());
    check(&expected, &tracer.stop());
}
