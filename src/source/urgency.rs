//! Real-time priority, the lowest there is, for what must not wait: tracing is looked for
//! on hosts with far more to run than CPUs, where each wait for a CPU takes half a second
//! and the buffers are full by then.
//!
//! It is bounded twice. A thread that has used more than [`BUDGET`] of a second goes on as
//! before until the second is over, so that what computes waits like everybody. One that
//! never comes back here, as something is wrong with it, is stopped by the kernel
//! (`RLIMIT_RTTIME`), and all go on as before.

use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getpriority_process, getrlimit, setrlimit};
use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};

use super::sys::{self, Scheduling};
use crate::inherited::is_ignored;

/// CPU time that a thread may use so within each second.
pub const BUDGET: Duration = Duration::from_millis(200);
const WINDOW: Duration = Duration::from_secs(1);

/// Threads that have it now, for the signal handler; 0 is a free place.
static RAISED: [AtomicI32; 8] = [const { AtomicI32::new(0) }; 8];

/// The limit as it was before it was ours.
static INHERITED: OnceLock<Rlimit> = OnceLock::new();

/// Held to write while another program is started: nobody sets the limit then.
static STARTS: RwLock<()> = RwLock::new(());

/// The calling thread's right to go first; it gives that back when dropped.
pub struct Urgency {
    /// Why it may not go first.
    refused: Option<io::Error>,
    /// Its place among those that do.
    place: Option<&'static AtomicI32>,
    tid: i32,
    window_began: Instant,
    used_before: Duration,
    /// What this says is about the thread that made it.
    _not_send: PhantomData<*const ()>,
}

impl Urgency {
    /// Goes first from now on, where that is permitted.
    pub fn of_this_thread() -> Urgency {
        let mut urgency = Urgency {
            refused: None,
            place: None,
            tid: gettid().as_raw_nonzero().get(),
            window_began: Instant::now(),
            used_before: used(),
            _not_send: PhantomData,
        };
        let begun = permitted().and_then(|()| urgency.raise());
        urgency.refused = begun.err();
        urgency
    }

    /// How it is, a sentence.
    pub fn note(&self) -> String {
        match &self.refused {
            None => format!(
                "real-time priority, at most {} ms of each second",
                BUDGET.as_millis()
            ),
            Some(error) => format!("no real-time priority: {error}"),
        }
    }

    /// To be called between pieces of work: sees to it that the budget is kept.
    pub fn round(&mut self) {
        if self.refused.is_some() {
            return;
        }
        let used = used();
        if self.window_began.elapsed() >= WINDOW {
            self.window_began = Instant::now();
            self.used_before = used;
        }
        match used.saturating_sub(self.used_before) > BUDGET {
            true => self.give_back(),
            // What was possible at first is possible still.
            false => drop(self.raise()),
        }
    }

    /// Begins another second: what comes now is not to wait for what was done before.
    pub fn renew(&mut self) {
        self.window_began = Instant::now();
        self.used_before = used();
        self.round();
    }

    /// Runs what starts another program, which is to have the priority and the limit that we
    /// were given.
    ///
    /// # Errors
    /// The limit cannot be set again.
    pub fn start<T>(&mut self, start: impl FnOnce() -> T) -> io::Result<T> {
        // Who is forked by one that goes first loses a better priority than the usual one.
        if self.refused.is_none() && getpriority_process(None)? < 0 {
            self.give_back();
            let _ = sys::set_scheduling(self.tid, Scheduling::PLAIN);
        }
        let starts = STARTS.write().unwrap_or_else(PoisonError::into_inner);
        set_limit(false)?;
        let started = start();
        set_limit(true)?;
        drop(starts);
        self.round();
        Ok(started)
    }

    fn has(&self) -> bool {
        let place = self.place.map(|place| place.load(Ordering::SeqCst));
        place == Some(self.tid)
    }

    fn raise(&mut self) -> io::Result<()> {
        if self.has() {
            return Ok(());
        }
        // The next round will do.
        let Ok(_limit) = STARTS.try_read() else {
            return Ok(());
        };
        let take = |place: &&AtomicI32| {
            let taken = place.compare_exchange(0, self.tid, Ordering::SeqCst, Ordering::SeqCst);
            taken.is_ok()
        };
        let Some(place) = RAISED.iter().find(take) else {
            return Err(io::Error::other("too many threads"));
        };
        self.place = Some(place);
        // Whenever the kernel has stopped a thread, it puts the limit up by a second.
        let limited = set_limit(true);
        let raised = limited.and_then(|()| sys::set_scheduling(self.tid, Scheduling::FIRST));
        if raised.is_err() {
            self.give_back();
        }
        raised
    }

    /// Goes on as before.
    pub fn give_back(&mut self) {
        if self.has()
            && let Some(place) = self.place.take()
        {
            place.store(0, Ordering::SeqCst);
            // It was so before.
            let _ = sys::set_scheduling(self.tid, Scheduling::USUAL);
        }
    }
}

