//! Processes of several threads, against the oracle: the last thread's end, the process's status.

mod common;

use common::{Bed, count};

fn observe(case: &[&str]) {
    if let Some(bed) = Bed::new() {
        bed.observe(case);
    }
}

/// A race, tried so many times.
fn race(case: &str, times: usize) {
    observe(&[case, &count(times).to_string()]);
}

#[test]
fn the_leader_leaves_first() {
    observe(&["leader-first"]);
}

#[test]
fn exec_by_another_thread() {
    observe(&["exec-thread"]);
}

#[test]
fn killed_with_many_threads() {
    observe(&["threads-die"]);
}

#[test]
fn two_threads_end_at_once() {
    race("two-exit", 10007);
}

#[test]
fn five_threads_end_at_once() {
    race("many-exit", 1009);
}

#[test]
fn eight_threads_end_the_group() {
    race("group-race", 1009);
}

#[test]
fn one_thread_ends_itself_one_the_group() {
    race("exit-and-group", 1009);
}

#[test]
fn exec_by_another_thread_often() {
    race("exec-thread-storm", 503);
}
