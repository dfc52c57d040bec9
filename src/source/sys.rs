//! The few system calls that no safe crate offers, each behind a safe function.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

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
