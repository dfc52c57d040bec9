//! Latency statistics per group: exact counts and extremes, an HdrHistogram for
//! percentiles, log2 classes for the bars. The number of groups is bounded.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use crate::event::{End, Execution};

/// More groups than this are counted together as [`OTHER`].
pub const GROUPS_MAX: usize = 10_000;
/// The group of what found no group of its own.
pub const OTHER: &str = "other";
/// Two figures: a bucket is at most 1/128 wide, and a group stays small.
const SIGNIFICANT_FIGURES: u8 = 2;
/// One figure, a bucket is at most 1/16 wide: the kernel's account is good to a tick.
const CPU_SIGNIFICANT_FIGURES: u8 = 1;
/// Classes of the bars: 0–1 µs, 2–3, 4–7, … beyond a year.
const CLASSES: usize = 46;

/// The percentiles that tables show, with their names.
pub const PERCENTILES: [(&str, f64); 4] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// The percentiles of CPU time that tables show, with their names.
pub const CPU_PERCENTILES: [(&str, f64); 2] = [("cpu_p50", 50.0), ("cpu_p99", 99.0)];

/// The figures of one group. All times are nanoseconds.
#[derive(Debug, Clone)]
pub struct Group {
    /// Executions whose end was seen.
    pub count: u64,
    /// Of these, those that did not end with code 0.
    pub failed: u64,
    /// Shortest.
    pub min_ns: u64,
    /// Longest.
    pub max_ns: u64,
    /// Sum.
    pub total_ns: u128,
    histogram: Histogram<u32>,
    cpu: Histogram<u32>,
    cpu_max_ns: u64,
    classes: [u64; CLASSES],
}

impl Group {
    pub(crate) fn new() -> Option<Group> {
        let growing = |figures| {
            let mut histogram = Histogram::new(figures).ok()?;
            histogram.auto(true);
            Some(histogram)
        };
        Some(Group {
            count: 0,
            failed: 0,
            min_ns: u64::MAX,
            max_ns: 0,
            total_ns: 0,
            histogram: growing(SIGNIFICANT_FIGURES)?,
            cpu: growing(CPU_SIGNIFICANT_FIGURES)?,
            cpu_max_ns: 0,
            classes: [0; CLASSES],
        })
    }

    fn add_execution(&mut self, execution: &Execution) {
        self.add(execution.time_ns(), execution.end.failed());
        if let Some(used) = execution.used {
            self.cpu_max_ns = self.cpu_max_ns.max(used.cpu_ns);
            record(&mut self.cpu, used.cpu_ns);
        }
    }

    pub(crate) fn add(&mut self, time_ns: u64, failed: bool) {
        self.count += 1;
        self.failed += u64::from(failed);
        self.min_ns = self.min_ns.min(time_ns);
        self.max_ns = self.max_ns.max(time_ns);
        self.total_ns += u128::from(time_ns);
        record(&mut self.histogram, time_ns);
        self.classes[class_of(time_ns)] += 1;
    }

    /// The value that `percentile` of the executions do not exceed, within 0.8 %.
    pub fn percentile_ns(&self, percentile: f64) -> u64 {
        let value = self.histogram.value_at_percentile(percentile);
        value.clamp(self.min_ns.min(self.max_ns), self.max_ns)
    }

    /// The CPU time that `percentile` of the executions do not exceed, within 6.3 %;
    /// absent where that of none is known.
    pub fn cpu_percentile_ns(&self, percentile: f64) -> Option<u64> {
        let value = self.cpu.value_at_percentile(percentile);
        (!self.cpu.is_empty()).then(|| value.min(self.cpu_max_ns))
    }

    /// The bars' classes from the first to the last that holds any: lowest and
    /// highest value in microseconds, and how many.
    pub fn classes(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        let first = self.classes.iter().position(|&n| n > 0).unwrap_or(0);
        let end = self
            .classes
            .iter()
            .rposition(|&n| n > 0)
            .map_or(0, |i| i + 1);
        (first..end).map(|class| {
            let low = if class == 0 { 0 } else { 1 << class };
            (low, (2 << class) - 1, self.classes[class])
        })
    }
}

/// Grows as needed; more than it can ever hold counts as its largest value.
fn record(histogram: &mut Histogram<u32>, value: u64) {
    if histogram.record(value).is_err() {
        histogram.saturating_record(value);
    }
}

fn class_of(time_ns: u64) -> usize {
    let micros = (time_ns / 1000).max(1);
    (micros.ilog2() as usize).min(CLASSES - 1)
}

/// All groups.
#[derive(Debug, Default)]
pub struct Stats {
    groups: HashMap<String, Group>,
    /// Executions that found the table of groups full.
    pub ungrouped: u64,
}

