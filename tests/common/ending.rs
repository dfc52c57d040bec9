//! Whatever a test starts has an end, whatever becomes of the test: so has each wait for it.

use std::process::Command;

use rustix::process::{Signal, set_parent_process_death_signal};

/// Longer than anything takes that is as it should be, also in an emulated guest.
const LONGEST_S: u32 = 900;

/// What a test starts ends in time.
pub trait InTime {
    /// From its start on, it has so long: then SIGALRM ends it, whatever it has become by
    /// then. What it starts itself has no such end, and needs one of its own.
    fn in_time(&mut self) -> &mut Command;
}

impl InTime for Command {
    #[allow(unsafe_code, reason = "it needs a word between fork and exec")]
    fn in_time(&mut self) -> &mut Command {
        use std::os::unix::process::CommandExt as _;
        let arm = || {
            // SAFETY: it takes a number, and fails never.
            unsafe { libc::alarm(LONGEST_S) };
            Ok(())
        };
        // SAFETY: between fork and exec it makes one system call, and allocates nothing.
        unsafe { self.pre_exec(arm) }
    }
}

/// The same of what is killed once the thread that starts it ends: so a test that is itself
/// killed leaves no execlat behind.
#[allow(unsafe_code, reason = "it needs a word between fork and exec")]
pub fn ending_with_us(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt as _;
    let kill = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: between fork and exec it makes one system call, and allocates nothing.
    unsafe { command.in_time().pre_exec(kill) }
}
