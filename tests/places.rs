//! Where execlat is, and where what it traces is: in namespaces of their own, in cgroups by
//! any name, in cgroups that are removed and made anew.

mod common;
mod support_cli;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;
use serde_json::Value;

use common::{PATIENCE, Tracer, execlat, probe_args, skip, text};
use support_cli::{Live, Sleeper, Yard, finish, root, run};

/// The rows of JSON that are whole so far.
fn rows(file: &Path) -> Vec<Value> {
    let written = fs::read_to_string(file).unwrap_or_default();
    let whole = written.rfind('\n').map_or("", |end| &written[..end]);
    let parse = |line| serde_json::from_str(line).expect("JSON");
    let rows: Vec<Value> = whole.lines().map(parse).collect();
    rows.into_iter().filter(|row| row["pid"].is_u64()).collect()
}

/// Waits for a row.
fn row(file: &Path, is_it: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(row) = rows(file).into_iter().find(|row| is_it(row)) {
            return row;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("no such row in {}: {:?}", file.display(), rows(file));
}

fn argv_is(row: &Value, line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    row["argv"] == serde_json::json!(words)
}

/// Seconds between the two clocks: ahead, and back to half of what is left.
fn offsets() -> [String; 3] {
    let uptime = fs::read_to_string("/proc/uptime").expect("uptime");
    let uptime: f64 = uptime
        .split(' ')
        .next()
        .unwrap_or("0")
        .parse()
        .expect("seconds");
    [
        "0".into(),
        "100000".into(),
        format!("-{}", uptime as u64 / 2),
    ]
}

#[test]
fn in_a_time_namespace_times_are_the_hosts() {
    let Some(yard) = Yard::new("time") else {
        return;
    };
    let can = Command::new("unshare").args(["-T", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return skip("no time namespaces here");
    }
    for offset in offsets() {
        let (began, sleeper) = (Instant::now(), Sleeper::new(&yard));
        let file = yard.file("rows.json");
        let mut command = Command::new("unshare");
        command.args(["-T", &format!("--monotonic={offset}")]);
        command.arg(execlat()).arg("-v").args(probe_args());
        command.args(["-c", yard.cgroup.path(), "-j", "-o", text(&file)]);
        command.args(["--slow", "150ms"]);
        let live = Live::start_as(&mut command);
        let before = SystemTime::now();
        yard.run("sleep 0.001");
        let short = row(&file, |row| argv_is(row, "sleep 0.001"));
        let start = short["start_time"].as_str().expect("a time");
        let start = humantime::parse_rfc3339(start).expect("RFC 3339");
        // The clocks are not read at one instant.
        let early = before - Duration::from_millis(10);
        assert!(
            start >= early && start <= SystemTime::now(),
            "{offset}: {start:?}"
        );
        let late = Sleeper::new(&yard);
        live.hear(&["slow, still running", &late.pid().to_string()]);
        let ran = live.finish_by(Signal::SIGINT);
        assert_eq!(ran.status, 0, "{ran:?}");
        let all = began.elapsed().as_nanos();
        for pid in [sleeper.pid(), late.pid()] {
            let running = row(&file, |row| row["pid"] == pid);
            let time = u128::from(running["time_ns"].as_u64().expect("a number"));
            assert!(time > 0 && time <= all, "{offset}: {running}");
        }
    }
}

/// A shell in one of the yard's cgroups, and in namespaces of its own, in which the cgroups
/// below it are mounted in a directory, at `$0`: what runs execlat in the end.
fn in_a_private_view(cgroup: &Path, mount: &Path, script: &str) -> Command {
    let mut command = Command::new("sh");
    let inner = format!("mount -t cgroup2 none \"$0\" && exec {script}");
    let enter = "echo $$ >\"$0\" && exec unshare -C -m sh -c \"$1\" \"$2\"";
    command.args(["-c", enter]);
    command
        .arg(cgroup.join("cgroup.procs"))
        .arg(inner)
        .arg(mount);
    command
}

#[test]
fn a_recording_made_in_a_cgroup_namespace_knows_the_directories_there() {
    let Some(yard) = Yard::new("view") else {
        return;
    };
    let inner = yard.cgroup.child("inner");
    let web = inner.join("web");
    fs::create_dir(&web).expect("a cgroup");
    let (mount, file, link) = (yard.file("cg"), yard.file("v.xl"), yard.file("link"));
    fs::create_dir(&mount).expect("a directory");
    std::os::unix::fs::symlink(mount.join("web"), &link).expect("a link");
    let script = format!(
        "{} -v {} -c \"$0/web\" --record {}",
        execlat().display(),
        probe_args().join(" "),
        file.display()
    );
    let before = Inside::start(&web, "1013");
    let live = Live::start_as(&mut in_a_private_view(&inner, &mount, &script));
    before.end();
    Inside::start(&web, "0.001").wait();
    let ran = live.finish_by(Signal::SIGINT);
    assert_eq!(ran.status, 0, "{ran:?}");

    let recording = text(&file);
    let report = |cgroup: &str| {
        run(
            yard.scratch.path(),
            &["report", recording, "-j", "-c", cgroup],
        )
    };
    let at = |path: &str| format!("{}/{path}", mount.display());
    let path = format!("/{}/inner/web", name_of(yard.cgroup.dir()));
    // What ran before, and what ran then, are in one cgroup, as the host has it.
    for cgroup in [
        &at("web"),
        &at(""),
        &at("web/"),
        &at("/web"),
        &at("x/../web"),
    ]
    .into_iter()
    .map(String::as_str)
    .chain(["cg/web", "./cg//web", "link", text(&link), &path])
    {
        let ran = report(cgroup);
        assert_eq!(ran.status, 0, "{ran:?}");
        let cgroups: Vec<Value> = lines(&ran.stdout)
            .iter()
            .map(|r| r["cgroup"].clone())
            .collect();
        assert_eq!(cgroups, [path.as_str(), &path], "{cgroup}: {ran:?}");
    }
    for cgroup in [at("other"), "/no/such".to_owned()] {
        let ran = report(&cgroup);
        assert_eq!(lines(&ran.stdout), [Value::Null; 0], "{cgroup}");
        let said = "execlat: no recorded cgroup is /";
        let said = ran.stderr.lines().filter(|line| line.starts_with(said));
        let said: Vec<&str> = said.collect();
        assert_eq!(said.len(), 1, "{cgroup}: {ran:?}");
        assert!(
            said[0].ends_with(&format!("the nearest: {path}")),
            "{said:?}"
        );
    }
}

fn lines(rows: &str) -> Vec<Value> {
    let rows = rows
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    rows.filter(|row: &Value| row["pid"].is_u64()).collect()
}

fn name_of(dir: &Path) -> &str {
    text(dir.file_name().map(Path::new).expect("a name"))
}

/// A process in a cgroup, which sleeps; killed at the end.
struct Inside(Child);

impl Inside {
    /// It has exec'd when this returns, or has ended.
    fn start(cgroup: &Path, seconds: &str) -> Inside {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\" && exec sleep \"$1\""]);
        let mut child = command
            .arg(cgroup.join("cgroup.procs"))
            .arg(seconds)
            .spawn()
            .expect("sh");
        let comm = format!("/proc/{}/comm", child.id());
        let end = Instant::now() + PATIENCE;
        while child.try_wait().expect("our child").is_none()
            && fs::read_to_string(&comm).is_ok_and(|comm| comm.trim() != "sleep")
        {
            assert!(Instant::now() < end, "it does not sleep");
            sleep(Duration::from_millis(2));
        }
        Inside(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn wait(mut self) {
        let status = self.0.wait().expect("our child");
        assert!(status.success(), "{status}");
    }

    fn end(mut self) {
        self.0.kill().expect("our child");
        self.0.wait().expect("our child");
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Of what ran before as of what is exec'd, and in no namespace is it another.
#[test]
fn a_cgroup_has_a_name_whatever_that_is() {
    let Some(yard) = Yard::new("name") else {
        return;
    };
    let odd = yard.cgroup.dir().join(OsStr::from_bytes(b"o\xffd"));
    let [web, db] = ["web", "db"].map(|name| odd.join(name));
    for dir in [&odd, &web, &db] {
        fs::create_dir(dir).expect("a cgroup");
    }
    let before = Inside::start(&web, "1019");
    let tracer = Tracer::start(yard.scratch.path(), &["-c", yard.cgroup.path()]);
    Inside::start(&db, "0.001").wait();
    let pid = before.pid();
    before.end();
    let observed = tracer.stop();
    for dir in [&db, &web, &odd] {
        remove_cgroup(dir);
    }
    let above = format!("/{}/o\u{fffd}d", name_of(yard.cgroup.dir()));
    let of = |is_it: &dyn Fn(&Value) -> bool| {
        let row = observed.rows.iter().find(|row| is_it(row));
        row.unwrap_or_else(|| panic!("{observed:?}"))["cgroup"].clone()
    };
    assert_eq!(of(&|row| row["pid"] == pid), format!("{above}/web"));
    assert_eq!(
        of(&|row| argv_is(row, "sleep 0.001")),
        format!("{above}/db")
    );
}

/// The kernel side reports 24 levels: what is deeper may be anywhere, as far as its path says.
#[test]
fn a_path_that_is_cut_off_is_nowhere_and_everywhere() {
    let Some(yard) = Yard::new("deep") else {
        return;
    };
    let mut dirs = vec![yard.cgroup.child("d")];
    while dirs.len() < 24 {
        dirs.push(dirs[dirs.len() - 1].join("d"));
        fs::create_dir(&dirs[dirs.len() - 1]).expect("a cgroup");
    }
    let file = yard.file("deep.xl");
    let args = ["-Q", "--record", text(&file)];
    let live = yard.trace(&args);
    // 24 levels with the yard's, and 25.
    let [whole, cut] = [&dirs[22], &dirs[23]];
    Inside::start(whole, "0.001").wait();
    Inside::start(cut, "0.002").wait();
    let ran = live.finish_by(Signal::SIGINT);
    assert_eq!(ran.status, 0, "{ran:?}");
    dirs.iter().rev().for_each(|dir| remove_cgroup(dir));

    let report = |cgroup: &Path| {
        let ran = run(
            Path::new("/"),
            &["report", text(&file), "-j", "-c", text(cgroup)],
        );
        let of = |row: &Value| (row["argv"][1].clone(), row["cgroup"].clone());
        let rows: Vec<_> = lines(&ran.stdout).iter().map(of).collect();
        (rows, ran.stderr)
    };
    let path = format!("/{}{}", name_of(yard.cgroup.dir()), "/d".repeat(23));
    let first = ("0.001".into(), path.into());
    let second = ("0.002".into(), format!("/…{}", "/d".repeat(24)).into());
    // All that was recorded: the kernel has decided.
    let (rows, said) = report(yard.cgroup.dir());
    assert_eq!(rows, [first.clone(), second], "{said}");
    let (rows, said) = report(&dirs[0]);
    assert_eq!(rows, [first], "{said}");
    assert!(
        said.contains("; 1 execution left out, container unknown"),
        "{said}"
    );
}

#[test]
fn capabilities_in_a_user_namespace_do_not_count() {
    if root().is_none() {
        return;
    }
    let can = Command::new("unshare").args(["-U", "-r", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return skip("no user namespaces here");
    }
    let within = |arg: &str| {
        let mut command = Command::new("unshare");
        finish(command.args(["-U", "-r"]).arg(execlat()).arg(arg))
    };
    let ran = within("doctor");
    assert_eq!(ran.status, 1, "{ran:?}");
    let line = ran
        .stdout
        .lines()
        .find(|line| line.contains("capabilities"));
    let line = line.expect("a line on capabilities");
    assert!(
        line.trim_start().starts_with("LACK") && line.contains("user namespace"),
        "{line}"
    );
    let ran = within("-Q");
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(
        ran.stderr
            .contains("do not count; run it as root in the host's"),
        "{ran:?}"
    );
}

#[test]
fn a_pid_of_another_namespace_is_called_that() {
    if root().is_none() {
        return;
    }
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(execlat());
    let ran = finish(command.args(probe_args()).args(["-p", "1"]));
    assert_eq!(ran.status, 1, "{ran:?}");
    let why = "no process with pid 1; we are in a pid namespace of our own";
    assert!(ran.stderr.contains(why), "{ran:?}");
    let ran = run(Path::new("/"), &["-p", "4194304"]);
    assert!(
        ran.stderr.ends_with("no process with pid 4194304\n"),
        "{ran:?}"
    );
}

#[test]
fn a_cgroup_that_is_made_anew_is_traced_again() {
    let Some(yard) = Yard::new("anew") else {
        return;
    };
    for exact in [false, true] {
        let parent = yard.cgroup.child("parent");
        let asked = parent.join("asked");
        let below = if exact {
            asked.clone()
        } else {
            asked.join("c")
        };
        let make = || fs::create_dir_all(&below).expect("cgroups");
        let file = yard.file("rows.json");
        make();
        let mut args = vec!["-c", text(&asked), "-j", "-o", text(&file)];
        if exact {
            args.push("--cgroup-exact");
        }
        let live = Live::start(&args);
        Inside::start(&below, "0.001").wait();
        row(&file, |row| argv_is(row, "sleep 0.001"));
        let remove = || {
            let mut each = below.as_path();
            while each != yard.cgroup.dir() {
                remove_cgroup(each);
                each = each.parent().expect("it is below");
            }
        };
        // With its parent, and seen to be gone.
        remove();
        live.hear(&["cgroup", text(&asked), "was removed"]);
        make();
        live.hear(&["cgroup", text(&asked), "was made anew; tracing it again"]);
        Inside::start(&below, "0.002").wait();
        row(&file, |row| argv_is(row, "sleep 0.002"));
        // Between two looks, most probably; and what runs there meanwhile is judged.
        remove();
        make();
        Inside::start(&below, "0.003").wait();
        live.hear(&["cgroup", text(&asked), "was made anew; tracing it again"]);
        Inside::start(&below, "0.004").wait();
        row(&file, |row| argv_is(row, "sleep 0.004"));
        let ran = live.finish_by(Signal::SIGINT);
        assert_eq!(ran.status, 0, "{ran:?}");
        remove();
    }
}

/// The kernel lets go of who has just ended in there.
fn remove_cgroup(dir: &Path) {
    let end = Instant::now() + PATIENCE;
    while let Err(error) = fs::remove_dir(dir) {
        assert!(Instant::now() < end, "{}: {error}", dir.display());
        sleep(Duration::from_millis(5));
    }
}
