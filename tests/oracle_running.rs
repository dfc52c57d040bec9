//! What ran before the start, still runs at the end, or happens while execlat
//! starts and stops, against the oracle.

mod common;

use std::collections::HashSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::compare::{by_key, differences, key_of_row, losses};
use common::{
    Bed, Cgroup, Expected, InTime as _, Observed, PATIENCE, Report, Tracer, check, count,
};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Their ends are reported, their starts are the processes'.
#[test]
fn running_before_the_start() {
    let Some(bed) = Bed::new() else { return };
    let mut running = bed.workload().start(&["running"]);
    running.ready();
    let tracer = bed.trace_cgroup();
    running.go();
    let mut report = running.finish();
    report.main = report.main.running_before();
    check(&report.with_main(), &tracer.stop());
}

/// By name: argv[0] is still there to be read.
#[test]
fn running_before_the_start_by_name() {
    let Some(bed) = Bed::new() else { return };
    let mut running = bed.workload().start(&["running"]);
    running.ready();
    let tracer = bed.trace(&["--comm", &bed.tag]);
    running.go();
    let report = running.finish();
    check(&report.expected, &tracer.stop());
}

/// Killed with its leader when it is dropped.
struct Group(Child);

impl Group {
    /// How many in a cgroup sleep and are called so: a name alone may be that of an exec
    /// which is under way.
    fn asleep(&self, name: &str, cgroup: &Cgroup) -> usize {
        let pids = fs::read_to_string(cgroup.procs()).unwrap_or_default();
        let pids: HashSet<&str> = pids.lines().collect();
        let stat = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat"));
        let wanted = format!("({name}) S ");
        let is_it = |pid: &&&str| stat(pid).is_ok_and(|stat| stat.contains(&wanted));
        pids.iter().filter(is_it).count()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// More than the kernel lists at once: each is adopted, once.
#[test]
fn a_crowd_that_ran_before() {
    let Some(bed) = Bed::new() else { return };
    let sleepers = count(2003);
    let script = format!(
        "echo $$ >{}; i=0; while [ $i -lt {sleepers} ]; do sleep 1009 & i=$((i+1)); done; wait",
        bed.cgroup.procs()
    );
    let crowd = Command::new("sh")
        .args(["-c", &script])
        .process_group(0)
        .in_time()
        .spawn()
        .map(Group)
        .expect("sh");
    // All have exec'd, not just begun.
    let began = Instant::now();
    while crowd.asleep("sleep", &bed.cgroup) < sleepers {
        assert!(began.elapsed() < PATIENCE, "they do not sleep");
        sleep(Duration::from_millis(50));
    }
    let tracer = bed.trace(&["--cgroup", bed.cgroup.path(), "--comm", "sleep"]);
    drop(crowd);
    // Each has a row, or is there to be counted; not twice.
    let began = Instant::now();
    while tracer.rows_so_far().len() < sleepers && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50));
    }
    let observed = tracer.stop();
    assert_eq!(losses(&observed.summary), Vec::<String>::new());
    let pids: HashSet<u64> = observed
        .rows
        .iter()
        .filter_map(|r| r["pid"].as_u64())
        .collect();
    assert_eq!((observed.rows.len(), pids.len()), (sleepers, sleepers));
    for row in &observed.rows {
        assert_eq!(
            (&row["signal"], &row["start_known"], &row["argv"][1]),
            (&json!(9), &json!(false), &json!("1009")),
            "{row}"
        );
    }
}

#[test]
fn still_running_at_the_end() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace(&["-c", bed.cgroup.path(), "-n", &bed.tag]);
    let mut running = bed.workload().start(&["still"]);
    running.ready();
    running.go();
    running.ready();
    let observed = tracer.stop();
    running.go();
    check(&running.finish().expected, &observed);
}

/// Its helpers are not what runs on a host. They begin when it does: often, as they have
/// their name a moment later.
#[test]
fn nothing_of_its_own() {
    let Some(bed) = Bed::new() else { return };
    for _ in 0..7 {
        let tracer = bed.trace::<&str>(&[]);
        let own = tracer.pid();
        let helpers = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let helpers = helpers.expect("its children");
        let helpers: Vec<u64> = helpers
            .split(' ')
            .filter_map(|pid| pid.parse().ok())
            .collect();
        assert!(!helpers.is_empty());
        let observed = tracer.stop();
        let its = |row: &&Value| {
            let (pid, ppid) = (row["pid"].as_u64(), row["ppid"].as_u64());
            let is_helper = |pid: Option<u64>| pid.is_some_and(|pid| helpers.contains(&pid));
            pid == Some(own.into()) || is_helper(pid) || is_helper(ppid)
        };
        let its: Vec<_> = observed.rows.iter().filter(its).collect();
        assert!(its.is_empty(), "{its:#?}");
    }
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = now.tv_sec * 1_000_000_000 + now.tv_nsec;
    u64::try_from(nanoseconds).expect("time since boot")
}

