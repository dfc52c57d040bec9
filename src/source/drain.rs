//! Reads the perf buffers in a thread of its own. While the rest works through a batch,
//! lists processes, or waits for a disk or a terminal, the buffers fill: who reads them
//! must do nothing else.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::Timespec;

use super::now::monotonic_ns;
use super::perf::PerfBuffer;
use super::urgency::Urgency;

/// What the thread has read and not handed over, and what it has handed over and nobody
/// has taken: at most so many bytes each. With more, it leaves the records where they are:
/// then the buffers fill, and what finds them full is counted.
const UNTAKEN_MAX_BYTES: usize = 32 << 20;
/// A vector with more room is not used again: bursts pass.
const KEPT_BYTES: usize = 4 << 20;

/// What the thread hands over.
#[derive(Debug, Default)]
struct Read {
    bytes: Vec<u8>,
    malformed: u64,
    /// When the last full read of all buffers began; 0: there was none yet.
    began_ns: u64,
    /// The thread cannot go on.
    failed: Option<io::Error>,
    /// There is something new.
    fresh: bool,
}

#[derive(Debug, Default)]
struct Shared {
    read: Mutex<Read>,
    more: Condvar,
}

impl Shared {
    /// Nobody panics with the lock held: what is there is whole.
    fn lock(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that reads.
pub struct Drain {
    shared: Arc<Shared>,
    /// Wakes the thread to end.
    end: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Drain {
    /// Starts to read, at least once in `round`.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(perf: PerfBuffer, round: Duration) -> Result<Drain> {
        let shared = Arc::new(Shared::default());
        let end = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).context("failed to make an eventfd")?);
        let (theirs, ends) = (Arc::clone(&shared), Arc::clone(&end));
        let thread = std::thread::Builder::new()
            .name("drain".to_owned())
            .spawn(move || read_all(perf, &theirs, &ends, round))
            .context("failed to start a thread")?;
        Ok(Drain {
            shared,
            end,
            thread: Some(thread),
        })
    }

    /// Waits until there is something new, for at most `limit`.
    pub fn wait(&self, limit: Duration) {
        let read = self.shared.lock();
        let waited = self
            .shared
            .more
            .wait_timeout_while(read, limit, |read| !read.fresh);
        drop(waited);
    }

    /// Puts what was read into `bytes`, which is empty. Nothing that happened before the
    /// time that is returned is missing, but for what the kernel side was still at.
    ///
    /// # Errors
    /// The buffers cannot be read.
    pub fn take(&self, bytes: &mut Vec<u8>, malformed: &mut u64) -> Result<u64> {
        if bytes.capacity() > KEPT_BYTES {
            *bytes = Vec::new();
        }
        let mut read = self.shared.lock();
        std::mem::swap(bytes, &mut read.bytes);
        *malformed += std::mem::take(&mut read.malformed);
        read.fresh = false;
        match read.failed.take() {
            Some(error) => Err(error).context("failed to read the perf buffer"),
            None => Ok(read.began_ns),
        }
    }

    /// Ends the thread, which reads all buffers once more.
    pub fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            // It fails only if it is full, and then the thread is woken, too.
            let _ = rustix::io::write(&self.end, &1u64.to_ne_bytes());
            // A panic was reported by then.
            let _ = thread.join();
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What the thread does. It waits for nobody who waits for a CPU: where the lock is taken,
/// what was read is handed over the next time.
fn read_all(mut perf: PerfBuffer, shared: &Shared, end: &OwnedFd, round: Duration) {
    let mut urgency = Urgency::of_this_thread();
    let timeout = Timespec {
        tv_sec: round.as_secs().cast_signed(),
        tv_nsec: round.subsec_nanos().into(),
    };
    let mut mine = Read::default();
    loop {
        urgency.round();
        let full = mine.bytes.len() >= UNTAKEN_MAX_BYTES;
        let ends = match wait((!full).then_some(&perf), end, &timeout) {
            Ok(ends) => ends,
            Err(error) => {
                mine.failed = Some(error.into());
                true
            }
        };
        if ends || !full {
            mine.began_ns = monotonic_ns();
            match perf.consume(&mut mine.bytes) {
                Ok(malformed) => mine.malformed += malformed,
                Err(error) => mine.failed = Some(error),
            }
        }
        let ends = ends || mine.failed.is_some();
        let theirs = match ends {
            true => Some(shared.lock()),
            false => shared.read.try_lock().ok(),
        };
        if let Some(mut theirs) = theirs {
            hand_over(&mut mine, &mut theirs, ends);
            let fresh = theirs.fresh;
            // Not with the lock held: who is woken takes it.
            drop(theirs);
            if fresh {
                shared.more.notify_one();
            }
        }
        if ends {
            return;
        }
    }
}

/// True: the end is asked for.
fn wait(perf: Option<&PerfBuffer>, end: &OwnedFd, timeout: &Timespec) -> rustix::io::Result<bool> {
    let perf = perf.map(PerfBuffer::as_fd);
    let mut fds = vec![PollFd::new(end, PollFlags::IN)];
    fds.extend(perf.iter().map(|perf| PollFd::new(perf, PollFlags::IN)));
    match poll(&mut fds, Some(timeout)) {
        Ok(_) => Ok(!fds[0].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error),
    }
}

fn hand_over(mine: &mut Read, theirs: &mut Read, ends: bool) {
    if theirs.bytes.is_empty() {
        std::mem::swap(&mut mine.bytes, &mut theirs.bytes);
    } else if ends || theirs.bytes.len() + mine.bytes.len() <= UNTAKEN_MAX_BYTES {
        theirs.bytes.append(&mut mine.bytes);
    } else {
        return;
    }
    theirs.malformed += std::mem::take(&mut mine.malformed);
    theirs.began_ns = mine.began_ns;
    theirs.failed = mine.failed.take();
    // Without, whoever waits looks in time.
    theirs.fresh |= !theirs.bytes.is_empty() || theirs.failed.is_some();
}
