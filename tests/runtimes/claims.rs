//! What is taken for a runtime's action on a container, and what is said of what was not.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use libc::ENOSYS;
use nix::sys::signal::{Signal, kill};
use tempfile::{Builder, TempDir};

use crate::common::cgroup::procs;
use crate::common::{InTime as _, skip, text};
use crate::driver::{self, Done};
use crate::host::{Host, Runtime, pid_of, wait_until};

use super::PAYLOAD;
use super::worker::{Caller, Due, Ends, Worker};

/// Actions that enter no container: the id alone tells which is meant.
const CLAIMS: [&str; 7] = ["start", "state", "kill", "delete", "events", "pause", "ps"];

/// A program that does nothing, by a runtime's name, that anybody can execute.
struct Fake {
    dir: TempDir,
    name: &'static str,
}

impl Fake {
    fn new(name: &'static str) -> Fake {
        let everybody = Permissions::from_mode(0o755);
        let mut dir = Builder::new();
        let dir = dir.prefix("execlat-test-").permissions(everybody);
        let dir = dir.tempdir_in("/run").expect("a directory in /run");
        let fake = Fake { dir, name };
        // By another process: no child of ours may have it open for writing.
        let mut copy = Command::new("cp");
        let copied = copy
            .arg(driver::program())
            .arg(fake.program())
            .in_time()
            .status();
        assert!(copied.expect("cp").success());
        fake
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join(self.name)
    }

    /// `runc exec`, with what tells it how its process enters the container.
    fn entering(&self, variable: &str, worker: &Worker, handle: &str) -> Vec<Vec<u8>> {
        let program = self.program();
        let call = [text(&program), "--root", worker.root(), "exec", handle];
        let argv = ["env", variable].into_iter().filter(|arg| !arg.is_empty());
        let argv = argv.chain(call).chain(["true"]);
        argv.map(|arg| arg.as_bytes().to_vec()).collect()
    }

    /// What executes it as a user, with this argv.
    fn by(&self, user: &str, argv: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let program = self.program();
        let driver = [text(driver::program()), "as", user, text(&program)];
        let driver = driver.map(|arg| arg.as_bytes().to_vec());
        driver.into_iter().chain(argv.iter().cloned()).collect()
    }
}

/// `runc --root ROOT ACTION HANDLE`
fn claim(worker: &Worker, action: &str, handle: &str) -> Vec<Vec<u8>> {
    let argv = ["runc", "--root", worker.root(), action, handle];
    argv.map(|arg| arg.as_bytes().to_vec()).to_vec()
}

/// A cgroup of a container by its name: root in there is not believed.
fn engines_container(caller: &Caller) -> PathBuf {
    let container = caller.host.bed.cgroup.child("docker");
    let container = container.join("4be5".repeat(16));
    fs::create_dir(&container).expect("a cgroup");
    container
}

/// What was done to a container, by what ran in another one.
fn due_from(container: &Path, caller: &Caller, worker: &Worker, handle: &str, done: Done) -> Due {
    let below = container.strip_prefix(caller.host.bed.cgroup.dir());
    let below = text(below.expect("it is below"));
    Due {
        label: "from a container".into(),
        container: Some(worker.cgroup_of(&caller.host, handle)),
        enters: false,
        ran_in: format!("/{}/{below}", caller.host.cgroup_name()),
        done,
    }
}

/// An id is believed of root outside of any container, and of nobody else; entering a
/// container counts whoever does it, and so does removing its cgroup.
#[test]
fn a_hostile_runc() {
    let Some(mut caller) = Caller::new(Runtime::runc()) else {
        return;
    };
    let (fake, worker) = (Fake::new("runc"), Worker::new(&caller.host, "garden", true));
    let web = caller.id("web");
    caller.start_before(&worker, &web, &PAYLOAD);
    let container = engines_container(&caller);
    let tracer = caller.trace(&worker, &[]);

    for action in CLAIMS {
        let argv = claim(&worker, action, &web);
        let by_nobody = fake.by("65534", &argv);
        let started = caller.host.driver.spawn(driver::program(), by_nobody);
        caller.finish(&started, Ends::Well);
        let done = caller.run_inside(&container, &fake.by("0", &argv));
        assert_eq!(done.status, 0, "{}", caller.host.driver.said());
        let started = caller.host.driver.spawn(&fake.program(), argv);
        let done = caller.finish(&started, Ends::Well);
        caller.took(&worker, &web, done, &[action, &web], Ends::Well);
    }
    // Root in a container may be mighty enough to enter another.
    let state = worker.argv(&caller.host, &["state", &web]);
    assert_eq!(caller.run_inside(&container, &state).status, 0);
    for (args, enters) in [
        (["exec", &web, "true"], true),
        (["delete", "-f", &web], false),
    ] {
        let argv = worker.argv(&caller.host, &args);
        let done = caller.run_inside(&container, &argv);
        assert_eq!(done.status, 0, "{}", caller.host.driver.said());
        let due = due_from(&container, &caller, &worker, &web, done);
        let label = format!("{} from a container", args[0]);
        caller.due.push(Due {
            label,
            enters,
            ..due
        });
    }
    caller.check(tracer, &[]);
}

