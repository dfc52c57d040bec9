//! `execlat doctor` tells what a host has, and proves it by trying.

mod common;
mod support_cli;

use support_cli::{as_nobody, execlat_for_all, finish, root, run};

#[test]
fn where_tracing_works_it_says_so() {
    if root().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("scratch directory");
    let ran = run(dir.path(), &["doctor"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ran.stderr, "");
    for what in [
        "kernel",
        "capabilities",
        "BTF",
        "kprobes",
        "cgroups",
        "trial",
    ] {
        assert!(ran.stdout.contains(what), "{what} is missing: {ran:?}");
    }
    assert!(!ran.stdout.contains("LACK"), "{ran:?}");
}

#[test]
fn as_json_each_check_has_a_verdict() {
    if root().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("scratch directory");
    let ran = run(dir.path(), &["doctor", "--json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let checks: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).expect("JSON");
    let good = |check: &serde_json::Value| check["verdict"] == "ok" || check["verdict"] == "note";
    assert!(checks.iter().all(good), "{checks:?}");
    let trial = checks.iter().find(|check| check["what"] == "trial");
    let found = trial.and_then(|check| check["found"].as_str());
    let works = found.is_some_and(|found| found.starts_with("works, in the "));
    assert!(works, "{checks:?}");
}

#[test]
fn without_privilege_it_names_what_is_missing() {
    if root().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("scratch directory");
    let program = execlat_for_all(dir.path());
    let ran = finish(as_nobody(&program).arg("doctor"));
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stdout.contains("LACK  capabilities"), "{ran:?}");
    let advice = "capabilities: run it as root, or give it CAP_BPF and CAP_PERFMON";
    assert!(ran.stdout.contains(advice), "{ran:?}");
}
