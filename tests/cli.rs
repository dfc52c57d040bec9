//! The command line: each mistake gives one clear line and the right status, and
//! nothing on stdout. In what is expected, `…` stands for anything.

mod common;
mod support_cli;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::InTime as _;
use support_cli::{Ran, as_nobody, bench, execlat_for_all, finish, root, run, words};

/// One line, the words in their order.
fn is_like(line: &str, expected: &str) -> bool {
    let mut pieces = expected.split('…');
    let Some(mut rest) = pieces.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let mut last = "";
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
        last = piece;
    }
    rest.is_empty() || (last.is_empty() && expected.contains('…'))
}

#[track_caller]
fn refused(what: &str, ran: &Ran, status: i32, expected: &str) {
    let whole = format!("{what}: {ran:?}");
    assert_eq!(ran.stdout, "", "nothing on stdout: {whole}");
    assert_eq!(ran.status, status, "{whole}");
    let line = ran.stderr.strip_suffix('\n');
    let line = line.unwrap_or_else(|| panic!("a whole line: {whole}"));
    assert!(!line.contains('\n'), "one line: {whole}");
    let said = line.strip_prefix("execlat: ");
    let said = said.unwrap_or_else(|| panic!("says who says it: {whole}"));
    assert!(is_like(said, expected), "{whole}\n  expected: {expected}");
}

/// Command lines, each with the line that refuses it.
fn all_refused(dir: &Path, status: i32, cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        let ran = run(dir, &words(line));
        refused(line, &ran, status, expected);
    }
}

/// Values that are none.
#[rustfmt::skip]
const VALUES: [(&str, &str); 30] = [
    ("-n ''", "…--comm <NAME>…: it is empty…"),
    ("-n /usr/sbin/runc", "…--comm <NAME>': it is the name of a program, not a path…"),
    ("-d ten", "invalid value 'ten' for '--duration <DURATION>': …50ms…"),
    ("-d 5x", "invalid value '5x' for '--duration…50ms…"),
    ("--min-time fast", "invalid value 'fast' for '--min-time <DURATION>': …50ms…"),
    ("--min-time=-1s", "invalid value '-1s' for '--min-time <DURATION>': …50ms…"),
    ("--histogram -i 0s", "…'--interval <DURATION>': it must be longer than nothing…"),
    ("--slow 0", "…'--slow <DURATION>': it must be longer than nothing…"),
    ("--slow soon", "invalid value 'soon' for '--slow <DURATION>': …50ms…"),
    ("-l 'a('", "invalid value 'a(' for '--line <REGEX>': unclosed group…"),
    ("-l '[z-a]'", "…--line <REGEX>': invalid character class range…"),
    ("--columns pid,colour", "no column \"colour\"; there are …pid, …argv…"),
    ("--columns ''", "no column \"\"; there are …"),
    ("--columns pid,,argv", "no column \"\"; there are …"),
    ("--buffer 8T", "…'--buffer <SIZE>': a size is a number with K, M or G…"),
    ("--buffer 0", "…'--buffer <SIZE>': it must be more than nothing…"),
    ("--by colour", "…'--by <KEY>'…action, comm, container, name, cgroup, code, argv0, none…"),
    ("--probe magic", "…'--probe <FLAVOUR>'…auto, kprobe, tracepoint…"),
    ("--color blue", "…'--color <WHEN>'…auto, always, never…"),
    ("-u nobody-of-this-name", "…'--uid <USER>': no such user…"),
    ("-u ''", "…'--uid <USER>…"),
    ("-p 0", "…'--pid <PID>'…"),
    ("-p one", "invalid value 'one' for '--pid <PID>'…"),
    ("--max-args-bytes 0", "…'--max-args-bytes <N>': 0 is not in 1..=32000…"),
    ("--max-args-bytes 32001", "…: 32001 is not in 1..=32000…"),
    ("--histogram=h.png", "…: its ending must be .txt, .json or .csv…"),
    ("--histogram=h", "…: its ending must be .txt, .json or .csv…"),
    ("-o ''", "a value is required for '--output <FILE>'…"),
    ("-c ''", "a value is required for '--cgroup <DIR>'…"),
    ("completions tcsh", "invalid value 'tcsh' for '<SHELL>'…bash…fish…zsh…"),
];

#[test]
fn values_that_are_none() {
    let dir = bench();
    all_refused(dir.path(), 2, &VALUES);
    let long = format!("-n {}", "x".repeat(64));
    let expected = "invalid value 'xxx…' for '--comm <NAME>': it is longer than 63 bytes…";
    all_refused(dir.path(), 2, &[(&long, expected)]);
}

