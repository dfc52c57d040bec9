//! `--top` on a terminal: what it shows, that it follows keys and the terminal's
//! size, and that the terminal is afterwards as it was before, whatever the end.

mod common;
mod support_cli;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use common::InTime as _;
use support_cli::{Yard, bench, on_a_terminal, run, shell_status};

const ENTERED: &str = "\x1b[?1049h";
const LEFT: &str = "\x1b[?1049l";

/// A shell's line that runs on a terminal of its own.
struct Screen {
    script: Child,
    keys: Option<ChildStdin>,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Screen {
    /// The terminal has 100 columns and 20 lines, and its name is in the file `tty`.
    fn new(dir: &Path, line: &str) -> Screen {
        let line = format!("stty cols 100 rows 20; tty > tty; {line}");
        let mut script = on_a_terminal(dir, &line);
        let keys = script.stdin.take();
        let mut screen = script.stdout.take().expect("a pipe");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        let reader = spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut bytes) {
                seen.lock()
                    .expect("no panic")
                    .extend_from_slice(&bytes[..n]);
            }
        });
        Screen {
            script,
            keys,
            shown,
            reader,
        }
    }

    /// Up to a character of which only a part has come: as it grows, it only grows.
    fn shown(&self) -> String {
        let shown = self.shown.lock().expect("no panic");
        let whole = match str::from_utf8(&shown) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => shown.len(),
        };
        String::from_utf8_lossy(&shown[..whole]).into_owned()
    }

    /// Waits until something is shown after the first `from` bytes; what is shown by
    /// then in all.
    fn wait_for(&self, from: usize, what: &str) -> usize {
        let end = Instant::now() + common::PATIENCE;
        loop {
            let shown = self.shown();
            if shown.get(from..).is_some_and(|new| new.contains(what)) {
                return shown.len();
            }
            assert!(
                Instant::now() < end,
                "no {what:?} after {from} in {shown:?}"
            );
            sleep(Duration::from_millis(10));
        }
    }

    fn press(&mut self, keys: &[u8]) {
        let pipe = self.keys.as_mut().expect("open");
        pipe.write_all(keys)
            .and_then(|()| pipe.flush())
            .expect("to type");
    }

    /// The status of the line, and all that was shown.
    fn finish(mut self) -> (i32, String) {
        let end = Instant::now() + common::PATIENCE;
        while self.script.try_wait().expect("script").is_none() {
            assert!(Instant::now() < end, "it does not end: {:?}", self.shown());
            sleep(Duration::from_millis(10));
        }
        let status = self.script.wait().expect("script");
        drop(self.keys.take());
        self.reader.join().expect("the reader");
        let shown = self.shown.lock().expect("no panic");
        (
            shell_status(status),
            String::from_utf8_lossy(&shown).into_owned(),
        )
    }
}

/// execlat in the yard between two looks at the terminal; its pid is in the file `pid`.
fn top_in(yard: &Yard, args: &str) -> Screen {
    let probe = common::probe_args().join(" ");
    let line = format!(
        "stty -a > before; sh -c 'echo $$ > pid; exec $EXECLAT {probe} -c {} {args}'; \
         s=$?; stty -a > after; exit $s",
        yard.cgroup.path()
    );
    Screen::new(yard.scratch.path(), &line)
}

fn restored(yard: &Yard, shown: &str) {
    let read = |name| fs::read_to_string(yard.file(name)).expect("stty's words");
    assert_eq!(read("before"), read("after"));
    assert_eq!(shown.matches(ENTERED).count(), 1, "{shown:?}");
    assert_eq!(shown.matches(LEFT).count(), 1, "{shown:?}");
    let (table, after) = shown.split_once(LEFT).expect("left");
    assert!(table.contains(ENTERED));
    assert!(!after.contains('\x1b'), "{after:?}");
}

fn pid(yard: &Yard) -> Pid {
    let pid = fs::read_to_string(yard.file("pid")).expect("a pid");
    Pid::from_raw(pid.trim().parse().expect("a pid"))
}

#[test]
fn it_shows_what_runs_and_what_has_ended() {
    let Some(yard) = Yard::new("top-shows") else {
        return;
    };
    let mut sleeper = yard.program("sleep 1009").in_time().spawn().expect("sh");
    let mut screen = top_in(&yard, "--top=200ms");
    screen.wait_for(0, "nothing has ended yet");
    // It ran before; with a filter it is shown all the same.
    screen.wait_for(0, "sleep 1009");
    yard.run("/bin/true");
    screen.wait_for(0, "\x1b[3;1H");
    let at = screen.wait_for(0, "true ");
    // By comm from now on: nothing yet, then what comes.
    screen.press(b"g");
    let at = screen.wait_for(at, "by comm");
    screen.wait_for(at - 400, "nothing has ended yet");
    yard.run("/bin/echo hello");
    let at = screen.wait_for(at, "echo ");
    screen.press(b"h");
    screen.wait_for(at, "this help");
    screen.press(b"xp");
    screen.wait_for(at, "PAUSED");
    screen.press(b"q");
    let (status, shown) = screen.finish();
    assert_eq!(status, 0, "{shown:?}");
    restored(&yard, &shown);
    let account = shown.split_once(LEFT).expect("left").1;
    assert!(
        account.contains("still running, longest first:"),
        "{account:?}"
    );
    assert!(
        account.contains("execlat: 2 executions, 0 failed, 1 still running, in "),
        "{account:?}"
    );
    assert!(
        account.trim_end().ends_with("; nothing lost"),
        "{account:?}"
    );
    sleeper.kill().and_then(|()| sleeper.wait()).expect("ended");
}

