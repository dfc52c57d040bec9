use super::*;
use crate::config::{Format, Origin};
use crate::row::Column;

fn config(line: &[&str]) -> Config {
    let args = ["execlat"]
        .iter()
        .chain(line)
        .map(|word| OsString::from(*word));
    match parse(args) {
        Ok(Request::Run(config)) => *config,
        Ok(Request::Doctor { .. } | Request::Completions(_)) => panic!("another task"),
        Err(answer) => panic!("{}", answer.text),
    }
}

fn refusal(line: &[&str]) -> String {
    let args = ["execlat"]
        .iter()
        .chain(line)
        .map(|word| OsString::from(*word));
    match parse(args) {
        Err(answer) => {
            assert_eq!(answer.status, USAGE);
            assert_eq!(answer.text.matches('\n').count(), 1, "{}", answer.text);
            answer.text
        }
        Ok(_) => panic!("accepted: {line:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    command().debug_assert();
}

#[test]
fn a_command_without_its_dashes_is_told_of_them() {
    for (line, meant) in [
        (&["sleep", "1"][..], "execlat -- sleep 1"),
        (&["-n", "runc", "cat", "-n"], "execlat -n runc -- cat -n"),
        (&["-Q", "echo", "a b"], "execlat -Q -- echo 'a b'"),
        (
            &["-n", "sleep", "sleep", "1"],
            "execlat -n sleep -- sleep 1",
        ),
    ] {
        let said = refusal(line);
        let hint = format!(": to trace a command, {meant} (see execlat --help)\n");
        assert!(said.ends_with(&hint), "{said}");
    }
    let long = "x".repeat(200);
    assert!(refusal(&["sleep", &long]).contains("to trace a command, execlat [OPTION]… --"));
    for line in [
        &["doctor", "x"][..],
        &["--sleep"],
        &["-d", "x"],
        &["-n", "a", "--x", "b"],
        &["--histogram", "no-such-program.json"],
        &["reprot", "x"],
    ] {
        assert!(!refusal(line).contains("trace a command"), "{line:?}");
    }
}

#[test]
fn filters_and_views_are_resolved() {
    let config = config(&[
        "-c",
        "/a",
        "--cgroup",
        "/b",
        "-n",
        "runc",
        "-u",
        "root",
        "-x",
        "--histogram",
        "-T",
        "-t",
    ]);
    let Origin::Live(live) = &config.origin else {
        panic!("not live");
    };
    assert_eq!(live.filter.cgroups.len(), 2);
    assert_eq!(live.filter.names, [b"runc".to_vec()]);
    assert_eq!(live.filter.uids, [0]);
    assert!(config.view.histogram && config.view.exports.is_empty());
    assert_eq!(
        config.view.columns[..2],
        [Column::TimeOfDay, Column::Elapsed]
    );
}

#[test]
fn a_histogram_may_have_a_file() {
    let config = config(&[
        "--histogram=x.json",
        "--histogram=y.csv",
        "--",
        "make",
        "-j2",
    ]);
    assert_eq!(config.view.exports.len(), 2);
    let Origin::Live(live) = &config.origin else {
        panic!("not live");
    };
    assert_eq!(live.command, ["make", "-j2"]);
    assert!(live.filter.command);
}

#[test]
fn a_live_table_is_instead_of_rows() {
    let of = |line: &[&str]| {
        let view = config(line).view;
        let interval = view.top.map(|top| top.interval.as_millis());
        (interval, view.quiet, view.output.is_some())
    };
    assert_eq!(of(&["--top"]), (Some(1000), true, false));
    assert_eq!(of(&["--top=250ms"]), (Some(250), true, false));
    assert_eq!(
        of(&["--top", "--json", "-o", "x"]),
        (Some(1000), true, true)
    );
    assert_eq!(of(&[]), (None, false, false));
}

#[test]
fn recordings_are_reported() {
    let config = config(&["report", "--json", "-n", "runc", "a.xl", "b.xl"]);
    assert_eq!(config.view.format, Format::Json);
    assert!(matches!(config.origin, Origin::Replay(_, paths) if paths.len() == 2));
}

#[test]
fn the_anatomy_is_of_runtimes() {
    let runtimes = [b"runc".to_vec(), b"crun".to_vec()];
    let filter = |line: &[&str]| match config(line).origin {
        Origin::Live(live) => live.filter,
        Origin::Replay(filter, _) => filter,
    };
    assert_eq!(filter(&["--anatomy"]).names, runtimes);
    assert_eq!(filter(&["report", "--anatomy", "a.xl"]).names, runtimes);
    let named = filter(&["--anatomy", "-n", "docker-runc"]);
    assert!(named.anatomy && named.names == [b"docker-runc".to_vec()]);
    assert!(!filter(&["-n", "runc"]).anatomy);
}

#[test]
fn mistakes_are_said_in_a_line() {
    let cases: [(&[&str], &str); 23] = [
        (&["--duration", "soon"], "50ms, 2s, 1h 30m"),
        (&["--min-time", "-1s"], "a duration is a number"),
        (&["--line", "a("], "unclosed group"),
        (&["--columns", "pid,colour"], "no column \"colour\""),
        (&["--buffer", "8X"], "a size is a number"),
        (&["--by", "moon"], "invalid value 'moon'"),
        (&["--uid", "nobody-of-that-name"], "no such user"),
        (&["--comm", "/usr/bin/runc"], "not a path"),
        (&["--max-args-bytes", "32001"], "32001 is not in 1..=32000"),
        (&["--json", "--csv"], "cannot be used with"),
        (&["--pid", "0"], "a pid is a number"),
        (&["--pid", "1", "--", "true"], "give one of them"),
        (&["--interval", "1s"], "--histogram"),
        (&["report"], "RECORDING"),
        (&["--anatomy", "-T"], "columns of its own"),
        (&["--anatomy", "--columns", "pid"], "columns of its own"),
        (&["--anatomy", "--follow"], "follows what it needs"),
        (&["report", "--top", "a.xl"], "a recording is over"),
        (&["--top=99ms"], "at least 100ms"),
        (&["--top", "--json"], "need --output"),
        (&["--top", "--", "make"], "both want the terminal"),
        (&["--top", "--histogram", "-i", "1s"], "give one of them"),
        (&["--top", "--anatomy"], "give one of them"),
    ];
    for (line, what) in cases {
        let text = refusal(line);
        assert!(text.contains(what), "{line:?}: {text}");
    }
}

#[test]
fn help_is_no_mistake() {
    for flag in ["-h", "--help", "--version"] {
        let args = ["execlat", flag].map(OsString::from);
        let answer = parse(args).err().expect("an answer");
        assert_eq!(answer.status, 0);
    }
    let short = parse(["execlat", "-h"].map(OsString::from))
        .err()
        .expect("help");
    assert!(short.text.lines().count() < 60);
    assert!(!short.text.contains("Examples:"));
}
