//! How a run ends: signals, time, COMMAND's end; and what COMMAND gets of
//! signals and of the terminal.

mod common;
mod support_cli;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{ChildStdout, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use support_cli::{Live, Ran, SOON, Sleeper, Yard, bench, on_a_terminal, root, shell_status};

/// Long enough to see that something does not happen.
const A_WHILE: Duration = Duration::from_millis(400);

/// One row, one that still runs, and the account; all in good order.
fn ended_well(ran: &Ran, sleeper: &Sleeper) {
    assert_eq!(ran.status, 0, "{ran:?}");
    let rows: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(rows.len(), 2, "{ran:?}");
    assert!(rows[1].ends_with("/bin/true seen"), "{ran:?}");
    let said: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(said.len(), 3, "{ran:?}");
    assert_eq!(said[0], "execlat: still running, longest first:");
    let pid = sleeper.pid().to_string();
    let fields: Vec<&str> = said[1].split_whitespace().collect();
    assert_eq!((fields[0], &fields[3..]), (&*pid, &["sleep", "1009"][..]));
    let age: f64 = fields[2].parse().expect("an age in seconds");
    assert!(age > 0.0 && age < 600.0, "{age}");
    let account = "execlat: 1 execution, 0 failed, 1 still running, in ";
    assert!(
        said[2].starts_with(account) && said[2].ends_with("; nothing lost"),
        "{ran:?}"
    );
}

#[test]
fn signals_end_it_in_good_order() {
    let Some(yard) = Yard::new("signals") else {
        return;
    };
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let live = yard.trace(&[]);
        let sleeper = Sleeper::new(&yard);
        yard.run("/bin/true seen");
        ended_well(&live.finish_by(signal), &sleeper);
    }
}

/// As timeout(1) sends them, or whoever loses a terminal gets them.
#[test]
fn signals_that_come_together_are_one() {
    let Some(yard) = Yard::new("together") else {
        return;
    };
    for _ in 0..7 {
        let live = yard.trace(&[]);
        let sleeper = Sleeper::new(&yard);
        yard.run("/bin/true seen");
        for signal in [
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGTERM,
            Signal::SIGINT,
        ] {
            live.signal(signal);
        }
        ended_well(&live.finish(), &sleeper);
    }
}

#[test]
fn time_ends_it() {
    let Some(yard) = Yard::new("time") else {
        return;
    };
    let live = yard.trace(&["--duration", "5s"]);
    let began = Instant::now();
    let sleeper = Sleeper::new(&yard);
    yard.run("/bin/true seen");
    let ran = live.finish();
    let took = began.elapsed();
    ended_well(&ran, &sleeper);
    assert!(took > Duration::from_secs(4) && took < SOON, "{took:?}");
}

/// What ran before is adopted, and marked.
#[test]
fn what_ran_before_is_listed_with_its_age() {
    let Some(yard) = Yard::new("before") else {
        return;
    };
    let sleeper = Sleeper::new(&yard);
    let ran = yard.trace(&[]).finish_by(Signal::SIGINT);
    let line = ran.stderr.lines().find(|line| line.contains("sleep 1009"));
    let fields: Vec<&str> = line.expect("the sleeper").split_whitespace().collect();
    assert_eq!(fields[0], sleeper.pid().to_string());
    let age = fields[2]
        .strip_prefix('>')
        .expect("a start that was not seen");
    assert!(age.parse::<f64>().expect("seconds") > 0.0);
}

/// `execlat -v ARGS -- sh -c SCRIPT`; the script has said that it is ready.
struct Scripted {
    live: Live,
    stdout: BufReader<ChildStdout>,
}

impl Scripted {
    fn new(args: &[&str], script: &str) -> Scripted {
        let mut all: Vec<&str> = vec!["-Q"];
        all.extend(args);
        all.extend(["--", "sh", "-c", script]);
        let mut live = Live::start(&all);
        let mut stdout = live.stdout();
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the script's word");
        assert_eq!(line, "ready\n");
        Scripted { live, stdout }
    }

