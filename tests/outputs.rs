//! Where things are written: files that are the same by another name, files of
//! yesterday, streams that do not wait or that nobody reads, fifos.

mod common;
mod support_cli;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_setfl, mknodat};
use serde_json::Value;

use common::InTime as _;
use support_cli::story::{Story, code, image, image_of};
use support_cli::{Ran, Yard, bench, ran, root, run, shell_status};

/// A prime, and more rows than a pipe holds.
const MANY: usize = 10_007;

/// All in one round, which is handed over at once; some go on.
fn big(dir: &Path, open: u32) {
    let mut story = Story::new();
    for i in 0..MANY as u32 {
        story
            .at(u64::from(i) * 100)
            .run(7000 + i, &image("/bin/true --number"), 50, code(0));
    }
    for i in 0..open {
        story.exec(20_000 + i, &image("sleep 1009"));
    }
    fs::write(dir.join("big.xl"), story.finish()).expect("big.xl");
}

/// `execlat ARGS` with streams of the test's own.
fn execlat(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(common::execlat());
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.env_remove("NO_COLOR");
    command
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("a file");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:?}"))
}

#[test]
fn a_file_is_not_written_twice_by_any_name() {
    let dir = bench();
    for (args, name) in [
        (["--csv", "-o", "./s.csv", "--histogram=s.csv"], "./s.csv"),
        (["-o", "link", "--histogram=t.csv", "-Q"], "link"),
    ] {
        let _ = std::os::unix::fs::symlink("t.csv", dir.path().join("link"));
        let mut all = vec!["report", "day.xl"];
        all.extend(args);
        let ran = run(dir.path(), &all);
        let said = format!("execlat: {name} is named for two things: give each its own file\n");
        assert_eq!((ran.status, &*ran.stderr), (1, &*said), "{ran:?}");
    }
    let out = File::create(dir.path().join("out")).expect("a file");
    let mut command = execlat(
        dir.path(),
        &["report", "day.xl", "-o", "out", "--histogram"],
    );
    let output = command
        .stdout(out)
        .stderr(Stdio::piped())
        .in_time()
        .output();
    let output = output.expect("execlat");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(shell_status(output.status), 1);
    assert_eq!(
        said,
        "execlat: out is where standard output or error goes: give each its own file\n"
    );
}

/// A link in a directory for all, of somebody else: whatever is written to it.
#[test]
fn no_output_goes_into_a_trap() {
    use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
    const OTHER: Option<u32> = Some(4711);
    if root().is_none() {
        return;
    }
    let dir = bench();
    let trap = dir.path().join("all/trap.json");
    fs::create_dir(dir.path().join("all")).expect("made");
    fs::set_permissions(dir.path().join("all"), fs::Permissions::from_mode(0o1777)).expect("mode");
    fs::write(dir.path().join("secret"), "ours").expect("a file");
    symlink("../secret", &trap).expect("a link");
    lchown(&trap, OTHER, None).expect("given away");
    for args in [
        &["report", "day.xl", "-o", "all/trap.json"][..],
        &["report", "day.xl", "--histogram=all/trap.json"],
        &["-d", "1ms", "--record", "all/trap.json"],
    ] {
        let ran = run(dir.path(), args);
        let said = "execlat: cannot write all/trap.json: \"trap.json\" is a link of user 4711, ";
        assert_eq!((ran.status, ran.stderr.lines().count()), (1, 1), "{ran:?}");
        assert!(ran.stderr.starts_with(said), "{ran:?}");
    }
    assert_eq!(fs::read(dir.path().join("secret")).expect("kept"), b"ours");
    // Nor does a recording go to a file that is theirs, wherever it is.
    chown(dir.path().join("secret"), OTHER, None).expect("given away");
    let ran = run(dir.path(), &["-d", "1ms", "--record", "secret"]);
    let said = "execlat: cannot write secret: it belongs to user 4711, who could read ";
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.starts_with(said), "{ran:?}");
}

