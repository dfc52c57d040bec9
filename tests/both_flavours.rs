//! Both flavours at once see the same executions: their rows differ in times and in
//! what was used up to them alone.

mod common;

use std::path::Path;

use common::{Bed, Observed, Tracer, check, count, figure};
use serde_json::Value;

/// What two probes cannot read at the same instant: times, and what is used meanwhile.
const TIMES: [&str; 11] = [
    "start_ns",
    "end_ns",
    "time_ns",
    "start_time",
    "cpu_ns",
    "off_cpu_ns",
    "maxrss_bytes",
    "maxrss_known",
    "major_faults",
    "voluntary_switches",
    "involuntary_switches",
];

/// Of all that ends differently; the storm is for the median.
const CASES: [&[&str]; 9] = [
    &["codes"],
    &["signals"],
    &["killed"],
    &["ways"],
    &["chain-same"],
    &["chain-other"],
    &["argv-odd"],
    &["leader-first"],
    &["exec-thread"],
];

/// The tracepoint flavour again where the kernel has no kprobes.
fn other_flavour() -> &'static str {
    match Path::new("/sys/bus/event_source/devices/kprobe").exists() {
        true => "kprobe",
        false => "tracepoint",
    }
}

/// Rows in an order of their own: that of their ends may differ.
fn sorted(observed: &Observed) -> Vec<&Value> {
    let mut rows: Vec<&Value> = observed.rows.iter().collect();
    rows.sort_by_key(|row| (row["pid"].as_u64(), row["start_ns"].as_u64()));
    rows
}

fn without_times(row: &Value) -> Value {
    let mut row = row.clone();
    let fields = row.as_object_mut().expect("a row");
    for field in TIMES {
        assert!(fields.remove(field).is_some(), "{field}");
    }
    row
}

/// Median of how much later, or longer, the first is.
fn median_ns(field: &str, one: &[&Value], other: &[&Value]) -> i64 {
    let ns = |row: &Value| row[field].as_i64().expect("nanoseconds");
    let pairs = one.iter().zip(other);
    let mut all: Vec<i64> = pairs.map(|(a, b)| ns(a) - ns(b)).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

#[test]
fn rows_are_the_same_but_for_times() {
    let Some(bed) = Bed::new() else { return };
    let flavours = [other_flavour(), "tracepoint"];
    let scratch = flavours.map(|_| tempfile::tempdir().expect("scratch directory"));
    let start = |i: usize| {
        let probe = ["--probe".to_owned(), flavours[i].to_owned()];
        Tracer::start_with(scratch[i].path(), &probe, &["-c", bed.cgroup.path()])
    };
    let tracers = [start(0), start(1)];
    let mut expected = Vec::new();
    for case in CASES {
        expected.extend(bed.workload().run(case).expected);
    }
    let storm = count(2003).to_string();
    expected.extend(bed.workload().run(&["storm", &storm, "2"]).expected);
    let observed = tracers.map(Tracer::stop);
    for one in &observed {
        check(&expected, one);
    }
    let [one, other] = observed.each_ref().map(sorted);
    assert_eq!(one.len(), other.len());
    for (a, b) in one.iter().zip(&other) {
        assert_eq!(without_times(a), without_times(b));
    }
    let [time, began, ended] =
        ["time_ns", "start_ns", "end_ns"].map(|f| median_ns(f, &one, &other));
    figure(&format!(
        "median of {} rows, {} less {}: TIME {time} ns, start {began} ns, end {ended} ns",
        one.len(),
        flavours[0],
        flavours[1]
    ));
}
