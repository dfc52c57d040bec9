//! What executions use, against what the workload's own clocks and `wait4` say.
//! Every figure only grows in the life of a process, so that one read before and one
//! read after a moment bound what the kernel had at it: no tolerance is needed.

mod common;

use common::{Bed, Expected, Observed, check};
use serde_json::Value;

/// The rows of a label, in order of their starts, each with what is expected of it.
fn labelled<'a>(
    expected: &'a [Expected],
    observed: &'a Observed,
    label: &str,
) -> Vec<(&'a Expected, &'a Value)> {
    let mut found: Vec<(&Expected, &Value)> = expected
        .iter()
        .filter(|e| e.label == label)
        .map(|e| {
            let starts = |row: &&Value| {
                let ns = row["start_ns"].as_u64().unwrap_or(0);
                row["pid"] == e.pid && (e.start_ns.0..=e.start_ns.1).contains(&ns)
            };
            let mut rows = observed.rows.iter().filter(starts);
            let row = rows.next().expect("its row");
            assert!(rows.next().is_none(), "two rows: {row}");
            (e, row)
        })
        .collect();
    found.sort_by_key(|(e, _)| e.start_ns.0);
    assert!(!found.is_empty(), "nothing is {label}");
    found
}

fn observed(case: &str) -> Option<(Vec<Expected>, Observed)> {
    let bed = Bed::new()?;
    let tracer = bed.trace_cgroup();
    let report = bed.workload().run(&[case]);
    let observed = tracer.stop();
    check(&report.expected, &observed);
    Some((report.expected, observed))
}

fn number(row: &Value, field: &str) -> u64 {
    let value = row[field].as_u64();
    value.unwrap_or_else(|| panic!("{field}: {row}"))
}

const MS: u64 = 1_000_000;

/// All threads of a process count, whichever of them end first and whoever is told.
#[test]
fn cpu_time_is_that_of_all_threads() {
    let Some((expected, observed)) = observed("usage-cpu") else {
        return;
    };
    let rows = labelled(&expected, &observed, "burn-threads");
    assert_eq!(rows.len(), 6);
    for (e, row) in rows {
        assert!(number(row, "cpu_ns") >= 5 * 17 * MS, "{row}");
        assert_eq!(
            number(row, "maxrss_bytes") / 1024,
            e.wait4_maxrss_kib.expect("waited for")
        );
    }
    for (_, row) in labelled(&expected, &observed, "burn") {
        assert!(number(row, "cpu_ns") >= 53 * MS, "{row}");
    }
}

/// Whether the parent is told of the end or not.
#[test]
fn cpu_time_is_that_of_a_leader_that_left_too() {
    let Some((expected, observed)) = observed("usage-leader-first") else {
        return;
    };
    let rows = labelled(&expected, &observed, "burn-leader-first");
    assert_eq!(rows.len(), 2);
    for (_, row) in rows {
        assert!(number(row, "cpu_ns") >= 2 * 19 * MS, "{row}");
    }
}

#[test]
fn sleep_is_time_off_the_cpu() {
    let Some((expected, observed)) = observed("usage-sleep") else {
        return;
    };
    for (_, row) in labelled(&expected, &observed, "sleep") {
        // It wakes no sooner, and gave up the CPU for that.
        assert!(number(row, "time_ns") >= 101 * MS, "{row}");
        assert!(number(row, "voluntary_switches") >= 1, "{row}");
        let sum = number(row, "off_cpu_ns") + number(row, "cpu_ns");
        assert_eq!(sum, number(row, "time_ns"), "{row}");
    }
}

/// Neither CPU time nor memory of one image counts for the next.
#[test]
fn each_image_has_its_own() {
    let Some((expected, observed)) = observed("usage-images") else {
        return;
    };
    let rows = labelled(&expected, &observed, "images");
    let [_, (_, large), (e, small)] = rows[..] else {
        panic!("not three images: {rows:?}");
    };
    assert!(number(large, "cpu_ns") >= 41 * MS, "{large}");
    assert_eq!(large["maxrss_known"], true, "{large}");
    // All of it was resident at once; each CPU may keep so many pages to itself before
    // they are counted: 64 before v6.2, then the batch of a percpu_counter.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let least = (31 << 20) - cpus * (2 * cpus).max(64) * 4096;
    assert!(number(large, "maxrss_bytes") >= least, "{large}");
    // The kernel tells no less than the large one's: a bound, and said to be one.
    assert_eq!(small["maxrss_known"], false, "{small}");
    assert_eq!(small["maxrss_bytes"], large["maxrss_bytes"]);
    let kib = e.wait4_maxrss_kib.expect("waited for");
    assert_eq!(number(small, "maxrss_bytes") / 1024, kib);
    let rows = labelled(&expected, &observed, "images-thread");
    assert!(number(rows[0].1, "cpu_ns") >= 29 * MS, "{rows:?}");
}

/// What ran before counts from the process's start, as its time does; the image that
/// follows counts from its exec.
#[test]
fn what_ran_before_counts_from_its_start() {
    let Some(bed) = Bed::new() else { return };
    let mut running = bed.workload().start(&["usage-running"]);
    running.ready();
    let tracer = bed.trace_cgroup();
    running.go();
    let mut report = running.finish();
    report.main = report.main.running_before();
    let observed = tracer.stop();
    let expected = report.with_main();
    check(&expected, &observed);
    let rows = labelled(&expected, &observed, "running");
    let [(_, before), (_, later)] = rows[..] else {
        panic!("not two images: {rows:?}");
    };
    assert!(number(before, "cpu_ns") >= 37 * MS, "{before}");
    assert_eq!(before["maxrss_known"], true, "{before}");
    assert_eq!(later["maxrss_known"], false, "{later}");
}
