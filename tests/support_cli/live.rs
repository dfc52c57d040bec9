//! execlat live: started, waited for, told to end, and what it wrote.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::{Ran, shell_status};
use crate::common::{self, Cgroup, InTime as _, PATIENCE, ending_with_us};

/// Long enough for anything that is to happen at once.
pub const SOON: Duration = Duration::from_secs(20);

/// A running execlat, in a process group of its own; killed if it is dropped.
pub struct Live {
    child: Child,
    stderr: Option<JoinHandle<String>>,
    said: Receiver<String>,
}

impl Live {
    /// Starts `execlat -v ARGS` and waits until it traces.
    pub fn start<S: AsRef<OsStr>>(args: &[S]) -> Live {
        let mut command = Command::new(common::execlat());
        command.arg("-v").args(common::probe_args()).args(args);
        Live::start_as(&mut command)
    }

    /// The same of a command that runs `execlat -v` in the end.
    pub fn start_as(command: &mut Command) -> Live {
        let child = ending_with_us(command)
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (tell, said) = channel();
        // What kills it is there before anything else can fail.
        let mut live = Live {
            child,
            stderr: None,
            said,
        };
        let pipe = live.child.stderr.take().expect("a pipe");
        live.stderr = Some(spawn(move || keep(pipe, &tell)));
        live.wait_until_it_traces();
        live
    }

    /// Waits for a line on stderr that has all these words, and returns it; it may
    /// have come since the last call.
    pub fn hear(&self, words: &[&str]) -> String {
        let mut before = Vec::new();
        while let Ok(line) = self.said.recv_timeout(PATIENCE) {
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
            before.push(line);
        }
        panic!("not said: {words:?}, but: {}", before.join("\n"));
    }

    /// Whether such a line comes in this time.
    pub fn hear_within(&self, time: Duration, is_it: impl Fn(&str) -> bool) -> bool {
        let end = Instant::now() + time;
        while let Ok(line) = self
            .said
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            if is_it(&line) {
                return true;
            }
        }
        false
    }

    /// Asks for the list of what runs until it has the process, whose exec may be younger
    /// than what was read.
    pub fn list_until(&self, pid: u32) {
        let begins = format!("  {pid} ");
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            self.signal(Signal::SIGUSR1);
            if self.hear_within(Duration::from_millis(500), |line| line.starts_with(&begins)) {
                return;
            }
        }
        panic!("{pid} is not listed");
    }

    fn wait_until_it_traces(&self) {
        let mut before = Vec::new();
        while let Ok(line) = self.said.recv_timeout(PATIENCE) {
            if line.starts_with("execlat: tracing") {
                return;
            }
            before.push(line);
        }
        panic!("execlat does not trace: {}", before.join("\n"));
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.raw_pid(), signal).expect("signal to execlat");
    }

    /// As a terminal does: to all of the foreground.
    pub fn signal_group(&self, signal: Signal) {
        killpg(self.raw_pid(), signal).expect("signal to its group");
    }

    /// To be read line by line, or dropped.
    pub fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.child.stdout.take().expect("stdout, once"))
    }

    /// Whether it has ended, after some time.
    pub fn ended_within(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if self.child.try_wait().expect("wait for execlat").is_some() {
                return true;
            }
            sleep(Duration::from_millis(5));
        }
        false
    }

    /// Waits for its end. What it says before it traces is left out.
    pub fn finish(mut self) -> Ran {
        let stdout = self.child.stdout.take();
        let stdout = spawn(move || stdout.map_or_else(String::new, read_all));
        if !self.ended_within(PATIENCE) {
            panic!("execlat does not end");
        }
        let status = self.child.wait().expect("wait for execlat");
        let stderr = self.stderr.take().expect("the reader of its stderr");
        Ran {
            status: shell_status(status),
            stdout: stdout.join().expect("the reader of its stdout"),
            stderr: stderr.join().expect("the reader of its stderr"),
        }
    }

    pub fn finish_by(self, signal: Signal) -> Ran {
        self.signal(signal);
        self.finish()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // While it is not waited for, nobody else has its number; COMMAND is in its group.
        if let Ok(None) = self.child.try_wait() {
            let _ = killpg(self.raw_pid(), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// Tells each line; keeps those after the one that says that it traces.
fn keep(pipe: impl Read, live: &Sender<String>) -> String {
    let mut kept: Option<String> = None;
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8(line).expect("execlat writes UTF-8");
        match &mut kept {
            Some(kept) => {
                kept.push_str(&line);
                kept.push('\n');
            }
            None if line.starts_with("execlat: tracing") => kept = Some(String::new()),
            None => {}
        }
        let _ = live.send(line);
    }
    kept.unwrap_or_default()
}

fn read_all(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).expect("UTF-8 from execlat");
    text
}

/// A cgroup of our own, in which nothing else runs.
pub struct Yard {
    pub cgroup: Cgroup,
    pub scratch: tempfile::TempDir,
}

impl Yard {
    /// `None`, with a word, where we may not trace.
    pub fn new(name: &str) -> Option<Yard> {
        super::root()?;
        Some(Yard {
            cgroup: Cgroup::v2(&format!("{name}-{}", std::process::id())),
            scratch: tempfile::tempdir().expect("scratch directory"),
        })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Starts execlat for all that happens in the cgroup.
    pub fn trace(&self, args: &[&str]) -> Live {
        let mut all = vec!["-c", self.cgroup.path()];
        all.extend(args);
        Live::start(&all)
    }

    /// A program that is run inside the cgroup, by its own exec.
    pub fn program(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let script = format!("echo $$ >{} && exec {line}", self.cgroup.procs());
        command.args(["-c", &script]);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, line: &str) {
        let status = self.program(line).in_time().status();
        assert!(status.expect("sh").success(), "{line}");
    }
}

/// A process in the yard, which sleeps; killed at the end.
pub struct Sleeper(Child);

impl Sleeper {
    pub fn new(yard: &Yard) -> Sleeper {
        let child = yard.program("sleep 1009").in_time().spawn().expect("sh");
        let name = format!("/proc/{}/comm", child.id());
        let end = Instant::now() + SOON;
        while std::fs::read_to_string(&name).is_ok_and(|comm| comm.trim() != "sleep") {
            assert!(Instant::now() < end, "it does not sleep");
            sleep(Duration::from_millis(5));
        }
        Sleeper(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
