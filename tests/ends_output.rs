//! Outputs that end before the run does: closed pipes, full disks; and recordings,
//! which must give the same rows as the run did, also where they are cut off.

mod common;
mod support_cli;

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use execlat::config::RowFilter;
use execlat::label::Key;
use execlat::pipeline::{Pipeline, Totals};
use execlat::sink::json::Json;
use execlat::source::replay::Replay;
use execlat::source::{Batch, Source as _};
use nix::sys::signal::Signal;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use common::InTime as _;
use support_cli::story::{Story, code, image};
use support_cli::{Ran, Yard, bench, ran, root, run};

/// More rows than a pipe holds.
fn big(dir: &Path) {
    let mut story = Story::new();
    for i in 0..10_007 {
        story
            .at(u64::from(i) * 100)
            .run(7000 + i, &image("/bin/true --number"), 50, code(0));
        if i % 101 == 0 {
            story.round();
        }
    }
    fs::write(dir.join("big.xl"), story.finish()).expect("big.xl");
}

/// Reads one line, and closes the pipe.
fn head(command: &mut Command) -> (String, Ran) {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.in_time().spawn().expect("execlat");
    let mut line = String::new();
    let pipe = child.stdout.take().expect("a pipe");
    std::io::BufReader::new(pipe)
        .read_line(&mut line)
        .expect("a line");
    (line, ran(child.wait_with_output().expect("execlat")))
}

#[test]
fn a_closed_pipe_ends_a_report_quietly() {
    let dir = bench();
    big(dir.path());
    for form in ["--color=never", "-j", "--csv"] {
        let mut command = Command::new(common::execlat());
        command
            .args(["report", "big.xl", form])
            .current_dir(dir.path());
        let (line, ran) = head(&mut command);
        assert!(line.ends_with('\n'), "{line}");
        assert_eq!((ran.status, &*ran.stderr), (0, ""), "{form}: {ran:?}");
    }
    for args in [["completions", "bash"], ["report", "day.xl"]] {
        let mut command = Command::new(common::execlat());
        let (_, ran) = head(command.args(args).current_dir(dir.path()));
        // What fits into the pipe may be all: then there is an account.
        assert_eq!(ran.status, 0, "{args:?}: {ran:?}");
        let account = |line: &str| line.starts_with("execlat: ") || line.starts_with("  ");
        assert!(ran.stderr.lines().all(account), "{args:?}: {ran:?}");
    }
}

#[test]
fn a_closed_pipe_ends_tracing_quietly() {
    let Some(yard) = Yard::new("closed") else {
        return;
    };
    for form in ["--color=never", "-j"] {
        let mut live = yard.trace(&[form]);
        let mut stdout = live.stdout();
        let mut line = String::new();
        if form == "-j" {
            yard.run("/bin/true first");
        }
        stdout.read_line(&mut line).expect("a line");
        drop(stdout);
        let mut runs = 0;
        while !live.ended_within(Duration::from_millis(100)) {
            yard.run("/bin/true more");
            runs += 1;
            assert!(runs < 200, "it does not end");
        }
        let ran = live.finish();
        assert_eq!((ran.status, &*ran.stderr), (0, ""), "{form}: {ran:?}");
    }
}

/// Lines up to one that begins with these words; the rest stays.
fn wait_for(stdout: &mut impl BufRead, words: &[&str]) {
    let mut line = String::new();
    let begins = |line: &str| {
        let mut got = line.split_whitespace();
        words.iter().all(|word| got.next() == Some(word))
    };
    while !begins(&line) {
        line.clear();
        let read = stdout.read_line(&mut line).expect("a line");
        assert!(read > 0, "it ended without {words:?}");
    }
}

#[test]
fn figures_come_in_intervals() {
    let Some(yard) = Yard::new("interval") else {
        return;
    };
    let mut live = yard.trace(&["-Q", "--histogram", "-i", "300ms"]);
    let mut stdout = live.stdout();
    for count in [1, 2] {
        for _ in 0..count {
            yard.run("/bin/true");
        }
        wait_for(&mut stdout, &["true"]);
    }
    let ran = live.finish_by(Signal::SIGINT);
    assert_eq!(ran.status, 0, "{ran:?}");
    // At the end those of all, whatever fell into which interval.
    wait_for(&mut stdout, &["true", "3"]);
}

