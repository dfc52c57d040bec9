//! What the kernel keeps from execlat is counted and said, against the oracle: each
//! execution has its exact row, or is among the lost.

mod common;

use std::sync::{Mutex, PoisonError};

use common::compare::exact;
use common::{Bed, Observed, Report, count, figure, skip};
use nix::sys::signal::Signal;

/// Of each kretprobe, in the kprobe flavour.
const INSTANCES: usize = 256;

/// One at a time: what makes the kernel skip probes is not the process's own.
static ALONE: Mutex<()> = Mutex::new(());

struct Account {
    executions: usize,
    /// Executions without an exact row.
    missing: usize,
    /// The sum of what the summary says was lost.
    lost: u64,
}

/// Runs a case under `--strict`; `None` where this kernel cannot do it.
fn observe(bed: &Bed, case: &[&str]) -> Option<(Account, Observed)> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let tracer = bed.trace(&["-c", bed.cgroup.path(), "--strict"]);
    let report = bed.workload().run(case);
    let observed = tracer.stop_by(Signal::SIGINT);
    if report.skipped.is_empty() {
        Some((account(&report, &observed), observed))
    } else {
        report.skipped.iter().for_each(|why| skip(why));
        None
    }
}

/// No row is wrong or invented; what has none is counted, and the exit status tells.
fn account(report: &Report, observed: &Observed) -> Account {
    let counts = observed.summary["lost"].as_object().expect("lost");
    let account = Account {
        executions: report.expected.len(),
        missing: report.expected.len() - exact(report, observed),
        lost: counts.values().filter_map(|n| n.as_u64()).sum(),
    };
    let (word, status) = match account.lost {
        0 => ("; nothing lost", 0),
        _ => ("; LOST: ", 3),
    };
    assert_eq!(observed.code(), status, "{}", observed.stderr);
    assert!(observed.stderr.contains(word), "{}", observed.stderr);
    account
}

/// More of them at once than a kretprobe has instances. Tracepoints see them all.
#[test]
fn execs_that_sleep_in_the_kernel() {
    let Some(bed) = Bed::new() else { return };
    let Some((account, observed)) = observe(&bed, &["sleepers", "263", "13"]) else {
        return;
    };
    let limited = observed
        .stderr
        .contains(&format!(" with {INSTANCES} instances"));
    let missed = match limited {
        true => account.executions - INSTANCES,
        false => 0,
    };
    assert_eq!(account.missing, missed, "{}", observed.stderr);
    assert_eq!(account.lost, missed as u64, "{}", observed.stderr);
}

/// The kernel skips programs beside bpf() calls of others: which ones, and how many,
/// is its own affair.
#[test]
fn execs_beside_bpf_calls() {
    let Some(bed) = Bed::new() else { return };
    let n = count(503).to_string();
    let Some((account, observed)) = observe(&bed, &["hammered", &n]) else {
        return;
    };
    assert!(
        account.lost >= account.missing as u64,
        "{} of {} missing, {} lost: {}",
        account.missing,
        account.executions,
        account.lost,
        observed.stderr
    );
    if account.lost > 0 {
        figure(&format!(
            "beside bpf() calls {} of {} executions were missed, and {} probe runs counted as skipped",
            account.missing, account.executions, account.lost
        ));
    }
}