    /// Its end, with what the script said after it was ready.
    fn finish(mut self) -> Ran {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).expect("its words");
        let mut ran = self.live.finish();
        ran.stdout = said;
        ran
    }
}

/// It ends nonetheless, should nobody end it.
const FOREVER: &str = "echo ready; n=0; while [ $((n+=1)) -lt 18000 ]; do sleep 0.05; done";

/// Waits for a Ctrl-C without a child: a shell whose child the Ctrl-C finds between fork
/// and exec may end with 130, whatever it traps.
const UNTIL_INT: &str = "trap got=1 INT; echo ready; n=0
    while [ -z \"$got\" ] && [ $((n+=1)) -lt 100000000 ]; do :; done; [ -n \"$got\" ] || exit 99";

#[test]
fn signals_are_passed_on_to_the_command() {
    if root().is_none() {
        return;
    }
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGHUP, "HUP")] {
        let script = format!("trap 'echo got {name}; exit 9' {name}; {FOREVER}");
        let scripted = Scripted::new(&[], &script);
        scripted.live.signal(signal);
        let ran = scripted.finish();
        assert_eq!(
            (ran.status, &*ran.stdout),
            (9, &*format!("got {name}\n")),
            "{ran:?}"
        );
        // Without a handler it ends by the signal, and so we say.
        let scripted = Scripted::new(&[], "echo ready; exec sleep 1009");
        scripted.live.signal(signal);
        let ran = scripted.finish();
        assert_eq!(ran.status, 128 + signal as i32, "{ran:?}");
        assert!(ran.stderr.ends_with("; nothing lost\n"), "{ran:?}");
    }
}

/// The command outlives the tracing; signals still reach it.
#[test]
fn after_its_time_it_waits_for_the_command() {
    if root().is_none() {
        return;
    }
    let script = format!("trap 'echo got TERM; exit 9' TERM; {FOREVER}");
    let mut scripted = Scripted::new(&["-d", "200ms"], &script);
    assert!(
        !scripted
            .live
            .ended_within(A_WHILE + Duration::from_millis(200))
    );
    scripted.live.signal(Signal::SIGTERM);
    let ran = scripted.finish();
    assert_eq!((ran.status, &*ran.stdout), (9, "got TERM\n"), "{ran:?}");
    assert!(
        ran.stderr.contains("still running, longest first:"),
        "{ran:?}"
    );
}

#[test]
fn control_c_waits_for_the_command() {
    if root().is_none() {
        return;
    }
    let script = format!("{UNTIL_INT}; sleep 0.3; echo got INT; exit 5");
    let scripted = Scripted::new(&[], &script);
    scripted.live.signal_group(Signal::SIGINT);
    let ran = scripted.finish();
    assert_eq!((ran.status, &*ran.stdout), (5, "got INT\n"), "{ran:?}");
    assert!(ran.stderr.ends_with("; nothing lost\n"), "{ran:?}");
    // One that takes no notice goes on, and we with it.
    let mut scripted = Scripted::new(&[], "trap '' INT; echo ready; sleep 5; echo on; exit 3");
    scripted.live.signal_group(Signal::SIGINT);
    assert!(!scripted.live.ended_within(A_WHILE));
    let ran = scripted.finish();
    assert_eq!((ran.status, &*ran.stdout), (3, "on\n"), "{ran:?}");
}

#[test]
fn a_second_signal_ends_at_once() {
    if root().is_none() {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let script = format!("trap '' INT TERM HUP; echo $$; {FOREVER}");
        let mut live = Live::start(&["-Q", "--", "sh", "-c", &script]);
        let mut stdout = live.stdout();
        let mut pid = String::new();
        stdout.read_line(&mut pid).expect("a pid");
        let pid = nix::unistd::Pid::from_raw(pid.trim().parse().expect("a pid"));
        live.signal(signal);
        assert!(!live.ended_within(Duration::from_secs(1)), "{signal}");
        live.signal(signal);
        let ended = live.ended_within(SOON);
        let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
        assert!(ended, "{signal}");
        drop(stdout);
        assert_eq!(live.finish().status, 128 + signal as i32);
    }
}

