//! What a runtime does to a container while it still does it: what is not about a
//! container that was asked for is in no list.

use std::collections::HashSet;
use std::fs;

use nix::sys::signal::Signal;

use crate::common::text;
use crate::driver::Started;
use crate::due::wait_for_payload;
use crate::host::Runtime;
use crate::support_cli::Live;

use super::PAYLOAD;
use super::worker::{Caller, Ends, Worker, create_files};

const ASKED: &str = "execlat: running now, longest first:";
const SLOW: &str = "execlat: slow, still running:";
const LAST: &str = "execlat: still running, longest first:";

/// Waits for the line of `--slow` of each, in whatever order.
fn hear_slow(live: &Live, pids: &[u32]) {
    let mut due: Vec<String> = pids.iter().map(|pid| format!("{SLOW}  {pid} ")).collect();
    while !due.is_empty() {
        let line = live.hear(&[SLOW]);
        due.retain(|begin| !line.starts_with(begin));
    }
}

/// `events` ends at once where v1 has no memory hierarchy.
fn tells_of_memory() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let v1: Vec<&str> = mounts.lines().filter(|m| m.contains(" cgroup ")).collect();
    v1.is_empty() || v1.iter().any(|m| m.contains("memory"))
}

/// `events` is decided by its id, `run` by whom it starts.
fn lasting(caller: &mut Caller, worker: &Worker, [old, new]: [&str; 2]) -> [Started; 2] {
    let (bundle, file) = create_files(worker, &caller.host, new);
    let run = ["run", "--bundle", &bundle, "--pid-file", &file, new];
    let run = caller.spawn(worker, &run);
    wait_for_payload(&file, "sleep");
    if caller.host.runtime.is_runc() && tells_of_memory() {
        return [run, caller.spawn(worker, &["events", old])];
    }
    let file = format!("{bundle}/exec-pid");
    let exec = ["exec", "--pid-file", &file, old, "sleep", "1000"];
    let exec = caller.spawn(worker, &exec);
    wait_for_payload(&file, "sleep");
    [run, exec]
}

fn in_flight(runtime: Option<Runtime>) {
    let Some(mut caller) = Caller::new(runtime) else {
        return;
    };
    let asked = Worker::new(&caller.host, "garden", true);
    let other = Worker::new(&caller.host, "other", false);
    // The same ones for both.
    let [old, new] = ["old", "new"].map(|name| caller.id(name));
    for worker in [&asked, &other] {
        caller.start_before(worker, &old, &PAYLOAD);
        worker.bundle(&caller.host, &new, &PAYLOAD);
    }
    let name = caller.host.runtime.name;
    let dir = text(&asked.garden);
    let live = Live::start(&["-c", dir, "-n", name, "--slow", "300ms"]);
    let outside = lasting(&mut caller, &other, [&old, &new]);
    let inside = lasting(&mut caller, &asked, [&old, &new]);
    let pids = inside.each_ref().map(|started| started.pid);
    hear_slow(&live, &pids);
    pids.iter().for_each(|&pid| live.list_until(pid));
    let ran = live.finish_by(Signal::SIGINT);
    assert_eq!(ran.status, 0, "{ran:?}");

    // On a busy machine `runc init` may be slow as well.
    let slow = ran
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix(SLOW));
    let slow: Vec<u32> = slow.filter(|l| !l.ends_with(" init")).map(pid_of).collect();
    assert_eq!(slow.len(), 2, "{ran:?}");
    assert_eq!(HashSet::from_iter(slow), HashSet::from(pids), "{ran:?}");
    for list in [ASKED, LAST] {
        let list = ran.stderr.rsplit_once(list).expect(list).1;
        let lines = list
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with("  "));
        let listed: HashSet<u32> = lines.map(pid_of).collect();
        assert_eq!(listed, HashSet::from(pids), "{ran:?}");
    }
    for started in outside.iter().chain(&inside) {
        let signal = Signal::SIGKILL;
        caller.host.signal(started, signal);
        let done = caller.host.driver.finish(started);
        assert_eq!(done.status, signal as i32);
    }
    for worker in [&asked, &other] {
        for handle in [&old, &new] {
            caller.run(worker, &["delete", "-f", handle], Ends::Well);
        }
    }
}

fn pid_of(line: &str) -> u32 {
    let pid = line.split_whitespace().next();
    pid.and_then(|pid| pid.parse().ok()).expect("a pid first")
}

#[test]
fn in_flight_with_runc() {
    in_flight(Runtime::runc());
}

#[test]
fn in_flight_with_crun() {
    in_flight(Runtime::crun());
}
