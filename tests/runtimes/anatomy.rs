//! `--anatomy` with real runtimes: hooks, failures, several at once. The marks of
//! each start are held against the kernel's own trace in `marks`.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::compare::losses;
use crate::common::{InTime as _, Observed, execlat, text};
use crate::driver::Done;
use crate::due::{number, wait_for_payload};
use crate::host::{Host, Runtime};

pub const PHASES: [&str; 5] = ["launch", "init", "setup", "caller", "start"];

/// Starts as rows, and the figures.
pub struct Told {
    pub starts: Vec<Value>,
    pub figures: Value,
    summary: Value,
}

impl Told {
    pub fn new(mut observed: Observed) -> Told {
        assert_eq!(losses(&observed.summary), Vec::<String>::new());
        let last = observed.rows.pop().expect("the figures");
        let figures = last["anatomy"].clone();
        assert!(figures.is_object(), "{last}");
        observed.rows.iter().for_each(adds_up);
        assert_eq!(
            (&figures["unknown"], &figures["given_up"]),
            (&json!(0), &json!(0))
        );
        Told {
            starts: observed.rows,
            figures,
            summary: observed.summary,
        }
    }

    /// The one row of a runtime's process.
    pub fn of(&self, done: &Done) -> &Value {
        let ours = done.start_ns..done.end_ns;
        let is_ours = |row: &&Value| row["runtime_pid"] == done.pid && ours.contains(&begin(row));
        let rows: Vec<&Value> = self.starts.iter().filter(is_ours).collect();
        assert_eq!(rows.len(), 1, "{done:?}: {:#?}", self.starts);
        rows[0]
    }

    fn figure(&self, phase: &str) -> &Value {
        let figures = self.figures["phases"].as_array().expect("phases");
        let found = figures.iter().find(|figure| figure["phase"] == phase);
        found.unwrap_or_else(|| panic!("{phase}: {figures:#?}"))
    }
}

fn begin(row: &Value) -> u64 {
    let marks = &row["marks_ns"];
    let first = marks["begin"].as_u64().or(marks["asked"].as_u64());
    first.unwrap_or_else(|| panic!("no first mark: {row:#}"))
}

/// Phases to the total, and marks one after the other, to the nanosecond.
fn adds_up(row: &Value) {
    let phases = PHASES.map(|phase| row["phases_ns"][phase].as_u64());
    if let Some(total) = row["total_ns"].as_u64() {
        let sum: u64 = phases.iter().flatten().sum();
        assert_eq!(sum, total, "{row:#}");
        let begin = number(&row["marks_ns"], "begin");
        assert_eq!(begin + total, number(row, "end_ns"), "{row:#}");
    }
    let marks = ["begin", "init", "ready", "created", "asked", "payload"];
    let marks = marks
        .iter()
        .filter_map(|mark| row["marks_ns"][mark].as_u64());
    assert!(marks.is_sorted(), "{row:#}");
}

/// `create`, a pause of the caller's, `start`.
pub struct Created {
    pub create: Done,
    pub start: Done,
    /// The payload was executed before that.
    pub until_ns: u64,
}

pub fn create_and_start(host: &mut Host, pause: Duration) -> Created {
    let (create, pid) = host.create("box", "box");
    std::thread::sleep(pause);
    let start = host.run_well(&["start", "box"]);
    // Its exec may come after that.
    wait_for_payload(&host.path("pid"), "sleep");
    let (kill, _) = host.kill_container("box", pid);
    host.run_well(&["delete", "box"]);
    Created {
        create,
        start,
        until_ns: kill.start_ns,
    }
}

/// Hooks of the runtime, of the process in the container, and of `start`.
fn hooks(runtime: Option<Runtime>) {
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    host.bundle_with("box", &["sleep", "1000"], |config| {
        let sleep = |time| json!([{ "path": "/bin/sleep", "args": ["sleep", time] }]);
        config["hooks"] = json!({
            // It reads its state, as crun insists.
            "prestart": [{ "path": "/bin/cat", "args": ["cat"] }],
            "createRuntime": sleep("0.11"),
            "startContainer": sleep("0.07"),
        });
    });
    let tracer = host.trace(&["--anatomy"]);
    let of = create_and_start(&mut host, Duration::ZERO);
    let told = Told::new(tracer.stop());
    assert_eq!(told.starts.len(), 1);
    let row = told.of(&of.create);
    let hooks = row["hooks"].as_array().expect("hooks");
    let due = [
        ("cat", "setup", 0),
        ("sleep", "setup", 110),
        ("sleep", "start", 70),
    ];
    assert_eq!(hooks.len(), due.len(), "{row:#}");
    for (hook, (name, phase, least_ms)) in hooks.iter().zip(due) {
        assert_eq!(
            (&hook["name"], &hook["phase"], &hook["exit_code"]),
            (&json!(name), &json!(phase), &json!(0)),
            "{row:#}"
        );
        let time = number(hook, "time_ns");
        assert!(time >= least_ms * 1_000_000, "{hook}");
        assert!(number(&row["phases_ns"], phase) > time, "{row:#}");
        let end = number(hook, "begin_ns") + time;
        assert!(end < number(row, "end_ns"), "{row:#}");
    }
    let figure = told.figure("hook sleep");
    assert_eq!((number(figure, "count"), number(figure, "failed")), (2, 0));
}