impl Drop for Urgency {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// In a process that was forked: those that go first are its parent's threads.
pub fn forget_others() {
    for place in &RAISED {
        place.store(0, Ordering::SeqCst);
    }
}

/// Sets our limit, or the one before; where none was set that leaves it alone.
fn set_limit(ours: bool) -> io::Result<()> {
    let Some(inherited) = INHERITED.get() else {
        return Ok(());
    };
    let most = BUDGET.as_micros() as u64;
    let current = match ours {
        true => Some(inherited.current.map_or(most, |theirs| theirs.min(most))),
        false => inherited.current,
    };
    let maximum = inherited.maximum;
    Ok(setrlimit(Resource::Rttime, Rlimit { current, maximum })?)
}

/// CPU time that the calling thread has used.
fn used() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec.cast_unsigned(), used.tv_nsec as u32)
}

/// Lets a process that this thread has just forked go first from its first step on, if the
/// thread does: else it waits for a CPU like everybody, until it can ask for that itself.
pub fn pass_on(child: Pid) {
    if sys::scheduling().is_ok_and(|now| now == Scheduling::FIRST) {
        // It waits, then.
        let _ = sys::set_scheduling(child.as_raw_nonzero().get(), Scheduling::FIRST);
    }
}

/// Whether a thread may go first; sets the limit for those that do.
fn permitted() -> io::Result<()> {
    // Whoever has changed how execlat is scheduled means it; but see `pass_on`.
    let now = sys::scheduling()?;
    let is_ours = now == Scheduling::FIRST && INHERITED.get().is_some();
    if !(now.is_usual() || is_ours) || getpriority_process(None)? > 0 {
        return Err(io::Error::other("execlat was given another priority"));
    }
    if INHERITED.get().is_none() {
        // The signal has another meaning then.
        if getrlimit(Resource::Cpu).current.is_some() {
            return Err(io::Error::other("a limit is set on CPU time"));
        }
        // COMMAND is to ignore it still.
        if is_ignored(libc::SIGXCPU) {
            return Err(io::Error::other("SIGXCPU is ignored"));
        }
        // Who reaches this one is killed.
        let limit = getrlimit(Resource::Rttime);
        if limit.maximum.is_some() {
            return Err(io::Error::other("a limit is set on real-time CPU time"));
        }
        INHERITED.get_or_init(|| limit);
    }
    sys::on_too_long(demote_all)
}

/// In a signal handler: nothing but system calls and atomic loads and stores.
fn demote_all() {
    for place in &RAISED {
        let tid = place.swap(0, Ordering::SeqCst);
        if tid != 0 {
            // A thread that has ended has none to give back.
            let _ = sys::set_scheduling(tid, Scheduling::USUAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn spin(limit: Duration) {
        let until = used() + limit;
        while used() < until {}
    }

    /// One at a time: whoever is stopped by the kernel takes the others along.
    fn on_a_thread(test: fn(Urgency)) {
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = std::thread::spawn(move || {
            let urgency = Urgency::of_this_thread();
            match &urgency.refused {
                Some(error) => println!("skipped: {error}"),
                None => test(urgency),
            }
        });
        thread.join().expect("a thread");
    }

    fn now() -> Scheduling {
        sys::scheduling().expect("known")
    }

    #[test]
    fn who_uses_much_goes_on_as_before_until_the_second_is_over() {
        on_a_thread(|mut urgency| {
            assert_eq!(now(), Scheduling::FIRST);
            spin(BUDGET / 4);
            urgency.round();
            assert!(urgency.has());
            spin(BUDGET);
            urgency.round();
            assert!(!urgency.has());
            assert_eq!(now(), Scheduling::USUAL);
            urgency.renew();
            assert_eq!(now(), Scheduling::FIRST);
            drop(urgency);
            assert_eq!(now(), Scheduling::USUAL);
        });
    }

    #[test]
    fn whoever_is_forked_stops_none_of_its_parents_threads() {
        on_a_thread(|_urgency| {
            let child = sys::in_a_process(|| {
                forget_others();
                demote_all();
            });
            let child = child.expect("a process");
            rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty())
                .expect("it ended");
            assert_eq!(now(), Scheduling::FIRST);
        });
    }

    #[test]
    fn who_never_pauses_is_stopped_by_the_kernel() {
        on_a_thread(|mut urgency| {
            // Bounded, should nothing stop it.
            for _ in 0..100 {
                spin(BUDGET / 10);
                if !urgency.has() {
                    break;
                }
            }
            assert!(!urgency.has());
            assert_eq!(now(), Scheduling::USUAL);
            urgency.renew();
            assert!(urgency.has());
            // Whoever does so again is stopped as soon.
            let limit = getrlimit(Resource::Rttime)
                .current
                .map(Duration::from_micros);
            assert_eq!(limit, Some(BUDGET));
        });
    }
}
