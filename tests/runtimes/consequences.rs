//! What else follows from how runtimes work. The numbers are those of RUNTIMES.md.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::compare::losses;
use crate::common::{InTime as _, Observed, check, execlat, text};
use crate::driver::Done;
use crate::due::{end_of, main_row, number, pid_in, process, run_hello, wait_for_payload};
use crate::host::{Host, Runtime};

/// 2: runc 1.3 executes `/proc/self/fd/6`: comm is `6`, and argv\[0\] decides.
#[test]
fn name_by_argv0_alone() {
    let Some(mut host) = Host::new(Runtime::runc()) else {
        return;
    };
    let tracer = host.trace(&["-n", "runc"]);
    let argv = host.argv(&["list"]);
    let code = r#"exec 6<"$0"; exec -a "$0" /proc/self/fd/6 "$@""#;
    let mut bash: Vec<Vec<u8>> = ["bash", "-c", code].map(|arg| arg.into()).to_vec();
    bash.extend(argv.iter().cloned());
    let started = host.driver.spawn(Path::new("/bin/bash"), bash);
    let done = Done {
        argv,
        ..host.driver.finish(&started)
    };
    assert_eq!(done.status, 0, "{}", host.driver.said());
    let observed = host.stop(tracer);
    check(&[done.expected("6")], &observed);
    assert_eq!(observed.rows[0]["comm"], "6");
    assert_eq!(observed.rows[0]["action"], "runc list");
}

/// 9: latencies are grouped by action.
fn by_action(runtime: Option<Runtime>) {
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    host.bundle("hello", &["sh", "-c", "exit 7"]);
    let name = host.runtime.name;
    let file = host.path("histogram.json");
    let histogram = format!("--histogram={file}");
    let tracer = host.trace(&["-n", name, &histogram]);
    for _ in 0..3 {
        run_hello(&mut host);
    }
    for _ in 0..7 {
        host.run(&["state", "none"]);
    }
    for _ in 0..5 {
        host.run_well(&["list"]);
    }
    tracer.stop();
    let histogram = fs::read(&file).expect("the histogram");
    let histogram: Value = serde_json::from_slice(&histogram).expect("JSON");
    assert_eq!(histogram["by"], "action");
    let groups = histogram["groups"].as_array().expect("groups");
    let got: BTreeMap<_, _> = groups
        .iter()
        .map(|g| {
            (
                g["group"].to_string(),
                (number(g, "count"), number(g, "failed")),
            )
        })
        .collect();
    let mut due = vec![("run", (3, 3)), ("state", (7, 7)), ("list", (5, 0))];
    if name == "runc" {
        due.push(("init", (3, 0)));
    }
    let due = due.into_iter().map(|(c, n)| (format!("\"{name} {c}\""), n));
    assert_eq!(got, due.collect());
}

#[test]
fn by_action_of_runc() {
    by_action(Runtime::runc());
}

#[test]
fn by_action_of_crun() {
    by_action(Runtime::crun());
}

/// 9: a runtime that does not end is shown all the same.
#[test]
fn still_running() {
    let Some(mut host) = Host::new(Runtime::runc()) else {
        return;
    };
    let box_ = text(&host.bundle("box", &["sleep", "1000"])).to_owned();
    let pid_file = host.path("pid");
    let tracer = host.trace(&[]);
    let started = host.spawn(&["run", "-b", &box_, "--pid-file", &pid_file, "box"]);
    wait_for_payload(&pid_file, "sleep");
    let (observed, _) = host.stop_and_split(tracer);
    let pid = pid_in(&pid_file);
    host.run_well(&["kill", "box", "KILL"]);
    let main = host.driver.finish(&started);
    let payload = process(&["sleep", "1000"], pid, &main, &end_of(&main, 0));
    let mut expected = [main.expected("main"), payload.expected("payload")];
    for row in &mut expected {
        (row.end, row.exit_code) = ("running".into(), None);
    }
    check(&expected, &observed);
    assert!(observed.rows.iter().any(|row| row["action"] == "runc run"));
}

