//! What the processes do that read: the first forks one for each socket that a question
//! comes by, and that one answers.

use std::ffi::CStr;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Signal, chdir, getpid, getppid, set_parent_process_death_signal, setsid};
use rustix::{stdio, thread};

use super::{Answer, COMM, Kind, LAST};
use crate::source::sys;
use crate::source::urgency::{self, Urgency};

/// What hangs must hold nothing that others wait for: no end of a pipe, no directory, no
/// terminal.
pub(super) fn leave_all_behind(kept: impl Iterator<Item = RawFd>) {
    urgency::forget_others();
    sys::ignore_signals();
    sys::close_all_but(&kept.collect::<Vec<_>>());
    let _ = setsid();
    let _ = chdir("/");
    // Opened where there is room: it may be one of the three itself.
    if let Ok(null) = open("/dev/null", OFlags::RDWR, Mode::empty()) {
        let _ = stdio::dup2_stdin(&null);
        let _ = stdio::dup2_stdout(&null);
        let _ = stdio::dup2_stderr(&null);
        if null.as_raw_fd() <= 2 {
            std::mem::forget(null);
        }
    }
    if let Ok(name) = CStr::from_bytes_until_nul(&COMM) {
        let _ = thread::set_name(name);
    }
}

/// Forks the reader of each socket that a question comes by, until it is asked to end by
/// the one that is of no kind.
pub(super) fn fork_on_demand(mut waiting: Vec<(UnixStream, Option<Kind<'_>>)>) {
    let first = getpid();
    let mut urgency = Urgency::of_this_thread();
    loop {
        urgency.round();
        let mut fds: Vec<PollFd<'_>> = waiting
            .iter()
            .map(|(socket, _)| PollFd::new(socket, PollFlags::IN))
            .collect();
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let events: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        for (at, events) in events.into_iter().enumerate().rev() {
            if events.is_empty() {
                continue;
            }
            let (socket, Some(kind)) = waiting.swap_remove(at) else {
                return;
            };
            // With nobody there any more, nobody is told; nor where there can be no process.
            if !events.contains(PollFlags::HUP) {
                let others = &mut waiting;
                let reader = sys::in_a_process(move || {
                    urgency::forget_others();
                    others.clear();
                    let _ = set_parent_process_death_signal(Some(Signal::KILL));
                    // If it has ended by then, there will be no signal.
                    if getppid() == Some(first) {
                        let _ = answer_all(socket, kind());
                    }
                });
                let _ = reader.map(urgency::pass_on);
            }
        }
    }
}

/// A reader's life: until nobody asks any more.
fn answer_all(mut socket: UnixStream, mut answer: Answer) -> io::Result<()> {
    socket.write_all(&std::process::id().to_ne_bytes())?;
    // Whoever asks goes first as well.
    let mut urgency = Urgency::of_this_thread();
    loop {
        urgency.round();
        let mut length = [0; 4];
        socket.read_exact(&mut length)?;
        let mut question = vec![0; u32::from_ne_bytes(length) as usize];
        socket.read_exact(&mut question)?;
        let mut told = Ok(());
        answer(&question, &mut |piece| {
            if told.is_ok() {
                told = send(&mut socket, piece, 0);
            }
        });
        told?;
        send(&mut socket, &[], LAST)?;
    }
}

pub(super) fn send(socket: &mut UnixStream, bytes: &[u8], last: u32) -> io::Result<()> {
    let mut whole = Vec::with_capacity(4 + bytes.len());
    whole.extend_from_slice(&(bytes.len() as u32 | last).to_ne_bytes());
    whole.extend_from_slice(bytes);
    socket.write_all(&whole)
}
