//! Reads that never end: what others control must not keep execlat from starting, nor from
//! ending, and what could not be read is counted.

mod common;

use std::fs::{self, File};
use std::process::Command;

use common::tracer::wait;
use common::workload::Running;
use common::{Bed, Observed, Report, skip, text};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// None, with a word, where the test cannot run.
fn bed() -> Option<Bed> {
    if let Err(error) = File::options().read(true).write(true).open("/dev/fuse") {
        skip(&format!("no FUSE: {error}"));
        return None;
    }
    Bed::new()
}

fn lost(observed: &Observed, what: &str) -> u64 {
    observed.summary["lost"][what].as_u64().expect("a number")
}

/// Nobody else is held up: each of their executions has its row.
fn check_others(report: &Report, observed: &Observed) {
    for due in &report.expected {
        let rows = observed.rows.iter().filter(|row| row["pid"] == due.pid);
        assert_eq!(rows.count(), 1, "{due:?}");
    }
}

/// Its memory's lock is held for as long as a FUSE file does not answer: whoever reads
/// its command line waits behind that.
#[test]
fn a_process_that_lets_nobody_read_its_command_line() {
    let Some(bed) = bed() else { return };
    let mut hostile = bed.workload().start(&["hung-memory"]);
    let pid: u64 = hostile.ready().parse().expect("a pid");
    let cgroup = ["-c", bed.cgroup.path()];
    let name = ["-n", "workload", "-n", &bed.tag];
    for args in [&cgroup[..], &name, &[]] {
        let tracer = bed.trace(args);
        let report = bed.workload().run(&["codes"]);
        let observed = tracer.stop_by(Signal::SIGTERM);
        assert!(observed.status.success(), "{args:?}: {observed:?}");
        // Itself: by its comm, with the rest unknown.
        let running = observed.ended("running");
        let its: Vec<_> = running.iter().filter(|row| row["pid"] == pid).collect();
        let [row] = its[..] else {
            panic!("{args:?}: {its:?}");
        };
        let argv = (&row["comm"], &row["argv"], &row["argv_unreadable"]);
        let unknown = (&json!("workload"), &json!([]), &json!(true));
        assert_eq!(argv, unknown, "{args:?}");
        check_others(&report, &observed);
        let unknown = observed.summary["argv_unknown"].as_u64();
        match args.is_empty() {
            // Others' tests make some as well.
            true => assert!(unknown >= Some(1)),
            false => assert_eq!(unknown, Some(1), "{args:?}"),
        }
        let said = "; 1 process adopted, command line unknown";
        let said = if args.is_empty() {
            "adopted, command line unknown"
        } else {
            said
        };
        assert!(observed.stderr.contains(said), "{}", observed.stderr);
    }
    // By a name that comm is not, it may be the one that was meant.
    let tracer = bed.trace(&["-c", bed.cgroup.path(), "-n", "another"]);
    let observed = tracer.stop_by(Signal::SIGTERM);
    assert_eq!(lost(&observed, "argv_unread"), 1, "{}", observed.stderr);
    hostile.go();
    hostile.finish();
}

/// A file system that root has mounted, and that does not answer; gone when this is dropped.
struct Hung {
    dir: tempfile::TempDir,
    server: Option<Running>,
}

impl Hung {
    /// In /run: what lies below /tmp is not believed.
    fn new(bed: &Bed) -> Hung {
        let dir = tempfile::tempdir_in("/run").expect("a directory in /run");
        let mount = dir.path().join("hung");
        fs::create_dir(&mount).expect("a directory");
        let mut server = bed
            .workload_outside()
            .start(&["hung-directory", text(&mount)]);
        server.ready();
        let server = Some(server);
        Hung { dir, server }
    }

    /// A program that does nothing, called `runc`, run as root outside of any container.
    fn runc(&self, args: &[&str]) {
        let program = self.dir.path().join("runc");
        if !program.exists() {
            // By another process: no child of ours may have it open for writing.
            let copied = Command::new("cp")
                .args(["/bin/true", text(&program)])
                .status();
            assert!(copied.expect("cp").success());
        }
        let mut child = Command::new(&program).args(args).spawn().expect("runc");
        assert!(wait(&mut child, "runc").success());
    }

    fn path(&self, name: &str) -> String {
        text(&self.dir.path().join("hung").join(name)).to_owned()
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let server = self.server.take();
        if let Some(mut server) = server {
            server.go();
            server.finish();
        }
    }
}

/// What a runtime keeps of its containers.
#[test]
fn a_root_of_a_runtime_that_does_not_answer() {
    let Some(bed) = bed() else { return };
    let hung = Hung::new(&bed);
    let tracer = bed.trace_cgroup();
    hung.runc(&["--root", &hung.path("root"), "state", "c1"]);
    hung.runc(&["--root", &hung.path("root"), "state", "c2"]);
    let report = bed.workload().run(&["codes"]);
    let observed = tracer.stop_by(Signal::SIGTERM);
    assert!(observed.status.success(), "{observed:?}");
    assert_eq!(lost(&observed, "places_unread"), 2, "{}", observed.stderr);
    check_others(&report, &observed);
}

/// What an engine calls its containers.
#[test]
fn a_bundle_that_does_not_answer() {
    let Some(bed) = bed() else { return };
    let hung = Hung::new(&bed);
    let tracer = bed.trace(&["-n", "runc", "-n", &bed.tag]);
    for _ in 0..3 {
        hung.runc(&["create", "--bundle", &hung.path("bundle"), "c1"]);
    }
    let report = bed.workload().run(&["codes"]);
    let observed = tracer.stop_by(Signal::SIGTERM);
    assert!(observed.status.success(), "{observed:?}");
    // Once: it is not asked again.
    assert_eq!(lost(&observed, "names_unread"), 1, "{}", observed.stderr);
    let of_runc = |row: &&Value| row["container"] == "c1";
    assert_eq!(observed.rows.iter().filter(of_runc).count(), 3);
    check_others(&report, &observed);
}