#[test]
fn hooks_of_runc() {
    hooks(Runtime::runc());
}

#[test]
fn hooks_of_newer_runc() {
    hooks(Runtime::newer_runc());
}

#[test]
fn hooks_of_crun() {
    hooks(Runtime::crun());
}

/// Starts that end on the way, each at its phase, with the code that the caller got.
fn failures(runtime: Option<Runtime>) {
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    host.bundle("box", &["sleep", "1000"]);
    host.bundle("none", &["/no/such/file"]);
    host.bundle_with("hooked", &["true"], |config| {
        let hook = json!([{ "path": "/bin/false", "args": ["false"] }]);
        config["hooks"] = json!({ "createRuntime": hook });
    });
    let [none, hooked, nowhere] = ["none", "hooked", "nowhere"].map(|name| host.path(name));
    let tracer = host.trace(&["--anatomy"]);
    let mut due = vec![
        (host.run(&["run", "-b", &none, "a"]), "setup"),
        (host.run(&["create", "-b", &none, "b"]), "setup"),
        (host.run(&["run", "-b", &hooked, "c"]), "setup"),
        (host.run(&["run", "-b", &nowhere, "d"]), "launch"),
        (host.run(&["start", "e"]), "start"),
    ];
    let (create, pid) = host.create("box", "box");
    let start = host.run_well(&["start", "box"]);
    wait_for_payload(&host.path("pid"), "sleep");
    due.push((host.run(&["exec", "box", "/no/such/file"]), "setup"));
    due.push((host.run(&["start", "box"]), "start"));
    host.kill_container("box", pid);
    host.run_well(&["delete", "box"]);
    // Nobody starts it.
    let (unstarted, pid) = host.create("box", "f");
    host.run_well(&["delete", "-f", "f"]);
    let killed = host.driver.ended(pid);
    let told = Told::new(tracer.stop());

    assert_eq!(told.starts.len(), due.len() + 2, "{:#?}", told.starts);
    for (done, phase) in &due {
        check_failure(told.of(done), done, phase);
    }
    let row = told.of(&unstarted);
    assert_eq!(
        (&row["outcome"], &row["phase"], &row["signal"]),
        (&json!("failed"), &json!("caller"), &json!(9)),
        "{row:#}"
    );
    assert_eq!(killed.status, 9);
    let row = told.of(&create);
    assert_eq!(row["outcome"], "started", "{row:#}");
    let asked = number(&row["marks_ns"], "asked");
    assert!((start.start_ns..start.end_ns).contains(&asked), "{row:#}");
    let counts = (
        number(&told.figures, "failed"),
        number(&told.figures, "started"),
    );
    assert_eq!(counts, (8, 1));
}

fn check_failure(row: &Value, done: &Done, phase: &str) {
    assert_eq!(
        (&row["outcome"], &row["phase"]),
        (&json!("failed"), &json!(phase)),
        "{row:#}"
    );
    assert_eq!(row["exit_code"], done.status >> 8, "{row:#}");
    // crun's exec does not wait for what it forked, which may end after it.
    let late_ns = number(row, "end_ns").saturating_sub(done.end_ns);
    assert!(late_ns == 0 || row["action"] == "crun exec", "{row:#}");
    assert!(
        number(&row["phases_ns"], phase) <= done.wall_ns() + late_ns,
        "{row:#}"
    );
    let hooks = row["hooks"].as_array().expect("hooks");
    assert_eq!(hooks.len(), usize::from(row["container"] == "c"), "{row:#}");
    for hook in hooks {
        assert_eq!(
            (&hook["name"], &hook["exit_code"]),
            (&json!("false"), &json!(1))
        );
    }
}

#[test]
fn failures_of_runc() {
    failures(Runtime::runc());
}

#[test]
fn failures_of_newer_runc() {
    failures(Runtime::newer_runc());
}

#[test]
fn failures_of_crun() {
    failures(Runtime::crun());
}

