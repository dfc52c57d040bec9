//! The oracle's own comparison: what it must let pass, and what it must catch.

mod common;

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use base64::Engine as _;
use common::compare::{USED, differences, losses};
use common::{Expected, Workload, count};
use serde_json::{Value, json};

/// The row of a tracer that does all right.
fn perfect(e: &Expected) -> Value {
    let joined: usize = e.argv.iter().map(|a| a.len() + 1).sum();
    let mut row = json!({
        "pid": e.pid, "ppid": e.ppid, "uid": e.uid, "end": e.end, "exit_code": e.exit_code,
        "signal": e.signal, "core_dumped": e.core, "reexecs": e.reexecs,
        "start_known": e.start_known, "argv_bytes": joined, "argv_truncated": false,
        "start_ns": e.start_ns.1, "end_ns": e.end_ns.0, "time_ns": e.end_ns.0 - e.start_ns.1,
    });
    for (field, bounds) in USED.iter().zip(e.used.iter().flatten()) {
        row[*field] = bounds.0.into();
    }
    let used_ns = |field: &str| row[field].as_u64().expect("a number");
    row["off_cpu_ns"] = used_ns("time_ns").saturating_sub(used_ns("cpu_ns")).into();
    row["maxrss_bytes"] = (e.wait4_maxrss_kib.unwrap_or(1) * 1024).into();
    row["maxrss_known"] = true.into();
    let text = |a: &Vec<u8>| String::from_utf8_lossy(a).into_owned();
    row["argv"] = e.argv.iter().map(text).collect();
    if e.argv.iter().any(|a| std::str::from_utf8(a).is_err()) {
        let encode = |a: &Vec<u8>| base64::engine::general_purpose::STANDARD.encode(a);
        row["argv_base64"] = e.argv.iter().map(encode).collect();
    }
    row
}

/// Executions of many kinds; needs no root and no tracer.
fn executions() -> Vec<Expected> {
    let workload = Workload::new("itself");
    ["codes", "signals", "chain-other", "chain-same", "argv-odd"]
        .iter()
        .flat_map(|case| workload.run(&[case]).expected)
        .collect()
}

#[test]
fn right_rows_pass_in_any_order() {
    let expected = executions();
    let mut rows: Vec<Value> = expected.iter().map(perfect).collect();
    rows.reverse();
    assert_eq!(differences(&expected, &rows, 4096), Vec::<String>::new());
}

#[test]
fn every_wrong_field_is_caught() {
    let expected = executions();
    let rows: Vec<Value> = expected.iter().map(perfect).collect();
    let wrong = [
        ("ppid", json!(1)),
        ("uid", json!(4711)),
        ("end", json!("unknown")),
        ("exit_code", json!(78)),
        ("signal", json!(33)),
        ("reexecs", json!(99)),
        ("start_known", json!(false)),
        ("argv_bytes", json!(4711)),
        ("argv_truncated", json!(true)),
        ("argv", json!(["something", "else"])),
        ("start_ns", json!(1)),
        ("end_ns", json!(u64::MAX)),
        ("time_ns", json!(0)),
        ("time_ns", Value::Null),
        ("cpu_ns", json!(u64::MAX)),
        ("cpu_ns", Value::Null),
        ("major_faults", json!(u64::MAX)),
        ("voluntary_switches", json!(u64::MAX)),
        ("involuntary_switches", Value::Null),
        ("off_cpu_ns", json!(u64::MAX)),
        ("maxrss_bytes", Value::Null),
        ("maxrss_known", Value::Null),
    ];
    for (i, _) in rows.iter().enumerate() {
        for (field, value) in &wrong {
            let mut rows = rows.clone();
            if let Some(raw) = rows[i].as_object_mut().filter(|_| *field == "argv") {
                raw.remove("argv_base64");
            }
            rows[i][field] = value.clone();
            let found = differences(&expected, &rows, 4096);
            // Where min_ns is 0, a time of 0 is within the bounds.
            let may_pass = *field == "time_ns" && expected[i].time_ns.0 == 0;
            assert!(!found.is_empty() || may_pass, "{field} in {}", rows[i]);
        }
        let mut rows = rows.clone();
        let core = rows[i]["core_dumped"] == true;
        rows[i]["core_dumped"] = json!(!core);
        assert_eq!(differences(&expected, &rows, 4096).len(), 1);
    }
}

#[test]
fn missing_doubled_and_surplus_rows_are_caught() {
    let expected = executions();
    let rows: Vec<Value> = expected.iter().map(perfect).collect();
    for i in 0..rows.len() {
        let mut missing = rows.clone();
        let one = missing.remove(i);
        assert!(!differences(&expected, &missing, 4096).is_empty());
        let mut doubled = rows.clone();
        doubled.push(one.clone());
        assert!(!differences(&expected, &doubled, 4096).is_empty());
        let mut surplus = rows.clone();
        surplus.push(one);
        surplus[rows.len()]["pid"] = json!(1);
        assert!(!differences(&expected, &surplus, 4096).is_empty());
    }
}

#[test]
fn a_cut_argv_must_be_a_prefix_of_the_right_length() {
    let workload = Workload::new("itself");
    let expected = workload.run(&["argv-sizes", "41", "1"]).expected;
    let mut row = perfect(&expected[0]);
    row["argv_truncated"] = json!(true);
    let whole = row["argv"][1].as_str().expect("text").to_owned();
    for (bytes, right) in [(33, true), (32, true), (31, false), (34, false)] {
        // "itself" and its NUL come before.
        row["argv"][1] = json!(whole[..bytes - 7]);
        let found = differences(&expected, std::slice::from_ref(&row), 33);
        assert_eq!(found.is_empty(), right, "{bytes}: {found:?}");
    }
}

#[test]
fn losses_are_caught() {
    assert!(losses(&json!({"lost": {"a": 0, "b": 0}})).is_empty());
    assert_eq!(losses(&json!({"lost": {"a": 0, "b": 2}})).len(), 1);
    assert_eq!(losses(&json!({})).len(), 1);
}

#[test]
fn the_workload_tells_its_own_end() {
    let report = Workload::new("itself").run(&["end-by", "77"]);
    assert_eq!(report.main.exit_code, Some(77));
    let report = Workload::new("itself").run(&["end-by", "0", "15"]);
    assert_eq!(
        report.main.signal,
        Some(ExitStatus::from_raw(15).signal().expect("a signal").into())
    );
}

#[test]
fn counts_stay_primes() {
    assert_eq!(count(2), 2);
    if std::env::var_os("EXECLAT_SCALE").is_none() {
        assert_eq!([count(5003), count(10007), count(100)], [5003, 10007, 101]);
    }
}
