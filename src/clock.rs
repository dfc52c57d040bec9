//! The two clocks of a row: the kernel's monotonic one, which times are measured
//! on, and the wall clock, which people read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use humantime::{format_rfc3339_micros, format_rfc3339_millis};

/// How to show the source's `CLOCK_MONOTONIC` nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    /// Wall clock minus monotonic clock, nanoseconds; measured anew now and then.
    pub wall_offset_ns: i64,
    /// When tracing began.
    pub began_ns: u64,
}

impl Clock {
    fn wall(&self, ns: u64) -> SystemTime {
        let wall_ns = i128::from(ns) + i128::from(self.wall_offset_ns);
        let wall_ns = u64::try_from(wall_ns.max(0)).unwrap_or(u64::MAX);
        UNIX_EPOCH + Duration::from_nanos(wall_ns)
    }

    /// RFC 3339 in UTC, with microseconds.
    pub fn rfc3339(&self, ns: u64) -> String {
        format_rfc3339_micros(self.wall(ns)).to_string()
    }

    /// The time of day in UTC, with milliseconds: `12:34:56.789Z`.
    pub fn time_of_day(&self, ns: u64) -> String {
        let full = format_rfc3339_millis(self.wall(ns)).to_string();
        full.split_once('T')
            .map_or_else(String::new, |(_, time)| time.to_owned())
    }

    /// Nanoseconds since tracing began; 0 for what was before.
    pub fn elapsed_ns(&self, ns: u64) -> u64 {
        ns.saturating_sub(self.began_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_times_become_wall_times() {
        let clock = Clock {
            wall_offset_ns: 1_700_000_000_000_000_000,
            began_ns: 1_000_000_000,
        };
        assert_eq!(clock.rfc3339(1_500_000), "2023-11-14T22:13:20.001500Z");
        assert_eq!(clock.time_of_day(1_500_000), "22:13:20.001Z");
        assert_eq!(clock.elapsed_ns(3_000_000_000), 2_000_000_000);
        assert_eq!(clock.elapsed_ns(0), 0);
    }
}
