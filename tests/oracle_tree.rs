//! `--tree` against the oracle: every execution in it once, below who started it.

mod common;
mod support_cli;

use std::collections::HashSet;

use common::{Bed, Expected, Report};
use nix::sys::signal::Signal;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support_cli::Live;

/// Pid, parent and code, padded; then the arguments.
const COLUMNS: [&str; 2] = ["--columns", "pid,ppid,code,argv"];
const ARGV_AT: usize = 25;
const INDENT: usize = 2;
/// Before what stands below an ancestor that is not its parent.
const FAR: &str = "~ ";

/// A line, as far as the workload knows what it must say.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
struct Line {
    pid: u64,
    ppid: u64,
    code: String,
    argv: String,
}

impl Line {
    fn of(e: &Expected) -> Line {
        let argv: Vec<_> = e.argv.iter().map(|a| String::from_utf8_lossy(a)).collect();
        Line {
            pid: e.pid,
            ppid: e.ppid,
            code: e.exit_code.map_or(e.end.clone(), |code| code.to_string()),
            argv: argv.join(" "),
        }
    }
}

/// A line, how many stand above it, and whether it is marked.
struct Shown {
    depth: usize,
    far: bool,
    line: Line,
}

fn shown(stdout: &str) -> Vec<Shown> {
    let lines = stdout.lines().skip(1);
    lines
        .map(|line| {
            let (cells, rest) = line.split_at(ARGV_AT);
            let cells: Vec<&str> = cells.split_whitespace().collect();
            let argv = rest.trim_start_matches(' ');
            let depth = (rest.len() - argv.len()) / INDENT;
            let marked = argv.strip_prefix(FAR);
            let number = |i: usize| cells[i].parse().expect("a pid");
            let line = Line {
                pid: number(0),
                ppid: number(1),
                code: cells[2].to_owned(),
                argv: marked.unwrap_or(argv).to_owned(),
            };
            let far = marked.is_some();
            Shown { depth, far, line }
        })
        .collect()
}

/// `descends`: also from a parent that is gone.
fn is_the_tree_of(report: &Report, stdout: &str, descends: bool) {
    let shown = shown(stdout);
    let expected: HashSet<Line> = report.expected.iter().map(Line::of).collect();
    assert_eq!(expected.len(), report.expected.len(), "not told apart");
    let lines: HashSet<Line> = shown.iter().map(|one| one.line.clone()).collect();
    assert_eq!(lines, expected, "{stdout}");
    assert_eq!(
        shown.len(),
        expected.len(),
        "something is there twice: {stdout}"
    );
    let pids: HashSet<u64> = expected.iter().map(|line| line.pid).collect();
    let mut above: Vec<&Line> = Vec::new();
    // Whose child a process was at its first exec.
    let begun_by = |pid: u64| {
        let its = report.expected.iter().filter(|e| e.pid == pid);
        let first = its.min_by_key(|e| e.start_ns.0).expect("a row");
        first.ppid
    };
    for Shown { depth, far, line } in &shown {
        above.truncate(*depth);
        let orphan = !pids.contains(&line.ppid) && pids.contains(&begun_by(line.pid));
        assert_eq!(*far, orphan && descends, "{line:?}: {stdout}");
        match above.last() {
            Some(ancestor) if *far => {
                assert_eq!(ancestor.pid, begun_by(line.pid), "{line:?}: {stdout}");
            }
            Some(starter) => assert_eq!(starter.pid, line.ppid, "{line:?}: {stdout}"),
            None => assert!(!pids.contains(&line.ppid), "{line:?} is on top: {stdout}"),
        }
        assert_eq!(above.len(), *depth, "{line:?}: {stdout}");
        above.push(line);
    }
}

