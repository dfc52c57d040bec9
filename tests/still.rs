//! What still runs, while tracing goes on: SIGUSR1's list and the rows of `--slow`.

mod common;
mod support_cli;

use std::time::{Duration, Instant};

use common::InTime as _;
use nix::sys::signal::Signal;
use support_cli::{Live, SOON, Sleeper, Yard};

const ASKED: &str = "execlat: running now, longest first:";
const SLOW: &str = "execlat: slow, still running:";

/// How a line of `--slow` about this process begins.
fn slow(pid: u32) -> String {
    format!("{SLOW}  {pid} ")
}

/// The lines that `--slow` wrote.
fn told(stderr: &str) -> Vec<&str> {
    let told = stderr.lines().filter_map(|line| line.strip_prefix(SLOW));
    told.collect()
}

/// The pid and the arguments of a line of a list, or of `--slow`.
fn named(line: &str) -> (u32, String) {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let pid = fields[0].parse().expect("a pid first");
    (pid, fields[3..].join(" "))
}

/// Nothing is stopped by it, and rows and figures are as without.
#[test]
fn a_signal_asks_what_runs() {
    let Some(yard) = Yard::new("asked") else {
        return;
    };
    for args in [&[][..], &["-Q"], &["--json"]] {
        let live = yard.trace(args);
        live.signal(Signal::SIGUSR1);
        live.hear(&["execlat: nothing that matches runs now"]);
        let sleepers = [Sleeper::new(&yard), Sleeper::new(&yard)];
        live.list_until(sleepers[1].pid());
        yard.run("/bin/true seen");
        let ran = live.finish_by(Signal::SIGINT);
        assert_eq!(ran.status, 0, "{ran:?}");
        let lists: Vec<&str> = ran.stderr.split(ASKED).skip(1).collect();
        let listed: Vec<_> = lists.last().expect("a list").lines().skip(1).collect();
        let longest_first = sleepers
            .each_ref()
            .map(|s| (s.pid(), "sleep 1009".to_owned()));
        assert_eq!(
            [named(listed[0]), named(listed[1])],
            longest_first,
            "{ran:?}"
        );
        assert!(
            ran.stderr
                .contains("1 execution, 0 failed, 2 still running"),
            "{ran:?}"
        );
        assert!(!ran.stdout.contains("longest first"), "{ran:?}");
    }
}

#[test]
fn a_signal_asks_what_a_command_runs() {
    let Some(yard) = Yard::new("asked-command") else {
        return;
    };
    let script = yard.file("script");
    std::fs::write(
        &script,
        "sleep 1009 & echo $! >pid.new; mv pid.new pid; wait",
    )
    .expect("a script");
    let mut command = std::process::Command::new(common::execlat());
    command.args(["-v", "-Q", "--slow", "100ms", "--", "sh"]);
    let live = Live::start_as(command.arg(&script).current_dir(yard.scratch.path()));
    let end = Instant::now() + SOON;
    let pid = loop {
        if let Ok(text) = std::fs::read_to_string(yard.file("pid")) {
            break text.trim().parse().expect("a pid");
        }
        assert!(Instant::now() < end, "the script does not run");
        std::thread::sleep(Duration::from_millis(5));
    };
    // In this order: whoever waits for a list passes over other lines.
    live.hear(&[&slow(pid)]);
    live.list_until(pid);
    live.signal_group(Signal::SIGTERM);
    let ran = live.finish();
    // Who waits for it is told with it, unless that was slow before it began.
    let waits = format!("sh {}", script.display());
    let mut told = told(&ran.stderr);
    told.retain(|line| !named(line).1.starts_with(&waits));
    let own: Vec<_> = told.iter().filter(|line| named(line).0 == pid).collect();
    assert_eq!(own.len(), 1, "{ran:?}");
    assert!(
        named(own[0]).1.starts_with("sleep 1009 (below sh "),
        "{ran:?}"
    );
    let list = ran.stderr.rsplit_once(ASKED).expect("a list").1;
    let listed: Vec<_> = list
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .collect();
    assert_eq!(listed.len(), 1, "{ran:?}");
    assert!(
        named(listed[0]).1.starts_with("sleep 1009 (below sh "),
        "{ran:?}"
    );
}

