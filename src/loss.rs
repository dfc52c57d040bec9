//! The account of everything that was not measured, by cause. Lossless or loud:
//! each path that drops something ends in one of these numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pair::Unpaired;

/// What the source could not deliver.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceLosses {
    /// Records that found the buffer of their CPU full, per CPU.
    pub buffer_full: Vec<(u32, u64)>,
    /// Processes that were not tracked because the table was full.
    pub table_full: u64,
    /// Runs of a program that the kernel skipped, by program.
    pub skipped: Vec<(String, u64)>,
    /// Tracked processes whose end the kernel side never saw.
    pub stale: u64,
    /// Tests for a cgroup that found none, or one too deep.
    pub cgroup_unknown: u64,
    /// Cgroup names that found the buffer full.
    pub cgroup_names: u64,
    /// Records in the buffers whose length cannot be.
    #[serde(default)]
    pub malformed: u64,
    /// Containers whose place could not be read from disk in time.
    #[serde(default)]
    pub places_unread: u64,
    /// Containers whose name could not be read from disk in time.
    #[serde(default)]
    pub names_unread: u64,
    /// Processes that ran before and were left out by their comm alone, since their argv
    /// could not be read in time.
    #[serde(default)]
    pub argv_unread: u64,
    /// No loss: those that were adopted without their argv.
    #[serde(default)]
    pub argv_unknown: u64,
    /// No loss: what a copy of a program saw that the kernel skipped.
    #[serde(default)]
    pub made_good: u64,
}

impl SourceLosses {
    /// Adds what another source lost.
    pub fn add(&mut self, other: &SourceLosses) {
        self.buffer_full.extend(&other.buffer_full);
        self.table_full = self.table_full.saturating_add(other.table_full);
        self.skipped.extend(other.skipped.iter().cloned());
        self.stale = self.stale.saturating_add(other.stale);
        self.cgroup_unknown = self.cgroup_unknown.saturating_add(other.cgroup_unknown);
        self.cgroup_names = self.cgroup_names.saturating_add(other.cgroup_names);
        self.malformed = self.malformed.saturating_add(other.malformed);
        self.places_unread = self.places_unread.saturating_add(other.places_unread);
        self.names_unread = self.names_unread.saturating_add(other.names_unread);
        self.argv_unread = self.argv_unread.saturating_add(other.argv_unread);
        self.argv_unknown = self.argv_unknown.saturating_add(other.argv_unknown);
        self.made_good = self.made_good.saturating_add(other.made_good);
    }
}

/// A recording may hold any numbers.
fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// All that was lost, counted by cause.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Losses {
    /// Records that found the buffer of their CPU full.
    pub buffer_full: u64,
    /// Processes that were not tracked because the table was full.
    pub table_full: u64,
    /// Runs of a program that the kernel skipped.
    pub skipped: u64,
    /// Tracked processes whose end the kernel side never saw.
    pub stale: u64,
    /// Tests for a cgroup that found none, or one too deep.
    pub cgroup_unknown: u64,
    /// Cgroup names that found the buffer full.
    pub cgroup_names: u64,
    /// Containers whose place could not be read from disk in time.
    pub places_unread: u64,
    /// Containers whose name could not be read from disk in time.
    pub names_unread: u64,
    /// Processes that ran before and were left out by their comm alone, since their argv
    /// could not be read in time.
    pub argv_unread: u64,
    /// Ends of executions whose start was lost.
    pub finishes_without_start: u64,
    /// Executions whose end was lost.
    pub starts_without_finish: u64,
    /// Records that came after they had been given up.
    pub late_records: u64,
    /// Bytes from the source that were no record: each ends its batch, or was a
    /// record of its own in the buffer.
    pub decode_errors: u64,
    /// Bytes of a recording that could not be used.
    pub recording_bytes: u64,
    /// Recordings without their end, and so without the account of what was lost.
    pub cut_recordings: u64,
}