#[test]
fn every_end_gives_the_terminal_back() {
    let Some(yard) = Yard::new("top-ends") else {
        return;
    };
    for signal in [
        None,
        Some(Signal::SIGTERM),
        Some(Signal::SIGHUP),
        Some(Signal::SIGINT),
    ] {
        let mut screen = top_in(&yard, "--top");
        screen.wait_for(0, "IN FLIGHT");
        match signal {
            None => screen.press(b"\x03"),
            Some(signal) => kill(pid(&yard), signal).expect("signal"),
        }
        let (status, shown) = screen.finish();
        assert_eq!(status, 0, "{signal:?} {shown:?}");
        restored(&yard, &shown);
        assert!(shown.trim_end().ends_with("; nothing lost"), "{shown:?}");
    }
    // Another before the first is obeyed: it is the same wish.
    let screen = top_in(&yard, "--top");
    screen.wait_for(0, "IN FLIGHT");
    let pid = pid(&yard);
    kill(pid, Signal::SIGTERM).expect("signal");
    let _ = kill(pid, Signal::SIGHUP);
    let (status, shown) = screen.finish();
    assert_eq!(status, 0, "{shown:?}");
    restored(&yard, &shown);
    let screen = top_in(&yard, "--top -d 300ms");
    let (status, shown) = screen.finish();
    assert_eq!(status, 0, "{shown:?}");
    restored(&yard, &shown);
}

/// Something that can be written no more ends in words that are seen, and status 1.
#[test]
fn messages_wait_for_the_end() {
    let Some(yard) = Yard::new("top-words") else {
        return;
    };
    let mut screen = top_in(&yard, "--top=100ms -o /dev/full --json");
    screen.wait_for(0, "IN FLIGHT");
    yard.run("/bin/true");
    screen.wait_for(0, "cannot write rows to /dev/full");
    screen.press(b"q");
    let (status, shown) = screen.finish();
    assert_eq!(status, 1, "{shown:?}");
    restored(&yard, &shown);
    let said = shown.split_once(LEFT).expect("left").1;
    assert!(
        said.contains("execlat: cannot write rows to /dev/full, they end here"),
        "{said:?}"
    );
}

/// Rows, a recording and an export are what they are without a table.
#[test]
fn files_are_written_meanwhile() {
    let Some(yard) = Yard::new("top-files") else {
        return;
    };
    let mut screen = top_in(
        &yard,
        "--top -o r.csv --csv --record r.xl --histogram=h.json --strict",
    );
    screen.wait_for(0, "IN FLIGHT");
    for _ in 0..7 {
        yard.run("/bin/true seen");
    }
    screen.press(b"q");
    let (status, shown) = screen.finish();
    assert_eq!(status, 0, "{shown:?}");
    restored(&yard, &shown);
    let rows = fs::read_to_string(yard.file("r.csv")).expect("rows");
    assert_eq!(rows.matches("/bin/true seen").count(), 7, "{rows}");
    let figures = fs::read_to_string(yard.file("h.json")).expect("figures");
    let figures: serde_json::Value = serde_json::from_str(&figures).expect("JSON");
    assert_eq!(figures["groups"][0]["count"], 7, "{figures}");
    let report = run(yard.scratch.path(), &["report", "r.xl", "-Q"]);
    assert!(report.stderr.contains(" 7 executions"), "{report:?}");
    // The figures are printed as after any run.
    let after = shown.split_once(LEFT).expect("left").1;
    assert!(after.contains("p99.9"), "{after:?}");
}

