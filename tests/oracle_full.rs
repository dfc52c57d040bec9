//! What has no room is counted, record for record and process for process, against the
//! oracle: the buffer, the table of tracked processes, the levels of a cgroup.

mod common;

use std::fs;
use std::process::Command;

use common::cgroup::procs;
use common::compare::{by_key, exact, key_of_row};
use common::{Bed, Observed, Tracer, count, execlat, probe_args, text};
use nix::sys::signal::Signal;

/// Far less than what happens while nobody reads it.
const BUFFER: &str = "64K";

/// Processes that the table has room for.
const ROOM: usize = 11;

/// Levels of cgroups that the test for a subtree climbs.
const LEVELS: usize = 96;

fn lost(observed: &Observed, what: &str) -> usize {
    let count = observed.summary["lost"][what].as_u64();
    count.unwrap_or_else(|| panic!("no {what}: {}", observed.summary)) as usize
}

/// The causes that something was lost by.
fn causes(observed: &Observed) -> Vec<&str> {
    let lost = observed.summary["lost"].as_object().expect("lost");
    let some = lost.iter().filter(|(_, count)| count.as_u64() != Some(0));
    some.map(|(cause, _)| cause.as_str()).collect()
}

/// Of a loss `--strict` makes a status, and the last line says it.
fn is_told(observed: &Observed, words: &str) {
    assert_eq!(observed.code(), 3, "{}", observed.stderr);
    assert!(observed.stderr.contains("; LOST: "), "{}", observed.stderr);
    assert!(observed.stderr.contains(words), "{}", observed.stderr);
}

/// The reader is stopped meanwhile. Each execution is a record of its start and one of its
/// end: each that has no part in a row is among the lost.
#[test]
fn a_full_buffer() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace(&["-c", bed.cgroup.path(), "--strict", "--buffer", BUFFER]);
    tracer.signal(Signal::SIGSTOP);
    let report = bed.workload().run(&["two-exit", "1009", "3"]);
    tracer.signal(Signal::SIGCONT);
    let observed = tracer.stop_by(Signal::SIGINT);
    is_told(&observed, "that found the buffer full");
    let exact = exact(&report, &observed);
    let half = observed.ended("unknown").len();
    assert_eq!(exact + half, observed.rows.len(), "{:?}", observed.summary);
    let ends = lost(&observed, "finishes_without_start");
    let delivered = 2 * exact + half + ends;
    let all = 2 * report.expected.len();
    assert_eq!(
        lost(&observed, "buffer_full"),
        all - delivered,
        "{:?}",
        observed.summary
    );
    assert!(all > delivered, "nothing was lost: {:?}", observed.summary);
    assert_eq!(
        lost(&observed, "starts_without_finish"),
        half,
        "{:?}",
        observed.summary
    );
}

/// The buffer is full when somebody executes in a cgroup that was not seen before.
#[test]
fn a_cgroup_whose_name_finds_the_buffer_full() {
    let Some(bed) = Bed::new() else { return };
    let child = bed.cgroup.child("late");
    let tracer = bed.trace(&["-c", bed.cgroup.path(), "--strict", "--buffer", BUFFER]);
    tracer.signal(Signal::SIGSTOP);
    // One worker, and so one CPU, for both.
    let first = bed.workload().run(&["storm", "509", "1"]);
    let late = common::Workload::new(&bed.tag);
    let late = late.joins(&procs(&child)).run(&["storm", "7", "1"]);
    tracer.signal(Signal::SIGCONT);
    let observed = tracer.stop_by(Signal::SIGINT);
    is_told(&observed, "that found the buffer full");
    let names = lost(&observed, "cgroup_names");
    // Each of these found it full, or none of them would have lost its records.
    assert!(
        (1..=late.expected.len() + first.expected.len()).contains(&names),
        "{:?}",
        observed.summary
    );
    let of_late = by_key(&late.expected);
    assert!(
        observed
            .rows
            .iter()
            .all(|row| !of_late.contains_key(&key_of_row(row)))
    );
}

/// As on a host where pid_max is raised while execlat runs: it sees a small one.
#[test]
fn a_full_table() {
    let Some(bed) = Bed::new() else { return };
    let pid_max = bed.scratch.path().join("pid_max");
    fs::write(&pid_max, format!("{ROOM}\n")).expect("a file");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c"]);
    command.arg("mount --bind \"$0\" /proc/sys/kernel/pid_max && exec \"$@\"");
    command.arg(text(&pid_max)).arg(execlat());
    // What runtimes do elsewhere would take room as well.
    let args = ["-c", bed.cgroup.path(), "--cgroup-strict", "--strict"];
    let tracer = Tracer::start_by(bed.scratch.path(), command, &probe_args(), &args);
    let report = bed.workload().run(&["crowd", "31"]);
    let observed = tracer.stop_by(Signal::SIGINT);
    is_told(&observed, "not tracked, the table was full");
    assert_eq!(causes(&observed), ["table_full"]);
    let missing = report.expected.len() - exact(&report, &observed);
    assert_eq!(observed.rows.len() + missing, report.expected.len());
    assert_eq!(
        lost(&observed, "table_full"),
        missing,
        "{:?}",
        observed.summary
    );
    // Some have slots besides, which are chosen by the pid.
    assert!(
        missing > 0 && report.expected.len() - missing >= ROOM,
        "{missing}"
    );
}

/// Below the cgroup asked for, by more levels than the test climbs.
#[test]
fn a_cgroup_too_deep() {
    let Some(bed) = Bed::new() else { return };
    let n = count(101);
    let mut deep = bed.cgroup.child("1");
    for _ in 1..LEVELS - 1 {
        deep.push("1");
        fs::create_dir(&deep).expect("a cgroup");
    }
    let deepest = deep.join("1");
    fs::create_dir(&deepest).expect("a cgroup");
    for (dir, levels) in [(&deep, LEVELS - 1), (&deepest, LEVELS)] {
        let tracer = bed.trace(&["-c", bed.cgroup.path(), "--strict"]);
        let workload = common::Workload::new(&bed.tag).joins(&procs(dir));
        let report = workload.run(&["two-exit", &n.to_string(), "2"]);
        let observed = tracer.stop_by(Signal::SIGINT);
        let executions = report.expected.len();
        if levels < LEVELS {
            assert_eq!(exact(&report, &observed), executions, "{}", observed.stderr);
            assert_eq!((causes(&observed), observed.code()), (vec![], 0));
            continue;
        }
        is_told(&observed, "that found no cgroup, or one too deep");
        assert_eq!(causes(&observed), ["cgroup_unknown"]);
        assert!(observed.rows.is_empty(), "{:?}", observed.rows);
        assert_eq!(
            lost(&observed, "cgroup_unknown"),
            executions,
            "{:?}",
            observed.summary
        );
    }
}
