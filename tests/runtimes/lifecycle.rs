//! Every command of a runtime, as an engine gives them, several times over.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::{Expected, check, say};
use crate::driver::Done;
use crate::due::number;
use crate::host::{Host, Runtime};

/// How often each command is given.
const ROUNDS: usize = 11;
/// What a caller's clock may add, at the median.
const ABOVE_NS: u64 = 3_000_000;
/// A machine that is busy with other things may delay the caller more than that: the
/// times, and nothing else, are taken again then.
const TRIES: usize = 3;

/// What a row must say of an invocation.
struct Due {
    done: Done,
    label: &'static str,
    action: String,
    container: Option<&'static str>,
    lasting: bool,
    /// At least so long.
    min_ms: u64,
    /// Whether the runtime starts a process in the container.
    enters: bool,
}

struct Lifecycle {
    host: Host,
    due: Vec<Due>,
}

/// A command's name, its arguments behind it, and its container.
struct Call<'a> {
    label: &'static str,
    args: &'a [&'a str],
    container: Option<&'static str>,
}

fn call<'a>(label: &'static str, args: &'a [&'a str], container: Option<&'static str>) -> Call<'a> {
    Call {
        label,
        args,
        container,
    }
}

impl Lifecycle {
    fn call(&mut self, call: &Call, code: i32) -> &mut Due {
        let done = self.host.run(call.args);
        self.took(call, done, code << 8)
    }

    fn took(&mut self, call: &Call, done: Done, status: i32) -> &mut Due {
        let said = || self.host.driver.said();
        assert_eq!(done.status, status, "{}: {}", call.label, said());
        self.due.push(Due {
            done,
            label: call.label,
            action: format!("{} {}", self.host.runtime.name, call.args[0]),
            container: call.container,
            lasting: false,
            min_ms: 0,
            enters: false,
        });
        self.due.last_mut().expect("just pushed")
    }

    /// One container's life, and that of one that is deleted as it runs.
    fn round(&mut self) {
        let bundle = self.host.path("box");
        let pid_file = self.host.path("pid");
        let hello = self.host.path("hello");
        let run = ["run", "--bundle", &hello, "hello"];
        let due = self.call(&call("run", &run, Some("hello")), 7);
        (due.lasting, due.min_ms, due.enters) = (true, 50, true);

        let create = ["create", "-b", &bundle, "--pid-file", &pid_file, "box"];
        self.call(&call("create", &create, Some("box")), 0).enters = true;
        let pid = std::fs::read_to_string(&pid_file).expect("the pid file");
        let pid = pid.trim().parse().expect("a pid");
        self.call(&call("start", &["start", "box"], Some("box")), 0);
        self.call(&call("state", &["state", "box"], Some("box")), 0);
        self.call(&call("state of none", &["state", "no"], Some("no")), 1);

        let code = ["exec", "box", "sh", "-c", "sleep 0.05; exit 3", "", "\n"];
        for (label, args, code, min_ms) in [
            ("exec", &["exec", "box", "true"][..], 0, 0),
            ("exec, code 3", &code, 3, 50),
        ] {
            let due = self.call(&call(label, args, Some("box")), code);
            (due.lasting, due.min_ms, due.enters) = (true, min_ms, true);
        }
        let detached = ["exec", "-d", "box", "sleep", "1000"];
        self.call(&call("exec -d", &detached, Some("box")), 0)
            .enters = true;
        self.missing();
        self.call(&call("list", &["list"], None), 0);
        if self.host.runtime.is_runc() {
            let stats = ["events", "--stats", "box"];
            self.call(&call("events --stats", &stats, Some("box")), 0);
            for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGINT] {
                self.events(signal);
            }
        }

        self.call(&call("kill", &["kill", "box", "KILL"], Some("box")), 0);
        self.host.driver.ended(pid);
        self.call(&call("delete", &["delete", "box"], Some("box")), 0);

        let create = ["create", "-b", &bundle, "box"];
        self.call(&call("create", &create, Some("box")), 0).enters = true;
        self.call(&call("start", &["start", "box"], Some("box")), 0);
        let delete = ["delete", "-f", "box"];
        self.call(&call("delete -f", &delete, Some("box")), 0);
    }

    /// Its status is the runtime's own affair, and changes between versions of crun.
    fn missing(&mut self) {
        let args = ["exec", "box", "/no/such/file"];
        let done = self.host.run(&args);
        let status = done.status;
        assert!([1 << 8, 255 << 8].contains(&status), "{status}");
        let due = self.took(&call("exec of none", &args, Some("box")), done, status);
        (due.lasting, due.enters) = (true, true);
    }

    /// Lasts until a signal ends it.
    fn events(&mut self, signal: Signal) {
        let started = self.host.spawn(&["events", "box"]);
        sleep(Duration::from_millis(30));
        self.host.signal(&started, signal);
        let done = self.host.driver.finish(&started);
        let due = self.took(
            &call("events", &["events"], Some("box")),
            done,
            signal as i32,
        );
        (due.lasting, due.min_ms) = (true, 20);
    }
}

