//! The columns of the table of groups: headings, widths, what is sorted by them and
//! which go first where a terminal is narrow.

use std::cmp::Ordering;

use super::snapshot::GroupRow;
use crate::text::short_duration;

/// A column of figures; the name of the group stands in front of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The group's name.
    Name,
    /// Executions.
    Count,
    /// Executions a second in the last interval.
    Rate,
    /// Executions that failed.
    Failed,
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 99th percentile.
    P99,
    /// The longest.
    Max,
    /// Mean time of the last intervals.
    Trend,
}

/// All, from left to right.
pub const ALL: [Column; 9] = [
    Column::Name,
    Column::Count,
    Column::Rate,
    Column::Failed,
    Column::P50,
    Column::P90,
    Column::P99,
    Column::Max,
    Column::Trend,
];

/// In this order they go where there is no room.
pub const EXPENDABLE: [Column; 8] = [
    Column::Trend,
    Column::P90,
    Column::Rate,
    Column::P50,
    Column::Failed,
    Column::Max,
    Column::Count,
    Column::P99,
];

impl Column {
    /// The heading; that of the name is the key of the groups.
    pub fn heading(self) -> &'static str {
        match self {
            Column::Name => "NAME",
            Column::Count => "COUNT",
            Column::Rate => "RATE/s",
            Column::Failed => "FAILED",
            Column::P50 => "P50",
            Column::P90 => "P90",
            Column::P99 => "P99",
            Column::Max => "MAX",
            Column::Trend => "TREND",
        }
    }

    /// Columns of the terminal that it takes: room for its heading, with the mark of
    /// what is sorted by, and for the widest figure. The name and the trend take
    /// more if there is room.
    pub fn width(self) -> usize {
        match self {
            Column::Name => 12,
            Column::Count | Column::Rate | Column::Failed => 7,
            Column::P50 | Column::P90 | Column::P99 | Column::Max => 6,
            Column::Trend => 8,
        }
    }

    /// The figure.
    pub fn cell(self, row: &GroupRow) -> String {
        match self {
            Column::Name | Column::Trend => String::new(),
            Column::Count => short_count(row.count),
            Column::Rate => short_rate(row.rate),
            Column::Failed => short_count(row.failed),
            Column::P50 => short_duration(row.p50_ns),
            Column::P90 => short_duration(row.p90_ns),
            Column::P99 => short_duration(row.p99_ns),
            Column::Max => short_duration(row.max_ns),
        }
    }

    /// The order of two groups by this column: names from A to Z, figures from the
    /// largest, and those alike by name.
    pub fn order(self, a: &GroupRow, b: &GroupRow) -> Ordering {
        let latest = |row: &GroupRow| row.trend_us.last().copied();
        let order = match self {
            Column::Name => Ordering::Equal,
            Column::Count => b.count.cmp(&a.count),
            Column::Rate => b.rate.total_cmp(&a.rate),
            Column::Failed => b.failed.cmp(&a.failed),
            Column::P50 => b.p50_ns.cmp(&a.p50_ns),
            Column::P90 => b.p90_ns.cmp(&a.p90_ns),
            Column::P99 => b.p99_ns.cmp(&a.p99_ns),
            Column::Max => b.max_ns.cmp(&a.max_ns),
            Column::Trend => latest(b).cmp(&latest(a)),
        };
        order.then_with(|| a.name.cmp(&b.name))
    }
}

/// A count in at most seven columns.
pub fn short_count(count: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (1_000_000_000_000_000_000, "E"),
        (1_000_000_000_000_000, "P"),
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
    ];
    match UNITS.iter().find(|(unit, _)| count >= *unit) {
        // Cut, not rounded up: no more than there are.
        Some((unit, name)) if count >= 10_000_000 => {
            let tenths = count / (unit / 10);
            format!("{}.{}{name}", tenths / 10, tenths % 10)
        }
        _ => count.to_string(),
    }
}

/// A rate, with a decimal where that says anything.
pub fn short_rate(rate: f64) -> String {
    match rate {
        rate if rate <= 0.0 => "0".to_owned(),
        rate if rate < 99.95 => format!("{rate:.1}"),
        rate => short_count(rate.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr as _;

    #[test]
    fn counts_fit() {
        assert_eq!(short_count(0), "0");
        assert_eq!(short_count(9_999_999), "9999999");
        assert_eq!(short_count(10_000_000), "10.0M");
        assert_eq!(short_count(12_399_999_999), "12.3G");
        for count in (0..64).map(|bit| u64::MAX >> bit) {
            assert!(short_count(count).len() <= Column::Count.width(), "{count}");
        }
        assert_eq!(short_rate(0.0), "0");
        assert_eq!(short_rate(0.25), "0.2");
        assert_eq!(short_rate(412.6), "413");
    }

    #[test]
    fn headings_fit_with_their_mark() {
        for column in ALL {
            assert!(column.heading().width() < column.width(), "{column:?}");
        }
    }

    #[test]
    fn all_but_the_name_can_go() {
        let mut rest: Vec<Column> = ALL.to_vec();
        rest.retain(|column| !EXPENDABLE.contains(column));
        assert_eq!(rest, [Column::Name]);
        assert_eq!(EXPENDABLE.len() + 1, ALL.len());
    }
}