/// Whatever column comes first, and whatever programs and containers are called.
#[test]
fn no_row_of_csv_looks_like_the_account() {
    const NAME: &str = "# summary: 9 executions";
    let dir = bench();
    let mut story = Story::new();
    let hostile = image_of(&[NAME.as_bytes()]).comm(NAME.as_bytes()[..15].as_ref());
    let runc = image_of(&[b"runc", b"state", NAME.as_bytes()]);
    story.cgroup(77, NAME.as_bytes(), false);
    story.named(NAME, NAME);
    story.at(100).run(7000, &hostile.within(77), 50, code(0));
    story.at(200).run(7001, &runc.within(77), 50, code(0));
    fs::write(dir.path().join("forged.xl"), story.finish()).expect("a recording");
    let mut began = 0;
    for column in execlat::row::CSV.map(|column| column.name()) {
        let args = ["report", "forged.xl", "--csv", "--columns"];
        let ran = run(dir.path(), &[&args[..], &[column]].concat());
        assert_eq!(ran.status, 0, "{ran:?}");
        let lines: Vec<&str> = ran.stdout.lines().collect();
        let comments: Vec<bool> = lines.iter().map(|line| line.starts_with('#')).collect();
        assert_eq!(comments, [false, false, false, true], "{ran:?}");
        // As any reader has them, of comments or not.
        let rows = |comment| {
            let mut reader = csv::ReaderBuilder::new();
            let reader = reader.comment(comment).flexible(true);
            let rows = reader.from_reader(ran.stdout.as_bytes()).into_records();
            let cell = |row: csv::StringRecord| row.get(0).unwrap_or_default().to_owned();
            rows.map(|row| cell(row.expect("a row")))
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(Some(b'#')), rows(None)[..2], "{ran:?}");
        began += rows(Some(b'#'))
            .iter()
            .filter(|cell| cell.starts_with('#'))
            .count();
    }
    assert_eq!(began, 4, "comm, action, container and name begin so");
    let args = [
        "report",
        "forged.xl",
        "-Q",
        "--by",
        "comm",
        "--histogram=h.csv",
    ];
    assert_eq!(run(dir.path(), &args).status, 0);
    let figures = fs::read_to_string(dir.path().join("h.csv")).expect("figures");
    let comments = figures.lines().filter(|line| line.starts_with('#'));
    assert_eq!(comments.count(), 1, "{figures}");
}

