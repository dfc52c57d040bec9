//! The command that is run to be traced (`execlat … -- COMMAND`): it gets the
//! terminal, and its status becomes ours.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command as Process, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::stop::Stop;

/// Exit status when there is no such program, as shells have it.
const NOT_FOUND: u8 = 127;
/// Exit status when it is there but cannot be run.
const NOT_RUNNABLE: u8 = 126;

/// How often is looked whether it has ended, once tracing has.
const WAIT: Duration = Duration::from_millis(20);

/// A running command.
#[derive(Debug)]
pub struct Command {
    child: Child,
    passed_on: bool,
}

/// Why a command did not start, and the exit status that says so.
#[derive(Debug)]
pub struct NotStarted {
    /// What to tell.
    pub error: anyhow::Error,
    /// 126 or 127.
    pub status: u8,
}

impl Command {
    /// Starts it. The probes must be live: its first exec is the first row.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(words: &[OsString]) -> Result<Option<Command>, NotStarted> {
        let Some((program, args)) = words.split_first() else {
            return Ok(None);
        };
        match Process::new(program).args(args).spawn() {
            Ok(child) => Ok(Some(Command {
                child,
                passed_on: false,
            })),
            Err(error) => {
                let status = match error.kind() {
                    io::ErrorKind::NotFound => NOT_FOUND,
                    _ => NOT_RUNNABLE,
                };
                let what = format!("cannot run {program:?}");
                let error = anyhow::Error::new(error).context(what);
                Err(NotStarted { error, status })
            }
        }
    }

    /// The exit status for ours, once it has ended: its code, or 128 and the signal.
    /// Until then, what we are told is passed on.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn ended(&mut self, stop: &Stop) -> Result<Option<u8>> {
        if let Some(signal) = stop.told() {
            self.pass_on(signal);
        }
        let status = self
            .child
            .try_wait()
            .context("failed to wait for the command")?;
        Ok(status.map(as_ours))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn wait(&mut self, stop: &Stop) -> Result<u8> {
        loop {
            if let Some(status) = self.ended(stop)? {
                return Ok(status);
            }
            std::thread::sleep(WAIT);
        }
    }

    /// Passes a signal on, once.
    fn pass_on(&mut self, signal: Signal) {
        if self.passed_on {
            return;
        }
        self.passed_on = true;
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            // It may just have ended, which is what the signal is for.
            let _ = kill_process(pid, signal);
        }
    }
}

fn as_ours(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, signal) => 128 + signal.unwrap_or(0) as u8,
    }
}
