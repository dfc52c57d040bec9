//! What the clocks say now, nanoseconds.

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC`, as the kernel side uses it.
pub fn monotonic_ns() -> u64 {
    clock_ns(ClockId::Monotonic) as u64
}

/// Wall clock minus monotonic clock.
pub fn wall_offset_ns() -> i64 {
    clock_ns(ClockId::Realtime) - clock_ns(ClockId::Monotonic)
}

fn clock_ns(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
