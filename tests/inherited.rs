//! What execlat inherits of signals and limits: a limit of file size is a full disk,
//! ignored and blocked signals do no harm, and COMMAND gets none of what we did about it.

mod common;
mod support_cli;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use common::InTime as _;
use support_cli::story::{Story, code, image};
use support_cli::{Live, Ran, Yard, bench, finish, ran, root, run};

/// Far more than the limit, in any form.
const MANY: usize = 10_007;
const LIMIT: u64 = 64 << 10;
const TOO_LARGE: &str = "File too large";

fn big(dir: &Path) {
    let mut story = Story::new();
    for i in 0..MANY as u32 {
        let at = story.at(u64::from(i) * 100);
        at.run(7000 + i, &image("/bin/true --number"), 50, code(0));
    }
    fs::write(dir.join("big.xl"), story.finish()).expect("big.xl");
}

/// `execlat ARGS`, which may not write beyond so many bytes of a file.
fn limited(dir: &Path, bytes: u64, args: &[&str]) -> Command {
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--fsize={bytes}"))
        .arg("--")
        .arg(common::execlat())
        .args(args)
        .current_dir(dir);
    command
}

/// As on a full disk: one line about it, and the account of everything.
fn limit_is_said(ran: &Ran, what: &str) {
    assert_eq!(ran.status, 1, "{ran:?}");
    let said: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(said.len(), 2, "{ran:?}");
    let begins = format!("execlat: {what}: {TOO_LARGE}");
    assert!(said[0].starts_with(&begins), "{ran:?}");
    assert!(said[1].contains(" executions, 0 failed"), "{ran:?}");
    assert!(said[1].ends_with("; nothing lost"), "{ran:?}");
}

#[test]
fn rows_beyond_the_limit_of_file_size() {
    let dir = bench();
    big(dir.path());
    for (form, head) in [("--color=never", 1), ("--csv", 1), ("-j", 0)] {
        let args = ["report", "big.xl", form, "--histogram", "-o", "rows"];
        let ran = finish(&mut limited(dir.path(), LIMIT, &args));
        limit_is_said(&ran, "cannot write rows to rows, they end here");
        // The rest goes on.
        assert!(ran.stdout.contains("\n true "), "{ran:?}");
        let rows = fs::read_to_string(dir.path().join("rows")).expect("rows");
        assert!(rows.ends_with('\n') && rows.len() as u64 <= LIMIT);
        assert!(rows.lines().count() - head > 50, "{form}");
    }
}

#[test]
fn standard_output_beyond_the_limit() {
    let dir = bench();
    big(dir.path());
    let file = File::create(dir.path().join("out")).expect("a file");
    let mut command = limited(
        dir.path(),
        LIMIT,
        &["report", "big.xl", "--histogram=h.json"],
    );
    let output = command.stdin(Stdio::null()).stdout(file).in_time().output();
    let ran = ran(output.expect("execlat"));
    // The figures would go there, too.
    assert_eq!(ran.status, 1, "{ran:?}");
    let first = format!("execlat: cannot write rows, they end here: {TOO_LARGE}");
    assert!(ran.stderr.starts_with(&first), "{ran:?}");
    let figures = fs::read_to_string(dir.path().join("h.json")).expect("an export");
    assert!(figures.contains("\"count\": 10007"), "{figures}");
}

#[test]
fn an_export_beyond_the_limit() {
    let dir = bench();
    big(dir.path());
    let args = ["report", "big.xl", "-Q", "--histogram=h.json"];
    let ran = finish(&mut limited(dir.path(), 97, &args));
    limit_is_said(&ran, "cannot export the histogram to h.json");
}

#[test]
fn a_recording_beyond_the_limit() {
    if root().is_none() {
        return;
    }
    let dir = bench();
    let script = "i=0; while [ $i -lt 1009 ]; do /bin/true $i; i=$((i+1)); done";
    let args = ["--record", "r.xl", "-Q", "--", "sh", "-c", script];
    let ran = finish(&mut limited(dir.path(), 16 << 10, &args));
    limit_is_said(&ran, "cannot write the recording, it ends here");
    assert!(ran.stderr.contains("1010 executions"), "{ran:?}");
    let report = run(dir.path(), &["report", "r.xl", "-Q"]);
    assert_eq!(report.status, 0, "{report:?}");
}

/// Signals without those that libraries of C keep to themselves.
const STANDARD: u64 = (1 << 31) - 1;

