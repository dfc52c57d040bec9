//! `--cgroup` with the cgroup around a worker's containers: what runtimes do to these
//! is there, wherever they were called from, and nothing else.

use std::fs;

use crate::common::{Expected, Tracer, check, say, skip, text};
use crate::driver::{Done, Ended};
use crate::due::{end_of, pid_in, process};
use crate::host::{Host, Runtime};

#[path = "claims.rs"]
mod claims;
#[path = "in_flight.rs"]
mod in_flight;
#[path = "mixed.rs"]
mod mixed;
#[path = "worker.rs"]
mod worker;

use worker::{Caller, Ends, NOWHERE, Worker, create, create_files};

const PAYLOAD: [&str; 2] = ["sleep", "1000"];

/// From a container that runs to one that is gone.
fn use_up(caller: &mut Caller, worker: &Worker, handle: &str, pid: u32) {
    let (bundle, file) = create_files(worker, &caller.host, handle);
    let process = format!("{bundle}/process.json");
    let json = r#"{"user":{"uid":0,"gid":0},"cwd":"/","env":["PATH=/bin"],"args":["true"]}"#;
    fs::write(&process, json).expect("process.json");
    let exec_pid = format!("{bundle}/exec-pid");
    let detached = ["exec", "-d", "--pid-file", &exec_pid, handle];
    let by_file = ["exec", "--process", &process, handle];
    let is_runc = caller.host.runtime.is_runc();
    let mut call = |args: &[&str], ends| caller.call(worker, handle, args, ends);

    call(&["state", handle], Ends::Well);
    if is_runc {
        call(&["events", "--stats", handle], Ends::Well);
    }
    call(&["exec", handle, "true"], Ends::Well);
    call(&["exec", handle, "sh", "-c", "exit 3"], Ends::With(3));
    call(&["exec", handle, NOWHERE], Ends::Badly);
    call(&[&detached[..], &PAYLOAD].concat(), Ends::Well);
    call(&by_file, Ends::Well);
    call(&create(&bundle, &file, handle), Ends::Badly);
    call(&["start", handle], Ends::Badly);
    call(&["kill", handle, "KILL"], Ends::Well);
    caller.host.driver.ended(pid);
    let mut call = |args: &[&str], ends| caller.call(worker, handle, args, ends);
    call(&["state", handle], Ends::Well);
    call(&["kill", handle, "KILL"], Ends::Badly);
    call(&["delete", handle], Ends::Well);
}

/// What is about no container of the worker, or of nobody's.
fn in_vain(caller: &mut Caller, worker: &Worker) {
    caller.run(worker, &["list"], Ends::Well);
    for args in [
        &["state", "nobody"][..],
        &["exec", "nobody", "true"],
        &["delete", "nobody"],
    ] {
        caller.run(worker, args, Ends::Badly);
    }
}

fn a_worker(runtime: Option<Runtime>) {
    let Some(mut caller) = Caller::new(runtime) else {
        return;
    };
    let worker = Worker::new(&caller.host, "garden", true);
    let [old, web, forced, brief] = ["old", "web", "forced", "brief"].map(|name| caller.id(name));
    let pid = caller.start_before(&worker, &old, &PAYLOAD);
    for handle in [&web, &forced] {
        worker.bundle(&caller.host, handle, &PAYLOAD);
    }
    worker.bundle(&caller.host, &brief, &["sh", "-c", "exit 7"]);
    let tracer = caller.trace(&worker, &[]);

    in_vain(&mut caller, &worker);
    use_up(&mut caller, &worker, &old, pid);
    let pid = caller.start(&worker, &web);
    in_vain(&mut caller, &worker);
    use_up(&mut caller, &worker, &web, pid);

    let bundle = worker.path(&caller.host, &brief);
    let run = ["run", "--no-new-keyring", "--bundle", &bundle, &brief];
    caller.call(&worker, &brief, &run, Ends::With(7));
    caller.start(&worker, &forced);
    caller.call(&worker, &forced, &["delete", "-f", &forced], Ends::Well);
    caller.check(tracer, &[]);
}