/// 10: a killed `run` leaves its payload, whose row comes later.
fn killed_run(runtime: Option<Runtime>) {
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    let hello = text(&host.bundle("hello", &["sleep", "0.5"])).to_owned();
    let pid_file = host.path("pid");
    let tracer = host.trace(&[]);
    let started = host.spawn(&["run", "-b", &hello, "--pid-file", &pid_file, "hello"]);
    wait_for_payload(&pid_file, "sleep");
    host.signal(&started, Signal::SIGKILL);
    let main = host.driver.finish(&started);
    assert_eq!(main.status, Signal::SIGKILL as i32);
    let pid = pid_in(&pid_file);
    // It comes to the driver, as to a shim.
    let end = host.driver.ended(pid);
    assert_eq!(end.status, 0);
    let (observed, _) = host.stop_and_split(tracer);
    let mut payload = process(&["sleep", "0.5"], pid, &main, &end).expected("payload");
    (payload.time_ns.0, payload.end_ns.0) = (500_000_000, main.end_ns);
    check(&[main_row(&host, &main, "main"), payload], &observed);
}

#[test]
fn killed_run_of_runc() {
    killed_run(Runtime::runc());
}

#[test]
fn killed_run_of_crun() {
    killed_run(Runtime::crun());
}

/// 13: a wrapper script named runc has that comm, and an interpreter's argv\[0\].
#[test]
fn script_that_wraps_runc() {
    let Some(mut host) = Host::new(Runtime::runc()) else {
        return;
    };
    let wrapper = host.path("runc");
    let code = format!("#!/bin/sh\nexec {} \"$@\"\n", text(&host.runtime.path));
    // By another process: see `execlat_for_all` of the command line's tests.
    let written = Command::new("sh")
        .args(["-c", r#"printf %s "$1" >"$2""#, "sh", &code, &wrapper])
        .in_time()
        .status();
    assert!(written.expect("sh").success());
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("its mode");
    let tracer = host.trace(&["-n", "runc"]);
    let real = host.argv(&["list"]);
    let mut argv = real.clone();
    argv[0] = wrapper.clone().into();
    let started = host.driver.spawn(Path::new(&wrapper), argv.clone());
    let done = host.driver.finish(&started);
    assert_eq!(done.status, 0, "{}", host.driver.said());
    let observed = host.stop(tracer);

    argv.insert(0, b"/bin/sh".to_vec());
    let mut script = Done {
        argv,
        ..done.clone()
    }
    .expected("script");
    (script.end, script.exit_code) = ("exec".into(), None);
    let mut runc = Done { argv: real, ..done }.expected("runc");
    // In order of time.
    runc.start_ns.0 += 1;
    check(&[script, runc], &observed);
    let action = |end: &str| observed.ended(end)[0]["action"].clone();
    assert_eq!(
        (action("exec"), action("exit")),
        ("runc".into(), "runc list".into())
    );
}

/// 14: what ran before the tracer has the process's start, not that of its exec.
#[test]
fn before_the_tracer() {
    let Some(mut host) = Host::new(Runtime::runc()) else {
        return;
    };
    let box_ = text(&host.bundle("box", &["sleep", "1000"])).to_owned();
    let pid_file = host.path("pid");
    let argv = host.argv(&["run", "-b", &box_, "--pid-file", &pid_file, "box"]);
    let code = r#"sleep 0.3; exec "$0" "$@""#;
    let mut shell: Vec<Vec<u8>> = ["sh", "-c", code].map(|arg| arg.into()).to_vec();
    shell.extend(argv.iter().cloned());
    let started = host.driver.spawn(Path::new("/bin/sh"), shell);
    wait_for_payload(&pid_file, "sleep");
    let tracer = host.trace(&[]);
    let kill = host.run_well(&["kill", "box", "KILL"]);
    let main = host.driver.finish(&started);
    let (observed, _) = host.stop_and_split(tracer);

    let pid = pid_in(&pid_file);
    let main = Done { argv, ..main };
    let end = end_of(&main, Signal::SIGKILL as i32);
    let payload = process(&["sleep", "1000"], pid, &main, &end).expected("payload");
    let payload = payload.running_before();
    let mut main = main.expected("main").running_before();
    assert_eq!(main.exit_code, Some(128 + 9));
    // It is the fork: before the wrapper's 0.3 s.
    main.start_ns.1 = started.start_ns + 290_000_000;
    check(&[main, payload, kill.expected("kill")], &observed);
}

/// 15: a hook is a child of the runtime, and a part of its time.
fn hooks(runtime: Option<Runtime>) {
    let Some(mut host) = Host::new(runtime) else {
        return;
    };
    host.bundle_with("box", &["sleep", "1000"], |config| {
        let hook = |seconds| json!([{ "path": "/bin/sleep", "args": ["a-hook", seconds] }]);
        config["hooks"] = json!({ "createRuntime": hook("0.11"), "poststop": hook("0.07") });
    });
    let tracer = host.trace(&[]);
    let (create, pid) = host.create("box", "box");
    let (kill, end) = host.kill_container("box", pid);
    let delete = host.run_well(&["delete", "box"]);
    let (mut observed, _) = host.stop_and_split(tracer);
    assert_eq!(end.status, Signal::SIGKILL as i32);

    let is_hook = |row: &&Value| row["argv"][0] == "a-hook";
    let hooks: Vec<Value> = observed.rows.iter().filter(is_hook).cloned().collect();
    observed.rows.retain(|row| !is_hook(&row));
    let mut expected = Vec::new();
    for (done, label, seconds, ms) in [
        (&create, "create", "0.11", 110),
        (&delete, "delete", "0.07", 70),
        (&kill, "kill", "", 0),
    ] {
        let mut main = main_row(&host, done, label);
        main.time_ns.0 = ms * 1_000_000;
        expected.push(main);
        if ms == 0 {
            continue;
        }
        let of_it = |row: &&Value| row["ppid"] == done.pid;
        let mine: Vec<&Value> = hooks.iter().filter(of_it).collect();
        assert_eq!(mine.len(), 1, "{label}: {hooks:#?}");
        let hook = mine[0];
        assert_eq!(hook["argv"], json!(["a-hook", seconds]));
        assert_eq!(
            (&hook["end"], &hook["exit_code"]),
            (&json!("exit"), &json!(0))
        );
        assert!(number(hook, "time_ns") >= ms * 1_000_000, "{hook}");
        let of_pid = |row: &&Value| row["pid"] == done.pid;
        let main = observed.rows.iter().find(of_pid).expect("its row");
        assert!(
            number(hook, "start_ns") > number(main, "start_ns"),
            "{hook} {main}"
        );
        assert!(
            number(hook, "end_ns") < number(main, "end_ns"),
            "{hook} {main}"
        );
    }
    assert_eq!(hooks.len(), 2);
    check(&expected, &observed);
}

#[test]
fn hooks_of_runc() {
    hooks(Runtime::runc());
}

#[test]
fn hooks_of_crun() {
    hooks(Runtime::crun());
}

/// 16: root without CAP_SYS_RESOURCE can trace, and run containers, as anywhere.
#[test]
fn no_cap_sys_resource() {
    let Some(host) = Host::new(Runtime::runc()) else {
        return;
    };
    let rows = host.path("rows.json");
    let output = Command::new("setpriv")
        .args(["--bounding-set=-sys_resource", "--"])
        .arg(execlat())
        .args(["-j", "-o", &rows, "--", "sh", "-c"])
        .args([r#"grep CapEff /proc/self/status; exec "$0" --version"#])
        .arg(&host.runtime.path)
        .in_time()
        .output()
        .expect("setpriv");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mask = stdout
        .strip_prefix("CapEff:")
        .and_then(|s| s.lines().next());
    let mask = u64::from_str_radix(mask.expect("CapEff").trim(), 16).expect("a mask");
    assert_eq!(mask >> 24 & 1, 0, "CAP_SYS_RESOURCE");
    let rows = fs::read_to_string(&rows).expect("rows");
    let rows: Vec<Value> = rows
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let comms: Vec<_> = rows.iter().filter_map(|row| row["comm"].as_str()).collect();
    assert_eq!(comms, ["grep", "sh", "runc"]);
    let summary = &rows[rows.len() - 1]["summary"];
    assert_eq!(losses(summary), Vec::<String>::new());
}

/// A container as the traced COMMAND: its status is ours, and all below it is seen.
#[test]
fn run_as_the_command() {
    let Some(host) = Host::new(Runtime::runc()) else {
        return;
    };
    let hello = text(&host.bundle("hello", &["sh", "-c", "exit 7"])).to_owned();
    let runc = text(&host.runtime.path);
    let root = host.path("root");
    let command = [runc, "--root", &root, "run", "-b", &hello, "hello"];
    let (observed, _, wall) = Observed::of_command(host.bed.scratch.path(), &[], &command);
    assert_eq!(observed.code(), 7, "{}", observed.stderr);
    assert_eq!(losses(&observed.summary), Vec::<String>::new());
    let actions: HashSet<_> = observed
        .rows
        .iter()
        .filter_map(|r| r["action"].as_str())
        .collect();
    assert_eq!(actions, HashSet::from(["runc run", "runc init", "sh"]));
    assert_eq!(observed.rows.len(), 3);
    for row in observed
        .rows
        .iter()
        .filter(|row| row["action"] != "runc init")
    {
        assert_eq!(
            (&row["end"], &row["exit_code"]),
            (&json!("exit"), &json!(7))
        );
        assert!(u128::from(number(row, "time_ns")) <= wall.as_nanos());
    }
}
