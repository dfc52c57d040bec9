//! The few system calls that no safe crate offers, each behind a safe function.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::Pid;

/// Opens the trace event with this id (tracefs `events/…/id`) on all CPUs.
pub fn open_trace_event(id: u64) -> io::Result<OwnedFd> {
    // SAFETY: zero is a valid value for every field of this C struct.
    let mut attr: libbpf_sys::perf_event_attr = unsafe { zeroed() };
    attr.type_ = libbpf_sys::PERF_TYPE_TRACEPOINT;
    attr.size = size_of::<libbpf_sys::perf_event_attr>() as u32;
    attr.config = id;
    let (pid, cpu, group): (libc::pid_t, libc::c_int, libc::c_int) = (-1, 0, -1);
    // SAFETY: `attr` is as large as it says and outlives the call, which keeps no
    // pointer to it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw mut attr,
            pid,
            cpu,
            group,
            libc::c_ulong::from(libbpf_sys::PERF_FLAG_FD_CLOEXEC),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// How often the kernel skipped a program because it, or a tracer, ran already.
pub fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: zero is a valid value for every field of this C struct.
    let mut info: libbpf_sys::bpf_prog_info = unsafe { zeroed() };
    let mut bytes = size_of::<libbpf_sys::bpf_prog_info>() as u32;
    // SAFETY: `info` is `bytes` long and outlives the call; its pointers are null,
    // so that the kernel writes nowhere else.
    let result = unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut bytes)
    };
    match result {
        0 => Ok(info.recursion_misses),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How a thread is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduling {
    policy: i32,
    priority: i32,
}

impl Scheduling {
    /// Before all that is scheduled as usual; children are not.
    pub const FIRST: Scheduling = Scheduling {
        policy: libc::SCHED_RR | libc::SCHED_RESET_ON_FORK,
        priority: 1,
    };
    /// As usual, children as well.
    pub const PLAIN: Scheduling = Scheduling {
        policy: libc::SCHED_OTHER,
        priority: 0,
    };
    /// As usual. To clear the flag of one that went first takes more than to go first does.
    pub const USUAL: Scheduling = Scheduling {
        policy: libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK,
        priority: 0,
    };

    /// As usual, with or without the flag.
    pub fn is_usual(self) -> bool {
        self.policy & !libc::SCHED_RESET_ON_FORK == libc::SCHED_OTHER
    }
}

/// How the calling thread is scheduled.
pub fn scheduling() -> io::Result<Scheduling> {
    // SAFETY: zero is a valid value for every field of this C struct.
    let mut param: libc::sched_param = unsafe { zeroed() };
    // SAFETY: both calls take the calling thread for 0, and `param` outlives them.
    let (policy, result) = unsafe {
        let policy = libc::sched_getscheduler(0);
        (policy, libc::sched_getparam(0, &raw mut param))
    };
    if policy < 0 || result < 0 {
        return Err(io::Error::last_os_error());
    }
    let priority = param.sched_priority;
    Ok(Scheduling { policy, priority })
}

/// Schedules a thread so. May be called in a signal handler.
pub fn set_scheduling(tid: i32, scheduling: Scheduling) -> io::Result<()> {
    // SAFETY: zero is a valid value for every field of this C struct.
    let mut param: libc::sched_param = unsafe { zeroed() };
    param.sched_priority = scheduling.priority;
    // SAFETY: `param` outlives the call, which keeps no pointer to it.
    match unsafe { libc::sched_setscheduler(tid, scheduling.policy, &raw const param) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What to do when a thread has used its real-time limit (SIGXCPU). The first answer stays.
pub fn on_too_long(answer: fn()) -> io::Result<()> {
    static SET: std::sync::Once = std::sync::Once::new();
    let mut result = Ok(());
    SET.call_once(|| {
        // SAFETY: the answer is a plain function that makes system calls and touches
        // atomics alone (see its only caller), which a signal handler may.
        let set = unsafe { signal_hook::low_level::register(libc::SIGXCPU, answer) };
        result = set.map(drop);
    });
    result
}

/// Does some work in a process of its own, which ends with it; returns its pid. It is a
/// fork: the work finds all that was there, but no other thread. It must not take a lock
/// that another thread may have held, so this is best called while there is none.
pub fn in_a_process(work: impl FnOnce()) -> io::Result<Pid> {
    // SAFETY: glibc makes its allocator usable in the child. What else the child does is
    // up to `work`, and it never comes back from here.
    match unsafe { libc::fork() } {
        0 => {
            let done = catch_unwind(AssertUnwindSafe(work));
            // SAFETY: it ends the process, and runs nothing that belongs to its parent.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        pid if pid < 0 => Err(io::Error::last_os_error()),
        pid => Pid::from_raw(pid).ok_or_else(|| io::Error::other("no pid")),
    }
}

/// Signals that a terminal, or whoever stops a service, sends to all of its processes.
const ASK_TO_END: [libc::c_int; 5] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGPIPE,
    libc::SIGTERM,
];

/// From now on nothing but SIGKILL ends this process from outside, and children that have
/// ended need nobody who waits for them.
pub fn ignore_signals() {
    let more = [libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM, libc::SIGCHLD];
    for signal in ASK_TO_END.into_iter().chain(more) {
        // SAFETY: to ignore a signal runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Closes all descriptors but these, whoever in this process owns them: they must not be
/// used again, nor closed.
pub fn close_all_but(kept: &[RawFd]) {
    let mut kept: Vec<u32> = kept.iter().filter_map(|fd| (*fd).try_into().ok()).collect();
    kept.sort_unstable();
    let mut first = 0;
    for last in kept.into_iter().chain([u32::MAX]) {
        if last > first {
            let end = if last == u32::MAX { last } else { last - 1 };
            // SAFETY: the caller answers for it that nobody uses them.
            unsafe { libc::syscall(libc::SYS_close_range, first, end, 0) };
        }
        first = last.saturating_add(1);
    }
}
