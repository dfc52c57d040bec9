//! What one test works with: a runtime, containers for it, a cgroup around both,
//! and whoever calls the runtime in a cgroup of its own below that.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::common::cgroup::procs;
use crate::common::{Bed, InTime as _, Observed, PATIENCE, Tracer, say, skip, text};
use crate::driver::{Done, Driver, Ended, Started};

/// A runtime as it is installed here.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub name: &'static str,
    pub path: PathBuf,
    /// How often the main process executes itself again.
    pub reexecs: u64,
}

/// Measuring tests run alone; the others beside each other.
static TURNS: RwLock<()> = RwLock::new(());

/// It is held, not read.
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// A host with a runtime and a caller of it.
pub struct Host {
    pub bed: Bed,
    pub runtime: Runtime,
    pub driver: Driver,
    /// The caller's cgroup.
    pub runner: PathBuf,
    /// In all hierarchies, the name of the cgroup around runner and containers.
    name: String,
    _turn: Turn,
}

impl Runtime {
    pub fn runc() -> Option<Runtime> {
        Runtime::installed("runc", 0)
    }

    /// Debian's.
    pub fn crun() -> Option<Runtime> {
        Runtime::installed("crun", 1)
    }

    pub fn newer_crun() -> Option<Runtime> {
        Runtime::newer("crun", 1)
    }

    /// One that executes its init by a descriptor.
    pub fn newer_runc() -> Option<Runtime> {
        Runtime::newer("runc", 0)
    }

    /// No Debian has it: `cargo install youki` does. It may be skipped everywhere.
    pub fn youki() -> Option<Runtime> {
        let home = std::env::var_os("HOME").unwrap_or_default();
        let cache = std::env::var_os("EXECLAT_CACHE")
            .map_or_else(|| Path::new(&home).join(".cache/execlat"), PathBuf::from);
        let kept = fs::read_dir(cache.join("youki")).into_iter().flatten();
        let kept = kept.flatten().map(|entry| entry.path());
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        let mut found = std::env::split_paths(&dirs).chain(kept);
        let Some(dir) = found.find(|dir| dir.join("youki").is_file()) else {
            say("skipped: needs youki, in PATH or in $EXECLAT_CACHE/youki/VERSION");
            return None;
        };
        Some(Runtime {
            name: "youki",
            path: dir.join("youki"),
            reexecs: 1,
        })
    }

    /// From a newer suite. Whether that can be fetched is the network's affair: this
    /// alone may be skipped everywhere.
    fn newer(name: &'static str, reexecs: u64) -> Option<Runtime> {
        if !rustix::process::geteuid().is_root() {
            skip("needs root");
            return None;
        }
        if std::env::var_os("EXECLAT_GUEST").is_some() {
            say("skipped: no newer one is in a guest");
            return None;
        }
        let output = Command::new(script("newer.sh"))
            .arg(name)
            .in_time()
            .output()
            .expect("newer.sh");
        let said = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        if !output.status.success() {
            say(&format!("skipped: {}", said(&output.stderr)));
            return None;
        }
        Some(Runtime {
            name,
            path: said(&output.stdout).into(),
            reexecs,
        })
    }

    fn installed(name: &'static str, reexecs: u64) -> Option<Runtime> {
        let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        let found = dirs.iter().map(|dir| Path::new(dir).join(name));
        let Some(path) = found.into_iter().find(|path| path.exists()) else {
            skip(&format!("needs {name}"));
            return None;
        };
        Some(Runtime {
            name,
            path,
            reexecs,
        })
    }

    pub fn is_runc(&self) -> bool {
        self.name == "runc"
    }
}

impl Host {
    /// `None`, with a word, where the test cannot run.
    pub fn new(runtime: Option<Runtime>) -> Option<Host> {
        let turn = TURNS.read().unwrap_or_else(PoisonError::into_inner);
        Host::start(runtime?, Turn::Shared(turn))
    }

    /// For measuring: no other test of this program runs meanwhile.
    pub fn alone(runtime: Option<Runtime>) -> Option<Host> {
        let turn = TURNS.write().unwrap_or_else(PoisonError::into_inner);
        Host::start(runtime?, Turn::Alone(turn))
    }