#[test]
fn a_worker_with_runc() {
    a_worker(Runtime::runc());
}

#[test]
fn a_worker_with_newer_runc() {
    a_worker(Runtime::newer_runc());
}

#[test]
fn a_worker_with_crun() {
    a_worker(Runtime::crun());
}

#[test]
fn a_worker_with_newer_crun() {
    a_worker(Runtime::newer_crun());
}

#[test]
fn a_worker_with_youki() {
    a_worker(Runtime::youki());
}

/// Of two workers with the same ids, one is asked for.
fn two_workers(runtime: Option<Runtime>) {
    let Some(mut caller) = Caller::new(runtime) else {
        return;
    };
    // One's id is the beginning of another's.
    let [we, web, web2] = ["we", "web", "web2"].map(|name| caller.id(name));
    let (before, after) = ([&web, &we], [&web, &web2, &we]);
    let workers = [
        Worker::new(&caller.host, "garden-a", true),
        Worker::new(&caller.host, "garden-b", false),
    ];
    let mut pids = Vec::new();
    for handle in before {
        for worker in &workers {
            pids.push(caller.start_before(worker, handle, &PAYLOAD));
        }
    }
    let [here, there] = ["here", "there"].map(|name| caller.id(name));
    for (worker, handle) in workers.iter().zip([&here, &there]) {
        worker.bundle(&caller.host, &web2, &PAYLOAD);
        worker.bundle(&caller.host, handle, &PAYLOAD);
    }
    let [asked, other] = &workers;
    let tracer = caller.trace(asked, &[]);

    // Of these, one of the two alone has one.
    caller.create(asked, &here);
    caller.create(other, &there);
    caller.run(asked, &["state", &there], Ends::Badly);
    caller.run(other, &["state", &here], Ends::Badly);
    caller.call(asked, &here, &["state", &here], Ends::Well);
    caller.call(other, &there, &["state", &there], Ends::Well);

    let mut pids = pids.into_iter();
    for handle in before {
        for worker in &workers {
            let pid = pids.next().expect("one for each");
            use_up(&mut caller, worker, handle, pid);
        }
    }
    // The other way round, and each while all the others are there.
    let mut pids = Vec::new();
    for handle in after {
        for worker in [other, asked] {
            pids.push(caller.start(worker, handle));
        }
    }
    let mut pids = pids.into_iter();
    for handle in after {
        for worker in [other, asked] {
            let pid = pids.next().expect("one for each");
            use_up(&mut caller, worker, handle, pid);
        }
    }
    caller.check(tracer, &[]);
}

#[test]
fn two_workers_with_runc() {
    two_workers(Runtime::runc());
}

#[test]
fn two_workers_with_newer_runc() {
    two_workers(Runtime::newer_runc());
}

#[test]
fn two_workers_with_crun() {
    two_workers(Runtime::crun());
}

/// A directory of v1, whatever else the host has.
#[test]
fn a_worker_in_v1() {
    let Some(host) = Host::new(Runtime::runc()) else {
        return;
    };
    let mut caller = Caller::of(host);
    let mut worker = Worker::new(&caller.host, "garden", true);
    let controllers = ["memory", "pids", "freezer", "name=systemd"];
    let dirs = controllers.iter().filter_map(|c| caller.host.v1(c));
    let dirs: Vec<_> = dirs.map(|dir| dir.join("garden")).collect();
    if dirs.is_empty() {
        let why = "needs a cgroup hierarchy of v1";
        // A guest that has none was asked for.
        let is_meant = std::env::var_os("EXECLAT_CGROUP_MODE").is_some_and(|mode| mode == "v2");
        return if is_meant {
            say(&format!("skipped: {why}"))
        } else {
            skip(why)
        };
    }
    for dir in dirs {
        fs::create_dir_all(&dir).expect("a v1 cgroup");
        worker.garden = dir;
        let [old, web] = ["old", "web"].map(|name| caller.id(name));
        let pid = caller.start_before(&worker, &old, &PAYLOAD);
        worker.bundle(&caller.host, &web, &PAYLOAD);
        let tracer = caller.trace(&worker, &[]);
        in_vain(&mut caller, &worker);
        use_up(&mut caller, &worker, &old, pid);
        let pid = caller.start(&worker, &web);
        use_up(&mut caller, &worker, &web, pid);
        caller.check(tracer, &[]);
        caller.due.clear();
    }
}

