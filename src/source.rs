//! Where events come from: the live kernel, or a recording of it. Both hand over
//! the same bytes, so that all that lies behind can be tested without root.

pub mod live;
pub mod replay;

mod attach;
mod containers;
mod drain;
mod engines;
pub mod host;
mod hosts;
mod iter;
mod load;
mod now;
mod perf;
mod plain_file;
mod privilege;
mod readers;
mod scan;
mod states;
mod sys;
mod targets;
mod tracefs;
pub mod urgency;
mod viewpoint;
mod watch;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::cgroup::Mount;
use crate::event::ProcessId;
use crate::loss::SourceLosses;
use crate::nearest::LeftOut;
use crate::state::StatePlace;

/// What there is to know about a source. A recording keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The machine's name.
    pub host: String,
    /// Release of its kernel.
    pub kernel: String,
    /// Its architecture.
    pub machine: String,
    /// Version of execlat that saw the events.
    pub execlat: String,
    /// The flavour of the probes: `kprobe` or `tracepoint`.
    pub flavour: String,
    /// When tracing began, `CLOCK_MONOTONIC` nanoseconds.
    pub began_ns: u64,
    /// Wall clock minus monotonic clock at that time, nanoseconds.
    pub wall_offset_ns: i64,
    /// Size of a page, bytes.
    pub page_bytes: u64,
    /// Mount point of the hierarchy whose cgroups are shown.
    pub cgroup_mount: String,
    /// The cgroup that is seen there, by its path from the hierarchy's root, which records
    /// have: of a private cgroup namespace it is another than `/`. Empty if it is not known.
    #[serde(default)]
    pub cgroup_root: String,
    /// Whether it tells what runtimes fork, as the anatomy of starts needs.
    #[serde(default)]
    pub forks: bool,
    /// Whether it tells what all tracked processes fork, as `--tree` makes use of.
    #[serde(default)]
    pub all_forks: bool,
    /// Directories of the cgroups that were asked for, where containers count too; without
    /// them the kernel alone has decided.
    #[serde(default)]
    pub cgroups: Vec<String>,
    /// All that a matched execution starts was followed.
    #[serde(default)]
    pub follows: bool,
}

impl About {
    /// Where the hierarchy is mounted whose cgroups are shown.
    pub fn mount(&self) -> Mount {
        Mount::new(&self.cgroup_mount, &self.cgroup_root)
    }
}

/// What a look at all processes found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alive {
    /// When the look began.
    pub seen_ns: u64,
    /// Processes with a living thread, sorted.
    pub processes: Vec<ProcessId>,
}

impl Alive {
    /// Whether the process was there.
    pub fn has(&self, process: ProcessId) -> bool {
        self.processes.binary_search(&process).is_ok()
    }
}

/// What an engine calls one of its containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerName {
    /// The id that runtimes and cgroups have.
    pub id: String,
    /// The name that its users know.
    pub name: String,
}

/// What is known of containers' cgroups without any record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// What runtimes keep on disk.
    pub states: Vec<StatePlace>,
    /// Directories of cgroups that were there when tracing began.
    pub cgroups: Vec<String>,
}

impl Places {
    /// Adds what was found later.
    pub fn append(&mut self, mut later: Places) {
        self.states.append(&mut later.states);
        self.cgroups.append(&mut later.cgroups);
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty() && self.cgroups.is_empty()
    }
}

/// What one round of reading brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Records, each with its own length, one after the other.
    pub bytes: Vec<u8>,
    /// Names of containers that these records are the first to be about.
    pub names: Vec<ContainerName>,
    /// Places of containers that were found meanwhile.
    pub places: Places,
    /// Nothing older than this is expected any more.
    pub horizon_ns: u64,
    /// Wall clock minus monotonic clock, nanoseconds.
    pub wall_offset_ns: i64,
    /// A look at all processes, taken after a loss and at the end.
    pub alive: Option<Alive>,
}

impl Batch {
    fn clear(&mut self) {
        self.bytes.clear();
        self.names.clear();
        self.places = Places::default();
        self.alive = None;
    }
}

/// How it went, known at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// When tracing ended, `CLOCK_MONOTONIC` nanoseconds.
    pub ended_ns: u64,
    /// What could not be delivered.
    pub losses: SourceLosses,
    /// What the filters left out.
    #[serde(default)]
    pub left_out: LeftOut,
    /// What went wrong at the end, in words; what was read before is whole.
    #[serde(skip)]
    pub failed: Option<String>,
}

/// A part of a source that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// What is wrong.
    pub why: String,
    /// Its length.
    pub bytes: u64,
    /// The end is missing, with the account of what was lost.
    pub cut: bool,
}

/// A source of batches.
pub trait Source {
    /// What there is to know about it.
    fn about(&self) -> &About;

    /// Waits a moment (the live kernel: at most [`live::ROUND`]) and fills the
    /// batch; false when there is no more.
    ///
    /// # Errors
    /// The source cannot be read.
    fn next(&mut self, batch: &mut Batch) -> Result<bool>;

    /// Ends it: fills the batch with all that is left.
    fn finish(&mut self, batch: &mut Batch) -> Ending;

    /// What is lost so far, for a report while tracing goes on.
    fn losses(&self) -> SourceLosses;

    /// What the filters left out so far.
    fn left_out(&self) -> LeftOut;

    /// What the source holds but could not use.
    fn unusable(&self) -> Option<Unusable> {
        None
    }
}
