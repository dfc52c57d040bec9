//! Argument vectors, against the oracle: byte for byte, truncated only where the bound says so.

mod common;

use common::{Bed, check_with};

/// Runs a case with this `--max-args-bytes`.
fn bounded(max_args_bytes: usize, case: &[&str]) {
    let Some(bed) = Bed::new() else { return };
    let max = max_args_bytes.to_string();
    let tracer = bed.trace(&["--cgroup", bed.cgroup.path(), "--max-args-bytes", &max]);
    let report = bed.workload().run(case);
    check_with(&report.expected, &tracer.stop(), max_args_bytes);
}

#[test]
fn odd_arguments() {
    if let Some(bed) = Bed::new() {
        bed.observe(&["argv-odd"]);
    }
}

#[test]
fn long_arguments_are_cut_at_the_default() {
    if let Some(bed) = Bed::new() {
        bed.observe(&["argv-long"]);
    }
}

#[test]
fn long_arguments_at_the_most() {
    bounded(32000, &["argv-long"]);
}

/// 4090 to 4102 bytes.
#[test]
fn around_the_default() {
    if let Some(bed) = Bed::new() {
        bed.observe(&["argv-sizes", "4090", "13"]);
    }
}

#[test]
fn around_the_most() {
    bounded(32000, &["argv-sizes", "31994", "13"]);
}

#[test]
fn around_a_small_bound() {
    bounded(67, &["argv-sizes", "61", "13"]);
    bounded(64, &["argv-sizes", "61", "13"]);
}

/// Every length modulo 8, as records are padded.
#[test]
fn every_short_length() {
    if let Some(bed) = Bed::new() {
        bed.observe(&["argv-sizes", "31", "67"]);
    }
}
