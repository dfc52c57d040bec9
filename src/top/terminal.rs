//! The terminal: taken, drawn on, asked for keys, and given back as it was found,
//! whatever the end: in good order, by an error, a panic or a second signal.
//!
//! It is opened anew for that. Reading and writing must never wait, for events are
//! lost meanwhile, and a descriptor shared with a shell must not be told so. Ctrl-C
//! stays a signal, as everywhere else; Ctrl-Z becomes a key, and Ctrl-S and Ctrl-\
//! do nothing: the one would stop the tracing, the other leave a ruined terminal.

use std::os::fd::OwnedFd;
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read, write};
use rustix::process::{Signal, getpgrp, kill_current_process_group};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush,
    tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};
use rustix::time::Timespec;

use super::frame::{Frame, Size};
use super::keys::{Decoder, Key};

/// To the alternate screen.
const ALTERNATE: &[u8] = b"\x1b[?1049h";
/// No cursor; a line that is too wide does not break.
const SET_UP: &[u8] = b"\x1b[?25l\x1b[?7l";
/// The reverse of both; first out of whatever was being drawn.
const LEAVE: &[u8] = b"\x1b[?2026l\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Terminals that know it show all between the two at once; others pass over it.
const BEGIN_UPDATE: &[u8] = b"\x1b[?2026h";
const END_UPDATE: &[u8] = b"\x1b[?2026l";

/// What a terminal that tells no size is taken to have.
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};

/// A special character that is none.
const DISABLED: u8 = 0;

/// How the terminal was, while it is taken.
struct Taken {
    tty: OwnedFd,
    modes: Termios,
}

/// There is one terminal, and whoever ends the process has to find it.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

fn taken() -> MutexGuard<'static, Option<Taken>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the terminal back as it was, if it is taken. From any thread: whoever comes
/// while another is at it returns when that is done, for it may end the process then.
pub fn restore() {
    give_back(&mut taken());
}

/// The same before the process ends: nobody takes it any more.
pub fn restore_for_good() {
    let mut taken = taken();
    give_back(&mut taken);
    std::mem::forget(taken);
}

fn give_back(taken: &mut Option<Taken>) {
    let Some(Taken { tty, modes }) = taken.take() else {
        return;
    };
    send(&tty, LEAVE);
    // In the background its modes are another's, and touching them stops us.
    if is_ours(&tty) {
        // What was typed for us is not for the shell.
        let _ = tcflush(&tty, QueueSelector::IFlush);
        let _ = tcsetattr(&tty, OptionalActions::Now, &modes);
    }
}

/// Whether we are in the foreground; where there is no job control we always are.
fn is_ours(tty: &OwnedFd) -> bool {
    tcgetpgrp(tty).map_or(true, |group| group == getpgrp())
}

/// Writes all of it, if the terminal takes it before long.
fn send(tty: &OwnedFd, mut bytes: &[u8]) {
    let patience = Timespec {
        tv_sec: 0,
        tv_nsec: 200_000_000,
    };
    while !bytes.is_empty() {
        match write(tty, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(tty, PollFlags::OUT)];
                if poll(&mut fds, Some(&patience)) == Ok(0) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// A panic is told on the screen that was there before.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            tell(info);
        }));
    });
}

/// A terminal that is taken. Dropped, it is given back.
pub struct Terminal {
    tty: OwnedFd,
    color: bool,
    size: Size,
    /// What each line shows; none if that is not known.
    shown: Vec<String>,
    known: bool,
    /// What it did not take yet.
    waiting: Vec<u8>,
}