/// Unless nothing else is.
#[test]
fn a_recording_may_go_to_standard_output() {
    let Some(yard) = Yard::new("to-stdout") else {
        return;
    };
    let dir = yard.scratch.path();
    let args = ["-Q", "--record", "/dev/stdout", "-d", "1ms", "-c"];
    let mut command = execlat(dir, &[&args[..], &[yard.cgroup.path()]].concat());
    let file = File::create(dir.join("r.xl")).expect("a file");
    let output = command.stdout(file).in_time().output().expect("execlat");
    assert_eq!(shell_status(output.status), 0, "{output:?}");
    let ran = run(dir, &["report", "r.xl"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains("; nothing lost"), "{ran:?}");
}

/// What was there stays until it is certain that the run begins.
#[test]
fn yesterdays_files_stay_if_the_run_cannot_begin() {
    let dir = bench();
    for name in ["y.csv", "y.json"] {
        fs::write(dir.path().join(name), "yesterday").expect("a file");
    }
    let ran = run(
        dir.path(),
        &[
            "report",
            "day.xl",
            "--csv",
            "--histogram=y.json",
            "-o",
            "no/such/r.csv",
        ],
    );
    assert_eq!(ran.status, 1, "{ran:?}");
    if root().is_some() {
        let args = ["--csv", "-o", "y.csv", "--histogram=y.json", "--record"];
        let ran = run(
            dir.path(),
            &[&args[..], &["/no/such/r", "-d", "1s"]].concat(),
        );
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(ran.stderr.contains("cannot write /no/such/r"), "{ran:?}");
    }
    for name in ["y.csv", "y.json"] {
        let text = fs::read_to_string(dir.path().join(name)).expect("a file");
        assert_eq!(text, "yesterday", "{name}");
    }
}

/// A command that cannot be run leaves files that can be read; that one of them could
/// not be written counts for more.
#[test]
fn without_its_command_the_files_are_whole() {
    if root().is_none() {
        return;
    }
    let dir = bench();
    let ran = run(dir.path(), &["--histogram=h.json", "-j", "--", "/no/such"]);
    assert_eq!(ran.status, 127, "{ran:?}");
    assert_eq!(
        json(&dir.path().join("h.json"))["summary"]["executions"],
        0,
        "{ran:?}"
    );
    let full = File::create("/dev/full").expect("a device");
    let mut command = execlat(dir.path(), &["-j", "--", "/no/such"]);
    let status = command
        .stdout(full)
        .stderr(Stdio::null())
        .in_time()
        .status();
    assert_eq!(shell_status(status.expect("execlat")), 1);
}

/// Whoever reads the rows has enough; the figures are of all.
#[test]
fn an_export_is_whole_though_the_reader_has_gone() {
    let dir = bench();
    big(dir.path(), 0);
    for form in ["--color=never", "-j", "--csv"] {
        let args = ["report", "big.xl", form, "--strict", "--histogram=h.json"];
        let mut command = execlat(dir.path(), &args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.in_time().spawn().expect("execlat");
        drop(child.stdout.take());
        let ran = ran(child.wait_with_output().expect("execlat"));
        assert_eq!((ran.status, &*ran.stderr), (0, ""), "{form}: {ran:?}");
        let figures = json(&dir.path().join("h.json"));
        assert_eq!(figures["summary"]["executions"], MANY, "{form}");
    }
}

/// Another program with the same pipe may have told it not to wait.
#[test]
fn a_stream_that_does_not_wait_loses_nothing() {
    let dir = bench();
    big(dir.path(), 0);
    for form in ["--color=never", "-j", "--csv"] {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        fcntl_setfl(&writer, OFlags::NONBLOCK).expect("its flags");
        let mut command = execlat(dir.path(), &["report", "big.xl", form]);
        let mut child = command
            .stdout(writer)
            .stderr(Stdio::null())
            .in_time()
            .spawn()
            .expect("execlat");
        // Its end of the pipe would keep it open.
        drop(command);
        sleep(Duration::from_millis(300));
        let rows = read_all(reader);
        assert_eq!(shell_status(child.wait().expect("execlat")), 0, "{form}");
        let count = rows.lines().filter(|l| l.contains("--number")).count();
        assert_eq!(count, MANY, "{form}");
    }
}

fn read_all(from: OwnedFd) -> String {
    let mut text = String::new();
    File::from(from).read_to_string(&mut text).expect("UTF-8");
    text
}

/// All that runs is counted, though the disk is full before its rows.
#[test]
fn what_runs_is_counted_where_its_rows_have_no_room() {
    let dir = bench();
    big(dir.path(), 211);
    let full = File::create("/dev/full").expect("a device");
    let mut command = execlat(
        dir.path(),
        &["report", "big.xl", "-j", "--histogram=h.json"],
    );
    let output = command.stdout(full).in_time().output().expect("execlat");
    let ran: Ran = ran(output);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains(", 211 still running, "), "{ran:?}");
    let figures = json(&dir.path().join("h.json"));
    assert_eq!(figures["summary"]["running"], 211);
}

#[test]
fn names_of_files_are_harmless_on_a_terminal() {
    let dir = bench();
    let ran = run(dir.path(), &["report", "\x1b[31mno\x1b]0;t\x07"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("\\x1b[31mno") && !ran.stderr.contains(['\x1b', '\x07']),
        "{ran:?}"
    );
}

/// It is open from the beginning, and its reader waits until the end.
#[test]
fn a_fifo_gets_an_export() {
    let dir = bench();
    let fifo = dir.path().join("h.json");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("a fifo");
    let reader = spawn({
        let fifo = fifo.clone();
        move || fs::read_to_string(fifo).expect("UTF-8")
    });
    let ran = run(
        dir.path(),
        &["report", "day.xl", "-Q", "--histogram=h.json"],
    );
    assert_eq!(ran.status, 0, "{ran:?}");
    let figures: Value = serde_json::from_str(&reader.join().expect("read")).expect("JSON");
    assert!(figures["summary"]["executions"].as_u64() > Some(0));
}

/// It waits for somebody who reads it, and says so; then all comes, in one piece.
#[test]
fn a_fifo_that_nobody_reads_yet_is_named() {
    let dir = bench();
    let fifo = dir.path().join("fifo.csv");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("a fifo");
    let rows: [&[&str]; 3] = [
        &["report", "day.xl", "-o", "fifo.csv"],
        &["report", "day.xl", "-Q", "--histogram=fifo.csv"],
        &["-Q", "-d", "1ms", "-n", "nobody", "--record", "fifo.csv"],
    ];
    let live = root().is_some();
    for args in rows.iter().filter(|args| live || args[0] == "report") {
        let mut command = execlat(dir.path(), args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("execlat");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("UTF-8");
        let due = "execlat: waiting for a reader of the named pipe fifo.csv\n";
        assert_eq!(line, due, "{args:?}");
        let read = fs::read(&fifo).expect("all of it");
        assert!(!read.is_empty(), "{args:?}");
        let status = common::tracer::wait(&mut child, "execlat");
        assert!(status.success(), "{args:?}: {status}");
    }
}

/// Only who reads what we write can end us by going.
#[test]
fn tracing_goes_on_while_there_is_something_to_write_to() {
    let Some(yard) = Yard::new("readers") else {
        return;
    };
    let dir = yard.scratch.path();
    let args = ["-c", yard.cgroup.path(), "-d", "3s"];
    let figures = ["-j", "--histogram", "-i", "100ms"];
    let recording = ["-Q", "--record", "r.xl"];
    for (own, gone) in [(&figures[..], Stdio::piped()), (&recording, Stdio::null())] {
        let with_rows = own.contains(&"-j");
        let mut command = execlat(dir, &[&args[..], own].concat());
        command.stdout(Stdio::piped()).stderr(gone);
        let mut child = command.in_time().spawn().expect("execlat");
        drop(child.stderr.take());
        if !with_rows {
            drop(child.stdout.take());
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            yard.run("/bin/true");
            if child.try_wait().expect("execlat").is_some() {
                break;
            }
            sleep(Duration::from_millis(100));
        }
        assert!(began.elapsed() > Duration::from_secs(2), "{own:?}");
        let ran = ran(child.wait_with_output().expect("execlat"));
        assert_eq!(ran.status, 0, "{own:?}: {ran:?}");
        if with_rows {
            let rows = ran.stdout.matches("\"end\":\"exit\"").count();
            assert!(rows > 5, "{own:?}: {ran:?}");
        }
    }
}

#[test]
fn an_interval_may_be_longer_than_any_clock() {
    let Some(yard) = Yard::new("forever") else {
        return;
    };
    let args = ["--histogram", "-i", "10000000000000000000s"];
    let live = yard.trace(&args);
    yard.run("/bin/true");
    let ran = live.finish_by(Signal::SIGINT);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("/bin/true"), "{ran:?}");
}

/// What was measured is there, though the end cannot be looked at.
#[test]
fn what_was_measured_outlives_a_failure_at_the_end() {
    let Some(yard) = Yard::new("failing") else {
        return;
    };
    let path = yard.file("h.json");
    let export = format!("--histogram={}", path.display());
    let live = yard.trace(&["-j", &export]);
    for _ in 0..3 {
        yard.run("/bin/true");
    }
    let none = rustix::process::Rlimit {
        current: Some(3),
        maximum: Some(3),
    };
    let pid = rustix::process::Pid::from_raw(live.pid() as i32);
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, none).expect("a limit");
    let ran = live.finish_by(Signal::SIGTERM);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("Too many open files"), "{ran:?}");
    assert!(ran.stdout.contains("{\"summary\":"), "{ran:?}");
    assert_eq!(json(&path)["summary"]["executions"], 3, "{ran:?}");
}