/// As the row has it, by its id here.
#[test]
fn what_is_told_has_its_container() {
    let Some(yard) = Yard::new("slow-container") else {
        return;
    };
    let inside = yard
        .cgroup
        .child(&format!("docker-{}.scope", "ab".repeat(32)));
    let live = yard.trace(&["--slow", "100ms"]);
    let procs = inside.join("cgroup.procs");
    let line = format!("sh -c 'echo $$ >{}; exec sleep 1009'", procs.display());
    let sleeper = yard.program(&line).spawn().map(Killed).expect("sh");
    let shown = "[abababababab] sleep 1009";
    live.hear(&[&slow(sleeper.0.id()), shown]);
    live.list_until(sleeper.0.id());
    let ran = live.finish_by(Signal::SIGINT);
    for list in [ASKED, "execlat: still running, longest first:"] {
        let list = ran.stderr.rsplit_once(list).expect("a list").1;
        assert!(
            list.lines()
                .nth(1)
                .is_some_and(|line| line.ends_with(shown)),
            "{ran:?}"
        );
    }
}

/// A host's daemons are no news; who asks for some gets them. A line has an end.
#[test]
fn what_ran_before_is_listed_where_it_is_asked_for() {
    let Some(yard) = Yard::new("before") else {
        return;
    };
    let word = "x".repeat(1500);
    let line = format!("exec -a {word} sleep 1009");
    let before = std::process::Command::new("bash")
        .args(["-c", &line])
        .spawn();
    let before = before.map(Killed).expect("bash");
    let cmdline = format!("/proc/{}/cmdline", before.0.id());
    let end = Instant::now() + SOON;
    while !std::fs::read_to_string(&cmdline).is_ok_and(|line| line.starts_with("xx")) {
        assert!(Instant::now() < end, "it does not run");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = format!("  {} ", before.0.id());
    let listed = |args: &[&str]| {
        let args = [&["-Q", "-d", "10ms"], args].concat();
        let ran = support_cli::run(yard.scratch.path(), &args);
        assert_eq!(ran.status, 0, "{ran:?}");
        let counted = ran
            .stderr
            .contains(" that ran before tracing began (-v lists them)\n");
        let lines = ran.stderr.lines().filter(|line| line.starts_with("  "));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        assert!(
            lines.iter().all(|line| line.chars().count() <= 200),
            "{lines:?}"
        );
        (lines.iter().any(|line| line.starts_with(&pid)), counted)
    };
    assert_eq!(listed(&[]), (false, true));
    let itself = before.0.id().to_string();
    assert_eq!(listed(&["-p", &itself]), (true, false));
    assert_eq!(listed(&["--line", "^xxx"]), (true, false));
    let (listed, _) = listed(&["--line", "^xxx no such"]);
    assert!(!listed);
}

/// Once, while it runs; not what has ended by then, nor what passed it before tracing.
#[test]
fn what_passes_a_limit_is_told_once() {
    let Some(yard) = Yard::new("slow") else {
        return;
    };
    let before = Sleeper::new(&yard);
    std::thread::sleep(Duration::from_millis(150));
    for args in [
        &["--slow", "150ms"][..],
        &["--slow", "150ms", "-Q"],
        &["--slow", "150ms", "--json"],
    ] {
        let live = yard.trace(args);
        yard.run("/bin/true seen");
        let sleeper = Sleeper::new(&yard);
        live.hear(&[&slow(sleeper.pid())]);
        // Told again, if it were, with this one.
        let later = Sleeper::new(&yard);
        live.hear(&[&slow(later.pid())]);
        let ran = live.finish_by(Signal::SIGINT);
        assert_eq!(ran.status, 0, "{ran:?}");
        // On a busy machine others may be slow too.
        let mut told = told(&ran.stderr);
        told.retain(|line| line.ends_with("sleep 1009"));
        let pids: Vec<u32> = told.iter().map(|line| named(line).0).collect();
        assert_eq!(pids, [sleeper.pid(), later.pid()], "{ran:?}");
        assert!(!ran.stderr.contains(&slow(before.pid())), "{ran:?}");
        for line in told {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let seconds: f64 = fields[2].parse().expect("its time");
            assert!(seconds >= 0.15, "{line}");
        }
        assert!(!ran.stdout.contains("slow, still"), "{ran:?}");
    }
}

/// What was adopted passes the limit like any other; `--line` chooses.
#[test]
fn what_ran_before_may_pass_a_limit_and_rows_are_chosen() {
    let Some(yard) = Yard::new("slow-before") else {
        return;
    };
    let end = Instant::now() + 5 * common::PATIENCE;
    let (_before, live) = loop {
        assert!(Instant::now() < end, "the machine is too busy");
        let began = Instant::now();
        let before = Sleeper::new(&yard);
        let live = yard.trace(&["--slow", "3s", "--line", "sleep 1[0-9]*$"]);
        // Else it may have passed the limit before tracing began.
        if began.elapsed() < Duration::from_secs(3) {
            break (before, live);
        }
    };
    let _other = yard
        .program("sleep 1013 2")
        .in_time()
        .spawn()
        .map(Killed)
        .expect("sh");
    let line = live.hear(&[SLOW, ">"]);
    assert_eq!(
        named(line.strip_prefix(SLOW).expect("it begins so")).1,
        "sleep 1009"
    );
    // Due after that one.
    let last = Sleeper::new(&yard);
    live.hear(&[&slow(last.pid())]);
    let ran = live.finish_by(Signal::SIGINT);
    assert_eq!(told(&ran.stderr).len(), 2, "{ran:?}");
}

/// By its name, though less of its arguments is kept than that takes.
#[test]
fn what_ran_before_is_known_by_its_whole_name() {
    let Some(yard) = Yard::new("cut-name") else {
        return;
    };
    let line = "bash -c 'exec -a /usr/sbin/some-runtime sleep 1009'";
    let before = yard
        .program(line)
        .in_time()
        .spawn()
        .map(Killed)
        .expect("sh");
    let cmdline = format!("/proc/{}/cmdline", before.0.id());
    let end = Instant::now() + SOON;
    while !std::fs::read_to_string(&cmdline).is_ok_and(|line| line.starts_with("/usr/sbin")) {
        assert!(Instant::now() < end, "it does not run");
        std::thread::sleep(Duration::from_millis(5));
    }
    for (name, running) in [("some-runtime", 1), ("some", 0), ("some-run", 0)] {
        for kept in ["8", "14", "4096"] {
            let live = yard.trace(&["-n", name, "--max-args-bytes", kept]);
            let ran = live.finish_by(Signal::SIGINT);
            let said = format!(", {running} still running, ");
            assert!(ran.stderr.contains(&said), "{name} {kept}: {ran:?}");
        }
    }
}

/// Only its own processes are listed to it there: nobody else is taken for gone.
#[test]
fn in_a_pid_namespace_it_says_what_it_does_not_know() {
    let Some(yard) = Yard::new("pid-ns") else {
        return;
    };
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(common::execlat());
    command.args(["-v", "-c", yard.cgroup.path(), "-d", "2s"]);
    let live = Live::start_as(command.args(common::probe_args()));
    let _sleeper = Sleeper::new(&yard);
    yard.run("/bin/true seen");
    let mut all = live.finish();
    assert_eq!(all.status, 0, "{all:?}");
    assert!(all.stdout.ends_with("/bin/true seen\n"), "{all:?}");
    let account = all
        .stderr
        .split_off(all.stderr.find("execlat: 1 execution").expect("an account"));
    assert!(account.contains(" 1 still running"), "{account}");
    assert!(account.ends_with("; nothing lost\n"), "{account}");
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(common::execlat());
    let ran = support_cli::finish(command.args(["-Q", "-d", "1ms", "-c", yard.cgroup.path()]));
    let said = "execlat: pid namespace: one of our own: what ran before outside it is not known";
    assert!(ran.stderr.starts_with(said), "{ran:?}");
}

struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
