//! The oracle's harness: starts execlat, runs the workload beside it (which
//! says what an exact observer must report), and compares the two.
//!
//! Environment:
//! - `EXECLAT_BIN`, `EXECLAT_WORKLOAD`: ready binaries, where nothing can be built;
//! - `EXECLAT_PROBE`: passed as `--probe`;
//! - `EXECLAT_SCALE`: divides the counts of big tests (the next prime is taken);
//! - `EXECLAT_TESTS_NO_SKIP=1`: a test that cannot run fails.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test crate uses a part of it"
)]

pub mod cgroup;
pub mod compare;
mod dispositions;
pub mod ending;
pub mod tracer;
pub mod workload;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use cgroup::Cgroup;
pub use compare::{Expected, check, check_with, losses};
pub use ending::{InTime, ending_with_us};
pub use tracer::{Observed, Tracer};
pub use workload::{Report, Workload};

/// For whatever the other side has to do: generous, because guests run under emulation.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What one test works with: names of its own, a scratch directory, a cgroup.
pub struct Bed {
    /// Unique on this machine; argv[0] of the workload's images.
    pub tag: String,
    pub scratch: tempfile::TempDir,
    /// In the v2 hierarchy.
    pub cgroup: Cgroup,
}

/// A name that no other test has; short, so that it fits into a comm.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("wl{}-{n}", std::process::id())
}

/// Says why the test does nothing; fails it where nothing may be skipped.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("EXECLAT_TESTS_NO_SKIP").is_none_or(|v| v != "1"),
        "may not be skipped here: {why}"
    );
    say(&format!("skipped: {why}"));
}

/// A word to whoever runs the tests.
#[allow(clippy::print_stderr, reason = "a test's own message")]
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// A figure that is shown even if the test passes, when libtest keeps words to itself.
pub fn figure(text: &str) {
    let line = format!("figure: {text}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

impl Bed {
    /// `None`, with a word, where the test cannot run.
    pub fn new() -> Option<Bed> {
        if !rustix::process::geteuid().is_root() {
            skip("needs root");
            return None;
        }
        let tag = unique();
        let cgroup = Cgroup::v2(&tag);
        let scratch = tempfile::tempdir().expect("scratch directory");
        Some(Bed {
            tag,
            scratch,
            cgroup,
        })
    }

    /// The workload, to run inside our cgroup once it has started.
    pub fn workload(&self) -> Workload {
        self.workload_outside().join(&self.cgroup)
    }

    /// The workload, in the cgroup of the test itself.
    pub fn workload_outside(&self) -> Workload {
        Workload::new(&self.tag)
    }

    /// execlat with these arguments, live.
    pub fn trace<S: AsRef<str>>(&self, args: &[S]) -> Tracer {
        Tracer::start(self.scratch.path(), args)
    }

    /// execlat for all that happens in our cgroup.
    pub fn trace_cgroup(&self) -> Tracer {
        self.trace(&["--cgroup", self.cgroup.path()])
    }

    /// Runs one case in our cgroup, traced: every row must be there, and no other.
    pub fn observe(&self, case: &[&str]) {
        let tracer = self.trace_cgroup();
        let report = self.workload().run(case);
        let observed = tracer.stop();
        report.skipped.iter().for_each(|why| skip(why));
        check(&report.expected, &observed);
    }
}

/// A prime count, divided by `EXECLAT_SCALE` to the next prime.
pub fn count(n: usize) -> usize {
    let scale = std::env::var("EXECLAT_SCALE").map_or(1, |v| v.parse().expect("EXECLAT_SCALE"));
    let mut n = (n / usize::max(scale, 1)).max(2);
    while (2..n)
        .take_while(|d| d * d <= n)
        .any(|d| n.is_multiple_of(d))
    {
        n += 1;
    }
    n
}

/// The program under test.
pub fn execlat() -> PathBuf {
    std::env::var_os("EXECLAT_BIN").map_or_else(|| env!("CARGO_BIN_EXE_execlat").into(), Into::into)
}

/// `--probe`, as the environment asks for it.
pub fn probe_args() -> Vec<String> {
    match std::env::var("EXECLAT_PROBE") {
        Ok(flavour) => vec!["--probe".into(), flavour],
        Err(_) => Vec::new(),
    }
}

/// A path as text: tests make no others.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}