impl Terminal {
    /// Takes the terminal that standard output is, as soon as it is ours.
    ///
    /// # Errors
    /// It cannot be opened, or is none.
    pub fn enter(color: bool) -> Result<Terminal> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // Another user's terminal, as after su, cannot be opened by its name.
        let tty = open("/proc/self/fd/1", flags, Mode::empty())
            .or_else(|_| open("/dev/tty", flags, Mode::empty()))
            .context("cannot open the terminal")?;
        Terminal::take(tty, color)
    }

    /// Takes this one; reading and writing must not wait.
    ///
    /// # Errors
    /// It is none, or its modes cannot be set.
    pub fn take(tty: OwnedFd, color: bool) -> Result<Terminal> {
        restore_on_panic();
        let mut terminal = Terminal {
            tty,
            color,
            size: USUAL,
            shown: Vec::new(),
            known: false,
            waiting: Vec::new(),
        };
        terminal.set_up().context("cannot set up the terminal")?;
        terminal.resized();
        Ok(terminal)
    }

    fn set_up(&mut self) -> rustix::io::Result<()> {
        let mut taken = taken();
        if !is_ours(&self.tty) {
            // Continued in the background: there is a shell on the screen.
            give_back(&mut taken);
            return Ok(());
        }
        let modes = match &*taken {
            // Stopped and continued by someone else: these are not ours.
            Some(before) => before.modes.clone(),
            None => tcgetattr(&self.tty)?,
        };
        let mut ours = modes.clone();
        ours.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
        ours.input_modes -= InputModes::IXON;
        for code in [SpecialCodeIndex::VSUSP, SpecialCodeIndex::VQUIT] {
            ours.special_codes[code] = DISABLED;
        }
        tcsetattr(&self.tty, OptionalActions::Now, &ours)?;
        if taken.is_none() {
            self.waiting.clear();
            // Not twice: it keeps the place of the cursor on the other screen.
            self.waiting.extend_from_slice(ALTERNATE);
            let tty = self.tty.try_clone().map_err(|_| Errno::MFILE)?;
            *taken = Some(Taken { tty, modes });
        }
        self.waiting.extend_from_slice(SET_UP);
        self.forget();
        Ok(())
    }

    /// Whether it is not taken: in the background, where a shell has it.
    pub fn is_away(&self) -> bool {
        taken().is_none()
    }

    /// The process was continued: whoever had the terminal meanwhile has left traces.
    ///
    /// # Errors
    /// The terminal has gone.
    pub fn take_again(&mut self) -> Result<()> {
        Ok(self.set_up()?)
    }

    /// Stops the process, as Ctrl-Z does; returns when it goes on.
    pub fn suspend(&mut self) {
        restore();
        // Nobody to continue it: then it does not stop, either.
        let _ = kill_current_process_group(Signal::TSTP);
        // Without a terminal the next round will tell.
        let _ = self.take_again();
    }

    /// Whatever is shown, the next frame is painted in full.
    pub fn forget(&mut self) {
        self.known = false;
    }

    /// Whether it is so.
    pub fn forgotten(&self) -> bool {
        !self.known
    }

    /// Asks for the size; whether it has changed.
    pub fn resized(&mut self) -> bool {
        let size = match tcgetwinsize(&self.tty) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size {
                columns: size.ws_col.into(),
                rows: size.ws_row.into(),
            },
            _ => USUAL,
        };
        let changed = size != self.size;
        self.size = size;
        if changed {
            self.forget();
        }
        changed
    }

    /// The size as of then.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The keys that were pressed.
    ///
    /// # Errors
    /// The terminal has gone.
    pub fn keys(&mut self, decoder: &mut Decoder) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        if self.is_away() {
            return Ok(keys);
        }
        let mut bytes = [0; 64];
        match read(&self.tty, &mut bytes) {
            Ok(0) => return Err(Errno::IO.into()),
            Ok(n) => keys.extend(bytes[..n].iter().filter_map(|byte| decoder.push(*byte))),
            Err(Errno::AGAIN) => keys.extend(decoder.idle()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(keys)
    }

    /// Shows a frame: only the lines that differ are sent. One that the terminal is
    /// too slow for is left out, nobody waits for it.
    ///
    /// # Errors
    /// The terminal has gone.
    pub fn draw(&mut self, frame: &Frame) -> Result<()> {
        self.hand_over()?;
        if !self.waiting.is_empty() {
            self.forget();
            return Ok(());
        }
        let painted = frame.lines.iter().map(|line| line.painted(self.color));
        let painted: Vec<String> = painted.collect();
        let mut update = BEGIN_UPDATE.to_vec();
        if !self.known {
            update.extend_from_slice(b"\x1b[0m\x1b[2J");
            self.shown.clear();
        }
        for (i, (line, text)) in frame.lines.iter().zip(&painted).enumerate() {
            if self.shown.get(i).is_some_and(|shown| shown == text) {
                continue;
            }
            let place = format!("\x1b[{};1H", i + 1);
            update.extend_from_slice(place.as_bytes());
            update.extend_from_slice(text.as_bytes());
            // In the last column it would take the last character away.
            if line.width() < frame.size.columns {
                update.extend_from_slice(b"\x1b[K");
            }
        }
        if update.len() > BEGIN_UPDATE.len() {
            update.extend_from_slice(END_UPDATE);
            self.waiting = update;
        }
        self.shown = painted;
        self.known = true;
        self.hand_over()
    }

    fn hand_over(&mut self) -> Result<()> {
        // Whoever gives it back does so before this or after it; then nothing follows.
        let taken = taken();
        if taken.is_none() {
            self.waiting.clear();
            return Ok(());
        }
        let mut done = 0;
        let gone = loop {
            if done == self.waiting.len() {
                break None;
            }
            match write(&self.tty, &self.waiting[done..]) {
                Ok(0) | Err(Errno::AGAIN) => break None,
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(error) => break Some(error),
            }
        };
        self.waiting.drain(..done);
        gone.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

#[cfg(test)]
mod tests;