/// What `execlat ARGS --tree` shows of a case, and `report --tree` of its recording.
fn observe(bed: &Bed, args: &[&str], case: &[&str]) -> (Report, [String; 2]) {
    let file = bed.scratch.path().join("tree.xl");
    let file = common::text(&file);
    let args = [args, &COLUMNS, &["--tree", "--strict", "--record", file]].concat();
    let live = Live::start(&args);
    let report = bed.workload().run(case);
    let ran = live.finish_by(Signal::SIGINT);
    assert_eq!(ran.status, 0, "{ran:?}");
    let again = [&["report", file, "--tree"], &COLUMNS[..]].concat();
    let again = support_cli::run(bed.scratch.path(), &again);
    (report, [ran.stdout, again.stdout])
}

#[test]
fn what_is_followed_stands_below_who_started_it() {
    let Some(bed) = Bed::new() else { return };
    let (report, outputs) = observe(&bed, &["-n", &bed.tag, "--follow"], &["family"]);
    let mut report = report;
    // Not the tag, and nobody followed starts it.
    report.expected.retain(|e| e.label != "aside");
    for stdout in outputs {
        is_the_tree_of(&report, &stdout, true);
        let depths: HashSet<usize> = shown(&stdout).iter().map(|one| one.depth).collect();
        assert_eq!(depths, HashSet::from([0, 1, 2]), "{stdout}");
    }
}

/// An orphan execs again when its parent is gone.
#[test]
fn orphans_stand_below_whom_they_descend_from() {
    let Some(bed) = Bed::new() else { return };
    let (report, outputs) = observe(&bed, &["-c", bed.cgroup.path()], &["orphan"]);
    for stdout in outputs {
        is_the_tree_of(&report, &stdout, true);
        assert!(shown(&stdout).iter().any(|one| one.far), "{stdout}");
    }
}

/// As conmon does it: what a fork of a fork executes, when the first fork is gone. Its
/// ancestor has waited for that by then.
#[test]
fn what_a_double_fork_starts_stands_below_the_last_ancestor_with_a_row() {
    let Some(bed) = Bed::new() else { return };
    let [gate, done] = ["gate", "done"].map(|name| bed.scratch.path().join(name));
    let (gate, done) = (common::text(&gate), common::text(&done));
    let script = format!(
        ": top
        ( (read go <{gate}; exec sh -c 'echo done >{done}' orphan) & )
        echo go >{gate}
        read done <{done}"
    );
    // By us: mkfifo is a part of some shells, and an execution for others.
    for fifo in [gate, done] {
        mknodat(CWD, fifo, FileType::Fifo, Mode::RWXU, 0).expect("a fifo");
    }
    for tree in [true, false] {
        let file = bed.scratch.path().join("fork.xl");
        let file = common::text(&file);
        let shape: &[&str] = if tree { &["--tree"] } else { &["-Q"] };
        let run = [
            shape,
            &COLUMNS,
            &["--strict", "--record", file],
            &["--", "sh", "-c", &script],
        ];
        let ran = support_cli::run(bed.scratch.path(), &run.concat());
        assert_eq!(ran.status, 0, "{ran:?}");
        let again = [&["report", file, "--tree"], &COLUMNS[..]].concat();
        let again = support_cli::run(bed.scratch.path(), &again);
        let said = again.stderr.contains("was not recorded with --tree: ");
        assert_eq!(said, !tree, "{again:?}");
        for stdout in [ran.stdout, again.stdout]
            .iter()
            .filter(|out| !out.is_empty())
        {
            let shown = shown(stdout);
            assert_eq!(shown.len(), 2, "{stdout}");
            let top = &shown[0];
            assert_eq!((top.depth, top.far), (0, false), "{stdout}");
            assert!(top.line.argv.starts_with("sh -c : top"), "{stdout}");
            let orphan = shown.iter().find(|one| one.line.argv.ends_with(" orphan"));
            let orphan = orphan.unwrap_or_else(|| panic!("it is not there: {stdout}"));
            assert_ne!(orphan.line.ppid, top.line.pid, "{stdout}");
            assert_eq!(
                (orphan.depth, orphan.far),
                (usize::from(tree), tree),
                "{stdout}"
            );
        }
    }
}
