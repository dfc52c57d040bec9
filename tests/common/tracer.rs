//! execlat itself: started, live, stopped, and what it said.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{PATIENCE, ending_with_us, execlat, probe_args, text};

/// A running execlat; killed if it is dropped before `stop`.
pub struct Tracer {
    child: Child,
    rows: PathBuf,
    stderr: Option<JoinHandle<String>>,
}

/// What execlat left behind.
#[derive(Debug)]
pub struct Observed {
    pub rows: Vec<Value>,
    /// The value under `summary` in the last line.
    pub summary: Value,
    pub status: ExitStatus,
    pub stderr: String,
}

impl Tracer {
    /// Starts `execlat -j -v ARGS` and waits until it sees everything.
    pub fn start<S: AsRef<str>>(scratch: &Path, args: &[S]) -> Tracer {
        Tracer::start_with(scratch, &probe_args(), args)
    }

    /// The same, in the flavour that `probe` asks for.
    pub fn start_with<S: AsRef<str>>(scratch: &Path, probe: &[String], args: &[S]) -> Tracer {
        Tracer::start_by(scratch, Command::new(execlat()), probe, args)
    }

    /// The same, by a command that runs execlat with whatever arguments follow.
    pub fn start_by<S: AsRef<str>>(
        scratch: &Path,
        mut command: Command,
        probe: &[String],
        args: &[S],
    ) -> Tracer {
        let rows = scratch.join("rows.json");
        let file = File::create(&rows).expect("file for rows");
        command
            .args(["-j", "-v"])
            .args(probe)
            .args(args.iter().map(AsRef::as_ref))
            .stdout(file);
        let (mut tracer, said) = Tracer::of(&mut command, rows);
        tracer.wait_until_live(&said);
        tracer
    }

    /// A command that runs execlat, and each line that it says. What kills it is there
    /// before anything else can fail.
    fn of(command: &mut Command, rows: PathBuf) -> (Tracer, Receiver<String>) {
        let child = ending_with_us(command)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", execlat().display()));
        let mut tracer = Tracer {
            child,
            rows,
            stderr: None,
        };
        let (live, said) = channel();
        let pipe = BufReader::new(tracer.child.stderr.take().expect("a pipe"));
        tracer.stderr = Some(spawn(move || {
            let mut all = String::new();
            for line in pipe.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                all.push_str(&line);
                all.push('\n');
                let _ = live.send(line);
            }
            all
        }));
        (tracer, said)
    }

    fn wait_until_live(&mut self, said: &Receiver<String>) {
        let mut before = Vec::new();
        loop {
            match said.recv_timeout(PATIENCE) {
                Ok(line) if line.starts_with("execlat: tracing") => return,
                Ok(line) => before.push(line),
                Err(e) => panic!("execlat did not come alive ({e}): {}", before.join("\n")),
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far; the summary comes at its end only.
    pub fn rows_so_far(&self) -> Vec<Value> {
        let output = std::fs::read_to_string(&self.rows).expect("rows");
        let whole = output.rfind('\n').map_or("", |end| &output[..end]);
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        whole.lines().map(parse).collect()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("signal to execlat");
    }

    /// Ends it by Ctrl-C's signal; the exit status must be 0.
    pub fn stop(self) -> Observed {
        let observed = self.stop_by(Signal::SIGINT);
        assert!(
            observed.status.success(),
            "execlat ended with {}: {}",
            observed.status,
            observed.stderr
        );
        observed
    }

    pub fn stop_by(self, signal: Signal) -> Observed {
        self.signal(signal);
        self.finish()
    }

    /// Waits for it to end by itself.
    pub fn finish(mut self) -> Observed {
        let status = wait(&mut self.child, "execlat");
        let stderr = self.stderr.take().map(JoinHandle::join);
        let stderr = stderr
            .and_then(Result::ok)
            .expect("the reader of its stderr");
        Observed::read(&self.rows, status, stderr)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Observed {
    /// Runs `execlat -j -o FILE ARGS -- COMMAND`; also gives what COMMAND wrote and how long all took.
    pub fn of_command<S: AsRef<OsStr>>(
        scratch: &Path,
        args: &[&str],
        command: &[S],
    ) -> (Observed, String, Duration) {
        let rows = scratch.join("rows.json");
        let began = Instant::now();
        let mut all = Command::new(execlat());
        all.args(["-j", "-v", "-o", text(&rows)])
            .args(probe_args())
            .args(args)
            .arg("--")
            .args(command)
            .stdout(Stdio::piped());
        let (mut tracer, _) = Tracer::of(&mut all, rows);
        let mut out = tracer.child.stdout.take().expect("a pipe");
        let reader = spawn(move || {
            let mut written = String::new();
            out.read_to_string(&mut written).map(|_| written)
        });
        wait(&mut tracer.child, "execlat");
        let elapsed = began.elapsed();
        let written = reader.join().expect("the reader of its stdout");
        let written = written.expect("the command's output");
        (tracer.finish(), written, elapsed)
    }

    /// Runs `execlat report -j ARGS FILE`, which must end with 0.
    pub fn of_report(file: &str, args: &[&str]) -> Observed {
        let rows = PathBuf::from(format!("{file}.rows"));
        let mut command = Command::new(execlat());
        command.args(["report", "-j"]).args(args).arg(file);
        command.stdout(File::create(&rows).expect("file for rows"));
        let (tracer, _) = Tracer::of(&mut command, rows);
        let observed = tracer.finish();
        assert!(observed.status.success(), "{}", observed.stderr);
        observed
    }

    fn read(path: &Path, status: ExitStatus, stderr: String) -> Observed {
        let bytes = std::fs::read(path).expect("rows");
        let output = String::from_utf8(bytes).expect("JSON is UTF-8");
        assert!(
            output.is_empty() || output.ends_with('\n'),
            "the last line is not whole: {stderr}"
        );
        let mut rows: Vec<Value> = output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect();
        let summary = rows.pop().and_then(|last| last.get("summary").cloned());
        let summary = summary
            .unwrap_or_else(|| panic!("no summary in the last line ({status}): {output}{stderr}"));
        Observed {
            rows,
            summary,
            status,
            stderr,
        }
    }

    /// The rows of executions that end as `end` says.
    pub fn ended(&self, end: &str) -> Vec<&Value> {
        self.rows.iter().filter(|row| row["end"] == end).collect()
    }

    /// What `$?` would be.
    pub fn code(&self) -> i32 {
        let by_signal = self.status.signal().map(|s| 128 + s);
        self.status.code().or(by_signal).expect("a status")
    }
}

/// Waits for a child's end; it is killed, and the test fails, if that takes too long.
pub fn wait(child: &mut Child, what: &str) -> ExitStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap_or_else(|e| panic!("{what}: {e}")) {
            return status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            panic!("{what} does not end within {PATIENCE:?}");
        }
        sleep(Duration::from_millis(5));
    }
}
