use super::*;
use crate::top::frame::{Line, Style};
use rustix::fs::{OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// There is one terminal for the whole process.
static ONE: Mutex<()> = Mutex::new(());

/// A pty, and the modes that it was made with. Only one at a time.
struct Pty {
    master: OwnedFd,
    slave: OwnedFd,
    modes: String,
    _one: MutexGuard<'static, ()>,
}

impl Pty {
    fn new() -> Pty {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
        grantpt(&master).expect("a pty of ours");
        unlockpt(&master).expect("a pty that can be opened");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
        let slave = open(&name, flags, Mode::empty()).expect("its other end");
        let flags = rustix::fs::fcntl_getfl(&master).expect("flags");
        rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK).expect("flags");
        let pty = Pty {
            modes: modes(&slave),
            master,
            slave,
            _one: one,
        };
        pty.resize(20, 4);
        pty
    }

    fn resize(&self, ws_col: u16, ws_row: u16) {
        let size = Winsize {
            ws_row,
            ws_col,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).expect("a size");
    }

    fn take(&self) -> Terminal {
        let tty = self.slave.try_clone().expect("a descriptor");
        Terminal::take(tty, true).expect("a terminal")
    }

    /// What was sent to it.
    fn shown(&self) -> String {
        let mut all = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = read(&self.master, &mut bytes) {
            all.extend_from_slice(&bytes[..n]);
        }
        String::from_utf8(all).expect("UTF-8")
    }

    fn press(&self, bytes: &[u8]) {
        assert_eq!(write(&self.master, bytes), Ok(bytes.len()));
    }
}

fn modes(tty: &OwnedFd) -> String {
    format!("{:?}", tcgetattr(tty).expect("modes"))
}

fn frame(columns: usize, lines: &[&str]) -> Frame {
    let line = |text: &&str| {
        let mut line = Line::new(columns);
        line.push(Style::Plain, text);
        line
    };
    Frame {
        size: Size {
            columns,
            rows: lines.len(),
        },
        lines: lines.iter().map(line).collect(),
    }
}

#[test]
fn it_is_given_back_as_it_was() {
    let pty = Pty::new();
    let mut terminal = pty.take();
    assert_ne!(modes(&pty.slave), pty.modes);
    terminal.draw(&frame(20, &["a"])).expect("drawn");
    assert!(pty.shown().starts_with("\x1b[?1049h"));
    // Typed, but not read: it is not for whoever comes after.
    pty.press(b"jjj");
    drop(terminal);
    assert_eq!(modes(&pty.slave), pty.modes);
    let shown = pty.shown();
    assert!(shown.ends_with("\x1b[?25h\x1b[?1049l"), "{shown:?}");
    assert_eq!(read(&pty.slave, &mut [0; 8]), Err(Errno::AGAIN));
    restore();
    assert_eq!(pty.shown(), "");
}

/// Before the panic is told.
#[test]
fn a_panic_gives_it_back() {
    let pty = Pty::new();
    let tty = pty.slave.try_clone().expect("a descriptor");
    let ended = std::thread::spawn(move || {
        let mut terminal = Terminal::take(tty, true).expect("a terminal");
        terminal.draw(&frame(20, &["a"])).expect("drawn");
        panic!("as it should");
    })
    .join();
    assert!(ended.is_err());
    assert_eq!(modes(&pty.slave), pty.modes);
    let shown = pty.shown();
    assert!(shown.starts_with("\x1b[?1049h"), "{shown:?}");
    assert_eq!(shown.matches("\x1b[?1049l").count(), 1, "{shown:?}");
}

/// As from the thread that sees a second signal.
#[test]
fn another_thread_gives_it_back() {
    let pty = Pty::new();
    let mut terminal = pty.take();
    std::thread::spawn(restore).join().expect("no panic");
    assert_eq!(modes(&pty.slave), pty.modes);
    assert!(pty.shown().ends_with("\x1b[?1049l"));
    // Nothing is drawn on what is not ours any more.
    terminal.draw(&frame(4, &["late"])).expect("left out");
    assert_eq!(pty.shown(), "");
}

