//! `--anatomy` on any kernel, in both flavours: the workload makes starts by the chains
//! of processes that runc 1.3 and crun make, and stamps each moment before and after.

mod common;

use std::collections::HashMap;

use common::compare::losses;
use common::{Bed, Observed};
use serde_json::{Value, json};

const PHASES: [&str; 5] = ["launch", "init", "setup", "caller", "start"];
const MARKS: [&str; 5] = ["begin", "init", "ready", "asked", "payload"];

/// A moment lies between two stamps of this process.
struct Stamp {
    before_ns: u64,
    after_ns: u64,
    pid: u64,
}

fn stamps(output: &str) -> HashMap<String, Stamp> {
    // The table of phases is there as well.
    let lines = output.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|line| line["type"] == "stamp")
        .map(|line| {
            let number = |field: &str| line[field].as_u64().expect("a number");
            let stamp = Stamp {
                before_ns: number("before_ns"),
                after_ns: number("after_ns"),
                pid: number("pid"),
            };
            (line["mark"].as_str().expect("a name").to_owned(), stamp)
        })
        .collect()
}

/// The one start of a case, and its stamps.
fn observe(bed: &Bed, case: &[&str]) -> (Value, HashMap<String, Stamp>) {
    let argv = bed.workload_outside().argv(&[&["start"], case].concat());
    let (observed, output, _) = Observed::of_command(bed.scratch.path(), &["--anatomy"], &argv);
    assert_eq!(observed.code(), 0, "{}{output}", observed.stderr);
    assert_eq!(losses(&observed.summary), Vec::<String>::new());
    assert_eq!(observed.rows.len(), 2, "{:#?}", observed.rows);
    let figures = &observed.rows[1]["anatomy"];
    assert_eq!(
        (&figures["unknown"], &figures["given_up"]),
        (&json!(0), &json!(0))
    );
    (observed.rows[0].clone(), stamps(&output))
}

fn check(row: &Value, stamps: &HashMap<String, Stamp>) {
    for mark in MARKS {
        let ns = row["marks_ns"][mark].as_u64();
        let Some(stamp) = stamps.get(mark) else {
            assert_eq!(ns, None, "{mark}: {row:#}");
            continue;
        };
        let due = stamp.before_ns..=stamp.after_ns;
        assert!(
            ns.is_some_and(|ns| due.contains(&ns)),
            "{mark}: {due:?} {row:#}"
        );
    }
    assert_eq!(row["runtime_pid"], stamps["begin"].pid, "{row:#}");
    assert_eq!(row["pid"], stamps["ready"].pid, "{row:#}");
    let phases = PHASES.map(|phase| row["phases_ns"][phase].as_u64());
    let sum: u64 = phases.iter().flatten().sum();
    assert_eq!(row["total_ns"], sum, "{row:#}");
    let hooks = row["hooks"].as_array().expect("hooks");
    assert_eq!(hooks.len(), 1, "{row:#}");
    assert_eq!(hooks[0]["argv"], json!(["hook", "argument"]));
    assert_eq!(
        (&hooks[0]["phase"], &hooks[0]["exit_code"]),
        (&json!("setup"), &json!(0))
    );
    assert!(hooks[0]["time_ns"].as_u64() > Some(3_000_000), "{row:#}");
}

fn starts(command: &str, look: impl Fn(&Value, &HashMap<String, Stamp>)) {
    let Some(bed) = Bed::new() else { return };
    for runtime in ["runc", "crun"] {
        for _ in 0..3 {
            let (row, stamps) = observe(&bed, &[runtime, command]);
            assert_eq!(
                (&row["runtime"], &row["container"]),
                (&json!(runtime), &json!("web"))
            );
            assert_eq!(stamps.contains_key("init"), runtime == "runc");
            check(&row, &stamps);
            look(&row, &stamps);
        }
    }
}

fn has_started(row: &Value) {
    assert_eq!(row["outcome"], "started", "{row:#}");
    assert_eq!(row["argv"], json!(["payload", "argument"]));
    assert_eq!(row["end_ns"], row["marks_ns"]["payload"]);
}

#[test]
fn run() {
    starts("run", |row, _| {
        has_started(row);
        assert_eq!(row["command"], "run");
    });
}

#[test]
fn create_and_start() {
    starts("create", |row, stamps| {
        has_started(row);
        assert_eq!(row["command"], "create+start");
        let created = row["marks_ns"]["created"].as_u64();
        let due = stamps["ready"].before_ns..stamps["asked"].before_ns;
        assert!(created.is_some_and(|ns| due.contains(&ns)), "{row:#}");
        // So long the caller waits.
        assert!(
            row["phases_ns"]["caller"].as_u64() > Some(11_000_000),
            "{row:#}"
        );
    });
}

#[test]
fn failing() {
    starts("fail", |row, stamps| {
        assert_eq!(
            (&row["outcome"], &row["phase"]),
            (&json!("failed"), &json!("setup"))
        );
        assert_eq!((&row["exit_code"], &row["argv"]), (&json!(7), &Value::Null));
        assert!(
            row["end_ns"].as_u64() > Some(stamps["ready"].after_ns),
            "{row:#}"
        );
    });
}
