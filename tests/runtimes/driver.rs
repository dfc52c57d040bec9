//! The driver: a small process that starts runtimes as a shell would, in a cgroup
//! that we choose, and is told by the kernel how and when each ended.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread::spawn;

use crate::common::{Expected, InTime as _, PATIENCE};

/// A process that starts others, and to which their orphans come.
pub struct Driver {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    /// Status and time of those that nobody asked for yet.
    ended: HashMap<u32, (i32, u64)>,
    log: PathBuf,
}

/// A program that has been executed.
#[derive(Clone, Debug)]
pub struct Started {
    pub pid: u32,
    pub argv: Vec<Vec<u8>>,
    /// `CLOCK_MONOTONIC` before its fork.
    pub start_ns: u64,
}

/// A child that has been waited for; also an orphan.
#[derive(Clone, Debug)]
pub struct Ended {
    /// As wait has it.
    pub status: i32,
    /// `CLOCK_MONOTONIC` after the wait.
    pub end_ns: u64,
}

/// A program from its fork to its wait.
#[derive(Clone, Debug)]
pub struct Done {
    pub pid: u32,
    pub ppid: u32,
    pub argv: Vec<Vec<u8>>,
    pub status: i32,
    pub start_ns: u64,
    pub end_ns: u64,
}

impl Driver {
    /// Starts it by a command that ends with `exec "$@"`, if one is needed.
    pub fn start(log: &Path, by: Option<&Path>) -> Driver {
        let file = File::create(log).expect("the driver's log");
        let mut command = Command::new(by.unwrap_or(program()));
        if by.is_some() {
            command.arg(program());
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .in_time()
            .spawn()
            .expect("start of the driver");
        let pipe = BufReader::new(child.stdout.take().expect("a pipe"));
        let (send, lines) = channel();
        spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let driver = Driver {
            stdin: child.stdin.take().expect("a pipe"),
            child,
            lines,
            ended: HashMap::new(),
            log: log.to_owned(),
        };
        assert_eq!(driver.line(), "ready", "{}", driver.said());
        driver
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the driver and all that it started have written.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Executes `file` with `argv`; returns once it has its new image.
    pub fn spawn(&mut self, file: &Path, argv: Vec<Vec<u8>>) -> Started {
        let mut request = format!("{}\n", argv.len() + 1).into_bytes();
        request.extend(file.as_os_str().as_encoded_bytes());
        request.push(0);
        for arg in &argv {
            request.extend(arg);
            request.push(0);
        }
        self.stdin.write_all(&request).expect("word to the driver");
        loop {
            let line = self.line();
            if let Some((pid, start_ns)) = line.strip_prefix("started ").and_then(two) {
                return Started {
                    pid,
                    argv,
                    start_ns,
                };
            }
            self.take(&line);
        }
    }

    /// Waits for the end of a program.
    pub fn finish(&mut self, started: &Started) -> Done {
        let ended = self.ended(started.pid);
        Done {
            pid: started.pid,
            ppid: self.pid(),
            argv: started.argv.clone(),
            status: ended.status,
            start_ns: started.start_ns,
            end_ns: ended.end_ns,
        }
    }

    /// Waits for the end of any child, an adopted one as well.
    pub fn ended(&mut self, pid: u32) -> Ended {
        loop {
            if let Some((status, end_ns)) = self.ended.remove(&pid) {
                return Ended { status, end_ns };
            }
            let line = self.line();
            self.take(&line);
        }
    }

    fn take(&mut self, line: &str) {
        let fields = line.strip_prefix("ended ").and_then(|rest| {
            let (pid, rest) = rest.split_once(' ')?;
            Some((pid.parse().ok()?, two(rest)?))
        });
        let (pid, end) = fields.unwrap_or_else(|| panic!("the driver says {line:?}"));
        self.ended.insert(pid, end);
    }

    fn line(&self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|e| panic!("the driver is silent ({e}): {}", self.said()))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Done {
    /// The row that is due: of its bounds, the caller's own times are the widest.
    pub fn expected(&self, label: &str) -> Expected {
        let signal = self.status & 0x7f;
        Expected {
            label: label.to_owned(),
            pid: self.pid.into(),
            ppid: self.ppid.into(),
            uid: rustix::process::getuid().as_raw().into(),
            argv: self.argv.clone(),
            end: "exit".into(),
            exit_code: (signal == 0).then_some(i64::from(self.status >> 8)),
            signal: (signal != 0).then_some(i64::from(signal)),
            core: self.status & 0x80 != 0,
            reexecs: 0,
            start_known: true,
            time_ns: (0, self.wall_ns()),
            start_ns: (self.start_ns, self.end_ns),
            end_ns: (self.start_ns, self.end_ns),
            used: None,
            wait4_maxrss_kib: None,
        }
    }

    pub fn wall_ns(&self) -> u64 {
        self.end_ns - self.start_ns
    }
}

/// A number, a space, a number.
fn two<A: std::str::FromStr, B: std::str::FromStr>(text: &str) -> Option<(A, B)> {
    let (a, b) = text.split_once(' ')?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

/// Its path: given by the environment, or built by gcc, once.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(ready) = std::env::var_os("EXECLAT_DRIVER") {
            return ready.into();
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtimes/driver.c");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver");
        // Another test program may do the same now: whole files only.
        let temporary = program.with_extension(std::process::id().to_string());
        let output = Command::new("gcc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o"])
            .args([&temporary, &source])
            .in_time()
            .output()
            .expect("gcc");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::rename(&temporary, &program).expect("the driver's place");
        program
    })
}
