//! What a run comes to, over all its sources: latencies, the account, and what was left
//! out.

use super::Pipeline;
use crate::anatomy::Figures;
use crate::config::RowFilter;
use crate::event::{End, Execution};
use crate::label::{Key, Labels};
use crate::loss::{Losses, SourceLosses};
use crate::nearest::{LeftOut, Nearest};
use crate::pair::Unpaired;
use crate::source::Ending;
use crate::stats::Stats;
use crate::summary::Summary;

/// What is kept over several recordings.
pub struct Totals {
    /// What executions are grouped by.
    pub key: Key,
    /// Which become rows.
    pub rows: RowFilter,
    /// Latencies of all.
    pub stats: Stats,
    /// Latencies since the last interval, where there are intervals.
    pub interval: Option<Stats>,
    /// Starts of containers in phases, where they are asked for.
    pub anatomy: Option<Figures>,
    /// Latencies by another key, or from a later time on, where somebody looks.
    pub regrouped: Option<(Key, Stats)>,
    /// What the filters left out, and what came nearest to them.
    pub left_out: LeftOut,
    /// Executions of runtimes for containers that were not asked for.
    pub nearest: Nearest,
    /// The account.
    pub summary: Summary,
    source_losses: SourceLosses,
    unpaired: Unpaired,
    pub(super) decode_errors: u64,
    /// Bytes of recordings that could not be used.
    pub unusable_bytes: u64,
    /// Recordings without their end.
    pub cut_recordings: u64,
}

impl Totals {
    /// Nothing yet.
    pub fn new(key: Key, rows: RowFilter, intervals: bool) -> Totals {
        Totals {
            key,
            rows,
            stats: Stats::default(),
            interval: intervals.then(Stats::default),
            anatomy: None,
            regrouped: None,
            left_out: LeftOut::default(),
            nearest: Nearest::default(),
            summary: Summary::default(),
            source_losses: SourceLosses::default(),
            unpaired: Unpaired::default(),
            decode_errors: 0,
            unusable_bytes: 0,
            cut_recordings: 0,
        }
    }

    /// The account so far, with what the source has lost by now.
    pub fn summary(&self) -> Summary {
        let lost = Losses::new(&self.source_losses, self.unpaired);
        Summary {
            ungrouped: self.stats.ungrouped,
            argv_unknown: self.source_losses.argv_unknown,
            lost: Losses {
                decode_errors: lost.decode_errors.saturating_add(self.decode_errors),
                recording_bytes: self.unusable_bytes,
                cut_recordings: self.cut_recordings,
                ..lost
            },
            ..self.summary.clone()
        }
    }

    /// Whether nothing that is asked for has ended, or was found at the end.
    pub fn is_empty(&self) -> bool {
        let summary = &self.summary;
        let starts = self.anatomy.as_ref().is_none_or(Figures::is_empty);
        summary.executions + summary.unknown + summary.running == 0 && starts
    }

    /// Adds what a source came to.
    pub(super) fn close(&mut self, ending: &Ending, unpaired: Unpaired, began_ns: u64) {
        self.unpaired.add(unpaired);
        self.source_losses.add(&ending.losses);
        self.left_out.add(&ending.left_out);
        let traced_ns = ending.ended_ns.saturating_sub(began_ns);
        self.summary.traced_ns = self.summary.traced_ns.saturating_add(traced_ns);
    }

    /// What is lost so far while a source goes on, as far as it and its pipeline know.
    pub fn lost_so_far(&self, source: &SourceLosses, pipeline: &Pipeline) -> Losses {
        Losses {
            decode_errors: self.decode_errors,
            ..Losses::new(source, pipeline.pair.unpaired())
        }
    }

    pub(super) fn count(&mut self, execution: &Execution, labels: &Labels<'_>) {
        match execution.end {
            End::Unknown => self.summary.unknown += 1,
            End::Running => {}
            End::Exit(_) | End::Exec => {
                self.summary.executions += 1;
                self.summary.failed += u64::from(execution.end.failed());
            }
        }
        let group = labels.group(self.key, execution);
        self.stats.add(&group, execution);
        if let Some(interval) = &mut self.interval {
            interval.add(&group, execution);
        }
        if let Some((key, stats)) = &mut self.regrouped {
            stats.add(&labels.group(*key, execution), execution);
        }
    }
}