impl Stats {
    /// Counts an execution under its group. What has no end, or an unknown one, has
    /// no latency either.
    pub fn add(&mut self, group: &str, execution: &Execution) {
        if matches!(execution.end, End::Running | End::Unknown) {
            return;
        }
        if let Some(known) = self.groups.get_mut(group) {
            known.add_execution(execution);
        } else if self.groups.len() < GROUPS_MAX {
            self.add_to_new(group, execution);
        } else {
            self.ungrouped += 1;
            match self.groups.get_mut(OTHER) {
                Some(other) => other.add_execution(execution),
                None => self.add_to_new(OTHER, execution),
            }
        }
    }

    fn add_to_new(&mut self, group: &str, execution: &Execution) {
        if let Some(mut fresh) = Group::new() {
            fresh.add_execution(execution);
            self.groups.insert(group.to_owned(), fresh);
        }
    }

    /// The groups, the one that took the most time in all first.
    pub fn groups(&self) -> Vec<(&str, &Group)> {
        let mut groups: Vec<_> = self.groups.iter().map(|(k, v)| (k.as_str(), v)).collect();
        groups.sort_by(|a, b| (b.1.total_ns, a.0).cmp(&(a.1.total_ns, b.0)));
        groups
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Image, Usage, WaitStatus};
    use crate::fixture;
    use proptest::prelude::*;

    fn execution(time_ns: u64, code: u32) -> Execution {
        Execution {
            start_ns: 5,
            end_ns: 5 + time_ns,
            end: End::Exit(WaitStatus(code << 8)),
            ..fixture::execution(Image::default())
        }
    }

    #[test]
    fn counts_are_exact() {
        let mut stats = Stats::default();
        for (i, time) in [7_000u64, 13_000, 2_000_000].into_iter().enumerate() {
            stats.add("runc", &execution(time, i as u32));
        }
        let (name, group) = stats.groups()[0];
        assert_eq!((name, group.count, group.failed), ("runc", 3, 2));
        assert_eq!((group.min_ns, group.max_ns), (7_000, 2_000_000));
        assert_eq!(group.total_ns, 2_020_000);
        let classes: Vec<_> = group.classes().filter(|c| c.2 > 0).collect();
        assert_eq!(classes, [(4, 7, 1), (8, 15, 1), (1024, 2047, 1)]);
    }

    #[test]
    fn groups_are_bounded_and_what_is_over_is_counted() {
        let mut stats = Stats::default();
        for i in 0..GROUPS_MAX + 7 {
            stats.add(&i.to_string(), &execution(1000, 0));
        }
        assert_eq!(stats.ungrouped, 7);
        let groups = stats.groups();
        assert_eq!(groups.len(), GROUPS_MAX + 1);
        assert_eq!(
            groups.iter().map(|g| g.1.count).sum::<u64>(),
            GROUPS_MAX as u64 + 7
        );
        assert!(groups.iter().any(|g| g.0 == OTHER && g.1.count == 7));
    }

    #[test]
    fn cpu_time_has_its_own_percentiles() {
        let mut stats = Stats::default();
        let mut unknown = execution(9_000_000, 0);
        stats.add("x", &unknown);
        assert_eq!(stats.groups()[0].1.cpu_percentile_ns(50.0), None);
        for cpu_ns in [3_000_000_u64, 5_000_000, 70_000_000] {
            unknown.used = Some(Usage {
                cpu_ns,
                ..Usage::default()
            });
            stats.add("x", &unknown);
        }
        let group = stats.groups()[0].1;
        let p50 = group.cpu_percentile_ns(50.0).expect("three are known");
        assert!((5_000_000..=5_312_500).contains(&p50), "{p50}");
        assert_eq!(group.cpu_percentile_ns(99.0), Some(70_000_000));
        assert_eq!(group.count, 4);
    }

    proptest! {
        #[test]
        fn percentiles_are_within_a_bucket(mut times in proptest::collection::vec(1u64..1u64 << 40, 1..200)) {
            let mut stats = Stats::default();
            for time in &times {
                stats.add("x", &execution(*time, 0));
            }
            times.sort_unstable();
            let groups = stats.groups();
            for (_, percentile) in PERCENTILES {
                let rank = (percentile / 100.0 * times.len() as f64).ceil().max(1.0) as usize;
                let exact = times[rank - 1] as f64;
                let got = groups[0].1.percentile_ns(percentile) as f64;
                prop_assert!((got - exact).abs() <= exact / 100.0 + 1.0, "{got} {exact}");
            }
        }
    }
}
