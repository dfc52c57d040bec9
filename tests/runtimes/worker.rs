//! A worker as Garden makes it: who calls the runtime, and each runtime with it, is in
//! a cgroup of its own; only the containers are below the one that `--cgroup` names.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::Value;
use tempfile::{Builder, TempDir};

use crate::common::cgroup::procs;
use crate::common::{Expected, Observed, Tracer, check, say, text};
use crate::driver::{Done, Started};
use crate::due::{number, pid_in};
use crate::host::{Host, Runtime};

/// A cgroup around containers, and the runtime's directory about them.
pub struct Worker {
    /// What `--cgroup` may be given.
    pub garden: PathBuf,
    name: String,
    root: Rc<TempDir>,
    /// Whether execlat is asked for its containers.
    asked: bool,
}

/// How an action has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Well,
    /// With any code but 0: runtimes differ.
    Badly,
    With(i32),
}

/// A row that has to be there.
pub struct Due {
    pub done: Done,
    pub label: String,
    /// The container's cgroup, where it must be known.
    pub container: Option<String>,
    /// Whether the runtime starts a process in the container.
    pub enters: bool,
    /// The cgroup that the runtime ran in.
    pub ran_in: String,
}

/// gdn: calls the runtime, and keeps an account of what is due.
pub struct Caller {
    pub host: Host,
    pub due: Vec<Due>,
}

impl Ends {
    fn check(self, done: &Done, said: impl Fn() -> String) {
        let right = match self {
            Ends::Well => done.status == 0,
            Ends::Badly => done.status > 0 && done.status & 0xff == 0,
            Ends::With(code) => done.status == code << 8,
        };
        let argv: Vec<_> = done.argv.iter().map(|a| a.escape_ascii()).collect();
        assert!(
            right,
            "{argv:?}: {:#x}, not {self:?}: {}",
            done.status,
            said()
        );
    }
}

impl Worker {
    /// Root alone can write to its runtime's directory, as on a real one.
    pub fn new(host: &Host, garden: &str, asked: bool) -> Worker {
        let mut root = Builder::new();
        let root = root.prefix("execlat-test-").tempdir_in("/run");
        let root = Rc::new(root.expect("a directory in /run"));
        let name = garden.to_owned();
        let garden = host.bed.cgroup.child(garden);
        Worker {
            garden,
            name,
            root,
            asked,
        }
    }

    /// Another cgroup with containers of the same runtime's directory.
    pub fn beside(&self, host: &Host, name: &str) -> Worker {
        Worker {
            garden: host.bed.cgroup.child(name),
            name: name.to_owned(),
            root: Rc::clone(&self.root),
            asked: false,
        }
    }

    /// The same cgroup for containers of another runtime's directory.
    pub fn with_root(&self, root: TempDir) -> Worker {
        Worker {
            garden: self.garden.clone(),
            name: self.name.clone(),
            root: Rc::new(root),
            asked: self.asked,
        }
    }

    pub fn root(&self) -> &str {
        text(self.root.path())
    }

    /// A container's cgroup, as a row has to name it.
    pub fn cgroup_of(&self, host: &Host, handle: &str) -> String {
        format!("/{}/{}/{handle}", host.cgroup_name(), self.name)
    }

    pub fn bundle(&self, host: &Host, handle: &str, payload: &[&str]) {
        host.bundle(&format!("{}/{handle}", self.name), payload);
    }

    /// A file, or the bundle, of a container.
    pub fn path(&self, host: &Host, name: &str) -> String {
        host.path(&format!("{}/{name}", self.name))
    }

    /// As gdn calls it.
    pub fn argv(&self, host: &Host, args: &[&str]) -> Vec<Vec<u8>> {
        let log = host.path("runtime.log");
        let global = ["--debug", "--log", &log, "--log-format", "json"];
        let all = [text(&host.runtime.path), "--root", self.root()];
        let all = all.iter().chain(&global).chain(args);
        all.map(|arg| arg.as_bytes().to_vec()).collect()
    }
}

