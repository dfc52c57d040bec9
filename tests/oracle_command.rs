//! `-- COMMAND`, against the oracle: seen from its first exec, its status ours.

mod common;

use std::process::Command;

use common::{Bed, InTime as _, Observed, Report, check, execlat, probe_args, text};

/// Runs a case as the COMMAND: all of it is due, its own first exec included.
fn command(bed: &Bed, args: &[&str], case: &[&str]) -> (Report, Observed) {
    let argv = bed.workload_outside().argv(case);
    let (observed, output, elapsed) = Observed::of_command(bed.scratch.path(), args, &argv);
    let report = Report::of_output(&output, argv, observed.status, elapsed);
    (report, observed)
}

#[test]
fn from_the_very_first_exec() {
    let Some(bed) = Bed::new() else { return };
    for case in [
        ["family", "x"],
        ["plain", "53"],
        ["chain-other", ""],
        ["orphan", ""],
    ] {
        let (report, observed) = command(&bed, &[], &case);
        assert_eq!(observed.code(), 0, "{}", observed.stderr);
        check(&report.with_main(), &observed);
    }
}

#[test]
fn its_exit_code_is_ours() {
    let Some(bed) = Bed::new() else { return };
    for code in ["0", "1", "3", "77", "255"] {
        let (report, observed) = command(&bed, &[], &["end-by", code]);
        assert_eq!(observed.code().to_string(), code);
        check(&report.with_main(), &observed);
    }
}

/// 128 + N, as a shell says it; the row has the signal itself.
#[test]
fn its_signal_is_told() {
    let Some(bed) = Bed::new() else { return };
    for signal in [15, 9, 1] {
        let (report, observed) = command(&bed, &[], &["end-by", "0", &signal.to_string()]);
        assert_eq!(observed.code(), 128 + signal);
        let mut expected = report.with_main();
        for main in expected.iter_mut().filter(|e| e.label == "main") {
            (main.exit_code, main.signal) = (None, Some(i64::from(signal)));
        }
        check(&expected, &observed);
    }
}

/// 127 and 126, as a shell says it; the path is named, and nothing is reported.
#[test]
fn that_cannot_start() {
    let Some(bed) = Bed::new() else { return };
    let scratch = bed.scratch.path();
    for (command, status) in [(scratch.join("missing"), 127), (scratch.to_owned(), 126)] {
        let output = Command::new(execlat())
            .arg("-j")
            .args(probe_args())
            .arg("--")
            .arg(&command)
            .in_time()
            .output()
            .expect("start of execlat");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert!(stderr.contains(text(&command)), "{stderr}");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(!stdout.contains("\"pid\""), "{stdout}");
    }
}

/// A filter beside COMMAND: its descendants that match.
#[test]
fn with_a_filter() {
    let Some(bed) = Bed::new() else { return };
    let (report, observed) = command(&bed, &["-n", "below"], &["family", "x"]);
    let mut expected = report.expected;
    expected.retain(|e| e.argv[0] == b"below");
    check(&expected, &observed);
}