    fn start(runtime: Runtime, turn: Turn) -> Option<Host> {
        let bed = Bed::new()?;
        let log = bed.scratch.path().join("log");
        let pure_v2 = script("pure-v2.sh");
        // Of the two, runc alone knows a host with cgroups of both versions.
        let by = (!runtime.is_runc()).then_some(pure_v2.as_path());
        let driver = Driver::start(&log, by);
        let runner = bed.cgroup.child("runner");
        enter(&runner, driver.pid());
        let name = bed.cgroup.dir().file_name().expect("a name");
        let name = name.to_str().expect("UTF-8").to_owned();
        Some(Host {
            bed,
            runtime,
            driver,
            runner,
            name,
            _turn: turn,
        })
    }

    /// Makes a bundle; the container's cgroup has the bundle's name.
    pub fn bundle(&self, name: &str, payload: &[&str]) -> PathBuf {
        let dir = self.bed.scratch.path().join(name);
        let output = Command::new(script("bundle.sh"))
            .args(["-r", text(rootfs())])
            .arg(&dir)
            .arg(format!("/{}/{name}", self.name))
            .args(payload)
            .in_time()
            .output()
            .expect("bundle.sh");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        dir
    }

    /// The same, with the container's configuration changed.
    pub fn bundle_with(&self, name: &str, payload: &[&str], change: impl Fn(&mut Value)) {
        let file = self.bundle(name, payload).join("config.json");
        let config = fs::read(&file).expect("config.json");
        let mut config = serde_json::from_slice(&config).expect("JSON");
        change(&mut config);
        fs::write(&file, config.to_string()).expect("config.json");
    }

    /// A bundle's directory, or a file that the test gives the runtime a name for.
    pub fn path(&self, name: &str) -> String {
        text(&self.bed.scratch.path().join(name)).to_owned()
    }

    /// What engines put before the command: here with a log's name of 205 bytes, all
    /// kinds among them.
    pub fn argv(&self, args: &[&str]) -> Vec<Vec<u8>> {
        let mut log = self.path("l og\n\x1b[31m").into_bytes();
        log.extend(b"\xff\xe2\x82");
        log.resize(205, b'g');
        let mut argv = vec![text(&self.runtime.path).into(), b"--root".to_vec()];
        argv.extend([self.path("root").into_bytes(), b"--log".to_vec(), log]);
        argv.extend(args.iter().map(|arg| arg.as_bytes().to_vec()));
        argv
    }

    pub fn spawn(&mut self, args: &[&str]) -> Started {
        let (file, argv) = (self.runtime.path.clone(), self.argv(args));
        self.driver.spawn(&file, argv)
    }

    /// Runs the runtime to its end.
    pub fn run(&mut self, args: &[&str]) -> Done {
        let started = self.spawn(args);
        self.driver.finish(&started)
    }

    /// The same, where it must end with 0.
    pub fn run_well(&mut self, args: &[&str]) -> Done {
        let done = self.run(args);
        assert_eq!(done.status, 0, "{args:?}: {}", self.driver.said());
        done
    }

    /// `create`, and the pid of what will be the payload.
    pub fn create(&mut self, bundle: &str, id: &str) -> (Done, u32) {
        let (dir, pid_file) = (self.path(bundle), self.path("pid"));
        let done = self.run_well(&["create", "-b", &dir, "--pid-file", &pid_file, id]);
        let pid = fs::read_to_string(&pid_file).expect("the pid file");
        (done, pid.trim().parse().expect("a pid"))
    }

    /// Kills a container and sees its first process end.
    pub fn kill_container(&mut self, id: &str, pid: u32) -> (Done, Ended) {
        let done = self.run_well(&["kill", id, "KILL"]);
        (done, self.driver.ended(pid))
    }

    pub fn trace(&self, args: &[&str]) -> Tracer {
        let mut all = vec!["--cgroup", self.bed.cgroup.path()];
        all.extend(args);
        self.bed.trace(&all)
    }

    /// The name of a container's cgroup, and of what is around it, in all hierarchies.
    pub fn cgroup_name(&self) -> &str {
        &self.name
    }

