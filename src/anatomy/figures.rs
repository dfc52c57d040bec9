//! What all starts came to: how long each phase took, by what the runtime was
//! asked to do.

use std::collections::BTreeMap;
use std::fmt;

use super::{Hook, Outcome, PHASES, Phase, Start};
use crate::stats::{Group, OTHER};
use crate::text::printable;

/// The names of hooks that are told apart; the rest are counted as [`OTHER`].
const HOOKS_MAX: usize = 256;

/// The percentiles of phases, with their names.
pub const PERCENTILES: [(&str, f64); 3] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0)];

/// What is timed, in the order of tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Phase(Phase),
    Total,
    Hook(String),
}

/// How long something took.
#[derive(Debug, Clone)]
pub struct Figure {
    /// How often it was gone through or failed in.
    pub count: u64,
    /// How often it failed in it.
    pub failed: u64,
    /// The times of those that did not fail or, as long as all have, of all.
    times: Group,
}

impl Figure {
    /// The time that `percentile` of those that did not fail do not exceed, within
    /// 0.8 %; where all failed, of all.
    pub fn percentile_ns(&self, percentile: f64) -> u64 {
        self.times.percentile_ns(percentile)
    }

    /// The longest of the same.
    pub fn max_ns(&self) -> u64 {
        self.times.max_ns
    }

    /// False if there is no memory for it.
    fn add(&mut self, ns: u64, failed: bool) -> bool {
        let all_failed = self.failed == self.count;
        if !failed && all_failed && self.count > 0 {
            let Some(times) = Group::new() else {
                return false;
            };
            self.times = times;
        }
        self.count += 1;
        self.failed += u64::from(failed);
        if !failed || all_failed {
            self.times.add(ns, false);
        }
        true
    }
}

/// The figures of all starts.
#[derive(Debug, Default)]
pub struct Figures {
    figures: BTreeMap<(String, Part), Figure>,
    hooks: usize,
    /// Starts whose payload ran.
    pub started: u64,
    /// Starts that failed.
    pub failed: u64,
    /// Starts that went on when tracing ended.
    pub pending: u64,
    /// Starts of which something was not seen, so that it is not known what became
    /// of them.
    pub unknown: u64,
    /// Starts that were given up because there were too many at once; they are
    /// unknown as well.
    pub given_up: u64,
}

impl Figures {
    /// Counts a start.
    pub fn add(&mut self, start: &Start) {
        let failed_in = match start.outcome {
            Outcome::Failed { phase, .. } => Some(phase),
            _ => None,
        };
        match start.outcome {
            Outcome::Started => self.started += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Pending { .. } => self.pending += 1,
            Outcome::Unknown => self.unknown += 1,
        }
        let action = start.action();
        for phase in PHASES {
            let failed = failed_in == Some(phase);
            let goes_on = start.outcome.phase() == Some(phase) && !failed;
            if let Some(ns) = start.phase_ns(phase).filter(|_| !goes_on) {
                self.count(&action, Part::Phase(phase), ns, failed);
            }
        }
        let over = matches!(start.outcome, Outcome::Started | Outcome::Failed { .. });
        if let Some(ns) = start.total_ns().filter(|_| over) {
            self.count(&action, Part::Total, ns, failed_in.is_some());
        }
        for hook in &start.hooks {
            self.add_hook(&action, hook);
        }
    }

    fn add_hook(&mut self, action: &str, hook: &Hook) {
        let (Some(ns), Some((_, status))) = (hook.time_ns(), hook.end) else {
            return;
        };
        let mut part = Part::Hook(printable(&hook.name));
        if !self
            .figures
            .contains_key(&(action.to_owned(), part.clone()))
        {
            if self.hooks >= HOOKS_MAX {
                part = Part::Hook(OTHER.to_owned());
            } else {
                self.hooks += 1;
            }
        }
        self.count(action, part, ns, status.0 != 0);
    }

    fn count(&mut self, action: &str, part: Part, ns: u64, failed: bool) {
        let figure = match self.figures.entry((action.to_owned(), part)) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => match Group::new() {
                Some(times) => new.insert(Figure {
                    count: 0,
                    failed: 0,
                    times,
                }),
                None => return,
            },
        };
        figure.add(ns, failed);
    }

    /// Action, phase (or `total`, or `hook NAME`; printable), figure.
    pub fn each(&self) -> impl Iterator<Item = (&str, String, &Figure)> {
        self.figures.iter().map(|((action, part), figure)| {
            let part = match part {
                Part::Phase(phase) => phase.name().to_owned(),
                Part::Total => "total".to_owned(),
                Part::Hook(name) => format!("hook {name}"),
            };
            (action.as_str(), part, figure)
        })
    }

    /// Whether no start was seen.
    pub fn is_empty(&self) -> bool {
        self.figures.is_empty()
    }

    /// Whether the fate of a start is not known.
    pub fn lossy(&self) -> bool {
        self.unknown > 0 || self.given_up > 0
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "starts: {} well, {} failed, {} pending, {} unknown",
            self.started, self.failed, self.pending, self.unknown
        )?;
        if self.given_up > 0 {
            write!(
                f,
                "; {} given up, there were too many at once",
                self.given_up
            )?;
        }
        Ok(())
    }
}
