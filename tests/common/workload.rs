//! The workload program: built once, run, and its lines read.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::spawn;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::tracer::wait;
use super::{Cgroup, Expected, InTime as _, PATIENCE, say, text};

/// The workload with its options; `run` or `start` gives it a case.
#[derive(Clone)]
pub struct Workload {
    args: Vec<String>,
    /// Not its file's name, if set.
    argv0: Option<String>,
}

/// What the workload says must be reported.
#[derive(Debug)]
pub struct Report {
    pub expected: Vec<Expected>,
    /// The workload program itself, whose row is due only where it is traced from its own start.
    pub main: Expected,
    /// What this machine could not do.
    pub skipped: Vec<String>,
}

/// A case that waits for words from us.
pub struct Running {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    seen: Vec<Value>,
    argv: Vec<String>,
    began: Instant,
}

impl Workload {
    pub fn new(tag: &str) -> Workload {
        Workload {
            args: vec!["--tag".into(), tag.into()],
            argv0: None,
        }
    }

    /// Moves itself into a cgroup before the case begins.
    pub fn join(self, cgroup: &Cgroup) -> Workload {
        self.joins(&cgroup.procs())
    }

    /// The same, by the cgroup's `cgroup.procs` file.
    pub fn joins(self, procs: &str) -> Workload {
        self.option("--join", procs)
    }

    /// A `cgroup.procs` file that cases about moves use.
    pub fn moves(self, procs: &str) -> Workload {
        self.option("--move", procs)
    }

    fn option(mut self, name: &str, value: &str) -> Workload {
        self.args.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// The whole argument vector for a case, the program's path first.
    pub fn argv(&self, case: &[&str]) -> Vec<String> {
        let mut argv = vec![text(program()).to_owned()];
        argv.extend(self.args.iter().cloned());
        argv.extend(case.iter().map(|&a| a.to_owned()));
        argv
    }

    /// Runs a case to its end.
    pub fn run(&self, case: &[&str]) -> Report {
        self.start(case).finish()
    }

    pub fn start(&self, case: &[&str]) -> Running {
        let argv = self.argv(case);
        let began = Instant::now();
        let mut child = Command::new(program())
            .args(&argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .in_time()
            .spawn()
            .expect("start of the workload");
        let pipe = BufReader::new(child.stdout.take().expect("a pipe"));
        let (send, lines) = channel();
        spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Running {
            stdin: child.stdin.take().expect("a pipe"),
            child,
            lines,
            seen: Vec::new(),
            argv,
            began,
        }
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the case is in place; its word with it.
    pub fn ready(&mut self) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.expect("the workload's word that it is ready");
            let line = parse(&line);
            if line["type"] == "ready" {
                return line["text"].as_str().expect("text").to_owned();
            }
            self.seen.push(line);
        }
    }

    /// Lets the case go on.
    pub fn go(&mut self) {
        self.stdin.write_all(b"\n").expect("word to the workload");
    }

    pub fn finish(mut self) -> Report {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(parse(&line)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!(
                    "the workload says nothing for {PATIENCE:?} and does not close its stdout: {:?}",
                    self.argv
                ),
            }
        }
        let status = wait(&mut self.child, "the workload");
        let elapsed = self.began.elapsed();
        Report::new(&self.seen, self.argv.clone(), status, elapsed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Report {
    /// From the lines of a workload that something else has started.
    pub fn of_output(
        output: &str,
        argv: Vec<String>,
        status: ExitStatus,
        elapsed: Duration,
    ) -> Report {
        let lines: Vec<Value> = output.lines().map(parse).collect();
        Report::new(&lines, argv, status, elapsed)
    }

    fn new(lines: &[Value], argv: Vec<String>, status: ExitStatus, elapsed: Duration) -> Report {
        let of = |kind: &'static str| lines.iter().filter(move |l| l["type"] == kind);
        let done = of("done").next();
        let done = done.unwrap_or_else(|| panic!("the workload did not finish: {status}"));
        let mut expected: Vec<Expected> = of("execution").map(Expected::of_line).collect();
        for line in of("unsure") {
            say(&format!("left out: two execs about a second apart: {line}"));
            expected.push(Expected::unsure(line));
        }
        Report {
            expected,
            main: Expected::of_main(done, &argv, status.code(), status.signal(), elapsed),
            skipped: of("skip")
                .filter_map(|l| l["text"].as_str().map(str::to_owned))
                .collect(),
        }
    }

    /// Those with one of these labels.
    pub fn labelled(&self, labels: &[&str]) -> Vec<Expected> {
        let mine = |e: &&Expected| e.is_unsure() || labels.contains(&e.label.as_str());
        self.expected.iter().filter(mine).cloned().collect()
    }

    pub fn with_main(mut self) -> Vec<Expected> {
        self.expected.push(self.main);
        self.expected
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

/// The workload's path: given by the environment, or built by gcc.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        std::env::var_os("EXECLAT_WORKLOAD").map_or_else(build, |path| {
            fs::canonicalize(path).expect("EXECLAT_WORKLOAD")
        })
    })
}

fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workload");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("workload");
    let files: Vec<PathBuf> = fs::read_dir(&source)
        .expect("tests/workload")
        .map(|entry| entry.expect("tests/workload").path())
        .collect();
    let changed = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    let built = changed(&program);
    if built.is_some() && files.iter().all(|f| changed(f) < built) {
        return program;
    }
    // Another test program may do the same now: whole files only.
    let temporary = program.with_extension(std::process::id().to_string());
    let output = Command::new("gcc")
        .args([
            "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread", "-o",
        ])
        .arg(&temporary)
        .args(
            files
                .iter()
                .filter(|f| f.extension().is_some_and(|e| e == "c")),
        )
        .in_time()
        .output()
        .expect("gcc");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&temporary, &program).expect("the workload's place");
    program
}