#[test]
fn nohup_keeps_it_from_hanging_up() {
    let Some(yard) = Yard::new("nohup") else {
        return;
    };
    let mut command = Command::new("nohup");
    command
        .arg(common::execlat())
        .arg("-v")
        .args(common::probe_args());
    let mut live = Live::start_as(command.args(["-c", yard.cgroup.path()]));
    live.signal(Signal::SIGHUP);
    assert!(!live.ended_within(A_WHILE));
    yard.run("/bin/true seen");
    let ran = live.finish_by(Signal::SIGTERM);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.ends_with("/bin/true seen\n"), "{ran:?}");
}

/// Runs a shell's line on a terminal of its own; types, once `ready` is shown.
fn typing(dir: &Path, line: &str, typed: &[u8]) -> (i32, String) {
    let mut script = on_a_terminal(dir, line);
    let mut keys = script.stdin.take().expect("a pipe");
    let mut screen = script.stdout.take().expect("a pipe");
    let mut shown = Vec::new();
    let mut byte = [0];
    let mut typed = Some(typed).filter(|typed| !typed.is_empty());
    while screen.read(&mut byte).is_ok_and(|n| n == 1) {
        shown.push(byte[0]);
        if shown.ends_with(b"ready\r\n")
            && let Some(typed) = typed.take()
        {
            keys.write_all(typed).expect("to type");
        }
    }
    let status = script.wait().expect("script");
    (
        shell_status(status),
        String::from_utf8_lossy(&shown).into_owned(),
    )
}

#[test]
fn the_command_gets_the_terminal() {
    if root().is_none() {
        return;
    }
    let dir = bench();
    let line = "$EXECLAT -Q -- sh -c 'test -t 0 && test -t 1 && test -t 2 && echo ready; \
                read word; echo \"<$word>\"; exit 11'";
    let (status, shown) = typing(dir.path(), line, b"hello\n");
    assert_eq!(status, 11, "{shown}");
    assert!(shown.contains("<hello>"), "{shown}");
    // A real Ctrl-C; COMMAND decides what comes of it.
    let line = format!("$EXECLAT -Q -- sh -c '{UNTIL_INT}; echo got it; exit 12'");
    let (status, shown) = typing(dir.path(), &line, b"\x03");
    assert_eq!(status, 12, "{shown}");
    assert!(
        shown.contains("got it") && shown.contains("; nothing lost"),
        "{shown}"
    );
}

#[test]
fn lines_are_cut_to_the_terminal_and_failures_are_red() {
    let dir = bench();
    let line = "stty cols 47; $EXECLAT report day.xl";
    let (status, shown) = typing(dir.path(), line, b"");
    assert_eq!(status, 0, "{shown}");
    let rows: Vec<&str> = shown
        .lines()
        .take_while(|l| !l.contains("execlat: "))
        .collect();
    assert_eq!(rows.len(), 19, "{shown}");
    for row in &rows {
        let bare = row
            .replace("\x1b[31m", "")
            .replace("\x1b[1m", "")
            .replace("\x1b[0m", "");
        assert!(bare.trim_end().chars().count() <= 47, "{row}");
        assert!(!bare.contains('\x1b'), "{row}");
    }
    assert_eq!(
        rows.iter()
            .filter(|row| row.starts_with("\x1b[31m"))
            .count(),
        6,
        "{shown}"
    );
    for line in [
        "$EXECLAT report day.xl --color never",
        "NO_COLOR=1 $EXECLAT report day.xl",
    ] {
        let (_, shown) = typing(dir.path(), line, b"");
        assert!(!shown.contains('\x1b'), "{shown}");
    }
}
