//! How long after the end of a program its row is there to be read: 200 ms at most.

mod common;
mod support_cli;

use std::io::BufRead as _;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use nix::sys::signal::Signal;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use support_cli::{Live, Yard};

const BOUND_NS: u64 = 200_000_000;
/// A prime, spread over more than a second.
const PROCESSES: usize = 31;
/// A busy machine may keep the reader from its CPU: then it is measured again.
const ROUNDS: usize = 5;

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("after boot")
}

/// Each line, with the time when it had been read.
fn timed_lines(live: &mut Live) -> JoinHandle<Vec<(u64, String)>> {
    let stdout = live.stdout();
    spawn(move || {
        let lines = stdout.lines().map_while(Result::ok);
        lines.map(|line| (now_ns(), line)).collect()
    })
}

/// The longest delay of a round; rows are told apart by their last argument.
fn longest_delay_ns(yard: &Yard) -> u64 {
    let mut live = yard.trace(&["-j"]);
    let reader = timed_lines(&mut live);
    let mut waited_ns = Vec::new();
    for i in 0..PROCESSES {
        yard.run(&format!("/bin/true number {i}"));
        waited_ns.push(now_ns());
        // Not in step with the rounds of 50 ms.
        sleep(Duration::from_millis(31 + i as u64 % 7 * 3));
    }
    // The last one is not to be had by the end of tracing.
    sleep(Duration::from_millis(500));
    let ran = live.finish_by(Signal::SIGINT);
    assert_eq!(ran.status, 0, "{ran:?}");
    let lines = reader.join().expect("the reader");
    let rows: Vec<(u64, Value)> = lines
        .iter()
        .map(|(at, line)| (*at, serde_json::from_str(line).expect("JSON")))
        .filter(|(_, row): &(u64, Value)| row["end"] == "exit")
        .collect();
    assert_eq!(rows.len(), PROCESSES, "{lines:?}");
    let delay = |(i, (at, row)): (usize, &(u64, Value))| {
        assert_eq!(row["argv"][2], i.to_string());
        let end_ns = row["end_ns"].as_u64().expect("an end");
        assert!(
            end_ns <= waited_ns[i],
            "it ended before its parent had waited for it"
        );
        at.saturating_sub(end_ns)
    };
    rows.iter().enumerate().map(delay).max().expect("rows")
}

#[test]
fn a_row_is_out_soon_after_the_end() {
    let Some(yard) = Yard::new("delay") else {
        return;
    };
    let mut longest = Vec::new();
    for _ in 0..ROUNDS {
        let delay_ns = longest_delay_ns(&yard);
        common::say(&format!("longest delay: {} ms", delay_ns / 1_000_000));
        if delay_ns <= BOUND_NS {
            return;
        }
        longest.push(delay_ns);
    }
    panic!("rows are late, in nanoseconds: {longest:?}");
}