impl Caller {
    /// `None`, with a word, where the test cannot run.
    pub fn new(runtime: Option<Runtime>) -> Option<Caller> {
        let host = Host::new(runtime)?;
        let hierarchy = host.bed.cgroup.dir().parent().expect("a hierarchy");
        if host.runtime.is_runc() && !hierarchy.starts_with("/sys/fs/cgroup") {
            say("skipped: runc makes no cgroup of v2 here");
            return None;
        }
        Some(Caller::of(host))
    }

    pub fn of(host: Host) -> Caller {
        let due = Vec::new();
        Caller { host, due }
    }

    /// A container's id that no other test has: what is known of an id may outlive the
    /// runtime's directory that it was in.
    pub fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.host.bed.tag)
    }

    /// By `--cgroup` and `--comm`, as an operator asks.
    pub fn trace(&self, worker: &Worker, args: &[&str]) -> Tracer {
        let mut all = vec!["-c", text(&worker.garden), "-n", self.host.runtime.name];
        all.extend(args);
        self.host.bed.trace(&all)
    }

    pub fn spawn(&mut self, worker: &Worker, args: &[&str]) -> Started {
        let (file, argv) = (
            self.host.runtime.path.clone(),
            worker.argv(&self.host, args),
        );
        self.host.driver.spawn(&file, argv)
    }

    pub fn finish(&mut self, started: &Started, ends: Ends) -> Done {
        let done = self.host.driver.finish(started);
        ends.check(&done, || self.said());
        done
    }

    /// Runs an action to its end; no row is due.
    pub fn run(&mut self, worker: &Worker, args: &[&str], ends: Ends) -> Done {
        let started = self.spawn(worker, args);
        self.finish(&started, ends)
    }

    /// The same of an action about a container, whose row is due if the worker is asked for.
    pub fn call(&mut self, worker: &Worker, handle: &str, args: &[&str], ends: Ends) {
        let done = self.run(worker, args, ends);
        self.took(worker, handle, done, args, ends);
    }

    pub fn took(&mut self, worker: &Worker, handle: &str, done: Done, args: &[&str], ends: Ends) {
        if !worker.asked {
            return;
        }
        let enters = match args[0] {
            "create" | "run" => ends != Ends::Badly,
            "exec" => ends != Ends::Badly || args.contains(&NOWHERE),
            _ => false,
        };
        self.due.push(Due {
            done,
            label: args.join(" "),
            container: Some(worker.cgroup_of(&self.host, handle)),
            enters: enters && self.host.runtime.is_runc(),
            ran_in: format!("/{}/runner", self.host.cgroup_name()),
        });
    }

    /// `create`, and the pid of what will be the payload.
    pub fn create(&mut self, worker: &Worker, handle: &str) -> u32 {
        let (bundle, file) = create_files(worker, &self.host, handle);
        self.call(worker, handle, &create(&bundle, &file, handle), Ends::Well);
        pid_in(&file)
    }

    /// `create` and `start`.
    pub fn start(&mut self, worker: &Worker, handle: &str) -> u32 {
        let pid = self.create(worker, handle);
        self.call(worker, handle, &["start", handle], Ends::Well);
        pid
    }

    /// A container that runs; before execlat does, no row is due.
    pub fn start_before(&mut self, worker: &Worker, handle: &str, payload: &[&str]) -> u32 {
        worker.bundle(&self.host, handle, payload);
        let (bundle, file) = create_files(worker, &self.host, handle);
        self.run(worker, &create(&bundle, &file, handle), Ends::Well);
        self.run(worker, &["start", handle], Ends::Well);
        pid_in(&file)
    }

    /// Executes a program inside a cgroup of v2; returns once it has ended.
    pub fn run_inside(&mut self, cgroup: &Path, argv: &[Vec<u8>]) -> Done {
        let started = self.spawn_inside(cgroup, argv);
        let done = self.host.driver.finish(&started);
        assert_ne!(done.status, 99 << 8, "{}", self.said());
        done
    }

    /// The same; it may not be inside yet, nor run the program.
    pub fn spawn_inside(&mut self, cgroup: &Path, argv: &[Vec<u8>]) -> Started {
        let root = self.host.bed.cgroup.dir().parent().expect("a hierarchy");
        // Where others than runc are called from: see pure-v2.sh.
        let pure = Path::new("/sys/fs/cgroup");
        let root_there = if self.host.runtime.is_runc() {
            root
        } else {
            pure
        };
        let below = cgroup.strip_prefix(root).expect("a cgroup of v2");
        let procs = procs(&root_there.join(below));
        let code = r#"echo $$ >"$0" || exit 99; exec "$@""#;
        let mut sh = ["sh", "-c", code, &procs].map(|arg| arg.into()).to_vec();
        sh.extend(argv.iter().cloned());
        let started = self.host.driver.spawn(Path::new("/bin/sh"), sh);
        let argv = argv.to_vec();
        Started { argv, ..started }
    }

    /// All rows that are due, and those of `runc init` below them, and no other.
    pub fn check(&self, tracer: Tracer, others: &[Expected]) -> Observed {
        let (observed, init) = self.host.stop_and_split(tracer);
        self.check_rows(&observed, &init, others);
        observed
    }

    pub fn check_rows(&self, observed: &Observed, init: &[Value], others: &[Expected]) {
        let init = once(init);
        let observed = Observed {
            rows: once(&observed.rows),
            summary: observed.summary.clone(),
            stderr: observed.stderr.clone(),
            ..*observed
        };
        // How often one executes itself depends on where it can copy itself to.
        let row = |due: &Due| {
            let mut row = due.done.expected(&due.label);
            let seen = due.rows(&observed.rows, "pid");
            row.reexecs = seen.first().map_or(0, |seen| number(seen, "reexecs"));
            row
        };
        let mut expected: Vec<Expected> = self.due.iter().map(row).collect();
        expected.extend(others.iter().cloned());
        assert!(!self.due.is_empty(), "nothing is due");
        check(&expected, &observed);
        let mut inits = 0;
        for due in &self.due {
            let label = &due.label;
            let row = due.rows(&observed.rows, "pid")[0];
            assert_eq!(row["cgroup"], due.ran_in, "{label}: {row}");
            let rows = due.rows(&init, "ppid");
            let due_rows = usize::from(due.enters);
            assert_eq!(rows.len(), due_rows, "{label}: {}", lines(&rows));
            inits += rows.len();
            let Some(container) = &due.container else {
                continue;
            };
            for row in rows.into_iter().chain([row]) {
                let got = &row["container_cgroup"];
                assert_eq!(got, container.as_str(), "{label}: {row}");
            }
        }
        let all: Vec<&Value> = init.iter().collect();
        assert_eq!(inits, init.len(), "{}", lines(&all));
    }

    fn said(&self) -> String {
        let log = fs::read_to_string(self.host.path("runtime.log")).unwrap_or_default();
        let last = log.lines().rev().take(7).collect::<Vec<_>>();
        format!("{}\n{}", self.host.driver.said(), last.join("\n"))
    }
}

