//! The marks of every start against the kernel's own trace and the caller's clock, by
//! what must come before what. No bound is a guess at how long something takes.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::anatomy::{Created, PHASES, Told, create_and_start};
use crate::common::say;
use crate::driver::Done;
use crate::due::{number, wait_for_payload};
use crate::ftrace::{Event, Ftrace, Kind};
use crate::host::{Host, Runtime};

const RUNS: usize = 53;
const EXECS: usize = 101;
const CREATES: usize = 11;
/// The kernel's trace has whole microseconds.
const TRACE_NS: u64 = 1000;

/// What the kernel's own trace has of one call of a runtime.
#[derive(Default)]
struct Seen {
    /// Who made each process, and when.
    made: HashMap<u32, (u32, u64)>,
    /// In order; a process's number, whichever thread it was.
    events: Vec<(u32, u64, What)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Made,
    Exec,
    Exit,
}

impl Seen {
    /// What happened from a call's start to `end_ns`.
    fn of(events: &[Event], done: &Done, end_ns: u64) -> Seen {
        let mut seen = Seen::default();
        let mut threads: HashMap<u32, u32> = HashMap::new();
        let ours = done.start_ns - TRACE_NS..end_ns;
        for event in events.iter().filter(|event| ours.contains(&event.at_ns)) {
            let process = |tid: &u32| *threads.get(tid).unwrap_or(tid);
            let of = process(&event.tid);
            let what = match &event.kind {
                Kind::New { by, thread } => {
                    let by = process(by);
                    seen.events.push((by, event.at_ns, What::Made));
                    if *thread {
                        threads.insert(event.tid, by);
                    } else {
                        threads.remove(&event.tid);
                        seen.made.insert(event.tid, (by, event.at_ns));
                    }
                    continue;
                }
                Kind::Exec => What::Exec,
                Kind::Exit { .. } => What::Exit,
            };
            seen.events.push((of, event.at_ns, what));
        }
        seen
    }

    fn children(&self, of: u32) -> Vec<u32> {
        let mut children: Vec<(u64, u32)> = self
            .made
            .iter()
            .filter(|(_, (by, _))| *by == of)
            .map(|(pid, (_, at_ns))| (*at_ns, *pid))
            .collect();
        children.sort_unstable();
        children.into_iter().map(|(_, pid)| pid).collect()
    }

    fn times(&self, pid: u32, what: What) -> Vec<u64> {
        let of = self.events.iter().filter(|e| e.0 == pid && e.2 == what);
        of.map(|e| e.1).collect()
    }

    fn first_exec(&self, pid: u32) -> u64 {
        let execs = self.times(pid, What::Exec);
        *execs.first().expect("its exec in the trace")
    }

    /// What the process did before `at_ns`, or when it was made, and what it did after.
    fn around(&self, pid: u32, at_ns: u64) -> (u64, u64) {
        let times = || self.events.iter().filter(|e| e.0 == pid).map(|e| e.1);
        let made = self.made.get(&pid).map_or(0, |(_, at_ns)| *at_ns);
        let before = times().filter(|t| *t < at_ns).max().unwrap_or(made);
        let after = times().filter(|t| *t > at_ns).min();
        (before, after.unwrap_or(u64::MAX - TRACE_NS))
    }
}