/// Whatever is reported has happened, and is reported once.
fn none_invented(report: &Report, observed: &Observed) {
    let lost = losses(&observed.summary);
    assert_eq!(
        lost,
        Vec::<String>::new(),
        "{:#?}",
        observed.ended("unknown")
    );
    let happened = by_key(&report.expected);
    let unsure = report.expected.iter().filter(|e| e.is_unsure());
    let unsure: HashSet<u64> = unsure.map(|e| e.pid).collect();
    let mut seen = HashSet::new();
    for row in &observed.rows {
        if unsure.contains(&row["pid"].as_u64().unwrap_or(0)) {
            continue;
        }
        let key = key_of_row(row);
        let e = happened.get(&key);
        let e = e.unwrap_or_else(|| panic!("never happened: {row}"));
        assert!(seen.insert(key), "twice: {row}");
        match row["end"].as_str() {
            Some("exit" | "exec") => {
                assert_eq!(row["end"], e.end.as_str(), "{row}");
                assert_eq!(row["exit_code"].as_i64(), e.exit_code, "{row}");
            }
            other => assert_eq!(other, Some("running"), "{row}"),
        }
    }
}

/// Rows of these executions must be there and exact.
fn due(expected: Vec<Expected>, from_ns: u64, to_ns: u64, observed: Observed) {
    let mut due = expected;
    due.retain(|e| !e.is_unsure() && e.start_ns.0 >= from_ns && e.end_ns.1 <= to_ns);
    assert!(!due.is_empty(), "nothing happened while execlat was live");
    let keys = by_key(&due);
    let mut rows = observed.rows;
    rows.retain(|row| keys.contains_key(&key_of_row(row)));
    let wrong = differences(&due, &rows, 4096);
    let shown = &wrong[..wrong.len().min(20)];
    assert!(wrong.is_empty(), "{} differences: {shown:#?}", wrong.len());
}

/// Waits for so many executions that began after `from_ns` and have ended: how long
/// that takes is the machine's affair.
fn await_executions(tracer: &Tracer, from_ns: u64, wanted: usize) {
    let began = Instant::now();
    loop {
        let rows = tracer.rows_so_far();
        let new = |row: &&Value| row["start_ns"].as_u64() >= Some(from_ns);
        let seen = rows.iter().filter(new).count();
        if seen >= wanted {
            return;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{seen} executions, not {wanted}"
        );
        sleep(Duration::from_millis(50));
    }
}

/// Starts in the middle of a storm, and stops in the middle of it or after it: all that
/// starts and ends while execlat is live is due, all else that it says is true.
fn in_a_storm(stop_after_it: bool, filter: impl Fn(&Bed, &str) -> Vec<String>) {
    let Some(bed) = Bed::new() else { return };
    let workers = count(7).to_string();
    let mut running = bed.workload().start(&["storm-on-word", "100003", &workers]);
    running.ready();
    let pid = running.pid().to_string();
    let tracer = bed.trace(&filter(&bed, &pid));
    let live_ns = now_ns();
    await_executions(&tracer, live_ns, count(257));
    let stop_ns = if stop_after_it { u64::MAX } else { now_ns() };
    let (report, mut observed) = if stop_after_it {
        running.go();
        (running.finish(), tracer.stop())
    } else {
        let observed = tracer.stop();
        running.go();
        (running.finish(), observed)
    };
    observed
        .rows
        .retain(|row| row["argv"][0] == bed.tag.as_str());
    none_invented(&report, &observed);
    due(report.expected, live_ns, stop_ns, observed);
}

fn by_cgroup(bed: &Bed, _: &str) -> Vec<String> {
    vec!["-c".into(), bed.cgroup.path().into()]
}

fn by_name(bed: &Bed, _: &str) -> Vec<String> {
    vec!["-n".into(), bed.tag.clone()]
}

/// Of families that its scan sees half.
fn by_pid(_: &Bed, pid: &str) -> Vec<String> {
    vec!["-p".into(), pid.into()]
}

#[test]
fn started_in_a_storm_by_cgroup() {
    in_a_storm(true, by_cgroup);
}

#[test]
fn started_in_a_storm_by_name() {
    in_a_storm(true, by_name);
}

#[test]
fn started_in_a_storm_by_pid() {
    in_a_storm(true, by_pid);
}

#[test]
fn started_and_stopped_in_a_storm_by_cgroup() {
    for _ in 0..count(3) {
        in_a_storm(false, by_cgroup);
    }
}

#[test]
fn started_and_stopped_in_a_storm_by_name() {
    for _ in 0..count(3) {
        in_a_storm(false, by_name);
    }
}

#[test]
fn started_and_stopped_in_a_storm_by_pid() {
    for _ in 0..count(3) {
        in_a_storm(false, by_pid);
    }
}