/// The three meanings of one directory, at the same time, without a name.
fn strict_and_exact(runtime: Option<Runtime>) {
    let Some(mut caller) = Caller::new(runtime) else {
        return;
    };
    let worker = Worker::new(&caller.host, "garden", true);
    let web = caller.id("web");
    worker.bundle(&caller.host, &web, &PAYLOAD);
    let trace = |args: &[&str]| {
        let name = args.first().map_or("loose", |arg| arg.trim_matches('-'));
        let scratch = caller.host.bed.scratch.path().join(name);
        fs::create_dir(&scratch).expect("a directory");
        let dir = ["-c", text(&worker.garden)];
        Tracer::start(&scratch, &[&dir, args].concat())
    };
    let tracers = [
        trace(&[]),
        trace(&["--cgroup-strict"]),
        trace(&["--cgroup-exact"]),
    ];

    // At first: what has containers below it may then hold no process.
    let argv = ["/bin/true", "here"].map(|arg| arg.as_bytes().to_vec());
    let exact = caller.run_inside(&worker.garden, &argv);
    let exact = exact.expected("in the garden");
    let pid = caller.create(&worker, &web);
    let created = caller.due[0].done.clone();
    caller.call(&worker, &web, &["start", &web], Ends::Well);
    let file = worker.path(&caller.host, "exec-pid");
    let mut inside = vec![exact.clone()];
    for code in ["exit 3", "exit 5"] {
        let code_of = code[5..].parse().expect("a number");
        let args = ["exec", "--pid-file", &file, &web, "sh", "-c", code];
        caller.call(&worker, &web, &args, Ends::With(code_of));
        let exec = &caller.due[caller.due.len() - 1].done;
        let end = end_of(exec, code_of << 8);
        inside.push(process(&["sh", "-c", code], pid_in(&file), exec, &end).expected(code));
    }
    caller.call(&worker, &web, &["kill", &web, "KILL"], Ends::Well);
    let end = caller.host.driver.ended(pid);
    caller.call(&worker, &web, &["delete", &web], Ends::Well);
    inside.push(payload(&caller, &created, pid, &end));

    let [loose, strict, only] = tracers;
    caller.check(loose, &inside);
    // What execs inside of a `runc init` is there, which depends on when it is moved: most
    // often it has executed all by then, and none is in these rows.
    let (strict, init) = caller.host.stop_and_split(strict);
    check(&inside, &strict);
    let place = format!("/{}/garden/{web}", caller.host.cgroup_name());
    assert!(init.iter().all(|row| row["cgroup"] == place), "{init:#?}");
    check(&[exact], &caller.host.stop(only));
}

/// What `create` has left there, from its exec on.
fn payload(caller: &Caller, created: &Done, pid: u32, end: &Ended) -> Expected {
    // The runtime that started it is gone by then.
    let parent = Done {
        pid: caller.host.driver.pid(),
        ..created.clone()
    };
    let mut payload = process(&PAYLOAD, pid, &parent, end).expected("payload");
    payload.start_ns.0 = created.end_ns;
    payload
}

#[test]
fn strict_and_exact_with_runc() {
    strict_and_exact(Runtime::runc());
}

#[test]
fn strict_and_exact_with_crun() {
    strict_and_exact(Runtime::crun());
}