impl Due {
    /// Those with our pid there, at our time: pids come again.
    fn rows<'a>(&self, rows: &'a [Value], field: &str) -> Vec<&'a Value> {
        let ours = self.done.start_ns..self.done.end_ns;
        rows.iter()
            .filter(|row| row[field] == self.done.pid && ours.contains(&number(row, "start_ns")))
            .collect()
    }
}

/// Without those that executed themselves again after a second or so, which makes two
/// rows of one: on a slow machine a runtime's copy of itself takes that long.
fn once(rows: &[Value]) -> Vec<Value> {
    let took_long = |row: &&Value| number(row, "time_ns") > 900_000_000;
    let again = |row: &&Value| row["end"] == "exec" && took_long(row);
    rows.iter().filter(|row| !again(row)).cloned().collect()
}

/// Rows as they were, one a line.
fn lines(rows: &[&Value]) -> String {
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    rows.join("\n")
}

/// No program; a runtime has entered the container by the time that it sees this.
pub const NOWHERE: &str = "/no/such/file";

/// The bundle, and the file for the pid.
pub fn create_files(worker: &Worker, host: &Host, handle: &str) -> (String, String) {
    let bundle = worker.path(host, handle);
    let file = format!("{bundle}/pid");
    (bundle, file)
}

pub fn create<'a>(bundle: &'a str, pid_file: &'a str, handle: &'a str) -> [&'a str; 7] {
    let flag = "--no-new-keyring";
    [
        "create",
        flag,
        "--bundle",
        bundle,
        "--pid-file",
        pid_file,
        handle,
    ]
}