/// Options that are none, or do not go together.
#[rustfmt::skip]
const OPTIONS: [(&str, &str); 22] = [
    ("--colour", "unexpected argument '--colour'…"),
    ("-k", "unexpected argument '-k'…"),
    ("runc", "unexpected argument 'runc'…"),
    ("-d", "a value is required for '--duration <DURATION>'…"),
    ("--csv --json", "…'--csv'…'--json'…"),
    ("-j --csv", "…'--json' cannot be used with '--csv'…"),
    ("-j --columns pid", "--json has all columns…"),
    ("-j -T", "--json has all columns…"),
    ("-j -t", "--json has all columns…"),
    ("--tree --json", "…'--tree' cannot be used with '--json'…"),
    ("report day.xl --csv --tree", "…'--csv'…'--tree'…"),
    ("--tree -Q", "--tree is made of rows, which --quiet and --top leave out…--output…"),
    ("--cgroup-exact", "…required…--cgroup <DIR>…"),
    ("-i 1s", "…required…--histogram…"),
    ("-p 1 -- true", "--pid and COMMAND both say which processes…"),
    ("-T -T", "…'--time' cannot be used multiple times…"),
    ("report", "…required…<RECORDING>…"),
    ("report day.xl --histogram -i 1s", "--interval is for live tracing…"),
    ("report day.xl --slow 1s", "--slow is for live tracing…--min-time…"),
    ("report day.xl --follow", "unexpected argument '--follow'…"),
    ("report day.xl -d 5", "unexpected argument '-d'…"),
    ("completions", "…required…<SHELL>…"),
];

#[test]
fn options_that_are_none_or_do_not_agree() {
    all_refused(bench().path(), 2, &OPTIONS);
}

/// What is not there, or is no cgroup.
#[rustfmt::skip]
const PLACES: [(&str, &str); 9] = [
    ("-c /no/such/place", "no such cgroup: /no/such/place (cgroups are below …"),
    ("-c /tmp", "not a cgroup: /tmp (cgroups are below …"),
    ("-p 4194305", "no process with pid 4194305"),
    ("--buffer 1024G", "failed to set up a perf buffer of …(try a smaller --buffer)…"),
    ("-o .", "cannot write .: Is a directory…"),
    ("-o missing/rows", "cannot write missing/rows: No such file…"),
    ("--record missing/rec", "cannot write missing/rec: No such file…"),
    ("--record .", "cannot write .: Is a directory…"),
    ("--histogram=missing/h.txt", "cannot write missing/h.txt: No such file…"),
];

#[test]
fn what_is_not_there_or_is_no_cgroup() {
    if root().is_none() {
        return;
    }
    let dir = bench();
    all_refused(dir.path(), 1, &PLACES);
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    for mount in mounts.lines() {
        let fields: Vec<&str> = mount.split(' ').collect();
        if !fields[2].starts_with("cgroup") {
            continue;
        }
        let expected = "not a cgroup but a file in one: …/cgroup.procs (give its directory)";
        let cases = [
            (
                "-c ROOT/missing",
                "no such cgroup: …/missing (cgroups are below …",
            ),
            ("-c ROOT/cgroup.procs", expected),
            ("-c ROOT -c /tmp", "not a cgroup: /tmp…"),
        ];
        for (line, expected) in cases {
            let line = line.replace("ROOT", fields[1]);
            all_refused(dir.path(), 1, &[(&line, expected)]);
        }
    }
    if !Path::new("/sys/bus/event_source/devices/kprobe").exists() {
        let expected = "this kernel has no kprobes (CONFIG_KPROBE…): use --probe tracepoint";
        all_refused(dir.path(), 1, &[("--probe kprobe", expected)]);
    }
}

/// Nothing that was there before is lost by a mistake.
#[test]
fn a_mistake_empties_no_file() {
    if root().is_none() {
        return;
    }
    let dir = bench();
    for name in ["rows", "h.txt", "rec"] {
        fs::write(dir.path().join(name), "yesterday's").expect("a file");
    }
    for line in [
        "-c /no/such/place -o rows --histogram=h.txt --record rec",
        "-p 4194305 -o rows --histogram=h.txt --record rec",
        "report missing.xl -o rows --histogram=h.txt",
        "report h.txt -o rows",
        "report day.xl -o day.xl",
        "report day.xl --histogram=h.txt -o h.txt",
        "-o rec --record rec",
    ] {
        let ran = run(dir.path(), &words(line));
        assert_eq!((ran.status, &*ran.stdout), (1, ""), "{line}: {ran:?}");
        for name in ["rows", "h.txt", "rec"] {
            let now = fs::read_to_string(dir.path().join(name)).expect("the file");
            assert_eq!(now, "yesterday's", "{line}: {name}");
        }
        assert!(
            fs::metadata(dir.path().join("day.xl"))
                .expect("day.xl")
                .len()
                > 1000,
            "{line}"
        );
    }
}