/// The thread of a second signal and the one that ends in good order: neither goes on,
/// to end the process, before the terminal has its modes. One that takes nothing makes
/// them wait for each other.
#[test]
fn who_comes_second_waits_for_the_first() {
    let pty = Pty::new();
    let mut terminal = pty.take();
    let text = "x".repeat(5000);
    for _ in 0..100 {
        terminal.draw(&frame(6000, &[&text])).expect("there");
        terminal.forget();
    }
    let both = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let ends = [(), ()].map(|()| {
            scope.spawn(|| {
                both.wait();
                restore();
                modes(&pty.slave)
            })
        });
        for end in ends {
            assert_eq!(end.join().expect("no panic"), pty.modes);
        }
    });
}

#[test]
fn only_what_differs_is_sent() {
    let pty = Pty::new();
    let mut terminal = pty.take();
    assert_eq!(
        terminal.size(),
        Size {
            columns: 20,
            rows: 4
        }
    );
    terminal.draw(&frame(4, &["one", "four"])).expect("drawn");
    let shown = pty.shown();
    assert!(
        shown.ends_with("\x1b[2J\x1b[1;1Hone\x1b[K\x1b[2;1Hfour\x1b[?2026l"),
        "{shown:?}"
    );
    terminal.draw(&frame(4, &["one", "two"])).expect("drawn");
    assert_eq!(pty.shown(), "\x1b[?2026h\x1b[2;1Htwo\x1b[K\x1b[?2026l");
    terminal.draw(&frame(4, &["one", "two"])).expect("drawn");
    assert_eq!(pty.shown(), "");
    terminal.forget();
    terminal.draw(&frame(4, &["one", "two"])).expect("drawn");
    assert!(pty.shown().contains("\x1b[2J\x1b[1;1Hone"));
    assert!(!terminal.resized());
    pty.resize(30, 5);
    assert!(terminal.resized() && terminal.forgotten());
    assert_eq!(terminal.size().columns, 30);
    // One that knows no size.
    pty.resize(0, 0);
    assert!(terminal.resized());
    assert_eq!(terminal.size(), USUAL);
}

#[test]
fn keys_are_read_without_waiting() {
    let pty = Pty::new();
    let mut terminal = pty.take();
    let mut decoder = Decoder::default();
    assert_eq!(terminal.keys(&mut decoder).expect("there"), []);
    // Neither is obeyed by the terminal now.
    pty.press(b"\x1a\x13q\x1b");
    let keys = terminal.keys(&mut decoder).expect("there");
    assert_eq!(keys, [0x1a, 0x13, b'q'].map(Key::Char));
    assert_eq!(terminal.keys(&mut decoder).expect("there"), [Key::Escape]);
}

/// Nobody reads: frames are left out. Then it goes on with a whole one.
#[test]
fn a_terminal_that_takes_nothing_holds_nobody_up() {
    let pty = Pty::new();
    let mut terminal = pty.take();
    let text = "x".repeat(5000);
    let mut left_out = 0;
    for i in 0..100 {
        let line = format!("{i} {text}");
        terminal.draw(&frame(6000, &[&line])).expect("there");
        left_out += u32::from(terminal.forgotten());
    }
    assert!(left_out > 50, "{left_out}");
    for _ in 0..100 {
        pty.shown();
        terminal.draw(&frame(6000, &["now"])).expect("there");
    }
    terminal.draw(&frame(6000, &["then"])).expect("there");
    assert!(pty.shown().contains("then"));
}

#[test]
fn a_terminal_that_has_gone_is_noticed() {
    let mut pty = Pty::new();
    let mut terminal = pty.take();
    // Hung up by whoever showed it.
    pty.master = pty.slave.try_clone().expect("a descriptor");
    assert!(terminal.keys(&mut Decoder::default()).is_err());
    assert!(terminal.draw(&frame(20, &["a"])).is_err());
}
