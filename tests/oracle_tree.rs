//! `--tree` against the oracle: every execution in it once, below who started it.

mod common;
mod support_cli;

use std::collections::HashSet;

use common::{Bed, Expected, Report};
use nix::sys::signal::Signal;
use support_cli::Live;

/// Pid, parent and code, padded; then the arguments.
const COLUMNS: [&str; 2] = ["--columns", "pid,ppid,code,argv"];
const ARGV_AT: usize = 25;
const INDENT: usize = 2;

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

/// The lines with their depths.
fn shown(stdout: &str) -> Vec<(usize, Line)> {
    let lines = stdout.lines().skip(1);
    lines
        .map(|line| {
            let (cells, rest) = line.split_at(ARGV_AT);
            let cells: Vec<&str> = cells.split_whitespace().collect();
            let argv = rest.trim_start_matches(' ');
            let number = |i: usize| cells[i].parse().expect("a pid");
            let line = Line {
                pid: number(0),
                ppid: number(1),
                code: cells[2].to_owned(),
                argv: argv.to_owned(),
            };
            ((rest.len() - argv.len()) / INDENT, line)
        })
        .collect()
}

fn is_the_tree_of(report: &Report, stdout: &str) {
    let shown = shown(stdout);
    let expected: HashSet<Line> = report.expected.iter().map(Line::of).collect();
    assert_eq!(expected.len(), report.expected.len(), "not told apart");
    let lines: HashSet<Line> = shown.iter().map(|(_, line)| line.clone()).collect();
    assert_eq!(lines, expected, "{stdout}");
    assert_eq!(
        shown.len(),
        expected.len(),
        "something is there twice: {stdout}"
    );
    let pids: HashSet<u64> = expected.iter().map(|line| line.pid).collect();
    let mut above: Vec<&Line> = Vec::new();
    for (depth, line) in &shown {
        above.truncate(*depth);
        match above.last() {
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
        is_the_tree_of(&report, &stdout);
        let depths: HashSet<usize> = shown(&stdout).iter().map(|(depth, _)| *depth).collect();
        assert_eq!(depths, HashSet::from([0, 1, 2]), "{stdout}");
    }
}

/// An orphan execs again below whoever it came to; here, on top.
#[test]
fn orphans_stand_where_their_exec_found_them() {
    let Some(bed) = Bed::new() else { return };
    let (report, outputs) = observe(&bed, &["-c", bed.cgroup.path()], &["orphan"]);
    for stdout in outputs {
        is_the_tree_of(&report, &stdout);
    }
}
