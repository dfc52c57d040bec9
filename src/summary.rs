//! The account at the end: how much was seen, and what was not.

use std::fmt;

use serde::Serialize;

use crate::loss::Losses;
use crate::text::short_duration;

/// What a run, or a set of recordings, came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Executions whose end was seen.
    pub executions: u64,
    /// Of these, those that did not end with code 0.
    pub failed: u64,
    /// Executions that had not ended.
    pub running: u64,
    /// Executions that are over, but whose end was not seen.
    pub unknown: u64,
    /// Executions of runtimes that were left out because nothing tells the cgroup of the
    /// container that they were about, and those of a recording that ran in a cgroup whose
    /// path is cut off.
    pub undecided: u64,
    /// Executions that found the table of groups full; they count as `other`.
    pub ungrouped: u64,
    /// Processes that ran before tracing began and were adopted although their command line
    /// could not be read in time.
    pub argv_unknown: u64,
    /// Executions that found no place in the tree of `--tree`.
    pub not_in_tree: u64,
    /// How long was traced.
    pub traced_ns: u64,
    /// What was lost, by cause.
    pub lost: Losses,
}

impl Summary {
    /// Whether anything was lost.
    pub fn lossy(&self) -> bool {
        self.lost.any() || self.unknown > 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.executions == 1 { "" } else { "s" };
        write!(
            f,
            "{} execution{plural}, {} failed, {} still running, in {}; {}",
            self.executions,
            self.failed,
            self.running,
            short_duration(self.traced_ns),
            self.lost
        )?;
        if self.undecided > 0 {
            let plural = if self.undecided == 1 { "" } else { "s" };
            write!(
                f,
                "; {} execution{plural} left out, container unknown",
                self.undecided
            )?;
        }
        if self.argv_unknown > 0 {
            let plural = if self.argv_unknown == 1 { "" } else { "es" };
            write!(
                f,
                "; {} process{plural} adopted, command line unknown",
                self.argv_unknown
            )?;
        }
        if self.ungrouped > 0 {
            write!(
                f,
                "; {} executions counted as one group, there were too many",
                self.ungrouped
            )?;
        }
        if self.not_in_tree > 0 {
            write!(
                f,
                "; {} executions are not in the tree, it was full (match less)",
                self.not_in_tree
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_a_sentence() {
        let summary = Summary {
            executions: 1,
            traced_ns: 2_500_000_000,
            ..Summary::default()
        };
        assert_eq!(
            summary.to_string(),
            "1 execution, 0 failed, 0 still running, in 2.50s; nothing lost"
        );
        assert!(!summary.lossy());
    }
}
