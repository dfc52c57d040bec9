//! What the clocks say now, nanoseconds.

use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// What the kernel side's clock is ahead of ours: nothing, but in a time namespace.
static AHEAD_NS: AtomicI64 = AtomicI64::new(0);

/// `CLOCK_MONOTONIC` of the initial time namespace, as the kernel side uses it.
pub fn monotonic_ns() -> u64 {
    kernels_ns() as u64
}

/// Wall clock minus [`monotonic_ns`].
pub fn wall_offset_ns() -> i64 {
    clock_ns(ClockId::Realtime) - kernels_ns()
}

/// `CLOCK_MONOTONIC` of our own time namespace.
pub fn own_ns() -> u64 {
    clock_ns(ClockId::Monotonic) as u64
}

/// Sets [`monotonic_ns`] by the kernel side's clock.
pub fn set_ahead_ns(ns: i64) {
    AHEAD_NS.store(ns, Ordering::Relaxed);
}

fn kernels_ns() -> i64 {
    clock_ns(ClockId::Monotonic).wrapping_add(AHEAD_NS.load(Ordering::Relaxed))
}

fn clock_ns(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
