//! What whoever started us has left of signals. Ignored and blocked signals outlive an
//! exec, and some of them change what our own calls mean: they are put right before
//! anything is written, or waited for.
//!
//! Where a signal must not kill or be lost, it gets a handler rather than be ignored: a
//! handler is gone after an exec. So COMMAND has the signal as if we were not there, but for
//! SIGCHLD: where that was ignored, COMMAND has its default.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGCHLD, SIGXFSZ};
use signal_hook::flag;

const CONTEXT: &str = "failed to prepare for signals";

/// Puts right what was inherited. To be called before there is another thread.
///
/// # Errors
/// A handler cannot be installed.
pub fn put_right() -> Result<()> {
    // Past the limit of `ulimit -f` a write is to fail as on a full disk. A handler that
    // does nothing of interest makes it so; whoever ignores the signal has that already.
    if !is_ignored(SIGXFSZ) {
        flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).context(CONTEXT)?;
    }
    // Where it is ignored the kernel throws the status of a child away.
    if is_ignored(SIGCHLD) {
        flag::register(SIGCHLD, Arc::new(AtomicBool::new(false))).context(CONTEXT)?;
    }
    // Blocked, they could not end us, nor ask us anything.
    let heard = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGUSR1,
    ];
    let heard = SigSet::from_iter(heard);
    heard.thread_unblock().context(CONTEXT)
}

/// Whether a signal is ignored by this process.
pub fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
