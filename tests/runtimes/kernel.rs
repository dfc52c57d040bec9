//! Every exec that the kernel's own trace has, and who was the last to leave. The
//! numbers are those of RUNTIMES.md.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::common::Observed;
use crate::common::check;
use crate::common::compare::losses;
use crate::due::number;
use crate::ftrace::{Event, Ftrace, Kind};
use crate::host::{Host, Runtime};

/// Two programs on one hook run one after the other.
const APART_NS: u64 = 100_000;

/// Some of all that a runtime does: the pid of each main process.
fn some_of_all(host: &mut Host) -> Vec<u32> {
    let hello = host.path("hello");
    let mut all = vec![host.run(&["run", "-b", &hello, "hello"])];
    let (create, pid) = host.create("box", "box");
    all.push(create);
    all.push(host.run_well(&["start", "box"]));
    all.push(host.run_well(&["exec", "box", "true"]));
    all.push(host.run_well(&["exec", "-d", "box", "sleep", "1000"]));
    all.push(host.run(&["exec", "box", "/no/such/file"]));
    all.push(host.run_well(&["state", "box"]));
    all.push(host.run_well(&["list"]));
    all.push(host.kill_container("box", pid).0);
    all.push(host.run_well(&["delete", "box"]));
    all.iter().map(|done| done.pid).collect()
}

/// Each process's execs and ends, by the kernel's own trace.
#[derive(Default)]
struct Seen<'a> {
    execs_ns: Vec<u64>,
    /// Its leader's.
    comm: Option<&'a str>,
    leader_ns: u64,
    /// The last thread's.
    end_ns: u64,
}

fn by_process(events: &[Event]) -> BTreeMap<u32, Seen<'_>> {
    let mut all: BTreeMap<u32, Seen> = BTreeMap::new();
    let mut threads: HashMap<u32, u32> = HashMap::new();
    let mut told = false;
    for event in events {
        let pid = *threads.get(&event.tid).unwrap_or(&event.tid);
        let seen = all.entry(pid).or_default();
        match &event.kind {
            Kind::New { by, thread: true } => {
                let process = *threads.get(by).unwrap_or(by);
                threads.insert(event.tid, process);
            }
            Kind::New { .. } => drop(threads.remove(&event.tid)),
            Kind::Exec => seen.execs_ns.push(event.at_ns),
            Kind::Exit { comm, last } => {
                if event.tid == pid {
                    (seen.comm, seen.leader_ns) = (Some(comm.as_str()), event.at_ns);
                }
                // Once one is told, all are; before that, the latest is the last.
                told |= last;
                if *last || !told {
                    seen.end_ns = event.at_ns;
                }
            }
        }
    }
    all
}

/// 1, 3, 11: every exec that the kernel has seen, by execveat too, is in one row; a
/// row begins with the first of them; what never exec'd has none.
fn agrees(runtime: Option<Runtime>) {
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    host.bundle("hello", &["sh", "-c", "exit 7"]);
    host.bundle("box", &["sleep", "1000"]);
    let Some(ftrace) = Ftrace::of(host.driver.pid(), &host.bed.tag) else {
        return;
    };
    let tracer = host.trace(&[]);
    let main = some_of_all(&mut host);
    let observed = host.stop(tracer);
    assert_eq!(losses(&observed.summary), Vec::<String>::new());
    let events = ftrace.events();
    let seen = by_process(&events);

    let mut apart = Vec::new();
    let mut rows: BTreeMap<u32, Vec<&Value>> = BTreeMap::new();
    for row in &observed.rows {
        let pid = u32::try_from(number(row, "pid")).expect("a pid");
        rows.entry(pid).or_default().push(row);
    }
    for (pid, seen) in seen.iter().filter(|(_, seen)| !seen.execs_ns.is_empty()) {
        let mine = rows.remove(pid).unwrap_or_default();
        let execs: u64 = mine.iter().map(|row| 1 + number(row, "reexecs")).sum();
        assert_eq!(execs, seen.execs_ns.len() as u64, "{pid}: {mine:#?}");
        let mut nth = 0;
        for row in mine {
            apart.push(number(row, "start_ns").abs_diff(seen.execs_ns[nth]));
            nth += 1 + usize::try_from(number(row, "reexecs")).expect("few");
        }
    }
    assert!(rows.is_empty(), "never exec'd: {rows:#?}");
    // An interrupt may come between.
    apart.sort_unstable();
    assert!(apart[apart.len() - 2] < APART_NS, "{apart:?}");
    check_names(&host, &observed, &seen, &main);
}

/// What these processes were called when they ended.
fn check_names(host: &Host, observed: &Observed, seen: &BTreeMap<u32, Seen>, main: &[u32]) {
    let ended_as = |name: &str| {
        let named = seen.iter().filter(|(_, seen)| seen.comm == Some(name));
        named.map(|(&pid, _)| pid.into()).collect::<HashSet<u64>>()
    };
    let reexecs = |row: &&Value| row["argv"][1] == "init" || number(row, "reexecs") > 0;
    let again: Vec<&Value> = observed.rows.iter().filter(reexecs).collect();
    if !host.runtime.is_runc() {
        // 1: every call, and nothing else.
        let pids: HashSet<u64> = again.iter().map(|row| number(row, "pid")).collect();
        assert_eq!(pids, main.iter().map(|&pid| pid.into()).collect());
        return;
    }
    // run, create and four exec; 2: what `comm` is at the end does not matter.
    assert_eq!(again.len(), 5, "{again:#?}");
    let parents = ended_as("runc:[0:PARENT]");
    for row in again {
        assert_eq!((number(row, "reexecs"), &row["end"]), (1, &"exit".into()));
        assert!(parents.contains(&number(row, "pid")), "{row}");
    }
    // 3: as many others were there and gave no row.
    let children = ended_as("runc:[1:CHILD]");
    assert_eq!(children.len(), 5);
    let pids: HashSet<u64> = observed.rows.iter().map(|r| number(r, "pid")).collect();
    assert!(pids.is_disjoint(&children));
}

#[test]
fn agrees_on_runc() {
    agrees(Runtime::runc());
}

#[test]
fn agrees_on_crun() {
    agrees(Runtime::crun());
}

#[test]
fn agrees_on_newer_crun() {
    agrees(Runtime::newer_crun());
}

/// 4, 6: runc's leader is seldom its last thread, and the status is the process's.
#[test]
fn leader_first() {
    let Some(mut host) = Host::new(Runtime::runc()) else {
        return;
    };
    let Some(ftrace) = Ftrace::of(host.driver.pid(), &host.bed.tag) else {
        return;
    };
    let tracer = host.trace(&["-n", "runc"]);
    let mut expected = Vec::new();
    for code in 0..23 {
        host.bundle("hello", &["sh", "-c", &format!("exit {code}")]);
        let hello = host.path("hello");
        let done = host.run(&["run", "-b", &hello, "hello"]);
        assert_eq!(done.status, code << 8, "{}", host.driver.said());
        expected.push(done.expected("run"));
    }
    let (observed, _) = host.stop_and_split(tracer);
    check(&expected, &observed);
    let events = ftrace.events();
    let seen = by_process(&events);
    let mut not_last = 0;
    for row in &observed.rows {
        let pid = u32::try_from(number(row, "pid")).expect("a pid");
        let Seen {
            end_ns, leader_ns, ..
        } = seen[&pid];
        assert!(number(row, "end_ns") >= end_ns, "{row} {end_ns}");
        not_last += usize::from(leader_ns < end_ns);
    }
    assert!(not_last > 0, "the leader was always the last");
}