/// A tiny file system; unmounted at the end.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    fn new() -> TinyDisk {
        let dir = tempfile::tempdir().expect("scratch directory");
        let mut mount = Command::new("mount");
        let mounted = mount
            .args(["-t", "tmpfs", "-o", "size=64k", "none"])
            .arg(dir.path());
        assert!(mounted.in_time().status().expect("mount").success());
        TinyDisk(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).in_time().status();
    }
}

/// Of rows, and the lines of the head of each.
const FORMS: [(&str, usize); 3] = [("--color=never", 1), ("--csv", 1), ("-j", 0)];

/// Far more than 64 KiB of rows, and of records.
const MUCH: &str = "x=$(printf %0997d 0); i=0
    while [ $i -lt 211 ]; do /bin/true $i $x; i=$((i+1)); done";
const MANY: usize = 211;

/// One line about it and the account, which holds everything.
fn full_disk_is_said(ran: &Ran, what: &str, executions: usize) {
    assert_eq!(ran.status, 1, "{ran:?}");
    let said: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(said.len(), 2, "{ran:?}");
    assert!(
        said[0].starts_with(what) && said[0].contains("No space left"),
        "{ran:?}"
    );
    let account = format!("execlat: {executions} executions, 0 failed, 0 still running, in ");
    assert!(
        said[1].starts_with(&account) && said[1].ends_with("; nothing lost"),
        "{ran:?}"
    );
}

/// The head is left out, too.
fn whole_rows(file: &Path, head: usize) -> usize {
    let rows = fs::read_to_string(file).expect("rows");
    let end = &rows[rows.len().saturating_sub(40)..];
    assert!(rows.ends_with('\n'), "the last line is not whole: {end}");
    rows.lines().count() - head
}

#[test]
fn rows_on_a_full_disk() {
    if root().is_none() {
        return;
    }
    for (form, head) in FORMS {
        let disk = TinyDisk::new();
        let file = disk.file("rows");
        let path = file.to_str().expect("UTF-8");
        let args = [form, "--histogram", "-o", path, "--", "sh", "-c", MUCH];
        let ran = run(disk.0.path(), &args);
        full_disk_is_said(
            &ran,
            &format!("execlat: cannot write rows to {path}, they end here: "),
            1 + MANY,
        );
        // The rest goes on.
        assert!(ran.stdout.contains("\n true "), "{ran:?}");
        let rows = whole_rows(&file, head);
        assert!((20..100).contains(&rows), "{form}: {rows} rows");
    }
}

/// Far more is handed over at once than there is room for.
#[test]
fn a_report_on_a_full_disk() {
    if root().is_none() {
        return;
    }
    let dir = bench();
    big(dir.path());
    for (form, head) in FORMS {
        let disk = TinyDisk::new();
        let file = disk.file("rows");
        let path = file.to_str().expect("UTF-8");
        let ran = run(dir.path(), &["report", "big.xl", form, "-o", path]);
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(ran.stderr.contains("No space left"), "{ran:?}");
        let rows = whole_rows(&file, head);
        assert!((100..2000).contains(&rows), "{form}: {rows} rows");
        let bytes = fs::metadata(&file).expect("rows").len();
        assert!((60_000..=65_536).contains(&bytes), "{form}: {bytes} bytes");
    }
}