/// Seven at once in each of three containers; one that waits when tracing ends.
fn several(runtime: Option<Runtime>) {
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    let names = ["box1", "box2", "box3", "box4"];
    for name in names {
        host.bundle(name, &["sleep", "1000"]);
    }
    let file = host.path("anatomy.xl");
    let tracer = host.trace(&["--anatomy", "--record", &file]);
    let paths = names.map(|name| host.path(name));
    let calls = names.iter().zip(&paths);
    let creates = calls.map(|(name, path)| vec!["create", "-b", path, name]);
    let creates = all_at_once(&mut host, creates.collect());
    let starts = names[..3].iter().map(|name| vec!["start", name]);
    let starts = all_at_once(&mut host, starts.collect());
    // What the payload starts is not looked at.
    let many = "for i in 1 2 3 4 5 6 7 8 9; do cat /dev/null; done";
    let boxes = || names[..3].iter().cycle().take(21);
    let execs = boxes().map(|name| vec!["exec", name, "sh", "-c", many]);
    let execs = all_at_once(&mut host, execs.collect());
    let told = Told::new(tracer.stop());

    assert_eq!(told.starts.len(), 4 + 21);
    for (name, done) in boxes().zip(&execs) {
        let row = told.of(done);
        assert_eq!(
            (&row["container"], &row["outcome"], &row["argv"][0]),
            (&json!(name), &json!("started"), &json!("sh"))
        );
        assert!(number(&row["marks_ns"], "payload") < done.end_ns, "{row:#}");
    }
    for (name, create) in names.iter().zip(&creates) {
        let row = told.of(create);
        let (outcome, phase) = match *name {
            "box4" => ("pending", json!("caller")),
            _ => ("started", Value::Null),
        };
        assert_eq!(
            (&row["container"], &row["outcome"], &row["phase"]),
            (&json!(name), &json!(outcome), &phase)
        );
    }
    // Runtimes, their init, payloads: and nothing of what those start.
    let inits = if host.runtime.is_runc() { 4 + 21 } else { 0 };
    let ended = (creates.len() + starts.len() + 2 * execs.len() + inits) as u64;
    let counted = (
        number(&told.summary, "executions"),
        number(&told.summary, "running"),
    );
    assert_eq!(counted, (ended, 3));
    again_from(&file, &told);
}

/// All are started before any is waited for; each ends well.
fn all_at_once(host: &mut Host, calls: Vec<Vec<&str>>) -> Vec<Done> {
    let started: Vec<_> = calls.iter().map(|call| host.spawn(call)).collect();
    let done: Vec<Done> = started.iter().map(|s| host.driver.finish(s)).collect();
    let well = done.iter().all(|done| done.status == 0);
    assert!(well, "{}", host.driver.said());
    done
}

/// The recording has the same starts.
fn again_from(file: &str, told: &Told) {
    let report = Command::new(execlat())
        .args(["report", "--anatomy", "--json", file])
        .in_time()
        .output()
        .expect("execlat runs");
    let by_begin = |rows: &[Value]| -> BTreeMap<u64, Value> {
        rows.iter().map(|row| (begin(row), row.clone())).collect()
    };
    let rows: Vec<Value> = String::from_utf8_lossy(&report.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|row: &Value| row["action"].is_string())
        .collect();
    assert_eq!(rows.len(), told.starts.len());
    assert_eq!(by_begin(&rows), by_begin(&told.starts));
}

#[test]
fn several_of_runc() {
    several(Runtime::runc());
}

#[test]
fn several_of_newer_runc() {
    several(Runtime::newer_runc());
}

#[test]
fn several_of_crun() {
    several(Runtime::crun());
}

/// The runtime is somewhere below the traced COMMAND.
#[test]
fn below_a_command() {
    let Some(host) = Host::new(Runtime::runc()) else {
        return;
    };
    host.bundle("hello", &["sh", "-c", "exit 7"]);
    let (hello, root) = (host.path("hello"), host.path("root"));
    let runc = text(&host.runtime.path);
    let script = format!("true; {runc} --root {root} run -b {hello} hello; exit 3");
    let command = ["sh", "-c", &script];
    let scratch = host.bed.scratch.path();
    let (observed, _, _) = Observed::of_command(scratch, &["--anatomy", "-u", "root"], &command);
    assert_eq!(observed.code(), 3, "{}", observed.stderr);
    let told = Told::new(observed);
    assert_eq!(told.starts.len(), 1);
    let row = &told.starts[0];
    assert_eq!(
        (&row["action"], &row["outcome"]),
        (&json!("runc run"), &json!("started"))
    );
    assert_eq!(told.summary["executions"], 3, "{}", told.summary);
}
