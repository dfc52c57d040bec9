//! The rows that are due, as far as whoever called the runtime can know them.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::fs;

use serde_json::Value;

use crate::common::Expected;
use crate::driver::{Done, Ended};
use crate::host::{Host, wait_until};

/// The row of a process that the runtime starts, as far as its caller can know it.
pub fn process(argv: &[&str], pid: u32, parent: &Done, end: &Ended) -> Done {
    Done {
        pid,
        ppid: parent.pid,
        argv: argv.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
        status: end.status,
        start_ns: parent.start_ns,
        end_ns: end.end_ns,
    }
}

/// The end of what the runtime itself waits for: it has the same status.
pub fn end_of(parent: &Done, status: i32) -> Ended {
    Ended {
        status,
        end_ns: parent.end_ns,
    }
}

/// A main process, which executes itself again as this runtime does.
pub fn main_row(host: &Host, done: &Done, label: &str) -> Expected {
    let mut expected = done.expected(label);
    expected.reexecs = host.runtime.reexecs;
    expected
}

pub fn number(row: &Value, field: &str) -> u64 {
    row[field]
        .as_u64()
        .unwrap_or_else(|| panic!("{field}: {row}"))
}

pub fn pid_in(file: &str) -> u32 {
    let pid = fs::read_to_string(file).expect("the pid file");
    pid.trim().parse().expect("a pid")
}

/// Until a process that the runtime starts has become the payload.
pub fn wait_for_payload(file: &str, name: &str) {
    wait_until(name, || {
        let pid = fs::read_to_string(file).unwrap_or_default();
        let argv = fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
        argv.starts_with(name.as_bytes())
    });
}

/// A container that is run in the foreground: the main process and its payload.
pub fn run_hello(host: &mut Host) -> (Done, Done) {
    let (hello, pid_file) = (host.path("hello"), host.path("pid"));
    let main = host.run(&["run", "-b", &hello, "--pid-file", &pid_file, "hello"]);
    assert_eq!(main.status, 7 << 8, "{}", host.driver.said());
    let pid = pid_in(&pid_file);
    let end = end_of(&main, 7 << 8);
    let payload = process(&["sh", "-c", "exit 7"], pid, &main, &end);
    (main, payload)
}