#[test]
fn it_follows_the_size_of_the_terminal() {
    let Some(yard) = Yard::new("top-size") else {
        return;
    };
    let mut screen = top_in(&yard, "--top=100ms");
    let at = screen.wait_for(0, "\x1b[20;1H");
    let tty = fs::read_to_string(yard.file("tty")).expect("its name");
    let stty = |size: [&str; 4]| {
        let set = Command::new("stty")
            .args(["-F", tty.trim()])
            .args(size)
            .in_time()
            .status();
        assert!(set.expect("stty").success());
    };
    stty(["cols", "44", "rows", "9"]);
    let small = screen.wait_for(at, "\x1b[9;1H");
    let frame = screen.shown()[at..small].to_owned();
    let frame = &frame[frame.rfind("\x1b[2J").expect("painted in full")..];
    assert!(
        !frame.contains("\x1b[10;1H") && frame.contains("P99"),
        "{frame:?}"
    );
    assert!(!frame.contains("TREND"), "{frame:?}");
    stty(["cols", "130", "rows", "33"]);
    let large = screen.wait_for(small, "\x1b[33;1H");
    assert!(screen.shown()[small..large].contains("TREND"));
    stty(["cols", "100", "rows", "20"]);
    screen.press(b"q");
    let (status, shown) = screen.finish();
    assert_eq!(status, 0, "{shown:?}");
    restored(&yard, &shown);
}

/// Ctrl-Z gives the terminal back, too; `fg` takes it again.
#[test]
fn it_can_be_suspended() {
    let Some(yard) = Yard::new("top-fg") else {
        return;
    };
    let probe = common::probe_args().join(" ");
    let script = format!(
        "set -m\nstty -a > before\n$EXECLAT {probe} -c {} --top\nstty -a > after\n\
         echo stopped\nread -r word\nfg > /dev/null\n",
        yard.cgroup.path()
    );
    fs::write(yard.file("script"), script).expect("a script");
    let mut screen = Screen::new(yard.scratch.path(), "bash script");
    screen.wait_for(0, "IN FLIGHT");
    screen.press(b"\x1a");
    let at = screen.wait_for(0, "stopped\r\n");
    restored(&yard, &screen.shown());
    screen.press(b"\n");
    let at = screen.wait_for(at, "IN FLIGHT");
    screen.press(b"q");
    screen.wait_for(at, LEFT);
    let (status, shown) = screen.finish();
    assert_eq!(status, 0, "{shown:?}");
    assert_eq!(shown.matches(ENTERED).count(), 2, "{shown:?}");
    assert!(shown.trim_end().ends_with("; nothing lost"), "{shown:?}");
}

/// Whoever is continued in the background leaves the terminal to the shell, and ends as
/// it is told.
#[test]
fn in_the_background_it_ends_when_told() {
    let Some(yard) = Yard::new("top-bg") else {
        return;
    };
    let probe = common::probe_args().join(" ");
    for on in ["", "bg > /dev/null; sleep 0.3; "] {
        let script = format!(
            "set -m\nstty -a > before\n$EXECLAT {probe} -c {} --top\n{on}p=$(jobs -p %1)\n\
             kill %1\nwhile kill -0 $p 2> /dev/null; do sleep 0.05; done\nwait $p\n\
             s=$?\nstty -a > after\nexit $s\n",
            yard.cgroup.path()
        );
        fs::write(yard.file("script"), script).expect("a script");
        let mut screen = Screen::new(yard.scratch.path(), "bash script");
        screen.wait_for(0, "IN FLIGHT");
        screen.press(b"\x1a");
        let (status, shown) = screen.finish();
        assert_eq!(status, 0, "{shown:?}");
        restored(&yard, &shown);
        assert!(shown.contains("; nothing lost"), "{shown:?}");
    }
}

/// There is nobody to look at it again.
#[test]
fn in_the_background_it_ends_with_its_terminal() {
    let Some(yard) = Yard::new("top-gone") else {
        return;
    };
    let probe = common::probe_args().join(" ");
    let script = format!(
        "set -m\n$EXECLAT {probe} -c {} --top\nbg > /dev/null\njobs -p %1 > pid\ndisown %1\n",
        yard.cgroup.path()
    );
    fs::write(yard.file("script"), script).expect("a script");
    let mut screen = Screen::new(yard.scratch.path(), "bash script");
    screen.wait_for(0, "IN FLIGHT");
    screen.press(b"\x1a");
    screen.finish();
    let pid = pid(&yard);
    let lives = || fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
    let end = Instant::now() + common::PATIENCE;
    while lives() {
        if Instant::now() > end {
            let _ = kill(pid, Signal::SIGKILL);
            panic!("it goes on without a terminal");
        }
        sleep(Duration::from_millis(20));
    }
}

/// A mistake, and found before anything is done.
#[test]
fn without_a_terminal_it_is_refused() {
    let dir = bench();
    let ran = run(dir.path(), &["--top", "--record", "r.xl"]);
    assert_eq!((ran.status, &*ran.stdout), (2, ""), "{ran:?}");
    assert!(
        ran.stderr
            .starts_with("execlat: --top needs a terminal on standard output"),
        "{ran:?}"
    );
    assert!(!dir.path().join("r.xl").exists());
    let screen = Screen::new(dir.path(), "TERM=dumb $EXECLAT --top");
    let (status, shown) = screen.finish();
    assert_eq!(status, 2, "{shown:?}");
    assert!(
        shown.contains("TERM is dumb") && !shown.contains('\x1b'),
        "{shown:?}"
    );
}