/// What fits is written in rounds, and a round is kept as a whole or not at all: so
/// some are known to be over before the many come.
#[test]
fn a_recording_on_a_full_disk() {
    const FEW: usize = 31;
    if root().is_none() {
        return;
    }
    let disk = TinyDisk::new();
    let (file, gate) = (disk.file("rec.xl"), disk.file("gate"));
    let path = file.to_str().expect("UTF-8");
    mknodat(CWD, &gate, FileType::Fifo, Mode::RWXU, 0).expect("a fifo");
    let script = format!(
        "i=0; while [ $i -lt {FEW} ]; do /bin/true few; i=$((i+1)); done; read x <{}; {MUCH}",
        gate.display()
    );
    let mut command = Command::new(common::execlat());
    let mut child = command
        .args(["--record", path, "--", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .in_time()
        .spawn()
        .expect("execlat");
    let stdout = child.stdout.take().expect("a pipe");
    let mut live = std::io::BufReader::new(stdout)
        .lines()
        .map(|line| line.expect("a line"));
    let mut rows: Vec<String> = live.by_ref().take(1 + FEW).collect();
    assert_eq!(rows.len(), 1 + FEW, "{rows:?}");
    fs::write(&gate, "go on\n").expect("the gate");
    rows.extend(live);
    let ran = ran(child.wait_with_output().expect("execlat"));
    let said = "execlat: cannot write the recording, it ends here: ";
    full_disk_is_said(&ran, said, 1 + FEW + MANY);
    assert_eq!(rows.len(), 1 + FEW + MANY + 1, "all rows are there");
    let report = run(disk.0.path(), &["report", path]);
    assert_eq!(report.status, 0, "{report:?}");
    let kept: Vec<&str> = report.stdout.lines().collect();
    assert!(kept.len() > FEW, "{} rows", kept.len());
    assert_eq!(kept[..], rows[..kept.len()]);
    assert!(report.stderr.contains("cut off"), "{report:?}");
}

/// Runs of every kind of end while it records; what came to stdout, and the file.
fn recorded(yard: &Yard) -> (String, PathBuf) {
    let (rec, rows) = (yard.file("rec.xl"), yard.file("rows.json"));
    let live = yard.trace(&[
        "-j",
        "-o",
        rows.to_str().expect("UTF-8"),
        "--record",
        rec.to_str().expect("UTF-8"),
    ]);
    for line in [
        "/bin/true 'two\nlines' '\x1b[31m' ''",
        "sh -c '/bin/true; sh -c \"exit 0\"; exec /bin/true'",
        "sh -c 'for i in 1 2 3 4 5 6 7; do /bin/true $i & done; wait'",
        "env sleep 0.3",
    ] {
        yard.run(line);
    }
    let mut left = yard.program("sleep 1009").in_time().spawn().expect("sh");
    yard.run("sleep 0.2");
    let ran = live.finish_by(Signal::SIGINT);
    let _ = left.kill();
    let _ = left.wait();
    assert_eq!(ran.status, 0, "{ran:?}");
    (fs::read_to_string(rows).expect("rows"), rec)
}

#[test]
fn a_recording_gives_the_same_bytes_as_the_run() {
    let Some(yard) = Yard::new("same") else {
        return;
    };
    for round in 0..3 {
        let (live, rec) = recorded(&yard);
        let report = run(
            yard.scratch.path(),
            &["report".as_ref(), rec.as_os_str(), "-j".as_ref()],
        );
        assert_eq!(report.status, 0, "{report:?}");
        assert!(live.lines().count() == 18, "{live}");
        for (at, pair) in live.lines().zip(report.stdout.lines()).enumerate() {
            assert_eq!(
                pair.0, pair.1,
                "round {round}, line {at}: live, then report"
            );
        }
        assert_eq!(live, report.stdout);
    }
}

/// The rows of what a recording's first bytes hold; `None` if they are none.
fn rows_of(file: &Path) -> Option<(Vec<String>, Totals)> {
    let mut source = Replay::open(file).ok()?;
    let mut totals = Totals::new(Key::Action, RowFilter::default(), false);
    let mut pipeline = Pipeline::new(source.about(), None);
    let mut out = Vec::new();
    {
        let mut sink = Json::new(&mut out);
        let mut batch = Batch::default();
        while source.next(&mut batch).expect("what was read before") {
            pipeline
                .feed(&mut batch, &mut totals, Some(&mut sink))
                .expect("memory");
        }
        let ending = source.finish(&mut batch);
        pipeline
            .feed(&mut batch, &mut totals, Some(&mut sink))
            .expect("memory");
        pipeline.close(&ending, &mut totals);
    }
    let text = String::from_utf8(out).expect("JSON is UTF-8");
    Some((text.lines().map(str::to_owned).collect(), totals))
}

#[test]
fn a_recording_cut_at_any_byte_is_used_up_to_there() {
    let dir = bench();
    for name in ["day.xl", "args.xl", "lost.xl"] {
        let bytes = fs::read(dir.path().join(name)).expect("a recording");
        let (whole, _) = rows_of(&dir.path().join(name)).expect("a recording");
        let part = dir.path().join("part");
        let mut before = 0;
        for end in 0..bytes.len() {
            fs::write(&part, &bytes[..end]).expect("a part");
            let Some((rows, totals)) = rows_of(&part) else {
                assert_eq!(before, 0, "{name}: {end} bytes are refused, fewer were not");
                continue;
            };
            assert!(rows.len() >= before, "{name}: {end} bytes give fewer rows");
            assert_eq!(rows[..], whole[..rows.len()], "{name}: {end} bytes");
            assert_eq!(
                totals.summary().executions as usize + totals.summary().unknown as usize,
                rows.len()
            );
            before = rows.len();
        }
        assert!(before > 0 && before <= whole.len(), "{name}");
    }
}
