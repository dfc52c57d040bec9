//! Hosts with more to do than they can, and outputs that nobody takes: what reads the
//! buffers goes on.

mod common;

use std::fs::{self, File};
use std::io::copy;
use std::sync::mpsc::channel;
use std::thread::spawn;

use nix::sys::signal::Signal;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use common::{Bed, PATIENCE, Tracer, check, count, skip, text};

/// Of both CPUs together; the storm's records need several times as much.
const BUFFER: &str = "256K";

/// The rows go into a pipe that is full long before the storm is over.
#[test]
fn a_storm_while_nobody_takes_the_rows() {
    let Some(bed) = Bed::new() else { return };
    let fifo = bed.scratch.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("a fifo");
    let rows = bed.scratch.path().join("rows.json");
    let (go, gone) = channel();
    let theirs = fifo.clone();
    let reader = spawn(move || {
        let mut from = File::open(theirs).expect("the fifo");
        gone.recv_timeout(PATIENCE).expect("a word from the test");
        let mut to = File::options().append(true).open(rows).expect("rows");
        copy(&mut from, &mut to).expect("rows");
    });
    let tracer = bed.trace(&[
        "--cgroup",
        bed.cgroup.path(),
        "--buffer",
        BUFFER,
        "-o",
        text(&fifo),
    ]);
    let report = bed
        .workload()
        .run(&["storm", &count(5003).to_string(), "8"]);
    go.send(()).expect("the reader");
    tracer.signal(Signal::SIGINT);
    reader.join().expect("all rows");
    check(&report.expected, &tracer.finish());
}

/// Policy and real-time priority of each thread, from /proc/PID/task/TID/stat.
fn scheduled(pid: u32) -> Vec<(String, u32, u32)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    // One may end meanwhile.
    let stats = tasks.flatten();
    let stats = stats.flat_map(|task| fs::read_to_string(task.path().join("stat")));
    let parse = |stat: String| {
        let (name, fields) = stat.rsplit_once(')').expect("a name");
        let name = name.split_once('(').expect("a name").1;
        // The first after the name is the third; these are 40 and 41.
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |nth: usize| fields[nth - 3].parse().expect("a number");
        (name.to_owned(), number(41), number(40))
    };
    stats.map(parse).collect()
}

fn is_permitted(tracer: &Tracer) -> bool {
    let reader = scheduled(tracer.pid())
        .into_iter()
        .find(|(name, ..)| name == "drain");
    let (_, policy, priority) = reader.expect("the thread that reads");
    const ROUND_ROBIN: u32 = 2;
    if (policy, priority) == (ROUND_ROBIN, 1) {
        return true;
    }
    skip("real-time priority is not permitted here");
    false
}

#[test]
fn who_reads_goes_first() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace_cgroup();
    let permitted = is_permitted(&tracer);
    let observed = tracer.stop();
    let said = observed.stderr.contains("execlat: real-time priority");
    assert_eq!(said, permitted, "{}", observed.stderr);
}

/// A command is not to run before all others, nor to be stopped for it.
#[test]
fn what_a_command_gets_is_what_it_had() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace_cgroup();
    let permitted = is_permitted(&tracer);
    tracer.stop();
    if !permitted {
        return;
    }
    let own = fs::read_to_string("/proc/self/limits").expect("limits");
    let script = "cat /proc/self/limits; exec cat /proc/self/stat";
    let (_, output, _) =
        common::Observed::of_command(bed.scratch.path(), &[], &["/bin/sh", "-c", script]);
    let limit = |of: &str| {
        let line = of
            .lines()
            .find(|line| line.starts_with("Max realtime timeout"));
        line.expect("a limit").to_owned()
    };
    assert_eq!(limit(&output), limit(&own));
    let stat = output.lines().last().expect("stat");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    assert_eq!((fields[40 - 3], fields[41 - 3]), ("0", "0"), "{stat}");
}