#[test]
fn without_privilege() {
    if root().is_none() {
        return;
    }
    let dir = bench();
    let program = execlat_for_all(dir.path());
    let ran = finish(as_nobody(&program).args(["-d", "1"]));
    let expected = "not allowed to trace: CAP_BPF and CAP_PERFMON missing; run it as root, or give it CAP_BPF and CAP_PERFMON";
    refused("as nobody", &ran, 1, expected);
    // A report needs none; but a file that is not ours stays as it is.
    let theirs = dir.path().join("theirs");
    fs::write(&theirs, "precious").expect("a file");
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o644)).expect("mode");
    let day = dir.path().join("day.xl");
    let ran = finish(as_nobody(&program).arg("report").arg(&day));
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 19);
    let ran = finish(
        as_nobody(&program)
            .arg("report")
            .arg(&day)
            .arg("-o")
            .arg(&theirs),
    );
    refused(
        "read-only",
        &ran,
        1,
        "cannot write …/theirs: Permission denied…",
    );
    assert_eq!(fs::read_to_string(&theirs).expect("theirs"), "precious");
    let private = dir.path().join("private.xl");
    fs::copy(&day, &private).expect("a copy");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).expect("mode");
    let ran = finish(as_nobody(&program).arg("report").arg(&private));
    refused(
        "unreadable",
        &ran,
        1,
        "cannot read recording …/private.xl: Permission denied…",
    );
}

#[test]
fn without_type_information() {
    if root().is_none() {
        return;
    }
    let script = "mount --bind \"$1\" /sys/kernel/btf && exec \"$2\" -d 1";
    let empty = tempfile::tempdir().expect("scratch directory");
    let ran = finish(
        Command::new("unshare")
            .args(["-m", "sh", "-c", script, "sh"])
            .arg(empty.path())
            .arg(common::execlat()),
    );
    let expected = "…/sys/kernel/btf/vmlinux…CONFIG_DEBUG_INFO_BTF…";
    refused("no BTF", &ran, 1, expected);
}

#[test]
fn verbose_says_what_is_attached() {
    if root().is_none() {
        return;
    }
    let ran = run(bench().path(), &words("-v -Q -- true"));
    assert_eq!((ran.status, &*ran.stdout), (0, ""), "{ran:?}");
    let said: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        said.iter().all(|line| line.starts_with("execlat: ")),
        "{ran:?}"
    );
    let has = |words: &[&str]| {
        let found = said
            .iter()
            .any(|line| words.iter().all(|w| line.contains(w)));
        assert!(found, "{words:?}: {ran:?}");
    };
    has(&["flavour: "]);
    has(&["perf buffer", "KiB"]);
    has(&["attached tracepoint sched_process_fork"]);
    if !Path::new("/sys/bus/event_source/devices/kprobe").exists() {
        has(&["tracepoint flavour", "no kprobes"]);
        has(&["attached tracepoint sched_process_exec"]);
    }
}

#[test]
fn help_is_short_and_long_help_has_examples() {
    let dir = bench();
    let short = run(dir.path(), &["-h"]);
    assert_eq!((short.status, &*short.stderr), (0, ""));
    assert!(short.stdout.lines().count() < 60);
    for line in short.stdout.lines() {
        assert!(line.chars().count() < 80, "{line}");
    }
    let long = run(dir.path(), &["--help"]);
    assert_eq!((long.status, &*long.stderr), (0, ""));
    let (_, examples) = long.stdout.split_once("Examples:\n").expect("examples");
    let lines = examples
        .lines()
        .filter(|line| line.starts_with("  execlat "));
    let mut count = 0;
    for line in lines {
        // The remark stands apart by blanks; no option is unknown.
        let line = line.trim().split("   ").next().expect("a command");
        let args = &words(line)[1..];
        let known = execlat::cli::parse(words(line).into_iter().map(Into::into));
        assert!(known.is_ok(), "{args:?}");
        count += 1;
    }
    assert!(count >= 5, "{examples}");
    let version = run(dir.path(), &["--version"]);
    assert_eq!(
        version.stdout,
        format!("execlat {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn completions_are_scripts() {
    let dir = bench();
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(dir.path(), &["completions", shell]);
        assert_eq!((ran.status, &*ran.stderr), (0, ""), "{shell}");
        for option in execlat::cli::long_options() {
            assert!(ran.stdout.contains(&option), "{shell}: --{option}");
        }
        let script = dir.path().join(shell);
        fs::write(&script, ran.stdout).expect("the script");
        // Only bash is sure to be there.
        let mut check = Command::new(shell);
        match check.arg("-n").arg(&script).in_time().output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            Err(error) => assert_ne!(shell, "bash", "{error}"),
        }
    }
}
