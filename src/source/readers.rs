//! Reads that may never end, done by processes that can be left behind.
//!
//! Whoever may mount a FUSE file system decides when a read of it ends, and can hold the
//! lock of his own memory for as long, on which `/proc/PID/cmdline` waits. A hung disk or
//! server does the same. A thread that waits there for FUSE cannot be killed, and a
//! process with such a thread does not end. So other processes read, questions are given
//! up after a while, and a process that hangs is left to itself. What takes long may only
//! be slow, as on a host where the owner of a lock waits for a CPU: the next reader goes on
//! with the other questions meanwhile.
//!
//! They are forked while there is one thread, and nothing of the kernel side: a process
//! that hangs must not keep probes alive. One process is forked at the start, and that
//! one forks a reader when its first question comes. It ends with whoever asks, and then
//! the kernel kills those that hang still, unless they wait where nothing kills them.

mod process;

use std::io::{ErrorKind, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Resource, Signal, WaitOptions, getrlimit, kill_process, waitpid};
use rustix::time::Timespec;

use super::load::cpus_online;
use super::sys;
use super::urgency;
use process::{fork_on_demand, leave_all_behind, send};

/// The comm of all of them, as the kernel has it.
pub const COMM: [u8; 16] = *b"execlat-reader\0\0";
/// Processes of one kind that may hang; then nothing more is read. They are forked as they
/// are needed.
const READERS: usize = 64;
/// Descriptors that all else takes, beside one for each CPU.
const OTHER_DESCRIPTORS: u64 = 128;
/// So much is asked ahead: it fits into a socket's buffer, so that nobody waits to write.
const AHEAD_BYTES: usize = 64 << 10;
/// What a question takes of that beside its bytes, however short it is.
const OVERHEAD_BYTES: usize = 1 << 10;
/// A question that is longer is not asked.
const QUESTION_MAX_BYTES: usize = 64 << 10;
/// Who has not answered for this many times the patience is given up even if it could
/// run: on a busy machine it may just not have had its turn.
const STARVED: u32 = 10;
/// What comes within this time has not been waited for.
const AT_ONCE: Duration = Duration::from_millis(1);
/// In the length of a piece: it ends its answer.
const LAST: u32 = 1 << 31;

/// Answers one question, in pieces.
pub type Answer = Box<dyn FnMut(&[u8], &mut dyn FnMut(&[u8]))>;
/// Makes what answers, in the process that does.
pub type Kind<'a> = &'a dyn Fn() -> Answer;

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    /// What it may hang on: while a reader does, nobody else is asked about the same.
    pub about: Vec<u8>,
    /// What is asked.
    pub bytes: Vec<u8>,
}

/// What comes of a question: pieces, then one of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A piece of the answer.
    Piece(Vec<u8>),
    /// That was all of it.
    All,
    /// There was no answer in time, or will not be the rest of it.
    GivenUp,
}

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the answer to one question, while there are others.
    pub each: Duration,
    /// From the first question on, for all that have no answer yet.
    pub all: Duration,
}

impl Patience {
    /// Of those that are asked one question at a time.
    pub const fn of_one(each: Duration) -> Patience {
        Patience { each, all: each }
    }
}

/// The readers of one kind.
#[derive(Debug)]
pub struct Readers {
    readers: Vec<Reader>,
    patience: Patience,
    /// After the readers, which are dropped before it.
    first: Arc<First>,
}

/// The process that forks the others. It ends when nobody is left to ask them.
#[derive(Debug)]
struct First {
    pid: Pid,
    /// Closed, it asks the process to end.
    life: Option<UnixStream>,
}

impl Drop for First {
    fn drop(&mut self) {
        self.life = None;
        // Where the kernel would not close what it holds of ours, it sees no end of us.
        let _ = kill_process(self.pid, Signal::KILL);
        // It reads nothing, so it cannot hang.
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }
}

/// One that waits for a question, or works on some.
#[derive(Debug)]
struct Reader {
    socket: UnixStream,
    /// Once it has begun.
    pid: Option<u32>,
    input: Vec<u8>,
    /// Questions that it has not answered.
    owes: usize,
    /// The first of them, if its answer is still waited for.
    late: Option<usize>,
    /// What was given up.
    hangs_on: Vec<u8>,
    ended: bool,
}