/// How far our marks are from the trace's times, for those who read this.
#[derive(Default)]
struct Apart(HashMap<&'static str, Vec<u64>>);

impl Apart {
    /// A mark lies between what its process did before and after.
    fn check(&mut self, row: &Value, mark: &'static str, at_ns: u64, (from, to): (u64, u64)) {
        let ns = number(&row["marks_ns"], mark);
        assert!(
            (from..to + TRACE_NS).contains(&ns),
            "{mark} not in {from}..{to}: {row:#}"
        );
        self.0.entry(mark).or_default().push(ns.abs_diff(at_ns));
    }

    fn say(mut self, host: &Host) {
        for (mark, apart) in &mut self.0 {
            apart.sort_unstable();
            let n = apart.len();
            let (median, last) = (apart[n / 2] / 1000, apart[n - 1] / 1000);
            let runtime = host.runtime.path.display();
            say(&format!(
                "{runtime} {mark}: {median} µs from the kernel's trace, at most {last} (n = {n})"
            ));
        }
    }
}

/// The processes up to the one that becomes the payload.
fn line(row: &Value, done: &Done, seen: &Seen) -> Vec<u32> {
    let children = seen.children(done.pid);
    match (
        row["runtime"].as_str().expect("a name"),
        row["command"] == "exec",
    ) {
        ("runc", _) => {
            // The one that forks itself.
            let forks = |pid: &&u32| !seen.children(**pid).is_empty();
            let init = *children.iter().find(forks).expect("init");
            let child = seen.children(init)[0];
            vec![init, child, seen.children(child)[0]]
        }
        (_, true) => vec![children[0], seen.children(children[0])[0]],
        (_, false) => vec![children[0]],
    }
}

/// The marks of `run`, `exec` and `create` before the payload's; returns its process.
fn check_first_marks(apart: &mut Apart, row: &Value, done: &Done, seen: &Seen) -> u32 {
    let exec = seen.first_exec(done.pid);
    let (_, after) = seen.around(done.pid, exec);
    apart.check(row, "begin", exec, (done.start_ns, after.min(done.end_ns)));
    let line = line(row, done, seen);
    match row["runtime"] == "runc" {
        true => {
            let exec = seen.first_exec(line[0]);
            apart.check(row, "init", exec, seen.around(line[0], exec));
        }
        false => assert_eq!(row["marks_ns"]["init"], Value::Null),
    }
    let payload = line[line.len() - 1];
    assert_eq!(row["pid"], payload, "{row:#}");
    // Told after it is made, and before whoever made it does anything more.
    let (by, made_ns) = seen.made[&payload];
    let (_, after) = seen.around(by, made_ns);
    apart.check(row, "ready", made_ns, (made_ns, after));
    payload
}

fn check_payload(apart: &mut Apart, row: &Value, payload: u32, seen: &Seen) {
    let exec = seen.first_exec(payload);
    apart.check(row, "payload", exec, seen.around(payload, exec));
    assert_eq!(row["outcome"], "started", "{row:#}");
    assert_eq!(row["end_ns"], row["marks_ns"]["payload"]);
}

fn check_created(apart: &mut Apart, row: &Value, of: &Created, events: &[Event]) {
    let seen = Seen::of(events, &of.create, of.until_ns);
    let payload = check_first_marks(apart, row, &of.create, &seen);
    let exits = seen.times(of.create.pid, What::Exit);
    let last = *exits.last().expect("its end");
    apart.check(row, "created", last, (last, of.create.end_ns));
    let exec = seen.first_exec(of.start.pid);
    let (_, after) = seen.around(of.start.pid, exec);
    apart.check(row, "asked", exec, (of.start.start_ns, after));
    check_payload(apart, row, payload, &seen);
    let caller = number(&row["phases_ns"], "caller");
    let least = of.start.start_ns - of.create.end_ns;
    let most = of.start.end_ns - of.create.start_ns;
    assert!((least..most).contains(&caller), "{least} {most} {row:#}");
}

/// Count and largest value of each phase are those of the rows.
fn check_figures(told: &Told) {
    let figures = told.figures["phases"].as_array().expect("phases");
    for figure in figures {
        let phase = figure["phase"].as_str().expect("a name");
        let rows = told.starts.iter();
        let times: Vec<u64> = rows
            .filter(|row| row["action"] == figure["action"])
            .filter_map(|row| match phase {
                "total" => row["total_ns"].as_u64(),
                phase => row["phases_ns"][phase].as_u64(),
            })
            .collect();
        assert_eq!(figure["count"], times.len(), "{figure}");
        assert_eq!(number(figure, "failed"), 0, "{figure}");
        let max = times.iter().max().copied();
        assert_eq!(figure["max_ns"].as_u64(), max, "{figure}");
    }
    let named = |phase: &str| figures.iter().any(|figure| figure["phase"] == phase);
    let runc = told.starts[0]["runtime"] == "runc";
    for phase in PHASES {
        assert_eq!(named(phase), runc || phase != "init", "{phase}");
    }
}

/// All commands, many times, one after the other.
fn marks(runtime: Option<Runtime>) {
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    host.bundle("hello", &["sh", "-c", "exit 7"]);
    host.bundle("box", &["sleep", "1000"]);
    let tag = format!("{}-marks", host.bed.tag);
    let Some(ftrace) = Ftrace::of(host.driver.pid(), &tag) else {
        return;
    };
    let tracer = host.trace(&["--anatomy"]);
    let hello = host.path("hello");
    let runs: Vec<Done> = (0..RUNS)
        .map(|_| host.run(&["run", "-b", &hello, "hello"]))
        .collect();
    let pause = Duration::from_millis(7);
    let created: Vec<Created> = (0..CREATES)
        .map(|_| create_and_start(&mut host, pause))
        .collect();
    let (create, pid) = host.create("box", "box");
    host.run_well(&["start", "box"]);
    let execs: Vec<Done> = (0..EXECS)
        .map(|_| host.run_well(&["exec", "box", "true"]))
        .collect();
    let file = host.path("detached");
    let detached = ["exec", "-d", "--pid-file", &file, "box", "sleep", "1000"];
    let detached = host.run_well(&detached);
    // The runtime may end before that.
    wait_for_payload(&file, "sleep");
    let (kill, _) = host.kill_container("box", pid);
    let told = Told::new(tracer.stop());
    let events = ftrace.events();

    let mut apart = Apart::default();
    let others = [(&create, detached.start_ns), (&detached, kill.end_ns)];
    let to_their_end = runs.iter().chain(&execs).map(|done| (done, done.end_ns));
    for (done, until_ns) in to_their_end.chain(others) {
        let row = told.of(done);
        let seen = Seen::of(&events, done, until_ns);
        let payload = check_first_marks(&mut apart, row, done, &seen);
        check_payload(&mut apart, row, payload, &seen);
    }
    for of in &created {
        let row = told.of(&of.create);
        check_created(&mut apart, row, of, &events);
        let caller = number(&row["phases_ns"], "caller");
        assert!(u128::from(caller) >= pause.as_nanos(), "{row:#}");
    }
    assert_eq!(told.starts.len(), RUNS + CREATES + EXECS + 2);
    assert_eq!(told.figures["started"], json!(told.starts.len()));
    check_figures(&told);
    apart.say(&host);
}

#[test]
fn of_runc() {
    marks(Runtime::runc());
}

#[test]
fn of_newer_runc() {
    marks(Runtime::newer_runc());
}

#[test]
fn of_crun() {
    marks(Runtime::crun());
}

#[test]
fn of_newer_crun() {
    marks(Runtime::newer_crun());
}