impl Losses {
    /// Adds up what the source and the pairing say.
    pub fn new(source: &SourceLosses, unpaired: Unpaired) -> Losses {
        Losses {
            buffer_full: sum(source.buffer_full.iter().map(|(_, n)| *n)),
            table_full: source.table_full,
            skipped: sum(source.skipped.iter().map(|(_, n)| *n)),
            stale: source.stale,
            cgroup_unknown: source.cgroup_unknown,
            cgroup_names: source.cgroup_names,
            places_unread: source.places_unread,
            names_unread: source.names_unread,
            argv_unread: source.argv_unread,
            finishes_without_start: unpaired.finishes_without_start,
            starts_without_finish: unpaired.starts_without_finish,
            late_records: unpaired.late_records,
            decode_errors: source.malformed,
            ..Losses::default()
        }
    }

    /// Each cause with its number, as a person reads it: what, of one and of several,
    /// and what became of it.
    fn causes(&self) -> [(u64, [&'static str; 2], &'static str); 15] {
        const RECORDS: [&str; 2] = ["record", "records"];
        [
            (
                self.buffer_full,
                RECORDS,
                "that found the buffer full (raise --buffer)",
            ),
            (
                self.table_full,
                ["process", "processes"],
                "not tracked, the table was full",
            ),
            (
                self.skipped,
                ["probe run", "probe runs"],
                "that the kernel skipped",
            ),
            (
                self.stale,
                ["tracked process", "tracked processes"],
                "whose end was never seen",
            ),
            (
                self.cgroup_unknown,
                ["cgroup test", "cgroup tests"],
                "that found no cgroup, or one too deep",
            ),
            (
                self.cgroup_names,
                ["cgroup name", "cgroup names"],
                "that found the buffer full",
            ),
            (
                self.places_unread,
                ["container", "containers"],
                "whose place on disk could not be read in time",
            ),
            (
                self.names_unread,
                ["container", "containers"],
                "whose name on disk could not be read in time",
            ),
            (
                self.argv_unread,
                ["process", "processes"],
                "left out whose command line could not be read in time",
            ),
            (
                self.finishes_without_start,
                ["end", "ends"],
                "without a start",
            ),
            (
                self.starts_without_finish,
                ["start", "starts"],
                "whose end was lost",
            ),
            (self.late_records, RECORDS, "that came too late"),
            (
                self.decode_errors,
                ["batch", "batches"],
                "with bytes that are no record",
            ),
            (
                self.recording_bytes,
                ["byte", "bytes"],
                "of the recording that could not be read",
            ),
            (
                self.cut_recordings,
                ["recording", "recordings"],
                "cut off before the account of what was lost",
            ),
        ]
    }

    /// Whether anything was lost.
    pub fn any(&self) -> bool {
        self.causes().iter().any(|(count, ..)| *count != 0)
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.any() {
            return f.write_str("nothing lost");
        }
        f.write_str("LOST: ")?;
        let causes = self.causes().into_iter().filter(|(count, ..)| *count != 0);
        for (i, (count, [one, several], what)) in causes.enumerate() {
            let comma = if i == 0 { "" } else { "; " };
            let noun = if count == 1 { one } else { several };
            write!(f, "{comma}{count} {noun} {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_said() {
        assert_eq!(Losses::default().to_string(), "nothing lost");
        let mut losses = Losses {
            buffer_full: 3,
            late_records: 1,
            ..Losses::default()
        };
        let text = losses.to_string();
        assert!(text.starts_with("LOST: 3 records that found"), "{text}");
        assert!(text.ends_with("; 1 record that came too late"), "{text}");
        losses = Losses::default();
        losses.recording_bytes = 1;
        assert!(losses.any());
        // Whatever is counted, is said.
        let fields = serde_json::to_value(&losses).expect("serializable");
        assert_eq!(
            fields.as_object().map(|o| o.len()),
            Some(losses.causes().len())
        );
    }
}
