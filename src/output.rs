//! The files and streams that are written to. All that holds argv is private to
//! whoever ran execlat; lines are written whole.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// Lines are handed on when so much of them waits, and at each flush.
const WAITING_BYTES: usize = 64 << 10;

/// Creates a file, or empties the one that is there; a new one is for its owner alone.
///
/// # Errors
/// It cannot be written.
pub fn create(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The same for what must be private even where a file was there already.
///
/// # Errors
/// It cannot be written, or its mode cannot be changed.
pub fn create_private(path: &Path) -> Result<File> {
    let file = create(path)?;
    let private = || {
        if file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        io::Result::Ok(())
    };
    private().with_context(|| format!("cannot make {} private", path.display()))?;
    Ok(file)
}

/// Hands on whole lines, many at a time.
#[derive(Debug)]
pub struct Lines<W: Write> {
    out: W,
    waiting: Vec<u8>,
}

impl<W: Write> Lines<W> {
    /// In front of `out`.
    pub fn new(out: W) -> Self {
        Lines {
            out,
            waiting: Vec::with_capacity(WAITING_BYTES),
        }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
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
        // What could not be written is not tried again.
        let result = self.out.write_all(&self.waiting);
        self.waiting.clear();
        result?;
        self.out.flush()
    }
}

/// A file of lines: where the disk is full it ends with the last whole one, and takes
/// no more. Whoever buffers before it may try again, and might meet room by then.
#[derive(Debug)]
pub struct LineFile {
    file: File,
    bytes: u64,
    ended: bool,
}

impl LineFile {
    /// From its beginning.
    pub fn new(file: File) -> Self {
        LineFile {
            file,
            bytes: 0,
            ended: false,
        }
    }

    /// Ends it with what is whole of the bytes that were still written.
    fn end(&mut self, written: &[u8]) {
        let whole = written.iter().rposition(|&b| b == b'\n');
        self.bytes += whole.map_or(0, |at| at as u64 + 1);
        // What is no regular file keeps what it got.
        let _ = self.file.set_len(self.bytes);
        self.ended = true;
    }
}

impl Write for LineFile {
    /// All of it, or an error.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.ended {
            return Err(io::Error::other("it has ended"));
        }
        let mut done = 0;
        while done < bytes.len() {
            match self.file.write(&bytes[done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.end(&bytes[..done]);
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

/// Messages that wait, where they are held.
static HELD: Mutex<Option<Vec<String>>> = Mutex::new(None);

fn held() -> MutexGuard<'static, Option<Vec<String>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells something on stderr. A closed stderr is no reason to stop.
pub fn say(text: impl std::fmt::Display) {
    match held().as_mut() {
        Some(waiting) => waiting.push(text.to_string()),
        None => {
            let _ = writeln!(io::stderr(), "execlat: {text}");
        }
    }
}

/// While this lives, messages wait: what is on the terminal stays as it is. Then
/// they are told.
#[derive(Debug)]
pub struct Hold(());

impl Hold {
    /// From now on.
    pub fn begin() -> Hold {
        *held() = Some(Vec::new());
        Hold(())
    }

    /// The message that came last.
    pub fn last(&self) -> Option<String> {
        held().as_ref()?.last().cloned()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let waiting = held().take();
        waiting.unwrap_or_default().iter().for_each(say);
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
        let mut lines = LineFile::new(file.try_clone().expect("a descriptor"));
        let line = format!("{}\n", "x".repeat(99)).into_bytes();
        lines.write_all(&line).expect("room");
        assert!(lines.write_all(&line.repeat(200)).is_err());
        let kept = file.metadata().expect("its size").len();
        assert!(kept > 100 && kept.is_multiple_of(100), "{kept}");
        // Tried again by a buffer in front, even if there is room by now.
        assert!(lines.write_all(b"of a line\n").is_err());
        assert_eq!(file.metadata().expect("its size").len(), kept);
    }
}