/// Starts them, of each kind those that it takes.
///
/// # Errors
/// There can be no process, or no socket.
pub fn start<const N: usize>(kinds: [(Kind<'_>, Patience); N]) -> io::Result<[Readers; N]> {
    let (life, its_life) = UnixStream::pair()?;
    let mut theirs = vec![(its_life, None)];
    let mut ours = Vec::new();
    let many = readers_of_each(N, getrlimit(Resource::Nofile).current, cpus_online());
    for (kind, _) in kinds {
        let mut readers = Vec::new();
        for _ in 0..many {
            let (one, other) = UnixStream::pair()?;
            one.set_nonblocking(true)?;
            readers.push(Reader {
                socket: one,
                pid: None,
                input: Vec::new(),
                owes: 0,
                late: None,
                hangs_on: Vec::new(),
                ended: false,
            });
            theirs.push((other, Some(kind)));
        }
        ours.push(readers);
    }
    let waiting = &mut theirs;
    let pid = sys::in_a_process(move || {
        leave_all_behind(waiting.iter().map(|(socket, _)| socket.as_raw_fd()));
        fork_on_demand(std::mem::take(waiting));
    })?;
    urgency::pass_on(pid);
    let life = Some(life);
    let first = Arc::new(First { pid, life });
    let mut ours = ours.into_iter();
    Ok(kinds.map(|(_, patience)| Readers {
        readers: ours.next().unwrap_or_default(),
        patience,
        first: Arc::clone(&first),
    }))
}

/// So many that there are descriptors left: each takes two until both sides have theirs.
fn readers_of_each(kinds: usize, descriptors: Option<u64>, cpus: u64) -> usize {
    let descriptors = descriptors.unwrap_or(u64::MAX);
    let left = descriptors.saturating_sub(OTHER_DESCRIPTORS.saturating_add(cpus));
    (left / (2 * kinds as u64)).clamp(1, READERS as u64) as usize
}

fn cost(question: &Question) -> usize {
    question.bytes.len() + OVERHEAD_BYTES
}

fn tell(question: usize, bytes: Vec<u8>, last: bool, heard: &mut dyn FnMut(usize, Heard)) {
    if !bytes.is_empty() {
        heard(question, Heard::Piece(bytes));
    }
    if last {
        heard(question, Heard::All);
    }
}

impl Readers {
    /// The process that forks them all.
    pub fn first(&self) -> u32 {
        self.first.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Asks all of it, and hands over what is heard of each question, by its number. Ends
    /// in time, whatever hangs.
    pub fn ask(&mut self, questions: &[Question], heard: &mut dyn FnMut(usize, Heard)) {
        let began = Instant::now();
        let mut next = 0;
        while next < questions.len() {
            let busy = |reader: &mut Reader| {
                (!reader.is_free(heard) && !reader.ended).then(|| reader.hangs_on.clone())
            };
            let hung: Vec<_> = self.readers.iter_mut().filter_map(busy).collect();
            let can_be_asked = |question: &Question| {
                question.bytes.len() <= QUESTION_MAX_BYTES && !hung.contains(&question.about)
            };
            let some = questions[next..].iter().position(|one| !can_be_asked(one));
            let some = &questions[..some.map_or(questions.len(), |some| next + some)];
            let free = self
                .readers
                .iter_mut()
                .find_map(|r| r.is_free(heard).then_some(r));
            // When the time for all is over, what does not come at once is late.
            let left = self.patience.all.saturating_sub(began.elapsed());
            let each = self.patience.each.min(left.max(AT_ONCE));
            let asked = free.filter(|_| next < some.len());
            let late = asked.and_then(|reader| {
                next = reader.answers(some, next, each, heard);
                (next < some.len()).then_some(&mut reader.late)
            });
            match late {
                Some(late) => *late = Some(next),
                None if next < questions.len() => heard(next, Heard::GivenUp),
                None => break,
            }
            next += 1;
        }
        self.wait_for_late(began, heard);
    }

    /// Waits for what has no answer yet, and gives up the rest.
    fn wait_for_late(&mut self, began: Instant, heard: &mut dyn FnMut(usize, Heard)) {
        loop {
            for reader in &mut self.readers {
                reader.is_free(heard);
            }
            let left = self.patience.all.saturating_sub(began.elapsed());
            let mut fds: Vec<PollFd<'_>> =
                self.readers.iter().filter_map(Reader::late_fd).collect();
            if fds.is_empty() || left.is_zero() {
                break;
            }
            // Interrupted, or not: the next look tells.
            let _ = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
        }
        for reader in &mut self.readers {
            if let Some(question) = reader.late.take() {
                heard(question, Heard::GivenUp);
            }
        }
    }
}

impl Reader {
    /// Whether it has answered all that it was asked; what was given up is thrown away, and
    /// what is late is heard.
    fn is_free(&mut self, heard: &mut dyn FnMut(usize, Heard)) -> bool {
        while self.owes > 0 && !self.ended {
            match self.piece() {
                Some((bytes, last)) => {
                    self.owes -= usize::from(last);
                    if let Some(late) = self.late {
                        self.late = (!last).then_some(late);
                        tell(late, bytes, last, heard);
                    }
                }
                None if self.fill() => {}
                None => break,
            }
        }
        self.owes == 0 && !self.ended
    }

    fn late_fd(&self) -> Option<PollFd<'_>> {
        let waits = self.late.is_some() && !self.ended;
        waits.then(|| PollFd::new(&self.socket, PollFlags::IN))
    }

    /// Asks from `next` on; returns the first that it did not answer.
    fn answers(
        &mut self,
        questions: &[Question],
        mut next: usize,
        patience: Duration,
        heard: &mut dyn FnMut(usize, Heard),
    ) -> usize {
        let (mut sent, mut ahead) = (next, 0);
        loop {
            while let Some(question) = questions.get(sent)
                && (sent == next || ahead + cost(question) <= AHEAD_BYTES)
            {
                if send(&mut self.socket, &question.bytes, 0).is_err() {
                    self.ended = true;
                    return next;
                }
                ahead += cost(question);
                self.owes += 1;
                sent += 1;
            }
            if sent == next {
                return next;
            }
            match self.wait(patience) {
                Some((bytes, last)) => {
                    tell(next, bytes, last, heard);
                    if last {
                        ahead -= cost(&questions[next]);
                        self.owes -= 1;
                        next += 1;
                    }
                }
                None => {
                    self.hangs_on.clone_from(&questions[next].about);
                    return next;
                }
            }
        }
    }

    /// The next piece, and whether it is the last of its answer; None if it does not come.
    fn wait(&mut self, patience: Duration) -> Option<(Vec<u8>, bool)> {
        let began = Instant::now();
        loop {
            if let Some(piece) = self.piece() {
                return Some(piece);
            }
            let waited = began.elapsed();
            let over = waited >= patience * STARVED || waited >= patience && !self.could_run();
            // What it has said before it went to sleep again is here by now.
            if !self.fill() {
                if over || self.ended {
                    return None;
                }
                let left = patience.saturating_sub(waited).max(patience / 8);
                let left = Timespec::try_from(left).ok();
                let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
                // Interrupted, or not: the next look tells.
                let _ = poll(&mut fds, left.as_ref());
            }
        }
    }

    /// Whether it would go on if it had a CPU. One that has not begun waits for one.
    fn could_run(&self) -> bool {
        let Some(pid) = self.pid else {
            return true;
        };
        // Our own child's, which shares no memory with anybody else.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        state.is_some_and(|state| state.starts_with('R'))
    }

    /// Takes a piece from what has come.
    fn piece(&mut self) -> Option<(Vec<u8>, bool)> {
        if self.pid.is_none() {
            self.pid = Some(u32::from_ne_bytes(*self.input.first_chunk()?));
            self.input.drain(..4);
        }
        let length = u32::from_ne_bytes(*self.input.first_chunk()?);
        let end = 4 + (length & !LAST) as usize;
        let bytes = self.input.get(4..end)?.to_vec();
        self.input.drain(..end);
        Some((bytes, length & LAST != 0))
    }

    /// Takes what has come by now; false if nothing has.
    fn fill(&mut self) -> bool {
        let mut some = [0; 16 << 10];
        match self.socket.read(&mut some) {
            Ok(0) => self.ended = true,
            Ok(n) => {
                self.input.extend_from_slice(&some[..n]);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            Err(_) => self.ended = true,
        }
        false
    }
}

#[cfg(test)]
mod tests;