/// Where a process is put decides, whoever puts it there: as a runtime clones it into its
/// cgroup, and as pid 1 moves it with systemd's driver. No id is believed here.
#[test]
fn a_process_that_is_cloned_there_or_moved_by_another() {
    let Some(mut caller) = Caller::new(Runtime::runc()) else {
        return;
    };
    let (fake, worker) = (Fake::new("runc"), Worker::new(&caller.host, "garden", true));
    let [cloned, moved] = ["cloned", "moved"].map(|name| caller.id(name));
    let cgroups = [&cloned, &moved].map(|handle| worker.garden.join(handle));
    for cgroup in &cgroups {
        fs::create_dir(cgroup).expect("a cgroup");
    }
    let container = engines_container(&caller);
    let pid_file = caller.host.path("entering");
    let tracer = caller.trace(&worker, &[]);

    let neither = fake.entering("", &worker, &cloned);
    let done = caller.run_inside(&container, &neither);
    assert_eq!(done.status, 0, "{}", caller.host.driver.said());

    let into = format!("CLONE_INTO={}", text(&cgroups[0]));
    let clones = fake.entering(&into, &worker, &cloned);
    let mut done = caller.run_inside(&container, &clones);
    if done.status == ENOSYS << 8 {
        return skip("needs clone3, with CLONE_INTO_CGROUP");
    }
    assert_eq!(done.status, 0, "{}", caller.host.driver.said());
    done.argv.drain(..2);
    let due = due_from(&container, &caller, &worker, &cloned, done);
    caller.due.push(due);

    let waits = fake.entering(&format!("PID_FILE={pid_file}"), &worker, &moved);
    let started = caller.spawn_inside(&container, &waits);
    let pid = || fs::read_to_string(&pid_file).unwrap_or_default();
    wait_until("a process to be moved", || pid().ends_with('\n'));
    fs::write(procs(&cgroups[1]), pid()).expect("the move");
    let pid = pid().trim().parse().expect("a pid");
    kill(pid_of(pid), Signal::SIGKILL).expect("a signal");
    let mut done = caller.finish(&started, Ends::Well);
    done.argv.drain(..2);
    let due = due_from(&container, &caller, &worker, &moved, done);
    caller.due.push(due);
    caller.check(tracer, &[]);
}

/// A container from before whose cgroup is not named after it: the runtime's own file
/// tells, unless anybody might have put it there.
#[test]
fn a_state_file_that_root_alone_can_write() {
    let Some(mut caller) = Caller::new(Runtime::runc()) else {
        return;
    };
    let worker = Worker::new(&caller.host, "garden", true);
    let other = worker.with_root(tempfile::tempdir_in("/tmp").expect("a directory in /tmp"));
    let [web, claimed] = ["web", "claimed"].map(|name| caller.id(name));
    for (worker, cgroup, handle) in [(&worker, "1st", &web), (&other, "2nd", &claimed)] {
        worker.bundle(&caller.host, cgroup, &PAYLOAD);
        let bundle = worker.path(&caller.host, cgroup);
        caller.run(worker, &["create", "--bundle", &bundle, handle], Ends::Well);
        caller.run(worker, &["start", handle], Ends::Well);
    }
    let tracer = caller.trace(&worker, &[]);
    for args in [&["state", &web][..], &["kill", &web, "CONT"]] {
        caller.call(&worker, "1st", args, Ends::Well);
    }
    caller.run(&other, &["state", &claimed], Ends::Well);
    caller.check(tracer, &[]);
    caller.due.clear();
    // Once it is entered, it is known.
    let tracer = caller.trace(&worker, &[]);
    for args in [&["exec", &claimed, "true"][..], &["state", &claimed]] {
        caller.call(&other, "2nd", args, Ends::Well);
    }
    caller.check(tracer, &[]);
}

