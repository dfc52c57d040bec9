//! What the tests of the command line, of ends and of outputs share: recordings
//! made by hand, and execlat run to its end or live.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test crate uses a part of it"
)]

pub mod live;
pub mod recordings;
pub mod story;

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

pub use live::{Live, SOON, Sleeper, Yard};

use crate::common::{self, InTime as _};

/// What a run of execlat came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    /// As `$?` has it.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs execlat in a directory; an hour of the machine's life is not waited for.
pub fn run<S: AsRef<OsStr>>(dir: &Path, args: &[S]) -> Ran {
    let mut command = Command::new(common::execlat());
    command.args(args).current_dir(dir);
    finish(&mut command)
}

/// Runs any command without a terminal, and what it came to.
pub fn finish(command: &mut Command) -> Ran {
    let output = command
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .in_time()
        .output();
    ran(output.unwrap_or_else(|e| panic!("{command:?}: {e}")))
}

pub fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("execlat writes UTF-8");
    Ran {
        status: shell_status(output.status),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

pub fn shell_status(status: ExitStatus) -> i32 {
    let by_signal = status.signal().map(|signal| 128 + signal);
    status.code().or(by_signal).expect("a status")
}

/// A shell's line on a terminal of its own, which is fed and read through the child's
/// pipes. `$EXECLAT` stands for the program. A Ctrl-C reaches the whole foreground, this
/// shell too: it takes no notice, so that the line's status is the program's, whatever
/// the user's own shell does then.
pub fn on_a_terminal(dir: &Path, line: &str) -> Child {
    Command::new("script")
        .args(["-qefc", &format!("trap : INT; {line}"), "/dev/null"])
        .current_dir(dir)
        .env("SHELL", "/bin/sh")
        .env("EXECLAT", common::execlat())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .in_time()
        .spawn()
        .expect("script")
}

/// A directory with all the recordings.
pub fn bench() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("scratch directory");
    for (name, bytes) in recordings::all() {
        std::fs::write(dir.path().join(name), bytes).expect("a recording");
    }
    dir
}

/// The words of a command line as a shell splits them.
pub fn words(line: &str) -> Vec<String> {
    shlex::split(line).unwrap_or_else(|| panic!("not to be split: {line}"))
}

/// Root may trace; `None`, with a word, where we are not.
pub fn root() -> Option<()> {
    let root = rustix::process::geteuid().is_root();
    if !root {
        common::skip("needs root");
    }
    root.then_some(())
}

/// execlat where everybody may run it, for tests without privilege.
pub fn execlat_for_all(dir: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir, open).expect("mode");
    let copy = dir.join("execlat");
    // By another process: a child that a test beside us forks would inherit our open
    // file, and what is open for writing cannot be run ("text file busy").
    let copied = Command::new("cp")
        .arg(common::execlat())
        .arg(&copy)
        .in_time()
        .status();
    assert!(copied.expect("cp").success());
    copy
}

/// A command as nobody, without capabilities.
pub fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["--inh-caps=-all", "--"]).arg(program);
    command
}