impl Due {
    fn expected(&self, reexecs: u64) -> Expected {
        let mut expected = self.done.expected(self.label);
        expected.reexecs = reexecs;
        expected.time_ns.0 = self.min_ms * 1_000_000;
        expected
    }

    /// Those with our pid there, at our time: pids come again.
    fn rows<'a>(&self, rows: &'a [Value], field: &str) -> Vec<&'a Value> {
        let ours = self.done.start_ns..self.done.end_ns;
        rows.iter()
            .filter(|row| row[field] == self.done.pid && ours.contains(&number(row, "start_ns")))
            .collect()
    }

    fn check_labels(&self, row: &Value, runtime: &Runtime) {
        let label = self.label;
        assert_eq!(row["action"], self.action, "{label}: {row}");
        assert_eq!(row["container"].as_str(), self.container, "{label}: {row}");
        assert_eq!(row["runtime"], runtime.name, "{label}: {row}");
        assert_eq!(row["comm"], runtime.name, "{label}: {row}");
        assert_eq!(row["lasting"], self.lasting, "{label}: {row}");
        assert_eq!(row["argv_truncated"], false, "{label}: {row}");
    }

    /// `runc init`, which executes itself once, in the middle of its caller.
    fn check_init(&self, init: &Value, main: &Value) {
        assert_eq!(init["argv"][0], main["argv"][0], "{init}");
        assert_eq!(init["argv_bytes"], "/usr/sbin/runc init".len() + 1);
        assert_eq!(
            (&init["action"], &init["runtime"]),
            (&"runc init".into(), &"runc".into())
        );
        assert_eq!(
            (&init["end"], &init["exit_code"]),
            (&"exit".into(), &0.into())
        );
        assert_eq!(
            (&init["reexecs"], &init["comm"]),
            (&1.into(), &"exe".into()),
            "{init}"
        );
        assert!(
            number(init, "start_ns") > number(main, "start_ns"),
            "{init} {main}"
        );
        assert!(
            number(init, "end_ns") < number(main, "end_ns"),
            "{init} {main}"
        );
    }
}

fn lifecycle(runtime: Option<Runtime>) {
    let Some(runtime) = runtime else { return };
    for _ in 1..TRIES {
        if traced(&runtime).is_none_or(|above| too_much(&runtime, above).is_empty()) {
            return;
        }
    }
    let wrong = traced(&runtime).map(|above| too_much(&runtime, above));
    assert_eq!(wrong, Some(Vec::new()));
}

/// By `--cgroup` and `--comm`, as an operator asks: what the caller's clock had above
/// TIME, per command.
fn traced(runtime: &Runtime) -> Option<BTreeMap<&'static str, Vec<u64>>> {
    let host = Host::alone(Some(runtime.clone()))?;
    host.bundle("hello", &["sh", "-c", "sleep 0.05; exit 7"]);
    host.bundle("box", &["sleep", "1000"]);
    let tracer = host.trace(&["--comm", host.runtime.name]);
    let mut all = Lifecycle {
        host,
        due: Vec::new(),
    };
    for _ in 0..ROUNDS {
        all.round();
    }
    let Lifecycle { host, due } = all;
    let (observed, init) = host.stop_and_split(tracer);
    let runtime = &host.runtime;
    let expected: Vec<_> = due.iter().map(|d| d.expected(runtime.reexecs)).collect();
    check(&expected, &observed);

    let mut above: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    for due in &due {
        let row = due.rows(&observed.rows, "pid")[0];
        due.check_labels(row, runtime);
        let inits = due.rows(&init, "ppid");
        assert_eq!(
            inits.len(),
            usize::from(runtime.is_runc() && due.enters),
            "{row}"
        );
        for init in inits {
            due.check_init(init, row);
        }
        above
            .entry(due.label)
            .or_default()
            .push(due.done.wall_ns() - number(row, "time_ns"));
    }
    let entered = due.iter().filter(|due| due.enters).count();
    assert_eq!(init.len(), if runtime.is_runc() { entered } else { 0 });
    Some(above)
}

/// The commands whose median is beyond the bound.
fn too_much(runtime: &Runtime, above: BTreeMap<&str, Vec<u64>>) -> Vec<String> {
    let runtime = runtime.path.display();
    let mut too_much = Vec::new();
    for (label, mut times) in above {
        times.sort_unstable();
        let median = times[times.len() / 2];
        let (first, last) = (times[0], times[times.len() - 1]);
        let n = times.len();
        let line = format!(
            "{runtime} {label}: wall above TIME, µs: {} ({} to {}, n = {n})",
            median / 1000,
            first / 1000,
            last / 1000
        );
        say(&line);
        if median > ABOVE_NS {
            too_much.push(line);
        }
    }
    too_much
}

#[test]
fn runc() {
    lifecycle(Runtime::runc());
}

#[test]
fn crun() {
    lifecycle(Runtime::crun());
}

#[test]
fn newer_crun() {
    lifecycle(Runtime::newer_crun());
}