    /// The same cgroups as in v2 in a hierarchy of v1, the runner in its own; `None`
    /// where there is none.
    pub fn v1(&self, controller: &str) -> Option<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let mut roots = cgroup_mounts(&mounts);
        let root = roots.find_map(|(dir, options)| {
            options
                .split(',')
                .any(|o| o == controller)
                .then_some(Path::new(dir))
        })?;
        let dir = root.join(&self.name);
        fs::create_dir_all(dir.join("runner")).expect("a v1 cgroup");
        enter(&dir.join("runner"), self.driver.pid());
        Some(dir)
    }

    /// Sends a signal to what the driver has started and not waited for.
    pub fn signal(&self, started: &Started, signal: Signal) {
        kill(pid_of(started.pid), signal).expect("a signal");
    }

    /// What was seen, but for the driver, which is there all the time.
    pub fn stop(&self, tracer: Tracer) -> Observed {
        let mut observed = tracer.stop();
        let is_driver = |row: &Value| row["pid"] == self.driver.pid();
        for row in observed.rows.iter().filter(|row| is_driver(row)) {
            assert_eq!(row["end"], "running", "{row}");
            assert_eq!(row["start_known"], false, "{row}");
        }
        observed.rows.retain(|row| !is_driver(row));
        observed
    }

    /// The rows of the runtime's main processes, apart from those of its `init`.
    pub fn stop_and_split(&self, tracer: Tracer) -> (Observed, Vec<Value>) {
        let (mut main, init) = (self.stop(tracer), Vec::new());
        let (init, rest): (Vec<_>, Vec<_>) = std::mem::replace(&mut main.rows, init)
            .into_iter()
            .partition(|row| row["argv"][1] == "init");
        main.rows = rest;
        (main, init)
    }
}

impl Drop for Host {
    /// Ends all that runs in our cgroups, in every hierarchy, and removes them.
    fn drop(&mut self) {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let dirs: Vec<PathBuf> = cgroup_mounts(&mounts)
            .map(|(root, _)| Path::new(root).join(&self.name))
            .collect();
        let end = Instant::now() + Duration::from_secs(10);
        // All of them, and not up to the first that is still there.
        while dirs.iter().filter(|dir| !remove(dir)).count() > 0 && Instant::now() < end {
            sleep(Duration::from_millis(10));
        }
    }
}

/// Kills what is in a cgroup and below it, and removes it; whether it is gone.
fn remove(dir: &Path) -> bool {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove(&entry.path());
        }
    }
    let pids = fs::read_to_string(procs(dir)).unwrap_or_default();
    for pid in pids.lines().filter_map(|line| line.parse().ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    fs::remove_dir(dir).is_ok() || !dir.exists()
}

/// Directory and options of every hierarchy.
fn cgroup_mounts(mounts: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut seen = HashSet::new();
    mounts.lines().filter_map(move |line| {
        let mut fields = line.split(' ').skip(1);
        let (dir, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        (kind.starts_with("cgroup") && seen.insert(dir)).then_some((dir, options))
    })
}

fn enter(cgroup: &Path, pid: u32) {
    fs::write(procs(cgroup), pid.to_string()).expect("the driver's move");
}

pub fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a pid"))
}

/// Until it holds; the test fails if it never does.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "in vain: {what}");
        sleep(Duration::from_millis(1));
    }
}

pub fn script(name: &str) -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtimes");
    let dir = std::env::var_os("EXECLAT_SCRIPTS").map_or_else(here, PathBuf::from);
    dir.join(name)
}

/// One for all containers, which cannot write to it.
pub fn rootfs() -> &'static Path {
    static ROOTFS: OnceLock<PathBuf> = OnceLock::new();
    ROOTFS.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // A guest has no target directory.
        let temporary = std::env::temp_dir();
        let target = if target.exists() { target } else { &temporary };
        let dir = target.join("rootfs");
        let first = tempfile::tempdir().expect("scratch directory");
        let output = Command::new(script("bundle.sh"))
            .args(["-r", text(&dir)])
            .arg(first.path())
            .args(["/", "true"])
            .in_time()
            .output()
            .expect("bundle.sh");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        dir
    })
}
