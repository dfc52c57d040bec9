//! What started the tests may have left signals ignored or blocked, as `nohup make test`
//! does. A shell cannot trap what it inherits ignored, and a child whose SIGCHLD is
//! ignored has no status: so all signals are made as the kernel has them, before `main`,
//! for whatever the tests start.
#![allow(unsafe_code, reason = "nothing safe runs before main")]

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

#[used]
// SAFETY: the section holds pointers to functions of this kind, run once before main.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = make_default;

extern "C" fn make_default() {
    for each in Signal::iterator() {
        // SAFETY: no handler is replaced that anything relies on: nothing has run yet. It
        // fails for SIGKILL and SIGSTOP, which nobody can ignore.
        let _ = unsafe { signal(each, SigHandler::SigDfl) };
    }
    let _ = SigSet::empty().thread_set_mask();
}
