//! Callers and containers are in different cgroups, and processes move from one to
//! the other. The numbers are those of RUNTIMES.md.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::{check, skip, text};
use crate::driver::Done;
use crate::due::{end_of, main_row, pid_in, process, run_hello};
use crate::host::{Host, Runtime};

/// 7: the caller and its container are in different cgroups, below one.
fn around_both(runtime: Option<Runtime>) {
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    host.bundle("hello", &["sh", "-c", "exit 7"]);
    let tracer = host.trace(&[]);
    let (main, payload) = run_hello(&mut host);
    let (observed, _) = host.stop_and_split(tracer);
    check(
        &[main_row(&host, &main, "main"), payload.expected("payload")],
        &observed,
    );
    for (done, place) in [(main, "runner"), (payload, "hello")] {
        let of_pid = |row: &&Value| row["pid"] == done.pid;
        let row = observed.rows.iter().find(of_pid).expect("checked");
        assert_eq!(row["cgroup"], format!("/{}/{place}", host.cgroup_name()));
    }
}

#[test]
fn around_runc_and_its_container() {
    around_both(Runtime::runc());
}

#[test]
fn around_crun_and_its_container() {
    around_both(Runtime::crun());
}

/// 7: of the caller alone. What execs in it and ends elsewhere, `runc init`, is in one
/// row; its second exec may already be elsewhere, and then no longer matches.
#[test]
fn of_the_caller() {
    let Some(mut host) = Host::new(Runtime::runc()) else {
        return;
    };
    host.bundle("hello", &["sh", "-c", "exit 7"]);
    let tracer = host.bed.trace(&["-c", text(&host.runner)]);
    let mut expected = Vec::new();
    for _ in 0..11 {
        expected.push(run_hello(&mut host).0.expected("main"));
    }
    let (observed, init) = host.stop_and_split(tracer);
    check(&expected, &observed);
    assert_eq!(init.len(), expected.len(), "{init:#?}");
    for row in &init {
        let end = (&row["end"], &row["exit_code"], &row["reexecs"]);
        let stayed = (&json!("exit"), &json!(0), &json!(1));
        let left = (&json!("exec"), &Value::Null, &json!(0));
        assert!(end == stayed || end == left, "{row}");
    }
}

/// 7: by `--follow`, what the runtime starts is followed out of its cgroup.
#[test]
fn followed_out_of_the_callers_cgroup() {
    let Some(mut host) = Host::new(Runtime::runc()) else {
        return;
    };
    host.bundle("hello", &["sh", "-c", "exit 7"]);
    let runner = text(&host.runner);
    let tracer = host.bed.trace(&["-c", runner, "-n", "runc", "--follow"]);
    let mut expected = Vec::new();
    for _ in 0..11 {
        let (main, payload) = run_hello(&mut host);
        expected.extend([main.expected("main"), payload.expected("payload")]);
    }
    let (observed, init) = host.stop_and_split(tracer);
    check(&expected, &observed);
    assert_eq!(init.len(), 11);
    for row in &init {
        assert_eq!((&row["end"], &row["reexecs"]), (&json!("exit"), &json!(1)));
    }
}

/// 7, 14: inside of the container alone, with what waits in it for `start` since before. The
/// payload's exec is in the process that `create` has left there.
fn of_the_container(runtime: Option<Runtime>) {
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    host.bundle("box", &["sleep", "1000"]);
    let (create, pid) = host.create("box", "box");
    let container = host.bed.cgroup.dir().join("box");
    let strict = ["-c", text(&container), "--cgroup-strict"];
    let tracer = host.bed.trace(&strict);
    host.run_well(&["start", "box"]);
    let pid_file = host.path("exec-pid");
    let exec = host.run_well(&["exec", "--pid-file", &pid_file, "box", "true"]);
    let exec_pid = pid_in(&pid_file);
    let (_, end) = host.kill_container("box", pid);
    let observed = host.stop(tracer);

    let caller = Done {
        pid: host.driver.pid(),
        ..create.clone()
    };
    let payload = process(&["sleep", "1000"], pid, &caller, &end);
    let mut waiting = payload.expected("waiting").running_before();
    waiting.argv = if host.runtime.is_runc() {
        vec![text(&host.runtime.path).into(), b"init".to_vec()]
    } else {
        create.argv.clone()
    };
    (waiting.end, waiting.signal) = ("exec".into(), None);
    // Only that which waits was there before the `create` had ended.
    waiting.start_ns.1 = create.end_ns;
    let mut payload = payload.expected("payload");
    payload.start_ns.0 = create.end_ns;
    let inside = process(&["true"], exec_pid, &exec, &end_of(&exec, 0));
    check(&[waiting, payload, inside.expected("exec")], &observed);
}

#[test]
fn of_a_container_of_runc() {
    of_the_container(Runtime::runc());
}

#[test]
fn of_a_container_of_crun() {
    of_the_container(Runtime::crun());
}

/// 8: the same by a directory of v1, on a host that has both.
#[test]
fn v1_directory() {
    let Some(mut host) = Host::new(Runtime::runc()) else {
        return;
    };
    host.bundle("hello", &["sh", "-c", "exit 7"]);
    let controllers = ["memory", "pids", "freezer", "name=systemd"];
    let dirs: Vec<PathBuf> = controllers.iter().filter_map(|c| host.v1(c)).collect();
    if dirs.is_empty() {
        return skip("needs a cgroup hierarchy of v1");
    }
    for dir in dirs {
        let around = host.bed.trace(&["-c", text(&dir)]);
        let (main, payload) = run_hello(&mut host);
        let (observed, init) = host.stop_and_split(around);
        check(
            &[main.expected("main"), payload.expected("payload")],
            &observed,
        );
        assert_eq!(init.len(), 1, "{init:#?}");
        let caller = host.bed.trace(&["-c", text(&dir.join("runner"))]);
        let main = run_hello(&mut host).0;
        let (observed, _) = host.stop_and_split(caller);
        check(&[main.expected("main")], &observed);
    }
}
