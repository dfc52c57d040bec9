//! How things are written: lines whole, streams to their end, messages when they are
//! seen.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio;
use rustix::time::Timespec;

use crate::text::printable;

/// Lines are handed on when so much of them waits, and at each flush.
const WAITING_BYTES: usize = 64 << 10;

/// Hands on whole lines, many at a time. After an error nothing follows: a buffer in
/// front of it may try again, and what it holds begins anywhere.
#[derive(Debug)]
pub struct Lines<W: Write> {
    out: W,
    waiting: Vec<u8>,
    ended: bool,
}

impl<W: Write> Lines<W> {
    /// In front of `out`.
    pub fn new(out: W) -> Self {
        Lines {
            out,
            waiting: Vec::with_capacity(WAITING_BYTES),
            ended: false,
        }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.ended {
            return Err(io::Error::other("it has ended"));
        }
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= WAITING_BYTES && bytes.ends_with(b"\n") {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let result = self.out.write_all(&self.waiting);
        self.waiting.clear();
        let result = result.and_then(|()| self.out.flush());
        self.ended = result.is_err();
        result
    }
}

/// A file of lines: where the disk is full it ends with the last whole one.
#[derive(Debug)]
pub struct LineFile {
    file: File,
    bytes: u64,
}

impl LineFile {
    /// From its beginning.
    pub fn new(file: File) -> Self {
        LineFile { file, bytes: 0 }
    }
}

impl Write for LineFile {
    /// All of it, or an error.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.write(&bytes[done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let whole = bytes[..done].iter().rposition(|&b| b == b'\n');
                    let whole = whole.map_or(0, |at| at + 1);
                    // What is no regular file keeps what it got.
                    let _ = self.file.set_len(self.bytes + whole as u64);
                    return Err(error);
                }
            }
        }
        self.bytes += done as u64;
        Ok(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Standard output or error. It belongs to others as well, and any of them may have
/// told it not to wait: then we do.
#[derive(Debug, Clone, Copy)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Out => stdio::stdout(),
            Stream::Err => stdio::stderr(),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(*self, bytes) {
                Ok(n) => return Ok(n),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    // Interrupted, or not: the next write tells.
                    let _ = poll(&mut [PollFd::new(self, PollFlags::OUT)], None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether stdout is a pipe that nobody reads any more.
pub fn reader_gone() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let polled = poll(&mut fds, Some(&Timespec::default()));
    polled.is_ok() && fds[0].revents().intersects(PollFlags::ERR)
}

/// Columns of the terminal that a stream is, if it is one.
pub fn terminal_width(stream: impl IsTerminal + AsFd) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// So many messages are kept, the last ones.
const HELD_MAX: usize = 100;

/// Messages that wait, and how many more there were.
#[derive(Debug, Default)]
struct Held {
    waiting: VecDeque<String>,
    left_out: u64,
}

impl Held {
    fn push(&mut self, text: String) {
        self.waiting.push_back(text);
        if self.waiting.len() > HELD_MAX {
            self.waiting.pop_front();
            self.left_out += 1;
        }
    }
}

/// There are some where they are held.
static HELD: Mutex<Option<Held>> = Mutex::new(None);

fn held() -> MutexGuard<'static, Option<Held>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells something on stderr, in which nothing is left that a terminal obeys: there may
/// be names of files in it. A closed stderr is no reason to stop.
pub fn say(text: impl std::fmt::Display) {
    let text = harmless(&text.to_string());
    match held().as_mut() {
        Some(held) => held.push(text),
        None => {
            let _ = Stream::Err.write_all(format!("execlat: {text}\n").as_bytes());
        }
    }
}

fn harmless(text: &str) -> String {
    let lines = text.split('\n').map(|line| printable(line.as_bytes()));
    lines.collect::<Vec<_>>().join("\n")
}

/// While this lives, messages wait: what is on the terminal stays as it is. Then
/// they are told.
#[derive(Debug)]
pub struct Hold(());

impl Hold {
    /// From now on.
    pub fn begin() -> Hold {
        *held() = Some(Held::default());
        Hold(())
    }

    /// The message that came last.
    pub fn last(&self) -> Option<String> {
        held().as_ref()?.waiting.back().cloned()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let held = held().take().unwrap_or_default();
        if held.left_out > 0 {
            say(format_args!(
                "{} messages before these are left out",
                held.left_out
            ));
        }
        held.waiting.iter().for_each(say);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps each write apart.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_whole_lines_are_handed_on() {
        let mut lines = Lines::new(Writes::default());
        for _ in 0..20_011 {
            write!(lines, "seven, ").expect("memory");
            writeln!(lines, "eight").expect("memory");
        }
        lines.flush().expect("memory");
        let writes = &lines.out.0;
        assert!(writes.len() > 1 && writes.len() < 10);
        assert!(writes.iter().all(|w| w.ends_with(b"\n")));
        assert_eq!(writes.iter().map(Vec::len).sum::<usize>(), 20_011 * 13);
    }

    /// A file that cannot grow: a write across its end comes short and then fails.
    fn with_room_for(bytes: u64) -> File {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        let fd = memfd_create("full", MemfdFlags::ALLOW_SEALING).expect("memory");
        let file = File::from(fd);
        file.set_len(bytes).expect("memory");
        fcntl_add_seals(&file, SealFlags::GROW).expect("sealed");
        file
    }

    #[test]
    fn a_full_file_ends_with_its_last_whole_line() {
        let file = with_room_for(16 << 10);
        let mut lines = Lines::new(LineFile::new(file.try_clone().expect("a descriptor")));
        let line = format!("{}\n", "x".repeat(99)).into_bytes();
        lines.write_all(&line).expect("memory");
        lines.flush().expect("room");
        lines.write_all(&line.repeat(200)).expect("memory");
        assert!(lines.flush().is_err());
        let kept = file.metadata().expect("its size").len();
        assert!(kept > 100 && kept.is_multiple_of(100), "{kept}");
        // Tried again by a buffer in front, and there is room by now.
        file.set_len(kept - 1000).expect("shorter");
        assert!(lines.write_all(b"of a line\n").is_err());
        lines.flush().expect("nothing");
        assert_eq!(file.metadata().expect("its size").len(), kept - 1000);
    }

    #[test]
    fn messages_that_wait_are_bounded() {
        let mut held = Held::default();
        for i in 0..HELD_MAX + 7 {
            held.push(i.to_string());
        }
        assert_eq!((held.waiting.len(), held.left_out), (HELD_MAX, 7));
        assert_eq!(held.waiting[0], "7");
    }

    #[test]
    fn messages_are_harmless_and_keep_their_lines() {
        assert_eq!(
            harmless("a\x1b[31m\n\u{9b}\\x1b"),
            "a\\x1b[31m\n\\u{9b}\\x1b"
        );
    }
}