/// All ran for containers elsewhere.
#[test]
fn containers_that_are_not_below() {
    let Some(mut caller) = Caller::new(Runtime::runc()) else {
        return;
    };
    let worker = Worker::new(&caller.host, "garden", true);
    let other = worker.beside(&caller.host, "other");
    let web = caller.id("web");
    caller.start_before(&other, &web, &PAYLOAD);
    let tracer = caller.trace(&worker, &[]);
    for _ in 0..17 {
        caller.run(&other, &["state", &web], Ends::Well);
    }
    let observed = caller.host.stop(tracer);
    assert_eq!(observed.rows.len(), 0, "{observed:#?}");
    let name = caller.host.cgroup_name();
    let due = format!(
        "17 executions named runc ran in /{name}/runner, for containers not below /{name}/garden"
    );
    assert!(observed.stderr.contains(&due), "{}", observed.stderr);
}

/// Others were executed than the one that was named. By `--pid`, since a runtime's that
/// is called from anywhere counts otherwise: it may be for a container there.
#[test]
fn a_name_that_none_has() {
    let Some(mut host) = Host::new(Runtime::runc()) else {
        return;
    };
    let caller = host.driver.pid().to_string();
    let tracer = host.trace(&["--pid", &caller, "-n", "rnc"]);
    for (fake, times) in [(Fake::new("runc"), 17), (Fake::new("crun"), 3)] {
        let program = fake.program();
        for _ in 0..times {
            let argv = vec![text(&program).into(), b"--version".to_vec()];
            let started = host.driver.spawn(&program, argv);
            assert_eq!(host.driver.finish(&started).status, 0);
        }
    }
    let observed = host.stop(tracer);
    assert_eq!(observed.rows.len(), 0, "{observed:#?}");
    let due = format!(
        "no execution in /{} was named rnc; 17 there or elsewhere were named runc, 3 crun",
        host.cgroup_name()
    );
    assert!(observed.stderr.contains(&due), "{}", observed.stderr);
}

/// The same of what runs already: a runtime that waits for its child, and that child.
#[test]
fn a_name_that_none_has_that_runs() {
    let Some(mut host) = Host::new(Runtime::runc()) else {
        return;
    };
    let fake = Fake::new("runc");
    let program = fake.program();
    let pid_file = host.path("running");
    let code = "PID_FILE=$0 exec \"$1\"";
    let argv = ["sh", "-c", code, &pid_file, text(&program)];
    let argv = argv.map(|arg| arg.as_bytes().to_vec()).to_vec();
    let started = host.driver.spawn(Path::new("/bin/sh"), argv);
    let pid = || fs::read_to_string(&pid_file).unwrap_or_default();
    wait_until("a runtime to run", || pid().ends_with('\n'));
    let caller = host.driver.pid().to_string();
    let tracer = host.trace(&["--pid", &caller, "-n", "rnc"]);
    let observed = host.stop(tracer);
    let pid = pid().trim().parse().expect("a pid");
    kill(pid_of(pid), Signal::SIGKILL).expect("a signal");
    assert_eq!(host.driver.finish(&started).status, 0);
    assert_eq!(observed.rows.len(), 0, "{observed:#?}");
    let due = format!(
        "no execution in /{} was named rnc; 2 there or elsewhere were named runc",
        host.cgroup_name()
    );
    assert!(observed.stderr.contains(&due), "{}", observed.stderr);
}

/// It is said of nothing alone.
#[test]
fn no_word_where_something_matched() {
    let Some(mut caller) = Caller::new(Runtime::runc()) else {
        return;
    };
    let worker = Worker::new(&caller.host, "garden", true);
    let other = worker.beside(&caller.host, "other");
    let [web, box_] = ["web", "box"].map(|name| caller.id(name));
    caller.start_before(&other, &web, &PAYLOAD);
    caller.start_before(&worker, &box_, &PAYLOAD);
    let tracer = caller.trace(&worker, &[]);
    for _ in 0..3 {
        caller.run(&other, &["state", &web], Ends::Well);
    }
    caller.call(&worker, &box_, &["state", &box_], Ends::Well);
    let observed = caller.check(tracer, &[]);
    let said = &observed.stderr;
    assert!(
        !said.contains("not below") && !said.contains("was named"),
        "{said}"
    );
}