/// The masks of ignored and of blocked signals that COMMAND has.
fn of_command(env: &[&str]) -> [u64; 2] {
    let mut command = Command::new("env");
    command
        .args(env)
        .arg(common::execlat())
        .args(["-Q", "--", "cat", "/proc/self/status"]);
    let ran = finish(&mut command);
    assert_eq!(ran.status, 0, "{ran:?}");
    ["SigIgn:", "SigBlk:"].map(|name| {
        let mask = ran.stdout.lines().find_map(|line| line.strip_prefix(name));
        let mask = u64::from_str_radix(mask.expect("a mask").trim(), 16);
        mask.expect("a mask") & STANDARD
    })
}

fn bit(signal: Signal) -> u64 {
    1 << (signal as i32 - 1)
}

#[test]
fn a_command_has_signals_as_if_we_were_not_there() {
    if root().is_none() {
        return;
    }
    assert_eq!(of_command(&[]), [0, 0]);
    // What was ignored for nohup's reasons, or to get the error, stays so.
    let ignored = of_command(&["--ignore-signal=HUP", "--ignore-signal=XFSZ"]);
    let kept = bit(Signal::SIGHUP) | bit(Signal::SIGXFSZ);
    assert_eq!(ignored, [kept, 0]);
    // Its status is waited for, and the signals are heard that are passed on to it.
    let mended = of_command(&["--ignore-signal=CHLD", "--block-signal=TERM"]);
    assert_eq!(mended, [0, 0]);
}

#[test]
fn an_ignored_sigchld_costs_no_status() {
    if root().is_none() {
        return;
    }
    for (script, status) in [("exit 7", 7), ("kill -9 $$", 128 + 9)] {
        let mut command = Command::new("env");
        command
            .arg("--ignore-signal=CHLD")
            .arg(common::execlat())
            .args(["-Q", "--", "sh", "-c", script]);
        let ran = finish(&mut command);
        assert_eq!(ran.status, status, "{ran:?}");
        assert!(ran.stderr.ends_with("; nothing lost\n"), "{ran:?}");
    }
}

#[test]
fn blocked_signals_are_heard() {
    let Some(yard) = Yard::new("blocked") else {
        return;
    };
    for (signal, name) in [
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGINT, "INT"),
        (Signal::SIGHUP, "HUP"),
    ] {
        let mut command = Command::new("env");
        command
            .arg(format!("--block-signal={name}"))
            .arg(common::execlat())
            .arg("-v")
            .args(common::probe_args())
            .args(["-c", yard.cgroup.path()]);
        let live = Live::start_as(&mut command);
        yard.run("/bin/true seen");
        let ran = live.finish_by(signal);
        assert_eq!(ran.status, 0, "{name}: {ran:?}");
        assert!(ran.stdout.ends_with("/bin/true seen\n"), "{ran:?}");
    }
}

/// What COMMAND prints, where execlat was started by `by`, with a line of its own.
fn printed(by: &[&str], command: &[&str]) -> String {
    let mut started = Command::new(by[0]);
    started
        .args(&by[1..])
        .arg(common::execlat())
        .args(["-Q", "--"])
        .args(command);
    let ran = finish(&mut started);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.ends_with("; nothing lost\n"), "{ran:?}");
    ran.stdout.trim().to_owned()
}

/// We go first for a while, and limit that; COMMAND does neither.
#[test]
fn a_command_has_the_priority_and_the_limits_that_we_were_given() {
    if root().is_none() {
        return;
    }
    for nice in ["-5", "0", "5"] {
        assert_eq!(printed(&["nice", "-n", nice], &["nice"]), nice);
    }
    let limits = ["prlimit", "--rttime", "--noheadings", "-o", "SOFT,HARD"];
    let soft = printed(&["prlimit", "--rttime=5000000:unlimited"], &limits);
    assert_eq!(soft, "5000000 unlimited");
    let none = printed(&["prlimit", "--rttime=unlimited"], &limits);
    assert_eq!(none, "unlimited unlimited");
    let ignored = of_command(&["--ignore-signal=XCPU"]);
    assert_eq!(ignored, [bit(Signal::SIGXCPU), 0]);
}

/// Who goes first, and is at it for longer than that, is killed.
#[test]
fn a_hard_limit_of_real_time_does_not_end_us() {
    if root().is_none() {
        return;
    }
    assert_eq!(printed(&["prlimit", "--rttime=1000"], &["echo", "x"]), "x");
}

#[test]
fn few_descriptors_are_enough() {
    if root().is_none() {
        return;
    }
    // As it is with as few CPUs as test machines have.
    assert_eq!(printed(&["prlimit", "--nofile=160"], &["echo", "x"]), "x");
}
