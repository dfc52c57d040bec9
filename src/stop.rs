//! When to stop: signals and the time limit. The first signal ends tracing in good
//! order, a second one ends the process at once. SIGUSR1 stops nothing: it asks what
//! runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGTERM, SIGUSR1};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::inherited::is_ignored;
use crate::top::terminal;

/// Exit status after a second Ctrl-C, as shells have it.
const INTERRUPTED: i32 = 128 + 2;

/// What comes so soon after the first signal is the same wish: timeout(1) signals its
/// child and then the group, and who loses a terminal is told by the shell and by the
/// kernel.
const SAME: Duration = Duration::from_millis(300);

const CONTEXT: &str = "failed to listen for signals";

/// The reasons to stop that come from outside.
#[derive(Debug)]
pub struct Stop {
    interrupted: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
    hung_up: Arc<AtomicBool>,
    asked: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stop {
    /// Listens from now on; stops after `duration`, if there is one.
    ///
    /// # Errors
    /// A handler cannot be installed.
    pub fn new(duration: Option<Duration>) -> Result<Stop> {
        let stop = Stop {
            interrupted: Arc::default(),
            terminated: Arc::default(),
            hung_up: Arc::default(),
            asked: Arc::default(),
            deadline: duration.and_then(|d| Instant::now().checked_add(d)),
        };
        let first = Arc::new(First::default());
        let (interrupted, known) = (Arc::clone(&stop.interrupted), Arc::clone(&first));
        ctrlc::set_handler(move || {
            if known.was_before(Instant::now()) {
                at_once(INTERRUPTED);
            }
            interrupted.store(true, Ordering::SeqCst);
        })
        .context("failed to listen for Ctrl-C")?;
        let mut told = vec![(SIGTERM, Arc::clone(&stop.terminated))];
        // nohup has it ignored, and means it.
        if !is_ignored(SIGHUP) {
            told.push((SIGHUP, Arc::clone(&stop.hung_up)));
        }
        flag::register(SIGUSR1, Arc::clone(&stop.asked)).context(CONTEXT)?;
        listen(told, first)?;
        Ok(stop)
    }

    /// Ctrl-C, or SIGINT from elsewhere.
    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// SIGTERM or SIGHUP, whichever came.
    pub fn told(&self) -> Option<Signal> {
        if self.terminated.load(Ordering::SeqCst) {
            Some(Signal::TERM)
        } else if self.hung_up.load(Ordering::SeqCst) {
            Some(Signal::HUP)
        } else {
            None
        }
    }

    /// SIGUSR1 has come since the last call.
    pub fn asked(&self) -> bool {
        self.asked.swap(false, Ordering::SeqCst)
    }

    /// The time is up.
    pub fn expired(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// When the first signal came, whichever it was.
#[derive(Debug, Default)]
struct First(Mutex<Option<Instant>>);

impl First {
    /// Whether one that comes now is another wish than the first.
    fn was_before(&self, now: Instant) -> bool {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(*first.get_or_insert(now)) >= SAME
    }
}

/// A thread of its own, as the one for Ctrl-C: the second signal has a terminal to
/// restore, which is more than a handler may do.
fn listen(told: Vec<(i32, Arc<AtomicBool>)>, first: Arc<First>) -> Result<()> {
    let wanted = told.iter().map(|(signal, _)| *signal);
    let mut signals = Signals::new(wanted).context(CONTEXT)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if first.was_before(Instant::now()) {
                    at_once(128 + signal);
                }
                let flag = told.iter().find(|(wanted, _)| *wanted == signal);
                flag.iter()
                    .for_each(|(_, flag)| flag.store(true, Ordering::SeqCst));
            }
        })
        .context(CONTEXT)?;
    Ok(())
}

/// Ends the process; the terminal is left as it was found.
fn at_once(status: i32) -> ! {
    terminal::restore_for_good();
    std::process::exit(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_at_once_are_one_wish() {
        let (first, now) = (First::default(), Instant::now());
        let after = |ms| first.was_before(now + Duration::from_millis(ms));
        assert_eq!(
            [0, 1, 299, 300, 5000].map(after),
            [false, false, false, true, true]
        );
    }
}
